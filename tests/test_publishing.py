"""Publishes: what a report says, what is gone on from, and what is never made twice."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import errno
import json
import os
import subprocess
import sys
import threading
from collections import Counter

import pytest
from shotgun_api3 import Shotgun

from shotgun_executor import (
    DeadlineExceeded,
    DependencyError,
    Future,
    ResumeError,
    Retries,
    ShotgunExecutor,
    TooManyCalls,
    file_lock,
    outcome_unknown,
    teller,
    upload_progress,
)
from shotgun_executor.journal import Journal, kept, read_journal
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread, wait_until
from tests.test_interrupts import each_step, interrupted_at

QUICK = Retries(3, first_wait=0.001)


@pytest.fixture
def project(sandbox):
    """The project that everything is in."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    sg.close()
    return project


@pytest.fixture
def movie(tmp_path):
    """A file of 1 MB, more than a socket takes at once."""
    path = tmp_path / "sh010.mov"
    path.write_bytes(os.urandom(1_000_000))
    return path


@pytest.fixture
def report(tmp_path):
    """Where the report goes."""
    return tmp_path / "report.json"


def publish(item, project, movie):
    """The steps of a Version, as a tool would write them."""
    version = item.create("Version", {"code": f"{item.key}_v001", "project": project})
    upload = item.upload("Version", version, movie, field_name="sg_uploaded_movie")
    noted = item.update("Version", version, {"description": "First try."})
    return version, upload, noted


def lines(path):
    """The file, line by line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def states(publishing):
    """The state of each step, by item."""
    return {
        item.key: {name: step.state for name, step in item.steps.items()}
        for item in publishing.report
    }


def requests(sandbox):
    """What the site has got, by method."""
    return Counter(request.method for request in sandbox.requests)


# What a run does, and reports


def test_publishing_makes_the_steps_and_reports_them(executor, sandbox, project, movie, report):
    """Each step is made once, and the report has ids, results, sizes and seconds."""
    with executor.publishing(report) as publishing:
        futures = [publish(publishing.item(f"sh{n}"), project, movie) for n in range(3)]
    assert publishing.report.ok
    assert len(publishing.report) == 3
    for (version, upload, noted), item in zip(futures, publishing.report):
        assert list(item.steps) == [
            "create Version",
            "upload Version sg_uploaded_movie",
            "update Version",
        ]
        assert item.steps["create Version"].result == version.result()
        assert item.made == [
            {"type": "Version", "id": version.result()["id"]},
            {"type": "Attachment", "id": upload.result()},
        ]
        assert item.steps["upload Version sg_uploaded_movie"].size == 1_000_000
        assert all(step.seconds > 0 for step in item.steps.values())
        assert item.seconds == pytest.approx(sum(s.seconds for s in item.steps.values()))
        assert noted.result()["id"] == version.result()["id"]
        assert str(item) == (
            f"{item.key}: ok, Version {version.result()['id']}, Attachment {upload.result()}"
        )
    assert requests(sandbox)["create"] == 3 + 1
    head, *steps = lines(report)
    assert head == {"publishing": 1, "site": executor.config.server}
    assert [(step["item"], step["state"]) for step in steps] == [
        (f"sh{n}", "done") for n in range(3) for _ in range(3)
    ]
    assert not list(report.parent.glob("*.part")), "a temporary file is left"


def test_publishing_needs_no_file(executor, project, movie):
    """Without a path there is a report all the same."""
    with executor.publishing() as publishing:
        publish(publishing.item("sh010"), project, movie)
    assert publishing.report["sh010"].ok
    assert repr(publishing.report) == "<PublishReport: 1 of 1 items are done>"


def test_publishing_failure_skips_what_needs_it_only(executor, sandbox, project, movie, report):
    """A refused step has its error; what needs it is skipped and says why; the rest is done."""
    with executor.publishing(report) as publishing:
        item = publishing.item("sh010")
        version = item.create("Version", {"code": "v001", "no_such_field": 1, "project": project})
        upload = item.upload("Version", version, movie, field_name="sg_uploaded_movie")
        item.step("tell").update("Version", version, {"description": f"{1}"})
        other = item.create("Note", {"subject": "hello", "project": project})
        publishing.item("sh020").update("Note", other, {"content": "linked"})
        last = publishing.item("sh030").update("Version", version, {"description": "x"})
    assert states(publishing) == {
        "sh010": {
            "create Version": "failed",
            "upload Version sg_uploaded_movie": "skipped",
            "tell": "skipped",
            "create Note": "done",
        },
        "sh020": {"update Note": "done"},
        "sh030": {"update Version": "skipped"},
    }
    failed, skipped, *_ = publishing.report["sh010"].steps.values()
    assert (failed.error, "no_such_field" in failed.message) == ("Fault", True)
    assert skipped.because == "create Version"
    assert publishing.report["sh030"].steps["update Version"].because == "sh010: create Version"
    assert not publishing.report.ok
    assert "tell was skipped because of create Version" in str(publishing.report["sh010"])
    for future in (upload, last):
        assert isinstance(future.exception(), DependencyError)
    assert requests(sandbox)["storage_put"] == 0


def test_publishing_unknown_create_is_made_once_and_says_how_to_find_it(
    executor, sandbox, project, movie, report
):
    """A 504 after the site has carried it out: no second Version, and a hint."""
    sandbox.fail_next("create", status=504, after_execution=True)
    with executor.publishing(report) as publishing:
        publish(publishing.item("sh010"), project, movie)
    step = publishing.report["sh010"].steps["create Version"]
    assert step.state == "unknown"
    assert "look for a Version with these values before creating it again" in step.message
    assert "sh010_v001" in step.message
    assert requests(sandbox)["create"] == 2  # the project is one
    assert [s.state for s in publishing.report["sh010"].in_state("skipped")] == ["skipped"] * 2


def test_publishing_upload_that_is_dropped_is_sent_whole_again(sandbox, project, movie, report):
    """The connection breaks in the middle of the body: the second attempt sends every byte."""
    sandbox.fail_next("storage_put", "drop_unread", count=2)
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, retries=QUICK) as executor:
        with executor.publishing(report) as publishing:
            uploads = [publish(publishing.item(f"sh{n}"), project, movie)[1] for n in range(3)]
        assert publishing.report.ok
        for upload in uploads:
            attachment = upload.result()
            found = executor.download_attachment(attachment).result()
            assert found == movie.read_bytes()
    puts = [r for r in sandbox.requests if r.method == "storage_put"]
    assert sorted(put.outcome for put in puts) == ["drop_unread"] * 2 + ["ok"] * 3
    assert [put.bytes_received for put in puts if put.outcome == "ok"] == [1_000_000] * 3


def test_publishing_partly_done_create_keeps_its_id(executor, sandbox, project, tmp_path, report):
    """A create whose image fails has made an entity: it is in the report, and not made twice."""
    broken = tmp_path / "missing.jpg"
    for _ in range(2):
        with executor.publishing(report, resume=True, repeat_unknown=True) as publishing:
            version = publishing.item("sh010").create(
                "Version", {"code": "v001", "project": project, "image": str(broken)}
            )
        made = publishing.report["sh010"].made
        assert [entity["type"] for entity in made] == ["Version"]
        assert publishing.report["sh010"].steps["create Version"].state == "unknown"
    assert "carried out in part" in str(version.exception())
    assert requests(sandbox)["create"] == 2


def test_publishing_left_by_an_exception_cancels_what_waits(sandbox, project, movie, report):
    """What runs is waited for and reported, the rest is cancelled and reported so."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        executor.connect()
        sandbox.hold("create")
        last: list[Future] = []

        def resume_when_cancelled():
            wait_until(lambda: bool(last) and last[0].cancelled())
            sandbox.resume()

        join = in_thread(resume_when_cancelled)
        other = executor.submit(int)  # cancelled by nobody: only the steps are
        with pytest.raises(KeyError):  # noqa: PT012 - it is about the block
            with executor.publishing(report) as publishing:
                publish(publishing.item("sh010"), project, movie)
                last.append(publish(publishing.item("sh020"), project, movie)[0])
                sandbox.wait_for(1, "create")
                raise KeyError
        join()
        assert other.result(LONG) == 0
    found = states(publishing)
    assert set(found["sh020"].values()) == {"cancelled"}
    assert found["sh010"]["create Version"] == "done"
    assert [step["state"] for step in lines(report)[4:]] == ["cancelled"] * 3


