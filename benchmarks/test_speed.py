"""What does each path cost, at each workload? One test per row; a path that is wrong is not timed."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.duel import Duel
from benchmarks.run import Row, Run


def test_speed(row: Row, run: Run, benchmark: Any, record_property: Any) -> None:
    """The path is right at this workload; how long it takes, against its rival, is in the report."""
    benchmark.group = row.case.id

    def pairs(duel: Duel, rounds: int) -> None:
        def before() -> None:
            benchmark.stats.iterations = duel.calls[0]  # the runner times batches: its statistics are per call
            duel.before()

        benchmark.pedantic(duel.sample, setup=before, teardown=duel.after, rounds=rounds)
        timed = len(duel.pairs)
        duel.settle(run.seconds - timed * duel.pair_seconds)
        for own, _ in duel.pairs[timed:]:
            benchmark.stats.update(own.wall * duel.calls[0])

    if benchmark.disabled:
        pytest.skip("timings mean nothing beside other workers, or with --benchmark-disable")
    result = run.measure(row, pairs)
    benchmark.extra_info.update(result.as_json())
    if result.verdict is None:
        record_property("said", f"{row.id}: WRONG, not timed: {result.problem[:120]}")
        if result.excused:
            pytest.xfail(result.excused)
        pytest.fail(f"wrong, and not timed: {result.problem}", pytrace=False)
    record_property("said", f"{row.id}: {result.verdict.ratio:.2f} x {result.rival}: {result.verdict}")
