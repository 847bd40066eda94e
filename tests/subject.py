"""The torch side of a case: arrays to tensors, a variant to a call of the function and of the module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from reference.arithmetic import FloatArray
from reference.catalog import Row, Variant
from reference.formats import Format
from reference.inputs import Drawn

Tensors = dict[str, Any]


def tensor(array: Any, format: Format, device: str) -> torch.Tensor:
    """The array as a tensor: indices as int64, numbers in the format's dtype, in which they are exact."""
    found = torch.from_numpy(np.ascontiguousarray(array)).reshape(np.shape(array))
    return found.to(device=device, dtype=getattr(torch, format.name) if array.dtype.kind == "f" else torch.int64)


def tensors(drawn: Drawn, format: Format, device: str, *, differentiable: tuple[str, ...] = ()) -> Tensors:
    """Every argument as a tensor; those in `differentiable` as leaves that require grad."""
    found = {name: tensor(array, format, device) for name, array in drawn.arguments.items()}
    for name in differentiable:
        found[name].requires_grad_()
    return found


def array(tensor: torch.Tensor) -> FloatArray:
    """The tensor's numbers, exactly, in float64."""
    return tensor.detach().to("cpu", torch.float64).numpy()


def call_function(subject: Any, row: Row, variant: Variant, tensors: Tensors, reduction: str) -> torch.Tensor:
    """The function of torch.nn.functional, or whatever has its names."""
    return getattr(subject, row.function)(**tensors, **variant.options, reduction=reduction)


def module(row: Row, variant: Variant, tensors: Tensors, reduction: str) -> torch.nn.Module:
    """The module, constructed as the variant says."""
    given: dict[str, Any] = dict(variant.options)
    given |= {a.name: tensors[a.name] for a in row.arguments if a.place == "constructor" and a.name in tensors}
    if row.name == "LinearCrossEntropyLoss":
        weight, bias = tensors["linear_weight"], tensors.get("linear_bias")
        made = torch.nn.LinearCrossEntropyLoss(
            weight.shape[-1], weight.shape[0], out_features=tuple(weight.shape[1:-1]), bias=bias is not None, reduction=reduction, **given
        )
        made.linear.weight = torch.nn.Parameter(weight.reshape(-1, weight.shape[-1]))
        if bias is not None:
            made.linear.bias = torch.nn.Parameter(bias.reshape(-1))
        return made
    return getattr(torch.nn, row.name)(**given, reduction=reduction)


def call_module(row: Row, variant: Variant, tensors: Tensors, reduction: str) -> torch.Tensor:
    """The module's result."""
    inputs = [tensors[a.name] for a in row.arguments if a.place == "call" and a.name in tensors]
    return module(row, variant, tensors, reduction)(*inputs)


def has_module(row: Row, tensors: Mapping[str, Any]) -> bool:
    """Whether the module can be given these arguments: some only the function takes."""
    return not any(name in tensors for name in row.function_only)


def differentiable(row: Row, drawn: Drawn) -> tuple[str, ...]:
    """The arguments of this call that torch differentiates in."""
    return tuple(
        a.name for a in row.arguments if a.gradient and a.name in drawn.arguments and drawn.arguments[a.name].dtype.kind == "f"
    )
