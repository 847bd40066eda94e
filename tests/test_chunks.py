"""Is linear cross entropy right in chunks whatever is asked of it, and are the options of the chunks values?

Without gradients or with some of them, of arguments that are strided, under autocast, a second time, in sizes that are
chunked by themselves, and accumulated in each dtype. `test_ways` asks it of the variants and the regimes.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import reference
from reference.arithmetic import FloatArray
from reference.catalog import ROWS, Form
from reference.formats import FORMATS, Format

from .calls import Call, Outcome, gradients
from .habits import Habit, judge
from .options import devices, formats
from .subject import Tensors, array, tensor
from .test_ways import CHUNKS, chunkable

pytestmark = [
    pytest.mark.skipif(not hasattr(torch.nn.functional, "linear_cross_entropy"), reason="this torch has no linear cross entropy"),
    pytest.mark.filterwarnings("error::UserWarning"),  # said where the chunked path is not taken
]

ROW = ROWS["LinearCrossEntropyLoss"]
FULL = {"linear_bias": "linear_bias", "weight": "weight", "target": "ignored"}

Function = Callable[[Tensors], torch.Tensor]
Asked = Iterator[Outcome]


def _call(form: Form, dtype: str, device: str) -> Call:
    """With a bias, weights and ignored rows."""
    variants = (v for v in replace(ROW, forms=(form,)).variants() if chunkable(v))
    return Call(ROW, next(v for v in variants if all(v.choices[n].label == label for n, label in FULL.items())), FORMATS[dtype], device)


def _function(call: Call, reduction: str, **options: Any) -> Function:
    chunks = torch.nn.LinearCrossEntropyOptions(**options)
    return lambda given: torch.nn.functional.linear_cross_entropy(**given, **call.variant.options, options=chunks, reduction=reduction)


def _leaves(call: Call, but: str = "") -> Tensors:
    """The arguments, all of which ask for a gradient but one."""
    return {n: t.clone().requires_grad_(n in call.differentiable and n != but) for n, t in call.given().items()}


def _outcome(call: Call, value: torch.Tensor, given: Tensors, reduction: str, *, retain: bool = False) -> Outcome:
    asking = {name: tensor for name, tensor in given.items() if tensor.requires_grad}
    found = gradients(value, [*asking.values()], call.vector(reduction), retain=retain)
    return Outcome(value.detach(), dict(zip(asking, found, strict=True)))


# -- whatever is asked of it --------------------------------------------------------------------------------------


def _plainly(call: Call, function: Function, reduction: str) -> Asked:
    given = _leaves(call)
    yield _outcome(call, function(given), given, reduction)


def _without_gradients(call: Call, function: Function, reduction: str) -> Asked:
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            value = function(_leaves(call))
        assert not value.requires_grad
        yield Outcome(value, {})
    yield Outcome(function(call.given()), {})


def _frozen(call: Call, function: Function, reduction: str) -> Asked:
    for name in call.differentiable:
        given = _leaves(call, but=name)
        yield _outcome(call, function(given), given, reduction)
        given = {n: t.detach().requires_grad_(n == name) for n, t in given.items()}
        yield _outcome(call, function(given), given, reduction)


def _strided(call: Call, function: Function, reduction: str) -> Asked:
    given = _leaves(call)
    yield _outcome(call, function({n: torch.stack([t, t], -1)[..., 1] for n, t in given.items()}), given, reduction)
    transposed = {n: t.mT.contiguous().mT if t.ndim == 2 else t for n, t in given.items()}
    yield _outcome(call, function(transposed), given, reduction)


def _autocast(call: Call, function: Function, reduction: str) -> Asked:
    """The chunks are no operator that autocast knows: they compute in the dtype of their arguments."""
    given = _leaves(call)
    with torch.autocast(torch.device(call.device).type, dtype=torch.bfloat16):
        value = function(given)
    yield _outcome(call, value, given, reduction)


ASKED: dict[str, Callable[[Call, Function, str], Asked]] = {
    "plainly": _plainly,
    "without_gradients": _without_gradients,
    "frozen": _frozen,
    "strided": _strided,
    "autocast": _autocast,
}

SIZES = {
    "batch": ROW.forms[0],
    "many_rows": Form("many_rows", {"N": 150, "C": 24, "F": 8}),
    "many_classes": Form("many_classes", {"N": 6, "C": 1500, "F": 4}),
}
WAYS = ("auto", "uneven", "accurate", "compact", "retained")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every way of chunking, on every device; dtypes and reductions in turn, and all of them in each other size."""
    if "what" in metafunc.fixturenames:
        metafunc.parametrize(("what", "size", "way", "dtype", "reduction", "device"), list(_asked(metafunc.config)), ids=str)
    if "device" in metafunc.fixturenames and "what" not in metafunc.fixturenames:
        metafunc.parametrize("device", devices(metafunc.config))


