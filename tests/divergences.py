"""Where torch departs from the specification: known, minimised, bounded, and checked to be still there.

An entry says which cases it excuses, what torch gives and what is true, why, and the departure that the cases are
still held to. Its reproducer is run as a test: when torch gets better the run says so. Entries that match no
case are an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reference.accuracy import K, terms_of

from . import departures
from .cases import Case
from .divergence import EVERY, NAN, Divergence, anywhere, in_release, subnormal, summed_over_classes
from .range_divergences import OF_RANGE
from .special_divergences import OF_SPECIAL


def _no_denominator(case: Case, quantity: str) -> Any:
    """Where p (1 - p) and 1e-12 are both 0 in the format: nothing else tells infinity from 0 / 0."""
    p = case.truth.arguments["input"]
    return (quantity == "input") & (case.format.round(p * (1 - p)) == 0) & (case.format.name == "float16")


def _serial(case: Case, quantity: str) -> Any:
    """N roundings of a running sum, for log2(n) of a tree; they average out as a random walk does."""
    loss = case.truth.loss
    return 4 * case.format.u * np.sqrt(loss.value.size) * abs(loss.value * loss.factors(case.reduction)).sum()


def _margins_in_a_row(case: Case, quantity: str) -> Any:
    """Of a running sum of n margins, a random walk; of a gradient, of n numbers that are alike and are rounded alike."""
    loss, u = case.truth.loss, case.truth.accumulator.u
    if quantity == "value":
        each = 4 * u * np.sqrt(loss.terms or loss.last["input"]) * terms_of(loss)
        return each if case.reduction == "none" else np.sum(loss.factors(case.reduction) * each)
    passed = abs(case.cotangent(loss.reduce(case.reduction).shape) * loss.factors(case.reduction))
    return u / 2 * case.variant.form.axes["C"] * passed[..., None] * abs(loss.partials[quantity])


def _norm_in_a_row(case: Case, quantity: str) -> Any:
    """What a distance loses, and its gradient, which is divided by powers of it.

    Each of 8 lanes adds n / 8 terms, rounding each time; of many roundings an eighth, for bias (`accuracy.together`).
    """
    loss, p = case.truth.loss, case.variant.options["p"]
    lost = max(p, 1 / p) * case.truth.drawn.arguments["anchor"].shape[-1] / 64 * case.format.u
    if quantity == "value":
        each = lost * terms_of(loss)
        return each if case.reduction == "none" else np.sum(loss.factors(case.reduction) * each)
    assert loss.hinge is not None
    passed = abs(case.cotangent(loss.reduce(case.reduction).shape) * loss.factors(case.reduction))
    return lost * passed[..., None] * loss.hinge.partials[quantity]


def _added_in_half(case: Case, quantity: str) -> Any:
    """A sum of half precision, kept in it: 16 terms in a row, and 16 such sums in a row, and so on; as a random walk does.

    The weighted mean is divided by another. A rounding of half precision is off by at most u, and by u / sqrt(3) at random;
    four standard deviations of n of them are allowed, of partial sums that grow evenly, whose squares are n / 3 of the last's.
    """
    loss = case.truth.loss
    levels = np.ceil(np.log2(max(loss.value.size, 2)) / 4)
    walk = 4 / 3 * case.format.u * np.sqrt(min(loss.value.size, 16) * levels) * abs(loss.value * loss.factors(case.reduction)).sum()
    return walk if case.reduction == "sum" or loss.denominator is None else 2 * walk


def _of_short_vectors(case: Case, quantity: str) -> Any:
    """K subnormal steps in every product and square, divided by the lengths that they are the squares of.

    In a gradient once more; and in it the slope in the product of the squares is multiplied by a square and twice a number.
    """
    given = case.truth.arguments
    x, y = given["input1"], given["input2"]
    with np.errstate(all="ignore"):
        short, long = np.sort([(x**2).sum(-1) + 1e-12, (y**2).sum(-1) + 1e-12], axis=0)
        if quantity == "value":
            times = x.shape[-1] / short
        else:
            times = x.shape[-1] * short[..., None] ** -1.5 + 2 * long[..., None] * abs(given[quantity])
        return K * case.format.step * np.where(np.isfinite(times), times, 0)


def _product_in_a_row(case: Case, quantity: str) -> Any:
    """Of a running sum over all classes, a random walk: four standard deviations of its roundings, each of up to the sum of all."""
    loss = case.truth.loss
    shapes = {quantity: case.truth.arguments[quantity].shape}
    sizes = loss.gradients(case.cotangent(loss.reduce(case.reduction).shape), case.reduction, shapes, absolute=True)
    classes = case.truth.arguments["linear_weight"].shape[0]
    return 4 / np.sqrt(3) * case.truth.accumulator.u * np.sqrt(classes) * sizes[quantity]


DIVERGENCES: tuple[Divergence, ...] = (
    Divergence(
        "nll-adds-in-half",
        cases=tuple(f"{loss}-{reduction}-*float16-cpu-*" for loss in ("NLLLoss-*", "CrossEntropyLoss-*", "LinearCrossEntropyLoss-many*") for reduction in ("mean", "sum")),
        of=("value",),
        why="the losses of all rows, and their weights, are added up in the dtype of the input, where every other loss adds in "
        "float32: in sums of 16, sums of 16 of these, and so on",
        reproducer="""
