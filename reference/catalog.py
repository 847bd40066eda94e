"""The table of losses: what each takes, and which values are worth trying.

A row is data. Inputs, cases, errors, benchmarks and the report are derived from it. To add a variant, add a
value to an option, a choice to an argument or a form to the forms: the cases follow.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import kinks, structured
from .loss import REDUCTIONS

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """A shape of the first argument, axis by axis: N the batch, C the classes, F features, T time."""

    name: str
    axes: Mapping[str, int]

    def shape(self, spec: str) -> Shape:
        """`N C 1` names axes and sizes; `*` is every axis, `*-C` every axis but C; `S:4` is 4 where there is no S."""
        sizes: list[int] = []
        for word in spec.split():
            if word[0] == "*":
                sizes += [n for axis, n in self.axes.items() if axis not in word[2:].split("-")]
            else:
                axis, _, otherwise = word.rpartition(":")
                sizes.append(self.axes.get(axis, int(otherwise)) if otherwise.isdigit() else self.axes[word])
        return tuple(sizes)


@dataclass(frozen=True)
class Choice:
    """One way to fill an argument: from a domain of `reference.inputs`, in a shape."""

    label: str
    domain: str
    shape: str = "*"


ABSENT = Choice("", "absent")


@dataclass(frozen=True)
class Argument:
    """An array argument. Its place is `call`, or the module's `constructor`, or a module's `parameter`."""

    name: str
    choices: tuple[Choice, ...]
    place: str = "call"
    gradient: bool | str = True  # torch differentiates in it; a name: where that argument holds numbers, not classes


def argument(name: str, domain: str, shape: str = "*", **more: Any) -> Argument:
    """An argument with one choice."""
    return Argument(name, (Choice("", domain, shape),), **more)


def optional(name: str, domain: str, *shapes: str, **more: Any) -> Argument:
    """An argument that may be left out: absent, or in each of the shapes."""
    labels = [name if i == 0 else f"{name}_{s.replace(' ', '.').replace('*', 'full')}" for i, s in enumerate(shapes)]
    return Argument(name, (ABSENT, *(Choice(n, domain, s) for n, s in zip(labels, shapes, strict=True))), **more)


@dataclass(frozen=True)
class Variant:
    """One way to call a loss: a form, a choice per argument, a value per option."""

    form: Form
    choices: Mapping[str, Choice]
    options: Mapping[str, Any]
    name: str


@dataclass(frozen=True)
class Row:
    """A loss.

    name:       of the class in torch.nn
    function:   in torch.nn.functional and in `reference`; empty where torch has only the class
    options:    every option and the values worth trying, torch's default first
    function_only: the arguments that only the function takes
    elementwise: one element of the result depends on one element of each argument
    differences: the pairs of arguments of which one is taken from the other before anything else is done
    added:      options, or numbers, and the arguments, or differences of these, that they are added to or taken from
    relative:   arguments of which only differences within a row of classes count: the largest is taken from all, before all else
    intermediates: it adds and multiplies numbers larger than its terms, which may leave the format before these do
    kinks:      puts drawn inputs on the loss's kinks and ties, exactly
    kinks_if:   whether options allow that; others have no such regime
    finish:     draws what depends on several arguments at once, in place
    module_only: options of the module that only shape its parameters
    namespace:  where torch has the function, if not in torch.nn.functional
    also:       regimes besides those that its domains bring
    valid:      which combinations are calls at all
    many:       a form of many elements; images: another, of more axes, where they have a kernel of their own
    since:      the torch release that has it
    """

    name: str
    function: str
    arguments: tuple[Argument, ...]
    forms: tuple[Form, ...]
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    reductions: tuple[str, ...] = REDUCTIONS
    default_reduction: str = "mean"
    function_only: tuple[str, ...] = ()
    elementwise: bool = False
    differences: tuple[tuple[str, str], ...] = ()
    relative: tuple[str, ...] = ()
    added: Mapping[str | float, tuple[str, ...]] = field(default_factory=dict)
    intermediates: bool = False
    kinks: Callable[..., None] | None = None
    kinks_if: Callable[[Mapping[str, Any]], bool] = lambda options: True
    finish: Callable[..., None] | None = None
    module_only: tuple[str, ...] = ()
    namespace: str = ""
    also: tuple[str, ...] = ()
    valid: Callable[[Mapping[str, Choice], Mapping[str, Any], Form], bool] = lambda choices, options, form: True
    many: Form | None = None
    images: Form | None = None
    wide: tuple[Form, ...] = ()
    since: str = "2.6"

    def variants(self) -> Iterator[Variant]:
        """Every valid combination of form, choices and options."""
        return iter(self._variants)

    def few(self) -> list[Variant]:
        """Variants in which every pair of values of two axes occurs, if it is valid at all."""
        return list(self._few)

    @cached_property
    def _few(self) -> tuple[Variant, ...]:
        return tuple(_pairwise(list(self.variants())))

    @cached_property
    def _variants(self) -> tuple[Variant, ...]:
        return tuple(self._combined())

    def _combined(self) -> Iterator[Variant]:
        names = [a.name for a in self.arguments]
        for form, *rest in itertools.product(self.forms, *(a.choices for a in self.arguments), *self.options.values()):
            choices = dict(zip(names, rest[: len(names)], strict=True))
            options = dict(zip(self.options, rest[len(names) :], strict=True))
            if self.valid(choices, options, form):
                yield Variant(form, choices, options, self._label(form, choices, options))

    def plain(self, form: Form, *labels: str) -> Variant:
        """Defaults throughout, but for the choices that are called so, in a form of one's own."""
        choices = {a.name: next((c for c in a.choices if c.label and c.label in labels), a.choices[0]) for a in self.arguments}
        options = {name: values[0] for name, values in self.options.items()}
        return Variant(form, choices, options, self._label(form, choices, options))

    def others(self, **options: Any) -> list[Variant]:
        """Every choice of arguments in the first form, with these values of options, and torch's defaults of the rest."""
        every = {name: values[0] for name, values in self.options.items()} | options
        choices = {tuple(v.choices.values()): v.choices for v in self._variants}.values()
        return [
            Variant(self.forms[0], chosen, every, self._label(self.forms[0], chosen, every))
            for chosen in choices
            if self.valid(chosen, every, self.forms[0])
        ]

    def elsewhere(self, form: Form) -> list[Variant]:
        """A pairwise cover of choices and options, in a form of one's own."""
        batched = [v for v in self.variants() if v.form is self.forms[0]]
        return [Variant(form, v.choices, v.options, self._label(form, v.choices, v.options)) for v in _pairwise(batched)]

    def _label(self, form: Form, choices: Mapping[str, Choice], options: Mapping[str, Any]) -> str:
        said = [form.name, *(c.label for c in choices.values() if c.label)]
        said += [f"{n}.{_word(v)}" for n, v in options.items() if v != self.options[n][0]]
        return "_".join(said)


