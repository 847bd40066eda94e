"""Is a new torch slower? `python -m benchmarks.releases OLD_PYTHON NEW_PYTHON` times two environments live.

Each environment is a worker process; this driver, which imports no torch, asks them in turn for one sample, in random
order. That is one launch. Processes of the same code differ by up to 4 %, so there are several launches, in random
starting order, and the interval is over launches first. A row that differs on the first launches (the screen) is put
to fresh ones, and only what all but certainly repeats there is called faster or slower.

What does not vary is compared as well, and needs no statistics: operators, peak memory, and the bits of the results.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from .verdict import Pair, Verdict, as_json, judge_pairs, logs_of, signs, undisturbed
from .workloads import TIERS, cases

ROOT = Path(__file__).resolve().parent.parent
SCREEN, CONFIRM, PAIRS = 5, 8, 60  # launches, fresh launches, pairs in each at least
FINE = 0.04  # enough pairs for a launch: beyond, launches differ by more
CHANCE = 2 * 2.0**-CONFIRM  # what the sign test gives if all fresh launches agree: 0.8 %
TWENTY = 20
CANARIES = {"copy": 0, "copy slowed by 5%": 1, "copy slowed by 10%": 2}  # calls beyond twenty, in the new one


class Worker:
    """A process in one of the environments."""

    def __init__(self, python: str) -> None:
        self.python = python
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        command = [python, "-m", "benchmarks.worker"]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, do: str, **more: Any) -> Any:
        """One question, one answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(
                f"{self.python} died when asked to {do} {more}; run it with -m benchmarks.worker to see why"
            )
        found = json.loads(line)
        if "error" in found:
            raise SystemExit(f"{self.python}: {do} {more}: {found['error']}")
        return found["answer"]

    def close(self) -> None:
        """Let it go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Row:
    """One case in both environments: the launches so far, and what does not vary."""

    case: str
    path: str = "fused"
    more: int | None = None  # a canary: so many calls beyond twenty
    launches: list[list[Pair]] = field(default_factory=list)
    fresh: list[list[Pair]] = field(default_factory=list)
    made: tuple[dict[str, Any], dict[str, Any]] = ({}, {})

    @property
    def name(self) -> str:
        """Of the task."""
        return "copy" if self.more is not None else f"{self.case}-{self.path}"

    @property
    def trouble(self) -> str:
        """Why it cannot be timed."""
        for which, made in zip(("old", "new"), self.made, strict=True):
            if made.get("absent"):
                return f"absent from the {which}"
            if "wrong" in made:
                return f"wrong in the {which}, not timed: {made['wrong']}"
        if self.made[0].get("inputs") != self.made[1].get("inputs"):
            return "the two were given different inputs"
        return ""

    @property
    def screened(self) -> Verdict:
        """What the first launches say."""
        return judge_pairs(self.launches)

    @property
    def agreeing(self) -> int:
        """On how many fresh launches the new one was slower, or faster, as on the first."""
        side = self.screened.ratio > 1
        return sum((_middle(pairs) > 0) == side for pairs in self.fresh)

    @property
    def verdict(self) -> Verdict:
        """Slower or faster only if the fresh launches repeat it."""
        first = self.screened
        if not self.fresh or not first.flagged:
            return first
        again = judge_pairs(self.fresh)
        certain = (
            signs([logs_of(undisturbed(pairs)) for pairs in self.fresh])
            <= CHANCE * (len(self.fresh) >= CONFIRM) + 1e-12
        )
        if again.flagged and again.word == first.word and certain:
            return again
        return replace(again, word="undecided") if again.flagged else again

    @property
    def structure(self) -> list[str]:
        """What changed that has no noise."""
        old, new = self.made
        found = []
        if old.get("operators") != new.get("operators"):
            gone = [o for o in old["operators"] if o not in new["operators"]]
            come = [o for o in new["operators"] if o not in old["operators"]]
            found.append(
                "operators: "
                + (" ".join([*(f"-{o}" for o in gone), *(f"+{o}" for o in come)]) or "another order or number")
            )
        if old.get("peak") != new.get("peak"):
            found.append(f"peak memory {old['peak']} -> {new['peak']} bytes")
        if old.get("results") != new.get("results"):
            found.append("bits of the results")
        return found


def _middle(pairs: list[Pair]) -> float:
    logs = sorted(logs_of(undisturbed(pairs)))
    return float(logs[len(logs) // 2])


def launch(
    pythons: Sequence[str], rows: list[Row], pairs: int, seconds: float, draw: random.Random, *, fresh: bool = False
) -> list[dict[str, Any]]:
    """A fresh pair of processes, and at least `pairs` pairs of each row, for at most about `seconds`."""
    order = [0, 1]
    draw.shuffle(order)
    workers: dict[int, Worker] = {which: Worker(pythons[which]) for which in order}
    try:
        described = [workers[which].ask("describe") for which in (0, 1)]
        for row in rows:
            if row.more is None:
                old, new = (workers[which].ask("make", case=row.case, path=row.path) for which in (0, 1))
                row.made = (old, new)
                if row.trouble:
                    continue
                calls = [max(made["calls"] for made in row.made)] * 2
                claimed = calls
            else:
                batches = max(workers[which].ask("make", case="copy", path="")["calls"] for which in (0, 1))
                whole = -(-batches // TWENTY)
                calls, claimed = [whole * TWENTY, whole * (TWENTY + row.more)], [whole * TWENTY] * 2
            one = partial(_pair, workers, row.name, calls, claimed, draw)
            found = list(_pairs(one, pairs, seconds))
            (row.fresh if fresh else row.launches).append(found)
    finally:
        for worker in workers.values():
            worker.close()
    return described


def _pairs(draw_one: Callable[[], Pair], pairs: int, seconds: float) -> Iterator[Pair]:
    """So many pairs, and more while they leave a slowdown of 4 % unseen and there is time: as in `duel.settle`."""
    found: list[Pair] = []
    end = time.monotonic() + seconds
    while len(found) < pairs or (time.monotonic() < end and not judge_pairs([found]).precise(FINE)):
        for _ in range(max(pairs // 4, len(found) // 3, 1)):
            found.append(draw_one())
            yield found[-1]


def _pair(workers: dict[int, Worker], name: str, calls: list[int], claimed: list[int], draw: random.Random) -> Pair:
    order = [0, 1]
    draw.shuffle(order)
    taken: dict[int, list[Any]] = {}
    for which in order:
        seconds, wall, faults, preempted = workers[which].ask("sample", name=name, calls=calls[which])
        scale = calls[which] / claimed[which]
        taken[which] = [seconds * scale, wall * scale, faults, preempted]
    return (*taken[1], *taken[0])  # the new one over the old one  # type: ignore[return-value]


def unlike(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What differs besides torch, said before any number."""
    for name in old:
        if name != "torch" and old[name] != new[name]:
            yield f"UNLIKE {name}: {old[name]} against {new[name]}"


