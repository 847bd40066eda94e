"""How a loss and its gradient change along a direction, to far more digits than torch has.

The definition gives the value f and the vector-Jacobian product g(x) = J(x)^T c. Along a direction v

    J v = (f(x + h v) - f(x - h v)) / 2h        H v = (g(x + h v) - g(x - h v)) / 2h

with errors of h**2 |f'''| / 6 (what the quotient leaves out) and 10**-DIGITS |f| / h (what the subtraction loses).
DIGITS = 50 and h = 10**-17 make them 10**-34 and 10**-33 of numbers near 1: nothing, beside the 10**-16 of float64.
Where the quotients from either side disagree the point is on a kink, and where the loss is NaN (the mean of nothing)
it has no derivative: no claim is made there.

The error that a second derivative is allowed is that of `reference.accuracy`: roundings of the terms that are added
up, |H| |v|, of which the columns of H come from differences in float64 (one digit is enough for a bound), and the
movement of H v when the inputs move by a unit roundoff. The bound is of the argument's largest element, not of
each: a second derivative is added up along several paths, whose terms need not show in the element itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import mpmath
import numpy as np

import reference
from reference.accuracy import Budget, K
from reference.arithmetic import FloatArray, number
from reference.catalog import ROWS, Form, Row, Variant
from reference.formats import FORMATS, Format
from reference.inputs import Drawn, draw, seed_of
from reference.loss import Loss, flatten

from .cases import by_name
from .subject import differentiable

DIGITS, H = 50, mpmath.mpf(10) ** -17
TILT = 2.0**-30  # relative; H v moves in proportion, and is known to 33 digits
COLUMN = 2.0**-13  # the step of the differences that bound H: about the cube root of float64's roundoff
SIDE = 3  # the longest axis: a Hessian has as many columns as the inputs have elements

Arrays = dict[str, FloatArray]


def _between_counts(arguments: Arrays, options: Mapping[str, Any]) -> None:
    """Off the integers, where Stirling's term starts."""
    arguments["target"] += 0.25


def _clamped(arguments: Arrays, options: Mapping[str, Any]) -> None:
    """One variance below eps, if that is not too small a number to divide by."""
    arguments["var"].flat[0] = max(options["eps"] / 2, 0.0625)


def _one_row_per_cluster(arguments: Arrays, options: Mapping[str, Any]) -> None:
    """And one in the head; of a single row, in the last cluster."""
    target = arguments["target"]
    arguments["target"] = np.resize([0, *options["cutoffs"]] if target.ndim else options["cutoffs"][-1], target.shape)


def _seen_by_autograd(drawn: Drawn, arguments: dict[str, Any], options: dict[str, Any]) -> None:
    """Clamped before it is differentiated: "the clamping of var is ignored with respect to autograd" (GaussianNLLLoss)."""
    arguments["var"] = np.asarray(arguments["var"] + np.maximum(options["eps"] - drawn.arguments["var"], 0))
    options["eps"] = 1e-30


FAR: dict[str, Callable[[FloatArray], FloatArray]] = {
    "logits": lambda x: 8 * x,
    "real": lambda x: 4 * x,
    "probability": lambda p: p**4,
    "variance": lambda v: v / 64,
    "distribution": lambda q: q / 2,
}
"""By domain, from a typical number to one of a trained model: sure of itself, or far off; and targets that do not sum to 1."""

POINTS = {"PoissonNLLLoss": _between_counts, "GaussianNLLLoss": _clamped, "AdaptiveLogSoftmaxWithLoss": _one_row_per_cluster}
CONVENTIONS = {"GaussianNLLLoss": _seen_by_autograd}  # where the documentation has autograd see another function


def small(row: Row, variant: Variant) -> Variant:
    """The variant with no axis longer than SIDE, and equal axes equal; where sizes belong together, of few rows."""
    able = ("N",) if row.finish else tuple(variant.form.axes)
    return replace(variant, form=Form(variant.form.name, {a: min(n, SIDE) if a in able else n for a, n in variant.form.axes.items()}))


