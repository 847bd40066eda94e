"""What torch computes where it departs from the specification, each written as a definition is.

A departure takes the case's `Truth` and the arguments, and returns a `Loss`: the true one, with the terms that
torch adds and takes away again among its sizes, or with the values that torch gives instead. A case with a known
divergence is held to it as strictly as any other is held to the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from reference import arithmetic, margin, metric
from reference.accuracy import K, Truth, terms_of
from reference.arithmetic import FloatArray, exp, log, log1p, sigmoid, softplus
from reference.loss import Loss

Departure = Callable[..., Loss]

EPSILON = np.asarray(np.float64(np.float32(1e-12)))
"""The constant of that name in ATen's Loss.cpp, a float."""


def may_overflow(truth: Truth, **arguments: Any) -> Loss:
    """The true loss, by sums that may leave the format on the way: inf and NaN are possible, wrong numbers not."""
    loss = truth.definition(**arguments)
    return replace(loss, largest=_past(np.full_like(loss.value, np.inf)))


def _past(largest: FloatArray) -> FloatArray:
    """For infinity, which an argument may be, a number past the largest of every format: it may be met on the way."""
    return np.fmin(largest, np.finfo(largest.dtype).max)


# -- log-softmax ------------------------------------------------------------------------------------------------


def log_of_sum(truth: Truth, **arguments: Any) -> Loss:
    """log(1 + s) for log1p(s): every log-probability is off by a roundoff of 1, and exp(log p) sum(q) - q cancels.

    The exponentials are added in two lanes or more, each one after another, not in a tree: over many classes
    the rounding of that running sum, a random walk, outgrows the log2(n) of the budget.
    """
    loss = truth.definition(**arguments)
    weight = arguments.get("weight")
    most = abs(weight[np.isfinite(weight)]).max(initial=0) if weight is not None else 1.0
    sizes = dict(loss.sizes)
    for name, partial in loss.partials.items():
        if name == "target":
            sizes[name] = abs(partial) + (1 if weight is None else abs(weight))
        elif name == "weight":
            sizes[name] = abs(partial) + (abs(partial) > 0)
        else:
            mass = most * _probability(name, partial, arguments)
            running = 1 + np.sqrt(partial.shape[-1] / 2) / truth.depth
            sizes[name] = running * (loss.sizes.get(name, abs(partial)) + abs(partial) + mass)
    magnitude = abs(loss.value) if loss.magnitude is None else loss.magnitude
    return replace(loss, magnitude=magnitude + most * len(loss.chains or (1,)), sizes=sizes)


def _probability(name: str, partial: FloatArray, arguments: dict[str, Any]) -> FloatArray:
    """The target's distribution over the classes, as the partial has them; at least that, in an adaptive softmax."""
    target, smoothing = arguments["target"], arguments.get("label_smoothing", 0.0)
    classes = max(partial.shape[-1], 1)
    if name not in ("input", "logits"):
        return np.where(partial <= 0, 1.0, 0.0)
    if target.dtype.kind == "f":
        hard = abs(np.moveaxis(target, min(1, target.ndim - 1), -1))
    else:
        hard = (target[..., None] == np.arange(partial.shape[-1])).astype(partial.dtype)
    return (1 - smoothing) * hard + smoothing / classes


# -- losses that are traced ------------------------------------------------------------------------------------


def unweighted(truth: Truth, weight: FloatArray, **arguments: Any) -> Loss:
    """The loss without its weight."""
    return truth.definition(**arguments)


def behind_the_end(truth: Truth, input: FloatArray, target: FloatArray) -> Loss:
    """Every place from the first -1 on counts as one more label, class 0, beside which no other class stops being foreign."""
    loss, classes = truth.definition(input, target), max(input.shape[-1], 1)
    listed = np.cumsum(target < 0, axis=-1) == 0
    own = arithmetic.one_hot(np.where(listed, target, -1), classes, input).sum(-2) > 0
    behind = (~listed).sum(-1, keepdims=True) * np.ones_like(input)
    gap = np.where(own | (behind == 0), 0, 1 - input[..., :1] + input)
    on = behind * margin.active(gap) / classes
    slope = on.copy()
    slope[..., 0] -= on.sum(-1)
    magnitude = terms_of(loss) + (on * (1 + abs(input[..., :1]) + abs(input))).sum(-1)
    value = loss.value + (behind * margin.hinge(gap)).sum(-1) / classes
    return replace(loss, value=value, partials={"input": loss.partials["input"] + slope}, magnitude=magnitude, terms=classes**2)


