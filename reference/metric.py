"""Losses of how near embeddings are: cosine embedding, triplet margin.

The vectors lie along the last axis. A distance is a function of two arrays that returns the distances and their
partial derivatives in both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arithmetic import FloatArray, divide, number, sign, sqrt
from .check import broadcastable, dimensions, floating, positive, require, shape
from .loss import Hinge, Loss, loss
from .margin import _signs, active, hinge

Distance = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]]


@loss
def cosine_embedding_loss(input1: FloatArray, input2: FloatArray, target: FloatArray, *, margin: float = 0.0) -> Loss:
    """The angle of two vectors, to be small for similar pairs and beyond `margin` for dissimilar ones.

    cos   = <input1, input2> / (|input1| |input2|), and 0 where either is the zero vector
    value = 1 - cos                where target = 1
            max(0, cos - margin)   where target = -1

    Shapes: input1 and input2 (D) or (N, D), target () or (N); value as target.
    Raises: ValueError if a target is neither 1 nor -1, or on other shapes.
    Kinks:  cos = margin where target = -1, and a zero vector; the gradient there is 0.
    Source: torch.nn.CosineEmbeddingLoss.
    """
    floating(input1=input1, input2=input2)
    dimensions("input1", input1, (1, 2))
    dimensions("input2", input2, (input1.ndim,))
    shape("target", target, input1.shape[:-1], "(that of input1 without the features)")
    shape("input2", input2, (*input2.shape[:-1], input1.shape[-1]), "(the features of input1)")
    broadcastable("input2", input2, input1.shape)
    similar = _signs(target) > 0
    norm1, norm2 = norm(input1), norm(input2)
    unit1, unit2 = divide(input1, norm1[..., None]), divide(input2, norm2[..., None])
    cos = np.asarray((unit1 * unit2).sum(-1))
    gap = cos - number(margin, cos)
    slope = np.where(similar, number(-1, cos), active(gap))[..., None]
    along1, along2, angle = divide(slope, norm1[..., None]), divide(slope, norm2[..., None]), cos[..., None]
    turn1, turn2 = divide(unit2 - angle * unit1, norm1[..., None]), divide(unit1 - angle * unit2, norm2[..., None])
    dissimilar = np.where(similar, number(0, cos), number(1, cos))[..., None]
    return Loss(
        np.where(similar, 1 - cos, hinge(gap)),
        {"input1": slope * turn1, "input2": slope * turn2},
        sizes={
            "input1": abs(along1) * (abs(unit2) + abs(angle * unit1)),
            "input2": abs(along2) * (abs(unit1) + abs(angle * unit2)),
        },
        magnitude=np.where(similar, 1, active(gap) * abs(margin)) + abs(slope[..., 0]) * abs(unit1 * unit2).sum(-1),
        hinge=Hinge(
            gap,
            abs(unit1 * unit2).sum(-1) + abs(margin),
            {"input1": dissimilar * turn1, "input2": dissimilar * turn2},
        ),
    )


@loss
def triplet_margin_loss(
    anchor: FloatArray,
    positive: FloatArray,
    negative: FloatArray,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
) -> Loss:
    """The anchor is to be nearer to the positive than to the negative, by `margin`.

    value = max(0, d(anchor, positive) - d(anchor, negative) + margin)
    d(x, y) = |x - y + eps|_p
    With swap, d(anchor, negative) gives way to d(positive, negative) where that is smaller.

    Shapes: anchor, positive and negative (*, D), broadcastable to one another; value (*).
    Raises: ValueError if margin or p is not positive, or on shapes that do not broadcast.
    Kinks:  the hinge at 0, with gradient 0; x - y + eps = 0, with gradient 0; equal distances with swap.
    Source: torch.nn.TripletMarginLoss, torch.nn.PairwiseDistance; Balntas et al. (2016), doi:10.5244/C.30.119.
    """
    require(p > 0, "p", p, "more than 0")
    return _triplet(anchor, positive, negative, pairwise_distance(p, eps), margin, swap, power=p)


@loss
def triplet_margin_with_distance_loss(
    anchor: FloatArray,
    positive: FloatArray,
    negative: FloatArray,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
) -> Loss:
    """The triplet margin loss of any distance; by default the Euclidean one.

    value = max(0, d(anchor, positive) - d(anchor, negative) + margin)
    With swap, d(anchor, negative) gives way to d(positive, negative) where that is smaller.
    distance_function(x, y) returns d (*) and the partial derivatives of d in x and in y, both (*, D).

    Shapes: anchor, positive and negative (*, D), broadcastable to one another; value (*).
    Raises: ValueError if margin is not positive, or on shapes that do not broadcast.
    Kinks:  the hinge at 0, with gradient 0; equal distances with swap; those of the distance.
    Source: torch.nn.TripletMarginWithDistanceLoss.
    """
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance(), margin, swap)


def _triplet(
    anchor: FloatArray,
    close: FloatArray,
    far: FloatArray,
    distance: Distance,
    margin: float,
    swap: bool,
    power: float = 2,
) -> Loss:
    floating(anchor=anchor, positive=close, negative=far)
    positive("margin", margin)
    dimensions("positive", close, (anchor.ndim,))
    dimensions("negative", far, (anchor.ndim,))
    broadcastable("positive", close, anchor.shape)
    broadcastable("negative", far, np.broadcast_shapes(anchor.shape, close.shape))
    d_close, a1, p1 = distance(anchor, close)
    d_far, a2, n2 = distance(anchor, far)
    p2 = np.zeros_like(p1)
    if swap:
        d_swap, p3, n3 = distance(close, far)
        nearer = (d_swap < d_far)[..., None]
        half = np.where(d_swap == d_far, number(1, d_far) / 2, nearer[..., 0])[..., None]
        d_far = np.minimum(d_far, d_swap)
        a2, p2, n2 = (1 - half) * a2, half * p3, half * n3 + (1 - half) * n2
    gap = d_close - d_far + number(margin, d_far)
    on = active(gap)[..., None]
    partials = {"anchor": a1 - a2, "positive": p1 - p2, "negative": -n2}
    roundings = on * max(1, power - 1)  # of a power and its root
    sizes = {"anchor": roundings * (abs(a1) + abs(a2)), "positive": roundings * (abs(p1) + abs(p2))}
    sizes["negative"] = roundings * abs(n2)
    terms = d_close + d_far + margin
    return Loss(
        hinge(gap),
        {name: on * partial for name, partial in partials.items()},
        magnitude=on[..., 0] * terms,
        sizes=sizes,
        hinge=Hinge(gap, terms, {"anchor": abs(a1) + abs(a2), "positive": abs(p1) + abs(p2), "negative": abs(n2)}),
    )


def pairwise_distance(p: float = 2.0, eps: float = 1e-6) -> Distance:
    """The distance |x - y + eps|_p, as torch.nn.PairwiseDistance defines it."""

    def distance(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        z = x - y + number(eps, x)
        d = norm(z, p)
        if np.isinf(p):
            on = abs(z) == d[..., None]
            slope = np.where(on, sign(z) / np.where(on, 1, 0).sum(-1, keepdims=True), number(0, z))
        else:
            share = np.where(z == 0, number(1, z), divide(abs(z), d[..., None]))  # of nothing, and sign(0) is 0
            slope = sign(z) * share ** (number(p, z) - 1)
        return d, slope, -slope

    return distance


def norm(z: FloatArray, p: float = 2.0) -> FloatArray:
    """|z|_p over the last axis, scaled by the largest component so that no power over- or underflows."""
    if z.shape[-1] == 0:
        return z.sum(-1)
    largest = np.asarray(abs(z).max(-1))
    finite = (largest != 0) & (largest < np.inf)
    scale = np.where(finite, largest, number(1, largest))
    if np.isinf(p):
        return largest
    parts = abs(z) / scale[..., None]
    total = np.asarray((parts**2 if p == 2 else parts ** number(p, z)).sum(-1))
    root = sqrt(total) if p == 2 else total ** (number(1, total) / number(p, total))
    return np.where(finite, scale * root, largest)
