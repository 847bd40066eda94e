"""One sample: so many calls of a task on one clock, and what disturbed it.

On a CPU the clock is the CPU time of this process: what a busy neighbour takes does not count. On an accelerator it
is the device's own events, with the caches emptied before and the queue drained after.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

SHORTEST = (
    1e-3  # seconds per sample, of many calls if need be: the clock costs below 0.1 % of it, and it fits a time slice
)


class Task(Protocol):
    """Something to time: `prepare` does what is not to be timed, and gives what is: `calls` calls."""

    def prepare(self, calls: int) -> Callable[[], None]:
        """The timed part of `calls` calls."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds per call, on the verdict's clock and on the wall; page faults per call; preemptions in all.

    A process that lost the processor in the middle finds its caches gone, and the clock changed: on a crowded
    machine such a sample takes up to twice the CPU time.
    """

    seconds: float
    wall: float
    faults: float
    preempted: int


class HostClock:
    """CPU time, with the garbage collector off."""

    name = "CPU time"

    def sample(self, timed: Callable[[], None], calls: int) -> Sample:
        """Run it once."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            before = resource.getrusage(resource.RUSAGE_SELF)
            wall, cpu = time.perf_counter_ns(), time.process_time_ns()
            timed()
            cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
            after = resource.getrusage(resource.RUSAGE_SELF)
        finally:
            if collecting:
                gc.enable()
        faults, preempted = after.ru_minflt - before.ru_minflt, after.ru_nivcsw - before.ru_nivcsw
        return Sample(cpu / 1e9 / calls, wall / 1e9 / calls, faults / calls, preempted)


class DeviceClock:
    """Device events around the calls, from a cold cache: never a host clock around asynchronous work."""

    name = "device events"

    def __init__(self, device: torch.device, cache_bytes: int = 256 << 20) -> None:
        self.device = device
        self.flush = torch.empty(cache_bytes, dtype=torch.int8, device=device)

    def sample(self, timed: Callable[[], None], calls: int) -> Sample:
        """Run it once, and wait for it."""
        start, stop = (torch.Event(self.device, enable_timing=True) for _ in range(2))
        gc.disable()
        try:
            self.flush.zero_()
            torch.accelerator.synchronize(self.device)
            wall = time.perf_counter_ns()
            start.record()
            timed()
            stop.record()
            stop.synchronize()
            wall = time.perf_counter_ns() - wall
        finally:
            gc.enable()
        return Sample(start.elapsed_time(stop) / 1e3 / calls, wall / 1e9 / calls, 0.0, 0)


Clock = HostClock | DeviceClock


def clock_for(device: torch.device) -> Clock:
    """The clock of a device."""
    return HostClock() if device.type == "cpu" else DeviceClock(device)


def batch(task: Task, clock: Clock, shortest: float = SHORTEST) -> tuple[int, float]:
    """How many calls make a sample of `shortest` seconds, and what one took; finding out warms the task up."""
    calls = 1
    while True:
        each = min(clock.sample(task.prepare(calls), calls).seconds for _ in range(2))
        if each * calls >= shortest:
            return calls, each
        calls = max(calls + 1, min(10 * calls, round(1.2 * shortest / max(each, 1e-9))))


def retain_heap() -> bool:
    """Keep freed memory in the process, where libc can: else every large tensor is paged in anew.

    With the heap given back, half of the time of a 40 MB loss is page faults, and its spread is ten times wider.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
        settings = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 << 20))
        return all(libc.mallopt(key, value) == 1 for key, value in settings)
    except (OSError, AttributeError):
        return False
