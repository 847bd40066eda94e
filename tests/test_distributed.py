"""Is cross entropy the same when its logits lie in several processes, shard by shard, by class or by row?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

import reference
from reference.accuracy import Truth
from reference.arithmetic import IndexArray
from reference.catalog import ROWS, Form
from reference.formats import FORMATS
from reference.inputs import draw

from .cases import Case
from .distributed_habits import SHARDED
from .divergence import in_release
from .habits import attempt, habit, unmatched
from .isolated import isolation
from .sharded import WORLD, Job, run
from .subject import tensors
from .transformed import cotangent, elsewhere, evaluate, function, hold

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch is built without torch.distributed")

SIZES = {"N": 6, "C": 7}  # neither is divided by four ranks, nor the classes by two, and every rank has a class
IGNORED = (1, 3, 4)  # by chance as many on each of two ranks, a wrong mean would be right; all of a rank's, it would be NaN
OTHERS = ("float32", "bfloat16")
GRIDS = in_release(">=2.13", torch.__version__)  # before that only one axis of ranks was supported
MANY = Form("many_classes", {"N": 6, "C": 1003})  # more than bfloat16 can count to
IMAGE = Form("image", {"N": 6, "C": 7, "d1": 2, "d2": 3})
VOLUME = Form("volume", {"N": 6, "C": 7, "d1": 2, "d2": 1, "d3": 3})
PLAIN, ALONE = Form("batch", SIZES), Form("unbatched", {"C": 7})
OTHER_CALLS = (
    *((MANY, dtype, "typical") for dtype in OTHERS),
    *((form, "float64", "typical") for form in (IMAGE, VOLUME)),
    *((PLAIN, "float32", regime) for regime in ("trained", "saturated", "tails", "large", "offset", "tied", "masked", "nan_input", "neginf_input")),
)
"""Forms, dtypes and regimes of plain calls."""
ODD_CALLS = (("ignored", PLAIN, "all_ignored", ("by_row", "by_class")), ("", ALONE, "typical", ("alone_by_class",)))
"""Targets, forms and regimes of calls without and with weights, and how they are split: no row counts, or there is one."""
GATHERED = "by_class_gathered"
AXES = {"by_row": (0,), "by_class": (1,), "by_both": (0, 1), "by_class-and_row": (1, 0), "copied-by_class": (None, 1), "by_class-copied": (1, None), "alone_by_class": (0,), GATHERED: (1,)}


@dataclass(frozen=True)
class Sharded:
    """A case, along which axis its logits are split, and among how many ranks."""

    case: Case
    axis: str
    ranks: int
    after: str = ""

    @property
    def id(self) -> str:
        """The case's, the axis and the ranks."""
        return f"{self.case.id}-{self.axis}-{self.ranks}{self.after}"

    def job(self) -> Job:
        """What is sent to the ranks."""
        given = tensors(self.case.truth.drawn, self.case.format, "cpu")
        options = {**self.case.variant.options, "reduction": self.case.reduction}
        return Job(
            self.id, self.ranks, AXES[self.axis], self.case.row.function, given["input"], given["target"], given.get("weight"), options, cotangent(self.case),
            gathered=self.axis == GATHERED,
        )


