"""Are its derivatives right, beyond the first backward pass? Second order, forward mode, and torch.func's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp

from reference.accuracy import compare
from reference.catalog import Row, Variant
from reference.formats import FORMATS
from reference.inputs import draw, regimes

from .cases import Case
from .curvature import Curvature, curvature
from .derivative_habits import DERIVATIVES
from .habits import Habit, attempt, habit, judge, unmatched
from .options import devices, offered
from .subject import differentiable, prepared, tensor, tensors

Loss = Callable[..., torch.Tensor]
Found = dict[str, torch.Tensor]


def double_backward(loss: Loss, x: Found, v: Found, c: torch.Tensor) -> Found:
    """backward, then backward through it: H v in the arguments, and J v in the cotangent."""
    for leaf in (*x.values(), c):
        leaf.requires_grad_()
    first = torch.autograd.grad(loss(x), list(x.values()), c, create_graph=True, allow_unused=True)
    along = sum((g * v[name]).sum() for name, g in zip(x, first, strict=True) if g is not None)
    second = torch.autograd.grad(along, [*x.values(), c], allow_unused=True, materialize_grads=True)
    return dict(zip((*x, "tangent"), second, strict=True))


def forward(loss: Loss, x: Found, v: Found, c: torch.Tensor) -> Found:
    """torch.func.jvp."""
    return {"tangent": jvp(loss, (x,), (v,))[1]}


def forward_over_reverse(loss: Loss, x: Found, v: Found, c: torch.Tensor) -> Found:
    """torch.func.jvp of torch.func.grad."""
    return jvp(grad(lambda x: (loss(x) * c).sum()), (x,), (v,))[1]


def reverse_over_dual(loss: Loss, x: Found, v: Found, c: torch.Tensor) -> Found:
    """backward through a tangent of torch.autograd.forward_ad."""
    for leaf in x.values():
        leaf.requires_grad_()
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(loss({name: forward_ad.make_dual(leaf, v[name]) for name, leaf in x.items()})).tangent
    if not tangent.requires_grad:  # linear: the tangent depends on the direction alone
        return {"tangent": tangent, **{name: torch.zeros_like(leaf) for name, leaf in x.items()}}
    found = torch.autograd.grad(tangent, list(x.values()), c, allow_unused=True, materialize_grads=True)
    return {"tangent": tangent.detach(), **dict(zip(x, found, strict=True))}


def reverse_over_forward(loss: Loss, x: Found, v: Found, c: torch.Tensor) -> Found:
    """torch.func.grad of torch.func.jvp."""
    return grad(lambda x: (jvp(loss, (x,), (v,))[1] * c).sum())(x)


def reverse(loss: Loss, x: Found, v: Found, c: torch.Tensor) -> Found:
    """torch.func.vjp, of torch.func.vjp."""
    return vjp(lambda x: vjp(loss, x)[1](c)[0], x)[1](v)[0]


def jacobian_by_rows(loss: Loss, x: Found, v: Found, c: torch.Tensor) -> Found:
    """torch.func.jacrev, contracted with v."""
    return {"tangent": _contracted(jacrev(loss)(x), v, c.ndim)}


def jacobian_by_columns(loss: Loss, x: Found, v: Found, c: torch.Tensor) -> Found:
    """torch.func.jacfwd, contracted with v."""
    return {"tangent": _contracted(jacfwd(loss)(x), v, c.ndim)}


def full_hessian(loss: Loss, x: Found, v: Found, c: torch.Tensor) -> Found:
    """torch.func.hessian, contracted with v."""
    blocks = hessian(lambda x: (loss(x) * c).sum())(x)
    return {name: _contracted(blocks[name], v, x[name].ndim) for name in x}


def _contracted(blocks: Found, v: Found, ndim: int) -> torch.Tensor:
    total = sum(torch.tensordot(block, v[name], dims=block.ndim - ndim) for name, block in blocks.items())
    assert isinstance(total, torch.Tensor)
    return total


TRANSFORMS = (
    double_backward,
    forward,
    forward_over_reverse,
    reverse_over_dual,
    reverse_over_forward,
    reverse,
    jacobian_by_rows,
    jacobian_by_columns,
    full_hessian,
)
COMMON = (double_backward, forward)
ALONE = (forward, forward_over_reverse)
"""What is asked of each argument alone, too: the others have no tangent, where zeros are made for it."""


@dataclass(frozen=True)
class Derivative:
    """A transform of a variant under a reduction; `moving` is the one argument that is differentiated in, or all."""

    transform: Callable[[Loss, Found, Found, torch.Tensor], Found]
    case: Case
    moving: str = ""
    far: bool = False

    @property
    def id(self) -> str:
        """Loss-variant-reduction-dtype-device-transform, and before the transform whether the point is far."""
        return f"{self.case.id.removesuffix('-typical')}{'-far' * self.far}-{self.transform.__name__}{self.moving and '_' + self.moving}"

    @property
    def point(self) -> Curvature:
        """The truth."""
        return curvature(self.case.row.name, self.case.variant.name, self.case.seed, self.moving, far=self.far)

    def run(self, subject: Any) -> Found:
        """What torch gives."""
        point, case = self.point, self.case
        every = tensors(point.drawn, case.format, case.device)
        x = {name: every.pop(name) for name in ([self.moving] if self.moving else point.names)}
        v = {name: tensor(point.direction[name], case.format, case.device) for name in x}
        c = tensor(point.cotangent(case.reduction), case.format, case.device)
        loss = prepared(subject, case.row, point.variant, {**every, **x})
        return self.transform(lambda x: loss(**every, **x, reduction=case.reduction), x, v, c)

    def problems(self, found: Found, entry: Habit | None = None) -> list[str]:
        """What is wrong with it."""
        said = []
        for name, budget in self.point.budgets(self.case.reduction, self.case.format).items():
            if name in found:
                if entry is not None and entry.allows is not None:
                    budget = entry.allows(self.point, name, budget)
                got = found[name].detach().to("cpu", torch.float64).clone().numpy(force=True)  # a clone, as of a tensor of zeros without memory torch 2.6 reads any
                problem = compare(got, budget, self.case.format).problem
                said += [f"{self.id}: {name} {problem}"] if problem else []
        return said


def cases(config: pytest.Config) -> Iterator[Derivative]:
    """In float64 every transform, the common ones under every reduction; else, in float32, alone, and at a far point, under one, turn about."""
    asked = [f for f in ("float64", "float32") if f in (config.getoption("--dtype") or FORMATS)]
    rows = offered(config)
    for row, device, dtype in itertools.product(rows, devices(config), asked):
        for i, variant in enumerate(FEWER.get(row.name, Row.few)(row)):
            for j, reduction in enumerate(row.reductions):
                case = Case(row, variant, reduction, FORMATS[dtype], device, "typical", config.getoption("--seed"))
                double = dtype == "float64"
                turn = (i + (not double)) % len(row.reductions) == j
                every = TRANSFORMS if double and turn else COMMON if double or turn else ()
                yield from (Derivative(t, case) for t in every)
                if turn and row.name not in FEWER:
                    yield from (Derivative(t, case, far=True) for t in (COMMON if double else (double_backward,)))
                names = curvature(row.name, variant.name, case.seed).names if double and row.name not in FEWER else ()
                alone = (name for k, name in enumerate(names) if (i + k + 1) % len(row.reductions) == j)
                yield from (Derivative(t, case, name) for name, t in itertools.product(alone, ALONE))


def _of(*forms: str) -> Callable[[Row], list[Variant]]:
    """One variant of each of these forms of a loss that cannot be made small: the truth takes seconds."""
    return lambda row: [next(variant for variant in row.few() if variant.form.name == form) for form in forms]


# Nor are these moved in one argument at a time: of CTC there is one, of adaptive softmax the truth of each takes seconds.
FEWER = {"CTCLoss": _of("unbatched"), "AdaptiveLogSoftmaxWithLoss": _of("batch", "unbatched")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each derivative."""
    if "derivative" in metafunc.fixturenames:
        found = list(cases(metafunc.config))
        metafunc.parametrize("derivative", found, ids=[d.id for d in found])
    if "row" in metafunc.fixturenames:
        kinked = [row for row in offered(metafunc.config) if row.kinks is not None and row.name not in NO_SIDES]
        metafunc.parametrize("row", kinked, ids=[row.name for row in kinked])


