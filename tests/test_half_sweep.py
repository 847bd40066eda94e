"""Is every half-precision number right? All 65,536 patterns of float16 and bfloat16 through each elementwise loss.

One argument takes every pattern, infinities, NaN and both zeros included; the others stand at a few points each.
Forward and backward, element by element, against the definition.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

import reference
from reference.accuracy import Truth, ratios
from reference.arithmetic import FloatArray
from reference.catalog import ROWS, Argument, Row, Variant
from reference.formats import FORMATS, Format
from reference.inputs import Drawn, seed_of

from .cases import Case
from .judge import Judge
from .offers import is_missing
from .options import devices, formats, offered
from .subject import array, call_function, differentiable, tensor, tensors

HALVES = ("float16", "bfloat16")

POINTS = MappingProxyType(
    {
        "real": (0.0, 1.5, -4.0),
        "logits": (0.0, 1.5, -4.0),
        "log_rate": (0.0, 1.5, -4.0),
        "positive": (0.75, 2.0, 0.125),
        "variance": (0.75, 2.0, 0.125),
        "count": (0.0, 1.0, 3.0),
        "probability": (0.0, 1.0, 0.25),
        "distribution": (0.0, 1.0, 0.25),
        "log_probability": (-0.125, -1.5, -9.0),
        "sign": (1.0, -1.0),
        "weight": (1.5, 2.0, 1.0),
    }
)
"""Where the other arguments stand, by domain: exact in both formats, on and off the kinks."""

EVERYTHING, NOT_NEGATIVE, UNIT = (-np.inf, np.inf), (0.0, np.inf), (0.0, 1.0)

RANGE = MappingProxyType(
    dict.fromkeys(("variance", "positive", "count", "weight", "distribution"), NOT_NEGATIVE) | {"probability": UNIT}
)
"""What a domain excludes, by value: the rest of its patterns are not inputs. Any other domain takes them all."""

LEFT_OUT = MappingProxyType({EVERYTHING: (0, 0), NOT_NEGATIVE: (31_744, 32_640), UNIT: (50_174, 49_278)})
"""How many patterns that leaves out, in float16 and in bfloat16."""


@lru_cache
def patterns(format: str, low: float = -np.inf, high: float = np.inf) -> FloatArray:
    """Every number of a half-precision format in [low, high], and NaN where the range is unbounded, in float64."""
    every = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(getattr(torch, format))
    numbers = every.to(torch.float64).numpy()
    return numbers[(numbers >= low) & (numbers <= high) | (np.isnan(numbers) & (high == np.inf))]


class Sweep(Case):
    """A case whose `variant` is named after the argument that takes every pattern."""

    __slots__ = ()

    @property
    def truth(self) -> Truth:
        """The definition over the whole sweep."""
        return _truth(self.row.name, self.variant.name, self.format.name)

    def cotangent(self, shape: tuple[int, ...]) -> FloatArray:
        """At most 1, lest the product with it overflow where the gradient itself does not."""
        rng = np.random.default_rng(seed_of(self.id, self.seed))
        return self.format.round(rng.uniform(0.25, 1.0, shape) * rng.choice([-1.0, 1.0], shape))


class Part(Sweep):
    """Some columns of a sweep, for elements know nothing of each other."""

    def __init__(self, whole: Sweep, columns: Any, vector: FloatArray) -> None:
        """Cut them out of its arguments, and of its cotangent."""
        super().__init__(**{f.name: getattr(whole, f.name) for f in fields(whole)})
        drawn = whole.truth.drawn
        cut = Drawn({name: a[:, columns] for name, a in drawn.arguments.items()}, drawn.options)
        object.__setattr__(self, "_at", replace(whole.truth, drawn=cut))
        object.__setattr__(self, "_vector", vector[:, columns])

    @property
    def truth(self) -> Truth:
        """The definition over the columns."""
        return self._at

    def cotangent(self, shape: tuple[int, ...]) -> FloatArray:
        """The part of the sweep's."""
        return self._vector


