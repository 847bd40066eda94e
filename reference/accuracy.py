"""How much error a loss is allowed, and the checker.

The budget is what a backward-stable computation would commit, and no more:

    |got - want|  <=  u |want|  +  K u (terms + sum_i |x_i * d want / d x_i|)

u       the unit roundoff of the dtype. The first term is the result's own rounding.
terms   the sum of the absolute values of what is added up (`Loss.magnitude`, `Loss.sizes`): rounding each term to u
        is unavoidable, and cancellation between them is not the fault of the implementation.
sum_i   the condition: how far the truth moves when every input moves by one unit roundoff. An algorithm that
        is right for slightly different inputs is as good as the inputs are. From the loss's own partials. Of two
        inputs that are subtracted first, |x_i| is their difference: of a subtraction that is all that is rounded. Of a
        logit it is what it is short of the largest of its row: that is taken from all of them first.
        Of a probability it is what it is short of 0 or 1. Targets that name classes (-1 and 1, 0 and 1) are exact.
        For gradients it is found by moving the inputs by K u, which also finds the kinks within reach.
K       how many roundings lie between the inputs and one element: see `K`.

A reduction adds n of these. Each element's error enters with its factor; the sum of n terms has its own, bounded
by log2(n) roundings of the sum of their absolute values (torch adds in a tree; NumPy as well). Half precision is
added in float32, which costs it nothing. Errors of many elements do not all point the same way: beyond 256 of them
the bound is an eighth of the worst case, for bias, and four standard deviations (Higham and Mary 2019,
doi:10.1137/18M1226312).

Where an option (eps, margin, delta) is no number of the dtype, the error of rounding it is allowed once.

Nothing here is relative to a tolerance of someone's choice, and nothing is absolute but subnormal steps.
At kinks and ties the inputs are exact, and they are not moved: the convention is checked, not excused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from .arithmetic import FloatArray, number
from .catalog import Row, Variant
from .formats import FORMATS, Format, widen
from .inputs import Drawn, seed_of
from .loss import Chain, Loss, flatten

K = 6
"""Roundings between the inputs and an element. A loss is two to four operations deep: a difference or a product, an
elementary function (2, as vector libraries promise one unit in the last place), one or two operations after it."""

LABELS = {"sign": (-1.0, 1.0), "probability": (0.0, 1.0)}
"""The domains of targets that name classes, and the values that do."""

FAR = 2.0**14
"""How many times smaller than the largest number the terms may be of a loss that overflows on the way to them: label
smoothing adds up the classes, and only then multiplies by as little as 0.001."""

IN_UNITS = {"beta", "delta", "eps", "margin"}
"""The options that are compared with the inputs, and so are moved as they are."""


@dataclass(frozen=True)
class Budget:
    """The truth of one array, the error it is allowed, and where it may overflow, element by element."""

    want: FloatArray
    allowed: FloatArray
    overflow: Callable[[], Any] = lambda: False  # asked only of a result that is not finite

    @property
    def may_overflow(self) -> Any:
        """Where a number that the definition computes on the way leaves the format."""
        return self.overflow()


@dataclass(frozen=True, eq=False)
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
        return {name: _each(lambda a: widen(self.format, a), value) for name, value in self.drawn.arguments.items()}

    @cached_property
    def loss(self) -> Loss:
        """The unreduced loss."""
        return self._at(self.arguments, self.drawn.options)

    def _at(self, arguments: Mapping[str, Any], options: Mapping[str, Any]) -> Loss:
        with np.errstate(all="ignore"):
            return self.definition(**arguments, **options)

    def _moved(self) -> Iterator[tuple[str, Loss, Loss]]:
        """For each real argument and option, the loss where it is moved by K unit roundoffs, one way and the other.

        All elements move up, or all down; where they act together, also at random, lest they cancel: these moves bear
        the name of the argument. At the end at random once more, as by chance those cancel, too, and each against its
        neighbours, two and four away: two numbers that a loss subtracts move apart in one of these. What an option is
        added to (`Row.added`) moves by as much as the option: rounding the sum is rounding to its size.
        """
        if self.regime == "kinks":  # exact, and not to be moved off them
            return
        at_random = partial(np.random.default_rng(seed_of(self.variant.name)).choice, (-1.0, 1.0))
        options = self.drawn.options
        movable = list(filter(self._movable, self.arguments))

        def moved(name: str, way: Callable[[tuple[int, ...]], Any] = lambda shape: 1) -> tuple[Loss, Loss]:
            added = sum(abs(self._option(option)) for option, to in self.row.added.items() if name in to)
            move = _each(partial(_one_move, way, added), self._sizes.get(name, self.arguments[name]))
            there, back = ({**self.arguments, name: _moved(self.arguments[name], move, s * K * self.format.u)} for s in (1, -1))
            return self._at(there, options), self._at(back, options)

        for name in movable:
            yield "", *moved(name)
            if not self.row.elementwise:
                yield name, *moved(name, at_random)
        for name in sorted(IN_UNITS & {n for n, v in options.items() if v}):
            more, less = (options[name] * (1 + s * K * number(self.format.u, self.loss.value)) for s in (1, -1))
            yield "", self._at(self.arguments, {**options, name: more}), self._at(self.arguments, {**options, name: less})
        for name in movable if not self.row.elementwise else ():
            yield name, *moved(name, at_random)
            for so_many in (1, 2, 4):
                yield name, *moved(name, partial(_turn_about, so_many))

    def _option(self, name: str | float) -> Any:
        """What an option is, by default too; a number is itself."""
        return self.drawn.options.get(name, self.row.options[name][0]) if isinstance(name, str) else name

    def _movable(self, name: str) -> bool:
        """Real numbers that may be inexact: not indices, and not signs, which are names for two classes."""
        arrays = _arrays({"": self.arguments[name]}).values()
        return bool(arrays) and all(a.dtype.kind == "f" and not np.all(abs(a) == 1) for a in arrays)

    @cached_property
    def _sizes(self) -> dict[str, FloatArray]:
        """What of each argument a computation may round: all of it, or less.

        Of two that are subtracted first, their difference: a subtraction is off by a roundoff of its result, however
        large the two are. Of logits, what they are short of the largest of their row. Of a probability, what it is short
        of 0 or 1: near 1, 1 - p is exact. Of labels, which are names of two classes, nothing; nor of infinity.
        """
        found = _arrays(self.arguments)
        for name in {n for pair in self.row.differences for n in pair} & found.keys():
            own, others = self.arguments[name], [b if a == name else a for a, b in self.row.differences if name in (a, b)]
            with np.errstate(all="ignore"):
                apart = [abs(own - self.arguments[other]) for other in others if self.arguments[other].shape == own.shape]
            if apart:
                found[name] = np.maximum.reduce(apart)
        for name in self.row.relative:
            with np.errstate(all="ignore"):
                found[name] = found[name].max(self.loss.last[name], keepdims=True, initial=-np.inf) - found[name]
        for name, choice in self.variant.choices.items():
            if choice.domain == "probability" and name in found:
                found[name] = np.minimum(abs(found[name]), abs(1 - found[name]))
            if name.startswith("target") and choice.domain in LABELS:
                exact = np.isin(self.arguments[name], LABELS[choice.domain])
                found[name] = np.where(exact, 0, found[name])
        return {name: _finite(a) if a.dtype.kind == "f" else a for name, a in found.items()}

    @cached_property
    def _shifted(self) -> Iterator[Loss]:
        """What `shifted` iterates over, as far as it was asked for: an iterator to copy, and not to advance."""
        return itertools.tee(self._shifts(), 1)[0]

    def shifted(self) -> Iterator[Loss]:
        """The loss with, for its partials, how far they change: first at what is rounded inside, then also as each input moves."""
        return copy(self._shifted)

    def _shifts(self) -> Iterator[Loss]:
        loss = self.loss
        shift = {name: np.zeros(partial.shape, dtype=partial.dtype) for name, partial in loss.partials.items()}
        least = dict(shift)
        with np.errstate(all="ignore"):
            if loss.hinge is not None:
                near = abs(loss.hinge.gap) <= self.depth * self.format.u * loss.hinge.terms
                near &= (self.regime != "kinks") | (loss.hinge.gap != 0)  # where a kink was put it is exact
                for name, partial in loss.hinge.partials.items():
                    shift[name] = shift[name] + np.where(near[..., None], abs(partial) * (1 + self.depth * self.format.u), 0)
            for chain in loss.chains:  # logits are sums, too: rounded by d x in their terms, they move p by 2 p max |d x|
                least[chain.of] = 2 * self.format.u * _finite(self._terms(chain)) * abs(loss.partials[chain.of])
        inside = [("", loss, loss)] if loss.hinge is not None or loss.chains else []
        largest: dict[tuple[str, str], FloatArray] = {}  # of what a move at random makes of a partial
        for at_random, there, back in itertools.chain(inside, self._moved()):
            with np.errstate(all="ignore"):
                for name, partial in loss.partials.items():
                    ways = abs(there.partials[name] - partial), abs(back.partials[name] - partial)
                    change = _known(np.fmax(*ways))
                    if at_random:
                        before = largest.get((at_random, name), np.zeros_like(change))
                        largest[at_random, name] = np.maximum(before, change)
                        change = largest[at_random, name] - before
                    shift[name] = shift[name] + change
                found = {name: np.fmax(shift[name], least[name]) for name in shift}
            yield replace(loss, partials=found, sizes={}, denominator_partials={})

    @cached_property
    def rounded(self) -> Loss | None:
        """The loss with its real options rounded to the format; None if they are numbers of it already."""
        given = self.drawn.options
        options = {k: float(self.format.round(np.asarray(v))) if isinstance(v, float) else v for k, v in given.items()}
        return None if options == given else self._at(self.arguments, options)

    @property
    def accumulator(self) -> Format:
        """What torch adds in."""
        return FORMATS["float32"] if self.format.digits < 24 else self.format

    # -- overflow -------------------------------------------------------------------------------------------

    @cached_property
    def overflows(self) -> FloatArray:
        """(V): where a number that the documented formula computes on the way leaves the format."""
        terms, largest = terms_of(self.loss), self.loss.largest
        found = self._beyond(terms) if largest is None else self._beyond(largest) | self._beyond(abs(self.loss.value))
        if self.regime == "huge" and self.row.intermediates:
            found = found | self._beyond(FAR * terms)
        return np.asarray(found)

    @cached_property
    def _is_finite(self) -> Any:
        """Whether the arguments are: of each element, where one depends on no other."""
        real = [(name, a) for name, a in _arrays(self.arguments).items() if a.dtype.kind == "f"]
        if not self.row.elementwise:
            return all(np.isfinite(a).all() for _, a in real)
        each = [np.isfinite(a).reshape(self.loss.aligned.get(name, a.shape)) for name, a in real]
        return np.logical_and.reduce(np.broadcast_arrays(*each))

    def _beyond(self, x: FloatArray, format: Format | None = None) -> Any:
        """Where a number leaves the format. What is infinite because an argument is has not overflowed."""
        finite = self._is_finite if np.shape(self._is_finite) in ((), np.shape(x)) else np.all(self._is_finite)
        return (x > (format or self.format).max) & (finite | np.isfinite(x))

    # -- budgets --------------------------------------------------------------------------------------------

    @cached_property
    def depth(self) -> float:
        """K, and the roundings of a sum over the classes or features that belong to one value."""
        summed = max((p.size for p in self.loss.partials.values()), default=1) / max(self.loss.value.size, 1)
        return K + self._adding(self.loss.terms or summed)

    def _adding(self, terms: float) -> float:
        """The roundings of a sum, in unit roundoffs of the format: none to speak of where it is added in a wider one."""
        return float(np.log2(max(terms, 1)) * self.accumulator.u / self.format.u)

    def _terms(self, chain: Chain) -> FloatArray:
        """(V, 1): the largest sum of absolute terms that an intermediate, a row of logits, is added up from."""
        return np.moveaxis(chain.magnitude, self.loss.last.get(chain.of, -1), -1).max(-1, keepdims=True, initial=0)

    @cached_property
    def element(self) -> FloatArray:
        """(V): the error that an unreduced value is allowed before it is rounded.

        The condition is of the first order. Logits that are off by d each move a loss by up to exp(2 d) - 1 times its
        slope, and by no more than 2 d times its weight.
        """
        loss = self.loss
        with np.errstate(all="ignore"):
            condition = _known(loss.condition(self._sizes))
            for chain in loss.chains:
                apart = 2 * _finite(self._terms(chain)[..., 0])
                off = self.depth * self.format.u * apart
                weight = 1 if loss.denominator is None else np.maximum(loss.denominator, 1)
                condition = np.fmin(condition * np.where(off > 0, np.expm1(off) / off, 1), condition + weight * apart)
            found = self._rounding(_finite(terms_of(loss)) + condition)
            if self.rounded is not None:
                found = found + _finite(abs(self.rounded.value - loss.value))
            if loss.hinge is not None:  # of a gap just below 0, what rounding may lift above it
                reach = self.depth * self.format.u * loss.hinge.terms + loss.hinge.gap
                found = found + np.where((loss.value == 0) & (loss.hinge.gap < 0) & (reach > 0), reach, 0)
        return np.asarray(found, dtype=loss.value.dtype)

    def _rounding(self, scale: FloatArray) -> FloatArray:
        """What `depth` roundings of numbers of this size make, or of subnormal ones."""
        return self.depth * (self.format.u * scale + self.format.step)

    def value(self, reduction: str, *, narrow: bool = False) -> Budget:
        """The value under `reduction` and its budget; if `narrow`, what the rounding of its terms makes alone: quick to find, and mostly enough."""
        if (reduction, narrow) not in self._values:
            element = self._rounding(_finite(terms_of(self.loss))) if narrow else self.element
            self._values[reduction, narrow] = self._value(reduction, element)
        return self._values[reduction, narrow]

    @cached_property
    def _values(self) -> dict[tuple[str, bool], Budget]:
        """The budgets that were asked for."""
        return {}

    def _value(self, reduction: str, element: FloatArray) -> Budget:
        loss, u = self.loss, self.format.u
        want = loss.reduce(reduction)
        if reduction == "none":
            return Budget(want, u * abs(want) + element, lambda: self.overflows)
        with np.errstate(all="ignore"):
            factors = abs(loss.factors(reduction))
            depth = 2 + np.log2(max(loss.value.size, 1))
            allowed = u * abs(want) + together(factors * (u * abs(loss.value) + element)) + self.format.step
            allowed = allowed + depth * self.accumulator.u * (factors * abs(loss.value)).sum()
        return Budget(
            want,
            np.asarray(allowed),
            lambda: np.any(self.overflows) | self._beyond(abs(loss.value).sum(), self.accumulator),
        )

    def gradients(self, reduction: str, cotangent: FloatArray) -> dict[str, Budget]:
        """The vector-Jacobian product in every argument, and its budget."""
        found = self._unmoved(reduction, cotangent)
        for whole in list(self.shifted())[-1:]:
            found = self._wider(found, reduction, cotangent, whole)
        return found

    def growing(self, reduction: str, cotangent: FloatArray) -> Iterator[dict[str, Budget]]:
        """The same with ever wider budgets: the first lack the condition, are quick to find, and mostly enough.

        Asked again of the same cotangent, those that were found are there.
        """
        asked = self._asked
        if not asked or asked[0][0] != reduction or asked[0][1] is not cotangent:
            asked[:] = [(reduction, cotangent, itertools.tee(self._grow(reduction, cotangent), 1)[0])]
        return copy(asked[0][2])

    @cached_property
    def _asked(self) -> list[tuple[str, FloatArray, Iterator[dict[str, Budget]]]]:
        """The reduction and the cotangent that were asked last, and the budgets for them, as far as they were."""
        return []

    def _grow(self, reduction: str, cotangent: FloatArray) -> Iterator[dict[str, Budget]]:
        found = self._unmoved(reduction, cotangent)
        yield found
        for shifted in self.shifted():
            yield self._wider(found, reduction, cotangent, shifted)

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: a.shape for name, a in _arrays(self.arguments).items()}

    def _wider(self, found: dict[str, Budget], reduction: str, cotangent: FloatArray, shifted: Loss) -> dict[str, Budget]:
        shifts = shifted.gradients(cotangent, reduction, self._shapes, absolute=True)
        return {name: replace(b, allowed=b.allowed + _known(shifts[name])) if name in shifts else b for name, b in found.items()}

    def _unmoved(self, reduction: str, cotangent: FloatArray) -> dict[str, Budget]:
        """Without the condition."""

        def at(loss: Loss, **how: bool) -> dict[str, FloatArray]:
            return loss.gradients(cotangent, reduction, self._shapes, **how)

        wants, rounded = at(self.loss), {} if self.rounded is None else at(self.rounded)
        whole = not (self.loss.chains or self.loss.sizes or self.loss.denominator_partials)  # each is of one term, but for sums
        alone = whole and all(want.size == self.loss.partials[name].size for name, want in wants.items())
        sizes = {name: _known(abs(a)) for name, a in (wants if alone else at(self.loss, absolute=True)).items()}

        @cache
        def slopes() -> dict[str, FloatArray]:
            ones = np.ones_like(cotangent)
            found = self.loss.gradients(ones, "none" if reduction == "none" else "sum", self._shapes, absolute=True)
            return {n: _known(a) for n, a in found.items()}

        def over(name: str) -> Any:
            with np.errstate(all="ignore"):
                found = self._beyond(np.fmax(slopes()[name], sizes[name]) * (1 + self.format.u))
                found |= self.overflows if self.overflows.shape == found.shape else np.any(self.overflows)
                total = self._beyond(abs(self.loss.value).sum())
            return found | (total & (name in self.loss.denominator_partials))

        scaled = reduction != "none" and self.format.digits < 24  # cotangent / n is a half-precision number
        found = {}
        for name, want in wants.items():
            with np.errstate(all="ignore"):
                summed = max(
                    self.loss.value.size / max(want.size, 1), self.loss.value.size if self.loss.chains else 1, 1
                )
                allowed = self.format.u * abs(want) + (self.depth + self._adding(summed)) * self.format.u * sizes[name]
                allowed = allowed + K * self.format.step
                if rounded:
                    allowed = allowed + _finite(abs(rounded[name] - want))
                if scaled:
                    allowed = allowed + self.format.u * sizes[name] + self.format.step * slopes()[name]
            found[name] = Budget(want, allowed, partial(over, name))
        return found


def terms_of(loss: Loss) -> FloatArray:
    """(V): the sum of the absolute terms of each value."""
    return abs(loss.value) if loss.magnitude is None else loss.magnitude


def together(each: FloatArray) -> FloatArray:
    """How far many errors add up: all of them if few; beyond 256 an eighth, and four standard deviations."""
    total = np.asarray(each.sum())
    if each.size <= 256:
        return total
    return np.asarray(np.minimum(total, total / 8 + 4 * np.sqrt((each**2).sum())))


def _known(x: FloatArray) -> FloatArray:
    """x, and 0 where it is NaN: in a finite result, inf - inf and 0 * inf are of terms that have no part in it."""
    return np.where(np.isnan(x), 0, x)


def _finite(x: FloatArray) -> FloatArray:
    return np.where(np.isfinite(x), x, 0)


def _turn_about(so_many: int, shape: tuple[int, ...]) -> Any:
    """1 for so many, -1 for as many, and so on, along every axis."""
    return 1 - 2 * (np.indices(shape).sum(0) // so_many % 2)


def _one_move(way: Callable[[tuple[int, ...]], Any], added: float, array: FloatArray) -> FloatArray:
    return way(array.shape) * (array + np.copysign(added, array))


def _moved(value: Any, move: Any, far: float) -> Any:
    if isinstance(value, list | tuple):
        return [_moved(v, m, far) for v, m in zip(value, move, strict=True)]
    with np.errstate(all="ignore"):
        moved = value + far * move
    if np.all((value >= 0) | np.isnan(value)):  # variances, weights and probabilities stay so
        moved = np.maximum(moved, 0)
        return np.minimum(moved, 1) if np.all(value <= 1) else moved
    return moved


def _each(f: Callable[[FloatArray], FloatArray], value: Any) -> Any:
    """`f` of an array, or of each array in a nested sequence."""
    return [_each(f, v) for v in value] if isinstance(value, list | tuple) else f(value)


def _arrays(arguments: Mapping[str, Any]) -> dict[str, FloatArray]:
    return {name: value for name, value in flatten(arguments).items() if isinstance(value, np.ndarray)}


# -- the checker ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """How an array compares with the truth: the worst error in units of its budget and in ulps, and where."""

    ratio: float
    index: tuple[int, ...]
    wrong: int
    size: int
    got: float
    want: float
    allowed: float
    error: float
    format: Format
    problem: str  # empty if there is none

    @property
    def ulps(self) -> float:
        """The error in units of the spacing of the format's numbers at the truth."""
        return self.error / float(self.format.ulp(np.asarray(self.want))) if self.ratio else 0.0


