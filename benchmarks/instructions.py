"""Instructions per call of the overhead-bound shapes, counted under Valgrind: `pytest benchmarks --instructions`.

A count repeats to 0.1 %, whatever else the machine does, and sees half a per cent more of dispatcher or autograd.
It is blind to caches, page faults and threads, and Valgrind knows no AVX-512: torch takes other kernels there than
outside, so the instruction set stands beside every number. Importing torch alone takes a minute or two.
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
FEW, MANY = 20, 120  # calls: the difference of two counts is free of the start-up
CASES = ("cross_entropy-mnist-float32-both", "mse_loss-1e4-float32-both")
SCRIPT = """
import sys, torch
from benchmarks.paths import function
from benchmarks.step import Step, inputs_of
from benchmarks.workloads import TIERS, cases
torch.set_num_threads(1)
case = next(c for c in cases(TIERS) if c.id == sys.argv[1])
step = Step(function(sys.argv[2], case.workload.loss), case, inputs_of(case, torch.device("cpu")))
step.prepare(int(sys.argv[3]))()
print(torch.backends.cpu.get_cpu_capability())
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, and print a line per shape and path."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--case", action="append", help=f"repeatable (default: {', '.join(CASES)})")
    parser.add_argument("--path", action="append", help="repeatable (default: fused, unfused)")
    given = parser.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: no instructions can be counted")
        return 1
    for case in given.case or CASES:
        for path in given.path or ("fused", "unfused"):
            (few, _), (many, isa) = (count(case, path, calls) for calls in (FEW, MANY))
            print(f"{case}-{path}: {(many - few) / (MANY - FEW):,.0f} instructions per call ({isa})", flush=True)
    return 0


def count(case: str, path: str, calls: int) -> tuple[int, str]:
    """Instructions of a process that makes so many calls, and the instruction set that torch took."""
    with TemporaryDirectory() as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={folder}/out",
            sys.executable,
            "-c",
            SCRIPT,
            case,
            path,
            str(calls),
        ]
        environment = {**os.environ, **ISA, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        counted = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode or counted is None:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return int(counted[1]), done.stdout.split()[-1]


if __name__ == "__main__":
    raise SystemExit(main())
