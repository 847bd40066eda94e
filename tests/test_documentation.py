"""Is what torch says of its losses so: its type stubs, the arguments it documents, its examples, the conventions cited here?"""

from __future__ import annotations

import ast
import contextlib
import doctest
import inspect
import io
import pathlib
import re
import warnings
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from reference.catalog import CATALOG

from .api import APIS
from .habits import Habit, judge, unmatched
from .known import Known, changed

MODULES = [name for name in APIS if hasattr(torch.nn, name) and name != "NLLLoss2d"]  # deprecated, and without documentation
FUNCTIONS = [row.function for row in CATALOG if hasattr(F, row.function)]

PLACES = ("device", "dtype")
"""What every module with parameters takes, and no loss documents for itself."""

LEGACY = ("size_average", "reduce")
"""Their default is documented as what it means, True, and is None, lest it be taken for given."""

CONVENTIONS = (
    ("BCELoss", "clamps its log function outputs to be greater than or equal to -100"),
    ("GaussianNLLLoss", "The clamping of ``var`` is ignored with respect to autograd"),
    ("KLDivLoss", "doesn't return the true KL divergence value, please use :attr:`reduction`\\ `= \"batchmean\"`"),
    ("NLLLoss", "``'mean'``: the weighted mean of the output is taken"),
    ("NLLLoss", "Specifies a target value that is ignored and does not contribute to the input gradient"),
    ("CrossEntropyLoss", "``'mean'``: the weighted mean of the output is taken"),
    ("CrossEntropyLoss", "this loss also accepts this class index (this index may not necessarily be in the class range)"),
    ("CrossEntropyLoss", "The targets become a mixture of the original ground truth and a uniform distribution"),
    ("PoissonNLLLoss", "The approximation is used for target values more than 1. For targets less or equal to 1 zeros are added to the loss"),
    ("MultiLabelMarginLoss", "only considers a contiguous block of non-negative targets that starts at the front"),
    ("CTCLoss", "the output losses will be divided by the target lengths and then the mean over the batch is taken"),
    ("CTCLoss", "Whether to zero infinite losses and the associated gradients"),
    ("SmoothL1Loss", "When beta is 0, Smooth L1 loss is equivalent to L1 loss"),
)
"""What the definitions in `reference/` follow because it is documented."""

SAID = (
    *(
        Habit(
            name,
            functions,
            "wrong",
            "torch/nn/functional.pyi.in was not touched when the functions were given a weight: a type checker refuses it",
            says="lacks weight",
            torch=releases,
            link="https://github.com/pytorch/pytorch/issues/196122",
        )
        for name, functions, releases in (
            ("stubs_lack_the_weight", ("l1_loss-stub", "huber_loss-stub"), ">=2.6"),
            ("stub_of_mse_lacks_the_weight", ("mse_loss-stub",), "<2.15"),
        )
    ),
    Habit(
        "example_of_many_prompts",
        ("TripletMarginWithDistanceLoss-examples",),
        "wrong",
        "lines that go on have the prompt of new ones, >>> for ..., and so are no Python",
        says="SyntaxError",
    ),
    Habit(
        "arguments_of_which_nothing_was_said",
        ("l1_loss-arguments", "smooth_l1_loss-arguments"),
        "wrong",
        "the function referred to its module, which lacks the weight, or has no list of what it is called with",
        says="nothing is said of ",
        torch="<2.8",
    ),
)

FALSE = (
    Known(
        "gaussian_nll_adds_no_eps",
        ("gaussian_nll_loss",),
        gives="added to var",
        right="a lower bound of var, as GaussianNLLLoss documents it",
        why="the docstring of the function describes eps as most losses have it",
        link="https://github.com/pytorch/pytorch/pull/190058",
        reproducer=(
            "x, var = torch.zeros(1), torch.ones(1)\n"
            "bounds = torch.equal(F.gaussian_nll_loss(x, x, var, eps=0.5), F.gaussian_nll_loss(x, x, var, eps=0.25))\n"
            "got = bounds and 'added to var' in F.gaussian_nll_loss.__doc__"
        ),
        today=True,
        torch="<2.14",
    ),
    Known(
        "bce_weight_of_a_batch",
        ("BCELoss",),
        gives="has to be a Tensor of size `nbatch`",
        right="broadcast to the shape of the input, as binary_cross_entropy documents it",
        why="the sentence was mended for BCEWithLogitsLoss alone",
        link="https://github.com/pytorch/pytorch/issues/5157",
        reproducer=(
            "loss, p = torch.nn.BCELoss(weight=torch.ones(4)), torch.full((4, 5), 0.5)\n"
            "try: loss(p, p); got = 'taken'\n"
            "except RuntimeError: got = 'of size `nbatch`' in loss.__doc__"
        ),
        today=True,
    ),
)


