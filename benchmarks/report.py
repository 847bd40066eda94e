"""The report: a table for the terminal, Markdown, JSON with the raw pairs; plots are in `plots`."""

from __future__ import annotations

import json
import math
import os
import platform
import textwrap
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import tails
from .departures import DEPARTURES, departure
from .results import Result, load
from .run import verdicts
from .verdict import CONFIDENCE, PROCESSES, as_json

if TYPE_CHECKING:
    from .run import Run

WIDTH = 120
HEAD = ("path", "ns/elem", "GB/s", "limit", "memory", "kernels", "compile", "pays", "time / rival", "misses", "verdict")
LAYOUT = "{:<17}{:>8}{:>7}{:>7}{:>8}{:>8}{:>8}{:>8} {:>20}{:>7}  {}"
LEGEND = (
    "ns/elem: the rival's median time in its calmest row, times the ratio, per element of the first argument",
    "GB/s: the bytes that no implementation can do without moving, over that time",
    "limit: what a plain copy of those bytes takes (c: in cache, m: from memory), or the matrix product, over it",
    "memory: peak beyond the inputs, as a multiple of them; pays: calls until compiling has paid",
    f"time / rival: below 1 is faster; in brackets where another run finds it, {CONFIDENCE:.1%} of the time",
    f"verdict: of these pairs in this process; two paths differ by some {PROCESSES:.0%} more from one process to another",
    "misses: the smallest slowdown that the row shows in 9 runs of 10; it could miss a smaller one",
)


def lines_of(result: Result) -> tuple[str, ...]:
    """The cells of a row."""
    v = result.verdict
    if v is None:
        why = f"wrong, not timed: {result.problem}"
        return (result.path, "", "", "", "", "", "", "", "", "", why)
    memory = f"{result.peak / result.input_bytes:.2f}x" if result.input_bytes > 4096 else _bytes(result.peak)
    compile_time = "" if math.isnan(result.compile_cold) else f"{result.compile_cold:.1f} s"
    pays = "" if math.isnan(result.compile_cold) else _count(result.pays_after)
    low, high = result.interval
    word = v.word if result.path != result.rival else f"{v.word} (its twin)"
    return (
        result.path,
        _number(result.ns_per_element),
        _number(result.bytes_per_second / 1e9),
        f"{result.limit_share:.0%}{'c' if result.in_cache else 'm'}",
        memory,
        str(result.kernels) if result.kernels else "",
        compile_time,
        pays,
        f"{v.ratio:.3f} [{low:.3f}, {high:.3f}]",
        f"{v.detectable:.1%}",
        word + (" *" if result.excused else ""),
    )


def _number(x: float) -> str:
    return f"{x:.3g}" if x < 1000 else f"{x:.0f}"


def _count(x: float) -> str:
    return "never" if math.isinf(x) else f"{x:.0f}" if x < 1e5 else f"{x:.0e}".replace("e+0", "e")


def _bytes(n: int) -> str:
    return f"{n} B" if n < 10_000 else f"{n / 1e3:.0f} kB" if n < 1e7 else f"{n / 1e6:.0f} MB"


def cases(results: list[Result]) -> Iterator[tuple[str, list[Result]]]:
    """The rows of each case, with the case's title."""
    for case, found in groupby(results, key=lambda r: r.case):
        several = list(found)
        yield case, several


def title(case: str, first: Result) -> str:
    """What the case is."""
    return f"{case}: {first.about}, {first.shape}; rival: {first.rival}"


