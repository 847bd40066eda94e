"""Can the suite fail? What its checker rejects, what its inputs are, and what its tests say to a planted fault."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from reference.accuracy import Budget, K, compare, ratios
from reference.arithmetic import FloatArray
from reference.catalog import CATALOG, ROWS, Row, Variant
from reference.formats import FORMATS, Format
from reference.inputs import DOMAINS, Drawn, draw, regimes
from reference.loss import flatten

from . import test_gradient as gradient_question
from . import test_value as value_question
from .cases import Case, matrix
from .exact import finite
from .isolated import Isolation
from .judge import Judge
from .report import shows
from .subject import differentiable, function

pytestmark = pytest.mark.self_test

FLOAT32 = FORMATS["float32"]
every_row = pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.name)
every_format = pytest.mark.parametrize("format", FORMATS.values(), ids=lambda format: format.name)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The run's."""
    return int(request.config.getoption("--seed"))


def case_of(row: Row, reduction: str, seed: int) -> Case:
    """A case of a row at its defaults."""
    return Case(row, row.plain(row.forms[0]), reduction, FLOAT32, "cpu", "typical", seed)


def calls(row: Row) -> list[tuple[Variant, str]]:
    """Variants in which every choice occurs, in `typical`; and each regime, by one variant after the other."""
    few = row.few()
    every = dict.fromkeys(r for v in few for r in regimes(row, v) if r != "typical")
    able = [[v for v in few if regime in regimes(row, v)] for regime in every]
    return [(v, "typical") for v in few] + [(v[i % len(v)], r) for i, (r, v) in enumerate(zip(every, able, strict=True))]


# -- the checker ------------------------------------------------------------------------------------------------


