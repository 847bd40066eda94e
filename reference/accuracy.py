"""How much error a loss is allowed, and the checker.

The budget is what a backward-stable computation would commit, and no more:

    |got - want|  <=  u_out * |want|  +  K * u * (terms + sum_i |x_i * d want / d x_i|)

u_out   the unit roundoff of the result's dtype: the result is rounded once, whatever was computed.
u       that of the arithmetic, which is that of the dtype: torch is free to compute half precision in float32.
terms   the sum of the absolute values of what is added up (`Loss.magnitude`): rounding each term to u is
        unavoidable, and cancellation between them is not the fault of the implementation.
sum_i   the condition: how far the truth moves when every input moves by one unit roundoff. An algorithm that
        is right for slightly different inputs is as good as the inputs are. From the loss's own partials.
        For gradients it is found by moving the inputs.
K       how many roundings lie between the inputs and one element: see `K`.

A reduction adds n of these. Each element's error enters with its factor; the sum of n terms has its own, bounded
by log2(n) roundings of the sum of their absolute values (torch adds in a tree; NumPy as well). Errors of many
elements do not all point the same way: beyond 256 of them the bound is an eighth of the worst case, for bias, and
four standard deviations (Higham and Mary 2019, doi:10.1137/18M1226312).

Nothing here is relative to a tolerance of someone's choice, and nothing is absolute but one subnormal step.
At kinks and ties the inputs are exact, and they are not moved: the convention is checked, not excused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .arithmetic import FloatArray
from .catalog import Row, Variant
from .formats import FORMATS, Format, widen
from .inputs import Drawn, seed_of
from .loss import Loss, flatten

K = 6
"""Roundings between the inputs and an element. A loss is two to four operations deep: a difference or a product, an
elementary function (2, as vector libraries promise one unit in the last place), one or two operations after it."""

MOVES = 2
"""How often each input is moved to find the condition of a gradient. Once is exact for an elementwise loss; where
inputs act together, the signs are random, and a second move makes it unlikely that they cancel."""


@dataclass(frozen=True)
class Budget:
    """The truth of one array, and the error it is allowed, element by element."""

    want: FloatArray
    allowed: FloatArray
    may_overflow: FloatArray  # where a term that the definition adds leaves the format: no claim on what is not finite


@dataclass(frozen=True)
class Truth:
    """A case's definition, evaluated in an arithmetic wider than the format: the value, the gradients, budgets."""

    row: Row
    variant: Variant
    drawn: Drawn
    format: Format
    regime: str
    definition: Callable[..., Loss]

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The arguments in the wider arithmetic."""
        return _map(lambda a: widen(self.format, a), self.drawn.arguments)

    @cached_property
    def loss(self) -> Loss:
        """The unreduced loss."""
        return self._at(self.arguments)

    @cached_property
    def moved(self) -> list[list[Loss]]:
        """For each real argument, the loss where its elements are moved by a unit roundoff, up or down at random."""
        if self.regime == "kinks":  # exact, and not to be moved off them
            return []
        rng = np.random.default_rng(seed_of(self.variant.name))
        names = [name for name, value in self.arguments.items() if _movable(value)]
        return [
            [self._at({**self.arguments, name: self._move(self.arguments[name], rng)}) for _ in range(1 if self.row.elementwise else MOVES)]
            for name in names
        ]

    def _at(self, arguments: Mapping[str, Any]) -> Loss:
        with np.errstate(all="ignore"):
            return self.definition(**arguments, **self.drawn.options)

    def _move(self, value: Any, rng: np.random.Generator) -> Any:
        if isinstance(value, list | tuple):
            return [self._move(v, rng) for v in value]
        with np.errstate(all="ignore"):
            moved = value + value * (self.roundoff * rng.choice([-1.0, 1.0], value.shape))
        return np.minimum(moved, 1) if np.all((value >= 0) & (value <= 1)) else moved  # probabilities stay so

    @property
    def roundoff(self) -> float:
        """The unit roundoff of the arithmetic that torch computes one element in."""
        return self.format.u

    @property
    def accumulator(self) -> Format:
        """What torch adds in."""
        return FORMATS["float32"] if self.format.digits < 24 else self.format

    # -- budgets --------------------------------------------------------------------------------------------

    @cached_property
    def _element(self) -> FloatArray:
        """The error that an unreduced element is allowed before it is rounded to the result's dtype."""
        loss = self.loss
        terms = terms_of(loss)
        with np.errstate(all="ignore"):
            scale = np.where(np.isfinite(terms), terms, 0) + loss.condition(_plain(self.arguments))
        width = max(p.ndim for p in loss.partials.values()) - loss.value.ndim if loss.partials else 0
        added = max((p[(0,) * loss.value.ndim].size for p in loss.partials.values() if p.size), default=1) if width else 1
        depth = K + np.log2(max(added, 1))
        return np.asarray(depth * (self.roundoff * scale + self.format.step), dtype=loss.value.dtype)

    def value(self, reduction: str) -> Budget:
        """The value under `reduction` and its budget."""
        loss, u = self.loss, self.format.u
        want = loss.reduce(reduction)
        if reduction == "none":
            return Budget(want, u * abs(want) + self._element, (terms_of(loss) > self.format.max) | self._unclaimed)
        with np.errstate(all="ignore"):
            each = abs(loss.factors(reduction)) * (u * abs(loss.value) + self._element)
            terms = abs(loss.factors(reduction) * loss.value)
            depth = 2 + np.log2(max(loss.value.size, 1))
            allowed = u * abs(want) + together(each) + depth * self.accumulator.u * terms.sum() + self.format.step
            over = np.any(terms_of(loss) > self.format.max) | (abs(loss.value).sum() > self.accumulator.max)
        return Budget(want, np.asarray(allowed), np.asarray(over | self._unclaimed))

    @property
    def _unclaimed(self) -> bool:
        """At the largest numbers, sums and products inside a loss overflow: what is finite must still be right."""
        return self.regime == "huge" and self.row.intermediates

    def gradients(self, reduction: str, cotangent: FloatArray) -> dict[str, Budget]:
        """The vector-Jacobian product in every argument, and its budget."""
        shapes = {k: v.shape for k, v in _plain(self.arguments).items()}
        wants = self.loss.gradients(cotangent, reduction, shapes)
        sizes = self.loss.gradients(cotangent, reduction, shapes, absolute=True)
        moved = [[m.gradients(cotangent, reduction, shapes) for m in each] for each in self.moved]
        halves = 1 if reduction != "none" and self.format.digits < 24 else 0  # cotangent / n is rounded first
        slopes = self.loss.gradients(np.ones_like(cotangent), "none" if reduction == "none" else "sum", shapes, absolute=True)
        found = {}
        for name, want in wants.items():
            with np.errstate(all="ignore"):
                size = sizes[name]
                added = max(self.loss.value.size * 1.0 / max(want.size, 1), 1.0)
                depth = K + np.log2(added) + (np.log2(max(self.loss.value.size, 1)) if self.loss.chains else 0)
                shift = np.zeros_like(want)
                for each in moved:
                    shift = shift + np.fmax.reduce([abs(other[name] - want) for other in each])
                allowed = self.format.u * (abs(want) + halves * size) + depth * self.roundoff * size + K * shift
                allowed = allowed + K * self.format.step + halves * self.format.step * slopes[name]
                over = np.fmax(slopes[name], size) * (1 + self.format.u) > self.format.max
                over |= self._unclaimed
            found[name] = Budget(want, allowed, over)
        return found