def _asked(config: pytest.Config) -> Iterator[tuple[str, str, str, str, str, str]]:
    turns = itertools.cycle(itertools.product([f.name for f in formats(config)], ROW.reductions))
    for device in devices(config):
        for what, way, _ in itertools.product(ASKED, WAYS, range(2)):
            yield what, "batch", way, *next(turns), device
        for size, way in itertools.product([s for s in SIZES if s != "batch"], WAYS):
            yield "plainly", size, way, *next(turns), device


def test_chunks_are_right_whatever_is_asked(what: str, size: str, way: str, dtype: str, reduction: str, device: str) -> None:
    """Value and gradients are the definition's; no argument is written to, and no random number drawn."""
    call = _call(SIZES[size], dtype, device)
    before, was = torch.get_rng_state(), {name: tensor.clone() for name, tensor in call.given().items()}
    for outcome in ASKED[what](call, _function(call, reduction, **CHUNKS[way]), reduction):
        assert outcome.value.dtype == getattr(torch, dtype)
        assert not (wrong := call.problems(outcome, reduction)), wrong
    assert torch.equal(torch.get_rng_state(), before), "a random number is drawn"
    assert all(torch.equal(tensor, was[name]) for name, tensor in call.given().items()), "an argument is written to"


@pytest.mark.parametrize("retained", [False, True], ids=["", "retained"])
@pytest.mark.parametrize("reduction", ROW.reductions)
def test_a_second_backward(reduction: str, retained: bool, device: str) -> None:
    """Through a retained graph it gives the same, where the options allow it or nothing is reduced; else it is refused."""
    call = _call(SIZES["batch"], "float32", device)
    given = _leaves(call)
    value = _function(call, reduction, batch_chunk_size=4, allow_retain_graph=retained)(given)
    for turn in range(3):
        if turn and not retained and reduction != "none":
            with pytest.raises(RuntimeError, match="chunked backward called twice"):
                _outcome(call, value, given, reduction, retain=True)
        else:
            outcome = _outcome(call, value, given, reduction, retain=True)
            assert not (wrong := call.problems(outcome, reduction)), f"time {turn + 1}: {wrong}"


ACCUMULATED = {
    "float64": ("float64",),
    "float32": ("float32",),
    "float16": ("float16", "float32"),
    "bfloat16": ("bfloat16", "float32"),
}
"""By the dtype of the arguments, those that the chunks can be added up in."""


@pytest.mark.parametrize("policy", ["auto", *dict.fromkeys(way["acc_policy"] for way in CHUNKS.values() if "acc_policy" in way)])
@pytest.mark.parametrize("accumulated", FORMATS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_chunks_accumulate_in_a_dtype(dtype: str, accumulated: str, policy: str, device: str) -> None:
    """In their own, and half precision in float32, chunks add up to the truth; another is refused."""
    call = _call(SIZES["batch"], dtype, device)
    for reduction in ROW.reductions:
        function = _function(call, reduction, batch_chunk_size=4, acc_policy=policy, acc_dtype=getattr(torch, accumulated))
        given = _leaves(call)
        if accumulated in ACCUMULATED[dtype]:
            outcome = _outcome(call, function(given), given, reduction)
            assert not (wrong := call.problems(outcome, reduction)), wrong
        else:
            with pytest.raises(RuntimeError, match=f"supports float32 acc_dtype .* got torch.{accumulated}"):
                function(given)


# -- many chunks --------------------------------------------------------------------------------------------------

ADDED = (
    Habit(
        "chunks_are_added_in_half",
        ("bfloat16-8", "float16-8"),
        "wrong",
        "the sums of the chunks are kept in the dtype of the arguments, acc_dtype=float32 or not: a share below half a unit in the "
        "last place of the sum is lost. Documented is an accumulation in acc_dtype across chunks. F.linear_cross_entropy(torch.zeros(1500, 1), "
        "torch.zeros(4, 1), torch.zeros(1500).long(), reduction='sum') is 2079; in bfloat16, with options of batch_chunk_size=1, 512",
        says="is off by ",
    ),
)

ROWS_OF_ONE_SIGN = 1500
OFF = {"float64": 64, "float32": 64, "float16": 4, "bfloat16": 4}
"""Roundoffs that so many rows may be off by: added up one by one in the dtype itself, some 39, the root of their number (20 were
seen); in half precision, which is added up in float32, those of a slope, of a share, of the sum and of its last rounding."""
NEAR = 8
"""Roundoffs that a sum of rounded sums may be off by: torch adds a chunk in up to two parts, and each addition rounds (6 were seen)."""


@pytest.mark.parametrize("size", [8, None])
@pytest.mark.parametrize("dtype", FORMATS)
def test_many_chunks_add_up(dtype: str, size: int | None, device: str) -> None:
    """Over many chunks, of shares of one sign, the value and the gradients are the sums that they are."""
    format, rng = FORMATS[dtype], np.random.default_rng(0)
    x, w = 1 + rng.integers(0, 64, (ROWS_OF_ONE_SIGN, 3)) / 64, rng.integers(-8, 9, (4, 3)) / 64
    given = [tensor(each, format, device).requires_grad_() for each in (x, w, np.zeros(4))]
    classes = np.zeros(ROWS_OF_ONE_SIGN, dtype=np.int64)
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=size)
    value = torch.nn.functional.linear_cross_entropy(*given[:2], tensor(classes, format, device), linear_bias=given[2], reduction="sum", options=options)
    found = [value, *torch.autograd.grad(value, given[1:])]
    want, added = _sums(x, w, classes, len(x), FORMATS["float64"]), _sums(x, w, classes, size or len(x), format)
    problems = []
    for name, got, right, lossy in zip(("value", "linear_weight", "linear_bias"), map(array, found), want, added, strict=True):
        off = np.max(abs(got - right) / abs(right))
        problems += [f"{dtype}-{size}: {name} is off by {off:.3g}"] if off > OFF[dtype] * format.u else []
        assert off <= OFF[dtype] * format.u or np.all(abs(got - lossy) <= NEAR * format.u * abs(right)), f"{name}: {got}, not {lossy} either"
    judge(ADDED, f"{dtype}-{size}", problems)


