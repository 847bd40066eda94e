"""The textbook compositions, through torch.compile."""

from __future__ import annotations

from typing import Any

from . import compiled, unfused

_namespace = compiled.Compiled(unfused)


def __getattr__(name: str) -> Any:
    return getattr(_namespace, name)
