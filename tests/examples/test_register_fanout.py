"""One thumbnail to three entities at once, and then what the file was made from."""

from __future__ import annotations

import os
import threading
from collections import Counter

import pytest
from shotgun_api3 import Shotgun

from tests.support import in_thread


@pytest.fixture
def show(sandbox):
    """A project with a task on a shot, and two published files."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    shot = sg.create("Shot", {"code": "sh010", "project": project})
    task = sg.create("Task", {"content": "comp", "entity": shot, "project": project})
    plates = [
        sg.create("PublishedFile", {"code": f"plate{n}.exr", "project": project}) for n in (1, 2)
    ]
    yield {"sg": sg, "shot": shot, "task": task, "plates": plates}
    sg.close()


@pytest.fixture
def files(tmp_path):
    """A file and its thumbnail."""
    path, thumbnail = tmp_path / "comp_v001.exr", tmp_path / "comp_v001.png"
    path.write_bytes(b"pixels")
    thumbnail.write_bytes(os.urandom(500_000))
    return path, thumbnail


def test_register_fanout_uploads_overlap_in_order(run, sandbox, show, files):
    """Three uploads are under way at a time, after the create and before the batch."""
    sandbox.hold("storage_put")

    def steer():
        sandbox.wait_for(3, "storage_put")
        sandbox.resume()

    join = in_thread(steer)
    before = len(sandbox.requests)
    depends = [str(plate["id"]) for plate in show["plates"]]
    done = run("register_fanout", *files, "--shot", "sh010", "--depends-on", *depends)
    join()
    assert done.code == 0, done.out + done.err
    calls = [r.method for r in sandbox.requests[before:]]
    puts = [place for place, call in enumerate(calls) if call == "storage_put"]
    links = [place for place, call in enumerate(calls) if call == "api_link_file"]
    assert len(puts) == len(links) == 3
    assert calls.index("create") < min(puts)
    assert calls.index("batch") > max(links)
    put = [r for r in sandbox.requests[before:] if r.method == "storage_put"]
    assert [r.bytes_received for r in put] == [500_000] * 3
    linked = [r.arguments["entity_type"] for r in sandbox.requests if r.method == "api_link_file"]
    assert sorted(linked) == ["PublishedFile", "Shot", "Task"]


UPLOAD = {"api_get_upload_link_info", "storage_put", "api_link_file"}


def test_register_fanout_uploads_after_the_create(run, sandbox, show, files):
    """The site gets no part of an upload before it has answered the create."""
    sandbox.hold("create")

    def steer():
        sandbox.wait_for(1, "create")
        threading.Event().wait(0.3)  # time enough for uploads that do not wait
        sandbox.resume()

    join = in_thread(steer)
    before = len(sandbox.requests)
    done = run("register_fanout", *files)
    join()
    assert done.code == 0, done.out + done.err
    new = sandbox.requests[before:]
    (create,) = [request for request in new if request.method == "create"]
    uploads = [request for request in new if request.method in UPLOAD]
    assert Counter(request.method for request in uploads) == dict.fromkeys(UPLOAD, 3)
    assert all(upload.started >= create.started + create.seconds for upload in uploads)
    batch = max(new, key=lambda request: request.started)
    assert batch.method == "batch"
    assert all(batch.started >= upload.started + upload.seconds for upload in uploads)


def test_register_fanout_uploads_nothing_without_its_file(run, sandbox, show, files):
    """When the create is refused, shot and task keep their thumbnails, and the code is 1."""
    sandbox.fail_next("create", status=400)
    done = run("register_fanout", *files)
    assert done.code == 1
    assert "create PublishedFile" in done.out
    assert sandbox.counters().requests.get("storage_put", 0) == 0


def test_register_fanout_makes_what_it_says(run, show, files):
    """The published file has its links, and a dependency on each file that was named."""
    sg = show["sg"]
    depends = [str(plate["id"]) for plate in show["plates"]]
    done = run("register_fanout", *files, "--task", "comp", "--depends-on", *depends)
    assert done.code == 0, done.out + done.err
    fields = ["task", "entity"]
    (published,) = sg.find("PublishedFile", [["code", "is", "comp_v001.exr"]], fields)
    assert published["task"]["id"] == show["task"]["id"]
    assert published["entity"]["id"] == show["shot"]["id"]
    fields = ["dependent_published_file"]
    made = sg.find("PublishedFileDependency", [["published_file", "is", published]], fields)
    assert [str(each["dependent_published_file"]["id"]) for each in made] == depends
    for each in made:
        assert f"PublishedFileDependency {each['id']}" in done.out


def test_register_fanout_goes_on_where_it_failed(run, sandbox, show, files, tmp_path):
    """An upload that failed is made again with --resume, and nothing else; then the batch."""
    report = tmp_path / "report.json"
    sandbox.fail_next("api_link_file", status=400)
    first = run("register_fanout", *files, "--resume", report)
    assert first.code == 1
    assert "failed" in first.out
    before = Counter(request.method for request in sandbox.requests)
    again = run("register_fanout", *files, "--resume", report)
    assert again.code == 0, again.out
    new = Counter(request.method for request in sandbox.requests) - before
    assert (new["create"], new["storage_put"], new["batch"]) == (0, 1, 1)


def test_register_fanout_dry_run(run, sandbox, show, files):
    """A dry run says what would be written, and writes nothing."""
    before = sandbox.counters().writes
    done = run("register_fanout", *files, "--dry-run")
    assert done.code == 0, done.err
    assert done.out.count("upload ") == 3
    assert done.out.count("create PublishedFileDependency") == 2
    assert sandbox.counters().writes == before


def test_register_fanout_refuses_what_is_not_there(run, sandbox, show, files, tmp_path):
    """Before anything is written."""
    before = sandbox.counters().writes
    done = run("register_fanout", *files, "--task", "lighting")
    assert (done.code, "no such task" in done.err) == (1, True)
    done = run("register_fanout", *files, "--depends-on", 999)
    assert (done.code, "do not exist" in done.err) == (1, True)
    done = run("register_fanout", tmp_path / "a", tmp_path / "b")
    assert (done.code, "there is no" in done.err) == (2, True)
    assert run("register_fanout").code == 2
    assert run("register_fanout", files[0]).code == 2
    assert run("register_fanout", "--help").code == 0
    assert sandbox.counters().writes == before


def test_register_fanout_alone(alone):
    """Without any argument it shows itself on a demo site."""
    done = alone("register_fanout")
    assert done.code == 0, done.err
    assert done.out.count("done") == 5
