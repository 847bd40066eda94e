"""A module of every loss, beside the arguments that it is called with, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from .calls import Call, spread
from .options import formats as asked_for
from .options import offered
from .subject import ADAPTERS, Tensors, adaptive_module, has_module, module


@dataclass(frozen=True)
class Made:
    """A module, and the arguments of a call of it."""

    module: torch.nn.Module
    inputs: tuple[torch.Tensor, ...]

    def __call__(self) -> torch.Tensor:
        """The loss, or its first output."""
        return first(self.module(*self.inputs))


def first(result: Any) -> torch.Tensor:
    """The loss; of adaptive softmax, the first of its two outputs."""
    return result[0] if isinstance(result, tuple) else result


def made(call: Call, reduction: str, given: Tensors | None = None) -> Made:
    """The module as the call says, with its weights and parameters, on memory of its own."""
    given = {name: tensor.clone() for name, tensor in (call.given() if given is None else given).items()}
    row = call.row
    inputs = tuple(given[a.name] for a in row.arguments if a.place == "call" and a.name in given)
    if row.function not in ADAPTERS:
        return Made(module(row, call.variant, given, reduction), inputs)
    layers = {name: tensor for name, tensor in given.items() if name != "target"}
    found = adaptive_module(**layers, **call.variant.options)
    named = {name.replace("tail_weights", "tail") + ".weight": t for name, t in given.items() if "tail" in name}
    named |= {f"head.{name}": given[f"head_{name}"] for name in ("weight", "bias") if f"head_{name}" in given}
    found.load_state_dict(named)
    return Made(found, inputs)


def leaves(call: Call, one: Made) -> Tensors:
    """The arguments of the call that torch differentiates in, by name; they ask for it from now on."""
    names = [a.name for a in call.row.arguments if a.place == "call" and a.name in call.drawn.arguments]
    return {n: t.requires_grad_() for n, t in zip(names, one.inputs, strict=True) if n in call.differentiable}


def calls(config: pytest.Config) -> list[Call]:
    """In float32, a call of every choice of the losses that have a module."""
    rows = [row for row in offered(config) if hasattr(torch.nn, row.name)]
    found = [Call(row, v, f) for row in rows for v in spread(row, row.forms) for f in asked_for(config, ["float32"])]
    return [c for c in found if c.row.function in ADAPTERS or has_module(c.row, c.given())]
