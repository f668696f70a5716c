"""sync_two_way.py: everything at once, parents first, and no child of a parent that failed."""

from __future__ import annotations

import json

import pytest
import shotgun_api3

from tests.support import in_thread

SEQUENCE, SHOT, TASK = (
    "Sequence LS001",
    "Sequence LS001 > Shot LS001_0010",
    "Sequence LS001 > Shot LS001_0010 > Task Comp",
)


@pytest.fixture
def sg(sandbox):
    """The official client, on a site with an empty project."""
    sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    sg.create("Project", {"name": "The Lantern Sea"})
    yield sg
    sg.close()


@pytest.fixture
def file(tmp_path):
    """The other side; `file(content)` writes it, `file()` reads it."""
    path = tmp_path / "other.json"

    def use(content=None):
        if content is None:
            return json.loads(path.read_text())
        path.write_text(json.dumps(content))
        return path

    return use


def tree(sequences=3, shots=4, tasks=10, **broken):
    """Sequences with shots with tasks, as the file has them."""
    other = {}
    for s in range(sequences):
        other[f"Sequence S{s}"] = {"sg_status_list": "ip"}
        for at in range(shots):
            shot = f"Sequence S{s} > Shot S{s}_{at}"
            other[shot] = {"sg_status_list": "wtg"}
            other.update({f"{shot} > Task T{n}": {"sg_status_list": "wtg"} for n in range(tasks)})
    return other


def creates(sandbox):
    """What was created, each as its type, its links and the number of its request."""
    for request in sandbox.requests:
        calls = request.arguments if request.method == "batch" else [request.arguments]
        for call in calls if request.method in ("batch", "create") else ():
            if call.get("request_type", "create") == "create":
                fields = {field["field_name"]: field["value"] for field in call["fields"]}
                yield call["type"], fields, request


def test_eight_types_are_read_at_once(run, sandbox, sg, file):
    """The 8 reads are all under way before one is answered: it takes as long as the slowest."""
    path = file({})
    sandbox.hold("read")
    join = in_thread(lambda: run("sync_two_way", "--file", path, "--project", "1"))
    sandbox.wait_for(1, "read")
    sandbox.resume("read", count=1)  # that was the project
    sandbox.wait_for(8, "read")
    sandbox.resume()
    assert join().code == 0


def test_no_child_before_its_parent(run, sandbox, sg, file):
    """Each create links to a parent that the site had answered before; batches are used."""
    before = sandbox.counters().requests
    done = run("sync_two_way", "--file", file(tree()))
    assert done.code == 0, done.err
    assert "135 created, 0 updated, 0 failed, 0 skipped" in done.out
    parents = {"Shot": ("sg_sequence", "Sequence"), "Task": ("entity", "Shot")}
    ended = {}  # by type: when the last create that was answered had ended
    for kind, fields, request in creates(sandbox):
        if kind in parents:
            field, parent = parents[kind]
            assert fields[field]["type"] == parent
            assert isinstance(fields[field]["id"], int)
            assert request.started >= ended[parent]
        ended.setdefault(kind, request.started + request.seconds)
    after = sandbox.counters().requests
    assert after.get("batch", 0) - before.get("batch", 0) <= 12
    assert after.get("create", 0) - before.get("create", 0) <= 1
    made = sg.find("Task", [], ["content", "entity.Shot.code", "entity.Shot.sg_sequence"])
    assert len(made) == 120
    for task in made:
        sequence = task["entity.Shot.sg_sequence"]["name"]
        assert task["entity.Shot.code"].startswith(sequence)


def test_children_of_a_failed_parent_are_skipped(run, sandbox, sg, file):
    """What is below a parent that the site refuses is skipped and said so; the rest is made."""
    other = tree(sequences=2, shots=2, tasks=1)
    other["Sequence S1"] = {"sg_status_list": "nonsense"}
    done = run("sync_two_way", "--file", file(other))
    assert done.code == 1
    assert "5 created, 0 updated, 1 failed, 4 skipped" in done.out
    assert "failed   Sequence S1: " in done.out
    assert "nonsense" in done.out
    for path in ("Sequence S1 > Shot S1_0", "Sequence S1 > Shot S1_1 > Task T0"):
        assert f"skipped  {path}: its parent was not made" in done.out
    assert [shot["code"] for shot in sg.find("Shot", [], ["code"])] == ["S0_0", "S0_1"]
    assert len(sg.find("Task", [])) == 2


def test_both_sides_end_up_the_same(run, sandbox, sg, file):
    """What only the site has is added to the file, and a second run has nothing left to do."""
    project = sg.find_one("Project", [])
    sg.create("Asset", {"code": "Old Gull", "project": project, "sg_status_list": "ip"})
    path = file({SEQUENCE: {}, SHOT: {"sg_status_list": "fin"}, TASK: {"sg_status_list": "rdy"}})
    done = run("sync_two_way", "--file", path)
    assert done.code == 0
    assert file()["Asset Old Gull"] == {"sg_status_list": "ip"}
    assert sg.find_one("Shot", [], ["sg_status_list"])["sg_status_list"] == "fin"
    writes = sandbox.counters().writes
    again = run("sync_two_way", "--file", path)
    assert "0 created, 0 updated, 0 failed, 0 skipped" in again.out
    assert "In the file: 0 added" in again.out
    assert sandbox.counters().writes == writes


@pytest.mark.parametrize(("prefer", "status"), [("file", "hld"), ("site", "ip")])
def test_a_status_that_differs_is_that_of_the_preferred_side(run, sg, file, prefer, status):
    """--prefer says whose status is written to the other side."""
    project = sg.find_one("Project", [])
    sg.create("Sequence", {"code": "LS001", "project": project, "sg_status_list": "ip"})
    path = file({SEQUENCE: {"sg_status_list": "hld"}})
    assert run("sync_two_way", "--file", path, "--prefer", prefer).code == 0
    assert sg.find_one("Sequence", [], ["sg_status_list"])["sg_status_list"] == status
    assert file()[SEQUENCE] == {"sg_status_list": status}


def test_dry_run_writes_neither_side(run, sandbox, sg, file):
    """--dry-run prints what it would create, and leaves the site and the file alone."""
    path = file(tree(1, 1, 1))
    before = sandbox.counters().writes
    done = run("sync_two_way", "--file", path, "--dry-run")
    assert done.code == 0
    assert "create Sequence -1: " in done.out
    assert "create Task " in done.out
    assert sandbox.counters().writes == before
    assert file() == tree(1, 1, 1)


@pytest.mark.parametrize(
    "content",
    [{SHOT: {}}, {"Lantern 7": {}}, {"Sequence": {}}, {SEQUENCE: 7}, ["LS001"]],
)
def test_a_file_that_makes_no_sense_writes_nothing(run, sandbox, sg, file, content):
    """A path without a parent or a known type is refused before anything is written."""
    before = sandbox.counters().writes
    done = run("sync_two_way", "--file", file(content))
    assert done.code == 1
    assert "file" in done.err or "not one JSON object" in done.err
    assert sandbox.counters().writes == before


def test_a_file_that_is_not_there(run, sg, tmp_path):
    """A wrong name is a message, not a traceback."""
    done = run("sync_two_way", "--file", tmp_path / "none.json")
    assert done.code == 1
    assert "cannot read" in done.err


def test_on_its_own_site(alone):
    """Without arguments and environment it works on a demo show and an invented file."""
    done = alone("sync_two_way")
    assert done.code == 0, done.err
    assert "62 created, 3 updated, 0 failed, 0 skipped" in done.out