def ratios(got: FloatArray, budget: Budget, format: Format) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of every element the error in units of what is allowed, the error, and what is allowed.

    Infinities and NaN must agree in kind and sign. Where the truth rounds to infinity, infinity is right. Where it
    `may_overflow`, no claim is made on a result that is not finite; one that is finite must be right.
    """
    want = budget.want
    with np.errstate(all="ignore"):
        error = abs(got.astype(want.dtype) - want)
        allowed = np.where(np.isnan(budget.allowed), np.inf, budget.allowed)
        ratio = np.where(error == 0, 0, error / np.where(allowed == 0, format.step, allowed))
        finite = np.isfinite(got), np.isfinite(want)
        if not (finite[0].all() and finite[1].all()):
            same = (np.isnan(got) & np.isnan(want)) | (got == want)
            largest = want.dtype.type(format.max) * (1 + want.dtype.type(format.u) / 2)
            overflow = np.isinf(got) & (abs(want) + allowed >= largest) & (np.signbit(got) == np.signbit(want))
            excused = same | overflow | (budget.may_overflow & ~finite[0])
            ratio = np.where(excused, 0, np.where(finite[0] & finite[1], ratio, np.inf))
    return ratio, error, allowed


def compare(got: FloatArray, budget: Budget, format: Format) -> Verdict:
    """The verdict on an array: of its shape, and of the worst of its elements."""
    want = budget.want
    if got.shape != want.shape:
        problem = f"has shape {got.shape}, not {want.shape}"
        return Verdict(np.inf, (), 1, 1, np.nan, np.nan, 0.0, np.inf, format, problem)
    if not want.size:
        return Verdict(0.0, (), 0, 0, np.nan, np.nan, 0.0, 0.0, format, "")
    ratio, error, allowed = ratios(got, budget, format)
    at = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    verdict = Verdict(
        ratio=float(ratio[at]),
        index=tuple(map(int, at)),
        wrong=int((ratio > 1).sum()),
        size=int(want.size),
        got=float(got[at]),
        want=float(want[at]),
        allowed=float(allowed[at]),
        error=float(error[at]),
        format=format,
        problem="",
    )
    return replace(verdict, problem=_sentence(verdict)) if verdict.wrong else verdict


def within(got: FloatArray, budget: Budget, format: Format) -> bool:
    """Whether `compare` finds no problem."""
    return surely_within(got, budget) or not compare(got, budget, format).problem


def surely_within(got: FloatArray, budget: Budget, share: float = 1.0) -> bool:
    """Whether every error is at most this share of what is allowed, or both not finite alike: quick to find, and mostly so."""
    want = budget.want
    if share < 0 or got.shape != want.shape:
        return False
    with np.errstate(all="ignore"):
        error = abs(got - want)
        fine = (error <= share * budget.allowed) & (error < np.inf)
        return bool(fine.all()) or bool((fine | (got == want) | (np.isnan(got) & np.isnan(want))).all())


def _sentence(v: Verdict) -> str:
    return (
        f"{v.wrong} of {v.size} elements wrong; the worst at {list(v.index)}: got {v.got!r} ({v.got.hex()}), "
        f"want {v.want!r} ({v.want.hex()}); error {v.error:.3g}, allowed {v.allowed:.3g} "
        f"({v.ratio:.3g} times the budget, {v.ulps:.3g} ulp)"
    )
