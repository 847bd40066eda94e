"""Where torch departs because a number on the way leaves the range of the format, or is subnormal there."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference.accuracy import K
from reference.arithmetic import FloatArray

from . import departures
from .cases import Case
from .divergence import EVERY, INF, NAN, Divergence, anywhere, subnormal, summed_over_classes


def _product_overflows(case: Case, quantity: str) -> Any:
    """Where the slope times the cotangent leaves the format, before it is divided by the number of elements."""
    loss = case.truth.loss
    cotangent = case.cotangent(loss.reduce(case.reduction).shape)
    shapes = {name: a.shape for name, a in case.truth.arguments.items()}
    with np.errstate(all="ignore"):
        product = loss.gradients(np.asarray(cotangent, dtype=loss.value.dtype), "sum", shapes, absolute=True)[quantity]
        return product * (1 + K * case.format.u) > case.format.max


def _square_overflows(case: Case, quantity: str) -> Any:
    """Where the square of a margin leaves the format, before it is weighted and divided by the number of classes."""
    x, y = case.truth.arguments["input"], case.truth.arguments["target"]
    with np.errstate(all="ignore"):
        gap = case.variant.options.get("margin", 1.0) + x - np.take_along_axis(x, y[..., None], -1)
        return (np.where(gap > 0, gap, 0) ** 2 * (1 + K * case.format.u) > case.format.max).any(-1)


def _kl_amplification(input: FloatArray, target: FloatArray) -> FloatArray:
    """Of the product with a probability, which is divided by it; of exp(target), which meets the rest."""
    return np.where(target > 0, 1 / np.where(target > 0, target, 1), 1 + abs(target - input))


def _powers_leave(case: Case, quantity: str) -> Any:
    """Everything, if a sum of powers leaves the format in any row: such a row has no finite gradient.

    The sum of a norm is one in float32 where the numbers are of half precision, and its root is a number of the format;
    the products of a cosine are of the format, as are powers in a gradient.
    """
    p = case.variant.options.get("p", 2.0)
    eps = 0.0 if case.row.name == "CosineEmbeddingLoss" else case.variant.options.get("eps", 1e-6)  # of the distance
    composed = case.row.name == "CosineEmbeddingLoss" or (quantity != "value" and p != 2)
    power, wide = (max(2.0, p), case.format) if composed else (p, case.truth.accumulator)
    least = wide.tiny if quantity == "value" else case.format.tiny
    a, *others = (v for v in case.truth.arguments.values() if v.ndim == len(case.variant.form.axes))
    with np.errstate(all="ignore"):
        sums = [(abs(v) ** power).sum(-1) for v in (a, *others, *(a - o + eps for o in others))]
        leave = [(s > wide.max) | (s ** (1 / power) > case.format.max) | ((s < least) & (s > 0)) for s in sums]
    return any(np.any(np.isfinite(s) & left) for s, left in zip(sums, leave, strict=True))


def _either_sum_leaves(case: Case, quantity: str) -> Any:
    """Everything, if the sum of the weighted losses, or that of the weights, leaves the format, or nearly."""
    loss = case.truth.loss
    return any(abs(each).sum() > 0.9 * case.format.max for each in (loss.value, loss.denominator) if each is not None)


def _half_a_step_of_each_factor(case: Case, quantity: str) -> Any:
    """What the sum of a class's losses makes of half a step in the factor that they share, and of their products' own."""
    loss, given = case.truth.loss, case.truth.arguments
    rows, classes = given["input"].shape
    shapes = {name: a.shape for name, a in given.items()}
    losses = classes * loss.gradients(np.ones((), dtype=loss.value.dtype), "sum", shapes, absolute=True)["weight"]
    return case.format.step * (losses / 2 + np.sqrt(rows))


OF_RANGE: tuple[Divergence, ...] = (
    Divergence(
        "smoothed-classes-underflow",
        cases=("*CrossEntropyLoss-wide*label_smoothing*-float16-*",),
        of=("input", "linear_*"),
        why="the gradient of each class's log-probability is a number of half precision, and subnormal if the classes are "
        "many, rounded twice to a step: by the number of rows and by that of classes; the errors of all of them add up in the "
        "sum that log_softmax's backward pass takes",
        reproducer="""