def test_publishing_refuses_what_would_be_confused(executor, project, tmp_path, report):
    """Wrong keys, names and paths are refused with what to do about them."""
    publishing = executor.publishing(report)
    with pytest.raises(RuntimeError, match="use `with"):
        publishing.item("sh010")
    with publishing:
        item = publishing.item("sh010")
        with pytest.raises(ValueError, match="keys must be unique"):
            publishing.item("sh010")
        with pytest.raises(TypeError, match="the key must be a text"):
            publishing.item(10)
        with pytest.raises(TypeError, match=r"create\(\) missing a required argument: 'data'"):
            item.create("Version")
        with pytest.raises(TypeError, match="the name must be a text"):
            item.step("")
        item.step("a").create("Note", {"subject": "a", "project": project})
        with pytest.raises(ValueError, match="names must be unique"):
            item.step("a").create("Note", {"subject": "b", "project": project})
        with pytest.raises(ValueError, match="sh010 has no step 'b' in the report; it has none"):
            item.repeat("b")
    with pytest.raises(RuntimeError, match="was left"):
        publishing.item("sh020")
    with pytest.raises(RuntimeError, match="begun already"):
        publishing.__enter__()
    with pytest.raises(FileExistsError, match="resume=True"):
        executor.publishing(report)
    with pytest.raises(FileNotFoundError, match="folder"):
        executor.publishing(tmp_path / "nowhere" / "report.json")
    with pytest.raises(ValueError, match="needs the path"):
        executor.publishing(resume=True)
    with pytest.raises(TypeError, match="progress must be"):
        executor.publishing(progress=3)
    assert publishing.report.ok


def test_publishing_same_steps_have_numbers(executor, project, movie):
    """Steps of one method and type are told apart in the order of their calls."""
    with executor.publishing() as publishing:
        item = publishing.item("sh010")
        for code in "ab":
            entity = item.create("PublishedFile", {"code": code, "project": project})
            item.upload_thumbnail(entity, entity, movie)
    assert publishing.report.ok
    assert list(publishing.report["sh010"].steps) == [
        "create PublishedFile",
        "upload_thumbnail PublishedFile",
        "create PublishedFile 2",
        "upload_thumbnail PublishedFile 2",
    ]


def test_publishing_with_a_deadline(sandbox, executor, project, movie):
    """Options hold for each step; one that is torn may have been carried out."""
    executor.connect()
    sandbox.hold("create")
    with executor.options(deadline=0.2).publishing() as publishing:
        version, *_ = publish(publishing.item("sh010"), project, movie)
        assert isinstance(version.exception(LONG), DeadlineExceeded)
        sandbox.resume()
    assert publishing.report["sh010"].steps["create Version"].state == "unknown"


