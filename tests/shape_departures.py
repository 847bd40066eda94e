"""Where a shape that is documented is refused, or gets the wrong numbers."""

from __future__ import annotations

from .known import Known

SHAPE_DEPARTURES: tuple[Known, ...] = (
    Known(
        name="margin_of_nothing_is_what_was_in_memory",
        cases=tuple(
            f"{loss} {reduction}"
            for loss in ("MultiMarginLoss-no_rows*-c*", "MultiLabelMarginLoss-no_rows*-cpu")
            for reduction in ("mean", "sum")
        ),
        gives="value",
        right="the sum of nothing is 0, the mean NaN, as for every other loss",
        why="for an empty batch the kernel returns before it writes its result",
        steady=False,
    ),
    Known(
        name="margin_of_nothing_has_no_number",
        cases=tuple(f"MultiLabelMarginLoss-no_rows*-cuda {reduction}" for reduction in ("mean", "sum")),
        gives="RuntimeError: Mismatch in shape: grad_output[0] has a shape of torch.Size([]) and output[0] has a shape of torch.Size([0])",
        right="the sum of nothing is 0, the mean NaN, as for every other loss",
        why="for an empty batch the kernel returns before it gives its result, which begins with no element, a shape",
    ),
    Known(
        name="mean_of_one_that_is_ignored_is_0",
        cases=tuple(f"{loss}-unbatched*_ignored*-cuda mean" for loss in ("NLLLoss", "CrossEntropyLoss", "LinearCrossEntropyLoss")),
        gives="the value 1 of 1 elements wrong; the worst at []: got 0.0 (0x0.0p+0), want nan",
        right="0/0, NaN, as on a CPU, and as in a batch in which all are ignored",
        why="the kernel for one row writes 0 where its target is ignored, whatever the reduction",
        link="https://github.com/pytorch/pytorch/pull/64572",
    ),
    Known(
        name="a_variance_without_axes_is_refused",
        cases=tuple(f"GaussianNLLLoss-{what} {r}" for what in ("matrix*-var_scalar", "vector_var_row*-input_axis_*", "vector_var_row*-input_batch_*") for r in ("none", "mean", "sum")),
        gives="ValueError: var is of incorrect size",
        right="documented: a single one, or a positive scalar for all; as a number it is taken",
        why="the shapes that are let through are that of input, one without its last axis, and one with a last axis of 1",
        link="https://github.com/pytorch/pytorch/issues/53392",
        reproducer="""
x = torch.zeros(3, 2)
got = F.gaussian_nll_loss(x, x, torch.tensor(1.0))""",
        today="ValueError: var is of incorrect size",
    ),
    Known(
        name="a_variance_for_all_rows_is_refused",
        cases=tuple(f"GaussianNLLLoss-matrix-*-var_first_axis_1 {r}" for r in ("none", "mean", "sum")),
        gives="ValueError: var is of incorrect size",
        right="it broadcasts to input, as one with a last axis of 1 does",
        why="as above; later releases try to broadcast it",
        torch="<2.10",
        reproducer="""
x = torch.zeros(3, 2)
got = F.gaussian_nll_loss(x, x, torch.ones(1, 2))""",
        today="ValueError: var is of incorrect size",
    ),
    Known(
        name="batchmean_divides_by_the_first_axis_of_input",
        cases=tuple(
            f"KLDivLoss-{form}*-float32-c*-{what} batchmean"
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
        link="https://github.com/pytorch/pytorch/pull/138810",
        reproducer="""
one, all = torch.tensor([-1.0]), torch.tensor([-1.0, -1.0])
got = [F.kl_div(x, torch.tensor([1.0, 1.0]), reduction="batchmean").item() for x in (one, all)]""",
        today=[2.0, 1.0],
    ),
)
