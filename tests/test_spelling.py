"""Does it matter how the same arguments are given: one tensor in two places, a number of another type or size, another default dtype?"""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from reference.catalog import Row, Variant
from reference.formats import FORMATS

from .calls import Call, same_bits, spread
from .options import offered, subject_of
from .subject import call_function, call_module, has_module, loss_of

TYPES: tuple[Callable[[float], Any], ...] = (int, float, np.float64)
WHOLE = ("ignore_index", "blank")
"""Options that are integers and nothing else."""


BEYOND = (2**31, 2**32, -(2**32), 2**62)
WAYS = ("plain", "vmap", "subclass")
DEFAULTS = (torch.float64, torch.bfloat16, torch.float16)
LAYERS: dict[str, Callable[[], torch.nn.Module]] = {
    "LinearCrossEntropyLoss": lambda: torch.nn.LinearCrossEntropyLoss(4, 3),
    "AdaptiveLogSoftmaxWithLoss": lambda: torch.nn.AdaptiveLogSoftmaxWithLoss(4, 9, [3]),
}
"""The losses that have parameters of their own."""


class Subclass(torch.Tensor):
    """A tensor that overrides nothing."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The losses that take an argument twice, and the options that are numbers."""
    rows = offered(metafunc.config)
    if "twice" in metafunc.fixturenames:
        found = [(row, names) for row in rows if len(names := alike(row, next(iter(row.variants())))) > 1]
        metafunc.parametrize("twice", found, ids=[row.name for row, _ in found])
    if "option" in metafunc.fixturenames:
        numbers = [(row, name, value) for row in rows for name, values in row.options.items() if name not in WHOLE for value in values if is_whole(value)]
        metafunc.parametrize("option", numbers, ids=[f"{row.name}-{name}-{value}" for row, name, value in numbers])
    if "ignoring" in metafunc.fixturenames:
        found = [row for row in rows if "ignore_index" in row.options]
        metafunc.parametrize("ignoring", found, ids=[row.name for row in found])
    if "numbered" in metafunc.fixturenames:
        subject = subject_of(metafunc.config)
        found = [(row, a.name) for row in rows for a in row.arguments if may_be_a_number(loss_of(subject, row), a.name)]
        metafunc.parametrize("numbered", found, ids=[f"{row.name}-{name}" for row, name in found])
    if "row" in metafunc.fixturenames:
        metafunc.parametrize("row", rows, ids=[row.name for row in rows])


def alike(row: Row, variant: Variant) -> list[str]:
    """The differentiable arguments that mean the same as the first, in the same shape."""
    chosen = [variant.choices[a.name] for a in row.arguments]
    return [a.name for a, c in zip(row.arguments, chosen, strict=True) if a.gradient and (c.domain, c.shape) == (chosen[0].domain, chosen[0].shape)]


def may_be_a_number(loss: Callable[..., Any], name: str) -> bool:
    """Whether the signature says that an argument may be a float; an older torch says so of none."""
    parameter = inspect.signature(loss).parameters.get(name)
    said = str(parameter.annotation) if parameter is not None else ""
    return "Tensor" in said and "float" in said


def is_whole(value: Any) -> bool:
    """A number, no flag, without a fraction."""
    return isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()


def test_one_tensor_twice(twice: tuple[Row, list[str]], subject: Any) -> None:
    """The value is that of two equal tensors, and the gradient the sum of theirs."""
    row, names = twice
    for variant, reduction in itertools.product(spread(row, row.forms[:1]), row.reductions):
        given = Call(row, variant, FORMATS["float64"]).given()
        one = given[names[0]].clone().requires_grad_()
        each = {name: one.detach().clone().requires_grad_() for name in names}
        values = [call_function(subject, row, variant, {**given, **tensors}, reduction) for tensors in (dict.fromkeys(names, one), each)]
        assert same_bits(*values), f"{variant.name}, {reduction}: {values[0]} of one tensor, {values[1]} of two"
        both, apart = torch.autograd.grad(values[0].sum(), one)[0], torch.autograd.grad(values[1].sum(), [*each.values()])
        torch.testing.assert_close(both, sum(apart), rtol=1e-12, atol=1e-12)


def test_numbers_of_any_type(option: tuple[Row, str, float], subject: Any) -> None:
    """An integer, a Python float and one of NumPy mean the same."""
    row, name, value = option
    variant = next(v for v in row.variants() if v.options[name] == value and type(v.options[name]) is type(value))
    given, reduction = Call(row, variant, FORMATS["float32"]).given(), row.reductions[0]
    want = call_function(subject, row, variant, given, reduction)
    for kind in TYPES:
        options = {**variant.options, name: kind(value)}
        got = loss_of(subject, row)(**given, **options, reduction=reduction)
        assert same_bits(got, want), f"{row.name}, {name} = {kind(value)!r}: {got}, and {want} for {value!r}"
        if subject is torch.nn.functional and has_module(row, given):
            assert same_bits(call_module(row, Variant(variant.form, variant.choices, options, variant.name), given, reduction), want)


