"""What exported losses are known to do otherwise."""

from __future__ import annotations

from .departures import behind_the_end, unweighted
from .habits import Habit, near_one
from .transformed import instead

_SMOOTHED = tuple(f"{loss}-*_weight*label_smoothing*-larger" for loss in ("CrossEntropyLoss", "LinearCrossEntropyLoss"))
_PROBABILITIES = (*_SMOOTHED, "CrossEntropyLoss-*probabilities*-larger")

EXPORTED: tuple[Habit, ...] = (
    Habit(
        "gaussian_nll_looks_at_the_data",
        ("GaussianNLLLoss-*",),
        "refuses",
        "`if torch.any(var < 0): raise` looks at the data",
        says="data-dependent",
        link="https://github.com/pytorch/pytorch/issues/194503",
    ),
    Habit(
        "ctc_reads_the_lengths",
        ("CTCLoss-*",),
        "refuses",
        "the shape of what _ctc_loss saves for backward depends on the lengths, which are data",
        says="_ctc_loss",
        link="https://github.com/pytorch/pytorch/issues/183396",
    ),
    Habit(
        "adaptive_softmax_looks_at_the_data",
        ("AdaptiveLogSoftmaxWithLoss-*",),
        "refuses",
        "rows are picked by the cluster of their class",
        says="Could not guard on data-dependent expression",
        link="https://github.com/pytorch/pytorch/issues/194765",
    ),
    Habit(
        "options_l1_forgets_its_weight",
        ("L1Loss-*_weight-*",),
        "wrong",
        "for whatever is no plain tensor, l1_loss calls itself again without the weight: see tests/test_overrides.py",
        allows=instead(unweighted),
        link="https://github.com/pytorch/pytorch/pull/193003",
    ),
    *(
        Habit(
            name,
            patterns,
            "refuses",
            "with class weights, the smoothing is divided by the number of classes as a constant of the program; of probabilities all sizes were constants",
            says=says,
            torch=torch,
            but=("LinearCrossEntropyLoss-*_probabilities*label_smoothing.1.0*",),
        )
        for name, patterns, says, torch in (
            ("options_smoothing_fixes_the_number_of_classes", _SMOOTHED, "Guard failed", ">=2.13"),
            ("options_probabilities_fix_their_sizes", _PROBABILITIES, "Guard failed", ">=2.9,<2.13"),
            ("options_probabilities_fix_their_sizes_and_say_it_otherwise", _PROBABILITIES, "to be equal to", "<2.9"),
        )
    ),
    Habit(
        "options_bce_infers_a_size_of_integers",
        ("BCELoss-*_weight*-recorded",),
        "refuses",
        "the shape that target and weight have together was asked of a function that knows no symbols",
        says="expected int at position 0, but got: SymInt",
        torch="<2.13",
    ),
    Habit(
        "options_smoothed_probabilities_count_their_weights",
        ("CrossEntropyLoss-*_probabilities_weight_label_smoothing*-recorded",),
        "refuses",
        "the number of class weights was asked of a function that knows no symbols",
        says="Cannot call numel() on tensor with symbolic sizes/strides",
        torch="<2.13",
        link="https://github.com/pytorch/pytorch/issues/181870",
    ),
    Habit(
        "options_margin_losses_keep_the_batch",
        ("MultiMarginLoss-unbatched*-none-*-core*", "MultiLabelMarginLoss-unbatched*-none-*-core*"),
        "refuses",
        "the decomposition adds a batch axis to an unbatched input and leaves it there: (1), not (), which has no cotangent",
    ),
    Habit(
        "bce_with_logits_of_core_operators",
        ("BCEWithLogitsLoss-*-core*",),
        "inaccurate",
        "(1 - target) x and log1p(exp(-|x|)) + max(-x, 0) are differentiated one by one: terms near 1, where the kernel's is their difference",
        allows=near_one,
    ),
    *(
        Habit(
            f"{name}multilabel_margin_decomposition",
            (f"MultiLabelMarginLoss-{form}*-core*",),
            "wrong",
            "the decomposition takes class 0 for every label from the first -1 on",
            allows=instead(behind_the_end),
            torch="<2.14",
            link="https://github.com/pytorch/pytorch/issues/185464",
            sometimes=form != "batch",  # of one row, there may be no class behind it
        )
        for name, form in (("", "batch"), ("options_", "unbatched"))
    ),
)
