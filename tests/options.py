"""What was asked for on the command line, for the modules that make their own cases."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import pytest
import torch

from reference.catalog import Row
from reference.formats import FORMATS

from .offers import is_missing
from .subject import function


def there() -> list[str]:
    """The devices of this machine: cpu, and the accelerator that torch reports."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return ["cpu", *([accelerator.type] if accelerator else [])]


def devices(config: pytest.Config) -> list[str]:
    """Those asked for, or all of this machine."""
    return config.getoption("--device") or there()


def offered(config: pytest.Config, rows: Iterable[Row]) -> list[Row]:
    """The rows whose function the subject has: an older torch lacks the newest."""
    subject = importlib.import_module(config.getoption("--subject"))
    return [row for row in rows if function(subject, row) is not None]


def kernels(config: pytest.Config, row: Row, device: str) -> list[str]:
    """The dtypes asked for that torch has kernels for."""
    asked = config.getoption("--dtype") or list(FORMATS)
    return [dtype for dtype in asked if not is_missing(row, dtype, device, torch.__version__)]
