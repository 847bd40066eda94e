"""One call of a loss, whole: tensors in, value and gradients out, and the budgets that these are held to.

The questions asked with these calls are which numbers meet, in what shape, dtype and place, and what else happens;
not what the last digit is, which is the matrix's. So the inputs are easy ones (`EASY`), at which no implementation
loses digits, and the budgets are `SLACK` times the matrix's: numbers that should not have met are off by thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

import reference
from reference.accuracy import Budget, Truth, compare
from reference.arithmetic import Array, FloatArray
from reference.catalog import Form, Row, Variant
from reference.formats import Format
from reference.inputs import Drawn, draw, seed_of, untied

from .departures import Departure, ctc_through_softmax
from .divergence import in_release
from .offers import is_missing
from .subject import Tensors, array, call_function, differentiable, tensor, tensors

Budgets = dict[str, Budget]

SLACK = 4
"""Of the budget. At a few of the inputs that the drawing of EASY leaves, a norm or a difference uses up to 1.7 of it."""

USAGE: dict[str, Departure] = {"CTCLoss": ctc_through_softmax}
"""Departures of the matrix that no input avoids: here they are usage."""


def _moderate(x: FloatArray, format: Format) -> FloatArray:
    """From 0.3 to 0.9 in size: no confident class, no difference of near numbers, no margin of a catalog row."""
    return np.copysign(0.3 + 0.6 * abs(x) / (abs(x) + 2), x)


EASY: dict[str, Callable[[FloatArray, Format], FloatArray]] = {
    "logits": _moderate,
    "real": _moderate,
    "features": _moderate,
    "layer": _moderate,
    "built": lambda x, format: _moderate(x, format) / 8,  # matrices: what they add up must be moderate too
    "count": lambda x, format: x + 2,  # Stirling's term is noise to autograd where it is not used, at 1 and below
}
SCALES: dict[str, Callable[[Format], float]] = {
    "CosineEmbeddingLoss": lambda f: 64.0 if f.name == "float64" else 1.0,  # torch adds 1e-12 to the squared norms
    "LinearCrossEntropyLoss": lambda f: 0.5,  # logits are sums of products: no confident class among them either
}


@dataclass(frozen=True, eq=False)
class Call:
    """A variant of a loss at easy inputs, in one dtype on one device.

    change: alters what was drawn, of all arguments (targets and lengths that belong together aside), or `only` of one
    """

    row: Row
    variant: Variant
    format: Format
    device: str = "cpu"
    seed: int = 0
    change: Callable[[Array], Any] = np.asarray
    only: str = ""
    _wide: dict[str, FloatArray] = field(default_factory=dict, init=False)  # cotangents in the arithmetic of the truth
    _cotangents: dict[str, FloatArray] = field(default_factory=dict, init=False)
    _vectors: dict[str, torch.Tensor] = field(default_factory=dict, init=False)

    @property
    def id(self) -> str:
        """Loss-variant-dtype-device."""
        return f"{self.row.name}-{self.variant.name}-{self.format.name}-{self.device}"

    @cached_property
    def drawn(self) -> Drawn:
        """The arguments as arrays."""
        drawn = draw(self.row, self.variant, "typical", self.format, self.seed)
        easy = untied(self.row, {name: self._easy(name, value) for name, value in drawn.arguments.items()}, self.format)
        return replace(drawn, arguments={name: self._changed(name, value) for name, value in easy.items()})

    def _easy(self, name: str, value: Any) -> Any:
        domain = self.variant.choices[name].domain
        if domain not in EASY:
            return value
        if isinstance(value, list | tuple):
            return [self._easy(name, v) for v in value]
        scale = SCALES.get(self.row.name, lambda f: 1.0)(self.format)
        return self.format.round(scale * EASY[domain](value, self.format))

    def _changed(self, name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._changed(name, v) for v in value]
        if self.only or self.variant.choices[name].domain == "alignment":  # targets and their lengths belong together
            return self.change(value) if self.only == name else value
        return self.change(value)

    @cached_property
    def truth(self) -> Truth:
        """The definition at them."""
        definition = getattr(reference, self.row.function).definition
        truth = Truth(self.row, self.variant, self.drawn, self.format, "typical", definition)
        usage = USAGE.get(self.row.name)
        return truth if usage is None else replace(truth, definition=partial(usage, truth))

    @cached_property
    def differentiable(self) -> tuple[str, ...]:
        """The arguments that torch differentiates in."""
        return differentiable(self.row, self.drawn)

    def given(self) -> Tensors:
        """The arguments as tensors that ask for no gradient, on memory that the calls of this object share."""
        return {name: tensor.detach() for name, tensor in self._tensors.items()}

    @cached_property
    def _tensors(self) -> Tensors:
        return tensors(self.drawn, self.format, self.device)

    def cotangent(self, reduction: str) -> FloatArray:
        """Random and representable, of the shape of the result."""
        if reduction not in self._cotangents:
            self._cotangents[reduction] = self._cotangent(reduction)
        return self._cotangents[reduction]

    def _cotangent(self, reduction: str) -> FloatArray:
        rng = np.random.default_rng(seed_of(f"{self.id}-{reduction}", self.seed))
        drawn = self.format.round(rng.standard_normal(self.truth.loss.reduce(reduction).shape))
        return drawn if self.only else np.asarray(self.change(drawn))

    def vector(self, reduction: str) -> torch.Tensor:
        """The cotangent as a tensor."""
        if reduction not in self._vectors:
            self._vectors[reduction] = tensor(self.cotangent(reduction), self.format, self.device)
        return self._vectors[reduction]

    def problems(self, outcome: Outcome, reduction: str, beside: Outcome | None = None, than: str = "") -> list[str]:
        """What is wrong with an outcome, a sentence each: beside the truth, or beside another outcome."""
        wants, open, said = {} if beside is None else beside.arrays(), outcome.arrays(), dict[str, str]()
        for budgets in self._growing(reduction):
            held = {name: replace(b, want=wants.get(name, b.want), allowed=SLACK * b.allowed) for name, b in budgets.items() if name in open}
            said = {name: problem for name, got in open.items() if (problem := compare(got, held[name], self.format).problem)}
            open = {name: open[name] for name in said}
            if not open:
                break
        return [f"{'the value' if name == 'value' else f'the gradient of {name}'}{than} {problem}" for name, problem in said.items()]

    def _growing(self, reduction: str) -> Iterator[Budgets]:
        """Budgets of the value and, by argument, of the gradients; the first are quick to find, and mostly enough."""
        if reduction not in self._wide:
            self._wide[reduction] = self.cotangent(reduction).astype(self.truth.loss.value.dtype)
        value = self.truth.value(reduction)
        return ({"value": value, **budgets} for budgets in self.truth.growing(reduction, self._wide[reduction]))


@dataclass(frozen=True)
class Outcome:
    """What a call gave: the value, and the gradient in every argument that asked for one."""

    value: torch.Tensor
    gradients: dict[str, torch.Tensor]

    def arrays(self) -> dict[str, FloatArray]:
        """The numbers, under the names that budgets have."""
        return {"value": array(self.value), **{name: array(g) for name, g in self.gradients.items()}}


def run(
    subject: Any,
    call: Call,
    given: Tensors,
    reduction: str,
    cotangent: torch.Tensor | None = None,
    names: Iterable[str] | None = None,
) -> Outcome:
    """The function's value, and the gradients in the differentiable arguments (or in `names`)."""
    names = call.differentiable if names is None else tuple(names)
    for name in names:
        given[name].requires_grad_()
    value = call_function(subject, call.row, call.variant, given, reduction)
    cotangent = call.vector(reduction).to(value.dtype) if cotangent is None else cotangent
    found = gradients(value, [given[name] for name in names], cotangent)
    return Outcome(value.detach(), dict(zip(names, found, strict=True)))


