"""Is it the same loss under vmap, exported, and without numbers? Values, gradients, shapes, dtypes, warnings."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, vmap

from reference.accuracy import Truth
from reference.catalog import CATALOG, Row
from reference.formats import FORMATS
from reference.inputs import Drawn, draw, seed_of
from reference.loss import REDUCTIONS

from .calls import Call, spread
from .cases import Case
from .habits import attempt, habit, judge, unmatched
from .options import devices, kernels, offered
from .subject import ADAPTERS, call_function, differentiable, tensors
from .transform_habits import FAKE, META, NESTED, ORDERED, VMAP
from .transformed import Found, cotangent, elsewhere, evaluate, function, problems

BATCH = 2
OTHERS = ("float64", "bfloat16")
ONLY = {  # where the arguments fit each other, or what is done depends on which classes occur
    "CTCLoss": ["log_probs"],
    "AdaptiveLogSoftmaxWithLoss": ["input"],
}


@dataclass(frozen=True)
class Mapped:
    """A case of which one argument, or all of them, has a batch axis that vmap is told of."""

    case: Case
    over: str

    @property
    def id(self) -> str:
        """The case's, and the argument."""
        return f"{self.case.id}-over_{self.over}"

    @property
    def axis(self) -> int:
        """Where the batch is, the first axis or the last: as good as drawn."""
        return -(seed_of(self.id) % 2)

    def truths(self) -> list[Truth]:
        """Of each element of the batch: what is mapped over is drawn anew, the rest is the first's."""
        truth = self.case.truth
        found = [truth]
        for i in range(1, BATCH):
            other = draw(truth.row, truth.variant, truth.regime, truth.format, self.case.seed + i).arguments
            drawn = {name: other[name] if self.over in (name, "all") else value for name, value in truth.drawn.arguments.items()}
            found.append(replace(truth, drawn=Drawn(drawn, truth.drawn.options)))
        return found

    def run(self, truths: list[Truth], subject: Any) -> Found:
        """Values by vmap, and gradients by vmap of grad: of both the batch comes first."""
        case, given = self.case, [tensors(truth.drawn, self.case.format, self.case.device) for truth in truths]
        mapped = {name: self.over in (name.partition(".")[0], "all") for name in given[0]}
        batch = {name: torch.stack([each[name] for each in given], self.axis) if mapped[name] else given[0][name] for name in mapped}
        axes = {name: self.axis if mapped[name] else None for name in mapped}
        names, loss, vector = differentiable(case.row, case.truth.drawn), function(case, subject), cotangent(case)

        def gradients(all: Found) -> Found:
            rest = {name: value for name, value in all.items() if name not in names}
            return grad(lambda x: (loss({**rest, **x}) * vector).sum())({name: all[name] for name in names})

        return {"value": vmap(loss, (axes,), randomness="same")(batch), **vmap(gradients, (axes,), randomness="same")(batch)}


def mapped(config: pytest.Config) -> Iterator[Mapped]:
    """Every variant under one reduction, turn about, mapped over each of its arguments and over all; in bfloat16 over one."""
    rows = [row for row in offered(config) if row.function not in ADAPTERS]  # which rows a tail has is data
    for row, device in itertools.product(rows, devices(config)):
        for dtype in (d for d in kernels(config, row, device) if d in ("float32", "bfloat16")):
            for i, variant in enumerate(row.few()):
                reduction = row.reductions[i % len(row.reductions)]
                case = Case(row, variant, reduction, FORMATS[dtype], device, "typical", config.getoption("--seed"))
                names = [name for name, choice in variant.choices.items() if choice.domain != "absent"]
                over = ONLY.get(row.name, [*names, "all"])
                yield from (Mapped(case, each) for each in (over if dtype == "float32" else over[:1]))


