"""Reads that share a request, and lookups that are gathered: results, fences, cancelling, ends."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import random
import threading
import weakref

import pytest
from shotgun_api3 import Fault, Shotgun

from shotgun_executor import DeadlineExceeded, Retries, ShotgunExecutor, joint, wait
from shotgun_executor.asked import frozen
from tests.support import LONG, Gate, in_thread, wait_until

FIELDS = ["code", "sg_status_list"]


@pytest.fixture
def official(sandbox):
    """The official client."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    yield sg
    sg.close()


@pytest.fixture
def shots(official):
    """The ids of forty Shots; the last five are retired."""
    project = official.create("Project", {"name": "The Lantern Sea"})
    requests = [
        {
            "request_type": "create",
            "entity_type": "Shot",
            "data": {"code": f"sh{number:03}", "project": project},
        }
        for number in range(40)
    ]
    ids = [shot["id"] for shot in official.batch(requests)]
    for number in ids[-5:]:
        official.delete("Shot", number)
    return ids


def make(sandbox, **settings):
    executor = ShotgunExecutor(sandbox.url, **sandbox.credentials, **settings)
    assert executor.server_info  # asked for now, and in no count below
    return executor


@contextlib.contextmanager
def made(sandbox, **settings):
    """An executor for a test, which may fail while requests are held."""
    with make(sandbox, **settings) as executor:
        try:
            yield executor
        finally:
            sandbox.resume()


@pytest.fixture(params=[{"share_reads": True}, {"share_reads": True, "gather_reads": True}])
def sharing(request, sandbox):
    """An executor that shares reads, without and with gathering."""
    with made(sandbox, **request.param) as executor:
        yield executor


@pytest.fixture
def gathering(sandbox):
    """An executor that gathers lookups."""
    with made(sandbox, gather_reads=True) as executor:
        yield executor


@pytest.fixture
def patient(monkeypatch):
    """Lookups wait for others until they are flushed, however slow the machine is."""
    monkeypatch.setattr(joint, "MAX_WAIT", 3600.0)


def reads(sandbox):
    return [request for request in sandbox.requests if request.method == "read"]


def ids_asked(request):
    """The ids that a read asks for, if it asks for several."""
    conditions = request.arguments["filters"]["conditions"]
    return [value for each in conditions if each["relation"] == "in" for value in each["values"]]


def by_id(number, *more):
    return [["id", "is", number], *more]


# Sharing


def test_identical_reads_share_a_request(sandbox, shots, sharing, official):
    """Callers that ask for the same while it is under way get it by one request, each a copy."""
    expected = official.find_one("Shot", by_id(shots[0]), FIELDS)
    before = len(reads(sandbox))
    sandbox.hold("read")
    futures = [sharing.find_one("Shot", by_id(shots[0]), FIELDS) for _ in range(10)]
    sandbox.wait_for(1, "read")
    futures += [sharing.find_one("Shot", by_id(shots[0]), FIELDS) for _ in range(10)]
    threads = [
        in_thread(lambda: sharing.shotgun.find_one("Shot", by_id(shots[0]), FIELDS))
        for _ in range(4)
    ]
    wait_until(lambda: len(sharing._dispatch._promised.get(sharing._reads, ())) == 24)
    sandbox.resume()
    results = [future.result(LONG) for future in futures] + [join() for join in threads]
    assert all(result == expected for result in results)
    assert len({id(result) for result in results}) == len(results)
    assert len(reads(sandbox)) == before + 1


def test_deep_copies(sandbox, shots, sharing):
    """What one caller does to its result, the others do not see: links and lists in it too."""
    sandbox.hold("read")
    first, second = (sharing.find("Shot", [], ["project"]) for _ in range(2))
    sandbox.resume()
    first.result(LONG)[0]["project"]["name"] = "changed"
    first.result().pop()
    assert second.result(LONG)[0]["project"]["name"] == "The Lantern Sea"
    assert len(second.result()) == 35


