"""What torch does not differentiate in: does it refuse to, or say nothing and give none? What it gives, it should say.

Backward refuses, by name. Forward mode is another matter: it takes the tangent, and drops it.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch
from torch.func import jvp

from reference.catalog import Row, Variant
from reference.formats import FORMATS

from .calls import Call, spread
from .known import slug
from .options import offered, takes
from .subject import call_function

REFUSES, NONE, GIVES = "is not differentiable with respect to argument", "no gradient", "a gradient"

# The first pattern of "Loss-variant argument" that matches, and what becomes of a request for its gradient.
ENDS: tuple[tuple[str, str], ...] = (
    ("HingeEmbeddingLoss-* target", NONE),  # target is only compared with 1 and -1
    ("CosineEmbeddingLoss-* target", NONE),
    ("* *", REFUSES),
)


RIGHT, SILENT, UNKNOWN = "the right tangent", "a tangent that lacks a part", "Trying to use forward AD"

TANGENTS: tuple[tuple[str, str], ...] = (
    # The formula for forward mode has only the terms of what backward differentiates in; nothing refuses the others.
    ("BCELoss-* weight", SILENT),
    ("SoftMarginLoss-* target", SILENT),
    ("NLLLoss-* weight", SILENT),
    ("CrossEntropyLoss-* weight", SILENT),
    ("LinearCrossEntropyLoss-* weight", SILENT),
    ("MultiMarginLoss-* weight", UNKNOWN),
    ("* *", RIGHT),
)
STEP = 2.0**-20
"""Of the difference that a tangent is compared with, in float64."""


def requests(config: pytest.Config) -> Iterator[tuple[Row, Variant, str]]:
    """(loss, variant, argument) for every argument of numbers that the matrix does not differentiate in."""
    for row in offered(config):
        for variant in {v.name: v for v in (*spread(row, row.forms), *row.few()) if takes(config, row, v)}.values():
            call = Call(row, variant, FORMATS["float32"])
            yield from ((row, variant, n) for n, t in call.given().items() if t.is_floating_point() and n not in call.differentiable)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each request."""
    if "request_for" in metafunc.fixturenames:
        found = list(requests(metafunc.config))
        metafunc.parametrize("request_for", found, ids=[f"{row.name}-{variant.name}-{name}" for row, variant, name in found])


def became(row: Row, variant: Variant, name: str, reduction: str, subject: Any) -> str:
    """What became of the request: the refusal, or whether there is a gradient."""
    given = {n: t.clone() for n, t in Call(row, variant, FORMATS["float32"]).given().items()}
    given[name].requires_grad_()
    try:
        value = call_function(subject, row, variant, given, reduction)
        found = torch.autograd.grad(value.sum(), given[name], allow_unused=True)[0] if value.requires_grad else None
    except RuntimeError as refusal:
        return str(refusal)
    return NONE if found is None else GIVES


def test_the_gradient_of_what_has_none(request_for: tuple[Row, Variant, str], subject: Any) -> None:
    """It is refused by the name of the argument; or what is known of it still is so."""
    row, variant, name = request_for
    asked = f"{row.name}-{variant.name} {name}"
    wanted = next(ends for pattern, ends in ENDS if fnmatchcase(asked, pattern))
    for reduction in row.reductions:
        got = became(row, variant, name, reduction, subject)
        said = f"{wanted} '{name}'" if wanted is REFUSES else wanted
        assert said in got, f"{asked}, {reduction}: {got}; known is {said}"


def tangents(row: Row, variant: Variant, name: str, subject: Any) -> list[str]:
    """What forward mode gives under each reduction: a refusal, or whether it is what a difference says."""
    given = Call(row, variant, FORMATS["float64"]).given()
    x, found = given.pop(name), []
    v = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    for reduction in row.reductions:

        def loss(x: torch.Tensor, reduction: str = reduction) -> torch.Tensor:
            return call_function(subject, row, variant, {**given, name: x}, reduction)

        try:
            got = jvp(loss, (x,), (v,))[1]
        except NotImplementedError as refusal:
            found.append(str(refusal))
            continue
        want = (loss(x + STEP * v) - loss(x - STEP * v)) / (2 * STEP)
        found.append(RIGHT if torch.allclose(got, want, rtol=1e-4, atol=1e-6, equal_nan=True) else SILENT)
    return found


def test_the_tangent_of_what_has_no_gradient(request_for: tuple[Row, Variant, str], subject: Any) -> None:
    """In forward mode it is right, or refused; or what is known of it still is so, wherever it matters."""
    row, variant, name = request_for
    asked = f"{row.name}-{variant.name} {name}"
    wanted = next(ends for pattern, ends in TANGENTS if fnmatchcase(asked, pattern))
    for got in tangents(row, variant, name, subject):
        assert wanted in got or (wanted is SILENT and got is RIGHT), f"{asked}: {got}; known is {wanted}"


@pytest.mark.parametrize("pattern", [pattern for pattern, end in TANGENTS if end is SILENT], ids=slug)
def test_a_tangent_is_still_dropped(pattern: str, pytestconfig: pytest.Config, subject: Any) -> None:
    """An entry that says so is about some request, or its loss is not there."""
    of = [each for each in requests(pytestconfig) if fnmatchcase(f"{each[0].name}-{each[1].name} {each[2]}", pattern)]
    there = pattern.partition("-")[0] in {row.name for row in offered(pytestconfig)}
    assert any(SILENT in tangents(*each, subject) for each in of) or not there, f"{pattern} has had its day"


def test_every_entry_is_asked_about(pytestconfig: pytest.Config) -> None:
    """For some argument of some call it is the first that matches, if its loss is there."""
    asked = [f"{row.name}-{variant.name} {name}" for row, variant, name in requests(pytestconfig)]
    deciding = {next(p for p, _ in ENDS if fnmatchcase(each, p)) for each in asked}
    there = {row.name for row in offered(pytestconfig)}
    idle = [p for p, _ in ENDS if p not in deciding and (p[0] == "*" or p.partition("-")[0] in there)]
    assert not idle, f"{idle} decide nothing"
