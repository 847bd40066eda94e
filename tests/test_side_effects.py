"""What else does a loss do? Nothing: arguments, memory, generators and modes are as they were."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import sympy  # noqa: F401 - torch imports it at the first gradient that is filled with zeros, and it adds to the filters
import torch

from .accelerator_habits import repeats
from .acts import Act, acts, asking, enlarged, names, outcome, shortcuts
from .calls import Call, gradients, same_bits
from .options import devices, formats, offered
from .process import PROCESS, at_first, generators
from .subject import ADAPTERS, Tensors, prepared


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every act, or those that a question is about."""
    chosen: dict[str, Callable[[pytest.Config], Iterable[Any]]] = {
        "act": acts,
        "shortcut": shortcuts,
        "function": lambda config: [a for a in acts(config) if a.how == "function" and a.dtype == "float32"],
        "reduced": lambda config: [a for a in acts(config) if a.reduction != "none" and a.dtype == "float32"],
        "unread": ignoring,
        "large": large_calls,
    }
    for name, cases in chosen.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(cases(metafunc.config)), ids=lambda act: act.id)


# -- what was there before -----------------------------------------------------------------------------------------


def test_what_was_there_stays_as_it_was(act: Act, subject: Any) -> None:
    """Construction, forward and backward write to no argument and draw no random number, but to make layers.

    Not a bit of the arguments and of the cotangent changes, no version of them is counted up, none of them asks for a
    gradient that did not, or has a hook, and no mode of the process is another.
    """
    given = act.leaves()
    cotangent = act.call.vector(act.reduction).clone()
    watched = {**given, "cotangent": cotangent}
    before = {name: (t.detach().clone(), _about(t)) for name, t in watched.items()}
    process = {name: read() for name, read in PROCESS.items()} | at_first()
    caller = act.prepare(subject, given)
    if _has_layers(act):  # which are drawn
        process["the random generators"] = generators()
    _unchanged(watched, before, f"{act.id}: the construction")
    value = caller(given)
    _unchanged(watched, before, f"{act.id}: the forward pass")
    gradients(value, asking(given), cotangent)
    _unchanged(watched, before, f"{act.id}: the backward pass")
    for name, read in PROCESS.items():
        assert read() == process[name], f"{act.id} changes {name}"


def test_arguments_stay_in_their_graphs(function: Act, subject: Any) -> None:
    """What was computed before a loss is called stays computed of what it was: no argument is cut from its graph."""
    leaves = function.leaves()
    given = {name: t * 1 if t.requires_grad else t for name, t in leaves.items()}
    before = {name: t.grad_fn for name, t in given.items()}
    value = function.prepare(subject, given)(given)
    found = gradients(value, asking(leaves), function.call.vector(function.reduction))
    cut = [name for name, t in given.items() if t.grad_fn is not before[name] or t.requires_grad != leaves[name].requires_grad]
    assert not cut, f"{function.id}: {cut} are of no graph any more"
    expected = outcome(function, subject).gradients
    other = [name for name, g in zip(names(leaves), found, strict=True) if not same_bits(g, expected[name]) and repeats(function.id)]
    assert not other, f"{function.id}: {other} have another gradient where they were computed"


def test_nothing_outlives_its_last_name(act: Act, subject: Any) -> None:
    """Result, graph and arguments are freed when nobody holds them: no cycle keeps them for the garbage collector."""
    given = act.leaves()
    value = act.prepare(subject, given)(given)
    held = {"the result": weakref.ref(value), **{name: weakref.ref(t) for name, t in given.items()}}
    was_on = gc.isenabled()
    gc.disable()
    try:
        del value, given
        left = [name for name, reference in held.items() if reference() is not None]
    finally:
        if was_on:
            gc.enable()
    assert not left, f"{act.id}: {left} are kept"


LARGE = {"N": 256, "C": 96, "F": 64, "D": 64, "T": 64}


def large_calls(config: pytest.Config) -> Iterator[Call]:
    """A call of every loss of some ten thousand elements."""
    for row, device in itertools.product(offered(config), devices(config)):
        for format in formats(config, ["float32"]):
            yield Call(row, row.plain(enlarged(row, "large", **LARGE)), format, device, config.getoption("--seed"))


def _has_layers(act: Act) -> bool:
    """Whether a module with parameters of its own is constructed."""
    layered = act.how == "module" and any(a.place == "parameter" for a in act.call.row.arguments)
    return layered or act.call.row.function in ADAPTERS


