"""A loss under a transform, held to the specification, and to eager where that departs from it too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np
import torch

from reference.accuracy import Budget, Truth, compare
from reference.catalog import ROWS, Form
from reference.formats import FORMATS, Format
from reference.inputs import draw

from .cases import Case, by_name
from .departures import Departure
from .divergence import widen
from .divergences import applicable
from .habits import Habit, habit, judge
from .subject import array, differentiable, loss_of, tensor, tensors

Found = dict[str, torch.Tensor]
Function = Callable[[Any], torch.Tensor]  # of the arguments, by name


def arguments(case: Case) -> tuple[Any, tuple[str, ...]]:
    """The case's arguments as tensors, and those that require grad."""
    drawn = case.truth.drawn
    names = differentiable(case.row, drawn)
    return tensors(drawn, case.format, case.device, differentiable=names), names


def function(case: Case, subject: Any) -> Function:
    """The case's loss, of its arguments; looked up here, for no compiler follows an import."""
    loss, said = loss_of(subject, case.row), {**case.variant.options, "reduction": case.reduction}
    return lambda given: loss(**given, **said)


def cotangent(case: Case) -> torch.Tensor:
    """A random one, of the shape of the result, or of that which torch is known to give it."""
    known = [entry.shape for entry in applicable(case, "value", torch.__version__) if entry.shape is not None]
    return tensor(case.cotangent((known or [case.truth.loss.reduce(case.reduction).shape])[0]), case.format, case.device)


def evaluate(loss: Function, case: Case) -> Found:
    """The value, and the gradient in every differentiable argument."""
    return evaluate_all(lambda given: [loss(given[0])], [case])[0]


def evaluate_all(losses: Callable[[Any], Sequence[torch.Tensor]], cases: Sequence[Case]) -> list[Found]:
    """The same of many losses at once, in one backward pass."""
    given = [arguments(case) for case in cases]
    values = losses([each for each, _ in given])
    leaves = [each[name] for each, names in given for name in names]
    found = iter(torch.autograd.grad(values, leaves, list(map(cotangent, cases)), allow_unused=True, materialize_grads=True))
    return [{"value": value.detach(), **{name: next(found) for name in names}} for value, (_, names) in zip(values, given, strict=True)]


class Elsewhere(Case):
    """A case whose truth is another."""

    at: ClassVar[Truth]

    @property
    def truth(self) -> Truth:
        """The one it was given."""
        return self.at


def elsewhere(case: Case, truth: Truth) -> Case:
    """The case at other arguments."""
    found = Elsewhere(**{f.name: getattr(case, f.name) for f in fields(case)})
    object.__setattr__(found, "at", truth)
    return found


def larger(case: Case) -> Case:
    """The case with every axis one longer, equal axes equal; but for those of length 1, which compilers take for constants."""
    return elsewhere(case, _larger_truth(case.row.name, case.variant.name, case.regime, case.format.name, case.seed))


@lru_cache(maxsize=32)
def _larger_truth(row: str, variant: str, regime: str, format: str, seed: int) -> Truth:
    plain = Case(ROWS[row], by_name(row)[variant], "none", FORMATS[format], "cpu", regime, seed).truth
    form = plain.variant.form
    grown = replace(plain.variant, form=Form(form.name, {axis: n + (n > 1) for axis, n in form.axes.items()}))
    return replace(plain, variant=grown, drawn=draw(plain.row, grown, regime, plain.format, seed))


def hold(entries: Sequence[Habit], name: str, case: Case, found: Found, eager: Found) -> None:
    """Raise on problems that no entry knows, where a known one is no more, and where something else is computed than it says."""
    __tracebackhide__ = True
    judge(entries, name, problems(case, found, eager, habit(entries, name, "inaccurate")))
    known = habit(entries, name, "wrong")
    if known is not None and known.allows is not None:
        others = problems(case, found, eager, known)
        assert not others, f"{name}: wrong otherwise than {known.name} says: " + "\n".join(others)


def problems(case: Case, found: Found, eager: Found | None = None, entry: Habit | None = None) -> list[str]:
    """What is wrong: every number within the budget of the truth, and beside `eager` its dtype, shape and device as there.

    Where eager is known to depart from the truth, the transform may too: it is held to what eager is held to, or to
    what eager gives.
    """
    said, open = [], dict(found)
    for name, got in found.items() if eager is not None else ():
        kinds = [(t.dtype, tuple(t.shape), t.device.type) for t in (got, eager[name])]
        if kinds[0] != kinds[1]:
            said.append(f"{case.id}: {name} is {kinds[0]}, in eager {kinds[1]}")
            del open[name]
    allowed: dict[str, Budget] = {}
    for budgets in case.truth.growing(case.reduction, vector_of(case)):
        every = {"value": case.truth.value(case.reduction), **budgets}
        allowed = {n: every[n] if entry is None or entry.allows is None else entry.allows(case, n, every[n]) for n in open}
        open = {name: got for name, got in open.items() if compare(array(got), allowed[name], case.format).problem}
        if not open:
            return said
    beside = eager or {}
    return said + [p for name, got in open.items() if (p := beyond(case, name, got, allowed[name], beside.get(name)))]


def vector_of(case: Case) -> Any:
    """The cotangent in the arithmetic of the truth."""
    loss = case.truth.loss
    return case.cotangent(loss.reduce(case.reduction).shape).astype(loss.value.dtype)


def budgets_of(case: Case) -> dict[str, Budget]:
    """Of the value, and of the gradient in every argument."""
    return {"value": case.truth.value(case.reduction), **case.truth.gradients(case.reduction, vector_of(case))}


def instead(departure: Departure, *quantities: str) -> Callable[[Case, str, Budget], Budget]:
    """What these quantities are held to, or all of them, if something else is computed: in what that does not use, its gradient is 0."""

    def allows(case: Case, quantity: str, budget: Budget) -> Budget:
        if quantities and quantity not in quantities:
            return budget
        other = elsewhere(case, replace(case.truth, definition=partial(departure, case.truth)))
        nothing = np.zeros_like(budget.want)
        return budgets_of(other).get(quantity, Budget(nothing, nothing))

    return allows


def stored(budget: Budget, format: Format | None) -> Budget:
    """The budget, and the rounding to a dtype that the array has in the end; beyond its largest number, infinity."""
    if format is None:
        return budget
    over = abs(budget.want) > format.max
    return replace(budget, allowed=budget.allowed + format.u * abs(budget.want) + format.step, overflow=lambda: budget.may_overflow | over)


def beyond(
    case: Case, name: str, got: torch.Tensor, budget: Budget, eager: torch.Tensor | None = None, format: Format | None = None
) -> str:
    """What is wrong with the numbers: nothing if they are within the budget, or that of a known divergence, or near eager's.

    `format` is what a result that was computed in the case's is stored in, if that is another.
    """
    verdict = compare(array(got), stored(budget, format), case.format)
    if not verdict.problem:
        return ""
    entries = applicable(case, name, torch.__version__)
    for wider in widen(entries, case, name, [budget], None if name == "value" else vector_of(case)) if entries else (budget,):
        held = stored(wider, format)
        near = [] if eager is None else [replace(held, want=array(eager))]
        if not all(compare(array(got), b, case.format).problem for b in (held, *near)):
            return ""
    beside = "" if eager is None else f"; eager gives {array(eager)[verdict.index]!r} there"
    return f"{case.id}: {name} {verdict.problem}{beside}"
