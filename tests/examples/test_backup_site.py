"""backup_site.py: nothing is lost, memory is bounded, and a killed run goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from shotgun_executor.sandbox import Sandbox
from tests.churn import Rows
from tests.examples.conftest import EXAMPLES
from tests.support import LONG, Gate, in_thread, wait_until

PAGE = 20
TYPES = ["Asset", "Shot", "Task", "Version"]


@pytest.fixture(scope="module")
def small_pages():
    """A site with small pages."""
    with Sandbox(api_max_entities_per_page=PAGE) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(small_pages):
    """The site of these tests, empty."""
    small_pages.clear()
    yield small_pages
    assert small_pages.counters().internal_errors == 0, small_pages.log()


@pytest.fixture
def rows(executor):
    """Make so many rows of each of the types."""

    def rows(count, types=TYPES):
        project = executor.create("Project", {"name": "The Lantern Sea"}).result()
        for entity_type in types:
            name = "content" if entity_type == "Task" else "code"
            data = [{name: f"{number:04}", "project": project} for number in range(count)]
            executor.batch(
                [{"request_type": "create", "entity_type": entity_type, "data": d} for d in data]
            ).result()

    return rows


def lines(folder, entity_type):
    """The rows in a file of a backup."""
    text = (folder / f"{entity_type}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_all_that_is_there_is_in_the_files(run, sandbox, executor, rows, tmp_path):
    """Every type has a file with all its rows and fields, one with its schema, and a count."""
    rows(50)
    ran = run("backup_site", tmp_path / "backup")
    assert ran.code == 0, ran.err
    types = sorted(executor.schema_entity_read().result())
    assert sorted(manifest(tmp_path / "backup")["types"]) == types
    for entity_type in TYPES:
        schema = executor.schema_field_read(entity_type).result()
        found = executor.find(entity_type, [], list(schema)).result()
        backup = lines(tmp_path / "backup", entity_type)
        assert backup == json.loads(json.dumps(found, default=str))
        assert manifest(tmp_path / "backup")["types"][entity_type] == 50
        text = (tmp_path / "backup" / f"{entity_type}.schema.json").read_text()
        assert json.loads(text) == schema
    assert f" rows of {len(types)} types in " in ran.out


def test_schemas_are_asked_for_in_parallel(run, sandbox, rows, tmp_path):
    """The calls for the fields of all types are under way together."""
    rows(1)
    sandbox.hold("schema_field_read")
    join = in_thread(lambda: run("backup_site", tmp_path / "backup", "--types", *TYPES))
    sandbox.wait_for(len(TYPES), "schema_field_read")
    sandbox.resume()
    assert join().code == 0


@pytest.mark.parametrize("seed", range(3))
def test_no_untouched_row_is_lost_while_others_change(run, sandbox, tmp_path, seed):
    """Rows are created, retired and revived meanwhile: each other one is there once, in order."""
    shots = Rows(sandbox, 300, seed)
    with shots.changing():
        ran = run("backup_site", tmp_path / "backup", "--types", "Shot")
    assert ran.code == 0, ran.err
    ids = [row["id"] for row in lines(tmp_path / "backup", "Shot")]
    assert ids == sorted(set(ids))
    assert set(shots.untouched) <= set(ids)


def test_memory_is_bounded(run, load, sandbox, rows, tmp_path, monkeypatch):
    """While nothing is written, no more than 4 pages of each of 4 types are read."""
    rows(15 * PAGE)
    module, gate, seen = load("backup_site"), Gate(), []
    line_of, open_executor = module.line_of, module.open_executor

    @contextlib.contextmanager
    def watched(**settings):
        with open_executor(**settings) as executor:
            seen.append(executor)
            yield executor

    monkeypatch.setattr(module, "open_executor", watched)
    monkeypatch.setattr(module, "line_of", lambda row: line_of(gate(row)))
    join = in_thread(lambda: run("backup_site", tmp_path / "backup", "--types", *TYPES))
    try:
        gate.wait_for(len(TYPES))
        wait_until(lambda: _is_quiet(seen[0].stats()))
        read = sandbox.counters().requests["read"]
    finally:
        gate.open()
        ran = join()
    assert ran.code == 0, ran.err
    assert read <= 4 * len(TYPES) <= 8 + 8  # the workers, and what is read ahead
    assert sandbox.counters().requests["read"] >= 15 * len(TYPES)


def _is_quiet(stats):
    """Whether nothing runs but the functions that are held up."""
    return stats.running == len(TYPES) and stats.ready == stats.waiting == 0


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize(("number", "code"), [("SIGKILL", -9), ("SIGINT", 130)])
def test_a_run_that_was_ended_is_resumed(run, sandbox, rows, tmp_path, number, code):
    """With --resume nothing is read twice, and the files are those of one run."""
    rows(12 * PAGE)
    run("backup_site", tmp_path / "whole", "--types", *TYPES)
    folder = tmp_path / "backup"
    with _held_program(sandbox, folder) as program:
        program.send_signal(getattr(signal, number))
        _, err = program.communicate(timeout=LONG)
        assert program.returncode == code, err
    sandbox.resume()
    begun = [len(path.read_bytes().splitlines()) for path in folder.glob("*.jsonl")]
    assert 0 < sum(begun) < 4 * 12 * PAGE
    assert run("backup_site", folder, "--types", *TYPES).code == 1  # it is not empty
    before = sandbox.counters().requests["read"]
    ran = run("backup_site", folder, "--resume", "--types", *TYPES)
    assert ran.code == 0, ran.err
    read = sandbox.counters().requests["read"] - before
    assert read * PAGE < 4 * 12 * PAGE, "everything was read again"
    assert manifest(folder)["types"] == dict.fromkeys(TYPES, 12 * PAGE)
    for entity_type in TYPES:
        name = f"{entity_type}.jsonl"
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@contextlib.contextmanager
def _held_program(sandbox, folder):
    """The program as a process, when it has written much and gets no more answers."""
    environment = {
        **os.environ,
        "SHOTGUN_URL": sandbox.url,
        "SHOTGUN_SCRIPT_NAME": sandbox.script_name,
        "SHOTGUN_API_KEY": sandbox.api_key,
    }
    sandbox.hold("read")
    program = subprocess.Popen(
        [sys.executable, EXAMPLES / "backup_site.py", folder, "--types", *TYPES],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(24):
            sandbox.wait_for(1, "read")
            sandbox.resume("read", count=1)
        sandbox.wait_for(1, "read")
        yield program
    finally:
        program.kill()
        program.communicate()


def test_a_line_that_was_not_finished_is_written_anew(run, sandbox, rows, tmp_path):
    """What a killed run has left of its last line is cut off; that row is read again."""
    rows(PAGE, ["Shot"])
    run("backup_site", tmp_path, "--types", "Shot")
    whole = (tmp_path / "Shot.jsonl").read_bytes()
    (tmp_path / "Shot.jsonl").write_bytes(whole[:-10])
    (tmp_path / "manifest.json").unlink()
    assert run("backup_site", tmp_path, "--resume", "--types", "Shot").code == 0
    assert (tmp_path / "Shot.jsonl").read_bytes() == whole


def test_a_type_that_fails_does_not_end_the_others(run, sandbox, rows, tmp_path):
    """Its error is printed, the others are complete, and --resume reads what is missing."""
    rows(3 * PAGE)
    folder = tmp_path / "backup"
    sandbox.fail_next("read", status=500)
    ran = run("backup_site", folder, "--types", *TYPES)
    assert ran.code == 1
    assert " failed: " in ran.err
    assert sorted(manifest(folder)["types"].values()) == [3 * PAGE] * 3
    assert run("backup_site", folder, "--resume", "--types", *TYPES).code == 0
    assert manifest(folder)["types"] == dict.fromkeys(TYPES, 3 * PAGE)


def test_a_type_that_is_not_there_is_named(run, sandbox, tmp_path):
    """A wrong name ends the program before anything is read."""
    ran = run("backup_site", tmp_path / "backup", "--types", "Shott")
    assert ran.code == 1
    assert "there are no fields of 'Shott'" in ran.err


@pytest.mark.slow
def test_it_runs_as_it_is(alone, tmp_path, monkeypatch):
    """Without arguments and environment it backs a demo show up."""
    monkeypatch.chdir(tmp_path)
    done = alone("backup_site")
    assert done.code == 0, done.err
    assert "types in backup" in done.out
    assert len(lines(tmp_path / "backup", "Shot")) == 40
