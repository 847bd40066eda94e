"""Which dtypes does an argument take beside the others? What is taken is promoted, and right; the rest is refused."""

from __future__ import annotations

import importlib
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache, partial, reduce
from typing import Any

import numpy as np
import pytest
import torch

from reference.catalog import ROWS, Row, Variant
from reference.formats import FORMATS

from .calls import Call, run, spread
from .dtype_departures import DTYPE_DEPARTURES
from .dtypes import EVERY, FLOATS, PROMOTING_SIGNS, TAKES, held, taken
from .isolated import afresh
from .known import Known, changed, elsewhere, slug, unexpected
from .options import devices, offered, takes

LABELS = ("index", "ignored", "labels", "alignment", "sign")


@dataclass(frozen=True)
class Mixed:
    """A call in float32, or in another `base`, with one argument in another dtype."""

    row: str
    variant: str
    device: str
    seed: int
    argument: str
    dtype: str
    base: str = "float32"

    @property
    def what(self) -> str:
        """Loss-variant argument."""
        return f"{self.row}-{self.variant} {self.argument}"

    @property
    def id(self) -> str:
        """Loss-variant-device-argument-dtype, and beside what, if that is not float32."""
        beside = "" if self.base == "float32" else f"-beside_{self.base}"
        return f"{self.row}-{self.variant}-{self.device}-{self.argument}-{self.dtype}{beside}"

    @property
    def is_fatal(self) -> bool:
        """Whether it is asked of an accelerator to look up a class that is none: -100 in a byte. The process loses it."""
        domain = _variants(self.row)[self.variant].choices[self.argument].domain
        wraps = self.dtype == "uint8" and domain in LABELS and domain != "sign"
        return wraps and torch.device(self.device).type != "cpu" and bool(np.min(self.call.drawn.arguments[self.argument]) < 0)

    @property
    def call(self) -> Call:
        """The call at numbers that both dtypes hold, in the narrower of them: what is promoted when is left to torch."""
        domain = _variants(self.row)[self.variant].choices[self.argument].domain
        label = domain in LABELS
        number = not label or self.row in PROMOTING_SIGNS
        narrow = self.dtype if self.dtype in ("bfloat16", "float16") and number else self.base
        altered = self.dtype == "bool" or (self.dtype not in FLOATS and (not label or self.dtype == "uint8"))
        return _call(
            self.row,
            self.variant,
            narrow,
            self.device,
            self.seed,
            *((self.argument, self.dtype) if altered else ("", "")),
        )


@lru_cache(maxsize=8)
def _call(row: str, variant: str, narrow: str, device: str, seed: int, argument: str, dtype: str) -> Call:
    chosen = _variants(row)[variant]
    if not argument:
        return Call(ROWS[row], chosen, FORMATS[narrow], device, seed)
    change = partial(held, domain=chosen.choices[argument].domain, dtype=dtype)
    return Call(ROWS[row], chosen, FORMATS[narrow], device, seed, change, only=argument)


def _suits(row: Row, variant: Variant) -> bool:
    """Options at their defaults, or those that a choice goes with."""
    changed_options = [name for name, values in row.options.items() if variant.options[name] != values[0]]
    return (
        not changed_options
        or changed_options in (["log_input"], ["log_target"], ["full"], ["beta"])
        or (changed_options == ["margin"] and variant.options["margin"] > 0)
        or _fits_a_byte(variant)
    )


def _fits_a_byte(variant: Variant) -> bool:
    changed = {name: value for name, value in variant.options.items() if name == "ignore_index"}
    return changed == {"ignore_index": 255} and variant.options.get("label_smoothing", 0.0) == 0.0


@lru_cache
def _variants(name: str) -> dict[str, Variant]:
    """Every choice of every argument, in the first form and, for classes, in that of images: they are other kernels."""
    row = ROWS[name]
    forms = [form for i, form in enumerate(row.forms) if i == 0 or form.name == "k2"]
    chosen = (forms, *([form] for form in forms))  # the options of each form, too
    return {v.name: v for some in chosen for v in spread(row, some, lambda v: _suits(row, v))}


@cache
def _cases(config: pytest.Config) -> list[Mixed]:
    return list(_mixed(config))


