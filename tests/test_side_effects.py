"""What else does a loss do? Nothing: arguments, memory, generators and modes are as they were, and runs repeat."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch

from reference.catalog import ROWS, Form, Row, Variant
from reference.formats import FORMATS

from .calls import Call, Outcome, devices, formats, gradients, implemented, offered, problems, run, same, same_bits, spread, takes
from .known import unexpected
from .side_effect_departures import SAVED, SIDE_EFFECT_DEPARTURES
from .subject import ADAPTERS, Tensors, call_function, has_module, module

Caller = Callable[[Tensors], torch.Tensor]


@dataclass(frozen=True)
class Act:
    """One call, by the function or by the module."""

    row: str
    variant: str
    reduction: str
    dtype: str
    device: str
    how: str
    seed: int

    @property
    def id(self) -> str:
        """Loss-variant-reduction-dtype-device-how."""
        return f"{self.row}-{self.variant}-{self.reduction}-{self.dtype}-{self.device}-{self.how}"

    @property
    def call(self) -> Call:
        """The call, shared by its reductions."""
        return _call(self.row, self.variant, self.dtype, self.device, self.seed)

    def leaves(self) -> Tensors:
        """The arguments on memory of their own; those that torch differentiates in ask for it."""
        call = self.call
        wanted = [name for name in call.differentiable if self.how == "function" or _place(call, name) == "call"]
        return {name: t.clone().requires_grad_(name in wanted) for name, t in call.given().items()}

    def prepare(self, subject: Any, given: Tensors) -> Caller:
        """What makes the call with given arguments; the module is constructed here, once."""
        call = self.call
        if self.how == "function":
            return lambda given: call_function(subject, call.row, call.variant, given, self.reduction)
        made = module(call.row, call.variant, given, self.reduction)
        names = [a.name for a in call.row.arguments if a.place == "call" and a.name in given]
        return lambda given: made(*(given[name] for name in names))


@lru_cache(maxsize=8)
def _call(row: str, variant: str, dtype: str, device: str, seed: int) -> Call:
    return Call(ROWS[row], _variants(row)[variant], FORMATS[dtype], device, seed)


@lru_cache
def _variants(name: str) -> dict[str, Variant]:
    return {v.name: v for v in spread(ROWS[name], ROWS[name].forms)}


def _place(call: Call, name: str) -> str:
    return next(a.place for a in call.row.arguments if a.name == name.partition(".")[0])


def acts(config: pytest.Config) -> Iterator[Act]:
    """The function in float32 with every reduction; in turn another dtype, and the module, with a reduction in turn."""
    seed, itself = config.getoption("--seed"), config.getoption("--subject") == "torch.nn.functional"
    for row, device in itertools.product(offered(config), devices(config)):
        dtypes = [f.name for f in formats(config) if implemented(row, f, device)]
        others = [dtype for dtype in dtypes if dtype != "float32"]
        for n, variant in enumerate(_variants(row.name).values()):
            if not takes(config, row, variant):
                continue
            given = [name for name, choice in variant.choices.items() if choice.domain != "absent"]
            turn = row.reductions[n % len(row.reductions)]
            chosen = [(r, "float32", "function") for r in row.reductions] if "float32" in dtypes else []
            chosen += [(turn, others[n % len(others)], "function")] if others else []
            chosen += [(turn, "float32", "module")] if itself and "float32" in dtypes and has_module(row, dict.fromkeys(given)) else []
            for reduction, dtype, how in chosen:
                yield Act(row.name, variant.name, reduction, dtype, device, how, seed)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every act, or the calls that a question wants."""
    config = metafunc.config
    if "act" in metafunc.fixturenames:
        cases = list(acts(config))
        metafunc.parametrize("act", cases, ids=[case.id for case in cases])
    for name, calls in (("large", large), ("parallel", parallel)):
        if name in metafunc.fixturenames:
            found = list(calls(config))
            metafunc.parametrize(name, found, ids=[call.id for call in found])
    if "ignoring" in metafunc.fixturenames:
        cases = [act for act in acts(config) if "_ignored" in act.variant and not _partly(act)]
        metafunc.parametrize("ignoring", cases, ids=[case.id for case in cases])
    if "function" in metafunc.fixturenames:
        cases = [act for act in acts(config) if act.how == "function" and act.dtype == "float32"]
        metafunc.parametrize("function", cases, ids=[case.id for case in cases])


