"""Calls that a loss should refuse, derived from the catalog: every argument in turn, made bad in every way.

A fault is what can be wrong with an argument of some domain, or with an option of some name. A call is bad if
the specification refuses it, or if the fault is of a kind that NumPy does not know of (a list for a tensor).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

import reference
from reference.arithmetic import Array
from reference.catalog import CATALOG, Row, Variant
from reference.formats import FORMATS
from reference.inputs import draw

Fault = Callable[[Any], Any]
FAR = 2**40  # no memory is mapped there: an index that nobody checks ends the process, every time


@dataclass(frozen=True, eq=False)
class Call:
    """A call that is right: a loss, its arrays and options by name.

    domains: what the values of each array mean; places: where a module takes it
    limits:  of each array of integers, the first value that is too large; optional: the arrays that may be None
    dtype:   of its numbers
    """

    loss: str
    function: str
    form: str
    arrays: Mapping[str, Any]
    options: Mapping[str, Any]
    domains: Mapping[str, str]
    places: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    reductions: tuple[str, ...] = ("none", "mean", "sum")
    dtype: str = "float32"


@dataclass(frozen=True, eq=False)
class BadCall:
    """A right call with one thing wrong: an array (or `all` of them) or an option."""

    good: Call
    argument: str
    fault: str

    @property
    def id(self) -> str:
        """Loss-form-argument-fault."""
        return f"{self.good.loss}-{self.good.form}-{self.argument}-{self.fault}"

    @cached_property
    def arguments(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays and options, one of them bad."""
        arrays, options = dict(self.good.arrays), dict(self.good.options)
        if self.argument == "all":
            arrays = {name: TOGETHER[self.fault](a) for name, a in arrays.items()}
        elif self.argument in arrays:
            arrays[self.argument] = array_faults(self.good, self.argument)[self.fault](np.copy(arrays[self.argument]))
        else:
            options[self.argument] = OPTIONS[self.argument][self.fault]
        return arrays, options

    @property
    def reductions(self) -> tuple[str, ...]:
        """Those to try it with."""
        return ("",) if self.argument == "reduction" else self.good.reductions

    @property
    def fatal(self) -> bool:
        """Whether it may end the process where nobody checks: an index, or what is indexed, is wrong."""
        about_arrays = self.argument in (*self.good.arrays, "all", "blank")
        of_dtype = self.argument == "all" and self.fault in FLOAT_DTYPES
        return bool(self.good.limits) and about_arrays and self.fault not in TYPES and not of_dtype

    @cached_property
    def refused(self) -> str:
        """What the documentation or the specification says to it; empty if it is not bad at all."""
        if self.fault in BEYOND:
            return "not of a type that torch takes"
        if documented := DOCUMENTED.get((self.good.loss, self.argument, self.fault), ""):
            return documented
        arrays, options = self.arguments
        try:
            getattr(reference, self.good.function)(**arrays, **options)
        except ValueError as refusal:
            return str(refusal)
        return ""


# -- faults -----------------------------------------------------------------------------------------------------


def _one(value: float) -> Fault:
    """The last element replaced, or where there are two axes the first: not every loop looks at both."""

    def fault(array: Array) -> Array:
        array[(0 if array.ndim == 2 else -1,) * array.ndim] = value
        return array

    return fault


def _as(dtype: Any) -> Fault:
    return lambda array: array.astype(dtype)


VALUES: dict[str, dict[str, Fault]] = {
    "probability": {"below_zero": _one(-(2.0**-12)), "above_one": _one(1 + 2.0**-7), "nan": _one(np.nan)},  # just outside
    "distribution": {"below_zero": _one(-0.25), "above_one": _one(1.25)},
    "sign": {"zero": _one(0), "two": _one(2), "nan": _one(np.nan)},
    "variance": {"negative": _one(-1), "nan": _one(np.nan)},
    "count": {"negative": _one(-1)},
    "positive": {"negative": _one(-1)},
    "weight": {"negative": _one(-1)},
    "log_probability": {"positive": _one(0.5)},
}
FLOAT_DTYPES = {"integer": _as(np.int64), "boolean": _as(np.bool_), "complex": _as(np.complex64)}
INDEX_DTYPES = {"float": _as(np.float64), "int32": _as(np.int32), "boolean": _as(np.bool_)}