@pytest.mark.parametrize(
    "other",
    [
        {"fields": ["code"]},
        {"order": [{"field_name": "code", "direction": "desc"}]},
        {"retired_only": True},
        {"filter_operator": "any"},
        {"filters": [["sg_cut_in", "is", True]]},
        {"filters": [["sg_cut_in", "is", 1.0]]},
    ],
)
def test_other_questions_are_not_shared(sandbox, shots, sharing, other):
    """A request is shared only by those who ask for exactly the same."""
    question = {"filters": [["sg_cut_in", "is", 1]], "fields": FIELDS}
    sandbox.hold("read")
    sharing.find("Shot", **question)
    sharing.find("Shot", **{**question, **other})
    sandbox.wait_for(2, "read")
    sandbox.resume()


def test_other_options_are_not_shared(sandbox, shots, sharing):
    """Priority, retries and limits of time are those of each caller; so it has its own request."""
    sandbox.hold("read")
    sharing.find("Shot", [])
    sharing.options(priority=1).find("Shot", [])
    sandbox.wait_for(2, "read")
    sandbox.resume()


def test_other_settings_are_not_shared(sandbox, shots, sharing):
    """Who asks after a setting was changed gets nothing that was asked for before."""
    sandbox.hold("read")
    sharing.find("Shot", [])
    sharing.find("Shot", [])
    sandbox.wait_for(1, "read")
    sharing.config.timeout_secs = 50
    sharing.find("Shot", [])
    sandbox.wait_for(2, "read")
    sandbox.resume()


def test_nothing_is_shared_unless_wanted(sandbox, shots, executor):
    """Without the setting each call is a request."""
    sandbox.hold("read")
    for _ in range(3):
        executor.find_one("Shot", by_id(shots[0]))
    sandbox.wait_for(3, "read")
    sandbox.resume()


def test_what_is_done_is_not_shared(sandbox, shots, sharing):
    """A read that comes when the answer is there asks anew: it is no cache."""
    before = len(reads(sandbox))
    for _ in range(3):
        sharing.find("Shot", []).result(LONG)
    assert len(reads(sandbox)) == before + 3


def test_own_find_of_a_subclass_is_not_shared(sandbox, shots):
    """What a class of the user does in its own way is called for each."""
    calls = []

    class Studio(Shotgun):
        def find(self, *args, **kwargs):
            calls.append(args)
            return super().find(*args, **kwargs)

    sg = Studio(sandbox.url, **sandbox.credentials)
    with ShotgunExecutor(sg, share_reads=True, gather_reads=True) as executor:
        wait([executor.find_one("Shot", by_id(shots[0])) for _ in range(3)], LONG)
    sg.close()
    assert len(calls) == 3


# Fences

WRITES = {
    "a method": lambda executor, shot: executor.update("Shot", shot, {"description": "new"}),
    "the facade": lambda executor, shot: executor.shotgun.update(
        "Shot", shot, {"description": "new"}
    ),
    "a batch": lambda executor, shot: executor.batching().update(
        "Shot", shot, {"description": "new"}
    ),
    "the facade on a worker": lambda executor, shot: executor.submit(
        executor.shotgun.update, "Shot", shot, {"description": "new"}
    ).result(LONG),
    "the client of a function": lambda executor, shot: executor.call(
        lambda sg: sg.update("Shot", shot, {"description": "new"})
    ).result(LONG),
}


@pytest.mark.parametrize("way", list(WRITES))
def test_a_write_is_a_fence(sandbox, shots, sharing, way):
    """A read that is submitted after a write gets nothing that was asked for before it."""
    sandbox.hold("read")
    old = sharing.find_one("Shot", by_id(shots[0]), ["description"])
    sandbox.wait_for(1, "read")
    written = WRITES[way](sharing, shots[0])
    if isinstance(written, concurrent.futures.Future):
        written.result(LONG)  # its end is a fence too, and is not to come between the next two
    new = sharing.find_one("Shot", by_id(shots[0]), ["description"])
    also = sharing.find_one("Shot", by_id(shots[0]), ["description"])
    sandbox.wait_for(2, "read")
    sandbox.resume()
    wait([old, new, also], LONG)
    assert sandbox.counters().requests["read"] == 2


