"""The accuracy table: the worst error of each loss, in units of its budget and in ulps, and the case that caused it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Key = tuple[str, str, str, str]  # loss, dtype, device, and the known divergence, or nothing


def merge(tables: Iterable[Mapping[Key, dict[str, Any]]]) -> dict[Key, dict[str, Any]]:
    """The worst of several tables, one per process."""
    found: dict[Key, dict[str, Any]] = {}
    for table in tables:
        for key, row in table.items():
            if key not in found or (row["rank"], row["case"]) > (found[key]["rank"], found[key]["case"]):
                found[key] = row
    return found


def terminal(table: Mapping[Key, dict[str, Any]]) -> list[str]:
    """Lines for the terminal: a loss per line and dtype, within the budget; and what departs from it."""
    lines = [f"{'loss':30} {'dtype':8} {'device':6} {'x budget':>8} {'ulps':>7}  worst case, within the budget"]
    departs: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for (loss, dtype, device, known_as), row in sorted(table.items()):
        case = _short(row["case"], loss, dtype, device)
        if known_as:
            departs.setdefault((loss, known_as), []).append((dtype, row))
        else:
            lines.append(
                f"{loss:30} {dtype:8} {device:6} {row['ratio']:8.2g} {row['ulps']:7.2g}  {row['of']} at {case}"
            )
    lines += ["", "departs from the specification, as tests/divergences.py says (the worst number, if it is one)"]
    for (loss, known_as), rows in departs.items():
        dtype, row = max(rows, key=lambda r: r[1]["rank"])
        numbers = f"{row['ulps']:.2g} ulps" if row["rank"] >= 0 else f"{row['got']:g} for {row['want']:g}"
        dtypes = " ".join(d for d, _ in rows)
        lines.append(f"{loss:30} {known_as}: {numbers} of {row['of']} in {dtype} ({dtypes})")
    return lines


def markdown(table: Mapping[Key, dict[str, Any]], about: str) -> str:
    """The table as a file under review: sorted, so that a change shows as a diff."""
    head = "| loss | dtype | device | x budget | ulps | of | worst case | torch | true |\n|---|---|---|---|---|---|---|---|---|"
    within, beyond = [head], [head.replace("| x budget", "| known as | x budget").replace("|---", "|---|---", 1)]
    for (loss, dtype, device, known_as), row in sorted(table.items()):
        start = f"| {loss} | {dtype} | {device} "
        case = _short(row["case"], loss, dtype, device)
        end = f"| {row['ratio']:.2g} | {row['ulps']:.2g} | {row['of']} | {case} | {row['got']!r} | {row['want']!r} |"
        (beyond if known_as else within).append(start + (f"| {known_as} " if known_as else "") + end)
    return "\n".join(
        [
            "# How accurate torch's losses are",
            "",
            f"{about}. The worst error over all cases of the matrix, in units of the error budget and in units in the",
            "last place, with the case that caused it. The budget, 1, is what a backward-stable computation may commit:",
            "`reference/accuracy.py` argues it. Of a gradient's, the part that rounding alone makes is the unit, where the error is at",
            "most half of it, or is that of a known divergence. Made by `pytest --accuracy=FILE`.",
            "",
            "## Within the budget",
            "",
            *within,
            "",
            "## Beyond it: the known divergences",
            "",
            "What each is, why, and its reproducer: `tests/divergences.py`.",
            "",
            *beyond,
            "",
        ]
    )


def _short(case: str, loss: str, dtype: str, device: str) -> str:
    return case.removeprefix(f"{loss}-").replace(f"-{dtype}-{device}", "")
