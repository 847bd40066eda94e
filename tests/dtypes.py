"""Which dtypes each argument may have beside float32 ones, and numbers that a dtype can hold."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import numpy as np
import torch

from reference.arithmetic import Array

from .divergence import in_release

FLOATS = ("float64", "float32", "bfloat16", "float16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
BOOL = ("bool",)
EVERY = (*FLOATS, *INTEGERS, *BOOL)
NUMBERS = (*FLOATS, *INTEGERS)
INDEX = ("int64", "uint8")

# Where other dtypes mix with float32: the first pattern of "Loss-variant argument" that matches. What is not listed is
# refused. Torch documents that class indices are int64 and probabilities
# floating point, and type promotion in general; the rest is what it takes today.
TAKES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("MSELoss-*weight* weight", EVERY),
    ("MSELoss-*weight* *", NUMBERS),
    ("MSELoss-* *", EVERY),
    ("L1Loss-* weight", EVERY),
    ("L1Loss-* *", NUMBERS),
    ("HuberLoss-* input", FLOATS),
    ("HuberLoss-* *", EVERY),
    ("SmoothL1Loss-*beta.0.0* *", NUMBERS),
    ("SmoothL1Loss-* *", EVERY),
    ("PoissonNLLLoss-*full* target", NUMBERS),
    ("PoissonNLLLoss-*rate* input", NUMBERS),
    ("PoissonNLLLoss-* *", EVERY),
    ("GaussianNLLLoss-* var", FLOATS),
    ("GaussianNLLLoss-* *", NUMBERS),
    ("KLDivLoss-* *", FLOATS),
    ("BCELoss-* weight", EVERY),
    ("BCEWithLogitsLoss-* weight", EVERY),
    ("BCEWithLogitsLoss-* pos_weight", NUMBERS),
    ("BCEWithLogitsLoss-* *", FLOATS),
    ("SoftMarginLoss-* input", FLOATS),
    ("SoftMarginLoss-* target", NUMBERS),
    ("MultiLabelSoftMarginLoss-* input", FLOATS),
    ("MultiLabelSoftMarginLoss-* target", NUMBERS),
    ("MultiLabelSoftMarginLoss-* weight", EVERY),
    ("NLLLoss-*weight* input", ()),
    ("NLLLoss-* input", FLOATS),
    ("NLLLoss-k2* target", ()),
    ("NLLLoss-* target", INDEX),
    ("CrossEntropyLoss-*probabilities* *", FLOATS),
    ("CrossEntropyLoss-*weight* input", ()),
    ("CrossEntropyLoss-* input", FLOATS),
    ("LinearCrossEntropyLoss-*probabilities* target", FLOATS),
    ("CrossEntropyLoss-k2* target", ()),
    ("*CrossEntropyLoss-* target", INDEX),
    ("MultiMarginLoss-*weight* *", ()),
    ("MultiMarginLoss-* input", ("float64",)),
    ("MultiLabelMarginLoss-* input", ("float64",)),
    ("HingeEmbeddingLoss-* input", FLOATS),
    ("HingeEmbeddingLoss-* target", EVERY),
    ("MarginRankingLoss-* *", NUMBERS),
    ("CosineEmbeddingLoss-* *", EVERY),
    ("Triplet*-* *", NUMBERS),
    ("CTCLoss-* log_probs", ("float64",)),
    ("CTCLoss-* targets", EVERY),
    ("CTCLoss-* *_lengths", INTEGERS),
    (
        "AdaptiveLogSoftmaxWithLoss-* target",
        ("int32",) if in_release(">=2.8", torch.__version__) else (),
    ),  # as gather does
)

PROMOTING_SIGNS = ("MarginRankingLoss",)
"""The losses that multiply by a target of -1 or 1 and let its dtype count; for the others it is a label."""


BESIDES: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "cuda": tuple((f"{loss}-batch input", ("bfloat16", "float16")) for loss in ("MultiMarginLoss", "MultiLabelMarginLoss")),
}
"""What is taken besides on a device that has kernels which the CPU lacks."""


def taken(what: str, device: str) -> tuple[str, ...]:
    """The dtypes that "Loss-variant argument" may have."""
    tables = (TAKES, BESIDES.get(torch.device(device).type, ()))
    return tuple(d for table in tables for d in next((dtypes for pattern, dtypes in table if fnmatchcase(what, pattern)), ()))


def held(value: Array, domain: str, dtype: str) -> Array:
    """Numbers like these that the dtype holds exactly, in the domain still."""
    if dtype in FLOATS:
        return value
    if domain in ("index", "ignored", "labels", "alignment"):
        return np.minimum(value, 1) if dtype == "bool" else value
    if domain in ("real", "logits", "features", "layer", "built"):
        value = 3 * value  # from 0.9 to 2.7 in size
    whole = np.rint(value)
    if domain in ("positive", "variance"):
        whole = np.maximum(whole, 1)
    if dtype in ("bool", "uint8"):
        whole = abs(whole)
    return np.minimum(whole, 1) if dtype == "bool" else whole
