"""From a definition to the function a user calls: reduction, its adjoint and the chain rule, written once.

A definition is a pure function of arrays. It returns a `Loss`: the unreduced value and, beside it, the partial
derivative of the value in each differentiable argument. Everything else follows from these two.

*The shape rule.* A partial has the shape of the value, followed by the axes that one value sums over: classes,
features, time. The argument, with those axes moved last (`Loss.last`), broadcasts against it. So one rule gives
every gradient: multiply by the cotangent, and sum over what was broadcast.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from .arithmetic import Array, FloatArray, number
from .check import choice, refuse, require

REDUCTIONS = ("none", "mean", "sum")


@dataclass(frozen=True)
class Chain:
    """The rest of the chain rule, where a loss is a function of something computed from its arguments.

    of:        the intermediate, named as in `Loss.partials` (the logits of a linear layer)
    pull:      takes its gradient to the gradients of what it was computed from; given the function `abs` in
               place of the identity, it applies it to each factor, which yields the sum of the absolute terms
    magnitude: the sum of the absolute terms that the intermediate was added up from, in its shape
    """

    of: str
    pull: Callable[[FloatArray, Callable[[FloatArray], FloatArray]], dict[str, FloatArray]]
    magnitude: FloatArray


@dataclass(frozen=True)
class Hinge:
    """Where a value is max(0, gap) of a gap that is added up: within its rounding, either side of 0 is right.

    gap, terms: (V), the gap, and the sum of the absolute terms it is added up from
    partials:   bounds of the gap's own, whichever side it is on; 0 where the value is no hinge
    """

    gap: FloatArray
    terms: FloatArray
    partials: Mapping[str, FloatArray]


@dataclass(frozen=True)
class Loss:
    """The unreduced loss and its partial derivatives; what `mean` means for it; what rounding it must suffer.

    value:       (V), unreduced
    partials:    argument -> (V, and the axes that one value sums over)
    last:        argument -> which of its axes its partial has last
    aligned:     argument -> the shape that it broadcasts in, where that is not its own
    denominator: (V), what `mean` divides the sum by the sum of; None: the number of values
    denominator_partials: the partials of `denominator`
    scale:       (V), what `mean` multiplies each value by first; None: 1
    ignored:     (V), or (V, and the summed axes): what takes no part, so that its gradient is 0 whatever the arguments
                 hold; None: nothing
    magnitude:   (V), the sum of the absolute values of the terms that a value is added up from; None: |value|
    sizes:       the same of a partial, where that is more than its absolute value
    terms:       how many terms a value is added up from; None: as many as the largest partial has elements for it
    largest:     (V), the largest number that the documented formula computes on the way; None: magnitude
    hinge:       what a hinge compares with 0, if that is more than a difference
    chains:      the steps from an intermediate back to the arguments
    """

    value: FloatArray
    partials: Mapping[str, FloatArray]
    last: Mapping[str, int] = field(default_factory=dict)
    aligned: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    denominator: FloatArray | None = None
    denominator_partials: Mapping[str, FloatArray] = field(default_factory=dict)
    scale: FloatArray | None = None
    ignored: npt.NDArray[np.bool_] | None = None
    magnitude: FloatArray | None = None
    sizes: Mapping[str, FloatArray] = field(default_factory=dict)
    terms: int | None = None
    largest: FloatArray | None = None
    hinge: Hinge | None = None
    chains: tuple[Chain, ...] = ()

    def __post_init__(self) -> None:
        """Keep arrays arrays: NumPy makes of an object array without axes the number in it."""
        for name in ("value", "denominator", "scale", "magnitude"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name)))
        for name in ("partials", "denominator_partials", "sizes"):
            object.__setattr__(self, name, {k: np.asarray(v) for k, v in getattr(self, name).items()})

    # -- reduction ------------------------------------------------------------------------------------------

    def divisor(self) -> FloatArray:
        """What `mean` divides the sum of the values by."""
        if self.denominator is not None:
            return np.asarray(self.denominator.sum())
        return number(self.value.size, self.value)

    @property
    def _rows(self) -> FloatArray:
        return number(self.value.shape[0] if self.value.ndim else 1, self.value)

    def factors(self, reduction: str) -> FloatArray:
        """(V): what each unreduced value is multiplied by before they are added; ones for `none`."""
        ones = np.broadcast_to(number(1, self.value), self.value.shape)
        with np.errstate(all="ignore"):
            if reduction == "mean":
                return (ones if self.scale is None else self.scale) * _quotient(number(1, self.value), self.divisor())
            if reduction == "batchmean":
                return _quotient(ones, self._rows)
        return ones

    def reduce(self, reduction: str) -> FloatArray:
        """The value under `reduction`. The mean of nothing is 0/0, NaN."""
        with np.errstate(all="ignore"):
            if reduction == "none":
                return self.value
            if reduction == "mean":
                scaled = self.value if self.scale is None else np.asarray(self.value * self.scale)
                return np.asarray(_quotient(np.asarray(scaled.sum()), self.divisor()))
            if reduction == "batchmean":
                return _quotient(self.value.sum(), self._rows)
            return np.asarray(self.value.sum())

    # -- gradients ------------------------------------------------------------------------------------------

    def gradients(
        self, cotangent: FloatArray, reduction: str, shapes: Mapping[str, tuple[int, ...]], *, absolute: bool = False
    ) -> dict[str, FloatArray]:
        """The vector-Jacobian product with `cotangent`, for each argument in `shapes`.

        With `absolute`, every product is replaced by its absolute value: the sum of the absolute terms, which
        is what a bound on the rounding error of the sum is proportional to.
        """
        size = _absolute if absolute else np.asarray
        partials = {**self.partials, **self.sizes} if absolute else self.partials
        with np.errstate(all="ignore"):
            spread = size(cotangent * self.factors(reduction))
            found = {name: _expand(spread, partial.ndim) * size(partial) for name, partial in partials.items()}
            if self.ignored is not None:
                found = {n: np.where(_expand(self.ignored, g.ndim), number(0, g), g) for n, g in found.items()}
            if reduction == "mean":
                lost = size(_quotient(cotangent * self.reduce("mean"), self.divisor()))
                for name, partial in self.denominator_partials.items():
                    term = lost * size(partial)
                    found[name] = found[name] + term if absolute else found[name] - term
            for name in found:
                found[name] = self._home(name, found[name], shapes.get(name))
            for chain in self.chains:
                for name, gradient in chain.pull(found.pop(chain.of), size).items():
                    found[name] = found[name] + gradient if name in found else gradient
            return found

    def _home(self, name: str, gradient: FloatArray, shape: tuple[int, ...] | None) -> FloatArray:
        """Sum over what was broadcast, and put the argument's axes back in its own order."""
        axis = self.last.get(name)
        if axis is None and gradient.shape == shape:
            return gradient
        if shape is None:  # an intermediate: it has the shape of its partial, and nothing was broadcast
            return gradient if axis is None else np.moveaxis(gradient, -1, axis)
        if axis is not None:
            axis %= len(shape)
            shape = (*shape[:axis], *shape[axis + 1 :], shape[axis])
        gradient = sum_to(gradient, self.aligned.get(name, shape)).reshape(shape)
        return gradient if axis is None else np.moveaxis(gradient, -1, axis)

    # -- condition ------------------------------------------------------------------------------------------

    def condition(self, arguments: Mapping[str, Any]) -> FloatArray:
        """(V): sum over all inputs x of |x * d value / d x|, how far a relative change of the inputs moves it."""
        total = np.zeros(self.value.shape, dtype=self.value.dtype)
        for name, partial in self.partials.items():
            size = next((c.magnitude for c in self.chains if c.of == name), None)
            if size is None:
                size = _absolute(arguments[name])
            if name in self.last:
                size = np.moveaxis(size, self.last[name], -1)
            size = size.reshape(self.aligned.get(name, size.shape))
            with np.errstate(all="ignore"):
                term = np.asarray(abs(partial) * size)
            if term.dtype != object:
                term = np.where((size == 0) | (partial == 0), 0, term)
            total = total + term.sum(axis=tuple(range(total.ndim, term.ndim)))
        return np.asarray(total)


