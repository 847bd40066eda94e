"""Torch's own functions, as they are."""

from __future__ import annotations

from typing import Any

import torch.nn.functional


def __getattr__(name: str) -> Any:
    return getattr(torch.nn.functional, name)