def test_publishing_in_batches(executor, sandbox, project, report):
    """With batch_writes creates and updates are few requests, and the report is the same."""
    for _ in range(2):
        with executor.publishing(report, resume=True, batch_writes=True) as publishing:
            for number in range(20):
                item = publishing.item(f"sh{number}")
                version = item.create("Version", {"code": f"v{number}", "project": project})
                item.update("Version", version, {"description": "x"})
        assert publishing.report.ok
        assert len({item.made[0]["id"] for item in publishing.report}) == 20
    assert requests(sandbox)["batch"] <= 10
    assert requests(sandbox)["create"] + requests(sandbox)["update"] <= 3


def test_publishing_in_batches_is_written_down_before_it_is_sent(
    executor, sandbox, project, report
):
    """A kill while a batch is on its way leaves each of its steps unknown."""
    sandbox.hold("batch")
    with executor.publishing(report, batch_writes=True) as publishing:
        for number in range(3):
            item = publishing.item(f"{number}")
            item.create("Note", {"subject": f"{number}", "project": project})
        sandbox.wait_for(1, "batch")
        steps = read_journal(report)
        sandbox.resume()
    assert [step.state for step in steps.values()] == ["unknown"] * 3
    assert "look for a Note with these values" in steps["1", "create Note"].message
    assert publishing.report.ok


def test_publishing_in_batches_tells_the_guilty_one(executor, project):
    """A step that the site refuses fails alone."""
    with executor.publishing(batch_writes=True) as publishing:
        for number in range(6):
            data = {"code": f"v{number}", "project": project}
            publishing.item(f"{number}").create(
                "Version", {**data, "no_such_field": 1} if number == 3 else data
            )
    assert [item.ok for item in publishing.report] == [n != 3 for n in range(6)]