# -- what was there before -----------------------------------------------------------------------------------------


def _generators() -> list[Any]:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    own = [torch.get_device_module(accelerator).get_rng_state().numpy().tobytes()] if accelerator else []
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - whether the global generator is left alone
    return [torch.get_rng_state().numpy().tobytes(), *own, random.getstate(), (kind, keys.tobytes(), *rest)]


PROCESS: dict[str, Callable[[], Any]] = {
    "the random generators": _generators,
    "the default dtype": torch.get_default_dtype,
    "the default device": torch.get_default_device,
    "grad mode": torch.is_grad_enabled,
    "inference mode": torch.is_inference_mode_enabled,
    "deterministic mode": lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
    "the number of threads": torch.get_num_threads,
    "anomaly mode": torch.is_anomaly_enabled,
    "autocast": lambda: (torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()),
    "the precision of matrix products": torch.get_float32_matmul_precision,
    "the flushing of subnormals": lambda: float(torch.full((), 1e-310, dtype=torch.float64) / 2),
}


def test_what_was_there_stays_as_it_was(act: Act, subject: Any) -> None:
    """Forward and backward write to no argument, nor to the cotangent, not a bit and no version; they draw no random
    number and change no mode of the process."""
    given = act.leaves()
    caller = act.prepare(subject, given)
    cotangent = act.call.vector(act.reduction).clone()
    watched = {**given, "cotangent": cotangent}
    before = {name: (t.detach().clone(), t._version, t.data_ptr()) for name, t in watched.items()}
    process = {name: read() for name, read in PROCESS.items()}
    value = caller(given)
    _unchanged(watched, before, f"{act.id}: the forward pass")
    gradients(value, _asking(given), cotangent)
    _unchanged(watched, before, f"{act.id}: the backward pass")
    for name, read in PROCESS.items():
        if act.call.row.function not in ADAPTERS or name != "the random generators":  # an adapter draws a module's parameters
            assert read() == process[name], f"{act.id} changes {name}"


def _unchanged(watched: Tensors, before: dict[str, tuple[torch.Tensor, int, int]], by: str) -> None:
    for name, (bits, version, pointer) in before.items():
        assert same_bits(watched[name], bits), f"{by} changed {name}"
        assert watched[name]._version == version, f"{by} wrote to {name}"
        assert watched[name].data_ptr() == pointer, f"{by} moved {name}"


def test_nothing_is_shared(act: Act, subject: Any) -> None:
    """The result and the gradients lie on memory of their own, neither the arguments' nor one another's."""
    given = act.leaves()
    cotangent = act.call.vector(act.reduction).clone()
    value = act.prepare(subject, given)(given)
    found = gradients(value, _asking(given), cotangent)
    own = {"the result": value, **{f"the gradient of {n}": g for n, g in zip(_names(given), found, strict=True)}}
    for (a, x), (b, y) in itertools.combinations([*own.items(), *given.items()], 2):
        if a in own and x.numel() and y.numel():
            assert x.untyped_storage().data_ptr() != y.untyped_storage().data_ptr(), f"{act.id}: {a} shares memory with {b}"
    for name, tensor in own.items():  # nor with itself: a stride of 0 makes a sum of what is written to it
        assert all(n == 1 or s for n, s in zip(tensor.shape, tensor.stride(), strict=True)), f"{act.id}: {name} is expanded"


def _asking(given: Tensors) -> list[torch.Tensor]:
    return [t for t in given.values() if t.requires_grad]


def _names(given: Tensors) -> list[str]:
    return [name for name, t in given.items() if t.requires_grad]


# -- what must not matter -----------------------------------------------------------------------------------------


def test_the_default_dtype_does_not_matter(act: Act, subject: Any) -> None:
    """Arguments have dtypes of their own, and the result and the gradients follow these."""
    expected = _outcome(act, subject)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        got = _outcome(act, subject)
    finally:
        torch.set_default_dtype(before)
    assert same(got, expected), f"{act.id} is another where the default dtype is float64"


def _outcome(act: Act, subject: Any) -> Outcome:
    given = act.leaves()
    value = act.prepare(subject, given)(given)
    found = gradients(value, _asking(given), act.call.vector(act.reduction))
    return Outcome(value.detach(), dict(zip(_names(given), found, strict=True)))


