"""Do arguments of several dtypes meet in forward mode as they do in reverse, and when compiled as they do in eager?"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from torch.autograd import forward_ad

from reference.inputs import seed_of

from .calls import SLACK
from .decomposed import Decomposed, decomposed
from .dtype_habits import COMPILED, FORWARD
from .habits import attempt, judge, unmatched
from .mixed import Mixed, mixed_cases
from .subject import array, prepared, tensor


@cache
def _taken(config: pytest.Config) -> list[Mixed]:
    return [mixed for mixed in mixed_cases(config) if mixed.may and not mixed.is_fatal]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per case that is taken."""
    if "mixed" in metafunc.fixturenames:
        metafunc.parametrize("mixed", _taken(metafunc.config), ids=lambda case: case.id)


def test_forward_mode(mixed: Mixed, subject: Any) -> None:
    """The tangent is the Jacobian of the definition times the direction, whichever dtypes the numbers have."""
    found = attempt(FORWARD, mixed.id, lambda: _tangent(mixed, subject))
    if found is not None:
        judge(FORWARD, mixed.id, found)


def _tangent(mixed: Mixed, subject: Any) -> list[str]:
    call, given, reduction = mixed.call, mixed.given(), "none"
    rng = np.random.default_rng(seed_of(mixed.id, mixed.seed))
    names = [name for name in call.differentiable if given[name].is_floating_point()]
    directions = {name: call.format.round(rng.standard_normal(given[name].shape)) for name in names}
    loss = prepared(subject, call.row, call.variant, given)
    with forward_ad.dual_level():
        dual = {n: forward_ad.make_dual(given[n], tensor(directions[n], call.format, mixed.device).to(given[n].dtype)) for n in names}
        value, tangent = forward_ad.unpack_dual(loss(**{**given, **dual}, reduction=reduction))
    cotangent = call.cotangent(reduction).astype(call.truth.loss.value.dtype)
    budgets = call.truth.gradients(reduction, cotangent)
    want = sum((budgets[n].want * directions[n]).sum() for n in names)
    terms = sum(abs(budgets[n].want * directions[n]).sum() for n in names)
    allowed = SLACK * (sum((budgets[n].allowed * abs(directions[n])).sum() for n in names) + call.format.u * terms)
    got = (array(tangent) * cotangent).sum()
    said = [] if tangent.dtype == value.dtype else [f"{mixed.id}: the tangent has dtype {tangent.dtype}, the value {value.dtype}"]
    return said + ([] if abs(got - want) <= allowed else [f"{mixed.id}: along the direction {got!r}, not {want!r}; allowed {allowed:.3g}"])


def test_decomposed(mixed: Mixed, subject: Any) -> None:
    """As the compiler's rules have it, value and gradients have the dtypes that they have in eager."""
    found = attempt(COMPILED, mixed.id, lambda: _unlike_eager(mixed, subject))
    if found is not None:
        judge(COMPILED, mixed.id, found)


def _unlike_eager(mixed: Mixed, subject: Any) -> list[str]:
    call, given = mixed.call, mixed.given()
    loss = prepared(subject, call.row, call.variant, given)
    said = []
    for reduction in ("none", "mean"):
        eager = loss(**given, reduction=reduction)
        with Decomposed():
            compiled = decomposed(lambda each, r=reduction: loss(**each, reduction=r))(given)
        if (compiled.dtype, compiled.shape) != (eager.dtype, eager.shape):
            said.append(f"{mixed.id}, {reduction}: {compiled.dtype}, {tuple(compiled.shape)}; in eager {eager.dtype}, {tuple(eager.shape)}")
    return said


def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every entry is about a case."""
    asked = [mixed.id for mixed in _taken(request.config)]
    assert not unmatched(FORWARD, asked)
    assert not unmatched(COMPILED, asked)
