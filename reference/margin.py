"""Hinge losses: a score is to beat a margin. Every hinge is max(0, z), with gradient 0 at z = 0."""

from __future__ import annotations

import numpy as np

from .arithmetic import FloatArray, IndexArray, number, one_hot, times
from .check import broadcastable, choice, dimensions, floating, indices, refuse, shape
from .loss import Loss, loss


@loss
def hinge_embedding_loss(input: FloatArray, target: FloatArray, *, margin: float = 1.0) -> Loss:
    """A distance, to be small for similar pairs and beyond `margin` for dissimilar ones.

    value = input                    where target = 1
            max(0, margin - input)   where target = -1

    Shapes: input (*), target broadcastable to it; value (*).
    Raises: ValueError if a target is neither 1 nor -1, or on shapes that do not broadcast.
    Kinks:  input = margin where target = -1; the gradient there is 0.
    Source: torch.nn.HingeEmbeddingLoss.
    """
    floating(input=input)
    broadcastable("target", target, input.shape)
    similar = _signs(target) > 0
    gap = number(margin, input) - input
    value = np.where(similar, input, hinge(gap))
    slope = np.where(similar, number(1, input), -active(gap))
    return Loss(value, {"input": slope}, magnitude=abs(input) + np.where(similar, 0, abs(margin)))


@loss
def margin_ranking_loss(input1: FloatArray, input2: FloatArray, target: FloatArray, *, margin: float = 0.0) -> Loss:
    """Input1 is to rank above input2 by `margin` where target is 1, below it where -1.

    value = max(0, margin - target * (input1 - input2))

    Shapes: input1, input2 and target (*), broadcastable to one another with equally many axes; value (*).
    Raises: ValueError on other shapes. A target of another size scales the gap; of 0, it asks for no order.
    Kinks:  margin = target * (input1 - input2); the gradient there is 0.
    Source: torch.nn.MarginRankingLoss.
    """
    floating(input1=input1, input2=input2)
    dimensions("input2", input2, (input1.ndim,))
    dimensions("target", target, (input1.ndim,))
    broadcastable("input2", input2, input1.shape)
    broadcastable("target", target, np.broadcast_shapes(input1.shape, input2.shape))
    y = target * number(1, input1)
    lead = input1 - input2
    gap = number(margin, input1) - y * lead
    on = active(gap)
    partials = {"input1": -on * y, "input2": on * y, "target": times(-on, lead)}
    return Loss(hinge(gap), partials, magnitude=on * (abs(y * lead) + abs(margin)))


@loss
def multi_margin_loss(
    input: FloatArray,
    target: IndexArray,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: FloatArray | None = None,
) -> Loss:
    """The score of the target's class is to beat every other class by `margin`.

    value = weight[target] / C * sum_{c != target} max(0, margin - input[target] + input[c])**p

    Shapes: input (C) or (N, C), target () or (N), weight (C); value as target.
    Mean:   over the rows, whatever their weights.
    Raises: ValueError if p is neither 1 nor 2, target is no class, or on other shapes.
    Kinks:  p = 1: margin = input[target] - input[c]; the gradient there is 0.
    Source: torch.nn.MultiMarginLoss; Crammer and Singer (2001).
    """
    choice("p", p, (1, 2))
    floating(input=input, weight=weight)
    dimensions("input", input, (1, 2))
    classes = input.shape[-1]
    shape("target", target, input.shape[:-1], "(that of input without the class axis)")
    indices("target", target, classes)
    if weight is not None:
        shape("weight", weight, (classes,), "(one per class)")
    own = one_hot(target, classes, input)
    chosen = np.where(own == 1, input, number(0, input)).sum(-1, keepdims=True)
    gap = np.where(own == 1, number(0, input), number(margin, input) - chosen + input)
    w = own if weight is None else np.where(own == 1, weight, number(0, input))
    scale = w.sum(-1, keepdims=True) / number(max(classes, 1), input)
    slope = active(gap) if p == 1 else 2 * hinge(gap)
    slope = scale * np.where(own == 1, -slope.sum(-1, keepdims=True), slope)
    each = np.asarray((hinge(gap) ** p).sum(-1))
    size = times(active(gap), abs(number(margin, input)) + abs(chosen) + abs(input))
    return Loss(
        scale[..., 0] * each,
        {
            "input": slope,
            **({} if weight is None else {"weight": own * each[..., None] / number(max(classes, 1), input)}),
        },
        magnitude=abs(scale[..., 0]) * (size if p == 1 else 2 * hinge(gap) * size).sum(-1),
    )


@loss
def multilabel_margin_loss(input: FloatArray, target: IndexArray) -> Loss:
    """The score of every target class is to beat that of every other class by 1.

    value = 1/C * sum_j sum_{c not a target} max(0, 1 - input[target[j]] + input[c]),  j up to the first -1

    Shapes: input (C) or (N, C), target as input, the classes of each row first and then -1; value () or (N).
    Raises: ValueError if target is neither a class nor -1, or of another shape than input.
    Kinks:  1 = input[target[j]] - input[c]; the gradient there is 0.
    Source: torch.nn.MultiLabelMarginLoss.
    """
    floating(input=input)
    dimensions("input", input, (1, 2))
    shape("target", target, input.shape, "(that of input)")
    classes = input.shape[-1]
    indices("target", target, classes, also=-1)
    listed = np.cumsum(target < 0, axis=-1) == 0
    own = one_hot(np.where(listed, target, -1), classes, input)  # (..., j, c): the j-th label is c
    foreign = (own.sum(-2) == 0)[..., None, :] & listed[..., None]
    chosen = np.take_along_axis(input, np.where(listed, target, 0), -1)[..., None]
    gap = np.where(foreign, number(1, input) - chosen + input[..., None, :], number(0, input))
    on = active(gap)
    slope = on.sum(-2) - (own * on.sum(-1, keepdims=True)).sum(-2)
    share = number(1, input) / number(max(classes, 1), input)
    magnitude = (on * (1 + abs(chosen) + abs(input[..., None, :]))).sum((-1, -2)) * share
    pairs = max(int(foreign.sum((-1, -2)).max(initial=0)), classes)
    return Loss(hinge(gap).sum((-1, -2)) * share, {"input": slope * share}, magnitude=magnitude, terms=pairs)


def hinge(gap: FloatArray) -> FloatArray:
    """max(0, gap)."""
    return np.maximum(gap, number(0, gap))


def active(gap: FloatArray) -> FloatArray:
    """The derivative of `hinge`: 1 where gap > 0, else 0; NaN stays NaN."""
    return np.where(gap > 0, number(1, gap), np.where(gap == gap, number(0, gap), gap))


def _signs(target: FloatArray) -> FloatArray:
    wrong = (target != 1) & (target != -1)
    if np.any(wrong):
        refuse("target", f"{target[wrong].flat[0]}", "1 or -1")
    return target
