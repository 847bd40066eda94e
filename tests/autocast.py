"""What torch documents of autocast and losses: docs/source/amp.md, "Autocast Op Reference".

By device, the functions that are listed as cast to float32, and those that are refused. What is not listed runs "in
the type defined by its inputs", but for what listed operators inside it do.
"""

from __future__ import annotations

from collections.abc import Mapping

_COMMON = {
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "nll_loss",
    "poisson_nll_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
}
FLOAT32: Mapping[str, frozenset[str]] = {
    "cpu": frozenset(
        {
            *_COMMON,
            "binary_cross_entropy",
            "cross_entropy",
            "ctc_loss",
            "huber_loss",
            "mse_loss",
            "multi_margin_loss",
            "multilabel_margin_loss",
        }
    ),
    "cuda": frozenset({*_COMMON, "cross_entropy", "mse_loss", "multi_margin_loss", "multilabel_margin_loss", "smooth_l1_loss"}),
    "xpu": frozenset(_COMMON),
}
INSIDE: Mapping[str, Mapping[str, str]] = {  # function -> the listed operator that its result comes from
    "cpu": {"linear_cross_entropy": "cross_entropy_loss", "sigmoid_focal_loss": "binary_cross_entropy_with_logits"},
    "cuda": {
        "adaptive_log_softmax_with_loss": "log_softmax",
        "gaussian_nll_loss": "log",
        "linear_cross_entropy": "cross_entropy",
        "multilabel_soft_margin_loss": "sum",
        "sigmoid_focal_loss": "binary_cross_entropy_with_logits",
        "triplet_margin_with_distance_loss": "norm",
    },
    "xpu": {"linear_cross_entropy": "log_softmax", "sigmoid_focal_loss": "binary_cross_entropy_with_logits"},
}
REFUSED: Mapping[str, Mapping[str, str]] = {
    "cuda": {"binary_cross_entropy": "unsafe to autocast"},
    "xpu": {"binary_cross_entropy": "unsafe to autocast"},
}
UNSPECIFIED = ("AdaptiveLogSoftmaxWithLoss-unbatched*-float32-*", "AdaptiveLogSoftmaxWithLoss-unbatched*float16-cuda-*")
"""A row without a batch has one cluster: whether torch mixes dtypes (see autocast_habits) depends on its class."""

LOWERED = ("linear_cross_entropy", "adaptive_log_softmax_with_loss")  # `linear` is cast to the lower precision


def is_cast(function: str, device: str) -> bool:
    """Whether the function itself is documented to be cast to float32, and not only an operator inside it."""
    return function in FLOAT32.get(device, ())


def is_float32(function: str, device: str) -> bool:
    """Whether the result is documented to be float32 where the inputs are half precision."""
    return is_cast(function, device) or function in INSIDE.get(device, {})
