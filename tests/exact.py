"""Points at which the definitions are held to mathematics, and the mathematics there: values and slopes.

A point is a call of the matrix in a smaller shape. The truth at it is the textbook's formula, to as many digits as
it takes, and the slopes are difference quotients of that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from mpmath import mp

import reference
from reference.accuracy import Budget, Truth
from reference.arithmetic import FloatArray
from reference.catalog import CATALOG, Argument, Choice, Form, Row, Variant
from reference.formats import FORMATS, Format
from reference.inputs import SPECIAL, Drawn, draw, regimes, seed_of
from reference.loss import Loss, flatten

from . import textbook

DIGITS = 50
REACH = 350  # digits: what is smaller than 10**-REACH is no float64 at all
STEP = 60  # digits: a step of 10**-STEP, which is below all that a loss clamps at


# -- which points -----------------------------------------------------------------------------------------------

_PROBABILITY, _DISTRIBUTION = Choice("", "probability"), Choice("", "distribution")
_ROWS, _BASE = (Form("batch", {"N": 4, "C": 4}),), {"base": (None, 2.0)}
BESIDES = (
    Row("Information", "information", (Argument("p", (_PROBABILITY,)),), _ROWS, _BASE, elementwise=True),
    Row("Entropy", "entropy", (Argument("p", (_DISTRIBUTION,)),), _ROWS, _BASE),
    Row("KLDivergence", "kl_divergence", tuple(Argument(n, (_DISTRIBUTION,)) for n in "pq"), _ROWS, _BASE),
    Row("CrossEntropyOf", "cross_entropy_of", tuple(Argument(n, (_DISTRIBUTION,)) for n in "pq"), _ROWS, _BASE),
)
"""The definitions that torch.nn has no class for, in the catalog's terms."""

NORMALIZED = ("entropy", "kl_divergence", "cross_entropy_of")
"""These refuse rows that do not sum to 1, as no row does after it was rounded to half precision."""

TIES = ("tiny", "huge", "zero")
"""Here two distances are equal but for a rounding, of eps or of the inputs beside it: which is the smaller, and so the
gradient of a triplet loss under `swap`, is beyond 50 digits, too."""

VALUE = {
    "adaptive_log_softmax_with_loss": "*-F-C",
    "cosine_embedding_loss": "*-D",
    "cross_entropy": "*-C",
    "cross_entropy_of": "*-C",
    "ctc_loss": "*-T-C-S",
    "entropy": "*-C",
    "kl_divergence": "*-C",
    "linear_cross_entropy": "*-C-F",
    "multi_margin_loss": "*-C",
    "multilabel_margin_loss": "*-C",
    "multilabel_soft_margin_loss": "*-C",
    "nll_loss": "*-C",
    "triplet_margin_loss": "*-D",
    "triplet_margin_with_distance_loss": "*-D",
}
"""The axes of the value, as the catalog writes them; `*` for the others."""


