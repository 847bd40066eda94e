"""Are the known divergences still what they are said to be? And does each excuse something?"""

import math
from fnmatch import fnmatchcase
from functools import cache

import pytest
import torch
import torch.nn.functional as F

from reference.formats import FORMATS

from .cases import matrix
from .divergence import in_release
from .divergences import DIVERGENCES
from .offers import MISSING, absent, is_missing
from .options import there
from .subject import call_function, differentiable, tensors

LACKING = {row.name for row in absent(F)}
HERE = [
    entry
    for entry in DIVERGENCES
    if in_release(entry.torch, torch.__version__)
    and entry.device in there()
    and not {pattern.partition("-")[0] for pattern in entry.cases} <= LACKING
]


@pytest.mark.parametrize("entry", HERE, ids=lambda entry: entry.name)
def test_it_is_still_there(entry) -> None:
    """The reproducer still gives what torch is said to give, which is not the truth."""
    scope = {"torch": torch, "F": F}
    exec(entry.reproducer, scope)
    got = float(scope["got"])
    assert not _same(got, entry.true), f"{entry.name} is mended in torch {torch.__version__}: end its releases there"
    if entry.noise is None:
        assert _same(got, entry.gives), f"{entry.name} has changed: torch gave {entry.gives!r}, and now {got!r}"


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=1e-3)


@pytest.mark.parametrize("entry", DIVERGENCES, ids=lambda entry: entry.name)
def test_it_matches_a_case(entry) -> None:
    """Every pattern matches some case of the matrix, or of the half-precision sweep."""
    unmatched = [p for p in entry.cases if "sweep" not in p and not any(fnmatchcase(case, p) for case in ids())]
    assert not unmatched, f"{entry.name}: no case matches {unmatched}"


@cache
def ids() -> list[str]:
    """Of every case of the matrix, on every device that an entry names."""
    return [case.id for case in matrix(FORMATS, ["cpu", "cuda"], 0)]


def test_names_are_unique() -> None:
    """An entry is found by its name."""
    assert len({entry.name for entry in DIVERGENCES}) == len(DIVERGENCES)


@pytest.mark.parametrize("entry", [m for m in MISSING if in_release(m.torch, torch.__version__) and m.device in there()], ids=lambda m: f"{m.row}-{m.device}")
def test_what_is_missing_is_still_missing(entry) -> None:
    """A dtype that a kernel is not written for is refused, and not computed wrongly."""
    for dtype in entry.dtypes:
        case = next(c for c in matrix([dtype], [entry.device], 0) if c.row.name == entry.row)
        assert is_missing(case.row, dtype, entry.device, torch.__version__)
        given = tensors(case.truth.drawn, case.format, entry.device, differentiable=differentiable(case.row, case.truth.drawn))
        with pytest.raises(RuntimeError, match=entry.says):
            call_function(F, case.row, case.variant, given, case.reduction).sum().backward()


def test_what_is_absent_is_known() -> None:
    """This torch lacks no loss but those that came later, and torchvision's where that is not installed."""
    assert {row.name for row in absent(F)} <= {"LinearCrossEntropyLoss", "sigmoid_focal_loss"}