x = torch.tensor([[0.0, 20.0] + 32766 * [0.0]], dtype=torch.float16, requires_grad=True)
F.cross_entropy(x, torch.tensor([0]), label_smoothing=0.05).backward(torch.tensor(2**-6, dtype=torch.float16))
got = 64 * x.grad[0, 1]
""",
        gives=0.95,
        true=0.99993,
        absolute=summed_over_classes(lambda case, passed, classes: classes * case.format.step),
    ),
    Divergence(
        "half-slope-times-cotangent",
        cases=("BCEWithLogitsLoss-*-mean-float16-*",),
        of=("input", "target"),
        why="the derivative is multiplied by the cotangent first, and divided by the number of elements last",
        reproducer="""
x, t = torch.full((4,), -30000.0, dtype=torch.float16), torch.zeros(4, dtype=torch.float16, requires_grad=True)
F.binary_cross_entropy_with_logits(x, t).backward(torch.tensor(4.0, dtype=torch.float16))
got = t.grad[0]
""",
        gives=INF,
        true=30000.0,
        noise=_product_overflows,
    ),
    Divergence(
        "soft-margin-overflows",
        cases=("SoftMarginLoss-*",),
        of=EVERY,
        why="log1p(exp(-y x)) as it stands: exp overflows, and its derivative is inf / inf",
        reproducer="""
x = torch.tensor([-100.0])
got = F.soft_margin_loss(x, torch.tensor([1.0]))
""",
        gives=INF,
        true=100.0,
        link="https://github.com/pytorch/pytorch/issues/77529",
        departure=departures.naive_soft_margin,
    ),
    Divergence(
        "soft-margin-overflows-early",
        cases=("SoftMarginLoss-*",),
        of=("value",),
        why="the vector log1p is inf from 1e38 on, and that of float64 from 1e307",
        reproducer="""
x = torch.full((64,), -87.5, dtype=torch.bfloat16)
got = F.soft_margin_loss(x, torch.ones_like(x))
""",
        gives=INF,
        true=87.5,
        torch="<2.7",
        departure=departures.soft_margin_early,
    ),
    Divergence(
        "margin-in-half",
        cases=tuple(f"{loss}-*-{half}-cuda-*" for loss in ("MultiMarginLoss", "MultiLabelMarginLoss") for half in ("float16", "bfloat16")),
        of=("input",),
        why="margin - input[target] + input[c] is rounded to half precision after each step, before it is compared with 0: "
        "of scores of a few hundred, which is greater, and by how much, is lost",
        reproducer="""
x = torch.tensor([[300.0, 300.0]], dtype=torch.bfloat16, device="cuda", requires_grad=True)
F.multi_margin_loss(x, torch.tensor([0], device="cuda")).backward()
got = x.grad[0, 1]
""",
        gives=0.0,
        true=0.5,
        device="cuda",
        departure=departures.margin_in_format,
    ),
    Divergence(
        "margin-squared-in-half",
        cases=("MultiMarginLoss-*_p.2*-float16-cuda-*",),
        of=("value",),
        why="the square of a margin is a number of float16, before it is weighted and divided by the number of classes",
        reproducer="""
x = torch.tensor([[0.0, 300.0]], dtype=torch.float16, device="cuda")
got = F.multi_margin_loss(x, torch.tensor([0], device="cuda"), p=2)
""",
        gives=INF,
        true=45300.5,
        device="cuda",
        lost=_square_overflows,
    ),
    Divergence(
        "half-sum-overflows",
        cases=("NLLLoss-many*-float16-*", "CrossEntropyLoss-many-*-float16-*"),
        of=("value",),
        why="the sum that the mean divides is kept in float16: it overflows from 65,504, whatever the mean",
        reproducer="""
x = torch.full((40000, 2), -2.0, dtype=torch.float16)
got = F.nll_loss(x, torch.zeros(40000, dtype=torch.int64))
""",
        gives=INF,
        true=2.0,
        link="https://github.com/pytorch/pytorch/issues/85791",
        departure=departures.may_overflow,
    ),
    Divergence(
        "half-smoothing-overflows",
        cases=(
            "*CrossEntropyLoss-*label_smoothing*-float16-*-large",
            "*CrossEntropyLoss-*label_smoothing*-float16-*-offset",
            "*CrossEntropyLoss-wide*label_smoothing*-float16-*",
        ),
        of=EVERY,
        why="label smoothing adds the log-probabilities of all classes before it divides them by their number",
        reproducer="""
