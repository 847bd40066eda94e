"""Do the laws hold that relate one loss to another? On the specification, and on torch in every format.

Inputs come from hypothesis, the same in every run. Two results that ought to be equal may differ by the sum of
their budgets: by no more than each may differ from the truth.
"""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from reference.formats import FORMATS, Format
from reference.inputs import seed_of

from . import laws_of_chance, laws_of_distance  # noqa: F401 (they enter their laws in the list)
from .laws import FORMATS as LAW_FORMATS
from .laws import LAWS, Law
from .measured import AbsentError, Draw, Losses
from .options import devices, formats

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")

REPEATABLE = settings(
    database=None, deadline=None, phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck)
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "law" in metafunc.fixturenames:
        found = [(law, "oracle", FORMATS["float64"], "cpu") for law in LAWS]
        for law, device in itertools.product(LAWS, devices(metafunc.config)):
            found += [(law, "torch", format, device) for format in formats(metafunc.config, LAW_FORMATS) if law.torch]
        ids = [f"{law.name}-{of}-{format.name}-{device}" for law, of, format, device in found]
        marked = [pytest.param(*each, marks=[pytest.mark.self_test] if each[1] == "oracle" else []) for each in found]
        metafunc.parametrize(("law", "of", "format", "device"), marked, ids=ids)


def test_law(law: Law, of: str, format: Format, device: str, subject: Any) -> None:
    """The law holds for every input that hypothesis tries."""
    losses = Losses(format, subject if of == "torch" else None, device)

    @seed(seed_of(f"{law.name}-{of}-{format.name}-{device}"))
    @settings(REPEATABLE, max_examples=law.examples)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        for problem in law.body(losses, Draw(data.draw)):
            assert not problem, f"{law.says} Not so: {problem}"

    try:
        holds()
    except AbsentError as absent:
        pytest.skip(f"the subject has no {absent}")
