"""The verdict on one array of one case: against its budget, known divergences, and what is said if it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from reference.accuracy import Budget, Verdict, compare, surely_within, within
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
        verdict = self._verdict(case, quantity, got, budget)
        if verdict is None:
            return
        problem = verdict
        entries = applicable(case, quantity, self.torch_version)
        for known in widen(entries, case, quantity, [budget], cotangent) if entries else ():
            problem = compare(got, known, case.format)
            if not problem.problem:
                self._record(case, quantity, verdict, entries)
                return
        raise AssertionError(explain(case, quantity, problem, entries))

    def value(self, case: Case, got: FloatArray) -> None:
        """The same of the value under the case's reduction; mostly a narrow budget decides, of which an error is a larger share."""
        __tracebackhide__ = True
        if not surely_within(got, case.truth.value(case.reduction, narrow=True), self._unsaid(case)):
            self(case, "value", got, case.truth.value(case.reduction))

    def gradients(self, case: Case, got: Mapping[str, FloatArray], cotangent: FloatArray) -> None:
        """The same of gradients by argument, with budgets that grow until one decides, or they are whole.

        What is beyond a budget may be within as narrow a one of what torch is known to compute instead. Recorded is the
        error in units of the budget that decided; but within the whole, unless it is at most half of a narrower one.
        """
        __tracebackhide__ = True
        truth, open, budgets = case.truth, dict(got), dict[str, Budget]()
        known: dict[str, tuple[list[Divergence], Iterator[Budget]]] = {}
        for budgets in truth.growing(case.reduction, cotangent):
            for name, each in list(open.items()):
                verdict = self._verdict(case, name, each, budgets[name], most=0.5)
                if verdict is None:
                    del open[name]
                elif verdict.problem:
                    if name not in known:
                        entries = applicable(case, name, self.torch_version)
                        own = (b[name] for b in truth.growing(case.reduction, cotangent))
                        known[name] = entries, widen(entries, case, name, own, cotangent) if entries else iter(())
                    entries, others = known[name]
                    if any(within(each, other, case.format) for other in islice(others, 1)):
                        self._record(case, name, verdict, entries)
                        del open[name]
            if not open:
                return
        for name, each in open.items():
            self(case, name, each, budgets[name], cotangent)

    def _verdict(self, case: Case, quantity: str, got: FloatArray, budget: Budget, most: float = 1.0) -> Verdict | None:
        """None if the error is within so much of the budget, and recorded: then there is nothing more to say of it."""
        if surely_within(got, budget, self._unsaid(case)):
            return None
        verdict = compare(got, budget, case.format)
        if verdict.ratio > most:
            return verdict
        self._record(case, quantity, verdict, [])
        return None

    def is_noise(self, case: Case, quantity: str) -> bool:
        """Whether two calls may differ, as torch is known to return what happened to be in memory."""
        return any(entry.noise is not None for entry in applicable(case, quantity, self.torch_version))

    def _worst(self, case: Case, entries: list[Divergence]) -> float:
        return float(self.worst.get(_key(case, entries), {"rank": -1.0})["rank"])

    def _unsaid(self, case: Case) -> float:
        """The share of its budget up to which an error is right, and not the worst: there is nothing to say of it."""
        return min(self._worst(case, []), 1.0)

    def _record(self, case: Case, quantity: str, verdict: Verdict, entries: list[Divergence]) -> None:
        """The worst of what is within the budget, and of each known divergence (of numbers, if it has any)."""
        rank = verdict.ratio if np.isfinite(verdict.ratio) or not entries else -0.5
        if rank > self._worst(case, entries):
            self.worst[_key(case, entries)] = {
                "rank": rank,
                "ratio": verdict.ratio,
                "ulps": verdict.ulps,
                "case": case.id,
                "of": quantity,
                "got": verdict.got,
                "want": verdict.want,
            }


def _key(case: Case, entries: list[Divergence]) -> Key:
    return case.row.name, case.format.name, case.device, " + ".join(entry.name for entry in entries)


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
        last = index[len(index) - value.ndim :] if value.ndim < len(index) and value.dtype.kind == "f" else index  # of classes, the first
        at = tuple(min(i, n - 1) for i, n in zip(last, value.shape, strict=False))
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
