"""What a transform of torch is known to do otherwise: refuse, warn, accept, be wrong or inaccurate. Data, and strict.

Held case by case: where an entry says that torch refuses and it does not, or is wrong and it is not, the run fails and
says that the entry has had its day. Entries that match no case are an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import numpy as np
import torch
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from reference.accuracy import Budget, K

from .known import elsewhere

RELEASE = Version(Version(torch.__version__).base_version)


@dataclass(frozen=True)
class Habit:
    """One departure of a transform.

    cases:   patterns of the ids of its question's cases; but: patterns of those that it is not about
    does:    `refuses` (a clear error: an observation), `warns` (likewise), `accepts` (what eager refuses),
             `wrong` (silently), or `inaccurate` (within the budget that `allows` gives)
    says:    a stable fragment of the error, of the warning, or of every problem where it is `wrong`
    why:     what happens inside, and what is true
    torch:   the releases that have it; link: the upstream issue
    sometimes: whether, of what is drawn, some makes no difference
    allows:  (what the case was derived from, quantity, budget) -> the budget that the case is still held to, if `wrong`
             that of what is computed instead
    """

    name: str
    cases: tuple[str, ...]
    does: str
    why: str
    says: str = ""
    torch: str = ">=2.6"
    link: str = ""
    allows: Callable[[Any, str, Budget], Budget] | None = None
    but: tuple[str, ...] = ()
    sometimes: bool = False

    @cached_property
    def is_current(self) -> bool:
        """Whether this release of torch has it."""
        return RELEASE in SpecifierSet(self.torch)

    def applies(self, case: str) -> bool:
        """Whether the entry is about the case, in this release."""
        here = any(fnmatchcase(case, pattern) for pattern in self.cases)
        return self.is_current and here and not any(fnmatchcase(case, pattern) for pattern in self.but)


def habit(entries: Iterable[Habit], case: str, *does: str) -> Habit | None:
    """The entry about a case that does one of these; there may be one."""
    found = [entry for entry in entries if entry.does in does and entry.applies(case)]
    assert len(found) <= 1, f"{case} is claimed by {[entry.name for entry in found]}"
    return found[0] if found else None


def unmatched(entries: Iterable[Habit], cases: Iterable[str]) -> list[str]:
    """The entries of this release that are about none of the cases, those apart that are about another device."""
    cases = list(cases)
    here = [entry for entry in entries if entry.is_current and not elsewhere(entry.cases, cases)]
    return [entry.name for entry in here if not any(entry.applies(case) for case in cases)]


def attempt(entries: Iterable[Habit], case: str, run: Callable[[], Any]) -> Any:
    """The result of `run`; None where torch refuses, as is known of it."""
    __tracebackhide__ = True
    entry = habit(entries, case, "refuses")
    try:
        result = run()
    except Exception as error:  # torch raises many types for what it has not got
        if entry is None:
            raise
        assert entry.says in f"{type(error).__name__}: {error}", f"{case}: {entry.name} has another reason now: {error}"
        return None
    assert entry is None, f"{case}: no longer refused, so {entry.name} has had its day"
    return result


def judge(entries: Iterable[Habit], case: str, problems: list[str]) -> None:
    """Raise on problems that are not known, and where a known one is no more."""
    __tracebackhide__ = True
    entry = habit(entries, case, "wrong")
    if entry is None:
        assert not problems, "\n".join(problems)
    else:
        assert problems or entry.sometimes, f"{case}: right, so {entry.name} has had its day"
        others = [problem for problem in problems if entry.says not in problem]
        assert not others, f"{case}: wrong otherwise than {entry.name} says: " + "\n".join(others)


def near_one(case: Any, quantity: str, budget: Budget) -> Budget:
    """An absolute error of a few roundoffs of 1 in the derivative."""
    slope = np.max(abs(case.truth.loss.factors(case.reduction)), initial=0) * np.max(abs(case.cotangent(case.truth.loss.reduce(case.reduction).shape)), initial=0)
    return replace(budget, allowed=budget.allowed + K * case.format.u * slope)