def test_publishing_dry_run_writes_nothing(sandbox, project, movie, report):
    """A dry run plans each step, and leaves no report that another run would take for real."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, dry_run=True) as executor:
        before = sandbox.counters().writes
        with executor.publishing(report) as publishing:
            publish(publishing.item("sh010"), project, movie)
        assert publishing.report.ok
        planned = [write.method for write in executor.planned]
        assert sorted(planned) == ["create", "update", "upload"]
    assert sandbox.counters().writes == before
    assert not report.exists()


# Going on


def test_publishing_resumes_and_repeats_nothing_that_is_done(
    executor, sandbox, project, movie, report
):
    """Only what failed or was skipped is made; results of before are futures of our own class."""
    sandbox.fail_next("update", status=400)
    with executor.publishing(report) as publishing:
        publish(publishing.item("sh010"), project, movie)
    assert publishing.report["sh010"].steps["update Version"].state == "failed"
    before = requests(sandbox)
    with executor.publishing(report, resume=True) as again:
        version, _, noted = publish(again.item("sh010"), project, movie)
    assert isinstance(version, Future)
    assert requests(sandbox) - before == Counter({"update": 1})
    assert again.report.ok
    assert [step.resumed for step in again.report["sh010"].steps.values()] == [True, True, False]
    assert version.result() == publishing.report["sh010"].steps["create Version"].result
    assert noted.result()["id"] == version.result()["id"]
    assert again.report["sh010"].made == publishing.report["sh010"].made


def test_publishing_keeps_what_this_run_does_not_touch(executor, project, movie, report):
    """Items of earlier runs stay in the file, and are not in the report of this one."""
    with executor.publishing(report) as publishing:
        publish(publishing.item("sh010"), project, movie)
    with executor.publishing(report, resume=True) as publishing:
        publish(publishing.item("sh020"), project, movie)
    assert [item.key for item in publishing.report] == ["sh020"]
    assert [step["item"] for step in lines(report)[1:]] == ["sh010"] * 3 + ["sh020"] * 3


def test_publishing_does_not_repeat_what_is_unknown(executor, sandbox, project, movie, report):
    """Neither in the next run nor in the one after; the error keeps saying what to look for."""
    sandbox.fail_next("create", status=504, after_execution=True)
    with executor.publishing(report) as publishing:
        publish(publishing.item("sh010"), project, movie)
    before, said = requests(sandbox), []
    for _ in range(2):
        with executor.publishing(report, resume=True) as publishing:
            version, *_ = publish(publishing.item("sh010"), project, movie)
        error = version.exception()
        assert isinstance(error, ResumeError)
        assert outcome_unknown(error)
        assert (error.item, error.step) == ("sh010", "create Version")
        assert publishing.report["sh010"].steps["create Version"].state == "unknown"
        said.append(str(error))
    assert requests(sandbox) == before
    assert said[0] == said[1]
    for part in ("look for a Version", "item.settle('create Version'", "item.repeat("):
        assert part in said[0]


@pytest.mark.parametrize("how", ["settle", "settle entity", "repeat", "repeat_unknown"])
def test_publishing_unknown_step_is_decided_by_the_user(
    executor, sandbox, project, movie, report, how
):
    """The id that was found counts as its result; or it is made again on request."""
    sandbox.fail_next("create", status=504, after_execution=True)
    with executor.publishing(report) as publishing:
        publish(publishing.item("sh010"), project, movie)
    found = executor.find_one("Version", [["code", "is", "sh010_v001"]]).result()
    creates = requests(sandbox)["create"]
    with executor.publishing(
        report, resume=True, repeat_unknown=how == "repeat_unknown"
    ) as publishing:
        item = publishing.item("sh010")
        if how == "settle":
            item.settle("create Version", found["id"])
        elif how == "settle entity":
            item.settle("create Version", found)
        elif how == "repeat":
            item.repeat("create Version")
        version, *_ = publish(item, project, movie)
    assert publishing.report.ok
    settled = how.startswith("settle")
    assert requests(sandbox)["create"] - creates == (0 if settled else 1)
    assert (version.result()["id"] == found["id"]) == settled
    with executor.publishing(report, resume=True) as third:
        publish(third.item("sh010"), project, movie)
        with pytest.raises(ValueError, match="was called already"):
            third.item("sh020") and third._items["sh010"].repeat("create Version")
    assert third.report.ok
    assert third.report["sh010"].made[0]["id"] == version.result()["id"]


def test_publishing_settle_refuses_what_is_done(executor, project, report):
    """Of a step that is done the result is known."""
    with executor.publishing(report) as publishing:
        publishing.item("sh010").create("Note", {"subject": "a", "project": project})
    with executor.publishing(report, resume=True) as publishing:
        with pytest.raises(ValueError, match="is done"):
            publishing.item("sh010").settle("create Note", 12)


def test_publishing_changed_arguments_are_told(executor, sandbox, project, movie, report):
    """A result of other arguments, or of another file, is not used silently; nor is it lost."""
    with executor.publishing(report) as publishing:
        publish(publishing.item("sh010"), project, movie)
    before = requests(sandbox)
    kept = lines(report)
    movie.write_bytes(b"shorter")
    with executor.publishing(report, resume=True) as publishing:
        item = publishing.item("sh010")
        version = item.create("Version", {"code": "sh010_v001", "project": project})
        upload = item.upload("Version", version, movie, field_name="sg_uploaded_movie")
        noted = item.update("Version", version, {"description": "Second try."})
    for future, text in ((upload, "it made Attachment"), (noted, "with other arguments")):
        error = future.exception()
        assert isinstance(error, ResumeError)
        assert not outcome_unknown(error)
        assert text in str(error)
    assert states(publishing)["sh010"]["update Version"] == "changed"
    assert requests(sandbox) == before
    assert lines(report) == kept
    with executor.publishing(report, resume=True) as publishing:
        item = publishing.item("sh010")
        item.repeat("upload Version sg_uploaded_movie")
        publish(item, project, movie)
    assert publishing.report.ok
    assert requests(sandbox) - before == Counter(
        {"api_get_upload_link_info": 1, "storage_put": 1, "api_link_file": 1}
    )


@pytest.mark.parametrize("batch_writes", [False, True])
def test_publishing_looks_at_what_its_lookups_find_now(executor, project, report, batch_writes):
    """A step that was made of another shot than is found now is not taken for the same step."""
    shots = [
        executor.create("Shot", {"code": code, "project": project}).result(LONG) for code in "ab"
    ]

    def publish_for(shot):
        with executor.publishing(report, resume=True, batch_writes=batch_writes) as publishing:
            found = executor.find_one("Shot", [["id", "is", shot["id"]]])
            data = {"code": "v001", "project": project, "entity": found}
            publishing.item("sh010").create("Version", data)
        return publishing.report["sh010"].steps["create Version"]

    assert publish_for(shots[0]).state == "done"
    assert publish_for(shots[0]).resumed
    assert publish_for(shots[1]).state == "changed"
    assert len(executor.find("Version", []).result(LONG)) == 1


def test_publishing_settles_no_entity_of_another_type(executor, sandbox, project, report):
    """What a step has made is of the type that it makes."""
    executor.connect()
    sandbox.fail_next("create", "drop", after_execution=True)
    with executor.publishing(report) as publishing:
        publishing.item("sh010").create("Version", {"code": "v001", "project": project})
    with executor.publishing(report, resume=True) as publishing:
        item = publishing.item("sh010")
        item.settle("create Version", {"type": "Shot", "id": 3})
        with pytest.raises(ValueError, match="makes a Version, so it cannot have made Shot 3"):
            item.create("Version", {"code": "v001", "project": project})


def test_publishing_left_by_ctrl_c_at_its_end_knows_what_became_of_all(
    executor, sandbox, project, report, monkeypatch
):
    """What runs is waited for, also then; so the report is whole, and its file is free."""
    executor.connect()
    sandbox.hold("create")
    publishing = executor.publishing(report)
    wait, waits = publishing._wait, []

    def interrupted():
        waits.append(None)
        if len(waits) > 1:
            sandbox.resume()
            return wait()
        sandbox.wait_for(1, "create")
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it is about the block
        with publishing:
            item = publishing.item("sh010")
            note = item.create("Note", {"subject": "a", "project": project})
            item.update("Note", note, {"subject": "b"})
    assert list(states(publishing)["sh010"].values()) == ["done", "cancelled"]
    with executor.publishing(report, resume=True) as again:
        again.item("sh010").create("Note", {"subject": "a", "project": project})
    assert again.report["sh010"].steps["create Note"].resumed


def test_publishing_what_depends_on_a_repeated_step_is_made_again(
    executor, sandbox, project, movie, report
):
    """A new Version gets its movie and its update: those of before belong to the old one."""
    with executor.publishing(report) as publishing:
        publish(publishing.item("sh010"), project, movie)
    before = requests(sandbox)
    with executor.publishing(report, resume=True) as publishing:
        item = publishing.item("sh010")
        item.repeat("create Version")
        publish(item, project, movie)
    done = requests(sandbox) - before
    assert (done["create"], done["storage_put"], done["update"]) == (1, 1, 1)


PROGRAM = """
import sys
from shotgun_executor import ShotgunExecutor
url, name, key, project, movie, report = sys.argv[1:]
with ShotgunExecutor(url, name, key) as executor:
    with executor.publishing(report) as publishing:
        item = publishing.item("sh010")
        project = {"type": "Project", "id": int(project)}
        version = item.create("Version", {"code": "sh010_v001", "project": project})
        version.result()
        item.upload("Version", version, movie, field_name="sg_uploaded_movie").result()
