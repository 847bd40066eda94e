"""Torch's own functions, through torch.compile."""

from __future__ import annotations

from typing import Any

import torch.nn.functional

from . import compiled

_namespace = compiled.Compiled(torch.nn.functional)


def __getattr__(name: str) -> Any:
    return getattr(_namespace, name)
