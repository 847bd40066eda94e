"""A path is held to the oracle, on the benchmark's own inputs, before it is timed.

The budget is that of the matrix (`reference.accuracy`). A path that is wrong is reported, and not timed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import reference
from reference.accuracy import Budget, Truth, Verdict, compare
from reference.arithmetic import exp, log_softmax
from reference.formats import FORMATS
from reference.loss import Loss

from .departures import departure
from .step import Step, reduction
from .workloads import Workload


@dataclass(frozen=True, slots=True)
class Checked:
    """The worst error of the value and of the gradients, in units of their budgets; a sentence if one is above 1."""

    value: float
    gradients: float
    problem: str

    @property
    def worst(self) -> float:
        """Of all."""
        return max(self.value, self.gradients)


def check(step: Step) -> Checked:
    """Value and gradients of a path at a case."""
    try:
        loss = step()
        gradients = step.gradients(loss)
    except Exception as error:
        said = str(error).strip().splitlines() or [""]
        return Checked(np.inf, np.inf, f"raises {type(error).__name__}: {said[0][:200]}")
    workload, dtype = step.case.workload, step.case.dtype
    names = [n for n, t in step.inputs[0].items() if t.requires_grad]
    found = {name: _array(tensor) for name, tensor in zip(["value", *names], [loss, *gradients], strict=True)}
    problem, verdicts = "", dict[str, Verdict]()
    for budgets in _budgets(_truth(workload, dtype), reduction(workload.loss)):
        verdicts = {name: compare(got, budgets[name], FORMATS[dtype]) for name, got in found.items()}
        problem = next((f"{name}: {verdict.problem}" for name, verdict in verdicts.items() if verdict.problem), "")
        if not problem:
            break
    return Checked(verdicts["value"].ratio, max(verdicts[name].ratio for name in names), problem)


def refusal(row: str, device: str, checked: Checked) -> str:
    """Why a row is not timed: it errs more than the budget, and more than a departure allows; or nothing."""
    known = departure(row, device)
    allowed = known.gradients if known is not None and np.isfinite(known.gradients) else 1.0
    return checked.problem if checked.value > 1 or checked.gradients > allowed else ""


ONE = np.ones(())


def _budgets(truth: Truth, how: str) -> Iterator[dict[str, Budget]]:
    """Of the value and, ever wider, of the gradients."""
    return ({"value": truth.value(how), **gradients} for gradients in truth.growing(how, ONE))


@functools.lru_cache(maxsize=2)
def _truth(workload: Workload, dtype: str) -> Truth:
    """The oracle's at the workload's inputs."""
    drawn = workload.draw(dtype)
    definition: Any = getattr(reference, workload.loss).definition
    if workload.loss == "ctc_loss":
        definition = _ctc_of_logits
    return Truth(workload.row, workload.variant, drawn, FORMATS[dtype], "typical", definition)


def _ctc_of_logits(log_probs: Any, *args: Any, **options: Any) -> Loss:
    """CTC after a log-softmax, as the benchmark calls it: its gradient, less softmax times the gradient's sum."""
    lp = log_softmax(log_probs)
    inner = reference.ctc_loss.definition(lp, *args, **options)  # type: ignore[attr-defined, unused-ignore]
    partial = inner.partials["log_probs"]  # (N, C, T)
    p = np.moveaxis(exp(lp), 0, -1)
    return replace(inner, partials={"log_probs": partial - p * partial.sum(1, keepdims=True)})


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().to("cpu", torch.float64).numpy()
