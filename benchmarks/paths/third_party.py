"""Kernels of others, where they are installed; each has its function's name here."""

from __future__ import annotations

import importlib
from typing import Any

KERNELS = {
    "sigmoid_focal_loss": ("torchvision.ops", "sigmoid_focal_loss"),
    "cross_entropy": ("liger_kernel.transformers.functional", "liger_cross_entropy"),
}


def __getattr__(name: str) -> Any:
    if name not in KERNELS:
        raise AttributeError(name)
    module, function = KERNELS[name]
    try:
        return getattr(importlib.import_module(module), function)
    except ImportError as missing:
        raise AttributeError(f"{name}: {missing}") from None
