"""Does the command line mean what it says, and refuse what it cannot do?"""

from __future__ import annotations

from typing import Any

import pytest

from .options import devices, missing, subject_of, there


class Asked:
    """What was asked for."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def getoption(self, name: str) -> Any:
        """One option."""
        return self.options[name.removeprefix("--")]


@pytest.mark.parametrize(
    ("asked", "found", "lacking"),
    [(None, list(there()), []), (["cpu"], ["cpu"], []), (["cpu:0", "no"], ["cpu:0"], ["no"]), (["no", "cpu"], ["cpu"], ["no"])],
    ids=str,
)
def test_devices(asked: list[str] | None, found: list[str], lacking: list[str]) -> None:
    """Those asked for are tested, those that are not there are told apart."""
    config: Any = Asked(device=asked)
    assert (devices(config), missing(config)) == (found, lacking)


def test_refusals() -> None:
    """No device that is there, and no such subject: said with what is allowed, before anything runs."""
    asked: Any = Asked(device=["no"], subject="no.such")
    with pytest.raises(pytest.UsageError, match="--device no: not there; this machine has cpu"):
        devices(asked)
    with pytest.raises(pytest.UsageError, match=r"--subject no\.such cannot be imported: No module named 'no'"):
        subject_of(asked)
