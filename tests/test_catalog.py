"""Does the catalog have every loss of torch, and every parameter of each, and nothing that torch has not?

What a later torch adds fails here, so that nobody misses it; what an earlier one lacks is absent, and no failure.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from packaging.version import Version

from reference.accuracy import IN_UNITS
from reference.catalog import CATALOG, ROWS, Row, Variant

F = torch.nn.functional
VERSION = Version(Version(torch.__version__).base_version)

EXCLUDED = {"NLLLoss2d": "deprecated, and NLLLoss by another name"}
BESIDES = ("AdaptiveLogSoftmaxWithLoss",)  # in torch.nn, but not among its losses

OTHER_QUESTIONS = {
    "size_average": "tests.test_api",
    "reduce": "tests.test_api",
    "device": "tests.mixed",
    "dtype": "tests.mixed",
}
"""Parameters that say nothing about the loss, and the tests that ask about them."""

BY_SHAPE = {
    ("LinearCrossEntropyLoss", "in_features"): ("linear_weight", "F"),
    ("LinearCrossEntropyLoss", "num_classes"): ("linear_weight", "C"),
    ("LinearCrossEntropyLoss", "out_features"): ("linear_weight", "d1"),
}
"""Parameters that are the size of an argument along an axis."""

BY_ARGUMENT = {
    ("LinearCrossEntropyLoss", "bias"): "linear_bias",
    ("AdaptiveLogSoftmaxWithLoss", "head_bias"): "head_bias",
}
"""Parameters that say whether there is an argument."""

BY_TEST = {
    ("LinearCrossEntropyLoss", "options"): "test_chunked",
    ("TripletMarginWithDistanceLoss", "distance_function"): "test_triplets_by_distance",
    ("AdaptiveLogSoftmaxWithLoss", "in_features"): "test_adaptive_softmax_in_sizes",
    ("AdaptiveLogSoftmaxWithLoss", "n_classes"): "test_adaptive_softmax_in_sizes",
}
"""Parameters that are no numbers of a variant, and the test in tests.test_ways that varies them."""


def losses() -> list[str]:
    """The names of torch's losses: of those that it lists, and of what else is a loss by its name or its kind."""
    named = (name for name in dir(torch.nn) if isinstance(getattr(torch.nn, name), type) and is_loss(name))
    return [*dict.fromkeys([*torch.nn.modules.loss.__all__, *BESIDES, *named])]


def is_loss(name: str) -> bool:
    """Whether a class of torch.nn is one."""
    return "Loss" in name or issubclass(getattr(torch.nn, name), torch.nn.modules.loss._Loss)


def functions() -> list[str]:
    """The functions of torch.nn.functional that reduce, or are losses by their name."""
    public = [name for name in dir(F) if not name.startswith("_")]
    return [name for name in public if name.endswith("_loss") or "reduction" in _parameters(getattr(F, name))]


def _parameters(of: Any) -> list[str]:
    try:
        return [name for name in inspect.signature(of).parameters if name != "self"]
    except (TypeError, ValueError):
        return []


def overlooked() -> Iterator[str]:
    """What torch has and the catalog does not vary, in a sentence each."""
    for name in losses():
        if name not in ROWS and name not in EXCLUDED:
            yield f"torch.nn.{name} has no row in reference/catalog.py, and no reason in EXCLUDED"
    in_rows = {row.function for row in CATALOG}
    for name in functions():
        if name not in in_rows:
            yield f"torch.nn.functional.{name} has no row in reference/catalog.py"
    for row in CATALOG:
        variants = row.few()
        for parameter in dict.fromkeys([*constructor(row), *_parameters(getattr(F, row.function, None))]):
            if parameter not in OTHER_QUESTIONS and not is_varied(row, parameter, variants):
                yield f"{parameter} of {row.name} is varied by no variant"


def constructor(row: Row) -> list[str]:
    """The parameters of the module's constructor, if this torch has the module."""
    made = getattr(torch.nn, row.name, None)
    return [] if made is None else _parameters(made.__init__)


def is_varied(row: Row, parameter: str, variants: Sequence[Variant]) -> bool:
    """Whether some variants differ in a parameter."""
    key = (row.name, parameter)
    if key in BY_TEST:
        return callable(getattr(importlib.import_module("tests.test_ways"), BY_TEST[key], None))
    if key in BY_SHAPE:
        argument, axis = BY_SHAPE[key]
        assert argument in {a.name for a in row.arguments}
        return len({v.form.axes.get(axis) for v in variants}) > 1
    if parameter == "reduction":
        return len(row.reductions) > 1
    if parameter in row.options:
        return len({repr(v.options[parameter]) for v in variants}) > 1
    argument = BY_ARGUMENT.get(key, parameter)
    chosen = {v.choices[argument] for v in variants if argument in v.choices}
    is_optional = parameter in constructor(row) or key in BY_ARGUMENT or argument != parameter
    return len(chosen) > 1 if is_optional else bool(chosen)


def unknown() -> Iterator[str]:
    """What the catalog has and torch does not, though it should."""
    for row in CATALOG:
        if row.namespace or Version(row.since) > VERSION:
            continue
        if row.name not in losses():
            yield f"{row.name} is no loss of torch {torch.__version__}"
            continue
        if row.function and not hasattr(F, row.function) and row.name not in BESIDES:
            yield f"torch {torch.__version__} has no torch.nn.functional.{row.function}"
        of_module, of_function = constructor(row), _parameters(getattr(F, row.function, None))
        for option in row.options:
            if option not in of_module:
                yield f"torch.nn.{row.name} has no option {option}"
            if of_function and option not in of_function and option not in row.module_only:
                yield f"torch.nn.functional.{row.function} has no option {option}"
        for argument in row.arguments:
            if argument.place == "constructor" and argument.name not in (of_function if argument.name in row.function_only else of_module):
                yield f"torch.nn.{row.name} has no parameter {argument.name}"
            if of_function and argument.name not in of_function:
                yield f"torch.nn.functional.{row.function} has no argument {argument.name}"


