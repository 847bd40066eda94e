"""Losses of a yes or a no: binary cross entropy, of probabilities and of logits, soft margin, focal."""

from __future__ import annotations

import numpy as np

from .arithmetic import FloatArray, exp, expm1, log, log1p, number, sigmoid, sign, softplus, times
from .check import between, broadcastable_to, floating, require, same_shape
from .loss import Loss, loss


@loss
def binary_cross_entropy(input: FloatArray, target: FloatArray, *, weight: FloatArray | None = None) -> Loss:
    """Cross entropy between a Bernoulli target and predicted probabilities, its logarithms clamped at -100.

    value = -weight * (target * max(log input, -100) + (1 - target) * max(log(1 - input), -100))

    Shapes: input (*), target as input, weight broadcastable to it; value (*).
    Raises: ValueError if input is outside [0, 1], or on other shapes.
    Kinks:  where a logarithm is clamped, its derivative is 0.
    Source: torch.nn.BCELoss (the clamp: "BCELoss clamps its log function outputs to be greater than or equal
            to -100").
    """
    floating(input=input, target=target, weight=weight)
    same_shape(input=input, target=target)
    between("input", input, 0, 1)
    w = _weight(weight, input)
    p, q = input, 1 - input
    floor = number(-100, input)
    yes, no = np.maximum(log(p), floor), np.maximum(log1p(-p), floor)
    slope_yes = np.where(log(p) < floor, 0, 1 / np.where(p == 0, number(1, p), p))
    slope_no = np.where(log1p(-p) < floor, 0, 1 / np.where(q == 0, number(1, q), q))
    plain = -(target * yes + (1 - target) * no)
    return Loss(
        w * plain,
        {
            "input": w * ((1 - target) * slope_no - target * slope_yes),
            "target": w * (no - yes),
            **({} if weight is None else {"weight": plain}),
        },
        magnitude=abs(w) * (abs(target * yes) + abs((1 - target) * no)),
    )


@loss
def binary_cross_entropy_with_logits(
    input: FloatArray,
    target: FloatArray,
    *,
    weight: FloatArray | None = None,
    pos_weight: FloatArray | None = None,
) -> Loss:
    """Binary cross entropy of sigmoid(input), computed from the logit itself.

    value = weight * (pos_weight * target * softplus(-input) + (1 - target) * softplus(input))

    Shapes: input (*), target as input, weight and pos_weight broadcastable to it; value (*).
    Raises: ValueError on other shapes.
    Kinks:  none.
    Source: torch.nn.BCEWithLogitsLoss, with -log sigmoid(x) = softplus(-x), -log(1 - sigmoid(x)) = softplus(x).
    """
    floating(input=input, target=target, weight=weight, pos_weight=pos_weight)
    same_shape(input=input, target=target)
    w = _weight(weight, input)
    if pos_weight is not None:
        broadcastable_to("pos_weight", pos_weight, "input", input.shape)
    up = number(1, input) if pos_weight is None else pos_weight
    yes, no = times(target, softplus(-input)), times(1 - target, softplus(input))
    plain = up * yes + no
    return Loss(
        w * plain,
        {
            "input": w * ((1 - target) * sigmoid(input) - up * target * sigmoid(-input)),
            "target": w * (times(up - 1, softplus(-input)) - input),  # softplus(x) - softplus(-x) = x
            **({} if weight is None else {"weight": plain}),
            **({} if pos_weight is None else {"pos_weight": w * yes}),
        },
        magnitude=abs(w) * (abs(up * yes) + abs(no)),
    )


@loss
def soft_margin_loss(input: FloatArray, target: FloatArray) -> Loss:
    """The logistic loss of a score, for a target of -1 or 1.

    value = log(1 + exp(-target * input))

    Shapes: input (*), target broadcastable to it; value (*).
    Raises: ValueError if target does not broadcast to input.
    Kinks:  none.
    Source: torch.nn.SoftMarginLoss.
    """
    floating(input=input)
    require(target.dtype.kind != "b", "target", "boolean", "numbers")
    broadcastable_to("target", target, "input", input.shape)
    score = target * input
    fall = -sigmoid(-score)
    return Loss(softplus(-score), {"input": times(fall, target), "target": times(fall, input)})


