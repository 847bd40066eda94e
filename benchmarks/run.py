"""One run: canaries first and last, and in between row by row: make, verify, watch, time against a rival."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from . import limits
from .canaries import Canary, canaries
from .clock import clock_for, retain_heap
from .compiling import Cache, Compiling, compiled
from .departures import Departure, departure
from .duel import Duel, confirmed, verdict_of
from .footprint import footprint
from .paths import COMPILED, PATHS, function
from .results import Result, load
from .step import Inputs, Step, inputs_of
from .verdict import Verdict
from .verify import check, refusal
from .workloads import Case, Workload


@dataclass(frozen=True, slots=True)
class Row:
    """A case, and the path that is measured at it."""

    case: Case
    path: str

    @property
    def id(self) -> str:
        """Spelled out, unique, fit for `-k`."""
        return f"{self.case.id}-{self.path}"


def rows(cases: list[Case], paths: tuple[str, ...]) -> Iterator[Row]:
    """Every case with every path that offers its loss; the first of them is the rival of the others."""
    for case in cases:
        asked = [p for p in paths if not case.workload.paths or p in case.workload.paths or p not in PATHS]
        unasked = case.mode != "both" or case.dtype != "float32" or not case.workload.compile
        if paths == PATHS and unasked:  # to compile takes most of the time
            asked = [p for p in asked if p not in COMPILED]
        yield from (Row(case, path) for path in asked if function(path, case.workload.loss) is not None)


def rival_of(case: Case) -> str:
    """Torch's own function, or where torch has none, the composition of elementary operations."""
    return next(path for path in PATHS if function(path, case.workload.loss) is not None)


@dataclass
class Run:
    """The state of a run, and its results. `seconds` is what a row may take to be timed."""

    device: torch.device
    seconds: float = 6.0
    seed: int = 0
    retain: bool = True
    repeat: str = "pytest benchmarks"
    results: list[Result] = field(default_factory=list)
    canaries: list[Canary] = field(default_factory=list)
    used: set[Departure] = field(default_factory=set)

    def __post_init__(self) -> None:
        warnings.filterwarnings("ignore", category=UserWarning)  # kl_div and the profiler have their say elsewhere
        torch.set_num_threads(1)
        self.retained = self.retain and self.device.type == "cpu" and retain_heap()
        self.cache = Cache()
        self.began, self.load_before = time.time(), load()
        self._inputs: tuple[Case, Inputs] | None = None
        self._compiled: dict[tuple[Workload, str, str], Compiling] = {}
        self.listen()

    def listen(self) -> None:
        """Ask the canaries; they may take longer than a row, for on them all rows depend."""
        self.canaries += canaries(self.device, budget=3 * self.seconds, seed=self.seed + len(self.canaries))

    def close(self) -> str:
        """Ask the canaries again; a sentence if the run is not to be trusted."""
        self.listen()
        self.cache.close()
        silent = [f"{c.name}: {c.verdict}" for c in self.canaries if not c.sings]
        if silent:
            self._contaminate(self.results, "canary: " + "; ".join(silent))
        for case in {r.case for r in self.results}:
            mine = [r for r in self.results if r.case == case]
            calmest = min((r.rival_seconds for r in mine if r.launches), default=math.nan)
            if any(r.path == r.rival and r.verdict and r.verdict.flagged for r in mine):
                self._contaminate(mine, "the rival differs from its own twin")
            for result in mine:
                result.calm_rival_seconds = calmest
        return f"no verdict in this run, for a canary came out wrong: {'; '.join(silent)}" if silent else ""

    @staticmethod
    def _contaminate(results: list[Result], why: str) -> None:
        for result in results:
            if result.verdict is not None:
                result.verdict = replace(result.verdict, word="contaminated", why=why)

    # -- a row ----------------------------------------------------------------------------------------------

    def measure(self, row: Row, runner: Callable[[Duel, int], None]) -> Result:
        """All there is to know of a row. A wrong path is not timed; `runner` times the first pairs."""
        step, compiling = self._made(row)
        result = self._described(row, step)
        self.results.append(result)
        if not self._right(row, step, result):
            return result
        watched = footprint(step, compiled=row.path in COMPILED)
        result.peak, result.operators = watched.peak, list(watched.kernels)
        result.kernels = len(watched.kernels)
        if compiling is not None:
            known = self._compiled.setdefault((row.case.workload, row.case.dtype, row.path), compiling)
            result.compile_cold, result.compile_warm = known.cold, known.warm
            result.kernels = result.kernels or known.kernels
        dtype = getattr(torch, row.case.dtype)
        result.least_seconds = limits.least_seconds(step.must_move, step.flops, dtype, self.device)
        rival, _ = self._made(Row(row.case, result.rival))  # of the rival's own row, a twin
        duel = Duel(step, rival, clock_for(self.device), seed=self.seed)
        runner(duel, duel.rounds(self.seconds))
        result.calls, result.load = duel.calls[0], load()
        duels = confirmed(duel, partial(self._afresh, step, rival), self.seconds)
        result.launches, result.verdict = [each.raw for each in duels], verdict_of(duels)
        return result

    def _afresh(self, step: Step, rival: Step) -> Duel:
        """The same two paths at other tensors of the same numbers."""
        inputs = inputs_of(step.case, self.device)
        return Duel(step.at(inputs), rival.at(inputs), clock_for(self.device), seed=self.seed + 1)

    def _made(self, row: Row) -> tuple[Step, Compiling | None]:
        if self._inputs is None or self._inputs[0] != row.case:
            self._inputs = None  # the last case's go first
            self._inputs = (row.case, inputs_of(row.case, self.device))
        if row.path in COMPILED:
            return compiled(row.path, row.case, self._inputs[1], self.cache)
        found = function(row.path, row.case.workload.loss)
        assert found is not None
        return Step(found, row.case, self._inputs[1]), None

    def _described(self, row: Row, step: Step) -> Result:
        case = row.case
        return Result(
            id=row.id,
            loss=case.workload.loss,
            workload=case.workload.name,
            about=case.workload.about,
            shape=" x ".join(map(str, case.workload.axes.values())),
            dtype=case.dtype,
            mode=case.mode,
            device=self.device.type,
            path=row.path,
            rival=rival_of(case),
            elements=step.elements,
            input_bytes=step.bytes_of(tuple(step.inputs[0])),
            must_move=step.must_move,
            checked=0.0,
            in_cache=self.device.type == "cpu" and step.must_move < limits.cache_bytes(),
            repeat=f"{self.repeat} -k {row.id}",
        )

    def _right(self, row: Row, step: Step, result: Result) -> bool:
        checked, known = check(step), departure(row.id, self.device.type)
        result.checked, result.problem = checked.worst, refusal(row.id, self.device.type, checked)
        if checked.worst > 1 and known is not None:
            self.used.add(known)
            result.excused = known.why
        return not result.problem


def verdicts(results: list[Result]) -> dict[str, int]:
    """How many rows came out how."""
    found: dict[str, int] = {}
    for result in results:
        word = result.verdict.word if isinstance(result.verdict, Verdict) else "wrong, not timed"
        found[word] = found.get(word, 0) + 1
    return found
