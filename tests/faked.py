"""A namespace like torch.nn.functional whose functions compute nothing: they say what shape and dtype there would be.

Every compilation begins with this. What is not refused here is refused when the compiled loss runs, or never.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from .decomposed import compiling


class Faked:
    """The functions of a namespace, on fake copies of their arguments."""

    def __init__(self, namespace: Any) -> None:
        """Of `namespace`."""
        self.namespace = namespace

    def __getattr__(self, name: str) -> Callable[..., torch.Tensor]:
        """The function, backward included."""

        def call(**given: Any) -> torch.Tensor:
            mode = FakeTensorMode()
            fakes = {n: mode.from_tensor(v) if isinstance(v, torch.Tensor) else v for n, v in given.items()}
            with mode, compiling():
                value = getattr(self.namespace, name)(**fakes)
                if value.requires_grad:
                    value.sum().backward()
            return torch.zeros(())

        return call
