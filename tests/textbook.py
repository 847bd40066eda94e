"""Every loss as the textbooks print it: one value of it, from numbers, naively.

Written down from torch's documentation and from the papers, in mpmath, and sharing nothing with `reference`: no
helper, no stable form, no derivative. Where a formula cancels or saturates it is left so, and whoever calls it
sets as many digits as it loses. A vector is a sequence of numbers, and a target class a Python integer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from mpmath import mp

Number = Any  # mpmath.mpf, which is not typed
Vector = Sequence[Number]


def ln(x: Number) -> Number:
    """The real logarithm: -inf at 0, not a number below."""
    return mp.log(x) if x > 0 else -mp.inf if x == 0 else mp.nan


def sigmoid(x: Number) -> Number:
    """The logistic function."""
    return 1 / (1 + mp.exp(-x))


def softmax(x: Vector) -> list[Number]:
    """Probabilities from logits."""
    total = sum(mp.exp(v) for v in x)
    return [mp.exp(v) / total for v in x]


def p_norm(x: Vector, p: Number) -> Number:
    """The p-norm."""
    return sum(abs(v) ** p for v in x) ** (1 / p)


# -- of a residual ----------------------------------------------------------------------------------------------


def l1_loss(input: Number, target: Number, weight: Number = 1) -> Number:
    """torch.nn.L1Loss."""
    return weight * abs(input - target)


def mse_loss(input: Number, target: Number, weight: Number = 1) -> Number:
    """torch.nn.MSELoss."""
    return weight * (input - target) * (input - target)


def huber_loss(input: Number, target: Number, delta: Number, weight: Number = 1) -> Number:
    """torch.nn.HuberLoss."""
    size = abs(input - target)
    return weight * (size * size / 2 if size < delta else delta * (size - delta / 2))


def smooth_l1_loss(input: Number, target: Number, beta: Number) -> Number:
    """torch.nn.SmoothL1Loss; with beta 0 the first case never holds."""
    size = abs(input - target)
    return size * size / (2 * beta) if size < beta else size - beta / 2


# -- of a likelihood --------------------------------------------------------------------------------------------


def poisson_nll_loss(input: Number, target: Number, log_input: bool, full: bool, eps: Number) -> Number:
    """torch.nn.PoissonNLLLoss: "for targets less or equal to 1 zeros are added to the loss"."""
    loss = mp.exp(input) - target * input if log_input else input - target * ln(input + eps)
    stirling = target * ln(target) - target + ln(2 * mp.pi * target) / 2 if full and target > 1 else 0
    return loss + stirling


def gaussian_nll_loss(input: Number, target: Number, var: Number, full: bool, eps: Number) -> Number:
    """torch.nn.GaussianNLLLoss."""
    clamped = max(var, eps)
    constant = ln(2 * mp.pi) / 2 if full else 0
    return (ln(clamped) + (input - target) ** 2 / clamped) / 2 + constant


def kl_div(input: Number, target: Number, log_target: bool) -> Number:
    """torch.nn.KLDivLoss: y (log y - x); a class of probability 0 adds nothing."""
    y = mp.exp(target) if log_target else target
    return y * (ln(y) - input) if y else y


# -- of a yes or a no -------------------------------------------------------------------------------------------


def binary_cross_entropy(input: Number, target: Number, weight: Number = 1) -> Number:
    """torch.nn.BCELoss: "clamps its log function outputs to be greater than or equal to -100"."""
    return -weight * (target * max(ln(input), -100) + (1 - target) * max(ln(1 - input), -100))


def binary_cross_entropy_with_logits(
    input: Number, target: Number, weight: Number = 1, pos_weight: Number = 1
) -> Number:
    """torch.nn.BCEWithLogitsLoss."""
    no = mp.exp(-input) / (1 + mp.exp(-input))  # 1 - sigmoid(input)
    return -weight * (pos_weight * target * ln(sigmoid(input)) + (1 - target) * ln(no))


def soft_margin_loss(input: Number, target: Number) -> Number:
    """torch.nn.SoftMarginLoss."""
    return ln(1 + mp.exp(-target * input))


def multilabel_soft_margin_loss(input: Vector, target: Vector, weight: Vector | None = None) -> Number:
    """torch.nn.MultiLabelSoftMarginLoss."""
    classes = len(input)
    w = [1] * classes if weight is None else weight
    loss = mp.mpf(0)
    for i in range(classes):
        yes = 1 / (1 + mp.exp(-input[i]))
        no = mp.exp(-input[i]) / (1 + mp.exp(-input[i]))
        loss -= w[i] * (target[i] * ln(yes) + (1 - target[i]) * ln(no))
    return loss / classes


def sigmoid_focal_loss(inputs: Number, targets: Number, alpha: Number, gamma: Number) -> Number:
    """torchvision.ops.sigmoid_focal_loss; equation 5 of the paper where the target is 0 or 1."""
    p, no = sigmoid(inputs), mp.exp(-inputs) / (1 + mp.exp(-inputs))
    p_t = p * targets + no * (1 - targets)
    alpha_t = alpha * targets + (1 - alpha) * (1 - targets) if alpha >= 0 else 1
    return -alpha_t * (1 - p_t) ** gamma * (targets * ln(p) + (1 - targets) * ln(no))


# -- of one class among several ---------------------------------------------------------------------------------


def nll_loss(input: Vector, target: int, ignore_index: int, weight: Vector | None = None) -> Number:
    """torch.nn.NLLLoss."""
    if target == ignore_index:
        return mp.mpf(0)
    return -(1 if weight is None else weight[target]) * input[target]


def cross_entropy(
    input: Vector,
    target: int | Vector,
    ignore_index: int,
    label_smoothing: Number,
    weight: Vector | None = None,
) -> Number:
    """torch.nn.CrossEntropyLoss, the smoothed target written out as Szegedy et al. do, section 7."""
    classes, w = len(input), [1] * len(input) if weight is None else weight
    if isinstance(target, int):
        if target == ignore_index:
            return mp.mpf(0)
        target = [mp.mpf(c == target) for c in range(classes)]
    smooth = [(1 - label_smoothing) * q + label_smoothing / classes for q in target]
    return -sum(w[c] * smooth[c] * ln(p) for c, p in enumerate(softmax(input)) if smooth[c])


def linear_cross_entropy(
    input: Vector, linear_weight: Sequence[Vector], linear_bias: Vector | None = None, **more: Any
) -> Number:
    """torch.nn.LinearCrossEntropyLoss."""
    bias = [0] * len(linear_weight) if linear_bias is None else linear_bias
    logits = [b + sum(w * x for w, x in zip(row, input, strict=True)) for row, b in zip(linear_weight, bias, strict=True)]
    if more["ignore_index"] is None:
        more["ignore_index"] = -100  # "the default value is mapped to `-100`"
    return cross_entropy(logits, **more)


def adaptive_log_softmax_with_loss(
    input: Vector,
    target: int,
    head_weight: Sequence[Vector],
    tail_weights: Sequence[tuple[Sequence[Vector], Sequence[Vector]]],
    cutoffs: Sequence[int],
    head_bias: Vector | None = None,
) -> Number:
    """torch.nn.AdaptiveLogSoftmaxWithLoss: p(class) = p(class in head), or p(cluster) p(class in cluster)."""
    scores = [sum(w * x for w, x in zip(row, input, strict=True)) for row in head_weight]
    head = softmax(scores if head_bias is None else [s + b for s, b in zip(scores, head_bias, strict=True)])
    if target < cutoffs[0]:
        return -ln(head[target])
    cluster = sum(target >= c for c in cutoffs) - 1
    projection, output = tail_weights[cluster]
    hidden = [sum(w * x for w, x in zip(row, input, strict=True)) for row in projection]
    tail = softmax([sum(w * x for w, x in zip(row, hidden, strict=True)) for row in output])
    return -ln(head[cutoffs[0] + cluster] * tail[target - cutoffs[cluster]])


def ctc_loss(
    log_probs: Sequence[Vector],
    targets: Sequence[int],
    input_lengths: int,
    target_lengths: int,
    blank: int,
    zero_infinity: bool,
) -> Number:
    """torch.nn.CTCLoss, by equation 3 of Graves et al.: the sum over every path that spells the target.

    A path through any other class spells something else, and is not listed.
    """
    target, frames = list(targets[:target_lengths]), range(input_lengths)
    probability = [[mp.exp(v) for v in log_probs[t]] for t in frames]
    total = mp.mpf(0)
    for path in itertools.product({blank, *target}, repeat=input_lengths):
        merged = [c for c, _ in itertools.groupby(path)]
        if [c for c in merged if c != blank] == target:
            total += mp.fprod(probability[t][path[t]] for t in frames)
    return mp.mpf(0) if zero_infinity and total == 0 else -ln(total)


# -- of margins -------------------------------------------------------------------------------------------------


def multi_margin_loss(
    input: Vector, target: int, p: int, margin: Number, weight: Vector | None = None
) -> Number:
    """torch.nn.MultiMarginLoss."""
    others = [max(0, margin - input[target] + x) ** p for i, x in enumerate(input) if i != target]
    return (1 if weight is None else weight[target]) * mp.fsum(others) / len(input)


def multilabel_margin_loss(input: Vector, target: Sequence[int]) -> Number:
    """torch.nn.MultiLabelMarginLoss: "only considers a contiguous block of non-negative targets"."""
    labels = list(itertools.takewhile(lambda y: y >= 0, target))
    others = [x for i, x in enumerate(input) if i not in labels]
    return mp.fsum(max(0, 1 - (input[y] - x)) for y in labels for x in others) / len(input)


def hinge_embedding_loss(input: Number, target: Number, margin: Number) -> Number:
    """torch.nn.HingeEmbeddingLoss."""
    return input if target == 1 else max(0, margin - input)


def margin_ranking_loss(input1: Number, input2: Number, target: Number, margin: Number) -> Number:
    """torch.nn.MarginRankingLoss."""
    return max(0, -target * (input1 - input2) + margin)


def cosine_embedding_loss(input1: Vector, input2: Vector, target: Number, margin: Number) -> Number:
    """torch.nn.CosineEmbeddingLoss; the cosine with a zero vector is 0, as in torch.nn.CosineSimilarity."""
    norms = p_norm(input1, mp.mpf(2)) * p_norm(input2, mp.mpf(2))
    cos = sum(a * b for a, b in zip(input1, input2, strict=True)) / norms if norms else mp.mpf(0)
    return 1 - cos if target == 1 else max(0, cos - margin)


def triplet_margin_loss(
    anchor: Vector, positive: Vector, negative: Vector, margin: Number, p: Number, eps: Number, swap: bool
) -> Number:
    """torch.nn.TripletMarginLoss, with the distance of torch.nn.PairwiseDistance."""

    def distance(x: Vector, y: Vector) -> Number:
        return p_norm([a - b + eps for a, b in zip(x, y, strict=True)], p)

    far = distance(anchor, negative)
    if swap:
        far = min(far, distance(positive, negative))
    return max(distance(anchor, positive) - far + margin, 0)


def triplet_margin_with_distance_loss(
    anchor: Vector, positive: Vector, negative: Vector, margin: Number, swap: bool, distance_function: None = None
) -> Number:
    """torch.nn.TripletMarginWithDistanceLoss with its default distance, torch.nn.PairwiseDistance."""
    return triplet_margin_loss(anchor, positive, negative, margin, mp.mpf(2), mp.mpf(1e-6), swap)


# -- Shannon's quantities ---------------------------------------------------------------------------------------


def information(p: Number, base: Number | None) -> Number:
    """Cover and Thomas, chapter 2: log 1/p."""
    return _to_base(base) * ln(1 / p) if p else mp.inf


def entropy(p: Vector, base: Number | None) -> Number:
    """Cover and Thomas, equation 2.1."""
    return _to_base(base) * sum(x * ln(1 / x) for x in p if x)


def kl_divergence(p: Vector, q: Vector, base: Number | None) -> Number:
    """Cover and Thomas, equation 2.26."""
    return _to_base(base) * sum(x * (ln(x / y) if y else mp.inf) for x, y in zip(p, q, strict=True) if x)


def cross_entropy_of(p: Vector, q: Vector, base: Number | None) -> Number:
    """Cover and Thomas, section 5.4: the expected length of a code for q, of symbols from p."""
    return _to_base(base) * sum(x * (ln(1 / y) if y else mp.inf) for x, y in zip(p, q, strict=True) if x)


def _to_base(base: Number | None) -> Number:
    return 1 if base is None else 1 / mp.log(base)


# -- means ------------------------------------------------------------------------------------------------------


def _of_row(target: int | Vector, weight: Vector | None = None, ignore_index: int | None = None, **_: Any) -> Number:
    if not isinstance(target, int):
        return 1
    return 0 if target == (-100 if ignore_index is None else ignore_index) else 1 if weight is None else weight[target]


def _of_element(weight: Number = 1, **_: Any) -> Number:
    return weight


SHARE: dict[str, Callable[..., Number]] = {
    "l1_loss": _of_element,
    "mse_loss": _of_element,
    "nll_loss": _of_row,
    "cross_entropy": _of_row,
    "linear_cross_entropy": _of_row,
}
"""What `mean` divides by the sum of, for the losses whose mean is weighted; 1 for the others."""

LENGTH: dict[str, Callable[..., Number]] = {
    "ctc_loss": lambda target_lengths, **_: max(target_lengths, 1),
}
"""What `mean` divides each value by first."""
