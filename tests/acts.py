"""Calls of which is asked what else they do: by the function and by the module, in one dtype and another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pytest
import torch

from reference.catalog import ROWS, Form, Row, Variant
from reference.formats import FORMATS

from .calls import Call, Outcome, gradients, implemented, spread
from .options import devices, formats, offered, takes
from .subject import Tensors, has_module, module, prepared

Caller = Callable[[Tensors], torch.Tensor]


@dataclass(frozen=True)
class Act:
    """One call, by the function or by the module."""

    row: str
    variant: str
    reduction: str
    dtype: str
    device: str
    how: str
    seed: int
    neutral: str = ""  # an argument that has no effect: a shortcut might return another as it is

    @property
    def id(self) -> str:
        """Loss-variant-reduction-dtype-device-how, and which argument is neutral."""
        parts = (self.row, self.variant, self.reduction, self.dtype, self.device, self.how, self.neutral)
        return "-".join(filter(None, parts))

    @property
    def call(self) -> Call:
        """The call, shared by its reductions."""
        return _call(self.row, self.variant, self.dtype, self.device, self.seed, self.neutral)

    def leaves(self) -> Tensors:
        """The arguments on memory of their own; those that torch differentiates in ask for it."""
        call = self.call
        wanted = [name for name in call.differentiable if self.how == "function" or _place(call, name) != "parameter"]
        return {name: t.clone().requires_grad_(name in wanted) for name, t in call.given().items()}

    def prepare(self, subject: Any, given: Tensors) -> Caller:
        """What makes the call with given arguments; the module is constructed here, once (also where torch has nothing else)."""
        call = self.call
        if self.how == "function":
            function = prepared(subject, call.row, call.variant, given)
            return lambda given: function(**given, reduction=self.reduction)
        made = module(call.row, call.variant, given, self.reduction)
        called = [a.name for a in call.row.arguments if a.place == "call" and a.name in given]
        return lambda given: made(*(given[name] for name in called))


@lru_cache(maxsize=8)
def _call(row: str, variant: str, dtype: str, device: str, seed: int, neutral: str) -> Call:
    chosen = _variants(row)[variant]
    if not neutral:
        return Call(ROWS[row], chosen, FORMATS[dtype], device, seed)
    value = NEUTRAL[chosen.choices[neutral].domain]
    return Call(ROWS[row], chosen, FORMATS[dtype], device, seed, lambda a: np.full_like(a, value), only=neutral)


NEUTRAL = {"sign": 1.0, "weight": 1.0, "real": 0.0, "count": 0.0}
"""By domain, the number that has no effect: a target of 1 leaves a hinge embedding as it is."""


@lru_cache
def _variants(name: str) -> dict[str, Variant]:
    return {v.name: v for v in spread(ROWS[name], ROWS[name].forms)}


def _place(call: Call, name: str) -> str:
    return next(a.place for a in call.row.arguments if a.name == name.partition(".")[0])


def asking(given: Tensors) -> list[torch.Tensor]:
    """The arguments that ask for a gradient."""
    return [t for t in given.values() if t.requires_grad]


def names(given: Tensors) -> list[str]:
    """Their names."""
    return [name for name, t in given.items() if t.requires_grad]


def outcome(act: Act, subject: Any, given: Tensors | None = None) -> Outcome:
    """What the act gives, of its own arguments or of others."""
    given = act.leaves() if given is None else given
    value = act.prepare(subject, given)(given)
    found = gradients(value, asking(given), act.call.vector(act.reduction))
    return Outcome(value.detach(), dict(zip(names(given), found, strict=True)))


# -- which there are ------------------------------------------------------------------------------------------------


@cache
def acts(config: pytest.Config) -> list[Act]:
    """Every act that is asked about."""
    return list(_acts(config))


def _acts(config: pytest.Config) -> Iterator[Act]:
    """The function in float32, unreduced and with a reduction in turn, in the first form with each; with that the module, and another dtype in turn."""
    seed, itself = config.getoption("--seed"), config.getoption("--subject") == "torch.nn.functional"
    for row, device in itertools.product(offered(config), devices(config)):
        dtypes = [f.name for f in formats(config) if implemented(row, f, device)]
        others = [dtype for dtype in dtypes if dtype != "float32"]
        for n, variant in enumerate(_variants(row.name).values()):
            if not takes(config, row, variant):
                continue
            given = [name for name, choice in variant.choices.items() if choice.domain != "absent"]
            turn = row.reductions[1 + n % (len(row.reductions) - 1)]
            every = row.reductions if variant.form is row.forms[0] else ("none", turn)
            chosen = [(r, "float32", "function") for r in every] if "float32" in dtypes else []
            chosen += [(turn, others[n % len(others)], "function")] if others else []
            chosen += (
                [(turn, "float32", "module")]
                if itself and "float32" in dtypes and has_module(row, dict.fromkeys(given))
                else []
            )
            for reduction, dtype, how in chosen:
                yield Act(row.name, variant.name, reduction, dtype, device, how, seed)


def shortcuts(config: pytest.Config) -> Iterator[Act]:
    """The unreduced function, with one argument after another neutral."""
    for act in acts(config):
        if act.reduction == "none" and act.dtype == "float32" and act.how == "function":
            choices = act.call.variant.choices.items()
            yield from (replace(act, neutral=name) for name, choice in choices if choice.domain in NEUTRAL)


SIZES = {"N": 64, "C": 64, "F": 64, "D": 64, "T": 16}
FIXED = {"AdaptiveLogSoftmaxWithLoss": ("C",)}  # its cutoffs are about the classes that it has


def enlarged(row: Row, name: str, **sizes: int) -> Form:
    """The first form of the row, its axes at these sizes."""
    axes = row.forms[0].axes
    return Form(name, {axis: n if axis in FIXED.get(row.name, ()) else sizes.get(axis, 4) for axis, n in axes.items()})
