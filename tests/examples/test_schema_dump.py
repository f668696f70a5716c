"""schema_dump.py: one call for each type, and files that depend on the schema alone."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import shotgun_api3
from shotgun_api3.lib import mockgun

from tests.support import in_thread

NAMES = ("schema.pickle", "schema_entity.pickle")


@pytest.fixture
def sg(sandbox):
    """The official client."""
    sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    yield sg
    sg.close()


def test_the_files_are_those_of_a_serial_run(run, load, sandbox, sg, tmp_path):
    """Byte by byte, whether it was one worker, eight, or the official client; by N + 1 calls."""
    module = load("schema_dump")
    entities = sg.schema_entity_read()
    fields = {name: sg.schema_field_read(name) for name in sorted(entities)}
    module.dump(fields, tmp_path / "schema.pickle")
    module.dump(entities, tmp_path / "schema_entity.pickle")
    for workers in (1, 8):
        before = sandbox.counters().requests
        ran = run("schema_dump", tmp_path / str(workers), "--workers", workers)
        assert ran.code == 0, ran.err
        assert ran.out.startswith(f"{len(entities)} entity types, ")
        for name in NAMES:
            assert (tmp_path / str(workers) / name).read_bytes() == (tmp_path / name).read_bytes()
        after = sandbox.counters().requests
        new = {name: after[name] - before.get(name, 0) for name in after}
        assert new.pop("info", 0) <= 1
        assert {name: count for name, count in new.items() if count} == {
            "schema_entity_read": 1,
            "schema_field_read": len(entities),
        }


def test_the_content_is_what_mockgun_makes(run, sandbox, sg, tmp_path):
    """Mockgun's own function writes files of the same content."""
    run("schema_dump", tmp_path)
    paths = [str(tmp_path / f"mockgun_{name}") for name in NAMES]
    mockgun.generate_schema(sg, *paths)
    for name, path in zip(NAMES, paths):
        with Path(path).open("rb") as expected, (tmp_path / name).open("rb") as found:
            assert pickle.load(found) == pickle.load(expected)


def test_mockgun_reads_them(run, sandbox, tmp_path, monkeypatch):
    """A Mockgun of these files has the types and fields of the site."""
    for name in ("_Shotgun__schema_path", "_Shotgun__schema_entity_path"):
        monkeypatch.setattr(mockgun.Shotgun, name, None)  # put back what the next line sets
    run("schema_dump", tmp_path)
    mockgun.Shotgun.set_schema_paths(*(str(tmp_path / name) for name in NAMES))
    mock = mockgun.Shotgun("https://nowhere", "script", "key")
    shot = mock.create("Shot", {"code": "sh010"})
    assert mock.find_one("Shot", [["code", "is", "sh010"]])["id"] == shot["id"]


def test_fields_are_asked_for_in_parallel(run, sandbox, tmp_path):
    """As many calls are under way as there are workers."""
    sandbox.hold("schema_field_read")
    join = in_thread(lambda: run("schema_dump", tmp_path, "--workers", "5"))
    sandbox.wait_for(5, "schema_field_read")
    sandbox.resume()
    assert join().code == 0


def test_a_failure_leaves_no_file(run, sandbox, tmp_path):
    """If a type cannot be read, the exit code is 1, and no half schema is there."""
    sandbox.fail_next("schema_field_read", "session_expired")
    ran = run("schema_dump", tmp_path)
    assert ran.code == 1
    assert "the schema could not be read: " in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_it_runs_as_it_is(alone, tmp_path, monkeypatch):
    """Without arguments and environment it saves the schema of a local site."""
    monkeypatch.chdir(tmp_path)
    done = alone("schema_dump")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "schema").iterdir()) == sorted(NAMES)
