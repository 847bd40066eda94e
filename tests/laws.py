"""The laws that losses obey, each a few lines on a subject `f` and inputs from `draw`.

A law draws its inputs and yields, for every pair of results that ought to agree, where they differ: an empty
sentence if they do not. Inputs lie on grids that every format represents, so that both sides get the same numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference.arithmetic import FloatArray
from reference.catalog import CATALOG, Row

from .measured import Draw, Found, Losses

Body = Callable[[Losses, Draw], Iterator[str]]
FORMATS = ("float64", "float32")  # in half precision two sides that may differ by their budgets differ by much


@dataclass(frozen=True)
class Law:
    """A law: its name and what it says."""

    name: str
    body: Body
    torch: bool = True  # whether torch has the loss at all
    examples: int = 6

    @property
    def says(self) -> str:
        """The law in a sentence."""
        return (self.body.__doc__ or "").strip()


LAWS: list[Law] = []


def law(body: Body | None = None, **more: Any) -> Any:
    """Enter a law in the list."""
    if body is None:
        return lambda given: law(given, **more)
    LAWS.append(Law(body.__name__, body, **more))
    return body


def same(left: Found, right: Found, *gradients: str) -> Iterator[str]:
    """The values agree, and the gradients in the arguments named."""
    yield left.value.differs(right.value)
    for name in gradients:
        yield left.gradient(name).differs(right.gradient(name))


def one_hot(index: Any, classes: int) -> FloatArray:
    """1.0 at the class."""
    return np.asarray(index[..., None] == np.arange(classes), dtype=np.float64)


# -- every loss -------------------------------------------------------------------------------------------------


def _every_loss(body: Callable[[Row, Losses, Draw], Iterator[str]]) -> None:
    """Enter a law once per loss of the catalog whose arguments have the batch first, if at all."""
    for row in (row for row in CATALOG if row.finish is None):
        applied = functools.partial(body, row)
        applied.__doc__ = body.__doc__
        LAWS.append(Law(f"{body.__name__}-{row.name}", applied, examples=2))


@_every_loss
def sum_is_n_times_mean(row: Row, f: Losses, draw: Draw) -> Iterator[str]:
    """Without weights, the sum is the mean times the number of values; so are the gradients."""
    _, drawn = draw.typical(row, f.format)
    given = {k: v for k, v in drawn.arguments.items() if k != "weight"}
    loss = functools.partial(getattr(f, row.function), **given, **drawn.options)
    n = loss().value.middle.size
    if "ignore_index" in drawn.options and given["target"].dtype.kind == "i":
        ignored = -100 if drawn.options["ignore_index"] is None else drawn.options["ignore_index"]
        n = int((given["target"] != ignored).sum())
    total, mean, name = loss(reduction="sum"), loss(reduction="mean"), row.arguments[0].name
    if n:
        yield total.value.differs(mean.value * n)
        yield total.gradient(name).differs(mean.gradient(name) * n)


def _has_the_batch_first(shape: str) -> bool:
    """Whether a shape of the catalog starts with N: named, or among `*`, all axes, and not taken out of them."""
    first = shape.split()[0]
    return first == "N" or (first[0] == "*" and "N" not in first.split("-"))


@_every_loss
def a_permuted_batch_has_the_permuted_losses(row: Row, f: Losses, draw: Draw) -> Iterator[str]:
    """No value depends on where in the batch its row stands, and no mean."""
    variant, drawn = draw.typical(row, f.format, batched=True)
    order = draw.order(drawn.arguments[row.arguments[0].name].shape[0])
    batched = [a.name for a in row.arguments if _has_the_batch_first(variant.choices[a.name].shape)]
    moved = {name: value[order] if name in batched else value for name, value in drawn.arguments.items()}
    left = functools.partial(getattr(f, row.function), **drawn.arguments, **drawn.options)
    right = functools.partial(getattr(f, row.function), **moved, **drawn.options)
    yield left().value[order].differs(right().value)
    yield left().gradient(row.arguments[0].name)[order].differs(right().gradient(row.arguments[0].name))
    yield left(reduction="mean").value.differs(right(reduction="mean").value)