def plain(config: pytest.Config) -> Iterator[Case]:
    """Every variant under one reduction, turn about, and in bfloat16 or float64 under one as well; the first in bfloat16 under all."""
    for row, device in itertools.product(offered(config), devices(config)):
        for dtype in (d for d in kernels(config, row, device) if d in ("float32", *OTHERS)):
            for (i, variant), (j, reduction) in itertools.product(enumerate(row.few()), enumerate(row.reductions)):
                turn = (i if dtype == "float32" else i // 2) % len(row.reductions) == j
                if (turn and dtype in ("float32", OTHERS[i % 2])) or (i == 0 and dtype == "bfloat16"):
                    yield Case(row, variant, reduction, FORMATS[dtype], device, "typical", config.getoption("--seed"))


def unreduced(config: pytest.Config) -> Iterator[Case]:
    """Those of them whose arguments have several axes, and so an order in memory; layers have one of their own."""
    for case in plain(config):
        if case.reduction == "none" and len(case.variant.form.axes) > 1 and case.row.function not in ADAPTERS:
            yield case


QUESTIONS = {"mapped": mapped, "shadow": plain, "ordered": unreduced}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases of each question."""
    for name in QUESTIONS.keys() & set(metafunc.fixturenames):
        found = list(QUESTIONS[name](metafunc.config))
        metafunc.parametrize(name, found, ids=[each.id for each in found])
    if "elementwise" in metafunc.fixturenames:
        rows = [row for row in offered(metafunc.config) if row.elementwise and row.name != "GaussianNLLLoss"]  # which reads its variances (see `VMAP`)
        metafunc.parametrize("elementwise", rows, ids=[row.name for row in rows])
    if "row" in metafunc.fixturenames:
        rows = [row for row in offered(metafunc.config) if row.function not in ADAPTERS]
        metafunc.parametrize("row", rows, ids=[row.name for row in rows])


def test_vmap(mapped: Mapped, subject: Any) -> None:
    """Mapped over an argument, every element of the batch is the loss of that element; no batching rule is missing."""
    truths = mapped.truths()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = attempt(VMAP, mapped.id, lambda: mapped.run(truths, subject))
    if found is None:
        return
    said = []
    for i, truth in enumerate(truths):
        each = {name: value[i] for name, value in found.items()}
        case = elsewhere(mapped.case, truth)
        said += problems(case, each, evaluate(function(case, subject), case), habit(VMAP, mapped.id, "inaccurate"))
    judge(VMAP, mapped.id, said)
    sizes = [str(w.message) for w in heard if "target size" in str(w.message)]
    assert not sizes, f"{mapped.id}: {sizes[0]}"
    slow, known = [str(w.message) for w in heard if "performance drop" in str(w.message)], habit(VMAP, mapped.id, "warns")
    if known is None:
        assert not slow, f"{mapped.id}: {slow[0]}"
    else:
        assert any(known.says in each for each in slow), f"{mapped.id}: no such warning, so {known.name} has had its day"


def test_nested_vmap(row: Row, subject: Any) -> None:
    """Mapped twice, over the first axis and then over the last, it is the loss of each element of each batch."""
    for variant, reduction in itertools.product(spread(row, row.forms[:1]), row.reductions):
        given = Call(row, variant, FORMATS["float64"]).given()
        first = ONLY.get(row.name, [next(iter(given))])[0]
        x = given.pop(first)
        batches = torch.stack([torch.stack([x, x / 2, x / 4]), torch.stack([x / 8, x, x / 2])]).movedim(1, -1)

        def loss(x: torch.Tensor, variant: Any = variant, reduction: str = reduction, given: Any = given, first: str = first) -> torch.Tensor:
            return call_function(subject, row, variant, {**given, first: x}, reduction)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a batching rule that is missing is asked about above
            found = attempt(NESTED, f"{row.name}-{variant.name}", lambda loss=loss, batches=batches: vmap(vmap(loss, in_dims=-1))(batches))
        if found is None:
            continue
        for i, j in itertools.product(range(2), range(3)):
            torch.testing.assert_close(found[i, j], loss(batches[i, ..., j]), rtol=1e-9, atol=1e-12, msg=f"{row.name}, {variant.name}, {reduction}: [{i}, {j}]")


def test_vmap_of_numbers(elementwise: Row, subject: Any) -> None:
    """Mapped over every number of its arguments, an elementwise loss is that of each: a reduction has nothing to reduce."""
    row = elementwise
    call = Call(row, row.plain(row.forms[0]), FORMATS["float64"])
    each = {name: t.flatten()[:5] for name, t in call.given().items()}
    for reduction in REDUCTIONS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a batching rule that is missing is asked about above
            found = vmap(lambda numbers, reduction=reduction: call_function(subject, row, call.variant, numbers, reduction))(each)
        one_by_one = [call_function(subject, row, call.variant, {name: t[i] for name, t in each.items()}, reduction) for i in range(5)]
        torch.testing.assert_close(found, torch.stack(one_by_one), rtol=1e-14, atol=1e-14, msg=lambda m, r=reduction: f"{row.name}, {r}: {m}")


def test_bce_with_logits_still_loses_its_backward() -> None:
    """Where eager's gradient is right, that of torch.func is 0; once it is not, its entry in VMAP has had its day."""

    def loss(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(x, torch.zeros(1))

    x = torch.tensor([-18.0], requires_grad=True)
    assert torch.autograd.grad(loss(x), x)[0].item() == pytest.approx(1.523e-8, rel=1e-3)
    assert grad(loss)(x.detach()).item() == 0


@pytest.fixture(scope="module")
def mode() -> FakeTensorMode:
    """One for all: it is slow to make."""
    return FakeTensorMode()


def test_fake(shadow: Case, subject: Any, mode: FakeTensorMode) -> None:
    """Fake tensors have the shapes, strides, dtypes and devices that real ones have, forward and backward."""
    found = attempt(FAKE, shadow.id, lambda: _looks(shadow, subject, mode.from_tensor, mode))
    if found is not None:
        judge(FAKE, shadow.id, _different(shadow, found, _looks(shadow, subject, torch.Tensor.detach, nullcontext())))


def test_meta(shadow: Case, subject: Any) -> None:
    """And so have tensors on the meta device, but for the device."""
    found = attempt(META, shadow.id, lambda: _looks(shadow, subject, lambda t: t.to("meta"), nullcontext()))
    if found is not None:
        real = _looks(shadow, subject, torch.Tensor.detach, nullcontext())
        judge(META, shadow.id, _different(shadow, found, {name: (*look[:-1], "meta") for name, look in real.items()}))


def test_other_order(ordered: Case, subject: Any, mode: FakeTensorMode) -> None:
    """Where the axes of the arguments lie in memory the other way round, value and gradients lie as the real ones do."""

    def wrong() -> list[str]:
        real = _looks(ordered, subject, _reversed, nullcontext())
        found = {
            "fake": _looks(ordered, subject, lambda t: mode.from_tensor(_reversed(t)), mode),
            "meta": _looks(ordered, subject, lambda t: _reversed(t).to("meta"), nullcontext()),
        }
        strides = ((kind, name, look[name][1], real[name][1]) for kind, look in found.items() for name in real)
        return [f"{ordered.id}: {kind}, the strides of {name} are {got}, and not {want}" for kind, name, got, want in strides if got != want]

    if (said := attempt(ORDERED, ordered.id, wrong)) is not None:
        judge(ORDERED, ordered.id, said)


def _reversed(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers, the first axis next to each other in memory, and the last the furthest apart."""
    order = tuple(reversed(range(tensor.ndim)))
    return tensor.permute(order).contiguous().permute(order)


def _different(case: Case, got: dict[str, Any], want: dict[str, Any]) -> list[str]:
    return [f"{case.id}: {name} is {got[name]}, and not {want[name]}" for name in want if got[name] != want[name]]


def _looks(case: Case, subject: Any, become: Callable[[torch.Tensor], torch.Tensor], mode: Any) -> dict[str, Any]:
    """Shape, strides, dtype, whether it requires grad, and device: of the value and the gradients."""
    names = differentiable(case.row, case.truth.drawn)
    given = {name: become(t).requires_grad_(name in names) for name, t in tensors(case.truth.drawn, case.format, case.device).items()}
    with mode:
        value = function(case, subject)(given)
        gradients = torch.autograd.grad(value, [given[name] for name in names], torch.ones_like(value), allow_unused=True, materialize_grads=True)
    found = {"value": value, **dict(zip(names, gradients, strict=True))}
    return {name: (tuple(t.shape), t.stride(), t.dtype, t.requires_grad, t.device.type) for name, t in found.items()}


@pytest.mark.every_dtype
def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case."""
    shadows = [case.id for case in plain(request.config)]
    assert not unmatched(VMAP, (each.id for each in mapped(request.config)))
    nested = [f"{row.name}-{variant.name}" for row in offered(request.config, CATALOG) for variant in spread(row, row.forms[:1])]
    assert not unmatched(NESTED, nested)
    assert not unmatched(FAKE, shadows) + unmatched(META, shadows)
    assert not unmatched(ORDERED, (case.id for case in unreduced(request.config)))
