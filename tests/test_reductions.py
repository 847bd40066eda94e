"""Do the reductions relate as documented? Each to the unreduced loss, and `.backward()` of each to the definition.

The divisors are written here a second time, from the documentation of each loss and not from its definition.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from reference.accuracy import Budget, together
from reference.arithmetic import FloatArray
from reference.catalog import Row
from reference.formats import FORMATS, Format

from .cases import Case
from .judge import Judge
from .offers import is_missing
from .options import devices, formats, offered
from .subject import ADAPTERS, array, call_function, differentiable, loss_of, tensors

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")

Arguments = Mapping[str, Any]


Divisor = Callable[[Arguments, Arguments, FloatArray], Any]


def _one(given: Arguments, options: Arguments, unreduced: FloatArray) -> float:
    return 1.0


def _elements(given: Arguments, options: Arguments, unreduced: FloatArray) -> float:
    """'The sum of the output will be divided by the number of elements in the output'."""
    return float(unreduced.size)


def _weights(given: Arguments, options: Arguments, unreduced: FloatArray) -> float:
    """The weighted mean: the weights sum to the divisor, where there are any."""
    return float(given["weight"].sum()) if "weight" in given else float(unreduced.size)


def _chosen(given: Arguments, options: Arguments, unreduced: FloatArray) -> float:
    """'Sum_n 1 / (sum_n w_{y_n} 1{y_n != ignore_index})' with class indices, N with class probabilities."""
    target = given["target"]
    if target.dtype.kind == "f":
        return float(unreduced.size)
    ignore = options["ignore_index"]
    kept = target[target != (-100 if ignore is None else ignore)]
    return float(given["weight"][kept].sum()) if "weight" in given else float(kept.size)


def _lengths(given: Arguments, options: Arguments, unreduced: FloatArray) -> Any:
    """'The output losses will be divided by the target lengths and then the mean over the batch is taken'."""
    return np.maximum(given["target_lengths"], 1) * max(unreduced.size, 1)


def _first_axis(given: Arguments, options: Arguments, unreduced: FloatArray) -> float:
    """'Divides by the batch size'."""
    return float(given["input"].shape[0])


DIVISOR: Mapping[tuple[str, str], Divisor] = MappingProxyType(
    {
        ("L1Loss", "mean"): _weights,
        ("MSELoss", "mean"): _weights,
        ("NLLLoss", "mean"): _chosen,
        ("CrossEntropyLoss", "mean"): _chosen,
        ("LinearCrossEntropyLoss", "mean"): _chosen,
        ("KLDivLoss", "batchmean"): _first_axis,
        ("CTCLoss", "mean"): _lengths,
    }
)
"""What a reduction divides each value by before it adds them, where that is not the number of elements."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "unreduced" in metafunc.fixturenames:
        config = metafunc.config
        found = list(
            calls(
                offered(config), formats(config, ("float32", "bfloat16")), devices(config), config.getoption("--seed")
            )
        )
        metafunc.parametrize("unreduced", found, ids=[c.id for c in found])
    if "row" in metafunc.fixturenames:
        rows = [row for row in offered(metafunc.config) if row.function not in ADAPTERS]  # a module without reductions
        metafunc.parametrize("row", rows, ids=lambda row: row.name)


def calls(rows: list[Row], formats: list[Format], devices: list[str], seed: int) -> Iterator[Case]:
    """A pairwise cover of each loss's variants, at typical inputs, in a dtype torch computes in and one it widens."""
    for row, device, format in itertools.product(rows, devices, formats):
        if not is_missing(row, format.name, device, torch.__version__):
            yield from (Case(row, variant, "none", format, device, "typical", seed) for variant in row.few())


def _with(unreduced: Case, reduction: str) -> Case:
    return Case(
        unreduced.row, unreduced.variant, reduction, unreduced.format, unreduced.device, "typical", unreduced.seed
    )


