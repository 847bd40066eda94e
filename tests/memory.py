"""What the graph of each loss keeps, and where a result holds more memory than it has numbers."""

from __future__ import annotations

from dataclasses import dataclass

from .known import Known


@dataclass(frozen=True)
class Saved:
    """Memory that autograd keeps for the backward pass beside the arguments, in multiples of the first of them.

    needs: what an algorithm that is no slower has to keep; saves: what torch keeps, and why it does
    masks: how many masks of a byte per element, which count by the size of the numbers
    """

    cases: tuple[str, ...]
    needs: float
    saves: float
    why: str
    give: float = 0.0  # where it depends on the numbers
    masks: int = 0


# The first that matches counts. Where `saves` is more than `needs`, the gradient is a function of the arguments,
# as cheap as what is kept, and torch keeps the steps of a composition instead of recomputing them.
SAVED: tuple[Saved, ...] = (
    Saved(
        ("L1Loss-*weight*", "MSELoss-*weight*"),
        0,
        2,
        "the difference, and its size or square, which the weight multiplies",
    ),
    Saved(("HuberLoss-*weight*",), 0, 1, "the unweighted loss, which the weight multiplies"),
    Saved(("L1Loss-*", "SmoothL1Loss-*beta.0.0*"), 0, 1, "the difference, whose sign is the gradient"),
    Saved(("MSELoss-*", "HuberLoss-*", "SmoothL1Loss-*"), 0, 0, "a kernel of its own, forward and backward"),
    Saved(
        ("PoissonNLLLoss-*full*",),
        0,
        4,
        "input + eps, target log target and its logarithm, and a mask",
        masks=1,
    ),
    Saved(("PoissonNLLLoss-*",), 0, 1, "exp(input)"),
    Saved(("GaussianNLLLoss-*var_*",), 0, 2, "the difference and its square; a variance per row"),
    Saved(("GaussianNLLLoss-*",), 0, 3, "the difference, its square, and the clamped variance"),
    Saved(("KLDivLoss-*log_target*",), 0, 2, "exp(target) and target - input"),
    Saved(("KLDivLoss-*",), 0, 0, "xlogy and a product keep their arguments"),
    Saved(("BCELoss-*", "BCEWithLogitsLoss-*", "SoftMarginLoss-*"), 0, 0, "a kernel of its own, forward and backward"),
    Saved(("MultiLabelSoftMarginLoss-*weight*-cuda",), 0, 5, "as without weight, and the loss that it multiplies"),
    Saved(("MultiLabelSoftMarginLoss-*-cuda",), 0, 4, "logsigmoid twice, each with -input; and 1 - target"),
    Saved(("MultiLabelSoftMarginLoss-*weight*-cpu",), 0, 7, "as without weight, and the loss that it multiplies"),
    Saved(("MultiLabelSoftMarginLoss-*-cpu",), 0, 6, "logsigmoid twice, each with its buffer and -input, and 1 - target"),
    Saved(("NLLLoss-*",), 0, 0, "the sum of the weights"),
    Saved(
        ("CrossEntropyLoss-*", "LinearCrossEntropyLoss-*"),
        1,
        1,
        "log_softmax of the logits, of which the gradient is made",
    ),
    Saved(("MultiMarginLoss-*",), 0, 0, "a kernel of its own, forward and backward"),
    Saved(("MultiLabelMarginLoss-*",), 1, 1, "which classes are targets"),
    Saved(("HingeEmbeddingLoss-*",), 0, 1, "margin - input, and two masks", masks=2),
    Saved(("MarginRankingLoss-*",), 0, 3, "the difference, the target with its sign changed, and what the hinge is applied to"),
    Saved(("CTCLoss-*",), 0.1, 0.1, "the forward variables: two for each label and one more, for each frame"),
    Saved(
        ("AdaptiveLogSoftmaxWithLoss-*",),
        1,
        1,
        "log_softmax of head and tails, the rows of each tail and their projections",
        0.6,
    ),
    Saved(("CosineEmbeddingLoss-*",), 0, 0.1, "a few numbers per row"),
    Saved(("TripletMargin*swap*",), 0, 3.1, "the difference of each of three distances, and a few numbers per row"),
    Saved(("TripletMargin*",), 0, 2.0, "the difference of each of two distances, and a few numbers per row"),
)

HELD = "a scalar that holds one number, as of L1Loss and HuberLoss"
MEMORY_DEPARTURES: tuple[Known, ...] = (
    Known(
        name="scalar_of_a_structured_kernel_holds_a_full_buffer",
        cases=tuple(
            f"{variant}-*-c* {reduction}"
            for variant in ("MSELoss-large", *(f"SmoothL1Loss-large{beta}" for beta in ("", "_beta.0.25", "_beta.2.7", "_beta.30.0")))
            for reduction in ("mean", "sum")
        ),
        gives="1 numbers hold 4096",
        right=HELD,
        why="the meta function lets the iterator allocate the elementwise result and then resizes it, which frees nothing",
        link="https://github.com/pytorch/pytorch/issues/185647",
    ),
    Known(
        name="scalar_reduced_into_its_own_elements_holds_a_full_buffer",
        cases=tuple(
            f"{loss}-large*-c* {reduction}"
            for loss in ("BCELoss", "SoftMarginLoss")
            for reduction in ("mean", "sum")
        ),
        gives="1 numbers hold 4096",
        right=HELD,
        why="the kernel writes the elements into the result, then reduces it into itself and resizes it",
    ),
)
