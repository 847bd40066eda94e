"""The physical limit: how fast this machine copies memory, and how fast it multiplies matrices, measured now.

A loss cannot be faster than its bytes can be moved. A copy reads each byte once and writes it once, so its
bandwidth counts both; it is measured on as many bytes as the loss must move, in cache where they fit.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import torch

from .clock import batch, clock_for
from .duel import Calls

SAMPLES = 25  # of which the fastest counts: a limit is what can be reached


class Copy:
    """A plain copy that moves `moved` bytes: the limit, and a canary, for no change of torch should change it."""

    def __init__(self, moved: int, device: torch.device) -> None:
        self.source = torch.zeros(max(moved // 2, 8), dtype=torch.int8, device=device)
        self.target = torch.empty_like(self.source)

    def __call__(self) -> None:
        """Copy."""
        self.target.copy_(self.source)


def bandwidth(moved: int, device: torch.device) -> float:
    """Bytes per second of a copy that moves about `moved` bytes, at least 64 KiB: below, calls cost more than bytes."""
    return _bandwidth(2 ** max(16, round(math.log2(max(moved, 1)))), device)


@functools.cache
def _bandwidth(moved: int, device: torch.device) -> float:
    task, clock = Calls(Copy(moved, device)), clock_for(device)
    calls, _ = batch(task, clock)
    return moved / min(clock.sample(task.prepare(calls), calls).seconds for _ in range(SAMPLES))


@functools.cache
def matrix_rate(dtype: torch.dtype, device: torch.device, size: int = 1024) -> float:
    """Multiplications and additions per second of a square matrix product."""
    a = torch.zeros(size, size, dtype=dtype, device=device)
    clock = clock_for(device)
    task = Calls(lambda: torch.mm(a, a))
    calls, _ = batch(task, clock)
    return 2 * size**3 / min(clock.sample(task.prepare(calls), calls).seconds for _ in range(SAMPLES))


@functools.cache
def cache_bytes() -> int:
    """The largest cache of a core, where the system says; else 32 MiB."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return max((int(t[:-1]) * units[t[-1]] for t in (p.read_text().strip() for p in sizes)), default=32 << 20)


def least_seconds(moved: int, flops: int, dtype: torch.dtype, device: torch.device) -> float:
    """The time below which no implementation gets: the slower of moving the bytes and multiplying the numbers."""
    return max(moved / bandwidth(moved, device), flops / matrix_rate(dtype, device) if flops else 0.0)
