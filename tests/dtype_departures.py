"""Where dtypes that are taken give a result of another dtype than they promote to, no gradient, or wrong numbers."""

from __future__ import annotations

from .known import Known

PROMOTED = "the dtype that the arguments promote to, as of every other operation of two tensors"
UNSIGNED = "the numbers, whatever dtype holds them; or a refusal"

DTYPE_DEPARTURES: tuple[Known, ...] = (
    Known(
        name="huber_loss_cannot_go_back",
        cases=("HuberLoss-*-c*-input-float*", "HuberLoss-*-c*-input-bfloat16*", "HuberLoss-*-c*-target-*"),
        gives="RuntimeError: Found dtype ",
        right="the gradient, as SmoothL1Loss and MSELoss have it",
        why="the iterator of huber_loss_backward does not promote; the forward gives input's dtype and not the promoted one",
        link="https://github.com/pytorch/pytorch/issues/76646",
        reproducer="""
x, y = torch.zeros(2, requires_grad=True), torch.zeros(2, dtype=torch.float64)
got = str(F.huber_loss(x, y).dtype)""",
        today="torch.float32",
    ),
    Known(
        name="mse_loss_could_not_go_back",
        cases=("MSELoss-matrix-c*-*",),
        gives="RuntimeError: Found dtype ",
        right="the gradient, as SmoothL1Loss has it",
        why="the iterator of mse_loss_backward did not promote",
        torch="<2.12",
        link="https://github.com/pytorch/pytorch/issues/36553",
        reproducer="""
x, y = torch.zeros(2, requires_grad=True), torch.zeros(2, dtype=torch.float64)
F.mse_loss(x, y).backward()
got = x.grad""",
        today="RuntimeError: Found dtype Double but expected Float",
    ),
    Known(
        name="bce_with_logits_takes_the_dtype_of_target",
        cases=tuple(
            f"BCEWithLogitsLoss-*-c*-{argument}"
            for argument in ("input-float64*", "*weight-float64*", "target-*float16*")
        ),
        gives="has dtype torch.",
        right=PROMOTED,
        why="(1 - target) is multiplied by input in place, and the loss by the weights: a result is as narrow as target",
        reproducer="""
x, y = torch.tensor([0.1], dtype=torch.float64), torch.tensor([0.3], dtype=torch.bfloat16)
got = str(F.binary_cross_entropy_with_logits(x, y).dtype)""",
        today="torch.bfloat16",
    ),
    Known(
        name="bce_weight_does_not_promote",
        cases=("BCELoss-*-c*-weight-float64 *",),
        gives="has dtype torch.float32, not torch.float64",
        right=PROMOTED,
        why="the loss is multiplied by the weight in place",
        reproducer="""
x, w = torch.tensor([0.5]), torch.tensor([1.0], dtype=torch.float64)
got = str(F.binary_cross_entropy(x, x, weight=w).dtype)""",
        today="torch.float32",
    ),
    Known(
        name="poisson_of_integers_is_float32_inside",
        cases=("PoissonNLLLoss-*-c*-input-int64-beside_float64 *", "PoissonNLLLoss-*full*-c*-target-int64-beside_float64 *"),
        gives=" wrong; the worst at ",
        right="the dtype that the arguments promote to, on the way too",
        why="exp and log of integers have the default dtype: those of a rate, and of a count in Stirling's term",
        link="https://github.com/pytorch/pytorch/issues/170745",
        reproducer="""
x, n = torch.zeros(1, dtype=torch.float64), torch.tensor([70000])  # of its log, no float32 is near
got = torch.sub(*(F.poisson_nll_loss(x, count, full=True) for count in (n, n.double()))).abs().gt(0.01).item()""",
        today=True,
    ),
    Known(
        name="pos_weight_of_bytes_wraps",
        cases=("BCEWithLogitsLoss-*-c*-pos_weight-uint8 *",),
        gives=" wrong; the worst at ",
        right=UNSIGNED,
        why="log_weight = (pos_weight - 1) * target + 1 is computed in bytes, in which 0 - 1 is 255",
        reproducer="""
x, w = torch.zeros(1), torch.zeros(1, dtype=torch.uint8)
got = [F.binary_cross_entropy_with_logits(x, x + 1, pos_weight=p).div(0.6931472).round().item() for p in (w, w.float())]""",
        today=[256.0, 0.0],
    ),
    Known(
        name="margin_ranking_target_of_bytes_wraps",
        cases=("MarginRankingLoss-*-c*-target-uint8 *",),
        gives=" wrong; the worst at ",
        right=UNSIGNED,
        why="-target is computed in bytes, in which -1 is 255",
        reproducer="""
x, y = torch.ones(1), torch.ones(1, dtype=torch.uint8)
got = [F.margin_ranking_loss(x, 0 * x, t).item() for t in (y, y.float())]""",
        today=[255.0, 0.0],
    ),
    Known(
        name="soft_margin_target_of_bytes_wraps",
        cases=("SoftMarginLoss-*-c*-target-uint8 *",),
        gives="the gradient of input ",
        right=UNSIGNED,
        why="-target is computed in bytes, in which -1 is 255, in the backward pass",
        link="https://github.com/pytorch/pytorch/issues/80206",
        reproducer="""
x, y = torch.ones(1, requires_grad=True), torch.ones(1, dtype=torch.uint8)
F.soft_margin_loss(x, y).backward()
got = str(x.grad.item())""",
        today="nan",
    ),
    Known(
        name="an_ignored_byte_is_no_character",
        cases=("*Loss-batch_ignored_weight-cpu-target-uint8 none",),
        gives="UnicodeDecodeError: ",
        right="IndexError: Target 156 is out of bounds, for -100 is no byte",
        why="the message has the byte itself, as a character, where an int64 is written in digits",
        reproducer="""
got = F.nll_loss(torch.zeros(1, 3), torch.tensor([65], dtype=torch.uint8), reduction="none")""",
        today="IndexError: Target A is out of bounds.",
    ),
    Known(
        name="hinge_embedding_of_integers_is_an_integer",
        cases=("HingeEmbeddingLoss-*-c*-input-*int* none",),
        gives="is taken, and gives torch.",
        right="a refusal, or the loss in the default dtype: with a margin of 0.25 it is no integer",
        why="margin - input is written into an integer tensor",
        reproducer="""
x = torch.zeros(1, dtype=torch.int32)
got = [F.hinge_embedding_loss(i, -torch.ones(1), margin=0.75, reduction="sum").item() for i in (x, x.float())]""",
        today=[0, 0.75],
    ),
)