def test_a_write_is_a_fence_from_its_submission(sandbox, shots, sharing):
    """Nobody has to wait for the write."""
    sandbox.hold("read")
    sandbox.hold("update")
    old = sharing.find_one("Shot", by_id(shots[0]), ["description"])
    sandbox.wait_for(1, "read")
    write = sharing.update("Shot", shots[0], {"description": "new"})
    new = sharing.find_one("Shot", by_id(shots[0]), ["description"])
    sandbox.wait_for(2, "read")
    sandbox.resume()
    assert not wait([old, write, new], LONG).not_done


def test_the_end_of_a_write_is_a_fence(sandbox, shots, sharing):
    """What was asked for while a write was under way is not shared when that has ended."""
    sandbox.hold("read")
    sandbox.hold("update")
    write = sharing.update("Shot", shots[0], {"description": "new"})
    sandbox.wait_for(1, "update")
    sharing.find_one("Shot", by_id(shots[0]), ["description"])
    sandbox.wait_for(1, "read")
    sandbox.resume("update")
    write.result(LONG)
    new = sharing.find_one("Shot", by_id(shots[0]), ["description"])
    sandbox.wait_for(2, "read")
    sandbox.resume()
    assert new.result(LONG)["description"] == "new"


@pytest.mark.parametrize("seed", range(3))
def test_each_thread_reads_what_it_has_written(sandbox, shots, sharing, seed):
    """Under load: who reads after its write sees it, or a later one, never an earlier state."""

    def work(number):
        dice = random.Random(seed * 100 + number)
        sg = sharing.shotgun
        for step in range(1, 9):
            if dice.random() < 0.5:
                sg.update("Shot", shots[number], {"sg_cut_in": step})
            else:
                sharing.update("Shot", shots[number], {"sg_cut_in": step}).result(LONG)
            found = sharing.find("Shot", [["id", "in", shots[:6]]], ["sg_cut_in"]).result(LONG)
            assert found[number]["sg_cut_in"] == step
            assert sg.find_one("Shot", by_id(shots[number]), ["sg_cut_in"])["sg_cut_in"] == step

    for join in [in_thread(lambda number=number: work(number)) for number in range(6)]:
        join()


# Cancelling, deadlines, failures


def test_cancelling_one_leaves_the_others(sandbox, shots, sharing):
    """A caller that cancels is told so at once; the others get their answer."""
    sandbox.hold("read")
    first, second, third = (sharing.find("Shot", []) for _ in range(3))
    sandbox.wait_for(1, "read")
    assert first.cancel()
    assert second.cancel(abort=True)
    assert first.cancelled()
    assert wait([first, second], LONG).not_done == set()
    sandbox.resume()
    assert len(third.result(LONG)) == 35
    assert sandbox.counters().requests["read"] == 1


def test_the_last_one_gives_the_request_up(sandbox, shots, sharing):
    """When nobody wants it any more, the request ends where it is, and its worker is free."""
    sandbox.hold("read")
    futures = [sharing.find("Shot", []) for _ in range(3)]
    sandbox.wait_for(1, "read")
    for future in futures:
        assert future.cancel()
    wait_until(lambda: sharing.stats().running == 0)
    again = sharing.find("Shot", [])
    sandbox.resume()
    assert len(again.result(LONG)) == 35


def test_deadlines_are_those_of_each(sandbox, shots, sharing):
    """One that is in a hurry fails in time, and the patient one gets the answer it shared."""
    sandbox.hold("read")
    patient = sharing.options(deadline=LONG).find("Shot", [])
    hasty = sharing.options(deadline=0.05).find("Shot", [])
    with pytest.raises(DeadlineExceeded, match=r"find Shot did not end within 0\.05 s"):
        hasty.result(LONG)
    assert not patient.done()
    sandbox.resume()
    assert len(patient.result(LONG)) == 35
    assert sandbox.counters().requests["read"] == 1


def test_deadline_of_a_wait_on_a_worker(sandbox, shots, sharing):
    """A worker that waits for its hasty read is free in time, though others wait on."""
    sandbox.hold("read")
    patient = sharing.find("Shot", [])
    sandbox.wait_for(1, "read")

    def hurry():
        return type(sharing.options(deadline=0.05).find("Shot", []).exception())

    assert sharing.submit(hurry).result(LONG) is DeadlineExceeded
    assert not patient.done()
    sandbox.resume()
    patient.result(LONG)


