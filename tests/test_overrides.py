"""Is it the same loss for a subclass of Tensor, and under a mode, as a default device other than its arguments' is one?

There a function hands its arguments on, one by one and in Python, and is easily left without one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch.overrides import TorchFunctionMode

from reference.catalog import Row
from reference.formats import FORMATS

from .calls import Call, spread
from .cases import Case
from .departures import unweighted
from .habits import Habit, unmatched
from .options import devices, offered, takes
from .subject import ADAPTERS, call_function, loss_of
from .transformed import arguments, cotangent, evaluate, function, hold, instead

OVERRIDDEN = (
    Habit(
        "weighted_l1_forgets_its_weight",
        ("L1Loss-*weight*",),
        "wrong",
        "torch.nn.functional.l1_loss hands every argument but the weight to an override: the loss is the unweighted one, and "
        "the gradient of the weight is 0. So it is in torch 2.6, 2.13 and 2.15",
        allows=instead(unweighted),
        link="https://github.com/pytorch/pytorch/pull/193003",
    ),
)

UNSEEN = {"L1Loss-weight": "AttributeError"}
"""The arguments that torch does not look at to see whether they override anything: what is no tensor fails there."""


class Subclass(torch.Tensor):
    """A tensor that overrides nothing."""


class Mode(TorchFunctionMode):
    """A mode that changes nothing, and remembers what it saw first."""

    first: Any = None

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """The function."""
        self.first = self.first or func
        return func(*args, **(kwargs or {}))


class Duck:
    """No tensor, and overrides every function."""

    seen: ClassVar[list[Any]] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Itself."""
        cls.seen.append(func)
        return cls


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
        mode: AbstractContextManager[Any] = {"mode": Mode(), "device": torch.device("meta")}.get(self.way, nullcontext())
        with mode:
            value = function(self.case, subject)(passed)
        vector = cotangent(self.case)
        leaves = [given[name] for name in names]
        gradients = torch.autograd.grad(value, leaves, vector, allow_unused=True, materialize_grads=True)
        plain = [value, *gradients]
        return dict(zip(["value", *names], (t.detach().as_subclass(torch.Tensor) for t in plain), strict=True))


def overridden(config: pytest.Config) -> Iterator[Overridden]:
    """Every pair of options, under one reduction, turn about."""
    for row, device in itertools.product(offered(config), devices(config)):
        for i, variant in enumerate(row.few()):
            case = Case(row, variant, row.reductions[i % len(row.reductions)], FORMATS["float32"], device, "typical", config.getoption("--seed"))
            yield from (Overridden(case, way) for way in ("subclass", "mode", "device"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each of them."""
    if "each" in metafunc.fixturenames:
        found = list(overridden(metafunc.config))
        metafunc.parametrize("each", found, ids=[one.id for one in found])
    if "row" in metafunc.fixturenames:
        rows = [row for row in offered(metafunc.config) if row.function not in ADAPTERS]
        metafunc.parametrize("row", rows, ids=[row.name for row in rows])


def test_overridden(each: Overridden, subject: Any) -> None:
    """Value and gradients are what they are without."""
    eager = evaluate(function(each.case, subject), each.case)
    hold(OVERRIDDEN, each.id, each.case, each.found(subject), eager)


def calls_of(row: Row, config: pytest.Config) -> Iterator[tuple[Call, str]]:
    """(call, reduction): every choice and option, every argument of each call in turn, under every reduction."""
    for variant in (v for v in spread(row, row.forms[:1]) if takes(config, row, v)):
        yield from ((Call(row, variant, FORMATS["float32"]), reduction) for reduction in row.reductions)


def test_the_type_is_kept(row: Row, subject: Any, pytestconfig: pytest.Config) -> None:
    """The result is of the subclass that any one argument, or every one, is of; the rest may be plain tensors."""
    for call, reduction in calls_of(row, pytestconfig):
        given = call.given()
        for name in (*given, "all"):
            passed = {n: t.as_subclass(Subclass) if name in (n, "all") else t for n, t in given.items()}
            value = call_function(subject, row, call.variant, passed, reduction)
            assert type(value) is Subclass, f"{call.id}, {reduction}: {type(value)} with a subclass for {name}"


def test_who_overrides_sees_the_loss(row: Row, subject: Any, pytestconfig: pytest.Config) -> None:
    """A mode sees the loss before what is inside it; and so does an object that is no tensor, in place of any argument."""
    if subject is not torch.nn.functional or row.namespace:
        return  # what another subject is, and shows of itself, is its own affair
    loss = loss_of(subject, row)
    for call, reduction in calls_of(row, pytestconfig):
        given = call.given()
        with Mode() as mode:
            call_function(subject, row, call.variant, given, reduction)
        assert mode.first is loss, f"{call.id}, {reduction}: a mode sees {mode.first} first"
        for name in given:
            Duck.seen.clear()
            passed = {**given, name: Duck()}
            if (known := UNSEEN.get(f"{row.name}-{name}")) is not None:
                with pytest.raises(Exception, match="Duck") as refusal:
                    call_function(subject, row, call.variant, passed, reduction)
                assert refusal.typename == known
                continue
            assert call_function(subject, row, call.variant, passed, reduction) is Duck, f"{call.id}: {name}"
            assert Duck.seen == [loss], f"{call.id}: {name} is asked about {Duck.seen}"


def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case."""
    assert not unmatched(OVERRIDDEN, (each.id for each in overridden(request.config)))