def report(rows: list[Row], described: list[dict[str, Any]]) -> Iterator[str]:
    """The table, worst first."""
    yield from unlike(*described)
    yield f"torch {described[0]['torch']} -> {described[1]['torch']}; ratio: new time over old time"
    bad = [row for row in rows if row.more is not None and row.screened.flagged != bool(row.more)]
    layout = "{:<60} {:>22} {:>7} {:>8}  {}"
    yield layout.format("row", "ratio", "misses", "launches", "verdict")
    timed = [row for row in rows if row.launches]
    for row in sorted(timed, key=lambda r: -r.verdict.ratio):
        v = replace(row.verdict, word="contaminated") if bad and row.more is None else row.verdict
        launches = f"{row.agreeing}/{len(row.fresh)}" if row.fresh else str(len(row.launches))
        name = row.case if row.more is not None else row.name
        yield layout.format(name[:60], f"{v.ratio:.3f} [{v.low:.3f}, {v.high:.3f}]", f"{v.detectable:.1%}", launches, v)
        yield from (f"    changed: {change}" for change in row.structure)
    yield from (f"{row.name}: {row.trouble}" for row in rows if row.trouble)
    if bad:
        yield "no verdict in this run, for a canary came out wrong: " + ", ".join(
            f"{row.case} {row.screened}" for row in bad
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; 1 if something is slower, 2 if the run gives no verdict."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.releases", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", help="the Python of the environment with the old torch")
    parser.add_argument("new", help="and with the new one")
    parser.add_argument("-k", default="", help="only rows whose id contains this")
    parser.add_argument("--tier", action="append", choices=TIERS, help="repeatable (default: quick and default)")
    parser.add_argument("--path", default="fused", help="the path to compare (default: fused)")
    parser.add_argument("--mode", default="both", choices=["forward", "backward", "both"])
    parser.add_argument("--launches", type=int, default=SCREEN, help=f"of the screen (default: {SCREEN})")
    parser.add_argument(
        "--confirm", type=int, default=CONFIRM, help=f"fresh launches for what the screen flags (default: {CONFIRM})"
    )
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"at least, per launch and row (default: {PAIRS})")
    parser.add_argument(
        "--row-seconds", type=float, default=4.0, help="per launch and row, if the pairs spread (default: 4)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the orders")
    parser.add_argument("--json", type=Path, help="write the raw pairs here")
    given = parser.parse_args(arguments)

    tiers = tuple(given.tier or ("quick", "default"))
    chosen = [c.id for c in cases(tiers) if c.mode == given.mode and given.k in f"{c.id}-{given.path}"]
    rows = [Row(name, more=more) for name, more in CANARIES.items()] + [Row(case, given.path) for case in chosen]
    draw, pythons, began = random.Random(given.seed), (given.old, given.new), time.monotonic()
    described: list[dict[str, Any]] = []
    for number in range(given.launches):
        described = launch(pythons, rows, given.pairs, given.row_seconds, draw)
        if not number:
            print("\n".join(unlike(*described)) or "like environments", flush=True)
        _progress(f"screen {number + 1}/{given.launches}", began)
    flagged = [row for row in rows if row.more is None and row.launches and row.screened.flagged]
    for number in range(given.confirm if flagged else 0):
        launch(pythons, flagged, given.pairs, given.row_seconds, draw, fresh=True)
        _progress(f"confirm {number + 1}/{given.confirm}, {len(flagged)} rows", began)
    lines = list(report(rows, described))
    print("\n".join(lines))
    if given.json:
        given.json.write_text(
            json.dumps({"environments": described, "report": lines, "rows": [_data(row) for row in rows]})
        )
    if any("no verdict" in line for line in lines):
        return 2
    return int(any(row.verdict.word == "slower" for row in rows if row.more is None and row.launches))


def _progress(what: str, began: float) -> None:
    print(f"{what}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def _data(row: Row) -> dict[str, Any]:
    kept = {
        "row": row.name if row.more is None else row.case,
        "launches": row.launches,
        "fresh": row.fresh,
        "old": row.made[0],
        "new": row.made[1],
    }
    return {**kept, "verdict": as_json(row.verdict) if row.launches else None}


if __name__ == "__main__":
    raise SystemExit(main())
