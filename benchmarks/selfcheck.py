"""How often this tool is wrong, measured on this machine: `python -m benchmarks.selfcheck`.

Identical code is compared with itself, many times, and what is flagged is a false alarm. Then the same code is
slowed by 5 % and by 10 % (21 or 22 calls where it says 20), and what is not called slower is a miss.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .canaries import SLOWED, TWENTY
from .clock import Task, clock_for, retain_heap
from .duel import Calls, Duel, Slowed, confirmed, verdict_of
from .limits import Copy
from .paths import function
from .results import load
from .step import Step, inputs_of
from .verdict import as_json, upper_bound
from .workloads import Case, cases

CPU = torch.device("cpu")
CASES = (
    ("cross_entropy-mnist-float32-both", "fused"),
    ("cross_entropy-imagenet-float32-both", "unfused"),
    ("binary_cross_entropy_with_logits-coco-float32-both", "unfused"),
    ("mse_loss-1e4-float32-both", "fused"),
    ("mse_loss-1e6-float32-both", "fused"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rates; 1 if they are worse than promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selfcheck", description=__doc__)
    parser.add_argument("--comparisons", type=int, default=300, help="of identical code (default: 300)")
    parser.add_argument("--slowed", type=int, default=100, help="of each slowed twin (default: 100)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="that one comparison may take (default: 10; most need less than 1)"
    )
    parser.add_argument("--json", type=Path, help="keep every verdict here")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    retain_heap()
    began = time.time()
    found = [
        trial
        for share, wanted in ((0.0, given.comparisons), *((s, given.slowed) for s in SLOWED))
        for trial in _trials(share, wanted, given.seconds)
    ]
    lines, ok = summary(found)
    loads = sorted(trial["load"] for trial in found)
    lines.append(
        f"load {loads[0]:.1f} to {loads[-1]:.1f}, median {loads[len(loads) // 2]:.1f}, on {os.cpu_count()} cores"
    )
    lines.append(f"{(time.time() - began) / 60:.1f} minutes, torch {torch.__version__}")
    print("\n".join(lines))
    if given.json:
        given.json.write_text(json.dumps({"summary": lines, "comparisons": found}, indent=1) + "\n")
    return 0 if ok else 1


def tasks() -> dict[str, Callable[[], tuple[Task, Task]]]:
    """What meets its twin: shapes where overhead rules, shapes in cache, shapes beyond it, and a copy."""
    by_id = {case.id: case for case in cases(("quick", "default"))}
    return {**{f"{case}-{path}": partial(_twins, by_id[case], path) for case, path in CASES}, "copy-1MiB": _copies}


def _twins(case: Case, path: str) -> tuple[Task, Task]:
    made, inputs = function(path, case.workload.loss), inputs_of(case, CPU)
    assert made is not None
    return Step(made, case, inputs), Step(made, case, inputs)


def _copies() -> tuple[Task, Task]:
    copy = Copy(1 << 20, CPU)
    return Calls(copy), Calls(copy)


def _trials(share: float, wanted: int, seconds: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    several = tasks()

    def duel(name: str, seed: int) -> Duel:
        task, twin = several[name]()
        slowed, multiple = (Slowed(task, share), TWENTY) if share else (task, 1)
        return Duel(slowed, twin, clock_for(CPU), multiple, seed=seed)

    while len(found) < wanted:
        for name in several:
            begun = time.perf_counter()
            duels = confirmed(duel(name, len(found)).settle(seconds), partial(duel, name, wanted + len(found)), seconds)
            about = {"task": name, "slowed": share, "took": round(time.perf_counter() - begun, 2), "load": load(), "launches": len(duels)}
            found.append({**about, **as_json(verdict_of(duels))})
            if sys.stderr.isatty():
                print(f"\r{share:.0%} slower: {len(found)}/{wanted}", end="", file=sys.stderr)
    return found[:wanted]


def summary(found: list[dict[str, Any]]) -> tuple[list[str], bool]:
    """The rates in words, and whether they are as promised."""
    same = [t for t in found if not t["slowed"]]
    alarms = [t for t in same if t["word"] in ("faster", "slower")]
    rate, bound = len(alarms) / len(same), upper_bound(len(alarms), len(same))
    lines = [f"identical code: {len(alarms)} of {len(same)} flagged = {rate:.2%}, and 95 % sure below {bound:.2%}"]
    ok = len(alarms) <= 0.01 * len(same)
    for name in dict.fromkeys(t["task"] for t in same):
        mine = [t for t in same if t["task"] == name]
        words = ", ".join(f"{sum(t['word'] == w for t in mine)} {w}" for w in sorted({t["word"] for t in mine}))
        middle = sorted(t["detectable"] for t in mine)[len(mine) // 2]
        lines.append(f"  {name}: {words}; could have missed {middle:.1%}, in the median")
    for share in sorted({t["slowed"] for t in found} - {0.0}):
        mine = [t for t in found if t["slowed"] == share]
        caught = sum(t["word"] == "slower" for t in mine)
        longest = max(t["took"] for t in mine)
        lines.append(f"slower by {share:.0%}: {caught} of {len(mine)} flagged, in at most {longest:.0f} s each")
        ok &= caught >= (0.9 if share < 0.1 else 1.0) * len(mine)
    return lines, ok


if __name__ == "__main__":
    raise SystemExit(main())