@dataclass(frozen=True)
class Elsewhere:
    """An array on another device than the rest: `meta`, which every torch has."""

    array: Array


TYPES: dict[str, Fault] = {"none": lambda array: None, "list": lambda array: array.tolist()}
TOGETHER: dict[str, Fault] = {
    "extra_axis": lambda array: array[..., None],
    "integer": lambda array: array.astype(np.int64),
    "boolean": lambda array: array.astype(np.bool_) if array.dtype.kind == "f" else array,
}

_WORDS: dict[str, Any] = {"text": "1", "none": None}
_NAMES: dict[str, Any] = {"unknown": "average", "other_case": "Mean", "empty": "", "batchmean": "batchmean"}
_FLAG: dict[str, Any] = {"text": "yes"}
OPTIONS: dict[str, dict[str, Any]] = {
    "reduction": {**_NAMES, "old_name": "elementwise_mean", "integer": 1, "none": None},
    "delta": {"zero": 0.0, "negative": -1.0, "nan": np.nan, **_WORDS},
    "beta": {"negative": -1.0, "nan": np.nan, **_WORDS},
    "eps": {"zero": 0.0, "negative": -1.0, "nan": np.nan, **_WORDS},
    "margin": {"zero": 0.0, "negative": -1.0, "nan": np.nan, "above_one": 1.25, **_WORDS},
    "p": {"zero": 0, "negative": -1, "three": 3, "half": 0.5, "between": 1.5, "tiny": 1e-6, "nan": np.nan, **_WORDS},
    "label_smoothing": {"negative": -0.1, "above_one": 1.1, "nan": np.nan, **_WORDS},
    "ignore_index": {"fraction": 1.5, "huge": 2**70, "text": "1"},
    "blank": {"negative": -1, "past_the_end": 6, "far": FAR, "fraction": 1.5, **_WORDS},
    **dict.fromkeys(("full", "log_input", "log_target", "swap", "zero_infinity"), _FLAG),
}
# Faults that NumPy, and so the specification, does not know.
BEYOND = (*TYPES, "other_device", "int32", "text", "fraction", "huge")


# What the documentation of a loss rules out and the specification, for the sake of its formula, does not.
_LOGS, _SAME = "input contains log-probabilities", "target has the same shape as input"
_SIGNS, _UNIT = "target contains 1 or -1", "targets are numbers between 0 and 1"
_OUTSIDE, _ROWS = ("below_zero", "above_one"), ("SoftMargin", "HingeEmbedding", "PoissonNLL", "KLDiv")
DOCUMENTED: dict[tuple[str, str, str], str] = {
    **{(loss, "target", fault): _UNIT for loss in ("BCELoss", "BCEWithLogitsLoss") for fault in _OUTSIDE},
    ("BCELoss", "input", "nan"): "input is between 0 and 1",
    ("BCELoss", "target", "nan"): _UNIT,
    **{("MultiLabelSoftMarginLoss", "target", fault): "y[i] is 0 or 1" for fault in _OUTSIDE},
    **{("KLDivLoss", "target", fault): "target contains probabilities" for fault in _OUTSIDE},
    ("KLDivLoss", "target", "positive"): "target contains log-probabilities with log_target",
    ("KLDivLoss", "input", "positive"): _LOGS,
    ("NLLLoss", "input", "positive"): _LOGS,
    ("CTCLoss", "log_probs", "positive"): _LOGS,
    **{("SoftMarginLoss", "target", fault): _SIGNS for fault in ("zero", "two", "nan")},
    **{(f"{loss}Loss", "target", "missing_axis"): _SAME for loss in _ROWS},
    ("PoissonNLLLoss", "input", "negative"): "without log_input, input is the expectation of a Poisson distribution",
    ("PoissonNLLLoss", "target", "negative"): "target is a sample of a Poisson distribution",
    ("GaussianNLLLoss", "var", "nan"): "var contains positive variances",
    ("CosineEmbeddingLoss", "margin", "above_one"): "margin is a number from -1 to 1",
    **{
        ("CosineEmbeddingLoss", f"input{i}", f"axis{j}.one"): "input2 has the same shape as input1"
        for i in (1, 2)
        for j in (0, 1)
    },
    ("CrossEntropyLoss", "label_smoothing", "nan"): "label_smoothing is a float in [0.0, 1.0]",
    ("LinearCrossEntropyLoss", "label_smoothing", "nan"): "label_smoothing is a float in [0.0, 1.0]",
    ("TripletMarginLoss", "p", "half"): "p is the norm degree, an int",
    ("TripletMarginLoss", "p", "tiny"): "p is the norm degree, an int",
}


