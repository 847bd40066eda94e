"""Is every bad call refused, by function and module, as it always was? And what is not refused, still not?

A call that may end its process is made in a child, its tensors against memory that may not be touched: how the
child ends, the signal included, is what is observed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from reference.catalog import CATALOG

from .bad_calls import ELSEWHERE, OPTIONS, BadCall, bad_calls
from .errors import RULES, rule_for
from .isolated import isolation
from .options import devices, subject_of
from .outcomes import Attempt, Outcome, attempts, observe, observe_fenced
from .rows_of_errors import ROWS, Row, run_by_id

Endings = Callable[[BadCall], list[tuple[Attempt, Outcome]]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The bad calls of the losses that the subject offers, those that differ in form alone together."""
    here = "cpu" in devices(metafunc.config)
    calls = bad_calls()
    isolation(__name__)
    if "forms" in metafunc.fixturenames:
        subject = subject_of(metafunc.config)
        groups: dict[str, list[BadCall]] = {}
        for bad in calls.values():
            if here and hasattr(subject, bad.good.function):
                groups.setdefault(f"{bad.good.loss}-{bad.argument}-{bad.fault}", []).append(bad)
        metafunc.parametrize("forms", groups.values(), ids=groups)
    if "row" in metafunc.fixturenames:
        rows = [row for row in ROWS if here and row.applies()]
        metafunc.parametrize("row", rows, ids=[row.id for row in rows])


@pytest.fixture(scope="module")
def endings(subject: Any) -> Endings:
    """How the attempts of a bad call end; those that may be fatal are made elsewhere, loss by loss."""

    @cache
    def fatal(loss: str) -> dict[str, list[tuple[Attempt, Outcome]]]:
        tried = [a for bad in bad_calls().values() if bad.fatal and bad.good.loss == loss for a in attempts(bad)]
        ends = isolation(__name__)([(a.bad.id, a.spelling, a.reduction, subject.__name__) for a in tried], observe_fenced)
        found: dict[str, list[tuple[Attempt, Outcome]]] = {}
        for attempt, end in zip(tried, ends, strict=True):
            found.setdefault(attempt.bad.id, []).append((attempt, _outcome(end)))
        return found

    def of(bad: BadCall) -> list[tuple[Attempt, Outcome]]:
        if bad.fatal:
            return fatal(bad.good.loss)[bad.id]
        return [(attempt, observe(attempt, subject)) for attempt in attempts(bad)]

    return of


def _outcome(end: Outcome | str) -> Outcome:
    return end if isinstance(end, Outcome) else Outcome(end, "", "child")


def test_bad_call_ends_as_its_rule_says(forms: list[BadCall], endings: Endings) -> None:
    """Function and module, in every form and under every reduction, end a bad call as the first matching rule says."""
    problems = []
    for bad in forms:
        for attempt, outcome in endings(bad):
            rule = rule_for(attempt)
            problem = rule.problem(outcome) if rule else f"has no rule in tests/errors.py, and ended in {outcome}"
            if problem:
                problems.append(f"{bad.id} ({bad.refused}) {attempt}\n  {problem}{f'; rule: {rule}' if rule else ''}")
    assert not problems, "\n".join(problems)


def test_every_option_is_made_bad() -> None:
    """Each option of each loss of the catalog has faults, or its rows in tests/rows_of_errors.py."""
    options = {name: row for row in CATALOG if row.name not in ELSEWHERE and not row.namespace for name in row.options}
    assert not [f"{name} of {row.name}" for name, row in options.items() if not OPTIONS.get(name)]


def test_every_rule_is_needed(subject: object) -> None:
    """Every rule for this release decides a call, of a loss that the subject has."""
    calls = [bad for bad in bad_calls().values() if hasattr(subject, bad.good.function)]
    deciding = {rule_for(attempt) for bad in calls for attempt in attempts(bad)}
    losses = {bad.good.loss for bad in calls}
    idle = [str(rule) for rule in RULES if rule not in deciding and any(map(rule.about, losses))]
    assert not idle, "no call is decided by\n" + "\n".join(idle)


@pytest.fixture(scope="module")
def row_endings() -> dict[str, Outcome]:
    """How the rows end, one child process for as many as survive."""
    names = [row.id for row in ROWS if row.applies()]
    return dict(zip(names, map(_outcome, isolation(__name__)(names, run_by_id)), strict=True))


def test_row_ends_as_it_says(row: Row, row_endings: dict[str, Outcome]) -> None:
    """A call that no table derives ends as its row says."""
    problem = row.problem(row_endings[row.id])
    assert not problem, f"{row.code}\n  {problem}"