# -- repetition -------------------------------------------------------------------------------------------------


def test_runs_repeat_to_the_bit(act: Act, subject: Any) -> None:
    """Two runs are equal; so is a second backward through a retained graph, after another cotangent."""
    given = act.leaves()
    caller = act.prepare(subject, given)
    cotangent = act.call.vector(act.reduction)
    first, second = caller(given), caller(given)
    assert same_bits(first, second), f"{act.id}: two runs differ: {first}, {second}"
    leaves = _asking(given)
    fresh = gradients(second, leaves, cotangent)
    gradients(first, leaves, torch.full_like(cotangent, 3), retain=True)
    again = gradients(first, leaves, cotangent, retain=True)
    twice = gradients(first, leaves, 2 * cotangent)
    for name, one, other, double in zip(_names(given), fresh, again, twice, strict=True):
        assert same_bits(one, other), f"{act.id}: a second backward gives {name} another gradient"
        if act.dtype != "float16":  # which has numbers so small that doubling them is not exact
            assert same_bits(2 * one, double), f"{act.id}: the gradient of {name} is not linear in the cotangent"


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
    with torch.inference_mode():
        inferred = caller(given)
    found = {"no_grad": quiet, "inference mode": inferred}
    if act.how == "function" or all(a.place != "parameter" for a in act.call.row.arguments):
        found["a call that asks for none"] = act.prepare(subject, plain)(plain)
    for mode, result in found.items():
        assert not result.requires_grad, f"{act.id}: a gradient in {mode}"
        assert result.grad_fn is None, f"{act.id}: a grad_fn in {mode}"
        assert same_bits(result, value), f"{act.id}: another value in {mode}: {result}, {value}"
    assert inferred.is_inference(), f"{act.id}: no inference tensor"
    assert not quiet.is_inference(), f"{act.id}: an inference tensor"


def test_each_argument_can_be_a_constant(function: Act, subject: Any) -> None:
    """Each alone gets the gradient that it gets among the others, and the constants get none."""
    expected = _outcome(function, subject)
    for name, gradient in expected.gradients.items():
        given = {n: t.detach().requires_grad_(n == name) for n, t in function.leaves().items()}
        value = function.prepare(subject, given)(given)
        if value.requires_grad:
            value.backward(function.call.vector(function.reduction))
        got = torch.zeros_like(gradient) if given[name].grad is None else given[name].grad  # of a tail with no target in it
        assert same_bits(got, gradient), f"{function.id}: {name} alone has another gradient"
        leaked = [n for n, t in given.items() if n != name and t.grad is not None]
        assert not leaked, f"{function.id}: {leaked} asked for no gradient"


def test_ignored_rows_get_no_gradient(ignoring: Act, subject: Any) -> None:
    """Exactly 0, and what an ignored row holds moves neither the value nor any gradient."""
    given = ignoring.leaves()
    rows = _ignored(ignoring, given)
    plain = _outcome(ignoring, subject)
    assert not plain.gradients["input"][rows].any(), f"{ignoring.id}: an ignored row has a gradient"
    with torch.no_grad():
        given["input"][rows] = 64.0
    value = ignoring.prepare(subject, given)(given)
    found = gradients(value, _asking(given), ignoring.call.vector(ignoring.reduction))
    assert torch.equal(value, plain.value) or value.isnan(), f"{ignoring.id}: what an ignored row holds moves the value"
    for name, gradient in zip(_names(given), found, strict=True):
        equal = torch.allclose(gradient, plain.gradients[name], rtol=0, atol=0, equal_nan=True)
        assert equal, f"{ignoring.id}: what an ignored row holds moves the gradient of {name}"


def _partly(act: Act) -> bool:
    """Whether a row of input has several positions, of which some are ignored: a linear layer's, of a K-dimensional loss."""
    return act.row == "LinearCrossEntropyLoss" and "-k1" in act.id


def _ignored(act: Act, given: Tensors) -> torch.Tensor:
    """Which elements of the input are of rows that are ignored. The last row is."""
    target, input_ = given["target"], given["input"]
    rows = target == target.flatten()[-1]
    axis = -1 if act.row == "LinearCrossEntropyLoss" else min(1, input_.ndim - 1)
    return rows.unsqueeze(axis).expand_as(input_)


