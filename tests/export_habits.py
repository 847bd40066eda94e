"""What exported losses are known to do otherwise."""

from __future__ import annotations

from .habits import Habit

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
        "multilabel_margin_decomposition",
        ("MultiLabelMarginLoss-*-core",),
        "wrong",
        "the decomposition goes on over the classes behind the first -1",
        torch="<2.14",
        link="https://github.com/pytorch/pytorch/issues/185464",
    ),
)
