"""Writes that are gathered: their results, their order, and what becomes of them when it breaks."""

from __future__ import annotations

import concurrent.futures
import datetime
import itertools
import random
import subprocess
import sys
import textwrap
import threading

import pytest
from shotgun_api3 import AuthenticationFault, Fault, ProtocolError, Shotgun

from shotgun_executor import (
    DeadlineExceeded,
    DependencyError,
    Retries,
    ShotgunExecutor,
    ShutdownError,
    TooManyCalls,
    outcome_unknown,
)
from shotgun_executor.batching import Batching
from shotgun_executor.carrier import halves
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread, wait_until
from tests.test_interrupts import each_step, interrupted_at

QUICK = Retries(3, first_wait=0.001)
NEVER = 3600.0
"""A wait for others that no test sees the end of."""


@pytest.fixture
def project(sandbox):
    """The project that everything is in."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    sg.close()
    return project


def make_shots(executor, project, count):
    requests = [
        {
            "request_type": "create",
            "entity_type": "Shot",
            "data": {"code": f"sh{number:04}", "project": project},
        }
        for number in range(count)
    ]
    return [shot["id"] for shot in executor.batch(requests).result(LONG)]


def batches(sandbox):
    """How many requests each batch on the site had."""
    return [len(call.arguments) for call in sandbox.requests if call.method == "batch"]


def outcome(future):
    """What a future has, to be compared: its result, or the class and text of its error."""
    error = future.exception(LONG)
    return future.result() if error is None else (type(error), str(error))


# What comes back


def random_calls(seed, shots, project):
    """Calls of all kinds, good and bad, on entities that are there or not.

    None depends on what another one does to another entity.
    """
    dice = random.Random(seed)
    targets, shots = shots[:5], shots[5:]
    for number in range(120):
        shot = dice.choice(shots)
        yield dice.choice(
            [
                ("update", ("Shot", shot, {"sg_cut_in": number}), {}),
                (
                    "update",
                    ("Shot", shot, {"code": f"<{number}>", "description": "é\U0001f3ac"}),
                    {},
                ),
                ("update", ("Shot", shot, {}), {}),
                ("update", ("Shot", shot, {"image": None}), {}),
                ("update", ("Shot", shot, {"sg_status_list": "nonsense"}), {}),
                ("update", ("Shot", shot, {"no_such_field": number}), {}),
                ("update", ("Shot", 10**6 + number, {"sg_cut_in": 1}), {}),
                ("update", ("Shot", shot, {"sg_cut_in": object()}), {}),
                ("update", ("Nonsense", shot, {"code": "x"}), {}),
                (
                    "update",
                    ("Shot", shot, {"shots": [{"type": "Shot", "id": dice.choice(targets)}]}),
                    {"multi_entity_update_modes": {"shots": dice.choice(["add", "remove", "set"])}},
                ),
                ("delete", ("Shot", shot), {}),
                ("delete", ("Shot", 10**6 + number), {}),
                ("delete", (), {"entity_type": "Shot", "entity_id": shot}),
                ("create", ("Shot", {"description": "no project"}), {}),
                ("create", ("Note", {"subject": "x", "project": project, "sg_x": 1}), {}),
            ]
        )


def random_creates(seed, project):
    """Calls that make entities, none of which fails."""
    dice = random.Random(seed)
    when = datetime.datetime(2024, 5, 17, 12, 30, tzinfo=datetime.timezone.utc)
    for number in range(60):
        data = {"code": f"sh{number}", "project": project}
        extra = {"description": "a < b", "sg_cut_in": number, "sg_status_list": "ip"}
        data.update(dice.sample(sorted(extra.items()), dice.randint(0, 3)))
        fields = dice.choice([None, [], ["code", "sg_cut_in"], ["project.Project.name", "image"]])
        yield ("create", ("Shot", data), {"return_fields": fields})
        yield (
            "create",
            ("Version", {"code": "v", "project": project, "created_at": when}),
            {},
        )


def single_outcome(sg, name, args, kwargs):
    future = concurrent.futures.Future()
    try:
        future.set_result(getattr(sg, name)(*args, **kwargs))
    except Exception as error:
        future.set_exception(error)
    return outcome(future)


@pytest.mark.parametrize("seed", range(4))
def test_results_are_those_of_single_calls(sandbox, seed):
    """Each call returns or raises exactly what the official client returns or raises for it."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    created = [single_outcome(sg, *call) for call in random_creates(seed, project)]
    ids = [record["id"] for record in created if record["type"] == "Shot"]
    calls = list(random_calls(seed, ids, project))
    expected = [single_outcome(sg, *call) for call in calls]
    left = sg.find("Shot", [], ["code", "description", "sg_cut_in", "shots"])
    sandbox.clear()
    assert sg.create("Project", {"name": "The Lantern Sea"}) == project
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        with executor.batching(max_requests=13) as batch:
            futures = [
                getattr(batch, name)(*args, **kwargs)
                for name, args, kwargs in random_creates(seed, project)
            ]
        assert [outcome(future) for future in futures] == created
        with executor.batching(max_requests=13) as batch:
            futures = [getattr(batch, name)(*args, **kwargs) for name, args, kwargs in calls]
        assert [outcome(future) for future in futures] == expected
    assert sg.find("Shot", [], ["code", "description", "sg_cut_in", "shots"]) == left
    sg.close()


