"""Where arguments of several dtypes meet otherwise in forward mode than in reverse, or compiled than in eager."""

from __future__ import annotations

from .habits import Habit

WHOLE = ("int*", "uint8", "bool")


def _cases(loss: str, arguments: tuple[str, ...], dtypes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{loss}-{argument}-{dtype}" for argument in arguments for dtype in dtypes)


FORWARD: tuple[Habit, ...] = (
    *(
        Habit(
            f"{function}_of_whole_numbers_goes_back_only",
            cases,
            "refuses",
            f"the formula of {function} for forward mode makes its factor in the dtype of one argument, and in place; in reverse it is "
            "promoted, as in L1Loss in both",
            says="result type",
            torch=releases,
            link="https://github.com/pytorch/pytorch/issues/192723",
            but=("*beta.0.0*",),  # which is L1Loss
        )
        for function, cases, releases in (
            ("mse_loss", _cases("MSELoss-matrix-*", ("input", "target"), WHOLE), ">=2.12"),
            ("smooth_l1_loss", _cases("SmoothL1Loss-*", ("input", "target"), WHOLE), ">=2.6"),
        )
    ),
    *(
        Habit(
            name,
            _cases(loss, ("input", "target"), ("*",)),
            "refuses",
            "the formula for forward mode calls the backward pass, whose iterator does not promote",
            says="Found dtype ",
            torch=releases,
            link=link,
        )
        for name, loss, releases, link in (
            ("huber_loss_goes_nowhere", "HuberLoss-*", ">=2.6", "https://github.com/pytorch/pytorch/pull/192910"),
            ("mse_loss_went_nowhere", "MSELoss-matrix-*", "<2.12", "https://github.com/pytorch/pytorch/issues/94086"),
        )
    ),
    Habit(
        "bce_with_logits_has_a_tangent_of_another_dtype",
        tuple(f"BCEWithLogitsLoss-*-{argument}" for argument in ("input-float64", "*weight-float64", "target-*float16")),
        "wrong",
        "the value is computed in place, in the dtype of target; the tangent is promoted",
        says=": the tangent has dtype ",
    ),
    Habit(
        "bytes_wrap",
        ("MarginRankingLoss-*-target-uint8", "SoftMarginLoss-*-target-uint8"),
        "wrong",
        "-target is computed in bytes, in which -1 is 255",
        says=": along the direction ",
        link="https://github.com/pytorch/pytorch/issues/80206",
    ),
    Habit(
        "poisson_of_integers_is_float32_inside",
        ("PoissonNLLLoss-*rate*-input-int64-beside_float64",),
        "wrong",
        "log of integers has the default dtype",
        says=": along the direction ",
        link="https://github.com/pytorch/pytorch/issues/170745",
    ),
    *(
        Habit(
            f"{function}_has_no_forward_mode",
            (f"{loss}-*",),
            "refuses",
            "there is no formula (see tests/derivative_habits.py)",
            says=f"Trying to use forward AD with {function} that does not support it",
        )
        for loss, function in (
            ("CTCLoss", "_ctc_loss"),
            ("MultiMarginLoss", "multi_margin_loss"),
            ("MultiLabelMarginLoss", "multilabel_margin_loss_forward"),
        )
    ),
)

COMPILED: tuple[Habit, ...] = (
    Habit(
        "rules_promote",
        (
            "BCELoss-*-weight-float64",
            "HuberLoss-matrix-*-input-*float16",
            "HuberLoss-*-target-float64",
            "SoftMarginLoss-*-input-*float16",
            "SoftMarginLoss-*-target-float64",
        ),
        "wrong",
        "the rule of a kernel that does not promote is written in operations that do",
        says="; in eager torch.",
        link="https://github.com/pytorch/pytorch/issues/197098",
    ),
    Habit(
        "rule_of_bce_with_logits_promoted",
        ("BCEWithLogitsLoss-*-input-float64", "BCEWithLogitsLoss-*weight-float64", "BCEWithLogitsLoss-*-target-*float16"),
        "wrong",
        "so did this one",
        says="; in eager torch.",
        torch="<2.12",
        link="https://github.com/pytorch/pytorch/issues/171282",
    ),
    Habit(
        "no_bytes_for_classes",
        ("NLLLoss-batch*-target-uint8", "*CrossEntropyLoss-batch*-target-uint8"),
        "refuses",
        "the rule of nll_loss_forward gathers by the classes, and gather takes no bytes; the kernel does",
        says="gather(): Expected dtype int",
    ),
)