x = torch.tensor([[60000.0, 0.0, 0.0]], dtype=torch.float16)
got = F.cross_entropy(x, torch.tensor([0]), label_smoothing=0.5)
""",
        gives=INF,
        true=20000.0,
        departure=departures.may_overflow,
    ),
    Divergence(
        "half-logits-overflow",
        cases=("LinearCrossEntropyLoss-*-float16-*-large", "LinearCrossEntropyLoss-*-float16-*-offset"),
        of=EVERY,
        why="the logits of the linear layer are rounded to float16, and overflow where their differences need not",
        reproducer="""
x, w = torch.full((1, 2), 300.0, dtype=torch.float16), torch.full((2, 2), 200.0, dtype=torch.float16)
got = F.linear_cross_entropy(x, w, torch.tensor([0]))
""",
        gives=NAN,
        true=0.6931471805599453,
        torch=">=2.13",
        departure=departures.may_overflow,
    ),
    Divergence(
        "half-layers-overflow",
        cases=("AdaptiveLogSoftmaxWithLoss-*-float16-*-large", "AdaptiveLogSoftmaxWithLoss-*-float16-*-offset"),
        of=EVERY,
        why="the scores of a cluster are rounded to float16, and overflow where their differences need not",
        reproducer="""
m = torch.nn.AdaptiveLogSoftmaxWithLoss(2, 4, [2], div_value=1.0, dtype=torch.float16)
torch.nn.init.constant_(m.head.weight, 200.0)
got = m(torch.full((1, 2), 300.0, dtype=torch.float16), torch.tensor([0])).loss
""",
        gives=NAN,
        true=1.0986122886681098,
        departure=departures.may_overflow,
    ),
    Divergence(
        "powers-leave-the-format",
        cases=("CosineEmbeddingLoss-*", "TripletMargin*-*-huge", "TripletMargin*-*-float16-*"),
        of=EVERY,
        why="norms are roots of sums of powers that are not scaled: past the root of the largest number they are inf, "
        "and below that of the smallest, 0",
        reproducer="""
x = torch.tensor([[1e20, 1e20]])
got = F.cosine_embedding_loss(x, x, torch.tensor([1.0]))
""",
        gives=NAN,
        true=0.0,
        link="https://github.com/pytorch/pytorch/issues/184036",
        noise=_powers_leave,
    ),
    Divergence(
        "half-variance-underflows",
        cases=("GaussianNLLLoss-*-float16-*",),
        of=("input", "target"),
        why="the cotangent is divided by 2 var before it meets the residual, and is subnormal, or infinite, by then",
        reproducer="""
x = torch.tensor([1000.0], dtype=torch.float16, requires_grad=True)
F.gaussian_nll_loss(x, torch.zeros_like(x), torch.full_like(x, 60000.0)).backward(torch.full((), 0.01, dtype=torch.float16))
got = x.grad[0]
""",
        gives=0.00011932849884033203,
        true=0.00016676041764404684,
        departure=departures.may_overflow,
        absolute=subnormal(lambda input, target, var: 2 * abs(input - target)),
    ),
    Divergence(
        "half-residual-underflows",
        cases=("GaussianNLLLoss-*-float16-*",),
        of=("var",),
        why="the square of the residual is subnormal before it is divided by the square of the variance",
        reproducer="""
v = torch.tensor([1e-5], dtype=torch.float16, requires_grad=True)
F.gaussian_nll_loss(torch.full((1,), 2e-4, dtype=torch.float16), torch.zeros(1, dtype=torch.float16), v).backward()
got = v.grad[0]
""",
        gives=49632.0,
        true=49732.66638321995,
        absolute=subnormal(lambda input, target, var: 1 / np.maximum(var.reshape(var.shape), 1e-6) ** 2),
    ),
    Divergence(
        "cosine-of-short-vectors",
        cases=("CosineEmbeddingLoss-*-float16-*-tiny",),
        of=EVERY,
        why="squares and products of the smallest numbers are 0, and 1e-12 is 0 too: 0 / 0, or a cosine just beside the margin is at it",
        reproducer="""
x = torch.full((1, 2), 1e-4, dtype=torch.float16)
got = F.cosine_embedding_loss(x, x, torch.tensor([1.0]))
""",
        gives=NAN,
        true=0.0,
        noise=anywhere,
    ),
    Divergence(
        "kl-subnormal-target",
        cases=("KLDivLoss-*",),
        of=("value", "target"),
        why="the derivative of xlogy is (cotangent * target) / target, where the product may be subnormal; so may be "
        "exp(target), before it is multiplied",
        reproducer="""