# -- binary cross entropy ---------------------------------------------------------------------------------------


def bce_gradient(truth: Truth, input: FloatArray, target: FloatArray, weight: FloatArray | None = None) -> Loss:
    """(p - t) / max(p (1 - p), 1e-12) for the derivative, and in the target log(1 - p) - log p, not clamped."""
    loss = truth.definition(input, target, weight=weight)
    w = 1 if weight is None else weight
    slope = w * (input - target) / (np.maximum(input * (1 - input), truth.format.round(EPSILON)) + 0.0)  # no -0
    logs = w * (log1p(-input) - log(input))
    return replace(loss, partials={**loss.partials, "input": slope, "target": logs})


def bce_with_logits(truth: Truth, input: FloatArray, target: FloatArray, **weights: FloatArray | None) -> Loss:
    """(1 - t) x + (1 + (pos_weight - 1) t) softplus(-x): the first term cancels the second where x is negative."""
    loss = truth.definition(input, target, **weights)
    w, up = (np.asarray(1.0) if v is None else v for v in (weights.get("weight"), weights.get("pos_weight")))
    factor = 1 + abs(up - 1) * abs(target)
    magnitude = abs(w) * (abs((1 - target) * input) + factor * softplus(-input))
    sizes = {
        "input": abs(w) * (factor * sigmoid(input) + abs(up * target)),
        "target": abs(w) * (abs(input) + abs(up - 1) * softplus(-input)),
    }
    return replace(loss, magnitude=magnitude, sizes=sizes, largest=_past(np.fmax(magnitude, abs(input) * abs(w))))


def bce_with_logits_by_parts(truth: Truth, input: FloatArray, target: FloatArray, **weights: FloatArray | None) -> Loss:
    """Its derivative in the logit as (1 - t) - (1 + (pos_weight - 1) t) sigmoid(-x), term by term: likewise.

    And softplus(-x) as log(exp(-m) + exp(-x - m)) + m with m = max(-x, 0): off by a roundoff of 1 itself.
    """
    loss = bce_with_logits(truth, input, target, **weights)
    w, up = (np.asarray(1.0) if v is None else v for v in (weights.get("weight"), weights.get("pos_weight")))
    size = abs(w) * (abs(1 - target) + (1 + abs(up - 1) * abs(target)) * sigmoid(-input))
    magnitude = terms_of(loss) + abs(w) * (1 + abs(up - 1) * abs(target))
    return replace(loss, magnitude=magnitude, sizes={"input": size, "target": loss.sizes["target"] + abs(w * (up - 1))})


def two_logs(truth: Truth, input: FloatArray, target: FloatArray, weight: FloatArray | None = None) -> Loss:
    """The derivative in the target as log sigmoid(-x) - log sigmoid(x), for -x."""
    loss = truth.definition(input, target, weight=weight)
    size = (1 if weight is None else abs(weight)) * (softplus(input) + softplus(-input)) / max(input.shape[-1], 1)
    return replace(loss, sizes={**loss.sizes, "target": size})