def test_arguments_are_checked_and_copied_at_the_door(sandbox, executor, project):
    """A wrong argument raises at once; what the caller changes later is not sent."""
    with executor.batching() as batch:
        with pytest.raises(TypeError, match=r"create\(\) .*data"):
            batch.create("Shot", dataa={})
        data = {"code": "as it was", "project": dict(project)}
        future = batch.create("Shot", data)
        data["code"] = data["project"]["id"] = "changed"
        assert future.result(LONG)["code"] == "as it was"
    with pytest.raises(ValueError, match="max_requests must be at least 1"):
        executor.batching(max_requests=0)
    with pytest.raises(ValueError, match="max_wait must not be negative"):
        executor.batching(max_wait=-1)


def test_class_of_the_user_is_asked(sandbox, project):
    """A method that the client's class overrides is called, not passed by; from a factory too."""

    class Studio(Shotgun):
        def create(self, entity_type, data, return_fields=None):
            return super().create(entity_type, {**data, "description": "ours"}, return_fields)

    def connect():
        return Studio(sandbox.url, **sandbox.credentials, connect=False)

    for arguments in ({"base_url": connect()}, {"factory": connect}):
        with ShotgunExecutor(**arguments) as executor:
            with executor.batching() as batch:
                futures = [
                    batch.create("Shot", {"code": str(number), "project": project})
                    for number in range(3)
                ]
            assert [future.result()["description"] for future in futures] == ["ours"] * 3


def test_uploads_go_as_single_calls(sandbox, executor, project, tmp_path):
    """A create with an image uploads it, which no batch does."""
    image = tmp_path / "a.png"
    image.write_bytes(b"PNG")
    with executor.batching() as batch:
        version = batch.create("Version", {"code": "v", "project": project, "image": str(image)})
    assert version.result()["image"]
    assert "batch" not in sandbox.counters().requests


# How they are gathered


def test_many_updates_are_few_requests(sandbox, executor, project):
    """1,000 updates of single rows are sent as ten batches of a hundred."""
    shots = make_shots(executor, project, 1000)
    before = sandbox.counters()
    with executor.batching(max_wait=NEVER) as batch:
        futures = [batch.update("Shot", shot, {"sg_cut_in": shot}) for shot in shots]
    assert [future.result()["sg_cut_in"] for future in futures] == shots
    after = sandbox.counters()
    assert after.requests["batch"] - before.requests["batch"] == 10
    assert after.writes - before.writes == 1000
    assert after.total - before.total == 10


def test_batches_are_bounded_by_bytes(sandbox, executor, project):
    """No batch is larger than max_bytes, unless it is one call."""
    shots = make_shots(executor, project, 12)
    before = len(batches(sandbox))
    sizes = [100, 100, 100, 5000, 100, 900, 900, 100, 100, 100, 100, 100]
    with executor.batching(max_bytes=1500, max_wait=NEVER) as batch:
        for shot, size in zip(shots, sizes):
            batch.update("Shot", shot, {"description": "x" * size})
    sent = [call.arguments for call in sandbox.requests if call.method == "batch"][before:]
    written = [sum(len(request["fields"][0]["value"]) for request in requests) for requests in sent]
    assert max(written) <= 1500
    assert sum(written) + 5000 == sum(sizes)  # the large one went alone, as an update
    assert sandbox.counters().requests["update"] == 1


def test_short_wait_ends_a_batch(sandbox, executor, project):
    """What was gathered is sent when its first call has waited long enough; nobody flushes."""
    batch = executor.batching(max_wait=0.05)
    futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in range(3)]
    assert [future.result(LONG)["code"] for future in futures] == ["0", "1", "2"]
    assert batches(sandbox) == [3]