def test_a_large_call_draws_no_random_number(large: Call, subject: Any) -> None:
    """Nor does one of many elements, which may go another way."""
    reduction = large.row.reductions[1]
    given = {n: t.clone().requires_grad_(n in large.differentiable) for n, t in large.given().items()}
    function = prepared(subject, large.row, large.variant, given)
    before = generators()
    value = function(**given, reduction=reduction)
    assert generators() == before, f"{large.id}: the forward pass draws"
    gradients(value, asking(given), torch.ones_like(value))
    assert generators() == before, f"{large.id}: the backward pass draws"


def _about(tensor: torch.Tensor) -> dict[str, Any]:
    return {
        "was written to": tensor._version,
        "was moved": tensor.data_ptr(),
        "asks for a gradient or does not": tensor.requires_grad,
        "has another hook": [*(tensor._backward_hooks or ())],
    }


def _unchanged(watched: Tensors, before: dict[str, tuple[torch.Tensor, dict[str, Any]]], by: str) -> None:
    for name, (bits, about) in before.items():
        assert same_bits(watched[name], bits), f"{by} changed {name}"
        now = _about(watched[name])
        assert not (said := [what for what in about if now[what] != about[what]]), f"after {by} {name} {' and '.join(said)}"


def test_nothing_is_kept(reduced: Act, subject: Any) -> None:
    """When arguments and result are gone, so is their memory: neither the module nor a cache holds on to them."""
    given, constant = reduced.leaves(), [a.name for a in reduced.call.row.arguments if a.place != "call"]
    caller = reduced.prepare(subject, given)
    held = {"the result": caller(given), **given}
    gradients(held["the result"], asking(given), reduced.call.vector(reduced.reduction))
    kept = {name: weakref.ref(t) for name, t in held.items() if reduced.how == "function" or name not in constant}
    del given, held
    assert not (left := [name for name, tensor in kept.items() if tensor() is not None]), f"{reduced.id} keeps {left}"
    del caller


def test_nothing_is_shared(act: Act, subject: Any) -> None:
    """The result and the gradients lie on memory of their own, neither the arguments' nor one another's."""
    _share_nothing(act, subject)


def test_nothing_is_shared_where_an_argument_has_no_effect(shortcut: Act, subject: Any) -> None:
    """A result that equals an argument is a copy of it."""
    _share_nothing(shortcut, subject)


def _share_nothing(act: Act, subject: Any) -> None:
    given = act.leaves()
    cotangent = act.call.vector(act.reduction).clone()
    value = act.prepare(subject, given)(given)
    found = gradients(value, asking(given), cotangent)
    own = {"the result": value, **{f"the gradient of {n}": g for n, g in zip(names(given), found, strict=True)}}
    for (a, x), (b, y) in itertools.combinations([*own.items(), *given.items(), ("the cotangent", cotangent)], 2):
        if a in own and x.numel() and y.numel():
            assert x.untyped_storage().data_ptr() != y.untyped_storage().data_ptr(), (
                f"{act.id}: {a} shares memory with {b}"
            )
    for name, tensor in own.items():  # nor with itself: a stride of 0 makes a sum of what is written to it
        assert all(n == 1 or s for n, s in zip(tensor.shape, tensor.stride(), strict=True)), (
            f"{act.id}: {name} is expanded"
        )


# -- grad mode --------------------------------------------------------------------------------------------------


def test_the_result_knows_whether_it_has_a_gradient(act: Act, subject: Any) -> None:
    """It has one if an argument asks for one, and none in no_grad and inference mode, nor if none asks."""
    given = act.leaves()
    caller = act.prepare(subject, given)
    value = caller(given)
    assert value.requires_grad, f"{act.id}: no gradient"
    assert value.grad_fn is not None, f"{act.id}: no grad_fn"
    plain = {name: t.detach() for name, t in given.items()}
    with torch.no_grad():
        quiet = caller(given)
        assert not torch.is_grad_enabled(), f"{act.id} ends no_grad"
    with torch.inference_mode():
        inferred = caller(given)
        assert torch.is_inference_mode_enabled(), f"{act.id} ends inference mode"
        assert not torch.is_grad_enabled(), f"{act.id} ends no_grad in inference mode"
    found = {"no_grad": quiet, "inference mode": inferred}
    if act.how == "function" or all(a.place != "parameter" for a in act.call.row.arguments):
        found["a call that asks for none"] = act.prepare(subject, plain)(plain)
    for mode, result in found.items():
        assert not result.requires_grad, f"{act.id}: a gradient in {mode}"
        assert result.grad_fn is None, f"{act.id}: a grad_fn in {mode}"
        assert same_bits(result, value) or not repeats(act.id), f"{act.id}: another value in {mode}: {result}, {value}"
    assert inferred.is_inference(), f"{act.id}: no inference tensor"
    assert not quiet.is_inference(), f"{act.id}: an inference tensor"


