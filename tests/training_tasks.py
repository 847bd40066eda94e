"""A task for every loss: what is learnt, by which model, and what it should be worth in the end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from reference.arithmetic import Array
from tests.training import SGD, Arguments, Predictor, Task, Tensors
from tests.training_data import (
    FRAMES,
    SPELLED,
    diabetes,
    digits,
    enlarged_digits,
    ink,
    listed_traits,
    noisy,
    pairs,
    rivals,
    strips,
    taught,
    traits,
    triplets,
    tumours,
)

# -- models, arguments, what is right ---------------------------------------------------------------------------


def layers(*widths: int, squeeze: bool = False) -> Callable[[], nn.Module]:
    """Linear layers with ReLU between them; the last axis dropped, where it is 1 and stands for a number."""

    def make() -> nn.Module:
        linear = [layer for a, b in pairwise(widths) for layer in (nn.ReLU(), nn.Linear(a, b))]
        return nn.Sequential(*linear[1:], *([nn.Flatten(0)] if squeeze else []))

    return make


def predict(link: Predictor = lambda x: x) -> Callable[[nn.Module, Tensors], Arguments]:
    """The model's output as `input`, through a link, and the second of the batch as `target`."""
    return lambda model, batch: {"input": link(model(batch[0])), "target": batch[1]}


def nearer(link: Predictor = lambda x: x) -> Callable[[Predictor, Tensors], torch.Tensor]:
    """Nearer to the truth than the median is."""
    return lambda model, data: (link(model(data[0])) - data[1]).abs() < (data[1].median() - data[1]).abs()


def classified(model: Predictor, data: Tensors) -> torch.Tensor:
    """The most likely class is the true one."""
    return model(data[0]).argmax(1) == (data[1] if data[1].ndim == 1 else data[1].argmax(1))


def decided(model: Predictor, data: Tensors) -> torch.Tensor:
    """On the right side of 0."""
    return (model(data[0]) > 0) == (data[1] > 0)


def least_squares(data: Tensors, coded: Predictor = lambda y: y, link: Predictor = lambda x: x) -> Predictor:
    """The best linear map from the first of the data to the second, as it is coded."""

    def widened(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)

    weight = torch.linalg.pinv(widened(data[0])) @ coded(data[1])
    return lambda x: link(widened(x) @ weight)


def signs(y: torch.Tensor) -> torch.Tensor:
    """-1 and 1, of 0 and 1."""
    return 2 * y - 1


def columns(y: torch.Tensor) -> torch.Tensor:
    """One column per class, 1 in that of the class."""
    return nn.functional.one_hot(y).double()


def from_list(y: torch.Tensor) -> torch.Tensor:
    """-1 and 1, of a list of traits."""
    return signs((y[:, None] == torch.arange(4)[:, None]).any(-1).double())


def unchanged(_: Tensors) -> Predictor:
    """The image itself in place of an embedding."""
    return lambda x: x


def listed(model: Predictor, data: Tensors) -> torch.Tensor:
    """The trait that scores highest is one of the digit's."""
    return (data[1] == model(data[0]).argmax(1, keepdim=True)).any(1)


def likelier(model: Predictor, data: Tensors) -> torch.Tensor:
    """The truth is likelier than under the best normal distribution that knows nothing of the input."""
    (mean, log_variance), y = model(data[0]).unbind(1), data[1]
    bits = log_variance + (y - mean) ** 2 / log_variance.exp()
    return bits < y.var().log() + (y - y.mean()) ** 2 / y.var()


def even_noise(data: Tensors) -> Predictor:
    """Least squares, and one variance for all."""
    mean = least_squares(data)
    variance = (data[1] - mean(data[0])).var().log()
    return lambda x: torch.stack([mean(x), variance.expand(len(x))], 1)


