"""The laws of losses of probabilities: of classes, of a yes or a no, likelihoods, sequences."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from .balls import Ball
from .laws import law, one_hot, same
from .measured import Draw, Losses

# -- classes ----------------------------------------------------------------------------------------------------


@law
def cross_entropy_is_nll_of_log_softmax(f: Losses, draw: Draw) -> Iterator[str]:
    """Cross entropy is NLL of log-softmax."""
    n, c = draw.sizes(2)
    x, y, w, r = draw.numbers(n, c), draw.classes(c, n), draw.weights(c), draw.reduction()
    whole = f.cross_entropy(x, y, weight=w, reduction=r)
    steps = f.nll_loss(f.log_softmax(x), y, weight=w, reduction=r)
    yield whole.value.differs(steps.value.wider(whole.value.radius))  # log_softmax errs as the cross entropy does


@law
def shifted_logits_are_the_same_logits(f: Losses, draw: Draw) -> Iterator[str]:
    """A constant added to all logits of a row changes nothing."""
    n, c = draw.sizes(2)
    x, shift, q = draw.numbers(n, c), draw.quarters(n, 1), draw.distributions(n, c)
    yield from same(f.cross_entropy(x, q), f.cross_entropy(x + shift, q), "input")


@law
def a_class_is_its_one_hot_distribution(f: Losses, draw: Draw) -> Iterator[str]:
    """A class index is a one-hot distribution, smoothed or not."""
    n, c = draw.sizes(2)
    x, y, w = draw.numbers(n, c), draw.classes(c, n), draw.weights(c)
    more = {"weight": w, "label_smoothing": draw.pick(0.0, 0.25)}
    yield from same(f.cross_entropy(x, y, **more), f.cross_entropy(x, one_hot(y, c), **more), "input")
    yield from same(
        f.cross_entropy(x, y, reduction="mean"), f.cross_entropy(x, one_hot(y, c), reduction="mean"), "input"
    )


@law
def cross_entropy_is_linear_in_its_target(f: Losses, draw: Draw) -> Iterator[str]:
    """The loss of a mixture of two distributions is the mixture of their losses."""
    n, c = draw.sizes(2)
    x, w, p, q = draw.numbers(n, c), draw.weights(c), draw.distributions(n, c), draw.distributions(n, c)
    mixed = f.cross_entropy(x, 0.25 * p + 0.75 * q, weight=w)
    left, right = f.cross_entropy(x, p, weight=w), f.cross_entropy(x, q, weight=w)
    yield mixed.value.differs(0.25 * left.value + 0.75 * right.value)
    yield mixed.gradient("input").differs(0.25 * left.gradient("input") + 0.75 * right.gradient("input"))


@law
def smoothing_is_linear(f: Losses, draw: Draw) -> Iterator[str]:
    """Smoothing by e mixes the loss, 1 - e of it, with e of the loss of the uniform distribution."""
    n, c = draw.size(), draw.pick(2, 4)
    x, y, w, e = draw.numbers(n, c), draw.classes(c, n), draw.weights(c), draw.pick(0.125, 0.5, 1.0)
    smooth = f.cross_entropy(x, y, weight=w, label_smoothing=e)
    plain, uniform = f.cross_entropy(x, y, weight=w), f.cross_entropy(x, np.full((n, c), 1 / c), weight=w)
    yield smooth.value.differs((1 - e) * plain.value + e * uniform.value)
    yield smooth.gradient("input").differs((1 - e) * plain.gradient("input") + e * uniform.gradient("input"))


@law
def the_gradient_over_the_classes_sums_to_zero(f: Losses, draw: Draw) -> Iterator[str]:
    """What the gradient of a row gives to some classes it takes from others."""
    n, c = draw.sizes(2)
    x, w, q = draw.numbers(n, c), draw.weights(c), draw.distributions(n, c)
    yield f.cross_entropy(x, q, weight=w).gradient("input").sum(1).differs(0)
    target = draw.classes(c, n)
    yield f.multi_margin_loss(x, target, p=draw.pick(1, 2)).gradient("input").sum(1).differs(0)


@law
def two_classes_are_a_yes_or_no(f: Losses, draw: Draw) -> Iterator[str]:
    """Cross entropy of two classes is binary cross entropy of the difference of their logits."""
    n = draw.size()
    x, t = draw.numbers(n, 2), draw.shares(n)
    two = f.cross_entropy(x, np.stack([1 - t, t], 1))
    one = f.binary_cross_entropy_with_logits(x[:, 1] - x[:, 0], t)
    yield two.value.differs(one.value)
    yield two.gradient("input")[:, 1].differs(one.gradient("input"))


@law
def renamed_classes_are_the_same_classes(f: Losses, draw: Draw) -> Iterator[str]:
    """Permuting the classes, their weights and the targets alike changes no loss and permutes the gradient."""
    n, c = draw.sizes(2)
    x, y, w, order = draw.numbers(n, c), draw.classes(c, n), draw.weights(c), draw.order(c)
    back, e = np.argsort(order), draw.pick(0.0, 0.25)
    left = f.cross_entropy(x, y, weight=w, label_smoothing=e)
    right = f.cross_entropy(x[:, order], back[y], weight=w[order], label_smoothing=e)
    yield left.value.differs(right.value)
    yield left.gradient("input")[:, order].differs(right.gradient("input"))


@law
def ignored_rows_are_rows_that_are_not_there(f: Losses, draw: Draw) -> Iterator[str]:
    """Ignored rows change neither mean nor sum, and get no gradient; ignore_index may be a class."""
    n, c = draw.sizes(2)
    x, w, r, ignore = draw.numbers(n, c), draw.weights(c), draw.pick("mean", "sum"), draw.pick(-100, 0, 255)
    loss, more = draw.pick((f.nll_loss, {}), (f.cross_entropy, {"label_smoothing": draw.pick(0.0, 0.25)}))
    y, kept = draw.classes(c, n), draw.flags(n)
    y = np.where(y == ignore, y + 1, y)
    left = loss(x, np.where(kept, y, ignore), weight=w, ignore_index=ignore, reduction=r, **more)
    right = loss(x[kept], y[kept], weight=w, reduction=r, **more)
    yield left.value.differs(right.value)
    yield left.gradient("input")[kept].differs(right.gradient("input"))
    yield Ball.exact(left.gradient("input").middle[~kept]).differs(0)


@law
def the_scale_of_the_weights_changes_no_mean(f: Losses, draw: Draw) -> Iterator[str]:
    """A weighted mean depends on the ratios of the weights alone."""
    n, c = draw.sizes(2)
    x, y, w, k = draw.numbers(n, c), draw.classes(c, n), draw.weights(c), draw.pick(2.0, 2.0**-14, 3.0)
    loss, more = draw.pick((f.nll_loss, {}), (f.cross_entropy, {"label_smoothing": draw.pick(0.0, 0.25)}))
    yield from same(
        loss(x, y, weight=w, reduction="mean", **more), loss(x, y, weight=k * w, reduction="mean", **more), "input"
    )


@law
def the_scale_of_element_weights_changes_no_mean(f: Losses, draw: Draw) -> Iterator[str]:
    """So too for the weights of the elements of L1 and MSE."""
    shape = draw.sizes(2)
    loss, x, t, w = draw.pick(f.l1_loss, f.mse_loss), draw.numbers(*shape), draw.numbers(*shape), draw.weights(*shape)
    k = draw.pick(2.0, 2.0**-14, 3.0)
    yield from same(
        loss(x, t, weight=w, reduction="mean"), loss(x, t, weight=k * w, reduction="mean"), "input", "target"
    )


@law(examples=2)
def weight_1_is_no_weight(f: Losses, draw: Draw) -> Iterator[str]:
    """Weights of 1, per class or per element, change nothing."""
    n, c = draw.sizes(2)
    x, t, y, r = draw.numbers(n, c), draw.shares(n, c), draw.classes(c, n), draw.reduction()
    of_classes = ((f.nll_loss, y), (f.cross_entropy, draw.pick(y, t)), (f.multilabel_soft_margin_loss, t), (f.multi_margin_loss, y))
    of_elements = ((loss, t) for loss in (f.l1_loss, f.mse_loss, f.huber_loss, f.binary_cross_entropy_with_logits))
    for weighted, ones in ((of_classes, np.ones(c)), (of_elements, np.ones((n, c)))):
        for loss, target in weighted:
            yield from same(loss(x, target, reduction=r), loss(x, target, weight=ones, reduction=r), "input")


@law
def linear_cross_entropy_is_cross_entropy_of_the_logits(f: Losses, draw: Draw) -> Iterator[str]:
    """The cross entropy of a linear layer is that of its logits, which these inputs make exact."""
    n, c, features = *draw.sizes(2), draw.size()
    x, matrix, bias = draw.halves(n, features), draw.halves(c, features), draw.halves(c)
    y, e, r = draw.classes(c, n), draw.pick(0.0, 0.25), draw.reduction()
    fused = f.linear_cross_entropy(x, matrix, y, linear_bias=bias, label_smoothing=e, reduction=r)
    plain = f.cross_entropy(x @ matrix.T + bias, y, label_smoothing=e, reduction=r)
    yield fused.value.differs(plain.value)


# -- a yes or a no ----------------------------------------------------------------------------------------------


@law
def yes_and_no_mirror_each_other(f: Losses, draw: Draw) -> Iterator[str]:
    """A logit and its target, or both probabilities, may be turned into those of the opposite event."""
    shape = draw.sizes(2)
    x, t, p = draw.numbers(*shape), draw.shares(*shape), draw.shares(*shape, low=1, high=15)
    up, down = f.binary_cross_entropy_with_logits(x, t), f.binary_cross_entropy_with_logits(-x, 1 - t)
    yield up.value.differs(down.value)
    yield up.gradient("input").differs(-down.gradient("input"))
    up, down = f.binary_cross_entropy(p, t), f.binary_cross_entropy(1 - p, 1 - t)
    yield up.value.differs(down.value)
    yield up.gradient("input").differs(-down.gradient("input"))


@law
def soft_margin_is_binary_cross_entropy(f: Losses, draw: Draw) -> Iterator[str]:
    """The soft margin loss with targets -1 and 1 is binary cross entropy with targets 0 and 1."""
    shape = draw.sizes(2)
    x, y, r = draw.numbers(*shape), draw.signs(*shape), draw.reduction()
    yield from same(
        f.soft_margin_loss(x, y, reduction=r), f.binary_cross_entropy_with_logits(x, (y + 1) / 2, reduction=r), "input"
    )


@law
def pos_weight_1_is_none(f: Losses, draw: Draw) -> Iterator[str]:
    """A pos_weight of 1 changes nothing, and any other is a weight on the positives."""
    n, c = draw.sizes(2)
    x, t, r, w = draw.numbers(n, c), draw.shares(n, c), draw.reduction(), draw.weights(c)
    bce = f.binary_cross_entropy_with_logits
    yield from same(bce(x, t, reduction=r), bce(x, t, pos_weight=np.ones(c), reduction=r), "input", "target")
    yes = np.round(t)
    yield from same(bce(x, yes, pos_weight=w), bce(x, yes, weight=np.where(yes == 1, w, 1.0)), "input")


@law
def many_labels_are_the_mean_of_binary_ones(f: Losses, draw: Draw) -> Iterator[str]:
    """The multi-label soft margin loss is the mean over the classes of binary cross entropy."""
    n, c = draw.sizes(2)
    x, t, w = draw.numbers(n, c), draw.shares(n, c), draw.weights(c)
    many, each = f.multilabel_soft_margin_loss(x, t, weight=w), f.binary_cross_entropy_with_logits(x, t, weight=w)
    yield many.value.differs(each.value.sum(1) / c)
    yield many.gradient("input").differs(each.gradient("input") / c)


@law(torch=False)
def focal_with_gamma_0_is_binary_cross_entropy(f: Losses, draw: Draw) -> Iterator[str]:
    """The focal loss without its focus is binary cross entropy, and alpha a weight on the positives."""
    shape = draw.sizes(2)
    x, t = draw.numbers(*shape), draw.shares(*shape)
    plain = f.binary_cross_entropy_with_logits(x, t)
    yield f.sigmoid_focal_loss(x, t, alpha=-1, gamma=0).value.differs(plain.value)
    yield f.sigmoid_focal_loss(x, t, alpha=0.5, gamma=0).value.differs(plain.value / 2)
    yield f.sigmoid_focal_loss(x, t, alpha=-1, gamma=0).gradient("inputs").differs(plain.gradient("input"))


# -- likelihoods ------------------------------------------------------------------------------------------------


@law
def divergence_is_never_negative(f: Losses, draw: Draw) -> Iterator[str]:
    """KL divergence is at least half the square of the L1 distance (Pinsker), so 0 only at equality."""
    n, c = draw.sizes(2)
    p, log_q = draw.distributions(n, c), f.log_softmax(draw.numbers(n, c))
    q = np.exp(log_q.astype(np.longdouble))
    mass = q.sum(1, keepdims=True)  # not quite 1, log_q being rounded: Gibbs holds for q / mass
    bound = abs(p - q / mass).sum(1) ** 2 / 2 - np.log(mass[:, 0])
    yield f.kl_div(log_q, p).value.sum(1).is_below(bound)
    certain = one_hot(draw.classes(c, n), c)
    yield f.kl_div(8 * certain - 8, certain).value.sum(1).differs(0)


@law
def cross_entropy_is_entropy_and_divergence(f: Losses, draw: Draw) -> Iterator[str]:
    """Cross entropy is the entropy of its target and the divergence of the prediction from it."""
    n, c = draw.sizes(2)
    x, p = draw.numbers(n, c), draw.distributions(n, c)
    wide = p.astype(np.longdouble)
    entropy = -(wide * np.log(np.where(wide == 0, 1, wide))).sum(1)
    whole, divergence = f.cross_entropy(x, p), f.kl_div(f.log_softmax(x), p).value.sum(1)
    yield whole.value.differs((divergence + entropy).wider(whole.value.radius))


@law
def divergence_averages_over_elements_or_rows(f: Losses, draw: Draw) -> Iterator[str]:
    """`batchmean` is the divergence per row: `mean` times the number of classes."""
    n, c = draw.sizes(2)
    log_q, p = draw.numbers(n, c), draw.distributions(n, c)
    mean, batch, total = (f.kl_div(log_q, p, reduction=r) for r in ("mean", "batchmean", "sum"))
    yield batch.value.differs(mean.value * c)
    yield total.value.differs(batch.value * n)
    yield batch.gradient("input").differs(mean.gradient("input") * c)


@law
def unit_variance_is_half_the_squared_error(f: Losses, draw: Draw) -> Iterator[str]:
    """The Gaussian likelihood with variance 1 is half MSE, with `full` and log(2 pi) / 2 more."""
    n, c = draw.sizes(2)
    x, t = draw.numbers(n, c), draw.numbers(n, c)
    half, ones = f.mse_loss(x, t), draw.pick(np.ones((n, c)), np.ones((n, 1)), np.ones(n))
    plain, full = f.gaussian_nll_loss(x, t, ones), f.gaussian_nll_loss(x, t, ones, full=True)
    yield plain.value.differs(half.value / 2)
    yield plain.gradient("input").differs(half.gradient("input") / 2)
    yield full.value.differs(plain.value + np.log(2 * np.longdouble(np.pi)) / 2)


@law
def stirlings_term_depends_on_the_target_alone(f: Losses, draw: Draw) -> Iterator[str]:
    """`full` adds to the Poisson likelihood nothing up to a count of 1, and the same for every rate beyond."""
    n, c = draw.sizes(2)
    x, y, t = draw.numbers(n, c), draw.numbers(n, c), draw.counts(n, c)
    extra = [f.poisson_nll_loss(z, t, full=True).value - f.poisson_nll_loss(z, t).value for z in (x, y)]
    yield extra[0].differs(extra[1])
    yield extra[0][t <= 1].differs(0)
    full, plain = f.poisson_nll_loss(x, t, full=True), f.poisson_nll_loss(x, t)
    yield full.gradient("input").differs(plain.gradient("input"))


# -- sequences --------------------------------------------------------------------------------------------------


@law
def ctc_sums_over_alignments(f: Losses, draw: Draw) -> Iterator[str]:
    """CTC is minus the log of the summed probability of all frame labellings that spell the target: counted out."""
    frames, classes, blank = draw.pick(1, 2, 3, 4), draw.pick(2, 3), draw.pick(0, 1)
    target = np.array([k if k < blank else k + 1 for k in draw.classes(classes - 1, draw.pick(1, 2))])
    log_p = f.log_softmax(draw.numbers(frames, classes), axis=1)
    paths = np.array(list(itertools.product(range(classes), repeat=frames)))
    merged = [[k for k, _ in itertools.groupby(path) if k != blank] for path in paths]
    spelling = paths[[m == target.tolist() for m in merged]]
    each = log_p.astype(np.longdouble)[np.arange(frames), spelling].sum(1)
    with np.errstate(divide="ignore"):
        want = -np.log(np.exp(each).sum())
    more = {"blank": blank, "reduction": draw.pick("none", "sum")}
    lengths = np.array([frames]), np.array([len(target)])
    found = f.ctc_loss(log_p[:, None], target[None], *lengths, **more).value
    yield found.sum().differs(want)
    if np.isfinite(want):
        mean = f.ctc_loss(log_p[:, None], target[None], *lengths, blank=blank, reduction="mean").value
        yield mean.differs(want / len(target))
    else:
        yield f.ctc_loss(log_p[:, None], target[None], *lengths, zero_infinity=True, **more).value.sum().differs(0)


@law(torch=False)
def a_class_has_a_place_in_the_tree(f: Losses, draw: Draw) -> Iterator[str]:
    """The probabilities that adaptive softmax gives to all classes sum to 1."""
    features, head, tails = draw.size(), draw.pick(1, 2), (draw.pick(1, 2), draw.pick(1, 2))
    x, weight = draw.halves(features), draw.halves(head + 2, features)
    pairs = [(draw.halves(1, features), draw.halves(size, 1)) for size in tails]
    classes = np.arange(head + sum(tails))
    loss = f.adaptive_log_softmax_with_loss(
        np.tile(x, (classes.size, 1)), classes, weight, pairs, cutoffs=[head, head + tails[0]]
    ).value
    likely = np.exp(-loss.middle)
    yield Ball(likely, likely * loss.radius * 2).sum().differs(1)