def environment(run: Run) -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.began)),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "instruction set": torch.backends.cpu.get_cpu_capability(),
        "device": _device_name(run.device),
        "threads": torch.get_num_threads(),
        "clock": "CPU time" if run.device.type == "cpu" else "device events",
        "heap": "retained" if run.retained else "default",
        "load before and after": [round(run.load_before, 2), round(load(), 2)],
        "compiler start-up, s": round(run.cache.start_up, 1),
        "minutes": round((time.time() - run.began) / 60, 1),
        "seed": run.seed,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def _device_name(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else torch.get_device_module(device).get_device_name()


def footer(run: Run) -> Iterator[str]:
    """What to know before believing the table."""
    yield from LEGEND
    yield "verdicts: " + ", ".join(f"{n} {word}" for word, n in sorted(verdicts(run.results).items()))
    for why in dict.fromkeys(r.verdict.why for r in run.results if r.verdict and r.verdict.why):
        yield f"contaminated: {why}"
    yield "canaries: " + "; ".join(
        f"{c.name} {c.verdict.ratio:.3f} {c.verdict.word}{'' if c.sings else ' (MUST BE ' + c.expected + ')'}"
        for c in run.canaries
    )
    for why in dict.fromkeys(r.excused for r in run.results if r.excused):
        yield f"* beyond the budget of accuracy, {len([r for r in run.results if r.excused == why])} rows: {why}"
    idle = [d.rows for d in DEPARTURES if d not in run.used and any(departure(r.id, r.device) is d for r in run.results)]
    if idle:
        yield f"departures that no row here needed any more: {', '.join(idle)}"
    yield "; ".join(f"{name}: {value}" for name, value in environment(run).items())
    yield f"one row again: {run.repeat} -k ID-PATH, as in {run.results[-1].repeat}"


def table(run: Run) -> Iterator[str]:
    """For a terminal of 120 columns."""
    yield ""
    yield LAYOUT.format(*HEAD)
    for case, results in cases(run.results):
        yield _fit(title(case, results[0]))
        yield from (
            _fit(LAYOUT.format(*("  " + c if i == 0 else c for i, c in enumerate(lines_of(r))))) for r in results
        )
    yield ""
    for line in footer(run):
        yield from textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _fit(line: str) -> str:
    line = line.rstrip()
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def markdown(run: Run, plots: list[Path]) -> Iterator[str]:
    """For a pull request, or the results page."""
    yield f"# Paths of the losses, {environment(run)['date'][:10]}, torch {torch.__version__}, {run.device.type}\n"
    yield from advice(run.results)
    for path in plots:
        yield f"![{path.stem}]({path.name})\n"
    for case, results in cases(run.results):
        yield f"\n### {title(case, results[0])}\n"
        yield "| " + " | ".join(HEAD) + " |"
        yield "|" + "---|" * len(HEAD)
        yield from ("| " + " | ".join(c.replace("|", "\\|") for c in lines_of(r)) + " |" for r in results)
        yield f"\n`{run.repeat} -k {case}`"
    yield "\n## Where the composition of elementary operations is worse\n"
    yield from tails.lines()
    yield "\n## What the numbers are\n"
    yield from (f"- {line}" for line in footer(run))


def advice(results: list[Result]) -> Iterator[str]:
    """Who should use which path: per case, forward and backward, torch's own function against the others."""
    yield "How many times as fast as torch's own function (fused); above 1 is faster, * marks what differs from it.\n"
    yield "| loss | workload | unfused | compiled fused | compiled unfused | chunked | fused: share of limit | use |"
    yield "|---|---|---|---|---|---|---|---|"
    for _, rows in cases(results):
        by = {r.path: r for r in rows}
        first = by.get(rows[0].rival, rows[0])
        if first.mode != "both" or first.path != "fused":
            continue
        cells = [_speedup(by.get(path)) for path in ("unfused", "compiled_fused", "compiled_unfused", "chunked")]
        timed = [r for r in rows if r.verdict is not None and (r.path == first.rival or r.verdict.word == "faster")]
        best = min(timed, key=lambda r: r.verdict.ratio if r.verdict and r.path != r.rival else 1.0, default=None)
        where = f"{first.workload}, {first.shape}" + ("" if first.dtype == "float32" else f", {first.dtype}")
        share = f"{first.limit_share:.0%}" if first.launches else ""
        yield (
            f"| `{first.loss}` | {where} | "
            + " | ".join(cells)
            + f" | {share} | {best.path.replace('_', ' ') if best else ''} |"
        )
    yield ""


def _speedup(result: Result | None) -> str:
    if result is None:
        return ""
    if result.verdict is None:
        return "wrong"
    return f"{1 / result.verdict.ratio:.2f}{'*' if result.verdict.flagged else ''}"


def data(run: Run) -> dict[str, Any]:
    """Everything, the raw pairs included."""
    return {
        "environment": environment(run),
        "canaries": [{"name": c.name, "expected": c.expected, **as_json(c.verdict)} for c in run.canaries],
        "pair": [f"{whose}{what}" for whose in ("", "rival ") for what in ("seconds", "wall", "faults", "preempted")],
        "rows": [{**r.as_json(), "verdict": as_json(r.verdict) if r.verdict else None} for r in run.results],
    }


def write(run: Run, folder: Path) -> list[Path]:
    """report.json, the plots where matplotlib is there, and report.md."""
    folder.mkdir(parents=True, exist_ok=True)
    plots: list[Path] = []
    try:
        from .plots import draw

        plots = draw(run.results, folder)
    except ImportError:
        pass
    (folder / "report.json").write_text(json.dumps(data(run), default=_plain, separators=(",", ":")))
    (folder / "report.md").write_text("\n".join(markdown(run, plots)) + "\n")
    return [folder / "report.json", folder / "report.md", *plots]


def _plain(value: Any) -> Any:
    return float(f"{float(value):.6g}") if isinstance(value, np.generic) else str(value)
