"""The losses of a subject as balls, and inputs on grids: what laws are written in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis.extra import numpy as hnp

import reference
from reference.accuracy import Budget, Truth
from reference.arithmetic import FloatArray, log_softmax
from reference.catalog import CATALOG, Form, Row, Variant
from reference.formats import Format
from reference.inputs import Drawn, draw

from .balls import Ball
from .cases import Case
from .divergence import widen
from .divergences import applicable
from .subject import array, function, tensor, tensors

ROW_OF = {row.function: row for row in CATALOG}


class AbsentError(Exception):
    """The subject has no such loss."""


@dataclass(frozen=True, slots=True)
class Given(Case):
    """A case whose arguments are not drawn from the catalog."""

    given: Truth | None = None

    @property
    def truth(self) -> Truth:
        """The definition at these arguments."""
        assert self.given is not None
        return self.given


@dataclass(frozen=True)
class Losses:
    """The losses of the specification (without a namespace) or of a subject, in one format on one device."""

    format: Format
    namespace: Any = None
    device: str = "cpu"

    def __getattr__(self, function: str) -> Callable[..., Found]:
        """The loss of that name."""
        if function.startswith("__"):
            raise AttributeError(function)
        return partial(self._call, function)

    def _call(self, loss: str, *args: Any, reduction: str = "none", **more: Any) -> Found:
        bound = inspect.signature(getattr(reference, loss).definition).bind(*args, **more).arguments
        arrays = {k: v for k, v in bound.items() if isinstance(v, np.ndarray | list) and k != "cutoffs"}
        options = {k: v for k, v in bound.items() if k not in arrays}
        row = ROW_OF.get(loss) or Row(loss, loss, (), ())
        variant = _variant(row, next(iter(arrays.values())).ndim, options)
        truth = Truth(row, variant, Drawn(arrays, options), self.format, "law", getattr(reference, loss).definition)
        return Found(self, Given(row, variant, reduction, self.format, self.device, "law", 0, truth))

    def log_softmax(self, x: FloatArray, axis: int = 1) -> FloatArray:
        """As the subject computes it: numbers of its format."""
        if self.namespace is None:
            return np.moveaxis(log_softmax(np.moveaxis(x, axis, -1)), -1, axis)
        return array(self.namespace.log_softmax(tensor(x, self.format, self.device), axis))


def _variant(row: Row, axes: int, options: dict[str, Any]) -> Variant:
    """A variant of one's own, in the form of the row that has as many axes."""
    form = next((f for f in row.forms if len(f.axes) == axes), Form("other", {}))
    return Variant(form, {}, options, f"{form.name}_law")


@dataclass(frozen=True)
class Found:
    """What a loss returned, as balls; the gradient is for a cotangent of ones."""

    losses: Losses
    case: Given

    @cached_property
    def value(self) -> Ball:
        """The value, in the radius of its budget."""
        got = self._oracle.value if self.losses.namespace is None else array(self._torch()[0])
        return self._ball("value", got, self.case.truth.value(self.case.reduction))

    def gradient(self, name: str) -> Ball:
        """The gradient in an argument, in the radius of its budget."""
        if self.losses.namespace is None:
            got = self._oracle.gradients[name]
        else:
            value, leaf = self._torch(name)
            got = array(torch.autograd.grad(value.sum(), leaf)[0])
        return self._ball(name, got, self.case.truth.gradients(self.case.reduction, self._ones)[name])

    @cached_property
    def _oracle(self) -> Any:
        drawn = self.case.truth.drawn
        return getattr(reference, self.case.row.function)(
            **drawn.arguments, **drawn.options, reduction=self.case.reduction
        )

    def _torch(self, leaf: str = "") -> tuple[torch.Tensor, Any]:
        case, drawn = self.case, self.case.truth.drawn
        called = function(self.losses.namespace, case.row)
        if called is None:
            raise AbsentError(case.row.function)
        given = tensors(drawn, case.format, case.device, differentiable=(leaf,) if leaf else ())
        return called(**given, **drawn.options, reduction=case.reduction), given.get(leaf)

    @cached_property
    def _ones(self) -> FloatArray:
        return np.ones_like(self.case.truth.loss.reduce(self.case.reduction))

    def _ball(self, quantity: str, got: FloatArray, budget: Budget) -> Ball:
        """A ball that reaches from what was returned to the truth, by way of what is known to be returned instead."""
        allowed = budget.allowed
        if self.losses.namespace is not None and (entries := applicable(self.case, quantity, torch.__version__)):
            *_, known = widen(entries, self.case, quantity, [budget], None if quantity == "value" else self._ones)
            allowed = known.allowed + abs(known.want - budget.want)
        return Ball(got.astype(np.longdouble), np.asarray(allowed, dtype=np.longdouble))


