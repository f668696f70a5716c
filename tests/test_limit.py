"""How many calls run at a time and start in a second, and how many may wait."""

from __future__ import annotations

import concurrent.futures
import socket
import threading
import time

import pytest
from shotgun_api3 import ProtocolError

from shotgun_executor import Limit, Retries, ShotgunExecutor, TooManyCalls
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread

NEVER = Retries(0)


class Counting:
    """A function body that notes how many run at the same time, and blocks until it is let go."""

    def __init__(self):
        self.gate = Gate()
        self.lock = threading.Lock()
        self.running = self.peak = self.done = 0
        self.order = []

    def __call__(self, value=None):
        with self.lock:
            self.running += 1
            self.peak = max(self.peak, self.running)
        self.gate()
        time.sleep(0.001)  # some work: without it, one thread would do all in its turn
        with self.lock:
            self.running -= 1
            self.done += 1
            self.order.append(value)
        return value


def until(condition):
    """Wait until *condition* holds, for what no gate tells of."""
    pause = threading.Event()
    for _ in range(int(LONG / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it never came to hold")


# At a time


def test_limit_forgets_the_workers_of_executors_that_have_ended():
    """A limit that many short-lived executors share is as high as there are workers, no higher."""
    shared = Limit()
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2, limit=shared) as one:
        for _ in range(3):
            with ShotgunExecutor(NOWHERE, **KEYS, max_workers=4, limit=shared) as two:
                assert two.submit(len, "abc").result(LONG) == 3
                assert (shared.calls, shared.current) == (6, 6)
            two.shutdown()
            assert (shared.calls, shared.current) == (2, 2)
        assert one.submit(len, "abc").result(LONG) == 3


def test_limit_bounds_what_runs_at_a_time():
    """With eight workers and a limit of three, three calls run at a time, and all are done."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=8, limit=3) as executor:
        work = Counting()
        futures = [executor.submit(work, number) for number in range(40)]
        work.gate.wait_for(3)
        assert (executor.limit.calls, executor.limit.running) == (3, 3)
        work.gate.open()
        assert [future.result(LONG) for future in futures] == list(range(40))
        assert work.peak == 3
    assert executor.limit.running == 0


def test_limit_can_be_changed_while_calls_run():
    """A higher one lets more begin at once; a lower one ends no thread and no call."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=6, limit=1) as executor:
        work = Counting()
        futures = [executor.submit(work) for _ in range(6)]
        work.gate.wait_for(1)
        executor.limit.calls = 4
        work.gate.wait_for(3)
        assert executor.limit.running == 4
        executor.limit.calls = 2
        assert executor.limit.running == 4
        workers = {thread for thread in threading.enumerate() if "ShotgunExecutor" in thread.name}
        work.gate.open()
        concurrent.futures.wait(futures, LONG)
        after = Counting()
        futures = [executor.submit(after) for _ in range(10)]
        after.gate.wait_for(2)
        after.gate.open()
        concurrent.futures.wait(futures, LONG)
        assert (work.peak, after.peak) == (4, 2)
        assert all(thread.is_alive() for thread in workers)


def test_limit_shared_by_executors_bounds_them_together():
    """Two executors on one site have the same share of it, whoever came first."""
    shared = Limit(2)
    work = Counting()
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=4, limit=shared) as one:
        with ShotgunExecutor(NOWHERE, **KEYS, max_workers=4, limit=shared) as two:
            # A thread that must be started first may be late on a busy machine.
            assert [each.submit(len, "abc").result(LONG) for each in (one, two)] == [3, 3]
            futures = [each.submit(work, each is one) for each in [one] * 30 + [two] * 30]
            work.gate.wait_for(2)
            assert one.limit is two.limit
            work.gate.open()
            concurrent.futures.wait(futures, LONG)
    assert work.peak == 2
    assert work.done == 60
    assert work.order[5:35].count(True) >= 8
    assert work.order[5:35].count(False) >= 8
    assert shared.running == 0


