"""Where torch departs from the specification: known, minimised, bounded, and checked to be still there.

An entry says which cases it excuses, what torch gives and what is true, why, and the budget that the cases are
still held to. Its reproducer is run as a test: when torch gets better the run says so. Entries that match no
case are an error, and so are entries that a whole run did not need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from reference.accuracy import Budget, Truth
from reference.arithmetic import FloatArray
from reference.loss import Loss

from .cases import Case


@dataclass(frozen=True)
class Divergence:
    """One known departure.

    cases:      patterns of case ids; `of` the quantities: "value", or the names of arguments (their gradients)
    gives:      what torch's result at the reproducer is; true: what it should be
    why:        the line of the algorithm that loses it
    reproducer: three lines that leave `got`
    torch:      the releases that have it; link: the upstream issue, if there is one
    definition: what torch computes instead, written as a definition is: given the true one and the arguments, it
                returns a `Loss`, with the terms that torch adds and takes away again among its sizes
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
    definition: Callable[..., Loss] | None = None
    anything: Callable[[Truth, str], Any] | None = None

    def widen(self, case: Case, quantity: str, budget: Budget, cotangent: FloatArray | None) -> Budget:
        """The budget that a case of this entry is still held to."""
        truth = case.truth
        if self.definition is not None:
            other = replace(truth, definition=partial(self.definition, truth.definition))
            budget = other.value(case.reduction) if quantity == "value" else other.gradients(case.reduction, cotangent)[quantity]
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
