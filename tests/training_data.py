"""What there is to learn from: real images and tables, bundled with scikit-learn, and one line of made-up noise.

Each function gives the data to train on and the data that the model never sees, as tensors with as many rows.
"""

from __future__ import annotations

import functools
import os

import numpy as np
import torch

from reference.arithmetic import Array
from tests.training import Tensors

Data = tuple[Tensors, Tensors]


def split(*arrays: Array) -> Data:
    """Four fifths to train on, one to hold out, at random but always the same."""
    order = np.random.default_rng(0).permutation(len(arrays[0]))
    kept, held_out = np.split(order, [4 * len(order) // 5])
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]
    return tuple(t[kept] for t in tensors), tuple(t[held_out] for t in tensors)


@functools.cache
def bundled(name: str) -> tuple[Array, Array]:
    """One of scikit-learn's data sets, its features standardised (those of images: from 0 to 1)."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (x / 16 if name == "digits" else (x - x.mean(0)) / x.std(0)), y


@functools.cache
def digits() -> Data:
    """1797 handwritten digits of 8 x 8 pixels."""
    return split(*bundled("digits"))


@functools.cache
def enlarged_digits() -> Data:
    """The same at 28 x 28, as MNIST has them: each pixel three by three, and a margin of two."""
    x, y = bundled("digits")
    large = x.reshape(-1, 8, 8).repeat(3, axis=1).repeat(3, axis=2)
    return split(np.pad(large, [(0, 0), (2, 2), (2, 2)]).reshape(-1, 784), y)


@functools.cache
def mnist() -> Data:
    """MNIST itself, as torchvision reads it from the folder that MNIST_ROOT names; nothing is downloaded."""
    from torchvision import datasets

    both = [datasets.MNIST(os.environ["MNIST_ROOT"], train=train, download=False) for train in (True, False)]
    train, held_out = ((d.data.reshape(-1, 784).double() / 255, d.targets) for d in both)
    return train, held_out


@functools.cache
def tumours() -> Data:
    """569 tumours, 30 measurements of each: benign (1) or malignant (0)."""
    x, y = bundled("breast_cancer")
    return split(x, y.astype(float))


@functools.cache
def diabetes() -> Data:
    """442 patients, ten measurements of each; how far the disease is a year later, standardised."""
    x, y = bundled("diabetes")
    return split(x, (y - y.mean()) / y.std())


@functools.cache
def ink() -> Data:
    """The left half of a digit; how many pixels of its right half are dark."""
    x, _ = bundled("digits")
    x = x.reshape(-1, 8, 8)
    return split(x[:, :, :4].reshape(-1, 32), (x[:, :, 4:] > 0.5).sum((1, 2)).astype(float))


@functools.cache
def noisy() -> Data:
    """A line whose noise grows along it."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (1000, 1))
    return split(x, x[:, 0] + np.exp(2 * x[:, 0] - 1) * rng.normal(size=1000))


@functools.cache
def taught() -> Data:
    """A digit, and how a teacher spreads its belief over the ten: by the distance from the mean of each."""
    x, y = bundled("digits")
    means = np.stack([x[y == c].mean(0) for c in range(10)])
    p = np.exp(-((x[:, None] - means) ** 2).sum(-1))
    return split(x, p / p.sum(1, keepdims=True))


TRAITS = np.array([[c % 2 == 0, c in {2, 3, 5, 7}, c >= 5, c in {0, 6, 8, 9}] for c in range(10)])


@functools.cache
def traits() -> Data:
    """A digit, and whether it is even, prime, at least 5, and drawn around a hole."""
    x, y = bundled("digits")
    return split(x, TRAITS[y].astype(float))


@functools.cache
def listed_traits() -> Data:
    """The same as a list of traits, -1 to its end. That of the digit 1 is empty."""
    x, y = bundled("digits")
    has = TRAITS[y]
    order = np.argsort(~has, axis=1, kind="stable")
    return split(x, np.where(np.take_along_axis(has, order, 1), order, -1))


@functools.cache
def pairs() -> Data:
    """Two digits, and whether they are the same (1) or not (-1), as often."""
    x, y = bundled("digits")
    rng, a = np.random.default_rng(2), np.arange(len(x))
    same = rng.integers(0, 2, len(x)) == 1
    b = np.array([rng.choice(np.flatnonzero((y == y[i]) == same[i])) for i in a])
    return split(x[a], x[b], np.where(same, 1.0, -1.0))


@functools.cache
def rivals() -> Data:
    """Two digits that differ, and whether the first is the larger (1) or the smaller (-1)."""
    x, y = bundled("digits")
    b = np.random.default_rng(3).permutation(len(x))
    keep = y != y[b]
    return split(x[keep], x[b][keep], np.sign(y - y[b])[keep].astype(float))


@functools.cache
def triplets() -> Data:
    """A digit, one like it, and another."""
    x, y = bundled("digits")
    rng = np.random.default_rng(4)
    like, other = (np.array([rng.choice(np.flatnonzero((y == c) == same)) for c in y]) for same in (True, False))
    return split(x, x[like], x[other])


FRAMES, SPELLED = 4, 2


@functools.cache
def strips() -> Data:
    """A strip of four frames and the two digits, not alike, that it shows side by side; not how wide each is."""
    x, y = bundled("digits")
    rng = np.random.default_rng(5)
    first = rng.integers(0, len(x), 600)
    second = np.array([rng.choice(np.flatnonzero(y != y[i])) for i in first])
    until = np.arange(FRAMES) < rng.integers(1, FRAMES, (600, 1))
    frames = np.where(until[..., None], x[first][:, None], x[second][:, None])
    return split(frames, np.stack([y[first], y[second]], axis=1) + 1)  # 0 is blank
