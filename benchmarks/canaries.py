"""What must come out right before anything else is believed, on every run.

An identical twin must come out the same, twins slowed by 5 % and by 10 % must be called slower, and a plain copy of
memory, which no torch release changes, must stay at 1. If one of them does not, the run gives no verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .clock import clock_for
from .duel import Calls, Duel, Slowed
from .limits import Copy
from .verdict import Verdict

SLOWED = (0.05, 0.10)
TWENTY = 20  # calls per sample are a multiple of it, so that 5 % more of them is a whole number


@dataclass(frozen=True, slots=True)
class Canary:
    """One of them, and how it did."""

    name: str
    expected: str
    verdict: Verdict

    @property
    def sings(self) -> bool:
        """Whether it came out as it must; an `undecided` twin is in order, an unnoticed slow one is not."""
        return self.verdict.word == "slower" if self.expected == "slower" else not self.verdict.flagged


def known_step(device: torch.device, elements: int = 10_000) -> Callable[[], object]:
    """A step of known cost: mse_loss, forward and backward."""
    x, y = torch.zeros(elements, device=device, requires_grad=True), torch.ones(elements, device=device)
    return lambda: torch.autograd.grad(F.mse_loss(x, y), x)


def canaries(device: torch.device, budget: float = 5.0, seed: int = 0) -> list[Canary]:
    """All of them, at most about `budget` seconds each."""
    clock = clock_for(device)
    step = Calls(known_step(device))
    copy = Calls(Copy(1 << 20, device))  # itself against itself: two copies differ in where their memory lies
    found = [
        Canary("copy", "same", Duel(copy, copy, clock, seed=seed).settle(budget).verdict),
        Canary("twin", "same", Duel(step, step, clock, TWENTY, seed=seed).settle(budget).verdict),
    ]
    for share in SLOWED:
        slow = Duel(Slowed(step, share), step, clock, TWENTY, seed=seed).settle(budget).verdict
        found.append(Canary(f"twin slowed by {share:.0%}", "slower", slow))
    return found
