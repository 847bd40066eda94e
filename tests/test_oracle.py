"""Is the oracle right? Each definition against its own 50 digits, a textbook's formula, and its differences.

At the points of `tests.exact`: every option, choice and finite regime of every row, in shapes small enough for
arithmetic of hundreds of digits.
"""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mpmath import mp

import reference
from reference.accuracy import Budget, compare, terms_of
from reference.arithmetic import FloatArray
from reference.catalog import CATALOG, Row
from reference.formats import FORMATS, is_wide
from reference.inputs import regimes
from reference.loss import flatten

from . import textbook
from .exact import BESIDES, DIGITS, NORMALIZED, STEP, Exact, extended, finite, points

pytestmark = pytest.mark.self_test

POINTS = points()
FLOAT64 = FORMATS["float64"]
PROBES = 2  # numbers of each argument in which slopes are taken


@pytest.fixture(scope="module", params=POINTS, ids=[p.id for p in POINTS])
def exact(request: pytest.FixtureRequest) -> Exact:
    """The mathematics at a point; the tests of a point run one after another, and share it."""
    return Exact(request.param, request.config.getoption("--seed"))


@pytest.fixture(autouse=True)
def _in_50_digits() -> Iterator[None]:
    """The precision is a global of mpmath."""
    with mp.workdps(DIGITS):
        yield


# -- (a) rounding -----------------------------------------------------------------------------------------------


def test_float64_against_50_digits(exact: Exact) -> None:
    """In float64 a definition is within the budget of its own 50-digit evaluation: value and every gradient."""
    with np.errstate(all="ignore"):
        found = exact.definition(**exact.drawn.arguments, **exact.drawn.options)
    underflow = FLOAT64.step * float(min(max(exact.sizes), FLOAT64.max))  # of an intermediate, and then multiplied
    _within_budget(exact, found, 1.0, underflow)


@pytest.mark.skipif(not is_wide(), reason="extended precision is float64 on this platform")
def test_extended_precision_against_50_digits(exact: Exact) -> None:
    """In extended precision, the truth for float64, it is within a 2**-9th of that budget: it has 11 more bits."""
    _within_budget(exact, exact.truth.loss, 2.0**-9)


def _within_budget(exact: Exact, found: reference.Loss, share: float, underflow: float = 0.0) -> None:
    for reduction in dict.fromkeys(("none", exact.reduction)):
        _agree("value", found.reduce(reduction), exact.loss.reduce(reduction), exact.truth.value(reduction), share, underflow)
    got = found.gradients(exact.cotangent, exact.reduction, exact.shapes)
    assert got.keys() == exact.gradients.keys() == exact.budgets.keys()
    for name, want in exact.gradients.items():
        budget = exact.budgets[name]  # which has the other side of a kink that is as near as float64's rounding, and not nearer
        either = np.where(exact.undecided(share), budget.allowed, share * budget.allowed)
        _agree(name, got[name], want, replace(budget, allowed=either), 1.0, underflow)


def _agree(of: str, got: FloatArray, want: FloatArray, budget: Budget, share: float, underflow: float) -> None:
    truth = replace(budget, want=extended(want), allowed=budget.allowed * share + underflow)
    problem = compare(np.asarray(got, dtype=np.longdouble), truth, FLOAT64).problem
    assert not problem, f"{of}: {problem}"


# -- (b) the textbook -------------------------------------------------------------------------------------------


def test_value_against_the_textbook(exact: Exact) -> None:
    """In 50 digits a definition agrees with the textbook's formula to 40, under every reduction."""
    terms = np.asarray(terms_of(exact.loss))
    for got, want, size in zip(exact.loss.value.flat, exact.values, terms.flat, strict=True):
        _equal(got, want, size, exact)
    for reduction in set(exact.row.reductions) - {"none"}:
        size = np.sum(abs(exact.loss.factors(reduction) * terms))
        _equal(exact.loss.reduce(reduction)[()], exact.reduced(reduction), size, exact)


def _equal(got: Any, want: Any, size: Any, exact: Exact) -> None:
    if mp.isfinite(got) and mp.isfinite(want):
        near = abs(got - want) <= 1e-40 * (size + abs(want)) + exact.nothing
        assert near, f"{mp.nstr(got, 30)} is not {mp.nstr(want, 30)}"
    else:
        assert got == want or (mp.isnan(got) and mp.isnan(want)), f"{got} is not {want}"


