"""The floating-point formats that a loss is computed in, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arithmetic import Array, FloatArray


@dataclass(frozen=True)
class Format:
    """A binary floating-point format with `digits` significant bits (IEEE 754-2019, 3.3)."""

    name: str
    digits: int
    lowest: int  # the smallest normal number is 2**lowest
    highest: int  # the largest finite number is just below 2**(highest + 1)

    @property
    def u(self) -> float:
        """The unit roundoff: the largest relative error of rounding to nearest."""
        return 2.0**-self.digits

    @property
    def tiny(self) -> float:
        """The smallest positive normal number."""
        return 2.0**self.lowest

    @property
    def step(self) -> float:
        """The smallest positive number, and the spacing of the subnormal ones."""
        return 2.0 ** (self.lowest - self.digits + 1)

    @property
    def max(self) -> float:
        """The largest finite number."""
        return (2 - 2 * self.u) * 2.0**self.highest

    def ulp(self, x: FloatArray) -> FloatArray:
        """The spacing of the format's numbers at x, which may be of a wider format."""
        exponent = np.frexp(np.where(np.isfinite(x), x, 1))[1]
        return np.ldexp(x.dtype.type(1), np.maximum(exponent - self.digits, self.lowest - self.digits + 1))

    def round(self, x: FloatArray) -> FloatArray:
        """x, rounded to nearest, ties to even, in the dtype of x; beyond the largest number, infinity."""
        with np.errstate(all="ignore"):
            if hasattr(np, self.name):
                return np.asarray(x.astype(self.name).astype(x.dtype))
            ulp = self.ulp(x)
            near = np.where(np.isfinite(x), np.rint(x / ulp) * ulp, x)
            return np.where(abs(near) > self.max, np.copysign(np.inf, near), near)


FORMATS = {
    f.name: f
    for f in (
        Format("float64", 53, -1022, 1023),
        Format("float32", 24, -126, 127),
        Format("bfloat16", 8, -126, 127),
        Format("float16", 11, -14, 15),
    )
}


def widen(format: Format, array: Array) -> FloatArray:
    """`array` in an arithmetic wider than `format`: float64, or extended precision for float64 itself."""
    if array.dtype.kind != "f":
        return array
    return array.astype(np.longdouble if format.name == "float64" else np.float64)


def is_wide() -> bool:
    """Whether this platform's extended precision is wider than float64 (it is not on some ARM systems)."""
    return bool(np.finfo(np.longdouble).eps < np.finfo(np.float64).eps)