def test_derivative(derivative: Derivative, subject: Any) -> None:
    """Hessian- and Jacobian-vector products are those of the definition, or torch says that it has none."""
    found = attempt(DERIVATIVES, derivative.id, lambda: derivative.run(subject))
    if found is None:
        return
    judge(DERIVATIVES, derivative.id, derivative.problems(found, habit(DERIVATIVES, derivative.id, "inaccurate")))


NO_SIDES = ("PoissonNLLLoss", "GaussianNLLLoss")
"""Their kinks are numbers at which what is clamped or masked in reverse mode is known (see tests/divergences.py)."""


def _unreduced(loss: Loss, every: Found, x: Found) -> torch.Tensor:
    return loss(**every, **x, reduction="none")


def test_forward_mode_takes_the_side_that_reverse_does(row: Row, subject: Any) -> None:
    """On a kink both give the derivative by the same convention: the tangent along any direction is that of the gradient."""
    for variant in row.few():
        if "kinks" not in regimes(row, variant):
            continue
        drawn = draw(row, variant, "kinks", FORMATS["float64"], 0)
        every, names = tensors(drawn, FORMATS["float64"], "cpu"), differentiable(row, drawn)
        x = {name: every.pop(name) for name in names}
        rng = torch.Generator().manual_seed(0)
        v = {name: torch.randint(-4, 5, t.shape, generator=rng, dtype=t.dtype) for name, t in x.items()}
        loss = prepared(subject, row, variant, {**every, **x})
        unreduced = partial(_unreduced, loss, every)
        value, pull = vjp(unreduced, x)
        found = attempt(DERIVATIVES, f"{row.name}-{variant.name}-none-float64-cpu-forward", lambda f=unreduced, x=x, v=v: jvp(f, (x,), (v,)))
        if found is None:
            continue
        c = torch.randint(-4, 5, value.shape, generator=rng, dtype=value.dtype)
        # in both modes sums of some hundred products, right to 1e-13; the other side of a kink is off by a slope, which is more than 0.1
        along = torch.stack([(g * v[name]).sum() for name, g in pull(c)[0].items()]).sum()
        torch.testing.assert_close((found[1] * c).sum(), along, rtol=1e-10, atol=1e-10, msg=lambda m, n=variant.name: f"{row.name}, {n}: {m}")


@pytest.mark.every_dtype
def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case, and every inaccuracy is still beyond the budget of all in one of them."""
    assert not unmatched(DERIVATIVES, (d.id for d in cases(request.config)))


@pytest.mark.every_dtype
@pytest.mark.parametrize("entry", [e for e in DERIVATIVES if e.does == "inaccurate" and not e.sometimes], ids=lambda e: e.name)
def test_still_inaccurate(entry: Habit, request: pytest.FixtureRequest, subject: Any) -> None:
    """A known inaccuracy is still beyond the budget that holds for all, in one of its cases."""
    of = [d for d in cases(request.config) if entry.applies(d.id)]
    assert any(d.problems(d.run(subject)) for d in of), f"{entry.name} has had its day"