# -- memory -----------------------------------------------------------------------------------------------------

SIZES = {"N": 64, "C": 64, "F": 64, "D": 64, "T": 16}
FIXED = {"AdaptiveLogSoftmaxWithLoss": ("C",)}  # its cutoffs are about the classes that it has


def enlarged(row: Row, name: str, **sizes: int) -> Form:
    """The first form of the row, its axes at these sizes."""
    axes = row.forms[0].axes
    return Form(name, {axis: n if axis in FIXED.get(row.name, ()) else sizes.get(axis, 4) for axis, n in axes.items()})


def large(config: pytest.Config) -> Iterator[Call]:
    """Calls large enough that what is kept for each row is small beside what is kept for each element."""
    for row, device in itertools.product(offered(config), devices(config)):
        for variant in spread(row, (enlarged(row, "large", **SIZES),)):
            if takes(config, row, variant):
                yield Call(row, variant, FORMATS["float32"], device, config.getoption("--seed"))


def test_a_graph_keeps_what_the_algorithm_needs(large: Call, subject: Any) -> None:
    """What autograd saves beside the arguments, in multiples of the first: what is declared, and no more."""
    for reduction in large.row.reductions:
        given = {name: t.requires_grad_(name in large.differentiable) for name, t in large.given().items()}
        arguments = {t.untyped_storage().data_ptr() for t in given.values()}
        kept: dict[int, int] = {}

        def note(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            value = call_function(subject, large.row, large.variant, given, reduction)
        unit = next(iter(given.values())).untyped_storage().nbytes()
        got = round(sum(size for pointer, size in kept.items() if pointer not in arguments) / unit, 1)
        wanted = next(entry for entry in SAVED if any(fnmatchcase(large.id, pattern) for pattern in entry.cases))
        assert abs(got - wanted.saves) <= wanted.give + 1e-9, (
            f"{large.id} {reduction} saves {got} times its input; declared are {wanted.saves} ({wanted.why}), needed {wanted.needs}"
        )
        del value


def test_a_scalar_is_small(large: Call, subject: Any) -> None:
    """A reduced loss is one number, and the memory behind it is no larger."""
    said = []
    for reduction in large.row.reductions:
        value = call_function(subject, large.row, large.variant, large.given(), reduction)
        held = value.untyped_storage().nbytes() // value.element_size()
        problem = "" if held == value.numel() else f"{value.numel()} numbers hold {held}"
        said.append(unexpected(f"{large.id} {reduction}", problem, SIDE_EFFECT_DEPARTURES))
    assert not any(said), "\n".join(filter(None, said))


# -- threads ----------------------------------------------------------------------------------------------------

ENOUGH = 640
"""Rows of 64: torch divides work on more than 32,768 elements among threads, and rows sooner."""


def parallel(config: pytest.Config) -> Iterator[Call]:
    """The plain variant of each loss at a size that more than one thread works on."""
    for row, device in itertools.product(offered(config), devices(config)):
        variant = row.plain(enlarged(row, "parallel", **{**SIZES, "N": ENOUGH}))
        yield Call(row, variant, FORMATS["float32"], device, config.getoption("--seed"))


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_threads_change_rounding_at_most(parallel: Call, reduction: str, subject: Any) -> None:
    """With more threads a sum may be added up in another order, and that is all; with as many, runs repeat to the bit
    where deterministic algorithms are asked for. (Torch adds up a whole tensor in as many parts as it has threads.)"""
    call, before = parallel, torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run(subject, call, call.given(), reduction)
        torch.set_num_threads(3)
        three = run(subject, call, call.given(), reduction)
        torch.use_deterministic_algorithms(mode=True)
        again = run(subject, call, call.given(), reduction)
    finally:
        torch.use_deterministic_algorithms(mode=False)
        torch.set_num_threads(before)
    assert same(three, again), f"{call.id} {reduction}: two runs on three threads differ"
    if not same(one, three):
        around = {name: replace(call.budgets(reduction)[name], want=array) for name, array in one.arrays().items()}
        wrong = problems(three, around, call.format, " on three threads, beside that on one,")
        assert not wrong, f"{call.id} {reduction}: " + "; ".join(wrong)
