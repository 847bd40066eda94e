"""How a call ends: with a value, an exception or a signal, and at which stage. The torch side of a bad call."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reference.catalog import ROWS

from .bad_calls import FLOAT_DTYPES, INDEX_DTYPES, BadCall, Elsewhere, bad_calls
from .isolated import fenced
from .offers import is_missing

DTYPES = {"mean": "float64", "sum": "bfloat16"}
"""Of the reductions, where it is not float32: a check may be forgotten in one dtype alone."""

FUNCTION, MODULE, CHUNKED = "function", "module", "chunked"  # the last: linear cross entropy with its options


@dataclass(frozen=True)
class Outcome:
    """`what` is an exception's name, a signal's, or the kind of the value: number, nan, inf, complex, meta."""

    what: str
    text: str = ""
    stage: str = "call"

    def __str__(self) -> str:
        return f"{self.what}{self.text and ': ' + self.text} (in {self.stage})"


@dataclass(frozen=True)
class Attempt:
    """One way to make a bad call."""

    bad: BadCall
    spelling: str
    reduction: str

    @property
    def dtype(self) -> str:
        """Of its numbers; the words for a wrong dtype have the right one in them, which is float32 then."""
        good, wanted = self.bad.good, DTYPES.get(self.reduction, "float32")
        if good.dtype != "float32" or self.bad.fault in (*FLOAT_DTYPES, *INDEX_DTYPES):
            return good.dtype
        return "float64" if is_missing(ROWS[good.loss], wanted, "cpu", torch.__version__) else wanted

    def __str__(self) -> str:
        arrays, options = self.bad.arguments
        said = options | ({"reduction": self.reduction} if self.reduction else {})
        shown = {n: f"{a.tolist()} ({a.dtype})" if isinstance(a, np.ndarray) else repr(a) for n, a in arrays.items()}
        shown |= {name: repr(value) for name, value in said.items()}
        return f"{self.bad.good.loss}, {self.spelling}, {self.dtype}: {', '.join(f'{n}={v}' for n, v in shown.items())}"


def attempts(bad: BadCall) -> Iterator[Attempt]:
    """The function and the module, where they can be told to, under every reduction."""
    present = [n for n in bad.good.arrays if n in bad.good.places]
    parameters = {n for n, place in bad.good.places.items() if place == "parameter"}
    spellings = [FUNCTION]
    if not _function_only(bad.good.loss, present) and bad.argument != "all" and bad.argument not in parameters:
        spellings.append(MODULE)
    if bad.good.loss == "LinearCrossEntropyLoss" and bad.argument not in bad.good.options:
        spellings.append(CHUNKED)
    for spelling in spellings:
        for reduction in bad.reductions:
            yield Attempt(bad, spelling, reduction)


def _function_only(loss: str, names: list[str]) -> bool:
    return loss in ("L1Loss", "MSELoss", "HuberLoss") and "weight" in names


def observe(attempt: Attempt, subject: Any = torch.nn.functional, *, fence: bool = False, asks: bool = True) -> Outcome:
    """Make the call and, if it gives a value that can be differentiated, its backward pass; `asks`: for a gradient."""
    arrays, options = attempt.bad.arguments
    side = "start" if "negative" in attempt.bad.fault else "end"
    given = {n: _tensor(a, side if fence else "", attempt.dtype) for n, a in arrays.items()}
    said = options | ({"reduction": attempt.reduction} if attempt.reduction else {})
    first = next(iter(given.values()))
    if asks and isinstance(first, torch.Tensor) and first.is_floating_point():
        first.requires_grad_()
    if attempt.spelling == CHUNKED:
        said["options"] = torch.nn.LinearCrossEntropyOptions()
    stage = "construction" if attempt.spelling == MODULE else "call"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if attempt.spelling != MODULE:
                value = getattr(subject, attempt.bad.good.function)(**given, **said)
            else:
                module, inputs = _module(attempt.bad, given, said)
                stage = "call"
                value = module(*inputs)
            if value.requires_grad:
                stage = "backward"
                value.sum().backward()
        except Exception as error:  # any exception is an observation
            return Outcome(type(error).__name__, " ".join(str(error).split())[:400], stage)
    return Outcome(_kind(value), "", "result")


def observe_fenced(name: tuple[str, str, str, str]) -> Outcome:
    """Make the attempt of a bad call's id, a spelling and a reduction, on the subject of a name, behind fences."""
    bad, spelling, reduction, subject = name
    return observe(Attempt(bad_calls()[bad], spelling, reduction), importlib.import_module(subject), fence=True)


def _module(bad: BadCall, given: dict[str, Any], said: dict[str, Any]) -> tuple[torch.nn.Module, list[Any]]:
    """The module, and what it is called with."""
    places = bad.good.places
    made = said | {n: v for n, v in given.items() if places[n] == "constructor"}
    inputs = [v for n, v in given.items() if places[n] == "call"]
    if bad.good.loss != "LinearCrossEntropyLoss":
        return getattr(torch.nn, bad.good.loss)(**made), inputs
    weight, bias = given["linear_weight"], given.get("linear_bias")
    classes, *out, features = weight.shape
    made |= {"out_features": tuple(out), "bias": bias is not None}
    module = torch.nn.LinearCrossEntropyLoss(features, classes, **made)
    module.linear.weight = torch.nn.Parameter(weight.reshape(-1, weight.shape[-1]))
    if bias is not None:
        module.linear.bias = torch.nn.Parameter(bias.reshape(-1))
    return module, inputs


def _tensor(array: Any, fence: str, dtype: str) -> Any:
    if isinstance(array, Elsewhere):
        return _tensor(array.array, "", dtype).to("meta")
    if not isinstance(array, np.ndarray | np.generic):
        return array
    tensor = torch.from_numpy(np.ascontiguousarray(array)).reshape(np.shape(array))
    tensor = tensor.to(getattr(torch, dtype)) if tensor.dtype == torch.float64 else tensor.clone()
    return fenced(tensor, side=fence) if fence else tensor


def _kind(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    if value.is_complex() or value.is_meta:
        return "complex" if value.is_complex() else "meta"
    return "nan" if value.isnan().any() else "inf" if value.isinf().any() else "number"
