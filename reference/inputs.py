"""Which inputs: from a row, a variant, a regime and a seed to arrays.

An argument has a *domain*: what its values mean. A *regime* is a part of the domain where a kind of mistake
shows. A domain that says nothing about a regime is drawn as in `typical`; a regime that no argument of a loss
says anything about does not apply to it. All values are exactly representable in the format.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arithmetic import FloatArray
from .catalog import Argument, Form, Row, Variant
from .formats import Format

Rng = np.random.Generator
Shape = tuple[int, ...]
Draw = Callable[[Rng, Shape, Format], FloatArray]


# -- real numbers -----------------------------------------------------------------------------------------------


def _spread(values: FloatArray, rng: Rng, shape: Shape) -> FloatArray:
    """`values`, each at least once if there is room, in random places."""
    return rng.permuted(np.resize(values, shape) if shape else rng.choice(values, 1)).reshape(shape)


def _normal(scale: float, offset: float = 0.0) -> Draw:
    return lambda rng, shape, format: offset + scale * rng.standard_normal(shape)


def _rows_apart(offset: float) -> Draw:
    """Near -offset and +offset, row by row: what is common to a row's logits does not count."""

    def draw(rng: Rng, shape: Shape, format: Format) -> FloatArray:
        rows = (shape[0], *[1] * (len(shape) - 1)) if len(shape) > 1 else ()
        return rng.standard_normal(shape) + np.resize([-offset, offset], rows)

    return draw


def _log_uniform(low: float, high: float, *, signed: bool = True) -> Draw:
    def draw(rng: Rng, shape: Shape, format: Format) -> FloatArray:
        size = np.exp2(rng.uniform(np.log2(max(low, format.step)), np.log2(min(high, format.max)), shape))
        return size * rng.choice([-1.0, 1.0], shape) if signed else size

    return draw


def _points(*points: Callable[[Format], list[float]]) -> Draw:
    return lambda rng, shape, format: _spread(np.array([v for p in points for v in p(format)]), rng, shape)


def _signed_zeros(format: Format) -> list[float]:
    return [0.0, -0.0]


def _ends(format: Format) -> list[float]:
    return [format.max, -format.max, format.max / 2, 1.0, -1.0]


def _tails(format: Format) -> list[float]:
    """Where exp over- and underflows, where 1 + exp(x) is 1, and halfway: to both sides, and one beyond."""
    marks = [np.log(format.max), -np.log(format.tiny), -np.log(format.step), -np.log(format.u), 16.0, 10.0, 5.0]
    return [s * (m + d) for m in marks for d in (-0.5, 0.5) for s in (-1.0, 1.0)]


def _small(format: Format) -> list[float]:
    return [
        format.step,
        -format.step,
        format.tiny,
        -format.tiny,
        format.tiny - format.step,
        0.0,
        -0.0,
        format.u,
        -format.u,
    ]


REAL: dict[str, Draw] = {
    "typical": _normal(1.5),
    "large": _log_uniform(1.0, 1e4),
    "huge": _points(_ends),
    "tiny": _points(_small),
    "zero": _points(_signed_zeros, lambda f: [0.0, 0.5, -0.5]),
    "offset": _normal(1.0, 1e4),
}

LOGITS: dict[str, Draw] = REAL | {
    "offset": _rows_apart(1e4),
    "tails": _points(_tails),
    "tied": _points(lambda f: [0.75]),
    "saturated": _normal(30.0),
    "two_classes": _normal(100.0),  # of which some losses are one of their difference
}


# -- numbers with a meaning -------------------------------------------------------------------------------------


def _uniform(low: float, high: float) -> Draw:
    return lambda rng, shape, format: rng.uniform(low, high, shape)


def _softmax(rng: Rng, shape: Shape, scale: float) -> FloatArray:
    x = scale * rng.standard_normal(shape)
    axis = min(1, len(shape) - 1)
    e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis, keepdims=True)


def _distribution(scale: float) -> Draw:
    return lambda rng, shape, format: _softmax(rng, shape, scale)


def _one_hot(rng: Rng, shape: Shape, format: Format) -> FloatArray:
    x = rng.standard_normal(shape)
    return (x == x.max(min(1, len(shape) - 1), keepdims=True, initial=-np.inf)).astype(float)


