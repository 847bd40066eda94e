"""Does torch.func differentiate it as backward does? In every regime, where a rule or a decomposition of its own may differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from torch.func import vjp

from reference.catalog import Row

from .calls import same_bits
from .cases import Case, matrix
from .habits import attempt, unmatched
from .options import devices, offered
from .transform_habits import FUNCTIONAL
from .transformed import Found, arguments, cotangent, evaluate, function, hold


def cases(config: pytest.Config, row: Row, device: str) -> Iterator[Case]:
    """Those of the matrix in float32, of few elements, under the last of their reductions."""
    every = matrix(["float32"], [device], config.getoption("--seed"), rows=[row])
    small = (case for case in every if case.regime != "typical" and case.variant.form in row.forms)
    yield from {(case.variant.name, case.regime): case for case in small}.values()


def functional(case: Case, subject: object) -> Found:
    """The value, and the gradients, by torch.func.vjp."""
    given, names = arguments(case)
    loss, given = function(case, subject), {name: t.detach() for name, t in given.items()}
    value, pull = vjp(lambda x: loss({**given, **x}), {name: given[name] for name in names})
    return {"value": value, **pull(cotangent(case))[0]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each loss on each device."""
    if "loss" in metafunc.fixturenames:
        found = list(itertools.product(offered(metafunc.config), devices(metafunc.config)))
        metafunc.parametrize("loss", found, ids=[f"{row.name}-{device}" for row, device in found])


def test_functional(loss: tuple[Row, str], subject: object, pytestconfig: pytest.Config) -> None:
    """Bit for bit what backward gives, or within the budget of the truth."""
    for case in cases(pytestconfig, *loss):
        eager = {name: t.detach() for name, t in evaluate(function(case, subject), case).items()}
        found = attempt(FUNCTIONAL, case.id, lambda case=case: functional(case, subject))
        if found is not None and not all(same_bits(found[name], t) for name, t in eager.items()):
            hold(FUNCTIONAL, case.id, case, found, eager)


def test_entries_match(pytestconfig: pytest.Config) -> None:
    """Every known departure is about a case."""
    pairs = itertools.product(offered(pytestconfig), devices(pytestconfig))
    assert not unmatched(FUNCTIONAL, (case.id for pair in pairs for case in cases(pytestconfig, *pair)))
