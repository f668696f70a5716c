"""Calls that are made again, or end before their time; and how executors end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import subprocess
import sys
import threading
import time
import traceback

import pytest
from shotgun_api3 import ProtocolError

from shotgun_executor import (
    DeadlineExceeded,
    Retries,
    ShotgunExecutor,
    ShutdownError,
    outcome_unknown,
)
from shotgun_executor.alarm import Alarm
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread

QUICK = Retries(3, first_wait=0.001)
# A site that says when to come back: not during a test, unless it is let.
LATER = {"Retry-After": "30"}


def executor_on(sandbox, **arguments):
    executor = ShotgunExecutor(sandbox.url, **sandbox.credentials, **arguments)
    executor.connect()
    return executor


def waits_to_be_made_again(future):
    """Wait until the call of *future* was put aside."""
    pause = threading.Event()
    for _ in range(int(LONG / 0.005)):
        call = future._call
        if call is not None and call.state.name == "DELAYED":
            return
        pause.wait(0.005)
    raise AssertionError("the call is not made again")


# Repeats


def test_repeat_occupies_no_worker(sandbox):
    """While a call waits to be made again, the only worker does the other calls."""
    with executor_on(sandbox, max_workers=1) as executor:
        # Not 429 or 503, for which all calls would wait.
        sandbox.fail_next("read", status=502, headers={"Retry-After": "3"})
        first = executor.find("Shot", [])
        waits_to_be_made_again(first)
        assert executor.find("Shot", []).result(LONG) == []
        assert executor.submit(len, "abc").result(LONG) == 3
        assert not first.done()
        assert first.result(LONG) == []
    assert sandbox.counters().requests["read"] == 3


def test_many_repeats_wait_together(sandbox):
    """Fifty calls that were sent away are all done after one pause, with two workers."""
    with executor_on(sandbox, max_workers=2) as executor:
        # Not 429 or 503, for which all calls would wait.
        sandbox.fail_next("read", status=502, headers={"Retry-After": "1"}, count=15)
        began = time.monotonic()
        futures = [executor.find("Shot", []) for _ in range(50)]
        assert [future.result(LONG) for future in futures] == [[]] * 50
        assert time.monotonic() - began < 10  # one after the other it would be fifteen seconds


def test_call_that_waits_to_be_made_again_can_be_cancelled(sandbox):
    """cancel() ends the wait, and everybody who waits is told."""
    with executor_on(sandbox, max_workers=1) as executor:
        sandbox.fail_next("read", status=502, headers=LATER)
        future = executor.find("Shot", [])
        waits_to_be_made_again(future)
        dependant = executor.call(lambda sg, found: found, 1)
        needs = executor.update("Shot", future, {"code": "x"})
        assert future.cancel()
        assert future.cancelled()
        assert future.done()
        assert future.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(LONG)
        with pytest.raises(concurrent.futures.CancelledError):
            future.exception(LONG)
        assert concurrent.futures.wait([future, needs], LONG).not_done == set()
        assert needs.cancelled()
        assert dependant.result(LONG) == 1
    assert sandbox.counters().requests["read"] == 1


def test_task_that_is_cancelled_ends_the_wait_for_a_repeat(sandbox):
    """In asyncio, too, one sees such a future as cancelled."""

    async def main(executor):
        sandbox.fail_next("read", status=503, headers=LATER)
        future = executor.find("Shot", [])
        waiting = asyncio.ensure_future(asyncio.wait_for(future, 1))
        await asyncio.to_thread(waits_to_be_made_again, future)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return future

    with executor_on(sandbox) as executor:
        assert asyncio.run(main(executor)).cancelled()


def test_worker_that_waits_for_a_repeat_makes_it(sandbox):
    """A worker that waits for a call which is to be made again runs it, when it is time."""
    with executor_on(sandbox, max_workers=1, retries=QUICK) as executor:
        sandbox.fail_next("read", status=503, count=2)
        assert executor.submit(lambda: executor.find("Shot", []).result()).result(LONG) == []


def test_worker_that_waits_for_a_running_call_goes_on_when_that_is_made_again(sandbox):
    """Two workers that wait in a row for a call which was put aside do not wait for ever."""
    with executor_on(sandbox, max_workers=2, retries=QUICK) as executor:
        sandbox.hold("read")
        sandbox.fail_next("read", status=503)
        found = executor.find("Shot", [])
        sandbox.wait_for(1, "read")
        entered = Gate()
        entered.open()

        def wait_for_it():
            entered()
            return found.result()

        waiting = executor.submit(wait_for_it)  # on the other worker, while the call runs
        entered.wait_for(1)
        outer = executor.submit(waiting.result)  # for the worker that the call leaves
        sandbox.resume()
        assert outer.result(LONG) == []


def test_no_repeat_when_the_policy_of_the_call_says_so(sandbox):
    """options(retries=...) goes before that of the executor, in both directions."""
    with executor_on(sandbox, retries=QUICK) as executor:
        sandbox.fail_next("read", status=503)
        with pytest.raises(ProtocolError):
            executor.options(retries=0).find("Shot", []).result(LONG)
    with executor_on(sandbox, retries=0) as executor:
        sandbox.fail_next("read", status=503)
        assert executor.options(retries=QUICK).find("Shot", []).result(LONG) == []


def test_shutdown_waits_for_repeats(sandbox):
    """What was accepted is done before a shutdown returns, also if it has to be made again."""
    executor = executor_on(sandbox)
    sandbox.fail_next("read", status=503, headers={"Retry-After": "1"})
    future = executor.find("Shot", [])
    executor.shutdown()
    assert future.result(0) == []


def test_executor_that_is_dropped_makes_its_repeats(sandbox):
    """The future of a call resolves, whether anybody still holds the executor or not."""
    sandbox.fail_next("read", status=503, headers={"Retry-After": "1"})
    future = ShotgunExecutor(sandbox.url, **sandbox.credentials).find("Shot", [])
    assert future.result(LONG) == []


def test_executor_that_is_dropped_runs_what_waits_for_others():
    """A call that needs a future of somebody else is run when that is there."""
    need: concurrent.futures.Future[int] = concurrent.futures.Future()
    executor = ShotgunExecutor(NOWHERE, **KEYS)
    future = executor._dispatch.submit(lambda: 7, (), {}, needs=[need])
    del executor
    need.set_result(1)
    assert future.result(LONG) == 7


# Deadlines


def test_deadline_passes_in_the_queue(sandbox):
    """It costs no worker, and the error says where the time went."""
    with executor_on(sandbox, max_workers=1) as executor:
        gate = Gate()
        blocker = executor.submit(gate)
        gate.wait_for(1)
        late = executor.options(deadline=0.05).create("Shot", {"code": "x"})
        error = late.exception(LONG)
        assert isinstance(error, DeadlineExceeded)
        assert isinstance(error, TimeoutError)
        assert str(error).startswith("create Shot did not end within 0.05 s: waited for a worker")
        assert not outcome_unknown(error)
        gate.open()
        blocker.result(LONG)
    assert sandbox.counters().writes == 0


def test_deadline_passes_while_waiting_for_others(sandbox):
    """Waiting for the futures among the arguments counts, and those are not touched."""
    with executor_on(sandbox) as executor:
        gate = Gate()
        need = executor.submit(gate, {"type": "Shot", "id": 1})
        late = executor.options(deadline=0.05).delete("Shot", need)
        with pytest.raises(DeadlineExceeded, match="waited for futures"):
            late.result(LONG)
        gate.open()
        assert need.result(LONG) == {"type": "Shot", "id": 1}


def test_deadline_passes_while_a_read_runs(sandbox):
    """The call is aborted on its own connection; the others go on."""
    with executor_on(sandbox, max_workers=2) as executor:
        sandbox.hold("read", before=True)
        slow = executor.find("Shot", [])
        late = executor.options(deadline=0.2).find("Shot", [])
        sandbox.wait_for(2, "read")
        with pytest.raises(DeadlineExceeded, match=r"find Shot did not end within 0\.2 s.* ran"):
            late.result(LONG)
        sandbox.resume()
        assert slow.result(LONG) == []
        assert executor.find("Shot", []).result(LONG) == []


def test_deadline_passes_while_a_write_runs(sandbox):
    """The error of a write that was torn says that nobody knows, and how to find out."""
    with executor_on(sandbox) as executor:
        sandbox.hold("create")
        late = executor.options(deadline=0.2).create("Shot", {"code": "x"})
        error = late.exception(LONG)
        assert isinstance(error, DeadlineExceeded)
        assert outcome_unknown(error)
        assert "look for a Shot with these values" in str(error)
        sandbox.resume()


def test_deadline_passes_between_attempts(sandbox):
    """No pause goes beyond the deadline: the call then fails at once, by its own error."""
    with executor_on(sandbox) as executor:
        sandbox.fail_next("read", status=503, headers=LATER)
        with pytest.raises(ProtocolError, match="503"):
            executor.options(deadline=20).find("Shot", []).result(LONG)


def test_deadline_holds_for_the_calls_within_a_function(sandbox):
    """A function on a worker is stopped at its next request, or in the one that is under way."""
    with executor_on(sandbox, max_workers=1) as executor:
        sandbox.hold("read", before=True)
        late = executor.options(deadline=0.2).submit(lambda: executor.shotgun.find("Shot", []))
        with pytest.raises(DeadlineExceeded):
            late.result(LONG)
        sandbox.resume()
        gate = Gate()

        def slow(sg):
            gate()
            return sg.find("Shot", [])

        late = executor.options(deadline=0.05).call(slow)
        gate.wait_for(1)
        while late._call.end is None:
            threading.Event().wait(0.005)
        gate.open()
        with pytest.raises(DeadlineExceeded):
            late.result(LONG)
        assert executor.find("Shot", []).result(LONG) == []


def test_deadline_of_a_call_that_waits_on_a_worker(sandbox):
    """A function that waits for another call is woken by its own deadline, that other is not."""
    with executor_on(sandbox, max_workers=2) as executor:
        gate = Gate()
        other = executor.submit(gate, 5)
        gate.wait_for(1)
        late = executor.options(deadline=0.1).submit(other.result)
        with pytest.raises(DeadlineExceeded):
            late.result(LONG)
        gate.open()
        assert other.result(LONG) == 5


def test_calls_in_time_leave_nothing_behind(sandbox):
    """A deadline that was kept costs no memory: thousands of them are forgotten."""
    with executor_on(sandbox) as executor:
        view = executor.options(deadline=3600.0)
        for _ in range(20):
            for future in [view.submit(len, "ab") for _ in range(100)]:
                assert future.result(LONG) == 2
        assert len(executor._dispatch.alarm._rings) < 300


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"deadline": -1}, "deadline"),
        ({"deadline": "soon"}, "deadline"),
        ({"timeout": "long"}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"priority": 1.5}, "priority"),
    ],
)
def test_options_refuse_what_they_are_not(arguments, text):
    """Bad input is refused by name, before anything is sent."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        with pytest.raises((TypeError, ValueError), match=text):
            executor.options(**arguments)