@loss
def multilabel_soft_margin_loss(input: FloatArray, target: FloatArray, *, weight: FloatArray | None = None) -> Loss:
    """The mean over the classes of one binary cross entropy with logits per class.

    value = 1/C * sum_c weight[c] * (target[c] * softplus(-input[c]) + (1 - target[c]) * softplus(input[c]))

    Shapes: input (*, C), target as input, weight broadcastable to it (C); value (*).
    Raises: ValueError on other shapes.
    Kinks:  none.
    Source: torch.nn.MultiLabelSoftMarginLoss.
    """
    require(input.ndim > 0, "input", "of shape ()", "at least one axis, of the classes")
    classes = input.shape[-1]
    if target.dtype.kind in "iu":  # labels, as torch takes them
        target = target * number(1, input)
    each = binary_cross_entropy_with_logits.definition(input, target, weight=weight)
    terms = np.asarray(each.magnitude).sum(axis=-1)
    share = number(1, input) / number(classes, input)
    return Loss(
        each.value.sum(axis=-1) * share,
        {name: partial * share for name, partial in each.partials.items()},
        magnitude=terms * share,
        largest=terms,
    )


@loss(default="none")
def sigmoid_focal_loss(inputs: FloatArray, targets: FloatArray, *, alpha: float = 0.25, gamma: float = 2.0) -> Loss:
    """Binary cross entropy with logits, scaled down where the prediction is already good.

    miss  = targets * sigmoid(-inputs) + (1 - targets) * sigmoid(inputs)      (1 - p_t)
    value = a * miss**gamma * binary_cross_entropy_with_logits(inputs, targets)
    a     = alpha * targets + (1 - alpha) * (1 - targets), or 1 where alpha is negative

    Shapes: inputs (*), targets as inputs; value (*).
    Raises: ValueError if alpha is above 1 or gamma negative, or on other shapes.
    Kinks:  none.
    Source: torchvision.ops.sigmoid_focal_loss; Lin et al. (2017), arXiv:1708.02002.
    """
    require(alpha <= 1, "alpha", alpha, "[0, 1], or negative for none")
    require(gamma >= 0, "gamma", gamma, "0 or more")
    floating(inputs=inputs, targets=targets)
    same_shape(inputs=inputs, targets=targets)
    bce = binary_cross_entropy_with_logits.definition(inputs, targets)
    up, down = sigmoid(inputs), sigmoid(-inputs)
    lean = sign(inputs) * expm1(-abs(inputs)) / (1 + exp(-abs(inputs)))  # down - up, whose digits cancel at 0
    al = number(alpha, inputs)
    a, slope_a = (al * targets + (1 - al) * (1 - targets), 2 * al - 1) if alpha >= 0 else (number(1, inputs), 0)
    miss = targets * down + (1 - targets) * up
    focus = miss**gamma
    if gamma == 0:
        turn = 0 * miss
    else:
        nonzero = np.where(miss == 0, number(1, miss), miss)
        turn = np.where(miss == 0, number(float(gamma == 1), miss), gamma * nonzero ** (gamma - 1))
    inputs_terms = (a * focus * bce.partials["input"], a * (1 - 2 * targets) * times(turn * up * down, bce.value))
    targets_terms = (
        slope_a * times(focus, bce.value),
        a * times(focus, bce.partials["target"]),
        a * lean * times(turn, bce.value),
    )
    return Loss(
        a * focus * bce.value,
        {"inputs": sum(inputs_terms), "targets": sum(targets_terms, number(0, inputs))},
        sizes={"inputs": sum(map(abs, inputs_terms)), "targets": sum(map(abs, targets_terms))},
    )


def _weight(weight: FloatArray | None, input: FloatArray) -> FloatArray:
    if weight is None:
        return number(1, input)
    broadcastable_to("weight", weight, "input", input.shape)
    return weight