@dataclass(frozen=True, eq=False)
class Point:
    """One call: of a variant in a small shape, at the inputs of a regime in a format, under a reduction."""

    row: Row
    variant: Variant
    regime: str
    format: Format
    reduction: str

    @property
    def id(self) -> str:
        """As that of a case, without the device."""
        return f"{self.row.name}-{self.variant.name}-{self.reduction}-{self.format.name}-{self.regime}"

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of the value."""
        return axes(VALUE.get(self.row.function, "*"), self.variant.form)


def points() -> list[Point]:
    """Every pair of options and choices in `typical`; every finite regime; formats and reductions by turns."""
    return [p for row in (*CATALOG, *BESIDES) for p in _points(row)]


def finite(regime: str) -> bool:
    """Whether the inputs are numbers: infinities and NaN have no 50 digits, nor slopes."""
    return regime.partition("_")[0] not in SPECIAL


def _points(row: Row) -> Iterator[Point]:
    few = [_small(v, row) for v in row.few()]
    every = dict.fromkeys(r for v in few for r in regimes(row, v) if finite(r) and r != "typical")
    if row.function in NORMALIZED:
        every.pop("unnormalized")
    calls = [(v, "typical") for v in few]
    for i, regime in enumerate(every):
        able = [v for v in few if regime in regimes(row, v) and not (regime in TIES and v.options.get("swap"))]
        calls += [(able[i % len(able)], regime)]
    formats = [f for f in FORMATS.values() if f.digits >= 24 or row.function not in NORMALIZED]
    turns = zip(itertools.cycle(row.reductions), itertools.cycle([*formats, formats[0]]), strict=False)
    for (variant, regime), (reduction, format) in zip(calls, turns, strict=False):
        yield Point(row, variant, regime, format, reduction)


SIZES = {"CTCLoss": {"N": 3, "T": 5, "C": 5}, "AdaptiveLogSoftmaxWithLoss": {"N": 6, "F": 16, "C": 12}}
SIZE, BEYOND = 4, {"d1": 2, "d2": 2}
"""How many along an axis at most: of a row, and otherwise."""


def _small(variant: Variant, row: Row) -> Variant:
    """The variant in a form of few numbers; CTC's targets of 2 labels, as all its paths are to be listed."""
    most = SIZES.get(row.name, BEYOND)
    if row.elementwise and len(variant.form.axes) == 2:
        most = dict(zip(variant.form.axes, (2, 14), strict=True))  # a regime has up to 28 points
    form = Form(variant.form.name, {a: min(n, most.get(a, SIZE)) for a, n in variant.form.axes.items()})
    choices = {n: replace(c, shape=c.shape.replace(":4", ":2")) for n, c in variant.choices.items()}
    return replace(variant, form=form, choices=choices)


def axes(spec: str, form: Form) -> tuple[str, ...]:
    """The names of the axes that a shape of the catalog has; a number names itself."""
    return tuple(a for word in spec.split() for a in (form.axes if word[0] == "*" else [word]) if a not in word[2:].split("-"))


# -- the mathematics at a point ---------------------------------------------------------------------------------

Index = tuple[int, ...]
Arguments = dict[str, Any]


def _without_clamp(arguments: Arguments, options: Arguments) -> tuple[Arguments, Arguments]:
    var = np.asarray(np.maximum(arguments["var"], options["eps"]))
    return arguments | {"var": var}, options | {"eps": mp.mpf(0)}


def _padded(arguments: Arguments) -> Arguments:
    """A row of targets for each target length, however they are given."""
    targets, lengths = arguments["targets"], arguments["target_lengths"]
    if targets.ndim == 2 or lengths.ndim == 0:
        return arguments
    rows = np.split(targets, np.cumsum(lengths)[:-1])
    return arguments | {"targets": np.array([np.resize([*row, 0], max(lengths) + 1) for row in rows])}


READ = {"ctc_loss": _padded}
"""How to read arguments that are not laid out by axes."""

DIFFERENTIATED = {"gaussian_nll_loss": _without_clamp}
"""What is differentiated instead: "the clamping of var is ignored with respect to autograd", says torch."""