def _movable(value: Any) -> bool:
    """Real numbers that may be inexact: not indices, and not signs, which are names for two classes."""
    values = flatten({"": value}).values()
    return all(isinstance(v, np.ndarray) and v.dtype.kind == "f" and not np.all(abs(v) == 1) for v in values)


def terms_of(loss: Loss) -> FloatArray:
    """The sum of the absolute terms of each value."""
    return abs(loss.value) if loss.magnitude is None else loss.magnitude


def together(each: FloatArray) -> FloatArray:
    """How far many errors add up: all of them if few; beyond 256 an eighth, and four standard deviations."""
    total = each.sum()
    if each.size <= 256:
        return np.asarray(total)
    return np.minimum(total, total / 8 + 4 * np.sqrt((each**2).sum()))


# -- the checker ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """How an array compares with the truth: the worst error in units of its budget and in ulps, and where."""

    ratio: float
    ulps: float
    index: tuple[int, ...]
    wrong: int
    size: int
    got: float
    want: float
    allowed: float
    problem: str  # empty if there is none


def compare(got: FloatArray, budget: Budget, format: Format) -> Verdict:
    """Compare element by element. Infinities and NaN must agree in kind and sign."""
    want = budget.want
    if got.shape != want.shape:
        return Verdict(np.inf, np.inf, (), 1, 1, np.nan, np.nan, 0.0, f"has shape {got.shape}, not {want.shape}")
    if not want.size:
        return Verdict(0.0, 0.0, (), 0, 0, np.nan, np.nan, 0.0, "")
    with np.errstate(all="ignore"):
        error = abs(got.astype(want.dtype) - want)
        allowed = np.where(np.isfinite(budget.allowed), budget.allowed, np.inf)
        ratio = np.where(error == 0, 0, error / np.where(allowed == 0, format.step, allowed))
        same = (np.isnan(got) & np.isnan(want)) | (got == want)
        largest = want.dtype.type(format.max) * (1 + want.dtype.type(format.u) / 2)
        overflow = np.isinf(got) & (abs(want) + allowed >= largest) & (np.signbit(got) == np.signbit(want))
        excused = same | overflow | (budget.may_overflow & ~np.isfinite(got))
        ratio = np.where(excused, 0, np.where(np.isfinite(got) & np.isfinite(want), ratio, np.inf))
        ulps = np.where(excused, 0, error / format.ulp(want))
    at = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    worst, wrong = float(ratio[at]), int((ratio > 1).sum())
    verdict = Verdict(worst, float(ulps[at]), tuple(map(int, at)), wrong, int(want.size), float(got[at]), float(want[at]), float(allowed[at]), "")
    if not wrong:
        return verdict
    return Verdict(**{**verdict.__dict__, "problem": _sentence(verdict)})


def _sentence(v: Verdict) -> str:
    return (
        f"{v.wrong} of {v.size} elements wrong; the worst at {list(v.index)}: got {v.got!r} ({v.got.hex()}), "
        f"want {v.want!r} ({v.want.hex()}); error {abs(v.got - v.want):.3g}, allowed {v.allowed:.3g} "
        f"({v.ratio:.3g} times the budget, {v.ulps:.3g} ulp)"
    )


def _map(f: Callable[[FloatArray], FloatArray], arguments: Mapping[str, Any]) -> dict[str, Any]:
    def one(value: Any) -> Any:
        return [one(v) for v in value] if isinstance(value, list | tuple) else f(value) if isinstance(value, np.ndarray) else value

    return {name: one(value) for name, value in arguments.items()}


def _plain(arguments: Mapping[str, Any]) -> dict[str, FloatArray]:
    return {k: v for k, v in flatten(arguments).items() if isinstance(v, np.ndarray)}
