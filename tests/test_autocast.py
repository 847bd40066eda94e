"""Is it the same loss under autocast? Its dtype as documented, its value and gradients, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import pytest
import torch

from reference.formats import FORMATS, Format
from reference.loss import flatten

from . import autocast
from .accelerator_habits import repeats
from .autocast_habits import AUTOCAST
from .calls import same_bits
from .cases import Case
from .habits import attempt, habit, judge, unmatched
from .options import devices, kernels, offered
from .subject import call_function, call_module, differentiable, has_module, tensor, tensors
from .transformed import beyond, budgets_of, elsewhere, function

HALF = ("bfloat16", "float16")


@dataclass(frozen=True)
class Cast:
    """A case whose inputs have one dtype, under autocast to another."""

    case: Case
    lower: Format

    @property
    def id(self) -> str:
        """The case's, and what is cast to."""
        return f"{self.case.id}-autocast_{self.lower.name}"

    @property
    def computed(self) -> Format:
        """What it is computed in: the dtype of the result if all of it is cast, but for layers that are lowered."""
        function, given = self.case.row.function, self.case.format
        if function in autocast.LOWERED and given.name != "float64":
            return self.lower
        cast = autocast.is_cast(function, self.case.device) and habit(AUTOCAST, self.id, "inaccurate") is None
        return self.result if cast else given

    @property
    def result(self) -> Format:
        """The documented dtype of the result."""
        function, given = self.case.row.function, self.case.format
        if given.digits < 24:
            return FORMATS["float32"] if autocast.is_float32(function, self.case.device) else given
        lowered = function in autocast.LOWERED and not autocast.is_float32(function, self.case.device)
        return self.lower if lowered and given.name == "float32" else given  # "float64 ... not eligible" (amp.md)

    def problems(self, subject: Any) -> list[str]:
        """What is wrong with dtypes, value and gradients."""
        case = self.case
        names = differentiable(case.row, case.truth.drawn)
        given = tensors(case.truth.drawn, case.format, case.device, differentiable=names)
        lower = getattr(torch, self.lower.name)
        with torch.autocast(case.device, dtype=lower):
            value = function(case, subject)(given)
            left = torch.is_autocast_enabled(case.device), torch.get_autocast_dtype(case.device), torch.is_autocast_cache_enabled()
        if left != (True, lower, True):
            return [f"{self.id}: leaves autocast on: {left[0]}, to {left[1]}, with its cache: {left[2]}"]
        if value.dtype != getattr(torch, self.result.name):
            return [f"{self.id}: the result is {value.dtype}, documented is {self.result.name}"]
        held = elsewhere(replace(case, format=self.computed), replace(case.truth, format=self.computed))
        vector = tensor(held.cotangent(tuple(value.shape)), self.result, case.device)
        gradients = torch.autograd.grad(value, [given[name] for name in names], vector, allow_unused=True, materialize_grads=True)
        budgets = budgets_of(held)
        said = [beyond(held, "value", value, budgets["value"], format=self.result)]
        for name, gradient in zip(names, gradients, strict=True):
            if gradient.dtype != given[name].dtype:
                said.append(f"{self.id}: the gradient of {name} is {gradient.dtype}")
            said.append(beyond(held, name, gradient, budgets[name], format=case.format))
        return [problem for problem in said if problem]


def casts(config: pytest.Config) -> Iterator[Cast]:
    """Half-precision inputs cast to their own dtype, float32 to both, and float64 to one; under one reduction, turn about."""
    for row, device in itertools.product(offered(config), devices(config)):
        wanted = [(half, half) for half in HALF] + [("float32", half) for half in HALF] + [("float64", "bfloat16")]
        for given, lower in wanted:
            if given in kernels(config, row, device) or autocast.is_float32(row.function, device):
                for i, variant in enumerate(row.few()):
                    reduction = row.reductions[i % len(row.reductions)]
                    cast = Cast(Case(row, variant, reduction, FORMATS[given], device, "typical", config.getoption("--seed")), FORMATS[lower])
                    if not any(fnmatchcase(cast.id, pattern) for pattern in autocast.UNSPECIFIED):
                        yield cast


