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
from .duel import Calls, Duel, Slowed, confirmed, verdict_of
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
    """All of them, at most about `budget` seconds each, and as many more where one is asked again."""
    clock = clock_for(device)

    def ask(name: str, share: float = 0.0) -> Canary:
        def duel(seed: int = seed + 1) -> Duel:
            # itself against itself: two copies differ in where their memory lies
            task = Calls(Copy(1 << 20, device) if name == "copy" else known_step(device))
            return Duel(Slowed(task, share) if share else task, task, clock, TWENTY, seed=seed)

        verdict = verdict_of(confirmed(duel(seed).settle(budget), duel, budget))
        return Canary(name, "slower" if share else "same", verdict)

    return [ask("copy"), ask("twin"), *(ask(f"twin slowed by {share:.0%}", share) for share in SLOWED)]
