"""Where the unfused path is worse: the catalog's regimes beyond the typical, on both paths, against the oracle.

A composition that is right at a benchmark's inputs may overflow, cancel or divide 0 by 0 where a fused kernel does
not. That is the price of writing a loss down as in the textbook, and belongs beside its speed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import reference
from reference.accuracy import Truth, compare
from reference.catalog import CATALOG, Row
from reference.formats import FORMATS
from reference.inputs import Drawn, draw, regimes

from .paths import function

DTYPES = ("float32", "bfloat16")
BEYOND = "trained offset saturated tails large huge tiny zero near_boundary boundary kinks"


@dataclass(frozen=True, slots=True)
class Worse:
    """So many elements of `what` are wrong in the unfused path, and so many in the fused one; the worst of them."""

    loss: str
    dtype: str
    regime: str
    what: str
    unfused: int
    fused: int
    size: int
    at: str
    got: float
    want: float


def worse() -> Iterator[Worse]:
    """All there is, loss by loss."""
    for row in CATALOG:
        if row.forms and function("fused", row.function) and function("unfused", row.function):
            variant = row.plain(row.forms[0])
            for regime in (r for r in BEYOND.split() if r in regimes(row, variant)):
                for dtype in DTYPES:
                    yield from _at(row, draw(row, variant, regime, FORMATS[dtype]), dtype, regime)


def _at(row: Row, drawn: Drawn, dtype: str, regime: str) -> Iterator[Worse]:
    definition = getattr(reference, row.function).definition
    truth = Truth(row, row.plain(row.forms[0]), drawn, FORMATS[dtype], regime, definition)
    value = truth.value("none")
    budgets = {"value": value, **truth.gradients("none", np.ones_like(value.want))}
    found = {path: _all(path, row.function, drawn, dtype) for path in ("unfused", "fused")}
    for what in budgets:
        if what not in found["unfused"] or what not in found["fused"]:
            continue
        plain, kernel = (compare(found[path][what], budgets[what], FORMATS[dtype]) for path in ("unfused", "fused"))
        if plain.wrong > kernel.wrong:
            at = _inputs(drawn, plain.index) if row.elementwise else f"element {list(plain.index)}"
            of = plain.size
            yield Worse(row.function, dtype, regime, what, plain.wrong, kernel.wrong, of, at, plain.got, plain.want)


def _all(path: str, loss: str, drawn: Drawn, dtype: str) -> dict[str, Any]:
    """The value and every gradient; nothing, if the path refuses such inputs."""
    tensors = {name: _tensor(array, dtype) for name, array in drawn.arguments.items()}
    real = {name: t.requires_grad_() for name, t in tensors.items() if t.is_floating_point()}
    called = function(path, loss)
    assert called is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = called(**tensors, **drawn.options, reduction="none")
            gradients = torch.autograd.grad(value.sum(), list(real.values()), allow_unused=True)
    except (RuntimeError, NotImplementedError):
        return {}
    given = {name: g for name, g in zip(real, gradients, strict=True) if g is not None}
    return {name: t.detach().double().numpy() for name, t in ({"value": value} | given).items()}


def _tensor(array: Any, dtype: str) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array)).reshape(np.shape(array))
    return tensor.to(getattr(torch, dtype) if array.dtype.kind == "f" else torch.int64)


def _inputs(drawn: Drawn, index: tuple[int, ...]) -> str:
    same = {n: a for n, a in drawn.arguments.items() if np.ndim(a) == len(index)}
    return ", ".join(f"{name} {array[index]:.4g}" for name, array in same.items())


def lines() -> Iterator[str]:
    """As a Markdown table: for each loss, dtype and quantity, the first such regime, the likeliest inputs first."""
    first: dict[tuple[str, str, str], Worse] = {}
    for w in worse():
        first.setdefault((w.loss, w.dtype, w.what), w)
    yield "| loss | dtype | what | inputs | wrong, unfused | wrong, fused | for example at | unfused | true |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for w in first.values():
        counts = f"{w.unfused} of {w.size} | {w.fused}"
        yield f"| `{w.loss}` | {w.dtype} | {w.what} | {w.regime} | {counts} | {w.at} | {w.got:.4g} | {w.want:.4g} |"


if __name__ == "__main__":
    print("\n".join(lines()))