"""


@contextlib.contextmanager
def publishing_program(sandbox, project, movie, report):
    """Another program that publishes to *report*, while it sends its movie; killed at the end."""
    sandbox.hold("storage_put")
    arguments = (sandbox.url, sandbox.script_name, sandbox.api_key, str(project["id"]))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments, str(movie), str(report)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        sandbox.wait_for(1, "storage_put")
        yield process
    finally:
        process.kill()
        process.wait(LONG)
        sandbox.resume()


def test_publishing_of_two_programs_on_one_report_is_refused(
    executor, sandbox, project, movie, report
):
    """The second one is told so before it sends anything; a kill of the first frees the report."""
    with publishing_program(sandbox, project, movie, report) as process:
        before = requests(sandbox)
        begun = executor.publishing(report, resume=True)
        with pytest.raises(BlockingIOError, match="in use by another program") as caught:
            begun.__enter__()
        assert str(report) in str(caught.value)
        assert f"process {process.pid} on " in str(caught.value)
        assert "wait until that has ended, or choose another path" in str(caught.value)
        assert requests(sandbox) == before
        assert [step.state for step in read_journal(report).values()] == ["done", "unknown"]
    with begun:  # the first was killed: the same object goes on
        assert publish(begun.item("sh010"), project, movie)[0].result()["type"] == "Version"
    assert begun.report["sh010"].steps["create Version"].resumed
    assert {path.name for path in report.parent.iterdir()} == {report.name, movie.name}


def test_publishing_of_two_threads_on_one_report_is_refused(executor, project, report):
    """Nor may one program use it twice at a time; what has ended meanwhile is gone on from."""
    data = {"subject": "a", "project": project}
    later = executor.publishing(report, resume=True)
    with executor.publishing(report) as publishing:
        first = publishing.item("sh010").create("Note", data)
        with pytest.raises(BlockingIOError, match="in use"):
            later.__enter__()
    with later:
        assert later.item("sh010").create("Note", data).result() == first.result()


def test_publishing_lock_is_free_after_a_beginning_that_failed(executor, report):
    """A report that cannot be gone on from is not kept from others."""
    publishing = executor.publishing(report)
    report.write_text("hello\n", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(FileExistsError):
            publishing.__enter__()
    report.unlink()
    with publishing:
        assert publishing.item("sh010").key == "sh010"


def test_file_lock_whose_file_is_removed_while_it_is_taken(tmp_path, monkeypatch):
    """The one who removes the file at its end takes no lock away from the next."""
    first, second, third = (file_lock.FileLock(tmp_path / "report") for _ in range(3))
    first.acquire()
    lock = file_lock._lock

    def released_meanwhile(file):
        first.release()  # after the second has opened the file
        lock(file)

    monkeypatch.setattr(file_lock, "_lock", released_meanwhile)
    second.acquire()
    monkeypatch.undo()
    with pytest.raises(BlockingIOError, match="in use"):
        third.acquire()
    second.release()
    assert not list(tmp_path.iterdir())


def test_file_lock_without_locks_of_the_file_system(tmp_path, monkeypatch, caplog):
    """Where there are none it warns, and goes on."""

    def no_locks(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(file_lock, "_lock", no_locks)
    lock = file_lock.FileLock(tmp_path / "report")
    lock.acquire()
    lock.release()
    assert "report cannot be locked against other programs" in caplog.text


def test_publishing_goes_on_after_a_kill(sandbox, executor, project, movie, report):
    """What has ended before a kill is not repeated; what was on its way is unknown."""
    with publishing_program(sandbox, project, movie, report):
        pass
    with report.open("ab") as file:
        file.write(b'{"item": "sh010", "na')  # a line that was not written whole
    creates = requests(sandbox)["create"]
    with executor.publishing(report, resume=True) as publishing:
        version, upload, noted = publish(publishing.item("sh010"), project, movie)
    assert version.result()["type"] == "Version"
    assert requests(sandbox)["create"] == creates
    error = upload.exception()
    assert outcome_unknown(error)
    assert "the earlier run ended while it was running" in str(error)
    assert "look for the new Attachment" in str(error)
    assert noted.exception() is None


def test_publishing_is_in_the_file_before_it_is_over(executor, sandbox, project, movie, report):
    """While the block goes on, the file has what has ended, and what is about to be sent."""
    sandbox.hold("update")
    try:
        with executor.publishing(report) as publishing:
            _, upload, _ = publish(publishing.item("sh010"), project, movie)
            upload.result(LONG)
            sandbox.wait_for(1, "update")
            wait_until(lambda: {"upload", "update"} <= {s.get("method") for s in lines(report)})
            latest = {step["name"]: step["state"] for step in lines(report)[1:]}
            assert latest["create Version"] == "done"
            assert latest["update Version"] == "running"
            sandbox.resume()
    finally:
        sandbox.resume()


def test_publishing_step_that_cannot_be_written_down_is_not_sent(
    executor, sandbox, project, report, monkeypatch
):
    """A full disk: what could not be told from a kill later is not sent."""
    with executor.publishing(report) as publishing:

        def full(step):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(publishing._journal, "_append", full)
        note = publishing.item("sh010").create("Note", {"subject": "a", "project": project})
        assert "was not sent" in str(note.exception(LONG))
    assert requests(sandbox)["create"] == 1
    assert lines(report)[1]["state"] == "failed"


def test_publishing_results_survive_as_they_were(executor, project, report):
    """Times are times again; a URL has lost what may be its signature."""
    for _ in range(2):
        with executor.publishing(report, resume=True) as publishing:
            note = publishing.item("sh010").create(
                "Note",
                {"subject": "see https://files.test/a?signature=123", "project": project},
                ["created_at"],
            )
    assert publishing.report["sh010"].steps["create Note"].resumed
    assert isinstance(note.result()["created_at"], datetime.datetime)
    assert note.result()["subject"] == "see https://files.test/a?***"
    assert "signature" not in report.read_text(encoding="utf-8")


def test_publishing_keeps_no_secret_of_a_result():
    """A text of a name that sounds secret is left out, and so is what JSON cannot hold."""
    result = {"password_proxy": "abc", "sg_keys": 3, "code": "a", "list": [{"token": "b"}, {1}]}
    assert kept(result) == {"sg_keys": 3, "code": "a", "list": [{}, None]}


def test_publishing_file_without_room_is_told_at_the_end(
    executor, sandbox, project, report, monkeypatch
):
    """If the file cannot be completed the block raises; what was added to it is still there."""

    def full(self, steps):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):  # noqa: PT012 - it is about the block
        with executor.publishing(report) as publishing:
            publishing.item("sh010").create("Note", {"subject": "a", "project": project})
            monkeypatch.setattr(Journal, "_replace", full)
    monkeypatch.undo()
    with executor.publishing(report, resume=True) as publishing:
        publishing.item("sh010").create("Note", {"subject": "a", "project": project})
    assert publishing.report["sh010"].steps["create Note"].resumed


def test_publishing_whose_end_is_interrupted_completes_its_file(
    executor, sandbox, project, report, monkeypatch
):
    """Ctrl-C while the end waits: what runs goes on, and is in the file when it has ended."""
    executor.connect()
    sandbox.hold("create")
    publishing = executor.publishing(report)

    def interrupted():
        sandbox.wait_for(1, "create")
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it is about the block
        with publishing:
            item = publishing.item("sh010")
            note = item.create("Note", {"subject": "a", "project": project})
            item.update("Note", note, {"subject": "b"})
    assert lines(report)[-1]["state"] in ("running", "cancelled")
    sandbox.resume()
    executor.shutdown()
    assert [step["state"] for step in lines(report)[1:]] == ["done", "cancelled"]


@pytest.mark.slow
def test_publishing_interrupted_anywhere_completes_its_file(executor, project, tmp_path):
    """Ctrl-C at any point of a step's call: the block ends, and its file is complete and free."""
    executor.connect()

    def at(step):
        report = tmp_path / f"{step}.json"
        told = []
        with executor.publishing(
            report, batch_writes=step % 2 == 0, progress=told.append
        ) as publishing:
            item = publishing.item("sh010")
            note = item.create("Note", {"subject": "a", "project": project})
            interrupted = interrupted_at(step, lambda: item.update("Note", note, {"subject": "b"}))
        said = [line["state"] for line in lines(report)[1:]]
        # A call that was submitted, and is known to nobody: what became of it is not known.
        assert said in (["done"], ["done", "done"], ["done", "cancelled"], ["done", "running"])
        assert told
        with executor.publishing(report, resume=True) as again:
            assert again.item("sh010").key == "sh010"
        assert not report.with_name(f".{report.name}.lock").exists()
        return interrupted

    each_step(at)


