"""The table of workloads: which shapes, why these, and how long one may expect to wait for them.

A workload is a row of the catalog at a size that somebody has. Its inputs are the catalog's typical ones, drawn from
a seed that its name gives. The rows of a table are its workloads x dtypes x modes x paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reference.catalog import CATALOG, Choice, Form, Row, Variant, argument
from reference.formats import FORMATS
from reference.inputs import Drawn, draw

FOCAL = Row(
    "sigmoid_focal_loss",
    "sigmoid_focal_loss",
    (argument("inputs", "logits"), argument("targets", "probability")),
    (),
    elementwise=True,
)
CTC = Row(
    "CTCLoss",
    "ctc_loss",
    (
        argument("log_probs", "logits", "T N C"),
        argument("targets", "index", "N S"),
        argument("input_lengths", "index", "N"),
        argument("target_lengths", "index", "N"),
    ),
    (),
)
ROWS = {row.function: row for row in (*CATALOG, FOCAL, CTC)}

BOTH = ("both",)
SPLIT = ("both", "forward", "backward")
TIERS = ("quick", "default", "large", "growth")


@dataclass(frozen=True, eq=False)
class Workload:
    """A loss at a size. `choices` and `options` are where it departs from the catalog's plain variant."""

    name: str
    loss: str
    axes: Mapping[str, int]
    about: str
    tier: str = "default"
    dtypes: tuple[str, ...] = ("float32",)
    modes: tuple[str, ...] = BOTH
    choices: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)  # powers of two, which keep numbers exact
    paths: tuple[str, ...] = ()  # none: all
    compile: bool = True  # also where it was not asked for: it takes seconds

    @property
    def row(self) -> Row:
        """Its row of the catalog."""
        return ROWS[self.loss]

    @property
    def variant(self) -> Variant:
        """The catalog's variant, in this workload's form."""
        plain = self.row.plain(Form(self.name, self.axes))
        chosen = {
            a.name: _choice(a.choices, self.choices[a.name]) for a in self.row.arguments if a.name in self.choices
        }
        return Variant(plain.form, {**plain.choices, **chosen}, {**plain.options, **self.options}, self.name)

    def draw(self, dtype: str) -> Drawn:
        """Its arguments, as float64 arrays of numbers that `dtype` has; a path is given only what is not default."""
        drawn = draw(self.row, self.variant, "typical", FORMATS[dtype])
        for name, factor in self.scales.items():
            drawn.arguments[name] *= factor
        if self.loss == "ctc_loss":  # full lengths, and no blank (class 0) in a target
            drawn.arguments["input_lengths"][...] = self.axes["T"]
            drawn.arguments["target_lengths"][...] = self.axes["S"]
            drawn.arguments["targets"].clip(1, out=drawn.arguments["targets"])
        return Drawn(drawn.arguments, dict(self.options))

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The arguments that a training step differentiates in: all but targets and weights."""
        fixed = {"target", "targets", "weight", "pos_weight"}
        return tuple(name for name in self.real if name not in fixed)

    @property
    def real(self) -> tuple[str, ...]:
        """The real-valued arguments that the variant gives."""
        whole = {"index", "ignored", "labels", "sign", "absent"}
        return tuple(a.name for a in self.row.arguments if self.variant.choices[a.name].domain not in whole)


def _choice(choices: tuple[Choice, ...], label: str) -> Choice:
    return next(c for c in choices if c.label == label)


def _elements(loss: str, sizes: Mapping[int, str], about: str, **more: Any) -> list[Workload]:
    return [
        Workload(f"{size:.0e}".replace("e+0", "e"), loss, {"N": size // 100, "C": 100}, about, tier, **more)
        for size, tier in sizes.items()
    ]


REGRESSION = {10**4: "large", 10**6: "default", 10**7: "large"}
HALVES = ("float32", "bfloat16", "float16")

WORKLOADS: tuple[Workload, ...] = (
    # one class of many
    Workload("mnist", "cross_entropy", {"N": 64, "C": 10}, "a batch of MNIST: overhead rules", "quick", modes=SPLIT),
    Workload("imagenet", "cross_entropy", {"N": 256, "C": 1000}, "an ImageNet head", "quick", modes=SPLIT),
    Workload(
        "lm32k",
        "cross_entropy",
        {"N": 128, "C": 32_000},
        "a language model, 32,000 tokens",
        dtypes=("float32", "bfloat16"),
    ),
    Workload(
        "lm128k",
        "cross_entropy",
        {"N": 64, "C": 128_256},
        "a language model, 128,256 tokens",
        "large",
        dtypes=HALVES,
        modes=SPLIT,
    ),
    Workload(
        "segmentation", "cross_entropy", {"N": 2, "C": 21, "d1": 128, "d2": 128}, "dense segmentation, 21 classes"
    ),
    Workload(
        "cityscapes",
        "cross_entropy",
        {"N": 1, "C": 19, "d1": 512, "d2": 1024},
        "dense segmentation, a full image",
        "large",
    ),
    Workload(
        "smoothed",
        "cross_entropy",
        {"N": 256, "C": 1000},
        "an ImageNet head, labels smoothed",
        options={"label_smoothing": 0.1},
        compile=False,
    ),
    Workload(
        "mixup",
        "cross_entropy",
        {"N": 256, "C": 1000},
        "an ImageNet head, probabilities as targets",
        choices={"target": "probabilities"},
        compile=False,
    ),
    Workload("imagenet", "nll_loss", {"N": 256, "C": 1000}, "log-probabilities of an ImageNet head"),
    Workload(
        "head8k",
        "linear_cross_entropy",
        {"N": 512, "C": 8000, "F": 256},
        "the last layer and its loss, 8,000 tokens",
        scales={"linear_weight": 1 / 16},
    ),
    Workload(
        "head50k",
        "linear_cross_entropy",
        {"N": 512, "C": 50_257, "F": 768},
        "the last layer of GPT-2 small",
        "large",
        scales={"linear_weight": 1 / 32},
    ),
    Workload("imagenet", "multi_margin_loss", {"N": 256, "C": 1000}, "an ImageNet head"),
    # many yes or no
    Workload(
        "coco",
        "binary_cross_entropy_with_logits",
        {"N": 256, "C": 80},
        "multi-label, pos_weight per class",
        "quick",
        choices={"pos_weight": "pos_weight"},
        modes=SPLIT,
    ),
    Workload(
        "detection",
        "binary_cross_entropy_with_logits",
        {"N": 12_500, "C": 80},
        "10^6 anchors x classes, pos_weight",
        choices={"pos_weight": "pos_weight"},
        dtypes=("float32", "bfloat16"),
    ),
    Workload("detection", "sigmoid_focal_loss", {"N": 1250, "C": 80}, "10^5 anchors x classes"),
    Workload("coco", "multilabel_soft_margin_loss", {"N": 256, "C": 80}, "multi-label"),
    Workload("coco", "multilabel_margin_loss", {"N": 32, "C": 80}, "multi-label"),
    *_elements("binary_cross_entropy", {10**4: "default", 10**6: "default"}, "probabilities"),
    *_elements("soft_margin_loss", {10**5: "default"}, "scores"),
    # regression heads
    *_elements("mse_loss", {10**4: "quick", 10**7: "default"}, "a regression head"),
    *_elements("mse_loss", {10**6: "default"}, "a regression head", modes=SPLIT),
    *_elements("l1_loss", REGRESSION, "a regression head"),
    *_elements("smooth_l1_loss", {10**6: "default", 10**7: "large"}, "a regression head"),
    *_elements("huber_loss", REGRESSION, "a regression head"),
    *_elements("gaussian_nll_loss", {10**5: "default", 10**7: "large"}, "a regression head with a variance"),
    *_elements("poisson_nll_loss", {10**5: "default", 10**7: "large"}, "counts"),
    # distributions, distances, sequences
    Workload("distill", "kl_div", {"N": 256, "C": 1000}, "a teacher's probabilities, ImageNet"),
    Workload("distill32k", "kl_div", {"N": 256, "C": 32_000}, "a teacher's probabilities, language model", "large"),
    *_elements("hinge_embedding_loss", {10**5: "default"}, "distances"),
    *_elements("margin_ranking_loss", {10**5: "default"}, "scores of pairs"),
    Workload("embed512", "cosine_embedding_loss", {"N": 256, "D": 512}, "embeddings of 512"),
    Workload("embed512", "triplet_margin_loss", {"N": 256, "D": 512}, "embeddings of 512"),
    Workload("embed512", "triplet_margin_with_distance_loss", {"N": 256, "D": 512}, "embeddings of 512"),
    Workload("speech", "ctc_loss", {"T": 200, "N": 8, "C": 32, "S": 40}, "characters of a spoken sentence"),
    Workload("longspeech", "ctc_loss", {"T": 1000, "N": 16, "C": 128, "S": 200}, "word pieces of long speech", "large"),
    # growth with size
    *(
        Workload(f"{n}", loss, {"N": n // 64, "C": 64}, "growth with size", "growth", paths=("fused", "unfused"))
        for loss in ("mse_loss", "cross_entropy", "binary_cross_entropy_with_logits")
        for n in (2**k for k in range(8, 24, 3))
    ),
)


@dataclass(frozen=True)
class Case:
    """One table row but for the path."""

    workload: Workload
    dtype: str
    mode: str

    @property
    def id(self) -> str:
        """Spelled out, unique, fit for `-k`."""
        return f"{self.workload.loss}-{self.workload.name}-{self.dtype}-{self.mode}"


def cases(tiers: tuple[str, ...]) -> list[Case]:
    """The cases of some tiers. The quick tier is float32, forward and backward together."""
    found = []
    for workload in WORKLOADS:
        if workload.tier not in tiers or workload.loss not in ROWS:
            continue
        quick = tiers == ("quick",)
        dtypes = workload.dtypes[:1] if quick else workload.dtypes
        modes = workload.modes[:1] if quick else workload.modes
        found += [Case(workload, dtype, mode) for dtype in dtypes for mode in (modes if dtype == "float32" else BOTH)]
    return found
