"""A namespace, every function of which goes through torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo.config as dynamo

MANY = 100_000  # a matrix of cases is many shapes; past its limit a compiler would quietly run eager code


class Compiled:
    """`namespace`, compiled when first asked for; with `dynamic=False` one graph per shape."""

    def __init__(self, namespace: Any, *, dynamic: bool | None = None) -> None:
        self._namespace, self._dynamic = namespace, dynamic
        self._made: dict[str, Callable[..., Any]] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._namespace, name)
        if name.startswith("_") or not callable(found):
            return found
        if name not in self._made:
            for limit in ("recompile_limit", "accumulated_recompile_limit"):
                if hasattr(dynamo, limit):
                    setattr(dynamo, limit, MANY)
            self._made[name] = torch.compile(found, fullgraph=True, dynamic=self._dynamic)
        return self._made[name]