def test_publishing_of_a_failed_future_of_somebody_else(executor, project):
    """A step that needs another future, which fails, is skipped and says why."""
    other = executor.submit(int, "no number")
    with executor.publishing() as publishing:
        data = {"subject": "a", "content": other, "project": project}
        publishing.item("sh010").create("Note", data)
    step = publishing.report["sh010"].steps["create Note"]
    assert (step.state, step.because) == ("skipped", None)
    assert "invalid literal" in str(publishing.report["sh010"])


def test_publishing_step_that_was_not_accepted_leaves_its_name(sandbox, project):
    """After TooManyCalls the same call makes the same step."""
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=1, max_pending=1, when_full="raise"
    ) as executor:
        executor.connect()
        sandbox.hold("create")
        data = {"subject": "a", "project": project}
        with executor.publishing() as publishing:
            item = publishing.item("sh010")
            item.step("first").create("Note", data)
            sandbox.wait_for(1, "create")
            second = item.create("Note", data)
            with pytest.raises(TooManyCalls):
                item.update("Note", 1, {"subject": "b"})
            sandbox.resume()
            second.result(LONG)
            item.update("Note", 1, {"subject": "b"})
    assert list(publishing.report["sh010"].steps) == ["first", "create Note", "update Note"]


def test_publishing_progress_may_look_at_the_report(executor, project, report):
    """A function that asks for the report, from any thread, locks nothing up."""
    seen: list[int] = []

    def look(now):
        seen.append(len(publishing.report))

    for _ in range(2):
        with executor.publishing(report, resume=True, progress=look) as publishing:
            for number in range(20):
                publishing.item(f"{number}").create("Note", {"subject": "a", "project": project})
        assert publishing.report.ok
        assert seen[-1] == 20