def focal(truth: Truth, inputs: FloatArray, targets: FloatArray, *, alpha: float, gamma: float) -> Loss:
    """The focus as (1 - p_t)**gamma with p_t = p t + (1 - p)(1 - t): off by roundoffs of 1, however small it is.

    Beside it, binary cross entropy as (1 - t) x + softplus(-x), p (1 - p) for the derivative of the sigmoid, and
    differences of terms in t and 1 - t, alpha and 1 - alpha, p and 1 - p: the sizes are those of the terms.
    """
    loss = truth.definition(inputs, targets, alpha=alpha, gamma=gamma)
    a = alpha * targets + (1 - alpha) * (1 - targets) if alpha >= 0 else np.ones_like(inputs)
    up, down = sigmoid(inputs), sigmoid(-inputs)
    with np.errstate(all="ignore"):
        bce = targets * softplus(-inputs) + (1 - targets) * softplus(inputs)
        terms = abs((1 - targets) * inputs) + softplus(-inputs)
        miss = targets * down + (1 - targets) * up + K * truth.format.u
        focus = miss**gamma
        turn = gamma * miss ** (gamma - 1) if gamma else 0 * miss
        bend = gamma * (gamma - 1) * miss ** (gamma - 2) if gamma > 1 else 0 * miss
        magnitude = a * (focus * terms + turn * bce)
        to_inputs = focus * (up + targets) + turn * abs(up - targets)
        to_inputs = to_inputs + up * ((turn + bend * down) * bce + turn * down * terms)
        to_targets = (focus + turn) * abs(inputs) + (turn + bend) * bce + turn * terms
        sizes = {"inputs": a * to_inputs, "targets": a * to_targets + (alpha >= 0) * (focus * terms + turn * bce)}
        largest = np.fmax(np.fmax(terms, abs(inputs)), a * turn * bce)  # at an infinite logit NaN is possible
    return replace(loss, magnitude=magnitude, sizes=sizes, largest=_past(largest))


def naive_soft_margin(truth: Truth, input: FloatArray, target: FloatArray) -> Loss:
    """log1p(z), and its derivative -y z / (1 + z), with z = exp(-y x): inf, and inf / inf."""
    loss = truth.definition(input, target)
    z = truth.format.round(exp(-target * input))
    lost = np.isinf(z)
    partials = {n: np.where(lost, np.nan, p) for n, p in loss.partials.items()}
    return replace(loss, value=np.where(lost, np.inf, loss.value), partials=partials)


def soft_margin_early(truth: Truth, input: FloatArray, target: FloatArray) -> Loss:
    """log1p(exp(-y x)) with a log1p that is inf from 1e38 on, in float64 from 1e307."""
    loss = truth.definition(input, target)
    end = np.log(1e307 if truth.format.name == "float64" else 1e38)
    return replace(loss, value=np.where(-target * input > end, np.inf, loss.value))


# -- sign, clamp and comparison ---------------------------------------------------------------------------------


def sign_of_nan(truth: Truth, **arguments: Any) -> Loss:
    """sign(NaN) = 0: a gradient of 0 where the residual is NaN."""
    loss = truth.definition(**arguments)
    unknown = np.isnan(arguments["input"] - arguments["target"])
    weight = arguments.get("weight")
    zero = 0.0 if weight is None else weight * 0.0
    partials = {n: p if n == "weight" else np.where(unknown, zero, p) for n, p in loss.partials.items()}
    return replace(loss, partials=partials)


def _nan_is_zero(function: Callable[[FloatArray], FloatArray]) -> Callable[[FloatArray], FloatArray]:
    return lambda x: np.where(np.isnan(x), 0.0, function(x))


def clamp_min(at_tie: float) -> Departure:
    """max(0, gap) as clamp_min(gap, 0), whose derivative is `at_tie` at 0, and 0 at NaN; and sign(NaN) = 0."""

    def active(gap: FloatArray) -> FloatArray:
        return np.where(gap > 0, 1.0, np.where(gap == 0, at_tie, 0.0)).astype(gap.dtype)

    def departure(truth: Truth, **arguments: Any) -> Loss:
        with (
            patch.object(margin, "active", active),
            patch.object(metric, "active", active),
            patch.object(metric, "sign", _nan_is_zero(arithmetic.sign)),
        ):
            return truth.definition(**arguments)

    return departure


def if_greater(truth: Truth, **arguments: Any) -> Loss:
    """A loop over the classes with `if z > 0`: NaN is not greater, and what is not greater is not looked at."""
    with (
        patch.object(margin, "active", _nan_is_zero(margin.active)),
        patch.object(margin, "hinge", _nan_is_zero(margin.hinge)),
    ):
        loss = truth.definition(**arguments)
        if arguments.get("weight") is None:
            return loss
        plain = truth.definition(**{**arguments, "weight": None})
    value = np.where(plain.value == 0, 0.0, loss.value)
    slope = np.where(plain.partials["input"] == 0, 0.0, loss.partials["input"])
    return replace(loss, value=value, partials={**loss.partials, "input": slope})


