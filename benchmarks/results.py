"""A row of the report: everything that was measured of one path at one case, as plain data."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .verdict import Pair, Verdict, undisturbed


@dataclass
class Result:
    """One row. Times are seconds per call on the verdict's clock; `launches` hold the raw pairs of samples."""

    id: str
    loss: str
    workload: str
    about: str
    shape: str
    dtype: str
    mode: str
    device: str
    path: str
    rival: str
    elements: int
    input_bytes: int
    must_move: int
    checked: float  # the worst error, in budgets
    problem: str = ""
    excused: str = ""
    least_seconds: float = math.nan
    in_cache: bool = False
    peak: int = 0
    kernels: int = 0
    operators: list[str] = field(default_factory=list)
    compile_cold: float = math.nan
    compile_warm: float = math.nan
    calls: int = 0
    load: float = math.nan
    launches: list[list[Pair]] = field(default_factory=list)  # one, or two where a difference was to be seen again
    verdict: Verdict | None = None
    calm_rival_seconds: float = math.nan  # the rival's median in the calmest row of the case
    repeat: str = ""

    def _column(self, index: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([pair[index] for pairs in self.launches for pair in undisturbed(pairs)])

    @property
    def case(self) -> str:
        """The id without the path."""
        return self.id.removesuffix(f"-{self.path}")

    @property
    def median(self) -> float:
        """Seconds per call in this row's own pairs."""
        return float(np.median(self._column(0))) if self.launches else math.nan

    @property
    def seconds(self) -> float:
        """Seconds per call: the ratio, times the rival's in the calmest row, so that rows can be read side by side."""
        calm = self.calm_rival_seconds
        return self.median if self.verdict is None or math.isnan(calm) else self.verdict.ratio * calm

    @property
    def rival_seconds(self) -> float:
        """Of the rival, in the same pairs."""
        return float(np.median(self._column(4))) if self.launches else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Where another run would find the ratio."""
        return (math.nan, math.nan) if self.verdict is None else self.verdict.another(twins=self.path == self.rival)

    @property
    def spread(self) -> float:
        """The interquartile range as a share of the median."""
        return float(np.subtract(*np.percentile(self._column(0), [75, 25]))) / self.median if self.launches else math.nan

    @property
    def faults(self) -> float:
        """Page faults per call."""
        return float(np.mean(self._column(2))) if self.launches else math.nan

    @property
    def ns_per_element(self) -> float:
        """Of the first argument."""
        return 1e9 * self.seconds / self.elements

    @property
    def bytes_per_second(self) -> float:
        """The bytes that must be moved, over the time taken."""
        return self.must_move / self.seconds

    @property
    def limit_share(self) -> float:
        """How much of the time was unavoidable: 1 is as fast as this machine copies."""
        return self.least_seconds / self.seconds

    @property
    def pays_after(self) -> float:
        """Calls until compiling has paid; infinity if it never does."""
        if math.isnan(self.compile_cold):
            return math.nan
        saved = self.rival_seconds - self.median
        return math.ceil(self.compile_cold / saved) if saved > 0 else math.inf

    def as_json(self) -> dict[str, Any]:
        """Plain data, the derived numbers included."""
        derived = (
            "median",
            "seconds",
            "interval",
            "spread",
            "faults",
            "ns_per_element",
            "bytes_per_second",
            "limit_share",
            "pays_after",
        )
        found = asdict(self) | ({name: getattr(self, name) for name in derived} if self.launches else {})
        return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in found.items()}


def load() -> float:
    """Processes that wanted to run, over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
