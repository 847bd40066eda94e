"""Are the paths that are timed losses at all? Subjects of the matrix like any other: each case, value and gradient.

Asked with `--matrix`: of the composition of elementary operations at every case, extreme ones included; of the compiled
paths, where each shape and each pair of options takes a second or more, at every pair of options at typical inputs, and
at every regime of a plain call. Where the composed path is legitimately worse, `path_divergences` says why.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from reference.catalog import CATALOG
from tests.cases import Case, matrix
from tests.judge import Judge
from tests.test_gradient import test_gradient as gradient
from tests.test_value import test_value as value

from .path_divergences import Less, current, known
from .paths import COMPILED, function

Question = Callable[[Case, Any, Judge], None]
QUESTIONS: dict[str, Question] = {"value": value, "gradient": gradient}


class Path:
    """The functions of a path, a compiled one compiled anew for each shape."""

    def __init__(self, name: str) -> None:
        """Of one of PATHS."""
        self.__name__ = name

    def __getattr__(self, loss: str) -> Any:
        """The function, if the path offers it."""
        found = function(self.__name__, loss)
        if found is None:
            raise AttributeError(loss)
        setattr(self, loss, found)
        return found


def cases(path: str, config: pytest.Config) -> Iterator[Case]:
    """Those of the matrix in float32 on a CPU that a path is held to."""
    offered = [row for row in CATALOG if function(path, row.function)]
    every = matrix(["float32"], ["cpu"], config.getoption("--seed", default=0), rows=offered)
    if path in COMPILED:
        return filter(_is_worth_compiling, every)
    return every


def _is_worth_compiling(case: Case) -> bool:
    row = case.row
    if case.variant.form not in row.forms or case.reduction not in ("none", "mean"):
        return False
    pairs = {variant.name for variant in row.few()}
    return case.variant.name in pairs if case.regime == "typical" else case.variant.name == row.plain(case.variant.form).name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test per path, case and question."""
    if "path_case" in metafunc.fixturenames:
        names = "path", "path_case", "of"
        if not metafunc.config.getoption("--matrix"):
            metafunc.parametrize(names, [pytest.param(None, None, None, marks=pytest.mark.skip(reason="it is asked with --matrix"))])
            return
        found = [(path, case, of) for path in ("unfused", *COMPILED) for case in cases(path, metafunc.config) for of in QUESTIONS]
        metafunc.parametrize(names, found, ids=[f"{path}-{case.id}-{of}" for path, case, of in found])


@pytest.fixture(scope="module")
def judge() -> Judge:
    """One that records these paths, and not torch."""
    return Judge(torch.__version__)


PATHS: dict[str, Path] = {}
NEEDED: set[str] = set()


def test_path(path: str, path_case: Case, of: str, judge: Judge) -> None:
    """The path is the loss, within the budget, where it is not known to be less."""
    entry, problem = known(f"{path}-{path_case.id}", torch.__version__), _departs(path, path_case, of, judge)
    if problem and entry is not None:
        NEEDED.add(entry.why)
        pytest.xfail(f"{entry.why}: {problem.splitlines()[0][:200]}")
    assert not problem, problem


def test_entries_are_needed(request: pytest.FixtureRequest) -> None:
    """Of each divergence of a path there is a case that needs it; asked where all of its cases were, in this process."""
    if not request.config.getoption("--matrix") or hasattr(request.config, "workerinput"):
        pytest.skip("it is asked with --matrix, of one process")
    asked = {item.callspec.params["path"] for item in request.session.items if "path_case" in getattr(item, "fixturenames", ())}
    idle = [entry.why for entry in current(torch.__version__) if _about(entry) in asked and entry.why not in NEEDED]
    assert not idle


def _about(entry: Less) -> str:
    return "unfused" if entry.cases[0].startswith("*unfused-") else entry.cases[0].partition("-")[0]


def _departs(path: str, case: Case, of: str, judge: Judge) -> str:
    """What is wrong with a path in a case, or nothing."""
    subject = PATHS.setdefault(path, Path(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            QUESTIONS[of](case, subject, judge)
        except Exception as error:  # of a compiler, too
            return f"{type(error).__name__}: {str(error)[:600]}"
    return ""