def cases(seed: int) -> list[Sharded]:
    """Batched, every pair of options, and by class every combination without smoothing; those that are refused last.

    A plain one by row is asked again after all others that go through, and once more after those that are refused.

    Every pair of options in other dtypes, too, on all ranks, under one reduction in turn, and calls with many classes or axes,
    at other regimes, of no row that counts or of one row alone; without loss_parallel, whose operators gather the classes;
    combinations on two or on four ranks in turn; on a grid, by row and class, or by class with a copy, either way. Class
    probabilities lie as the logits do. In range, ignore_index is asked with rows that have it.
    """
    row, found, groups = ROWS["CrossEntropyLoss"], [], itertools.cycle((WORLD // 2, WORLD))
    pairs = {variant.name: reduction for variant, reduction in zip(row.few(), itertools.cycle(row.reductions), strict=False)}
    for variant, reduction in itertools.product(row.variants(), row.reductions):
        plain = variant.form is row.forms[0] and not variant.options["label_smoothing"]
        axes = [axis for axis in ("by_row", "by_class") if variant.name in pairs or (plain and axis == "by_class")]
        target, ignore = variant.choices["target"].label, variant.options["ignore_index"]
        if variant.form.name in ("batch", "k1") and (target == "ignored" or ignore == -100):
            for dtype in ("float64", *(OTHERS if pairs.get(variant.name) == reduction else ())):
                case = Case(row, variant, reduction, FORMATS[dtype], "cpu", "typical", seed)
                form = Form(variant.form.name, {**variant.form.axes, **SIZES})
                drawn = draw(row, replace(variant, form=form), "typical", case.format, seed)
                if target == "ignored":
                    _ignore(IGNORED, drawn.arguments["target"], ignore, SIZES["C"])
                case = elsewhere(case, replace(case.truth, drawn=drawn))
                ranks = (WORLD,) if dtype != "float64" else (WORLD // 2, WORLD) if variant.name in pairs else (next(groups),)
                found += [Sharded(case, axis, n) for axis in axes for n in ranks]
                if dtype == "float64" and pairs.get(variant.name) == reduction:
                    found.append(Sharded(case, GATHERED, WORLD))
                if GRIDS and dtype == "float64" and plain and target != "probabilities" and (reduction != "mean" or variant.name == "batch"):
                    found += [Sharded(case, axis, WORLD) for axis, split in AXES.items() if len(split) == 2]
    others = [(row.plain(form), dtype, regime, ("by_row", "by_class")) for form, dtype, regime in OTHER_CALLS]
    others += [(row.plain(form, "weight"), "float64", "typical", ("by_row", "by_class")) for form in (IMAGE, VOLUME)]
    others += [(row.plain(form, target, weight), "float64", regime, axes) for target, form, regime, axes in ODD_CALLS for weight in ("", "weight")]
    for (variant, dtype, regime, axes), reduction in itertools.product(others, row.reductions):
        case = Case(row, variant, reduction, FORMATS[dtype], "cpu", regime, seed)
        truth = Truth(row, variant, draw(row, variant, regime, case.format, seed), case.format, regime, reference.cross_entropy.definition)
        found += [Sharded(elsewhere(case, truth), axis, WORLD) for axis in axes]
    found.sort(key=lambda each: (_is_refused(each), each.axis != "by_row"))
    first, through = found[0], sum(not _is_refused(each) for each in found)
    return [*found[:through], replace(first, after="-after_others"), *found[through:], replace(first, after="-after_a_refusal")]


def _is_refused(each: Sharded) -> bool:
    return habit(SHARDED, each.id, "refuses") is not None


def _ignore(rows: tuple[int, ...], target: IndexArray, index: int, classes: int) -> None:
    """These rows are ignored, and no others."""
    target[target == index] = (index + 1) % classes
    target[list(rows)] = index


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """None of its own; but the ranks must be forked from a process that has made no backward pass: else some torch lets them make none."""
    isolation(__name__)


def test_sharded(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:
    """Value and gradient of every case, gathered, are those of the definition."""
    asked = cases(request.config.getoption("--seed"))
    jobs = [*(each.job() for each in asked), *misplaced(asked)]
    found = run(jobs) if torch.accelerator.is_available() else isolation(__name__)([jobs], run)[0]
    assert isinstance(found, dict), found
    for each in asked:
        with subtests.test(each.id):
            got = attempt(SHARDED, each.id, lambda each=each: _value(found[each.id]))
            if got is not None:
                hold(SHARDED, each.id, each.case, got, evaluate(function(each.case, torch.nn.functional), each.case))
    for job in misplaced(asked):
        with subtests.test(job.name):
            assert re.search("Expected .*Replicate.* but got .*Shard", str(found[job.name])), f"{job.name} is not refused: {found[job.name]}"


def misplaced(asked: Sequence[Sharded]) -> list[Job]:
    """A call by class whose target, and one whose weight, is split where each rank must have all of it."""
    able = [each.job() for each in asked if each.axis == "by_class" and each.id.startswith("CrossEntropyLoss-batch_weight-sum-float64")]
    return [replace(able[0], name=f"{able[0].name}-misplaced_{argument}", misplaced=argument) for argument in ("target", "weight")]


def _value(found: Any) -> Any:
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


def test_entries_match(request: pytest.FixtureRequest) -> None:
    """Every known departure is about a case."""
    assert not unmatched(SHARDED, (each.id for each in cases(request.config.getoption("--seed"))))
