"""The verdict on one array of one case: against its budget, known divergences, and what is said if it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reference.accuracy import Budget, Verdict, compare
from reference.arithmetic import FloatArray
from reference.loss import flatten

from .cases import Case
from .divergence import Divergence, widen
from .divergences import applicable
from .subject import ADAPTERS
from .table import Key


@dataclass
class Judge:
    """Compares, records the worst error per loss, dtype and device, and raises with everything one needs to know."""

    torch_version: str
    worst: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def __call__(
        self, case: Case, quantity: str, got: FloatArray, budget: Budget, cotangent: FloatArray | None = None
    ) -> None:
        """Raise unless `got` is within the budget, or within that of what torch is known to compute instead."""
        __tracebackhide__ = True
        verdict = compare(got, budget, case.format)
        if not verdict.problem:
            self._record(case, quantity, verdict, "")
            return
        entries, problem = applicable(case, quantity, self.torch_version), verdict
        for known in widen(entries, case, quantity, budget, cotangent) if entries else ():
            problem = compare(got, known, case.format)
            if not problem.problem:
                self._record(case, quantity, verdict, " + ".join(entry.name for entry in entries))
                return
        raise AssertionError(explain(case, quantity, problem, entries))

    def gradients(self, case: Case, got: Mapping[str, FloatArray], cotangent: FloatArray) -> None:
        """The same of gradients by argument, with budgets that grow until they say that all is well, or are whole.

        All is well where the error is within a budget, and in its units no worse than what is recorded: in those of
        the whole, which are larger, it is no worse either.
        """
        __tracebackhide__ = True
        budgets: dict[str, Budget] = {}
        for budgets in case.truth.growing(case.reduction, cotangent):
            got = {n: g for n, g in got.items() if not compare(g, budgets[n], case.format).ratio <= self.settled(case)}
            if not got:
                return
        for name, each in got.items():
            self(case, name, each, budgets[name], cotangent)

    def settled(self, case: Case) -> float:
        """The error, in units of a budget that is not the whole one, of which there is nothing to say or to record."""
        recorded = self.worst.get((case.row.name, case.format.name, case.device, ""), {"rank": -1.0})["rank"]
        return min(recorded, 1.0)

    def is_noise(self, case: Case, quantity: str) -> bool:
        """Whether two calls may differ, as torch is known to return what happened to be in memory."""
        return any(entry.noise is not None for entry in applicable(case, quantity, self.torch_version))

    def _record(self, case: Case, quantity: str, verdict: Verdict, known_as: str) -> None:
        """The worst of what is within the budget, and of each known divergence (of numbers, if it has any)."""
        key = (case.row.name, case.format.name, case.device, known_as)
        rank = verdict.ratio if np.isfinite(verdict.ratio) or not known_as else -0.5
        if rank > self.worst.get(key, {"rank": -1.0})["rank"]:
            self.worst[key] = {
                "rank": rank,
                "ratio": verdict.ratio,
                "ulps": verdict.ulps,
                "case": case.id,
                "of": quantity,
                "got": verdict.got,
                "want": verdict.want,
            }


def explain(case: Case, quantity: str, verdict: Verdict, entries: list[Divergence]) -> str:
    """The failure, in full: what, where, how much, and how to repeat it."""
    lines = [f"{case.id}: the {'value' if quantity == 'value' else 'gradient of ' + quantity} {verdict.problem}"]
    lines += [f"  beyond what is known of it: {entry.name} ({entry.why})" for entry in entries]
    lines += [f"  inputs there: {inputs_at(case, verdict.index)}"]
    where = "test_value" if quantity == "value" else "test_gradient"
    lines += [
        f"  repeat: pytest 'tests/{where}.py::{where}[{case.id}]' --device {case.device} --seed {case.seed}",
        "",
        snippet(case, quantity),
    ]
    return "\n".join(lines)


def inputs_at(case: Case, index: tuple[int, ...]) -> str:
    """The elements of the arguments at the index, as far as they have it."""
    said = []
    for name, value in flatten(case.truth.drawn.arguments).items():
        if not value.size:
            said.append(f"{name} is empty")
            continue
        at = tuple(min(i, n - 1) for i, n in zip(index, value.shape, strict=False))
        said.append(
            f"{name}{list(at)} = {value[at]!r}"
            if value[at].ndim == 0
            else f"{name}{list(at)} = {np.array2string(value[at], threshold=8)}"
        )
    return "; ".join(said)


def snippet(case: Case, quantity: str) -> str:
    """A few lines of torch that repeat the call, with literal values."""
    drawn = case.truth.drawn
    size = sum(np.size(a) for a in flatten(drawn.arguments).values())
    if size > 2000 or case.row.function in ADAPTERS:
        return (
            f"  ({size} numbers{'' if size > 2000 else ', most of them in layers'}: repeat it with the command above)"
        )
    where = case.row.namespace or "torch.nn.functional"
    parts = [f"{name}={_literal(value, case)}" for name, value in drawn.arguments.items()]
    options = [f"{name}={value!r}" for name, value in drawn.options.items()]
    call = f"{where}.{case.row.function}(**arguments, {', '.join([*options, f'reduction={case.reduction!r}'])})"
    lines = [f"import torch{', torchvision' if case.row.namespace else ''}", f"arguments = dict({', '.join(parts)})"]
    if quantity != "value":
        lines += [f"arguments[{quantity!r}].requires_grad_()"]
    lines += [f"loss = {call}"]
    if quantity == "value":
        lines += ["print(loss)"]
    else:
        cotangent = _literal(case.cotangent(case.truth.loss.reduce(case.reduction).shape), case)
        lines += [f"loss.backward({cotangent})", f"print(arguments[{quantity!r}].grad)"]
    return "\n".join("    " + line for line in lines)


def _literal(value: Any, case: Case) -> str:
    dtype = f"torch.{case.format.name}" if value.dtype.kind == "f" else "torch.int64"
    text = repr(np.asarray(value).tolist()).replace("nan", "float('nan')").replace("-inf", "float('-inf')")
    text = text.replace("inf", "float('inf')").replace("float('-float('inf')')", "float('-inf')")
    return f"torch.tensor({text}, dtype={dtype}, device={case.device!r})"
