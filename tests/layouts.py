"""Layouts: the same numbers of a tensor at other places in memory.

What lies between the numbers is poison: NaN, or a class index that is valid and wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from reference.arithmetic import Array
from reference.catalog import Form
from reference.formats import Format

REPEATS = {"first": slice(0, 1), "last": slice(-1, None), "all": slice(None)}

Build = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Layout:
    """A way to lay a tensor out.

    build:   from a contiguous tensor to one with the same numbers
    axes:    how many axes a tensor must have, at least and at most
    repeats: the axes along which the numbers must be the same, if any: the first, the last, or all
    real:    for numbers only, in these dtypes
    """

    build: Build
    axes: tuple[int, int] = (1, 9)
    repeats: str = ""
    real: tuple[torch.dtype, ...] = ()

    def fits(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor can be laid out so, and would then differ."""
        low, high = self.axes
        if not low <= tensor.ndim <= high or not tensor.numel() or (self.real and tensor.dtype not in self.real):
            return False
        axes = range(tensor.ndim)[REPEATS[self.repeats]] if self.repeats else ()
        return all(tensor.shape[axis] > 1 and bool((tensor == tensor.narrow(axis, 0, 1)).all()) for axis in axes)

    def suits(self, ranks: Iterable[int], format: Format) -> bool:
        """Whether a call can have an argument that it fits."""
        low, high = self.axes
        return any(low <= n <= high for n in ranks) and (not self.real or getattr(torch, format.name) in self.real)


def _poisoned(like: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    if like.is_floating_point():
        return like.new_full(shape, float("nan"))
    return like.new_zeros(shape)


def _strided(x: torch.Tensor) -> torch.Tensor:
    wide = _poisoned(x, (*x.shape[:-1], 2 * x.shape[-1]))[..., ::2]
    return wide.copy_(x)


def _window(x: torch.Tensor) -> torch.Tensor:
    around = _poisoned(x, tuple(n + 3 for n in x.shape))
    return around[tuple(slice(1, n + 1) for n in x.shape)].copy_(x)


def _offset(x: torch.Tensor) -> torch.Tensor:
    return _poisoned(x, (x.numel() + 2,))[1:-1].view(x.shape).copy_(x)


def _transposed(x: torch.Tensor) -> torch.Tensor:
    axes = tuple(reversed(range(x.ndim)))
    return x.permute(axes).contiguous().permute(axes)


def _flipped(x: torch.Tensor) -> torch.Tensor:
    axes = tuple(range(x.ndim))
    return x.flip(axes).flip(axes)


def _negated(x: torch.Tensor) -> torch.Tensor:
    """The imaginary part of a conjugate, of which torch stores the negative and remembers that it is one."""
    return torch.complex(_poisoned(x, tuple(x.shape)), -x).conj().imag


LAYOUTS: Mapping[str, Layout] = {
    "strided": Layout(_strided),
    "window": Layout(_window),
    "offset": Layout(_offset, axes=(0, 9)),
    "transposed": Layout(_transposed, axes=(2, 9)),
    "batch_second": Layout(lambda x: x.transpose(0, 1).contiguous().transpose(0, 1), axes=(3, 9)),
    "flipped": Layout(_flipped),
    "expanded_first": Layout(lambda x: x[:1].expand(x.shape), repeats="first"),
    "expanded_last": Layout(lambda x: x[..., :1].expand(x.shape), axes=(2, 9), repeats="last"),
    "expanded": Layout(lambda x: x.flatten()[:1].reshape([1] * x.ndim).expand(x.shape), axes=(2, 9), repeats="all"),
    "channels_last_1d": Layout(lambda x: x.mT.contiguous().mT, axes=(3, 3)),
    "channels_last": Layout(lambda x: x.contiguous(memory_format=torch.channels_last), axes=(4, 4)),
    "channels_last_3d": Layout(lambda x: x.contiguous(memory_format=torch.channels_last_3d), axes=(5, 5)),
    "negated": Layout(_negated, axes=(0, 9), real=(torch.float32, torch.float64)),
}


def repeated(array: Array, along: str) -> Array:
    """The numbers made the same all along the first axis, the last, or all; of a vector, along the first."""
    axes = range(array.ndim)[REPEATS[along]] if array.size and array.ndim >= (1 if along == "first" else 2) else ()
    for axis in axes:
        array = np.repeat(np.take(array, [0], axis), array.shape[axis], axis)
    return array


# Forms with the axes that channels-last is about, for the losses that take any, and for those of classes.
IMAGES = Form("images", {"N": 2, "H": 3, "W": 2, "C": 4})
VOLUMES = Form("volumes", {"N": 2, "D": 2, "H": 3, "W": 2, "C": 3})
CLASS_IMAGES = Form("class_images", {"N": 2, "C": 5, "d1": 3, "d2": 4})
CLASS_VOLUMES = Form("class_volumes", {"N": 2, "C": 4, "d1": 2, "d2": 3, "d3": 2})
