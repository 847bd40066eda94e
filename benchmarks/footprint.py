"""What a step takes besides time: peak extra memory in bytes, exactly, and the kernels it launches.

On a CPU the memory is the sum of the allocator's own events in one profiled call, and the kernels are the operators
that reach the dispatcher below autograd, views and allocations left out. On an accelerator the memory is the
allocator's statistics, and the kernels are the device's. None of these has noise: two runs give the same numbers.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from .step import Step

# operators that only allocate or rename memory, and are no views by their schema
NO_WORK = ("empty", "new_empty", "detach", "alias", "_unsafe_view", "_reshape_alias", "lift_fresh", "resize_")


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one call: bytes at the peak beyond those held before it, and the kernels launched, in order."""

    peak: int
    kernels: tuple[str, ...]


def footprint(step: Step, *, compiled: bool = False) -> Footprint:
    """Watch one call, after one that is not watched. What compiled code runs, only a device's trace can tell."""
    step.once()
    if step.device.type != "cpu":
        return _on_device(step)
    peak = _peak(_trace(step, [ProfilerActivity.CPU]))
    if compiled:
        return Footprint(peak, ())
    step.once()
    with Operators() as operators:
        step.once()
    return Footprint(peak, tuple(operators.seen))


class Operators(TorchDispatchMode):
    """The operators that run while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note it, if it works, and let it."""
        name = func.name().removeprefix("aten::")
        if not func.is_view and not name.startswith(NO_WORK):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def _trace(step: Step, activities: list[ProfilerActivity]) -> list[dict[str, Any]]:
    timed = step.prepare(1)
    with profile(activities=activities, profile_memory=True, acc_events=True) as profiler:
        timed()
        if step.device.type != "cpu":
            torch.accelerator.synchronize(step.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events: list[dict[str, Any]] = json.loads(path.read_text())["traceEvents"]
    return events


def _peak(events: list[dict[str, Any]]) -> int:
    """The highest sum of what was allocated and not yet freed."""
    held = peak = 0
    for event in sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: float(e["ts"])):
        held += int(event["args"]["Bytes"])
        peak = max(peak, held)
    return peak


def _on_device(step: Step) -> Footprint:
    memory: Any = torch.get_device_module(step.device)
    timed = step.prepare(1)
    torch.accelerator.synchronize(step.device)
    memory.reset_peak_memory_stats(step.device)
    before = memory.memory_allocated(step.device)
    timed()
    torch.accelerator.synchronize(step.device)
    peak = memory.max_memory_allocated(step.device) - before
    kind = {"cuda": "CUDA", "xpu": "XPU"}.get(step.device.type, "PrivateUse1")
    events = _trace(step, [ProfilerActivity.CPU, getattr(ProfilerActivity, kind)])
    return Footprint(peak, tuple(e["name"] for e in events if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")))
