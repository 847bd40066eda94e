"""What losses refuse in a captured graph, and under deterministic algorithms: as documented, by device."""

from __future__ import annotations

from .habits import Habit

GRAPHS: tuple[Habit, ...] = tuple(
    Habit(f"{loss}_looks_at_the_data", (f"{loss}-*-cuda-*",), "refuses", why, says="captur")
    for loss, why in {
        "GaussianNLLLoss": "`if torch.any(var < 0): raise` waits for the device",
        "CTCLoss": "the lengths are read on the host",
        "AdaptiveLogSoftmaxWithLoss": "rows are picked by their class: how many there are is read on the host",
    }.items()
)

_REFUSES = "does not have a deterministic implementation"
DETERMINISTIC: tuple[Habit, ...] = (
    Habit(
        "nll_loss2d_is_not_deterministic",
        tuple(f"{loss}-k?*-cuda-*" for loss in ("NLLLoss", "CrossEntropyLoss", "LinearCrossEntropyLoss")),
        "refuses",
        "torch.use_deterministic_algorithms: torch.nn.NLLLoss when called on a CUDA tensor (the kernel for more axes adds atomically)",
        says=_REFUSES,
        but=("*probabilities*",),
    ),
    Habit(
        "ctc_backward_is_not_deterministic",
        ("CTCLoss-*-cuda-*",),
        "refuses",
        "torch.use_deterministic_algorithms: torch.nn.CTCLoss when attempting to differentiate a CUDA tensor",
        says=_REFUSES,
    ),
)
