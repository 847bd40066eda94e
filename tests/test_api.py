"""Is the surface of every loss as it was: signatures, legacy arguments, state, copies, and module against function?"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import itertools
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from reference.catalog import ROWS, Row, Variant
from reference.formats import FORMATS
from reference.inputs import draw, regimes

from .api import APIS, LEGACY_MEANING, LEGACY_WARNING, METHODS, OPTIONS, OVERLOOKED, PARAMETERS, REQUIRED, Api
from .calls import Call, Outcome, gradients, run, same, same_bits, spread
from .divergence import in_release
from .options import offered
from .subject import ADAPTERS, call_function, call_module, has_module, module, tensors
from .test_warnings import caught

WEIGHT = torch.tensor([0.5, 1.0, 2.0])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The losses and calls that this torch and the subject have."""
    here = [name for name in APIS if hasattr(torch.nn, name)]
    rows = offered(metafunc.config)
    if "loss" in metafunc.fixturenames:
        metafunc.parametrize("loss", here)
    if "legacy" in metafunc.fixturenames:
        old = [name for name, api in APIS.items() if "size_average" in api.init and api.function]
        metafunc.parametrize("legacy", [row.name for row in rows if row.name in old])
    if "plain" in metafunc.fixturenames:
        metafunc.parametrize("plain", [row.name for row in rows if getattr(APIS.get(row.name), "function", "")])
    if "option" in metafunc.fixturenames:
        options = [(row, name, value) for row in rows if hasattr(torch.nn, row.name) and row.function not in ADAPTERS for name, values in row.options.items() for value in values[1:]]
        metafunc.parametrize("option", options, ids=[f"{row.name}-{name}.{value}" for row, name, value in options])
    if "call" in metafunc.fixturenames:
        calls = [Call(row, v, FORMATS["float32"]) for row in rows for v in spread(row, row.forms)]
        calls = [call for call in calls if has_module(call.row, call.given())]
        metafunc.parametrize("call", calls, ids=[call.id for call in calls])


