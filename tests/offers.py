"""What torch does not offer at all: losses that a release lacks, dtypes that a kernel is not written for.

An entry here is an observation, and is tested: when the kernel comes, the run says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reference.catalog import CATALOG, Row

from .divergence import in_release
from .subject import function

HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Missing:
    """A kernel that torch lacks, for these dtypes on this device, and what it says."""

    row: str
    dtypes: tuple[str, ...]
    device: str
    says: str = "not implemented for"
    torch: str = ">=2.6"


MISSING = (
    Missing("MultiMarginLoss", HALF, "cpu"),
    Missing("MultiLabelMarginLoss", HALF, "cpu"),
    Missing("CTCLoss", HALF, "cpu"),
    Missing("CTCLoss", HALF, "cuda"),
    Missing("SmoothL1Loss", ("float16",), "cpu", torch="<2.10"),  # its backward
)


def is_missing(row: Row, dtype: str, device: str, version: str) -> bool:
    """Whether torch is known to lack the kernel."""
    return any(
        m.row == row.name and dtype in m.dtypes and m.device == device and in_release(m.torch, version) for m in MISSING
    )


def absent(subject: Any) -> Iterator[Row]:
    """The losses that the subject does not have."""
    return (row for row in CATALOG if function(subject, row) is None)
