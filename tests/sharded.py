"""Cross entropy in many processes: the work of one rank, and the group that does it.

The ranks are those of a mesh of `WORLD`, of its halves (two groups of two do the same work side by side), or of a grid.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

WORLD = 4
LIMIT = 150  # seconds; it takes some 15


@dataclass(frozen=True)
class Job:
    """One call: the name by which its result is known, how many ranks share the logits, along which axes, and the call.

    Where one of the axes is None, the ranks along that axis of the mesh have copies. `misplaced` is an argument that lies
    split over the ranks where it should be whole on each. What is `gathered` is so by the operators, not by loss_parallel.
    """

    name: str
    ranks: int
    axes: tuple[int | None, ...]
    function: str
    input: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None
    options: dict[str, Any]
    cotangent: torch.Tensor
    misplaced: str = ""
    gathered: bool = False

    def run(self, mesh: Any) -> dict[str, torch.Tensor]:
        """The value, and the gradient in the logits, gathered."""
        from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
        from torch.distributed.tensor.parallel import loss_parallel

        logits = [Replicate() if axis is None else Shard(axis) for axis in self.axes]
        input = distribute_tensor(self.input, mesh, logits).detach().requires_grad_()
        classes = min(1, self.input.ndim - 1)
        as_logits = self.target.is_floating_point()  # class probabilities
        places = {
            "target": [place if as_logits or axis != classes else Replicate() for axis, place in zip(self.axes, logits, strict=True)],
            "weight": [Replicate() for _ in self.axes],
        }
        places |= {self.misplaced: [Shard(0)]} if self.misplaced else {}
        target = distribute_tensor(self.target, mesh, places["target"])
        weight = None if self.weight is None else distribute_tensor(self.weight, mesh, places["weight"])
        with loss_parallel() if classes in self.axes and not self.gathered else nullcontext():
            value = getattr(F, self.function)(input, target, weight=weight, **self.options)
            (value * self._like(value)).sum().backward() if not isinstance(value, DTensor) else value.backward(self._like(value))
        assert input.grad is not None
        return {"value": _gathered(value.detach()), "input": _gathered(input.grad)}

    def _like(self, value: torch.Tensor) -> torch.Tensor:
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(value, DTensor):
            return self.cotangent
        placements = [p if p.is_shard() else type(p)() if p.is_replicate() else _replicate() for p in value.placements]
        return distribute_tensor(self.cotangent, value.device_mesh, placements)


def _replicate() -> Any:
    from torch.distributed.tensor import Replicate

    return Replicate()


def _gathered(tensor: torch.Tensor) -> torch.Tensor:
    return getattr(tensor, "full_tensor", lambda: tensor)()


def rank(number: int, port: int, jobs: Sequence[Job], file: str) -> None:
    """Everything that one process does; the first one writes down what came of it."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "RANK": str(number), "WORLD_SIZE": str(WORLD)}
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    try:
        grid = init_device_mesh("cpu", (2, WORLD // 2), mesh_dim_names=("copy", "part"))
        meshes = {(WORLD, 1): init_device_mesh("cpu", (WORLD,)), (WORLD // 2, 1): grid["part"], (WORLD, 2): grid}
        found: dict[str, Any] = {}
        for job in jobs:
            try:
                found[job.name] = job.run(meshes[job.ranks, len(job.axes)])
            except (RuntimeError, NotImplementedError, ValueError, AssertionError) as error:  # an observation; on all ranks alike
                found[job.name] = f"{type(error).__name__}: {error}" + (f", for {error.__cause__}" if error.__cause__ else "")
        if number == 0:
            torch.save(found, file)
    finally:
        dist.destroy_process_group()


def run(jobs: Sequence[Job]) -> dict[str, Any] | str:
    """What came of every job: tensors by name, or the text of an error; or how the ranks ended that have not done them.

    The ranks are forked, for what is changed in this process is held to the definition too, and torch is there already;
    but a process that may have begun with an accelerator cannot be. Where one refuses what another does not, they wait
    for each other, and are ended.
    """
    import torch.multiprocessing as mp

    how = "spawn" if torch.accelerator.is_available() else "fork"
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "found.pt")
        ranks = mp.start_processes(rank, (_free_port(), jobs, file), nprocs=WORLD, start_method=how, join=False)
        until = time.monotonic() + LIMIT
        try:
            while not ranks.join(timeout=max(until - time.monotonic(), 0)):  # false whenever one of them has ended, too
                if time.monotonic() > until:
                    for process in ranks.processes:
                        process.kill()
                    return f"the ranks have not done {len(jobs)} jobs in {LIMIT} s: they wait for each other"
        except (mp.ProcessRaisedException, mp.ProcessExitedException) as error:  # said here, as a process that is left with it says its exit status alone
            return str(error)
        return torch.load(file, weights_only=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])