def array_faults(call: Call, name: str) -> dict[str, Fault]:
    """What can be wrong with an array."""
    array, domain = call.arrays[name], call.domains[name]
    if name in call.limits:
        low = -2 if domain == "labels" else -1
        ends = {"past_the_end": call.limits[name], "negative": low, "far": FAR, "far_negative": -FAR}
        values = {fault: _one(value) for fault, value in ends.items()} | INDEX_DTYPES
        if name == "targets":
            values["blank"] = _one(call.options["blank"])
    else:
        values = VALUES.get(domain, {}) | FLOAT_DTYPES
    types = {fault: change for fault, change in TYPES.items() if fault != "none" or name not in call.optional}
    return values | dict(_shapes(array)) | types | {"other_device": Elsewhere}


def _shapes(array: Array) -> Iterator[tuple[str, Fault]]:
    yield "extra_axis", lambda a: a[..., None]
    for axis, size in enumerate(array.shape):
        yield f"axis{axis}.longer", _taken(axis, [*range(size), 0])
        yield f"axis{axis}.one", _taken(axis, [0])
        yield f"axis{axis}.shorter", _taken(axis, [*range(size - 1)])
    if array.ndim:
        yield "missing_axis", lambda a: a[0]


def _taken(axis: int, places: list[int]) -> Fault:
    return lambda array: np.take(array, places, axis)


# -- right calls ------------------------------------------------------------------------------------------------


def _drawn(row: Row, variant: Variant) -> Call:
    """A variant of a row, with typical inputs."""
    arrays = draw(row, variant, "typical", FORMATS["float32"]).arguments
    domains = {name: choice.domain for name, choice in variant.choices.items()}
    classes = variant.form.axes.get("C", 0)
    return Call(
        loss=row.name,
        function=row.function,
        form=variant.form.name,
        arrays=arrays,
        options=variant.options,
        domains=domains,
        places={a.name: a.place for a in row.arguments},
        limits={name: classes for name, array in arrays.items() if array.dtype.kind == "i"},
        optional=frozenset(a.name for a in row.arguments if any(c.domain == "absent" for c in a.choices)),
        reductions=row.reductions,
    )


def _plainest(row: Row) -> list[Variant]:
    """All variants, those first that change the fewest options and are given the fewest arguments."""

    def plainness(v: Variant) -> tuple[int, int]:
        given = sum(choice.domain != "absent" for choice in v.choices.values())
        return sum(value != row.options[name][0] for name, value in v.options.items()), given

    return sorted(row.variants(), key=plainness)


def _right(row: Row) -> Iterator[tuple[Call, str]]:
    """(call, argument): for each form and each way to fill an argument, the plainest valid call that fills it so."""
    every = _plainest(row)
    for form in row.forms:
        for argument in row.arguments:
            for choice in argument.choices:
                if choice.domain != "absent":
                    fit = next(v for v in every if v.form is form and v.choices[argument.name] is choice)
                    yield _drawn(row, fit), argument.name


def _of_probabilities(row: Row) -> Iterator[tuple[Call, str]]:
    """(call, argument): the weights of a module, given with class probabilities: they take a path of their own."""
    found = [v for v in _plainest(row) if v.form is row.forms[0] and "target" in v.choices and v.choices["target"].label == "probabilities"]
    for argument in row.arguments:
        given = [v for v in found if argument.place == "constructor" and v.choices[argument.name].domain != "absent"]
        yield from ((replace(_drawn(row, v), form=f"{v.form.name}_probabilities"), argument.name) for v in given[:1])


