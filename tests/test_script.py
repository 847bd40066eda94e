"""Is a loss the same in TorchScript, by its function and by its module, scripted and traced, and which cannot be scripted?"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from reference.formats import FORMATS

from . import habits, transformed
from .calls import Call, Outcome, gradients, same
from .cases import Case
from .habits import Habit
from .modules import Made, calls, leaves, made
from .options import devices, offered, takes
from .subject import ADAPTERS, Tensors
from .transformed import arguments, evaluate, hold, larger

pytestmark = pytest.mark.skipif(not hasattr(torch.jit, "script"), reason="this torch has no TorchScript")
F = torch.nn.functional

UNSCRIPTABLE = (
    Habit(
        "keyword_only_options",
        ("LinearCrossEntropyLoss-*-function", "TripletMarginWithDistanceLoss-*"),
        "refuses",
        "options with defaults are keyword-only in the function, which TorchScript does not compile",
        says="Compiled functions can't take variable number of arguments or use keyword-only arguments with defaults",
    ),
    Habit(
        "a_class_of_options",
        ("LinearCrossEntropyLoss-*-module",),
        "refuses",
        "the annotation of `options` makes TorchScript compile the class of options, whose __init__ a dataclass generates; "
        "the documentation of the loss says that without an instance of it the loss is scriptable",
        says="Failed to get source for <function LinearCrossEntropyOptions.__init__",
    ),
    Habit(
        "sizes_that_differ",
        ("GaussianNLLLoss-*",),
        "refuses",
        "the shape of the variance is checked by a comprehension with a condition, which TorchScript does not compile",
        says="Comprehension ifs are not supported yet",
        torch=">=2.10",
    ),
    Habit(
        "annotated_layers",
        ("AdaptiveLogSoftmaxWithLoss-*",),
        "refuses",
        "its layers are annotated as attributes, which TorchScript takes for types that it should know; what it says of them "
        "depends on what was scripted before",
    ),
)


TRACED = (
    Habit(
        "sizes_that_are_traced",
        ("BCELoss-*_weight*",),
        "refuses",
        "the shape that the weight is expanded to is worked out of sizes, which are tensors in a trace, and taken for numbers",
        says="expected int at position 0, but got: Tensor",
        torch="<2.13",
    ),
    Habit(
        "no_grad_is_not_traced",
        ("GaussianNLLLoss-*_eps.0.3-*",),
        "wrong",
        "the variance is clamped under no_grad, so that its gradient is that at eps; a trace has the clamp without no_grad: "
        "the gradient of a smaller variance is 0",
        says=": var ",
        sometimes=True,  # not every draw has a smaller one
    ),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every choice and every value of every option, in the first form."""
    found = [call for call in calls(metafunc.config) if call.variant.form == call.row.forms[0]]
    if "call" in metafunc.fixturenames:
        metafunc.parametrize("call", found, ids=lambda call: call.id)
    if "function" in metafunc.fixturenames:
        metafunc.parametrize("function", [c for c in found if c.row.function not in ADAPTERS], ids=lambda call: call.id)
    if "example" in metafunc.fixturenames:
        examples = list(_examples(metafunc.config))
        metafunc.parametrize("example", examples, ids=[example.id for example in examples])


def _examples(config: pytest.Config) -> Iterator[Case]:
    """The plain call under every reduction, every pair of options in the first form under one of them, turn about."""
    for row, device in itertools.product(offered(config), devices(config)):
        if row.function not in ADAPTERS:  # which rows a tail has is baked in
            first = [v for v in row.few() if v.form == row.forms[0] and takes(config, row, v)]
            turns = [(row.plain(row.forms[0]), r) for r in row.reductions] + list(zip(first, itertools.cycle(row.reductions), strict=False))
            for variant, reduction in {(v.name, r): (v, r) for v, r in turns}.values():
                yield Case(row, variant, reduction, FORMATS["float32"], device, "typical", config.getoption("--seed"))


_REFUSED: dict[type, Exception] = {}
"""By class of module, what the first attempt at it was refused with: a second stumbles over what the first has left."""


def _script(what: Any) -> Callable[..., Any]:
    if type(what) in _REFUSED:
        raise _REFUSED[type(what)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and says so of itself and of annotations
        try:
            return torch.jit.script(what)
        except Exception as error:
            if isinstance(what, torch.nn.Module):
                _REFUSED[type(what)] = error
            raise


def _judge(call: Call, asked: str, reduction: str, scripted: torch.Tensor, eager: torch.Tensor, asking: Tensors) -> None:
    """The same bits, or where a graph adds in another order, within the budget all the same."""
    found = [
        Outcome(value.detach(), dict(zip(asking, gradients(value, [*asking.values()], call.vector(reduction)), strict=True)))
        for value in (scripted, eager)
    ]
    wrong = [] if same(*found) else call.problems(found[0], reduction)
    assert not wrong, f"{asked}: {wrong}; scripted {found[0]}, in eager mode {found[1]}"


def test_scripted_module_is_the_same(call: Call) -> None:
    """A scripted module gives the value and the gradients of the module."""
    reduction = call.row.reductions[len(call.id) % 2]
    asked = f"{call.id}-{reduction}-module"
    eager = made(call, reduction)
    asking = leaves(call, eager)
    scripted = habits.attempt(UNSCRIPTABLE, asked, lambda: _script(eager.module))
    if scripted is not None:
        _judge(call, asked, reduction, Made(scripted, eager.inputs)(), eager(), asking)


def test_scripted_function_is_the_same(function: Call) -> None:
    """A scripted function gives the value and the gradients of the function."""
    row, reduction = function.row, function.row.reductions[len(function.id) % 2]
    asked = f"{function.id}-{reduction}-function"
    given, eager = function.given(), getattr(F, row.function)
    scripted = habits.attempt(UNSCRIPTABLE, asked, lambda: _script(eager))
    if scripted is not None:
        asking = {name: given[name].requires_grad_() for name in function.differentiable}
        how = {**given, **function.variant.options, "reduction": reduction}
        _judge(function, asked, reduction, scripted(**how), eager(**how), asking)


def test_traced_function_takes_other_sizes(example: Case, subject: Any) -> None:
    """Traced at one size, a loss is the loss at another: no size of the example is baked in."""
    loss, (given, _) = transformed.function(example, subject), arguments(example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and warns of Python's numbers and booleans, as in checks of shapes
        traced = habits.attempt(TRACED, example.id, lambda: torch.jit.trace(lambda *all: loss(dict(zip(given, all, strict=True))), tuple(given.values()), check_trace=False))
    if traced is None:
        return
    other = larger(example)
    hold(TRACED, example.id, other, evaluate(lambda all: traced(*all.values()), other), evaluate(loss, other))


def test_a_trace_still_loses_no_grad() -> None:
    """Where the variance is below eps, eager's gradient is that at eps, and the trace's is 0; once it is not, its entry in TRACED has had its day."""

    def loss(var: torch.Tensor) -> torch.Tensor:
        return F.gaussian_nll_loss(torch.ones(1), torch.zeros(1), var, eps=0.25)

    var = torch.tensor([0.125], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(loss, var, check_trace=False)
    assert torch.autograd.grad(loss(var), var)[0].item() == 0.5 * (1 / 0.25 - 1 / 0.25**2)
    assert torch.autograd.grad(traced(var), var)[0].item() == 0


def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known refusal is about a loss."""
    asked = [f"{call.id}-mean-{how}" for call in calls(request.config) for how in ("module", "function")]
    assert not habits.unmatched(UNSCRIPTABLE, asked)
    assert not habits.unmatched(TRACED, (example.id for example in _examples(request.config)))
