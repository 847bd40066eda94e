"""Losses of a residual: L1, MSE, Huber, smooth L1.

d = input - target throughout. Where both arguments have other shapes torch broadcasts them and warns; so here
(the warning is torch's own). A `weight` has the shape of `input`.
"""

from __future__ import annotations

import numpy as np

from .arithmetic import FloatArray, number, sign
from .check import broadcastable, floating, positive, require, same_shape
from .loss import Loss, loss, replace


@loss
def l1_loss(input: FloatArray, target: FloatArray, *, weight: FloatArray | None = None) -> Loss:
    """The absolute error.

    value = |d|

    Shapes: input (*), target broadcastable to it; weight as input; value (*).
    Mean:   with weight, the weighted mean: the sum divided by the sum of the weights.
    Raises: ValueError on shapes that do not broadcast, or a weight of another shape than input.
    Kinks:  d = 0, where the gradient is 0.
    Source: torch.nn.L1Loss; torch.nn.functional.l1_loss for weight.
    """
    d = _residual(input, target, weight)
    return _weighted(Loss(abs(d), {"input": sign(d), "target": -sign(d)}), weight, mean_by_weight=True)


@loss
def mse_loss(input: FloatArray, target: FloatArray, *, weight: FloatArray | None = None) -> Loss:
    """The squared error.

    value = d**2

    Shapes: input (*), target broadcastable to it; weight as input; value (*).
    Mean:   with weight, the weighted mean: the sum divided by the sum of the weights.
    Raises: ValueError on shapes that do not broadcast, or a weight of another shape than input.
    Kinks:  none.
    Source: torch.nn.MSELoss; torch.nn.functional.mse_loss for weight.
    """
    d = _residual(input, target, weight)
    return _weighted(Loss(d**2, {"input": 2 * d, "target": -2 * d}), weight, mean_by_weight=True)


@loss
def huber_loss(input: FloatArray, target: FloatArray, *, delta: float = 1.0, weight: FloatArray | None = None) -> Loss:
    """Quadratic near zero, linear beyond `delta`.

    value = d**2 / 2                    where |d| <= delta
            delta * (|d| - delta / 2)   elsewhere

    Shapes: input (*), target broadcastable to it; weight as input; value (*).
    Mean:   the sum divided by the number of elements, with weight too.
    Raises: ValueError if delta is not positive, or as l1_loss.
    Kinks:  none in the gradient; its slope jumps at |d| = delta.
    Source: torch.nn.HuberLoss; Huber (1964), doi:10.1214/aoms/1177703732.
    """
    positive("delta", delta)
    d = _residual(input, target, weight)
    size, delta_ = abs(d), number(delta, d)
    value = np.where(size <= delta_, d**2 / 2, delta_ * (size - delta_ / 2))
    slope = np.where(size <= delta_, d, delta_ * sign(d))
    return _weighted(Loss(value, {"input": slope, "target": -slope}, largest=size), weight, mean_by_weight=False)


@loss
def smooth_l1_loss(input: FloatArray, target: FloatArray, *, beta: float = 1.0) -> Loss:
    """The Huber loss divided by its threshold: quadratic near zero, slope 1 beyond `beta`.

    value = d**2 / (2 beta)   where |d| < beta
            |d| - beta / 2    elsewhere
    With beta = 0 it is the L1 loss.

    Shapes: input (*), target broadcastable to it; value (*).
    Raises: ValueError if beta is negative, or on shapes that do not broadcast.
    Kinks:  none in the gradient while beta > 0; its slope jumps at |d| = beta.
    Source: torch.nn.SmoothL1Loss; Girshick (2015), arXiv:1504.08083.
    """
    positive("beta", beta, or_zero=True)
    d = _residual(input, target)
    size, beta_ = abs(d), number(beta, d)
    inside = size < beta_
    width = beta_ if beta else number(1, d)  # never read where beta is 0
    value = np.where(inside, d / width * d / 2, size - beta_ / 2)
    slope = np.where(inside, d / width, sign(d))
    return Loss(value, {"input": slope, "target": -slope})


def _residual(input: FloatArray, target: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    floating(input=input, target=target, weight=weight)
    broadcastable("target", target, input.shape)
    same_shape(input=input, weight=weight)
    d = input - target
    if weight is not None:
        require(d.shape == input.shape, "target", f"of shape {target.shape}", "a shape that broadcasts to input's")
    return d


def _weighted(plain: Loss, weight: FloatArray | None, *, mean_by_weight: bool) -> Loss:
    if weight is None:
        return plain
    size = plain.value if plain.largest is None else plain.largest
    partials = {name: weight * partial for name, partial in plain.partials.items()} | {"weight": plain.value}
    weighted = Loss(weight * plain.value, partials, largest=np.maximum(abs(weight), 1) * np.maximum(plain.value, size))
    if not mean_by_weight:
        return weighted
    ones = np.broadcast_to(number(1, weight), weight.shape)
    return replace(weighted, denominator=weight, denominator_partials={"weight": ones})
