"""Paths that err more than the budget allows, and are timed all the same: by how much, and why.

An entry covers the gradients or the value of one path of one loss. It is no excuse for more: a path that errs more
than its entry says is wrong, and is not timed. Entries that a full run did not need are named in its report.
`never` marks those that cannot be right at such inputs: they are shown as wrong, and are no failure of the run.
"""

from __future__ import annotations

import fnmatch
import math
from dataclasses import dataclass

never = math.inf


@dataclass(frozen=True, slots=True)
class Departure:
    """`rows` is a pattern of row ids; `budgets` is how many times the budget they may err."""

    rows: str
    budgets: float
    why: str


DEPARTURES: tuple[Departure, ...] = ()


def departure(row: str) -> Departure | None:
    """The entry of a row, if it has one."""
    return next((d for d in DEPARTURES if fnmatch.fnmatchcase(row, d.rows)), None)
