"""Are the layers inside a loss drawn as layers are, and is what adaptive softmax offers beside its loss right?

`log_prob`, `predict` and the sizes that it tells of itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import reference
from reference.accuracy import Budget, Truth, compare
from reference.arithmetic import FloatArray
from reference.catalog import ROWS
from reference.formats import FORMATS, Format
from reference.inputs import Drawn, seed_of

from .api import PARAMETERS
from .calls import SLACK, same_bits
from .process import PROCESS
from .subject import array, tensor


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The run's."""
    return int(request.config.getoption("--seed"))


# -- the layers ---------------------------------------------------------------------------------------------------

LARGE: dict[str, dict[str, Any]] = {
    "LinearCrossEntropyLoss": {"in_features": 64, "num_classes": 500, "bias": True},
    "AdaptiveLogSoftmaxWithLoss": {"in_features": 64, "n_classes": 900, "cutoffs": [300, 600], "div_value": 2.0, "head_bias": True},
}
"""Layers of enough numbers to tell how they are drawn."""


def _anew(made: torch.nn.Module) -> None:
    """Draw them again, from other numbers."""
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(7.0)
    (made if hasattr(made, "reset_parameters") else made.linear).reset_parameters()


def _seeded(seed: int) -> None:
    """The generator, some numbers after its seed: so that to seed it again is seen."""
    torch.manual_seed(seed)
    torch.rand(5)


@pytest.mark.parametrize("name", [name for name in LARGE if hasattr(torch.nn, name)])
def test_layers_are_where_they_are_to_be(name: str) -> None:
    """Every layer is on the device that is given, or on that of the context."""
    kind = getattr(torch.nn, name)
    with torch.device("meta"):
        made = {"context": kind(**LARGE[name]), "argument": kind(**LARGE[name], device="cpu")}
    made["argument alone"] = kind(**LARGE[name], device="meta")
    found = {how: {t.device.type for t in (*one.parameters(), *one.buffers())} for how, one in made.items()}
    assert found == {"context": {"meta"}, "argument": {"cpu"}, "argument alone": {"meta"}}


DRAWN: dict[str, Callable[[torch.nn.Module], None]] = {"made": lambda made: None, "reset": _anew}


@pytest.mark.parametrize("when", DRAWN)
@pytest.mark.parametrize("name", [name for name in PARAMETERS if hasattr(torch.nn, name)])
def test_layers_are_drawn_as_layers_are(name: str, when: str, seed: int) -> None:
    """Weights and biases are uniform within 1 / sqrt(features), as those of Linear, and no two are drawn alike."""
    _seeded(seed)
    made = getattr(torch.nn, name)(**LARGE[name])
    DRAWN[when](made)
    layers = [layer for layer in made.modules() if isinstance(layer, torch.nn.Linear)]
    assert sum(len([*layer.parameters()]) for layer in layers) == len([*made.parameters()])
    if when == "made":  # by no other draws than the layers' own
        state = torch.get_rng_state()
        _seeded(seed)
        alike = [torch.nn.Linear(layer.in_features, layer.out_features, layer.bias is not None) for layer in layers]
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(a, b) for one, other in zip(layers, alike, strict=True) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    for layer in layers:
        bound = 1 / math.sqrt(layer.in_features)
        for numbers in (p.detach().flatten() / bound for p in layer.parameters()):
            n = len(numbers)
            assert numbers.abs().max() <= 1 + 2**-22
            assert numbers.abs().max() > 1 - 16 / n, f"{layer}: not one of {n} numbers is near the bound"
            for power, mean, variance in ((1, 0, 1 / 3), (2, 1 / 3, 4 / 45)):
                found = float((numbers**power).mean())
                assert abs(found - mean) < 6 * math.sqrt(variance / n), f"{layer}: the mean of powers {power} is {found}, not {mean}"
            assert n - len(numbers.unique()) < 8 + n**2 / 2**24, f"{layer}: numbers are drawn twice"  # they have 24 bits


# -- what adaptive softmax tells of itself ------------------------------------------------------------------------

SIZES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one_cluster": (
        {"in_features": 6, "n_classes": 9, "cutoffs": [4]},
        {"cutoffs": [4, 9], "shortlist_size": 4, "n_clusters": 1, "head_size": 5, "div_value": 4.0, "head_bias": False},
    ),
    "clusters": (
        {"in_features": 6, "n_classes": 20, "cutoffs": (2, 5, 9, 14), "div_value": 1.5, "head_bias": True},
        {"cutoffs": [2, 5, 9, 14, 20], "shortlist_size": 2, "n_clusters": 4, "head_size": 6, "div_value": 1.5, "head_bias": True},
    ),
}
"""Arguments, and the public attributes beside in_features and n_classes."""


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("name", SIZES)
def test_adaptive_softmax_tells_its_sizes(name: str, kind: type) -> None:
    """The attributes are of their values and types whatever is called, and the caller's cutoffs stay the caller's."""
    given, told = SIZES[name]
    cutoffs = kind(given["cutoffs"])
    made = torch.nn.AdaptiveLogSoftmaxWithLoss(**{**given, "cutoffs": cutoffs})
    want = {"in_features": given["in_features"], "n_classes": given["n_classes"], **told}
    x = torch.randn(5, given["in_features"], generator=torch.Generator().manual_seed(0))
    for call in (lambda: None, lambda: made(x, torch.arange(5)), lambda: made.log_prob(x), lambda: made.predict(x), made.reset_parameters):
        call()
        assert {n: (type(v), v) for n in want for v in [getattr(made, n)]} == {n: (type(v), v) for n, v in want.items()}
        assert cutoffs == kind(given["cutoffs"]), f"the caller's cutoffs are {cutoffs}"
    assert len(made.tail) == told["n_clusters"]
    assert made.head.out_features == told["head_size"]
    if isinstance(cutoffs, list):
        cutoffs.append(-1)
        assert made.cutoffs == told["cutoffs"], "the module shares the caller's cutoffs"


