"""The paths: namespaces with the names and keyword arguments of torch.nn.functional.

Each is a subject of the matrix like any other (`pytest --subject benchmarks.paths.unfused`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .compiled import Compiled

PATHS = ("fused", "unfused", "compiled_fused", "compiled_unfused", "chunked", "third_party")
COMPILED = {"compiled_fused": "fused", "compiled_unfused": "unfused"}

UNROLLED = "its loop over the frames would be unrolled: minutes to compile"
NOT_OFFERED = {("compiled_unfused", "ctc_loss"): UNROLLED}


def function(path: str, loss: str) -> Callable[..., Any] | None:
    """The function of a path, or None where it is not offered. A compiled one is compiled anew, for one shape.

    `path` is one of PATHS, or any importable namespace.
    """
    if (path, loss) in NOT_OFFERED:
        return None
    inner = COMPILED.get(path, path)
    namespace = importlib.import_module(f"{__name__}.{inner}" if inner in PATHS else inner)
    if path == "chunked" and function("fused", loss) is None:
        return None
    found = getattr(Compiled(namespace, dynamic=False) if path in COMPILED else namespace, loss, None)
    return found if callable(found) else None


__all__ = ["COMPILED", "NOT_OFFERED", "PATHS", "function"]
