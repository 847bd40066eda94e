"""What pairs of timings say: a ratio, its interval, the slowdown they could not have missed, a verdict.

The data of a comparison is one array per launch (a process, a pair of them, or the tasks made once) of log(time /
rival's time), one number per pair. Launches differ by more than their own sampling error, so both levels are resampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Logs = npt.NDArray[np.float64]

CONFIDENCE = 0.995  # of the interval; identical code leaves it in 1 comparison of 200, in half of them slower
SIGNIFICANT = math.log(1.025)  # a smaller difference is not called one: memory layout alone makes 1 to 2 %
SAME = math.log(1.05)  # `same` needs the whole interval to lie within 5 % of 1
RESAMPLES = 4000
POWER = 1.2816  # standard errors between a threshold and an effect that is found 9 times in 10
TAIL = 2.8070  # standard errors from the middle to the end of a 99.5 % interval
PLAIN = 0.10  # a difference beyond it needs no more pairs, and need not be seen again
PROCESSES = 0.06  # standard deviation of the log-ratio of two paths from one process to another: see `benchmarks.repeats`
ENOUGH = 20  # undisturbed pairs; with fewer, all are used
STALLED = 1.5  # wall over CPU time in one of the two only: something else ran in its place


@dataclass(frozen=True, slots=True)
class Verdict:
    """How long the path takes, as a multiple of its rival; above 1 is slower."""

    ratio: float
    low: float
    high: float
    detectable: float  # the smallest slowdown that would have been called slower in 9 runs of 10, as a share
    word: str  # faster, same, slower, undecided or contaminated
    pairs: int
    why: str = ""

    def precise(self, share: float) -> bool:
        """Enough: a slowdown of `share` would have shown, or the difference is plain, and known to 5 %."""
        return self.detectable <= share or (self.plain and self.high < (1 + PLAIN) * self.low)

    @property
    def plain(self) -> bool:
        """Whether the difference is beyond what chance, or where in memory a task lies, makes of identical code."""
        return self.low > 1 + PLAIN or self.high < 1 / (1 + PLAIN)

    @property
    def doubtful(self) -> bool:
        """Whether it claims a difference that is to be seen again before it is believed."""
        return self.flagged and not self.plain

    @property
    def flagged(self) -> bool:
        """Whether a difference is claimed."""
        return self.word in ("faster", "slower")

    @property
    def error(self) -> float:
        """The standard error of the log-ratio, of these pairs alone."""
        return math.log(self.high / self.low) / (2 * TAIL)

    def another(self, *, twins: bool) -> tuple[float, float]:
        """Where another run would find the ratio, with the same confidence.

        Two paths lie elsewhere in memory in each process, code included; twins are the same code on the same tensors.
        """
        reach = math.exp(TAIL * math.sqrt(2 * (self.error**2 + (0 if twins else PROCESSES) ** 2)))
        return self.ratio / reach, self.ratio * reach

    def __str__(self) -> str:
        if self.word == "undecided":
            return f"undecided (could have missed {self.detectable:.0%})"
        return f"{self.word} ({self.why})" if self.why else self.word


def judge(launches: Sequence[npt.ArrayLike], *, stalled: str = "") -> Verdict:
    """The verdict on a comparison. `stalled` says why its times are not to be trusted, if so."""
    data = [np.asarray(logs, dtype=np.float64) for logs in launches]
    middle, spread = medians(data)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(spread, [tail, 1 - tail])
    error = float(np.std(spread))
    detectable = max(SIGNIFICANT + POWER * error, (TAIL + POWER) * error)
    if stalled:
        word = "contaminated"
    elif (low > 0 or high < 0) and abs(middle) > SIGNIFICANT:
        word = "slower" if middle > 0 else "faster"
    elif low > -SAME and high < SAME:
        word = "same"
    else:
        word = "undecided"
    pairs = sum(map(len, data))
    return Verdict(math.exp(middle), math.exp(low), math.exp(high), math.expm1(detectable), word, pairs, stalled)


def medians(launches: Sequence[Logs]) -> tuple[float, Logs]:
    """The median over launches of each one's median, and what it is in bootstrap resamples.

    The seed is fixed: whoever recomputes a verdict from the raw pairs gets the same interval.
    """
    rng = np.random.default_rng(0)
    each = np.stack([resampled(logs, rng) for logs in launches])
    if len(launches) > 1:
        drawn = rng.integers(len(launches), size=each.shape)
        each = np.take_along_axis(each, drawn, axis=0)
    return float(np.median([np.median(logs) for logs in launches])), np.median(each, axis=0)


def resampled(logs: Logs, rng: np.random.Generator, resamples: int = RESAMPLES) -> Logs:
    """Medians of resamples, without drawing these: of n uniform numbers the k-th smallest is Beta(k, n + 1 - k), and it says which of n is drawn.

    Of those above it the least is the next. (Maritz and Jarrett 1978, Journal of the American Statistical Association 73.)
    """
    n, ordered = len(logs), np.sort(logs)
    k = (n + 1) // 2
    middle = [rng.beta(k, n + 1 - k, resamples)]
    if n % 2 == 0:
        middle += [middle[0] + (1 - middle[0]) * rng.beta(1, n - k, resamples)]
    return np.mean([ordered[np.minimum((n * u).astype(int), n - 1)] for u in middle], axis=0)


def signs(launches: Sequence[npt.ArrayLike]) -> float:
    """The exact p-value of the sign-flip test on the launches' medians: could their sum be chance?

    Every launch that is at fault alike gives 2**-n two-sided at 2 * 2**-n: eight launches can say 0.8 %.
    """
    values = np.array([np.median(np.asarray(logs, dtype=np.float64)) for logs in launches])
    flips = 1 - 2 * ((np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1)
    sums = abs(flips @ values)
    return float(np.mean(sums >= abs(values.sum()) * (1 - 1e-12)))


def upper_bound(hits: int, trials: int, confidence: float = 0.95) -> float:
    """Clopper and Pearson: the largest rate that would still give so few hits in one of 1/(1-confidence) tries."""
    if hits >= trials:
        return 1.0
    low, high = hits / trials, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        chance = sum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(hits + 1))
        low, high = (rate, high) if chance > 1 - confidence else (low, rate)
    return high


Pair = tuple[float, float, float, int, float, float, float, int]
"""Seconds, wall, page faults, preemptions: of the path, then of its rival."""


def undisturbed(pairs: Sequence[Pair]) -> Sequence[Pair]:
    """The pairs to judge by: those in which neither sample was preempted, or all, whichever settles it better.

    Which of the two depends on the spread alone, and whether a pair is kept not on which of its two is faster: so
    the choice favours neither.
    """
    found = [pair for pair in pairs if not pair[3] and not pair[7]]
    if len(found) < ENOUGH or len(found) == len(pairs):
        return pairs
    return min(found, pairs, key=lambda some: _error(logs_of(some)))


def logs_of(pairs: Sequence[Pair]) -> Logs:
    """log(time / rival's time)."""
    return np.log(np.array([pair[0] / pair[4] for pair in pairs]))


def _error(logs: Logs) -> float:
    """About the standard error of the median: from the quartiles, as for a normal spread."""
    return float(0.93 * np.subtract(*np.percentile(logs, [75, 25])) / math.sqrt(len(logs)))


def judge_pairs(launches: Sequence[Sequence[Pair]], *, cpu_clock: bool = True) -> Verdict:
    """The verdict that raw pairs give: what anyone can recompute from the report's file."""
    why = stalled([pair for pairs in launches for pair in pairs]) if cpu_clock else ""
    return judge([logs_of(undisturbed(pairs)) for pairs in launches], stalled=why)


def stalled(pairs: Sequence[Pair]) -> str:
    """A reason to distrust the pairs, or nothing: one of the two waited for the processor, and the other did not."""
    own, other = (float(np.median([pair[i + 1] / pair[i] for pair in pairs])) for i in (0, 4))
    if max(own, other) > STALLED * max(1.0, min(own, other)):
        return f"wall/CPU {own:.1f} against {other:.1f}"
    return ""


def as_json(verdict: Verdict) -> dict[str, Any]:
    """For extra_info and the report's file."""
    return {name: getattr(verdict, name) for name in verdict.__slots__}