def margin_in_format(truth: Truth, input: FloatArray, target: Any, **options: Any) -> Loss:
    """The gap as (margin - input[target]) + input[c], each step rounded to the format: which side of 0 it is on."""
    classes = np.arange(input.shape[-1])
    if target.ndim == input.ndim:  # a list of labels, up to the first -1
        listed = np.cumsum(target < 0, axis=-1) == 0
        label = np.where(listed, target, 0)
        own = ((target[..., None] == classes) & listed[..., None]).any(-2)
        counts, scores = listed[..., None] & ~own[..., None, :], input[..., None, :]
    else:
        label, scores = target[..., None], input
        counts = label != classes
    chosen = np.take_along_axis(input, label, -1)
    chosen = chosen[..., None] if target.ndim == input.ndim else chosen
    with np.errstate(all="ignore"):
        steps = truth.format.round(truth.format.round(options.get("margin", 1.0) - chosen) + scores)
    gap = np.where(counts, steps, 0.0)
    with (
        patch.object(margin, "active", lambda _, of=margin.active: of(gap)),
        patch.object(margin, "hinge", lambda _, of=margin.hinge: of(gap)),
    ):
        return truth.definition(input=input, target=target, **options)


def alone(truth: Truth, *arguments: Any, **named: Any) -> Loss:
    """The mean over one row as its loss without its weight, or 0 if it is ignored: 0/0 and inf/inf are not formed."""
    loss = truth.definition(*arguments, **named)
    if loss.denominator is None or named.get("label_smoothing"):
        return loss
    weight = named.get("weight")
    plain = loss if weight is None else truth.definition(*arguments, **{**named, "weight": np.ones_like(weight)})
    return replace(loss, value=plain.value, magnitude=plain.magnitude, denominator=np.ones_like(loss.denominator))


# -- distances --------------------------------------------------------------------------------------------------


def cosine_with_eps(at_tie: float) -> Departure:
    """The cosine as <x, y> / sqrt((|x|^2 + 1e-12) (|y|^2 + 1e-12)), and the hinge as clamp_min."""

    def departure(
        truth: Truth, input1: FloatArray, input2: FloatArray, target: FloatArray, margin: float = 0.0
    ) -> Loss:
        eps = truth.format.round(EPSILON)
        exact = truth.format.round if truth.regime == "kinks" else np.asarray  # where a tie hangs on the rounding
        with np.errstate(all="ignore"):
            square1, square2 = exact((input1**2).sum(-1) + eps), exact((input2**2).sum(-1) + eps)
            root = np.sqrt(square1) * np.sqrt(square2)
            products = input1 * input2
            products = np.where(abs(products) < truth.format.tiny, truth.format.round(products), products)  # all may be 0
            terms = products / root[..., None]
            cos = terms.sum(-1)
            gap = cos - margin
            on = np.where(gap > 0, 1.0, np.where(gap == 0, at_tie, 0.0))
            slope = np.where(target > 0, -1.0, on)[..., None]
            across1, along1 = slope * input2 / root[..., None], slope * cos[..., None] * input1 / square1[..., None]
            across2, along2 = slope * input1 / root[..., None], slope * cos[..., None] * input2 / square2[..., None]
            return Loss(
                np.where(target > 0, 1 - cos, np.maximum(gap, 0)),
                {"input1": across1 - along1, "input2": across2 - along2},
                magnitude=np.where(target > 0, 1.0, abs(margin)) + abs(terms).sum(-1),
                sizes={"input1": abs(across1) + abs(along1), "input2": abs(across2) + abs(along2)},
            )

    return departure


# -- CTC --------------------------------------------------------------------------------------------------------


