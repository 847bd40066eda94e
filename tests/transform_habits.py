"""What losses are known to do otherwise under vmap, and without numbers."""

from __future__ import annotations

from .departures import bce_with_logits_by_parts
from .habits import Habit, near_one
from .transformed import instead

_NO_RULE = {
    "KLDivLoss": "kl_div",
    "SoftMarginLoss": "soft_margin_loss",
    "MultiMarginLoss": "multi_margin_loss",
    "MultiLabelMarginLoss": "multilabel_margin_loss",
    "MarginRankingLoss": "margin_ranking_loss",
    "TripletMarginLoss": "triplet_margin_loss",
    "CTCLoss": "ctc_loss",
}
_ISSUES = {"MultiMarginLoss": "https://github.com/pytorch/pytorch/issues/139241"}

FUNCTIONAL: tuple[Habit, ...] = (
    Habit(
        "bce_with_logits_is_composed",
        ("sigmoid_focal_loss-*",),
        "inaccurate",
        "its gradient is (1 - t) - sigmoid(-x) where the kernel's is sigmoid(x) - t: a roundoff of 1, however small both are",
        allows=near_one,
    ),
    Habit(
        "bce_with_logits_loses_its_backward",
        ("BCEWithLogitsLoss-*",),
        "inaccurate",
        "torch.func decomposes it into (1 - t) x + log_weight (log(exp(-m) + exp(-x - m)) + m), m = max(-x, 0), and differentiates "
        "that: the logarithm of 1 + exp(-x) is 0 from x = 17 on, the two terms of the gradient cancel where x is negative, and for "
        "t = 0 leave nothing from x = -17.4 on; eager has log1p, and a formula of its own for the gradient",
        allows=instead(bce_with_logits_by_parts),
    ),
)

VMAP: tuple[Habit, ...] = (
    *FUNCTIONAL,
    *(
        Habit(
            f"{function}_has_no_batching_rule",
            (f"{loss}-*",),
            "warns",
            "the kernel is called once for every element of the batch",
            says=f"have not yet implemented the batching rule for aten::{function}",
            link=_ISSUES.get(loss, ""),
        )
        for loss, function in _NO_RULE.items()
    ),
    Habit(
        "ctc_asks_for_cudnn",
        ("CTCLoss-*-cuda-*",),
        "refuses",
        "whether cuDNN can do it is an operator of its own, without a batching rule",
        says="Batching rule not implemented for aten::_use_cudnn_ctc_loss",
    ),
    Habit(
        "gaussian_nll_looks_at_the_data",
        ("GaussianNLLLoss-*-over_var", "GaussianNLLLoss-*-over_all"),
        "refuses",
        "`if torch.any(var < 0): raise` looks at the data of the batch",
        says="data-dependent control flow",
    ),
    Habit(
        "label_smoothing_over_classes",
        tuple(f"{loss}-*label_smoothing*-over_target" for loss in ("CrossEntropyLoss", "LinearCrossEntropyLoss")),
        "refuses",
        "with label_smoothing the loss of the other classes is set to 0 in place where a row is ignored: where only the "
        "target has a batch axis, the loss has none to be written to",
        says="inplace arithmetic",
        but=("*probabilities*",),
    ),
)

NESTED: tuple[Habit, ...] = (
    Habit(
        "flattened_before_it_is_broadcast",
        ("MSELoss-*", "HuberLoss-*", "SmoothL1Loss-*"),
        "refuses",
        "the batching rule flattens input and target each for itself, and hands them to the same operator: mapped again, where "
        "only input has a batch axis, they no longer broadcast",
        says="must match the size of tensor",
        but=("*-*_weight", "SmoothL1Loss-*beta.0.0"),  # composed of operators that broadcast
    ),
)

_DATA = {
    "GaussianNLLLoss": ("DataDependentOutputException", "Tensor.item() cannot be called on meta tensors"),
    "CTCLoss": ("DynamicOutputShapeException", "_ctc_loss"),
    "AdaptiveLogSoftmaxWithLoss": ("DynamicOutputShapeException", "nonzero"),
}
_KEEP = ("MultiMarginLoss-unbatched*-none-*", "MultiLabelMarginLoss-unbatched*-none-*")

FAKE: tuple[Habit, ...] = (
    *(Habit(f"{loss}_looks_at_the_data", (f"{loss}-*",), "refuses", "the result depends on the data", says=fake) for loss, (fake, _) in _DATA.items()),
    Habit(
        "margin_losses_keep_the_batch",
        _KEEP,
        "wrong",
        "the decomposition that says the shape adds a batch axis to an unbatched input and leaves it there: (1), not ()",
        says="value is ((1,), (1,), ",
    ),
)

META: tuple[Habit, ...] = (
    *(Habit(f"{loss}_looks_at_the_data", (f"{loss}-*",), "refuses", "the result depends on the data", says=meta) for loss, (_, meta) in _DATA.items()),
    *(
        Habit(
            f"{function}_backward_has_no_meta_kernel",
            (f"{loss}-*",),
            "refuses",
            "there is a decomposition of forward and none of backward: it runs forward on the meta device and not backward",
            says=f"aten::{function}_backward",
        )
        for loss, function in (("MultiMarginLoss", "multi_margin_loss"), ("MultiLabelMarginLoss", "multilabel_margin_loss"))
    ),
)

ORDERED: tuple[Habit, ...] = (
    *(entry for entry in FAKE if entry.name in ("GaussianNLLLoss_looks_at_the_data", "CTCLoss_looks_at_the_data")),
    *(entry for entry in META if entry.name.endswith("_backward_has_no_meta_kernel")),
    Habit(
        "nll_loss2d_backward_wants_contiguous",
        ("NLLLoss-k2*",),
        "refuses",
        "zeros_like keeps the order of a 4-D input, and nll_loss2d_backward checks it: see tests/layout_departures.py",
        says="grad_input must be contiguous",
        link="https://github.com/pytorch/pytorch/issues/175084",
    ),
    Habit(
        "gradients_lie_as_the_arguments",
        ("HuberLoss-*", "MSELoss-*", "SmoothL1Loss-*", "BCEWithLogitsLoss-*pos_weight_full*", "BCEWithLogitsLoss-square_pos_weight-*", "CrossEntropyLoss-*probabilities-none-*"),
        "wrong",
        "the kernels of backward give contiguous gradients; without numbers they lie as the arguments",
        says=", the strides of ",
        but=("MSELoss-*_weight*", "SmoothL1Loss-*_beta.0.0*", "BCEWithLogitsLoss-*-cuda-*"),
    ),
    Habit(
        "gradient_of_a_sum_in_half",
        ("CosineEmbeddingLoss-*float16-*",),
        "wrong",
        "the gradient of a sum in half precision is contiguous without numbers, and lies as the argument with them",
        says=", the strides of input",
    ),
    Habit(
        "images_lie_as_the_logits",
        ("CrossEntropyLoss-k2*-none-*",),
        "wrong",
        "the kernel of images gives a contiguous result; the decomposition that says how it lies gives it the order of the logits",
        says=", the strides of value are (1, ",
        but=("*probabilities*",),
    ),
)