def test_publishing_settles_only_what_may_have_been(executor, sandbox, project, movie, report):
    """A result that the step cannot have had is refused when it is given, not when it is used."""
    sandbox.fail_next("api_link_file", status=504, after_execution=True)
    with executor.options(retries=0).publishing(report) as publishing:
        item = publishing.item("sh010")
        made = item.create("Version", {"code": "y", "project": project})
        upload = item.upload("Version", made, movie, field_name="sg_uploaded_movie")
    assert outcome_unknown(upload.exception())
    with executor.publishing(report, resume=True) as publishing:
        item = publishing.item("sh010")
        for wrong in (None, {"type": "Attachment", "id": 3}, True):
            with pytest.raises(TypeError, match="must be the id of the Attachment"):
                item.settle("upload Version sg_uploaded_movie", wrong)
        item.settle("upload Version sg_uploaded_movie", 3)
        made = item.create("Version", {"code": "y", "project": project})
        upload = item.upload("Version", made, movie, field_name="sg_uploaded_movie")
    assert upload.result() == 3


@pytest.mark.parametrize("said", [12, {"id": 12}, {"type": "Version", "id": 12}])
def test_publishing_settles_a_create_by_its_id(executor, sandbox, project, report, said):
    """With or without its type, the result is an entity; anything else is refused."""
    sandbox.fail_next("create", status=504, after_execution=True)
    data = {"code": "x", "project": project}
    with executor.publishing(report) as publishing:
        publishing.item("sh010").create("Version", data)
    with executor.publishing(report, resume=True) as publishing:
        item = publishing.item("sh010")
        for wrong in (None, "12", {"type": "Version"}):
            with pytest.raises(TypeError, match="must be the entity that it made"):
                item.settle("create Version", wrong)
        item.settle("create Version", said)
        assert item.create("Version", data).result() == {"type": "Version", "id": 12}
    assert publishing.report["sh010"].made == [{"type": "Version", "id": 12}]


def test_publishing_stays_with_its_file(executor, project, tmp_path, monkeypatch):
    """A relative path is that of the folder in which the publish was made."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with executor.publishing("report.json") as publishing:
        monkeypatch.chdir(tmp_path / "elsewhere")
        publishing.item("sh010").create("Note", {"subject": "a", "project": project})
    assert [step["state"] for step in lines(tmp_path / "report.json")[1:]] == ["done"]
    assert not list((tmp_path / "elsewhere").iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "report.json"]


def test_publishing_step_of_another_thread_while_the_block_ends(
    executor, project, report, monkeypatch
):
    """A step that was being accepted is in the file as soon as it has ended."""
    publishing = executor.publishing(report)
    gate, submit = Gate(), publishing._submit

    def slow(*args):
        gate()
        return submit(*args)

    monkeypatch.setattr(publishing, "_submit", slow)
    with publishing:
        item = publishing.item("sh010")
        join = in_thread(lambda: item.create("Note", {"subject": "a", "project": project}))
        gate.wait_for(1)
    gate.open()
    join().result(LONG)
    wait_until(lambda: [step["state"] for step in lines(report)[1:]] == ["done"])
    wait_until(lambda: [path.name for path in report.parent.iterdir()] == [report.name])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "line 1"),
        ("hello\n", "line 1"),
        ('{"publishing": 2}\n', "no report"),
        ('{"publishing": 1, "site": "other"}\n', "is about other, not "),
        ('{"publishing": 1}\n{"item": "a"}\n', "line 2"),
        ('{"publishing": 1}\n[]\n', "line 2"),
    ],
)
def test_publishing_refuses_a_file_that_is_no_report(executor, report, content, said):
    """Another file is not overwritten, nor taken for a report."""
    report.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        executor.publishing(report, resume=True)
    assert report.read_text(encoding="utf-8") == content


# How far it is


def test_publishing_tells_its_progress(executor, project, movie):
    """Items and bytes, up to all of them; who else listens to uploads is told too."""
    told, others = [], []
    with executor.publishing(progress=told.append) as publishing:
        for number in range(3):
            with upload_progress(lambda sent, total: others.append((sent, total))):
                publish(publishing.item(f"sh{number}"), project, movie)
    last = told[-1]
    assert (last.items_done, last.items) == (3, 3)
    assert (last.steps_done, last.steps) == (9, 9)
    assert last.bytes_sent == last.bytes_total == 3_000_000
    assert [t.bytes_sent for t in told] == sorted(t.bytes_sent for t in told)
    assert others.count((1_000_000, 1_000_000)) == 3


def test_publishing_shows_a_bar(executor, project, movie, capsys, monkeypatch):
    """With tqdm a bar of bytes, with the count of items."""
    tqdm = pytest.importorskip("tqdm")
    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)  # no thread of its own
    with executor.publishing(progress="publishing") as publishing:
        publish(publishing.item("sh010"), project, movie)
    shown = capsys.readouterr().err
    assert "publishing" in shown
    assert "1 of 1 items" in shown
    assert "1.00M/1.00M" in shown


def test_publishing_progress_that_fails_ends_nothing(executor, project, movie, caplog):
    """An error of the user's function is logged once, and the publish goes on without it."""
    told = []

    def fail(now):
        told.append(now)
        raise SystemExit("no more")

    with executor.publishing(progress=fail) as publishing:
        publish(publishing.item("sh010"), project, movie)
    assert publishing.report.ok
    assert len(told) == 1
    assert caplog.text.count("progress of a publish failed") == 1


