"""Are the paths that are timed losses at all? Every variant of every loss, against the specification.

The composition of elementary operations always; the compiled paths with `--matrix`, for they take a second or more
each. The whole matrix, extreme inputs included, takes any of them too: `pytest --subject benchmarks.paths.unfused`.
"""

from __future__ import annotations

import warnings
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest
import torch

import reference
from reference.accuracy import Truth, compare
from reference.catalog import CATALOG, Row, Variant
from reference.formats import FORMATS
from reference.inputs import draw

from .paths import PATHS, function

FLOAT32 = FORMATS["float32"]
CANCELS = "1 - sigmoid(x) cancels where x is large, and log(1 - sigmoid(x)) more so"
ROUNDED = "softmax rounds a probability near 1, and its log keeps that error"
DIVERGENCES = {
    "*unfused-binary_cross_entropy_with_logits-*": CANCELS,
    "*unfused-multilabel_soft_margin_loss-*": CANCELS,
    "*unfused-sigmoid_focal_loss-*": CANCELS,
    "*unfused-cross_entropy-*": ROUNDED,
    "*unfused-linear_cross_entropy-*": ROUNDED,
    "*unfused-soft_margin_loss-*": "log(1 + exp) with the 1 in the sum loses what is below a roundoff of 1",
    "compiled_fused-l1_loss-*weight*": "traced, it forgets its weight: see tests/test_overrides.py",
    "compiled_fused-poisson_nll_loss-*full.True*": "as eager: Stirling's term of a target of 0 has the derivative NaN",
    "compiled_fused-multilabel_soft_margin_loss-*": "as eager: the two logarithms of sigmoids are rounded one by one",
    "compiled_fused-cross_entropy-*": "as eager: log(sum exp) with the 1 in the sum loses what is below a roundoff of 1",
    "compiled_fused-soft_margin_loss-*": "the compiled gradient is sigmoid(z) - 1, which cancels where the loss is small",
    "compiled_fused-multilabel_margin_loss-*": "counts labels beyond the first -1, which ends the list",
    "compiled_fused-gaussian_nll_loss-*": "asks whether a variance is negative, which no whole graph can",
    "compiled_fused-ctc_loss-*": "the shape of an operator's output depends on data, which no whole graph can have",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test per path, loss and variant."""
    if "entry" not in metafunc.fixturenames:
        return
    paths = [p for p in PATHS if p == "unfused" or (p.startswith("compiled") and metafunc.config.getoption("--matrix"))]
    if metafunc.config.getoption("--quick"):
        paths = []
    found = [(p, row, v) for p in paths for row in CATALOG if function(p, row.function) for v in row.few()]
    metafunc.parametrize(("path", "entry", "variant"), found, ids=[f"{p}-{r.function}-{v.name}" for p, r, v in found])


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_path(path: str, entry: Row, variant: Variant, reduction: str) -> None:
    """The path is the loss: value and gradients within the budget, at typical inputs."""
    problem = _departs(path, entry, variant, reduction)
    known = next((why for rows, why in DIVERGENCES.items() if fnmatchcase(f"{path}-{entry.function}-{variant.name}", rows)), "")
    if problem and known:
        pytest.xfail(f"{known}: {problem}")
    assert not problem


@pytest.mark.parametrize("rows", [rows for rows in DIVERGENCES if rows.startswith("*unfused-")])
def test_it_still_departs(rows: str) -> None:
    """Of each divergence of the composed path there is a case that needs it."""
    found = [row for row in CATALOG if function("unfused", row.function) and fnmatchcase(f"unfused-{row.function}-", rows)]
    assert any(_departs("unfused", row, variant, "none") for row in found for variant in row.few())


def _departs(path: str, entry: Row, variant: Variant, reduction: str) -> str:
    """What is wrong with a path at a variant's typical inputs, or nothing."""
    drawn = draw(entry, variant, "typical", FLOAT32)
    truth = Truth(entry, variant, drawn, FLOAT32, "typical", getattr(reference, entry.function).definition)
    wanted = {"value": truth.value(reduction)}
    wanted |= truth.gradients(reduction, np.ones_like(wanted["value"].want))
    return _problem(path, entry, drawn.arguments, {**drawn.options, "reduction": reduction}, wanted)


def _problem(path: str, row: Row, arguments: dict[str, Any], options: dict[str, Any], wanted: dict[str, Any]) -> str:
    """What is wrong, or nothing."""
    tensors = {name: _tensor(array) for name, array in arguments.items()}
    able = {a.name for a in row.arguments if a.gradient}
    real = {name: t.requires_grad_() for name, t in tensors.items() if t.is_floating_point() and name in able}
    called = function(path, row.function)
    assert called is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = called(**tensors, **options)
            gradients = torch.autograd.grad(value.sum(), list(real.values()), allow_unused=True)
        except Exception as error:
            return f"raises {type(error).__name__}: {str(error)[:200]}"
    found = {"value": value, **{n: g for n, g in zip(real, gradients, strict=True) if g is not None}}
    for name, tensor in found.items():
        verdict = compare(tensor.detach().double().numpy(), wanted[name], FLOAT32)
        if verdict.problem:
            return f"{name}: {verdict.problem}"
    return ""


def _tensor(array: Any) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array)).reshape(np.shape(array))
    return tensor.float() if array.dtype.kind == "f" else tensor.long()