def _log_distribution(scale: float) -> Draw:
    def draw(rng: Rng, shape: Shape, format: Format) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.log(_softmax(rng, shape, scale))

    return draw


def _log_one_hot(rng: Rng, shape: Shape, format: Format) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(_one_hot(rng, shape, format))


def _sign(rng: Rng, shape: Shape, format: Format) -> FloatArray:
    return rng.choice([-1.0, 1.0], shape)


PROBABILITY: dict[str, Draw] = {
    "typical": _uniform(0.02, 0.98),
    "boundary": _points(lambda f: [0.0, 1.0]),
    "near_boundary": _points(lambda f: [f.step, f.tiny, f.u, 1 - f.u, 1 - 2 * f.u, 0.0, 1.0, 0.5]),
    "tiny": _log_uniform(0.0, 1e-3, signed=False),
}
DISTRIBUTION: dict[str, Draw] = {
    "typical": _distribution(1.5),
    "boundary": _one_hot,
    "unnormalized": _uniform(0.0, 1.0),
    "tiny": _distribution(30.0),
}
LOG_PROBABILITY: dict[str, Draw] = {
    "typical": _log_distribution(1.5),
    "boundary": _log_one_hot,
    "trained": _log_distribution(8.0),
    "large": _log_distribution(300.0),
}


def _last(draw: Draw) -> Draw:
    """The same, with the distributions along the last axis."""
    return lambda rng, shape, format: draw(rng, (int(np.prod(shape[:-1])), shape[-1]), format).reshape(shape)


DOMAINS: dict[str, dict[str, Draw]] = {
    "absent": {},
    "real": REAL,
    "logits": LOGITS,
    "features": {r: d for r, d in REAL.items() if r != "huge"},  # the input of a layer
    "layer": {r: REAL[r] for r in ("typical", "tiny", "zero")},  # the weights of a layer
    "log_rate": {
        "typical": _normal(1.5),
        "tiny": REAL["tiny"],
        "zero": REAL["zero"],
        "tails": _points(lambda f: [x for x in _tails(f) if x < np.log(f.max)]),
    },
    "positive": {
        "typical": _uniform(0.05, 4.0),
        "tiny": _log_uniform(0.0, 1e-3, signed=False),
        "large": _log_uniform(1.0, 1e4, signed=False),
    },
    "variance": {
        "typical": _uniform(0.05, 4.0),
        "tiny": _log_uniform(0.0, 1e-3, signed=False),
        "large": _log_uniform(1.0, 1e4, signed=False),
    },
    "count": {
        "typical": lambda rng, shape, format: rng.poisson(2.0, shape) + rng.choice([0.0, 0.5], shape),
        "zero": _points(_signed_zeros),
        "large": _log_uniform(1.0, 1e4, signed=False),
    },
    "probability": PROBABILITY,
    "distribution": DISTRIBUTION,
    "log_probability": LOG_PROBABILITY,
    "log_probability_last": {r: _last(d) for r, d in LOG_PROBABILITY.items()},
    "alignment": {},
    "built": {},
    "sign": {"typical": _sign},
    "weight": {
        "typical": _uniform(0.2, 2.0),
        "zero": _points(lambda f: [0.0, 0.5, 1.5]),
        "large": _log_uniform(1.0, 1e3, signed=False),
    },
}
INDEX_DOMAINS = ("index", "ignored", "labels")

# Regimes that depend on more than one argument, or on the shape.
JOINT = ("near", "trained", "certain", "kinks", "zero_weight", "all_ignored", "masked")
SHAPES = {"empty": ("N", 0), "single": ("N", 1), "one_class": ("C", 1), "two_classes": ("C", 2)}
"""The axis that has another length, and which."""
SPECIAL = {"nan": np.nan, "inf": np.inf, "neginf": -np.inf}


# -- regimes of a row -------------------------------------------------------------------------------------------


