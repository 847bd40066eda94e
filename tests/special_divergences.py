"""Where torch departs at NaN, at infinities, and at the kink of a hinge."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import departures
from .cases import Case
from .divergence import EVERY, INF, NAN, Divergence


def _underflowing_target(case: Case, quantity: str) -> Any:
    """Where the logarithm of the target meets an infinite one, and has an exponential that is 0, or subnormal."""
    given = case.truth.arguments
    small = case.variant.options.get("log_target", False) & (given["target"] < np.log(case.format.tiny))
    return (quantity != "input") & small & np.isinf(given["input"])


def _ignored_rows(case: Case, quantity: str) -> Any:
    """The gradient of the rows that are ignored; in the parameters, of which each row has a part, everything if any is."""
    target, index = case.truth.arguments["target"], case.variant.options.get("ignore_index")
    ignored = (target.dtype.kind != "f") & (target == (-100 if index is None else index))
    input = case.truth.arguments["input"]
    if quantity != "input" or not ignored.ndim:
        return ignored.any()
    return np.broadcast_to(np.expand_dims(ignored, 1) if ignored.ndim < input.ndim else ignored[..., :1], input.shape)


def _rows_of_infinity(case: Case, quantity: str) -> Any:
    """The rows that have an infinite logit; of what all rows have a part in, everything."""
    given = case.truth.arguments
    if quantity not in ("value", "input") or any(np.isinf(a).any() for name, a in given.items() if name.startswith("linear_")):
        return True
    classes = min(1, given["input"].ndim - 1)
    infinite = np.isinf(given["input"]).any(classes, keepdims=True)
    if quantity == "input":
        return np.broadcast_to(infinite, given["input"].shape)
    return infinite.squeeze(classes) if case.reduction == "none" else infinite.any()


def _smoothed_rows(case: Case, quantity: str) -> Any:
    """The rows that have an infinite logit, or a class of infinite weight; of what all rows have a part in, everything."""
    given = case.truth.arguments
    if quantity == "value":
        return np.isinf(case.truth.loss.reduce(case.reduction))
    heavy, target = np.isinf(given.get("weight", np.ones(1))), given["target"]
    if quantity != "input" or case.reduction == "mean" or (heavy.any() and target.dtype.kind == "f"):
        return True
    rows = _rows_of_infinity(case, quantity)
    if heavy.any():
        classes = np.where((target < 0) | (target >= heavy.size), 0, target)  # those of ignored rows
        rows = rows | np.expand_dims(heavy[classes], min(1, given["input"].ndim - 1))
    return rows


def _sure_of_infinite_weight(case: Case, quantity: str) -> Any:
    """The rows that lose so little at a class of infinite weight that it may round to 0."""
    loss = case.truth.loss.partials["weight"]  # (V, C): by class, and not weighted
    small = (loss > 0) & (loss <= case.truth.depth * case.format.u) & np.isinf(case.truth.arguments["weight"])
    return small.any(-1)


def _infinite_weight(case: Case, quantity: str) -> Any:
    """The gradient of the rows that have a class of infinite weight; of what all rows have a part in, everything."""
    given, loss = case.truth.arguments, case.truth.loss
    rows = ((loss.partials["weight"] > 0) & np.isinf(given["weight"])).any(-1)
    if quantity != "input" or case.reduction == "mean" or not rows.ndim:
        return rows.any()
    if loss.chains:  # a row of features has all the values of a row
        rows = rows.reshape(len(rows), -1).any(-1)
    return np.broadcast_to(np.expand_dims(rows, 1), given["input"].shape)


def _infinite_lead(case: Case, quantity: str) -> Any:
    """Where input1 - input2 is no number of the format."""
    given = case.truth.arguments
    with np.errstate(all="ignore"):
        return ~(abs(given["input1"] - given["input2"]) <= case.format.max)


def _rows_with_nan(case: Case, quantity: str) -> Any:
    """Where the sequence has a NaN in one of its frames: (T, N, C), or (T, C) of a single one; of the values, which."""
    log_probs = case.truth.drawn.arguments["log_probs"]
    frames = np.arange(log_probs.shape[0]).reshape(-1, *[1] * (log_probs.ndim - 1))
    lengths = case.truth.drawn.arguments["input_lengths"].reshape(*[1] * (log_probs.ndim == 3), -1, 1)
    read = np.isnan(log_probs) & (frames < lengths)
    rows = read.any(axis=(0, -1), keepdims=True)
    if quantity == "value":
        return rows[0, ..., 0] if case.reduction == "none" else rows.any()
    return np.broadcast_to(rows, log_probs.shape)


OF_SPECIAL: tuple[Divergence, ...] = (
    Divergence(
        "infinite-logit",
        cases=(
            "CrossEntropyLoss-*-inf_input",
            "LinearCrossEntropyLoss-*inf_input",
            "LinearCrossEntropyLoss-*inf_linear_weight",
            "LinearCrossEntropyLoss-*-inf_linear_bias",
            "AdaptiveLogSoftmaxWithLoss-*inf_input",
        ),
        of=EVERY,
        why="x - max(x) is inf - inf where the limit of the softmax is 1",
        reproducer="""
