"""Argument checks: a ValueError that names the argument, says what it was and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from .arithmetic import Array


def refuse(name: str, given: Any, allowed: str) -> NoReturn:
    """Raise the error."""
    raise ValueError(f"{name} is {given}; allowed: {allowed}")


def require(condition: Any, name: str, given: Any, allowed: str) -> None:
    """Refuse unless `condition`."""
    if not condition:
        refuse(name, given, allowed)


def choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """One of a few values."""
    allowed = tuple(allowed)
    require(any(value is a or value == a for a in allowed), name, repr(value), ", ".join(map(repr, allowed)))


def positive(name: str, value: float, *, or_zero: bool = False) -> None:
    """A number above 0, or from 0."""
    require(value >= 0 if or_zero else value > 0, name, repr(value), "0 or more" if or_zero else "more than 0")


def between(name: str, value: Any, low: float, high: float) -> None:
    """Every element in [low, high]; NaN is let through, as a result that is NaN."""
    outside = np.logical_not((value >= low) & (value <= high)) & (value == value)
    if np.any(outside):
        refuse(name, f"{np.asarray(value)[outside].flat[0] if np.ndim(value) else value}", f"[{low}, {high}]")


def floating(**arrays: Array | None) -> None:
    """Real numbers, not integers or booleans."""
    for name, array in arrays.items():
        if array is not None:
            require(array.dtype.kind in "fO", name, f"of dtype {array.dtype}", "a floating-point dtype")


def same_shape(**arrays: Array | None) -> None:
    """The shape of the first, exactly: nothing is broadcast."""
    (first, like), *others = ((n, a) for n, a in arrays.items() if a is not None)
    for name, array in others:
        require(array.shape == like.shape, name, f"of shape {array.shape}", f"the shape {like.shape} of {first}")


def broadcastable(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """A shape that broadcasts against `shape`."""
    try:
        np.broadcast_shapes(array.shape, shape)
    except ValueError:
        refuse(name, f"of shape {array.shape}", f"a shape that broadcasts against {shape}")


def broadcastable_to(name: str, array: Array, like: str, shape: tuple[int, ...]) -> None:
    """A shape that broadcasts to `shape`, that of `like`, and not beyond it."""
    broadcastable(name, array, shape)
    fits = np.broadcast_shapes(array.shape, shape) == shape
    require(fits, name, f"of shape {array.shape}", f"a shape that broadcasts to {like}'s {shape}")


def dimensions(name: str, array: Array, allowed: Iterable[int]) -> None:
    """So many axes."""
    allowed = tuple(allowed)
    require(array.ndim in allowed, name, f"of shape {array.shape}", f"{' or '.join(map(str, allowed))} axes")


def shape(name: str, array: Array, expected: tuple[int, ...], because: str = "") -> None:
    """Exactly this shape."""
    require(array.shape == expected, name, f"of shape {array.shape}", f"shape {expected}{because and ' ' + because}")


def integers(name: str, array: Array) -> None:
    """Integers, not real numbers or booleans."""
    require(array.dtype.kind in "iu", name, f"of dtype {array.dtype}", "an integer dtype (class indices)")


def indices(name: str, array: Array, classes: int, *, also: int | None = None) -> None:
    """Class indices in [0, classes), or `also` (ignore_index)."""
    integers(name, array)
    inside = (array >= 0) & (array < classes)
    if also is not None:
        inside |= array == also
    if not np.all(inside):
        extra = "" if also is None else f" or {also}"
        refuse(name, f"{array[~inside].flat[0]}", f"a class index in [0, {classes}){extra}")
