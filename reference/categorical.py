"""Losses of one class out of C: NLL, cross entropy, and cross entropy of a linear layer.

Both kinds of target are one: a distribution q over the classes. A class index is a one-hot q, label smoothing
mixes it with the uniform distribution, and an ignored row has no q at all, and no part in the mean.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arithmetic import FloatArray, IndexArray, exp, expm1, log_softmax, number, one_hot, sum_of_others, times
from .check import between, dimensions, floating, indices, integers, refuse, require, shape
from .loss import Chain, Loss, loss, replace


@loss
def nll_loss(
    input: FloatArray, target: IndexArray, *, weight: FloatArray | None = None, ignore_index: int = -100
) -> Loss:
    """Minus the log-probability of the target's class, times the weight of that class.

    value = -weight[target] * input[target], and 0 where target is ignore_index

    Shapes: input (C), (N, C) or (N, C, d1, ...), target () or (N) or (N, d1, ...), weight (C); value as target.
    Mean:   the sum divided by the sum of weight[target] over the rows not ignored.
    Raises: ValueError if target is no class and not ignore_index, or on other dtypes and shapes.
    Kinks:  none.
    Source: torch.nn.NLLLoss.
    """
    floating(input=input, weight=weight)
    x, axis = _classes_last(input)
    w = _class_weight(weight, x)
    integers("target", target)
    q, _ = _target(target, x, axis, ignore_index)
    mass, chosen = (np.where(q == 0, number(0, x), q * factor) for factor in (w, x))
    partials = {"input": -mass, **({} if weight is None else {"weight": -chosen})}
    value = -np.where(q == 0, number(0, x), mass * x).sum(-1)
    found = Loss(value, partials, {"input": axis}, ignored=q == 0)
    return _averaged(found, q, w, weight)


@loss
def cross_entropy(
    input: FloatArray,
    target: FloatArray,
    *,
    weight: FloatArray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Loss:
    """Cross entropy between the target's distribution q and softmax(input).

    value = -sum_c weight[c] * q[c] * log_softmax(input)[c]
    q     = (1 - label_smoothing) * (one-hot of target, or target itself) + label_smoothing / C
    An ignored row (class indices only) is 0.

    Shapes: input (C), (N, C) or (N, C, d1, ...), weight (C); target as input if probabilities, else without
            the class axis; value as input without the class axis.
    Mean:   class indices: divided by the sum of weight[target] over the rows not ignored; probabilities:
            divided by the number of rows.
    Raises: ValueError if a class index is no class and not ignore_index, label_smoothing is outside [0, 1], or
            on other shapes.
    Kinks:  none.
    Source: torch.nn.CrossEntropyLoss; Szegedy et al. (2015), arXiv:1512.00567, for label smoothing.
    """
    between("label_smoothing", label_smoothing, 0, 1)
    floating(input=input, weight=weight)
    x, axis = _classes_last(input)
    w = _class_weight(weight, x)
    hard, is_index = _target(target, x, axis, ignore_index)
    counted = hard.sum(-1, keepdims=True) if is_index else number(1, x)
    eps = number(label_smoothing, x)
    q = (1 - eps) * hard + (counted * eps / max(x.shape[-1], 1) if label_smoothing else 0)

    log_p = log_softmax(x)
    terms = np.where(q == 0, number(0, x), q * log_p)  # a class of no probability, and an ignored row: 0 log 0
    mass = np.where(q == 0, number(0, x), w * q)
    up, down = exp(log_p) * sum_of_others(mass), times(mass, expm1(log_p))
    weighted = np.where(q == 0, number(0, x), w * terms)
    found = Loss(
        -weighted.sum(-1),
        {"input": up + down, **({} if weight is None else {"weight": -terms})},
        {"input": axis},
        magnitude=abs(weighted).sum(-1),
        sizes={"input": abs(up) + abs(down)},
    )
    if is_index:
        return _averaged(replace(found, ignored=counted[..., 0] == 0), hard, w, weight)
    slope = -w * log_p * (1 - eps)
    return replace(found, partials={**found.partials, "target": slope}, last={"input": axis, "target": axis})


@loss
def linear_cross_entropy(
    input: FloatArray,
    linear_weight: FloatArray,
    target: FloatArray,
    *,
    linear_bias: FloatArray | None = None,
    weight: FloatArray | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Loss:
    """Cross entropy of the logits of a linear layer.

    value = cross_entropy(input @ linear_weight.T + linear_bias, target, ...)

    Shapes: input (F) or (N, F), linear_weight (C, F) or (C, d1, ..., F), linear_bias as linear_weight without
            its last axis, weight (C); target as for cross_entropy; value as there.
    Mean:   as cross_entropy.
    Raises: ValueError as cross_entropy, and if ignore_index is given with probabilities.
    Kinks:  none.
    Source: torch.nn.LinearCrossEntropyLoss.
    """
    floating(input=input, linear_weight=linear_weight, linear_bias=linear_bias)
    dimensions("input", input, (1, 2))
    require(linear_weight.ndim >= 2, "linear_weight", f"of shape {linear_weight.shape}", "at least 2 axes")
    wanted = (*linear_weight.shape[:-1], input.shape[-1])
    shape("linear_weight", linear_weight, wanted, "(the features of input last)")
    if linear_bias is not None:
        shape("linear_bias", linear_bias, linear_weight.shape[:-1], "(linear_weight without its features)")
    if linear_weight.ndim > 2:
        dimensions("input", input, (2,))
    logits = affine(input, linear_weight, linear_bias)
    if ignore_index is not None and target.shape == logits.shape:
        refuse("ignore_index", ignore_index, "None, where target holds probabilities")
    inner = cross_entropy.definition(
        logits,
        target,
        weight=weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )

    def pull(gradient: FloatArray, f: Callable[[FloatArray], FloatArray]) -> dict[str, FloatArray]:
        rows = np.atleast_2d(f(input))
        grown = gradient.reshape(rows.shape[0], *linear_weight.shape[:-1])
        back = np.tensordot(grown, f(linear_weight), axes=linear_weight.ndim - 1)
        found = {
            "input": back.reshape(input.shape),
            "linear_weight": np.moveaxis(np.tensordot(rows, grown, axes=(0, 0)), 0, -1),
        }
        return found | ({} if linear_bias is None else {"linear_bias": grown.sum(0)})

    partials = {"logits" if name == "input" else name: partial for name, partial in inner.partials.items()}
    last = {"logits" if name == "input" else name: axis for name, axis in inner.last.items()}
    size = affine(abs(input), abs(linear_weight), None if linear_bias is None else abs(linear_bias))
    (x, axis), each = _classes_last(logits), _classes_last(size)[0]  # the terms of a logit, and with the largest those of log p
    each = np.where(each < np.inf, each, number(0, x))  # of an infinite logit nothing is rounded
    largest = each.max(-1, keepdims=True, initial=0)
    hard, _ = _target(target, x, axis, -100 if ignore_index is None else ignore_index)
    factors = {"weight": hard + number(label_smoothing, x), "target": abs(_class_weight(weight, x))}
    terms = {name: f * (each + largest) for name, f in factors.items() if name in partials and x.size}
    sizes = {"logits": inner.sizes["input"], **terms}
    return replace(inner, partials=partials, last=last, sizes=sizes, chains=(Chain("logits", pull, size),))


def affine(x: FloatArray, weight: FloatArray, bias: FloatArray | None) -> FloatArray:
    """The logits of a linear layer, x @ weight.T + bias."""
    product = np.tensordot(x, weight, axes=(-1, -1))
    return product if bias is None else product + bias


def _classes_last(input: FloatArray) -> tuple[FloatArray, int]:
    """The input with its class axis moved last, and which axis that was."""
    require(input.ndim > 0, "input", "of shape ()", "(C), (N, C) or (N, C, d1, ...)")
    axis = min(1, input.ndim - 1)
    return np.moveaxis(input, axis, -1), axis


def _class_weight(weight: FloatArray | None, x: FloatArray) -> FloatArray:
    if weight is None:
        return np.broadcast_to(number(1, x), x.shape[-1:])
    shape("weight", weight, x.shape[-1:], "(one per class)")
    return weight


def _target(target: FloatArray | IndexArray, x: FloatArray, axis: int, ignore_index: int) -> tuple[FloatArray, bool]:
    """The target as distributions, classes last, 0 throughout where ignored; and whether it held indices."""
    if target.dtype.kind in "fO":
        own = (*x.shape[:axis], x.shape[-1], *x.shape[axis:-1])
        shape("target", target, own, "(that of input: probabilities), or class indices")
        return np.moveaxis(target, axis, -1), False
    shape("target", target, x.shape[:-1], "(that of input without the class axis)")
    indices("target", target, x.shape[-1], also=ignore_index)
    index = np.where(target == ignore_index, -1, target.astype(np.int64))
    return one_hot(index, x.shape[-1], x), True


def _averaged(found: Loss, hard: FloatArray, w: FloatArray, weight: FloatArray | None) -> Loss:
    """`found`, its mean weighted by the weight of each row's own class."""
    partials = {} if weight is None else {"weight": hard}
    chosen = np.where(hard == 0, number(0, hard), w)
    return replace(found, denominator=chosen.sum(-1), denominator_partials=partials)
