"""Which dtypes does an argument take beside the others? What is taken is promoted, and right; the rest is refused."""

from __future__ import annotations

import importlib
import warnings
from fnmatch import fnmatchcase
from functools import reduce
from typing import Any

import pytest
import torch

from .calls import Call, run
from .dtype_departures import DTYPE_DEPARTURES
from .dtypes import PROMOTING_SIGNS, TAKES
from .isolated import afresh
from .known import Known, changed, elsewhere, slug, unexpected
from .mixed import LABELS, Mixed, mixed_cases
from .options import offered


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per case."""
    if "mixed" in metafunc.fixturenames:
        metafunc.parametrize("mixed", mixed_cases(metafunc.config), ids=lambda case: case.id)


def test_dtype(mixed: Mixed, subject: Any, pytestconfig: pytest.Config) -> None:
    """A dtype that is taken promotes as in any operation, and value and gradients are right; another is refused."""
    said = []
    for reduction in ("none", "mean"):
        if mixed.is_fatal:
            wrong = afresh(apart, (mixed, reduction, pytestconfig.getoption("--subject")))
        else:
            wrong = problem(mixed, reduction, subject)
        said.append(unexpected(f"{mixed.id} {reduction}", wrong, DTYPE_DEPARTURES))
    assert not any(said), "\n".join(filter(None, said))


def apart(job: tuple[Mixed, str, str]) -> str:
    """What is wrong, asked in a process of its own, of a subject by its name."""
    mixed, reduction, name = job
    return problem(mixed, reduction, importlib.import_module(name))


def problem(mixed: Mixed, reduction: str, subject: Any) -> str:
    """What is wrong, if anything."""
    call, given, may = mixed.call, mixed.given(), mixed.may
    names = tuple(name for name in call.differentiable if given[name].is_floating_point())
    wanted = promoted(call, given)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", "reduction: 'mean' divides")  # whatever the dtype: `test_warnings` asks for it
            got = run(subject, call, given, reduction, call.vector(reduction), names)
        if mixed.is_fatal:
            torch.accelerator.synchronize()  # it refuses when it gets there
    except (RuntimeError, ValueError, TypeError, IndexError) as refusal:
        return f"{type(refusal).__name__}: {refusal}" if may or isinstance(refusal, UnicodeError) else ""
    if not may:
        return f"is taken, and gives {got.value.dtype}"
    wrong = [] if got.value.dtype == wanted else [f"has dtype {got.value.dtype}, not {wanted}"]
    wrong += [f"warns of {w.message}" for w in heard]
    wrong += [f"the gradient of {n} has dtype {g.dtype}" for n, g in got.gradients.items() if g.dtype != given[n].dtype]
    return "; ".join(wrong + call.problems(got, reduction))


def promoted(call: Call, given: dict[str, torch.Tensor]) -> torch.dtype:
    """What the numbers among the arguments promote to; labels are none."""
    domains = {name: call.variant.choices[name.partition(".")[0]].domain for name in given}
    labels = [label for label in LABELS if label != "sign" or call.row.name not in PROMOTING_SIGNS]
    return reduce(torch.promote_types, (t.dtype for name, t in given.items() if domains[name] not in labels))


@pytest.mark.parametrize("entry", [e for e in DTYPE_DEPARTURES if e.here()], ids=lambda entry: entry.name)
def test_every_departure_is_asked_about_and_is_still_there(entry: Known, pytestconfig: pytest.Config) -> None:
    """It matches a case, and its reproducer gives what it is said to give."""
    asked = [f"{case.id} {reduction}" for case in mixed_cases(pytestconfig) for reduction in ("none", "mean")]
    assert elsewhere(entry.cases, asked) or any(map(entry.covers, asked))
    assert not (said := changed(entry)), said


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in TAKES], ids=slug)
def test_every_line_of_the_table_is_read(pattern: str, pytestconfig: pytest.Config) -> None:
    """For some argument of some call it is the first that matches."""
    asked = {case.what for case in mixed_cases(pytestconfig)}
    absent = pattern.partition("-")[0].strip("*") not in "".join(row.name for row in offered(pytestconfig))
    assert absent or any(next((p for p, _ in TAKES if fnmatchcase(what, p)), "") == pattern for what in asked)