@pytest.mark.parametrize("beyond", BEYOND, ids=str)
def test_an_index_of_64_bits(ignoring: Row, beyond: int, subject: Any) -> None:
    """An `ignore_index` that is a class in its low bits alone ignores nothing; and one that is no class ignores nothing."""
    for variant in spread(ignoring, ignoring.forms, lambda v: v.options["ignore_index"] == ignoring.options["ignore_index"][0]):
        if "ignored" in variant.name or variant.choices["target"].label == "probabilities":
            continue
        given = Call(ignoring, variant, FORMATS["float32"]).given()
        for reduction in ignoring.reductions:
            want = call_function(subject, ignoring, variant, given, reduction)
            for last in (0, 1):
                options = {**variant.options, "ignore_index": beyond + last}
                got = loss_of(subject, ignoring)(**given, **options, reduction=reduction)
                assert same_bits(got, want), f"{variant.name}, {reduction}: {got} with ignore_index={beyond + last}, and {want} without"


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("way", WAYS)
def test_a_number_for_a_tensor(way: str, dtype: str, numbered: tuple[Row, str], subject: Any) -> None:
    """A Python float where one may stand for a tensor is a tensor full of it, for every loss, also under vmap and for a subclass."""
    row, name = numbered
    for variant, reduction in itertools.product(spread(row, row.forms), row.reductions):
        given = Call(row, variant, FORMATS[dtype]).given()
        rest = {n: t for n, t in given.items() if n != name}
        first = next(iter(rest))

        def loss(x: torch.Tensor, number: Any, variant: Variant = variant, reduction: str = reduction, first: str = first, rest: Any = rest) -> torch.Tensor:
            return call_function(subject, row, variant, {**rest, first: x, name: number}, reduction)

        x, number = rest[first], 0.7  # which no dtype has, nor two the same
        want = loss(x, torch.full_like(x, number))
        leaves = {n: t.clone().requires_grad_() for n, t in rest.items() if t.is_floating_point()}
        slopes = [
            torch.autograd.grad(call_function(subject, row, variant, {**rest, **leaves, name: n}, reduction).sum(), [*leaves.values()])
            for n in (number, torch.full_like(x, number))
        ]
        assert all(map(same_bits, *slopes)), f"{variant.name}, {reduction}: {slopes[0]}, and {slopes[1]} of a tensor"
        if way == "vmap":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that clamp_ has no batching rule
                got, again = torch.func.vmap(partial(loss, number=number))(torch.stack([x, x]))
            assert same_bits(got, again)
        else:
            got = loss(x.as_subclass(Subclass) if way == "subclass" else x, number)
            assert isinstance(got, Subclass) == (way == "subclass")
        assert same_bits(got.as_subclass(torch.Tensor), want), f"{variant.name}, {reduction}: {got}, and {want} of a tensor"


@pytest.mark.parametrize("default", DEFAULTS, ids=str)
def test_the_default_dtype_does_not_matter(row: Row, default: torch.dtype, subject: Any) -> None:
    """Where the arguments have a dtype, function and module are the same whatever the default is."""
    for variant, reduction in itertools.product(spread(row, row.forms[:1]), row.reductions):
        given = Call(row, variant, FORMATS["float32"]).given()
        ways = [partial(call_function, subject)]
        if subject is torch.nn.functional and has_module(row, given):
            ways.append(call_module)
        for way in ways:
            want = way(row, variant, given, reduction)
            torch.set_default_dtype(default)
            try:
                got = way(row, variant, given, reduction)
            finally:
                torch.set_default_dtype(torch.float32)
            assert same_bits(got, want), f"{row.name}, {variant.name}, {reduction}: {got} under {default}, and {want} under float32"


@pytest.mark.parametrize("default", DEFAULTS, ids=str)
def test_layers_have_the_default_dtype(default: torch.dtype) -> None:
    """A module that has parameters makes them in it."""
    torch.set_default_dtype(default)
    try:
        made = [make() for name, make in LAYERS.items() if hasattr(torch.nn, name)]
    finally:
        torch.set_default_dtype(torch.float32)
    assert made
    for module in made:
        assert {p.dtype for p in module.parameters()} == {default}, type(module).__name__
