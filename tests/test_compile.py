"""Is it the same loss when it is compiled? Value, gradients, dtypes, shapes and refusals, of operators and of graphs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from reference.catalog import ROWS, Row
from reference.formats import FORMATS
from reference.inputs import regimes

from .cases import Case, untypical
from .compile_habits import COMPILED, DECOMPOSED
from .decomposed import Decomposed, decomposed
from .habits import attempt, habit, unmatched
from .options import devices, kernels, offered
from .subject import adaptive_loss, adaptive_module
from .transformed import Found, arguments, evaluate, evaluate_all, function, hold, larger

AT_ONCE = 1  # how many variants meet each regime but `typical` and `kinks`, beside the plain call

BY_VALUE = ("AdaptiveLogSoftmaxWithLoss",)  # picks rows by their class, in Python: no compiler sees it whole


def compilable(config: pytest.Config) -> list[Row]:
    """The rows that a graph can hold."""
    return [row for row in offered(config) if row.name not in BY_VALUE]


def every(config: pytest.Config) -> Iterator[Case]:
    """Every pair of options under every reduction; on the kinks, and in other dtypes than float32, under one of them, turn about.

    Every other regime in float32, not reduced and as a mean, on the CPU: the rules are the same on every device.
    """
    seed = config.getoption("--seed")
    for row in compilable(config):
        for device in devices(config):
            if device == "cpu" and "float32" in kernels(config, row, device):
                turns = zip(untypical(row, AT_ONCE), itertools.cycle(("mean", "none")), strict=False)
                extreme = (Case(row, v, r, FORMATS["float32"], device, regime, seed) for (v, regime), r in turns)
                yield from (case for case in extreme if case.regime != "kinks")
            for dtype in kernels(config, row, device):
                for i, variant in enumerate(row.few()):
                    turn = row.reductions[i % len(row.reductions) :][:1]
                    for regime in {"typical", "kinks"} & set(regimes(row, variant)):
                        for reduction in row.reductions if dtype == "float32" and regime == "typical" else turn:
                            yield Case(row, variant, reduction, FORMATS[dtype], device, regime, seed)


@dataclass(frozen=True)
class Graph:
    """Many losses in one graph: to compile one is as slow as to compile them all."""

    name: str
    cases: tuple[Case, ...]
    dynamic: bool
    backend: str = "inductor"

    def run(self, cases: Sequence[Case], subject: Any) -> list[Found]:
        """Values and gradients of some of the cases, in one graph; if the shapes are dynamic, of larger ones too."""
        torch._dynamo.reset()
        losses = [function(case, subject) for case in cases]
        whole = torch.compile(lambda given: [loss(x) for loss, x in zip(losses, given, strict=True)], fullgraph=True, dynamic=self.dynamic, backend=self.backend)
        found = evaluate_all(whole, cases)
        if self.dynamic:
            with torch._dynamo.config.patch(error_on_recompile=True):
                found += evaluate_all(whole, [larger(case) for case in cases])
        return found


def graphs(config: pytest.Config) -> Iterator[Graph]:
    """By default two, of plain calls: static, to inductor's code, and dynamic, to the graph of operators that it would be given.

    With --compile-all also the code of the dynamic one, and a graph of each loss, of every pair of its options.
    """
    seed, rows, (device, *_) = config.getoption("--seed"), compilable(config), devices(config)
    plain = tuple(Case(row, row.plain(row.forms[0]), "mean", FORMATS["float32"], device, "typical", seed) for row in rows)
    yield Graph("static", plain, dynamic=False)
    yield Graph("dynamic", plain, dynamic=True, backend="aot_eager_decomp_partition")
    if config.getoption("--compile-all"):
        yield Graph("all_dynamic", plain, dynamic=True)
        for row in rows:
            turns = zip(row.few(), itertools.cycle(row.reductions), strict=False)
            several = (Case(row, variant, reduction, FORMATS["float32"], device, "typical", seed) for variant, reduction in turns)
            yield Graph(f"all_{row.name}", tuple(several), dynamic=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases of each question."""
    if "each" in metafunc.fixturenames:
        found = sorted(every(metafunc.config), key=lambda case: case.id)
        metafunc.parametrize("each", found, ids=[case.id for case in found])
    if "graph" in metafunc.fixturenames:
        metafunc.parametrize("graph", list(graphs(metafunc.config)), ids=lambda graph: graph.name)


def test_decomposed(each: Case, subject: Any) -> None:
    """Made of the operators that the compiler makes it of, the loss is what it was."""
    eager = evaluate(function(each, subject), each)

    def run() -> dict[str, Any]:
        with Decomposed():
            return evaluate(decomposed(function(each, subject)), each)

    found = attempt(DECOMPOSED, each.id, run)
    if found is not None:
        hold(DECOMPOSED, each.id, each, found, eager)


def test_compiled(graph: Graph, subject: Any, subtests: pytest.Subtests) -> None:
    """Compiled whole, every loss of a graph is what it was, at the shapes it was compiled for and, if dynamic, at others."""
    refused = [case for case in graph.cases if habit(COMPILED, f"{case.id}-{graph.name}", "refuses")]
    together = [case for case in graph.cases if case not in refused]
    for case in refused:
        with subtests.test(case.id):
            attempt(COMPILED, f"{case.id}-{graph.name}", lambda case=case: graph.run([case], subject))
    try:
        found = graph.run(together, subject) if together else []
    except Exception as error:  # one of them, or all: say which
        for case in together:
            with subtests.test(case.id):
                graph.run([case], subject)
        pytest.fail(f"not all of them compile, or not together: {error}")
    for case, got in zip([*together, *map(larger, together)], found, strict=False):
        with subtests.test(case.id):
            hold(COMPILED, f"{case.id}-{graph.name}", case, got, evaluate(function(case, subject), case))


def test_compiled_module(request: pytest.FixtureRequest) -> None:
    """A module that picks rows by their class is what it was, or says that it cannot be compiled whole."""
    row = ROWS["AdaptiveLogSoftmaxWithLoss"]
    case = Case(row, row.plain(row.forms[0]), "mean", FORMATS["float32"], devices(request.config)[0], "typical", request.config.getoption("--seed"))
    options = case.variant.options
    module = adaptive_module(**{name: t for name, t in arguments(case)[0].items() if name != "target"}, **options)

    def loss(given: Any) -> torch.Tensor:
        return adaptive_loss(module, reduction=case.reduction, **given)

    torch._dynamo.reset()
    found = attempt(COMPILED, f"{case.id}-module", lambda: evaluate(torch.compile(loss, fullgraph=True), case))
    if found is not None:
        hold(COMPILED, f"{case.id}-module", case, found, evaluate(loss, case))


@pytest.mark.every_dtype
def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case."""
    assert not unmatched(DECOMPOSED, (case.id for case in every(request.config)))
