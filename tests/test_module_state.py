"""Is a loss a module like any other? What it holds counts as it is at the call, is converted, loaded and found inside others.

Weights are the tensors that were given; hooks are called, and may change what is given and what is returned.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch

from reference.formats import FORMATS

from .api import APIS, PARAMETERS, REQUIRED, SHOWS
from .calls import Call, gradients, implemented, same_bits
from .modules import Made, calls, first, leaves, made
from .subject import ADAPTERS, call_function
from .test_api import WEIGHT, make
from .test_warnings import caught

HERE = [name for name in APIS if hasattr(torch.nn, name)]
WEIGHTED = [(name, buffer) for name in HERE for buffer in APIS[name].buffers]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The losses of this torch, the calls that the subject has, and one of them per loss, with all its weights."""
    found = calls(metafunc.config)
    first_forms = [c for c in found if c.variant.form == c.row.forms[0]]
    chosen = {
        "call": found,
        "stateful": [c for c in first_forms if any(a.place != "call" and a.name in c.drawn.arguments for a in c.row.arguments)],
        "one": [max(those, key=lambda c: len(c.drawn.arguments)) for _, those in itertools.groupby(first_forms, key=lambda c: c.row.name)],
    }
    if "loss" in metafunc.fixturenames:
        metafunc.parametrize("loss", HERE)
    for name in chosen.keys() & {*metafunc.fixturenames}:
        metafunc.parametrize(name, chosen[name], ids=lambda call: call.id)


# -- what it holds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asks", [False, True], ids=["", "asks_for_a_gradient"])
@pytest.mark.parametrize(("weighted", "buffer"), WEIGHTED, ids=map("-".join, WEIGHTED))
def test_module_holds_the_very_tensor(weighted: str, buffer: str, asks: bool) -> None:
    """A weight is registered as it is given: not a copy of it, and in its graph; so is one that is set later."""
    weight, later = (WEIGHT.clone().requires_grad_(asks) for _ in range(2))
    one = make(weighted, **{buffer: weight})
    assert getattr(one, buffer) is weight, f"{weighted} holds another {buffer} than it was given"
    assert dict(one.named_buffers())[buffer] is weight
    assert weight.requires_grad == asks
    setattr(one, buffer, later)
    assert getattr(one, buffer) is later, f"{weighted} holds another {buffer} than was set"


def _in_place(module: torch.nn.Module, name: str, new: torch.Tensor) -> None:
    with torch.no_grad():
        _held(module, name).copy_(new)


def _data(module: torch.nn.Module, name: str, new: torch.Tensor) -> None:
    _held(module, name).data = new


def _set(module: torch.nn.Module, name: str, new: torch.Tensor) -> None:
    owner, _, last = name.rpartition(".")
    was = _held(module, name)
    setattr(module.get_submodule(owner), last, torch.nn.Parameter(new) if isinstance(was, torch.nn.Parameter) else new)


def _loaded(module: torch.nn.Module, name: str, new: torch.Tensor) -> None:
    module.load_state_dict({**module.state_dict(), name: new})


def _assigned(module: torch.nn.Module, name: str, new: torch.Tensor) -> None:
    module.load_state_dict({**module.state_dict(), name: new}, assign=True)


def _held(module: torch.nn.Module, name: str) -> torch.Tensor:
    return {**dict(module.named_buffers()), **dict(module.named_parameters())}[name]


WAYS_TO_CHANGE: dict[str, Callable[[torch.nn.Module, str, torch.Tensor], None]] = {
    "in_place": _in_place,
    "data": _data,
    "set": _set,
    "loaded": _loaded,
    "assigned": _assigned,
}

CONSTANT = ("MarginRankingLoss-matrix_margin.m2.1-*", "*-unbatched_ignored_*")
"""Losses that are the same whatever is drawn: a margin out of reach, one row that is ignored."""


def _another(call: Call, value: Callable[[Call], torch.Tensor]) -> Call | None:
    """The call with other numbers, of the same shapes, that make another value."""
    was = value(call)
    for seed in range(call.seed + 1, call.seed + 20):
        other = Call(call.row, call.variant, call.format, seed=seed)
        shapes = [{name: t.shape for name, t in c.given().items()} for c in (call, other)]
        if shapes[0] == shapes[1] and not same_bits(value(other), was):
            return other
    assert any(fnmatchcase(call.id, pattern) for pattern in CONSTANT), f"{call.id}: no other arguments make another value"
    return None


