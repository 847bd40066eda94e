"""What torch does not differentiate in: does it refuse to, or say nothing and give none? What it gives, it should say."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch

from reference.catalog import Row, Variant
from reference.formats import FORMATS

from .calls import Call, offered, spread, takes
from .subject import call_function

REFUSES, NONE, GIVES = "is not differentiable with respect to argument", "no gradient", "a gradient"

# The first pattern of "Loss-variant argument" that matches, and what becomes of a request for its gradient.
ENDS: tuple[tuple[str, str], ...] = (
    ("HingeEmbeddingLoss-* target", NONE),  # target is only compared with 1 and -1
    ("CosineEmbeddingLoss-* target", NONE),
    ("* *", REFUSES),
)


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


def test_every_entry_is_asked_about(pytestconfig: pytest.Config) -> None:
    """For some argument of some call it is the first that matches, if its loss is there."""
    asked = [f"{row.name}-{variant.name} {name}" for row, variant, name in requests(pytestconfig)]
    deciding = {next(p for p, _ in ENDS if fnmatchcase(each, p)) for each in asked}
    there = {row.name for row in offered(pytestconfig)}
    idle = [p for p, _ in ENDS if p not in deciding and (p[0] == "*" or p.partition("-")[0] in there)]
    assert not idle, f"{idle} decide nothing"
