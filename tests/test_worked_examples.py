"""Do the worked examples of the introduction hold, and does the README say which do not?"""

from __future__ import annotations

import doctest
import itertools
import re
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import reference
from tests.worked_examples import (
    CLASS_WEIGHTS,
    CLASSES,
    ELEMENT_WEIGHTS,
    EXAMPLES,
    HEADING,
    LABELS,
    PROBABILITIES,
    SCORES,
    Example,
    decimals,
    exact,
    table,
)

README = Path(__file__).parent.parent / "README.md"
BY_ID = {example.id: example for example in EXAMPLES}
every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)


@every_example
def test_the_closed_form_is_the_definition_at_50_digits(example: Example) -> None:
    """The exact value, worked out by hand, is what `reference` defines, on the decimals themselves."""
    with mpmath.workdps(50):
        digits = np.frompyfunc(lambda decimal: mpmath.mpf(str(decimal)), 1, 1)
        arguments = {
            name: np.asarray(value) if value is CLASSES else digits(np.asarray(value, dtype=object))
            for name, value in example.arguments.items()
        }
        got = getattr(reference, example.loss)(**arguments, **example.options).value.item()
        assert abs(got - exact(example.form)) < mpmath.mpf("1e-45")


@every_example
def test_torch_prints_the_exact_value(example: Example) -> None:
    """In its default dtype, to the four decimals that the introduction shows."""
    arguments = {name: torch.tensor(value) for name, value in example.arguments.items()}
    got = getattr(F, example.loss)(**arguments, **example.options)
    assert got.dtype == torch.float32
    assert f"{got.item():.4f}" == example.torch == decimals(example.form)


@every_example
def test_a_printed_number_is_called_right_only_if_it_is(example: Example) -> None:
    """`right` means that torch would print it, `wrong` that it would not; nothing else is judged."""
    expected = {example.torch: "right", None: "not quoted"}.get(example.printed, "wrong")
    assert example.verdict == expected


def test_the_two_squared_errors_are_one_slip() -> None:
    """0.2967 is a third of 0.8900, so the printed mean follows from the printed sum; both miss the 0.66."""
    mean, total = BY_ID["mse_loss"].printed, BY_ID["mse_loss-sum"].printed
    assert mean is not None
    assert total is not None
    assert f"{float(total) / 3:.4f}" == mean


def test_no_choice_of_classes_gives_the_printed_cross_entropy() -> None:
    """The number is of other logits: of these, every choice of one class per row gives another."""
    losses = reference.cross_entropy(
        np.repeat(SCORES, 5, axis=0), np.tile(np.arange(5), 3), reduction="none"
    ).value.reshape(3, 5)
    means = {f"{sum(rows) / 3:.4f}" for rows in itertools.product(*losses.tolist())}
    assert BY_ID["cross_entropy"].torch in means
    assert BY_ID["cross_entropy"].printed not in means
    assert losses[2, CLASSES[2]] / 3 > 1.14


def test_no_labelling_gives_the_printed_binary_cross_entropy() -> None:
    """Nor do these probabilities, with any of the 16 ways to label them."""
    means = {
        f"{reference.binary_cross_entropy(PROBABILITIES, np.array(labels)).value:.4f}"
        for labels in itertools.product([0.0, 1.0], repeat=4)
    }
    assert BY_ID["binary_cross_entropy"].torch in means
    assert BY_ID["binary_cross_entropy"].printed not in means


def _cross_entropy(weight: list[float] | None) -> torch.Tensor:
    weights = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    return F.cross_entropy(torch.tensor(SCORES, dtype=torch.float64), torch.tensor(CLASSES), weight=weights)


def test_equal_weights_of_the_picked_classes_cancel() -> None:
    """Whatever weight the three picked classes share, and whatever the other two have: the mean is unweighted."""
    plain = _cross_entropy(None)
    for shared in (0.25, 0.5, 4.0):  # powers of two: the weights themselves round nothing
        assert _cross_entropy([9.0, shared, 7.0, shared, shared]) == plain
    # 0.2 is no power of two: each of 3 products, 2 sums on either side and the quotient rounds once
    assert abs(_cross_entropy(CLASS_WEIGHTS) - plain) <= 8 * 2**-53 * plain
    assert abs(_cross_entropy([0.1, 0.2, 0.3, 0.2, 0.4]) - plain) > 0.1


def test_element_weights_do_not_enter_the_denominator() -> None:
    """BCELoss divides by the number of elements, CrossEntropyLoss by the sum of the picked weights."""
    p, t, w = (torch.tensor(x, dtype=torch.float64) for x in (PROBABILITIES, LABELS, ELEMENT_WEIGHTS))
    total = F.binary_cross_entropy(p, t, weight=w, reduction="sum")
    assert F.binary_cross_entropy(p, t, weight=w) == total / len(w)
    picked = torch.tensor(CLASS_WEIGHTS, dtype=torch.float64)
    scores, classes = torch.tensor(SCORES, dtype=torch.float64), torch.tensor(CLASSES)
    total = F.cross_entropy(scores, classes, weight=picked, reduction="sum")
    got = F.cross_entropy(scores, classes, weight=picked)
    assert abs(got - total / picked[classes].sum()) <= 4 * 2**-53 * got  # two sums, a product, a quotient


def test_the_example_in_the_package_is_true() -> None:
    """The docstring of `reference` shows one of these; what it prints is what comes out."""
    found = doctest.testmod(reference)
    assert found.attempted
    assert not found.failed


def test_the_readme_shows_this_table() -> None:
    """The table under the README's heading is the one that `python -m tests.worked_examples` prints."""
    parts = re.split(r"^#+ (.+)$", README.read_text(), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert HEADING in sections, f"README.md has no section {HEADING!r}"
    assert table() in sections[HEADING], "README.md: paste what `python -m tests.worked_examples` prints"