x = -torch.ones(100, 1, dtype=torch.bfloat16)
x[50] = -256.0
got = F.nll_loss(x, torch.zeros(100, dtype=torch.int64), reduction="sum")
""",
        gives=340.0,
        true=355.0,
        absolute=_added_in_half,
    ),
    Divergence(
        "product-adds-up-in-a-row",
        cases=("LinearCrossEntropyLoss-wide*-cpu-*",),
        of=("input",),
        why="a matrix product adds up in a row in each of a few lanes, where torch's sums are those of a tree",
        reproducer="""
row = torch.ones(1, 65536)
row[0, 0] = 2**24
got = (row @ torch.ones(65536, 1)).item() < 2**24 + 65535 - 100  # of a tree, 17 at most are lost
""",
        gives=1.0,
        true=0.0,
        absolute=_product_in_a_row,
    ),
    Divergence(
        "norm-adds-up-in-a-row",
        cases=("TripletMarginLoss-many_*p.*-float32-cpu-*",),
        of=EVERY,
        why="a norm of another power than 2 is added up one feature after another in each lane of a vector",
        reproducer="""
x = torch.full((1, 1 << 20), 0.1)
got = abs(F.pairwise_distance(x, 0 * x, p=1.0, eps=0.0)[0] / (x[0, 0].double() * (1 << 20)) - 1) > 1e-5  # 170 roundings
""",
        gives=1.0,
        true=0.0,
        absolute=_norm_in_a_row,
    ),
    Divergence(
        "log-of-sum",
        cases=("CrossEntropyLoss-*", "LinearCrossEntropyLoss-*", "AdaptiveLogSoftmaxWithLoss-*"),
        of=EVERY,
        why="log_softmax subtracts log(sum exp(x - max)); with the largest term, 1, in the sum, what is below a "
        "roundoff of 1 is lost, in the loss and in exp(log p) - 1 of its gradient",
        reproducer="""
x = torch.tensor([[20.0, 0.0]])
got = F.cross_entropy(x, torch.tensor([0]))
""",
        gives=0.0,
        true=2.061153618190204e-09,
        link="https://github.com/pytorch/pytorch/issues/195678",
        departure=departures.log_of_sum,
    ),
    Divergence(
        "margins-add-up-in-a-row",
        cases=("MultiMarginLoss-wide[!6]*-cpu-*", "MultiMarginLoss-wide[!6]*-cuda-*", "MultiLabelMarginLoss-wide[!6]*-cpu-*"),
        of=("value", "input"),
        why="the margins of a row, and the gradients of a class, are added to a number one after the other; on CUDA those of "
        "128 threads",
        reproducer="""
x, y = torch.full((1, 4096), 0.1), torch.tensor([0])
got = abs(F.multi_margin_loss(x, y, margin=0.2) / F.multi_margin_loss(x.double(), y, margin=0.2) - 1) > 1e-5  # 170 roundings
""",
        gives=1.0,
        true=0.0,
        absolute=_margins_in_a_row,
    ),
    Divergence(
        "smoothed-classes-add-up-in-a-row",
        cases=("*CrossEntropyLoss-wide*label_smoothing*-cpu-*",),
        of=("input", "linear_*"),
        why="the backward pass of log_softmax adds up the gradients of all classes, one after another in each lane of a "
        "vector: those of smoothing are alike, and are rounded alike: n / 4 times, in lanes of 4; n times where the classes "
        "are not the last axis",
        reproducer="""
