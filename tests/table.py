"""The accuracy table: the worst error of each loss, in units of its budget and in ulps, and the case that caused it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Key = tuple[str, str, str]  # loss, dtype, device


def merge(tables: list[Mapping[Key, dict[str, Any]]]) -> dict[Key, dict[str, Any]]:
    """The worst of several tables, one per process."""
    found: dict[Key, dict[str, Any]] = {}
    for table in tables:
        for key, row in table.items():
            if key not in found or _rank(row) > _rank(found[key]):
                found[key] = row
    return found


def _rank(row: Mapping[str, Any]) -> tuple[float, str]:
    return row["ratio"], row["case"]


def terminal(table: Mapping[Key, dict[str, Any]]) -> list[str]:
    """Lines for the terminal, worst first: divergences stand out by their ratio."""
    lines = [f"{'loss':31} {'dtype':9} {'device':6} {'x budget':>9} {'ulps':>9}  worst case"]
    for (loss, dtype, device), row in sorted(table.items(), key=lambda item: (-item[1]["ratio"], item[0])):
        case = row["case"].removeprefix(f"{loss}-").replace(f"-{dtype}-{device}", "")
        lines.append(f"{loss:31} {dtype:9} {device:6} {row['ratio']:9.2g} {row['ulps']:9.2g}  {row['of']} at {case}")
    return lines


def markdown(table: Mapping[Key, dict[str, Any]], about: str) -> str:
    """The table as a file under review: sorted by loss, so that a change shows as a diff."""
    lines = [
        "# How accurate torch's losses are",
        "",
        f"{about}. The worst error over all cases, in units of the error budget (1 is what a backward-stable",
        "computation may commit; more is a known divergence) and in units in the last place, with its case.",
        "",
        "| loss | dtype | device | x budget | ulps | of | case | torch | true |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (loss, dtype, device), row in sorted(table.items()):
        numbers = f"{row['ratio']:.2g} | {row['ulps']:.2g}"
        case = f"{row['of']} | {row['case'].removeprefix(loss + '-')} | {row['got']!r} | {row['want']!r}"
        lines.append(f"| {loss} | {dtype} | {device} | {numbers} | {case} |")
    return "\n".join(lines) + "\n"
