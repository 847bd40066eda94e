"""How much memory does a loss hold on to? For the backward pass what its algorithm needs, and a scalar for a scalar."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Self

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from .acts import SIZES, enlarged
from .calls import Call, implemented, spread
from .known import Known, elsewhere, slug, unexpected
from .memory import MEMORY_DEPARTURES, SAVED
from .options import devices, formats, offered, takes
from .subject import call_function


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every large call."""
    if "large" in metafunc.fixturenames:
        metafunc.parametrize("large", large(metafunc.config), ids=lambda call: call.id)
    if "elementwise" in metafunc.fixturenames:
        metafunc.parametrize("elementwise", [call for call in large(metafunc.config) if call.row.elementwise], ids=lambda call: call.id)


@cache
def large(config: pytest.Config) -> list[Call]:
    """Calls large enough that what is kept for each row is small beside what is kept for each element."""
    return list(_large(config))


def _large(config: pytest.Config) -> Iterator[Call]:
    for row, device in itertools.product((row for row in offered(config) if not row.namespace), devices(config)):
        for variant in spread(row, (enlarged(row, "large", **SIZES),)):
            for format in formats(config, ("float32", "bfloat16")):
                if takes(config, row, variant) and implemented(row, format, device):
                    yield Call(row, variant, format, device, config.getoption("--seed"))


@contextmanager
def _noted() -> Iterator[dict[int, int]]:
    """The storages that autograd saves meanwhile: where they are, and their bytes."""
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield kept


def test_a_graph_keeps_what_the_algorithm_needs(large: Call, subject: Any) -> None:
    """What autograd saves beside the arguments, in multiples of the first: what is declared, and nothing that it does not tell of."""
    for reduction in large.row.reductions:
        given = {name: t.requires_grad_(name in large.differentiable) for name, t in large.given().items()}
        first, allocated = next(iter(given.values())), Allocated(large.device)
        if allocated.memory is not None:
            call_function(subject, large.row, large.variant, given, reduction)  # libraries keep the workspace of a first call
        arguments = {t.untyped_storage().data_ptr() for t in given.values()}
        with _noted() as kept, allocated:
            value = call_function(subject, large.row, large.variant, given, reduction)
        own, saved = first.untyped_storage().nbytes(), sum(n for p, n in kept.items() if p not in arguments)
        hidden = allocated.bytes - saved - value.untyped_storage().nbytes()
        assert hidden <= 0.05 * own + allocated.slack, f"{large.id} {reduction} holds {hidden} bytes that autograd does not tell of"
        got = saved / own
        wanted = next(entry for entry in SAVED if any(fnmatchcase(large.id, pattern) for pattern in entry.cases))
        declared = wanted.saves + wanted.masks / first.element_size()
        assert abs(got - declared) <= wanted.give + 0.05, (  # a number per row is not counted
            f"{large.id} {reduction} saves {got:.2f} times its input; declared are {declared} ({wanted.why}), needed {wanted.needs}"
        )
        del value


def test_an_expanded_argument_stays_small(elementwise: Call, subject: Any) -> None:
    """Where a row stands for all rows, by strides of 0, no graph keeps it written out: it keeps no more than of rows of their own."""
    large = elementwise
    for reduction in large.row.reductions:
        kept = []
        for expanded in (False, True):
            given = large.given()
            first, *others = given
            for name in others if expanded else ():
                given[name] = given[name][:1].expand_as(given[name]) if given[name].ndim else given[name]
            given = {name: t.requires_grad_(name == first) for name, t in given.items()}
            arguments = {t.untyped_storage().data_ptr() for t in given.values()}
            with _noted() as own:
                value = call_function(subject, large.row, large.variant, given, reduction)
            kept.append(sum(n for p, n in own.items() if p not in arguments))
            del value
        assert kept[1] <= kept[0], f"{large.id} {reduction} saves {kept[1]} bytes beside expanded arguments, and {kept[0]} beside others"


class Allocated:
    """The bytes that were allocated and not freed while it was active; exact on a CPU, in blocks on an accelerator.

    There the slack hides a copy of the input in half precision; one in float32 it does not.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.memory = None if torch.device(device).type == "cpu" else torch.get_device_module(device)
        self.slack = 0 if self.memory is None else 16 * 512  # blocks, each larger than what was asked for

    def __enter__(self) -> Self:
        """Watch."""
        if self.memory is None:
            self.profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True).__enter__()
        else:
            self.before = self.memory.memory_allocated(self.device)
        return self

    def __exit__(self, *error: object) -> None:
        """Count."""
        if self.memory is None:
            self.profiler.__exit__(None, None, None)
            every = self.profiler.profiler.kineto_results.events()  # as events of operators torch 2.6 counts some twice
            self.bytes = sum(event.nbytes() for event in every if event.name() == "[memory]")
        else:
            self.bytes = self.memory.memory_allocated(self.device) - self.before


def test_a_scalar_is_small(large: Call, subject: Any) -> None:
    """A reduced loss is one number, and the memory behind it is no larger."""
    said = []
    for reduction in large.row.reductions:
        value = call_function(subject, large.row, large.variant, large.given(), reduction)
        held = value.untyped_storage().nbytes() // value.element_size()
        problem = "" if held == value.numel() else f"{value.numel()} numbers hold {held}"
        said.append(unexpected(f"{large.id} {reduction}", problem, MEMORY_DEPARTURES))
    assert not any(said), "\n".join(filter(None, said))


@pytest.mark.every_dtype
@pytest.mark.parametrize("entry", MEMORY_DEPARTURES, ids=lambda entry: entry.name)
def test_every_departure_matches_a_case(entry: Known, pytestconfig: pytest.Config) -> None:
    """An entry that matches no case is a slip of the pen."""
    asked = [f"{call.id} {reduction}" for call in large(pytestconfig) for reduction in call.row.reductions]
    assert elsewhere(entry.cases, asked) or any(map(entry.covers, asked))


@pytest.mark.every_dtype
@pytest.mark.parametrize("pattern", [pattern for entry in SAVED for pattern in entry.cases], ids=slug)
def test_every_declaration_is_read(pattern: str, pytestconfig: pytest.Config) -> None:
    """For some call it is the first that matches."""
    asked = [call.id for call in large(pytestconfig)]
    first = {next(p for entry in SAVED for p in entry.cases if fnmatchcase(each, p)) for each in asked}
    assert pattern in first or elsewhere((pattern,), asked)