@dataclass(frozen=True)
class Curvature:
    """First and second derivatives of a variant's definition at one drawn point, along one random direction."""

    row: Row
    variant: Variant
    seed: int = 0
    moving: str = ""  # the one argument that moves; empty: all
    far: bool = False  # whether the point is one of a trained model
    _found: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def drawn(self) -> Drawn:
        """The point: numbers that float32 has, so that float64 and float32 are asked about the same."""
        drawn = draw(self.row, self.variant, "typical", FORMATS["float32"], self.seed)
        for name, choice in self.variant.choices.items() if self.far else ():
            if choice.domain in FAR and name in drawn.arguments:
                drawn.arguments[name] = FORMATS["float32"].round(FAR[choice.domain](drawn.arguments[name]))
        POINTS.get(self.row.name, lambda arguments, options: None)(drawn.arguments, drawn.options)
        return drawn

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments that torch differentiates in."""
        return differentiable(self.row, self.drawn)

    @cached_property
    def _arrays(self) -> Arrays:
        """The arguments by name, those in sequences too."""
        return flatten(self.drawn.arguments)

    @cached_property
    def direction(self) -> Arrays:
        """v, by argument; 0 for those that do not move."""
        found = {}
        for name in self.names:
            rng = np.random.default_rng(seed_of(f"{self.row.name}-{self.variant.name}-direction-{name}", self.seed))
            moves = self.moving in (name, "")
            found[name] = moves * FORMATS["float32"].round(rng.standard_normal(self._arrays[name].shape))
        return found

    def cotangent(self, reduction: str) -> FloatArray:
        """c, of the shape of the result."""
        return self._cotangents[reduction]

    @cached_property
    def _cotangents(self) -> dict[str, FloatArray]:
        found = {}
        for reduction in self.row.reductions:
            rng = np.random.default_rng(seed_of(f"{self.row.name}-{self.variant.name}-{reduction}-cotangent", self.seed))
            found[reduction] = FORMATS["float32"].round(rng.standard_normal(np.shape(self.here.reduce(reduction))))
        return found

    # -- the definition, moved ------------------------------------------------------------------------------

    def _at(self, moved: Mapping[str, FloatArray]) -> Loss:
        arguments, options = {n: _nested(n, a, moved) for n, a in self.drawn.arguments.items()}, dict(self.drawn.options)
        if self.row.name in CONVENTIONS:
            CONVENTIONS[self.row.name](self.drawn, arguments, options)
        with np.errstate(all="ignore"):
            return getattr(reference, self.row.function).definition(**arguments, **options)

    def _precise(self, step: int, tilt: float = 0.0) -> Loss:
        """The loss at x + step * h * v in 50 digits; with `tilt`, x is first moved by that much of itself, up or down."""
        like, moved = np.asarray(mpmath.mpf(0), dtype=object), {}
        for name, value in self._arrays.items():
            if value.dtype.kind == "f":
                moved[name] = number(value, like)
                if name in self.direction:
                    signs = np.random.default_rng(seed_of(name)).choice([-1.0, 1.0], value.shape)
                    moved[name] = moved[name] * (1 + tilt * number(signs, like)) + step * H * number(self.direction[name], like)
        return self._at({name: np.asarray(value) for name, value in moved.items()})  # of a 0-d object array NumPy makes a number

    @cached_property
    def here(self) -> Loss:
        """The loss at the point, in float64: for shapes and sizes."""
        return self._at({})

    @cached_property
    def _line(self) -> tuple[Loss, ...]:
        with mpmath.workdps(DIGITS):
            return tuple(self._precise(step) for step in (-1, 0, 1))

    @cached_property
    def _tilted(self) -> tuple[Loss, ...]:
        with mpmath.workdps(DIGITS):
            return tuple(self._precise(step, TILT) for step in (-1, 1))

    @cached_property
    def _columns(self) -> list[tuple[float, Loss, Loss]]:
        """For every element x_j: |v_j| / 2h, and the loss with the element moved by h back and forth."""
        if self.moving:
            return curvature(self.row.name, self.variant.name, self.seed, far=self.far)._columns
        found = []
        for name in self.names:
            value = self._arrays[name]
            for at in np.ndindex(value.shape):
                step = COLUMN * max(abs(value[at]), COLUMN)
                ends = [value.copy(), value.copy()]
                ends[0][at] -= step
                ends[1][at] += step
                found.append((abs(self.direction[name][at]) / (2 * step), self._at({name: ends[0]}), self._at({name: ends[1]})))
        return found

    # -- what a transform of torch is held to ---------------------------------------------------------------

    def budgets(self, reduction: str, format: Format) -> dict[str, Budget]:
        """As `tangent` J v, of the shape of the result; and H v by argument."""
        found = {}
        depth = 2 * K + np.log2(max(len(self._columns), 2))  # through the formula of a derivative, and through its derivative
        if self.here.chains:  # one more formula to go through, and a sum over the rows
            depth += K + np.log2(max(self.here.value.size, 2))
        for name, (want, scale, defined) in self._derivatives(reduction).items():
            size = scale / self._doubt + self._straight * np.max(abs(self.cotangent(reduction) * self.here.factors(reduction)), initial=0)
            allowed = format.u * (abs(want) + depth * size) + format.step
            found[name] = Budget(want, np.where(defined, allowed, np.inf), partial(np.logical_not, defined))
        return found

    @cached_property
    def _doubt(self) -> float:
        """1 - p of the surest class, for losses of a softmax: torch adds p dz - p sum(p dz), where p (1 - p) dz is meant.

        It is the divergence `log-of-sum`, once more differentiated.
        """
        given = self.drawn.arguments
        if self.row.name == "CrossEntropyLoss":
            logits = given["input"]
        elif self.row.name == "LinearCrossEntropyLoss":
            logits = np.tensordot(given["input"], given["linear_weight"], axes=(-1, -1)) + given.get("linear_bias", 0.0)
        else:
            return 1.0
        axis = 0 if given["input"].ndim == 1 else 1
        ordered = np.sort(np.exp(logits - logits.max(axis, keepdims=True)), axis)
        others = np.delete(ordered, -1, axis).sum(axis)  # beside the largest, which is 1
        return float((others / (1 + others)).min())

    @cached_property
    def _straight(self) -> float:
        """What the norm of a triplet's distance would change by, if it did not turn: (p - 1) |d|**(p - 2) N**(1 - p) |v|.

        Of it (p - 1) |d|**(2 p - 2) N**(1 - 2 p) |v| is taken away, nearly all where one feature is most of the distance.
        """
        if self.row.name != "TripletMarginLoss":
            return 0.0
        given, v, options, found = self.drawn.arguments, self.direction, self.drawn.options, [0.0]
        p = options["p"]
        pairs = [("anchor", "positive"), ("anchor", "negative"), *([("positive", "negative")] if options["swap"] else [])]
        for one, other in pairs:
            d = abs(given[one] - given[other] + options["eps"])
            norm = (d**p).sum(-1, keepdims=True) ** (1 / p)
            found.append(float(np.max(abs(p - 1) * d ** (p - 2) * norm ** (1 - p) * (abs(v[one]) + abs(v[other])))))
        return max(found)

    def _derivatives(self, reduction: str) -> dict[str, tuple[FloatArray, float, FloatArray]]:
        """By quantity: the derivative, the size of what it is added up from, and where there is one."""
        if reduction not in self._found:
            with mpmath.workdps(DIGITS), np.errstate(all="ignore"):
                back, here, forth = (self._quantities(loss, reduction) for loss in self._line)
                tilted = [self._quantities(loss, reduction) for loss in self._tilted]
                columns = [(w, self._quantities(a, reduction), self._quantities(b, reduction)) for w, a, b in self._columns]
                self._found[reduction] = {name: _derivative(name, back, here, forth, tilted, columns) for name in here}
        return self._found[reduction]

    def _quantities(self, loss: Loss, reduction: str) -> Arrays:
        """The value, whose derivative is `tangent`; and the vector-Jacobian products."""
        shapes = {name: self._arrays[name].shape for name in self.names}
        gradients = loss.gradients(number(self.cotangent(reduction), loss.value), reduction, shapes)
        return {"tangent": loss.reduce(reduction), **{name: gradients[name] for name in self.names}}


def _nested(name: str, value: Any, moved: Mapping[str, FloatArray]) -> Any:
    """The argument, or the sequence of them, with those that moved in their place."""
    if isinstance(value, list | tuple):
        return [_nested(f"{name}.{i}", v, moved) for i, v in enumerate(value)]
    return moved.get(name, value)


def _derivative(name: str, back: Arrays, here: Arrays, forth: Arrays, tilted: list[Arrays], columns: list[Any]) -> tuple[FloatArray, float, FloatArray]:
    want = _float((forth[name] - back[name]) / (2 * H))
    sides = _float((forth[name] - here[name]) / H), _float((here[name] - back[name]) / H)
    defined = abs(sides[0] - sides[1]) <= 1e-9 * (1 + abs(want))  # one-sided quotients of a smooth function agree to h
    shift = abs(_float((tilted[1][name] - tilted[0][name]) / (2 * H)) - want) / TILT
    terms = np.asarray(sum(weight * abs(b[name] - a[name]) for weight, a, b in columns)) + shift
    return np.where(defined, want, 0), float(np.max(np.where(np.isfinite(terms), terms, 0), initial=0)), defined


def _float(x: FloatArray) -> FloatArray:
    return np.asarray(x, dtype=np.float64)


@lru_cache(maxsize=8)  # the cases of one point follow each other
def curvature(row: str, variant: str, seed: int = 0, moving: str = "", *, far: bool = False) -> Curvature:
    """The derivatives of a variant, by name: made small, but where labels have to fit the frames."""
    return Curvature(ROWS[row], small(ROWS[row], by_name(row)[variant]), seed, moving, far)
