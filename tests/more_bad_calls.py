"""Bad calls again: of an empty batch, with what is wrong at the other end of an argument, and asking for no gradient."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from reference.catalog import CATALOG, Form, Row

from .bad_calls import ELSEWHERE, OPTIONS, VALUES, BadCall, Call, _drawn, _plainest, bad_calls
from .errors import Rule, refused, wrong
from .outcomes import CHUNKED, Attempt, Outcome, observe

_ROWS = "the chunks are counted on input: no row, no chunk, and nothing is compared"
EMPTY_RULES: tuple[Rule, ...] = (
    refused("LinearCrossEntropy", "input", "axis0.longer", RuntimeError, "exceeds dimension size", "a kernel that is handed what nobody checked", spelling=CHUNKED),
    wrong("LinearCrossEntropy", "target weight", "axis0.longer", "number|nan|inf", _ROWS, spelling=CHUNKED),
)
"""How calls of no rows end, where not as those of some do; the words are those of tests/errors.py."""

ONLY_ASKED = "does not support automatic differentiation"
"""What a refusal says that is about a gradient, and is none where nobody asks for one."""

SIZES: dict[str, str] = {
    "that is different to the input size": "target size (torch.Size({target})) that is different to the input size (torch.Size({input}))",
    "must be the same as input size": "Target size (torch.Size({target})) must be the same as input size (torch.Size({input}))",
    "All input tensors should have same dimension": "input1: torch.Size({input1}), input2: torch.Size({input2}), target: torch.Size({target})",
    "D target tensor expects": "but found inputs with sizes {input1} and {input2}",
    "are expected to have the same number of dimensions": "anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D",
    "Expected input batch_size": "batch_size ({input.rows}) to match target batch_size ({target.rows})",
    "must match the size of tensor b": "The size of tensor a (",
    "but got weight tensor of shape": "but got weight tensor of shape: {weight}",
    "expected weight shape to be": "got (",
}
"""Of messages by what they say, which sizes they name."""

OF_VALUES = {"past_the_end", "negative", "far", "far_negative", "blank"}.union(*VALUES.values())


class Moved(BadCall):
    """A call whose bad number is at the other end of its argument: not every loop looks at both."""

    @cached_property
    def arguments(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """With the argument turned about; a list of labels ends at the first that is none, so that only its rows are."""
        arrays, options = super().arguments
        bad = arrays[self.argument]
        axes = 0 if self.good.domains[self.argument] == "labels" else None
        return {**arrays, self.argument: np.flip(bad, axes)}, options

    @property
    def reductions(self) -> tuple[str, ...]:
        """One: what is looked at does not depend on it."""
        return self.good.reductions[1:2]


class Empty(BadCall):
    """A call of no rows, of which an argument has some, or has another number of classes; or with a bad option."""

    @cached_property
    def arguments(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays and options, one of them bad."""
        arrays, options = dict(self.good.arrays), dict(self.good.options)
        if self.argument not in arrays:
            return arrays, {**options, self.argument: OPTIONS[self.argument][self.fault]}
        array, axis = arrays[self.argument], int(self.fault[len("axis")])
        longer = [n + (2 if i == axis else 0) for i, n in enumerate(array.shape)]
        return {**arrays, self.argument: np.ones(longer, array.dtype)}, options

    @property
    def reductions(self) -> tuple[str, ...]:
        """One: what is compared with what does not depend on it."""
        return super().reductions[-2:-1] or super().reductions


def moved() -> Iterator[BadCall]:
    """Of every bad number of an array of several."""
    for bad in bad_calls().values():
        array = bad.good.arrays.get(bad.argument)
        labels = bad.good.domains.get(bad.argument) == "labels"
        if bad.fault in OF_VALUES and array is not None and array.size > 1 and array.ndim > labels:
            yield Moved(bad.good, bad.argument, bad.fault)


def empty() -> Iterator[BadCall]:
    """Every argument of every loss of a batch, two longer in every axis, and every option."""
    for row in CATALOG:
        if row.name in ELSEWHERE or row.namespace:
            continue
        right = dict(_without_rows(row))
        for argument, call in right.items():
            for axis in range(call.arrays[argument].ndim):
                yield Empty(call, argument, f"axis{axis}.longer")
        first = next(iter(right.values()))
        for option in (*first.options, "reduction"):
            faults = OPTIONS.get(option, {}).items()
            yield from (Empty(first, option, fault) for fault, value in faults if value not in first.reductions)


def _without_rows(row: Row) -> Iterator[tuple[str, Call]]:
    """(argument, call): the plainest call that has the argument, of no rows."""
    batch = row.forms[0]
    none = Form("empty", {**batch.axes, "N": 0})
    for argument in row.arguments:
        fit = next(v for v in _plainest(row) if v.form is batch and v.choices[argument.name].domain != "absent")
        yield argument.name, _drawn(row, replace(fit, form=none))


@cache
def more_bad_calls() -> dict[str, BadCall]:
    """Those that are bad, by id."""
    asked = [*moved(), *empty()]
    return {f"{type(bad).__name__.lower()}-{bad.id}": bad for bad in asked if bad.refused}


class Shape(list):
    """A shape, as messages write it."""

    @property
    def ndim(self) -> int:
        """How many axes."""
        return len(self)

    @property
    def rows(self) -> int:
        """The length of the first axis."""
        return self[0] if self else 0


def unnamed(bad: BadCall, text: str) -> str:
    """The sizes that a message should name and does not; empty if it names them all, or need not."""
    shapes = {name: Shape(np.shape(a)) for name, a in bad.arguments[0].items()}
    wanted = [sizes.format(**shapes) for says, sizes in SIZES.items() if says in text]
    return "".join(sizes for sizes in wanted if sizes not in text)


@dataclass(frozen=True)
class Job:
    """An attempt by names, for another process: `asks` for a gradient, or not, or makes it under `no_grad`."""

    bad: str
    spelling: str
    reduction: str
    subject: str
    asks: str = "asks"

    @property
    def attempt(self) -> Attempt:
        """The attempt."""
        return Attempt(bad_calls().get(self.bad) or more_bad_calls()[self.bad], self.spelling, self.reduction)


def observe_job(job: Job) -> tuple[Outcome, str]:
    """How it ends, and what of the state of torch it leaves changed."""
    attempt, before = job.attempt, state()
    with torch.no_grad() if job.asks == "no_grad" else nullcontext():
        inside = torch.is_grad_enabled()
        outcome = observe(attempt, importlib.import_module(job.subject), asks=job.asks == "asks")
        left = "" if torch.is_grad_enabled() == inside else "grad mode; "
    return outcome, left + "; ".join(name for name, value in state().items() if value != before[name])


def state() -> dict[str, Any]:
    """What a call could leave changed."""
    return {
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
        "default dtype": torch.get_default_dtype(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "warnings": torch.is_warn_always_enabled(),
        "threads": torch.get_num_threads(),
        "autocast": torch.is_autocast_enabled("cpu"),
    }
