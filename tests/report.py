"""A defect of torch's losses that was reported upstream: how it shows, and what the systematic questions say of it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
import torch.nn.functional as F

from .divergence import in_release


@dataclass(frozen=True)
class Report:
    """One report.

    number: of the thread, an issue or a pull request of pytorch/pytorch
    what:   the loss, or the operator of one, and what is wrong
    entry:  the file and the name of the entry that knows it, or a pattern of it; empty if no question is asked that would find it
    code:   a few lines of torch that leave `shows`, or are ended by the defect
    torch:  the releases that have it
    alone:  whether the code is run in a process of its own: it may end it, or leaves it changed
    """

    number: int
    what: str
    entry: str
    code: str
    torch: str = ">=2.6"
    alone: bool = False

    def here(self) -> bool:
        """Whether the torch that runs has it."""
        return in_release(self.torch, torch.__version__)

    def is_known(self) -> bool:
        """Whether there is the entry, about the torch that runs."""
        file, _, name = self.entry.partition(":")
        return bool(self.entry) and any(in_release(each.torch, torch.__version__) for each in _named(file, name))


def _named(file: str, pattern: str) -> Iterator[Any]:
    """What has such a name in the tables of a file."""
    tables = (value for value in vars(importlib.import_module(f"tests.{file}")).values() if isinstance(value, tuple))
    named = ((getattr(each, "name", None) or getattr(each, "id", ""), each) for table in tables for each in table if hasattr(each, "torch"))
    yield from (each for name, each in named if fnmatchcase(name, pattern))


def shows(code: str) -> bool:
    """Whether the defect shows."""
    scope: dict[str, Any] = {"torch": torch, "F": F}
    exec(code, scope)
    return bool(scope["shows"])
