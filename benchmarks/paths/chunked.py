"""Paths that never hold the whole of the logits: linear cross entropy in pieces of the batch."""

from __future__ import annotations

from typing import Any

import torch


def linear_cross_entropy(input: torch.Tensor, linear_weight: torch.Tensor, target: torch.Tensor, **more: Any) -> Any:
    """Torch's own, with its chunked options."""
    options = torch.nn.LinearCrossEntropyOptions()  # type: ignore[attr-defined, unused-ignore]
    return torch.nn.functional.linear_cross_entropy(input, linear_weight, target, options=options, **more)  # type: ignore[attr-defined, unused-ignore]