def test_timeout_of_one_call(sandbox):
    """options(timeout=...) holds for its calls alone."""
    with executor_on(sandbox, retries=0) as executor:
        sandbox.hold("read", before=True)
        with pytest.raises(socket.timeout, match=r"0\.1 s"):
            executor.options(timeout=0.1).find("Shot", []).result(LONG)
        with pytest.raises(socket.timeout, match=r"0\.1 s"):
            executor.options(timeout=0.1).call(lambda sg: sg.find("Shot", [])).result(LONG)
        assert executor.config.timeout_secs is None
        patient = executor.find("Shot", [])
        sandbox.wait_for(1, "read")
        sandbox.resume()
        assert patient.result(LONG) == []


def calls_within(executor):
    """Ways in which a function may make a read of its own, by what they are called."""
    return {
        "a future": lambda: executor.find("Shot", []).result(LONG),
        "the facade": lambda: executor.shotgun.find("Shot", []),
        "a bulk read": lambda: executor.find_by_ids("Shot", [1]).result(LONG),
        "an iterator": lambda: list(executor.find_iter("Shot", [])),
        "a function within": lambda: executor.submit(executor.shotgun.find, "Shot", []).result(),
        "a map": lambda: list(executor.map(executor.shotgun.find, ["Shot"], [[]])),
        "a client": lambda: executor.call(lambda sg: sg.find("Shot", [])).result(LONG),
        "other options": lambda: executor.options(priority=1).find("Shot", []).result(LONG),
        "asyncio": lambda: asyncio.run(awaited(executor)),
    }


