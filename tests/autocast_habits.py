"""What losses are known to do otherwise under autocast."""

from __future__ import annotations

from .habits import Habit

AUTOCAST: tuple[Habit, ...] = (
    Habit(
        "weighted_in_half",
        ("L1Loss-*weight-*float16-cpu-*", "MSELoss-*weight-*float16-cpu-*"),
        "wrong",
        "with a weight it is composed of differences, products and sums, which are not on the list: the result is half "
        "precision, where without a weight it is float32",
        says="documented is float32",
    ),
    Habit(
        "weighted_in_half_then_summed",
        ("L1Loss-*weight-*float16-cuda-*", "MSELoss-*weight-*float16-cuda-*"),
        "inaccurate",
        "so it is on CUDA, where the sum of the weighted losses is on the list: its result is float32, of terms in half precision",
    ),
    Habit(
        "smooth_l1_is_not_documented",
        ("SmoothL1Loss-*float16-cpu-*",),
        "wrong",
        "aten/src/ATen/autocast_mode.h casts smooth_l1_loss to float32 on a CPU, and the documented list leaves it out",
        says="the result is torch.float32",
    ),
    Habit(
        "huber_is_not_documented",
        ("HuberLoss-*float16-cuda-*",),
        "wrong",
        "aten/src/ATen/autocast_mode.h casts huber_loss to float32 on CUDA, and the documented list leaves it out",
        says="the result is torch.float32",
    ),
    Habit(
        "cross_entropy_in_half",
        ("CrossEntropyLoss-*float16-cuda-*",),
        "inaccurate",
        "it calls log_softmax with the dtype of the logits; a call with an explicit dtype is not cast, so that what is "
        "float32 is the average of log-probabilities in half precision",
    ),
    Habit(
        "adaptive_softmax_mixes_dtypes",
        ("AdaptiveLogSoftmaxWithLoss-batch*-float32-cpu-*", "AdaptiveLogSoftmaxWithLoss-batch*-*float16-cuda-*"),
        "refuses",
        "the output is made in the dtype of the input, and index_copy_ puts what autocast lowered into it",
        says="index_copy_",
        link="https://github.com/pytorch/pytorch/issues/44724",
    ),
)
