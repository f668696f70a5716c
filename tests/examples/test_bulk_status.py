"""bulk_status.py: whole batches, only the guilty fail, and nothing is left unreported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.examples.conftest import EXAMPLES
from tests.support import LONG


@pytest.fixture
def tasks(sandbox, executor):
    """Make so many tasks that are ready to start, and one that is not; the ids of the former."""
    project = executor.create("Project", {"name": "The Lantern Sea"}).result()

    def tasks(count):
        data = {"content": "Comp", "project": project, "sg_status_list": "rdy"}
        batches = []
        for at in range(0, count, 500):
            number = min(500, count - at)
            request = {"request_type": "create", "entity_type": "Task", "data": data}
            batches.append(executor.batch([request] * number))
        made = [task["id"] for batch in batches for task in batch.result()]
        executor.create("Task", {**data, "sg_status_list": "wtg"}).result()
        return sorted(made)

    return tasks


@pytest.fixture
def with_status(executor):
    """The ids of the tasks that have a status."""

    def with_status(status):
        found = executor.find("Task", [["sg_status_list", "is", status]]).result()
        return [task["id"] for task in found]

    return with_status


def batches(sandbox):
    """The batches of updates that the site got."""
    return [
        request
        for request in sandbox.requests
        if request.method == "batch" and request.arguments[0]["request_type"] == "update"
    ]


def entries(path):
    """What a retry file holds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("count", [1000, pytest.param(5000, marks=pytest.mark.slow)])
def test_5000_tasks_are_50_batches(run, sandbox, tasks, with_status, tmp_path, count):
    """Each batch is one transaction of 100 tasks; those of another status are left alone."""
    made = tasks(count)
    ran = run("bulk_status", "--retry-file", tmp_path / "retry")
    assert ran.code == 0, ran.err
    assert ran.out == f"{count:,} of {count:,} tasks set to ip\n"
    assert "Updating: 100%" in ran.err
    assert [len(batch.arguments) for batch in batches(sandbox)] == [100] * (count // 100)
    assert with_status("ip") == made
    assert len(with_status("wtg")) == 1
    assert not (tmp_path / "retry").exists()


def test_only_the_guilty_of_a_batch_fails(run, load, sandbox, tasks, with_status, tmp_path):
    """A task that is gone fails alone: all other batches, and the rest of its own, are applied."""
    made = tasks(500)
    retry, again = tmp_path / "retry", tmp_path / "again"
    entry = {"id": 999999, "outcome": "failed"}
    ids = [*made[:250], entry["id"], *made[250:]]
    retry.write_text("".join(f"{json.dumps({'id': task})}\n" for task in ids))
    ran = run("bulk_status", "--retry", retry, "--retry-file", again)
    assert ran.code == 1
    assert ran.out == f"500 of 501 tasks set to ip; 1 failed; see {again}\n"
    assert with_status("ip") == made
    (left,) = entries(again)
    assert "999999" in left.pop("error")
    assert left == entry
    applied = [batch for batch in batches(sandbox) if batch.outcome == "ok"]
    assert [len(batch.arguments) for batch in applied].count(100) == 4


def test_a_retry_file_is_what_is_left_to_do(run, sandbox, tasks, with_status, tmp_path):
    """Batches whose outcome is not known are in the retry file, and a run with it finishes them."""
    made = tasks(300)
    retry = tmp_path / "retry"
    sandbox.fail_next("batch", status=504, after_execution=False)
    ran = run("bulk_status", "--retry-file", retry)
    assert ran.code == 1
    assert ran.out == f"200 of 300 tasks set to ip; 100 unknown; see {retry}\n"
    assert {entry["outcome"] for entry in entries(retry)} == {"unknown"}
    assert sorted(entry["id"] for entry in entries(retry)) == with_status("rdy")
    assert run("bulk_status", "--retry", retry).code == 0
    assert with_status("ip") == made


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_nothing_unreported(sandbox, tasks, with_status, tmp_path):
    """What was on its way is waited for and counted; all the rest is in the retry file."""
    made = tasks(1000)
    retry = tmp_path / "retry"
    arguments = ["--workers", "2", "--retry-file", retry]
    sandbox.hold("batch")
    environment = {
        **os.environ,
        "SHOTGUN_URL": sandbox.url,
        "SHOTGUN_SCRIPT_NAME": sandbox.script_name,
        "SHOTGUN_API_KEY": sandbox.api_key,
    }
    program = subprocess.Popen(
        [sys.executable, EXAMPLES / "bulk_status.py", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        sandbox.wait_for(2, "batch")
        program.send_signal(signal.SIGINT)
        said = ""
        while "waiting for what is on its way" not in said:
            said += program.stderr.read(1)
            assert program.poll() is None, said
        sandbox.resume("batch")
        out, err = program.communicate(timeout=LONG)
    finally:
        program.kill()
        program.communicate()
    assert program.returncode == 130, err
    applied = with_status("ip")
    left = entries(retry)
    assert len(applied) == 200
    assert out.startswith(f"{len(applied):,} of 1,000 tasks set to ip; ")
    assert sorted([*applied, *(entry["id"] for entry in left)]) == made
    assert {entry["outcome"] for entry in left} == {"not sent"}


def test_a_dry_run_writes_nothing(run, sandbox, tasks, with_status, tmp_path):
    """Each write is printed, none is sent."""
    made = tasks(3)
    before = sandbox.counters().writes
    ran = run("bulk_status", "--dry-run", "--retry-file", tmp_path / "retry")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0] == f"update Task {made[0]}: sg_status_list='ip'"
    assert ran.out.splitlines()[-1] == "3 of 3 tasks would be set to ip"
    assert sandbox.counters().writes == before


def test_a_bad_retry_file_is_named(run, sandbox, tmp_path):
    """A retry file that cannot be read is an error before anything is sent."""
    (tmp_path / "retry").write_text("{}\n")
    ran = run("bulk_status", "--retry", tmp_path / "retry")
    assert ran.code == 1
    assert f"cannot read the retry file {tmp_path / 'retry'}" in ran.err
    assert sandbox.counters().total == 0


@pytest.mark.slow
def test_it_runs_as_it_is(alone):
    """Without arguments and environment it sets the status of the tasks of a demo show."""
    done = alone("bulk_status")
    assert done.code == 0, done.err
    assert done.out == "40 of 40 tasks set to ip\n"