async def awaited(executor):
    return await executor.find("Shot", [])


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("way", list(calls_within(None)))
def test_timeout_of_a_function_is_that_of_its_calls(sandbox, way, workers):
    """options(timeout=..., retries=...).submit(...) holds for what the function asks the site."""
    if way == "asyncio" and workers == 1:
        pytest.skip("an event loop on the only worker runs no calls")
    with executor_on(sandbox, max_workers=workers, retries=QUICK) as executor:
        sandbox.hold("read", before=True)
        late = executor.options(timeout=0.1, retries=0).submit(calls_within(executor)[way])
        with pytest.raises(socket.timeout, match=r"0\.1 s"):
            late.result(LONG)
        assert sandbox.counters().requests["read"] == 1
        patient = executor.submit(calls_within(executor)[way])
        sandbox.wait_for(1, "read")  # the one that was given up has gone
        sandbox.resume()
        assert patient.result(LONG) is not None


@pytest.mark.parametrize("way", ["a future", "the facade", "a function within", "a map"])
def test_retries_of_a_function_are_those_of_its_calls(sandbox, way):
    """In both directions; and for no other call."""
    with executor_on(sandbox, retries=QUICK) as executor:
        sandbox.fail_next("read", status=503)
        with pytest.raises(ProtocolError):
            executor.options(retries=0).submit(calls_within(executor)[way]).result(LONG)
        sandbox.fail_next("read", status=503)
        executor.submit(calls_within(executor)[way]).result(LONG)
    with executor_on(sandbox, retries=0) as executor:
        sandbox.fail_next("read", status=503)
        executor.options(retries=QUICK).submit(calls_within(executor)[way]).result(LONG)