def test_waiting_takes_no_worker_and_no_thread(sandbox, project):
    """While calls are gathered, or wait for futures, no worker is at work."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        need = concurrent.futures.Future()
        batch = executor.batching(max_wait=NEVER)
        gathered = batch.create("Shot", {"code": "a", "project": project})
        blocked = batch.create("Shot", {"code": need, "project": project})
        assert executor._dispatch.runners == 0
        assert executor.submit(len, "abc").result(LONG) == 3
        need.set_result("b")
        batch.flush()
        assert [gathered.result(LONG)["code"], blocked.result(LONG)["code"]] == ["a", "b"]
        assert batches(sandbox) == [2]


def test_many_threads_share_a_batch(sandbox, executor, project):
    """Sixteen threads submit at once: each gets its own results, in few requests."""
    shots = make_shots(executor, project, 320)
    before = len(batches(sandbox))
    start = threading.Barrier(16)
    with executor.batching(max_wait=1.0) as batch:

        def submit(number):
            start.wait(LONG)
            mine = shots[number::16]
            futures = [batch.update("Shot", shot, {"sg_cut_in": shot}) for shot in mine]
            assert [future.result(LONG)["id"] for future in futures] == mine

        ends = [in_thread(lambda number=number: submit(number)) for number in range(16)]
        for end in ends:
            end()
    assert sum(batches(sandbox)[before:]) == 320
    assert len(batches(sandbox)[before:]) <= 8


def test_plain_setting_gathers_the_methods_of_the_executor(sandbox, project):
    """With batch_writes=True create, update and delete go in batches, without another word."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, batch_writes=True) as executor:
        shots = [executor.create("Shot", {"code": str(n), "project": project}) for n in range(99)]
        noted = executor.update("Shot", shots[0], {"description": "first"})
        executor.shotgun.update("Shot", shots[1].result(LONG)["id"], {"description": "facade"})
    assert noted.result()["description"] == "first"
    assert sandbox.counters().requests["batch"] <= 3
    assert sandbox.counters().requests["update"] <= 2


def test_options_hold_for_the_batches(sandbox, executor, project):
    """Calls through options() have their options in a batch too."""
    sandbox.fail_next("batch", status=503)
    with executor.options(retries=0).batching() as batch:
        futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in range(2)]
    assert [type(future.exception()) for future in futures] == [ProtocolError] * 2
    assert futures[0].exception() is not futures[1].exception()


# Order


def test_calls_on_one_entity_keep_their_order(sandbox, executor, project):
    """Each entity ends as its last call left it, across batches, failures and workers."""
    shots = make_shots(executor, project, 7)
    dice = random.Random(5)
    last = {}
    with executor.batching(max_requests=5, max_wait=0.001) as batch:
        for number in range(300):
            shot = dice.choice(shots)
            if dice.random() < 0.05:
                batch.update("Shot", shot, {"no_such_field": 1})
            else:
                batch.update("Shot", shot, {"sg_cut_in": number})
                last[shot] = number
    events = executor.find(
        "EventLogEntry", [["event_type", "is", "Shotgun_Shot_Change"]], ["entity", "meta"]
    ).result(LONG)
    for shot in shots:
        values = [e["meta"]["new_value"] for e in events if e["entity"]["id"] == shot]
        assert values == sorted(values)
        assert values[-1] == last[shot]


def test_order_holds_while_an_earlier_call_waits_for_a_future(sandbox, executor, project):
    """A later call on the entity waits for one that waits for a future, and for its outcome."""
    (shot,) = make_shots(executor, project, 1)
    need = concurrent.futures.Future()
    with executor.batching(max_wait=0.001) as batch:
        first = batch.update("Shot", shot, {"sg_cut_in": need})
        second = batch.update("Shot", shot, {"sg_cut_in": 2})
        third = batch.delete("Shot", shot)
        other = batch.create("Shot", {"code": "other", "project": project})
        assert other.result(LONG)["code"] == "other"
        assert not any(future.done() for future in (first, second, third))
        need.set_result(1)
        assert [first.result(LONG)["sg_cut_in"], second.result(LONG)["sg_cut_in"]] == [1, 2]
        assert third.result(LONG) is True


def test_order_holds_beside_a_call_that_goes_alone(sandbox, executor, project, tmp_path):
    """A call with a file to upload keeps its place among the calls on its entity."""
    (shot,) = make_shots(executor, project, 1)
    image = tmp_path / "a.png"
    image.write_bytes(b"PNG")
    with executor.batching() as batch:
        batch.update("Shot", shot, {"description": "first"})
        batch.update("Shot", shot, {"description": "second", "image": str(image)})
        batch.update("Shot", shot, {"description": "third"})
    assert executor.find_one("Shot", [], ["description"]).result(LONG)["description"] == "third"