def test_executor_that_is_dropped_while_it_waits_for_room_does_its_calls():
    """Its calls wait for another executor; they are done nevertheless."""
    shared, gate = Limit(1), Gate()
    with ShotgunExecutor(NOWHERE, **KEYS, limit=shared) as one:
        holding = one.submit(gate)
        gate.wait_for(1)
        future = ShotgunExecutor(NOWHERE, **KEYS, limit=shared).submit(len, "abc")
        assert not future.done()
        gate.open()
        assert future.result(LONG) == 3
        holding.result(LONG)


def test_shutdown_waits_for_calls_that_the_limit_holds_back():
    """What was accepted is done, also if there was no room for it yet."""
    shared, gate = Limit(1), Gate()
    with ShotgunExecutor(NOWHERE, **KEYS, limit=shared) as one:
        one.submit(gate)
        gate.wait_for(1)
        two = ShotgunExecutor(NOWHERE, **KEYS, limit=shared)
        futures = [two.submit(len, "ab") for _ in range(3)]
        join = in_thread(two.shutdown)
        gate.open()
        join()
        assert [future.result(0) for future in futures] == [2, 2, 2]


def test_calls_within_calls_need_no_room():
    """Fan-out within fan-out works under a limit of one."""
    with ShotgunExecutor(NOWHERE, **KEYS, limit=1) as executor:

        def count(depth):
            children = [executor.submit(count, depth - 1) for _ in range(2)] if depth else []
            return 1 + sum(child.result() for child in children)

        assert executor.submit(count, 5).result(LONG) == 63


def test_room_without_a_thread_is_given_up(monkeypatch):
    """If no thread can be had for a call that has room now, those that are there do it later."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2, limit=1) as executor:
        gate = Gate()
        running = executor.submit(gate, 1)
        gate.wait_for(1)
        ready = executor.submit(len, "ab")

        def no_thread(runner):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(executor._dispatch, "_start", no_thread)
        executor.limit.calls = 2  # returns: it does not look for a thread for ever
        assert not ready.done()
        gate.open()
        assert (running.result(LONG), ready.result(LONG)) == (1, 2)
        monkeypatch.undo()


# Backing off


def fail_all(executor, count):
    futures = [executor.find("Shot", []) for _ in range(count)]
    concurrent.futures.wait(futures, LONG)
    return [future.exception(0) for future in futures]


@pytest.mark.parametrize("status", [429, 503])
def test_limit_backs_off_when_the_site_is_busy_and_recovers(sandbox, status):
    """Halved once for all calls of one round, never below one; and back after successes."""
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=8, retries=NEVER
    ) as executor:
        executor.connect()
        sandbox.hold("read")
        sandbox.fail_next("read", status=status, count=8)
        futures = [executor.find("Shot", []) for _ in range(8)]
        sandbox.wait_for(8, "read")
        sandbox.resume()
        concurrent.futures.wait(futures, LONG)
        assert all(isinstance(future.exception(0), ProtocolError) for future in futures)
        assert executor.limit.current == 4
        assert "4 while the site is busy" in repr(executor.limit)
        for expected in (2, 1, 1):
            sandbox.fail_next("read", status=status)
            assert isinstance(executor.find("Shot", []).exception(LONG), ProtocolError)
            assert executor.limit.current == expected
        for future in [executor.find("Shot", []) for _ in range(100)]:
            assert future.result(LONG) == []
        assert executor.limit.current == 8


def test_limit_stays_while_the_site_is_idle(sandbox):
    """Calls one after the other say nothing of what the site could bear."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, retries=NEVER) as executor:
        executor.connect()
        sandbox.fail_next("read", status=503)
        assert executor.find("Shot", []).exception(LONG)
        assert executor.limit.current == 4
        for _ in range(20):
            assert executor.find("Shot", []).result(LONG) == []
        assert executor.limit.current == 4


