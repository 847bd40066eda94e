"""Does a model that is trained through torch's loss become the one that the specification would have made of it?

Two runs share the start, the batches, the network and the optimizer. One differentiates through torch's loss, its
twin takes the gradient of the loss from the specification. In float64 their parameters may differ by roundings, and
how far roundings lead a given run astray, another run shows: the control, a twin with one rounding too many wherever
the loss rounds (`tests.training.rounded`). By the end of an epoch the runs may differ by K times as much as the
control has so far, because so many roundings lie between a loss's arguments and its gradient, and by K roundings of
the parameters themselves, which both runs keep rounded. Nothing else is allowed for, and 1e-6 off is seen at once.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reference.accuracy import K
from reference.arithmetic import FloatArray
from reference.catalog import CATALOG
from tests.training import Run, Task, rounded, specified, through, train
from tests.training_data import mnist
from tests.training_tasks import INTRODUCTION, TASKS

pytest.importorskip("sklearn", reason="the images and tables to learn from are scikit-learn's")

U = 2.0**-53
EVERY = {"the-introduction": INTRODUCTION, **{task.loss: task for task in TASKS}}
if find_spec("torchvision") and Path(os.environ.get("MNIST_ROOT", ""), "MNIST", "raw").is_dir():
    EVERY["the-introduction-on-mnist"] = dataclasses.replace(INTRODUCTION, data=mnist)


@dataclasses.dataclass(frozen=True)
class Specified:
    """The specification's run, and how far from it a run may be after each epoch."""

    run: Run
    allowed: FloatArray


@pytest.fixture(scope="module", params=EVERY.values(), ids=list(EVERY))
def task(request: pytest.FixtureRequest) -> Task:
    """One after the other, so that what the tests of a task share is made once."""
    found: Task = request.param
    return found


@pytest.fixture(scope="module")
def twin(task: Task) -> Specified:
    """The run whose gradients are the specification's, and the control's distance from it."""
    run, control = train(task, specified), train(task, rounded)
    return Specified(run, K * (np.maximum.accumulate(apart(control, run)) + U))


@pytest.fixture(scope="module")
def run(task: Task, subject: Any) -> Run:
    """The run through the subject's loss."""
    return train(offered(task, subject), through(subject))


def offered(task: Task, subject: Any) -> Task:
    """The task, unless the subject lacks its loss."""
    if task.call is None and not hasattr(subject, task.loss):
        pytest.skip(f"{subject.__name__} of torch {torch.__version__} has no {task.loss}")
    return task


def apart(a: Run, b: Run) -> FloatArray:
    """How far the parameters of a are from those of b after each epoch of a, relative to their length."""
    epochs = b.epochs[: len(a.epochs)]
    return np.asarray(np.linalg.norm(a.epochs - epochs, axis=1) / np.linalg.norm(epochs, axis=1))


def no_worse(task: Task, run: Run) -> str:
    """A sentence if the model gets fewer of the held-out data right than the baseline, beyond chance.

    Only what one of the two gets right counts; if they are equally good, it falls to either like a coin.
    """
    data, held_out = task.data()
    with torch.no_grad():
        model, baseline = (task.right(p, held_out) for p in (run.model, task.baseline(data)))
    lost, won = int((baseline & ~model).sum()), int((model & ~baseline).sum())
    scores = f"{model.double().mean():.3f} right, {baseline.double().mean():.3f} without training"
    return "" if lost - won <= 2 * (lost + won) ** 0.5 else f"{scores}: {lost} lost, {won} won"


def test_the_twins_stay_together(run: Run, twin: Specified) -> None:
    """After every epoch the parameters agree to rounding."""
    found = apart(run, twin.run)
    assert np.all(found <= twin.allowed), f"apart by {found}, allowed {twin.allowed}"


def test_the_model_learns(task: Task, run: Run) -> None:
    """On held-out data it is no worse than what can be had in closed form, without training."""
    assert no_worse(task, run) == ""


@pytest.mark.self_test
def test_an_untrained_model_is_worse(task: Task) -> None:
    """So the test above can fail."""
    assert no_worse(task, train(dataclasses.replace(task, epochs=0), specified)) != ""


@pytest.mark.self_test
def test_a_slip_in_the_gradient_parts_the_twins(task: Task, twin: Specified, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient that is 1e-6 too large, in relation to its size, is noticed after one epoch."""
    offered(task, torch.nn.functional)
    owner: Any = torch.nn.functional if task.call is None else torch.nn.AdaptiveLogSoftmaxWithLoss
    function = task.loss if task.call is None else "forward"
    monkeypatch.setattr(owner, function, slipped(getattr(owner, function)))
    faulty = train(dataclasses.replace(task, epochs=1), through(torch.nn.functional))
    assert apart(faulty, twin.run)[0] > twin.allowed[0]


def slipped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its value right and its gradient 1e-6 too large."""

    def wrong(value: torch.Tensor) -> torch.Tensor:
        return value + 1e-6 * (value - value.detach())

    def call(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        return wrong(found) if isinstance(found, torch.Tensor) else found._replace(loss=wrong(found.loss))

    return call


def test_every_loss_has_a_task() -> None:
    """Of those in the catalog that torch.nn has."""
    assert {row.function for row in CATALOG if not row.namespace} <= {task.loss for task in TASKS}