def ctc_through_softmax(truth: Truth, log_probs: FloatArray, *rest: Any, **options: Any) -> Loss:
    """exp(log_probs) - posterior for -posterior: the derivative as it would be before a log_softmax."""
    loss = truth.definition(log_probs, *rest, **options)
    partial = loss.partials["log_probs"]
    batched = log_probs if log_probs.ndim == 3 else log_probs[:, None]
    lengths = np.reshape(options["input_lengths"], (-1, 1, 1))
    frames = np.moveaxis(batched, 0, -1)  # (N, C, T), as the partial
    taken = np.arange(frames.shape[-1]) < lengths
    lost = np.reshape((loss.value == 0) & bool(options.get("zero_infinity")), (-1, 1, 1)) & (
        _infinite(truth, log_probs, rest, options)
    )
    shifted = np.where(taken & ~lost, exp(frames) + partial.reshape(frames.shape), partial.reshape(frames.shape))
    shifted = np.where(taken & ~lost & np.isneginf(frames), np.nan, shifted)  # exp(lp) - exp(g - lp) with lp = -inf
    size = {"log_probs": loss.sizes["log_probs"] + np.where(taken, exp(frames), 0).reshape(partial.shape)}
    return replace(loss, partials={"log_probs": shifted.reshape(partial.shape)}, sizes=size)


def _infinite(truth: Truth, log_probs: FloatArray, rest: tuple[Any, ...], options: dict[str, Any]) -> FloatArray:
    plain = truth.definition(log_probs, *rest, **{**options, "zero_infinity": False})
    return np.isinf(plain.value).reshape(-1, 1, 1)


# -- products with an infinite logarithm ------------------------------------------------------------------------


def kl_products(truth: Truth, input: FloatArray, target: FloatArray, log_target: bool = False) -> Loss:
    """Target * (log target - input) multiplied out as it stands: 0 * inf is NaN."""
    loss = truth.definition(input, target, log_target=log_target)
    with np.errstate(all="ignore"):
        p = exp(target) if log_target else target
        if not log_target:
            entropy = np.where(target == 0, 0.0, target * log(target))  # xlogy
            undone = (target == 0) | np.isinf(target)  # target / target, by xlogy's derivative
            slope = np.where(undone, np.nan, log(target) + 1 - input)
            return replace(loss, value=entropy - p * input, partials={"input": loss.partials["input"], "target": slope})
        value, slope = p * (target - input), p * (target - input) + p
    return replace(loss, value=value, partials={"input": loss.partials["input"], "target": slope})


def poisson_products(
    truth: Truth, input: FloatArray, target: FloatArray, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Loss:
    """Target * log(rate) as it stands; Stirling's term masked after it is computed, so that 0 * inf is its gradient."""
    loss = truth.definition(input, target, log_input=log_input, full=full, eps=eps)
    with np.errstate(all="ignore"):
        log_rate = input if log_input else log(input + eps)
        lost = (target == 0) & np.isinf(log_rate)
        value = np.where(lost, np.nan, loss.value)
        masked = (target <= 0) if full else np.zeros(target.shape, dtype=bool)
        slope = np.where(masked, np.nan, loss.partials["target"])
    return replace(loss, value=value, partials={**loss.partials, "target": slope})


def eps_rounds_away(truth: Truth, input: FloatArray, target: FloatArray, **options: Any) -> Loss:
    """log(input + eps) where the sum rounds to 0: float16 has no 1e-8."""
    loss = truth.definition(input, target, **options)
    lost = truth.format.round(input + options["eps"]) == 0
    none = target == 0
    slope = np.where(lost, np.where(none, np.nan, -np.inf), loss.partials["input"])
    partials = {"input": slope, "target": np.where(lost, np.inf, loss.partials["target"])}
    return replace(loss, value=np.where(lost, np.where(none, np.nan, np.inf), loss.value), partials=partials)


def product_with_an_infinite_logit(truth: Truth, input: FloatArray, target: FloatArray, **weights: FloatArray) -> Loss:
    """(1 - t) x as it stands: 0 * inf is NaN."""
    loss = truth.definition(input, target, **weights)
    with np.errstate(invalid="ignore"):
        return replace(loss, value=np.where(np.isnan((1 - target) * input), np.nan, loss.value))


def gaussian_quotient(truth: Truth, **arguments: Any) -> Loss:
    """(d / v)**2 in the derivative in the variance, before the half: it may leave the format alone."""
    loss = truth.definition(**arguments)
    twice = 2 * loss.sizes.get("var", abs(loss.partials["var"]))
    return replace(loss, largest=twice if loss.largest is None else np.maximum(loss.largest, twice))