def test_each_has_an_error_of_its_own(sandbox, shots, sharing):
    """The failure of a shared request is told to each, with the line that submitted its call."""
    sandbox.hold("read")
    first = sharing.find("Shot", [["no_such_field", "is", 1]])
    second = sharing.find("Shot", [["no_such_field", "is", 1]])
    sandbox.resume()
    errors = [first.exception(LONG), second.exception(LONG)]
    assert [type(error) for error in errors] == [Fault, Fault]
    assert str(errors[0]) == str(errors[1])
    assert errors[0] is not errors[1]
    notes = [error.__notes__ for error in errors]
    assert notes[0] != notes[1]
    assert all(len(each) == 1 and "test_shared_reads.py" in each[0] for each in notes)


def test_reads_are_repeated_once_for_all(sandbox, shots):
    """A failure that passes is passed over for all of them, by one request more."""
    with made(sandbox, share_reads=True, retries=Retries(3, first_wait=0.001)) as executor:
        sandbox.hold("read")
        futures = [executor.find("Shot", []) for _ in range(5)]
        sandbox.wait_for(1, "read")
        sandbox.fail_next("read", status=503)
        sandbox.resume()
        assert [len(future.result(LONG)) for future in futures] == [35] * 5
    assert sandbox.counters().requests["read"] <= 2


# Gathering


def lookups(seed, shots):
    """Lookups by id of all kinds, some of which find nothing, or are refused."""
    dice = random.Random(seed)
    for _ in range(60):
        number = dice.choice([*shots, 10**6, shots[0]])
        more = dice.choice([[], [["code", "starts_with", "sh00"]], [["no_such_field", "is", 1]]])
        keywords = dice.choice(
            [{}, {}, {"retired_only": True}, {"include_archived_projects": False}]
        )
        fields = dice.choice([None, FIELDS, [*FIELDS, "project"], ["project.Project.name"]])
        filters = dice.choice([[["id", "is", number], *more], (*more, ("id", "is", number))])
        yield ("find_one", ("Shot", filters, fields), keywords)
        if dice.random() < 0.2:
            yield ("find", ("Shot", filters, fields), {"limit": 1, **keywords})


def outcome(future):
    error = future.exception(LONG)
    if error is not None:
        return type(error), str(error)
    return repr(future.result())


def single(sg, name, args, kwargs):
    future = concurrent.futures.Future()
    try:
        future.set_result(getattr(sg, name)(*args, **kwargs))
    except Exception as error:
        future.set_exception(error)
    return outcome(future)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_gathered_lookups_return_what_single_ones_do(sandbox, shots, official, seed, share):
    """To the order of the keys: what the official client returns or raises for each call."""
    calls = list(lookups(seed, shots))
    expected = [single(official, *call) for call in calls]
    before = len(reads(sandbox))
    with made(sandbox, gather_reads=True, share_reads=share) as executor:
        futures = [getattr(executor, name)(*args, **kwargs) for name, args, kwargs in calls]
        assert [outcome(future) for future in futures] == expected
    assert len(reads(sandbox)) - before < len(calls)


def test_lookups_are_gathered(sandbox, shots, gathering, patient):
    """Lookups that are made together are one request, in which no id is twice."""
    before = len(reads(sandbox))
    futures = [gathering.find_one("Shot", by_id(number), FIELDS) for number in (*shots, *shots)]
    gathering._reads.flush()
    found = [future.result(LONG) for future in futures]
    assert [shot and shot["id"] for shot in found] == [*shots[:-5], *[None] * 5] * 2
    assert len({id(shot) for shot in found if shot}) == 70
    (request,) = reads(sandbox)[before:]
    assert ids_asked(request) == shots