def _ctc() -> Iterator[Call]:
    """Padded, concatenated and unbatched: 5 frames, 2 rows, 6 classes, targets of 3 and 2."""
    x = np.random.default_rng(0).standard_normal((5, 2, 6)) / 4 - np.log(6)
    padded, one = np.array([[1, 2, 3], [4, 5, 1]]), np.array([1, 2, 3])
    rows = {
        "padded": (x, padded, np.array([5, 4]), np.array([3, 3])),
        "concatenated": (x, padded.reshape(-1), np.array([5, 4]), np.array([3, 3])),
        "unbatched": (x[:, 0], one, np.array(5), np.array(3)),
    }
    names = ("log_probs", "targets", "input_lengths", "target_lengths")
    domains = dict(zip(names, ("log_probability", "index", "length", "length"), strict=True))
    for form, arrays in rows.items():
        options = {"blank": 0, "zero_infinity": False}
        limits = {"targets": 6, "input_lengths": 6, "target_lengths": 4}
        given = dict(zip(names, arrays, strict=True))
        yield Call("CTCLoss", "ctc_loss", form, given, options, domains, dict.fromkeys(names, "call"), limits)


def _full(row: Row) -> Call:
    """Every argument and option given that may be, and in float64: other code may look at what is bad then."""

    def fullness(v: Variant) -> tuple[int, int]:
        given = sum(choice.domain != "absent" for choice in v.choices.values())
        return given, sum(value != row.options[name][0] for name, value in v.options.items())

    full = max((v for v in row.variants() if v.form is row.forms[0] and "probabilities" not in v.name), key=fullness)
    return replace(_drawn(row, full), form=f"{full.form.name}_full", dtype="float64")


IN_FULL = ("past_the_end", "negative", "below_zero", "above_one")
"""What may be wrong in a call with everything given: values, on which shapes and types do not depend."""


# -- bad calls --------------------------------------------------------------------------------------------------


# CTC has three forms, below; the arguments of adaptive softmax are layers, and their faults rows of their own.
ELSEWHERE = ("CTCLoss", "AdaptiveLogSoftmaxWithLoss")


def _of(call: Call, name: str) -> Iterator[BadCall]:
    yield from (BadCall(call, name, fault) for fault in array_faults(call, name))


def _with_options(call: Call) -> Iterator[BadCall]:
    for option in (*call.options, "reduction"):
        for fault, value in OPTIONS.get(option, {}).items():
            if value not in call.reductions or option != "reduction":
                yield BadCall(call, option, fault)


def candidates() -> Iterator[BadCall]:
    """Everything that is tried, refused by the specification or not."""
    for row in CATALOG:
        if row.name in ELSEWHERE or row.namespace:
            continue
        right = list(_right(row))
        yield from (bad for call, name in right for bad in _of(call, name))
        yield from (bad for call, name in _of_probabilities(row) for bad in _of(call, name))
        first = [call for call, name in right if name == row.arguments[0].name]
        yield from (BadCall(call, "all", fault) for call in first for fault in TOGETHER)
        yield from _with_options(right[0][0])
        full = _full(row)
        values = [bad for name in full.arrays for bad in _of(full, name)] + list(_with_options(full))
        yield from (bad for bad in values if bad.fault in IN_FULL and bad.argument != "reduction")
        for call, name in right:
            if name in row.function_only and call.form == row.forms[0].name:  # these reduce on a path of their own
                weighted = replace(call, form=f"{call.form}_weighted")
                yield from (bad for bad in _with_options(weighted) if bad.argument == "reduction")
    for call in _ctc():
        yield from (bad for name in call.arrays for bad in _of(call, name))
        yield from (BadCall(call, "all", fault) for fault in TOGETHER)
        if call.form == "padded":
            yield from _with_options(call)


@cache
def bad_calls() -> dict[str, BadCall]:
    """Those that are bad, by id. What does not depend on the shape is asked in one form only, on each path."""
    found: dict[str, BadCall] = {}
    asked: set[tuple[str, str, str, bool]] = set()
    for bad in candidates():
        once = bad.fault in (*TYPES, *FLOAT_DTYPES, *INDEX_DTYPES)
        key = (bad.good.loss, bad.argument, bad.fault, bad.good.form.endswith("_probabilities"))
        if bad.id in found or (once and key in asked) or not bad.refused:
            continue
        asked.add(key)
        found[bad.id] = bad
    return found
