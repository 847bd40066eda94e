"""Where torch departs from the specification: known, minimised, bounded, and checked to be still there.

An entry says which cases it excuses, what torch gives and what is true, why, and the departure that the cases are
still held to. Its reproducer is run as a test: when torch gets better the run says so. Entries that match no
case are an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from typing import Any

import numpy as np
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from reference.accuracy import Budget, K, Truth
from reference.arithmetic import FloatArray, log_softmax

from . import departures
from .cases import Case
from .departures import Departure

EVERY = ("value", "*")


@dataclass(frozen=True)
class Divergence:
    """One known departure.

    cases:      patterns of case ids
    of:         patterns of quantities: "value", or the name of an argument, for its gradient
    why:        the line of the algorithm that loses it
    reproducer: three lines that leave `got`; gives: what torch's `got` is; true: what it should be
    torch:      the releases that have it; link: the upstream issue, if there is one
    device:     where the reproducer runs
    departure:  what torch computes in place of the truth; the cases are held to that as strictly
    absolute:   (case, quantity) -> an error that is allowed on top: what a subnormal step is multiplied by later
    shape:      what torch gives in place of a number: an array of this shape, of which no claim is made
    noise:      (case, quantity) -> where torch's result is noise, and no claim is made
    lost:       (case, quantity) -> where torch's result may be NaN or infinite; what is finite is right
    """

    name: str
    cases: tuple[str, ...]
    of: tuple[str, ...]
    why: str
    reproducer: str
    gives: float
    true: float
    torch: str = ">=2.6"
    link: str = ""
    device: str = "cpu"
    departure: Departure | None = None
    shape: tuple[int, ...] | None = None
    absolute: Callable[[Case, str], Any] | None = None
    noise: Callable[[Case, str], Any] | None = None
    lost: Callable[[Case, str], Any] | None = None

    def matches(self, case: Case, quantity: str) -> bool:
        """Whether the entry is about this quantity of this case."""
        return any(fnmatchcase(quantity, p) for p in self.of) and any(fnmatchcase(case.id, p) for p in self.cases)


def widen(entries: list[Divergence], case: Case, quantity: str, budget: Budget, cotangent: FloatArray | None) -> Iterator[Budget]:
    """The budget that a case of these entries is still held to, after narrower ones that are quicker to find."""
    truth = departed(case.truth, tuple(entry.departure for entry in entries if entry.departure is not None))
    if truth is case.truth:
        yield _excused(entries, case, quantity, budget)
    elif cotangent is None:
        yield _excused(entries, case, quantity, truth.value(case.reduction))
    else:
        yield from (_excused(entries, case, quantity, budgets[quantity]) for budgets in truth.growing(case.reduction, cotangent))


def _excused(entries: list[Divergence], case: Case, quantity: str, budget: Budget) -> Budget:
    """The budget of what the departures make of the truth, with what besides them is allowed."""
    for entry in entries:
        if entry.absolute is not None:
            extra = np.asarray(entry.absolute(case, quantity))
            if extra.shape not in ((), budget.want.shape):  # of the elements, for what they are reduced to
                extra = extra.max(initial=0) * (extra.size if case.reduction == "sum" else 1)
            budget = replace(budget, allowed=budget.allowed + extra)
        if entry.shape is not None:
            none = np.zeros(entry.shape)
            return Budget(none, none + np.inf, lambda: True)
        if entry.lost is not None:
            budget = replace(budget, overflow=partial(np.logical_or, budget.may_overflow, entry.lost(case, quantity)))
        if entry.noise is not None:
            free = np.broadcast_to(entry.noise(case, quantity), budget.want.shape)
            want = np.where(free & ~np.isfinite(budget.want), 0, budget.want)
            budget = Budget(want, np.where(free, np.inf, budget.allowed), partial(np.logical_or, budget.may_overflow, free))
    return budget


@lru_cache(maxsize=32)  # by identity: a case asks of its value and of every gradient
def departed(truth: Truth, departures: tuple[Departure, ...]) -> Truth:
    """The truth as torch computes it: each departure departs from the one before."""
    for departure in departures:
        truth = replace(truth, definition=partial(departure, truth))
    return truth


def applicable(case: Case, quantity: str, version: str) -> list[Divergence]:
    """The entries for a quantity of a case, in this release of torch."""
    return [e for e in DIVERGENCES if e.matches(case, quantity) and in_release(e.torch, version)]


@lru_cache
def in_release(specifier: str, version: str) -> bool:
    """Whether a release of torch (2.13.0+cpu) is among those specified (>=2.6,<2.14)."""
    return Version(Version(version).base_version) in SpecifierSet(specifier)


def _anywhere(case: Case, quantity: str) -> bool:
    return True


def _subnormal(times: Callable[..., Any]) -> Callable[[Case, str], Any]:
    """K subnormal steps, multiplied by a function of the arguments."""

    def absolute(case: Case, quantity: str) -> Any:
        with np.errstate(all="ignore"):
            factor = times(**case.truth.arguments)
        return K * case.format.step * np.where(np.isfinite(factor), factor, 0)

    return absolute


def _rows_with_nan(case: Case, quantity: str) -> Any:
    """Where the sequence has a NaN in one of its frames: (T, N, C), or (T, C) of a single one."""
    log_probs = case.truth.drawn.arguments["log_probs"]
    frames = np.arange(log_probs.shape[0]).reshape(-1, *[1] * (log_probs.ndim - 1))
    lengths = case.truth.drawn.arguments["input_lengths"].reshape(*[1] * (log_probs.ndim == 3), -1, 1)
    read = np.isnan(log_probs) & (frames < lengths)
    return np.broadcast_to(read.any(axis=(0, -1), keepdims=True), log_probs.shape)


def _product_overflows(case: Case, quantity: str) -> Any:
    """Where the slope times the cotangent leaves the format, before it is divided by the number of elements."""
    loss = case.truth.loss
    cotangent = case.cotangent(loss.reduce(case.reduction).shape)
    shapes = {name: a.shape for name, a in case.truth.arguments.items()}
    with np.errstate(all="ignore"):
        product = loss.gradients(np.asarray(cotangent, dtype=loss.value.dtype), "sum", shapes, absolute=True)[quantity]
        return product * (1 + K * case.format.u) > case.format.max


def _serial(case: Case, quantity: str) -> Any:
    """N roundings of a running sum, for log2(n) of a tree; they average out as a random walk does."""
    loss = case.truth.loss
    return 4 * case.format.u * np.sqrt(loss.value.size) * abs(loss.value * loss.factors(case.reduction)).sum()


def _summed_over_classes(lost: Callable[[Case, FloatArray, int], Any]) -> Callable[[Case, str], Any]:
    """What a row's gradients are off by, where so much is `lost` of the sum, `passed` in all, of those of its log-probabilities."""

    def absolute(case: Case, quantity: str) -> Any:
        loss, given = case.truth.loss, case.truth.arguments
        passed = np.max(given.get("weight", np.ones(1))) * abs(case.cotangent(loss.reduce(case.reduction).shape) * loss.factors(case.reduction))
        row = np.asarray(lost(case, passed, given["input"].shape[1]))
        return np.exp(log_softmax(given["input"])) * row.reshape(-1, *[1] * row.ndim)

    return absolute