def swept(row: Row) -> dict[str, tuple[Argument, Variant]]:
    """The sweeps of a loss, by name: its input at every pair of options, each other number where it first occurs."""
    found: dict[str, tuple[Argument, Variant]] = {}
    seen: set[tuple[str, str]] = set()
    for variant in row.few():
        present = [a for a in row.arguments if variant.choices[a.name].domain not in ("absent", "sign")]
        said = [c.label.split("_")[0] for c in variant.choices.values() if c.label]
        said += [f"{name}.{value}" for name, value in variant.options.items() if value != row.options[name][0]]
        for a in present:
            choice = variant.choices[a.name].domain
            if a is row.arguments[0] or (a.name, choice) not in seen:
                name = "_".join(["every", a.name, *said])
                found.setdefault(name, (a, Variant(variant.form, variant.choices, variant.options, name)))
            seen.add((a.name, choice))
    return found


def drawn(row: Row, a: Argument, variant: Variant, format: Format) -> Drawn:
    """Every pattern of one argument along the second axis, the points of the others along the first."""
    low, high = RANGE.get(variant.choices[a.name].domain, EVERYTHING)
    every = patterns(format.name, low, high)
    arguments = {}
    for i, other in enumerate(row.arguments):
        domain = variant.choices[other.name].domain
        if other is a:
            arguments[a.name] = np.tile(every, (3, 1))
        elif domain != "absent":
            points = np.resize(np.roll(POINTS[domain], i), (3, 1))
            arguments[other.name] = np.ascontiguousarray(np.broadcast_to(points, (3, every.size)))
    return Drawn(arguments, dict(variant.options))


@lru_cache(maxsize=1)
def _truth(row: str, name: str, format: str) -> Truth:
    a, variant = swept(ROWS[row])[name]
    definition = getattr(reference, ROWS[row].function).definition
    return Truth(
        ROWS[row], variant, drawn(ROWS[row], a, variant, FORMATS[format]), FORMATS[format], "sweep", definition
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sweep" in metafunc.fixturenames:
        config = metafunc.config
        found = list(sweeps(offered(config), formats(config, HALVES), devices(config)))
        metafunc.parametrize("sweep", found, ids=[s.id for s in found])


def sweeps(rows: list[Row], formats: list[Format], devices: list[str]) -> Iterator[Sweep]:
    """Every sweep that torch offers."""
    for row, device, format in itertools.product(rows, devices, formats):
        if row.elementwise and not is_missing(row, format.name, device, torch.__version__):
            yield from (Sweep(row, v, "none", format, device, "sweep") for _, v in swept(row).values())


def test_every_pattern(sweep: Sweep, subject: Any, judge: Judge) -> None:
    """The value and every gradient are the definition's, at every pattern."""
    names = differentiable(sweep.row, sweep.truth.drawn)
    given = tensors(sweep.truth.drawn, sweep.format, sweep.device, differentiable=names)
    value = call_function(subject, sweep.row, sweep.variant, given, "none")
    cotangent = sweep.cotangent(tuple(value.shape))
    value.backward(tensor(cotangent, sweep.format, sweep.device))
    budgets = {"value": sweep.truth.value("none"), **next(sweep.truth.growing("none", cotangent))}
    for name, got in {"value": array(value), **{name: array(given[name].grad) for name in names}}.items():
        assert got.shape == budgets[name].want.shape, f"{sweep.id}: {name} has shape {got.shape}"
        open = ~(ratios(got, budgets[name], sweep.format)[0] <= 1).all(0)
        judge(sweep, name, np.where(open, budgets[name].want, got), budgets[name])
        if open.any():
            part = Part(sweep, open, cotangent)
            whole = part.truth.value("none") if name == "value" else part.truth.gradients("none", cotangent[:, open])[name]
            judge(part, name, got[:, open], whole, None if name == "value" else cotangent[:, open])


@pytest.mark.parametrize("format", HALVES)
@pytest.mark.parametrize("limits", LEFT_OUT)
def test_the_sweep_leaves_out_what_it_says(format: str, limits: tuple[float, float]) -> None:
    """A sweep has all 65,536 patterns less those outside its domain, and no number twice."""
    every = patterns(format, *limits)
    assert 2**16 - every.size == LEFT_OUT[limits][HALVES.index(format)]
    bits = every[~np.isnan(every)].view(np.int64)
    assert np.unique(bits).size == bits.size
