"""The surface of every loss: names, kinds and defaults of what it takes, what its module is, holds and shows.

Signatures are as `inspect` prints them, without annotations. They are the same in all releases of torch from
2.6 to 2.15, but for the losses that came later.
"""

from __future__ import annotations

from dataclasses import dataclass

LEGACY = "size_average=None, reduce=None, reduction='mean'"


@dataclass(frozen=True)
class Api:
    """One loss.

    init, forward, function: the signatures of the class, of its `forward` and of the function
    bases:     the classes between it and Module
    constants: what `__constants__` lists; None: it has no such list
    buffers:   the tensors that its state consists of, if they are given
    shows:     what `repr` prints between the parentheses with every option changed
    since:     the first release of those tested that has it
    """

    init: str
    forward: str
    function: str
    bases: tuple[str, ...] = ("_Loss",)
    constants: tuple[str, ...] | None = ("reduction",)
    buffers: tuple[str, ...] = ()
    shows: str = ""
    since: str = "2.6"


PAIR = "input, target"
WEIGHTED = ("_WeightedLoss", "_Loss")
CLASS_WEIGHT = f"weight=None, {LEGACY}"
IGNORING = "weight=None, size_average=None, ignore_index=-100, reduce=None, reduction='mean'"

APIS: dict[str, Api] = {
    "L1Loss": Api(LEGACY, PAIR, f"{PAIR}, {LEGACY}, weight=None"),
    "MSELoss": Api(LEGACY, PAIR, f"{PAIR}, {LEGACY}, weight=None"),
    "HuberLoss": Api("reduction='mean', delta=1.0", PAIR, f"{PAIR}, reduction='mean', delta=1.0, weight=None", constants=("reduction", "delta")),
    "SmoothL1Loss": Api(f"{LEGACY}, beta=1.0", PAIR, f"{PAIR}, {LEGACY}, beta=1.0"),
    "PoissonNLLLoss": Api(
        "log_input=True, full=False, size_average=None, eps=1e-08, reduce=None, reduction='mean'",
        "log_input, target",
        f"{PAIR}, log_input=True, full=False, size_average=None, eps=1e-08, reduce=None, reduction='mean'",
        constants=("log_input", "full", "eps", "reduction"),
    ),
    "GaussianNLLLoss": Api(
        "*, full=False, eps=1e-06, reduction='mean'",
        f"{PAIR}, var",
        f"{PAIR}, var, full=False, eps=1e-06, reduction='mean'",
        constants=("full", "eps", "reduction"),
    ),
    "KLDivLoss": Api(f"{LEGACY}, log_target=False", PAIR, f"{PAIR}, {LEGACY}, log_target=False"),
    "BCELoss": Api(CLASS_WEIGHT, PAIR, f"{PAIR}, {CLASS_WEIGHT}", WEIGHTED, buffers=("weight",)),
    "BCEWithLogitsLoss": Api(
        f"{CLASS_WEIGHT}, pos_weight=None", PAIR, f"{PAIR}, {CLASS_WEIGHT}, pos_weight=None", constants=None, buffers=("weight", "pos_weight")
    ),
    "SoftMarginLoss": Api(LEGACY, PAIR, f"{PAIR}, {LEGACY}"),
    "MultiLabelSoftMarginLoss": Api(CLASS_WEIGHT, PAIR, f"{PAIR}, {CLASS_WEIGHT}", WEIGHTED, buffers=("weight",)),
    "NLLLoss": Api(IGNORING, PAIR, f"{PAIR}, {IGNORING}", WEIGHTED, ("ignore_index", "reduction"), ("weight",)),
    "NLLLoss2d": Api(IGNORING, PAIR, "", ("NLLLoss", *WEIGHTED), ("ignore_index", "reduction"), ("weight",)),
    "CrossEntropyLoss": Api(
        f"{IGNORING}, label_smoothing=0.0",
        PAIR,
        f"{PAIR}, {IGNORING}, label_smoothing=0.0",
        WEIGHTED,
        ("ignore_index", "reduction", "label_smoothing"),
        ("weight",),
    ),
    "LinearCrossEntropyLoss": Api(
        "in_features, num_classes, *, out_features=(), bias=False, device=None, dtype=None, reduction='mean', weight=None, ignore_index=None, label_smoothing=0.0, options=None",
        PAIR,
        "input, linear_weight, target, *, linear_bias=None, weight=None, reduction='mean', ignore_index=None, label_smoothing=0.0, options=None",
        WEIGHTED,
        ("num_classes", "out_features", "reduction", "ignore_index", "label_smoothing"),
        ("weight",),
        shows="in_features=4, num_classes=3, out_features=(), bias=True, reduction=sum, ignore_index=1, label_smoothing=0.25, options=None (linear): Linear(in_features=4, out_features=3, bias=True)",
        since="2.13",
    ),
    "MultiMarginLoss": Api(
        f"p=1, margin=1.0, {CLASS_WEIGHT}", PAIR, f"{PAIR}, p=1, margin=1.0, {CLASS_WEIGHT}", WEIGHTED, ("p", "margin", "reduction"), ("weight",)
    ),
    "MultiLabelMarginLoss": Api(LEGACY, PAIR, f"{PAIR}, {LEGACY}"),
    "HingeEmbeddingLoss": Api(f"margin=1.0, {LEGACY}", PAIR, f"{PAIR}, margin=1.0, {LEGACY}", constants=("margin", "reduction")),
    "MarginRankingLoss": Api(
        f"margin=0.0, {LEGACY}", "input1, input2, target", f"input1, input2, target, margin=0, {LEGACY}", constants=("margin", "reduction")
    ),
    "CosineEmbeddingLoss": Api(
        f"margin=0.0, {LEGACY}", "input1, input2, target", f"input1, input2, target, margin=0, {LEGACY}", constants=("margin", "reduction")
    ),
    "TripletMarginLoss": Api(
        f"margin=1.0, p=2.0, eps=1e-06, swap=False, {LEGACY}",
        "anchor, positive, negative",
        f"anchor, positive, negative, margin=1.0, p=2, eps=1e-06, swap=False, {LEGACY}",
        constants=("margin", "p", "eps", "swap", "reduction"),
    ),
    "TripletMarginWithDistanceLoss": Api(
        "*, distance_function=None, margin=1.0, swap=False, reduction='mean'",
        "anchor, positive, negative",
        "anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction='mean'",
        constants=("margin", "swap", "reduction"),
        shows="(distance_function): PairwiseDistance()",
    ),
    "CTCLoss": Api(
        "blank=0, reduction='mean', zero_infinity=False",
        "log_probs, targets, input_lengths, target_lengths",
        "log_probs, targets, input_lengths, target_lengths, blank=0, reduction='mean', zero_infinity=False",
        constants=("blank", "reduction"),
    ),
    "AdaptiveLogSoftmaxWithLoss": Api(
        "in_features, n_classes, cutoffs, div_value=4.0, head_bias=False, device=None, dtype=None",
        "input_, target_",
        "",
        (),
        None,
        shows="(head): Linear(in_features=4, out_features=3, bias=True) (tail): ModuleList( (0): Sequential( (0): Linear(in_features=4, out_features=2, bias=False) (1): Linear(in_features=2, out_features=4, bias=False) ) )",
    ),
}