class Exact:
    """A point, its inputs, and what definition and textbook say of it in many digits."""

    def __init__(self, point: Point, seed: int) -> None:
        self.point, self.row, self.reduction = point, point.row, point.reduction
        self.drawn: Drawn = draw(point.row, point.variant, point.regime, point.format, seed)
        self.definition = getattr(reference, point.row.function).definition
        self.arguments: Arguments = _map(exactly, self.drawn.arguments)
        self.options = {n: mp.mpf(v) if isinstance(v, float) else v for n, v in self.drawn.options.items()}
        self.axes = point.axes
        self.seen = {n: () if c.domain == "built" else axes(c.shape, point.variant.form) for n, c in point.variant.choices.items()}
        self.rng = np.random.default_rng(seed_of(point.id, seed))
        with mp.workdps(DIGITS):
            self.loss: Loss = self.definition(**self.arguments, **self.drawn.options)
            if not all(map(mp.isfinite, self.loss.reduce(self.reduction).flat)):
                self.reduction = "none"  # where the others have no slope: the mean of nothing, a sum with an infinite term
        self.cells: list[Index] = list(np.ndindex(self.loss.value.shape))
        self.cotangent = self.rng.standard_normal(self.loss.reduce(self.reduction).shape)

    @cached_property
    def truth(self) -> Truth:
        """The budgets, for float64."""
        return Truth(self.row, self.point.variant, self.drawn, FORMATS["float64"], self.point.regime, self.definition)

    @cached_property
    def budgets(self) -> dict[str, Budget]:
        """What its gradients are allowed in float64."""
        return self.truth.gradients(self.reduction, self.cotangent.astype(np.longdouble))

    @cached_property
    def gradients(self) -> dict[str, FloatArray]:
        """The definition's, in 50 digits."""
        with mp.workdps(DIGITS):
            return self.loss.gradients(exactly(self.cotangent), self.reduction, self.shapes)

    @cached_property
    def sizes_of_gradients(self) -> dict[str, FloatArray]:
        """The sums of the absolute terms that they are added up from."""
        with mp.workdps(DIGITS):
            return self.loss.gradients(exactly(self.cotangent), self.reduction, self.shapes, absolute=True)

    def undecided(self, share: float) -> Any:
        """(V, and an axis): where a hinge is nearer to its kink than that share of float64's rounding of what it compares."""
        hinge = self.loss.hinge
        if hinge is None:
            return False
        return np.asarray(abs(hinge.gap) <= share * self.truth.depth * self.truth.format.u * hinge.terms, dtype=bool)[..., None]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every array argument."""
        return {n: v.shape for n, v in flatten(self.arguments).items() if isinstance(v, np.ndarray)}

    # -- digits ---------------------------------------------------------------------------------------------

    @cached_property
    def sizes(self) -> list[Any]:
        """The absolute values of all real arguments that are neither 0 nor infinite, and 1."""
        given = [v for v in flatten(self.arguments).values() if isinstance(v, np.ndarray) and v.dtype == object]
        return [mp.mpf(1)] + [abs(x) for v in given for x in v.flat if x != 0 and mp.isfinite(x)]

    @cached_property
    def reach(self) -> int:
        """How many digits a naive exponential of the arguments takes away."""
        return int(min(3 * max(self.sizes) / 2, REACH)) if self.row.function not in POLYNOMIAL else 0

    @cached_property
    def digits(self) -> int:
        """Enough for the naive formulas, and for their differences over the smaller step."""
        return int(DIGITS + self.reach + 2 * STEP + 2 * mp.log10(max(self.sizes)) - mp.log10(min(self.sizes)))

    @property
    def nothing(self) -> Any:
        """Of what is smaller the textbook's formula knows nothing."""
        return mp.mpf(10) ** -(self.reach + 40)

    # -- the textbook ---------------------------------------------------------------------------------------

    @cached_property
    def values(self) -> list[Any]:
        """The textbook's value in each cell."""
        return self._values(self.arguments, self.options)

    def reduced(self, reduction: str) -> Any:
        """The textbook's reduction of them."""
        return self._reduced(self.arguments, self.options, self.values, reduction)

    @cached_property
    def _differentiated(self) -> tuple[Arguments, Arguments, list[Any]]:
        replaced = DIFFERENTIATED.get(self.row.function)
        if replaced is None:
            return self.arguments, self.options, self.values
        given = replaced(self.arguments, self.options)
        return *given, self._values(*given)

    def cells_of(self, name: str, at: Index) -> list[int]:
        """Which values one number of an argument is part of: those at its place along the axes that they share."""
        own = dict(zip(self.seen.get(name, ()), at, strict=False))
        return [k for k, cell in enumerate(self.cells) if all(i == own.get(a, i) for a, i in zip(self.axes, cell, strict=True))]

    def has_slope(self, name: str, at: Index) -> bool:
        """Whether one number and all that it is part of is finite."""
        values = self._differentiated[2]
        return mp.isfinite(_leaf(self.arguments, name)[at]) and all(mp.isfinite(values[k]) for k in self.cells_of(name, at))

    def slopes(self, name: str, at: Index, digits: int) -> list[Any]:
        """Difference quotients of the reduction in one number of an argument, to the left and to the right.

        Over a step of 10**-digits of the smallest argument; one of them, or none, where the formula is not defined.
        """
        arguments, options, values = self._differentiated
        here, cells = self._weighed(arguments, options, values), self.cells_of(name, at)
        found = []
        with mp.workdps(self.digits):
            for step in (-min(self.sizes) * mp.mpf(10) ** -digits, min(self.sizes) * mp.mpf(10) ** -digits):
                moved, new = _map(np.copy, arguments), list(values)
                _leaf(moved, name)[at] += step
                for k in cells:
                    new[k] = self._formula(moved, options, self.cells[k])
                found.append((self._weighed(moved, options, new) - here) / step)
        return [slope for slope in found if not mp.isnan(slope)]

    def _values(self, arguments: Arguments, options: Arguments) -> list[Any]:
        with mp.workdps(self.digits):
            return [self._formula(arguments, options, cell) for cell in self.cells]

    def _formula(self, arguments: Arguments, options: Arguments, cell: Index) -> Any:
        return getattr(textbook, self.row.function)(**self._cut(arguments, cell), **options)

    def _cut(self, arguments: Arguments, cell: Index) -> Arguments:
        """The parts of the arguments that one value is made of, as numbers and lists of numbers."""
        at = dict(zip(self.axes, cell, strict=True))

        def cut(value: Any, seen: tuple[str, ...]) -> Any:
            if not isinstance(value, np.ndarray):
                return _map(np.ndarray.tolist, {"": value})[""]
            return np.asarray(value[tuple(0 if a == "1" else at.get(a, slice(None)) for a in seen)]).tolist()

        return {name: cut(value, self.seen[name]) for name, value in READ.get(self.row.function, dict)(arguments).items()}

    def _weighed(self, arguments: Arguments, options: Arguments, values: list[Any]) -> Any:
        """The product of the cotangent and the reduction; what is infinite has no slope, and is left out."""
        c = exactly(self.cotangent).ravel()
        with mp.workdps(self.digits):
            if self.reduction == "none":
                kept = zip(c, values, self.values, strict=True)
                return sum((a * b for a, b, old in kept if mp.isfinite(old)), mp.mpf(0))
            return c[0] * self._reduced(arguments, options, values, self.reduction)

    def _reduced(self, arguments: Arguments, options: Arguments, values: list[Any], reduction: str) -> Any:
        share, length = textbook.SHARE.get(self.row.function), textbook.LENGTH.get(self.row.function)
        cuts = [self._cut(arguments, cell) | options for cell in self.cells] if share or length else []
        with mp.workdps(self.digits):
            if reduction == "sum":
                return sum(values, mp.mpf(0))
            if reduction == "mean" and length:
                values = [v / length(**cut) for v, cut in zip(values, cuts, strict=True)]
            total = sum(share(**cut) for cut in cuts) if reduction == "mean" and share else len(values)
            if reduction == "batchmean":
                total = self.loss.value.shape[0]
            return sum(values, mp.mpf(0)) / total if total else mp.nan


