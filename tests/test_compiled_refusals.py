"""Does it still refuse what eager refuses? Bad calls, traced without numbers, and compiled."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest
import torch

from .bad_calls import BadCall, bad_calls
from .compiled_refusals import BY_VALUE, COMPILED, EAGERLY, LATE, PAST_THE_END, TRACED
from .faked import Faked
from .habits import habit, unmatched
from .isolated import afresh
from .known import unexpected
from .outcomes import FUNCTION, Attempt, Outcome, attempts, observe

UNFIT = ("CTCLoss", "MultiLabelMarginLoss")  # no graph holds the one; the other reads past its arguments in eager


def calls(subject: Any = torch.nn.functional) -> Iterator[BadCall]:
    """Bad calls of functions, those apart that eager may not live through."""
    for bad in bad_calls().values():
        if hasattr(subject, bad.good.function) and bad.good.loss not in UNFIT and not (bad.fatal and bad.fault.startswith("far")):
            yield bad


def asked(bad: BadCall) -> Attempt:
    """The function, under the last of the reductions."""
    return [each for each in attempts(bad) if each.spelling == FUNCTION][-1]


def refused(outcome: Outcome) -> bool:
    """Whether it ended with an exception."""
    return outcome.what.endswith(("Error", "Exception"))


def any_of(patterns: Sequence[str], bad: BadCall) -> bool:
    """Whether the call is one of these."""
    return any(fnmatchcase(bad.id, pattern) for pattern in patterns)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every bad call."""
    if "bad" in metafunc.fixturenames:
        found = list(calls())
        metafunc.parametrize("bad", found, ids=[bad.id for bad in found])
    if "numbered" in metafunc.fixturenames:
        numbered: dict[str, list[BadCall]] = {}
        for bad in calls():
            if any_of(BY_VALUE, bad) and not habit(COMPILED, bad.id, "accepts"):
                numbered.setdefault(f"{bad.good.loss}-{bad.argument}-{bad.fault}", []).append(bad)
        metafunc.parametrize("numbered", numbered.values(), ids=numbered)
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", ["inductor" if metafunc.config.getoption("--compile-all") else "aot_eager_decomp_partition"])


def test_traced(bad: BadCall, subject: Any) -> None:
    """A call that eager refuses for a dtype, a shape or an option is refused when it is traced."""
    if not refused(observe(asked(bad), subject)) or any_of(BY_VALUE, bad):
        return
    outcome, entry = observe(asked(bad), Faked(subject)), habit(TRACED, bad.id, "accepts")
    if entry is None:
        assert refused(outcome), f"{bad.id}: {asked(bad)} is refused, and traced it is not"
    elif not any_of(LATE, bad):
        assert not refused(outcome), f"{bad.id}: {outcome}; so {entry.name} has had its day"


def test_refused_for_a_number(numbered: list[BadCall], subject: Any, request: pytest.FixtureRequest) -> None:
    """A number that eager refuses is refused when the compiled loss runs, in one graph or in several; asked of one form, or of all."""
    wrong = [bad for bad in numbered if refused(observe(asked(bad), subject))]
    for bad in wrong if request.config.getoption("--compile-all") else wrong[:1]:
        outcome = observe(asked(bad), Compiled(subject, "aot_eager_decomp_partition", fullgraph=False))
        assert refused(outcome), f"{bad.id}: {asked(bad)} is refused, and compiled it is not: {outcome}"


class Compiled:
    """A namespace whose functions are compiled."""

    def __init__(self, namespace: Any, backend: str, fullgraph: bool = True) -> None:
        """Of `namespace`."""
        self.namespace, self.how = namespace, {"backend": backend, "fullgraph": fullgraph, "dynamic": False}

    def __getattr__(self, name: str) -> Any:
        """The function."""
        torch._dynamo.reset()
        return torch.compile(lambda **given: getattr(self.namespace, name)(**given), **self.how)


def together(bad: Sequence[BadCall], subject: Any, backend: str) -> None:
    """All of the calls in one graph."""
    given = []
    for each in bad:
        arrays, options = each.arguments
        options = {"reduction": reduction, **options} if (reduction := asked(each).reduction) else options
        tensors = {n: torch.as_tensor(np.asarray(a)) for n, a in arrays.items()}
        tensors = {n: t.float() if t.dtype == torch.float64 else t for n, t in tensors.items()}
        given.append((each.good.function, tensors, options))
    torch._dynamo.reset()
    torch.compile(lambda all: [getattr(subject, name)(**t, **options) for name, t, options in all], fullgraph=True, dynamic=False, backend=backend)(given)


def test_accepted(backend: str, subject: Any, subtests: pytest.Subtests) -> None:
    """What compiled losses are known to accept they accept still: all in one graph, or if that fails, one by one."""
    late = LATE if backend == "inductor" else (*LATE, *EAGERLY)
    known = [bad for bad in calls(subject) if habit(COMPILED, bad.id, "accepts") and not any_of(late, bad) and refused(observe(asked(bad), subject))]
    try:
        together(known, subject, backend)
    except Exception:  # one of them is refused now: say which
        for bad in known:
            with subtests.test(bad.id):
                outcome = observe(asked(bad), Compiled(subject, backend))
                assert not refused(outcome), f"{outcome}; so {habit(COMPILED, bad.id, 'accepts').name} has had its day"
        pytest.fail("not all of them are accepted, or not together")


def test_past_the_end(request: pytest.FixtureRequest) -> None:
    """A class that is none is refused by compiled code."""
    if not request.config.getoption("--compile-all"):
        pytest.skip("it is asked with --compile-all, as CI does")
    outcome = afresh(past_the_end, request.config.getoption("--subject"))
    found = "" if isinstance(outcome, Outcome) and refused(outcome) else f"compiled code reads past the end of the logits: {outcome}"
    assert not (said := unexpected("past_the_end", found, PAST_THE_END)), said


def past_the_end(subject: str) -> Outcome:
    """How the call ends; it may end the process."""
    bad = bad_calls()["CrossEntropyLoss-batch-target-past_the_end"]
    return observe(asked(bad), Compiled(importlib.import_module(subject), "inductor"))


def test_entries_match() -> None:
    """Every known departure is about a call."""
    assert not unmatched(COMPILED, (bad.id for bad in calls()))