def mixtures(config: pytest.Config) -> Iterator[Case]:
    """Numbers that bfloat16 has, on the CPU, where every loss but that of a linear layer gives float32."""
    for row in offered(config) if "cpu" in devices(config) else ():
        if row.function not in autocast.LOWERED and not row.namespace and "float32" in kernels(config, row, "cpu"):
            for variant, reduction in itertools.product(row.few(), ("none", "mean")):
                yield Case(row, variant, reduction, FORMATS["bfloat16"], "cpu", "typical", config.getoption("--seed"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each cast; for the modules those of float32."""
    if "mixed" in metafunc.fixturenames:
        found = list(mixtures(metafunc.config))
        metafunc.parametrize("mixed", found, ids=[case.id for case in found])
    if "cast" in metafunc.fixturenames:
        of_modules = metafunc.function is test_autocast_of_a_module
        found = [each for each in casts(metafunc.config) if not of_modules or each.case.format.name == "float32"]
        metafunc.parametrize("cast", found, ids=[each.id for each in found])


def test_autocast(cast: Cast, subject: Any) -> None:
    """The result has the documented dtype and the right value, and the gradients the dtype of their arguments."""
    refusal = autocast.REFUSED.get(cast.case.device, {}).get(cast.case.row.function)
    if refusal is not None:
        with pytest.raises(RuntimeError, match=refusal):
            cast.problems(subject)
        return
    found = attempt(AUTOCAST, cast.id, lambda: cast.problems(subject))
    if found is not None:
        judge(AUTOCAST, cast.id, found)


def test_autocast_of_a_module(cast: Cast, subject: Any) -> None:
    """The module gives what its function gives, to the bit, or refuses what that refuses."""
    case = cast.case
    given = tensors(case.truth.drawn, case.format, case.device)
    if subject is not torch.nn.functional or not has_module(case.row, given):
        return
    found = []
    for way in (call_module, partial(call_function, subject)):
        with torch.autocast(case.device, dtype=getattr(torch, cast.lower.name)):
            try:
                found.append(way(case.row, case.variant, given, case.reduction))
            except RuntimeError as refusal:
                found.append(str(refusal))
    one, other = found
    same = one == other if isinstance(one, str) or isinstance(other, str) else same_bits(one, other) or not repeats(case.id)
    assert same, f"{cast.id}: the module gives {one}, the function {other}"


def test_autocast_of_two_dtypes(mixed: Case, subject: Any) -> None:
    """One argument in half precision, as a layer leaves it, the others in float32: the loss is in float32, and that of float32 if it is cast."""
    case, names = mixed, differentiable(mixed.row, mixed.truth.drawn)
    for half in [name for name, array in flatten(case.truth.drawn.arguments).items() if array.dtype.kind == "f"]:
        found = []
        for lowered in (True, False):
            given = tensors(case.truth.drawn, FORMATS["float32"], case.device)
            given[half] = given[half].to(torch.bfloat16 if lowered else torch.float32)
            leaves = [given[name].requires_grad_() for name in names]
            with torch.autocast(case.device, dtype=torch.bfloat16, enabled=lowered):
                value = function(case, subject)(given)
            assert value.dtype == torch.float32, f"{case.id}, {half}: the result is {value.dtype}"
            gradients = torch.autograd.grad(value, leaves, torch.ones_like(value))
            assert [gradient.dtype for gradient in gradients] == [leaf.dtype for leaf in leaves], f"{case.id}, {half}"
            found.append([value, *(g.to(leaf.dtype) for g, leaf in zip(gradients, leaves, strict=True))])
        cast = autocast.is_cast(case.row.function, case.device) and half != "weight"  # of weights the sum is taken before they are cast
        for one, other in zip(*found, strict=True) if cast else ():
            assert same_bits(one, other.to(one.dtype)), f"{case.id}, {half}: {one}, and {other} of float32"


@pytest.mark.every_dtype
def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case."""
    assert not unmatched(AUTOCAST, (each.id for each in casts(request.config)))
