"""Arguments that hang together: the labels and lengths of CTC, the layers of the adaptive softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from .formats import Format
from .kinks import Arguments, Options

Rng = np.random.Generator


def alignment(rng: Rng, arguments: Arguments, options: Options, format: Format, choices: Any, regime: str) -> None:
    """Labels other than blank, and lengths that fit: but for `short`, every target can be spelled; in `tight`, just so."""
    frames, *_, classes = arguments["log_probs"].shape
    batch, width = arguments["input_lengths"].shape, arguments["targets"].shape[-1]
    labels = rng.integers(0, classes - 1, arguments["targets"].shape)
    labels += labels >= options["blank"]
    if regime == "repeats":  # a blank must part them
        labels[...] = labels[..., :1]
    spelled = rng.integers(1, width + 1, batch)
    lengths = rng.integers(2 * width, frames + 1, batch)
    if regime == "empty_targets":
        spelled = np.where(np.arange(spelled.size).reshape(batch) % 2 == 0, 0, spelled)
    if regime == "tight":  # every other one has a frame to spare
        parted = (labels[..., 1:] == labels[..., :-1]) & (np.arange(1, width) < spelled[..., None])
        lengths = spelled + parted.sum(-1) + np.arange(spelled.size).reshape(batch) % 2
    if regime == "short":
        lengths = np.where(np.arange(lengths.size).reshape(batch) % 2 == 0, spelled - 1, lengths)
    if regime == "no_frames":
        lengths, spelled = np.zeros_like(lengths), np.where(np.arange(spelled.size).reshape(batch) % 2 == 0, 0, spelled)
    if choices["targets"].label == "concatenated" or not batch:  # an unbatched target is as long as it is
        labels = labels[np.arange(width) < spelled[..., None]]
    arguments["targets"], arguments["input_lengths"], arguments["target_lengths"] = labels, lengths, spelled


def adaptive_layers(
    rng: Rng, arguments: Arguments, options: Options, format: Format, choices: Any, regime: str
) -> None:
    """A head with one entry per cluster, and for each cluster two layers, the inner one narrower each time.

    In `head` and `last_cluster`, all targets are there.
    """
    features, cutoffs, classes = arguments["input"].shape[-1], options["cutoffs"], 12

    def layer(*shape: int) -> Any:
        return format.round(0.5 * rng.standard_normal(shape))

    if regime == "head":
        arguments["target"] %= cutoffs[0]
    elif regime == "last_cluster":
        arguments["target"] = cutoffs[-1] + arguments["target"] % (classes - cutoffs[-1])
    arguments["head_weight"] = layer(cutoffs[0] + len(cutoffs), features)
    if "head_bias" in arguments:
        arguments["head_bias"] = layer(cutoffs[0] + len(cutoffs))
    ends = [*cutoffs, classes]
    widths = [int(features // options["div_value"] ** (i + 1)) for i in range(len(cutoffs))]
    arguments["tail_weights"] = [
        [layer(width, features), layer(ends[i + 1] - ends[i], width)] for i, width in enumerate(widths)
    ]
