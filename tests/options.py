"""What was asked for on the command line, for conftest.py and the modules that make their own cases."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
import torch

from reference.catalog import CATALOG, Row, Variant
from reference.formats import FORMATS, Format

from .offers import is_missing
from .subject import function


@cache
def there() -> tuple[str, ...]:
    """The devices of this machine: cpu, and the accelerator that torch reports."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return ("cpu", *([accelerator.type] if accelerator else []))


def missing(config: pytest.Config) -> list[str]:
    """The devices asked for that are not there."""
    return [device for device in config.getoption("--device") or [] if device.partition(":")[0] not in there()]


def devices(config: pytest.Config) -> list[str]:
    """Those asked for, or all of this machine; without those that are not there, unless then none is left."""
    asked, lacking = config.getoption("--device") or there(), missing(config)
    found = [device for device in asked if device not in lacking]
    if not found:
        raise pytest.UsageError(f"--device {', '.join(lacking)}: not there; this machine has {', '.join(there())}")
    return found


def formats(config: pytest.Config, wanted: Iterable[str] = FORMATS) -> list[Format]:
    """Those of `wanted` that were asked for."""
    asked = config.getoption("--dtype") or FORMATS
    return [FORMATS[name] for name in wanted if name in asked]


def subject_of(config: pytest.Config) -> Any:
    """The namespace that is held to the specification."""
    name = config.getoption("--subject")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise pytest.UsageError(f"--subject {name} cannot be imported: {error}") from None


def offered(config: pytest.Config, rows: Iterable[Row] = CATALOG) -> list[Row]:
    """The rows whose function the subject has: an older torch lacks the newest."""
    return [row for row in rows if function(subject_of(config), row) is not None]


def takes(config: pytest.Config, row: Row, variant: Variant) -> bool:
    """Whether the subject's function has the variant's arguments: an older torch lacks some."""
    called = function(subject_of(config), row)
    known = inspect.signature(called).parameters if called is not None else {}
    given = [name for name, choice in variant.choices.items() if choice.domain != "absent"]
    return all(name in known for name in given) or any(p.kind is p.VAR_KEYWORD for p in known.values())


def kernels(config: pytest.Config, row: Row, device: str) -> list[str]:
    """The dtypes asked for that torch has kernels for."""
    return [format.name for format in formats(config) if not is_missing(row, format.name, device, torch.__version__)]