def test_options_of_a_call_go_before_those_of_its_function(sandbox):
    """Within a function with a short timeout a call may have a long one, and the reverse."""
    with executor_on(sandbox, retries=0) as executor:
        sandbox.hold("read", before=True)

        def patient():
            return executor.options(timeout=LONG).find("Shot", []).result(LONG)

        def hasty():
            return executor.options(timeout=0.1).find("Shot", []).result(LONG)

        with pytest.raises(socket.timeout, match=r"0\.1 s"):
            executor.options(timeout=LONG).submit(hasty).result(LONG)
        found = executor.options(timeout=0.05).submit(patient)
        sandbox.wait_for(1, "read")
        with pytest.raises(concurrent.futures.TimeoutError):
            found.result(0.2)
        sandbox.resume()
        assert found.result(LONG) == []


def test_options_of_a_function_are_of_its_own_executor(sandbox):
    """Another executor's calls have their own."""
    with executor_on(sandbox, retries=QUICK) as executor, executor_on(sandbox) as other:
        sandbox.fail_next("read", status=503)
        view = other.options(retries=0)
        assert view.submit(lambda: executor.find("Shot", []).result(LONG)).result(LONG) == []


def test_options_of_a_function_are_not_those_of_what_it_waits_for(sandbox):
    """A worker that runs another's call, since it waits for it, runs that with its own options."""
    with executor_on(sandbox, max_workers=1, retries=0) as executor:
        gate = Gate()
        busy = executor.submit(gate)
        gate.wait_for(1)
        others: list = []
        hasty = executor.options(timeout=0.05, priority=1).submit(lambda: others[0].result(LONG))
        others.append(executor.submit(executor.shotgun.find, "Shot", []))
        sandbox.hold("read", before=True)
        gate.open()
        sandbox.wait_for(1, "read")
        with pytest.raises(concurrent.futures.TimeoutError):
            hasty.result(0.2)
        sandbox.resume()
        assert hasty.result(LONG) == []
        assert busy.done()


def test_timeout_of_a_call_within_ends_with_it(sandbox):
    """The client of a function has its own timeout again after a call with another one."""
    with executor_on(sandbox, max_workers=1, retries=0) as executor:

        def work(sg):
            executor.options(timeout=LONG).find("Shot", []).result(LONG)
            sandbox.hold("read", before=True)
            return sg.find("Shot", [])

        try:
            with pytest.raises(socket.timeout, match=r"0\.1 s"):
                executor.options(timeout=0.1).call(work).result(LONG)
        finally:
            sandbox.resume()