def _tensors(one: Made) -> list[torch.Tensor]:
    return [*one.inputs, *one.module.state_dict().values()]


def test_every_call_reads_its_arguments(call: Call, subject: Any) -> None:
    """What was written to any argument, a module's weights among them, between two calls counts in the second."""
    row, reduction = call.row, call.row.reductions[len(call.id) % 2]

    def function(call: Call) -> torch.Tensor:
        return call_function(subject, row, call.variant, call.given(), reduction)

    with torch.no_grad():
        other = _another(call, lambda call: made(call, reduction)())
        if other is None:
            return
        want, new = made(other, reduction), other.given()
        reused = made(call, reduction)
        assert not same_bits(reused(), want())
        for mine, theirs in zip(_tensors(reused), _tensors(want), strict=True):
            mine.copy_(theirs)
        assert same_bits(reused(), want()), f"{call.id}: the module gives {reused()} of what is now {want()}"
        if row.function not in ADAPTERS:
            expected, given = function(other), {name: t.clone() for name, t in call.given().items()}
            call_function(subject, row, call.variant, given, reduction)
            for name, tensor in given.items():  # with no call of others between, which a cache might make room for
                tensor.copy_(new[name])
            got = call_function(subject, row, call.variant, given, reduction)
            assert same_bits(got, expected), f"{call.id}: the function gives {got} of what is now {expected}"


@pytest.mark.parametrize("way", WAYS_TO_CHANGE)
def test_every_call_reads_the_state(stateful: Call, way: str) -> None:
    """A weight or parameter that is changed after a call, whichever way, counts in the next; so does one that is removed."""
    reduction = stateful.row.reductions[len(stateful.id) % 2]
    with torch.no_grad():
        other = made(Call(stateful.row, stateful.variant, stateful.format, seed=stateful.seed + 1), reduction)
        changed, was = made(stateful, reduction), made(stateful, reduction)
        changed()
        for name, new in other.module.state_dict().items():
            WAYS_TO_CHANGE[way](changed.module, name, new.clone())
            _in_place(was.module, name, new)
            fresh = Made(copy.deepcopy(was.module), was.inputs)  # has been called with nothing else
            assert same_bits(changed(), fresh()), f"{stateful.id}: {changed()} after {name} is changed, {fresh()} if it always was"
        for name, _ in [*changed.module.named_buffers()]:
            setattr(changed.module, name, None)
            left = {a.name for a in stateful.row.arguments if a.place != "constructor"} | dict(changed.module.named_buffers()).keys()
            without = {n: t for n, t in stateful.given().items() if n.partition(".")[0] in left}
            bare = made(stateful, reduction, without)
            bare.module.load_state_dict(changed.module.state_dict())
            assert same_bits(changed(), bare()), f"{stateful.id}: {changed()} without {name}, {bare()} if there never was one"


def test_a_state_of_another_loss_is_refused(loss: str) -> None:
    """What is missing, is not its own or has another shape is named, and without `strict` is told of: nothing is made up."""
    one = make(loss, **{name: WEIGHT.clone() for name in APIS[loss].buffers})
    own = one.state_dict()
    for name, tensor in own.items():
        without = {n: t for n, t in own.items() if n != name}
        with pytest.raises(RuntimeError, match=rf'Missing key\(s\) in state_dict: "{re.escape(name)}"'):
            one.load_state_dict(without)
        assert one.load_state_dict(without, strict=False) == ([name], [])
        with pytest.raises(RuntimeError, match=f"size mismatch for {re.escape(name)}"):
            one.load_state_dict({**own, name: tensor.new_zeros(7, 3, 2)})
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "temperature"'):
        one.load_state_dict({**own, "temperature": torch.ones(1)})
    assert one.load_state_dict({**own, "temperature": torch.ones(1)}, strict=False) == ([], ["temperature"])


# -- converted ----------------------------------------------------------------------------------------------------

CONVERSIONS = {"half": "float16", "bfloat16": "bfloat16", "float": "float32", "double": "float64"}
"""Methods of a module, each with the dtype that it makes of its state."""


