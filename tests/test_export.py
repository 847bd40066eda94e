"""Is it the same loss when it is exported? As it is recorded, made of core operators, and at other shapes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pytest
import torch

from reference.formats import FORMATS

from .cases import Case
from .export_habits import EXPORTED
from .habits import attempt, habit, unmatched
from .options import devices, offered
from .transformed import Found, Function, arguments, evaluate, evaluate_all, function, hold, larger


class Losses(torch.nn.Module):
    """Many losses as one module."""

    def __init__(self, losses: Sequence[Function]) -> None:
        """Of these functions."""
        super().__init__()
        self.losses = losses

    def forward(self, given: Sequence[Any]) -> list[torch.Tensor]:
        """Each of its own arguments."""
        return [loss(each) for loss, each in zip(self.losses, given, strict=True)]


def export(cases: Sequence[Case], subject: Any, size: Any = torch.export.Dim.AUTO) -> torch.export.ExportedProgram:
    """One program of all of them, any of whose axes may have another length, or with STATIC none."""
    given = [arguments(case)[0] for case in cases]
    shapes = [{name: (size,) * tensor.ndim for name, tensor in each.items()} for each in given]
    return torch.export.export(Losses([function(case, subject) for case in cases]), (given,), dynamic_shapes=(shapes,), strict=False)


@dataclass(frozen=True)
class Group:
    """The cases of one program: to export one is as slow as to export them all."""

    name: str
    cases: tuple[Case, ...]


def groups(config: pytest.Config) -> Iterator[Group]:
    """A plain call of each loss; with --compile-all also one of each loss, of every pair of its options."""
    seed, rows, (device, *_) = config.getoption("--seed"), offered(config), devices(config)
    yield Group("plain", tuple(Case(row, row.plain(row.forms[0]), "mean", FORMATS["float32"], device, "typical", seed) for row in rows))
    if config.getoption("--compile-all"):
        for row in rows:
            turns = zip(row.few(), itertools.cycle(row.reductions), strict=False)
            several = (Case(row, variant, reduction, FORMATS["float32"], device, "typical", seed) for variant, reduction in turns)
            yield Group(f"all_{row.name}", tuple(several))


def pairs(config: pytest.Config) -> Iterator[Group]:
    """Every pair of options of each loss, under one reduction each, turn about."""
    for row in offered(config):
        turns = zip(row.few(), itertools.cycle(row.reductions), strict=False)
        yield Group(row.name, tuple(Case(row, v, r, FORMATS["float32"], devices(config)[0], "typical", config.getoption("--seed")) for v, r in turns))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The programs."""
    if "group" in metafunc.fixturenames:
        metafunc.parametrize("group", list(groups(metafunc.config)), ids=lambda group: group.name)
    if "options" in metafunc.fixturenames:
        metafunc.parametrize("options", list(pairs(metafunc.config)), ids=lambda group: group.name)


FORMS = {"recorded": lambda program: program, "core": lambda program: program.run_decompositions()}
SIZES = {"": lambda case: case, "-larger": larger}


def test_exported(group: Group, subject: Any, subtests: pytest.Subtests) -> None:
    """An exported loss has the value and the gradients that it had, at the shape it was exported at and at another."""
    cases = {case.id: case for case in group.cases}

    @cache
    def program(names: tuple[str, ...]) -> torch.export.ExportedProgram:
        return _together([cases[name] for name in names], subject, subtests)

    @cache
    def module(form: str, names: tuple[str, ...]) -> torch.nn.Module:
        return FORMS[form](program(names)).module()

    for case in [case for name, case in cases.items() if habit(EXPORTED, f"{name}-recorded", "refuses")]:
        del cases[case.id]
        with subtests.test(case.id):
            attempt(EXPORTED, f"{case.id}-recorded", partial(export, [case], subject))
    with subtests.test("sizes"):  # may be of any length from 2 on, and int_oo is torch's infinity
        bounds = program(tuple(cases)).range_constraints if cases else {}
        assert {str(bound) for bound in bounds.values()} <= {"VR[2, int_oo]"}, f"a size is bounded: {bounds}"
    for form, (size, resized) in itertools.product(FORMS, SIZES.items()):
        refused = [name for name in cases if habit(EXPORTED, f"{name}-{form}{size}", "refuses")]
        for name in refused:
            with subtests.test(f"{name}-{form}{size}"):
                attempt(EXPORTED, f"{name}-{form}{size}", partial(_run, module, form, {name: resized(cases[name])}))
        together = {name: resized(case) for name, case in cases.items() if name not in refused}
        for (name, case), got in zip(together.items(), _run(module, form, together) if together else [], strict=True):
            with subtests.test(f"{name}-{form}{size}"):
                hold(EXPORTED, f"{name}-{form}{size}", case, got, evaluate(function(case, subject), case))


def test_exported_options(options: Group, subject: Any) -> None:
    """At the shape that it was exported at, a loss with any options has the value and the gradients that it had."""
    asked = {f"{case.id}-static": case for case in options.cases}
    refused = {name: asked.pop(name) for name in list(asked) if habit(EXPORTED, name, "refuses")}
    for name, case in list(refused.items())[:1]:  # to be refused takes as long as to be exported
        attempt(EXPORTED, name, partial(export, [case], subject, torch.export.Dim.STATIC))
    if asked:
        cases = list(asked.values())
        found = evaluate_all(export(cases, subject, torch.export.Dim.STATIC).module(), cases)
        for (name, case), got in zip(asked.items(), found, strict=True):
            hold(EXPORTED, name, case, got, evaluate(function(case, subject), case))


def _run(module: Callable[[str, tuple[str, ...]], Any], form: str, cases: Mapping[str, Case]) -> list[Found]:
    """Values and gradients of the cases, by the module that was made of those of their names."""
    return evaluate_all(module(form, tuple(cases)), list(cases.values()))


def _together(cases: Sequence[Case], subject: Any, subtests: pytest.Subtests) -> torch.export.ExportedProgram:
    """One program of them all; if there is none, it is said which of them has none."""
    try:
        return export(cases, subject)
    except Exception as error:
        for case in cases:
            with subtests.test(case.id):
                export([case], subject)
        pytest.fail(f"not all of them can be exported, or not together: {error}")


def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case; those that only a pair of options has, with --compile-all."""
    asked = [case for group in groups(request.config) for case in group.cases]
    known = [entry for entry in EXPORTED if request.config.getoption("--compile-all") or not entry.name.startswith("options_")]
    assert not unmatched(known, (f"{case.id}-{form}{size}" for case in asked for form in FORMS for size in SIZES))
