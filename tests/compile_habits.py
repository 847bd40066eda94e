"""What compiled losses are known to do otherwise than eager ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from reference.accuracy import Budget

from .departures import behind_the_end, unweighted
from .habits import Habit, near_one
from .transformed import instead


def _without_nan(case: Any, quantity: str, budget: Budget) -> Budget:
    """A gradient of 0 where it should be NaN."""
    if quantity == "value":
        return budget
    gone = np.isnan(budget.want)
    return replace(budget, want=np.where(gone, 0, budget.want), allowed=np.where(gone, 0, budget.allowed))


def _may_be_nan(case: Any, quantity: str, budget: Budget) -> Budget:
    """Right where it is finite."""
    return replace(budget, overflow=lambda: True)


def _of_input_may_be_nan(case: Any, quantity: str, budget: Budget) -> Budget:
    """And so are the gradients in the input and the layer that the logits are made of; all else is right everywhere."""
    return _may_be_nan(case, quantity, budget) if quantity.startswith(("input", "linear_")) else budget


def _behind_the_end(allows: Callable[[Any, str, Budget], Budget]) -> tuple[Habit, ...]:
    """The multi-label margin loss counts labels that are none; what its gradient is depends on who differentiates."""
    many = Habit(
        "multilabel_margin_decomposition",
        ("MultiLabelMarginLoss-batch*-typical*", "MultiLabelMarginLoss-batch*-kinks*"),
        "wrong",
        "the decomposition takes class 0 for every label from the first -1 on, and adds its terms up with those of the others",
        torch="<2.14",
        link="https://github.com/pytorch/pytorch/issues/185464",
        allows=allows,
    )
    few = replace(
        many,
        name=f"{many.name}_of_a_row",
        cases=("MultiLabelMarginLoss-unbatched-mean*", "MultiLabelMarginLoss-unbatched-sum*", "MultiLabelMarginLoss-batch*"),
        but=many.cases,
        sometimes=True,  # of one row there may be no class behind it, nor does it count among numbers that are alike or infinite
    )
    return many, few


RULES: tuple[Habit, ...] = (
    Habit(
        "margin_losses_keep_the_batch",
        ("MultiLabelMarginLoss-unbatched*-none-*", "MultiMarginLoss-unbatched*-none-*"),
        "refuses",
        "the decomposition adds a batch axis to an unbatched input and leaves it there: the loss has shape (1), not ()",
        says="output[0] has a shape of torch.Size([1])",
        link="https://github.com/pytorch/pytorch/pull/186074",
    ),
    Habit(
        "smooth_l1_decomposition_drops_nan",
        ("SmoothL1Loss-*-cpu-nan_*", "SmoothL1Loss-*-cpu-inf_all"),  # of these, tests/test_compile.py asks on the CPU
        "wrong",
        "where |d| is not less than beta the gradient is sign(d), and |NaN| is not: a NaN residual passes a gradient of 0",
        allows=_without_nan,
        but=("*beta.0.0*",),  # there eager's is sign(d), too
    ),
    Habit(
        "decomposition_divides_by_nothing",
        tuple(f"{loss}-*-mean-*-cpu-empty" for loss in ("SmoothL1Loss", "HuberLoss", "MSELoss")),
        "refuses",
        "the mean's factor is 1 / numel, of numbers of Python: the gradient of the mean of nothing is an error, in eager an empty tensor",
        says="division by zero",
        but=("*beta.0.0*",),
    ),
    Habit(
        "nll_decomposition_multiplies_by_weights",
        tuple(f"{loss}-*weight*-cpu-{regime}" for loss in ("NLLLoss", "*CrossEntropyLoss") for regime in ("nan_weight", "inf_weight", "zero_weight")),
        "wrong",
        "a row's gradient is a vector, 0 but for its class, times all the weights over their total: 0 * inf, 0 * NaN, 0 / 0",
        allows=_of_input_may_be_nan,
        sometimes=True,  # not where no weight that is infinite is of another class, nor where eager is known to give NaN
    ),
    Habit(
        "multi_margin_decomposition_multiplies_by_weights",
        ("MultiMarginLoss-*weight*-cpu-inf_weight",),
        "wrong",
        "every class has a term, that of the target 0, and is multiplied by the target's weight: 0 * inf",
        allows=_may_be_nan,
        sometimes=True,  # where every target has an infinite weight, eager is NaN, too, in the mean
    ),
    Habit(
        "soft_margin_backward_decomposition",
        ("SoftMarginLoss-*",),
        "inaccurate",
        "the gradient is -y (1 - sigmoid(y x)), where 1 - sigmoid cancels; the kernel's is -y z / (1 + z)",
        allows=near_one,
    ),
)

DECOMPOSED = (*_behind_the_end(instead(behind_the_end, "value")), *RULES)  # whose backward pass is the kernel's

COMPILED: tuple[Habit, ...] = (
    Habit(
        "gaussian_nll_looks_at_the_data",
        ("GaussianNLLLoss-*",),
        "refuses",
        "`if torch.any(var < 0): raise` looks at the data, which a full graph cannot; without fullgraph the graph breaks there",
        says="dependent",
        link="https://github.com/pytorch/pytorch/issues/194503",
    ),
    Habit(
        "weighted_l1_forgets_its_weight",
        ("L1Loss-*weight*-all_L1Loss",),
        "wrong",
        "traced, it hands its arguments to an override, and the weight is not among them: see test_overrides",
        allows=instead(unweighted),
        link="https://github.com/pytorch/pytorch/pull/193003",
    ),
    Habit(
        "ctc_reads_the_lengths",
        ("CTCLoss-*",),
        "refuses",
        "the shape of what _ctc_loss saves for backward depends on the lengths, which are data",
        says="ctc_loss.Tensor",
        link="https://github.com/pytorch/pytorch/issues/183396",
    ),
    Habit(
        "adaptive_softmax_looks_at_the_data",
        ("AdaptiveLogSoftmaxWithLoss-*-module",),
        "refuses",
        "rows are picked by the cluster of their class, and asked how many they are",
        says="dependent",
        torch=">=2.10",
        link="https://github.com/pytorch/pytorch/issues/194765",
    ),
    Habit(
        "adaptive_softmax_breaks_the_graph",
        ("AdaptiveLogSoftmaxWithLoss-*-module",),
        "refuses",
        "as above, in the words of another release",
        says="Graph break",
        torch="<2.10",
        link="https://github.com/pytorch/pytorch/issues/194765",
    ),
    *(replace(entry, name=f"compiled_{entry.name}") for entry in (*_behind_the_end(instead(behind_the_end)), *RULES)),
)