x = torch.zeros(1, 131072, requires_grad=True)
F.cross_entropy(x, torch.tensor([0]), label_smoothing=0.3).backward()
got = abs(x.grad[0, 5] / (0.7 / 131072) - 1) > 1e-5  # 170 roundings; 17 are the depth of a tree
""",
        gives=1.0,
        true=0.0,
        absolute=summed_over_classes(lambda case, passed, classes: passed * classes / (1 if "d1" in case.variant.form.axes else 4) * case.truth.accumulator.u),
    ),
    Divergence(
        "bce-gradient",
        cases=("BCELoss-*",),
        of=("input", "target"),
        why="backward divides by max(p (1 - p), 1e-12), and the derivative in the target forgets the clamp at -100",
        reproducer="""
p = torch.tensor([1e-20], requires_grad=True)
F.binary_cross_entropy(p, torch.tensor([0.0])).backward()
got = p.grad[0]
""",
        gives=9.999999682655225e-09,
        true=1.0,
        link="https://github.com/pytorch/pytorch/issues/103316",
        lost=_no_denominator,
        departure=departures.bce_gradient,
        absolute=subnormal(lambda input, target, weight=1: weight / np.maximum(input * (1 - input), 1e-12)),
    ),
    Divergence(
        "bce-with-logits-cancels",
        cases=("BCEWithLogitsLoss-*",),
        of=EVERY,
        why="(1 - t) x + log_weight * softplus(-x): for t = 0 and x < 0, x and softplus(-x) cancel",
        reproducer="""
x = torch.tensor([-16.0])
got = F.binary_cross_entropy_with_logits(x, torch.tensor([0.0]))
""",
        gives=0.0,
        true=1.1253516207787584e-07,
        link="https://github.com/pytorch/pytorch/issues/195529",
        departure=departures.bce_with_logits,
    ),
    Divergence(
        "focal-forms-one-minus-p",
        cases=("sigmoid_focal_loss-*",),
        of=EVERY,
        why="the focus is 1 - p_t of a rounded p_t, the derivative of the sigmoid p (1 - p) of a rounded p, and the loss "
        "beside them binary_cross_entropy_with_logits, which cancels",
        reproducer="""
from torchvision.ops import sigmoid_focal_loss
got = sigmoid_focal_loss(torch.tensor([16.0]), torch.tensor([1.0]), alpha=-1.0) * 1e21
""",
        gives=1.5992209,
        true=1.4251637,
        departure=departures.focal,
    ),
    Divergence(
        "multilabel-margin-backward-races",
        cases=("MultiLabelMarginLoss-wide*-cuda-*",),
        of=("input",),
        why="thread 0 adds the gradient of the last label to its class, and the thread of that class multiplies it by the "
        "cotangent, with no barrier between them: where both are in one warp, of 32 classes, it goes well. On an NVIDIA "
        "H200 with torch 2.11 the gradient was wrong in 20 runs of 20, by 0.5 to 0.97; on an H100 not in every run",
        reproducer="""
x, t = torch.randn(640, 64), torch.full((640, 64), -1); t[:, 0], t[:, 1] = 40, 50
def g(d): y = x.to(d).requires_grad_(); F.multilabel_margin_loss(y, t.to(d), reduction="sum").backward(); return y.grad.cpu()
got = any((g("cuda") - g("cpu")).abs().max() > 0.1 for _ in range(50))
""",
        gives=1.0,
        true=0.0,
        noise=anywhere,
        device="cuda",
    ),
    Divergence(
        "multilabel-two-logs",
        cases=("MultiLabelSoftMarginLoss-*",),
        of=("target",),
        why="the derivative in the target is log sigmoid(-x) - log sigmoid(x), which cancels; it is -x",
        reproducer="""
t = torch.tensor([[0.5]], requires_grad=True)
F.multilabel_soft_margin_loss(torch.tensor([[1e-9]]), t).backward()
got = t.grad[0, 0]
""",
        gives=0.0,
        true=-1e-9,
        departure=departures.two_logs,
    ),
    Divergence(
        "cosine-eps",
        cases=("CosineEmbeddingLoss-*",),
        of=EVERY,
        why="1e-12 is added to both squared norms: short vectors count as less alike than they are",
        reproducer="""