def regimes(row: Row, variant: Variant) -> Iterator[str]:
    """The regimes that apply to a variant, `typical` first."""
    domains = {a.name: variant.choices[a.name].domain for a in row.arguments}
    says = dict.fromkeys(r for d in domains.values() for r in DOMAINS.get(d, {}))
    yield from says
    yield from row.also
    if row.kinks is not None and row.kinks_if(variant.options):
        yield "kinks"
    if {"input", "target"} <= set(domains) and domains["input"] == domains["target"] == "real":
        yield "near"
    if domains.get("input") == "logits" and domains.get("target") in ("index", "ignored", "sign", "probability"):
        yield "trained"
    if domains.get("input") == "logits" and domains.get("target") == "probability":
        yield "certain"
    if domains.get("input") == "logits" and domains.get("target") in ("index", "ignored"):
        yield "masked"
    if domains.get("weight") == "weight":
        yield "zero_weight"
    if domains.get("target") == "ignored":
        yield "all_ignored"
    if "N" in variant.form.axes and row.finish is None:
        yield "empty"
    if row.finish is None or "N" in variant.form.axes:
        yield "single"
    if (
        "C" in variant.form.axes
        and row.finish is None
        and any(a.name == "target" and variant.choices["target"].domain in INDEX_DOMAINS for a in row.arguments)
    ):
        yield "one_class"
        yield "two_classes"
    for name, domain in domains.items():
        for regime, value in SPECIAL.items():
            if (
                domain in ("real", "logits", "log_rate", "layer", "features")
                or (
                    domain
                    in ("weight", "probability", "count", "distribution", "log_probability", "log_probability_last")
                    and regime == "nan"
                    and not (row.function == "binary_cross_entropy" and name != "weight")
                )
                or (
                    domain in ("weight", "log_probability", "log_probability_last")
                    and value == (np.inf if domain == "weight" else -np.inf)
                )
            ):
                yield f"{regime}_{name}"
    if sum(domain == "real" for domain in domains.values()) > 1:
        yield "inf_all"  # at the same places: inf - inf


# -- drawing ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """The arguments of one call, by name, and its options."""

    arguments: dict[str, Any]
    options: dict[str, Any]


def seed_of(text: str, seed: int = 0) -> int:
    """A seed that is the same on every machine for the same case."""
    return zlib.crc32(text.encode()) ^ seed


def draw(row: Row, variant: Variant, regime: str, format: Format, seed: int = 0) -> Drawn:
    """The arguments of a case: float64 arrays of numbers that `format` has, int64 arrays of indices."""
    rng = np.random.default_rng(seed_of(f"{row.name}-{variant.name}-{regime}-{format.name}", seed))
    form = variant.form
    if regime in SHAPES:
        axis, size = SHAPES[regime]
        form = Form(form.name, {**form.axes, axis if axis in form.axes else next(iter(form.axes)): size})
    arguments: dict[str, Any] = {}
    for a in row.arguments:
        choice = variant.choices[a.name]
        if choice.domain != "absent":
            arguments[a.name] = _one(
                rng, row, a, choice.domain, form.shape(choice.shape), form.axes, variant, regime, format
            )
    if row.finish is not None:
        row.finish(rng, arguments, variant.options, format, variant.choices, regime)
    _join(rng, row, variant, regime, format, arguments)
    return Drawn(arguments, {n: v for n, v in variant.options.items() if n not in row.module_only})


