"""What holds for every example."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests.examples.conftest import EXAMPLES

PAGE = (EXAMPLES.parent / "docs" / "examples.md").read_text(encoding="utf-8")
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("[!_]*.py")}
PROGRAMS = sorted(name for name, text in TEXTS.items() if "argparse" in text)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_says_what_it_does(run, load, sandbox, name):
    """--help starts with the first line of its description, and nothing is sent."""
    if "PySide6" in TEXTS[name] and importlib.util.find_spec("PySide6") is None:
        pytest.skip("PySide6 is not installed")
    ran = run(name, "--help")
    assert ran.code == 0, ran.err
    assert sandbox.counters().total == 0
    first = load(name).__doc__.splitlines()[0]
    assert " ".join(first.split()) in " ".join(ran.out.split())


@pytest.mark.parametrize("name", PROGRAMS)
def test_page_of_examples_lists_it(name):
    """docs/examples.md has a row for it, and a call with arguments that exist."""
    (call,) = re.findall(rf"^\| `{name}\.py` \|.*\| `{name}\.py ?(.*)` \|$", PAGE, re.MULTILINE)
    for option in re.findall(r"--[\w-]+", call):
        assert f'"{option}"' in TEXTS[name]
