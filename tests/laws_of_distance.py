"""The laws of losses of distances: residuals, margins, angles, triplets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .laws import law, same
from .measured import Draw, Losses

# -- residuals --------------------------------------------------------------------------------------------------


@law
def input_and_target_may_change_places(f: Losses, draw: Draw) -> Iterator[str]:
    """The losses of a residual are even in it."""
    shape = draw.sizes(2)
    x, t = draw.numbers(*shape), draw.numbers(*shape)
    for loss, more in (
        (f.l1_loss, {}),
        (f.mse_loss, {}),
        (f.huber_loss, {"delta": 0.75}),
        (f.smooth_l1_loss, {"beta": 0.75}),
    ):
        left, right = loss(x, t, **more), loss(t, x, **more)
        yield left.value.differs(right.value)
        yield left.gradient("input").differs(right.gradient("target"))
        yield left.gradient("input").differs(-left.gradient("target"))


@law
def smooth_l1_is_huber_per_threshold(f: Losses, draw: Draw) -> Iterator[str]:
    """The Huber loss is its threshold times smooth L1."""
    shape = draw.sizes(2)
    x, t, d, r = draw.numbers(*shape), draw.numbers(*shape), draw.pick(0.125, 0.75, 1.0, 2.0), draw.reduction()
    huber, smooth = f.huber_loss(x, t, delta=d, reduction=r), f.smooth_l1_loss(x, t, beta=d, reduction=r)
    yield huber.value.differs(d * smooth.value)
    yield huber.gradient("input").differs(d * smooth.gradient("input"))


@law
def huber_scales_with_its_threshold(f: Losses, draw: Draw) -> Iterator[str]:
    """Everything k times as large makes Huber k**2 times, and smooth L1 k times as large."""
    shape = draw.sizes(2)
    x, t, d, k = draw.numbers(*shape), draw.numbers(*shape), draw.pick(0.25, 1.0), draw.pick(0.5, 2.0, 8.0)
    large, small = f.huber_loss(k * x, k * t, delta=k * d), f.huber_loss(x, t, delta=d)
    yield large.value.differs(k**2 * small.value)
    yield large.gradient("input").differs(k * small.gradient("input"))
    large, small = f.smooth_l1_loss(k * x, k * t, beta=k * d), f.smooth_l1_loss(x, t, beta=d)
    yield large.value.differs(k * small.value)
    yield large.gradient("input").differs(small.gradient("input"))


@law
def huber_lies_between_l1_and_mse(f: Losses, draw: Draw) -> Iterator[str]:
    """With a threshold beyond every residual Huber is half MSE; below every residual, and at 0, smooth L1 is L1."""
    shape = draw.sizes(2)
    x, t = draw.numbers(*shape), draw.numbers(*shape)
    half, wide = f.mse_loss(x, t), f.huber_loss(x, t, delta=16.0)
    yield wide.value.differs(half.value / 2)
    yield wide.gradient("input").differs(half.gradient("input") / 2)
    yield from same(f.smooth_l1_loss(x, t, beta=0.0), f.l1_loss(x, t), "input", "target")
    apart = np.where(x == t, x + 0.25, x)
    narrow, plain = f.smooth_l1_loss(apart, t, beta=2.0**-6), f.l1_loss(apart, t)
    yield narrow.value.differs(plain.value - 2.0**-7)
    yield narrow.gradient("input").differs(plain.gradient("input"))


# -- margins and distances --------------------------------------------------------------------------------------


@law
def ranking_may_be_turned_round(f: Losses, draw: Draw) -> Iterator[str]:
    """The two inputs of the ranking loss may change places with the sign of the target; it sees their difference."""
    shape = draw.sizes(2)
    x, z, y, m = draw.numbers(*shape), draw.numbers(*shape), draw.signs(*shape), draw.pick(0.0, 0.5, 2.0)
    left, right = f.margin_ranking_loss(x, z, y, margin=m), f.margin_ranking_loss(z, x, -y, margin=m)
    yield left.value.differs(right.value)
    yield left.gradient("input1").differs(right.gradient("input2"))
    yield from same(left, f.margin_ranking_loss(x - z, np.zeros(shape), y, margin=m), "input1", "input2")


@law
def a_dissimilar_pair_is_a_ranking(f: Losses, draw: Draw) -> Iterator[str]:
    """The hinge embedding loss is its input, or for a target of -1 the ranking loss of it above 0."""
    shape = draw.sizes(2)
    x, m = draw.numbers(*shape), draw.pick(0.5, 1.0, 2.0)
    ranked = f.margin_ranking_loss(x, np.zeros(shape), np.ones(shape), margin=m)
    hinge = f.hinge_embedding_loss(x, -np.ones(shape), margin=m)
    yield hinge.value.differs(ranked.value)
    yield hinge.gradient("input").differs(ranked.gradient("input1"))
    yield f.hinge_embedding_loss(x, np.ones(shape), margin=m).value.differs(x)


@law
def one_label_is_a_class(f: Losses, draw: Draw) -> Iterator[str]:
    """The multi-label margin loss of a single label is the multi-class one."""
    n, c = draw.sizes(2)
    x, y = draw.numbers(n, c), draw.classes(c, n)
    labels = np.full((n, c), -1)
    labels[:, 0] = y
    yield from same(f.multilabel_margin_loss(x, labels), f.multi_margin_loss(x, y), "input")


@law
def margins_see_differences_of_scores(f: Losses, draw: Draw) -> Iterator[str]:
    """A constant added to all scores changes no margin; k times the scores and the margin, k**p times the loss."""
    n, c = draw.sizes(2)
    x, y, w, p, m = draw.numbers(n, c), draw.classes(c, n), draw.weights(c), draw.pick(1, 2), draw.pick(0.25, 1.0)
    loss = f.multi_margin_loss(x, y, p=p, margin=m, weight=w)
    yield from same(loss, f.multi_margin_loss(x + draw.quarters(), y, p=p, margin=m, weight=w), "input")
    yield f.multi_margin_loss(4 * x, y, p=p, margin=4 * m, weight=w).value.differs(4**p * loss.value)


@law
def an_angle_has_no_length_and_no_order(f: Losses, draw: Draw) -> Iterator[str]:
    """The cosine embedding loss does not see which vector is which, nor how long they are."""
    n, d = draw.size(), draw.size()
    a, b, y, m = draw.numbers(n, d, low=1), draw.numbers(n, d, low=1), draw.signs(n), draw.pick(0.0, 0.25)
    a, b = a * draw.signs(n, d), b * draw.signs(n, d)
    plain, turned = f.cosine_embedding_loss(a, b, y, margin=m), f.cosine_embedding_loss(b, a, y, margin=m)
    yield plain.value.differs(turned.value)
    longer = f.cosine_embedding_loss(4 * a, b / 2, y, margin=m)
    yield plain.value.differs(longer.value)
    if m:  # away from the kink at 0 that one component makes
        yield plain.gradient("input1").differs(turned.gradient("input2"))
        yield plain.gradient("input1").differs(4 * longer.gradient("input1"))


@law
def swap_takes_the_harder_of_two_anchors(f: Losses, draw: Draw) -> Iterator[str]:
    """With `swap` the triplet loss is the larger of those with anchor and positive either way round."""
    n, d = draw.size(), draw.size()
    a, p, q = (draw.numbers(n, d) for _ in range(3))
    more = {"p": draw.pick(1.0, 2.0, 3.0), "margin": draw.pick(0.25, 1.0), "eps": 0.0}
    swapped = f.triplet_margin_loss(a, p, q, swap=True, **more)
    one, other = f.triplet_margin_loss(a, p, q, **more), f.triplet_margin_loss(p, a, q, **more)
    yield swapped.value.differs(one.value.maximum(other.value))


@law
def the_default_distance_is_euclidean(f: Losses, draw: Draw) -> Iterator[str]:
    """The triplet loss with a distance is, by default, the one with p = 2."""
    n, d = draw.size(), draw.size()
    a, p, q = (draw.numbers(n, d) for _ in range(3))
    more = {"margin": draw.pick(0.25, 1.0), "swap": draw.pick(False, True), "reduction": draw.reduction()}
    yield f.triplet_margin_loss(a, p, q, **more).value.differs(
        f.triplet_margin_with_distance_loss(a, p, q, **more).value
    )


@law
def distances_do_not_see_where(f: Losses, draw: Draw) -> Iterator[str]:
    """A triplet moved as a whole has the same loss; k times as far apart, and as far to go, k times the loss."""
    n, d = draw.size(), draw.size()
    a, p, q = (draw.numbers(n, d) for _ in range(3))
    by, norm = draw.quarters(n, d), draw.pick(1.0, 2.0, 3.0)
    plain = f.triplet_margin_loss(a, p, q, p=norm, eps=0.0)
    yield plain.value.differs(f.triplet_margin_loss(a + by, p + by, q + by, p=norm, eps=0.0).value)
    yield (4 * plain.value).differs(f.triplet_margin_loss(4 * a, 4 * p, 4 * q, p=norm, eps=0.0, margin=4.0).value)
