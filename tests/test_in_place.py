"""What if a tensor is written to between forward and backward? A clear error, or the gradient as it was; nothing between.

What autograd keeps it watches: if it was written to since, the backward pass says so. A loss that keeps numbers where
they are not watched gives the gradient of other numbers without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch

from .accelerator_habits import repeats
from .acts import Act, acts, asking, names
from .calls import gradients, same_bits

SAID = "modified by an inplace operation"


KEPT_RESULTS = ("CTCLoss-*-none-*",)
"""Losses whose gradient is made of their result: the operator keeps each sequence's, and divides by its likelihood."""


@dataclass(frozen=True)
class Written:
    """An act, and the argument that is written to after it, or `result`."""

    act: Act
    name: str
    constant: bool = False  # the argument asks for no gradient, though it might

    @property
    def id(self) -> str:
        """The act's, and what is written to."""
        return f"{self.act.id}-{'constant_' * self.constant}{self.name}"


def written(config: pytest.Config) -> Iterator[Written]:
    """The function in float32, and each tensor of its call."""
    for act in acts(config):
        if act.dtype == "float32" and act.how == "function":
            given = act.leaves()
            yield from (Written(act, name) for name in (*given, "result"))
            yield from (Written(act, name, constant=True) for name in names(given) if len(names(given)) > 1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each of them."""
    if "each" in metafunc.fixturenames:
        found = list(written(metafunc.config))
        metafunc.parametrize("each", found, ids=[one.id for one in found])


def test_written_to(each: Written, subject: Any) -> None:
    """The backward pass refuses, or gives what it would have given; what became of the result counts."""
    act = each.act
    given = act.leaves()
    if each.constant:
        given[each.name].requires_grad_(False)
    cotangent = act.call.vector(act.reduction)
    expected = gradients(act.prepare(subject, given)(given), asking(given), cotangent)
    value = act.prepare(subject, given)(given)
    times = 1.0
    if each.name == "result":
        value, times = value.mul_(2.0), 2.0
    else:
        with torch.no_grad():
            given[each.name].copy_(_other(given[each.name]))
    try:
        found = gradients(value, asking(given), cotangent)
    except RuntimeError as refusal:
        assert SAID in str(refusal), f"{each.id}: {refusal}"
        kept = any(fnmatchcase(act.id, pattern) for pattern in KEPT_RESULTS)
        assert each.name != "result" or kept, f"{each.id}: the gradient needs the result, though the arguments would do: {refusal}"
        return
    for name, got, want in zip(names(given), found, expected, strict=True):
        assert same_bits(got, times * want) or not repeats(act.id), f"{each.id}: the gradient of {name} is another: {got}, not {want}"


def _other(tensor: torch.Tensor) -> torch.Tensor:
    """Other numbers, or classes, which are as good."""
    return 0.5 * tensor if tensor.is_floating_point() else (tensor == 0).to(tensor.dtype)