# -- both directions --------------------------------------------------------------------------------------------


def test_nothing_of_torch_is_overlooked() -> None:
    """Every loss of torch is in the catalog, and every parameter of each is varied."""
    assert list(overlooked()) == []


def test_nothing_is_unknown_to_torch() -> None:
    """Every row, option and argument of the catalog is there in torch, if this torch is to have the loss."""
    assert list(unknown()) == []


def test_exclusions_have_their_reason() -> None:
    """A loss that is excluded is there, and is what its reason says: another's subclass."""
    assert set(EXCLUDED) <= set(losses())
    assert not set(EXCLUDED) & set(ROWS)
    assert issubclass(torch.nn.NLLLoss2d, torch.nn.NLLLoss)


@pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.name)
def test_absent_only_before_its_release(row: Row) -> None:
    """A loss is missing from torch only before the release that it is since, and there from then on."""
    if not row.namespace:
        assert hasattr(torch.nn, row.name) == (Version(row.since) <= VERSION)


@pytest.mark.parametrize("key", [*BY_SHAPE, *BY_ARGUMENT, *BY_TEST], ids=".".join)
def test_tables_are_needed(key: tuple[str, str]) -> None:
    """What is said of a parameter in the tables here is said of one that torch has."""
    row = ROWS[key[0]]
    assert Version(row.since) > VERSION or key[1] in constructor(row)


@pytest.mark.parametrize(("name", "option"), [(row.name, o) for row in CATALOG for o in row.options if o in {*IN_UNITS, "label_smoothing"}])
def test_an_option_kept_in_float32_would_be_seen(name: str, option: str) -> None:
    """Of each option that is added to or compared with inputs, there is a value that float32 has not."""
    assert any(float(np.float32(value)) != value for value in ROWS[name].options[option])


@pytest.mark.parametrize("parameter", OTHER_QUESTIONS)
def test_other_questions_are_asked(parameter: str) -> None:
    """What is left to another file is mentioned there, and is a parameter of some loss."""
    assert parameter in inspect.getsource(importlib.import_module(OTHER_QUESTIONS[parameter]))
    assert any(parameter in constructor(row) for row in CATALOG) or Version("2.13") > VERSION


# -- these tests can fail ---------------------------------------------------------------------------------------


def _with_temperature(input: torch.Tensor, target: torch.Tensor, temperature: float = 1.0, reduction: str = "mean") -> None:
    """Stand in for the function of a later torch."""


def test_a_new_loss_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class or a function that a later torch might add is reported by its name."""
    monkeypatch.setattr(torch.nn.modules.loss, "__all__", [*torch.nn.modules.loss.__all__, "PerceptualLoss"])
    monkeypatch.setattr(F, "perceptual_loss", _with_temperature, raising=False)
    assert list(overlooked()) == [
        "torch.nn.PerceptualLoss has no row in reference/catalog.py, and no reason in EXCLUDED",
        "torch.nn.functional.perceptual_loss has no row in reference/catalog.py",
    ]


@pytest.mark.parametrize("row", [r for r in CATALOG if hasattr(torch.nn, r.name)], ids=lambda row: row.name)
def test_a_new_parameter_is_noticed(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a parameter that it might add to a constructor."""

    class Later(getattr(torch.nn, row.name)):  # type: ignore[misc]
        def __init__(self, *args: Any, temperature: float = 1.0, **options: Any) -> None:
            super().__init__(*args, **options)

    signature = inspect.signature(getattr(torch.nn, row.name).__init__)
    extra = inspect.Parameter("temperature", inspect.Parameter.KEYWORD_ONLY, default=1.0)
    Later.__init__.__signature__ = signature.replace(parameters=[*signature.parameters.values(), extra])  # type: ignore[attr-defined]
    monkeypatch.setattr(torch.nn, row.name, Later)
    assert list(overlooked()) == [f"temperature of {row.name} is varied by no variant"]


def test_a_new_function_parameter_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one of a function."""
    monkeypatch.setattr(F, "mse_loss", _with_temperature)
    assert "temperature of MSELoss is varied by no variant" in list(overlooked())


@pytest.mark.parametrize("name", [r.name for r in CATALOG if r.options and hasattr(torch.nn, r.name)])
def test_an_option_that_is_not_varied_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option of which the catalog has one value is reported."""
    row = ROWS[name]
    for option, values in row.options.items():
        poorer = replace(row, options={**row.options, option: values[:1]})
        with monkeypatch.context() as patch:
            patch.setitem(globals(), "CATALOG", [poorer if r is row else r for r in CATALOG])
            assert f"{option} of {name} is varied by no variant" in list(overlooked())


def test_a_loss_that_torch_dropped_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of which torch has no class any more is reported."""
    monkeypatch.setattr(torch.nn.modules.loss, "__all__", [n for n in torch.nn.modules.loss.__all__ if n != "L1Loss"])
    monkeypatch.delattr(torch.nn, "L1Loss")
    assert list(unknown()) == [f"L1Loss is no loss of torch {torch.__version__}"]
