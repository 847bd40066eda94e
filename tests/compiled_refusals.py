"""What compiled losses are known to accept, where eager ones refuse it: seen in torch 2.6 and 2.10 to 2.15."""

from __future__ import annotations

from .habits import Habit
from .known import Known

UMBRELLA = "https://github.com/pytorch/pytorch/issues/197554"  # upstream: "Validation lost"
INDEXED = ("NLLLoss", "CrossEntropyLoss", "MultiMarginLoss", "LinearCrossEntropyLoss")
NLL = ("NLLLoss", "CrossEntropyLoss", "LinearCrossEntropyLoss")
INTEGRAL = ("MSELoss", "HuberLoss", "SmoothL1Loss", "BCELoss", "BCEWithLogitsLoss", "SoftMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss")

# What is wrong is a number, which tracing does not have: it is for the compiled loss to refuse when it runs.
BY_VALUE = (
    *(f"BCELoss-*-{argument}-{fault}" for argument in ("input", "target") for fault in ("below_zero", "above_one", "nan")),
    *(f"{loss}-*-target-{fault}" for loss in INDEXED for fault in ("past_the_end", "negative")),
    *(f"{loss}-*-input-axis?.{fault}" for loss in INDEXED for fault in ("one", "shorter")),
    "LinearCrossEntropyLoss-*-linear_weight-axis0.*",
    "GaussianNLLLoss-*-var-negative",
)


def _accepts(name: str, why: str, *cases: str, link: str = UMBRELLA, torch: str = ">=2.6") -> Habit:
    return Habit(name, cases, "accepts", why, link=link, torch=torch)


TRACED: tuple[Habit, ...] = (
    _accepts(
        "smooth_l1_beta",
        "the decomposition has no check of beta; a negative one turns the parabola over",
        "SmoothL1Loss-*-beta-negative",
        "SmoothL1Loss-*-beta-nan",
        link="https://github.com/pytorch/pytorch/issues/194501",
    ),
    _accepts(
        "subtraction_of_booleans",
        "a - b refuses booleans in eager, and its meta function does not",
        *(f"{loss}-*-{name}-boolean" for loss, names in {
            "L1Loss": ("input", "target"),
            "MarginRankingLoss": ("input1", "input2"),
            "TripletMargin*Loss": ("anchor", "positive", "negative"),
            "BCEWithLogitsLoss": ("pos_weight",),
            "MultiLabelSoftMarginLoss": ("target",),
            "MultiMarginLoss": ("input",),
        }.items() for name in names),
    ),
    _accepts(
        "dtypes_no_kernel_is_written_for",
        "the decompositions promote integers, booleans and complex numbers, where eager has no kernel, or one that "
        "cannot write its result into the dtype of the input",
        "*-input-complex",
        "*-input1-complex",
        *(f"{loss}-*-{argument}-{fault}" for loss in ("HuberLoss", "BCELoss") for argument in ("input", "target") for fault in ("integer", "boolean")),
        *(f"{loss}-*-input-integer" for loss in (*NLL, "BCEWithLogitsLoss", "SoftMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss")),
        "SoftMarginLoss-*-input-boolean",
        "SoftMarginLoss-*-target-boolean",
        *(f"{loss}-*-all-integer" for loss in (*NLL, *INTEGRAL)),
    ),
    _accepts(
        "dtypes_of_nll",
        "the decomposition looks up classes of any integer or boolean dtype, and weights of any",
        *(f"{loss}-*-{fault}" for loss in NLL for fault in ("target-boolean", "weight-integer", "weight-boolean")),
    ),
    _accepts(
        "narrow_classes_of_nll",
        "so does gather, which the decomposition looks them up with",
        *(f"{loss}-*-target-int32" for loss in NLL),
        torch=">=2.8",
    ),
    _accepts(
        "one_weight_for_all_classes",
        "nll_loss2d's decomposition broadcasts a weight of one element over the classes",
        *(f"{loss}-k?-weight-axis0.one" for loss in NLL),
    ),
    _accepts(
        "weights_that_stretch_the_loss",
        "the weight is multiplied in out of place, so that one with more axes than the loss stretches it",
        *(f"{loss}-{form}-*weight-extra_axis" for loss in ("BCELoss", "BCEWithLogitsLoss") for form in ("vector", "square")),
    ),
    _accepts(
        "soft_margin_stretches",
        "the kernel writes into a tensor of the shape of the input, the decomposition into one of both shapes broadcast",
        "SoftMarginLoss-*-input-axis?.one",
        "SoftMarginLoss-*-input-missing_axis",
        "SoftMarginLoss-vector-*-extra_axis",
    ),
    _accepts(
        "layers_of_other_dtypes",
        "the decomposition of addmm promotes; the kernel that is called in the end does not",
        "LinearCrossEntropyLoss-*-linear_*-integer",
        "LinearCrossEntropyLoss-*-linear_*-boolean",
        "LinearCrossEntropyLoss-*-linear_*-complex",
        torch=">=2.13",
    ),
    _accepts(
        "subtraction_of_booleans",
        "from a rate or a score, booleans are not subtracted in eager; the meta function of it does not refuse",
        "PoissonNLLLoss-*-all-boolean",
        "MultiMarginLoss-*-all-boolean",
    ),
    _accepts(
        "subtraction_of_boolean_targets",
        "1 - target refuses booleans in eager, and its meta function did not",
        "BCEWithLogitsLoss-*-target-boolean",
        torch="<2.12",
    ),
    _accepts(
        "targets_of_integers",
        "the decompositions promoted a target, which mse_loss did not in its backward pass, and the product in place with "
        "1 - target does not",
        "MSELoss-*-target-integer",
        "MSELoss-*-target-boolean",
        "BCEWithLogitsLoss-*-target-integer",
        torch="<2.12",
    ),
    _accepts(
        "a_target_elsewhere",
        "a target without axes passes for a number, which has no device",
        "CosineEmbeddingLoss-unbatched-target-other_device",
    ),
)

# Of those, what the compiled loss refuses in the end, when it is lowered or run.
LATE = ("*-complex", "LinearCrossEntropyLoss-*-input-integer", "LinearCrossEntropyLoss-*-linear_*", "*-other_device")
EAGERLY = tuple(case for entry in TRACED if entry.name.startswith("subtraction_of_boolean") for case in entry.cases)
"""And what a backend refuses that calls eager's operators in the end; inductor does not."""

PAST_THE_END = (
    Known(
        name="classes_past_the_end_are_read",
        cases=("past_the_end",),
        gives="SIGSEGV",
        right="an error, as in eager: a class that is none is out of bounds",
        why="the process ends before anything is refused; seen with torch 2.11.0+cu130 on an x86-64 "
        "processor of 16 cores, and not with 2.11.0+cpu on one of 2",
        torch="==2.11.*",
        steady=False,
    ),
)

COMPILED: tuple[Habit, ...] = (
    *TRACED,
    _accepts(
        "bce_range",
        "the range of input and target is checked by the kernel, for which the decomposition stands in: the loss of an "
        "input or target outside [0, 1] is some number",
        *(f"BCELoss-*-{argument}-{fault}" for argument in ("input", "target") for fault in ("below_zero", "above_one", "nan")),
        link="https://github.com/pytorch/pytorch/issues/193757",
    ),
)
