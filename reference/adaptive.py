"""Adaptive softmax: a head for the frequent classes and one entry per cluster, a smaller tail for each cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from .arithmetic import FloatArray, IndexArray
from .categorical import cross_entropy
from .check import dimensions, floating, indices, require, shape
from .loss import Chain, Loss, loss


@loss
def adaptive_log_softmax_with_loss(
    input: FloatArray,
    target: IndexArray,
    head_weight: FloatArray,
    tail_weights: Sequence[tuple[FloatArray, FloatArray]],
    *,
    head_bias: FloatArray | None = None,
    cutoffs: Sequence[int],
) -> Loss:
    """Cross entropy in two steps: the cluster of the target's class, then the class within its cluster.

    head   = input @ head_weight.T + head_bias          entries: the classes below cutoffs[0], then the clusters
    tail_i = input @ projection_i.T @ output_i.T        entries: the classes from cutoffs[i] to cutoffs[i + 1]
    value  = cross_entropy(head, target)                                             where target < cutoffs[0]
             cross_entropy(head, cutoffs[0] + i) + cross_entropy(tail_i, target - cutoffs[i])       elsewhere
    A tail takes part only in the rows whose target is in its cluster. There are as many classes as the last
    cutoff and the last tail have together.

    Shapes: input (F) or (N, F), target () or (N), cutoffs (K), head_weight (cutoffs[0] + K, F), head_bias
            (cutoffs[0] + K), tail_weights K pairs of projection_i (H_i, F), output_i (O_i, H_i); value as target.
    Mean:   the sum divided by the number of rows.
    Raises: ValueError if cutoffs are not positive integers that increase, target is no class, or on other shapes.
    Kinks:  none.
    Source: torch.nn.AdaptiveLogSoftmaxWithLoss, whose `output` is -value, and `loss` its mean; Grave et al.
            (2017), arXiv:1609.04309.
    """
    _check(input, head_weight, tail_weights, head_bias, cutoffs)
    shape("target", target, input.shape[:-1], "(that of input without its features)")
    indices("target", target, cutoffs[-1] + len(tail_weights[-1][1]))

    cluster = np.searchsorted(cutoffs, target, side="right") - 1  # -1: in the head itself
    logits = input @ head_weight.T + (0 if head_bias is None else head_bias)
    head = cross_entropy.definition(logits, np.where(cluster < 0, target, cutoffs[0] + cluster))
    value, partials = head.value, {"head": head.partials["input"]}
    chains = [_linear("head", input, cluster >= -1, {"head_weight": head_weight}, head_bias)]
    for i, (projection, output) in enumerate(tail_weights):
        inside = cluster == i
        index = np.where(inside, target - cutoffs[i], -1)
        tail = cross_entropy.definition(input @ projection.T @ output.T, index, ignore_index=-1)
        value, partials[f"tail.{i}"] = value + tail.value, tail.partials["input"]
        matrices = {f"tail_weights.{i}.0": projection, f"tail_weights.{i}.1": output}
        chains.append(_linear(f"tail.{i}", input, inside, matrices))
    return Loss(value, partials, chains=tuple(chains))


def _linear(
    name: str, input: FloatArray, inside: FloatArray, matrices: Mapping[str, FloatArray], bias: FloatArray | None = None
) -> Chain:
    """The way back from logits through one matrix after another, for the rows inside."""
    rows = np.atleast_1d(inside)

    def pull(gradient: FloatArray, size: Callable[[FloatArray], FloatArray]) -> dict[str, FloatArray]:
        gradient = np.atleast_2d(gradient)[rows]
        found = {} if bias is None else {"head_bias": gradient.sum(0)}
        layers = [size(np.atleast_2d(input)[rows])]
        for matrix in matrices.values():
            layers.append(layers[-1] @ size(matrix).T)
        for (weight, matrix), layer in zip(reversed([*matrices.items()]), reversed(layers[:-1]), strict=True):
            found[weight] = gradient.T @ layer
            gradient = gradient @ size(matrix)
        back = np.zeros_like(np.atleast_2d(input))
        back[rows] = gradient
        return found | {"input": back.reshape(input.shape)}

    magnitude = abs(input)
    for matrix in matrices.values():
        magnitude = magnitude @ abs(matrix).T
    return Chain(name, pull, magnitude + (0 if bias is None else abs(bias)))


def _check(
    input: FloatArray,
    head_weight: FloatArray,
    tail_weights: Sequence[tuple[FloatArray, FloatArray]],
    head_bias: FloatArray | None,
    cutoffs: Sequence[int],
) -> None:
    floating(input=input, head_weight=head_weight, head_bias=head_bias)
    dimensions("input", input, (1, 2))
    valid = isinstance(cutoffs, Sequence) and len(cutoffs) > 0 and all(isinstance(c, int | np.integer) for c in cutoffs)
    valid = valid and all(low < high for low, high in pairwise([0, *cutoffs]))
    require(valid, "cutoffs", cutoffs, "a sequence of positive integers, each larger than the one before, at least one")
    clusters, features = len(cutoffs), input.shape[-1]
    require(len(tail_weights) == clusters, "tail_weights", f"{len(tail_weights)} pairs", f"{clusters}: one per cutoff")
    shape("head_weight", head_weight, (cutoffs[0] + clusters, features), "(cutoffs[0] + clusters, features)")
    if head_bias is not None:
        shape("head_bias", head_bias, (cutoffs[0] + clusters,), "(cutoffs[0] + clusters)")
    for i, pair in enumerate(tail_weights):
        name = f"tail_weights.{i}"
        require(len(pair) == 2, name, f"{len(pair)} arrays", "a pair: projection and output")
        projection, output = pair
        floating(**{f"{name}.0": projection, f"{name}.1": output})
        dimensions(f"{name}.0", projection, (2,))
        dimensions(f"{name}.1", output, (2,))
        shape(f"{name}.0", projection, (len(projection), features), "(any, the features of input)")
        rows = cutoffs[i + 1] - cutoffs[i] if i + 1 < clusters else max(len(output), 1)
        shape(f"{name}.1", output, (rows, len(projection)), "(the classes of its cluster, the rows of its projection)")
