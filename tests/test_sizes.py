"""Is it right whatever the size? A kernel has vectors, warps, blocks and chunks, and what is left over at their ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from reference.catalog import Form, Row

from .accelerator_habits import repeats
from .calls import Call, implemented, run
from .cases import Case
from .options import devices, formats, offered, takes
from .transformed import cotangent, elsewhere, problems

SIZES = (1, 2, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 512)
"""What vectors, warps and blocks are made of, one less, one more, and between."""

WIDE = {"k1": 24}
"""By form, from so many classes on it is named as the wide ones of the matrix are, to which divergences apply; the others from 100 on.

Where classes are not the last axis, kernels add them up one after another, and not in lanes.
"""

OTHERS = 3
"""How long the other axes are: as short as shows which is which."""

AXES: dict[str, dict[str, int]] = {  # of a loss whose axes belong together: the least that each can be
    "AdaptiveLogSoftmaxWithLoss": {"N": 1, "F": 4},
    "CTCLoss": {"T": 9, "N": 1, "C": 6},
}


def forms(row: Row) -> Iterator[Form]:
    """The row's first, and its form of one axis more, with one axis after another of each size."""
    for form in (row.forms[0], *(form for form in row.forms if form.name == "k1")):
        least = AXES.get(row.name, dict.fromkeys(form.axes, 1))
        axes = {axis: n if row.name in AXES else min(n, OTHERS) for axis, n in form.axes.items()}
        for axis, size in itertools.product(least, SIZES):
            if size >= least[axis] and (form is row.forms[0] or axis in ("C", "d1")):
                wide = axis == "C" and size >= WIDE.get(form.name, 100)
                yield Form(f"{'wide_' if wide else ''}{form.name}_{axis}{size}", {**axes, axis: size})
    if row.name == "CTCLoss":
        yield from (Form(f"batch_S{size}", {"T": 2 * size + 3, "N": 3, "C": 6, "S": size}) for size in SIZES if size <= 65)


def sized(config: pytest.Config) -> Iterator[Call]:
    """Choices and options in turn; float32, and now and then another dtype, in turn."""
    for row, device in itertools.product(offered(config), devices(config)):
        able = [f for f in formats(config) if implemented(row, f, device)]
        turns = [[f] for f in able if f.name == "float32"] * 3 + [[f] for f in able if f.name != "float32"]
        for i, form in enumerate(forms(row)):
            variants = row.elsewhere(form)
            variant = variants[i % len(variants)]
            if turns and takes(config, row, variant):
                yield from (Call(row, variant, f, device, config.getoption("--seed")) for f in turns[i % len(turns)])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every call."""
    if "call" in metafunc.fixturenames:
        calls = list(sized(metafunc.config))
        metafunc.parametrize("call", calls, ids=[call.id for call in calls])


def test_size(call: Call, subject: Any) -> None:
    """Value and gradients under one reduction, turn about, are the definition's."""
    row = call.row
    reduction = row.reductions[sum(call.variant.form.axes.values()) % len(row.reductions)]
    case = elsewhere(Case(row, call.variant, reduction, call.format, call.device, "typical", call.seed), call.truth)
    if not repeats(case.id):
        return  # nor is it always right: the matrix says how far off
    outcome = run(subject, call, call.given(), reduction, cotangent(case))
    wrong = problems(case, {"value": outcome.value, **outcome.gradients})
    assert not wrong, "; ".join(wrong)