def _word(value: Any) -> str:
    return str(getattr(value, "__name__", value)).replace("-", "m").replace("(", "").replace(")", "").replace(", ", ".").replace(",", "")


def _pairwise(variants: list[Variant]) -> list[Variant]:
    """A greedy pairwise cover: the next variant is the one that shows the most pairs not yet seen."""

    def pairs(v: Variant) -> set[tuple[Any, Any]]:
        values = [("form", v.form.name), *((n, c.label) for n, c in v.choices.items())]
        values += [(n, repr(o)) for n, o in v.options.items()]
        return set(itertools.combinations(values, 2)) or {(values[0], None)}

    found: list[Variant] = []
    left = {v.name: (v, pairs(v)) for v in variants}
    unseen = set().union(*(p for _, p in left.values())) if left else set()
    while unseen:
        name = max(left, key=lambda n: len(left[n][1] & unseen))
        variant, shown = left.pop(name)
        found.append(variant)
        unseen -= shown
    return found


# -- forms ------------------------------------------------------------------------------------------------------

ELEMENTS = (Form("matrix", {"N": 13, "C": 21}), Form("vector", {"C": 7}))
ALSO_SQUARE = (*ELEMENTS, Form("square", {"N": 6, "C": 6}))  # what is broadcast along the wrong axis fits there, too
CLASSES = (
    Form("batch", {"N": 6, "C": 6}),  # square: a wrong class axis does not crash, it is wrong
    Form("unbatched", {"C": 5}),
    Form("k1", {"N": 4, "C": 5, "d1": 4}),
    Form("k2", {"N": 3, "C": 3, "d1": 3, "d2": 3}),
    Form("k3", {"N": 2, "C": 3, "d1": 2, "d2": 1, "d3": 2}),
)
ROWS_OF_CLASSES = CLASSES[:2]
VECTORS = (Form("batch", {"N": 8, "D": 6}), Form("unbatched", {"D": 6}))
MANY = Form("many", {"N": 400, "C": 257})  # 102,800 elements
MANY_ROWS = Form("many", {"N": 34_000, "C": 3})
IMAGES = Form("many_k2", {"N": 2, "C": 3, "d1": 100, "d2": 200})
WIDE = (
    Form("wide4099", {"N": 4, "C": 4099}),
    Form("wide33000", {"N": 3, "C": 33_000}),
    Form("wide131100", {"N": 2, "C": 131_100}),
)
PAST_A_WARP = (
    Form("wide64", {"N": 40, "C": 64}),  # more classes than the 32 threads that need no barrier
    Form("wide513", {"N": 2, "C": 513}),
)


