"""Numbers known up to an error: a middle and a radius, kept right through the arithmetic that laws need.

A result of a loss is a ball around what was returned, as wide as its budget. Two results that ought to be equal
agree if their balls touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reference.arithmetic import FloatArray

UNIT = np.finfo(np.longdouble).eps
"""What one operation on the middles themselves may lose."""


@dataclass(frozen=True, eq=False)
class Ball:
    """An array of numbers, each within `radius` of `middle`."""

    middle: FloatArray
    radius: FloatArray

    @staticmethod
    def exact(value: Any) -> Ball:
        """Numbers without an error."""
        middle = np.asarray(value, dtype=np.longdouble)
        return Ball(middle, np.zeros_like(middle))

    def _after(self, middle: FloatArray, radius: FloatArray) -> Ball:
        return Ball(middle, radius + UNIT * abs(middle))

    def __add__(self, other: Any) -> Ball:
        """The sum: radii add."""
        other = ball(other)
        return self._after(self.middle + other.middle, self.radius + other.radius)

    def __neg__(self) -> Ball:
        """The negative."""
        return Ball(-self.middle, self.radius)

    def __sub__(self, other: Any) -> Ball:
        """The difference: radii add."""
        return self + -ball(other)

    def __mul__(self, factor: Any) -> Ball:
        """The product with numbers that are exact."""
        factor = np.asarray(factor, dtype=np.longdouble)
        return self._after(self.middle * factor, self.radius * abs(factor))

    __rmul__, __radd__ = __mul__, __add__

    def __truediv__(self, divisor: Any) -> Ball:
        """The quotient by numbers that are exact."""
        return self * (1 / np.asarray(divisor, dtype=np.longdouble))

    def __getitem__(self, index: Any) -> Ball:
        """Some of the numbers."""
        return Ball(self.middle[index], self.radius[index])

    def sum(self, axis: int | None = None) -> Ball:
        """The sum over an axis, or over all."""
        lost = UNIT * abs(self.middle).sum(axis) * max(self.middle.size, 1)
        return Ball(np.asarray(self.middle.sum(axis)), np.asarray(self.radius.sum(axis) + lost))

    def wider(self, by: FloatArray) -> Ball:
        """The same numbers, less certain."""
        return Ball(self.middle, self.radius + by)

    def maximum(self, other: Ball) -> Ball:
        """The larger of two, which moves no farther than either."""
        return Ball(np.maximum(self.middle, other.middle), np.maximum(self.radius, other.radius))

    def differs(self, other: Any) -> str:
        """Empty if the balls touch everywhere; else where they do not, and by how much."""
        other = ball(other)
        if other.middle.ndim and self.middle.shape != other.middle.shape:
            return f"of shape {self.middle.shape} on one side and {other.middle.shape} on the other"
        reach = self.radius + other.radius
        with np.errstate(invalid="ignore"):
            near = (self.middle == other.middle) | (abs(self.middle - other.middle) <= reach)
        apart = ~(near | (np.isnan(self.middle) & np.isnan(other.middle)))
        return self._worst(apart, other, reach, "but") if apart.any() else ""

    def is_below(self, other: Any) -> str:
        """Empty unless some number is certainly smaller than the other; else where."""
        other = ball(other)
        reach = self.radius + other.radius
        below = ~(self.middle + reach >= other.middle)
        return self._worst(below, other, reach, "not at least") if below.any() else ""

    def _worst(self, wrong: FloatArray, other: Ball, reach: FloatArray, word: str) -> str:
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        left, right = float(self.middle[at]), float(np.broadcast_to(other.middle, self.middle.shape)[at])
        within = float(np.broadcast_to(reach, self.middle.shape)[at])
        count = f"{int(wrong.sum())} of {wrong.size}"
        return f"{count} wrong, as at {list(at)}: {left!r} {word} {right!r}, the errors being {within:.3g}"


def ball(value: Any) -> Ball:
    """A ball as it is, anything else as exact numbers."""
    return value if isinstance(value, Ball) else Ball.exact(value)
