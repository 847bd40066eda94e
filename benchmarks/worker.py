"""One environment's side of a comparison of releases: answers one question per line, in JSON.

Started by `benchmarks.releases` with the interpreter of that environment; does nothing until asked.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import warnings
from typing import Any

import numpy as np
import torch

from .canaries import known_step
from .clock import Task, batch, clock_for, retain_heap
from .duel import Calls
from .footprint import footprint
from .limits import Copy
from .paths import function
from .step import Step, inputs_of
from .verify import check, refusal
from .workloads import TIERS, cases


class Worker:
    """Tasks by name, made when first asked for."""

    def __init__(self) -> None:
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        self.retained = retain_heap()
        self.device = torch.device("cpu")
        self.clock = clock_for(self.device)
        self.cases = {case.id: case for case in cases(TIERS)}
        self.tasks: dict[str, Task] = {
            "copy": Calls(Copy(1 << 18, self.device)),
            "known": Calls(known_step(self.device)),
        }

    def describe(self) -> dict[str, Any]:
        """What a comparison should agree on, or at least know."""
        return {
            "torch": torch.__version__.partition("+")[0],
            "wheel": (torch.version.cuda and f"CUDA {torch.version.cuda}")
            or torch.__version__.partition("+")[2]
            or "cpu",
            "instruction set": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "numpy": np.__version__.rpartition(".")[0],
            "allocator": "retained" if self.retained else "default",
            "allocator settings": {k: v for k, v in os.environ.items() if k.startswith("MALLOC_") or k == "LD_PRELOAD"},
        }

    def make(self, case: str, path: str) -> dict[str, Any]:
        """Verify a case; how many calls a sample takes; and what does not vary: inputs, operators, memory, bits."""
        name = f"{case}-{path}"
        if case in self.tasks:
            return {"calls": batch(self.tasks[case], self.clock)[0]}
        found = function(path, self.cases[case].workload.loss)
        if found is None:
            return {"absent": True}
        step = Step(found, self.cases[case], inputs_of(self.cases[case], self.device))
        wrong = refusal(name, self.device.type, check(step))
        if wrong:
            return {"wrong": wrong}
        self.tasks[name] = step
        watched = footprint(step)
        loss = step()
        results = [loss, *step.gradients(loss)]
        return {
            "calls": batch(step, self.clock)[0],
            "elements": step.elements,
            "inputs": _digest(list(step.inputs[0].values())),
            "results": _digest(results),
            "operators": watched.kernels,
            "peak": watched.peak,
        }

    def sample(self, name: str, calls: int) -> list[float]:
        """One sample, after a call that is not timed: the other process has just had the caches."""
        task = self.tasks[name]
        task.prepare(1)()
        timed = task.prepare(calls)
        found = self.clock.sample(timed, calls)
        return [found.seconds, found.wall, found.faults, found.preempted]


def _digest(tensors: list[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().contiguous().view(torch.uint8 if tensor.ndim else tensor.dtype).numpy().tobytes())
    return digest.hexdigest()[:16]


def main() -> None:
    """Answer until there are no more questions."""
    worker, answers = Worker(), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"answer": getattr(worker, question.pop("do"))(**question)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