# -- arguments --------------------------------------------------------------------------------------------------

INPUT, TARGET = argument("input", "real"), argument("target", "real")
LOGITS = argument("input", "logits")
SIGN = argument("target", "sign", gradient=False)
ELEMENT_WEIGHT = optional("weight", "weight", "*")
CLASS_WEIGHT = optional("weight", "weight", "C", place="constructor", gradient="target")
INDICES = Choice("", "index", "*-C")
IGNORED = Choice("ignored", "ignored", "*-C")
PROBABILITIES = Choice("probabilities", "distribution", "*")
IGNORE = (-100, 1, 0, -1, 255)
RESIDUAL = (("input", "target"),)
TRIPLET = (("anchor", "positive"), ("anchor", "negative"), ("positive", "negative"))


def _regression(name: str, function: str, **more: Any) -> Row:
    return Row(
        name,
        function,
        (INPUT, TARGET, ELEMENT_WEIGHT),
        ELEMENTS,
        function_only=("weight",),
        many=MANY,
        elementwise=True,
        differences=RESIDUAL,
        **more,
    )


def _class_target(choices: Mapping[str, Choice], options: Mapping[str, Any], form: Form) -> bool:
    return choices["target"] is not PROBABILITIES or options["ignore_index"] in (-100, None)


def _aligned(choices: Mapping[str, Choice], options: Mapping[str, Any], form: Form) -> bool:
    return choices["targets"].label != "concatenated" or "N" in form.axes


