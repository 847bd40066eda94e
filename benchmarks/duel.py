"""Two tasks timed in pairs, in random order within each pair; slow drift and bursts hit both, and cancel.

`compare(a, b)` is the whole of it for two functions:

>>> from benchmarks.duel import compare
>>> compare(lambda: old(x), lambda: new(x)).verdict
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .clock import SHORTEST, Clock, HostClock, Sample, Task, batch
from .verdict import Pair, Verdict, judge_pairs

FEWEST = 40  # pairs; fewer tell too little of their own spread
FINEST = 0.035  # a slowdown of 5 % is to be found with some to spare


@dataclass
class Calls:
    """A function as a task."""

    function: Callable[[], object]

    def prepare(self, calls: int) -> Callable[[], None]:
        """A loop."""

        def timed(function: Callable[[], object] = self.function) -> None:
            for _ in itertools.repeat(None, calls):
                function()

        return timed


@dataclass
class Slowed:
    """A task that does a share more work than it admits: `share` 0.05 makes 21 calls and says 20.

    Calls per sample must be a multiple of 20 for the share to be exact: see `Duel.multiple`.
    """

    task: Task
    share: float

    def prepare(self, calls: int) -> Callable[[], None]:
        """More calls than were asked for."""
        return self.task.prepare(math.ceil(round(calls * (1 + self.share), 6)))


@dataclass
class Duel:
    """The pairs of `task` against `rival`. A runner calls before, sample and after once per pair."""

    task: Task
    rival: Task
    clock: Clock = field(default_factory=HostClock)
    multiple: int = 1  # calls per sample are a multiple of this
    shortest: float = SHORTEST
    seed: int = 0
    pairs: list[tuple[Sample, Sample]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        each = [batch(task, self.clock, self.shortest)[1] for task in (self.task, self.rival)]
        length = max(self.shortest, *each)  # the same for both: a longer sample is preempted more often
        wanted = [math.ceil(length / seconds) for seconds in each]
        self.calls = [self.multiple * math.ceil(calls / self.multiple) for calls in wanted]
        self.pair_seconds = sum(calls * seconds for calls, seconds in zip(self.calls, each, strict=True))

    def before(self) -> None:
        """Draw the order of the next pair, and make ready."""
        self.first = self.random.random() < 0.5
        if not self.first:
            self.other = self._rival()
        self.timed = self.task.prepare(self.calls[0])

    def sample(self) -> None:
        """Time the task."""
        self.own = self.clock.sample(self.timed, self.calls[0])

    def after(self) -> None:
        """Time the rival, if it goes second, and keep the pair."""
        del self.timed
        if self.first:
            self.other = self._rival()
        self.pairs.append((self.own, self.other))

    def _rival(self) -> Sample:
        return self.clock.sample(self.rival.prepare(self.calls[1]), self.calls[1])

    def run(self, pairs: int) -> Duel:
        """So many pairs."""
        for _ in range(pairs):
            self.before()
            self.sample()
            self.after()
        return self

    def rounds(self, budget: float) -> int:
        """How many pairs to begin with: enough to know their spread, or what fits into `budget` seconds."""
        return max(FEWEST // 4, min(FEWEST, int(budget / self.pair_seconds)))

    def settle(self, budget: float, share: float = FINEST) -> Duel:
        """More pairs until a slowdown of `share` could not be missed, or `budget` seconds are spent.

        Unless a difference is plain, when to stop depends on the spread alone, never on the ratio: to look and go
        on until a difference shows would raise the false alarms.
        """
        end = time.perf_counter() + budget
        while time.perf_counter() < end:
            if len(self.pairs) >= FEWEST and judge_pairs([self.raw]).precise(share):
                break
            left = int((end - time.perf_counter()) / self.pair_seconds)
            self.run(max(1, min(left, 5 + len(self.pairs) // 3)))
        return self

    @property
    def raw(self) -> list[Pair]:
        """The pairs as plain numbers, of as many digits as go into a file: a verdict from there is this one."""
        return [(*_short(own), *_short(other)) for own, other in self.pairs]

    @property
    def verdict(self) -> Verdict:
        """What the pairs say."""
        return verdict_of([self])


def confirmed(first: Duel, afresh: Callable[[], Duel], budget: float) -> list[Duel]:
    """The duel, and where what it claims is not plain, one more of the same tasks made afresh, for `budget` seconds.

    Where in memory a task lies, and what else runs for some seconds, tell identical code apart, by 2 to 7 %; and are
    others the next time. The first tasks are still there, so the new ones lie elsewhere. A contaminated duel, whose
    numbers say nothing, is fought once more in its own place.
    """
    fought = first if first.verdict.word != "contaminated" else afresh().settle(budget)
    return [fought, afresh().settle(budget)] if fought.verdict.doubtful else [fought]


def verdict_of(launches: Sequence[Duel]) -> Verdict:
    """What the pairs of all of them say."""
    return judge_pairs([duel.raw for duel in launches], cpu_clock=isinstance(launches[0].clock, HostClock))


def _short(sample: Sample) -> tuple[float, float, float, int]:
    seconds, wall, faults = (float(f"{x:.6g}") for x in (sample.seconds, sample.wall, sample.faults))
    return seconds, wall, faults, sample.preempted


def compare(
    function: Callable[[], object], rival: Callable[[], object], *, budget: float = 10.0, clock: Clock | None = None
) -> Duel:
    """Time `function` against `rival` for at most about `budget` seconds; the result has `.verdict` and `.pairs`."""
    return Duel(Calls(function), Calls(rival), clock or HostClock()).settle(budget)
