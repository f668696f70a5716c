"""Every example runs, as a user would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shotgun_executor.sandbox import Sandbox

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def show():
    """A local site with a small demo show."""
    with Sandbox(demo=True, shots=40) as sandbox:
        yield sandbox


def run(name, *arguments, site=None, check=True):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SHOTGUN_")
    }
    if site is not None:
        environment |= {
            "SHOTGUN_URL": site.url,
            "SHOTGUN_SCRIPT_NAME": site.script_name,
            "SHOTGUN_API_KEY": site.api_key,
        }
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def test_main_job_on_its_own_site():
    """Without a site the main job does all three parts on a local one, and counts what was seen."""
    out = run("main_job.py", "--latency", "0.001", "--workers", "4").stdout
    for part in (r"\(a\) 100 lookups", r"\(b\) 12 Versions", r"\(c\) 4 old scripts"):
        assert re.search(part + r".* \d+\.\d\d s +\d+\.\d\d s +\d+\.\d x", out), out
    seen = re.search(r"(\d+) connections, (\d+) info call, at most (\d+) requests", out)
    assert seen, out
    connections, info, peak = map(int, seen.groups())
    assert connections <= 4
    assert info == 1
    assert peak <= 4


def test_main_job_on_a_given_site_only_reads(show):
    """With a site in the environment the main job runs what only reads, and writes nothing."""
    before = show.counters()
    out = run("main_job.py", site=show).stdout
    assert "reading only" in out
    assert "(a) 40 lookups" in out
    assert re.search(r"\(c\) \d old scripts", out)
    assert "Versions" not in out
    assert show.counters().writes == before.writes
    assert show.api_key not in out


def test_main_job_asks_for_what_is_missing(show):
    """A URL without credentials is named before anything is sent."""
    environment = {**os.environ, "SHOTGUN_URL": show.url, "SHOTGUN_SCRIPT_NAME": ""}
    environment.pop("SHOTGUN_API_KEY", None)
    done = subprocess.run(
        [sys.executable, EXAMPLES / "main_job.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 2
    assert "set SHOTGUN_SCRIPT_NAME and SHOTGUN_API_KEY too" in done.stderr
