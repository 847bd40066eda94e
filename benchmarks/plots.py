"""The report's pictures; needs matplotlib (the extra `report`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from .results import Result

COLOURS = {
    "fused": "#444444",
    "unfused": "#d95f02",
    "compiled_fused": "#1b9e77",
    "compiled_unfused": "#7570b3",
    "chunked": "#e7298a",
}
INCH_PER_ROW = 0.16


def draw(results: list[Result], folder: Path) -> list[Path]:
    """Every picture for which there is data."""
    found = []
    for name, make in (("ratios", ratios), ("limits", limits), ("growth", growth)):
        figure = make([r for r in results if r.verdict is not None])
        if figure is not None:
            path = folder / f"{name}.png"
            figure.savefig(path, dpi=110, bbox_inches="tight")
            plt.close(figure)
            found.append(path)
    return found


def ratios(results: list[Result]) -> Figure | None:
    """Each row's ratio to its rival with the interval, the slowest first: where fused loses is to the left of 1."""
    rows = sorted(
        (r for r in results if r.path != r.rival and r.verdict), key=lambda r: -r.verdict.ratio if r.verdict else 0
    )
    if not rows:
        return None
    figure, axes = plt.subplots(figsize=(9, 1 + INCH_PER_ROW * len(rows)))
    for y, row in enumerate(rows):
        v = row.verdict
        if v is not None:
            axes.plot(row.interval, [y, y], color=COLOURS.get(row.path, "black"), lw=2)
            axes.plot(
                v.ratio, y, "o", color=COLOURS.get(row.path, "black"), ms=3, fillstyle="full" if v.flagged else "none"
            )
    axes.set_yticks(range(len(rows)), [r.id for r in rows], fontsize=5)
    axes.invert_yaxis()
    axes.axvline(1, color="grey", lw=1)
    axes.set_xscale("log")
    axes.set_xlabel("time / time of torch's own function, and where another run finds it (hollow: no difference claimed)")
    axes.margins(y=0.01)
    return figure


def limits(results: list[Result]) -> Figure | None:
    """Each path's share of the limit."""
    rows = [r for r in results if r.mode == "both"]
    cases = list(dict.fromkeys(r.case for r in rows))
    if not cases:
        return None
    figure, axes = plt.subplots(figsize=(9, 1 + INCH_PER_ROW * len(cases)))
    for path, colour in COLOURS.items():
        mine = [r for r in rows if r.path == path]
        axes.plot(
            [100 * r.limit_share for r in mine],
            [cases.index(r.case) for r in mine],
            "o",
            ms=4,
            color=colour,
            label=path.replace("_", " "),
        )
    axes.set_yticks(range(len(cases)), cases, fontsize=5)
    axes.invert_yaxis()
    axes.set_xlabel(
        "% of the limit: the time of a plain copy of the bytes that must be moved (or of the matrix products)"
    )
    axes.legend(fontsize=7)
    axes.grid(axis="x", lw=0.3)
    return figure


def growth(results: list[Result]) -> Figure | None:
    """Time per element against the number of elements: a panel per loss that was measured at three sizes or more."""
    series = [(key, points) for key, points in _series(results) if len(points) > 2]
    losses = list(dict.fromkeys(loss for (loss, _), _ in series))
    if not losses:
        return None
    figure, panels = plt.subplots(
        1, len(losses), figsize=(3.2 * len(losses), 3.2), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for panel, loss in zip(panels[0], losses, strict=True):
        panel.set_title(loss, fontsize=7)
        for (whose, path), points in series:
            if whose == loss:
                times = [p.ns_per_element for p in points]
                label = path.replace("_", " ")
                panel.loglog([p.elements for p in points], times, "o-", ms=3, color=COLOURS.get(path), label=label)
        panel.grid(lw=0.3)
        panel.legend(fontsize=6)
    figure.supxlabel("elements", fontsize=8)
    figure.supylabel("ns per element, forward and backward", fontsize=8)
    return figure


def _series(results: list[Result]) -> Iterator[tuple[tuple[str, str], list[Result]]]:
    plain = [r for r in results if r.mode == "both" and r.dtype == "float32" and r.workload[0].isdigit()]
    for key, points in groupby(
        sorted(plain, key=lambda r: (r.loss, r.path, r.elements)), key=lambda r: (r.loss, r.path)
    ):
        yield key, list(points)