def _absolute(x: FloatArray) -> FloatArray:
    return np.asarray(abs(x))


def _quotient(a: FloatArray, b: FloatArray) -> FloatArray:
    a, b = np.asarray(a), np.asarray(b)
    if object in (a.dtype, b.dtype) and b == 0:
        return np.asarray(a * np.inf)  # mpmath raises where IEEE arithmetic has infinity, and NaN for 0/0
    return np.asarray(a / b)


def _expand(array: FloatArray, ndim: int) -> FloatArray:
    return array.reshape(array.shape + (1,) * (ndim - array.ndim))


def sum_to(array: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Undo a broadcast from `shape`: sum over the axes that it added or stretched."""
    array = np.asarray(array)
    array = np.asarray(array.sum(axis=tuple(range(array.ndim - len(shape)))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and array.shape[i] != 1)
    return np.asarray(array.sum(axis=stretched, keepdims=True)) if stretched else array


@dataclass(frozen=True)
class Result:
    """What a loss is at some arguments: its value, and the gradient in every differentiable argument."""

    value: FloatArray
    gradients: Mapping[str, FloatArray]


class LossFunction(Protocol):
    """A public loss: `definition` is the mathematics, the call adds reduction and gradients."""

    __name__: str
    definition: Callable[..., Loss]
    reductions: tuple[str, ...]

    def __call__(
        self, *args: Any, reduction: str = ..., cotangent: npt.ArrayLike | None = None, **options: Any
    ) -> Result:
        """Evaluate the loss and its gradients."""
        ...


@overload
def loss(definition: Callable[..., Loss]) -> LossFunction: ...
@overload
def loss(
    definition: None = None, *, reductions: tuple[str, ...] = ..., default: str = ...
) -> Callable[[Callable[..., Loss]], LossFunction]: ...
def loss(
    definition: Callable[..., Loss] | None = None, *, reductions: tuple[str, ...] = REDUCTIONS, default: str = "mean"
) -> Any:
    """Make a definition the public function: array-likes in, `Result` out.

    The public function takes the definition's arguments and besides them `reduction` and `cotangent`, the
    vector that the Jacobian is multiplied by from the left: of the shape of the result, ones by default.
    """
    if definition is None:
        return functools.partial(loss, reductions=reductions, default=default)
    signature = inspect.signature(definition)
    arrays_in = {name: str(p.annotation) for name, p in signature.parameters.items() if "Array" in str(p.annotation)}

    @functools.wraps(definition)
    def public(*args: Any, reduction: str = default, cotangent: npt.ArrayLike | None = None, **options: Any) -> Result:
        choice("reduction", reduction, reductions)
        bound = signature.bind(*args, **options)
        for name, value in bound.arguments.items():
            if name in arrays_in and value is not None:
                bound.arguments[name] = _arrays(name, value, depth=arrays_in[name].count("["))
        arrays = {k: v for k, v in flatten(bound.arguments).items() if isinstance(v, np.ndarray)}
        with np.errstate(all="ignore"):
            found = definition(*bound.args, **bound.kwargs)
        value = found.reduce(reduction)
        vector = np.ones_like(value) if cotangent is None else asarray("cotangent", cotangent)
        require(
            vector.shape == value.shape,
            "cotangent",
            f"of shape {vector.shape}",
            f"the shape {value.shape} of the result",
        )
        return Result(value, found.gradients(vector, reduction, {k: v.shape for k, v in arrays.items()}))

    both = [
        inspect.Parameter("reduction", inspect.Parameter.KEYWORD_ONLY, default=default, annotation="str"),
        inspect.Parameter("cotangent", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="ArrayLike | None"),
    ]
    public.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *both], return_annotation="Result"
    )
    public.definition = definition  # type: ignore[attr-defined]
    public.reductions = reductions  # type: ignore[attr-defined]
    return public


def flatten(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name; those of a (nested) sequence of arrays as name.0, name.1 ..."""
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, list | tuple) and any(isinstance(v, np.ndarray | list | tuple) for v in value):
            flat |= flatten({f"{name}.{i}": v for i, v in enumerate(value)})
        else:
            flat[name] = value
    return flat


def _arrays(name: str, value: Any, depth: int) -> Any:
    """An array argument or, `depth` deep (adaptive softmax), a sequence of them."""
    if depth == 0:
        return asarray(name, value)
    require(isinstance(value, list | tuple), name, f"a {type(value).__name__}", "a list or tuple of arrays")
    return [_arrays(f"{name}.{i}", v, depth - 1) for i, v in enumerate(value)]


def asarray(name: str, value: npt.ArrayLike) -> Array:
    """An array-like as float64 (or wider, if it is already), integers and booleans as they are."""
    try:
        array = np.asarray(value)
    except ValueError:
        refuse(name, "a sequence of unequal lengths", "an array of numbers")
    require(array.dtype.kind in "biufO", name, f"of dtype {array.dtype}", "real numbers or integers")
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        return array.astype(np.float64)
    return array


__all__ = ["REDUCTIONS", "Chain", "Hinge", "Loss", "LossFunction", "Result", "asarray", "loss", "replace", "sum_to"]
