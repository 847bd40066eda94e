"""Operators replaced by the rules that the compiler replaces them by, and run as they come.

What torch.compile does to a loss is mostly this: a kernel gives way to its decomposition. Run eagerly it takes a
millisecond, so that every variant can be asked; compiling itself takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@lru_cache
def rules() -> Mapping[Any, Callable[..., Any]]:
    """Inductor's table; to import it is slow."""
    from torch._inductor.decomposition import select_decomp_table

    return select_decomp_table()


class Decomposed(TorchDispatchMode):
    """While it is on, every operator that has a rule is what the rule says, forward and backward."""

    def __torch_dispatch__(self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """One operator."""
        rule = rules().get(operator)
        if rule is not None:
            with self:
                found = rule(*args, **(kwargs or {}))
            if found is not NotImplemented:
                return found
        return operator(*args, **(kwargs or {}))


def compiling() -> Any:
    """While it is on, torch says that it is compiling."""
    return patch.multiple(torch.compiler, _is_compiling_flag=True, is_dynamo_compiling=lambda: True)


def decomposed(loss: Callable[[Any], torch.Tensor]) -> Callable[[Any], torch.Tensor]:
    """The loss, decomposed, and told that it is being compiled; so is its backward, as long as the mode is on."""

    def call(given: Any) -> torch.Tensor:
        with compiling():
            return loss(given)

    return call
