"""Options, header, fixtures and the accuracy table: this file only wires."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from reference.formats import FORMATS
from tests.cases import matrix
from tests.judge import Judge


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("losses")
    group.addoption("--device", action="append", help="cpu, cuda, mps, ...; repeatable (default: cpu and the accelerator that torch reports)")
    group.addoption("--dtype", action="append", choices=list(FORMATS), help="repeatable (default: all)")
    group.addoption("--subject", default="torch.nn.functional", help="a module with the names of torch.nn.functional, to be held to the specification")
    group.addoption("--seed", type=int, default=0, help="of the inputs (default: 0)")
    group.addoption("--accuracy", metavar="FILE", help="write the accuracy table to FILE, as Markdown")


def devices(config: pytest.Config) -> list[str]:
    """Those asked for, or cpu and the accelerator torch reports; without those that are not there."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return config.getoption("--device") or ["cpu", *([accelerator.type] if accelerator else [])]


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)  # the cases are small, and pytest-xdist takes the other cores
    config.stash[JUDGE] = Judge(torch.__version__)
    config.stash[TABLES] = []


JUDGE, TABLES = pytest.StashKey[Judge](), pytest.StashKey[list[Any]]()


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"torch {torch.__version__}, devices: {', '.join(devices(config))}, subject: {config.getoption('--subject')}, seed {config.getoption('--seed')}"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        config = metafunc.config
        cases = list(matrix(config.getoption("--dtype") or list(FORMATS), devices(config), config.getoption("--seed")))
        metafunc.parametrize("case", cases, ids=[case.id for case in cases])


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Any:
    """The namespace that is held to the specification."""
    return importlib.import_module(request.config.getoption("--subject"))


@pytest.fixture(scope="session")
def judge(request: pytest.FixtureRequest) -> Judge:
    """Compares, and remembers the worst."""
    return request.config.stash[JUDGE]
