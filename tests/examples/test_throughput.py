"""``throughput.py``: calls per second against workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES


def small(out: object) -> list[str]:
    return ["--latency", "0.02", "--calls", "8", "--workers", "1,4", "--out", str(out)]


def test_throughput_prints_a_table_and_draws_it(run, tmp_path):
    """A row for each number of workers, more calls per second with more of them, and a picture."""
    pytest.importorskip("matplotlib")
    ran = run("throughput", *small(tmp_path / "curve.svg"))
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    rates = {row[0]: float(row[2]) for row in rows[1:4]}
    assert [*rates] == ["official", "1", "4"]
    assert rates["4"] > 1.5 * rates["1"]
    assert "<svg" in (tmp_path / "curve.svg").read_text()


def test_throughput_leaves_a_real_site_alone(run, sandbox, tmp_path):
    """It measures a local site of its own, also when the environment names one."""
    before = sandbox.counters().total
    assert run("throughput", *small(tmp_path / "curve.svg")).code == 0
    assert sandbox.counters().total == before


def test_throughput_without_matplotlib_has_the_table(run, tmp_path, monkeypatch):
    """What the picture needs is said, and the numbers are there."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    ran = run("throughput", *small(tmp_path / "curve.svg"))
    assert ran.code == 0
    assert "4 workers" in ran.out
    assert "pip install matplotlib" in ran.err


@pytest.mark.parametrize(
    "arguments", [["--workers", "0"], ["--workers", "x"], ["--calls", "0"], ["--out", "curve.gif"]]
)
def test_throughput_refuses_what_makes_no_sense(run, arguments):
    """The option is named, and the exit code is 2."""
    ran = run("throughput", *arguments)
    assert ran.code == 2
    assert arguments[0] in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["throughput", "trace_calls"])
def test_runs_with_nothing_given(name, tmp_path):
    """Without arguments, and without a site in the environment, it shows something."""
    environment = {key: value for key, value in os.environ.items() if key[:8] != "SHOTGUN_"}
    environment["PYTHONPATH"] = str(Path(EXAMPLES).parent)
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "workers" in done.stdout


@pytest.mark.parametrize("name", ["throughput", "trace_calls"])
def test_help_says_what_it_does(run, name):
    """The first line of the file, and each option."""
    ran = run(name, "--help")
    assert ran.code == 0
    assert "--workers" in ran.out
    assert "--out" in ran.out
