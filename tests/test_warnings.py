"""Does a loss warn where it should, in the documented words, and nowhere else?

Shapes that broadcast, KL divergence's mean, names that are deprecated, options that cannot be honoured.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from packaging.specifiers import SpecifierSet

from reference.catalog import ROWS, Form, Row
from reference.formats import FORMATS

from .calls import Call, implemented, run, spread
from .errors import RELEASE
from .expected_warnings import KL_MEAN, POINTS, WARNINGS, Warns
from .options import formats, offered
from .rows_of_errors import evaluate
from .subject import call_function, call_module, has_module

WARN_OF_SIZES = ("L1Loss", "MSELoss", "HuberLoss", "SmoothL1Loss")
SHAPES = (*(((3, 4), other) for other in ((3, 1), (1, 4), (4,), (1,), (), (2, 3, 4))), ((4, 1), (4,)), ((4,), (4, 1)), ((1, 3), (3, 1)))
"""Of an input, and of a target that is of another shape; also of as many numbers."""
SMALL = Form("small", {"N": 3, "C": 4})


def caught(work: Callable[[], Any]) -> list[warnings.WarningMessage]:
    """What is warned of, every time and not only the first."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        before = torch.is_warn_always_enabled()
        torch.set_warn_always(True)  # or C++ warns once in a process, and the order of the tests decides
        try:
            work()
        finally:
            torch.set_warn_always(before)
    return said


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The calls of the losses that the subject offers."""
    rows = offered(metafunc.config)
    if "call" in metafunc.fixturenames:
        calls = [Call(row, v, FORMATS["float32"]) for row in rows for v in spread(row, row.forms)]
        metafunc.parametrize("call", calls, ids=[call.id for call in calls])
    if "sized" in metafunc.fixturenames:
        names = [row.name for row in rows if row.name in WARN_OF_SIZES]
        metafunc.parametrize("sized", names)
    if "loss" in metafunc.fixturenames:
        metafunc.parametrize("loss", rows, ids=[row.name for row in rows])
    if "row" in metafunc.fixturenames:
        rows_here = [row for row in WARNINGS if RELEASE in SpecifierSet(row.torch)]
        metafunc.parametrize("row", rows_here, ids=[row.id for row in rows_here])


def test_a_good_call_does_not_warn(call: Call, subject: object) -> None:
    """Function, module and backward pass say nothing, but for the mean of the KL divergence."""
    for reduction in call.row.reductions:
        expected = KL_MEAN if call.row.name == "KLDivLoss" and reduction == "mean" else ""
        said = {"function": caught(partial(run, subject, call, call.given(), reduction))}
        if has_module(call.row, call.given()):
            said["module"] = caught(partial(call_module, call.row, call.variant, call.given(), reduction))
        for spelling, warned in said.items():
            texts = [str(w.message) for w in warned]
            as_expected = [expected in text for text in texts] == [True] * bool(expected)
            assert as_expected, f"{call.id}, {reduction}, {spelling}: {texts}"
            assert all(w.category is UserWarning for w in warned), f"{[w.category for w in warned]}"


@pytest.mark.parametrize("shapes", SHAPES, ids=lambda shapes: "-".join("x".join(map(str, shape)) or "scalar" for shape in shapes))
def test_another_size_warns(sized: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], subject: object) -> None:
    """A target that broadcasts to input, or input to it, is warned of once, with both sizes, at the caller's own line."""
    row = replace(ROWS[sized], forms=(SMALL,))
    variant = row.plain(SMALL)
    given = {name: torch.zeros(shape) for name, shape in zip(("input", "target"), shapes, strict=True)}
    for reduction in row.reductions:
        ways = {
            "function": partial(call_function, subject, row, variant, given, reduction),
            "module": partial(call_module, row, variant, given, reduction),
        }
        for spelling, way in ways.items():
            said = caught(way)
            texts = [str(w.message) for w in said]
            assert [w.category for w in said] == [UserWarning], f"{sized}, {spelling}, {reduction}: {texts}"
            sizes = f"a target size ({torch.Size(shapes[1])}) that is different to the input size ({torch.Size(shapes[0])})"
            assert sizes in texts[0], f"does not say {sizes!r}: {texts[0]}"
            where = "subject.py" if spelling == "function" else "loss.py"
            assert said[0].filename.endswith(where), f"points at {said[0].filename}, not at the caller in {where}"


def test_row_warns(row: Warns) -> None:
    """A call warns once, in its category, and says what it should; or not at all."""
    said = caught(partial(evaluate, row.code))
    texts = [str(w.message) for w in said]
    assert [w.category for w in said] == [row.category] * bool(row.says), f"{row.code}: {texts}"
    assert all(row.says in text for text in texts), f"{row.code}: {texts}"
    if RELEASE in SpecifierSet(POINTS):
        assert all(w.filename.endswith(row.at) for w in said), f"{row.code}: points at {[w.filename for w in said]}"


@pytest.mark.parametrize("rows", [0, 5000], ids=["few", "many"])
def test_no_dtype_warns(loss: Row, rows: int, subject: object, pytestconfig: pytest.Config) -> None:
    """And so it is in every dtype, of many rows, where nobody asks for a gradient, and in a backward pass of its own."""
    form = loss.forms[0]
    form = replace(form, axes={**form.axes, "N": rows}) if rows else form
    asked = formats(pytestconfig, ("float32", "bfloat16") if rows else FORMATS)
    for format in (f for f in asked if implemented(loss, f, "cpu")):
        call = Call(loss, loss.plain(form), format)
        for reduction, asks in itertools.product(loss.reductions, (True, False)):
            expected = [KL_MEAN] if loss.name == "KLDivLoss" and reduction == "mean" else []
            for way in (partial(call_function, subject), *([call_module] if has_module(loss, call.given()) else [])):
                values: list[torch.Tensor] = []
                said = caught(partial(_evaluate, way, call, reduction, asks, values))
                said_after = caught(values[0].sum().backward) if values[0].requires_grad else []
                texts = [str(w.message) for w in said]
                assert len(texts) == len(expected), f"{call.id}, {reduction}: {texts}"
                assert all(map(str.__contains__, texts, expected)), f"{call.id}, {reduction}: {texts}"
                assert not said_after, f"{call.id}, {reduction}, backward: {[str(w.message) for w in said_after]}"


def _evaluate(way: Callable[..., torch.Tensor], call: Call, reduction: str, asks: bool, values: list[torch.Tensor]) -> None:
    given = call.given()
    for name in call.differentiable if asks else ():
        given[name].requires_grad_()
    with torch.set_grad_enabled(asks):
        values.append(way(call.row, call.variant, given, reduction))
