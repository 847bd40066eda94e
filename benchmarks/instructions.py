"""Instructions per call of the overhead-bound shapes, counted under Valgrind: `pytest benchmarks --instructions`.

A count repeats to 0.1 %, whatever else the machine does, and sees half a per cent more of dispatcher or autograd.
It is blind to caches, page faults and threads, and Valgrind knows no AVX-512: torch takes other kernels there than
outside, so the instruction set stands beside every number. Nothing is counted while torch is imported, which is
faster so; half a minute a path all the same.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
ISA = {"ATEN_CPU_CAPABILITY": "avx2"}
FEW, MANY = 20, 120  # calls: the difference of two counts is free of what it takes to begin and end one
CASES = ("cross_entropy-mnist-float32-both", "mse_loss-1e4-float32-both")
SCRIPT = """
import gc, os, subprocess, sys, torch
from benchmarks.paths import function
from benchmarks.step import Step, inputs_of
from benchmarks.workloads import TIERS, cases

def control(what):
    subprocess.run(["callgrind_control", what, str(os.getpid())], check=True, stdout=sys.stderr)

case_id, path, few, many = sys.argv[1:]
torch.set_num_threads(1)
case = next(c for c in cases(TIERS) if c.id == case_id)
step = Step(function(path, case.workload.loss), case, inputs_of(case, torch.device("cpu")))
control("--instr=on")
gc.disable()
for calls in (few, few, many):  # the first are to warm up
    run = step.prepare(int(calls))
    control("--zero")
    run()
    control("--dump")
print(torch.backends.cpu.get_cpu_capability())
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, and print a line per shape and path."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--case", action="append", help=f"repeatable (default: {', '.join(CASES)})")
    parser.add_argument("--path", action="append", help="repeatable (default: fused, unfused)")
    given = parser.parse_args(arguments)
    if lacking := [tool for tool in ("valgrind", "callgrind_control") if shutil.which(tool) is None]:
        print(f"{' and '.join(lacking)} not installed: no instructions can be counted")
        return 1
    for case in given.case or CASES:
        for path in given.path or ("fused", "unfused"):
            few, many, isa = count(case, path)
            print(f"{case}-{path}: {(many - few) / (MANY - FEW):,.0f} instructions per call ({isa})", flush=True)
    return 0


def count(case: str, path: str) -> tuple[int, int, str]:
    """Instructions of few calls and of many, in one process, and the instruction set that torch took."""
    with TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={counts}"]
        command = [*callgrind, sys.executable, "-c", SCRIPT, case, path, str(FEW), str(MANY)]
        environment = {**os.environ, **ISA, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        few, many = (int(re.findall(r"^totals: (\d+)", counts.with_suffix(f".{dump}").read_text(), re.MULTILINE)[0]) for dump in (2, 3))
    return few, many, done.stdout.split()[-1]


if __name__ == "__main__":
    raise SystemExit(main())
