"""Which shapes does a loss take, and what shape does it return? Documented ones; in them values and gradients are right."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from reference.catalog import CATALOG, Row
from reference.formats import FORMATS

from .accelerator_habits import repeats
from .calls import Call, implemented, run, same_bits, spread
from .known import Known, elsewhere, unexpected
from .options import devices, formats, offered, takes
from .shape_departures import SHAPE_DEPARTURES
from .shapes import BROADCASTS, OTHERWISE, documented, expressible
from .subject import call_function, call_module, has_module

pytestmark = pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")  # `test_warnings` asks for it


@cache
def calls(config: pytest.Config) -> list[Call]:
    """Every loss in every form that it is documented for, in float32, and one in three in another dtype."""
    return list(_calls(config))


def _calls(config: pytest.Config) -> Iterator[Call]:
    for row, device in itertools.product(offered(config), devices(config)):
        forms, _ = documented(row)
        dtypes = [f for f in formats(config) if implemented(row, f, device)]
        others = [f for f in dtypes if f.name != "float32"]
        beyond = [form for form in forms if len(form.axes) not in {len(own.axes) for own in row.forms}]  # whose options the matrix does not meet
        every = {v.name: v for some in (forms, *([form] for form in beyond)) for v in spread(row, some, expressible)}
        for n, variant in enumerate(v for v in every.values() if takes(config, row, v)):
            chosen = [f for f in dtypes if f.name == "float32"] + (
                [others[n // 3 % len(others)]] if others and n % 3 == 0 else []
            )
            yield from (Call(row, variant, format, device, config.getoption("--seed")) for format in chosen)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per call."""
    if "call" in metafunc.fixturenames:
        metafunc.parametrize("call", calls(metafunc.config), ids=lambda call: call.id)
    if "stretched" in metafunc.fixturenames:
        metafunc.parametrize("stretched", stretched(metafunc.config), ids=lambda pair: f"{pair[0].id}-{pair[1]}")


def test_shape(call: Call, subject: Any) -> None:
    """Unreduced, the documented shape; reduced, none. Gradients are shaped as their arguments; all numbers are right."""
    said = [unexpected(f"{call.id} {r}", problem(call, r, subject), SHAPE_DEPARTURES) for r in call.row.reductions]
    assert not any(said), "\n".join(filter(None, said))


STRETCHED = ("vector", "matrix", "batch", "rows_of_rows")


@cache
def stretched(config: pytest.Config) -> list[tuple[Call, str]]:
    """Calls in which one argument has another shape, and that are calls by the definition; and what was done."""
    return list(_stretched(config))


def _stretched(config: pytest.Config) -> Iterator[tuple[Call, str]]:
    for row, device in itertools.product(offered(config), devices(config)):
        chosen = [form for form in documented(row)[0] if form.name in STRETCHED]
        default = [v for v in spread(row, chosen, expressible) if all(v.options[n] == o[0] for n, o in row.options.items())]
        optional = spread(row, chosen[:1], expressible)  # every value of every option, at least once
        every = {v.name: v for v in (*default, *filter(expressible, map(row.plain, chosen)), *optional) if takes(config, row, v)}
        for variant in every.values():
            plain = Call(row, variant, FORMATS["float32"], device, config.getoption("--seed"))
            for name, (what, change) in itertools.product(plain.drawn.arguments, OTHERWISE.items()):
                call = replace(plain, only=name, change=change)
                if isinstance(plain.drawn.arguments[name], np.ndarray) and _defined(plain, call, name):
                    yield call, f"{name}_{what}"


def _defined(plain: Call, call: Call, name: str) -> bool:
    """Whether the argument has another shape, and the definition takes it."""
    changed = call.drawn.arguments[name]
    if changed is None or changed.shape == plain.drawn.arguments[name].shape:
        return False
    try:
        call.truth.loss  # noqa: B018 - evaluated, or refused
    except ValueError:
        return False
    return True


