"""The losses as a newcomer writes them: elementary torch operations, straight from the textbook formula.

Nothing here is clever. softmax, then log, then gather; sigmoid, then binary cross entropy. That is what a fused
kernel replaces, and what a compiler is given to fuse; the price in the tails is in the report.
Names, arguments and defaults are those of torch.nn.functional, the deprecated ones left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]


def _reduce(value: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return value.mean()
    if reduction == "sum":
        return value.sum()
    if reduction == "none":
        return value
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _weighted(value: Tensor, weight: Tensor | None, reduction: str, *, by_weight: bool = True) -> Tensor:
    if weight is None:
        return _reduce(value, reduction)
    value = value * weight
    return value.sum() / weight.sum() if by_weight and reduction == "mean" else _reduce(value, reduction)


# -- regression -------------------------------------------------------------------------------------------------


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """|input - target|."""
    return _weighted(torch.abs(input - target), weight, reduction)


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """(input - target)**2."""
    return _weighted((input - target) ** 2, weight, reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Quadratic near zero, linear beyond delta."""
    d = torch.abs(input - target)
    value = torch.where(d <= delta, 0.5 * d**2, delta * (d - 0.5 * delta))
    return _weighted(value, weight, reduction, by_weight=False)


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Huber over beta; beta 0 is the absolute error."""
    d = torch.abs(input - target)
    return _reduce(d if beta == 0 else torch.where(d < beta, 0.5 * d**2 / beta, d - 0.5 * beta), reduction)


# -- likelihood -------------------------------------------------------------------------------------------------


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Rate minus count times its logarithm; with `full`, Stirling's approximation of log(count!)."""
    value = torch.exp(input) - target * input if log_input else input - target * torch.log(input + eps)
    if full:
        count = target.clamp(min=1)  # below, it is not used, but 0 * log 0 would be its gradient
        stirling = count * torch.log(count) - count + 0.5 * torch.log(2 * math.pi * count)
        value = value + torch.where(target > 1, stirling, 0.0)
    return _reduce(value, reduction)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Half the log-variance and the squared error over the variance, which is kept above eps."""
    if var.ndim == input.ndim - 1:
        var = var.unsqueeze(-1)
    var = var + (var.detach().clamp(min=eps) - var.detach())  # the gradient passes, as through torch's clamp
    value = 0.5 * (torch.log(var) + (input - target) ** 2 / var)
    return _reduce(value + 0.5 * math.log(2 * math.pi) if full else value, reduction)


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target * (log target - input)."""
    if log_target:
        value = torch.exp(target) * (target - input)
    else:
        value = torch.where(target > 0, target * torch.log(target), 0.0) - target * input
    return value.sum() / len(input) if reduction == "batchmean" else _reduce(value, reduction)


# -- binary -----------------------------------------------------------------------------------------------------


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The logarithms of p and 1 - p, clamped at -100."""
    yes, no = torch.log(input).clamp(min=-100), torch.log(1 - input).clamp(min=-100)
    return _weighted(-(target * yes + (1 - target) * no), weight, reduction, by_weight=False)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Sigmoid, then binary cross entropy."""
    p = torch.sigmoid(input)
    yes, no = target * torch.log(p), (1 - target) * torch.log(1 - p)
    value = -((yes if pos_weight is None else pos_weight * yes) + no)
    return _weighted(value, weight, reduction, by_weight=False)


