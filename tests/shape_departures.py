"""Where a shape that is documented is refused, or gets the wrong numbers."""

from __future__ import annotations

from .known import Known

SHAPE_DEPARTURES: tuple[Known, ...] = (
    Known(
        name="margin_of_nothing_is_what_was_in_memory",
        cases=tuple(
            f"{loss}-no_rows*-cpu {reduction}"
            for loss in ("MultiMarginLoss", "MultiLabelMarginLoss")
            for reduction in ("mean", "sum")
        ),
        gives="value",
        right="the sum of nothing is 0, the mean NaN, as for every other loss",
        why="for an empty batch the kernel returns before it writes its result",
        steady=False,
    ),
    Known(
        name="batchmean_divides_by_the_first_axis_of_input",
        cases=tuple(
            f"KLDivLoss-{form}*-float32-cpu-{what} batchmean"
            for form, whats in {
                "vector": ("input_first_axis_1", "input_scalar", "target_axis_before", "target_batch_before"),
                "matrix": (
                    "input_first_axis_1",
                    "input_all_axes_1",
                    "input_first_axis_missing",
                    "input_scalar",
                    "target_*_before",
                ),
            }.items()
            for what in whats
        ),
        gives="value",
        right="the sum divided by the batch size, which is that of the loss: input and target broadcast to it",
        why="kl_div divides by input.size()[0], and a scalar input by nothing",
        reproducer="""
one, all = torch.tensor([-1.0]), torch.tensor([-1.0, -1.0])
got = [F.kl_div(x, torch.tensor([1.0, 1.0]), reduction="batchmean").item() for x in (one, all)]""",
        today=[2.0, 1.0],
    ),
)