# A value of every option that is not its default, with which modules are made here.
OPTIONS: dict[str, dict[str, object]] = {
    "HuberLoss": {"delta": 3.0},
    "SmoothL1Loss": {"beta": 3.0},
    "PoissonNLLLoss": {"log_input": False, "full": True, "eps": 0.25},
    "GaussianNLLLoss": {"full": True, "eps": 0.25},
    "KLDivLoss": {"log_target": True},
    "NLLLoss": {"ignore_index": 1},
    "NLLLoss2d": {"ignore_index": 1},
    "CrossEntropyLoss": {"ignore_index": 1, "label_smoothing": 0.25},
    "LinearCrossEntropyLoss": {"ignore_index": 1, "label_smoothing": 0.25},
    "MultiMarginLoss": {"p": 2, "margin": 0.25},
    "HingeEmbeddingLoss": {"margin": 0.25},
    "MarginRankingLoss": {"margin": 0.25},
    "CosineEmbeddingLoss": {"margin": 0.25},
    "TripletMarginLoss": {"margin": 0.25, "p": 3.0, "eps": 0.125, "swap": True},
    "TripletMarginWithDistanceLoss": {"margin": 0.25, "swap": True},
    "CTCLoss": {"blank": 2, "zero_infinity": True},
    "AdaptiveLogSoftmaxWithLoss": {"div_value": 2.0, "head_bias": True},
}

