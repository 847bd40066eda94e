"""Does the README say what is so? Its examples run, and what it links to is there."""

import doctest
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_its_examples_run() -> None:
    """The session shown is the session one gets."""
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried
    assert not failed


def test_its_links_lead_somewhere() -> None:
    """Every file it links to or names in a table exists."""
    text = README.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    named = [f"tests/{name}.py" for name in re.findall(r"`(test_\w+)`", text)]
    missing = [path for path in linked + named if not (README.parent / path).exists()]
    assert linked
    assert named
    assert not missing, f"README.md names what is not there: {missing}"
