"""Where the paths are known to be less than the loss, in the cases of the matrix: patterns of their ids, and why.

A pattern is of `path-case`, a case being loss, variant, reduction, dtype, device and regime. Each is needed by some
case of its path, or the run says so; torch's own divergences (`tests/divergences.py`) apply to all paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.divergence import in_release


@dataclass(frozen=True, slots=True)
class Less:
    """`cases` are patterns; `why`, what is lost there; `torch`, the releases in which it is."""

    cases: tuple[str, ...]
    why: str
    torch: str = ">=2.6"


def _unfused(losses: str, regimes: str, why: str, torch: str = ">=2.6") -> Less:
    """Of the composed path, compiled or not."""
    return Less(tuple(f"*unfused-{loss}-*-{regime}" for loss in losses.split() for regime in regimes.split()), why, torch)


DIVERGENCES = (
    _unfused(
        "BCEWithLogitsLoss MultiLabelSoftMarginLoss sigmoid_focal_loss",
        "*",
        "1 - sigmoid(x) cancels where x is large, and log(1 - sigmoid(x)) more so",
    ),
    _unfused("BCELoss", "tiny near_boundary boundary", "1 - p is 1 where p is below its roundoff, and a clamped logarithm has the gradient 0 * inf"),
    _unfused("SoftMarginLoss", "typical tails large two_classes trained saturated nan_input *inf_input", "log(1 + exp) with the 1 in the sum loses what is below a roundoff of 1"),
    _unfused("CrossEntropyLoss LinearCrossEntropyLoss", "typical trained offset", "softmax rounds a probability near 1, and its log keeps that error"),
    _unfused("CrossEntropyLoss LinearCrossEntropyLoss", "large huge tails saturated two_classes masked neginf_input neginf_linear_bias", "the log of a probability that underflows is -inf, and its gradient 0 * inf"),
    _unfused("CTCLoss", "boundary short nan_log_probs", "where no spelling is possible the gradient is 0, and not the undefined 0 / 0; a NaN spreads to what no spelling reads"),
    _unfused("CTCLoss", "large", "two log-probabilities that are as good as -inf are subtracted from each other"),
    _unfused("HuberLoss SmoothL1Loss", "huge *inf_input *inf_target", "the square is infinite in the branch that is not taken, and its gradient 0 * inf"),
    _unfused("BCELoss", "inf_weight", "the terms of t and of 1 - t are multiplied by the weight one by one, and their gradients taken from each other: inf - inf"),
    _unfused("CosineEmbeddingLoss", "zero", "the cosine of a vector of length 0 is 0 / 0"),
    _unfused("TripletMarginLoss", "kinks", "a norm of 0 has the derivative 0 / 0"),
    _unfused("MultiMarginLoss MultiLabelMarginLoss", "kinks huge", "clamp has the derivative 1 at its bound", torch="<2.14"),
    _unfused("MultiMarginLoss", "nan_weight inf_weight", "a weight that is no number is multiplied into terms that have no part in the sum, and 0 * NaN is NaN"),
    _unfused("PoissonNLLLoss", "nan_target", "where(target > 1) takes a NaN for a small count"),
    Less(("compiled_unfused-NLLLoss-unbatched*weight*",), "the weight of one class is picked by an index without axes, which the compiler takes for a number"),
    Less(tuple(f"compiled_fused-{loss}-*-mean-*-empty" for loss in ("MSELoss", "SmoothL1Loss", "HuberLoss")), "the mean of nothing is divided by 0 while it is compiled, and that ends in a ZeroDivisionError"),
    Less(("compiled_fused-SmoothL1Loss-*-nan_*", "compiled_fused-SmoothL1Loss-*-inf_all"), "the compiled derivative of a NaN is 0"),
    Less(("compiled_fused-MultiMarginLoss-unbatched*-none-*",), "a batch axis is added to an unbatched input and left there: (1), not ()"),
    Less(("compiled_fused-MultiMarginLoss-*-kinks", "compiled_fused-MultiMarginLoss-*-huge"), "the decomposition's clamp has the derivative 1 at its bound"),
    Less(("compiled_fused-L1Loss-*weight*",), "traced, it forgets its weight: see tests/test_overrides.py"),
    Less(("compiled_fused-SoftMarginLoss-*",), "the compiled gradient is sigmoid(z) - 1, which cancels where the loss is small"),
    Less(("compiled_fused-MultiLabelMarginLoss-*",), "counts labels beyond the first -1, which ends the list"),
    Less(("compiled_fused-GaussianNLLLoss-*",), "asks whether a variance is negative, which no whole graph can"),
    Less(("compiled_fused-CTCLoss-*",), "the shape of an operator's output depends on data, which no whole graph can have"),
)


def current(release: str) -> list[Less]:
    """The entries of a release of torch."""
    return [entry for entry in DIVERGENCES if in_release(entry.torch, release)]


def known(case: str, release: str) -> Less | None:
    """The entry about a case of a path."""
    return next((entry for entry in current(release) if any(fnmatchcase(case, pattern) for pattern in entry.cases)), None)