def _kl_amplification(input: FloatArray, target: FloatArray) -> FloatArray:
    """Of the product with a probability, which is divided by it; of exp(target), which meets the rest."""
    return np.where(target > 0, 1 / np.where(target > 0, target, 1), 1 + abs(target - input))


def _powers_leave(case: Case, quantity: str) -> Any:
    """Everything, if a sum of powers leaves the format in any row: such a row has no finite gradient."""
    power = max(2.0, case.variant.options.get("p", 2.0))
    a, *others = (v for v in case.truth.arguments.values() if v.ndim == len(case.variant.form.axes))
    with np.errstate(all="ignore"):
        sums = [(abs(v) ** power).sum(-1) for v in (a, *others, *(a - o for o in others))]
    return any(np.any(np.isfinite(s) & ((s > case.format.max) | ((s < case.format.tiny) & (s > 0)))) for s in sums)


NAN, INF = float("nan"), float("inf")

DIVERGENCES: tuple[Divergence, ...] = (
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
        "smoothed-classes-add-up-in-a-row",
        cases=("CrossEntropyLoss-wide*label_smoothing*-cpu-*",),
        of=("input",),
        why="the backward pass of log_softmax adds up the gradients of all classes, one after another in each lane of a "
        "vector: those of smoothing are alike, and are rounded alike",
        reproducer="""
x = torch.zeros(1, 131072, requires_grad=True)
F.cross_entropy(x, torch.tensor([0]), label_smoothing=0.3).backward()
got = abs(x.grad[0, 5] / (0.7 / 131072) - 1) > 1e-5  # 170 roundings; 17 are the depth of a tree
""",
        gives=1.0,
        true=0.0,
        absolute=_summed_over_classes(lambda case, passed, classes: passed * classes / 4 * case.truth.accumulator.u),
    ),
    Divergence(
        "smoothed-classes-underflow",
        cases=("CrossEntropyLoss-wide*label_smoothing*-float16-*",),
        of=("input",),
        why="the gradient of each class's log-probability is a number of half precision, and subnormal if the classes are "
        "many; the errors of all of them add up in the sum that log_softmax's backward pass takes",
        reproducer="""
x = torch.tensor([[0.0, 20.0] + 32766 * [0.0]], dtype=torch.float16, requires_grad=True)
F.cross_entropy(x, torch.tensor([0]), label_smoothing=0.05).backward(torch.tensor(2**-6, dtype=torch.float16))
got = 64 * x.grad[0, 1]
""",
        gives=0.95,
        true=0.99993,
        absolute=_summed_over_classes(lambda case, passed, classes: classes / 2 * case.format.step),
    ),
    Divergence(
        "infinite-logit",
        cases=(
            "CrossEntropyLoss-*-inf_input",
            "LinearCrossEntropyLoss-*inf_*",
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
        noise=_anywhere,
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
        noise=_anywhere,
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
        departure=departures.bce_gradient,
        absolute=_subnormal(lambda input, target, weight=1: weight * 1e12),
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
        cases=("MultiLabelMarginLoss-wide64*-cuda-*",),
        of=("input",),
        why="thread 0 adds the gradient of the last label to its class, and the thread of that class multiplies it by the "
        "cotangent, with no barrier between them: where both are in one warp, of 32 classes, it goes well. On an NVIDIA "
        "H200 with torch 2.11 the gradient was wrong in 20 runs of 20, by 0.5 to 0.97",
        reproducer="""
x, t = torch.randn(640, 64), torch.full((640, 64), -1); t[:, 0], t[:, 1] = 40, 50
def g(d): y = x.to(d).requires_grad_(); F.multilabel_margin_loss(y, t.to(d), reduction="sum").backward(); return y.grad.cpu()
got = (g("cuda") - g("cpu")).abs().max() > 0.1
""",
        gives=1.0,
        true=0.0,
        noise=_anywhere,
        device="cuda",
    ),
    Divergence(
        "half-target-times-cotangent",
        cases=("BCEWithLogitsLoss-*-mean-float16-*",),
        of=("target",),
        why="the derivative in the target is multiplied by the cotangent first, and divided by the number of elements last",
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
        "soft-margin-overflows",
        cases=("SoftMarginLoss-*",),
        of=EVERY,
        why="log(1 + exp(-y x)) as it stands: exp overflows, and its derivative is inf / inf",
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
        torch="<2.10",
        departure=departures.soft_margin_early,
    ),
    Divergence(
        "sign-of-nan",
        cases=(
            "L1Loss-*-nan_*",
            "L1Loss-*inf_*",
            "L1Loss-*-sweep",
            "SmoothL1Loss-*beta.0.0-*-nan_*",
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
        of=("input*", "anchor", "positive", "negative"),
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
        of=("input*", "anchor", "positive", "negative"),
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
        departure=departures.cosine_with_eps(1.0),
        absolute=_subnormal(lambda input1, input2, target: 1e12),
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
        absolute=_subnormal(lambda input1, input2, target: 1e12),
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
        "kl-zero-times-infinity",
        cases=("KLDivLoss-*",),
        of=EVERY,
        why="target * log(target) - target * input multiplied out: where the target is 0 and a log-probability is "
        "-inf, 0 * inf is NaN",
        reproducer="""
x = torch.tensor([[0.0, float("-inf")]])
got = F.kl_div(x, torch.tensor([[1.0, 0.0]]), reduction="batchmean")
""",
        gives=NAN,
        true=0.0,
        link="https://github.com/pytorch/pytorch/issues/115588",
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
got = F.multi_margin_loss(x, torch.zeros(0, dtype=torch.int64))
""",
        gives=7.0,
        true=NAN,
        noise=_anywhere,
    ),
    Divergence(
        "margin-running-sum",
        cases=("MultiMarginLoss-many-*", "MultiLabelMarginLoss-many-*"),
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
        absolute=_subnormal(lambda input, target, var: 2 * abs(input - target)),
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
        absolute=_subnormal(lambda input, target, var: 1 / np.maximum(var.reshape(var.shape), 1e-6) ** 2),
    ),
    Divergence(
        "cosine-of-short-vectors",
        cases=("CosineEmbeddingLoss-*-tiny",),
        of=EVERY,
        why="squares and products of the smallest numbers are 0: a cosine just beside the margin is at it, and in "
        "float16, where 1e-12 is 0 too, 0 / 0",
        reproducer="""
x = torch.full((1, 2), 1e-4, dtype=torch.float16)
got = F.cosine_embedding_loss(x, x, torch.tensor([1.0]))
""",
        gives=NAN,
        true=0.0,
        noise=_anywhere,
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
        absolute=_subnormal(_kl_amplification),
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
        absolute=_subnormal(lambda input, **rest: abs(input).sum()),
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
        absolute=_subnormal(lambda input, tail_weights, **rest: abs(input).sum() * (1 + max(abs(w).max() for layers in tail_weights for w in layers))),
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
    Divergence(
        "ctc-impossible-nan",
        cases=("CTCLoss-*-nan_log_probs",),
        of=("log_probs",),
        why="a NaN at a label that no spelling of the target can have in that frame is added to the sum over the spellings all the same",
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
