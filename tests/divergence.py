"""A known departure of torch from the specification: which cases it is about, and what they are still held to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from reference.accuracy import Budget, K, Truth
from reference.arithmetic import FloatArray, log_softmax
from reference.categorical import affine

from .cases import Case
from .departures import Departure

EVERY = ("value", "*")
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Divergence:
    """One known departure.

    cases:      patterns of case ids
    of:         patterns of quantities: "value", or the name of an argument, for its gradient
    why:        the line of the algorithm that loses it
    reproducer: three lines that leave `got`; gives: what torch's `got` is; true: what it should be
    torch:      the releases that have it; link: the upstream issue, if there is one
    device:     where the reproducer runs
    departure:  what torch computes in place of the truth; the cases are held to that as strictly
    absolute:   (case, quantity) -> an error that is allowed on top: what a subnormal step is multiplied by later
    shape:      what torch gives in place of a number: an array of this shape, of which no claim is made
    noise:      (case, quantity) -> where torch's result is noise, and no claim is made
    lost:       (case, quantity) -> where torch's result may be NaN or infinite; what is finite is right
    """

    name: str
    cases: tuple[str, ...]
    of: tuple[str, ...]
    why: str
    reproducer: str
    gives: float
    true: float
    torch: str = ">=2.6"
    link: str = ""
    device: str = "cpu"
    departure: Departure | None = None
    shape: tuple[int, ...] | None = None
    absolute: Callable[[Case, str], Any] | None = None
    noise: Callable[[Case, str], Any] | None = None
    lost: Callable[[Case, str], Any] | None = None

    def matches(self, case: Case, quantity: str) -> bool:
        """Whether the entry is about this quantity of this case."""
        of, cases = self._patterns
        return bool(of.match(quantity) and cases.match(case.id))

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        of, cases = (re.compile("|".join(map(translate, patterns))) for patterns in (self.of, self.cases))
        return of, cases


@lru_cache
def in_release(specifier: str, version: str) -> bool:
    """Whether a release of torch (2.13.0+cpu) is among those specified (>=2.6,<2.14)."""
    return Version(Version(version).base_version) in SpecifierSet(specifier)


# -- what a case is held to -------------------------------------------------------------------------------------


def widen(
    entries: list[Divergence], case: Case, quantity: str, budgets: Iterable[Budget], cotangent: FloatArray | None
) -> Iterator[Budget]:
    """What a case of these entries is still held to: without a departure its own `budgets`, excused; mostly the narrow ones will do."""
    truth = departed(case.truth, tuple(entry.departure for entry in entries if entry.departure is not None))
    if truth is not case.truth:
        budgets = [truth.value(case.reduction)] if cotangent is None else (b[quantity] for b in truth.growing(case.reduction, cotangent))
    return (_excused(entries, case, quantity, budget) for budget in budgets)


def _excused(entries: list[Divergence], case: Case, quantity: str, budget: Budget) -> Budget:
    """The budget of what the departures make of the truth, with what besides them is allowed."""
    for entry in entries:
        if entry.absolute is not None:
            extra = np.asarray(entry.absolute(case, quantity))
            if extra.shape not in ((), budget.want.shape):  # of the elements, for what they are reduced to
                extra = extra.max(initial=0) * (extra.size if case.reduction == "sum" else 1)
            budget = replace(budget, allowed=budget.allowed + extra)
        if entry.shape is not None:
            none = np.zeros(entry.shape)
            return Budget(none, none + np.inf, lambda: True)
        if entry.lost is not None:
            lost = np.asarray(entry.lost(case, quantity))
            lost = lost if lost.shape in ((), budget.want.shape) else lost.any()  # of the elements, for what they are reduced to
            budget = replace(budget, overflow=partial(np.logical_or, budget.may_overflow, lost))
        if entry.noise is not None:
            free = np.broadcast_to(entry.noise(case, quantity), budget.want.shape)
            want = np.where(free & ~np.isfinite(budget.want), 0, budget.want)
            budget = Budget(want, np.where(free, np.inf, budget.allowed), partial(np.logical_or, budget.may_overflow, free))
    return budget


@lru_cache(maxsize=32)  # by identity: a case asks of its value and of every gradient
def departed(truth: Truth, departures: tuple[Departure, ...]) -> Truth:
    """The truth as torch computes it: each departure departs from the one before."""
    for departure in departures:
        truth = replace(truth, definition=partial(departure, truth))
    return truth


# -- what several entries say ------------------------------------------------------------------------------------


def anywhere(case: Case, quantity: str) -> bool:
    """Every element."""
    return True


def subnormal(times: Callable[..., Any]) -> Callable[[Case, str], Any]:
    """K subnormal steps, multiplied by a function of the arguments."""

    def absolute(case: Case, quantity: str) -> Any:
        with np.errstate(all="ignore"):
            factor = times(**case.truth.arguments)
        return K * case.format.step * np.where(np.isfinite(factor), factor, 0)

    return absolute


def summed_over_classes(lost: Callable[[Case, FloatArray, int], Any]) -> Callable[[Case, str], Any]:
    """What a row's gradients are off by, where so much is `lost` of the sum, `passed` in all, of those of its log-probabilities."""

    def absolute(case: Case, quantity: str) -> Any:
        loss, given = case.truth.loss, case.truth.arguments
        passed = np.max(given.get("weight", np.ones(1))) * abs(case.cotangent(loss.reduce(case.reduction).shape) * loss.factors(case.reduction))
        logits = given["input"] if not loss.chains else affine(given["input"], given["linear_weight"], given.get("linear_bias"))
        row = np.asarray(lost(case, passed, logits.shape[1]))
        p = np.exp(np.moveaxis(log_softmax(np.moveaxis(logits, 1, -1)), -1, 1))
        found = p * (np.expand_dims(row, 1) if row.ndim else row)  # the same in every row
        return loss.chains[0].pull(found, np.abs)[quantity] if loss.chains else found

    return absolute