def _sums(x: FloatArray, w: FloatArray, classes: FloatArray, size: int, format: Format) -> list[FloatArray]:
    """The value, and the gradients of weight and bias, of chunks whose sums are rounded to the format, and then added up in it."""
    of = reference.cross_entropy(x @ w.T, classes, reduction="none")
    slopes = of.gradients["input"]
    shares = of.value, slopes[:, :, None] * x[:, None, :], slopes
    totals = [np.zeros(share.shape[1:]) for share in shares]
    for start in range(0, len(x), size):
        sums = (format.round(share[start : start + size].sum(0)) for share in shares)
        totals = [format.round(total + each) for total, each in zip(totals, sums, strict=True)]
    return totals


# -- the options --------------------------------------------------------------------------------------------------

OPTIONS: dict[str, tuple[Any, Any]] = {
    "allow_retain_graph": (False, True),
    "batch_chunk_size": (None, 4),
    "chunking_method": ("auto", "aspect_ratio:3"),
    "acc_policy": ("auto", "accurate"),
    "acc_dtype": (None, torch.float32),
}
"""Of every field the default, and another value."""


def test_options_are_values() -> None:
    """Options have their fields and defaults, show them, are equal where these are, and can be copied and hashed."""
    kind = torch.nn.LinearCrossEntropyOptions
    default, again = kind(), kind()
    assert [field.name for field in dataclasses.fields(kind)] == [*OPTIONS]
    assert dataclasses.asdict(default) == {name: plain for name, (plain, _) in OPTIONS.items()}
    assert repr(default) == f"LinearCrossEntropyOptions({', '.join(f'{n}={plain!r}' for n, (plain, _) in OPTIONS.items())})"
    assert (default, hash(default)) == (again, hash(again))
    for name, (_, value) in OPTIONS.items():
        changed = kind(**{name: value})
        assert getattr(changed, name) == value
        assert changed != default
        assert f"{name}={value!r}" in repr(changed)
        assert len({default, again, changed, kind(**{name: value})}) == 2
        for other in (copy.copy(changed), copy.deepcopy(changed), pickle.loads(pickle.dumps(changed)), replace(default, **{name: value})):
            assert other == changed
    assert default != {name: plain for name, (plain, _) in OPTIONS.items()}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_frozen(name: str) -> None:
    """No field can be set or deleted, and no other attribute added."""
    options = torch.nn.LinearCrossEntropyOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options, name, OPTIONS[name][1])
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(options, name)
    with pytest.raises((AttributeError, TypeError)):
        options.other = 1
    assert options == torch.nn.LinearCrossEntropyOptions()


@pytest.mark.skipif(not hasattr(torch.nn, "LinearCrossEntropyLoss"), reason="this torch has only the function")
def test_a_module_keeps_its_options() -> None:
    """The module holds the very options that it is given, shows them, and takes others later."""
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    made = torch.nn.LinearCrossEntropyLoss(4, 3, options=options)
    assert made.options is options
    assert f"options={options!r}" in repr(made)
    assert copy.deepcopy(made).options == options
    assert torch.nn.LinearCrossEntropyLoss(4, 3).options is None
