"""What is warned of, besides sizes that broadcast: a row is a call and what it says."""

from __future__ import annotations

from dataclasses import dataclass

POINTS = ">=2.13"
"""The releases in which what a warning points at was looked at: older ones give fewer of them a `stacklevel`."""

KL_MEAN = "'batchmean' divides only by the batch size"


@dataclass(frozen=True)
class Warns:
    """A call, and the one warning that it gives: its category and a fragment of what it says; none if that is empty.

    at: the file that it points at: the caller's own line, for a function that is called; or where torch goes no further
    """

    id: str
    code: str
    category: type[Warning]
    says: str
    torch: str = ">=2.6"
    at: str = "<string>"


_LINEAR = "F.linear_cross_entropy(ones(2, 4), ones(3, 4), {}, options=nn.LinearCrossEntropyOptions(){})"
_IGNORED = "linear_cross_entropy: ``options`` ignored"

# One level short of the caller: the message comes through functions or modules of torch's own.
FUNCTIONAL, REDUCTION, MODULES = "functional.py", "_reduction.py", "loss.py"

WARNINGS: tuple[Warns, ...] = (
    Warns("nll_2d", "nn.NLLLoss2d()", FutureWarning, "`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead"),
    Warns("kl_div-mean", "F.kl_div(ones(2, 3), ones(2, 3))", UserWarning, KL_MEAN),
    Warns("kl_div-mean_is_announced", "F.kl_div(ones(2, 3), ones(2, 3))", UserWarning, "'mean' will be changed to behave the same as 'batchmean'"),
    Warns("kl_div-mean_of_module", "nn.KLDivLoss()(ones(2, 3), ones(2, 3))", UserWarning, KL_MEAN, at=MODULES),
    Warns("kl_div-legacy_mean_is_not_warned_of_twice", "F.kl_div(ones(2, 3), ones(2, 3), size_average=True)", UserWarning, "please use reduction='mean' instead", at=REDUCTION),
    Warns("elementwise_mean", "F.l1_loss(ones(2), ones(2), reduction='elementwise_mean')", UserWarning, "reduction='elementwise_mean' is deprecated", at=FUNCTIONAL),
    Warns("elementwise_mean-of_module", "nn.L1Loss(reduction='elementwise_mean')(ones(2), ones(2))", UserWarning, "reduction='elementwise_mean' is deprecated", at=FUNCTIONAL),
    Warns("linear_cross_entropy-smoothed", _LINEAR.format("classes(0, 1)", ", label_smoothing=0.1"), UserWarning, _IGNORED, ">=2.13", at=""),
    Warns("linear_cross_entropy-probabilities", _LINEAR.format("ones(2, 3)", ""), UserWarning, _IGNORED, "==2.13.*"),
    Warns("linear_cross_entropy-probabilities_in_chunks", _LINEAR.format("ones(2, 3)", ""), UserWarning, "", ">=2.14"),
    Warns("linear_cross_entropy-chunked", _LINEAR.format("classes(0, 1)", ""), UserWarning, "", ">=2.13"),
)