def test_limit_backs_off_when_the_site_is_silent(sandbox):
    """A call that ran into its limit of time counts as well; other errors do not."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, retries=NEVER) as executor:
        executor.connect()
        sandbox.hold("read", before=True)
        with pytest.raises(socket.timeout):
            executor.options(timeout=0.1).find("Shot", []).result(LONG)
        assert executor.limit.current == 4
        sandbox.resume()
        sandbox.fail_next("read", status=500)
        assert executor.find("Shot", []).exception(LONG)
        assert executor.find("Nothing", []).exception(LONG)
        assert executor.limit.current == 4


def test_all_calls_survive_a_site_that_is_busy_for_long(sandbox):
    """What waits is not sent just to be refused: a long line outlives the budget of repeats."""
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=8, retries=Retries(8, first_wait=0.01)
    ) as executor:
        executor.connect()
        sandbox.hold("read")
        sandbox.fail("read", status=503)
        futures = [executor.find("Shot", []) for _ in range(200)]
        sandbox.wait_for(8, "read")
        sandbox.resume()
        until(lambda: executor.limit.current == 1)
        threading.Event().wait(0.3)  # in which all could be sent, and refused
        sandbox.stop_failing()
        assert all(future.result(LONG) == [] for future in futures)
    assert sandbox.counters().requests["read"] <= 200 + 20


def test_no_call_starts_before_the_site_wants_it(sandbox):
    """Retry-After holds for all calls of the executor, not for the one that was refused alone."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=4) as executor:
        executor.connect()
        sandbox.hold("read")
        sandbox.fail_next("read", status=429, headers={"Retry-After": "1"}, count=4)
        futures = [executor.find("Shot", []) for _ in range(20)]
        sandbox.wait_for(4, "read")
        sandbox.resume()
        assert all(future.result(LONG) == [] for future in futures)
    reads = [request for request in sandbox.requests if request.method == "read"]
    refused, served = reads[:4], reads[4:]
    assert {request.status for request in refused} == {429}
    assert len(served) == 20
    first_refusal = min(request.started + request.seconds for request in refused)
    assert min(request.started for request in served) - first_refusal > 0.9


def test_pauses_of_a_busy_site_grow_and_end_with_success():
    """The second cut without a success pauses 0.1 s, each further one twice that, 5 s at most."""
    limit = Limit(8)
    dispatch = object()
    pauses = []
    for _ in range(9):
        limit.overloaded(time.monotonic())
        pauses.append(limit.claim_start(dispatch))
        limit._busy_until = 0.0
    for pause, expected in zip(pauses, (0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5)):
        assert expected - 0.09 <= pause <= expected
    limit.succeeded()
    limit.overloaded(time.monotonic())
    assert limit.claim_start(dispatch) == 0.0
    limit.overloaded(time.monotonic(), 1000.0)
    assert 4.9 < limit.claim_start(dispatch) <= 5
    assert limit.claim_start(dispatch, hurry=True) == 0.0


# In a second


@pytest.mark.parametrize(("rate", "count"), [(20, 10), (400, 200)])
def test_calls_per_second_are_exact(rate, count):
    """No call starts before its time, and the last one starts soon after it."""
    starts = []
    with ShotgunExecutor(NOWHERE, **KEYS, limit=Limit(per_second=rate)) as executor:
        began = time.monotonic()
        futures = [executor.submit(lambda: starts.append(time.monotonic())) for _ in range(count)]
        concurrent.futures.wait(futures, LONG)
    starts.sort()
    # The k-th may start k intervals after the first, less what is made up for.
    assert all(start - began >= number / rate - 0.021 for number, start in enumerate(starts))
    assert len(starts) == count


def test_calls_per_second_can_be_lifted():
    """A change holds at once for what is submitted, and at the next start for what waits."""
    with ShotgunExecutor(NOWHERE, **KEYS, limit=Limit(per_second=2)) as executor:
        assert executor.limit.per_second == 2
        futures = [executor.submit(len, "ab") for _ in range(50)]
        executor.limit.per_second = None
        assert [future.result(LONG) for future in futures] == [2] * 50


