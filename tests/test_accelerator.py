"""Is it the same loss in a captured graph, and where only deterministic algorithms are allowed?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from reference.formats import FORMATS
from reference.inputs import draw
from reference.loss import flatten

from .accelerator_habits import DETERMINISTIC, GRAPHS
from .calls import deterministic
from .cases import Case
from .habits import attempt
from .options import devices, offered
from .subject import differentiable, tensor, tensors
from .transformed import Found, cotangent, elsewhere, evaluate, function, hold


def cases(config: pytest.Config, *types: str) -> Iterator[Case]:
    """Every variant under one reduction, turn about, on the devices of these types (or on any)."""
    chosen = [device for device in devices(config) if not types or torch.device(device).type in types]
    for row, device in itertools.product(offered(config), chosen):
        for i, variant in enumerate(row.few()):
            reduction = row.reductions[i % len(row.reductions)]
            yield Case(row, variant, reduction, FORMATS["float32"], device, "typical", config.getoption("--seed"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases of each question; on a machine without such a device there are none."""
    for name, types in {"captured": ("cuda",), "anywhere": ()}.items():
        if name in metafunc.fixturenames:
            found = list(cases(metafunc.config, *types))
            metafunc.parametrize(name, found, ids=[case.id for case in found])


def capture(case: Case, subject: Any) -> tuple[torch.cuda.CUDAGraph, Found, torch.Tensor, Found]:
    """Forward and backward as a graph; arguments and cotangent, which it reads, and the results that it writes.

    A graph knows addresses: whoever replays it must keep all of these.
    """
    names = differentiable(case.row, case.truth.drawn)
    given, vector, loss = tensors(case.truth.drawn, case.format, case.device, differentiable=names), cotangent(case), function(case, subject)

    def both() -> Found:
        value = loss(given)
        gradients = torch.autograd.grad(value, [given[name] for name in names], vector, allow_unused=True, materialize_grads=True)
        return {"value": value.detach(), **dict(zip(names, gradients, strict=True))}

    aside = torch.cuda.Stream()  # as torch's notes on graphs ask: warmed up on another stream
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        both()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # of a capture that fails, torch.cuda.graph leaves the stream the current one, and what follows waits for no other
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
        found = both()
    return graph, given, vector, found


def test_graph(captured: Case, subject: Any) -> None:
    """Captured with some numbers and replayed with others, it is the loss of the others."""
    made = attempt(GRAPHS, captured.id, lambda: capture(captured, subject))
    if made is None:
        return
    graph, given, _vector, found = made
    truth = captured.truth
    fresh = elsewhere(captured, replace(truth, drawn=draw(truth.row, truth.variant, truth.regime, truth.format, captured.seed + 1)))
    with torch.no_grad():
        for name, array in flatten(fresh.truth.drawn.arguments).items():
            given[name].copy_(tensor(array, captured.format, captured.device))
    graph.replay()
    hold(GRAPHS, captured.id, fresh, found, evaluate(function(fresh, subject), fresh))


def test_deterministic(anywhere: Case, subject: Any) -> None:
    """Refused as documented, and else the same loss, bit for bit the same when it is asked for again."""
    with deterministic():
        found = attempt(DETERMINISTIC, anywhere.id, lambda: [evaluate(function(anywhere, subject), anywhere) for _ in range(2)])
    if found is not None:
        first, second = found
        assert all(torch.equal(first[name].nan_to_num(), second[name].nan_to_num()) for name in first), f"{anywhere.id}: two runs differ"
        hold(DETERMINISTIC, anywhere.id, anywhere, first, evaluate(function(anywhere, subject), anywhere))