# -- (c) slopes -------------------------------------------------------------------------------------------------


def test_gradient_against_differences(exact: Exact) -> None:
    """Gradients are difference quotients of the textbook's formula; at a kink, between those of its two sides."""
    for name, gradient in exact.gradients.items():
        given = flatten(exact.arguments)[name]
        able = (at for at in exact.rng.permutation(list(np.ndindex(gradient.shape))) if exact.has_slope(name, tuple(at)))
        for at in map(tuple, itertools.islice(able, PROBES)):
            problem = disagreement(exact, name, at, gradient[at], exact.sizes_of_gradients[name][at])
            assert not problem, f"{name}{list(map(int, at))} = {mp.nstr(given[at], 20)}: {problem}"


def disagreement(exact: Exact, name: str, at: tuple[int, ...], got: Any, size: Any) -> str:
    """What is wrong with the gradient there; nothing, if it is between the slopes to the left and to the right."""
    near = exact.slopes(name, at, STEP * 3 // 2)
    low, high = min(near), max(near)
    said = f"it is {mp.nstr(got, 20)}, but the slope is {mp.nstr(low, 20)} to {mp.nstr(high, 20)}"
    if mp.isinf(low) and low == high:  # beside 0 log(0 / 0), which is 0 here, the loss is infinite
        return "" if got == low or mp.isnan(got) else said
    slack = mp.mpf("1e-25") * (size + max(abs(low), abs(high))) + exact.nothing
    if low - slack <= got <= high + slack:
        return ""
    far = exact.slopes(name, at, STEP)  # a larger step: a slope that grows as the step shrinks is that of a pole or a jump
    jumps = all(abs(n) > 1e20 * abs(f) for n, f in zip(near, far, strict=True))
    grows = all(abs(n) > 1.2 * abs(f) and mp.sign(n) == mp.sign(got) for n, f in zip(near, far, strict=True))
    return "" if (jumps and got == 0) or (grows and mp.isinf(got)) else said


# -- coverage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [*CATALOG, *BESIDES], ids=lambda row: row.name)
def test_points_leave_nothing_out(row: Row) -> None:
    """Every form, choice, option, finite regime, format and reduction of a row is at some point of it."""
    here = [p for p in POINTS if p.row is row]
    assert {p.variant.form.name for p in here} == {form.name for form in row.forms}
    for argument in row.arguments:
        assert {p.variant.choices[argument.name].label for p in here} == {c.label for c in argument.choices}
    for name, values in row.options.items():
        assert {repr(p.variant.options[name]) for p in here} == set(map(repr, values))
    regimes_here = {r for v in row.few() for r in regimes(row, v) if finite(r)}
    assert {p.regime for p in here} == regimes_here - ({"unnormalized"} if row.function in NORMALIZED else set())
    assert {p.reduction for p in here} == set(row.reductions)
    assert {p.format.name for p in here} >= ({"float64", "float32"} if row.function in NORMALIZED else set(FORMATS))


def test_every_gradient_has_slopes() -> None:
    """In every argument that a definition differentiates, slopes are taken at some point."""
    taken: dict[str, set[str]] = {}
    offered: dict[str, set[str]] = {}
    for point in POINTS:
        exact = Exact(point, 0) if point.regime == "typical" else None
        if exact is not None:
            offered.setdefault(point.row.name, set()).update(exact.loss.partials if not exact.loss.chains else exact.gradients)
            taken.setdefault(point.row.name, set()).update(
                n for n, g in exact.gradients.items() if any(exact.has_slope(n, at) for at in np.ndindex(g.shape))
            )
    assert taken == offered


def test_every_definition_is_at_some_point() -> None:
    """Every public loss of the specification has points; only what is no loss has none."""
    public = {name for name in reference.__all__ if hasattr(getattr(reference, name), "definition")}
    assert {p.row.function for p in POINTS} == public
    assert set(reference.__all__) - public == {"Loss", "Result", "pairwise_distance"}


def test_the_textbook_is_independent() -> None:
    """The textbook imports mpmath and the standard library, nothing that it is to check."""
    tree = ast.parse(inspect.getsource(textbook))
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert modules == {"__future__", "itertools", "collections.abc", "typing", "mpmath"}
