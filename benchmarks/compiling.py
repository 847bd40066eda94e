"""What compiling costs: cold, from an empty cache; warm, from a full one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
import torch._inductor.config as inductor
from torch._dynamo import reset
from torch._inductor.async_compile import AsyncCompile

from .paths import function
from .step import Inputs, Step
from .workloads import Case


@dataclass(frozen=True, slots=True)
class Compiling:
    """Seconds of the first forward and backward, nothing kept and everything kept; kernels generated for both."""

    cold: float
    warm: float
    kernels: int


class Cache:
    """A compiler cache of the run's own, empty at first: a compile time from yesterday's cache is no compile time."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory(prefix="benchmarks-")
        self.patch = patch.dict("os.environ", {"TORCHINDUCTOR_CACHE_DIR": self.folder.name})
        self.patch.start()
        inductor.compile_threads = 1
        self.start_up = 0.0

    def start(self, device: torch.device) -> float:
        """Compile something small: what the first compile of a process costs on top is counted here, once."""
        if not self.start_up:
            begun = time.perf_counter()
            x = torch.ones(64, device=device, requires_grad=True)
            torch.autograd.grad(torch.compile(lambda x: (x * 2).sum(), dynamic=False)(x), x)
            self.start_up = time.perf_counter() - begun
        return self.start_up

    def close(self) -> None:
        """Put the environment back."""
        self.patch.stop()
        self.folder.cleanup()


def compiled(path: str, case: Case, inputs: Inputs, cache: Cache) -> tuple[Step, Compiling]:
    """A compiled path at a case, ready, and what that cost; cold only the first time in a run."""
    device = next(iter(inputs[0].values())).device
    cache.start(device)
    times: list[float] = []
    for _ in range(2):
        reset()
        step = Step(_offered(path, case), case, inputs)
        begun = time.perf_counter()
        with _counted() as kernels, suppress(Exception):  # what cannot be compiled is found out by the check
            step.gradients(step())
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        times.append(time.perf_counter() - begun)
    return step, Compiling(times[0], times[1], len(kernels))


@contextmanager
def _counted() -> Iterator[list[str]]:
    """The kernels that generated code loads, by the language they are written in."""
    found: list[str] = []

    def counting(name: str) -> Any:
        load = getattr(AsyncCompile, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            found.append(name)
            return load(*args, **kwargs)

        return patch.object(AsyncCompile, name, call)

    with counting("cpp_pybinding"), counting("triton"):
        yield found


def _offered(path: str, case: Case) -> Any:
    found = function(path, case.workload.loss)
    if found is None:
        raise LookupError(f"{path} offers no {case.workload.loss}")
    return found