@pytest.mark.parametrize("workers", [1, 8])
def test_publishing_progress_may_make_calls_and_wait_for_them(sandbox, project, movie, workers):
    """A function that writes to the site how far it is, and waits for that, locks nothing up."""
    told = []
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=workers) as executor:
        note = executor.create("Note", {"subject": "0", "project": project}).result()

        def tell(now):
            told.append(now)
            executor.update("Note", note["id"], {"subject": str(now.steps_done)}).result(LONG)
            executor.shotgun.find_one("Note", [["id", "is", note["id"]]])

        with executor.publishing(progress=tell) as publishing:
            for number in range(5):
                publish(publishing.item(f"sh{number}"), project, movie)
        assert publishing.report.ok
        found = executor.find_one("Note", [["id", "is", note["id"]]], ["subject"]).result()
    assert found["subject"] == "15", "the last state was not told before the end of the block"
    assert (told[-1].items_done, told[-1].bytes_sent) == (5, 5_000_000)


def test_publishing_goes_on_while_progress_blocks(executor, project, movie, report):
    """A slow function holds up no step, nor the file; then it is told the newest state only."""
    gate, told = Gate(), []

    def slow(now):
        told.append(now)
        gate(now)

    with executor.publishing(report, progress=slow) as publishing:
        for number in range(3):
            publish(publishing.item(f"sh{number}"), project, movie)
        gate.wait_for(1)
        wait_until(lambda: all(item.ok for item in publishing.report))
        wait_until(lambda: [line.get("state") for line in lines(report)].count("done") == 9)
        assert len(publishing.report) == 3
        assert len(told) == 1
        gate.open()
    assert [now.steps_done for now in told[1:]] == [9]


def test_publishing_ends_though_progress_does_not(executor, project, report, caplog, monkeypatch):
    """A function that never returns is waited for only so long, and the file is complete."""
    monkeypatch.setattr(teller, "PATIENCE", 0.1)
    gate = Gate()
    with executor.publishing(report, progress=gate) as publishing:
        publishing.item("sh010").create("Note", {"subject": "a", "project": project})
    assert "waited for no longer" in caplog.text
    assert [step["state"] for step in lines(report)[1:]] == ["done"]
    gate.open()


def test_publishing_tells_its_progress_without_a_thread(executor, project, monkeypatch):
    """When no thread can be started (the interpreter exits), the end tells the last state."""
    told = []
    start = threading.Thread.start

    def no_thread(thread):
        if thread.name == "the progress of a publish":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with executor.publishing(progress=told.append) as publishing:
        publishing.item("sh010").create("Note", {"subject": "a", "project": project})
    assert [now.steps_done for now in told] == [1]


# One thumbnail for several


def test_upload_thumbnails_overlap(executor, sandbox, project, movie):
    """One upload for each entity, all under way at a time, each with the whole file."""
    shot = executor.create("Shot", {"code": "sh010", "project": project})
    task = executor.create("Task", {"content": "comp", "project": project}).result()
    published = executor.create("PublishedFile", {"code": "a", "project": project})
    sandbox.hold("storage_put")
    futures = executor.upload_thumbnails([published, shot, task], movie)
    sandbox.wait_for(3, "storage_put")
    sandbox.resume()
    ids = [future.result(LONG) for future in futures]
    assert len(set(ids)) == 3
    puts = [r.bytes_received for r in sandbox.requests if r.method == "storage_put"]
    assert puts == [1_000_000] * 3
    links = [r.arguments for r in sandbox.requests if r.method == "api_link_file"]
    assert {(link["entity_type"], int(link["entity_id"])) for link in links} == {
        ("PublishedFile", published.result()["id"]),
        ("Shot", shot.result()["id"]),
        ("Task", task["id"]),
    }


def test_upload_thumbnails_of_an_item_are_steps(executor, project, movie, report):
    """In a publish each has a name of its own, and is not repeated."""
    for _ in range(2):
        with executor.publishing(report, resume=True) as publishing:
            item = publishing.item("sh010")
            shot = item.create("Shot", {"code": "sh010", "project": project})
            item.upload_thumbnails([shot, {"type": "Project", "id": project["id"]}], movie)
    assert list(publishing.report["sh010"].steps) == [
        "create Shot",
        "upload_thumbnail Shot",
        "upload_thumbnail Project",
    ]
    assert all(step.resumed for step in publishing.report["sh010"].steps.values())


def test_upload_thumbnails_refuses_what_is_no_entity():
    """Before the first is sent."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        with pytest.raises(TypeError, match="must have type and id"):
            executor.upload_thumbnails([{"type": "Shot", "id": 1}, 12], "a.jpg")


def test_upload_takes_a_future_for_its_entity(executor, project, movie):
    """The result of a create is the entity of an upload, without waiting for it."""
    version = executor.create("Version", {"code": "v001", "project": project})
    number = executor.upload("Version", version, str(movie), field_name="sg_uploaded_movie")
    number.result(LONG)
    found = executor.find_one(
        "Version", [["id", "is", version.result()["id"]]], ["sg_uploaded_movie"]
    )
    assert number.result() == found.result()["sg_uploaded_movie"]["id"]


def test_publishing_cancelled_step_is_reported(sandbox, project, movie):
    """Cancelling a future cancels its step and what needs it."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        executor.connect()
        sandbox.hold("create")
        with executor.publishing() as publishing:
            first = publishing.item("sh010").create("Note", {"subject": "a", "project": project})
            sandbox.wait_for(1, "create")
            version, upload, _ = publish(publishing.item("sh020"), project, movie)
            assert version.cancel()
            sandbox.resume()
        assert first.result()["type"] == "Note"
    assert set(states(publishing)["sh020"].values()) == {"cancelled"}
    with pytest.raises(concurrent.futures.CancelledError):
        upload.result()