x = torch.full((1, 2), 1e-7)
got = F.cosine_embedding_loss(x, x, torch.tensor([1.0]))
""",
        gives=0.9803921580314636,
        true=0.0,
        torch="<2.14",
        link="https://github.com/pytorch/pytorch/issues/115786",
        departure=departures.cosine_with_eps(1.0),
        absolute=_of_short_vectors,
    ),
    Divergence(
        "cosine-eps-since-2.14",
        cases=("CosineEmbeddingLoss-*",),
        of=EVERY,
        why="as cosine-eps; the hinge has its derivative 0 at 0 since 2.14",
        reproducer="""
x = torch.full((1, 2), 1e-7)
got = F.cosine_embedding_loss(x, x, torch.tensor([1.0]))
""",
        gives=0.9803921580314636,
        true=0.0,
        torch=">=2.14",
        departure=departures.cosine_with_eps(0.0),
        absolute=_of_short_vectors,
    ),
    Divergence(
        "mean-of-one-row",
        cases=tuple(
            f"{loss}-unbatched*{what}-mean-*-cuda-*"
            for loss in ("NLLLoss", "CrossEntropyLoss", "LinearCrossEntropyLoss")
            for what in ("_ignore*", "_weight*")
        ),
        of=("value",),
        why="the kernel for one row writes 0 where its target is ignored, and the loss without its weight where that is not 0",
        reproducer="""
x = torch.zeros(3, device="cuda")
got = F.nll_loss(x, torch.tensor(-100, device="cuda"))
""",
        gives=0.0,
        true=NAN,
        link="https://github.com/pytorch/pytorch/pull/64572",
        device="cuda",
        departure=departures.alone,
    ),
    Divergence(
        "margin-of-nothing-has-no-number",
        cases=("MultiLabelMarginLoss-*-mean-*-cuda-empty", "MultiLabelMarginLoss-*-sum-*-cuda-empty"),
        of=("value",),
        why="for an empty batch the kernel returns before it gives its result, which begins with no element, a shape",
        reproducer="""
x = torch.zeros(0, 3, device="cuda")
got = F.multilabel_margin_loss(x, torch.zeros(0, 3, dtype=torch.int64, device="cuda"), reduction="sum").numel() - 1
""",
        gives=-1.0,
        true=0.0,
        device="cuda",
        shape=(0,),
    ),
    Divergence(
        "margin-of-nothing",
        cases=("MultiMarginLoss-*-empty", "MultiLabelMarginLoss-*-cpu-empty"),
        of=("value",),
        why="for an empty batch the kernel returns before it writes its result: mean and sum are uninitialised memory",
        reproducer="""
poison = [torch.full((), 7.0) for _ in range(64)]; del poison
x = torch.zeros(0, 3)
results = [F.multi_margin_loss(x, torch.zeros(0, dtype=torch.int64)) for _ in range(64)]
got = next((r for r in results if not r.isnan()), torch.nan)
""",
        gives=7.0,
        true=NAN,
        noise=anywhere,
    ),
    Divergence(
        "margin-running-sum",
        cases=("MultiMarginLoss-many*", "MultiMarginLoss-several*", "MultiLabelMarginLoss-many-*", "MultiLabelMarginLoss-several-*"),
        of=("value",),
        why="the reduction is one running sum over the batch",
        reproducer="""
x = torch.tensor([[0.0, 0.1]], dtype=torch.float64).expand(1 << 22, 2)
loss = F.multi_margin_loss(x, torch.zeros(1 << 22, dtype=torch.int64))
got = (loss - 0.55) * 1e9
""",
        gives=0.0129489,
        true=0.0,
        absolute=_serial,
    ),
    Divergence(
        "ctc-gradient-before-softmax",
        cases=("CTCLoss-*",),
        of=("log_probs",),
        why="the gradient is exp(log_probs) - posterior, that of the logits before a log_softmax; the derivative in "
        "log_probs is -posterior. Through a log_softmax both are the same. Where a log-probability is -inf it is NaN",
        reproducer="""
x = torch.tensor([[0.5, 0.5]]).log().requires_grad_()
F.ctc_loss(x, torch.tensor([1]), torch.tensor(1), torch.tensor(1)).backward()
got = x.grad[0, 0]
""",
        gives=0.5,
        true=0.0,
        link="https://github.com/pytorch/pytorch/issues/52241",
        departure=departures.ctc_through_softmax,
    ),
    *OF_SPECIAL,
    *OF_RANGE,
)


def applicable(case: Case, quantity: str, version: str) -> list[Divergence]:
    """The entries for a quantity of a case, in this release of torch."""
    return [e for e in DIVERGENCES if e.matches(case, quantity) and in_release(e.torch, version)]