x = torch.tensor([[float("inf"), 0.0]])
got = F.cross_entropy(x, torch.tensor([0]))
""",
        gives=NAN,
        true=0.0,
        noise=_rows_of_infinity,
    ),
    Divergence(
        "ignored-row-leaks",
        cases=("*CrossEntropyLoss-*ignore*-nan_*", "*CrossEntropyLoss-*ignore*inf_*"),
        of=("input", "linear_weight", "linear_bias"),
        why="the derivative of log_softmax is g - softmax * sum(g) also where g is 0: an ignored row that holds a NaN, "
        "or meets one in the weight of a smoothed class, has the gradient 0 * NaN",
        reproducer="""
x = torch.tensor([[float("nan"), 0.0], [0.0, 0.0]], requires_grad=True)
F.cross_entropy(x, torch.tensor([-100, 0])).backward()
got = x.grad[0, 1]
""",
        gives=NAN,
        true=0.0,
        noise=_ignored_rows,
    ),
    Divergence(
        "sign-of-nan",
        cases=(
            "L1Loss-*-nan_*",
            "L1Loss-*inf_*",
            "L1Loss-*-sweep",
            "SmoothL1Loss-*beta.0.0-*-nan_*",
            "SmoothL1Loss-*beta.0.0-*-inf_all",
            "SmoothL1Loss-*beta.0.0-*-sweep",
        ),
        of=("input", "target"),
        why="the derivative of abs is sign, and sign(NaN) is 0: a NaN residual passes a gradient of 0",
        reproducer="""
x = torch.tensor([float("nan")], requires_grad=True)
F.l1_loss(x, torch.tensor([0.0])).backward()
got = x.grad[0]
""",
        gives=0.0,
        true=NAN,
        departure=departures.sign_of_nan,
    ),
    Divergence(
        "clamp-at-tie",
        cases=("HingeEmbeddingLoss-*", "MarginRankingLoss-*", "TripletMargin*-*"),
        of=("input*", "anchor", "positive", "negative", "target"),
        why="the derivative of clamp_min(z, 0) is 1 at z = 0, where that of every other hinge in torch is 0; a NaN passes 0",
        reproducer="""
x = torch.tensor([1.0], requires_grad=True)
F.hinge_embedding_loss(x, torch.tensor([-1.0])).backward()
got = x.grad[0]
""",
        gives=-1.0,
        true=0.0,
        torch="<2.14",
        link="https://github.com/pytorch/pytorch/issues/195931",
        departure=departures.clamp_min(1.0),
    ),
    Divergence(
        "clamp-of-nan",
        cases=("HingeEmbeddingLoss-*", "MarginRankingLoss-*", "TripletMargin*-*"),
        of=("input*", "anchor", "positive", "negative", "target"),
        why="clamp_min passes its gradient where z > 0, and NaN is not greater: a NaN passes a gradient of 0",
        reproducer="""
x = torch.tensor([float("nan")], requires_grad=True)
F.hinge_embedding_loss(x, torch.tensor([-1.0])).backward()
got = x.grad[0]
""",
        gives=0.0,
        true=NAN,
        torch=">=2.14",
        departure=departures.clamp_min(0.0),
    ),
    Divergence(
        "ranking-zero-times-infinity",
        cases=("MarginRankingLoss-*",),
        of=("target",),
        why="the hinge passes 0, and the gradient in target is that times input1 - input2, NaN where the difference is infinite",
        reproducer="""
y = torch.tensor([1.0], requires_grad=True)
F.margin_ranking_loss(torch.tensor([float("inf")]), torch.tensor([0.0]), y).backward()
got = y.grad[0]
""",
        gives=NAN,
        true=0.0,
        lost=_infinite_lead,
    ),
    Divergence(
        "multi-margin-skips-nan",
        cases=("MultiMarginLoss-*", "MultiLabelMarginLoss-*"),
        of=EVERY,
        why="the loop adds a term only `if z > 0`, and NaN is not greater: a NaN score costs nothing",
        reproducer="""
x = torch.tensor([[float("nan"), 0.0]])
got = F.multi_margin_loss(x, torch.tensor([0]))
""",
        gives=0.0,
        true=NAN,
        departure=departures.if_greater,
    ),
    Divergence(
        "multilabel-infinite-weight",
        cases=("MultiLabelSoftMarginLoss-*-inf_weight",),
        of=("input", "target"),
        why="the terms of t and of 1 - t are multiplied by the weight one by one, and taken from each other in backward: inf - inf",
        reproducer="""
