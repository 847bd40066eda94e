"""Is what is bad refused all the same: where nobody asks for a gradient, of no rows, at the other end of an argument?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from .bad_calls import BadCall, bad_calls
from .errors import Rule, rule_for
from .isolated import isolation
from .more_bad_calls import EMPTY_RULES, ONLY_ASKED, Job, Moved, more_bad_calls, observe_job, unnamed
from .options import devices, subject_of
from .outcomes import MODULE, Attempt, Outcome, attempts

VALUES = ("number", "nan", "inf", "complex", "meta")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The losses that the subject offers."""
    more_bad_calls()
    isolation(__name__)
    subject = subject_of(metafunc.config)
    if "loss" in metafunc.fixturenames:
        here = "cpu" in devices(metafunc.config)
        losses = {bad.good.loss: None for bad in bad_calls().values() if here and hasattr(subject, bad.good.function)}
        metafunc.parametrize("loss", losses)


def rule_of(attempt: Attempt) -> Rule | None:
    """The rule of a call, of no rows where that has one."""
    loss, empty = attempt.bad.good.loss, attempt.bad.good.form == "empty"
    own = next((rule for rule in EMPTY_RULES if empty and rule.about(loss) and rule.matches(attempt)), None)
    return own or rule_for(attempt)


def is_by_chance(attempt: Attempt, rule: Rule | None) -> bool:
    """Whether it ends the process, or may: what an index that nobody checks finds, is by chance."""
    return rule is not None and ("SIG" in rule.ends or (rule.wrong and attempt.bad.fatal))


def unlike(attempt: Attempt, rule: Rule | None, outcome: Outcome, asks: str) -> str:
    """What differs from the rule of a call, if anything; which number comes of no rows is asked elsewhere."""
    if rule is None:
        return f"has no rule, and ended in {outcome}"
    value = outcome.what in VALUES
    if asks != "asks" and value and (rule.stage == "backward" or ONLY_ASKED in rule.says):
        return ""
    if attempt.bad.good.form == "empty" and value and rule.ends.split("|")[0] in VALUES:
        return ""
    return rule.problem(outcome)


def problems(asked: Iterable[tuple[str, Attempt, str]], subject: str) -> Iterator[str]:
    """What is wrong with how attempts end (id of the call, attempt, whether it asks), a sentence each."""
    survived = [(id, a, asks, rule) for id, a, asks in asked if not is_by_chance(a, rule := rule_of(a))]
    jobs = [Job(id, a.spelling, a.reduction, subject, asks) for id, a, asks, _ in survived]
    fatal = [job for job, (_, attempt, *_) in zip(jobs, survived, strict=True) if attempt.bad.fatal]
    ends = dict(zip(fatal, isolation(__name__)(fatal, observe_job), strict=True)) if fatal else {}
    for job, (id, attempt, asks, rule) in zip(jobs, survived, strict=True):
        end = ends[job] if job in ends else observe_job(job)
        outcome, changed = (Outcome(end, "", "child"), "") if isinstance(end, str) else end
        said = [unlike(attempt, rule, outcome, asks)]
        said += [f"leaves changed: {changed}"] if changed else []
        said += [f"does not say {sizes!r}: {outcome}" for sizes in [unnamed(attempt.bad, outcome.text)] if sizes]
        yield from (f"{id}, {asks}: {attempt}\n  {each}" for each in said if each)


def turns(bad: BadCall, turn: int) -> Iterator[Attempt]:
    """Every spelling, under one reduction, turn about."""
    yield from (a for a in attempts(bad) if a.reduction == bad.reductions[turn % len(bad.reductions)])


def test_refused_without_a_gradient(loss: str, subject: object) -> None:
    """A bad call ends as where a gradient is asked for, says the sizes, and leaves torch as it was.

    The function is called under `no_grad` and the module where nothing asks; the other way round every other time.
    """
    ways = ("no_grad", "not")
    asked = [
        (id, attempt, ways[(turn + (attempt.spelling == MODULE)) % 2])
        for turn, (id, bad) in enumerate((id, bad) for id, bad in bad_calls().items() if bad.good.loss == loss)
        for attempt in turns(bad, turn // 2)
    ]
    assert not (said := list(problems(asked, subject.__name__))), "\n".join(said)


@pytest.mark.parametrize("of", ["moved", "empty"])
def test_refused_elsewhere(loss: str, of: str, subject: object) -> None:
    """A bad number at the other end is refused as at the one; and what is bad of no rows, as of some."""
    bads = {id: bad for id, bad in more_bad_calls().items() if bad.good.loss == loss and id.startswith(of)}
    asked = [(id, attempt, "asks") for id, bad in bads.items() for attempt in attempts(bad)]
    assert not (said := list(problems(asked, subject.__name__))), "\n".join(said)


def test_every_entry_is_about_a_call(subject: object) -> None:
    """Of the rules of no rows, each decides a call."""
    calls = [bad for bad in more_bad_calls().values() if hasattr(subject, bad.good.function) and not isinstance(bad, Moved)]
    deciding = {rule_of(attempt) for bad in calls for attempt in attempts(bad)}
    losses = {bad.good.loss for bad in calls}
    assert not [str(rule) for rule in EMPTY_RULES if rule not in deciding and any(map(rule.about, losses))]
