"""Is it the same loss for a subclass of Tensor, and under a mode, as `with torch.device(...)` is one?

There a function hands its arguments on, one by one and in Python, and is easily left without one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from reference.catalog import CATALOG
from reference.formats import FORMATS

from .cases import Case
from .habits import Habit, judge, unmatched
from .options import devices, offered
from .transformed import arguments, cotangent, evaluate, function, problems

OVERRIDDEN = (
    Habit(
        "weighted_l1_forgets_its_weight",
        ("L1Loss-*weight*",),
        "wrong",
        "torch.nn.functional.l1_loss hands every argument but the weight to an override: the loss is the unweighted one, and "
        "the gradient of the weight is 0. So it is in torch 2.6, 2.13 and 2.15",
    ),
)


class Subclass(torch.Tensor):
    """A tensor that overrides nothing."""


class Mode(TorchFunctionMode):
    """A mode that changes nothing."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """The function."""
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Overridden:
    """A case, and how what it calls may be overridden."""

    case: Case
    way: str

    @property
    def id(self) -> str:
        """The case's, and the way."""
        return f"{self.case.id}-{self.way}"

    def found(self, subject: Any) -> dict[str, torch.Tensor]:
        """The value and the gradients."""
        given, names = arguments(self.case)
        passed = {name: t.as_subclass(Subclass) for name, t in given.items()} if self.way == "subclass" else given
        mode: AbstractContextManager[Any] = {"mode": Mode(), "device": torch.device(self.case.device)}.get(self.way, nullcontext())
        with mode:
            value = function(self.case, subject)(passed)
        vector = cotangent(self.case)
        leaves = [given[name] for name in names]
        gradients = torch.autograd.grad(value, leaves, vector, allow_unused=True, materialize_grads=True)
        plain = [value, *gradients]
        return dict(zip(["value", *names], (t.detach().as_subclass(torch.Tensor) for t in plain), strict=True))


def overridden(config: pytest.Config) -> Iterator[Overridden]:
    """Every pair of options, under one reduction, turn about."""
    for row, device in itertools.product(offered(config, CATALOG), devices(config)):
        for i, variant in enumerate(row.few()):
            case = Case(row, variant, row.reductions[i % len(row.reductions)], FORMATS["float32"], device, "typical", config.getoption("--seed"))
            yield from (Overridden(case, way) for way in ("subclass", "mode", "device"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each of them."""
    if "each" in metafunc.fixturenames:
        found = list(overridden(metafunc.config))
        metafunc.parametrize("each", found, ids=[one.id for one in found])


def test_overridden(each: Overridden, subject: Any) -> None:
    """Value and gradients are what they are without."""
    eager = evaluate(function(each.case, subject), each.case)
    judge(OVERRIDDEN, each.id, problems(each.case, each.found(subject), eager))


def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case."""
    assert not unmatched(OVERRIDDEN, (each.id for each in overridden(request.config)))