# Aborts


def test_running_read_can_be_aborted(sandbox):
    """cancel(abort=True) ends a read where it is, and its future is cancelled."""
    with executor_on(sandbox, max_workers=1) as executor:
        sandbox.hold("read", before=True)
        future = executor.find("Shot", [])
        sandbox.wait_for(1, "read")
        assert not future.cancel()
        assert future.cancel(abort=True)
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(LONG)
        assert future.cancelled()
        sandbox.resume()
        assert executor.find("Shot", []).result(LONG) == []


def test_running_write_is_not_torn(sandbox):
    """cancel(abort=True) lets a write end."""
    with executor_on(sandbox) as executor:
        project = executor.create("Project", {"name": "p"}).result(LONG)
        sandbox.hold("create")
        future = executor.create("Shot", {"code": "x", "project": project})
        sandbox.wait_for(1, "create")
        assert not future.cancel(abort=True)
        sandbox.resume()
        assert future.result(LONG)["type"] == "Shot"


def test_abort_of_one_call_leaves_the_call_that_waits_in_it(sandbox):
    """What a worker ran for a call that was ended is made again for the others."""
    with executor_on(sandbox, max_workers=1) as executor:
        sandbox.hold("read", before=True)
        inner = []

        def outer():
            inner.append(executor.find("Shot", []))
            return inner[0].result()

        late = executor.options(deadline=0.2).submit(outer)
        with pytest.raises(DeadlineExceeded):
            late.result(LONG)
        sandbox.resume()
        assert inner[0].result(LONG) == []


# The end


def test_limited_shutdown_finishes_what_it_can(sandbox):
    """Within its time it is as any other."""
    executor = executor_on(sandbox)
    futures = [executor.find("Shot", []) for _ in range(20)]
    executor.shutdown(wait=LONG)
    assert [future.result(0) for future in futures] == [[]] * 20


def test_limited_shutdown_ends_what_is_left(sandbox):
    """After its time, what waits is cancelled, and what runs is aborted and told so."""
    executor = executor_on(sandbox, max_workers=2)
    sandbox.hold(before=True)
    reading, writing = executor.find("Shot", []), executor.create("Shot", {"code": "x"})
    sandbox.wait_for(2)
    waiting = executor.find("Shot", [])
    executor.shutdown(wait=0.1)
    assert waiting.cancelled()
    with pytest.raises(ShutdownError, match="find Shot was ended by a shutdown"):
        reading.result(0)
    with pytest.raises(ShutdownError) as raised:
        writing.result(0)
    assert outcome_unknown(raised.value)
    sandbox.resume()


def test_limited_shutdown_ends_repeats(sandbox):
    """A call that waits to be made again is cancelled."""
    executor = executor_on(sandbox)
    sandbox.fail_next("read", status=503, headers=LATER)
    future = executor.find("Shot", [])
    waits_to_be_made_again(future)
    executor.shutdown(wait=0.01)
    assert future.cancelled()


def test_limited_shutdown_returns_without_a_function_that_does_not_end(caplog, monkeypatch):
    """Python code cannot be aborted; the shutdown says so and returns."""
    monkeypatch.setattr("shotgun_executor.executor.GRACE", 0.05)
    executor = ShotgunExecutor(NOWHERE, **KEYS)
    gate = Gate()
    future = executor.submit(gate)
    gate.wait_for(1)
    executor.shutdown(wait=0.01)
    assert "does not end" in caplog.text
    gate.open()
    future.result(LONG)


