"""Options of `pytest benchmarks`, the run that its tests share, and the report at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import report
from benchmarks.paths import PATHS
from benchmarks.run import Run, rows
from benchmarks.workloads import cases
from tests.options import devices

RUN = pytest.StashKey[Run]()
PROGRESS = pytest.StashKey[dict[str, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What to measure, for how long, and where to put it."""
    group = parser.getgroup("speed of losses")
    group.addoption("--quick", action="store_true", help="a handful of shapes, eager paths only: under a minute")
    group.addoption("--large", action="store_true", help="the large shapes too: needs time, memory or an accelerator")
    group.addoption("--growth", action="store_true", help="growth with size, as series, too")
    group.addoption(
        "--path",
        action="append",
        help=f"repeatable: {', '.join(PATHS)} or any importable namespace (default: all of these)",
    )
    group.addoption(
        "--mode", action="append", choices=["forward", "backward", "both"], help="repeatable (default: all)"
    )
    group.addoption(
        "--row-seconds",
        type=float,
        help="time a row for at most so long (default: 4, with --quick 3; most need less than 1)",
    )
    group.addoption(
        "--heap",
        choices=["retained", "default"],
        default="retained",
        help="whether freed memory is kept, so that no time goes into page faults (default: retained)",
    )
    group.addoption(
        "--matrix", action="store_true", help="hold the composed and the compiled paths to the matrix, too: slow"
    )
    group.addoption("--speed-report", metavar="DIR", help="write report.md, report.json with the raw pairs, and plots")
    group.addoption(
        "--self-check",
        action="store_true",
        help="measure this tool's false alarms and power on this machine, and nothing else",
    )
    group.addoption(
        "--instructions",
        action="store_true",
        help="count instructions of the overhead-bound shapes under Valgrind, and nothing else",
    )


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """The options that time no losses."""
    if config.getoption("--self-check"):
        from benchmarks import selfcheck

        return selfcheck.main([])
    if config.getoption("--instructions"):
        from benchmarks import instructions

        return instructions.main([])
    return None


def _device(config: pytest.Config) -> torch.device:
    """The first asked for, or the accelerator, or cpu."""
    return torch.device(devices(config)[0 if config.getoption("--device") else -1])


def _chosen(config: pytest.Config) -> list[Any]:
    option = config.getoption
    named = [tier for tier in ("large", "growth") if option(f"--{tier}")]
    tiers = ("quick", *([] if option("--quick") else ["default"]), *named)
    paths = tuple(option("--path") or (PATHS[:2] if option("--quick") else PATHS))
    dtypes, modes = option("--dtype", default=None), option("--mode")
    chosen = [c for c in cases(tiers) if (not dtypes or c.dtype in dtypes) and (not modes or c.mode in modes)]
    return list(rows(chosen, paths))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per row."""
    if "row" in metafunc.fixturenames:
        chosen = _chosen(metafunc.config)
        metafunc.parametrize("row", chosen, ids=[row.id for row in chosen])


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """The run: canaries first, canaries last."""
    config = request.config
    option = config.getoption
    given = [a for a in config.invocation_params.args if a in ("--large", "--growth", "--quick")]
    made = Run(
        _device(config),
        seconds=option("--row-seconds") or (3.0 if option("--quick") else 4.0),
        seed=option("--seed", default=0),
        retain=option("--heap") == "retained",
        repeat=" ".join(["pytest benchmarks", *given]),
    )
    config.stash[RUN] = made
    yield made
    trouble = made.close()
    if trouble:
        pytest.fail(trouble, pytrace=False)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Know how much there is to do."""
    rows = [item for item in session.items if "row" in getattr(item, "fixturenames", ())]
    session.config.stash[PROGRESS] = {"all": len(rows), "done": 0, "said": set(), "began": time.monotonic()}


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Progress: a line per row, with its verdict and the time left."""
    said = dict(getattr(report, "user_properties", ())).get("said")
    if report.when != "call" or said is None:
        return None
    if report.nodeid in (progress := config.stash[PROGRESS])["said"]:
        return None  # asked again, for the summary
    progress["said"].add(report.nodeid)
    progress["done"] += 1
    spent = time.monotonic() - progress["began"]
    left = spent / progress["done"] * (progress["all"] - progress["done"])
    line = f"[{progress['done']}/{progress['all']}, {left / 60:.0f} min left] {said}"
    return "xfailed" if hasattr(report, "wasxfail") else report.outcome, f"\n{line}", line


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table."""
    made = config.stash.get(RUN, None)
    if made is None or not made.results:
        return
    for line in report.table(made):
        terminalreporter.write_line(line)
    folder = config.getoption("--speed-report")
    if folder:
        for path in report.write(made, Path(folder)):
            terminalreporter.write_line(f"written: {path}")