def text(function: Callable[..., Any]) -> str:
    """A signature as it is printed, without `self` and annotations."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values() if p.name != "self"]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))[1:-1]


def make(loss: str, **more: Any) -> torch.nn.Module:
    """The module with every option changed from its default, and every buffer given."""
    api = APIS[loss]
    given = REQUIRED.get(loss, {}) | OPTIONS.get(loss, {}) | {name: WEIGHT.clone() for name in api.buffers}
    given |= {"reduction": "sum"} if "reduction" in api.init else {}
    made = []
    caught(lambda: made.append(getattr(torch.nn, loss)(**given | more)))  # one of them is deprecated
    return made[0]


# -- signatures -------------------------------------------------------------------------------------------------


def test_class_takes_what_it_took(loss: str) -> None:
    """Names, order, kinds and defaults of the constructor are unchanged."""
    assert text(getattr(torch.nn, loss).__init__) == APIS[loss].init


def test_forward_takes_what_it_took(loss: str) -> None:
    """Names and order of the call of the module are unchanged."""
    assert text(getattr(torch.nn, loss).forward) == APIS[loss].forward


def test_function_takes_what_it_took(loss: str, subject: object) -> None:
    """Names, order, kinds and defaults of the function are unchanged."""
    if APIS[loss].function and hasattr(subject, ROWS[loss].function):
        assert text(getattr(subject, ROWS[loss].function)) == APIS[loss].function


@pytest.mark.parametrize(("name", "method"), [m for m in METHODS if hasattr(torch.nn, m[0])], ids="-".join)
def test_method_takes_what_it_took(name: str, method: str) -> None:
    """Names and defaults of what is beside the losses are unchanged."""
    assert text(getattr(getattr(torch.nn, name), method)) == METHODS[name, method]


def test_every_loss_has_its_api() -> None:
    """Each loss class that torch has is in tests/api.py, and each in there is in torch, or came later."""
    there = {*torch.nn.modules.loss.__all__, "AdaptiveLogSoftmaxWithLoss"}
    assert there == {name for name, api in APIS.items() if not _later(api)}


def _later(api: Api) -> bool:
    return tuple(map(int, api.since.split("."))) > tuple(map(int, torch.__version__.split(".")[:2]))


# -- the module -------------------------------------------------------------------------------------------------


def test_class_is_what_it_was(loss: str) -> None:
    """Bases and `__constants__` are unchanged."""
    api, kind = APIS[loss], getattr(torch.nn, loss)
    assert [base.__name__ for base in kind.__mro__[1:-2]] == [*api.bases]
    assert issubclass(kind, torch.nn.Module)
    assert getattr(kind, "__constants__", None) == (None if api.constants is None else [*api.constants])


def test_module_keeps_its_options(loss: str) -> None:
    """Every option, default or not, is the attribute of its name, and of its type."""
    given = OPTIONS.get(loss, {}) | ({"reduction": "sum"} if "reduction" in APIS[loss].init else {})
    changed = make(loss)
    assert {name: getattr(changed, name) for name in given} == given
    parameters = inspect.signature(getattr(torch.nn, loss).__init__).parameters
    defaults = {name: parameters[name].default for name in given}
    plain = make(loss, **defaults)
    kept = {name: getattr(plain, name) for name in defaults}
    assert kept == defaults
    assert {name: type(value) for name, value in kept.items()} == {name: type(v) for name, v in defaults.items()}
    untouched = getattr(torch.nn, loss)
    made: list[torch.nn.Module] = []
    caught(lambda: made.append(untouched(**REQUIRED.get(loss, {}))))
    assert {name: getattr(made[0], name) for name in defaults} == defaults


def test_module_shows_what_it_showed(loss: str) -> None:
    """`repr`, with every option changed from its default (which most losses do not tell)."""
    shown, want = " ".join(repr(make(loss)).split()), f"{loss}({APIS[loss].shows})"
    assert shown.replace("( ", "(").replace(" )", ")") == want.replace("( ", "(").replace(" )", ")")


def test_module_has_its_state(loss: str) -> None:
    """Weights are persistent buffers and nothing else is state, but for the parameters of the layers inside."""
    made, buffers, parameters = make(loss), APIS[loss].buffers, PARAMETERS.get(loss, {})
    assert [name for name, _ in made.named_buffers()] == [*buffers]
    assert {name: tuple(p.shape) for name, p in made.named_parameters()} == parameters
    assert sorted(made.state_dict()) == sorted([*buffers, *parameters])
    assert [name for name, _ in made.named_parameters()] == [*parameters]
    assert all(torch.equal(made.state_dict()[name], WEIGHT) for name in buffers)
    assert not any(made.state_dict()[name].requires_grad for name in buffers)
    assert all(p.requires_grad for p in made.parameters())
    without = make(loss, **dict.fromkeys(buffers))
    assert sorted(without.state_dict()) == sorted(parameters)
    assert all(getattr(without, name) is None for name in buffers)


def test_state_is_loaded(loss: str) -> None:
    """A state dict gives another module its weights, and refuses one that has none."""
    made, other = make(loss), make(loss, **{name: torch.zeros(3) for name in APIS[loss].buffers})
    other.load_state_dict(made.state_dict())
    assert _equal(made.state_dict(), other.state_dict())
    if APIS[loss].buffers:
        with pytest.raises(RuntimeError, match="Unexpected key"):
            make(loss, **dict.fromkeys(APIS[loss].buffers)).load_state_dict(made.state_dict())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_to_dtype_takes_the_state_along(loss: str, dtype: torch.dtype) -> None:
    """`.to(dtype)` converts weights and parameters, and `.to(device)` moves them; options stay as they are."""
    before = make(loss)
    want = {name: tensor.to(dtype, copy=True) for name, tensor in before.state_dict().items()}
    made = before.to(dtype)
    assert made is before
    assert _equal(want, made.state_dict())
    assert {name: getattr(made, name) for name in OPTIONS.get(loss, {})} == OPTIONS.get(loss, {})
    assert all(tensor.device.type == "meta" for tensor in made.to("meta").state_dict().values())


@pytest.mark.parametrize("name", [name for name in PARAMETERS if hasattr(torch.nn, name)])
def test_layers_are_made_as_asked(name: str) -> None:
    """The layers inside are of the dtype and on the device that the constructor is told, and can be drawn anew."""
    placed = [(p.dtype, p.device.type) for p in make(name, dtype=torch.float64, device="meta").parameters()]
    assert placed == [(torch.float64, "meta")] * len(PARAMETERS[name])
    made = make(name)
    layers = [layer for layer in (made, *made.modules()) if hasattr(layer, "reset_parameters")][:1]
    for parameter in made.parameters():
        torch.nn.init.zeros_(parameter)
    layers[0].reset_parameters()
    assert all(p.any() for p in made.parameters())


WAYS_TO_COPY: dict[str, Callable[[torch.nn.Module], torch.nn.Module]] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda made: pickle.loads(pickle.dumps(made)),
    "save": lambda made: _saved(made),
}


def _saved(made: torch.nn.Module) -> Any:
    file = io.BytesIO()
    torch.save(made, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("way", WAYS_TO_COPY)
def test_copy_is_the_same(loss: str, way: str) -> None:
    """A copy has the class, the options, the state and the looks of the original; a deep one has its own memory."""
    made = make(loss)
    copies: list[torch.nn.Module] = []
    caught(lambda: copies.append(WAYS_TO_COPY[way](made)))  # one of them is deprecated, and copies of it are
    (other,) = copies
    assert type(other) is type(made)
    assert repr(other) == repr(made)
    public = {n: v for n, v in vars(made).items() if not n.startswith("_")}
    assert {n: v for n, v in vars(other).items() if not n.startswith("_")} == public
    assert _equal(made.state_dict(), other.state_dict())
    copied = other.state_dict()
    for name, tensor in made.state_dict().items():
        shared = tensor.data_ptr() == copied[name].data_ptr()
        assert shared == (way == "copy"), f"{name} is {'not ' * (not shared)}shared"


@pytest.mark.parametrize("way", WAYS_TO_COPY)
def test_a_copy_keeps_its_distance(way: str) -> None:
    """A function that is given as the distance is that of every copy."""
    made = torch.nn.TripletMarginWithDistanceLoss(distance_function=torch.nn.functional.cosine_similarity)
    assert WAYS_TO_COPY[way](made).distance_function is torch.nn.functional.cosine_similarity


def _equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return [*a] == [*b] and all(a[n].dtype == b[n].dtype and torch.equal(a[n], b[n]) for n in a)


def test_mode_changes_nothing(call: Call) -> None:
    """A loss is the same in training and in evaluation, and its module gives what its function gives, bit for bit."""
    for reduction in call.row.reductions:
        given = call.given()
        for name in call.differentiable:
            given[name].requires_grad_()
        made = module(call.row, call.variant, given, reduction)
        inputs = [given[a.name] for a in call.row.arguments if a.place == "call" and a.name in given]
        before = {name: copy.copy(value) for name, value in vars(made).items()}
        trained, evaluated = made.train()(*inputs), made.eval()(*inputs)
        assert vars(made) == {**before, "training": False}, f"{call.id}, {reduction}: the call changes the module"
        assert same_bits(trained, evaluated), f"{call.id}, {reduction}: trained {trained}, evaluated {evaluated}"
        names = [a.name for a in call.row.arguments if a.place == "call" and a.name in call.differentiable]
        found = gradients(evaluated, [given[n] for n in names], call.vector(reduction))
        outcome = Outcome(evaluated.detach(), dict(zip(names, found, strict=True)))
        function = run(torch.nn.functional, call, call.given(), reduction, names=names)
        assert same(outcome, function), f"{call.id}, {reduction}: module {outcome}, function {function}"


def test_module_passes_every_option_on(option: tuple[Row, str, Any]) -> None:
    """Where the value of an option matters, the module gives what the function does, constructed with it or set to it."""
    row, name, value = option
    for variant in (v for v in row.variants() if v.options[name] == value):
        default = replace(variant, options={**variant.options, name: row.options[name][0]})
        for regime in regimes(row, variant):
            given = tensors(draw(row, variant, regime, FORMATS["float32"]), FORMATS["float32"], "cpu")
            if has_module(row, given):
                want, plain = (_ending(row, v, given) for v in (variant, default))
                if isinstance(want, torch.Tensor) and (isinstance(plain, str) or not same_bits(want, plain)):
                    got = call_module(row, variant, given, row.reductions[1])
                    assert same_bits(got, want), f"{row.name}, {variant.name}, {regime}: module {got}, function {want}"
                    changed = module(row, default, given, row.reductions[1])
                    setattr(changed, name, value)
                    got = changed(*(given[a.name] for a in row.arguments if a.place == "call" and a.name in given))
                    assert same_bits(got, want), f"{row.name}, {variant.name}, {regime}: set later {got}, function {want}"
                    return
    pytest.fail(f"no input of {row.name} tells {name} {value} from the default")


def _ending(row: Row, variant: Variant, given: dict[str, Any]) -> torch.Tensor | str:
    """What the function gives, or why it refuses: a class that is to be ignored may be none at all by default."""
    try:
        return call_function(torch.nn.functional, row, variant, given, row.reductions[1])
    except (RuntimeError, ValueError, IndexError) as refusal:
        return str(refusal)


def test_module_heeds_its_attributes(call: Call) -> None:
    """A reduction, option or weight that is set after construction counts as if it had been given."""
    row, given = call.row, call.given()
    reduction, other = ("none", "mean") if len(call.id) % 2 else ("sum", "none")
    inputs = [given[a.name] for a in row.arguments if a.place == "call" and a.name in given]
    constant = {a.name: given.pop(a.name) for a in row.arguments if a.place == "constructor" and a.name in given}
    bare = replace(call.variant, options={name: values[0] for name, values in row.options.items()})
    made = module(row, bare, given, other)
    with contextlib.suppress(IndexError):  # a class that is ignored only later
        made(*inputs)  # what it was called with before does not stay
    for name, value in {**call.variant.options, **constant, "reduction": reduction}.items():
        setattr(made, name, value)
    want = module(row, call.variant, {**given, **constant}, reduction)(*inputs)
    assert same_bits(made(*inputs), want), f"{call.id}: {made(*inputs)} with attributes set, {want} with them given"


def test_defaults_are_those_of_the_signature(plain: str, subject: Any) -> None:
    """A call that leaves the options out gives what one does that spells out the documented defaults, bit for bit."""
    row = ROWS[plain]
    call = Call(row, _fewest(row), FORMATS["float32"])
    given, function = call.given(), getattr(subject, row.function)
    spelled = {n: p.default for n, p in inspect.signature(function).parameters.items() if p.default is not p.empty}
    spelled = {name: value for name, value in spelled.items() if name not in given}
    short, long = heard(partial(function, **given))[0], heard(partial(function, **given, **spelled))[0]
    assert same_bits(short, long), f"{short} without, {long} with {spelled}"
    if has_module(row, given) and plain not in REQUIRED:
        inputs = [given[a.name] for a in row.arguments if a.place == "call" and a.name in given]
        made = heard(partial(getattr(torch.nn, plain)))[0]
        assert same_bits(heard(partial(made, *inputs))[0], long), f"the module's defaults are others than {spelled}"


def _fewest(row: Row) -> Variant:
    """The variant of the first form with the fewest arguments and options, valid or not."""
    return row.plain(row.forms[0])


# -- legacy arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size_average", "reduce"), LEGACY_MEANING, ids=str)
def test_legacy_arguments_mean_a_reduction(
    legacy: str, size_average: bool | None, reduce: bool | None, subject: Any
) -> None:
    """Each combination warns, overrides `reduction`, and gives the value of the modern spelling bit for bit."""
    row, modern = ROWS[legacy], LEGACY_MEANING[size_average, reduce]
    old = {"size_average": size_average, "reduce": reduce}
    for variant, other in itertools.product(spread(row, row.forms[:1]), row.reductions):
        call, said_of = Call(row, variant, FORMATS["float32"]), f"{variant.name}, {other}"
        given, options = call.given(), dict(call.variant.options)
        constructor = {a.name: given[a.name] for a in row.arguments if a.place == "constructor" and a.name in given}
        inputs = [given[a.name] for a in row.arguments if a.place == "call" and a.name in given]
        function, kind = getattr(subject, row.function), getattr(torch.nn, legacy)
        want, _ = heard(partial(function, **given, **options, reduction=modern))
        got, said = heard(partial(function, **given, **options, **old, reduction=other))
        assert LEGACY_WARNING.format(modern) in said, f"{said_of}: {said}"
        known = [o for o in OVERLOOKED if (o.loss, o.reduction) == (legacy, other)]
        overlooked = any(in_release(o.torch, torch.__version__) for o in known)
        assert same_bits(got, want / len(given["input"]) if overlooked else want), f"{said_of}: {got} is not {want}"
        if given.keys() & set(row.function_only):
            continue
        made, said = heard(partial(kind, **constructor, **options, **old, reduction=other))
        assert said == [LEGACY_WARNING.format(modern)], f"{said_of}: {said}"
        assert made.reduction == modern
        for now in (modern, *row.reductions):  # also one that is set later
            made.reduction = now
            plain, heard_plainly = heard(partial(function, **given, **options, reduction=now))
            got, said = heard(partial(made, *inputs))
            assert same_bits(got, plain), f"module, {said_of}, now {now}: {got} is not {plain}"
            assert said == heard_plainly, f"module, {said_of}, now {now}: {said}"


def heard(work: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What work returns, and what it warns of."""
    found: list[Any] = []
    said = caught(lambda: found.append(work()))
    assert all(w.category is UserWarning for w in said), f"{[w.category for w in said]}"
    return found[0], [str(w.message) for w in said]


# -- adaptive softmax beyond its loss ---------------------------------------------------------------------------


def test_log_prob_and_predict_agree_with_the_loss() -> None:
    """`log_prob` is a log-distribution whose entries are the loss's output, and `predict` is where it is largest."""
    torch.manual_seed(0)
    made = torch.nn.AdaptiveLogSoftmaxWithLoss(4, 9, [2, 5], div_value=2.0, head_bias=True).double()
    x, target = torch.randn(50, 4, dtype=torch.float64) * 5, torch.arange(50) % 9
    log_prob = made.log_prob(x)
    torch.testing.assert_close(log_prob.exp().sum(1), torch.ones(50, dtype=torch.float64), rtol=0, atol=1e-14)
    output, loss = made(x, target)
    torch.testing.assert_close(output, log_prob.gather(1, target[:, None])[:, 0], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(loss, -output.mean(), rtol=1e-13, atol=0)
    assert torch.equal(made.predict(x), log_prob.argmax(1))