def test_limited_shutdown_on_a_worker_stops_later(sandbox):
    """A call that shuts its executor down cannot wait; what is left then is ended all the same."""
    executor = executor_on(sandbox, max_workers=2)
    sandbox.hold()
    reading = executor.find("Shot", [])
    sandbox.wait_for(1)
    gate = Gate()
    asking = executor.submit(lambda: (executor.shutdown(wait=0.05), gate()))
    gate.wait_for(1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(len, "abc")
    with pytest.raises(ShutdownError, match="find Shot was ended by a shutdown"):
        reading.result(LONG)
    gate.open()
    assert asking.result(LONG) == (None, None)
    sandbox.resume()


@pytest.mark.parametrize("wait", ["soon", -1.0, None])
def test_shutdown_refuses_what_is_no_time(wait):
    """Bad input is refused by name."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        with pytest.raises((TypeError, ValueError), match="wait"):
            executor.shutdown(wait=wait)


def test_with_block_that_raises_cancels_what_has_not_started():
    """The error does not wait for a backlog that nobody will look at; what runs is finished."""
    gate, futures = Gate(), []

    def open_late():
        concurrent.futures.wait(futures[1:], LONG)
        gate.open()

    def block():
        with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
            futures.extend(executor.submit(gate, number) for number in range(5))
            gate.wait_for(1)
            joins.append(in_thread(open_late))
            raise ValueError("stop")

    joins: list = []
    with pytest.raises(ValueError, match="stop"):
        block()
    joins[0]()
    assert futures[0].result(0) == 0
    assert all(future.cancelled() for future in futures[1:])


def test_shutdown_from_a_callback_of_a_repeat_ends(sandbox):
    """A callback that shuts down does not wait for itself."""
    executor = executor_on(sandbox, retries=QUICK)
    done = threading.Event()
    sandbox.fail_next("read", status=503)
    future = executor.find("Shot", [])
    future.add_done_callback(lambda _: (executor.shutdown(wait=False), done.set()))
    assert future.result(LONG) == []
    assert done.wait(LONG)


def test_traceback_of_an_error_does_not_grow():
    """result() may be asked for again and again."""

    def length():
        with pytest.raises(ValueError, match="invalid literal") as raised:
            future.result(LONG)
        return len(traceback.extract_tb(raised.value.__traceback__))

    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        future = executor.submit(int, "x")
        assert len({length() for _ in range(5)}) == 1


# The clock


def test_alarm_calls_in_order_and_only_what_was_not_called_off():
    """Each function is called once, at its time, unless it was cancelled."""
    alarm, called, done, gate = Alarm("test-alarm"), [], threading.Event(), Gate()
    alarm.after(0, gate)
    gate.wait_for(1)  # all are due when it goes on, in the order of times that are seconds apart
    late = alarm.after(-1, lambda: called.append("late"))
    alarm.after(-5, lambda: called.append("second"))
    alarm.after(-9, lambda: called.append("first"))
    off = alarm.after(-7, lambda: called.append("cancelled"))
    alarm.after(-3, lambda: 1 / 0)  # is logged, and ends nothing
    alarm.after(0, done.set)
    off.cancel()
    off.cancel()
    gate.open()
    assert done.wait(LONG)
    late.cancel()  # too late, without effect
    assert called == ["first", "second", "late"]
    alarm.close()
    with pytest.raises(RuntimeError, match="shut down"):
        alarm.after(1, done.set)


def test_alarm_that_nobody_uses_has_no_thread():
    """An executor without deadlines and repeats starts no clock."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        executor.submit(len, "").result(LONG)
        assert executor._dispatch.alarm._thread is None


EXIT = """
import atexit, os
from shotgun_executor import ShotgunExecutor
from shotgun_executor.sandbox import Sandbox

sandbox = Sandbox().__enter__()

def tell():
    counters = sandbox.counters()
    print("creates", counters.requests["create"], "reads", counters.requests.get("read", 0))
    print({name: future.cancelled() for name, future in last.items()})
    sandbox.close()

atexit.register(tell)
executor = ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=2)
executor.connect()
sandbox.fail_next("create", status=429, headers={"Retry-After": "50"})
delayed = executor.create("Project", {"name": "delayed"})
while delayed._call.state.name != "DELAYED":
    pass
sandbox.set_latency(0.02)
reads = [executor.find("Shot", []) for _ in range(2000)]
writes = [executor.create("Project", {"name": f"p{n}"}) for n in range(10)]
last = {"read": reads[-1], "write": writes[-1], "delayed": delayed}
"""


def test_interpreter_exit_gives_up_reads_and_finishes_writes():
    """A backlog of reads holds up no exit; no write that was accepted is lost or torn."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    counted, cancelled = done.stdout.splitlines()
    words = counted.split()
    assert words[:2] == ["creates", "12"]
    assert int(words[3]) < 2000
    assert cancelled == "{'read': True, 'write': False, 'delayed': False}"
