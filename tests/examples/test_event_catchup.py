"""event_catchup.py: each event once, in order; and no more is asked for than there is."""

from __future__ import annotations

import contextlib
import datetime

import pytest

PAGE = 500


@pytest.fixture
def events(executor):
    """Make so many events; the ids of all that there are."""
    project = executor.create("Project", {"name": "The Lantern Sea"}).result()

    def events(count):
        data = {"code": "sh010", "project": project}
        batches = []
        for at in range(0, count, 500):
            request = {"request_type": "create", "entity_type": "Shot", "data": data}
            batches.append(executor.batch([request] * min(500, count - at)))
        for batch in batches:
            batch.result()
        return [event["id"] for event in executor.find("EventLogEntry", []).result()]

    return events


@pytest.fixture
def catch_up(run, tmp_path):
    """Run the program: how it ended, and the ids that it has printed."""

    def catch_up(*arguments):
        ran = run("event_catchup", "--state", tmp_path / "state", *arguments)
        return ran, [int(line.split()[0]) for line in ran.out.splitlines()]

    return catch_up


@pytest.mark.parametrize("count", [2_300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_every_event_comes_once_in_order(catch_up, sandbox, events, count):
    """None is lost or comes twice; reading ahead ends at the head of the log."""
    ids = events(count)
    assert len(ids) > count
    before = sandbox.counters().requests["read"]
    ran, seen = catch_up("--after", "100")
    assert ran.code == 0, ran.err
    assert seen == [number for number in ids if number > 100]
    pages = -(-len(seen) // PAGE)
    assert pages <= sandbox.counters().requests["read"] - before < pages + 4
    assert f"{len(seen):,} events up to {ids[-1]}, 0 ids missing" in ran.err


def test_another_run_goes_on(catch_up, events, tmp_path):
    """The id in the file is that of the last event; nothing comes twice over two runs."""
    first = catch_up()[1]
    ids = events(10)
    assert first + catch_up()[1] == ids
    assert (tmp_path / "state").read_text() == f"{ids[-1]}\n"
    assert catch_up()[1] == []


def test_at_the_head_it_polls(catch_up, load, sandbox, events, monkeypatch):
    """After each pause it asks once, and has what is new; Ctrl-C is its end."""
    pauses, reads = [], []

    def sleep(seconds):
        pauses.append(seconds)
        reads.append(sandbox.counters().requests["read"])
        if len(pauses) == 4:
            raise KeyboardInterrupt
        if len(pauses) == 2:
            events(3)

    events(5)
    monkeypatch.setattr(load("event_catchup").time, "sleep", sleep)
    ran, seen = catch_up("--follow")
    assert ran.code == 0
    assert seen == events(0)
    assert pauses == [5, 5, 5, 5]
    assert [later - earlier for earlier, later in zip(reads, reads[1:])] == [1, 2, 1]  # one is ours


class _Log:
    """An executor with a log that has gaps."""

    def __init__(self):
        self.ids, self.age = [], 0

    def find_iter(self, *args, after_id, **kwargs):
        created = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(
            seconds=self.age
        )
        fields = {"created_at": created, "event_type": "Shotgun_Shot_New", "entity": None}
        return contextlib.nullcontext(
            [{"id": number, **fields} for number in sorted(self.ids) if number > after_id]
        )


def test_an_event_that_is_late_is_not_lost(load, capsys):
    """What comes behind a gap waits, and is handled in order when the gap was filled."""
    log = _Log()
    follower = load("event_catchup").Follower(log, 10, settle=30)
    log.ids = [11, 13, 14]
    follower.catch_up()
    assert (follower.last_id, follower.gaps) == (11, [])
    log.ids = [11, 12, 13, 14]
    follower.catch_up()
    assert (follower.last_id, follower.gaps) == (14, [])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "11",
        "12",
        "13",
        "14",
    ]


def test_old_gaps_are_listed(load, capsys):
    """An id that is missing for long is a gap, which is printed; the events behind it come."""
    log = _Log()
    follower = load("event_catchup").Follower(log, 10, settle=30)
    log.ids, log.age = [11, 14, 15, 17], 60
    follower.catch_up()
    assert (follower.last_id, follower.gaps) == (17, [(12, 13), (16, 16)])
    captured = capsys.readouterr()
    assert captured.err == "missing: 12 to 13\nmissing: 16 to 16\n"
    assert len(captured.out.splitlines()) == follower.count == 4


def test_a_bad_state_is_named(run, tmp_path):
    """A file that holds no id is an error that names it."""
    (tmp_path / "state").write_text("nonsense")
    ran = run("event_catchup", "--state", tmp_path / "state")
    assert ran.code == 1
    assert f"there is no id in {tmp_path / 'state'}" in ran.err


@pytest.mark.slow
def test_it_runs_as_it_is(alone, tmp_path, monkeypatch):
    """Without arguments and environment it has the events of changes that it has made."""
    monkeypatch.chdir(tmp_path)
    done = alone("event_catchup")
    assert done.code == 0, done.err
    assert "Shotgun_Shot_Change Shot LS002_0200" in done.out
    assert (tmp_path / "event_catchup.id").exists()