@pytest.mark.parametrize("method", ["log_prob", "predict"])
@pytest.mark.parametrize("on", [True, False])
def test_adaptive_softmax_leaves_the_process_alone(method: str, on: bool) -> None:
    """Its other methods draw no random number, and change no mode, arguments or parameters."""
    made = torch.nn.AdaptiveLogSoftmaxWithLoss(6, 9, [4])
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    watched = {"input": x, **dict(made.named_parameters())}
    bits = {name: (t._version, t.detach().clone()) for name, t in watched.items()}
    with torch.set_grad_enabled(on):
        before = {name: read() for name, read in PROCESS.items()}
        getattr(made, method)(x)
        changed = [name for name, read in PROCESS.items() if read() != before[name]]
        assert not changed, f"{method} changes {changed}"
    assert not (written := [name for name, t in watched.items() if t._version != bits[name][0] or not same_bits(t, bits[name][1])]), f"{method} writes to {written}"


@pytest.mark.skipif(not hasattr(torch.nn, "LinearCrossEntropyLoss"), reason="this torch has only the function")
@pytest.mark.parametrize("features", [(), (2,), (2, 3)], ids=str)
def test_linear_cross_entropy_tells_its_sizes(features: tuple[int, ...]) -> None:
    """They are what was given, and the layer has a row for each class and place."""
    made = torch.nn.LinearCrossEntropyLoss(4, 5, out_features=features)
    assert (made.num_classes, made.out_features, type(made.out_features)) == (5, features, tuple)
    assert (made.linear.in_features, made.linear.out_features) == (4, 5 * math.prod(features))


# -- what it offers beside its loss -------------------------------------------------------------------------------

FEATURES, CLASSES, CUTOFFS, ROWS_DRAWN = 8, 11, [3, 7], 24
BEST = {"in_the_head": -12.0, "in_a_cluster": 12.0, "anywhere": 1.5}
"""Where the best classes of all rows are, and what is added to the clusters' logits to have them there."""


def _truth(format: Format, arguments: dict[str, Any]) -> Truth:
    row = ROWS["AdaptiveLogSoftmaxWithLoss"]
    drawn = Drawn(arguments, {"cutoffs": CUTOFFS})
    return Truth(row, row.plain(row.forms[0]), drawn, format, "typical", reference.adaptive_log_softmax_with_loss.definition)


def _of_every_class(format: Format, drawn: dict[str, Any]) -> Budget:
    """The loss of each row with each class as its target, which is what log_prob is short of 0."""
    every = {**drawn, "input": np.repeat(drawn["input"], CLASSES, 0), "target": np.tile(np.arange(CLASSES), ROWS_DRAWN)}
    return _truth(format, every).value("none")


def _draw(best: str, format: Format, seed: int) -> tuple[torch.nn.Module, dict[str, Any]]:
    """A module, and the arguments that the definition takes for its parameters and an input."""
    rng = np.random.default_rng(seed_of(best, seed))
    made = torch.nn.AdaptiveLogSoftmaxWithLoss(FEATURES, CLASSES, CUTOFFS, div_value=2.0, head_bias=True, dtype=getattr(torch, format.name))

    def fill(parameter: torch.nn.Parameter, offset: Any = 0.0) -> FloatArray:
        numbers = format.round(0.25 * rng.standard_normal(parameter.shape) + offset)  # no confident class
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(numbers))
        return numbers

    offset = np.where(np.arange(made.head_size) < made.shortlist_size, 0.0, BEST[best])
    return made, {
        "input": format.round(rng.standard_normal((ROWS_DRAWN, FEATURES))),
        "head_weight": fill(made.head.weight),
        "head_bias": fill(made.head.bias, offset),
        "tail_weights": [[fill(layer.weight) for layer in tail] for tail in made.tail],
    }


@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda format: format.name)
def test_log_prob_of_classes_far_out(format: Format, seed: int) -> None:
    """Probabilities that are no numbers have logarithms that are; next to a sure class, `log-of-sum` is what is known."""
    made, drawn = _draw("anywhere", format, seed)
    drawn["input"] = format.round(256 * drawn["input"])
    budget = _of_every_class(format, drawn)
    far = np.asarray(budget.want > 1)
    assert (budget.want > -np.log(FORMATS["float32"].step)).any()
    got = -array(made.log_prob(tensor(drawn["input"], format, "cpu"))).reshape(-1)
    assert not (problem := compare(got[far], Budget(budget.want[far], budget.allowed[far]), format).problem), problem


