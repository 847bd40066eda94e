"""Do arguments of several dtypes meet in forward mode as they do in reverse, and when compiled as they do in eager?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from torch.autograd import forward_ad

from reference.inputs import seed_of

from .calls import SLACK
from .decomposed import Decomposed, decomposed
from .dtype_habits import COMPILED, FORWARD
from .habits import Habit, attempt, judge, unmatched
from .mixed import Mixed, mixed_cases
from .subject import array, prepared, tensor


@cache
def _taken(config: pytest.Config) -> list[Mixed]:
    return [mixed for mixed in mixed_cases(config) if mixed.may and not mixed.is_fatal]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for all the dtypes that an argument may have."""
    if "every" in metafunc.fixturenames:
        groups: dict[str, list[Mixed]] = {}
        for mixed in _taken(metafunc.config):
            groups.setdefault(f"{mixed.row}-{mixed.variant}-{mixed.device}-{mixed.argument}", []).append(mixed)
        metafunc.parametrize("every", groups.values(), ids=groups)


def _held(entries: tuple[Habit, ...], every: list[Mixed], ask: Callable[[Mixed, Any], list[str]], subject: Any) -> None:
    for mixed in every:
        found = attempt(entries, mixed.id, partial(ask, mixed, subject))
        if found is not None:
            judge(entries, mixed.id, found)


def test_forward_mode(every: list[Mixed], subject: Any) -> None:
    """The tangent is the Jacobian of the definition times the direction, whichever dtypes the numbers have."""
    _held(FORWARD, every, _unlike_truth, subject)


def _unlike_truth(mixed: Mixed, subject: Any) -> list[str]:
    call, given, reduction = mixed.call, mixed.given(), "none"
    rng = np.random.default_rng(seed_of(mixed.id, mixed.seed))
    names = [name for name in call.differentiable if given[name].is_floating_point()]
    directions = {name: call.format.round(rng.standard_normal(given[name].shape)) for name in names}
    loss = prepared(subject, call.row, call.variant, given)
    with forward_ad.dual_level():
        dual = {n: forward_ad.make_dual(given[n], tensor(directions[n], call.format, mixed.device).to(given[n].dtype)) for n in names}
        value, tangent = forward_ad.unpack_dual(loss(**{**given, **dual}, reduction=reduction))
    said = [] if tangent.dtype == value.dtype else [f"{mixed.id}: the tangent has dtype {tangent.dtype}, the value {value.dtype}"]
    cotangent = call.cotangent(reduction).astype(call.truth.loss.value.dtype)
    got, want, allowed = (array(tangent) * cotangent).sum(), np.nan, np.nan
    for budgets in call.truth.growing(reduction, cotangent):  # the first lack the condition, and mostly are enough
        terms = [budgets[name].want * directions[name] for name in names]
        want = sum(each.sum() for each in terms)
        allowed = sum((budgets[n].allowed * abs(directions[n])).sum() + call.format.u * abs(t).sum() for n, t in zip(names, terms, strict=True))
        if abs(got - want) <= SLACK * allowed:
            return said
    return [*said, f"{mixed.id}: along the direction {got!r}, not {want!r}; allowed {SLACK * allowed:.3g}"]


def test_decomposed(every: list[Mixed], subject: Any) -> None:
    """As the compiler's rules have it, the value has the dtype and the shape that it has in eager."""
    _held(COMPILED, every, _unlike_eager, subject)


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
