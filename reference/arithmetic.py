"""Elementary functions in whatever arithmetic an array has.

float64 and extended precision go to NumPy; an object array holds mpmath numbers and goes to mpmath, at
whatever precision is set there. The definitions are written once, on these functions and on the operators.
Infinities and NaN are results here, not accidents: who evaluates a definition tells NumPy so (`np.errstate`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[Any]  # float64, longdouble, or an object array of mpmath numbers
IndexArray = npt.NDArray[np.int64]


def _function(name: str) -> Callable[[FloatArray], FloatArray]:
    native = getattr(np, name)

    def call(x: FloatArray) -> FloatArray:
        x = np.asarray(x)  # of an object array without axes NumPy makes the number in it; so here and below
        if x.dtype != object:
            return np.asarray(native(x))
        import mpmath  # the one optional import: only a caller who brought mpmath numbers gets here

        return np.asarray(np.frompyfunc(getattr(mpmath, name), 1, 1)(x), dtype=object)

    call.__name__ = name
    return call


exp = _function("exp")
expm1 = _function("expm1")
log = _function("log")
log1p = _function("log1p")
sqrt = _function("sqrt")
sign = _function("sign")


def number(value: npt.ArrayLike, like: FloatArray) -> FloatArray:
    """`value` in the arithmetic of `like`, so that 1/3 of it is a third in that arithmetic."""
    like = np.asarray(like)
    if like.dtype != object:
        return np.asarray(value, dtype=like.dtype)
    import mpmath

    return np.asarray(np.frompyfunc(mpmath.mpf, 1, 1)(np.asarray(value, dtype=object)), dtype=object)


def two_pi(like: FloatArray) -> FloatArray:
    """2 pi in the precision of `like`."""
    if like.dtype == object:
        import mpmath

        return np.asarray(2 * mpmath.pi(), dtype=object)
    return np.asarray(8 * np.arctan(like.dtype.type(1)))


def times(a: FloatArray, b: FloatArray) -> FloatArray:
    """A * b with the limit 0 where a is 0 and b infinite: 0 log 0, or a class of probability 0."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype == object or b.dtype == object:
        return np.asarray(a * np.where(a == 0, 0 * a, b))
    return np.where((a == 0) & np.isinf(b), np.zeros((), dtype=np.result_type(a, b)), a * b)


def divide(a: FloatArray, b: FloatArray, *, zero: float = 0.0) -> FloatArray:
    """A / b, and `zero` where b is 0."""
    a, b = np.broadcast_arrays(a, b)
    none = b == 0
    return np.asarray(np.where(none, number(zero, b), a / np.where(none, number(1, b), b)))


def log_add(a: FloatArray, b: FloatArray) -> FloatArray:
    """log(exp(a) + exp(b)): the larger is taken out, so that nothing overflows and a log1p holds the other."""
    gap = np.where(a == b, number(0, a), -abs(a - b))  # also where both are -inf
    return np.maximum(a, b) + log1p(exp(gap))


def softplus(x: FloatArray) -> FloatArray:
    """log(1 + exp(x)), to full relative accuracy on both sides: no term cancels, nothing overflows."""
    return np.maximum(x, number(0, x)) + log1p(exp(-abs(x)))


def sigmoid(x: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x)); exp only ever sees a negative number."""
    small = exp(-abs(x))
    return np.where(x < 0, small, number(1, x)) / (1 + small)


def log_softmax(x: FloatArray) -> FloatArray:
    """X - log sum exp x over the last axis.

    The largest term is taken out of the sum exactly, so that the logarithm is a log1p: a row that is
    certain of its class keeps the digits of how certain it is. One infinite logit takes all the probability
    (the limit); two of them, or a row that is -inf throughout, leave it undefined: NaN.
    """
    if x.size == 0:
        return x
    top = np.argmax(x, axis=-1)[..., None]  # of a NaN too: argmax finds the first
    is_top = np.arange(x.shape[-1]) == top
    largest = np.take_along_axis(x, top, axis=-1)
    shifted = np.where(is_top & (x == x), number(0, x), x - largest)
    others = np.where(is_top & (x == x), number(0, x), exp(shifted))
    return shifted - log1p(others.sum(axis=-1, keepdims=True))


def one_hot(index: IndexArray, classes: int, like: FloatArray) -> FloatArray:
    """1 at `index` along a new last axis, in the arithmetic of `like`; all 0 where the index is negative."""
    return np.where(index[..., None] == np.arange(classes), number(1, like), number(0, like))


def sum_of_others(x: FloatArray) -> FloatArray:
    """For each number the sum of the others on the last axis, of numbers from 0 on: nothing cancels, and the sum of zeros is 0."""
    if x.size == 0:
        return x
    is_top = np.arange(x.shape[-1]) == np.argmax(x, axis=-1)[..., None]  # only beside the largest would it
    small = np.where(is_top, number(0, x), x)
    top, total = x.max(-1, keepdims=True), small.sum(-1, keepdims=True)
    return np.where(is_top, total, top + (total - small))