x = torch.zeros(1, 1, requires_grad=True)
F.multilabel_soft_margin_loss(x, torch.tensor([[0.25]]), weight=torch.tensor([float("inf")])).backward()
got = x.grad[0, 0]
""",
        gives=NAN,
        true=INF,
        lost=lambda case, quantity: np.broadcast_to(np.isinf(case.truth.arguments["weight"]), case.truth.arguments["input"].shape),
    ),
    Divergence(
        "rounded-away-infinity",
        cases=("*CrossEntropyLoss-*-inf_weight",),
        of=("value", "target"),
        why="a loss that `log-of-sum` rounds to 0 is 0 * inf where its class has an infinite weight",
        reproducer="""
x = torch.tensor([[20.0, 0.0]])
got = F.cross_entropy(x, torch.tensor([0]), weight=torch.tensor([float("inf"), 1.0]), reduction="sum")
""",
        gives=NAN,
        true=INF,
        lost=_sure_of_infinite_weight,
    ),
    Divergence(
        "infinite-weight",
        cases=("*CrossEntropyLoss-*-inf_weight",),
        of=("input", "linear_*"),
        why="the derivative of log_softmax is g - softmax * sum(g): inf - inf at a class of infinite weight",
        reproducer="""
x = torch.zeros(1, 2, requires_grad=True)
F.cross_entropy(x, torch.tensor([0]), weight=torch.tensor([float("inf"), 1.0]), reduction="sum").backward()
got = x.grad[0, 0]
""",
        gives=NAN,
        true=-INF,
        lost=_infinite_weight,
    ),
    Divergence(
        "smoothed-away-infinity",
        cases=("*CrossEntropyLoss-*label_smoothing.1.0*inf_*",),
        of=EVERY,
        why="(1 - label_smoothing) * the loss of the class is 0 * inf, where the class has a weight or a loss that is infinite",
        reproducer="""
x = torch.tensor([[float("-inf"), 0.0]])
got = F.cross_entropy(x, torch.tensor([0]), label_smoothing=1.0)
""",
        gives=NAN,
        true=INF,
        lost=_smoothed_rows,
    ),
    Divergence(
        "kl-zero-times-infinity",
        cases=("KLDivLoss-*",),
        of=EVERY,
        why="target * log(target) - target * input multiplied out: where the target is 0 and a log-probability is "
        "-inf, 0 * inf is NaN; and there the derivative of xlogy divides 0 by 0",
        reproducer="""
x = torch.tensor([[0.0, float("-inf")]])
got = F.kl_div(x, torch.tensor([[1.0, 0.0]]), reduction="batchmean")
""",
        gives=NAN,
        true=0.0,
        link="https://github.com/pytorch/pytorch/issues/115588",
        lost=_underflowing_target,
        departure=departures.kl_products,
    ),
    Divergence(
        "poisson-zero-count",
        cases=("PoissonNLLLoss-*",),
        of=("value", "target"),
        why="target * input with target 0 and input -inf is NaN; and Stirling's term is masked only after it is "
        "computed, so that its derivative at target 0 is 0 * inf",
        reproducer="""
t = torch.tensor([0.0], requires_grad=True)
F.poisson_nll_loss(torch.tensor([0.0]), t, full=True).backward()
got = t.grad[0]
""",
        gives=NAN,
        true=0.0,
        departure=departures.poisson_products,
    ),
    Divergence(
        "bce-with-logits-infinite-logit",
        cases=("BCEWithLogitsLoss-*-sweep",),
        of=("value",),
        why="(1 - t) x is 0 * inf for a target of 1 and an infinite logit",
        reproducer="""
x = torch.tensor([float("inf")])
got = F.binary_cross_entropy_with_logits(x, torch.tensor([1.0]))
""",
        gives=NAN,
        true=0.0,
        link="https://github.com/pytorch/pytorch/issues/135359",
        departure=departures.product_with_an_infinite_logit,
    ),
    Divergence(
        "ctc-impossible-nan",
        cases=("CTCLoss-*-nan_log_probs",),
        of=("value", "log_probs"),
        why="a NaN at a label that no spelling of the target can have in that frame is added to the sum over the spellings all "
        "the same: to the value in an early frame, to the gradient in a late one",
        reproducer="""
x = torch.zeros(3, 1, 3).log_softmax(-1).index_put_((torch.tensor(2), torch.tensor(0), torch.tensor(1)), torch.tensor(float("nan"))).requires_grad_()
F.ctc_loss(x, torch.tensor([[1, 2]]), (3,), (2,)).backward()
got = x.grad[2, 0, 1]
""",
        gives=NAN,
        true=0.0,
        lost=_rows_with_nan,
    ),
)
