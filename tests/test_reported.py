"""Do the defects that were reported upstream still show, where they are said to? And do the questions asked here find them?"""

from __future__ import annotations

import warnings

import pytest
import torch

from .isolated import afresh, isolation
from .report import Report, shows
from .reported_calls import CALLS
from .reported_numbers import NUMBERS
from .reported_transforms import TRANSFORMS

REPORTS = (*NUMBERS, *CALLS, *TRANSFORMS)

SHARE = 0.8
"""Of those that show, at least so many are known to the questions of this suite."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each report."""
    isolation(__name__)
    if "report" in metafunc.fixturenames:
        metafunc.parametrize("report", REPORTS, ids=[str(report.number) for report in REPORTS])


def test_it_shows_where_it_is_said_to(report: Report) -> None:
    """In the releases that have it, and in no other; and there it has an entry, where one is named."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = _alone(report.code) if report.alone else shows(report.code)
    found = said is True or (isinstance(said, str) and said.startswith("SIG"))  # another string: the code does not run in this release
    assert found == report.here(), f"{report.number}, {report.what}: {'is there' if found else 'is mended, or does not run'} ({said}); said to be in torch {report.torch}"
    assert report.is_known() or not (report.entry and found), f"{report.number}, {report.what}: no entry of this release is {report.entry}"


def _alone(code: str) -> object:
    """In a process of its own; where there is an accelerator, which a fork cannot use, in one that inherits nothing."""
    return afresh(shows, code) if torch.accelerator.is_available() else isolation(__name__)([code], shows)[0]


def test_most_are_found() -> None:
    """Of the reported defects that this torch has, most have an entry."""
    there = [report for report in REPORTS if report.here()]
    found = [report for report in there if report.is_known()]
    assert len(found) >= SHARE * len(there), f"{len(found)} of {len(there)}; not {[r.number for r in there if r not in found]}"