def test_each_reduction_is_that_of_the_unreduced_values(unreduced: Case, subject: Any, judge: Judge) -> None:
    """What a reduction returns is what `none` returns, divided as its documentation says and summed."""
    drawn, format = unreduced.truth.drawn, unreduced.format
    given = tensors(drawn, format, unreduced.device)
    values = array(call_function(subject, unreduced.row, unreduced.variant, given, "none"))
    for reduction in unreduced.row.reductions[1:]:
        case = _with(unreduced, reduction)
        divide = DIVISOR.get((case.row.name, reduction), _elements if "mean" in reduction else _one)
        with np.errstate(all="ignore"):
            parts = values / divide(drawn.arguments, drawn.options, values)
            budget = Budget(np.asarray(parts.sum()), rounding(case, parts))
        judge(case, "value", array(call_function(subject, case.row, case.variant, given, reduction)), budget)


def rounding(case: Case, values: FloatArray) -> FloatArray:
    """Between a sum and that of rounded terms: each term's own rounding, those of the sum, and that of the result.

    Whatever else is wrong with the values, they are the same values.
    """
    u, size = case.format.u, abs(values)
    depth = 2 + np.log2(max(values.size, 1))
    return np.asarray(together(2 * u * size + case.format.step) + (depth * case.truth.accumulator.u + u) * size.sum())


def test_backward_of_each_reduction_is_the_definitions_gradient(unreduced: Case, subject: Any, judge: Judge) -> None:
    """`.backward()` of a scalar, without arguments, leaves the gradient for a cotangent of 1."""
    drawn, format = unreduced.truth.drawn, unreduced.format
    names = differentiable(unreduced.row, drawn)
    for reduction in unreduced.row.reductions[1:]:
        case = _with(unreduced, reduction)
        given = tensors(drawn, format, case.device, differentiable=names)
        call_function(subject, case.row, case.variant, given, reduction).backward()
        one = np.ones((), dtype=case.truth.loss.value.dtype)
        reached = {name: array(given[name].grad) for name in names if given[name].grad is not None}
        budgets = next(case.truth.growing(reduction, one))
        for name in set(names) - set(reached):
            assert not budgets[name].want.any(), f"{case.id}: no gradient reached {name}"
        judge.gradients(case, reached, one)


def test_backward_accumulates(row: Row, subject: Any) -> None:
    """A gradient is added to what `.grad` holds, and in the same memory."""
    case = Case(row, row.few()[0], "sum", FORMATS["float32"], "cpu", "typical")
    names = differentiable(row, case.truth.drawn)
    found = []
    for start in (0.0, 0.75):
        given = tensors(case.truth.drawn, case.format, case.device, differentiable=names)
        held = {name: torch.full_like(given[name], start) for name in names}
        for name in names:
            given[name].grad = held[name]
        call_function(subject, row, case.variant, given, "sum").backward()
        assert all(given[name].grad is held[name] for name in names)
        found.append(held)
    alone, added = found
    for name in names:
        assert torch.any(alone[name] != 0), f"{case.id}: nothing to add for {name}"
        assert torch.equal(added[name], alone[name] + 0.75), f"{case.id}: .grad of {name} was not added to"


def test_the_default_reduction_is_the_documented_one(row: Row, subject: Any) -> None:
    """Without `reduction` the function does what the class documents as its default, and so does the class."""
    called = loss_of(subject, row)
    made = getattr(torch.nn, row.name, called)
    documented = re.search(r"""reduction \(str.*?Default: `+['"](\w+)['"]`""", made.__doc__ or "", re.DOTALL)
    assert documented, f"{row.name} documents no default reduction"
    assert documented[1] == row.default_reduction
    assert inspect.signature(made).parameters["reduction"].default == documented[1]
    case = Case(row, row.few()[0], documented[1], FORMATS["float32"], "cpu", "typical")
    given = tensors(case.truth.drawn, case.format, case.device)
    plain = called(**given, **case.variant.options)
    assert torch.equal(plain, call_function(subject, row, case.variant, given, documented[1]))