CATALOG: tuple[Row, ...] = (
    _regression("L1Loss", "l1_loss", kinks=kinks.residual(lambda o: (0.0,))),
    _regression("MSELoss", "mse_loss", kinks=kinks.residual(lambda o: (0.0,))),
    _regression(
        "HuberLoss",
        "huber_loss",
        options={"delta": (1.0, 0.25, 2.7, 30.0)},
        kinks=kinks.residual(lambda o: (0.0, o["delta"], -o["delta"])),
    ),
    Row(
        "SmoothL1Loss",
        "smooth_l1_loss",
        (INPUT, TARGET),
        ELEMENTS,
        options={"beta": (1.0, 0.0, 0.25, 2.7, 30.0)},
        kinks=kinks.residual(lambda o: (0.0, o["beta"], -o["beta"])),
        many=MANY,
        elementwise=True,
        differences=RESIDUAL,
    ),
    Row(
        "PoissonNLLLoss",
        "poisson_nll_loss",
        (Argument("input", (Choice("", "log_rate"), Choice("rate", "positive"))), argument("target", "count")),
        ELEMENTS,
        options={"log_input": (True, False), "full": (False, True), "eps": (1e-8, 0.3)},
        valid=lambda c, o, f: (
            (c["input"].label == "rate") != o["log_input"] and (o["eps"] == 1e-8 or not o["log_input"])
        ),
        kinks=kinks.counts,
        added={"eps": ("input",)},
        many=MANY,
        elementwise=True,
    ),
    Row(
        "GaussianNLLLoss",
        "gaussian_nll_loss",
        (
            INPUT,
            TARGET,
            Argument(
                "var",
                (Choice("", "variance"), Choice("var_row", "variance", "*-C"), Choice("var_one", "variance", "*-C 1")),
            ),
        ),
        ALSO_SQUARE,
        options={"full": (False, True), "eps": (1e-6, 0.3)},
        kinks=kinks.variances,
        many=MANY,
        elementwise=True,
        differences=RESIDUAL,
    ),
    Row(
        "KLDivLoss",
        "kl_div",
        (
            argument("input", "log_probability"),
            Argument("target", (Choice("", "distribution"), Choice("logs", "log_probability"))),
        ),
        (Form("batch", {"N": 6, "C": 6}), Form("vector", {"C": 7}), Form("k2", {"N": 3, "C": 4, "d1": 3, "d2": 2})),
        options={"log_target": (False, True)},
        reductions=(*REDUCTIONS, "batchmean"),
        valid=lambda c, o, f: (c["target"].label == "logs") == o["log_target"],
        many=MANY,
        elementwise=True,
    ),
    Row(
        "BCELoss",
        "binary_cross_entropy",
        (
            argument("input", "probability"),
            argument("target", "probability"),
            optional("weight", "weight", "*", "C", place="constructor", gradient=False),
        ),
        ALSO_SQUARE,
        many=MANY,
        elementwise=True,
    ),
    Row(
        "BCEWithLogitsLoss",
        "binary_cross_entropy_with_logits",
        (
            LOGITS,
            argument("target", "probability"),
            optional("weight", "weight", "*", "C", place="constructor", gradient=False),
            optional("pos_weight", "weight", "C", "*", place="constructor", gradient=False),
        ),
        ALSO_SQUARE,
        many=MANY,
        elementwise=True,
        intermediates=True,
    ),
    Row("SoftMarginLoss", "soft_margin_loss", (LOGITS, SIGN), ELEMENTS, many=MANY, elementwise=True),
    Row(
        "MultiLabelSoftMarginLoss",
        "multilabel_soft_margin_loss",
        (LOGITS, argument("target", "probability"), optional("weight", "weight", "C", place="constructor")),
        (*ROWS_OF_CLASSES, Form("k1", {"N": 4, "d1": 3, "C": 4})),
        many=MANY,
        wide=WIDE[:1],
    ),
    Row(
        "NLLLoss",
        "nll_loss",
        (argument("input", "log_probability"), Argument("target", (INDICES, IGNORED), gradient=False), CLASS_WEIGHT),
        CLASSES,
        options={"ignore_index": IGNORE},
        many=MANY_ROWS,
        images=IMAGES,
        wide=WIDE[1:2],
    ),
    Row(
        "CrossEntropyLoss",
        "cross_entropy",
        (LOGITS, Argument("target", (INDICES, IGNORED, PROBABILITIES)), CLASS_WEIGHT),
        CLASSES,
        options={"ignore_index": IGNORE, "label_smoothing": (0.0, 0.1, 1.0, 0.001)},
        valid=_class_target,
        relative=("input",),
        many=MANY_ROWS,
        wide=WIDE,
        intermediates=True,
    ),
    Row(
        "LinearCrossEntropyLoss",
        "linear_cross_entropy",
        (
            argument("input", "features", "*-C-d1-d2-d3"),
            argument("linear_weight", "layer", "*-N", place="parameter"),
            Argument(
                "target",
                (
                    Choice("", "index", "*-C-F"),
                    Choice("ignored", "ignored", "*-C-F"),
                    Choice("probabilities", "distribution", "*-F"),
                ),
            ),
            optional("linear_bias", "layer", "*-N-F", place="parameter"),
            CLASS_WEIGHT,
        ),
        (
            Form("batch", {"N": 6, "C": 6, "F": 6}),
            Form("unbatched", {"C": 5, "F": 4}),
            Form("k1", {"N": 4, "C": 4, "d1": 4, "F": 4}),
        ),
        options={"ignore_index": (None, 0, -1, 255), "label_smoothing": (0.0, 0.1, 1.0)},
        valid=lambda c, o, f: c["target"].label != "probabilities" or o["ignore_index"] is None,
        wide=(Form("wide4099", {"N": 4, "C": 4099, "F": 3}),),
        many=Form("many", {"N": 2000, "C": 51, "F": 2}),
        since="2.13",
    ),
    Row(
        "MultiMarginLoss",
        "multi_margin_loss",
        (LOGITS, argument("target", "index", "*-C", gradient=False), CLASS_WEIGHT),
        ROWS_OF_CLASSES,
        options={"p": (1, 2), "margin": (1.0, 0.3, -0.5)},
        kinks=kinks.class_margin,
        kinks_if=kinks.exact,
        added={"margin": ("input",)},
        many=MANY_ROWS,
        wide=PAST_A_WARP,
        intermediates=True,
    ),
    Row(
        "MultiLabelMarginLoss",
        "multilabel_margin_loss",
        (LOGITS, argument("target", "labels", gradient=False)),
        ROWS_OF_CLASSES,
        kinks=kinks.class_margin,
        kinks_if=kinks.exact,
        many=MANY_ROWS,
        wide=PAST_A_WARP,
        intermediates=True,
    ),
    Row(
        "HingeEmbeddingLoss",
        "hinge_embedding_loss",
        (INPUT, SIGN),
        ELEMENTS,
        options={"margin": (1.0, -0.25, 2.7)},
        kinks=kinks.hinge,
        kinks_if=kinks.exact,
        added={"margin": ("input",)},
        many=MANY,
        elementwise=True,
    ),
    Row(
        "MarginRankingLoss",
        "margin_ranking_loss",
        (argument("input1", "real"), argument("input2", "real"), argument("target", "sign")),
        ELEMENTS,
        options={"margin": (0.0, 0.5, -2.1)},
        kinks=kinks.ranking,
        kinks_if=kinks.exact,
        many=MANY,
        elementwise=True,
        differences=(("input1", "input2"),),
        added={"margin": ("input1", "input2")},
    ),
    Row(
        "CosineEmbeddingLoss",
        "cosine_embedding_loss",
        (argument("input1", "real"), argument("input2", "real"), argument("target", "sign", "*-D", gradient=False)),
        VECTORS,
        options={"margin": (0.0, 0.5, -0.3)},
        kinks=kinks.angle,
        kinks_if=kinks.exact,
        many=Form("many", {"N": 3, "D": 65_537}),  # an odd number: of two pairs, one alike and one not, what each is off by may cancel
    ),
    Row(
        "TripletMarginLoss",
        "triplet_margin_loss",
        (argument("anchor", "real"), argument("positive", "real"), argument("negative", "real")),
        VECTORS,
        options={"margin": (1.0, 0.3), "p": (2.0, 1.0, 3.0, 4.0, 2.5, 0.5), "eps": (1e-6, 0.125), "swap": (False, True)},
        kinks=kinks.triplet,
        kinks_if=kinks.exact,
        differences=TRIPLET,
        added={"eps": ("anchor", "positive", "negative")},
        many=Form("many", {"N": 2, "D": 65_537}),
    ),
    Row(
        "TripletMarginWithDistanceLoss",
        "triplet_margin_with_distance_loss",
        (argument("anchor", "real"), argument("positive", "real"), argument("negative", "real")),
        VECTORS,
        options={"margin": (1.0, 0.3), "swap": (False, True)},
        differences=TRIPLET,
        added={1e-6: ("anchor", "positive", "negative")},  # the eps of the distance that it has where none is given
        many=Form("many", {"N": 2, "D": 65_537}),
    ),
    Row(
        "CTCLoss",
        "ctc_loss",
        (
            argument("log_probs", "log_probability_last", "*-S"),
            Argument("targets", tuple(Choice(label, "alignment", "*-T-C-S S:4") for label in ("", "concatenated"))),
            argument("input_lengths", "alignment", "*-T-C-S"),
            argument("target_lengths", "alignment", "*-T-C-S"),
        ),
        (Form("batch", {"T": 11, "N": 4, "C": 5}), Form("unbatched", {"T": 10, "C": 5})),
        options={"blank": (0, 2, 4), "zero_infinity": (False, True)},
        valid=_aligned,
        finish=structured.alignment,
        also=("short", "tight", "repeats", "empty_targets", "no_frames"),
        many=Form("many", {"T": 150, "N": 2, "C": 40, "S": 30}),
        wide=(Form("wide1100", {"T": 17, "N": 2, "C": 1100, "S": 7}),),
    ),
    Row(
        "AdaptiveLogSoftmaxWithLoss",
        "adaptive_log_softmax_with_loss",
        (
            argument("input", "features", "*-C"),
            argument("target", "index", "*-F-C"),
            argument("head_weight", "built", "1", place="parameter"),
            argument("tail_weights", "built", "1", place="parameter"),
            optional("head_bias", "built", "1", place="parameter"),
        ),
        (Form("batch", {"N": 12, "F": 16, "C": 12}), Form("unbatched", {"F": 16, "C": 12})),
        options={"cutoffs": ((3, 7), (5,)), "div_value": (4.0, 2.0)},
        module_only=("div_value",),
        reductions=("none", "mean"),
        finish=structured.adaptive_layers,
        also=("head", "last_cluster"),
    ),
    Row(
        "sigmoid_focal_loss",
        "sigmoid_focal_loss",
        (argument("inputs", "logits"), argument("targets", "probability")),
        ELEMENTS,
        options={"alpha": (0.25, 0.75, -1.0), "gamma": (2.0, 0.0, 1.0)},
        default_reduction="none",
        namespace="torchvision.ops",
        elementwise=True,
    ),
)

ROWS = {row.name: row for row in CATALOG}