def test_a_lookup_alone_is_the_single_call(sandbox, shots, gathering, official):
    """If there are no others, the request is the one that the official client sends."""
    official.find_one("Shot", by_id(shots[0]), FIELDS)
    gathering.find_one("Shot", by_id(shots[0]), FIELDS).result(LONG)
    *_, theirs, ours = reads(sandbox)
    assert ours.arguments == theirs.arguments


def test_so_many_are_one_request(sandbox, gathering, patient):
    """Five hundred ids are enough; the others are another request."""
    futures = [gathering.find_one("Shot", by_id(number)) for number in range(1, 1001)]
    wait(futures, LONG)
    assert sorted(len(ids_asked(request)) for request in reads(sandbox)) == [500, 500]


def test_gathered_from_many_threads(sandbox, shots, gathering, monkeypatch):
    """Threads that use the facade at the same time share requests too."""
    monkeypatch.setattr(joint, "MAX_WAIT", 0.5)
    sg = gathering.shotgun
    barrier = threading.Barrier(30)

    def work(number):
        barrier.wait(LONG)
        return sg.find_one("Shot", by_id(number), FIELDS)["id"]

    before = len(reads(sandbox))
    joins = [in_thread(lambda number=number: work(number)) for number in shots[:30]]
    assert [join() for join in joins] == shots[:30]
    assert len(reads(sandbox)) - before < 15


@pytest.mark.parametrize("workers", [1, 3])
def test_gathered_on_workers(sandbox, shots, workers):
    """Workers that wait for lookups make them; those that are at work at a time are gathered."""
    with made(sandbox, gather_reads=True, share_reads=True, max_workers=workers) as executor:
        sg = executor.shotgun
        before = len(reads(sandbox))
        found = list(executor.map(lambda number: sg.find_one("Shot", by_id(number)), shots))
        assert [shot and shot["id"] for shot in found] == [*shots[:-5], *[None] * 5]
        assert len(reads(sandbox)) - before <= len(shots)


def test_a_refused_gathering_is_made_one_by_one(sandbox, shots, gathering, patient):
    """What the site refuses as a whole fails none whose own call succeeds."""
    fault = '{"exception": true, "message": "too many", "error_code": 103}'
    sandbox.fail_next("read", status=200, body=fault, headers={"Content-Type": "application/json"})
    futures = [gathering.find_one("Shot", by_id(number), FIELDS) for number in shots[:5]]
    gathering._reads.flush()
    assert [future.result(LONG)["id"] for future in futures] == shots[:5]
    assert sandbox.counters().requests["read"] == 6


def test_faults_of_gathered_lookups_are_their_own(sandbox, shots, gathering):
    """If the single calls are refused too, each has its own error, with its own line."""
    futures = [
        gathering.find_one("Shot", by_id(number, ["no_such_field", "is", 1]))
        for number in shots[:3]
    ]
    errors = [future.exception(LONG) for future in futures]
    assert [type(error) for error in errors] == [Fault] * 3
    assert len({id(error) for error in errors}) == 3
    assert all(len(error.__notes__) == 1 for error in errors)


def test_cancelled_lookups_are_not_asked_for(sandbox, shots, gathering, patient):
    """Who cancels while lookups are gathered is not among them; if all do, nothing is sent."""
    before = len(reads(sandbox))
    one, two, three = (gathering.find_one("Shot", by_id(number)) for number in shots[:3])
    assert two.cancel()
    gathering._reads.flush()
    assert one.result(LONG)["id"] == shots[0]
    assert three.result(LONG)["id"] == shots[2]
    (request,) = reads(sandbox)[before:]
    assert ids_asked(request) == [shots[0], shots[2]]
    assert gathering.find_one("Shot", by_id(shots[0])).cancel()
    gathering._reads.flush()
    assert len(reads(sandbox)) == before + 1


