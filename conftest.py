"""Options, header, fixtures and the accuracy table: this file only wires."""

from __future__ import annotations

import gc
import os
import pathlib
import platform
import sys
from collections.abc import Generator
from typing import Any

import pytest
import torch
from _pytest.runner import runtestprotocol

from reference.formats import FORMATS
from tests import lost, offers, process, table
from tests.cases import matrix
from tests.judge import Judge
from tests.options import devices, formats, missing, subject_of

JUDGE, TABLES = pytest.StashKey[Judge](), pytest.StashKey[list[Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("losses")
    group.addoption(
        "--device",
        action="append",
        help="cpu, cuda, mps ...; repeatable (default: cpu and the accelerator torch reports)",
    )
    group.addoption("--dtype", action="append", choices=list(FORMATS), help="repeatable (default: all four)")
    group.addoption(
        "--subject",
        default="torch.nn.functional",
        help="a module with torch.nn.functional's names, to be held to the specification in torch's place",
    )
    group.addoption("--seed", type=int, default=0, help="of the inputs (default: 0)")
    group.addoption("--compile-all", action="store_true", help="compile with inductor, and export, every pair of options of every loss, dynamic shapes, a class past the end, numbers that are refused in every form, and the bad calls that compiled losses are known to accept")
    group.addoption("--self-test", action="store_true", help="test the suite itself, too: that the specification is right to 50 digits, that inputs are in their domains, and that the checks can fail (naming the file of such tests runs them as well)")
    group.addoption("--accuracy", metavar="FILE", help="write the accuracy table to FILE, as Markdown")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_dtype: whether what is known is about a case: asked where no dtype is left out")
    config.addinivalue_line("markers", "self_test: asks of the suite, and of no torch: run with --self-test, or if the file is named")
    torch.set_num_threads(1)  # the cases are small, and pytest-xdist has the other cores
    process.at_first()
    config.stash[JUDGE] = Judge(torch.__version__)
    config.stash[TABLES] = []
    devices(config), subject_of(config)  # which say so if there is none


def pytest_report_header(config: pytest.Config) -> list[str]:
    lines = [f"torch {torch.__version__} on {', '.join(devices(config))}; seed {config.getoption('--seed')}"]
    if missing(config):
        lines.append(f"not there, and not tested: {', '.join(missing(config))}")
    without = [row.name for row in offers.absent(subject_of(config))]
    return [*lines, f"not offered by {config.getoption('--subject')}: {', '.join(without) or 'nothing'}"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        config = metafunc.config
        absent = list(offers.absent(subject_of(config)))

        def lacking(row: Any, dtype: str, device: str) -> bool:
            return row in absent or offers.is_missing(row, dtype, device, torch.__version__)

        dtypes, seed = config.getoption("--dtype") or list(FORMATS), config.getoption("--seed")
        cases = list(matrix(dtypes, devices(config), seed, missing=lacking))
        metafunc.parametrize("case", cases, ids=[case.id for case in cases])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among the tests while they pile up, nor later: it took half of the time of collecting them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One order in every process, as pytest-xdist needs; what shares a case's truth, or a trained model, together."""
    items.sort(key=_order)
    if not config.getoption("--self-test"):
        _deselect_self_tests(config, items)
    if len(formats(config)) < len(FORMATS):
        for item in filter(lambda item: item.get_closest_marker("every_dtype"), items):
            item.add_marker(pytest.mark.skip(reason="asked where --dtype leaves none out"))


def _deselect_self_tests(config: pytest.Config, items: list[pytest.Item]) -> None:
    named = {pathlib.Path(arg.partition("::")[0]).name for arg in config.args}
    apart = {item for item in items if "self_test" in item.keywords and item.path.name not in named}
    if apart:
        config.hook.pytest_deselected(items=list(apart))
        items[:] = [item for item in items if item not in apart]


def _order(item: pytest.Item) -> tuple[int, int, str, str, str]:
    shared = getattr(item, "fixturenames", ())
    if item.path.parent.name != "tests":  # rows of a benchmark stand in the order of its table
        return 2, 0, "", "", ""
    if "case" in shared:
        return 0, item.callspec.indices["case"], "", "", item.nodeid
    return 1, 0, item.path.name, item.callspec.id if "task" in shared else "", item.nodeid


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """In a worker of pytest-xdist, report calls alone, not that tests start, end, or are set up: of so many short ones that all is well."""
    if not hasattr(item.config, "workerinput") or item.config.getoption("xmlpath", None):  # which counts on all three
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed:
            report.keywords = {}  # half of the message, and nothing that prints it reads them
            item.ihook.pytest_runtest_logreport(report=report)
    pytest_runtest_logfinish(item.nodeid)
    return True


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish(nodeid: str) -> None:
    """End a process whose accelerator a test has lost, lest every test after it fails for it; xdist starts another."""
    if not (said := lost.accelerator()):
        return
    message = f"{nodeid} lost the accelerator, and ends its process: {said}"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.exit(message, returncode=pytest.ExitCode.TESTS_FAILED)
    print(message, file=sys.stderr, flush=True)
    os._exit(1)


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Any:
    """The namespace that is held to the specification."""
    return subject_of(request.config)


@pytest.fixture(scope="session")
def judge(request: pytest.FixtureRequest) -> Judge:
    """Compares, and remembers the worst."""
    return request.config.stash[JUDGE]


# -- the accuracy table, from one process or from pytest-xdist's workers ----------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[TABLES].extend(getattr(node, "workeroutput", {}).get("accuracy", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    worst = session.config.stash[JUDGE].worst
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["accuracy"] = [[list(key), row] for key, row in worst.items()]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    others = [{tuple(key): row} for key, row in config.stash[TABLES]]
    found = table.merge([config.stash[JUDGE].worst, *others])
    if not found:
        return
    terminalreporter.section("accuracy: the worst error, in units of the budget and in ulps")
    for line in table.terminal(found):
        terminalreporter.write_line(line)
    if config.getoption("--accuracy"):
        names = [torch.get_device_module(d).get_device_name() for d in devices(config) if d != "cpu"]
        about = ", ".join([f"torch {torch.__version__}", platform.machine(), *names, f"seed {config.getoption('--seed')}"])
        pathlib.Path(config.getoption("--accuracy")).write_text(table.markdown(found, about), encoding="utf-8")
