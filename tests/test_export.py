"""Is it the same loss when it is exported? As it is recorded, made of core operators, and at other shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from reference.catalog import CATALOG
from reference.formats import FORMATS

from .cases import Case
from .export_habits import EXPORTED
from .habits import attempt, habit, judge, unmatched
from .options import devices, offered
from .transformed import Function, arguments, evaluate, evaluate_all, function, larger, problems


class Losses(torch.nn.Module):
    """Many losses as one module."""

    def __init__(self, losses: Sequence[Function]) -> None:
        """Of these functions."""
        super().__init__()
        self.losses = losses

    def forward(self, given: Sequence[Any]) -> list[torch.Tensor]:
        """Each of its own arguments."""
        return [loss(each) for loss, each in zip(self.losses, given, strict=True)]


def export(cases: Sequence[Case], subject: Any) -> torch.export.ExportedProgram:
    """One program of all of them, any of whose axes may have another length."""
    given = [arguments(case)[0] for case in cases]
    shapes = [{name: (torch.export.Dim.AUTO,) * tensor.ndim for name, tensor in each.items()} for each in given]
    return torch.export.export(Losses([function(case, subject) for case in cases]), (given,), dynamic_shapes=(shapes,), strict=False)


def cases(config: pytest.Config) -> Iterator[Case]:
    """A plain call of each loss."""
    for row in offered(config, CATALOG):
        yield Case(row, row.plain(row.forms[0]), "mean", FORMATS["float32"], devices(config)[0], "typical", config.getoption("--seed"))


FORMS = {"recorded": lambda program: program, "core": lambda program: program.run_decompositions()}


def test_exported(request: pytest.FixtureRequest, subject: Any, subtests: pytest.Subtests) -> None:
    """An exported loss has the value and the gradients that it had, at the shape it was exported at and at another."""
    asked = list(cases(request.config))
    together = [case for case in asked if not habit(EXPORTED, f"{case.id}-recorded", "refuses")]
    for case in (case for case in asked if case not in together):
        with subtests.test(case.id):
            attempt(EXPORTED, f"{case.id}-recorded", lambda case=case: export([case], subject))
    try:
        program = export(together, subject)
    except Exception as error:  # one of them, or all: say which
        for case in together:
            with subtests.test(case.id):
                export([case], subject)
        pytest.fail(f"not all of them can be exported, or not together: {error}")
    for form, made in FORMS.items():
        module = made(program).module()
        for each in (together, [larger(case) for case in together]):
            for case, got in zip(each, evaluate_all(module, each), strict=True):
                with subtests.test(f"{case.id}-{form}"):
                    said = problems(case, got, evaluate(function(case, subject), case), habit(EXPORTED, f"{case.id}-{form}", "inaccurate"))
                    judge(EXPORTED, f"{case.id}-{form}", said)


def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case."""
    assert not unmatched(EXPORTED, (f"{case.id}-{form}" for case in cases(request.config) for form in FORMS))