@pytest.mark.parametrize("inside", [False, True], ids=["", "inside"])
@pytest.mark.parametrize("method", CONVERSIONS)
def test_every_method_converts(loss: str, method: str, inside: bool) -> None:
    """`half()`, `bfloat16()`, `float()` and `double()` convert weights and parameters, of a loss alone or in a module."""
    dtype = getattr(torch, CONVERSIONS[method])
    one = make(loss).to(torch.float32 if dtype is not torch.float32 else torch.float64)
    whole = torch.nn.Sequential(one) if inside else one
    want = {name: tensor.to(dtype) for name, tensor in one.state_dict().items()}
    assert getattr(whole, method)() is whole
    got = one.state_dict()
    assert [*got] == [*want]
    assert all(same_bits(got[name], want[name]) for name in want), f"{loss}.{method}() leaves {[t.dtype for t in got.values()]}"


def test_a_used_module_converts(one: Call) -> None:
    """After a call a module converts as it does before: the next call is that of one which always was of the dtype."""
    for method, name in CONVERSIONS.items():
        format = FORMATS[name]
        if not implemented(one.row, format, "cpu"):
            continue
        reduction = one.row.reductions[1]
        with torch.no_grad():
            other, used = made(Call(one.row, one.variant, format), reduction), made(one, reduction)
            used()
            getattr(used.module, method)()
            fresh = getattr(made(one, reduction).module, method)()
            got, want = (first(m(*other.inputs)) for m in (used.module, fresh))
        assert same_bits(got, want), f"{one.id}, {method}(): {got} after a call, {want} without"


# -- inside another module ----------------------------------------------------------------------------------------

LAYERS: dict[str, list[str]] = {
    "LinearCrossEntropyLoss": ["linear"],
    "AdaptiveLogSoftmaxWithLoss": ["head", "tail", "tail.0", "tail.0.0", "tail.0.1"],
    "TripletMarginWithDistanceLoss": ["distance_function"],
}
"""The modules inside, as the losses are made here; the others have none."""


def test_modules_are_found(loss: str) -> None:
    """`modules` finds the loss and the layers inside; `apply` reaches each of them once, the loss last."""
    one = make(loss)
    names = LAYERS.get(loss, [])
    assert [name for name, _ in one.named_modules()] == ["", *names]
    assert [*one.modules()] == [one, *(one.get_submodule(name) for name in names)]
    reached: list[torch.nn.Module] = []
    assert one.apply(reached.append) is one
    assert reached[-1] is one
    assert sorted(map(id, reached)) == sorted(map(id, one.modules()))


def test_a_distance_that_learns_is_found() -> None:
    """A module that is given as the distance is a part of the loss: its parameters are found, saved, converted and copied with it."""
    distance = torch.nn.Bilinear(4, 4, 1)
    one = torch.nn.TripletMarginWithDistanceLoss(distance_function=distance, swap=True)
    names = ["distance_function.weight", "distance_function.bias"]
    assert one.get_submodule("distance_function") is distance
    assert distance.training, "to be given as a distance ends the training of a module"
    assert [name for name, _ in one.named_parameters()] == [*one.state_dict()] == names
    assert all(own is theirs for own, theirs in zip(one.parameters(), distance.parameters(), strict=True))
    one.double().eval()
    assert distance.weight.dtype == torch.float64
    assert not distance.training
    twin = copy.deepcopy(one)
    assert not any(own is theirs for own, theirs in zip(one.parameters(), twin.parameters(), strict=True))
    assert twin.distance_function is twin.get_submodule("distance_function") is not distance


def test_parameters_can_be_frozen(loss: str) -> None:
    """`requires_grad_` freezes and thaws every parameter and nothing else; `zero_grad` takes their gradients away."""
    one = make(loss)
    for wanted in (False, True):
        assert one.requires_grad_(wanted) is one
        assert [p.requires_grad for p in one.parameters()] == [wanted] * len(PARAMETERS.get(loss, {}))
        assert not any(b.requires_grad for b in one.buffers())
    for emptied in (True, False):
        for parameter in one.parameters():
            parameter.grad = torch.ones_like(parameter)
        one.zero_grad(set_to_none=emptied)
        assert all(p.grad is None if emptied else not p.grad.any() for p in one.parameters())


class _Model(torch.nn.Module):
    """A model that holds its loss."""

    def __init__(self, loss: torch.nn.Module) -> None:
        super().__init__()
        self.loss = loss


