"""Does the layout matter? The same numbers elsewhere in memory have the same loss and the same gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch

from reference.arithmetic import Array
from reference.catalog import ROWS, Form, Row, Variant
from reference.formats import FORMATS

from .accelerator_habits import repeats
from .calls import Call, Outcome, implemented, run, same, same_bits, spread
from .known import Known, changed, elsewhere, unexpected
from .layout_departures import LAYOUT_DEPARTURES
from .layouts import CLASS_IMAGES, CLASS_VOLUMES, IMAGES, LAYOUTS, REPEATS, VOLUMES, repeated
from .options import devices, formats, offered, takes
from .subject import Tensors, call_function, call_module, has_module

CHANGES: dict[str, Callable[[Array], Any]] = {"": np.asarray, **{along: partial(repeated, along=along) for along in REPEATS}}
CHANNELS = (IMAGES, VOLUMES, CLASS_IMAGES, CLASS_VOLUMES)
COTANGENT, MIXED = "cotangent", "mixed"


@dataclass(frozen=True)
class Laid:
    """A call and a layout for its arguments."""

    row: str
    variant: str
    dtype: str
    device: str
    seed: int
    layout: str

    @property
    def id(self) -> str:
        """Loss-variant-dtype-device-layout."""
        return f"{self.row}-{self.variant}-{self.dtype}-{self.device}-{self.layout}"

    @property
    def call(self) -> Call:
        """The call, shared by the layouts that want the same numbers."""
        repeats = LAYOUTS[self.layout].repeats if self.layout in LAYOUTS else ""
        return _call(self.row, self.variant, self.dtype, self.device, self.seed, repeats)


@lru_cache(maxsize=8)  # the layouts of one call follow each other
def _call(row: str, variant: str, dtype: str, device: str, seed: int, repeats: str) -> Call:
    return Call(ROWS[row], _variants(row)[variant], FORMATS[dtype], device, seed, CHANGES[repeats])


# -- the cases --------------------------------------------------------------------------------------------------


def forms(row: Row) -> tuple[Form, ...]:
    """The row's own, and those that channels-last is about."""
    if row.elementwise:
        return (*row.forms, IMAGES, VOLUMES)
    return (*row.forms, CLASS_IMAGES, CLASS_VOLUMES) if any(f.name == "k2" for f in row.forms) else row.forms


@lru_cache
def _variants(name: str) -> dict[str, Variant]:
    row = ROWS[name]
    return {v.name: v for v in spread(row, forms(row))}


@cache
def _cases(config: pytest.Config) -> list[Laid]:
    return list(_laid(config))


