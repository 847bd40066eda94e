"""What a process has that a loss leaves alone: generators of random numbers, modes, settings."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch


def generators() -> list[Any]:
    """The states of torch's, Python's and NumPy's."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    own = [torch.get_device_module(accelerator).get_rng_state().numpy().tobytes()] if accelerator else []
    legacy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002 - whether the global generator is left alone
    return [torch.get_rng_state().numpy().tobytes(), *own, random.getstate(), legacy["key"].tobytes(), legacy["pos"]]


PROCESS: dict[str, Callable[[], Any]] = {
    "the random generators": generators,
    "the default dtype": torch.get_default_dtype,
    "the default device": torch.get_default_device,
    "grad mode": torch.is_grad_enabled,
    "inference mode": torch.is_inference_mode_enabled,
    "deterministic mode": lambda: (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    ),
    "the number of threads": torch.get_num_threads,
    "anomaly mode": torch.is_anomaly_enabled,
    "autocast": lambda: (torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()),
    "the precision of matrix products": torch.get_float32_matmul_precision,
    "the flushing of subnormals": lambda: float(torch.full((), 1e-310, dtype=torch.float64) / 2).hex(),  # as numbers, then, all of them equal 0
    "what is warned of": lambda: ([*warnings.filters], torch.is_warn_always_enabled()),
    "what NumPy does about errors": np.geterr,
    "which libraries may be called": lambda: (torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic),
}


@cache
def at_first() -> dict[str, Any]:
    """Asked before any call of a loss: what one sets for good, that of another test, or of the collection, may have set already."""
    return {name: read() for name, read in PROCESS.items() if name not in ("the random generators", "what is warned of")}