def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * input))."""
    return _reduce(torch.log(1 + torch.exp(-target * input)), reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """One binary cross entropy per class, averaged over the classes."""
    value = binary_cross_entropy_with_logits(input, target, weight, reduction="none")
    return _reduce(value.mean(-1), reduction)


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Tensor:
    """Binary cross entropy with logits, scaled down where the prediction is already good."""
    p = torch.sigmoid(inputs)
    bce = -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))
    value = bce * (1 - (p * targets + (1 - p) * (1 - targets))) ** gamma
    if alpha >= 0:
        value = (alpha * targets + (1 - alpha) * (1 - targets)) * value
    return _reduce(value, reduction)


# -- categorical ------------------------------------------------------------------------------------------------


def _picked(log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Minus the weighted log-probability of the target, the weight it has, and which rows are ignored."""
    ignored = target == ignore_index
    index = target.masked_fill(ignored, 0)
    value = -log_p.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    if weight is None:
        return value.masked_fill(ignored, 0.0), ~ignored, ignored
    w = weight[index].masked_fill(ignored, 0.0)
    return (value * w).masked_fill(ignored, 0.0), w, ignored


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """gather, and the mean over the weights."""
    value, w, _ = _picked(input.movedim(min(1, input.ndim - 1), -1), target, weight, ignore_index)
    return value.sum() / w.sum() if reduction == "mean" else _reduce(value, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """softmax, log, gather, mean."""
    axis = min(1, input.ndim - 1)
    log_p = torch.log(torch.softmax(input, axis)).movedim(axis, -1)
    classes = log_p.shape[-1]
    if target.is_floating_point():
        q = target.movedim(axis, -1) * (1 - label_smoothing) + label_smoothing / classes
        value = -(q * log_p if weight is None else weight * q * log_p).sum(-1)
        rows = value.numel()
        return value.sum() / rows if reduction == "mean" else _reduce(value, reduction)
    value, w, ignored = _picked(log_p, target, weight, ignore_index)
    if label_smoothing:
        smooth = -(log_p if weight is None else weight * log_p).sum(-1) / classes
        value = (1 - label_smoothing) * value + label_smoothing * smooth.masked_fill(ignored, 0.0)
    return value.sum() / w.sum() if reduction == "mean" else _reduce(value, reduction)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """A linear layer, then softmax, log, gather, mean."""
    logits = input @ linear_weight.flatten(0, -2).T
    logits = logits.reshape(*input.shape[:-1], *linear_weight.shape[:-1])
    logits = logits if linear_bias is None else logits + linear_bias
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(logits, target, weight, ignored, reduction, label_smoothing)


# -- margins and distances --------------------------------------------------------------------------------------


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """The distance itself where target is 1, what it lacks of the margin where it is -1."""
    value = torch.where(target == 1, input, (margin - input).clamp(min=0))
    return _reduce(value, reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """By how much the order that target asks for is missed."""
    return _reduce((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """What each other class lacks of the margin to the target's, to the power p."""
    index = target.unsqueeze(-1)
    lack = (margin - input.gather(-1, index) + input).clamp(min=0) ** p
    lack = lack if weight is None else lack * weight[index]
    own = torch.arange(input.shape[-1], device=input.device) == index
    return _reduce(torch.where(own, 0.0, lack).sum(-1) / input.shape[-1], reduction)


def multilabel_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """What each wrong class lacks of a margin of 1 to each right one; the labels end at the first -1."""
    classes = input.shape[-1]
    listed = (target < 0).cumsum(-1) == 0
    index = torch.where(listed, target, 0)
    right = torch.zeros_like(input).scatter_add(-1, index, listed.to(input.dtype)) > 0
    lack = (1 - input.gather(-1, index).unsqueeze(-1) + input.unsqueeze(-2)).clamp(min=0)
    counted = listed.unsqueeze(-1) & ~right.unsqueeze(-2)
    return _reduce(torch.where(counted, lack, 0.0).sum((-2, -1)) / classes, reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """1 - cosine where target is 1, what the cosine exceeds the margin by where it is -1."""
    size = torch.sqrt((input1**2).sum(-1)) * torch.sqrt((input2**2).sum(-1))
    cosine = (input1 * input2).sum(-1) / size
    return _reduce(torch.where(target == 1, 1 - cosine, (cosine - margin).clamp(min=0)), reduction)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6) -> Tensor:
    """The p-norm of the difference."""
    d = torch.abs(x1 - x2 + eps)
    return (d**p).sum(-1) ** (1 / p)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """How much farther the positive is than the negative, and a margin."""
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    far = torch.minimum(far, distance(positive, negative)) if swap else far
    return _reduce((near - far + margin).clamp(min=0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """The same, with the p-norm."""
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


# -- sequences --------------------------------------------------------------------------------------------------


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor,
    target_lengths: Tensor,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The forward recursion over the frames, in log space."""
    batched = log_probs.ndim == 3
    if not batched:
        log_probs = log_probs.unsqueeze(1)
    frames, batch, _ = log_probs.shape
    lengths = torch.as_tensor(input_lengths).reshape(batch).to(log_probs.device)
    spelled = torch.as_tensor(target_lengths).reshape(batch).to(log_probs.device)
    if targets.ndim == 1:
        most = max(int(spelled.max()), 1)
        padded = targets.new_full((batch, most), blank)
        for row, piece in enumerate(targets.split(spelled.tolist())):
            padded[row, : len(piece)] = piece
        targets = padded

    states = targets.new_full((batch, 2 * targets.shape[1] + 1), blank)
    states[:, 1::2] = targets
    states = torch.where(torch.arange(states.shape[1], device=states.device) <= 2 * spelled[:, None], states, blank)
    never = torch.finfo(log_probs.dtype).min / 4  # as good as -inf, and its gradient is a number
    skip = torch.zeros_like(states, dtype=torch.bool)
    skip[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    emit = log_probs.gather(2, states.expand(frames, -1, -1))

    start = torch.arange(states.shape[1], device=states.device) == 0
    alpha = torch.where(start, 0.0, never).to(log_probs.dtype).expand(batch, -1)
    for t in range(frames):
        step = torch.nn.functional.pad(alpha[:, :-1], (1, 0), value=never)
        leap = torch.nn.functional.pad(alpha[:, :-2], (2, 0), value=never)
        came = torch.stack([alpha, step, torch.where(skip, leap, never)])
        total = torch.logsumexp(came, 0) + emit[t]
        alpha = torch.where(t < lengths[:, None], total, alpha)
    last = alpha.gather(1, (2 * spelled)[:, None]).squeeze(1)
    label = alpha.gather(1, (2 * spelled - 1).clamp(min=0)[:, None]).squeeze(1)
    value = -torch.where(spelled > 0, torch.logaddexp(last, label), last)
    value = torch.where(value > -never / 2, torch.inf, value)
    value = torch.where(torch.isinf(value), 0.0, value) if zero_infinity else value
    if reduction == "mean":
        return (value / spelled.clamp(min=1)).mean()
    return _reduce(value if batched else value.squeeze(0), reduction)
