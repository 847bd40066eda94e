"""The shapes that each loss is documented to take, and the shape that it returns for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reference.arithmetic import Array
from reference.catalog import Form, Row, Variant


def _forms(axes: str, **sizes: tuple[int, ...]) -> tuple[Form, ...]:
    return tuple(Form(name, dict(zip(axes.split(), n, strict=True))) for name, n in sizes.items())


# of any number of dimensions
ANY = (
    Form("scalar", {}),
    *_forms("C", one=(1,), vector=(5,), empty=(0,)),
    *_forms("N C", matrix=(4, 5), square=(4, 4), column=(5, 1), line=(1, 5), one_by_one=(1, 1), no_rows=(0, 5), no_columns=(5, 0)),
    *_forms("N d1 C", solid=(2, 3, 4), thin=(1, 3, 1), hollow=(2, 0, 4)),
    *_forms("N d1 d2 C", images=(2, 3, 2, 4)),
    *_forms("N d1 d2 d3 C", volumes=(2, 3, 1, 2, 4)),
    *_forms("a b c d e C", deep=(2, 1, 3, 1, 2, 2)),
)
# of classes: (C), or (N, C), or (N, C, d1, ..., dK)
CLASSES = (
    *_forms("C", unbatched=(5,), unbatched_one_class=(1,)),
    *_forms("N C", batch=(4, 5), one_row=(1, 5), one_class=(4, 1), no_rows=(0, 5)),
    *_forms("N C d1", k1=(4, 5, 3), k1_one_row=(1, 5, 3), k1_one_place=(4, 5, 1), k1_no_rows=(0, 5, 3), k1_hollow=(4, 5, 0)),
    *_forms("N C d1 d2", k2=(4, 5, 3, 2), k2_single=(1, 5, 1, 1), k2_no_rows=(0, 5, 3, 2), k2_hollow=(4, 5, 3, 0)),
    *_forms("N C d1 d2 d3", k3=(2, 4, 3, 2, 2), k3_no_rows=(0, 4, 3, 2, 2), k3_hollow=(2, 4, 3, 0, 2)),
    *_forms("N C d1 d2 d3 d4", k4=(2, 3, 2, 2, 1, 2)),
)
# and of those (C) and (N, C) alone
ROWS = CLASSES[:6]
# with the classes last: (*, C)
LAST = (*ROWS, *_forms("N d1 C", rows_of_rows=(2, 3, 4), one_of_one=(1, 1, 4), hollow=(2, 0, 4)), *_forms("N d1 d2 C", images=(2, 3, 2, 4)))
# of vectors: (D), or (N, D)
VECTORS = (
    *_forms("D", unbatched=(5,), unbatched_number=(1,)),
    *_forms("N D", batch=(4, 5), one_row=(1, 5), numbers=(4, 1), no_rows=(0, 5)),
)
# and (N, *, D): "any number of additional dimensions as supported by the distance function"
TUPLES = (*VECTORS, *_forms("N d1 D", rows_of_rows=(2, 3, 4)), *_forms("N d1 d2 D", images=(2, 3, 2, 4)))
# (in_features), (N, in_features), with a weight of (C, d1, ..., dK, in_features)
LINEAR = (
    *_forms("C F", unbatched=(5, 4)),
    *_forms("N C F", batch=(4, 5, 3), one_row=(1, 5, 3), one_class=(4, 1, 3), one_feature=(4, 5, 1), no_rows=(0, 5, 3)),
    *_forms("N C d1 F", k1=(4, 5, 2, 3), k1_hollow=(4, 5, 0, 3), k1_no_rows=(0, 5, 2, 3)),
    *_forms("N C d1 d2 F", k2=(4, 5, 2, 3, 3)),
    *_forms("N C d1 d2 d3 F", k3=(2, 3, 2, 1, 2, 3)),
)
FRAMES = (*_forms("T C", unbatched=(10, 5)), *_forms("T N C", batch=(11, 4, 5), one_row=(11, 1, 5)))
ADAPTIVE = (*_forms("F C", unbatched=(16, 12)), *_forms("N F C", batch=(12, 16, 12), one_row=(1, 16, 12)))

# The forms of each loss, and the shape of its unreduced result: all axes of input, but for ...
DOCUMENTED: dict[str, tuple[tuple[Form, ...], str]] = {
    "MultiLabelSoftMarginLoss": (LAST, "*-C"),
    "NLLLoss": (CLASSES, "*-C"),
    "CrossEntropyLoss": (CLASSES, "*-C"),
    "LinearCrossEntropyLoss": (LINEAR, "*-C-F"),
    "MultiMarginLoss": (ROWS, "*-C"),
    "MultiLabelMarginLoss": (ROWS, "*-C"),
    "CosineEmbeddingLoss": (VECTORS, "*-D"),
    "TripletMarginLoss": (VECTORS, "*-D"),
    "TripletMarginWithDistanceLoss": (TUPLES, "*-D"),
    "CTCLoss": (FRAMES, "*-T-C"),
    "AdaptiveLogSoftmaxWithLoss": (ADAPTIVE, "*-F-C"),
}


def documented(row: Row) -> tuple[tuple[Form, ...], str]:
    """Elementwise losses take any shape and return it."""
    return (ANY, "*") if row.elementwise else DOCUMENTED[row.name]


# Other shapes for one argument, of which broadcasting makes the documented one, or another for the result.
OTHERWISE: dict[str, Callable[[Array], Array | None]] = {
    "first_axis_1": lambda a: a[:1] if a.ndim else None,
    "last_axis_1": lambda a: a[..., :1] if a.ndim > 1 else None,
    "all_axes_1": lambda a: a.reshape(-1)[:1].reshape((1,) * a.ndim) if a.ndim > 1 else None,
    "first_axis_missing": lambda a: a[0] if a.ndim > 1 else None,
    "scalar": lambda a: a.reshape(-1)[:1].reshape(()) if a.ndim else None,
    "axis_before": lambda a: a[None],
    "axis_behind": lambda a: a[..., None],  # (N,) becomes (N, 1), and an elementwise loss of the two (N, N)
    "batch_before": lambda a: np.stack([a, a]),
}


def expressible(variant: Variant) -> bool:
    """Whether the form has the axes that the arguments are shaped by: a weight per class wants classes."""
    words = [word for choice in variant.choices.values() if choice.domain != "absent" for word in choice.shape.split()]
    bare = {word for word in words if word[0] != "*" and not word.isdigit()}
    without = {axis for word in words if word[0] == "*" for axis in word[2:].split("-")} & {"C", "D"}
    return bare | without <= set(variant.form.axes)


# Which arguments the definitions broadcast: torch's documentation asks for equal shapes but for the weights and `var`,
# and warns where those of L1, MSE, Huber and SmoothL1 differ; the others it broadcasts without a word.
BROADCASTS: dict[str, set[str]] = {
    **{
        loss: {"input", "target"}
        for loss in ("L1Loss", "MSELoss", "HuberLoss", "SmoothL1Loss", "PoissonNLLLoss", "KLDivLoss")
    },
    "GaussianNLLLoss": {"input", "target", "var"},
    "BCELoss": {"weight"},
    "BCEWithLogitsLoss": {"weight", "pos_weight"},
    "SoftMarginLoss": {"input", "target"},
    "MultiLabelSoftMarginLoss": {"weight"},
    "HingeEmbeddingLoss": {"input", "target"},
    "MarginRankingLoss": {"input1", "input2", "target"},
    "CosineEmbeddingLoss": {"input2"},
    "TripletMarginLoss": {"anchor", "positive", "negative"},
    "TripletMarginWithDistanceLoss": {"anchor", "positive", "negative"},
}