# Futures as arguments


def test_futures_are_arguments(sandbox, executor, project):
    """A call joins a batch when the futures among its arguments are done, and may be needed too."""
    with executor.batching() as batch:
        shots = [batch.create("Shot", {"code": str(n), "project": project}) for n in range(20)]
        versions = [
            batch.create("Version", {"code": "v", "entity": shot, "project": project})
            for shot in shots
        ]
        noted = [batch.update("Version", version, {"description": "x"}) for version in versions]
        gone = batch.delete("Version", versions[0])
    assert [v.result()["entity"]["id"] for v in versions] == [s.result()["id"] for s in shots]
    assert [n.result()["id"] for n in noted] == [v.result()["id"] for v in versions]
    assert gone.result() is True
    assert sandbox.counters().requests["batch"] <= 4


def test_failed_future_fails_what_needs_it(sandbox, executor, project):
    """A call is not sent if what it needs failed, and is cancelled if that was cancelled."""
    with executor.batching() as batch:
        bad = batch.create("Shot", {"code": "x", "project": project, "no_such_field": 1})
        needs_bad = batch.create("Version", {"code": "v", "entity": bad, "project": project})
        needs_that = batch.update("Version", needs_bad, {"code": "w"})
        cancelled = concurrent.futures.Future()
        needs_cancelled = batch.update("Shot", cancelled, {"code": "w"})
        cancelled.cancel()
    assert isinstance(bad.exception(), Fault)
    assert isinstance(needs_bad.exception(), DependencyError)
    assert needs_that.exception().__cause__ is bad.exception()
    assert needs_cancelled.cancelled()
    assert sandbox.counters().writes == 1


def test_long_chain_of_failures_has_an_end(sandbox, executor):
    """Thousands of calls that each need the one before fail one after the other, not nested."""
    first = concurrent.futures.Future()
    with executor.batching() as batch:
        future = first
        for _ in range(3000):
            future = batch.update("Shot", future, {"code": "x"})
        first.set_exception(OSError("gone"))
    assert isinstance(future.exception(), DependencyError)


@pytest.mark.parametrize("workers", [1, 3])
def test_waiting_on_a_worker(sandbox, project, workers):
    """Functions on workers may wait for calls of a batch, in whatever state those are."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=workers) as executor:
        batch = executor.batching(max_wait=0.01)

        def publish(number):
            shot = batch.create("Shot", {"code": str(number), "project": project})
            version = batch.create("Version", {"code": "v", "entity": shot, "project": project})
            batch.update("Version", version, {"description": "a"})
            noted = batch.update("Version", version, {"description": "b"})
            with executor.batching(max_wait=NEVER) as inner:
                inner.update("Shot", shot, {"description": "inner"})
            return noted.result(LONG)["description"], shot.result(LONG)["code"]

        found = list(executor.map(publish, range(6), timeout=LONG))
    assert found == [("b", str(number)) for number in range(6)]


@pytest.mark.parametrize("workers", [1, 2])
def test_waiting_on_a_worker_for_what_needs_a_batch(sandbox, project, workers):
    """A worker may wait for a plain call that waits for a gathered one, and for long chains."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=workers) as executor:
        batch = executor.batching(max_wait=NEVER)

        def plain():
            shot = batch.create("Shot", {"code": "a", "project": project})
            return executor.update("Shot", shot, {"sg_cut_in": 1}).result(LONG)["sg_cut_in"]

        def chain():
            shot = batch.create("Shot", {"code": "b", "project": project})
            for number in range(60):
                shot = batch.update("Shot", shot, {"sg_cut_in": number})
            return shot.result(LONG)["sg_cut_in"]

        def timeout():
            with pytest.raises(concurrent.futures.TimeoutError):
                batch.update("Shot", concurrent.futures.Future(), {}).exception(0.01)
            return True

        assert executor.submit(plain).result(LONG) == 1
        assert executor.submit(chain).result(LONG) == 59
        assert executor.submit(timeout).result(LONG)
        executor.shutdown(cancel_futures=True)


# What breaks


@pytest.mark.parametrize("seed", range(6))
def test_guilty_requests_fail_alone(sandbox, executor, project, seed):
    """Bad rows at random places fail with the site's message; all others are applied, once."""
    dice = random.Random(seed)
    shots = make_shots(executor, project, 150)
    bad = set(dice.sample(range(150), dice.choice([1, 2, 5, 20, 150])))
    before = sandbox.counters().writes
    with executor.batching(max_requests=50) as batch:
        futures = [
            batch.update("Shot", shot, {"sg_status_list": "bad" if n in bad else "fin"})
            for n, shot in enumerate(shots)
        ]
    for number, future in enumerate(futures):
        if number in bad:
            with pytest.raises(Fault, match="'bad' is not a valid status"):
                future.result()
            assert not outcome_unknown(future.exception())
        else:
            assert future.result()["sg_status_list"] == "fin"
    assert sandbox.counters().writes - before == 150 - len(bad)


