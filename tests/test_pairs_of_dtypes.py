"""Two arguments of two dtypes, all of integers, complex numbers: is the result promoted, and right, reduced or not?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from reference.arithmetic import Array
from reference.catalog import Row
from reference.formats import FORMATS

from .calls import Call, Outcome, implemented
from .divergence import in_release
from .dtypes import FLOATS, held
from .options import devices, offered
from .subject import ADAPTERS, call_function, tensors

LABELS = ("absent", "index", "ignored", "labels", "alignment", "sign", "built")

OWN: Mapping[str, str] = {"HuberLoss": "input", "BCEWithLogitsLoss": "target"}
"""Where the result is not promoted: whose dtype it has (see tests/dtype_departures.py)."""

OTHER_ON_META = ("HuberLoss", *(["BCEWithLogitsLoss"] if not in_release(">=2.12", torch.__version__) else []))
"""Where the meta device promotes, though the result is not."""

READS = ("GaussianNLLLoss",)
"""Where numbers are read, and so meta tensors refused (see `META` in tests/transform_habits.py)."""

EXPANDED = ("L1Loss", "MSELoss", "SmoothL1Loss")
"""Where a target of a single number is expanded first, and so promotes; elsewhere a number without axes does not."""

ALONE = ("HuberLoss", "PoissonNLLLoss", "GaussianNLLLoss", "KLDivLoss", "MultiLabelSoftMarginLoss", *EXPANDED)
"""The losses of numbers that take a single one as target; others refuse its shape (see tests/errors.py), or have labels."""

SAME: Mapping[str, str] = {"BCELoss": "Found dtype", "LinearCrossEntropyLoss": "have the same dtype"}
"""The losses that want one dtype, and what they say; but not to tensors without numbers."""

OF_ANY_TWO: Mapping[str, Callable[[torch.dtype, torch.dtype], torch.dtype]] = {
    "BCELoss": torch.promote_types,
    "LinearCrossEntropyLoss": lambda input, weight: input,
}
"""And what the meta device makes of two that would be refused."""

WHOLE: Mapping[str, torch.dtype] = {
    "L1Loss": torch.int64,
    "PoissonNLLLoss": torch.float32,
    "MarginRankingLoss": torch.float32,
    "CosineEmbeddingLoss": torch.float32,
    "TripletMarginLoss": torch.float32,
    "TripletMarginWithDistanceLoss": torch.float32,
}
"""The losses that take integers alone, and the dtype of their sum."""

INTEGERS = (torch.int64, torch.int32, torch.int16)  # of unsigned ones differences are no numbers, and products leave a byte

COMPLEX = (torch.complex64, torch.complex128)


def pairs(row: Row) -> list[str]:
    """The first two arguments that are numbers, in the plainest variant; fewer if there are not two."""
    chosen = next(row.variants()).choices
    return [a.name for a in row.arguments if chosen[a.name].domain not in LABELS][:2]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The losses that the subject offers, on each device."""
    rows = [row for row in offered(metafunc.config) if not row.namespace and row.function not in ADAPTERS]
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", devices(metafunc.config))
    if "two" in metafunc.fixturenames:
        found = [row for row in rows if len(pairs(row)) == 2]
        metafunc.parametrize("two", found, ids=[row.name for row in found])
    if "alone" in metafunc.fixturenames:
        found = [row for row in rows if row.name in ALONE]
        metafunc.parametrize("alone", found, ids=[row.name for row in found])
    if "whole" in metafunc.fixturenames:
        found = [row for row in rows if row.name in WHOLE]
        metafunc.parametrize("whole", found, ids=[row.name for row in found])


@pytest.mark.parametrize("dtypes", list(itertools.permutations(FLOATS, 2)), ids="-".join)
def test_two_dtypes(two: Row, dtypes: tuple[str, str], device: str, subject: Any) -> None:
    """The result has the dtype that the two promote to, under every reduction, and is within the budget of the narrower."""
    narrow = min(dtypes, key=lambda name: FORMATS[name].digits)  # whose numbers all but the other half hold
    if not all(implemented(two, FORMATS[name], device) for name in dtypes):
        return
    call = Call(two, next(two.variants()), FORMATS[narrow], device)
    types = dict(zip(pairs(two), (getattr(torch, name) for name in dtypes), strict=True))
    given = {n: t.to(types.get(n, next(iter(types.values())))) if t.is_floating_point() else t for n, t in call.given().items()}
    wanted = types[OWN[two.name]] if two.name in OWN else torch.promote_types(*types.values())
    shadows = {n: t.to("meta") for n, t in given.items()}
    for reduction in two.reductions:
        if two.name in SAME:
            with pytest.raises(RuntimeError, match=SAME[two.name]):
                call_function(subject, two, call.variant, given, reduction)
            taken = call_function(subject, two, call.variant, shadows, reduction).dtype
            assert taken == OF_ANY_TWO[two.name](*types.values()), f"{call.id}, {reduction}: {types} give {taken} on the meta device"
            continue
        value = call_function(subject, two, call.variant, given, reduction)
        assert value.dtype == wanted, f"{call.id}, {reduction}: {types} give {value.dtype}"
        assert not (wrong := call.problems(Outcome(value, {}), reduction)), f"{call.id}, {reduction}, {types}: {wrong}"
        if two.name not in READS:
            shadow = call_function(subject, two, call.variant, shadows, reduction)
            promoted = torch.promote_types(*types.values()) if two.name in OTHER_ON_META else wanted
            assert (shadow.dtype, shadow.shape) == (promoted, value.shape), f"{call.id}, {reduction}: {types} give {shadow} on the meta device"