def _later(loss: str) -> torch.nn.Module:
    """The loss of another model, with other numbers."""
    other = make(loss)
    for tensor in other.state_dict().values():
        tensor.zero_()
    return other


CONTAINERS: dict[str, Callable[[torch.nn.Module], torch.nn.Module]] = {
    "": lambda loss: loss,
    "loss.": _Model,
    "0.": torch.nn.Sequential,
}
"""By the prefix of the names of its state, what holds the loss."""


@pytest.mark.parametrize("prefix", CONTAINERS)
def test_state_is_loaded_without_a_word(loss: str, prefix: str) -> None:
    """A state dict is saved and loaded by the module or by one that contains it, under its prefix, and nothing warns."""
    one, other = make(loss), _later(loss)
    source, to = CONTAINERS[prefix](one), CONTAINERS[prefix](other)
    found: list[Any] = []
    said = caught(lambda: found.extend([source.state_dict(), to.load_state_dict(source.state_dict()), to.eval()]))
    state, result = found[:2]
    assert [*state] == [f"{prefix}{name}" for name in (*APIS[loss].buffers, *PARAMETERS.get(loss, {}))]
    assert not said, f"{loss} warns: {said[0].message}"
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert all(same_bits(t, other.state_dict()[n.removeprefix(prefix)]) for n, t in state.items())
    assert not other.training
    if state:
        with pytest.raises(RuntimeError, match="Missing key"):
            to.load_state_dict({})


# -- hooks --------------------------------------------------------------------------------------------------------


def test_hooks_are_called(one: Call) -> None:
    """Hooks before and after the forward pass are called once each and may change its course."""
    reduction = one.row.reductions[1]
    plain = made(one, reduction)
    another = _another(one, lambda call: made(call, reduction)())
    assert another is not None, f"{one.id}: no other arguments make another value"
    other = made(another, reduction)
    value = first(plain.module(*other.inputs))
    seen: list[Any] = []
    plain.module.register_forward_pre_hook(lambda module, inputs: seen.append(("before", module, inputs)) or other.inputs)
    plain.module.register_forward_hook(lambda module, inputs, output: seen.append(("after", module, inputs)) or first(output) * 3)
    got = plain()
    assert [name for name, *_ in seen] == ["before", "after"], f"{one.id}: {seen}"
    assert all(module is plain.module for _, module, _ in seen)
    assert [*map(id, seen[0][2])] == [*map(id, plain.inputs)], f"{one.id}: the hook before saw other arguments"
    assert [*map(id, seen[1][2])] == [*map(id, other.inputs)], f"{one.id}: the hook after saw other arguments"
    assert same_bits(got, value * 3), f"{one.id}: {got} with hooks, {value} without"


def test_backward_hooks_are_called(one: Call) -> None:
    """Hooks before and after the backward pass are called once each, and may change its course."""
    seen: list[str] = []
    plain = made(one, one.row.reductions[1])
    asking = [*leaves(one, plain).values()]
    unhooked = gradients(plain().sum(), asking, torch.full((), 2.0))

    def twice(grads: Any) -> Any:
        return tuple(g if g is None else g * 2 for g in grads)

    plain.module.register_full_backward_pre_hook(lambda module, grads: seen.append("before") or twice(grads))
    plain.module.register_full_backward_hook(lambda module, inputs, outputs: seen.append("after"))
    hooked = gradients(plain().sum(), asking, torch.ones(()))
    assert seen == ["before", "after"], f"{one.id}: {seen}"
    assert all(same_bits(a, b) for a, b in zip(hooked, unhooked, strict=True)), f"{one.id}: {hooked}, and {unhooked} without the hook"


# -- looks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_default_module_shows_what_it_showed(loss: str, weighted: bool) -> None:
    """`repr` of a module as it is by default tells nothing but what is listed, whether it has weights or not."""
    given = {name: WEIGHT.clone() for name in APIS[loss].buffers if weighted}
    built: list[torch.nn.Module] = []
    required = {name: value for name, value in REQUIRED.get(loss, {}).items() if name != "bias"}  # which a layer may be without
    caught(lambda: built.append(getattr(torch.nn, loss)(**required, **given)))  # one of them is deprecated
    shown, want = " ".join(repr(built[0]).split()), f"{loss}({SHOWS.get(loss, '')})"
    assert shown.replace("( ", "(").replace(" )", ")") == want.replace("( ", "(").replace(" )", ")")
