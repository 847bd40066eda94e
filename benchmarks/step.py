"""What is timed: a path at a workload, forward, backward or both, as a task for a clock."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import torch

from .workloads import Case

Function = Callable[..., torch.Tensor]


def reduction(loss: str) -> str:
    """The mean, for a scalar that can be differentiated; for kl_div the one that is a divergence."""
    return "batchmean" if loss == "kl_div" else "mean"


def through_log_softmax(function: Function) -> Function:
    """CTC as it is used, on the log-softmax of something: torch's gradient is only right for that."""

    def call(log_probs: torch.Tensor, **more: Any) -> torch.Tensor:
        return function(log_probs=torch.log_softmax(log_probs, -1), **more)

    return call


Inputs = list[dict[str, torch.Tensor]]


def inputs_of(case: Case, device: torch.device) -> Inputs:
    """The case's tensors. On an accelerator three sets of them, used in turn, so that none stays in its cache.

    All paths of a case share them: two copies of the same inputs differ by up to 3 % in time, by where they lie.
    """
    return [_tensors(case, device) for _ in range(1 if device.type == "cpu" else 3)]


def _tensors(case: Case, device: torch.device) -> dict[str, torch.Tensor]:
    dtype = getattr(torch, case.dtype)
    found = {}
    for name, array in case.workload.draw(case.dtype).arguments.items():
        tensor = torch.from_numpy(np.ascontiguousarray(array)).reshape(np.shape(array))
        found[name] = tensor.to(device, dtype if array.dtype.kind == "f" else torch.int64, copy=True)
        found[name].requires_grad_(name in case.workload.differentiable)
    return found


class Step:
    """One path's function at one case."""

    def __init__(self, function: Function, case: Case, inputs: Inputs) -> None:
        self.function = through_log_softmax(function) if case.workload.loss == "ctc_loss" else function
        self.case, self.inputs = case, inputs
        self.device = next(iter(inputs[0].values())).device
        self.options = {**case.workload.options, "reduction": reduction(case.workload.loss)}

    def at(self, inputs: Inputs) -> Step:
        """The same at other tensors."""
        found = copy(self)
        found.inputs = inputs
        return found

    def __call__(self, index: int = 0) -> torch.Tensor:
        """The loss."""
        return self.function(**self.inputs[index % len(self.inputs)], **self.options)

    def leaves(self, index: int = 0) -> list[torch.Tensor]:
        """What is differentiated in."""
        return [t for t in self.inputs[index % len(self.inputs)].values() if t.requires_grad]

    def gradients(self, loss: torch.Tensor, index: int = 0) -> tuple[torch.Tensor, ...]:
        """The gradients in the leaves."""
        return torch.autograd.grad(loss, self.leaves(index))

    def once(self) -> None:
        """One call in the case's mode, for whoever wants to watch it."""
        self.prepare(1)()

    def prepare(self, calls: int) -> Callable[[], None]:
        """The timed part of `calls` calls; for `backward`, the graphs are made before."""
        match self.case.mode:
            case "forward":

                def timed() -> None:
                    for i in range(calls):
                        self(i)

            case "backward":
                losses = [self(i) for i in range(calls)]

                def timed() -> None:
                    for i, loss in enumerate(losses):
                        self.gradients(loss, i)

            case _:

                def timed() -> None:
                    for i in range(calls):
                        self.gradients(self(i), i)

        return timed

    # -- sizes ----------------------------------------------------------------------------------------------

    def bytes_of(self, names: tuple[str, ...]) -> int:
        """Of so many arguments."""
        return sum(t.numel() * t.element_size() for n, t in self.inputs[0].items() if n in names)

    @property
    def elements(self) -> int:
        """Of the first argument."""
        return next(iter(self.inputs[0].values())).numel()

    @property
    def must_move(self) -> int:
        """The bytes that no implementation can do without: each input read once, each result written once."""
        read = self.bytes_of(tuple(self.inputs[0]))
        if self.case.workload.loss == "nll_loss":  # only the targets' elements are looked at
            read = 2 * self.bytes_of(("target",))
        written = self.bytes_of(self.case.workload.differentiable)
        if self.case.mode == "backward":  # of what the forward pass kept: as much as is written will do
            return min(read, written) + written
        return read if self.case.mode == "forward" else read + written

    @property
    def flops(self) -> int:
        """Multiplications and additions in matrix products; 0 where there is none."""
        if self.case.workload.loss != "linear_cross_entropy":
            return 0
        axes = self.case.workload.axes
        product = 2 * axes["N"] * axes["C"] * axes["F"]
        return {"forward": 1, "backward": 2, "both": 3}[self.case.mode] * product
