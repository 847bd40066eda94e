"""What losses refuse in a captured graph and under deterministic algorithms, by device; and where two runs differ."""

from __future__ import annotations

from .habits import Habit
from .known import Known

GRAPHS: tuple[Habit, ...] = (
    *(
        Habit(f"{loss}_looks_at_the_data", (f"{loss}-*-cuda-*",), "refuses", why, says="captur")
        for loss, why in {
            "GaussianNLLLoss": "`if torch.any(var < 0): raise` waits for the device",
            "CTCLoss": "the lengths are read on the host",
            "AdaptiveLogSoftmaxWithLoss": "rows are picked by their class: how many there are is read on the host",
        }.items()
    ),
    Habit(
        "smoothing_picks_weights",
        ("CrossEntropyLoss-*_weight*label_smoothing*-mean-*-cuda-*",),
        "refuses",
        "the mean is over the weights that masked_select picks, and how many they are is read on the host",
        says="captur",
        but=("*probabilities*",),
    ),
)

_REFUSES = "does not have a deterministic implementation"
DETERMINISTIC: tuple[Habit, ...] = (
    Habit(
        "nll_loss2d_is_not_deterministic",
        tuple(f"{loss}-k?*-cuda-*" for loss in ("NLLLoss", "CrossEntropyLoss", "LinearCrossEntropyLoss")),
        "refuses",
        "torch.use_deterministic_algorithms: torch.nn.NLLLoss when called on a CUDA tensor (the kernel for more axes adds atomically)",
        says=_REFUSES,
        but=("*probabilities*", "*-none-*"),  # unreduced, nothing is added
    ),
    Habit(
        "ctc_backward_is_not_deterministic",
        ("CTCLoss-*-cuda-*",),
        "refuses",
        "torch.use_deterministic_algorithms: torch.nn.CTCLoss when attempting to differentiate a CUDA tensor",
        says=_REFUSES,
    ),
    Habit(
        "index_copy_of_one_row",
        ("AdaptiveLogSoftmaxWithLoss-unbatched*-cuda-*",),
        "refuses",
        "a deterministic index_copy_ is an index_put_, which takes no row of one element for a tensor without axes; "
        "nothing says that it is not deterministic",
        says="shape mismatch: value tensor of shape [1] cannot be broadcast to indexing result of shape []",
    ),
)

SAME = "the same numbers, as of the other kernels; or that it is not deterministic is documented"
UNREPEATED: tuple[Known, ...] = (  # seen on an NVIDIA H100 with torch 2.11; by chance two runs may be equal
    Known(
        name="nll_loss2d_adds_atomically",
        cases=tuple(
            pattern
            for loss in ("NLLLoss", "CrossEntropyLoss", "LinearCrossEntropyLoss")
            for reduction in ("mean", "sum")
            for form in ("k?", "class_images", "class_volumes")
            for pattern in (f"{loss}-{form}*-{reduction}-*-cuda-*", f"{loss}-{form}*-cuda {reduction}")
        ),
        gives="differ",
        right="documented: torch.use_deterministic_algorithms names torch.nn.NLLLoss on a CUDA tensor",
        why="for more axes than two the blocks add their sums, and those of the weights, in the order in which they end",
        steady=False,
    ),
    Known(
        name="ctc_backward_adds_atomically",
        cases=("CTCLoss-*-cuda-*", "CTCLoss-*-cuda *"),
        gives="differ",
        right="documented: torch.use_deterministic_algorithms names torch.nn.CTCLoss on a CUDA tensor",
        why="the threads of the labels add to the gradient of their class in the order in which they come",
        steady=False,
    ),
    Known(
        name="multilabel_margin_backward_races",
        cases=tuple(f"MultiLabelMarginLoss-{form}*-cuda*" for form in ("parallel", "wide", "batch_C[3-9][0-9]")),
        gives="differ",
        right=SAME + "; the gradient of the last target, which may be lost: -0 where it was 1.12",
        why="thread 0 adds the gradient of the last target to its class, and the thread of that class multiplies it by the "
        "cotangent, with no barrier between: where both are in one warp, of 32 classes, it goes well",
        steady=False,
    ),
)


def repeats(asked: str) -> bool:
    """Whether two runs of a case give the same bits."""
    return not any(entry.covers(asked) for entry in UNREPEATED)