def test_broadcast(stretched: tuple[Call, str], subject: Any) -> None:
    """Where the definition broadcasts torch does, to the same shape and the same numbers; gradients are summed back."""
    call, what = stretched
    said = []
    for reduction in call.row.reductions:
        try:
            outcome = run(subject, call, call.given(), reduction)
            wrong = "; ".join(call.problems(outcome, reduction)) or _without_numbers(call, reduction, subject, outcome.value)
        except (RuntimeError, ValueError) as refusal:
            wrong = f"{type(refusal).__name__}: {refusal}"
        said.append(unexpected(f"{call.id}-{what} {reduction}", wrong, SHAPE_DEPARTURES))
    assert not any(said), "\n".join(filter(None, said))


def _without_numbers(call: Call, reduction: str, subject: Any, value: torch.Tensor) -> str:
    """What is wrong with the shape and the dtype of a result on the meta device, of a loss that does not look at numbers."""
    if call.row.name == "GaussianNLLLoss":  # which asks whether a variance is negative
        return ""
    found = call_function(subject, call.row, call.variant, {name: t.to("meta") for name, t in call.given().items()}, reduction)
    same = (found.shape, found.dtype) == (value.shape, value.dtype)
    return "" if same else f"on the meta device it is {tuple(found.shape)} of {found.dtype}, not {tuple(value.shape)} of {value.dtype}"


def test_every_loss_that_broadcasts_is_asked_to(pytestconfig: pytest.Config) -> None:
    """The definitions broadcast these arguments of these losses, and no others."""
    found: dict[str, set[str]] = {}
    for call, _ in stretched(pytestconfig):
        found.setdefault(call.row.name, set()).add(call.only)
    expected = {
        name: arguments for name, arguments in BROADCASTS.items() if name in {row.name for row in offered(pytestconfig)}
    }
    assert found == expected


@pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.name)
def test_documented_shapes_include_those_of_the_matrix(row: Row) -> None:
    """As many axes as each form of the catalog has, and so of every kind that the matrix asks about."""
    ranks = {len(form.axes) for form in documented(row)[0]}
    assert {len(form.axes) for form in row.forms} <= ranks


@pytest.mark.every_dtype
@pytest.mark.parametrize("entry", [e for e in SHAPE_DEPARTURES if e.here()], ids=lambda entry: entry.name)
def test_every_departure_matches_a_case(entry: Known, pytestconfig: pytest.Config) -> None:
    """An entry that matches no case is a slip of the pen."""
    cases = [(call.id, call) for call in calls(pytestconfig)] + [
        (f"{call.id}-{what}", call) for call, what in stretched(pytestconfig)
    ]
    asked = [f"{id} {r}" for id, call in cases for r in call.row.reductions]
    assert elsewhere(entry.cases, asked) or any(map(entry.covers, asked))


def problem(call: Call, reduction: str, subject: Any) -> str:
    """What is wrong with shapes, dtypes, places or numbers."""
    given = call.given()
    try:
        got = run(subject, call, given, reduction)
    except (RuntimeError, ValueError, TypeError, IndexError) as refusal:
        return f"{type(refusal).__name__}: {refusal}"
    shape = call.variant.form.shape(documented(call.row)[1]) if reduction == "none" else ()
    if tuple(got.value.shape) != shape:
        return f"has shape {tuple(got.value.shape)}, not {shape}"
    for name, tensor in {"value": got.value, **got.gradients}.items():
        like = given.get(name, got.value)
        found = (tuple(tensor.shape), tensor.dtype, tensor.device)
        wanted = (tuple(like.shape), next(iter(call._tensors.values())).dtype, next(iter(given.values())).device)
        if found != wanted:
            return f"{name} is of {found}, not {wanted}"
    wrong = call.problems(got, reduction)
    if subject is torch.nn.functional and has_module(call.row, given):
        wrong += (
            []
            if same_bits(call_module(call.row, call.variant, given, reduction), got.value) or not repeats(f"{call.id} {reduction}")
            else ["the module gives another value"]
        )
    return "; ".join(wrong)
