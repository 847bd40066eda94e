"""Is every bad call refused, by function and module, as it always was? And what is not refused, still not?

A call that may end its process is made in a child, its tensors against memory that may not be touched: how the
child ends, the signal included, is what is observed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

import pytest

from .bad_calls import BadCall, bad_calls
from .calls import devices
from .errors import RULES, Rule, rule_for
from .isolated import isolated
from .outcomes import Attempt, Outcome, attempts, observe
from .rows_of_errors import ROWS, Row, run

Endings = Callable[[BadCall], list[tuple[Attempt, Outcome]]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The bad calls of the losses that the subject offers."""
    here = "cpu" in devices(metafunc.config)
    if "bad" in metafunc.fixturenames:
        subject = importlib.import_module(metafunc.config.getoption("--subject"))
        calls = [bad for bad in bad_calls().values() if here and hasattr(subject, bad.good.function)]
        metafunc.parametrize("bad", calls, ids=[bad.id for bad in calls])
    if "row" in metafunc.fixturenames:
        rows = [row for row in ROWS if here and row.applies()]
        metafunc.parametrize("row", rows, ids=[row.id for row in rows])


@pytest.fixture(scope="module")
def endings(subject: object) -> Endings:
    """How the attempts of a bad call end; those that may be fatal share a child process, loss by loss."""

    @cache
    def fatal(loss: str) -> dict[str, list[tuple[Attempt, Outcome]]]:
        tried = [a for bad in bad_calls().values() if bad.fatal and bad.good.loss == loss for a in attempts(bad)]
        found: dict[str, list[tuple[Attempt, Outcome]]] = {}
        for index, end in isolated(range(len(tried)), lambda i: observe(tried[i], subject, fence=True)):
            outcome = end if isinstance(end, Outcome) else Outcome(end, "", "child")
            found.setdefault(tried[index].bad.id, []).append((tried[index], outcome))
        return found

    def of(bad: BadCall) -> list[tuple[Attempt, Outcome]]:
        if bad.fatal:
            return fatal(bad.good.loss)[bad.id]
        return [(attempt, observe(attempt, subject)) for attempt in attempts(bad)]

    return of


@pytest.fixture(scope="module")
def deciding(subject: object) -> set[Rule | None]:
    """The rules that decide some call."""
    calls = [bad for bad in bad_calls().values() if hasattr(subject, bad.good.function)]
    return {rule_for(attempt) for bad in calls for attempt in attempts(bad)}


def test_bad_call_ends_as_its_rule_says(bad: BadCall, endings: Endings) -> None:
    """Function and module, under every reduction, end a bad call as the first matching rule says."""
    problems = []
    for attempt, outcome in endings(bad):
        rule = rule_for(attempt)
        problem = f"has no rule in tests/errors.py, and ended in {outcome}" if rule is None else rule.problem(outcome)
        if problem:
            problems.append(f"{attempt}\n  {problem}{f'; rule: {rule}' if rule else ''}")
    assert not problems, f"{bad.id}: {bad.refused}\n" + "\n".join(problems)


@pytest.mark.parametrize("rule", RULES, ids=[f"{i:03}-{rule.name}" for i, rule in enumerate(RULES)])
def test_rule_is_needed(rule: Rule, deciding: set[Rule | None], subject: object) -> None:
    """Every rule for this release decides a call, of a loss that the subject has."""
    losses = {bad.good.loss for bad in bad_calls().values() if hasattr(subject, bad.good.function)}
    assert rule in deciding or not any(map(rule.about, losses)), f"no call is decided by it: {rule}"


def test_row_ends_as_it_says(row: Row) -> None:
    """A call that no table derives ends as its row says."""
    ((_, end),) = isolated([row], run)
    outcome = end if isinstance(end, Outcome) else Outcome(end, "", "child")
    assert not row.problem(outcome), f"{row.code}\n  {row.problem(outcome)}"