def _one(
    rng: Rng, row: Row, a: Argument, domain: str, shape: Shape, axes: Any, variant: Variant, regime: str, format: Format
) -> Any:
    if domain in ("index", "ignored"):
        index = rng.integers(0, max(axes["C"], 1), shape)
        if index.size > 1:
            index.flat[-1] = axes["C"] - 1  # the last class, where an off-by-one shows
        if domain == "ignored" and index.size:
            ignore = variant.options.get("ignore_index")
            where = [0, index.size // 2, index.size - 1] if index.size > 3 else [index.size - 1]
            index.flat[where] = -100 if ignore is None else ignore
        return index
    if domain == "labels":
        index = np.argsort(rng.random(shape), axis=-1)  # every class once, so none twice
        stop = rng.integers(0, shape[-1] + 1, shape[:-1]) if shape[-1] else np.zeros(shape[:-1], int)
        return np.where(np.arange(shape[-1]) == stop[..., None], -1, index)
    if domain in ("alignment", "built"):  # drawn by the row's `finish`
        return np.zeros(shape, dtype=np.int64)
    draws = DOMAINS[domain]
    return format.round(np.asarray(draws.get(regime, draws["typical"])(rng, shape, format), dtype=np.float64))


def untied(row: Row, arguments: Mapping[str, Any], format: Format) -> dict[str, Any]:
    """The arguments, none equal to the one that it is subtracted from: ties have regimes of their own."""
    found = dict(arguments)
    for a, b in row.differences:
        if found[a].shape == found[b].shape:
            found[b] = np.where(found[a] == found[b], found[b] + format.ulp(found[b]), found[b])
    return found


def _join(rng: Rng, row: Row, variant: Variant, regime: str, format: Format, arguments: dict[str, Any]) -> None:
    """What a regime does to several arguments together."""
    if regime == "kinks" and row.kinks is not None:
        row.kinks(rng, arguments, variant.options, format)
    elif regime == "typical":
        arguments.update(untied(row, arguments, format))
    elif regime == "near":
        steps = rng.integers(-2, 3, arguments["target"].shape)
        arguments["input"] = format.round(arguments["target"] + steps * format.ulp(arguments["target"]))
    elif regime == "trained" and _domain(variant, "input") == "logits":
        if _domain(variant, "target") == "probability":  # half of them labels, of which a sure logit loses little, but not 0
            label = rng.random(arguments["target"].shape) < 0.5
            arguments["target"] = np.where(label, np.rint(arguments["target"]), arguments["target"])
        arguments["input"] = format.round(_confident(rng, arguments["input"], arguments["target"]))
    elif regime == "certain":  # and right about every label, so that a row of them loses next to nothing
        arguments["target"] = np.rint(arguments["target"])
        arguments["input"] = format.round(
            rng.uniform(10.0, 85.0, arguments["target"].shape) * np.where(arguments["target"] > 0, 1.0, -1.0)
        )
    elif regime == "zero" and "D" in variant.form.axes:
        _vanish([arguments[a.name] for a in row.arguments if _domain(variant, a.name) == "real"])
    elif regime == "masked":
        _mask(rng, arguments["input"], arguments["target"])
    elif regime == "zero_weight":
        arguments["weight"][...] = 0.0
    elif regime == "all_ignored":
        arguments["target"][...] = (
            -100 if variant.options.get("ignore_index") is None else variant.options["ignore_index"]
        )
    elif regime.partition("_")[0] in SPECIAL:
        kind, _, name = regime.partition("_")
        for array in (arguments[a.name] for a in row.arguments if name == a.name or (name == "all" and _domain(variant, a.name) == "real")):
            array.flat[:: max(2, array.size // 3)] = SPECIAL[kind]


def _domain(variant: Variant, name: str) -> str:
    return variant.choices[name].domain if name in variant.choices else ""


def _confident(rng: Rng, logits: FloatArray, target: Any) -> FloatArray:
    """Logits as a trained classifier gives them: mostly right, and sure of it by 3 to 25."""
    margin = rng.uniform(3.0, 25.0, logits.shape)
    if target.dtype.kind == "f":
        right = np.where(rng.random(logits.shape) < 0.9, 1.0, -1.0)
        return margin * right * np.where(target > (0.5 if target.min(initial=0.0) >= 0 else 0.0), 1.0, -1.0)
    axis = min(1, logits.ndim - 1)
    guess = np.where(rng.random(target.shape) < 0.9, target, rng.integers(0, logits.shape[axis], target.shape))
    chosen = np.expand_dims(guess, axis) == np.arange(logits.shape[axis]).reshape(
        (-1,) + (1,) * (logits.ndim - axis - 1)
    )
    return logits + np.where(chosen, margin, 0.0)


def _vanish(arguments: list[FloatArray]) -> None:
    """A vector of each argument becomes 0, all of another row, and of a single row that of the first argument."""
    for i, vectors in enumerate(a.reshape(-1, a.shape[-1]) for a in arguments):
        vectors[i : i + 1] = 0.0
        vectors[len(arguments) :][-1:] = 0.0


def _mask(rng: Rng, logits: FloatArray, target: Any) -> None:
    """-inf at about half of the classes, in blocks, and never at the target's."""
    axis = min(1, logits.ndim - 1)
    classes = np.moveaxis(logits, axis, -1)
    masked = np.broadcast_to(np.arange(classes.shape[-1]) // max(1, classes.shape[-1] // 4) % 2 == 0, classes.shape)
    classes[masked & (target[..., None] != np.arange(classes.shape[-1]))] = -np.inf