@pytest.mark.parametrize("best", BEST)
def test_log_prob_and_predict_of_few_rows(best: str, seed: int) -> None:
    """Of one row, two or none they are those of the same rows among others, with as many axes."""
    made, drawn = _draw(best, FORMATS["float64"], seed)
    x = tensor(drawn["input"], FORMATS["float64"], "cpu")
    every, predicted = made.log_prob(x), made.predict(x)
    for few in (slice(0, 1), slice(5, 6), slice(2, 4), slice(0, 0)):
        torch.testing.assert_close(made.log_prob(x[few]), every[few], rtol=1e-14, atol=0)
        assert torch.equal(made.predict(x[few]), predicted[few])


def test_log_prob_has_one_derivative(seed: int) -> None:
    """Forward mode along a direction is reverse mode: each is held to the other, in the input and every parameter."""
    made, drawn = _draw("anywhere", FORMATS["float64"], seed)
    rng = torch.Generator().manual_seed(seed)
    at = {"input": tensor(drawn["input"], FORMATS["float64"], "cpu"), **{n: p.detach() for n, p in made.named_parameters()}}
    along = {name: torch.randn(t.shape, generator=rng, dtype=t.dtype) for name, t in at.items()}

    def log_prob(at: dict[str, torch.Tensor]) -> torch.Tensor:
        state = {name: t for name, t in at.items() if name != "input"}
        return torch.func.functional_call(_Asked(made), {f"made.{name}": t for name, t in state.items()}, (at["input"],))

    tangent = torch.func.jvp(log_prob, (at,), (along,))[1]
    cotangent = torch.randn(tangent.shape, generator=rng, dtype=tangent.dtype)
    (pulled,) = torch.func.vjp(log_prob, at)[1](cotangent)
    for name, t in at.items():
        alone = torch.func.jvp(lambda one, name=name: log_prob({**at, name: one}), (t,), (along[name],))[1]
        torch.testing.assert_close((cotangent * alone).sum(), (pulled[name] * along[name]).sum(), rtol=1e-10, atol=1e-10, msg=name)
    torch.testing.assert_close((cotangent * tangent).sum(), torch.stack([(pulled[n] * along[n]).sum() for n in at]).sum(), rtol=1e-10, atol=1e-10)


class _Asked(torch.nn.Module):
    """Its `log_prob` as a module's call."""

    def __init__(self, made: torch.nn.Module) -> None:
        super().__init__()
        self.made = made

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Of the input."""
        return self.made.log_prob(input)  # type: ignore[no-any-return, operator]


@pytest.mark.parametrize("best", BEST)
@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda format: format.name)
def test_log_prob_and_predict_are_right(best: str, format: Format, seed: int) -> None:
    """Every class has its log-probability, with its gradients, and the class predicted has the largest."""
    made, drawn = _draw(best, format, seed)
    budget = _of_every_class(format, drawn)
    truth = -np.asarray(budget.want, np.float64).reshape(ROWS_DRAWN, CLASSES)
    there = truth.argmax(1) < made.shortlist_size
    assert {"in_the_head": there.all(), "in_a_cluster": not there.any(), "anywhere": 0 < there.sum() < ROWS_DRAWN}[best]

    x = tensor(drawn["input"], format, "cpu").requires_grad_()
    log_prob = made.log_prob(x)
    assert log_prob.dtype == x.dtype
    assert not (problem := compare(-array(log_prob).reshape(-1), budget, format).problem), problem

    predicted = made.predict(x)
    assert (predicted.dtype, predicted.shape, predicted.requires_grad) == (torch.int64, (ROWS_DRAWN,), False)
    short = truth.max(1) - np.take_along_axis(truth, predicted.numpy()[:, None], 1)[:, 0]
    allowed = SLACK * np.asarray(budget.allowed, np.float64).reshape(ROWS_DRAWN, CLASSES).max(1)
    assert (short <= allowed).all(), f"the classes predicted are less probable than others by {short}"

    target = np.arange(ROWS_DRAWN) % CLASSES
    cotangent = format.round(np.random.default_rng(seed).standard_normal(ROWS_DRAWN))
    log_prob.gather(1, torch.from_numpy(target)[:, None])[:, 0].backward(tensor(-cotangent, format, "cpu"))
    one = _truth(format, {**drawn, "target": target})
    budgets = one.gradients("none", cotangent.astype(one.loss.value.dtype))
    found = {"input": x.grad, "head_weight": made.head.weight.grad, "head_bias": made.head.bias.grad}
    found |= {f"tail_weights.{i}.{j}": layer.weight.grad for i, tail in enumerate(made.tail) for j, layer in enumerate(tail)}
    for name, gradient in found.items():
        assert gradient is not None, f"{name} has no gradient"
        assert not (problem := compare(array(gradient), budgets[name], format).problem), f"{name} {problem}"
