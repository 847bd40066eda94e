"""The cases of the matrix: names, from which inputs and truths are made when a test runs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

import reference
from reference.accuracy import Truth
from reference.arithmetic import FloatArray
from reference.catalog import CATALOG, ROWS, Form, Row, Variant
from reference.formats import FORMATS, Format
from reference.inputs import draw, regimes, seed_of


@dataclass(frozen=True, slots=True)
class Case:
    """One call of one loss. The id spells out every choice, and is the same from release to release."""

    row: Row
    variant: Variant
    reduction: str
    format: Format
    device: str
    regime: str
    seed: int = 0

    @property
    def id(self) -> str:
        """Loss-variant-reduction-dtype-device-regime."""
        return f"{self.row.name}-{self.variant.name}-{self.reduction}-{self.format.name}-{self.device}-{self.regime}"

    @property
    def truth(self) -> Truth:
        """The definition at this case's inputs; shared by its reductions."""
        return _truth(self.row.name, self.variant.name, self.regime, self.format.name, self.seed)

    def cotangent(self, shape: tuple[int, ...]) -> FloatArray:
        """Random, seeded by the id, and representable: ones would not see a factor misplaced between elements."""
        rng = np.random.default_rng(seed_of(self.id, self.seed))
        return self.format.round(rng.standard_normal(shape))


@lru_cache(maxsize=32)  # the cases of one truth follow each other
def _truth(row: str, variant: str, regime: str, format: str, seed: int) -> Truth:
    entry, form = ROWS[row], FORMATS[format]
    chosen = by_name(row)[variant]
    drawn = draw(entry, chosen, regime, form, seed)
    return Truth(entry, chosen, drawn, form, regime, getattr(reference, entry.function).definition)


@lru_cache
def by_name(row: str) -> dict[str, Variant]:
    """The variants of a row, those in its wide forms and those of many elements included, by name."""
    entry = ROWS[row]
    extra = [entry.plain(form) for form in entry.wide] + [v for form in (*_many(entry), *_several(entry)) for v in _plain(entry, form)]
    extra += [v for form in (*entry.wide[:1], *_many(entry)) for v in entry.elsewhere(form)]
    return {v.name: v for v in (*entry.variants(), *extra)}


def _many(row: Row) -> list[Form]:
    """Its forms of many elements."""
    return [form for form in (row.many, row.images) if form is not None]


def _several(row: Row) -> list[Form]:
    """A quarter of them, in float64: its truth is slow, and of so many numbers a sum in float32 is as far off."""
    return [form if "T" in form.axes else _quarter(form) for form in _many(row)]  # of frames there are as many as labels need


def _quarter(form: Form) -> Form:
    longest = max(form.axes, key=form.axes.__getitem__)
    return Form(form.name.replace("many", "several"), {**form.axes, longest: form.axes[longest] // 4})


def _plain(row: Row, form: Form) -> list[Variant]:
    """The plain call, and that with weights, if there are any: they are a sum of their own."""
    return list({v.name: v for v in (row.plain(form), row.plain(form, "weight"))}.values())


AT_ONCE = 5
"""How many variants of a pairwise cover meet each regime but `typical`, beside the plain call; which ones, goes round."""


def untypical(row: Row, at_once: int) -> Iterator[tuple[Variant, str]]:
    """(variant, regime): every regime but `typical`, each with the plain call and so many of the pairwise cover; which ones, goes round."""
    few, plain = row.few(), row.plain(row.forms[0])
    for turn, regime in enumerate(dict.fromkeys(r for v in few for r in regimes(row, v) if r != "typical")):
        able = [v for v in few if regime in regimes(row, v) and v.name != plain.name]
        start = turn * at_once % max(len(able), 1)
        first = [plain] if regime in regimes(row, plain) else []
        yield from ((v, regime) for v in (*first, *(able[start:] + able[:start])[:at_once]))


@lru_cache
def _calls(row: str, full: bool) -> tuple[tuple[Variant, str], ...]:
    """(variant, regime): every pair of options in `typical`, every combination in the first form or in all if `full`; else a few of them."""
    entry = ROWS[row]
    pairs = {v.name for v in entry.few()}
    calls = [(v, "typical") for v in entry.variants() if full or v.name in pairs or v.form is entry.forms[0]]
    calls += untypical(entry, AT_ONCE)
    calls += [(entry.plain(form), r) for form in entry.wide for r in ("typical", "masked") if r in regimes(entry, entry.plain(form))]
    calls += [(v, "typical") for form in entry.wide[:1] for v in entry.elsewhere(form) if v.name != entry.plain(form).name]
    for form in _many(entry):  # elementwise losses meet their options in the sweep of half precision
        calls += [(v, "typical") for v in (entry.elsewhere(form) if full and not entry.elementwise else _plain(entry, form))]
        if not full:  # of small terms a share may be nothing in half precision; of products of one sign a running sum stays behind
            adding = ("tiny", "offset") if "D" in form.axes else ("tiny",)
            calls += [(entry.plain(form), r) for r in adding if r in regimes(entry, entry.plain(form))]
    return tuple(calls)


def matrix(
    dtypes: Iterable[str],
    devices: Iterable[str],
    seed: int,
    rows: Iterable[Row] = CATALOG,
    missing: Callable[[Row, str, str], bool] = lambda row, dtype, device: False,
) -> Iterator[Case]:
    """Every case of the matrix, but of what is `missing`.

    Every reduction in float32 at typical inputs and every pair of options; else one of them, turn about, so that each
    meets every regime, and in float32 `none` as well.
    """
    for row in rows:
        pairs = {v.name for v in row.few()}
        for device, (turn, dtype) in itertools.product(devices, enumerate(dtypes)):
            if missing(row, dtype, device):
                continue
            calls = _calls(row.name, full=dtype == "float32")
            if dtype == "float64":  # whose truth is slow, and to which the widest, or many without weights, tell nothing that others do not
                calls = tuple((v, r) for v, r in calls if v.form not in (*row.wide[2:], *_many(row)))
                calls += tuple((_plain(row, form)[-1], "typical") for form in _several(row))
            often = Counter(regime for _, regime in calls)
            for i, (variant, regime) in enumerate(calls):
                plain = dtype == "float32" and (variant.name in pairs or variant.form in row.wide[:1])
                every = often[regime] < len(row.reductions) or (regime == "typical" and plain)
                for reduction in _reductions(row, variant, dtype, None if every else i + turn):
                    yield Case(row, variant, reduction, FORMATS[dtype], device, regime, seed)


def _reductions(row: Row, variant: Variant, dtype: str, turn: int | None) -> tuple[str, ...]:
    """All, or the one whose turn it is; in float32 with `none`, but for options that meet many elements.

    Many elements are there to be added up: in half precision in every way, in float64, whose truth is slow, in one.
    """
    if dtype != "float32" and (variant.form is row.many or variant.form in _several(row)[:1]):
        adding = row.reductions[1:]
        return adding if turn is None or dtype != "float64" else (adding[turn % len(adding)],)
    if turn is None:
        return row.reductions
    one = row.reductions[turn % len(row.reductions)]
    optional = variant.form in _many(row) and variant.name != row.plain(variant.form).name
    return (one,) if dtype != "float32" or optional else tuple(dict.fromkeys(("none", one)))
