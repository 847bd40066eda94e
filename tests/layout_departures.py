"""Where the layout of an argument changes what torch gives."""

from __future__ import annotations

from .known import Known

LAYOUT_DEPARTURES = (
    Known(
        name="nll_loss2d_backward_wants_contiguous",
        cases=tuple(
            f"NLLLoss-{form}*-c*-{asked} *"
            for form in ("k2", "class_images")
            for layout in ("transposed", "batch_second", "channels_last")
            for asked in (f"{layout} input*", f"mixed input.{layout}*")
        ),
        gives="RuntimeError: grad_input must be contiguous",
        right="the gradient, as for 2-D, 3-D and 5-D input, and as CrossEntropyLoss gives it",
        why="nll_loss_nd passes a 4-D input on as it is; zeros_like keeps its strides, and nll_loss2d_backward checks them",
        link="https://github.com/pytorch/pytorch/issues/175084",
        reproducer="""
x = torch.zeros(1, 2, 2, 2).to(memory_format=torch.channels_last).requires_grad_()
F.nll_loss(x, torch.zeros(1, 2, 2, dtype=torch.long)).backward()
got = x.grad.tolist()""",
        today="RuntimeError: grad_input must be contiguous",
    ),
    Known(
        name="concatenated_targets_are_read_as_contiguous",
        cases=("CTCLoss-batch_concatenated*-c*-strided *targets* *",),
        gives=" wrong; the worst at ",
        right="8 frames that spell [1, 2], and 8 that spell [3, 4]: the same loss for the same targets",
        why="ctc_loss counts where a row of concatenated targets begins in elements, and adds that to a pointer without the stride",
        reproducer="""
lp, targets = torch.arange(80.0).reshape(8, 2, 5).cos().log_softmax(-1), torch.tensor([1, 2, 3, 4])
other = torch.stack([targets, torch.zeros_like(targets)], 1)[:, 0]
got = [F.ctc_loss(lp, t, (8, 8), (2, 2), reduction="none").mul(64).round().tolist() for t in (targets, other)]""",
        today=[[511.0, 519.0], [511.0, 528.0]],
    ),
)
