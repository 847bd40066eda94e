"""Is `reference` what it says it is to whoever calls it? Its names, what it takes and gives, and what it refuses."""

from __future__ import annotations

import inspect
import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reference
from reference.arithmetic import Array
from reference.loss import flatten

from .api_calls import BAD, CALLS, GRADIENTS, Bad

F = torch.nn.functional
LOSSES = sorted(name for name in reference.__all__ if hasattr(getattr(reference, name), "definition"))
IN_TORCH = [name for name in LOSSES if hasattr(F, name)]
NOT_IN_TORCH = {"adaptive_log_softmax_with_loss", "sigmoid_focal_loss", "information", "entropy", "kl_divergence", "cross_entropy_of"}
HOW_NOT_WHAT = {"linear_cross_entropy": {"options"}}  # parameters of torch's that choose how to compute

every_loss = pytest.mark.parametrize("name", LOSSES)


# -- names ------------------------------------------------------------------------------------------------------


def test_no_torch() -> None:
    """`import reference` and every call of this file work where torch cannot be imported, and without mpmath."""
    code = (
        "import sys\n"
        "sys.modules['torch'] = None  # an import of it raises\n"
        "import reference\n"
        "from numpy import array\n"
        f"for name, arguments in {CALLS!r}.items():\n"
        "    getattr(reference, name)(**arguments)\n"
        "print(sorted({'torch', 'mpmath'} & {name for name, found in sys.modules.items() if found}))\n"
    )
    root = Path(reference.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_names_are_torchs() -> None:
    """Each public loss is named as in torch.nn.functional, but for those that it has not."""
    newer = {"linear_cross_entropy"}  # since torch 2.13
    assert set(LOSSES) - set(IN_TORCH) - newer == NOT_IN_TORCH


@pytest.mark.parametrize("name", IN_TORCH)
def test_same_parameters_as_torch(name: str) -> None:
    """Names and defaults are torch's, without its deprecated size_average and reduce; `cotangent` comes on top."""
    own = {n: p.default for n, p in inspect.signature(getattr(reference, name)).parameters.items()}
    theirs = {n: p.default for n, p in inspect.signature(getattr(F, name)).parameters.items()}
    left_out = {"size_average", "reduce"} | HOW_NOT_WHAT.get(name, set())
    assert own.pop("cotangent") is None
    assert own == {n: default for n, default in theirs.items() if n not in left_out}


@every_loss
def test_docstring_has_its_order(name: str) -> None:
    """A sentence, the formula, shapes, mean, raises, kinks, source: in this order, and all but the mean there."""
    text = inspect.getdoc(getattr(reference, name)) or ""
    sentence, _, rest = text.partition("\n\n")
    assert sentence.endswith("."), f"{name} does not start with a sentence and an empty line"
    at = {part: rest.find(f"\n{part}:") for part in ("Shapes", "Mean", "Raises", "Kinks", "Source")}
    places = [place for part, place in at.items() if place >= 0 or part != "Mean"]
    assert "value " in rest[: at["Shapes"]], f"{name} says no formula of its value"
    assert places == sorted(places), f"{name} has {at}"
    assert min(places) > 0, f"{name} has {at}"


# -- what it takes and gives ------------------------------------------------------------------------------------


def _arrays(arguments: dict[str, Any], dtype: Any = np.float64) -> dict[str, Any]:
    """The arguments as arrays, real numbers in `dtype`; sequences of arrays as such."""

    def one(value: Any) -> Any:
        if isinstance(value, tuple) or (isinstance(value, list) and any(isinstance(v, tuple) for v in value)):
            return [one(v) for v in value]
        array = np.asarray(value)
        return array.astype(dtype) if array.dtype.kind == "f" else array

    return {name: value if name == "cutoffs" else one(value) for name, value in arguments.items()}


@every_loss
def test_takes_array_likes(name: str) -> None:
    """Lists, float64 and float32 arrays give the same, in float64."""
    call, lists = getattr(reference, name), CALLS[name]
    want = call(**lists)
    for dtype in (np.float64, np.float32):  # in which the numbers of the calls are exact
        got = call(**_arrays(lists, dtype))
        assert np.array_equal(got.value, want.value)
        assert got.gradients.keys() == want.gradients.keys()
        for argument in want.gradients:
            assert np.array_equal(got.gradients[argument], want.gradients[argument])
            assert got.gradients[argument].dtype == np.float64


@every_loss
def test_gives_value_and_gradients(name: str) -> None:
    """`.value` is an array; `.gradients` has the differentiable arguments by name, each in its argument's shape."""
    arguments = CALLS[name]
    shapes = {n: np.shape(v) for n, v in flatten(_arrays(arguments)).items()}
    for reduction in getattr(reference, name).reductions:
        found = getattr(reference, name)(**arguments, reduction=reduction)
        assert isinstance(found.value, np.ndarray)
        assert found.value.shape == () or reduction == "none"
        assert set(found.gradients) == set(GRADIENTS.get(name, " ".join(arguments)).split())
        assert {n: g.shape for n, g in found.gradients.items()} == {n: shapes[n] for n in found.gradients}


@every_loss
def test_cotangent_is_ones_and_multiplies(name: str) -> None:
    """Without a cotangent it is ones, and the gradients are linear in it."""
    call, arguments = getattr(reference, name), CALLS[name]
    for reduction in call.reductions:
        plain = call(**arguments, reduction=reduction)
        ones = call(**arguments, reduction=reduction, cotangent=np.ones(plain.value.shape))
        thrice = call(**arguments, reduction=reduction, cotangent=(-4.0 * np.ones(plain.value.shape)).tolist())
        for argument, gradient in plain.gradients.items():
            assert np.array_equal(ones.gradients[argument], gradient)
            assert np.array_equal(thrice.gradients[argument], -4.0 * gradient)


@every_loss
def test_arguments_are_left_alone(name: str) -> None:
    """No argument is written to, and no result is one of them."""
    given = _arrays(CALLS[name])
    before = {n: np.copy(a) for n, a in flatten(given).items()}
    found = getattr(reference, name)(**given, reduction="none")
    for argument, array in flatten(given).items():
        assert np.array_equal(array, before[argument])
        for result in (found.value, *found.gradients.values()):
            assert not isinstance(array, np.ndarray) or not np.shares_memory(array, result) or not result.flags.writeable


# -- what it refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD, ids=[f"{name}-{'-'.join(changed)}-{i}" for i, (name, changed, _) in enumerate(BAD)])
def test_refuses(bad: Bad) -> None:
    """A bad argument is a ValueError that names it, says what it was and what is allowed."""
    name, changed, message = bad
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        getattr(reference, name)(**CALLS[name] | changed)
    assert message.split(" is ")[0].split(".")[0] in inspect.signature(getattr(reference, name)).parameters


@every_loss
def test_each_loss_refuses_something(name: str) -> None:
    """The table of bad arguments has rows of every loss."""
    assert any(row[0] == name for row in BAD)


@every_loss
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reduction": "average"}, "reduction is 'average'; allowed: 'none', 'mean', 'sum'"),
        ({"reduction": None}, "reduction is None; allowed: 'none', 'mean', 'sum'"),
        ({"reduction": "sum", "cotangent": [1.0]}, "cotangent is of shape (1,); allowed: the shape () of the result"),
    ],
)
def test_refuses_reductions_and_cotangents(name: str, changed: dict[str, Any], message: str) -> None:
    """So are a reduction and a cotangent."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        getattr(reference, name)(**CALLS[name], **changed)


@every_loss
def test_refuses_unknown_arguments(name: str) -> None:
    """A misspelt keyword is a TypeError, as of any function."""
    with pytest.raises(TypeError, match="labelsmoothing"):
        getattr(reference, name)(**CALLS[name], labelsmoothing=0.1)


STRETCHES: dict[str, Callable[[Array], Array]] = {
    "first axis gone": lambda a: a[0],
    "last axis gone": lambda a: a[..., 0],
    "first axis 1": lambda a: a[:1],
    "last axis 1": lambda a: a[..., :1],
    "first axis longer": lambda a: np.concatenate([a, a[:1]]),
    "last axis longer": lambda a: np.concatenate([a, a[..., :1]], -1),
    "an axis before": lambda a: a[None],
    "an axis behind": lambda a: a[..., None],
    "one element": lambda a: a.ravel()[0],
    "transposed": lambda a: a.T,
}


def _shape_or_none(call: Callable[..., Any], arguments: dict[str, Any]) -> tuple[int, ...] | None:
    """Of the unreduced result; None if the call is refused."""
    try:
        found = call(**arguments, reduction="none")
    except (ValueError, RuntimeError, IndexError):
        return None
    return tuple(getattr(found, "value", found).shape)


TAKEN_LATER = {("gaussian_nll_loss", "var", "first axis 1"), ("gaussian_nll_loss", "var", "one element")}
"""What torch 2.6 refused, as it took the 1 in the last axis of var only, and later ones document and take: one number
as a float, which in NumPy is an array without axes."""


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns where it broadcasts a target
@pytest.mark.parametrize("name", IN_TORCH)
def test_broadcasts_no_more_than_torch(name: str) -> None:
    """In whatever shape torch refuses an argument, so does `reference`; and what both take has the same shape."""
    arguments = _arrays(CALLS[name])
    for argument, (how, stretch) in itertools.product(arguments, STRETCHES.items()):
        given = arguments | {argument: np.array(stretch(arguments[argument]))}
        said = f"{name}, {argument} {how}, {given[argument].shape}"
        own = _shape_or_none(getattr(reference, name), given)
        theirs = _shape_or_none(getattr(F, name), {n: torch.from_numpy(a) for n, a in given.items()})
        if own is not None and (name, argument, how) not in TAKEN_LATER:  # torch may take more than it documents
            assert own == theirs, f"{said}: torch {'refuses it' if theirs is None else f'gives {theirs}'}"