def _altered(array: FloatArray, value: float) -> FloatArray:
    array = array.copy()
    array.flat[array.size // 2] = value
    return array


WRONG: dict[str, Callable[[FloatArray], FloatArray]] = {
    "sign flipped": lambda a: -a,
    "one sign flipped": lambda a: _altered(a, -a.flat[a.size // 2]),
    "one element wrong": lambda a: _altered(a, a.flat[a.size // 2] * (1 + 1e-5)),
    "elements in another order": lambda a: a[::-1],
    "transposed": lambda a: a.T,
    "NaN for a number": lambda a: _altered(a, np.nan),
    "inf for a number": lambda a: _altered(a, np.inf),
    "all zero": np.zeros_like,
    "relative error of 1e-6": lambda a: a * (1 + 1e-6),
    "an axis more": lambda a: a[None],
    "an axis less": np.ravel,
    "summed": np.sum,
    "one element left out": lambda a: a[1:],
}


@pytest.mark.parametrize("alter", WRONG.values(), ids=lambda f: next(n for n, g in WRONG.items() if g is f).replace(" ", "_"))
def test_checker_rejects(alter: Callable[[FloatArray], FloatArray], seed: int) -> None:
    """It accepts the truth rounded to the format, and rejects it altered, of the value and of a gradient."""
    truth = case_of(ROWS["SoftMarginLoss"], "none", seed).truth
    budgets = [truth.value("none"), truth.gradients("none", np.ones(truth.loss.value.shape))["input"]]
    for budget in budgets:
        right = FLOAT32.round(budget.want)
        assert not compare(right, budget, FLOAT32).problem
        assert compare(np.asarray(alter(right)), budget, FLOAT32).problem


ORDINARY = {np.nan: "nan", np.inf: "inf", -np.inf: "neginf", 0.0: "zero", 1.0: "one", -1.0: "minus_one"}


@pytest.mark.parametrize("want", ORDINARY, ids=ORDINARY.get)
@pytest.mark.parametrize("got", ORDINARY, ids=ORDINARY.get)
def test_checker_on_special_values(got: float, want: float) -> None:
    """Infinities and NaN have to agree in kind and sign, whatever the budget."""
    for allowed in (0.0, 1e-6):
        budget = Budget(np.array([want]), np.array([allowed]))
        same = got == want or (np.isnan(got) and np.isnan(want))
        assert (compare(np.array([got]), budget, FLOAT32).problem == "") == same


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("alter", [lambda a: np.full_like(a, np.nan), lambda a: -a, lambda a: a * 1.001], ids=["nan", "negative", "off"])
@pytest.mark.parametrize(
    "asked",
    ["MSELoss near", "L1Loss near", "HuberLoss offset", "HuberLoss inf_input", "L1Loss neginf_target", "BCELoss near_boundary"],
)
def test_every_element_is_claimed(asked: str, alter: Callable[[FloatArray], FloatArray], reduction: str, seed: int) -> None:
    """Beside infinite arguments, and where they nearly cancel, no element of a gradient may be another."""
    loss, regime = asked.split()
    row = ROWS[loss]
    variant = next(v for v in row.variants() if regime in regimes(row, v))
    truth = Case(row, variant, reduction, FLOAT32, "cpu", regime, seed).truth
    name, budget = next(iter(truth.gradients(reduction, np.ones(truth.loss.reduce(reduction).shape)).items()))
    right = FLOAT32.round(budget.want)
    wrong = FLOAT32.round(alter(right))
    with np.errstate(invalid="ignore"):
        changed = (wrong != right) & (abs(right) > FLOAT32.tiny)
    assert changed.any()
    assert (ratios(wrong, budget, FLOAT32)[0][changed] > 1).all(), f"{name} of {truth.variant.name}"


@every_format
def test_checker_at_the_ends(format: Format) -> None:
    """Beyond the largest number infinity of the same sign is right; at it and below, only if the budget reaches it."""

    def problem(got: float, want: Any, allowed: float = 0.0) -> str:
        budget = Budget(np.array([want], dtype=np.longdouble), np.array([allowed]))
        return compare(np.array([got]), budget, format).problem

    beyond = np.longdouble(format.max) * 2
    assert not problem(np.inf, beyond)
    assert problem(-np.inf, beyond)
    assert problem(np.nan, beyond)
    assert problem(np.inf, format.max)
    assert not problem(np.inf, format.max, format.max * format.u * 2)
    assert problem(0.0, format.step * 2, format.step)
    assert not problem(0.0, format.step, format.step)


def test_checker_says_it_all() -> None:
    """A problem says how many elements are wrong and, of the worst, its index, values (in hex too), error, budget."""
    budget = Budget(np.array([[1.0, 2.0], [3.0, 4.0]]), np.full((2, 2), 0.25))
    verdict = compare(np.array([[1.0, 2.5], [3.0, 8.0]]), budget, FLOAT32)
    assert verdict.problem == (
        "2 of 4 elements wrong; the worst at [1, 1]: got 8.0 (0x1.0000000000000p+3), want 4.0 (0x1.0000000000000p+2); "
        "error 4, allowed 0.25 (16 times the budget, 8.39e+06 ulp)"
    )


PARTS = {"bfloat16": 512, "float16": 4096}  # of so many, each is so small beside the sum that it is rounded away
MANY = [row for row in CATALOG if row.many is not None]


@pytest.mark.parametrize("row", MANY, ids=lambda row: row.name)
def test_checker_at_many_elements(row: Row, seed: int) -> None:
    """Of 10^5 elements an all-zero gradient of the mean, and a sum kept in bfloat16 or float16, are rejected."""
    assert row.many is not None
    case = Case(row, row.plain(row.many), "mean", FLOAT32, "cpu", "typical", seed)
    for budget in case.truth.gradients("mean", np.ones(())).values():
        assert compare(np.zeros_like(budget.want), budget, FLOAT32).problem or not budget.want.any()  # no triplet costs anything
    for narrow in (FORMATS["bfloat16"], FORMATS["float16"]):
        truth = replace(case, format=narrow).truth
        shares = (truth.loss.value * truth.loss.factors("mean")).ravel()
        total = np.zeros(())
        for part in np.array_split(shares, PARTS[narrow.name]):
            total = narrow.round(total + part.sum())
        assert shares.size < PARTS[narrow.name] or compare(total, truth.value("mean"), narrow).problem


# -- the formats ------------------------------------------------------------------------------------------------


def _patterns(dtype: torch.dtype) -> FloatArray:
    """All numbers of a 16-bit format, in order."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype).double().numpy()
    return np.unique(every[np.isfinite(every)])


@every_format
def test_format_is_torchs(format: Format) -> None:
    """Its constants are those of torch.finfo."""
    info = torch.finfo(getattr(torch, format.name))
    assert (format.max, format.tiny, 2 * format.u) == (info.max, info.tiny, info.eps)
    assert format.step == torch.nextafter(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)) or (
        format.digits < 53 and format.step == info.tiny * info.eps
    )


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_rounding_is_exhaustively_right(name: str) -> None:
    """Every number of a 16-bit format, halfway between each two, and a little to either side, round as casts do."""
    format, dtype = FORMATS[name], getattr(torch, name)
    numbers = _patterns(dtype)
    halfway = (numbers[1:] + numbers[:-1]) / 2
    points = np.concatenate([numbers, halfway, np.nextafter(halfway.astype(np.float32), np.float32(np.inf)).astype(float),
                             np.nextafter(halfway.astype(np.float32), np.float32(-np.inf)).astype(float),
                             [2 * format.max, -2 * format.max, format.max * (1 + format.u), np.inf, -np.inf, 0.0, -0.0]])  # fmt: skip
    points = points[np.isinf(points) | (abs(points) <= FLOAT32.max)]
    assert np.array_equal(points.astype(np.float32), points)  # so that no cast rounds twice
    with np.errstate(over="ignore"):
        casts = [torch.from_numpy(points.astype(np.float32)).to(dtype).double().numpy()]
        casts += [points.astype(np.float16).astype(float)] if name == "float16" else []
    for cast in casts:
        assert np.array_equal(format.round(points), cast)
        assert np.array_equal(np.signbit(format.round(points)), np.signbit(cast))


def test_rounding_to_float32(seed: int) -> None:
    """Numbers of every size round to float32 as NumPy casts them, NaN and ties included; float64 stays."""
    rng = np.random.default_rng(seed)
    points = np.ldexp(rng.standard_normal(20_000), rng.integers(-1100, 1023, 20_000))
    singles = points[abs(points) <= FLOAT32.max].astype(np.float32).astype(float)[:1000]
    ties = singles + np.spacing(abs(singles).astype(np.float32)).astype(float) / 2
    points = np.concatenate([points, ties[np.isfinite(ties)], [np.nan, np.inf, -np.inf, -0.0]])
    with np.errstate(over="ignore", under="ignore"):
        cast = points.astype(np.float32).astype(float)
    assert np.array_equal(FLOAT32.round(points), cast, equal_nan=True)
    assert np.array_equal(FORMATS["float64"].round(points), points, equal_nan=True)


# -- the inputs -------------------------------------------------------------------------------------------------


MEANING: dict[str, Callable[[FloatArray], Any]] = {
    "probability": lambda a: (a >= 0) & (a <= 1),
    "distribution": lambda a: (a >= 0) & (a <= 1),
    "log_probability": lambda a: a <= 0,
    "log_probability_last": lambda a: a <= 0,
    "positive": lambda a: a >= 0,
    "variance": lambda a: a >= 0,
    "count": lambda a: a >= 0,
    "weight": lambda a: a >= 0,
    "sign": lambda a: abs(a) == 1,
    "real": np.isfinite,
    "logits": lambda a: a < np.inf,
    "log_rate": np.isfinite,
    "features": np.isfinite,
    "layer": np.isfinite,
}
"""What the numbers of a domain are, unless a regime makes some of them special. `masked` logits are -inf."""


def test_every_domain_has_a_meaning() -> None:
    """A new domain says what its numbers are: here, or by the function that draws several arguments at once."""
    assert set(MEANING) == set(DOMAINS) - {"absent", "alignment", "built"}


@every_row
@every_format
def test_inputs_are_in_their_domain(row: Row, format: Format, seed: int) -> None:
    """Inputs are numbers of the format, in their domains, and finite unless the regime asks for what is not."""
    for variant, regime in calls(row):
        drawn = draw(row, variant, regime, format, seed)
        for name, array in flatten(drawn.arguments).items():
            said = f"{row.name}-{variant.name}-{regime}, {name}: {array}"
            if array.dtype.kind != "f":
                assert array.dtype == np.int64, said
                continue
            assert np.array_equal(format.round(array), array, equal_nan=True), said
            choice = variant.choices[name.partition(".")[0]]
            special = not finite(regime) and regime.partition("_")[2] in (name, "all" if choice.domain == "real" else name)
            assert np.isfinite(array).all() or special or choice.domain.startswith("log_prob") or regime == "masked", said
            if choice.domain in MEANING and not special:
                assert np.all(MEANING[choice.domain](array)), said
            if special and array.size:
                assert not np.isfinite(array).all(), said
                assert np.isfinite(array).any() or array.size < 3, said


@every_row
def test_indices_are_classes(row: Row, seed: int) -> None:
    """Class indices are classes, the last included, or the index that is ignored; labels are classes and then -1."""
    for variant, regime in calls(row):
        domain = variant.choices["target"].domain if "target" in variant.choices else ""
        if domain not in ("index", "ignored", "labels"):
            continue
        arguments = draw(row, variant, regime, FLOAT32, seed).arguments
        target, ignore = arguments["target"], variant.options.get("ignore_index")
        classes = {"one_class": 1, "two_classes": 2}.get(regime, variant.form.axes["C"])
        if domain == "labels":
            assert ((target >= -1) & (target < classes)).all()
            assert (np.sort(target, -1)[..., 1:] != np.sort(target, -1)[..., :-1]).sum() >= (target >= 0).sum() - target[..., 0].size
            continue
        ignored = target == (-100 if ignore is None else ignore)
        assert (((target >= 0) & (target < classes)) | ((domain == "ignored") & ignored)).all()
        if domain == "index" and target.size > 1 and regime != "head":
            assert (target == classes - 1).any()
        if domain == "ignored" and target.size:
            assert ignored.any()


@every_row
@every_format
def test_typical_inputs_spread(row: Row, format: Format, seed: int) -> None:
    """Typical numbers differ from each other, in every row and column, and have both signs where their domain has."""
    for variant in row.few():
        for name, array in flatten(draw(row, variant, "typical", format, seed).arguments).items():
            domain = variant.choices[name.partition(".")[0]].domain
            if array.dtype.kind != "f" or array.size < 8 or domain in ("sign", "count"):
                continue
            said = f"{row.name}-{variant.name}, {name}: {array}"
            assert np.unique(array).size > array.size * (0.25 if format.digits < 24 else 0.99), said
            assert all((np.ptp(array, axis) > 0).all() for axis in range(array.ndim) if array.shape[axis] > 3), said
            signed = domain in ("real", "logits", "features", "layer", "built") and array.size > 30
            assert not signed or array.min() < 0 < array.max(), said


@every_format
def test_regimes_reach_where_they_say(format: Format, seed: int) -> None:
    """Tails go past where exp over- and underflows, tiny has subnormal numbers, huge the largest, zero both zeros."""
    row = ROWS["BCEWithLogitsLoss"]
    at = {r: draw(row, row.few()[0], r, format, seed).arguments["input"] for r in ("tails", "tiny", "huge", "zero", "large", "offset")}
    assert at["tails"].max() > np.log(format.max)
    assert at["tails"].min() < np.log(format.step)
    assert ((abs(at["tiny"]) > 0) & (abs(at["tiny"]) < format.tiny)).any()
    assert {format.max, -format.max} <= set(at["huge"].flat)
    assert {True, False} == set(np.signbit(at["zero"][at["zero"] == 0]))
    assert abs(at["large"]).max() > 1e3
    assert (abs(at["offset"]) > 9e3).all()
    assert (np.sign(at["offset"]) == np.sign(at["offset"][:, :1])).all()
    assert set(np.sign(at["offset"][:, 0])) == {-1, 1}


@every_row
def test_inputs_follow_the_seed(row: Row) -> None:
    """The same seed gives the same inputs, another seed others, and one regime not those of another."""

    def drawn(seed: int, regime: str = "typical") -> list[FloatArray]:
        return list(flatten(draw(row, row.few()[0], regime, FLOAT32, seed).arguments).values())

    assert all(np.array_equal(a, b) for a, b in zip(drawn(1), drawn(1), strict=True))
    assert not np.array_equal(drawn(1)[0], drawn(2)[0])
    assert not np.array_equal(drawn(1)[0], drawn(1, "large" if "large" in regimes(row, row.few()[0]) else "tiny")[0])


# -- the cases --------------------------------------------------------------------------------------------------


def test_ids_are_unique_and_plain() -> None:
    """No two cases have the same id; ids are of [A-Za-z0-9_.-], and the same whatever the seed."""
    first, second = ([case.id for case in matrix(FORMATS, ["cpu"], seed)] for seed in (0, 1))
    assert len(set(first)) == len(first)
    assert [i for i in first if not re.fullmatch(r"[A-Za-z0-9_.-]+", i)] == []
    assert first == second


@every_row
def test_budgets_are_numbers(row: Row, seed: int) -> None:
    """A budget is a number from 0 on; it is finite where the truth is, unless it says that it may overflow."""
    turns = zip(itertools.cycle(row.reductions), itertools.cycle(FORMATS.values()), strict=False)
    for (variant, regime), (reduction, format) in zip(calls(row), turns, strict=False):
        case = Case(row, variant, reduction, format, "cpu", regime, seed)
        value = case.truth.value(reduction)
        assert np.all((case.truth.value(reduction, narrow=True).allowed <= value.allowed) | np.isnan(value.allowed)), case.id
        cotangent = case.cotangent(value.want.shape).astype(value.want.dtype)
        for name, budget in {"value": value, **case.truth.gradients(reduction, cotangent)}.items():
            allowed = np.broadcast_to(budget.allowed, budget.want.shape)[np.isfinite(budget.want)]
            over = np.broadcast_to(budget.may_overflow, budget.want.shape)[np.isfinite(budget.want)]
            assert not np.isnan(allowed).any(), f"{case.id}, {name}"
            assert (allowed >= 0).all(), f"{case.id}, {name}"
            assert (np.isfinite(allowed) | over).all(), f"{case.id}, {name}"


def test_a_gap_just_below_nothing() -> None:
    """A hinge is 0 there, and what the distances are rounded by may lift it, less what it is below 0."""
    row, format = ROWS["TripletMarginLoss"], FORMATS["bfloat16"]
    away = np.array([[5.0], [5.0625], [5.5]])  # where the positive is 4 away, and the margin is 1
    drawn = Drawn({"anchor": away * 0, "positive": away * 0 + 4, "negative": away}, {"eps": 0.0})
    allowed = replace(case_of(row, "none", 0).truth, drawn=drawn, format=format).value("none").allowed
    assert allowed == pytest.approx([0, K * format.u * (4 + 5.0625 + 1) - 0.0625, 0], abs=1e-30)


# -- planted faults ---------------------------------------------------------------------------------------------


class Reversed(torch.autograd.Function):
    """The identity, whose gradient has the wrong sign."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Return x."""
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Negate."""
        return -gradients[0]


class Muted(Reversed):
    """The identity, whose gradient is 0."""

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Forget."""
        return torch.zeros_like(gradients[0])


OFFERED = [row for row in CATALOG if function(torch.nn.functional, row) is not None]
every_offered = pytest.mark.parametrize("row", OFFERED, ids=lambda row: row.name)


def subject_with(row: Row, fault: Callable[..., torch.Tensor]) -> Any:
    """Torch, with a fault planted in one loss."""
    right = function(torch.nn.functional, row)

    def wrong(**arguments: Any) -> torch.Tensor:
        return fault(right, **arguments)

    return SimpleNamespace(**{row.function: wrong, "__name__": "faulty"})


DIFFERENCES = {"triplet_margin_loss": 1e-4, "triplet_margin_with_distance_loss": 1e-4}
"""A hinge over a difference of two distances may be small beside them, and 1e-5 of it within their rounding."""

VALUE_FAULTS: dict[str, Callable[..., torch.Tensor]] = {
    "relative_error": lambda right, **a: right(**a) * (1 + DIFFERENCES.get(right.__name__, 1e-5)),
    "negated": lambda right, **a: -right(**a),
    "nan": lambda right, **a: right(**a) * float("nan"),
    "dtype": lambda right, **a: right(**a).double(),
    "shape": lambda right, **a: right(**a)[None],
    "other_reduction": lambda right, **a: right(**{**a, "reduction": "mean" if a["reduction"] == "none" else "none"}),
}
@every_offered
@pytest.mark.parametrize("fault", VALUE_FAULTS)
def test_value_finds_a_planted_fault(row: Row, fault: str, seed: int) -> None:
    """`test_value` fails if a loss is wrong by 1e-5, in sign, in dtype, in shape, or in its reduction."""
    broken = subject_with(row, VALUE_FAULTS[fault])
    for reduction in row.reductions:
        with pytest.raises(AssertionError, match=row.name):
            value_question.test_value(case_of(row, reduction, seed), broken, Judge(torch.__version__))


@every_offered
@pytest.mark.parametrize("fault", [Reversed, Muted], ids=["negated", "all_zero"])
def test_gradient_finds_a_planted_fault(row: Row, fault: type[torch.autograd.Function], seed: int) -> None:
    """`test_gradient` fails if the gradient of any one argument is negated, or 0."""
    for reduction in row.reductions:
        case = case_of(row, reduction, seed)
        for name in differentiable(row, case.truth.drawn):

            if not case.truth.gradients(reduction, np.ones(case.truth.loss.reduce(reduction).shape))[name].want.any():
                continue  # a tail of the adaptive softmax in whose cluster no target is

            def planted(right: Any, *, of: str = name, **arguments: Any) -> torch.Tensor:
                return right(**{**arguments, of: fault.apply(arguments[of])})

            with pytest.raises(AssertionError, match=f"gradient of {name}"):
                gradient_question.test_gradient(case, subject_with(row, planted), Judge(torch.__version__))


@every_offered
def test_torch_itself_passes(row: Row, seed: int) -> None:
    """The cases that the faults are planted in pass without them."""
    unharmed = subject_with(row, lambda right, **arguments: right(**arguments))
    for reduction in row.reductions:
        value_question.test_value(case_of(row, reduction, seed), unharmed, Judge(torch.__version__))
        gradient_question.test_gradient(case_of(row, reduction, seed), unharmed, Judge(torch.__version__))


# -- work done elsewhere ----------------------------------------------------------------------------------------


def test_work_that_ends_its_process_ends_no_other() -> None:
    """What raises, and what dies, is reported as that; the work after it is done."""
    found = Isolation()(["raise ValueError", "shows = True", "import os; os.abort()", "shows = False"], shows)
    assert found == ["exit status 1", True, "SIGABRT", False]