t = torch.tensor([4e-45], requires_grad=True)
F.kl_div(torch.tensor([0.0]), t, reduction="sum").backward(torch.tensor(0.4))
got = t.grad[0] / 0.4
""",
        gives=-101.34698486328125,
        true=-101.18031761476374,
        absolute=subnormal(_kl_amplification),
    ),
    Divergence(
        "linear-subnormal-probability",
        cases=("LinearCrossEntropyLoss-*-large",),
        of=("linear_weight",),
        why="a subnormal probability is multiplied by the inputs of the layer",
        reproducer="""
x, w = torch.tensor([[1000.0]]), torch.tensor([[0.1], [0.0]], requires_grad=True)
F.linear_cross_entropy(x, w, torch.tensor([0])).backward()
got = w.grad[1, 0]
""",
        gives=3.783505853677006e-41,
        true=3.720075976020836e-41,
        torch=">=2.13",
        absolute=subnormal(lambda input, **rest: abs(input).sum()),
    ),
    Divergence(
        "adaptive-subnormal-probability",
        cases=("AdaptiveLogSoftmaxWithLoss-*-large",),
        of=("head_weight", "tail_weights.*"),
        why="as linear-subnormal-probability, in the layers of the head and of each cluster",
        reproducer="""
m = torch.nn.AdaptiveLogSoftmaxWithLoss(1, 3, [1], div_value=1.0)
m.head.weight.data = torch.tensor([[0.1], [0.0]])
m(torch.tensor([[1000.0]]), torch.tensor([0])).loss.backward()
got = m.head.weight.grad[1, 0]
""",
        gives=3.783505853677006e-41,
        true=3.720075976020836e-41,
        absolute=subnormal(lambda input, tail_weights, **rest: abs(input).sum() * (1 + max(abs(w).max() for layers in tail_weights for w in layers))),
    ),
    Divergence(
        "weighted-sums-overflow",
        cases=(
            *(f"{loss}-many_weight-mean-float16-*" for loss in ("L1Loss", "MSELoss")),
            *(f"{loss}-many_weight-mean-float16-cpu-*" for loss in ("NLLLoss", "CrossEntropyLoss")),
        ),
        of=EVERY,
        why="a weighted mean is the quotient of two sums, and each is a number of half precision by itself",
        reproducer="""
ones = torch.ones(70000, dtype=torch.float16)
got = F.mse_loss(ones, 0 * ones, weight=ones)
""",
        gives=NAN,
        true=1.0,
        noise=_either_sum_leaves,
    ),
    Divergence(
        "half-mean-is-subnormal",
        cases=("MultiLabelSoftMarginLoss-many_weight-mean-float16-*",),
        of=("weight",),
        why="the cotangent is divided by the number of rows, then by that of classes, and rounded to float16 before the losses "
        "of a class are multiplied by it and added up: of 200,000 numbers it is subnormal, and off by some percent for all",
        reproducer="""
x, w = torch.zeros(1000, 256, dtype=torch.float16), torch.ones(256, dtype=torch.float16, requires_grad=True)
F.multilabel_soft_margin_loss(x, x, weight=w).backward(torch.tensor(0.1, dtype=torch.float16))
got = w.grad[0]
""",
        gives=0.0002980232238769531,
        true=0.0002706945137398697,
        absolute=_half_a_step_of_each_factor,
    ),
    Divergence(
        "half-eps-rounds-away",
        cases=("PoissonNLLLoss-*rate_log_input.False-none-float16-*-sweep",),
        of=EVERY,
        why="eps is added in float16, where 1e-8 rounds to 0: at a rate of 0 the logarithm is -inf",
        reproducer="""
x = torch.tensor([0.0], dtype=torch.float16)
got = F.poisson_nll_loss(x, torch.ones_like(x), log_input=False)
""",
        gives=INF,
        true=18.420680743952367,
        departure=departures.eps_rounds_away,
    ),
    Divergence(
        "gaussian-variance-overflows",
        cases=("GaussianNLLLoss-*-sweep",),
        of=("var",),
        why="the derivative of (x - t)**2 / var is divided by var twice before it is halved, and overflows where half of it "
        "need not",
        reproducer="""
v = torch.tensor([0.125], dtype=torch.float16, requires_grad=True)
F.gaussian_nll_loss(torch.tensor([32.0], dtype=torch.float16), torch.tensor([0.0], dtype=torch.float16), v).backward()
got = v.grad[0]
""",
        gives=-INF,
        true=-32764.0,
        departure=departures.gaussian_quotient,
    ),
)