POLYNOMIAL = ("l1_loss", "mse_loss", "huber_loss", "smooth_l1_loss", "nll_loss", "multi_margin_loss", "multilabel_margin_loss")
"""No exponential, and so no digits for one."""


def exactly(array: Any) -> Any:
    """The numbers of an array as mpmath numbers; indices as they are."""
    if array.dtype.kind != "f":
        return array
    return np.asarray(np.frompyfunc(mp.mpf, 1, 1)(array), dtype=object).reshape(array.shape)


def extended(numbers: FloatArray) -> FloatArray:
    """mpmath numbers, rounded to extended precision."""

    def one(x: Any) -> Any:
        if not mp.isfinite(x):
            return np.longdouble(float(x))
        fraction, exponent = mp.frexp(x)  # neither over- nor underflows, as x may in float64
        high = float(fraction)
        return np.ldexp(np.longdouble(high) + np.longdouble(float(fraction - high)), max(min(exponent, 20000), -20000))

    return np.array([one(x) for x in np.asarray(numbers).flat], dtype=np.longdouble).reshape(np.shape(numbers))


def _map(f: Any, arguments: Mapping[str, Any]) -> Arguments:
    def one(value: Any) -> Any:
        return [one(v) for v in value] if isinstance(value, list | tuple) else f(value) if isinstance(value, np.ndarray) else value

    return {name: one(value) for name, value in arguments.items()}


def _leaf(arguments: Arguments, name: str) -> Any:
    """The array of a name as `flatten` gives it: `tail_weights.0.1`."""
    found: Any = arguments
    for part in name.split("."):
        found = found[int(part) if part.isdigit() else part]
    return found