def _mixed(config: pytest.Config) -> Iterator[Mixed]:
    seed = config.getoption("--seed")
    for row, device in itertools.product(offered(config), devices(config)):
        if row.namespace:
            continue
        for variant in _variants(row.name).values():
            if takes(config, row, variant):
                for name, choice in variant.choices.items():
                    own = "int64" if choice.domain in LABELS and choice.domain != "sign" else "float32"
                    if choice.domain not in ("absent", "built"):
                        yield from (Mixed(row.name, variant.name, device, seed, name, d) for d in EVERY if d != own)
                        if own == "float32":  # what is made of integers on the way must not be float32
                            yield Mixed(row.name, variant.name, device, seed, name, "int64", "float64")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per case."""
    if "mixed" in metafunc.fixturenames:
        metafunc.parametrize("mixed", _cases(metafunc.config), ids=lambda case: case.id)


def test_dtype(mixed: Mixed, subject: Any, pytestconfig: pytest.Config) -> None:
    """A dtype that is taken promotes as in any operation, and value and gradients are right; another is refused."""
    said = []
    for reduction in ("none", "mean"):
        if mixed.is_fatal:
            wrong = afresh(apart, (mixed, reduction, pytestconfig.getoption("--subject")))
        else:
            wrong = problem(mixed, reduction, subject)
        said.append(unexpected(f"{mixed.id} {reduction}", wrong, DTYPE_DEPARTURES))
    assert not any(said), "\n".join(filter(None, said))


def apart(job: tuple[Mixed, str, str]) -> str:
    """What is wrong, asked in a process of its own, of a subject by its name."""
    mixed, reduction, name = job
    return problem(mixed, reduction, importlib.import_module(name))


def problem(mixed: Mixed, reduction: str, subject: Any) -> str:
    """What is wrong, if anything."""
    call = mixed.call
    given = {name: t.to(getattr(torch, mixed.base)) if t.is_floating_point() else t for name, t in call.given().items()}
    other = given[mixed.argument].to(getattr(torch, mixed.dtype))
    may = mixed.dtype in taken(mixed.what, mixed.device) and torch.equal(other.to(given[mixed.argument].dtype), given[mixed.argument])
    given[mixed.argument] = other  # not the same numbers where -100 means ignored, and is no byte
    names = tuple(name for name in call.differentiable if given[name].is_floating_point())
    wanted = promoted(call, given)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", "reduction: 'mean' divides")  # whatever the dtype: `test_warnings` asks for it
            got = run(subject, call, given, reduction, call.vector(reduction), names)
        if mixed.is_fatal:
            torch.accelerator.synchronize()  # it refuses when it gets there
    except (RuntimeError, ValueError, TypeError, IndexError) as refusal:
        return f"{type(refusal).__name__}: {refusal}" if may or isinstance(refusal, UnicodeError) else ""
    if not may:
        return f"is taken, and gives {got.value.dtype}"
    wrong = [] if got.value.dtype == wanted else [f"has dtype {got.value.dtype}, not {wanted}"]
    wrong += [f"warns of {w.message}" for w in heard]
    wrong += [f"the gradient of {n} has dtype {g.dtype}" for n, g in got.gradients.items() if g.dtype != given[n].dtype]
    return "; ".join(wrong + call.problems(got, reduction))


def promoted(call: Call, given: dict[str, torch.Tensor]) -> torch.dtype:
    """What the numbers among the arguments promote to; labels are none."""
    domains = {name: call.variant.choices[name.partition(".")[0]].domain for name in given}
    labels = [label for label in LABELS if label != "sign" or call.row.name not in PROMOTING_SIGNS]
    return reduce(torch.promote_types, (t.dtype for name, t in given.items() if domains[name] not in labels))


@pytest.mark.parametrize("entry", [e for e in DTYPE_DEPARTURES if e.here()], ids=lambda entry: entry.name)
def test_every_departure_is_asked_about_and_is_still_there(entry: Known, pytestconfig: pytest.Config) -> None:
    """It matches a case, and its reproducer gives what it is said to give."""
    asked = [f"{case.id} {reduction}" for case in _cases(pytestconfig) for reduction in ("none", "mean")]
    assert elsewhere(entry.cases, asked) or any(map(entry.covers, asked))
    assert not (said := changed(entry)), said


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in TAKES], ids=slug)
def test_every_line_of_the_table_is_read(pattern: str, pytestconfig: pytest.Config) -> None:
    """For some argument of some call it is the first that matches."""
    asked = {case.what for case in _cases(pytestconfig)}
    absent = pattern.partition("-")[0].strip("*") not in "".join(row.name for row in offered(pytestconfig))
    assert absent or any(next((p for p, _ in TAKES if fnmatchcase(what, p)), "") == pattern for what in asked)
