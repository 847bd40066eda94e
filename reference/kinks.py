"""Inputs that lie exactly on a loss's kinks and ties.

Each function changes drawn arguments in place. Everything is put on a grid of quarters, which every format
represents and on which sums and differences are exact, so that there is no doubt which side an input is on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arithmetic import FloatArray
from .formats import Format

Arguments = dict[str, Any]
Options = Mapping[str, Any]


def _grid(rng: np.random.Generator, shape: tuple[int, ...], reach: int = 8) -> FloatArray:
    return rng.integers(-reach, reach + 1, shape) / 4.0


def residual(points: Callable[[Options], tuple[float, ...]]) -> Callable[..., None]:
    """Input - target is one of `points`, or a quarter to either side of it."""

    def place(rng: np.random.Generator, arguments: Arguments, options: Options, format: Format) -> None:
        near = np.array([p + s for p in points(options) for s in (0.0, 0.25, -0.25)])
        target = _grid(rng, arguments["target"].shape)
        arguments["target"][...] = target
        arguments["input"][...] = format.round(target + rng.permuted(np.resize(near, target.shape)))

    return place


def counts(rng: np.random.Generator, arguments: Arguments, options: Options, format: Format) -> None:
    """Targets at and about 0 and 1, where Stirling's term starts."""
    at = np.array([0.0, 1.0, 1.0 - format.u, 1.0 + 2 * format.u, 2.0])
    target = arguments["target"]
    target[...] = rng.permuted(np.resize(at, target.shape))


def variances(rng: np.random.Generator, arguments: Arguments, options: Options, format: Format) -> None:
    """Variances of 0, and at and about eps, where the clamp starts."""
    eps = options["eps"]
    var = arguments["var"]
    around = np.resize(np.array([eps, 0.0, eps / 2, 2 * eps, 1.0]), var.size)
    var[...] = format.round(rng.permuted(around) if var.ndim else around[0]).reshape(var.shape)


def class_margin(rng: np.random.Generator, arguments: Arguments, options: Options, format: Format) -> None:
    """Scores that tie with each other, and with the margin."""
    arguments["input"][...] = _grid(rng, arguments["input"].shape, 4)


def hinge(rng: np.random.Generator, arguments: Arguments, options: Options, format: Format) -> None:
    """Input at the margin, and a quarter to either side."""
    input = arguments["input"]
    input[...] = options["margin"] + rng.permuted(np.resize(np.array([0.0, 0.25, -0.25]), input.shape))


def ranking(rng: np.random.Generator, arguments: Arguments, options: Options, format: Format) -> None:
    """input1 - input2 at the margin, for either sign of the target."""
    second = _grid(rng, arguments["input2"].shape)
    gap = options["margin"] + rng.permuted(np.resize(np.array([0.0, 0.25, -0.25]), second.shape))
    arguments["input2"][...] = second
    arguments["input1"][...] = second + arguments["target"] * gap


def exact(options: Options) -> bool:
    """Whether margin and eps are numbers of every dtype, as a kink that they make has to be exact."""
    return all(float(64 * options.get(name, 0)).is_integer() for name in ("margin", "eps"))


def angle(rng: np.random.Generator, arguments: Arguments, options: Options, format: Format) -> None:
    """Vectors whose cosine is 0 or 1/2 exactly, by integer components with integer norms."""
    first, second = arguments["input1"], arguments["input2"]
    first[...], second[...] = 0.0, 0.0
    first[..., :4] = 1.0  # norm 2
    second[..., :2] = [1.0, 0.0] if options["margin"] else [1.0, -1.0]


def triplet(rng: np.random.Generator, arguments: Arguments, options: Options, format: Format) -> None:
    """Distances that differ by the margin exactly, that tie under swap, and that are 0.

    eps is added to every component of the difference, and is taken out again.
    """
    anchor, close, far = arguments["anchor"], arguments["positive"], arguments["negative"]
    for array in (anchor, close, far):
        array[...] = 0.0
    close[...] = options["eps"]  # anchor - positive + eps = 0
    far[...] = options["eps"]
    rows = np.atleast_2d(anchor).shape[0]
    np.atleast_2d(close)[:, 0] += np.resize([0.0, 1.0, 1.0], rows)
    np.atleast_2d(far)[:, 0] += np.resize([options["margin"], 1.0 + options["margin"], 1.0], rows)


__all__ = ["angle", "class_margin", "counts", "exact", "hinge", "ranking", "residual", "triplet", "variances"]
