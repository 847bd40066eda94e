"""Whether the accelerator is lost: after a failed assertion in a kernel, all that is asked of it in this process fails."""

from __future__ import annotations

from functools import cache

import torch

there = cache(torch.accelerator.is_available)  # asked after every test


def accelerator() -> str:
    """What it says, if it has been used in this process and can be no more."""
    if not there():
        return ""
    used = getattr(torch.get_device_module(), "is_initialized", lambda: True)
    try:
        if used():
            torch.accelerator.synchronize()
    except RuntimeError as error:
        return str(error).strip().partition("\n")[0]
    return ""
