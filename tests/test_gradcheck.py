"""Does torch's own checker agree with each derivative, by differences of the one before, one at a time and in batches?"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import grad
from torch.autograd.gradcheck import GradcheckError, gradcheck

from reference.formats import FORMATS

from .calls import Call, spread
from .derivative_habits import CHECKED
from .habits import attempt, judge, unmatched
from .options import devices, offered, takes
from .subject import prepared

Function = Callable[..., torch.Tensor]


def derived(of: Function) -> Function:
    """The gradients of what a function returns, weighted, in a row: a derivative of one more order, of the same arguments."""

    def gradients(*x: torch.Tensor) -> torch.Tensor:
        result = of(*x).flatten()
        weighted = result @ torch.linspace(0.5, 1.5, len(result), dtype=result.dtype, device=result.device)
        if not weighted.requires_grad:  # of a constant
            return sum((0 * each).sum() for each in x)
        return torch.cat([g.flatten() for g in grad(weighted, x, create_graph=True, materialize_grads=True)])

    return gradients


THROUGH: dict[tuple[str, str], Callable[[torch.Tensor], torch.Tensor]] = {
    ("CTCLoss", "log_probs"): lambda x: x.log_softmax(-1),  # its gradient is that of a log_softmax before it: documented
}


@dataclass(frozen=True)
class Checked:
    """A call, a reduction, and the order of the derivative."""

    call: Call
    reduction: str
    order: int

    @property
    def id(self) -> str:
        """Loss-variant-dtype-device-reduction-order."""
        return f"{self.call.id}-{self.reduction}-order{self.order}"

    def problems(self, subject: Any) -> list[str]:
        """What the checker says."""
        call, given = self.call, self.call.given()
        leaves = [given[name].clone().requires_grad_() for name in call.differentiable]
        loss = prepared(subject, call.row, call.variant, given)

        def of(*x: torch.Tensor) -> torch.Tensor:
            now = {**given, **dict(zip(call.differentiable, x, strict=True))}
            return loss(**{name: THROUGH.get((call.row.name, name), torch.clone)(each) for name, each in now.items()}, reduction=self.reduction)

        for _ in range(self.order - 1):
            of = derived(of)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of missing batching rules test_transforms asks
                gradcheck(of, leaves, fast_mode=True, check_batched_grad=True)
        except GradcheckError as wrong:
            return [f"{self.id}: {wrong}"]
        return []


def checked(config: pytest.Config) -> Iterator[Checked]:
    """Every choice and option, under one reduction, turn about; whatever the run's seed, at inputs that no step of a difference puts across a kink."""
    if "float64" not in (config.getoption("--dtype") or FORMATS):
        return
    for row, device in itertools.product(offered(config), devices(config)):
        for i, variant in enumerate(spread(row, row.forms)):
            call, reduction = Call(row, variant, FORMATS["float64"], device), row.reductions[i % len(row.reductions)]
            if takes(config, row, variant) and np.isfinite(call.truth.loss.reduce(reduction)).all():  # not the mean of nothing
                yield from (Checked(call, reduction, order) for order in (1, 2, 3))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each of them."""
    if "each" in metafunc.fixturenames:
        found = list(checked(metafunc.config))
        metafunc.parametrize("each", found, ids=[one.id for one in found])


def test_checked(each: Checked, subject: Any) -> None:
    """The derivative is that of the one before, or torch says that it has none."""
    found = attempt(CHECKED, each.id, lambda: each.problems(subject))
    if found is not None:
        judge(CHECKED, each.id, found)


@pytest.mark.every_dtype
def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case."""
    assert not unmatched(CHECKED, (each.id for each in checked(request.config)))
