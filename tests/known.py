"""Known departures in questions other than value and gradient: data, strict, and judged by one function."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

import torch
from packaging.specifiers import SpecifierSet
from packaging.version import Version


@cache
def _is_here(specifier: str) -> bool:
    return Version(Version(torch.__version__).base_version) in SpecifierSet(specifier)


@dataclass(frozen=True)
class Known:
    """One departure.

    cases: patterns of what is asked: ids of cases, and what follows them in a problem's heading
    gives: what the observation says today; a fragment of it
    right: what it should be, and who says so
    why:   the line that does it
    torch: the releases that have it; link: the upstream issue
    steady: whether it shows every time; memory that was not written may hold the right number
    reproducer: a few lines of torch that leave `got`; today: what it is
    """

    name: str
    cases: tuple[str, ...]
    gives: str
    right: str
    why: str
    torch: str = ">=2.6"
    link: str = ""
    steady: bool = True
    reproducer: str = ""
    today: object = None

    def here(self) -> bool:
        """Whether the torch that runs has it."""
        return _is_here(self.torch)

    def covers(self, asked: str) -> bool:
        """Whether it is about this, in the torch that runs."""
        return self.here() and any(fnmatchcase(asked, pattern) for pattern in self.cases)


_DEVICE = re.compile(r"-(cpu|cuda|mps|xpu)(?=[- ]|$)")


def elsewhere(patterns: Iterable[str], asked: Sequence[str]) -> bool:
    """Whether every pattern names a device and nothing was asked on any of these, or names a loss that was not asked about."""
    named = [set(_DEVICE.findall(pattern)) for pattern in patterns]
    there = {device for each in asked for device in _DEVICE.findall(each)}
    losses = {each.partition("-")[0] for each in asked}
    absent = not any(fnmatchcase(loss, pattern.partition("-")[0]) for loss in losses for pattern in patterns)
    return absent or (all(named) and not set().union(*named) & there)


def slug(pattern: str) -> str:
    """A pattern as the id of a test."""
    return re.sub(r"[^\w.-]+", "_", pattern.replace("*", "any"))


def changed(entry: Known) -> str:
    """What the reproducer gives other than it did, if anything."""
    scope: dict[str, object] = {"torch": torch, "F": torch.nn.functional}
    try:
        exec(entry.reproducer, scope)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        scope["got"] = f"{type(error).__name__}: {error}"
    return (
        "" if scope["got"] == entry.today else f"{entry.name}: was {entry.today!r}, is {scope['got']!r}; {entry.right}"
    )


def unexpected(asked: str, problem: str, known: Iterable[Known]) -> str:
    """What to report: a problem that no entry knows, or an entry whose problem has gone or changed."""
    for entry in known:
        if entry.covers(asked):
            if entry.gives in problem or not (problem or entry.steady):
                return ""
            was = problem or "nothing is wrong any more"
            return f"{asked}: known to give {entry.gives!r} ({entry.name}: {entry.why}), but {was}"
    return f"{asked}: {problem}" if problem else ""