def test_each_argument_can_be_a_constant(function: Act, subject: Any) -> None:
    """Each alone gets the gradient that it gets among the others, and the constants get none."""
    expected = outcome(function, subject)
    for name, gradient in expected.gradients.items():
        given = {n: t.detach().requires_grad_(n == name) for n, t in function.leaves().items()}
        value = function.prepare(subject, given)(given)
        if value.requires_grad:
            value.backward(function.call.vector(function.reduction))
        got = (
            torch.zeros_like(gradient) if given[name].grad is None else given[name].grad
        )  # of a tail with no target in it
        assert same_bits(got, gradient) or not repeats(function.id), f"{function.id}: {name} alone has another gradient"
        leaked = [n for n, t in given.items() if n != name and t.grad is not None]
        assert not leaked, f"{function.id}: {leaked} asked for no gradient"


# -- what is not read -------------------------------------------------------------------------------------------


def _ignored_rows(act: Act, given: Tensors) -> Tensors:
    """The last row is ignored, and those that have the same target."""
    rows = given["target"] == given["target"].flatten()[-1]
    axis = -1 if act.row == "LinearCrossEntropyLoss" else min(1, given["input"].ndim - 1)
    return {"input": rows.unsqueeze(axis).expand_as(given["input"])}


def _padding(act: Act, given: Tensors) -> Tensors:
    """Frames beyond the length of the input, labels beyond that of the target."""
    frames = torch.arange(len(given["log_probs"]), device=act.device)
    late = frames.reshape(-1, *[1] * given["input_lengths"].ndim) >= given["input_lengths"]
    found = {"log_probs": late.unsqueeze(-1).expand_as(given["log_probs"])}
    if given["targets"].ndim == 2:
        places = torch.arange(given["targets"].shape[1], device=act.device)
        found["targets"] = places >= given["target_lengths"].unsqueeze(-1)
    return found


def _after_the_end(act: Act, given: Tensors) -> Tensors:
    """Labels after the first -1."""
    ended = (given["target"] == -1).cumsum(-1)
    return {"target": (ended > 0) & (given["target"] != -1) | (ended > 1)}


UNREAD: dict[str, Callable[[Act, Tensors], Tensors]] = {
    "NLLLoss": _ignored_rows,
    "CrossEntropyLoss": _ignored_rows,
    "LinearCrossEntropyLoss": _ignored_rows,
    "CTCLoss": _padding,
    "MultiLabelMarginLoss": _after_the_end,
}


def ignoring(config: pytest.Config) -> list[Act]:
    """Acts in which something is not read. (Of a K-dimensional linear layer no row of input is ignored as a whole.)"""
    found = [act for act in acts(config) if act.row in UNREAD]
    rows = [act for act in found if UNREAD[act.row] is not _ignored_rows or "_ignored" in act.variant]
    return [act for act in rows if (act.row, "-k1_" in act.id) != ("LinearCrossEntropyLoss", True)]


def test_what_is_not_read_does_not_matter(unread: Act, subject: Any) -> None:
    """Ignored rows and padding get a gradient of exactly 0; what they hold moves neither the value nor any gradient."""
    given = unread.leaves()
    parts, plain = UNREAD[unread.row](unread, given), outcome(unread, subject)
    for name, part in parts.items():
        if name in plain.gradients:
            assert not plain.gradients[name][part].any(), f"{unread.id}: what is not read of {name} has a gradient"
        with torch.no_grad():
            given[name][part] = 64 if given[name].is_floating_point() else 1
    moved, terms = outcome(unread, subject, given), max(t.numel() for t in given.values())
    for name, got in {"value": moved.value, **moved.gradients}.items():
        expected = plain.gradients.get(name, plain.value)
        order = 0.0 if repeats(unread.id) else terms * torch.finfo(got.dtype).eps  # of a sum, where that is not fixed
        equal = torch.allclose(got, expected, rtol=order, atol=0, equal_nan=True)
        assert equal, (
            f"{unread.id}: what is not read moves {'the value' if name == 'value' else f'the gradient of {name}'}"
        )
