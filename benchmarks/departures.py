"""Paths that err more than the budget allows: by how much, and why.

An entry covers the gradients of the rows that its pattern names. It excuses no more than it says: a path that errs
more is wrong, and is not timed. `NEVER` marks those that come out wrong at such inputs, or not at all: they are
shown as wrong, not timed, and are no failure of the run. Entries that a run did not need are named in its report.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase

NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Departure:
    """`rows` is a pattern of row ids, `gradients` how many times the budget they may err; `device`, if on one alone."""

    rows: str
    gradients: float
    why: str
    device: str = ""


DEPARTURES = (
    Departure(
        "multi_margin_loss-*-fused",
        16,
        "the gradient of the target's class is added up one class after the other in float32, not in a tree",
    ),
    Departure("sigmoid_focal_loss-*unfused", 4, "1 - p is formed after p was rounded"),
    Departure("sigmoid_focal_loss-*third_party", 4, "1 - p is formed after p was rounded"),
    Departure(
        "cross_entropy-cityscapes-*fused",
        4,
        "p - 1 keeps the roundings of p and of the sum of 19 exponentials, which shows where p is near 1: in 3 of 10^7, by up to 1.8 times",
    ),
    Departure(
        "soft_margin_loss-*-compiled_fused",
        32,
        "the compiled gradient is sigmoid(z) - 1, which cancels where the loss is small",
    ),
    Departure(
        "ctc_loss-*",
        10_000,
        "each of 200 frames rounds a log-likelihood of some -600, and the gradient is the exp of a difference of two",
    ),
    Departure(
        "ctc_loss-longspeech-*",
        100_000,
        "each of 1000 frames rounds a log-likelihood of some -4500, and the gradient is the exp of a difference of two",
    ),
    Departure(
        "cross_entropy-*-float16-*unfused",
        NEVER,
        "the probability of one token in 100,000 may be below what float16 has, and the gradient of its log is 0 * inf",
    ),
    Departure(
        "binary_cross_entropy_with_logits-*",
        16,
        "two terms, of which one takes the other nearly away where the logit is sure and right: see tests/divergences.py",
    ),
    Departure(
        "binary_cross_entropy_with_logits-*-bfloat16-*unfused",
        NEVER,
        "sigmoid rounds to 1 above a logit of 6.2 in bfloat16, and log(1 - 1) is -inf",
    ),
    Departure(
        "multilabel_margin_loss-*-compiled_fused",
        NEVER,
        "the compiled loss counts labels beyond the first -1, which ends the list",
    ),
    Departure(
        "multilabel_margin_loss-*-fused",
        NEVER,
        "past a warp of classes the gradient of the last label races: see tests/divergences.py",
        device="cuda",
    ),
    Departure(
        "gaussian_nll_loss-*-compiled_fused", NEVER, "asks whether a variance is negative, which no whole graph can"
    ),
    Departure(
        "ctc_loss-*-compiled_fused",
        NEVER,
        "the shape of an operator's output depends on data, which no whole graph can have",
    ),
)


def departure(row: str, device: str) -> Departure | None:
    """The entry of a row, if it has one; the last that matches, so that an exception may follow a rule."""
    return next((d for d in reversed(DEPARTURES) if fnmatchcase(row, d.rows) and d.device in ("", device)), None)