def distance(model: Predictor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Between what the model makes of either."""
    gap: torch.Tensor = (model(a) - model(b) + 1e-6).norm(dim=1)  # 1e-6: as torch.nn.PairwiseDistance, no kink at 0
    return gap


def cosine(model: Predictor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Minus the cosine of the angle between what the model makes of either: a distance of a kind."""
    return -nn.functional.cosine_similarity(model(a), model(b), dim=1)


def told_apart(apart: Callable[..., torch.Tensor]) -> Callable[[Predictor, Tensors], torch.Tensor]:
    """A pair is on the same side of the middle as the pairs of its kind: the alike nearer, the others farther."""

    def right(model: Predictor, data: Tensors) -> torch.Tensor:
        a, b, same = data
        far = apart(model, a, b)
        middle = (far[same > 0].mean() + far[same < 0].mean()) / 2
        return (far < middle) == (same > 0)

    return right


def ordered(apart: Callable[..., torch.Tensor]) -> Callable[[Predictor, Tensors], torch.Tensor]:
    """The like is nearer than the other."""
    return lambda model, data: apart(model, data[0], data[1]) < apart(model, data[0], data[2])


def ranked(model: Predictor, data: Tensors) -> torch.Tensor:
    """The larger digit scores higher."""
    return torch.sign(model(data[0]) - model(data[1])) == data[2]


def best_ranking(data: Tensors) -> Predictor:
    """Least squares from the difference of two images to which of them is the larger digit."""
    weight = torch.linalg.pinv(data[0] - data[1]) @ data[2]
    return lambda x: x @ weight


def spelled(model: Predictor, data: Tensors) -> torch.Tensor:
    """The most likely class per frame, repeats merged, then blanks removed: the two digits."""
    frames = model(data[0]).argmax(-1)

    def read(row: torch.Tensor) -> list[int]:
        return [int(c) for c in torch.unique_consecutive(row) if c]

    return torch.tensor([read(row) == label.tolist() for row, label in zip(frames, data[1], strict=True)])


def nearest_digit(_: Tensors) -> Predictor:
    """For each frame, the nearest of eleven: an empty frame, and the mean of each digit, which CTC is never told."""
    (x, y), _ = digits()
    means = torch.stack([torch.zeros(64).double(), *(x[y == c].mean(0) for c in range(10))])
    return lambda frames: -torch.cdist(frames, means.expand(len(frames), -1, -1))


def ctc(model: nn.Module, batch: Tensors) -> Arguments:
    """The log-probabilities of the frames, time first; every frame counts."""
    frames, labels = batch
    return {
        "log_probs": model(frames).log_softmax(-1).transpose(0, 1),
        "targets": labels,
        "input_lengths": torch.full((len(frames),), FRAMES),
        "target_lengths": torch.full((len(frames),), SPELLED),
    }


class Adaptive(nn.Module):
    """A hidden layer, then an adaptive softmax: four classes in the head, two tails of three."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(32, 10, CUTOFFS, div_value=2, head_bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The log-probabilities of all ten."""
        return self.softmax.log_prob(self.hidden(x))


CUTOFFS = [4, 7]


def adaptive(model: Any, batch: Tensors) -> Arguments:
    """The hidden layer, and every matrix of the softmax: the loss differentiates in each."""
    softmax = model.softmax
    tails = [[projection.weight, output.weight] for projection, output in softmax.tail]
    return {
        "input": model.hidden(batch[0]),
        "target": batch[1],
        "head_weight": softmax.head.weight,
        "head_bias": softmax.head.bias,
        "tail_weights": tails,
    }


def adaptive_softmax(cutoffs: list[int], **arguments: Any) -> torch.Tensor:
    """torch.nn.AdaptiveLogSoftmaxWithLoss as a function of its parameters."""
    x, target = arguments["input"], arguments["target"]
    module = nn.AdaptiveLogSoftmaxWithLoss(x.shape[1], 10, cutoffs, head_bias=True, device="meta")
    given = {"head.weight": arguments["head_weight"], "head.bias": arguments["head_bias"]}
    tails = enumerate(arguments["tail_weights"])
    given |= {f"tail.{i}.{j}.weight": weight for i, tail in tails for j, weight in enumerate(tail)}
    loss: torch.Tensor = torch.func.functional_call(module, given, (x, target)).loss
    return loss


def linear(model: Any, batch: Tensors) -> Arguments:
    """The hidden layer, and the last one's weight and bias: its logits are never held."""
    return {
        "input": model[:-1](batch[0]),
        "linear_weight": model[-1].weight,
        "linear_bias": model[-1].bias,
        "target": batch[1],
    }


def negative_cosine(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """`cosine` for the specification: with its partial derivatives."""
    long_x, long_y = np.linalg.norm(x, axis=-1, keepdims=True), np.linalg.norm(y, axis=-1, keepdims=True)
    x, y = x / long_x, y / long_y
    cos = (x * y).sum(-1, keepdims=True)
    return -cos[..., 0], (cos * x - y) / long_x, (cos * y - x) / long_y


def log_rate(rate: torch.Tensor) -> torch.Tensor:
    """Of a linear map, which may well say that there are fewer than none."""
    return rate.clamp(min=0.1).log()


def log_softmax(x: torch.Tensor) -> torch.Tensor:
    """Over the classes."""
    return x.log_softmax(1)


def uncertain(model: nn.Module, batch: Tensors) -> Arguments:
    """A mean, and a variance by its logarithm."""
    mean, log_variance = model(batch[0]).unbind(1)
    return {"input": mean, "target": batch[1], "var": log_variance.exp()}


def weighted(model: nn.Module, batch: Tensors) -> Arguments:
    """Malignant tumours (0) are the rarer: a benign one counts for 0.6."""
    return predict()(model, batch) | {"pos_weight": torch.tensor(0.6, dtype=torch.float64)}


def as_signs(model: nn.Module, batch: Tensors) -> Arguments:
    """With targets of -1 and 1."""
    return predict()(model, (batch[0], signs(batch[1])))


def far(model: nn.Module, batch: Tensors) -> Arguments:
    """The distance of a pair."""
    return {"input": distance(model, *batch[:2]), "target": batch[2]}


def two(model: nn.Module, batch: Tensors) -> Arguments:
    """What the model makes of each of a pair."""
    return {"input1": model(batch[0]), "input2": model(batch[1]), "target": batch[2]}


def two_long(model: nn.Module, batch: Tensors) -> Arguments:
    """The same, 1024 times as long: torch adds 1e-12 to squared lengths, which then rounds away; cosines stay."""
    return {name: 1024 * x if name != "target" else x for name, x in two(model, batch).items()}


def three(model: nn.Module, batch: Tensors) -> Arguments:
    """What the model makes of the anchor, of the like and of the other."""
    return {name: model(x) for name, x in zip(("anchor", "positive", "negative"), batch, strict=True)}


# -- the tasks --------------------------------------------------------------------------------------------------

LINE, LOGIT, COUNT = layers(10, 1, squeeze=True), layers(30, 1, squeeze=True), layers(32, 16, 1, squeeze=True)
FOUR, TEN, EMBEDDING, SCORE = (
    layers(64, 32, 4),
    layers(64, 32, 10),
    layers(64, 32, 8),
    layers(64, 32, 1, squeeze=True),
)
SIGNED, LISTED, ONE_HOT = (functools.partial(least_squares, coded=code) for code in (signs, from_list, columns))
RATE = functools.partial(least_squares, link=log_rate)
SLOW, SLOWER = (functools.partial(SGD, lr=rate) for rate in (0.01, 0.003))
ADAM = functools.partial(torch.optim.Adam, lr=0.001)

HUBER, SMOOTH, SMOOTHED = {"delta": 0.5}, {"beta": 0.5}, {"label_smoothing": 0.1}
BATCHMEAN, CUTS, APART, ASIDE, AHEAD = (
    {"reduction": "batchmean"},
    {"cutoffs": CUTOFFS},
    {"margin": 2.0},
    {"margin": 0.3},
    {"margin": 1.0},
)
BY_ANGLE = {"distance_function": negative_cosine, "margin": 0.5}
BY_ANGLE_IN_TORCH = {"distance_function": functools.partial(cosine, lambda x: x), "margin": 0.5}

# loss, data, model, arguments, what is right, baseline, optimizer
# fmt: off
TASKS = (
    Task("l1_loss", diabetes, LINE, predict(), nearer(), least_squares, SLOW, epochs=10),
    Task("mse_loss", diabetes, LINE, predict(), nearer(), least_squares, SLOW, epochs=10),
    Task("huber_loss", diabetes, LINE, predict(), nearer(), least_squares, SLOW, epochs=10, options=HUBER),
    Task("smooth_l1_loss", diabetes, LINE, predict(), nearer(), least_squares, SLOW, epochs=10, options=SMOOTH),
    Task("poisson_nll_loss", ink, COUNT, predict(), nearer(torch.exp), RATE, SLOW, epochs=5),
    Task("gaussian_nll_loss", noisy, layers(1, 16, 2), uncertain, likelier, even_noise, SLOWER, epochs=5),
    Task("kl_div", taught, TEN, predict(log_softmax), classified, least_squares, options=BATCHMEAN),
    Task("binary_cross_entropy", tumours, LOGIT, predict(torch.sigmoid), decided, SIGNED, SLOW),
    Task("binary_cross_entropy_with_logits", tumours, LOGIT, weighted, decided, SIGNED, SLOW),
    Task("soft_margin_loss", tumours, LOGIT, as_signs, decided, SIGNED, SLOW),
    Task("multilabel_soft_margin_loss", traits, FOUR, predict(), decided, SIGNED),
    Task("multilabel_margin_loss", listed_traits, FOUR, predict(), listed, LISTED),
    Task("nll_loss", digits, TEN, predict(log_softmax), classified, ONE_HOT),
    Task("cross_entropy", digits, TEN, predict(), classified, ONE_HOT, options=SMOOTHED),
    Task("linear_cross_entropy", digits, TEN, linear, classified, ONE_HOT),
    Task("adaptive_log_softmax_with_loss", digits, Adaptive, adaptive, classified, ONE_HOT, options=CUTS,
         call=adaptive_softmax),
    Task("multi_margin_loss", digits, TEN, predict(), classified, ONE_HOT),
    Task("hinge_embedding_loss", pairs, EMBEDDING, far, told_apart(distance), unchanged, SLOW, options=APART),
    Task("cosine_embedding_loss", pairs, EMBEDDING, two_long, told_apart(cosine), unchanged, SLOW, options=ASIDE),
    Task("margin_ranking_loss", rivals, SCORE, two, ranked, best_ranking, SLOW, options=AHEAD),
    Task("triplet_margin_loss", triplets, EMBEDDING, three, ordered(distance), unchanged, SLOW),
    Task("triplet_margin_with_distance_loss", triplets, EMBEDDING, three, ordered(cosine), unchanged, SLOW,
         options=BY_ANGLE, torch_options=BY_ANGLE_IN_TORCH),
    Task("ctc_loss", strips, layers(64, 11), ctc, spelled, nearest_digit, epochs=8, batch=16),
)
# The introduction's last example. A hidden layer can do no worse than the best linear classifier, and five epochs
# should be enough to get there.
INTRODUCTION = Task("cross_entropy", enlarged_digits, layers(784, 128, 10), predict(), classified, ONE_HOT, ADAM,
                    epochs=5, batch=64)
# fmt: on
