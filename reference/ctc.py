"""Connectionist temporal classification: the likelihood of a sequence, summed over its alignments to the frames."""

from __future__ import annotations

import numpy as np

from .arithmetic import Array, FloatArray, IndexArray, exp, log_add, number, one_hot
from .check import dimensions, floating, indices, require
from .loss import Loss, loss


@loss
def ctc_loss(
    log_probs: FloatArray,
    targets: IndexArray,
    input_lengths: IndexArray,
    target_lengths: IndexArray,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Loss:
    """Minus the log-probability that the frames spell the target, however it is aligned to them.

    value = -log sum_path prod_t exp(log_probs[t, path[t]]), frames t < input_length, over all paths that become
            the target when repeats are merged and then blanks removed; inf if there is none, 0 with zero_infinity
    d value / d log_probs[t, c] = -(the posterior probability that the path is at c in frame t)

    Shapes: log_probs (T, N, C) or (T, C), lengths (N) or (), targets (N, S) padded, or (sum of target_lengths)
            concatenated; value (N) or (). Lengths may be 0; what lies beyond them is not looked at.
    Mean:   each value divided by the length of its target, then the mean over N. Of an empty target the
            documentation says nothing; here, as in torch, its length counts as 1.
    Raises: ValueError if a length does not fit, a target is no class or blank, blank is no class, or on other shapes.
    Kinks:  none where the loss is finite. Where it is infinite the gradient is NaN, 0 with zero_infinity.
    Source: torch.nn.CTCLoss; Graves et al. (2006), doi:10.1145/1143844.1143891.
    """
    floating(log_probs=log_probs)
    dimensions("log_probs", log_probs, (2, 3))
    lp = log_probs if log_probs.ndim == 3 else log_probs[:, None]
    frames, batch, classes = lp.shape
    require(0 <= blank < classes, "blank", blank, f"a class index in [0, {classes})")
    lengths = _lengths("input_lengths", input_lengths, batch, frames)
    labels, spelled = _labels(targets, target_lengths, batch, classes, blank)

    states = _states(labels, blank)
    never = number(-np.inf, lp)
    emit = np.where(states < 0, never, np.take_along_axis(lp, states[None], axis=2))
    ends = np.arange(states.shape[1]) - 2 * spelled[:, None]
    before, after, log_likelihood = _forward_backward(emit, _skips(states, blank), (ends == 0) | (ends == 1), lengths)

    possible = log_likelihood[:, None] != -np.inf
    log_posterior = np.where(possible, _times(before, after), before + after) - log_likelihood[:, None]
    posterior = exp(log_posterior)  # (T, N, states)
    occupancy = np.swapaxes(posterior, 0, 1) @ one_hot(states, classes, lp)  # (N, T, C)
    inside = (np.arange(frames) < lengths[:, None])[..., None]
    occupancy = np.where(inside, occupancy, number(0, lp))
    value, partial = -log_likelihood, -np.swapaxes(occupancy, 1, 2)
    scores = np.where(posterior == 0, number(0, lp), abs(before) + abs(after) + abs(log_likelihood)[:, None] + 1)
    size = np.swapaxes(np.swapaxes(posterior * scores, 0, 1) @ one_hot(states, classes, lp), 1, 2)
    if zero_infinity:
        value = np.where(value == np.inf, number(0, lp), value)
        partial, size = (np.where(possible[..., None], a, number(0, lp)) for a in (partial, size))
    scale = 1 / number(np.maximum(spelled, 1), lp)
    if log_probs.ndim == 2:
        value, partial, scale, size = value.reshape(()), partial[0], scale.reshape(()), size[0]
    return Loss(value, {"log_probs": partial}, {"log_probs": 0}, scale=scale, sizes={"log_probs": size})


def _states(labels: IndexArray, blank: int) -> IndexArray:
    """(N, 2 S + 2): the class that each state emits: start, blank, label 1, blank, label 2, ..., blank.

    The start (-1) is left in the first frame and emits nothing. With it the empty target and the empty input
    need no case of their own: a path ends in one of the states 2 L and 2 L + 1, where L is the target's length.
    """
    states = np.full((labels.shape[0], 2 * labels.shape[1] + 2), blank)
    states[:, 0] = -1
    states[:, 2::2] = labels
    return states


def _skips(states: IndexArray, blank: int) -> Array:
    """(N, states): whether a path may come from two states before: over a blank, between labels that differ."""
    differs = (states != blank) & (states != np.roll(states, 2, axis=1))
    return np.where(np.arange(states.shape[1]) < 2, False, differs)


def _forward_backward(
    emit: FloatArray, skips: Array, accept: Array, lengths: IndexArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log-probabilities: of the frames up to t, ending in a state; of those after t, from it; of all the frames.

    Beyond its input length a row stands still.
    """
    never, certain = number(-np.inf, emit), number(0, emit)
    before, after = np.empty_like(emit), np.empty_like(emit)
    inside = np.arange(emit.shape[0])[:, None, None] < lengths[:, None]

    state = np.where(np.arange(emit.shape[2]) == 0, certain, np.broadcast_to(never, emit.shape[1:]))
    for t in range(emit.shape[0]):
        arrive = log_add(log_add(state, _moved(state, 1)), np.where(skips, _moved(state, 2), never))
        state = before[t] = np.where(inside[t], _times(arrive, emit[t]), state)

    state = np.where(accept, certain, never)
    for t in reversed(range(emit.shape[0])):
        after[t] = state
        leave = _times(state, emit[t])
        onward = log_add(log_add(leave, _moved(leave, -1)), _moved(np.where(skips, leave, never), -2))
        state = np.where(inside[t], onward, state)
    return before, after, state[:, 0]


def _times(a: FloatArray, b: FloatArray) -> FloatArray:
    """Of log-probabilities: impossible times anything is impossible, a NaN that no path meets included."""
    never = number(-np.inf, a)
    return np.where((a == -np.inf) | (b == -np.inf), never, a + b)


def _moved(states: FloatArray, by: int) -> FloatArray:
    """The states moved along by so many places; what moves in has probability 0."""
    moved: FloatArray = np.roll(states, by, axis=1)
    moved[:, slice(0, by) if by > 0 else slice(by, None)] = number(-np.inf, states)
    return moved


def _lengths(name: str, lengths: Array, batch: int, longest: int) -> IndexArray:
    """(N) lengths in [0, longest]; a single row may give its own as ()."""
    require(lengths.dtype.kind in "iu" or not lengths.size, name, f"of dtype {lengths.dtype}", "an integer dtype")
    fits = lengths.shape == (batch,) or (lengths.shape == () and batch == 1)
    require(fits, name, f"of shape {lengths.shape}", f"shape ({batch},){' or ()' if batch == 1 else ''}")
    outside = (lengths < 0) | (lengths > longest)
    require(not outside.any(), name, f"{lengths[outside][:1]}", f"lengths in [0, {longest}]")
    return lengths.reshape(-1).astype(np.int64)


def _labels(
    targets: Array, target_lengths: Array, batch: int, classes: int, blank: int
) -> tuple[IndexArray, IndexArray]:
    """(N, S) labels, blank beyond the length of each target, and (N) those lengths."""
    dimensions("targets", targets, (1, 2))
    padded = targets.ndim == 2
    if padded:
        require(len(targets) == batch, "targets", f"of shape {targets.shape}", f"({batch}, S), or concatenated")
    spelled = _lengths("target_lengths", target_lengths, batch, targets.shape[-1])
    if not padded:
        total = int(spelled.sum())
        require(total == targets.size, "target_lengths", f"{total} in sum", f"the size {targets.size} of targets")
    inside = np.arange(spelled.max(initial=0)) < spelled[:, None]
    used = targets[:, : inside.shape[1]][inside] if padded else targets
    if used.size:
        indices("targets", used, classes)
        require(not (used == blank).any(), "targets", f"{blank}, which is blank", "the other classes")
    labels = np.full(inside.shape, blank)
    labels[inside] = used
    return labels, spelled