def test_not_gathered(sandbox, shots, gathering):
    """What is no lookup by one id is a call of its own."""
    before = len(reads(sandbox))
    calls = [
        lambda: gathering.find_one("Shot", by_id(shots[0]), filter_operator="any"),
        lambda: gathering.find_one("Shot", [["id", "in", shots[:2]]]),
        lambda: gathering.find_one("Shot", [["id", "is_not", shots[0]]]),
        lambda: gathering.find("Shot", by_id(shots[0]), limit=2),
        lambda: gathering.find("Shot", by_id(shots[0]), limit=1, page=2),
        lambda: gathering.find_one("Shot", {"logical_operator": "and", "conditions": []}),
        lambda: gathering.find_one("Shot", by_id(True)),
    ]
    futures = [call() for call in calls for _ in range(2)]
    assert wait(futures, LONG).not_done == set()
    assert len(reads(sandbox)) - before >= 2 * len(calls) - 2  # the site is not asked for True


def test_pages_smaller_than_what_is_gathered(official):
    """A site with small pages answers all the same."""
    from shotgun_executor.sandbox import Sandbox

    with Sandbox(api_max_entities_per_page=3) as site, made(site, gather_reads=True) as executor:
        project = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
        shots = [executor.create("Shot", {"code": f"{n}", "project": project}) for n in range(8)]
        ids = [shot.result(LONG)["id"] for shot in shots]
        found = [executor.find_one("Shot", by_id(number)) for number in ids]
        assert [future.result(LONG)["id"] for future in found] == ids


# The end


@pytest.mark.parametrize("settings", [{"share_reads": True}, {"gather_reads": True}])
def test_shutdown_makes_what_was_accepted(sandbox, shots, settings):
    """A shutdown sends what is being gathered, and returns when all have their answers."""
    executor = make(sandbox, **settings)
    futures = [executor.find_one("Shot", by_id(number)) for number in (*shots[:5], *shots[:5])]
    executor.shutdown()
    assert all(future.done() for future in futures)
    assert [future.result()["id"] for future in futures] == shots[:5] * 2
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.find_one("Shot", by_id(shots[0]))


@pytest.mark.parametrize("settings", [{"share_reads": True}, {"gather_reads": True}])
def test_shutdown_cancels_what_was_not_begun(sandbox, shots, settings):
    """What no worker has begun is cancelled for each who waits for it."""
    executor = make(sandbox, max_workers=1, **settings)
    gate = Gate()
    executor.submit(gate)
    gate.wait_for(1)
    futures = [executor.find_one("Shot", by_id(shots[0])) for _ in range(4)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert wait(futures, LONG).not_done == set()
    assert all(future.cancelled() for future in futures)
    gate.open()
    executor.shutdown()


def test_nothing_is_kept(sandbox, shots, sharing):
    """When all is told, nothing of it is left: no reader, no result."""
    futures = [sharing.find_one("Shot", by_id(number)) for number in (*shots, *shots)]
    wait(futures, LONG)
    wait_until(lambda: not sharing._dispatch._promised)
    assert not sharing._reads._joinable
    assert not sharing._reads._open
    assert not sharing._reads._sealed

    left = weakref.ref(futures[0])
    del futures
    gc.collect()
    assert left() is None


def test_an_executor_that_is_dropped_ends(sandbox, shots):
    """Sharing does not keep an executor alive that nobody uses any more."""
    executor = make(sandbox, share_reads=True, gather_reads=True)
    executor.find_one("Shot", by_id(shots[0])).result(LONG)
    gone = weakref.ref(executor)
    del executor
    wait_until(lambda: gone() is None)


def test_futures_are_arguments_and_can_be_awaited(sandbox, shots, gathering):
    """A gathered lookup is a future like any other."""
    import asyncio

    shot = gathering.find_one("Shot", by_id(shots[0]), ["project"])
    version = gathering.create("Version", {"code": "v1", "entity": shot, "project": None})
    assert isinstance(version.exception(LONG), (Fault, type(None)))

    async def both():
        return await asyncio.gather(
            *(gathering.find_one("Shot", by_id(number)) for number in shots[:2])
        )

    assert [found["id"] for found in asyncio.run(both())] == shots[:2]


def test_keys_tell_what_is_sent():
    """Values that are equal in Python and not on the wire are told apart; objects are refused."""
    assert frozen([1, {"a": (2,)}]) == frozen((1, {"a": [2]}))
    assert len({frozen(value) for value in (1, True, 1.0, "1")}) == 4
    with pytest.raises(TypeError):
        frozen({"a": object()})