@pytest.mark.parametrize(
    "make",
    [
        lambda: Limit(0),
        lambda: Limit(-1),
        lambda: Limit(True),
        lambda: Limit(2.5),  # type: ignore[arg-type]
        lambda: Limit(per_second=0),
        lambda: Limit(per_second="fast"),  # type: ignore[arg-type]
        lambda: ShotgunExecutor(NOWHERE, **KEYS, limit="many"),
        lambda: setattr(Limit(1), "calls", 0),
        lambda: setattr(Limit(1), "per_second", -3),
        lambda: ShotgunExecutor(NOWHERE, **KEYS, max_pending=0),
        lambda: ShotgunExecutor(NOWHERE, **KEYS, max_pending=1, when_full="drop"),
    ],
)
def test_bad_limits_are_refused(make):
    """The error names the argument."""
    with pytest.raises((TypeError, ValueError), match=r"calls|per_second|max_pending|when_full"):
        make()


# What waits


def full_executor(gate, **arguments):
    """One worker that is busy, and two calls that wait, as many as may."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, max_pending=2, **arguments)
    running = executor.submit(gate, "running")
    gate.wait_for(1)
    return executor, [running, *[executor.submit(len, "abc") for _ in range(2)]]


def test_submit_waits_for_room():
    """The next submit goes on when a call has started."""
    gate = Gate()
    executor, futures = full_executor(gate)
    with executor:
        join = in_thread(lambda: executor.submit(len, "ab"))
        until(lambda: executor._dispatch._blocked_submits == 1)
        assert executor._dispatch.waiting == 2
        gate.open()
        assert join().result(LONG) == 2
        assert futures[0].result(LONG) == "running"


def test_cancelled_call_makes_room():
    """Whatever a call ends by, its place is free again."""
    gate = Gate()
    executor, futures = full_executor(gate)
    with executor:
        join = in_thread(lambda: executor.submit(len, "ab"))
        until(lambda: executor._dispatch._blocked_submits == 1)
        futures[1].cancel()
        late = join()
        assert not late.done()
        gate.open()
        assert late.result(LONG) == 2


def test_submit_goes_on_when_all_that_waits_does_so_for_futures_of_others():
    """Who waits for room may be the one who resolves them afterwards: more are accepted then."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, max_pending=2) as executor:
        need: concurrent.futures.Future = concurrent.futures.Future()
        gate = Gate()
        running = executor.submit(gate, "running")
        gate.wait_for(1)
        submit = executor._dispatch.submit
        waiting = [submit(len, ("abc",), {}, needs=[need]) for _ in range(2)]
        joins = [in_thread(lambda: submit(len, ("ab",), {}, needs=[need])) for _ in range(3)]
        until(lambda: executor._dispatch._blocked_submits == 3)  # the worker may make room yet
        assert executor._dispatch.waiting == 2
        gate.open()
        late = [join() for join in joins]
        assert running.result(LONG) == "running"
        assert executor._dispatch.waiting == 5
        need.set_result(None)
        assert [future.result(LONG) for future in (*waiting, *late)] == [3, 3, 2, 2, 2]


def test_shutdown_wakes_who_waits_for_room():
    """He is told that the executor is shut down."""
    gate = Gate()
    executor, _ = full_executor(gate)
    join = in_thread(lambda: executor.submit(len, "ab"))
    until(lambda: executor._dispatch._blocked_submits == 1)
    executor.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="after shutdown"):
        join()
    gate.open()
    executor.shutdown()


def test_full_executor_raises_if_so_asked():
    """when_full="raise" tells at once, and loses nothing that was accepted."""
    gate = Gate()
    executor, futures = full_executor(gate, when_full="raise")
    with executor:
        with pytest.raises(TooManyCalls, match=r"2 calls wait already.*len was not accepted"):
            executor.submit(len, "ab")
        gate.open()
        assert [future.result(LONG) for future in futures] == ["running", 3, 3]
        assert executor.submit(len, "ab").result(LONG) == 2


def test_full_executor_has_the_caller_do_it():
    """when_full="run" runs the call where it was submitted, and its own calls within it."""
    gate = Gate()
    executor, _ = full_executor(gate, when_full="run")
    with executor:
        here = threading.get_ident()
        assert executor.submit(threading.get_ident).result(0) == here
        nested = executor.submit(lambda: executor.submit(threading.get_ident).result())
        assert nested.result(0) == here
        assert isinstance(executor.submit(int, "x").exception(0), ValueError)
        gate.open()


