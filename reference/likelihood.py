"""Losses that are negative log-likelihoods, or divergences, of a distribution: Poisson, Gaussian, KL."""

from __future__ import annotations

import numpy as np

from .arithmetic import FloatArray, exp, log, number, times, two_pi
from .check import broadcastable, floating, refuse, require
from .loss import REDUCTIONS, Loss, loss


@loss
def poisson_nll_loss(
    input: FloatArray, target: FloatArray, *, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Loss:
    """Negative log-likelihood of a count, without the constant unless `full`.

    value = exp(input) - target * input              with log_input: input is the log of the rate
            input - target * log(input + eps)        otherwise: input is the rate
    full adds Stirling's approximation of log(target!), where target > 1:
            target * log(target) - target + log(2 pi target) / 2

    Shapes: input (*), target broadcastable to it; value (*).
    Raises: ValueError if eps is negative, or on shapes that do not broadcast.
    Kinks:  target = 1 with full, where Stirling's term starts: below and at 1 it is 0, and so is its gradient.
    Source: torch.nn.PoissonNLLLoss.
    """
    floating(input=input, target=target)
    require(eps >= 0, "eps", repr(eps), "0 or more")
    broadcastable("target", target, input.shape)
    if log_input:
        rate, log_rate, slope = exp(input), input, exp(input) - target
    else:
        rate, log_rate = input, log(input + number(eps, input))
        slope = 1 - target / (input + number(eps, input))
    expected = times(target, log_rate)
    value, slope_target, magnitude = rate - expected, -log_rate, abs(rate) + abs(expected)
    if full:
        many = ~(target <= 1)  # NaN too
        t = np.where(many, target, number(1, target))
        value = value + np.where(many, t * log(t) - t + log(two_pi(t) * t) / 2, 0)
        slope_target = slope_target + np.where(many, log(t) + 1 / (2 * t), 0)
        magnitude = magnitude + np.where(many, t * log(t) + t + log(two_pi(t) * t) / 2, 0)
    shape = np.broadcast_shapes(input.shape, target.shape)
    partials = {"input": np.broadcast_to(slope, shape), "target": np.broadcast_to(slope_target, shape)}
    sizes = {
        "input": rate + abs(target) if log_input else 1 + abs(1 - slope),
        "target": abs(log_rate) + (0 if log_input else 1) + abs(slope_target + log_rate),  # 1: log of a rounded sum
    }
    return Loss(value, partials, magnitude=magnitude, sizes={n: np.broadcast_to(s, shape) for n, s in sizes.items()})


@loss
def gaussian_nll_loss(
    input: FloatArray, target: FloatArray, var: FloatArray, *, full: bool = False, eps: float = 1e-6
) -> Loss:
    """Negative log-likelihood of a normal distribution with mean `input` and variance `var`.

    v     = max(var, eps), a clamp that differentiation does not see
    value = (log v + (input - target)**2 / v) / 2, and with full log(2 pi) / 2 more

    Shapes: input (*), target broadcastable to it; var as input, or with its last axis missing or one axis 1,
            or one number; value (*).
    Raises: ValueError if var is negative or of another shape, or eps is negative.
    Kinks:  none: by torch's documentation "the clamping of var is ignored with respect to autograd".
    Source: torch.nn.GaussianNLLLoss; Nix and Weigend (1994), doi:10.1109/ICNN.1994.374138.
    """
    floating(input=input, target=target, var=var)
    broadcastable("target", target, input.shape)
    require(eps >= 0, "eps", repr(eps), "0 or more")
    require(not np.any(var < 0), "var", "negative", "0 or more")
    v = _variance(input, var)
    v = np.where(v < eps, number(eps, v), v)
    d = input - target
    value = (log(v) + d**2 / v) / 2
    magnitude = (abs(log(v)) + d**2 / v) / 2
    if full:
        value, magnitude = value + log(two_pi(v)) / 2, magnitude + log(two_pi(v)) / 2
    slope_var = np.broadcast_to((1 / v - (d / v) ** 2) / 2, value.shape)
    partials = {"input": d / v, "target": -d / v, "var": slope_var}
    return Loss(
        value,
        partials,
        aligned={"var": v.shape},
        magnitude=magnitude,
        sizes={"var": np.broadcast_to((1 / v + (d / v) ** 2) / 2, value.shape)},
        largest=np.maximum(d**2, 2 * magnitude),
    )


def _variance(input: FloatArray, var: FloatArray) -> FloatArray:
    """The variances, broadcastable against the input: with the last axis back, where it is missing."""
    if var.shape in (input.shape, ()):
        return var
    if input.ndim and var.shape == input.shape[:-1]:
        return var[..., None]
    differ = [(v, n) for v, n in zip(var.shape, input.shape, strict=False) if v != n]
    if var.ndim != input.ndim or [v for v, _ in differ] != [1]:
        refuse("var", f"of shape {var.shape}", f"input's shape {input.shape}, or with one axis missing at the end or 1, or ()")
    return var


@loss(reductions=(*REDUCTIONS, "batchmean"))
def kl_div(input: FloatArray, target: FloatArray, *, log_target: bool = False) -> Loss:
    """One term of the Kullback-Leibler divergence of the predicted distribution from the target.

    value = target * (log target - input)            input holds log-probabilities; 0 log 0 = 0
            exp(target) * (target - input)           with log_target: so does target

    Shapes: input (*), target broadcastable to it; value (*).
    Mean:   over all elements, which is not the divergence; `batchmean` divides by the first axis, and is.
    Raises: ValueError on shapes that do not broadcast.
    Kinks:  target = 0, where the derivative in target is -inf.
    Source: torch.nn.KLDivLoss; Kullback and Leibler (1951), doi:10.1214/aoms/1177729694.
    """
    floating(input=input, target=target)
    broadcastable("target", target, input.shape)
    p, log_p = (exp(target), target) if log_target else (target, log(target))
    gap = log_p - input
    entropy, cross = times(p, log_p), times(p, input)
    value = entropy - cross
    partials = {
        "input": np.broadcast_to(-p, value.shape),
        "target": times(p, gap + 1) if log_target else gap + 1,
    }
    return Loss(value, partials, magnitude=abs(entropy) + abs(cross))
