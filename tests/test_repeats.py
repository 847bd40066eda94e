"""Does a loss repeat? To the bit, whatever the default dtype; within rounding, whatever the number of threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch

from reference.catalog import Row
from reference.formats import FORMATS

from .accelerator_habits import repeats
from .acts import SIZES, Act, acts, asking, enlarged, names, outcome
from .calls import Call, Outcome, deterministic, gradients, run, same, same_bits, spread
from .cases import Case, untypical
from .judge import Judge
from .options import devices, kernels, offered, takes
from .transformed import evaluate, function


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every act, the functions in float32, or calls that threads share."""
    chosen: dict[str, Callable[[pytest.Config], Iterable[Any]]] = {
        "act": acts,
        "function": lambda config: [a for a in acts(config) if a.how == "function" and a.dtype == "float32"],
        "by_module": lambda config: [a for a in acts(config) if a.how == "module"],
        "parallel": parallel,
    }
    if "loss" in metafunc.fixturenames:
        rows = [row for row in offered(metafunc.config) if "cpu" in devices(metafunc.config) and "float32" in kernels(metafunc.config, row, "cpu")]
        metafunc.parametrize("loss", rows, ids=[row.name for row in rows])
    for name, cases in chosen.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(cases(metafunc.config)), ids=lambda case: case.id)


def test_runs_repeat_to_the_bit(act: Act, subject: Any) -> None:
    """Two runs are equal, also under deterministic algorithms; so is a second backward through a retained graph."""
    given = act.leaves()
    caller = act.prepare(subject, given)
    cotangent = act.call.vector(act.reduction)
    first, second = caller(given), caller(given)
    asked = act.device == "cpu"  # of an accelerator `test_accelerator` asks it
    with deterministic(asked=asked, warn_only=asked and len(act.id) % 2 == 1):
        determined = caller(given)
    if not repeats(act.id):
        return  # what both are is asked elsewhere
    assert same_bits(first, second), f"{act.id}: two runs differ: {first}, {second}"
    assert same_bits(first, determined), f"{act.id}: deterministic algorithms give another: {first}, {determined}"
    leaves = asking(given)
    fresh = gradients(second, leaves, cotangent)
    gradients(first, leaves, torch.full_like(cotangent, 3), retain=True)
    again = gradients(first, leaves, cotangent, retain=True)
    twice = gradients(first, leaves, 2 * cotangent)
    for name, one, other, double in zip(names(given), fresh, again, twice, strict=True):
        assert same_bits(one, other), f"{act.id}: a second backward gives {name} another gradient"
        if act.dtype != "float16":  # which has numbers so small that doubling them is not exact
            assert same_bits(2 * one, double), f"{act.id}: the gradient of {name} is not linear in the cotangent"


def test_deterministic_algorithms_change_nothing(loss: Row, request: pytest.FixtureRequest, subject: Any, judge: Judge) -> None:
    """On the CPU, where every algorithm is one, the value and the gradients are the same to the bit at every regime."""
    for (variant, regime), reduction in zip(untypical(loss, 2), itertools.cycle(loss.reductions), strict=False):
        case = Case(loss, variant, reduction, FORMATS["float32"], "cpu", regime, request.config.getoption("--seed"))
        found = []
        for asked in (False, True):
            with deterministic(asked=asked):
                found.append(evaluate(function(case, subject), case))
        differing = [name for name, one in found[0].items() if not (same_bits(one, found[1][name]) or judge.is_noise(case, name))]
        assert not differing, f"{case.id}: {differing} of {found[0]} and {found[1]}"


def test_a_gradient_that_keeps_its_graph_is_the_same(function: Act, subject: Any) -> None:
    """With `create_graph=True` it may go other ways, to the same numbers."""
    if not repeats(function.id):
        return
    call, given, plain = function.call, function.leaves(), outcome(function, subject)
    value = function.prepare(subject, given)(given)
    cotangent = call.vector(function.reduction)
    found = torch.autograd.grad(value, asking(given), cotangent, create_graph=True, materialize_grads=True)
    got = Outcome(value.detach(), {name: g.detach() for name, g in zip(names(given), found, strict=True)})
    if not same(got, plain):
        wrong = call.problems(got, function.reduction, plain, ", beside that without a graph,")
        assert not wrong, f"{function.id}: " + "; ".join(wrong)


def test_the_default_dtype_does_not_matter(function: Act, subject: Any) -> None:
    """Arguments have dtypes of their own, and the result and the gradients follow these."""
    expected = outcome(function, subject)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        got = outcome(function, subject)
    finally:
        torch.set_default_dtype(before)
    assert same(got, expected) or not repeats(function.id), f"{function.id} is another where the default dtype is float64"


def test_a_module_gives_what_the_function_gives(by_module: Act, subject: Any) -> None:
    """To the bit, value and gradients, those of the weights that it holds among them."""
    by_function = replace(by_module, how="function")
    assert same(outcome(by_module, subject), outcome(by_function, subject)) or not repeats(by_module.id), f"{by_module.id} is another than the function"


@pytest.fixture(scope="module")
def another_thread() -> Iterator[ThreadPoolExecutor]:
    """One that did not import torch."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_another_thread_gives_the_same(function: Act, subject: Any, another_thread: ThreadPoolExecutor) -> None:
    """A loss may be called, and its backward pass made, by a thread that did nothing else before."""
    expected = outcome(function, subject)
    got = another_thread.submit(outcome, function, subject).result()
    assert same(got, expected) or not repeats(function.id), f"{function.id} is another in another thread"


# -- threads ----------------------------------------------------------------------------------------------------

ENOUGH = 640
"""Rows of 64: torch divides work on more than 32,768 elements among threads, and rows sooner."""


def parallel(config: pytest.Config) -> Iterator[Call]:
    """Every choice and option of each loss at a size that more than one thread works on."""
    for row, device in itertools.product(offered(config), devices(config)):
        for variant in spread(row, (enlarged(row, "parallel", **{**SIZES, "N": ENOUGH}),)):
            if takes(config, row, variant):
                yield Call(row, variant, FORMATS["float32"], device, config.getoption("--seed"))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_threads_change_rounding_at_most(parallel: Call, reduction: str, subject: Any) -> None:
    """With more threads a sum may be added up in another order; with as many, deterministic algorithms repeat to the bit.

    Torch adds up a whole tensor in as many parts as it has threads, deterministic or not, so more cannot be asked.
    """
    call, before = parallel, torch.get_num_threads()
    if reduction not in call.row.reductions:
        return
    try:
        torch.set_num_threads(1)
        one = run(subject, call, call.given(), reduction)
        torch.set_num_threads(3)
        three = run(subject, call, call.given(), reduction)
        with deterministic(asked=call.device == "cpu"):  # of an accelerator `test_accelerator` asks it
            again = run(subject, call, call.given(), reduction)
        assert torch.get_num_threads() == 3, f"{call.id} {reduction} leaves {torch.get_num_threads()} threads of 3"
    finally:
        torch.set_num_threads(before)
    if not repeats(f"{call.id} {reduction}"):
        return  # nor is it always right: the matrix says how far off
    wrong = call.problems(one, reduction)
    assert not wrong, f"{call.id} {reduction}: " + "; ".join(wrong)
    assert same(three, again), f"{call.id} {reduction}: two runs on three threads differ"
    if not same(one, three):
        wrong = call.problems(three, reduction, one, " on three threads, beside that on one,")
        assert not wrong, f"{call.id} {reduction}: " + "; ".join(wrong)
