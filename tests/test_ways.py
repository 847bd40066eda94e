"""Is a loss right the other ways that its constructor offers? In chunks, by another distance, in other sizes.

What the catalog does not vary, as it is not a number, or too far from the others: how linear cross entropy is chunked,
the distance of a triplet loss, margins and scales out of the ordinary, the sizes of the layers of the adaptive softmax.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from packaging.version import Version

import reference
from reference.accuracy import Truth, compare
from reference.arithmetic import FloatArray, sign
from reference.catalog import ROWS, Variant
from reference.formats import FORMATS, Format
from reference.inputs import Drawn, draw, regimes, seed_of

from . import habits
from .accelerator_habits import repeats
from .calls import same_bits
from .cases import Case
from .departures import log_of_sum
from .divergence import departed, in_release
from .exact import finite
from .habits import Habit
from .judge import Judge
from .options import devices
from .subject import array, call_function, call_module, differentiable, has_module, module, tensor, tensors
from .transformed import elsewhere

F = torch.nn.functional


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The run's."""
    return int(request.config.getoption("--seed"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On each device; chunks and other options as cases of it."""
    here = devices(metafunc.config)
    if "at" in metafunc.fixturenames:
        make = _in_chunks if "way" in metafunc.fixturenames else _others
        metafunc.parametrize(("way", "at") if make is _in_chunks else ("at", "scale"), [each for device in here for each in make(device)])
    elif "device" in metafunc.fixturenames:
        metafunc.parametrize("device", here)


def judge_gradients(judge: Judge, at: Case, value: torch.Tensor, given: dict[str, Any]) -> None:
    """Hold a value, and its gradients for a random cotangent, to the truth of a case."""
    assert value.dtype == getattr(torch, at.format.name), f"the result has dtype {value.dtype}"
    cotangent = at.cotangent(tuple(value.shape))
    value.backward(tensor(cotangent, at.format, at.device))
    wide = cotangent.astype(at.truth.loss.value.dtype)
    judge.value(at, array(value))
    judge.gradients(at, {name: array(t.grad) for name, t in given.items() if t.requires_grad}, wide)


# -- linear cross entropy in chunks -----------------------------------------------------------------------------

CHUNKS: dict[str, dict[str, Any]] = {
    "auto": {},
    "one_by_one": {"batch_chunk_size": 1},
    "uneven": {"batch_chunk_size": 4},
    "one_chunk": {"batch_chunk_size": 64},
    "accurate": {"batch_chunk_size": 2, "acc_policy": "accurate"},
    **({"balanced": {"batch_chunk_size": 2, "acc_policy": "balanced"}} if in_release("==2.13.*", torch.__version__) else {}),
    "compact": {"batch_chunk_size": 2, "acc_policy": "compact"},
    "by_aspect": {"chunking_method": "aspect_ratio:3"},
    "retained": {"batch_chunk_size": 2, "allow_retain_graph": True},
}


def chunkable(variant: Variant) -> bool:
    """Whether the chunked path takes it."""
    return variant.options["label_smoothing"] == 0 and variant.choices["target"].label != "probabilities" and "d1" not in variant.form.axes


def _in_chunks(device: str) -> Iterator[Any]:
    """Each way of chunking: every variant that it takes, and every regime; dtypes and reductions in turn."""
    row = ROWS["LinearCrossEntropyLoss"]
    able = [v for v in row.variants() if v.form.name == "batch" and chunkable(v)]
    alone = [v for v in row.few() if v.form.name == "unbatched" and chunkable(v)]
    turns = itertools.cycle(itertools.product(FORMATS.values(), row.reductions))
    for start, way in enumerate(CHUNKS):
        every = dict.fromkeys(r for v in able for r in regimes(row, v) if finite(r) and r not in ("typical", "empty"))
        fit = {r: [v for v in able if r in regimes(row, v)] for r in every}
        calls = [(v, "typical") for v in able + alone] + [(v[(start + i) % len(v)], r) for i, (r, v) in enumerate(fit.items())]
        for (variant, regime), (format, reduction) in zip(calls, turns, strict=False):
            at = Case(row, variant, reduction, format, device, regime)
            yield pytest.param(way, at, id=f"{way}-{at.id}")


CHUNKED = (
    Habit(
        "chunked_mean_of_nothing",
        ("*-mean-*-of_nothing",),
        "wrong",
        "every chunk's gradient is divided by the total weight of the batch, 0, ignored rows included: it is NaN where it "
        "is 0 for an ignored row, and where the unchunked path gives 0",
        says="got nan",
    ),
)


def _asked(way: str, at: Case) -> str:
    """The id, and whether rows are ignored and the others have no weight, as some draws of a class or a weight have it."""
    drawn, options = at.truth.drawn.arguments, at.variant.options
    ignored = drawn["target"] == (-100 if options["ignore_index"] is None else options["ignore_index"])
    weight = drawn["weight"][drawn["target"][~ignored]] if "weight" in drawn else ~ignored
    return f"{way}-{at.id}{'-of_nothing' if ignored.any() and not weight.any() else ''}"


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="this torch has no linear cross entropy")
@pytest.mark.filterwarnings("error::UserWarning")  # said where the chunked path is not taken
def test_chunked(way: str, at: Case, judge: Judge, seed: int) -> None:
    """In chunks of any size and policy, value and gradients are those of the definition."""
    at = replace(at, seed=seed)
    options = torch.nn.LinearCrossEntropyOptions(**CHUNKS[way])
    given = tensors(at.truth.drawn, at.format, at.device, differentiable=differentiable(at.row, at.truth.drawn))
    value = F.linear_cross_entropy(**given, **at.variant.options, options=options, reduction=at.reduction)
    problems = []
    try:
        judge_gradients(judge, at, value, given)
    except AssertionError as error:
        problems = [str(error)]
    habits.judge(CHUNKED, _asked(way, at), problems)
    variant = replace(at.variant, options={**at.variant.options, "options": options})
    made = module(at.row, variant, given, at.reduction)(given["input"], given["target"])
    assert torch.equal(made, value) or not torch.isfinite(value).all()


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="this torch has no linear cross entropy")
@pytest.mark.filterwarnings("ignore:linear_cross_entropy. ``options`` ignored:UserWarning")  # `test_warnings` asks for it
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("variant", [v for v in ROWS["LinearCrossEntropyLoss"].few() if not chunkable(v)], ids=lambda v: v.name)
def test_not_chunked(variant: Variant, reduction: str, device: str, judge: Judge, seed: int) -> None:
    """What cannot be chunked is right all the same."""
    at = Case(ROWS["LinearCrossEntropyLoss"], variant, reduction, FORMATS["float32"], device, "typical", seed)
    given = tensors(at.truth.drawn, at.format, at.device, differentiable=differentiable(at.row, at.truth.drawn))
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    judge_gradients(judge, at, F.linear_cross_entropy(**given, **variant.options, options=options, reduction=reduction), given)


def test_entries_match(device: str, seed: int) -> None:
    """Every known departure of the chunks is about a case."""
    asked = (param.values for param in _in_chunks(device))
    assert not habits.unmatched(CHUNKED, (_asked(way, replace(at, seed=seed)) for way, at in asked))


# -- numbers in place of tensors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_one_variance_for_all(reduction: str) -> None:
    """A variance that is a float is that of every element; a negative one is refused."""
    x, y = torch.tensor([[0.5, -1.0, 2.0]], requires_grad=True), torch.tensor([[1.0, 0.25, -0.5]])
    for variance, eps in ((0.5, 1e-6), (0.125, 0.25)):
        one, each = (F.gaussian_nll_loss(x, y, var, eps=eps, reduction=reduction) for var in (variance, torch.full_like(y, variance)))
        assert torch.equal(one, each)
        assert torch.equal(torch.nn.GaussianNLLLoss(eps=eps, reduction=reduction)(x, y, variance), each)
        assert torch.equal(*(torch.autograd.grad(value.sum(), x)[0] for value in (one, each)))
    with pytest.raises(ValueError, match="var has negative entry/entries"):
        F.gaussian_nll_loss(x, y, -1.0, reduction=reduction)


@pytest.mark.parametrize("zero_infinity", [False, True], ids=["", "zero_infinity"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_lengths_of_numbers(reduction: str, zero_infinity: bool) -> None:
    """The lengths of CTC may be tuples of numbers, and these and targets any integers, wherever tensors are made by default; also of a target that does not fit."""
    x = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1).requires_grad_()
    targets, padded = torch.tensor([1, 2, 2, 3, 1]), torch.tensor([[1, 2, 2], [3, 1, 0]])
    kinds = [tuple, list, lambda length: torch.tensor(length, dtype=torch.int32)]
    for lengths, given in itertools.product((((6, 4), (3, 2)), ((6, 1), (3, 2)), ((5, 5), (3, 2))), (targets, padded)):
        for make in (F.ctc_loss, lambda *given, **how: torch.nn.CTCLoss(**how)(*given)):
            loss = functools.partial(make, reduction=reduction, zero_infinity=zero_infinity)
            wanted = loss(x, given, *map(torch.tensor, lengths))
            for kind, dtype, default in itertools.product(kinds, (torch.int64, torch.int32), ("cpu", "meta")):
                numbers = [*map(kind, lengths)]
                with torch.device(default):
                    got = loss(x, given.to(dtype), *numbers)
                assert same_bits(got, wanted)
                assert same_bits(*(torch.autograd.grad(value.sum(), x, retain_graph=True)[0] for value in (got, wanted)))


# -- triplets by another distance -------------------------------------------------------------------------------


def _squared(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    d = x - y
    return (d**2).sum(-1), 2 * d, -2 * d


def _lopsided(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    d = x - 2 * y
    return (d**2).sum(-1), 2 * d, -4 * d


def _taxicab(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    d = x - y
    return abs(d).sum(-1), sign(d), -sign(d)


DISTANCES: dict[str, tuple[Any, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]] = {
    "squared": (_squared, lambda x, y: (x - y).square().sum(-1)),
    "lopsided": (_lopsided, lambda x, y: (x - 2 * y).square().sum(-1)),
    "taxicab": (_taxicab, lambda x, y: (x - y).abs().sum(-1)),
    "p3": (reference.pairwise_distance(3.0), torch.nn.PairwiseDistance(3.0)),
    "default": (None, None),
}


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda format: format.name)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("swap", [False, True], ids=["", "swap"])
def test_triplets_by_distance(name: str, format: Format, reduction: str, swap: bool, device: str, seed: int) -> None:
    """A triplet loss of any distance is that of the definition, with the same distance and its derivatives."""
    own, theirs = DISTANCES[name]
    row = ROWS["TripletMarginWithDistanceLoss"]
    variant = next(v for v in row.variants() if v.options["swap"] == swap and v.form.name == "batch")
    drawn = draw(row, variant, "typical", format, seed)
    definition = functools.partial(reference.triplet_margin_with_distance_loss.definition, distance_function=own)
    truth = Truth(row, variant, drawn, format, "typical", definition)
    given = tensors(drawn, format, device, differentiable=differentiable(row, drawn))
    how = {**variant.options, "distance_function": theirs, "reduction": reduction}
    value = F.triplet_margin_with_distance_loss(**given, **how)
    assert torch.equal(torch.nn.TripletMarginWithDistanceLoss(**how)(*given.values()), value)
    _held(truth, reduction, value, given)


@pytest.mark.parametrize("swap", [False, True], ids=["", "swap"])
def test_a_distance_in_integers(swap: bool) -> None:
    """As how many features differ: the margin stays the number that it is."""
    anchor, positive, negative = (torch.tensor(rows) for rows in ([[0, 1, 2], [0, 0, 0]], [[0, 1, 1], [1, 1, 1]], [[0, 1, 0], [1, 2, 0]]))
    given = {"distance_function": lambda x, y: (x != y).sum(-1), "margin": 0.75, "swap": swap, "reduction": "none"}
    for way in (functools.partial(F.triplet_margin_with_distance_loss, **given), torch.nn.TripletMarginWithDistanceLoss(**given)):
        assert way(anchor, positive, negative).tolist() == [0.75, 1.75]  # 1 - 1 and 3 - 2 more: to the negative it is 1 and 2, from either


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("swap", [False, True], ids=["", "swap"])
@pytest.mark.parametrize("how", ["function", "module"])
@pytest.mark.parametrize("learned", [False, True], ids=["constant", ""])
def test_a_distance_is_called_for_each_pair(how: str, swap: bool, reduction: str, learned: bool) -> None:
    """Of anchor and positive, of anchor and negative, with `swap` of positive and negative, and no more; what it gives stays its own."""
    called: list[tuple[torch.Tensor, ...]] = []
    gave: list[tuple[torch.Tensor, torch.Tensor]] = []

    def distance(*given: torch.Tensor) -> torch.Tensor:
        called.append(given)
        found = (given[0] - 2 * given[1]).square().sum(-1)
        gave.append((found, found.detach().clone()))
        return found

    anchor, positive, negative = (torch.randn(3, 4, generator=torch.Generator().manual_seed(i), requires_grad=learned) for i in range(3))
    options = {"distance_function": distance, "swap": swap, "reduction": reduction}
    if how == "function":
        value = F.triplet_margin_with_distance_loss(anchor, positive, negative, **options)
    else:
        value = torch.nn.TripletMarginWithDistanceLoss(**options)(anchor, positive, negative)
    if learned:
        value.sum().backward()
    assert all(found._version == 0 and torch.equal(found, before) for found, before in gave), "a distance is written to"
    pairs = [(anchor, positive), (anchor, negative), *([(positive, negative)] if swap else [])]
    assert sorted(tuple(map(id, pair)) for pair in called) == sorted(tuple(map(id, pair)) for pair in pairs)


@pytest.mark.parametrize("how", [F.triplet_margin_with_distance_loss, torch.nn.TripletMarginWithDistanceLoss], ids=["function", "module"])
def test_no_distance_is_called_where_the_reduction_is_refused(how: Callable[..., Any]) -> None:
    """It may count its calls, or draw random numbers."""
    three, called = [torch.ones(3, 4)] * 3, []
    options = {"distance_function": lambda *given: called.append(given) or given[0].sum(-1), "reduction": "average"}
    with pytest.raises(ValueError, match="average is not a valid value for reduction"):
        how(**options)(*three) if isinstance(how, type) else how(*three, **options)
    assert not called


# -- other values of the options ----------------------------------------------------------------------------------

TINY = 2.0**-20
FAR: list[tuple[str, dict[str, Any], float]] = [
    ("HuberLoss", {"delta": TINY}, TINY),
    ("SmoothL1Loss", {"beta": TINY}, TINY),
    ("SmoothL1Loss", {"beta": TINY}, 1.0),
    ("HuberLoss", {"delta": 1e6}, 2.0**20),
    ("SmoothL1Loss", {"beta": 1e6}, 2.0**20),
    ("GaussianNLLLoss", {"eps": TINY, "full": True}, TINY),
    ("PoissonNLLLoss", {"log_input": False, "eps": TINY}, TINY),
    ("PoissonNLLLoss", {"log_input": False, "eps": 0.0}, TINY),
]
"""Far from what is usual: (loss, options, what the real arguments are multiplied by)."""

USED: dict[str, list[dict[str, Any]]] = {
    "HuberLoss": [{"delta": delta} for delta in (0.1, 1.345, 5.0, 10.0)],
    "SmoothL1Loss": [{"beta": beta} for beta in (1 / 9, 0.5, 2.0, 10.0)],
    "GaussianNLLLoss": [{"eps": eps} for eps in (1e-3, 1e-8)],
    "PoissonNLLLoss": [{"log_input": False, "eps": eps} for eps in (1e-3, 1e-6, 1e-12)],
    "NLLLoss": [{"ignore_index": index} for index in (2, -2, 1000)],
    "CrossEntropyLoss": [
        *({"ignore_index": index} for index in (2, -2, 1000)),
        *({"label_smoothing": smoothing} for smoothing in (0.01, 0.05, 0.2, 0.3, 0.5, 0.9)),
    ],
    "LinearCrossEntropyLoss": [
        *({"ignore_index": index} for index in (-100, 2, 1000)),
        *({"label_smoothing": smoothing} for smoothing in (0.05, 0.2, 0.5, 0.9)),
    ],
    "MultiMarginLoss": [{"margin": margin, "p": p} for margin in (0.1, 0.5, 2.0, 1e3) for p in (1, 2)],
    "HingeEmbeddingLoss": [{"margin": margin} for margin in (0.0, 0.2, 0.5, 2.0, 1e3)],
    "MarginRankingLoss": [{"margin": margin} for margin in (0.1, 0.3, 1.0, 1e3)],
    "CosineEmbeddingLoss": [{"margin": margin} for margin in (0.1, 0.3, 1.0, -1.0)],
    "TripletMarginLoss": [
        *({"margin": margin, "swap": swap} for margin, swap in ((0.2, False), (0.3, True), (0.5, False), (2.0, True), (1e3, False))),
        *({"p": p, "swap": swap} for p in (1.5, 6.0, math.inf) for swap in (False, True)),
        *({"p": math.inf, "eps": 0.125, "swap": swap} for swap in (False, True)),
        *({"eps": eps} for eps in (1e-3, 1e-8)),
    ],
    "TripletMarginWithDistanceLoss": [{"margin": margin, "swap": swap} for margin, swap in ((0.2, False), (0.3, True), (2.0, False))],
}
"""What people pass: values that the catalog, which combines each of its own with all others, has no room for."""


def _others(device: str) -> Iterator[Any]:
    """Each of these with every choice of arguments; dtypes and reductions in turn."""
    every = [*FAR, *((loss, options, 1.0) for loss, several in USED.items() for options in several)]
    for i, (loss, options, scale) in enumerate(every):
        row = ROWS[loss]
        for j, variant in enumerate(row.others(**options)):
            reductions = row.reductions if j == 0 else row.reductions[(i + j) % len(row.reductions) :][:1]
            for k, reduction in enumerate(reductions):
                # in half precision, squares vanish that far from what is usual, and maxima tie
                format = FORMATS[("float32", "float64")[(i + j + k) % 2]]
                at = Case(row, variant, reduction, format, device, "typical")
                yield pytest.param(at, scale, id=f"{at.id}{'' if scale == 1 else f'-times_{scale}'}")


def test_other_options(at: Case, scale: float, subject: Any, judge: Judge, seed: int) -> None:
    """Whatever its value, an option means what it does elsewhere."""
    row, variant = at.row, at.variant
    if not hasattr(subject, row.function):
        pytest.skip(f"{subject.__name__} has no {row.function}")
    drawn = draw(row, variant, at.regime, at.format, seed)
    real = {a.name for a in row.arguments if variant.choices[a.name].domain in ("real", "positive", "variance", "count")}
    drawn = Drawn({n: a * scale if n in real else a for n, a in drawn.arguments.items()}, drawn.options)
    at = elsewhere(at, Truth(row, variant, drawn, at.format, at.regime, getattr(reference, row.function).definition))
    given = tensors(drawn, at.format, at.device, differentiable=differentiable(row, drawn))
    value = call_function(subject, row, variant, given, at.reduction)
    if subject is F and has_module(row, given):
        assert torch.equal(call_module(row, variant, given, at.reduction), value) or not repeats(at.id)
    judge_gradients(judge, at, value, given)


# -- one variance for all ---------------------------------------------------------------------------------------


@pytest.mark.skipif(Version("2.10") > habits.RELEASE, reason="this torch takes variances as tensors alone")
@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda format: format.name)
@pytest.mark.parametrize("var", [0.3, 2.0])
def test_a_variance_of_one_number(var: float, format: Format, device: str, seed: int) -> None:
    """A Gaussian loss takes a number for its variance: that of all elements."""
    row = ROWS["GaussianNLLLoss"]
    variant = next(v for v in row.variants() if v.options["full"])
    arguments = {**draw(row, variant, "typical", format, seed).arguments, "var": format.round(np.asarray(var))}
    truth = Truth(row, variant, Drawn(arguments, dict(variant.options)), format, "typical", reference.gaussian_nll_loss.definition)
    for reduction in row.reductions:
        given = tensors(truth.drawn, format, device, differentiable=("input", "target"))
        del given["var"]
        value = F.gaussian_nll_loss(**given, var=var, **variant.options, reduction=reduction)
        assert torch.equal(torch.nn.GaussianNLLLoss(**variant.options, reduction=reduction)(*given.values(), var), value)
        _held(truth, reduction, value, given)


# -- adaptive softmax in other sizes ----------------------------------------------------------------------------

SIZES: dict[str, dict[str, Any]] = {
    "one_class_in_the_head": {"in_features": 5, "n_classes": 4, "cutoffs": [1]},
    "one_class_in_the_tail": {"in_features": 8, "n_classes": 10, "cutoffs": [9], "div_value": 1.0},
    "three_clusters": {"in_features": 20, "n_classes": 31, "cutoffs": [4, 9, 17], "div_value": 2.0},
    "three_clusters_with_bias": {"in_features": 27, "n_classes": 18, "cutoffs": [3, 4, 11], "div_value": 3.0, "head_bias": True},
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda format: format.name)
def test_adaptive_softmax_in_sizes(name: str, format: Format, device: str, seed: int) -> None:
    """Adaptive softmax of any sizes, as its constructor makes it, is the definition at its own parameters."""
    size = SIZES[name]
    rng, dtype = np.random.default_rng(seed_of(name, seed)), getattr(torch, format.name)
    made = torch.nn.AdaptiveLogSoftmaxWithLoss(**size, device=device, dtype=dtype)
    input = format.round(rng.standard_normal((24, size["in_features"])))
    target = np.arange(24) % size["n_classes"]
    drawn = Drawn(
        {
            "input": input,
            "target": target,
            "head_weight": _fill(rng, format, made.head.weight),
            "tail_weights": [[_fill(rng, format, layer.weight) for layer in tail] for tail in made.tail],
            **({"head_bias": _fill(rng, format, made.head.bias)} if size.get("head_bias") else {}),
        },
        {"cutoffs": size["cutoffs"]},
    )
    row = ROWS["AdaptiveLogSoftmaxWithLoss"]
    definition = reference.adaptive_log_softmax_with_loss.definition
    truth = departed(Truth(row, row.plain(row.forms[0]), drawn, format, "typical", definition), (log_of_sum,))
    given = {"input": tensor(input, format, device).requires_grad_(), "head_weight": made.head.weight, "head_bias": made.head.bias}
    given |= {f"tail_weights.{i}.{j}": layer.weight for i, tail in enumerate(made.tail) for j, layer in enumerate(tail)}
    output, loss = made(given["input"], torch.from_numpy(target).to(device))
    assert not compare(-array(output), truth.value("none"), format).problem
    _held(truth, "mean", loss, given)


def _fill(rng: np.random.Generator, format: Format, parameter: torch.nn.Parameter) -> FloatArray:
    """Numbers for a parameter of the module, which it is given."""
    numbers = format.round(0.5 * rng.standard_normal(parameter.shape))
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(numbers))
    return numbers


def _held(truth: Truth, reduction: str, value: torch.Tensor, given: dict[str, Any]) -> None:
    """Hold a value, and its gradients for a random cotangent, to the truth."""
    format, wide = truth.format, truth.loss.value.dtype
    assert value.dtype == getattr(torch, format.name), f"the result has dtype {value.dtype}"
    cotangent = format.round(np.random.default_rng(seed_of(reduction)).standard_normal(tuple(value.shape)))
    value.backward(tensor(cotangent, format, value.device.type))
    problems = {"value": compare(array(value), truth.value(reduction), format).problem}
    budgets = truth.gradients(reduction, cotangent.astype(wide))
    for name, budget in ((name, budgets[name]) for name in given if name in budgets and given[name].requires_grad):
        problems[name] = compare(array(given[name].grad), budget, format).problem
    assert not any(problems.values()), problems