def _laid(config: pytest.Config) -> Iterator[Laid]:
    """Every variant in float32, one in eight in each other dtype; each in the layouts that fit its arguments."""
    for row in offered(config):
        for device, (k, format) in itertools.product(devices(config), enumerate(formats(config))):
            for n, variant in enumerate(_variants(row.name).values()):
                if (
                    (format.name == "float32" or n % 8 == k)
                    and takes(config, row, variant)
                    and implemented(row, format, device)
                ):
                    ranks = [len(variant.form.shape(variant.choices[a.name].shape)) for a in row.arguments]
                    for layout in (*(name for name, layout in LAYOUTS.items() if layout.suits(ranks, format)), MIXED):
                        yield Laid(row.name, variant.name, format.name, device, config.getoption("--seed"), layout)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per case."""
    if "laid" in metafunc.fixturenames:
        metafunc.parametrize("laid", _cases(metafunc.config), ids=lambda case: case.id)
    if "dense" in metafunc.fixturenames:
        elements = [c for c in _cases(metafunc.config) if c.dtype == "float32" and c.layout in DENSE and ROWS[c.row].elementwise]
        metafunc.parametrize("dense", elements, ids=lambda case: case.id)


# -- the question -----------------------------------------------------------------------------------------------


def test_layout(laid: Laid, subject: Any) -> None:
    """One argument laid out, then another, then all: the loss and its gradients stay what they are."""
    call = laid.call
    said = [
        unexpected(asked(laid, chosen, reduction), laid_out(call, chosen, reduction, subject), LAYOUT_DEPARTURES)
        for reduction in call.row.reductions
        for chosen in choices(laid, reduction)
    ]
    wrong = [sentence for sentence in said if sentence]
    assert not wrong, "\n  ".join(["", *wrong])


def asked(laid: Laid, chosen: dict[str, str], reduction: str) -> str:
    """The id of a case, and what is laid out in it; in `mixed` also how."""
    how = [f"{name}.{layout}" for name, layout in chosen.items()] if laid.layout == MIXED else chosen
    return f"{laid.id} {'+'.join(how)} {reduction}"


@pytest.mark.every_dtype
def test_every_departure_is_asked_about(pytestconfig: pytest.Config) -> None:
    """An entry that matches no case is a slip of the pen."""
    cases = _cases(pytestconfig)
    for entry in (entry for entry in LAYOUT_DEPARTURES if entry.here()):
        stems = [pattern.partition(" ")[0] for pattern in entry.cases]
        near = [case for case in cases if any(fnmatchcase(case.id, stem) for stem in stems)]
        all_asked = (
            asked(case, chosen, r) for case in near for r in case.call.row.reductions for chosen in choices(case, r)
        )
        assert elsewhere(entry.cases, [case.id for case in cases]) or any(map(entry.covers, all_asked)), f"{entry.name} matches no case"


def choices(laid: Laid, reduction: str) -> Iterator[dict[str, str]]:
    """Argument -> layout: each of the arguments alone, unreduced and averaged, and all; in `mixed` another for each, of images in turn."""
    given = {**laid.call.given(), COTANGENT: laid.call.vector(reduction)}
    if laid.layout == MIXED:
        fitting = {n: [k for k, v in LAYOUTS.items() if not v.repeats and v.fits(t)] for n, t in given.items()}
        dense = laid.dtype == "float32" and laid.call.variant.form in CHANNELS
        for turn in range(max(map(len, fitting.values())) if dense else 1):
            yield {n: names[(i + turn) % len(names)] for i, (n, names) in enumerate(fitting.items()) if names}
        return
    fitting_all = {n: laid.layout for n, t in given.items() if LAYOUTS[laid.layout].fits(t)}
    if laid.dtype == "float32" and reduction in ("none", "mean"):  # elsewhere all together must do
        yield from ({n: k} for n, k in fitting_all.items())
    if len(fitting_all) > 1 or laid.dtype != "float32" or reduction not in ("none", "mean"):
        yield fitting_all


DENSE = ("transposed", "channels_last", "channels_last_3d")
UNKEPT = (  # nothing is documented of the layout of a gradient that is on its way: autograd lays out what it ends in
    ("MSELoss", "*"),
    ("HuberLoss", "*"),
    ("SmoothL1Loss", "*"),
    ("PoissonNLLLoss", "target"),
    ("KLDivLoss", "target"),
    ("BCEWithLogitsLoss", "target"),
    ("sigmoid_focal_loss", "*"),
    ("GaussianNLLLoss", "value"),  # of a variance per row, which has another layout
)


def test_a_result_lies_as_its_arguments_do(dense: Laid, subject: Any) -> None:
    """Of arguments that all lie alike, an unreduced loss of elements and its gradients do: of images the channels stay last."""
    call, layout = dense.call, LAYOUTS[dense.layout]
    *arguments, cotangent = (layout.build(t) if layout.fits(t) else t for t in (*call.given().values(), call.vector("none")))
    shape, stride = arguments[0].shape, arguments[0].stride()
    outcome = run(subject, call, dict(zip(call.given(), arguments, strict=True)), "none", cotangent)
    for name, found in {"value": outcome.value, **outcome.gradients}.items():
        free = any(row == call.row.name and fnmatchcase(name, pattern) for row, pattern in UNKEPT if name != "value" or pattern == name)
        assert found.shape != shape or found.stride() == stride or free, f"{dense.id}: {name} has the strides {found.stride()}, not {stride}"


def laid_out(call: Call, chosen: dict[str, str], reduction: str, subject: Any) -> str:
    """What is wrong with the outcome: beside that of the contiguous call, to the bit or else within the budget."""
    given: Tensors = {**call.given(), COTANGENT: call.vector(reduction)}
    for name, layout in chosen.items():
        given[name] = LAYOUTS[layout].build(given[name])
    cotangent, plain = given.pop(COTANGENT), contiguous(call, reduction, subject)
    try:
        got = run(subject, call, given, reduction, cotangent)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as refusal:
        return "; ".join(_value_alone(call, given, reduction, subject)) or f"{type(refusal).__name__}: {refusal}"
    found = []
    if not same(got, plain):
        found = call.problems(got, reduction) or call.problems(got, reduction, plain, ", beside the contiguous call's,")
    if len(chosen) > 1 and subject is torch.nn.functional and has_module(call.row, given):
        module = call_module(call.row, call.variant, given, reduction)
        equal = same_bits(module, got.value) or not repeats(f"{call.id} {reduction}")
        found += [] if equal else ["the module's value is not the function's"]
    return "; ".join(found)


def _value_alone(call: Call, given: Tensors, reduction: str, subject: Any) -> list[str]:
    """What is wrong with the value where there is no gradient, if there is a value."""
    try:
        value = call_function(subject, call.row, call.variant, {name: t.detach() for name, t in given.items()}, reduction)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
        return []
    return call.problems(Outcome(value, {}), reduction)


_outcomes: WeakKeyDictionary[Call, dict[str, Outcome]] = WeakKeyDictionary()


def contiguous(call: Call, reduction: str, subject: Any) -> Outcome:
    """The outcome with everything contiguous, which `test_value` and `test_gradient` hold to the definition."""
    kept = _outcomes.setdefault(call, {})
    if reduction not in kept:
        kept[reduction] = run(subject, call, call.given(), reduction)
    return kept[reduction]


@pytest.mark.parametrize("entry", [e for e in LAYOUT_DEPARTURES if e.here()], ids=lambda entry: entry.name)
def test_every_departure_is_still_there(entry: Known) -> None:
    """The reproducer gives what it is said to give."""
    assert not (said := changed(entry)), said


# -- the layouts are what they say ------------------------------------------------------------------------------

SHAPES = ((5,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 4, 5))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_keep_the_numbers_and_move_them(name: str, shape: tuple[int, ...]) -> None:
    """The numbers are the same, and they lie neither where they lay nor as they lay, but for `flipped`."""
    layout = LAYOUTS[name]
    for dtype in (torch.float32, torch.int64):
        x = torch.arange(1, torch.Size(shape).numel() + 1).to(dtype).reshape(shape)
        if layout.repeats:
            x = torch.from_numpy(repeated(x.numpy(), layout.repeats))
        if not layout.fits(x):
            continue
        laid = layout.build(x)
        assert torch.equal(laid, x)
        assert laid.data_ptr() != x.data_ptr() or layout.repeats
        assert name == "flipped" or laid.stride() != x.stride() or laid.storage_offset() != 0
        assert laid.is_neg() == (name == "negated")
