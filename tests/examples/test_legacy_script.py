"""legacy_script.py: an old script does the same with the facade as with the real client."""

from __future__ import annotations

import gc
import warnings

import shotgun_api3

from shotgun_executor import ShotgunExecutor
from tests.support import in_thread


def run_plain(run):
    """Run the script with the official client, which leaves the file open that it has uploaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        done = run("legacy_script", "--plain")
        gc.collect()
    return done


def seed(sandbox):
    """Two sequences of three shots, with a task that is done and one that is not."""
    sandbox.clear()
    sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    for number in (1, 2):
        sequence = sg.create("Sequence", {"code": f"LS{number:03}", "project": project})
        for at in (10, 20, 30):
            code = f"LS{number:03}_{at:04}"
            shot = sg.create("Shot", {"code": code, "project": project, "sg_sequence": sequence})
            for name, status in (("Layout", "fin"), ("Comp", "ip")):
                data = {"content": name, "entity": shot, "sg_status_list": status}
                sg.create("Task", {**data, "project": project})
    sg.close()


def asked(sandbox):
    """The requests of the API since the seed, without how often the site was asked what it is."""
    return [
        (request.method, request.arguments)
        for request in sandbox.requests
        if request.method != "info"
    ]


def test_output_is_that_of_the_real_client(run, sandbox):
    """find, batch, upload, server_info and config.timeout_secs: the same output, line for line."""
    seed(sandbox)
    plain = run_plain(run)
    seed(sandbox)
    ours = run("legacy_script")
    assert ours.code == plain.code == 0
    assert ours.out == plain.out
    for part in ("limit 60 s", "LS002_0030", "1/2", "noted on 1, 2", "attached as 1"):
        assert part in ours.out


def test_requests_are_those_of_the_real_client(run, sandbox):
    """The facade asks the site for the same things in the same order, and writes the same."""
    seed(sandbox)
    before = len(asked(sandbox))
    run_plain(run)
    plain = asked(sandbox)[before:]
    seed(sandbox)
    run("legacy_script")
    ours = asked(sandbox)[before:]
    assert [method for method, _ in ours] == [method for method, _ in plain]
    reads = [arguments for method, arguments in ours if method in ("read", "batch")]
    assert reads == [arguments for method, arguments in plain if method in ("read", "batch")]


def test_same_report_from_several_threads(load, sandbox):
    """Threads that share the facade each get the report that one thread gets alone."""
    seed(sandbox)
    report = load("legacy_script").report
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=4) as executor:
        sg = executor.shotgun
        expected = {code: report(sg, code) for code in ("LS001", "LS002")}
        threads = [
            (code, in_thread(lambda c=code: report(sg, c))) for code in expected for _ in "ab"
        ]
        for code, join in threads:
            assert join() == expected[code]


def test_dry_run_writes_nothing(run, sandbox):
    """--dry-run prints the writes of a script that never had such a thing, and sends none."""
    seed(sandbox)
    before = sandbox.counters().writes
    done = run("legacy_script", "--dry-run", "--sequences", 1)
    assert done.code == 0
    assert "update Sequence 1: description='3 shots reported'" in done.out
    assert "upload Project 1" in done.out
    assert sandbox.counters().writes == before


def test_bad_arguments_are_refused(run, sandbox):
    """A dry run with the plain client, which has none, is refused before anything is sent."""
    done = run("legacy_script", "--plain", "--dry-run")
    assert done.code == 2
    assert "leave out --plain" in done.err
    assert run("legacy_script", "--sequences", 0).code == 2
    assert not sandbox.requests


def test_project_that_is_not_there(run, sandbox):
    """A project that the site does not have ends with a message, not with a traceback."""
    done = run("legacy_script", "--project", "No Such Show")
    assert done.code == 1
    assert "there is no project 'No Such Show'" in done.err


def test_on_its_own_site(alone):
    """Without arguments and environment it reports on the demo show of a local site."""
    done = alone("legacy_script")
    assert done.code == 0, done.err
    assert "LS001_0010" in done.out
    assert "attached as" in done.out