def test_one_bad_request_costs_few_more(sandbox, executor, project):
    """One bad request among a hundred is found with two requests for each halving."""
    shots = make_shots(executor, project, 99)
    before = sandbox.counters().total
    with executor.batching() as batch:
        futures = [batch.update("Shot", shot, {"sg_cut_in": 1}) for shot in [*shots, 10**6]]
    assert isinstance(futures[-1].exception(), Fault)
    assert sandbox.counters().total - before <= 1 + 2 * 7


FAULTS = {
    "503": {"status": 503, "headers": {"Retry-After": "0"}},
    "504": {"status": 504},
    "504_after": {"status": 504, "after_execution": True},
    "drop": {"kind": "drop"},
    "drop_after": {"kind": "drop", "after_execution": True},
    "reset_after": {"kind": "reset", "after_execution": True},
    "broken_json": {"kind": "broken_json"},
    "413": {"status": 413},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", range(2))
def test_each_write_is_applied_once_and_reported_so(sandbox, project, fault, seed):
    """Whatever breaks: what is reported done is done once, what failed is not, else it is said."""
    dice = random.Random(seed)
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=4, retries=QUICK
    ) as executor:
        executor.connect()
        for method in ("batch", "create"):
            sandbox.fail(method, **FAULTS[fault], fraction=0.3, seed=seed)
        with executor.batching(max_requests=10) as batch:
            futures = {}
            for number in range(120):
                data = {"code": f"sh{number}", "project": project}
                if dice.random() < 0.04:
                    data["sg_status_list"] = "bad"
                futures[f"sh{number}"] = batch.create("Shot", data)
        sandbox.stop_failing()
        there = [shot["code"] for shot in executor.find("Shot", [], ["code"]).result(LONG)]
    assert len(there) == len(set(there)), "a write was applied twice"
    unknown = set()
    for code, future in futures.items():
        error = future.exception()
        if error is None:
            assert future.result()["code"] == code
            assert code in there
        elif outcome_unknown(error):
            unknown.add(code)
        else:
            assert code not in there, error
    if fault in ("503", "413"):
        assert not unknown
    else:
        assert unknown
    made = executor_events(sandbox)
    assert sorted(made) == sorted(there)


def executor_events(sandbox):
    """The codes of the shots that the event log says were made."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    events = sg.find("EventLogEntry", [["event_type", "is", "Shotgun_Shot_New"]], ["entity"])
    sg.close()
    return [event["entity"]["name"] for event in events]


def test_unknown_outcome_is_never_repeated(sandbox, executor, project):
    """Executed, then 504: each future says that it is unknown, with an error of its own."""
    sandbox.fail_next("batch", status=504, after_execution=True)
    with executor.batching() as batch:
        futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in range(3)]
    errors = [future.exception() for future in futures]
    assert all(map(outcome_unknown, errors))
    assert all("is not known" in str(error) for error in errors)
    assert {type(error) for error in errors} == {ProtocolError}
    assert len(set(map(id, errors))) == 3
    assert sandbox.counters().requests["batch"] == 1
    assert sandbox.counters().writes == 4


def test_unknown_part_does_not_hold_up_the_others(sandbox, executor, project):
    """If the outcome of a part is unknown, the other parts of the batch are sent nevertheless."""
    shots = make_shots(executor, project, 1)
    executor.batch([]).result(LONG)
    sandbox.fail_next("update", status=504)
    with executor.batching() as batch:
        first = batch.update("Shot", shots[0], {"sg_cut_in": 1})
        second = batch.update("Shot", shots[0], {"no_such_field": 2})
    assert outcome_unknown(first.exception())
    assert isinstance(second.exception(), Fault)


def test_deadline_ends_a_batch(sandbox, executor, project):
    """A batch past its deadline is aborted, and its calls are told that nobody knows."""
    executor.connect()
    sandbox.hold("batch")
    with executor.options(deadline=0.2).batching() as batch:
        futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in "ab"]
    for future in futures:
        assert isinstance(future.exception(), DeadlineExceeded)
        assert outcome_unknown(future.exception())
    sandbox.resume()


def test_limited_shutdown_aborts_a_batch(sandbox, project):
    """What a shutdown does not wait for fails with its error; what was not sent is cancelled."""
    executor = ShotgunExecutor(sandbox.url, **sandbox.credentials)
    sandbox.hold("batch")
    batch = executor.batching(max_requests=2, max_wait=NEVER)
    futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in "ab"]
    later = batch.update("Shot", futures[0], {"code": "c"})
    sandbox.wait_for(1, "batch")
    executor.shutdown(wait=0.05)
    for future in futures:
        assert isinstance(future.exception(LONG), ShutdownError)
        assert outcome_unknown(future.exception())
    assert later.cancelled()
    sandbox.resume()


def test_refused_batch_is_repeated(sandbox, project):
    """503 says that nothing was carried out: the batch is sent again, and nobody notices."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, retries=QUICK) as executor:
        sandbox.fail_next("batch", count=2, status=503, headers={"Retry-After": "0"})
        with executor.batching() as batch:
            futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in "abc"]
        assert [future.result()["code"] for future in futures] == ["a", "b", "c"]
    assert sandbox.counters().requests["batch"] == 3


