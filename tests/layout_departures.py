"""Where the layout of an argument changes what torch gives."""

from __future__ import annotations

from .known import Known

LAYOUT_DEPARTURES = (
    Known(
        name="nll_loss2d_backward_wants_contiguous",
        cases=tuple(
            f"NLLLoss-{form}*-cpu-{layout} input* *" for form in ("k2", "class_images") for layout in ("transposed", "channels_last")
        ),
        gives="RuntimeError: grad_input must be contiguous",
        right="The gradient, as for 2-D, 3-D and 5-D input, and as CrossEntropyLoss gives it.",
        why="nll_loss_nd passes a 4-D input on as it is; zeros_like keeps its strides, and nll_loss2d_backward checks them",
        link="https://github.com/pytorch/pytorch/issues/175084",
    ),
)
