"""Do the ratios of several runs agree? `python -m benchmarks.repeats DIR/report.json DIR/report.json ...`.

Of each path beside its rival, over all pairs of runs: how far apart the two ratios are, and how often one lies in the
interval that the other run printed. Half of the variance between two runs, less that of their pairs, is what differs
from one process to another: `verdict.PROCESSES`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .verdict import Verdict

Row = dict[str, Any]


def lines(runs: list[dict[str, Row]]) -> Iterator[str]:
    """A line for twins, and one for each path."""
    pairs = [(a[name], b[name]) for a, b in itertools.combinations(runs, 2) for name in a.keys() & b.keys()]
    by: dict[str, list[tuple[Row, Row]]] = {}
    for pair in pairs:
        by.setdefault("twins" if pair[0]["path"] == pair[0]["rival"] else pair[0]["path"], []).append(pair)
    for path, found in sorted(by.items()):
        apart = np.array([math.log(a["verdict"]["ratio"] / b["verdict"]["ratio"]) for a, b in found])
        inside = sum(_within(a, b) + _within(b, a) for a, b in found)
        own = np.mean([Verdict(**a["verdict"]).error ** 2 + Verdict(**b["verdict"]).error ** 2 for a, b in found])
        process = math.sqrt(max(0.0, float(np.mean(apart**2) - own) / 2))
        yield (
            f"{path}: {len(found)} pairs of runs of a row; apart by {np.median(abs(apart)):.1%} in the middle, "
            f"{np.quantile(abs(apart), 0.9):.1%} in one of ten; in the other's interval {inside} of {2 * len(found)}; "
            f"from process to process {process:.1%}"
        )


def _within(one: Row, other: Row) -> bool:
    low, high = one["interval"]
    return bool(low <= other["verdict"]["ratio"] <= high)


def timed(report: Path) -> dict[str, Row]:
    """The rows of a report that have a verdict, by id."""
    return {row["id"]: row for row in json.loads(report.read_text())["rows"] if row["verdict"]}


def main(arguments: list[str] | None = None) -> int:
    """Print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repeats", description="Do the ratios of several runs agree?")
    parser.add_argument("reports", nargs="+", type=Path, help="report.json of two runs or more, as --speed-report writes it")
    given = parser.parse_args(arguments)
    if len(given.reports) < 2:
        parser.error(f"one report given: {given.reports[0]}; two or more are needed")
    print(*lines([timed(report) for report in given.reports]), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