@dataclass(frozen=True)
class Draw:
    """Inputs: small, and on grids that every format represents, sums and differences of two included."""

    draw: Callable[[Any], Any]

    def pick(self, *choices: Any) -> Any:
        """One of them."""
        return choices[self.draw(st.integers(0, len(choices) - 1))]

    def reduction(self) -> str:
        """Any."""
        return str(self.pick("none", "mean", "sum"))

    def size(self) -> int:
        """1 to 4."""
        return int(self.draw(st.integers(1, 4)))

    def sizes(self, least: int = 1) -> tuple[int, int]:
        """Of a batch, and of its rows: at least 2."""
        return self.size(), int(self.draw(st.integers(least, 5)))

    def _grid(self, low: int, high: int, step: float, shape: tuple[int, ...]) -> FloatArray:
        return np.asarray(self.draw(hnp.arrays(np.int64, shape, elements=st.integers(low, high))) * step)

    def numbers(self, *shape: int, low: int = -64) -> FloatArray:
        """Sixteenths from -4 (or low / 16) to 4."""
        return self._grid(low, 64, 1 / 16, shape)

    def quarters(self, *shape: int) -> FloatArray:
        """Quarters from -4 to 4."""
        return self._grid(-16, 16, 1 / 4, shape)

    def halves(self, *shape: int) -> FloatArray:
        """Halves from -1 to 1."""
        return self._grid(-2, 2, 1 / 2, shape)

    def weights(self, *shape: int) -> FloatArray:
        """Eighths from 1/8 to 2."""
        return self._grid(1, 16, 1 / 8, shape)

    def shares(self, *shape: int, low: int = 0, high: int = 16) -> FloatArray:
        """Sixteenths from 0 to 1."""
        return self._grid(low, high, 1 / 16, shape)

    def counts(self, *shape: int) -> FloatArray:
        """Whole numbers and halves from 0 to 4."""
        return self._grid(0, 8, 1 / 2, shape)

    def distributions(self, n: int, classes: int) -> FloatArray:
        """Rows of sixteenths that sum to 1."""
        cuts = np.sort(self.draw(hnp.arrays(np.int64, (n, classes - 1), elements=st.integers(0, 16))), axis=1)
        edges = np.concatenate([np.zeros((n, 1), int), cuts, np.full((n, 1), 16)], axis=1)
        return np.diff(edges, axis=1) / 16

    def signs(self, *shape: int) -> FloatArray:
        """-1 or 1."""
        return 2.0 * self._grid(0, 1, 1.0, shape) - 1.0

    def classes(self, classes: int, *shape: int) -> Any:
        """Class indices."""
        return self.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, classes - 1)))

    def flags(self, n: int) -> Any:
        """True or False, and True at least once."""
        flags = self.draw(hnp.arrays(np.bool_, n))
        flags[self.draw(st.integers(0, n - 1))] = True
        return flags

    def order(self, n: int) -> Any:
        """A permutation."""
        return np.array(self.draw(st.permutations(range(n))))

    def typical(self, row: Row, format: Format, *, batched: bool = False) -> tuple[Variant, Drawn]:
        """A variant of a loss of the catalog, and its typical inputs."""
        variant = self.pick(*(v for v in row.few() if not batched or "N" in v.form.axes))
        return variant, draw(row, variant, "typical", format, self.draw(st.integers(0, 2**16)))