@pytest.mark.parametrize("dtypes", list(itertools.permutations(FLOATS, 2)), ids="-".join)
def test_a_number_of_another_dtype(alone: Row, dtypes: tuple[str, str], device: str, subject: Any) -> None:
    """A target without axes has no say in the dtype, unless it is expanded first; and it is that number for every element."""
    narrow = min(dtypes, key=lambda name: FORMATS[name].digits)  # whose numbers all but the other half hold
    call = Call(alone, next(alone.variants()), FORMATS[narrow], device, change=lambda a: np.full_like(a, a.flat[-1]), only="target")
    mine, other = (getattr(torch, name) for name in dtypes)
    given = {n: t.to(mine) if t.is_floating_point() else t for n, t in call.given().items()}
    given["target"] = given["target"].flatten()[-1].to(other)
    wanted = torch.promote_types(mine, other) if alone.name in EXPANDED else mine
    for reduction in alone.reductions:
        value = call_function(subject, alone, call.variant, given, reduction)
        assert value.dtype == wanted, f"{call.id}, {reduction}: a target of {other} beside {mine} gives {value.dtype}"
        assert not (wrong := call.problems(Outcome(value, {}), reduction)), f"{call.id}, {reduction}, {dtypes}: {wrong}"


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_alone(whole: Row, dtype: torch.dtype, device: str, subject: Any) -> None:
    """Of integers the loss is that of the same numbers in float64: exactly, where it is an integer itself, and their sum has 64 bits."""

    def change(value: Array) -> Array:
        return held(value, "real", "int64") if value.dtype.kind == "f" else value

    variant = next(whole.variants())
    numbers = tensors(Call(whole, variant, FORMATS["float64"], change=change).drawn, FORMATS["float64"], device)
    integers = {name: t.to(dtype) for name, t in numbers.items()}
    for reduction in ("none", "sum"):
        got = call_function(subject, whole, variant, integers, reduction)
        want = call_function(subject, whole, variant, numbers, reduction)
        wanted = dtype if reduction == "none" and WHOLE[whole.name] == torch.int64 else WHOLE[whole.name]
        assert got.dtype == wanted, f"{whole.name}, {reduction}: {got.dtype}"
        slack = 1e-5 if got.is_floating_point() else 0.0
        torch.testing.assert_close(got.double(), want, rtol=slack, atol=slack)


@pytest.mark.parametrize("dtype", COMPLEX, ids=str)
def test_complex_numbers(dtype: torch.dtype, device: str, subject: Any) -> None:
    """L1Loss takes them, as documented: it is |d|, and its gradient in input is d / |d|, in target the opposite."""
    if "l1_loss" not in dir(subject):
        return
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((7, 2)) @ (1, 1j) for _ in range(2))
    given = [torch.tensor(each, dtype=dtype, device=device, requires_grad=True) for each in (x, y)]
    numbers = [each.detach().cpu().numpy().astype(np.complex128) for each in given]
    distance = abs(numbers[0] - numbers[1])
    slope = (numbers[0] - numbers[1]) / distance
    for reduction, factor in (("none", 1.0), ("sum", 1.0), ("mean", 1 / len(x))):
        value = subject.l1_loss(*given, reduction=reduction)
        want = {"none": distance, "sum": distance.sum(), "mean": distance.mean()}[reduction]
        found = torch.autograd.grad(value.sum(), given)
        assert value.dtype == dtype.to_real()
        assert [gradient.dtype for gradient in found] == [dtype, dtype]
        for got, right in zip((value, *found), (want, factor * slope, -factor * slope), strict=True):
            np.testing.assert_allclose(got.detach().cpu().numpy(), right, rtol=16 * torch.finfo(dtype).eps)
