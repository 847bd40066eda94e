"""Where torch departs from the specification: known, minimised, bounded, and checked to be still there.

An entry says which cases it excuses, what torch gives and what is true, why, and the budget that the cases are
still held to. Its reproducer is run as a test: when torch gets better the run says so. Entries that match no
case are an error, and so are entries that a whole run did not need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from reference.accuracy import K, Budget, Truth
from reference.arithmetic import FloatArray

from .cases import Case


@dataclass(frozen=True)
class Divergence:
    """One known departure.

    cases:      patterns of case ids; `of` the quantities: "value", or the names of arguments (their gradients)
    gives:      what torch's result at the reproducer is; true: what it should be
    why:        the line of the algorithm that loses it
    reproducer: three lines that leave `got`
    torch:      the releases that have it; link: the upstream issue, if there is one
    loss:       (truth, quantity) -> the absolute size, in the result's units, of what the algorithm adds and
                takes away again; the budget grows by as many roundings of it
    instead:    (truth, quantity, want) -> what torch computes in place of the truth
    anything:   (truth, quantity) -> where no claim is made, because what torch gives there is noise
    """

    name: str
    cases: tuple[str, ...]
    of: tuple[str, ...]
    gives: float
    true: float
    why: str
    reproducer: str
    torch: str = ">=2.6"
    link: str = ""
    loss: Callable[[Truth, str], Any] | None = None
    instead: Callable[[Truth, str, FloatArray], FloatArray] | None = None
    anything: Callable[[Truth, str], Any] | None = None

    def widen(self, case: Case, quantity: str, budget: Budget) -> Budget:
        """The budget that a case of this entry is still held to."""
        truth = case.truth
        if self.instead is not None:
            budget = replace(budget, want=self.instead(truth, quantity, budget.want))
        if self.loss is not None:
            extra = np.asarray(self.loss(truth, quantity))
            budget = replace(budget, allowed=budget.allowed + K * truth.roundoff * extra)
        if self.anything is not None:
            free = np.broadcast_to(self.anything(truth, quantity), budget.want.shape)
            budget = replace(budget, allowed=np.where(free, np.inf, budget.allowed), may_overflow=budget.may_overflow | free)
        return budget


DIVERGENCES: tuple[Divergence, ...] = ()


def applicable(case: Case, quantity: str, version: str) -> list[Divergence]:
    """The entries for a quantity of a case, in this release of torch."""
    return [
        entry
        for entry in DIVERGENCES
        if quantity in entry.of and any(fnmatchcase(case.id, p) for p in entry.cases) and in_release(entry, version)
    ]


def in_release(entry: Divergence, version: str) -> bool:
    """Whether this release of torch has the divergence."""
    return Version(Version(version).base_version) in SpecifierSet(entry.torch)