def test_caller_that_does_it_uses_a_connection_and_gives_it_back(sandbox):
    """A method works there as on a worker."""
    gate = Gate()
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=1, max_pending=1, when_full="run"
    ) as executor:
        executor.submit(gate)
        gate.wait_for(1)
        executor.submit(len, "")
        assert executor.find("Shot", []).result(0) == []
        assert executor._pool.leased == 0
        gate.open()


@pytest.mark.parametrize("when_full", ["block", "raise", "run"])
def test_submit_within_a_call_is_never_held_up(when_full):
    """A worker that submits while all is full goes on: else it could wait for itself."""
    gate = Gate()
    executor, futures = full_executor(gate, when_full=when_full)
    with executor:
        futures[1].cancel()

        def work():
            return [executor.submit(len, "ab") for _ in range(10)]

        outer = executor.submit(work)
        gate.open()
        assert [inner.result(LONG) for inner in outer.result(LONG)] == [2] * 10


def test_many_submitters_and_a_small_bound():
    """Sixteen threads submit a thousand calls each: never more wait than may, and all are done."""
    seen = []
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=4, max_pending=5) as executor:

        def client():
            futures = []
            for number in range(200):
                futures.append(executor.submit(lambda x: x, number))
                seen.append(executor._dispatch._pending)
            return [future.result(LONG) for future in futures]

        joins = [in_thread(client) for _ in range(16)]
        assert all(join() == list(range(200)) for join in joins)
    assert max(seen) <= 5
    assert executor._dispatch._pending == executor._dispatch._ready == 0


def test_call_that_its_submitter_runs_outlives_a_shutdown_in_between():
    """The executor is not over while somebody is about to run a call that it has accepted."""
    gate = Gate()
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, max_pending=1, when_full="run")
    executor.submit(gate)
    gate.wait_for(1)
    waiting = executor.submit(len, "a")

    def meanwhile(event):
        if event.kind == "submitted":
            executor.shutdown(wait=False)
            gate.open()
            assert waiting.result(LONG) == 1
            until(lambda: not executor._dispatch.runners)

    executor.add_observer(meanwhile)
    assert executor.options(deadline=LONG).submit(len, "abc").result(LONG) == 3
    in_thread(executor.shutdown)()


def test_gathered_call_passes_the_room_on():
    """It takes no room before its batch is submitted: who comes next need not wait for that."""
    gates = [Gate(), Gate()]
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, max_pending=1) as executor:
        executor.submit(gates[0])
        gates[0].wait_for(1)
        executor.submit(gates[1])
        batch = executor.batching(max_wait=3600)
        joins = []
        for number, submit in enumerate(
            (lambda: batch.update("Shot", 1, {"code": "a"}), lambda: executor.submit(len, "ab")), 1
        ):
            joins.append(in_thread(submit))
            until(lambda number=number: executor._dispatch._blocked_submits == number)
        gates[0].open()
        gates[1].wait_for(1)
        gathered, late = [join() for join in joins]
        assert gathered.cancel()
        gates[1].open()
        assert late.result(LONG) == 2


def test_submit_goes_on_when_gathered_calls_wait_for_futures_of_others_too():
    """Who waits for room may be the one who is to resolve those."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, max_pending=1) as executor:
        need: concurrent.futures.Future = concurrent.futures.Future()
        gathered = executor.batching().update("Shot", 1, {"description": need})
        waiting = executor._dispatch.submit(len, ("abc",), {}, needs=[need])
        late = in_thread(lambda: executor.submit(len, "ab"))()
        assert late.result(LONG) == 2
        assert gathered.cancel()
        need.set_result(None)
        assert waiting.result(LONG) == 3


def test_cancelled_calls_do_not_pile_up():
    """While the workers are busy nobody comes by to pass over them, yet few are kept."""
    gate = Gate()
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        executor.submit(gate)
        gate.wait_for(1)
        first = executor.submit(len, "abc")
        for _ in range(5000):
            assert executor.submit(len, "ab").cancel()
        last = executor.submit(len, "a")
        assert len(executor._dispatch._line) < 2500
        gate.open()
        assert (first.result(LONG), last.result(LONG)) == (3, 1)
