"""The torch side of a case: arrays to tensors, a variant to a call of the function and of the module."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from reference.arithmetic import FloatArray
from reference.catalog import Row, Variant
from reference.formats import Format
from reference.inputs import Drawn
from reference.loss import flatten

Tensors = dict[str, Any]


def tensor(array: Any, format: Format, device: str) -> torch.Tensor:
    """The array as a tensor: indices as int64, numbers in the format's dtype, in which they are exact."""
    return torch.tensor(array, device=device, dtype=getattr(torch, format.name) if array.dtype.kind == "f" else torch.int64)


def tensors(drawn: Drawn, format: Format, device: str, *, differentiable: tuple[str, ...] = ()) -> Tensors:
    """Every argument as a tensor, nested ones as name.0, name.1; those in `differentiable` as leaves that require grad."""
    found = {name: tensor(array, format, device) for name, array in flatten(drawn.arguments).items()}
    for name in differentiable:
        found[name].requires_grad_()
    return found


def array(tensor: torch.Tensor) -> FloatArray:
    """The tensor's numbers, exactly, in float64."""
    return tensor.detach().to("cpu", torch.float64).numpy()


def differentiable(row: Row, drawn: Drawn) -> tuple[str, ...]:
    """The arguments of this call that torch differentiates in."""

    def holds_numbers(name: str) -> bool:
        return drawn.arguments[name].dtype.kind == "f"

    wanted = {a.name for a in row.arguments if (holds_numbers(a.gradient) if isinstance(a.gradient, str) else a.gradient)}
    arrays = flatten(drawn.arguments).items()
    return tuple(name for name, a in arrays if name.partition(".")[0] in wanted and a.dtype.kind == "f")


# -- the function -----------------------------------------------------------------------------------------------


def function(subject: Any, row: Row) -> Callable[..., torch.Tensor] | None:
    """The loss in the subject's namespace, or where else torch has it; None if it is not offered."""
    found = getattr(subject, row.function, None)
    if found is None and subject is torch.nn.functional:
        if row.namespace:
            try:
                return getattr(importlib.import_module(row.namespace), row.function, None)
            except (ImportError, RuntimeError):  # not there, or built for another torch: then its operators are missing
                return None
        return ADAPTERS.get(row.function)
    return found


def call_function(subject: Any, row: Row, variant: Variant, tensors: Tensors, reduction: str) -> torch.Tensor:
    """The function of torch.nn.functional, or whatever has its names."""
    return loss_of(subject, row)(**tensors, **variant.options, reduction=reduction)


def loss_of(subject: Any, row: Row) -> Callable[..., torch.Tensor]:
    """The loss, which the subject has."""
    called = function(subject, row)
    if called is None:
        raise LookupError(f"{row.function} is not offered by {subject.__name__}")
    return called


def adaptive_module(input: torch.Tensor, *, cutoffs: Any, div_value: float, **rest: torch.Tensor) -> torch.nn.Module:
    """The module that takes this input and whose parameters are as large as those given."""
    last = rest[max(name for name in rest if name.startswith("tail_weights."))]
    classes, bias = cutoffs[-1] + last.shape[0], "head_bias" in rest
    more = {"div_value": div_value, "head_bias": bias, "device": input.device, "dtype": input.dtype}
    return torch.nn.AdaptiveLogSoftmaxWithLoss(input.shape[-1], classes, cutoffs, **more)


def adaptive_loss(module: torch.nn.Module, input: torch.Tensor, target: torch.Tensor, reduction: str, **rest: Any) -> torch.Tensor:
    """The loss of a module with other parameters than its own; its output is minus the loss."""
    tails = (name for name in rest if name.startswith("tail_weights."))
    tail = {name.replace("tail_weights", "tail") + ".weight": rest[name] for name in tails}
    head = {f"head.{n}": rest[f"head_{n}"] for n in ("weight", "bias") if f"head_{n}" in rest}
    found = torch.func.functional_call(module, {**tail, **head}, (input, target))
    return -found.output if reduction == "none" else found.loss


def _adaptive(input: torch.Tensor, target: torch.Tensor, *, reduction: str, **rest: Any) -> torch.Tensor:
    """AdaptiveLogSoftmaxWithLoss as a function: torch has only the module."""
    return adaptive_loss(adaptive_module(input, **rest), input, target, reduction, **rest)


def prepared(subject: Any, row: Row, variant: Variant, tensors: Tensors) -> Callable[..., torch.Tensor]:
    """The loss with its options given; where torch has only the module, that is made beforehand: to make it draws numbers."""
    if row.function not in ADAPTERS:
        return partial(loss_of(subject, row), **variant.options)
    layers = {name: tensor for name, tensor in tensors.items() if name != "target"}
    return partial(adaptive_loss, adaptive_module(**layers, **variant.options))


ADAPTERS: Mapping[str, Callable[..., torch.Tensor]] = {"adaptive_log_softmax_with_loss": _adaptive}


# -- the module -------------------------------------------------------------------------------------------------


def module(row: Row, variant: Variant, tensors: Tensors, reduction: str) -> torch.nn.Module:
    """The module, constructed as the variant says."""
    given: dict[str, Any] = dict(variant.options)
    given |= {a.name: tensors[a.name] for a in row.arguments if a.place == "constructor" and a.name in tensors}
    if row.name == "LinearCrossEntropyLoss":
        weight, bias = tensors["linear_weight"], tensors.get("linear_bias")
        shape = {
            "in_features": weight.shape[-1],
            "num_classes": weight.shape[0],
            "out_features": tuple(weight.shape[1:-1]),
        }
        made = torch.nn.LinearCrossEntropyLoss(**shape, bias=bias is not None, reduction=reduction, **given)
        made.linear.weight = torch.nn.Parameter(weight.detach().reshape(-1, weight.shape[-1]))
        if bias is not None:
            made.linear.bias = torch.nn.Parameter(bias.detach().reshape(-1))
        return made
    return getattr(torch.nn, row.name)(**given, reduction=reduction)


def call_module(row: Row, variant: Variant, tensors: Tensors, reduction: str) -> torch.Tensor:
    """The module's result."""
    inputs = [tensors[a.name] for a in row.arguments if a.place == "call" and a.name in tensors]
    return module(row, variant, tensors, reduction)(*inputs)


def has_module(row: Row, tensors: Mapping[str, Any]) -> bool:
    """Whether there is a module besides the function, and it can be given these arguments: some only the function takes."""
    if row.function in ADAPTERS or not hasattr(torch.nn, row.name):
        return False
    return not any(name in tensors for name in row.function_only)