def test_refused_key_is_not_searched_for(sandbox, project):
    """Who may not sign in is told so by one request, and each future has the fault."""
    credentials = {**sandbox.credentials, "api_key": "not-the-right-one"}
    with ShotgunExecutor(sandbox.url, **credentials) as executor:
        with executor.batching() as batch:
            futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in "abc"]
    assert [type(future.exception()) for future in futures] == [AuthenticationFault] * 3
    assert sandbox.counters().requests["batch"] == 1


def test_halves_are_independent_or_in_order():
    """Calls on one entity are never in two independent parts, and no part is empty."""

    class Call:
        def __init__(self, key):
            self.key = key

    dice = random.Random(1)
    for _ in range(500):
        piece = [Call(dice.randrange(dice.randint(1, 9))) for _ in range(dice.randint(2, 30))]
        first, second, independent = halves(piece)
        assert first
        assert second
        assert sorted(map(id, first + second)) == sorted(map(id, piece))
        if independent:
            assert not {call.key for call in first} & {call.key for call in second}
        else:
            assert first + second == piece


# Cancelling


def test_cancelled_call_leaves_its_batch(sandbox, executor, project):
    """A call that is cancelled before it is sent is not sent, and who waits is told."""
    batch = executor.batching(max_wait=NEVER)
    futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in range(4)]
    need = concurrent.futures.Future()
    blocked = batch.update("Shot", 1, {"code": need})
    after = batch.update("Shot", 1, {"description": "after"})
    assert futures[1].cancel()
    assert blocked.cancel()
    assert concurrent.futures.wait([futures[1], blocked], LONG).not_done == set()
    batch.flush()
    assert [futures[n].result(LONG)["code"] for n in (0, 2, 3)] == ["0", "2", "3"]
    assert isinstance(after.exception(LONG), (Fault, type(None)))
    assert not futures[0].cancel()
    assert futures[1].cancelled()
    need.set_result("too late")
    assert sandbox.counters().writes in (4, 5)


