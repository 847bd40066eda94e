"""A path is held to the oracle, on the benchmark's own inputs, before it is timed.

The budget is that of the matrix (`reference.accuracy`). A path that is wrong is reported, and not timed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import reference
from reference.accuracy import Budget, Truth, compare
from reference.arithmetic import exp, log_softmax
from reference.formats import FORMATS
from reference.loss import Loss

from .step import Step, reduction
from .workloads import Case, Workload


@dataclass(frozen=True, slots=True)
class Checked:
    """The worst error of a path, in units of the budget, and what is wrong, if anything is."""

    worst: float
    problem: str


def check(step: Step) -> Checked:
    """Value and gradients of a path at a case."""
    try:
        loss = step()
        gradients = step.gradients(loss)
    except Exception as error:  # noqa: BLE001 - whatever it raises, the answer is that it cannot be timed
        return Checked(np.inf, f"raises {type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}")
    workload, dtype = step.case.workload, step.case.dtype
    truth = _truth(workload, dtype)
    names = [n for n, t in step.inputs[0].items() if t.requires_grad]
    found = {"value": loss, **dict(zip(names, gradients, strict=True))}
    worst, problem = 0.0, ""
    for name, budget in truth.items():
        verdict = compare(_array(found[name]), budget, FORMATS[dtype])
        worst = max(worst, verdict.ratio)
        problem = problem or (verdict.problem and f"{name}: {verdict.problem}")
    return Checked(worst, problem)


@functools.lru_cache(maxsize=2)
def _truth(workload: Workload, dtype: str) -> dict[str, Budget]:
    """The oracle's value and gradients at the workload's inputs, with their budgets."""
    drawn = workload.draw(dtype)
    definition: Any = getattr(reference, workload.loss).definition
    if workload.loss == "ctc_loss":
        definition = _ctc_of_logits
    truth = Truth(workload.row, workload.variant, drawn, FORMATS[dtype], "typical", definition)
    how = reduction(workload.loss)
    gradients = truth.gradients(how, np.ones(()))
    return {"value": truth.value(how), **{name: gradients[name] for name in workload.differentiable}}


def _ctc_of_logits(log_probs: Any, *args: Any, **options: Any) -> Loss:
    """CTC after a log-softmax, as the benchmark calls it: its gradient, less softmax times the gradient's sum."""
    lp = log_softmax(log_probs)
    inner = reference.ctc_loss.definition(lp, *args, **options)  # type: ignore[attr-defined, unused-ignore]
    partial = inner.partials["log_probs"]  # (N, C, T)
    p = np.moveaxis(exp(lp), 0, -1)
    return replace(inner, partials={"log_probs": partial - p * partial.sum(1, keepdims=True)})


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().to("cpu", torch.float64).numpy()


__all__ = ["Case", "Checked", "check"]
