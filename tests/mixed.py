"""The cases of mixed dtypes: one argument in a dtype of its own, beside others in float32 or float64."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache, partial

import numpy as np
import pytest
import torch

from reference.catalog import ROWS, Row, Variant
from reference.formats import FORMATS

from .calls import Call, spread
from .dtypes import EVERY, FLOATS, PROMOTING_SIGNS, held, taken
from .options import devices, offered, takes
from .subject import Tensors

LABELS = ("index", "ignored", "labels", "alignment", "sign")


@dataclass(frozen=True)
class Mixed:
    """A call in float32, or in another `base`, with one argument in another dtype."""

    row: str
    variant: str
    device: str
    seed: int
    argument: str
    dtype: str
    base: str = "float32"

    @property
    def what(self) -> str:
        """Loss-variant argument."""
        return f"{self.row}-{self.variant} {self.argument}"

    @property
    def id(self) -> str:
        """Loss-variant-device-argument-dtype, and beside what, if that is not float32."""
        beside = "" if self.base == "float32" else f"-beside_{self.base}"
        return f"{self.row}-{self.variant}-{self.device}-{self.argument}-{self.dtype}{beside}"

    @property
    def is_fatal(self) -> bool:
        """Whether it is asked of an accelerator to look up a class that is none: -100 in a byte. The process loses it."""
        domain = _variants(self.row)[self.variant].choices[self.argument].domain
        wraps = self.dtype == "uint8" and domain in LABELS and domain != "sign"
        return wraps and torch.device(self.device).type != "cpu" and bool(np.min(self.call.drawn.arguments[self.argument]) < 0)

    @property
    def call(self) -> Call:
        """The call at numbers that both dtypes hold, in the narrower of them: what is promoted when is left to torch."""
        domain = _variants(self.row)[self.variant].choices[self.argument].domain
        label = domain in LABELS
        number = not label or self.row in PROMOTING_SIGNS
        narrow = self.dtype if self.dtype in ("bfloat16", "float16") and number else self.base
        altered = self.dtype == "bool" or (self.dtype not in FLOATS and (not label or self.dtype == "uint8"))
        return _call(
            self.row,
            self.variant,
            narrow,
            self.device,
            self.seed,
            *((self.argument, self.dtype) if altered else ("", "")),
        )

    def given(self) -> Tensors:
        """The arguments as tensors; not the same numbers where -100 means ignored, and is no byte."""
        based = self._based()
        return based | {self.argument: based[self.argument].to(getattr(torch, self.dtype))}

    def _based(self) -> Tensors:
        return {name: t.to(getattr(torch, self.base)) if t.is_floating_point() else t for name, t in self.call.given().items()}

    @property
    def may(self) -> bool:
        """Whether torch takes the dtype, and it holds the numbers."""
        own, other = self._based()[self.argument], self.given()[self.argument]
        return self.dtype in taken(self.what, self.device) and torch.equal(other.to(own.dtype), own)


@lru_cache(maxsize=8)
def _call(row: str, variant: str, narrow: str, device: str, seed: int, argument: str, dtype: str) -> Call:
    chosen = _variants(row)[variant]
    if not argument:
        return Call(ROWS[row], chosen, FORMATS[narrow], device, seed)
    change = partial(held, domain=chosen.choices[argument].domain, dtype=dtype)
    return Call(ROWS[row], chosen, FORMATS[narrow], device, seed, change, only=argument)


def _suits(row: Row, variant: Variant) -> bool:
    """Options at their defaults, or those that a choice goes with."""
    changed_options = [name for name, values in row.options.items() if variant.options[name] != values[0]]
    return (
        not changed_options
        or changed_options in (["log_input"], ["log_target"], ["full"], ["beta"])
        or (changed_options == ["margin"] and variant.options["margin"] > 0)
        or _fits_a_byte(variant)
    )


def _fits_a_byte(variant: Variant) -> bool:
    changed = {name: value for name, value in variant.options.items() if name == "ignore_index"}
    return changed == {"ignore_index": 255} and variant.options.get("label_smoothing", 0.0) == 0.0


@lru_cache
def _variants(name: str) -> dict[str, Variant]:
    """Every choice of every argument, in the first form and, for classes, in that of images: they are other kernels."""
    row = ROWS[name]
    forms = [form for i, form in enumerate(row.forms) if i == 0 or form.name == "k2"]
    chosen = (forms, *([form] for form in forms))  # the options of each form, too
    return {v.name: v for some in chosen for v in spread(row, some, lambda v: _suits(row, v))}


@cache
def mixed_cases(config: pytest.Config) -> list[Mixed]:
    """Every argument in every dtype but its own."""
    return list(_mixed(config))


def _mixed(config: pytest.Config) -> Iterator[Mixed]:
    seed = config.getoption("--seed")
    for row, device in itertools.product(offered(config), devices(config)):
        if row.namespace:
            continue
        for variant in _variants(row.name).values():
            if takes(config, row, variant):
                for name, choice in variant.choices.items():
                    own = "int64" if choice.domain in LABELS and choice.domain != "sign" else "float32"
                    if choice.domain not in ("absent", "built"):
                        yield from (Mixed(row.name, variant.name, device, seed, name, d) for d in EVERY if d != own)
                        if own == "float32":  # what is made of integers on the way must not be float32
                            yield Mixed(row.name, variant.name, device, seed, name, "int64", "float64")