def test_cancelled_call_of_a_batch_in_line(sandbox, project):
    """A call whose batch waits for a worker can be cancelled too; once it is sent, no more."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        gate = Gate()
        held = executor.submit(gate)
        gate.wait_for(1)
        batch = executor.batching(max_wait=NEVER)
        futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in range(3)]
        batch.flush()
        assert futures[1].cancel()
        sandbox.hold("batch")
        gate.open()
        sandbox.wait_for(1, "batch")
        assert not futures[0].cancel()
        sandbox.resume()
        assert [futures[n].result(LONG)["code"] for n in (0, 2)] == ["0", "2"]
        assert held.done()
    assert batches(sandbox) == [2]


# The end


def test_end_of_the_block_sends_everything(sandbox, executor, project):
    """Leaving the block sends and waits for all that was accepted, and closes the batch."""
    with executor.batching(max_wait=NEVER) as batch:
        first = batch.create("Shot", {"code": "a", "project": project})
        second = batch.create("Version", {"code": "v", "entity": first, "project": project})
    assert second.done()
    assert second.result()["entity"]["id"] == first.result()["id"]
    with pytest.raises(RuntimeError, match="closed"):
        batch.create("Shot", {"code": "b", "project": project})


def test_exception_in_the_block_cancels_what_was_not_sent(sandbox, executor, project):
    """After an exception what is on its way is waited for; the rest is never sent."""
    sandbox.hold("batch")
    sent = []

    def block():
        with executor.batching(max_requests=2, max_wait=NEVER) as batch:
            sent.extend(batch.create("Shot", {"code": n, "project": project}) for n in "abc")
            sandbox.wait_for(1, "batch")
            raise KeyError("the script is wrong")

    end = in_thread(block)
    wait_until(lambda: len(sent) == 3 and sent[2].cancelled())
    assert not sent[0].done()
    sandbox.resume()
    with pytest.raises(KeyError, match="the script is wrong"):
        end()
    assert [sent[0].result()["code"], sent[1].result()["code"]] == ["a", "b"]
    assert sandbox.counters().writes == 3


def test_shutdown_sends_everything(sandbox, project):
    """Shutting the executor down sends what was gathered, and what waits for futures."""
    need = concurrent.futures.Future()
    executor = ShotgunExecutor(sandbox.url, **sandbox.credentials)
    batch = executor.batching(max_wait=NEVER)
    first = batch.create("Shot", {"code": "a", "project": project})
    blocked = batch.create("Shot", {"code": need, "project": project})
    end = in_thread(executor.shutdown)
    assert first.result(LONG)["code"] == "a"
    with pytest.raises(RuntimeError, match="after shutdown"):
        batch.create("Shot", {"code": "late", "project": project})
    need.set_result("b")
    end()
    assert blocked.result()["code"] == "b"
    assert sandbox.counters().writes == 3


def test_shutdown_that_cancels(sandbox, project):
    """shutdown(cancel_futures=True) cancels what was not sent, and tells who waits."""
    executor = ShotgunExecutor(sandbox.url, **sandbox.credentials)
    batch = executor.batching(max_wait=NEVER)
    futures = [batch.create("Shot", {"code": str(n), "project": project}) for n in range(3)]
    futures.append(batch.update("Shot", futures[0], {"code": "x"}))
    executor.shutdown(cancel_futures=True)
    assert concurrent.futures.wait(futures, LONG).not_done == set()
    assert all(future.cancelled() for future in futures)
    assert sandbox.counters().writes == 1


def test_broken_workers_fail_what_was_gathered(sandbox):
    """If no worker can be had, each future says so."""

    def initializer():
        raise OSError("no licence")

    executor = ShotgunExecutor(NOWHERE, **KEYS, initializer=initializer)
    batch = executor.batching()
    future = batch.create("Shot", {"code": "a"})
    batch.flush()
    assert isinstance(future.exception(LONG), concurrent.futures.thread.BrokenThreadPool)
    executor.shutdown()


def test_bound_on_waiting_calls_holds(sandbox, project):
    """max_pending refuses or holds up calls of a batch too."""
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=1, max_pending=1, when_full="raise"
    ) as executor:
        gate = Gate()
        executor.submit(gate)
        gate.wait_for(1)
        executor.submit(len, "abc")
        batch = executor.batching()
        with pytest.raises(TooManyCalls):
            batch.create("Shot", {"code": "a", "project": project})
        gate.open()


def test_nothing_is_lost_at_the_exit_of_the_interpreter(sandbox, project):
    """A script that just ends has written what it submitted, guilty requests or not."""
    script = f"""
        from shotgun_executor import ShotgunExecutor
        credentials = {dict(sandbox.credentials)!r}
        executor = ShotgunExecutor({sandbox.url!r}, **credentials, batch_writes=True)
        for number in range(30):
            data = {{"code": str(number), "project": {project!r}}}
            if number == 11:
                data["sg_status_list"] = "bad"
            executor.create("Shot", data)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60, check=True)
    assert sandbox.counters().writes == 30


@pytest.mark.slow
def test_interrupted_anywhere_holds_up_nothing(sandbox, project):
    """Ctrl-C at any point of a submission: the executor still ends, and every future has."""

    def at(step):
        executor = ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1)
        batch = executor.batching(max_requests=2, max_wait=NEVER)
        futures = [batch.update("Shot", 10**6, {})]

        def submit():
            futures.extend(batch.delete("Shot", 10**6) for _ in range(3))
            batch.flush()

        interrupted = interrupted_at(step, submit)
        in_thread(executor.shutdown)()
        assert all(future.done() for future in futures)
        return interrupted

    each_step(at)


# batch_chunks


