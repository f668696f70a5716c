"""``trace_calls.py``: a picture of a small publish run."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def show(sandbox):
    """The site of the test, with three shots."""
    import shotgun_api3

    sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    for number in range(3):
        sg.create("Shot", {"code": f"sh{number}", "project": project})
    sg.close()
    return sandbox


def test_trace_has_each_call_of_the_run(run, show, tmp_path):
    """Four calls for each shot, and never more at a time than workers."""
    path = tmp_path / "trace.json"
    ran = run("trace_calls", "--workers", 3, "--out", path)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("12 calls for 3 shots on ")
    bars = [each for each in json.loads(path.read_text())["traceEvents"] if each["ph"] == "X"]
    names = [bar["name"] for bar in bars]
    assert sorted(names) == sorted(
        3 * ["create PublishedFile", "create Version", "update Version", "upload Version"]
    )
    assert max(len([b for b in bars if b["ts"] <= a["ts"] < b["ts"] + b["dur"]]) for a in bars) <= 3
    assert show.counters().requests["api_link_file"] == 3


def test_trace_as_a_picture(run, show, tmp_path):
    """With matplotlib the calls are drawn."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "trace.svg"
    assert run("trace_calls", "--shots", 2, "--out", path).code == 0
    assert "<svg" in path.read_text()


def test_dry_run_of_the_trace_sends_no_write(run, show, tmp_path):
    """On a site that is real it can be tried."""
    before = show.counters().writes
    ran = run("trace_calls", "--dry-run", "--out", tmp_path / "trace.json")
    assert ran.code == 0
    assert show.counters().writes == before


def test_failed_calls_are_told(run, show, tmp_path):
    """What fails is printed, the exit code is 1, and the trace is there all the same."""
    show.fail_next("create", status=500)
    path = tmp_path / "trace.json"
    ran = run("trace_calls", "--out", path)
    assert ran.code == 1
    assert "ProtocolError" in ran.err
    assert path.exists()


@pytest.mark.parametrize("arguments", [["--shots", "0"], ["--out", "trace.txt"]])
def test_trace_refuses_what_makes_no_sense(run, show, arguments):
    """The option is named, the exit code is 2, and nothing is written."""
    before = show.counters().writes
    ran = run("trace_calls", *arguments)
    assert ran.code == 2
    assert arguments[0] in ran.err
    assert show.counters().writes == before
