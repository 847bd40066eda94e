"""Two training runs that share everything but where the gradient of the loss comes from.

`train` is given a step: one that differentiates through a loss of torch, one that asks the specification for the
gradient (`specified`), or one that asks it and then rounds wrongly on purpose (`rounded`). What it returns is the
trajectory: all parameters, after each epoch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import reference
from reference.arithmetic import FloatArray

Tensors = tuple[torch.Tensor, ...]
Arguments = dict[str, Any]
Predictor = Callable[[torch.Tensor], torch.Tensor]
Step = Callable[["Task", Arguments], None]

# unlike Adam's, its step is as long as the gradient: a gradient that points the right way is not enough
SGD = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)


@dataclass(frozen=True)
class Task:
    """Something to learn.

    loss:      its name in torch.nn.functional and in `reference`
    data:      what batches are cut from, along the first axis of each, and the like that the model never sees
    model:     makes the model, which is then taken to float64
    arguments: the loss's arguments, by name, from the model and a batch
    right:     which of the data a model, or what stands in for one, gets right
    baseline:  what stands in for a model: made from the data to train on in closed form, with no training
    options:   the loss's, on both sides; torch's own where they must be spelled differently
    call:      torch's side, where torch.nn.functional has no such name
    """

    loss: str
    data: Callable[[], tuple[Tensors, Tensors]]
    model: Callable[[], torch.nn.Module]
    arguments: Callable[[torch.nn.Module, Tensors], Arguments]
    right: Callable[[Predictor, Tensors], torch.Tensor]
    baseline: Callable[[Tensors], Predictor]
    optimizer: Callable[..., torch.optim.Optimizer] = SGD
    epochs: int = 3
    batch: int = 32
    options: Mapping[str, Any] = field(default_factory=dict)
    torch_options: Mapping[str, Any] | None = None
    call: Callable[..., torch.Tensor] | None = None


@dataclass(frozen=True)
class Run:
    """A model that was trained, and all its parameters as they were after each epoch."""

    model: torch.nn.Module
    epochs: FloatArray


def train(task: Task, step: Step) -> Run:
    """Train, from the same start and through the same batches whatever the step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.model().double()
    optimizer = task.optimizer(model.parameters())
    epochs = []
    for batches in _epochs(task):
        for batch in batches:
            optimizer.zero_grad()
            step(task, task.arguments(model, batch))
            optimizer.step()
        epochs.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy().copy())
    return Run(model, np.array(epochs))


def _epochs(task: Task) -> Iterator[Iterator[Tensors]]:
    rng, (data, _) = np.random.default_rng(0), task.data()
    for _ in range(task.epochs):
        order = torch.from_numpy(rng.permutation(len(data[0])))
        yield (tuple(t[rows] for t in data) for rows in order.split(task.batch))


# -- where the gradient comes from ------------------------------------------------------------------------------


def through(subject: Any) -> Step:
    """Differentiate through the subject's loss, which is looked up when it is called."""

    def step(task: Task, arguments: Arguments) -> None:
        call = task.call or getattr(subject, task.loss)
        options = task.options if task.torch_options is None else task.torch_options
        call(**arguments, **options).backward()

    return step


def specified(task: Task, arguments: Arguments) -> None:
    """Take the gradient in every argument that is being differentiated from the specification."""
    _descend(arguments, _gradients(task, arguments, lambda a: a))


def rounded(task: Task, arguments: Arguments) -> None:
    """The same, with one rounding too many: of each argument, at random, and of each gradient, always outwards.

    Roundings of the arguments are as good as independent; a factor that is rounded, as 1 / n is, moves every
    gradient alike. So both kinds are here, each by one unit in the last place.
    """
    rng = np.random.default_rng(0)
    gradients = _gradients(task, arguments, lambda a: np.nextafter(a, rng.choice([-np.inf, np.inf], a.shape)))
    _descend(arguments, {name: np.nextafter(g, np.copysign(np.inf, g)) for name, g in gradients.items()})


def _gradients(task: Task, arguments: Arguments, move: Callable[[FloatArray], FloatArray]) -> Mapping[str, FloatArray]:
    def to_array(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return move(value.detach().numpy()) if value.requires_grad else value.numpy()
        return [to_array(v) for v in value] if isinstance(value, list) else value

    arrays = {name: to_array(value) for name, value in arguments.items()}
    found: reference.Result = getattr(reference, task.loss)(**arrays, **task.options)
    return found.gradients


def _descend(arguments: Arguments, gradients: Mapping[str, FloatArray]) -> None:
    ends = {name: end for name, end in _flat(arguments.items()) if end.requires_grad}
    torch.autograd.backward(list(ends.values()), [torch.from_numpy(np.asarray(gradients[name])) for name in ends])


def _flat(arguments: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor by name; those of a nested list as name.0, name.1 ..."""
    for name, value in arguments:
        if isinstance(value, list):
            yield from ((f"{name}.{i}", t) for i, t in _flat(enumerate(value)))
        else:
            yield str(name), value