@cache
def stubs() -> dict[str, ast.arguments]:
    """The arguments that torch/nn/functional.pyi gives each function."""
    tree = ast.parse(pathlib.Path(F.__file__ + "i").read_text(encoding="utf-8"))
    return {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}


def _named(said: str) -> Any:
    return getattr(torch.nn, said, None) or getattr(F, said)


def _documented(said: str) -> str:
    return _named(said).__doc__ or ""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_stub_takes_what_the_function_takes(function: str) -> None:
    """There is a type stub; it has the function's arguments, in their order, and the same ones without a default."""
    assert function in stubs(), f"{function} has no stub"
    stub, parameters = stubs()[function], inspect.signature(getattr(F, function)).parameters
    names = [each.arg for each in (*stub.args, *stub.kwonlyargs)]
    without = [name for name, p in parameters.items() if name not in names]
    problems = [f"{function}: the stub lacks {', '.join(without)}"] if without else []
    kept = [name for name in parameters if name in names]
    problems += [f"{function}: the stub takes {names}, the function {kept}"] if names != kept else []
    required = [name for name, p in parameters.items() if p.default is p.empty]
    asked = names[: len(stub.args) - len(stub.defaults)]
    problems += [f"{function}: the stub requires {asked}, the function {required}"] if asked != required else []
    judge(SAID, f"{function}-stub", problems)


@pytest.mark.parametrize("said", [*MODULES, *FUNCTIONS])
def test_arguments_are_documented(said: str) -> None:
    """Every argument is in the list of them, or a function refers to its module, whose list has it."""
    asked = [name for name in inspect.signature(_named(said)).parameters if name not in PLACES]
    text = _documented(said)
    text += "".join(map(_documented, re.findall(r":class:`~torch\.nn\.(\w+)`", text)))
    without = [name for name in asked if not re.search(rf"\b{name}\b", text)]
    judge(SAID, f"{said}-arguments", [f"{said}: nothing is said of {', '.join(without)}"] if without else [])


@pytest.mark.parametrize("said", [*MODULES, *FUNCTIONS])
def test_defaults_are_as_documented(said: str) -> None:
    """Where the list of arguments names a default it is that of the signature."""
    for name, parameter in inspect.signature(_named(said)).parameters.items():
        entry = re.search(rf"^ +{name} \([^)\n]*\):(.*?)(?=^ +\w+ \([^)\n]*\):|^ *$|\Z)", _documented(said), re.MULTILINE | re.DOTALL)
        default = entry and re.search(r"(?:Default:|default value of) (?::math:)?[`']*([^`'\s]*[^`'\s.])", " ".join(entry[1].split()))
        if default and name not in LEGACY:
            assert default[1] == parameter.default or ast.literal_eval(default[1]) == parameter.default, f"{said}: {name} is {parameter.default!r}, documented as {default[1]}"


@pytest.mark.parametrize("said", [*MODULES, *FUNCTIONS])
def test_examples_run(said: str) -> None:
    """The examples in the docstring run, one after the other, and without a warning."""
    scope: dict[str, Any] = {"torch": torch, "nn": torch.nn, "F": F}
    problems = []
    for example in doctest.DocTestParser().get_examples(_documented(said)):
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("error")
            try:
                exec(compile(example.source, said, "single"), scope)
            except Exception as error:  # whatever it raises
                problems.append(f"{said}: {example.source.strip()} raises {type(error).__name__}: {error}")
                break  # what follows lacks what it should have made
    judge(SAID, f"{said}-examples", problems)


@pytest.mark.parametrize(("loss", "sentence"), CONVENTIONS, ids=[f"{loss}-{i}" for i, (loss, _) in enumerate(CONVENTIONS)])
def test_convention_is_still_documented(loss: str, sentence: str) -> None:
    """What a definition follows because torch documents it is still documented."""
    assert sentence in " ".join(_documented(loss).split())


@pytest.mark.parametrize("entry", [entry for entry in FALSE if entry.here()], ids=lambda entry: entry.name)
def test_what_is_said_is_still_false(entry: Known) -> None:
    """What the documentation says and torch does not do is still so."""
    assert not (said := changed(entry)), said


def test_entries_match() -> None:
    """Every entry is about something that was asked."""
    asked = [f"{said}-{what}" for said in (*MODULES, *FUNCTIONS) for what in ("stub", "arguments", "examples")]
    assert not unmatched(SAID, asked)
