"""Does the specification agree with torch on the inputs that torch tests its own losses with?

In float64, to 1e-9: it asks which numbers meet, and what an argument means; of the last digits the matrix asks.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import reference
from reference.catalog import CATALOG, Row

pytestmark = pytest.mark.self_test
pytest.importorskip("expecttest", reason="torch.testing._internal, which has the samples, imports it")

REFUSED: Mapping[str, str] = {
    "multi_margin_loss": r"^input is of shape \(\); allowed: 1 or 2 axes$|^target is of shape \(1,\); allowed: shape \(\) ",
    "multilabel_margin_loss": r"^input is of shape \(\); allowed: 1 or 2 axes$",
    "hinge_embedding_loss": r"^target is -?\d+\.\d+; allowed: 1 or -1$",
}
"""The samples that the specification refuses: shapes that are not documented, and a sign that is none."""

MEANT: Mapping[str, Any] = {"distance_function": lambda it: reference.pairwise_distance(it.norm, it.eps)}
"""What an argument is here that is a module there."""

UNSAID = ("reduction", "options", "bias", "in_features", "num_classes", "out_features", "device", "dtype")
"""What torch is called with and the specification is not: how to compute, and which layers to make, which are there; the reduction apart."""

ELSEWHERE = ("ctc_loss",)
"""What gives a gradient that is not in its argument, as is known of it: see tests/departures.py."""

Call = tuple[torch.Tensor, dict[str, Any], str]
"""What torch gives, the arguments by the specification's names, of which those that it has gradients in are leaves, the reduction."""


@cache
def described() -> tuple[Sequence[Any], Sequence[Any]]:
    """Torch's descriptions of functions, and of modules; slow to import."""
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db

    return op_db, module_db


def calls_of_function(row: Row) -> Iterator[Call]:
    """With each of its samples."""
    for op in (op for op in described()[0] if op.name == f"nn.functional.{row.function}"):
        for sample in op.sample_inputs("cpu", torch.float64, requires_grad=True):
            given = _named(op.op, sample.input, *sample.args, **sample.kwargs)
            yield op.op(**given), _said(given), given.get("reduction", "mean")


def calls_of_module(row: Row) -> Iterator[Call]:
    """With each of its samples, made by each of its constructors."""
    for info in (info for info in described()[1] if info.module_cls.__name__ == row.name):
        for sample in info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=True, training=True):
            made, how = sample.constructor_input, sample.forward_input
            module = info.module_cls(*made.args, **made.kwargs).double()
            options, given, layers = _named(info.module_cls, *made.args, **made.kwargs), _named(module.forward, *how.args, **how.kwargs), _layers(module)
            result = torch.func.functional_call(module, _parameters(module, layers), tuple(given.values()))
            if "log_input" in given:  # the module's name of it, and that of an option
                given["input"] = given.pop("log_input")
            yield result, _said(options) | given | layers, options.get("reduction", "mean")


def _named(function: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments by name, tensors that require a gradient as leaves."""
    given = inspect.signature(function).bind(*args, **kwargs).arguments.items()
    return {name: _leaf(value) for name, value in given if value is not None}


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that the specification takes."""
    return {name: value for name, value in given.items() if name not in UNSAID}


def _leaf(value: Any) -> Any:
    return value.detach().requires_grad_() if isinstance(value, torch.Tensor) and value.requires_grad else value


def _layers(module: torch.nn.Module) -> dict[str, Any]:
    """The linear layer that a module draws for itself, in the specification's shapes."""
    if not hasattr(module, "linear"):
        return {}
    shape = (module.num_classes, *module.out_features)
    bias = {} if module.linear.bias is None else {"linear_bias": _leaf(module.linear.bias.reshape(shape))}
    return {"linear_weight": _leaf(module.linear.weight.reshape(*shape, -1)), **bias}


def _parameters(module: torch.nn.Module, layers: dict[str, Any]) -> dict[str, torch.Tensor]:
    """These leaves in the module's shapes and under its names."""
    return {name: layers[name.replace(".", "_")].reshape(own.shape) for name, own in module.named_parameters()}


def _array(name: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    return MEANT[name](value) if name in MEANT else value


def agrees(row: Row, value: torch.Tensor, given: Mapping[str, Any], reduction: str) -> bool:
    """Whether the specification takes it; if so value, and gradients of the sum, are its own."""
    arrays = {name: _array(name, each) for name, each in given.items()}
    try:
        want = getattr(reference, row.function)(**arrays, reduction=reduction)
    except ValueError as refusal:
        assert re.search(REFUSED.get(row.function, "^$"), str(refusal)), f"{given}: {refusal}"
        return False
    leaves = {name: each for name, each in given.items() if name in want.gradients and each.requires_grad and row.function not in ELSEWHERE}
    gradients = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True) if leaves else ()
    found = {"value": value.detach(), **dict(zip(leaves, gradients, strict=True))}
    for name, right in {"value": want.value, **want.gradients}.items():
        assert name not in found or np.allclose(found[name].numpy(), right, rtol=1e-9, atol=1e-12, equal_nan=True), f"{name} of {given}, {reduction}: {found[name]}, and not {right}"
    return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("calls", [calls_of_function, calls_of_module], ids=["function", "module"])
@pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.name)
def test_samples(row: Row, calls: Callable[[Row], Iterator[Call]]) -> None:
    """All that the specification takes agree; what it refuses is known."""
    found = [agrees(row, *call) for call in calls(row)]
    if not found:
        pytest.skip("torch has no samples of it")
    assert any(found)