def gradients(
    value: torch.Tensor, leaves: list[torch.Tensor], cotangent: torch.Tensor, *, retain: bool = False
) -> list[torch.Tensor]:
    """The gradients; zeros where a leaf has no part in the value, as a tail of adaptive softmax that no target is in."""
    return (
        list(torch.autograd.grad(value, leaves, cotangent, retain_graph=retain, materialize_grads=True))
        if leaves
        else []
    )


@contextmanager
def deterministic(*, asked: bool = True, warn_only: bool = False) -> Iterator[None]:
    """Only deterministic algorithms, if they are asked for; and nobody asks for anything else meanwhile."""
    torch.use_deterministic_algorithms(asked, warn_only=warn_only)
    before = _determinism()
    try:
        yield
        assert _determinism() == before, f"whether algorithms are deterministic, and others are only warned of, was {before} and is {_determinism()}"
    finally:
        torch.use_deterministic_algorithms(mode=False)


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors are of one dtype and shape and equal to the last bit, signs of zero and NaN included."""
    integer = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.int8}[a.element_size()]
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    first, second = (x.detach().resolve_neg().contiguous().view(integer) for x in (a, b))
    return torch.equal(first, second)


def same(a: Outcome, b: Outcome) -> bool:
    """Whether value and gradients are equal to the last bit."""
    return same_bits(a.value, b.value) and all(same_bits(g, b.gradients[name]) for name, g in a.gradients.items())


# -- which calls there are --------------------------------------------------------------------------------------


def spread(row: Row, forms: Iterable[Form], suits: Callable[[Variant], bool] = lambda variant: True) -> list[Variant]:
    """Variants that show every choice of every argument in every form, and every value of every option."""

    def shown(v: Variant) -> set[tuple[str, str, str]]:
        chosen = {(v.form.name, name, choice.label) for name, choice in v.choices.items()}
        return chosen | {("", name, repr(value)) for name, value in v.options.items()}

    left = [(variant, shown(variant)) for variant in replace(row, forms=tuple(forms)).variants() if suits(variant)]
    unseen, found = set().union(*(shows for _, shows in left)), []
    while unseen:
        variant, shows = max(left, key=lambda each: len(each[1] & unseen))
        found.append(variant)
        unseen -= shows
    return found


def implemented(row: Row, format: Format, device: str) -> bool:
    """Whether torch has the loss for the dtype at all, backward included."""
    if (row.name, format.name, device) == ("SmoothL1Loss", "float16", "cpu") and in_release("<2.10", torch.__version__):
        return False  # it has the forward
    return not is_missing(row, format.name, device, torch.__version__)