# What a module cannot be made without; its parameters, if it has any.
REQUIRED: dict[str, dict[str, object]] = {
    "LinearCrossEntropyLoss": {"in_features": 4, "num_classes": 3, "bias": True},
    "AdaptiveLogSoftmaxWithLoss": {"in_features": 4, "n_classes": 6, "cutoffs": [2]},
}
PARAMETERS: dict[str, dict[str, tuple[int, ...]]] = {
    "LinearCrossEntropyLoss": {"linear.weight": (3, 4), "linear.bias": (3,)},
    "AdaptiveLogSoftmaxWithLoss": {"head.weight": (3, 4), "head.bias": (3,), "tail.0.0.weight": (2, 4), "tail.0.1.weight": (4, 2)},
}

# The legacy arguments, and what they mean; either of them, if given, overrides `reduction`.
LEGACY_MEANING: dict[tuple[bool | None, bool | None], str] = {
    (None, True): "mean",
    (None, False): "none",
    (True, None): "mean",
    (True, True): "mean",
    (True, False): "none",
    (False, None): "sum",
    (False, True): "sum",
    (False, False): "none",
}
LEGACY_WARNING = "size_average and reduce args will be deprecated, please use reduction='{}' instead."


@dataclass(frozen=True)
class Overlooked:
    """A divergence: a `reduction` that the legacy arguments, which should override it, do not quite."""

    loss: str
    reduction: str
    gives: str
    true: str
    why: str
    torch: str = ">=2.6"


OVERLOOKED = (
    Overlooked(
        "KLDivLoss",
        "batchmean",
        gives="the value that they mean, divided by the batch size",
        true="the value that they mean",
        why="F.kl_div takes the reduction from them, and then asks again whether `reduction` is batchmean; the module does not",
    ),
)

# What is beside the loss itself.
METHODS = {
    ("AdaptiveLogSoftmaxWithLoss", "log_prob"): "input",
    ("AdaptiveLogSoftmaxWithLoss", "predict"): "input",
    ("AdaptiveLogSoftmaxWithLoss", "reset_parameters"): "",
    ("LinearCrossEntropyOptions", "__init__"): "allow_retain_graph=False, batch_chunk_size=None, chunking_method='auto', acc_policy='auto', acc_dtype=None",
}

SHOWS = {
    "LinearCrossEntropyLoss": "in_features=4, num_classes=3, out_features=(), bias=False, reduction=mean, ignore_index=None, label_smoothing=0.0, options=None (linear): Linear(in_features=4, out_features=3, bias=False)",
    "AdaptiveLogSoftmaxWithLoss": "(head): Linear(in_features=4, out_features=3, bias=False) (tail): ModuleList( (0): Sequential( (0): Linear(in_features=4, out_features=1, bias=False) (1): Linear(in_features=1, out_features=4, bias=False) ) )",
    "TripletMarginWithDistanceLoss": APIS["TripletMarginWithDistanceLoss"].shows,
}
"""What `repr` prints between the parentheses by default; of the other losses, nothing."""