def test_batch_chunks_tell_each_outcome(sandbox, executor, project):
    """Each request has its outcome, in the order of the input; each chunk is one transaction."""
    shots = make_shots(executor, project, 50)
    before = len(batches(sandbox))
    requests = [
        {"request_type": "update", "entity_type": "Shot", "entity_id": shot, "data": {"code": "x"}}
        for shot in shots
    ]
    requests[30]["entity_id"] = 10**6
    requests[41] = {"request_type": "revive", "entity_type": "Shot", "entity_id": 1}
    outcomes = list(executor.batch_chunks(requests, chunk_size=10))
    assert [outcome.args for outcome in outcomes] == [(request,) for request in requests]
    assert [n for n, outcome in enumerate(outcomes) if not outcome.ok] == [30, 41]
    assert isinstance(outcomes[30].error, Fault)
    assert "Invalid request_type 'revive'" in str(outcomes[41].error)
    assert outcomes[0].result == {"type": "Shot", "id": shots[0], "code": "x"}
    sizes = batches(sandbox)[before:]
    assert sizes.count(10) == 4  # one more was not even sent, as the client refuses it
    assert sandbox.counters().writes == 1 + 50 + 48


def test_batch_chunks_are_full_whatever_the_timing(sandbox, executor, project, monkeypatch):
    """250 requests are three batches of 100, 100 and 50, sent in parallel, however slow we are."""
    put, count = Batching.put, itertools.count(1)

    def slow(batching, request):
        if next(count) % 50 == 0:
            threading.Event().wait(0.05)  # more than a batch waits for others
        return put(batching, request)

    monkeypatch.setattr(Batching, "put", slow)
    sandbox.hold("batch")
    requests = [
        {"request_type": "create", "entity_type": "Shot", "data": {"code": str(number)}}
        for number in range(250)
    ]
    for request in requests:
        request["data"]["project"] = project
    outcomes = executor.batch_chunks(requests, chunk_size=100)
    sandbox.wait_for(3, "batch")
    sandbox.resume()
    codes = [outcome.result["code"] for outcome in outcomes]
    assert codes == [str(number) for number in range(250)]
    assert sorted(batches(sandbox)) == [50, 100, 100]
    assert sandbox.counters().requests["batch"] == 3


def test_batch_chunks_that_wait_are_sent_without_others(sandbox, executor, project):
    """A request that waits for another on its entity is sent soon after that, not some time."""
    (shot,) = make_shots(executor, project, 1)
    requests = [
        {"request_type": "update", "entity_type": "Shot", "entity_id": shot, "data": {"code": code}}
        for code in "abc"
    ]
    outcomes = list(executor.batch_chunks(requests, chunk_size=1))
    assert [outcome.result["code"] for outcome in outcomes] == ["a", "b", "c"]
    late = concurrent.futures.Future()
    requests[1]["data"]["code"] = late
    outcomes = executor.batch_chunks(requests, chunk_size=2)
    late.set_result("b")
    assert [outcome.result["code"] for outcome in outcomes] == ["a", "b", "c"]


def test_batch_chunks_as_they_are_done(sandbox, executor, project):
    """With ordered=False a chunk that is held up does not hold up the others."""
    need = concurrent.futures.Future()
    requests = [
        {"request_type": "create", "entity_type": "Shot", "data": {"code": c, "project": project}}
        for c in (need, "b", "c")
    ]
    with executor.batch_chunks(requests, 2, ordered=False) as outcomes:
        assert {next(outcomes).result["code"] for _ in range(2)} == {"b", "c"}
        need.set_result("a")
        assert [outcome.result["code"] for outcome in outcomes] == ["a"]


def test_batch_chunks_refuse_what_is_no_request(executor):
    """A request that is no dict is refused at once, and nothing is sent."""
    with pytest.raises(TypeError, match="must be a dict"):
        executor.batch_chunks([{"request_type": "create"}, "create"])
    with pytest.raises(ValueError, match="chunk_size"):
        executor.batch_chunks([], 0)
    assert list(executor.batch_chunks([])) == []


class Careful(Shotgun):
    """A class whose update takes more than the official one."""

    def update(self, entity_type, entity_id, data, *, dry=False):
        return {} if dry else super().update(entity_type, entity_id, data)


def test_batching_makes_calls_of_a_subclass_as_they_are(sandbox):
    """What a class of the user's has changed is called alone, with the arguments that it takes."""
    careful = Careful(sandbox.url, **sandbox.credentials, connect=False)
    with ShotgunExecutor(careful, batch_writes=True) as executor:
        project = executor.create("Project", {"name": "Day"}).result(LONG)
        first = executor.update("Project", project, {"name": "Night"}, dry=True)
        with executor.batching() as batch:
            second = batch.update("Project", project["id"], {"name": "Dusk"}, dry=False)
        assert first.result(LONG) == {}
        assert second.result(LONG)["name"] == "Dusk"
        with pytest.raises(TypeError, match="unexpected keyword argument 'wet'"):
            batch.update("Project", 1, {}, wet=True)
