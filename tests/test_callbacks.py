"""Callbacks of futures: whatever they wait for or raise, every future is told."""

from __future__ import annotations

import concurrent.futures
import contextlib
import signal
import threading

import pytest

from shotgun_executor import (
    DeadlineExceeded,
    DependencyError,
    Limit,
    ShotgunExecutor,
    as_completed,
    wait,
)
from shotgun_executor.call import Options
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread, wait_until


@pytest.fixture
def executor():
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        yield executor


def needing(executor, *needs, function=len, args=("abc",)):
    return executor._dispatch.submit(function, args, {}, needs=list(needs))


def leave(_):
    raise SystemExit(3)


# What raises


def test_callback_that_raises_system_exit_keeps_no_other_from_being_called(executor):
    """The callbacks behind it are called, and so are the calls that need the future."""
    gate = Gate()
    first = executor.submit(gate, "x")
    called = []
    first.add_done_callback(leave)
    first.add_done_callback(called.append)
    second = needing(executor, first)
    gate.open()
    assert second.result(LONG) == 3
    assert called == [first]


def test_callback_that_raises_system_exit_wakes_the_worker_that_waits(executor):
    """A worker that waits for the future goes on, as it would have without the callback."""
    gate = Gate()
    first = executor.submit(gate, "x")
    gate.wait_for(1)
    first.add_done_callback(leave)
    waiting = executor.submit(lambda: first.result(LONG))
    wait_until(lambda: first._call is not None and bool(first._call.watchers))
    gate.open()
    assert waiting.result(LONG) == "x"


def test_cancel_whose_callback_raises_system_exit_tells_all_who_wait(executor):
    """The call is withdrawn, wait() returns, and what the callback raised is raised."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    first = needing(executor, need)
    second = needing(executor, first)
    first.add_done_callback(leave)
    with pytest.raises(SystemExit):
        first.cancel()
    assert not concurrent.futures.wait([first, second], LONG).not_done
    assert second.cancelled()
    assert executor.stats().cancelled == 2
    need.set_result(None)


def test_callback_that_raises_of_a_future_that_is_done_raises_at_once(executor):
    """As in the standard library: who adds it gets what it raises."""
    future = executor.submit(len, "ab")
    assert future.result(LONG) == 2
    with pytest.raises(SystemExit):
        future.add_done_callback(leave)
    future.add_done_callback(lambda _: 1 / 0)  # logged, by the standard library
    assert future.result(LONG) == 2


# What waits for what its own thread would do next


WAYS = {
    "result": lambda future: future.result(LONG),
    "exception": lambda future: future.exception(LONG),
    "wait": lambda future: wait([future], LONG).not_done and pytest.fail("it was not told"),
    "as_completed": lambda future: list(as_completed([future], LONG)),
}


def outcome_of(way, future):
    """What waiting for *future* comes to: a result, or the name of an error."""
    try:
        WAYS[way](future)
    except BaseException as error:
        return type(error).__name__
    return "returned"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("on_worker", [False, True])
def test_callback_may_wait_for_a_dependant_that_is_told_after_it(executor, way, on_worker):
    """Each thread tells dependants one after the other; a callback that waits has them told."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    first, second = needing(executor, need), needing(executor, need)
    last = needing(executor, second)
    seen = []
    first.add_done_callback(lambda _: seen.append(outcome_of(way, last)))

    def fail():
        need.set_exception(OSError("gone"))

    if on_worker:
        executor.submit(fail).result(LONG)
    else:
        in_thread(fail)()
    assert seen == ["DependencyError" if way == "result" else "returned"]
    assert type(last.exception(LONG)).__name__ == "DependencyError"


@pytest.mark.parametrize("way", WAYS)
def test_callback_may_wait_for_a_call_whose_need_is_told_by_a_later_callback(executor, way):
    """The future is done, though the callback that would say so comes after this one."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    seen = []
    need.add_done_callback(lambda _: seen.append(outcome_of(way, third)))
    first = needing(executor, need)
    second = needing(executor, first)
    third = needing(executor, second)
    in_thread(lambda: need.set_result(None))()
    assert seen == ["returned"]
    assert third.result(LONG) == 3


def test_callback_may_wait_for_a_call_one_of_whose_needs_has_failed(executor):
    """The failure counts at once, though another need is still open."""
    open_need: concurrent.futures.Future = concurrent.futures.Future()
    need: concurrent.futures.Future = concurrent.futures.Future()
    seen = []
    need.add_done_callback(lambda _: seen.append(outcome_of("result", call)))
    call = needing(executor, open_need, need)
    in_thread(lambda: need.set_exception(OSError("gone")))()
    assert seen == ["DependencyError"]
    open_need.set_result(None)


def test_callback_of_a_gathered_call_may_wait_for_another_of_its_batch(sandbox):
    """Outcomes of a batch are told one after the other; a callback that waits has them told."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        project = executor.create("Project", {"name": "show"})
        shots = [executor.create("Shot", {"code": code, "project": project}) for code in "abc"]
        ids = [shot.result(LONG)["id"] for shot in shots]
        seen = []
        with executor.batching() as batch:
            futures = [batch.update("Shot", number, {"description": "x"}) for number in ids]
            futures[0].add_done_callback(lambda _: seen.append(futures[2].result(LONG)["id"]))
    assert seen == [ids[2]]


@pytest.mark.parametrize("way", WAYS)
def test_callback_may_wait_for_a_gathered_call_that_needs_the_same_future(sandbox, way):
    """What it needs is there, though the callback that would say so comes after this one."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        need: concurrent.futures.Future = concurrent.futures.Future()
        seen = []
        need.add_done_callback(lambda _: seen.append(outcome_of(way, written)))
        project = executor.create("Project", {"name": "show"}).result(LONG)
        data = {"code": need, "project": project}
        written = executor.batching().create("Shot", data)
        in_thread(lambda: need.set_result("a"))()
        assert seen == ["returned"]
        assert written.result(LONG)["code"] == "a"


def test_callback_of_a_shared_read_may_wait_for_another_reader(sandbox):
    """Readers are told one after the other; a callback that waits has them told."""
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=1, share_reads=True
    ) as executor:
        gate = Gate()
        executor.submit(gate)
        readers = [executor.find("Shot", []) for _ in range(3)]
        seen = []
        readers[0].add_done_callback(lambda _: seen.append(readers[2].result(LONG)))
        gate.open()
        assert readers[1].result(LONG) == []
        wait_until(lambda: seen == [[]])


# Cancelled while it fails


def test_cancel_in_the_middle_of_a_failure_is_refused(executor):
    """Who waits for a call that is failing is told so; a cancel at that moment comes too late."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    call = needing(executor, need)
    said = []
    executor.add_observer(
        lambda event: said.append(call.cancel()) if event.kind == "ended" else None
    )
    need.set_exception(OSError("gone"))
    assert said == [False]
    assert concurrent.futures.wait([call], LONG).done == {call}
    assert type(call.exception(LONG)).__name__ == "DependencyError"


# Signal handlers


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers of signals here")
@pytest.mark.parametrize("state", ["waits", "runs"])
def test_signal_handler_may_cancel_what_the_main_thread_waits_for(executor, sandbox, state):
    """The wait ends, wherever in it the signal came, with CancelledError."""
    assert threading.current_thread() is threading.main_thread()
    outer = signal.getsignal(signal.SIGALRM)
    need: concurrent.futures.Future = concurrent.futures.Future()
    sandbox.hold("read")
    with ShotgunExecutor(sandbox.url, **sandbox.credentials) as reading:
        running = reading.find("Shot", [])
        sandbox.wait_for(1)
        future = needing(executor, need) if state == "waits" else running
        said = []
        signal.signal(signal.SIGALRM, lambda *_: said.append(future.cancel(abort=True)))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(concurrent.futures.CancelledError):
                future.result(LONG)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, outer)
            sandbox.resume()
    assert said == [True]
    need.set_result(None)


# What shuts down, or needs the clock


def blocked(executor, need):
    return needing(executor, need)


def gathered(executor, need):
    return executor.batching().update("Shot", 1, {"description": need})


@pytest.mark.parametrize("make", [blocked, gathered])
def test_callback_of_a_cancel_may_shut_down(make):
    """It does not wait for the very call that is being cancelled on its thread."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
    need: concurrent.futures.Future = concurrent.futures.Future()
    future = make(executor, need)
    other = executor.submit(len, "abc")
    future.add_done_callback(lambda _: executor.shutdown())
    assert in_thread(future.cancel)()
    assert other.result(LONG) == 3
    executor.shutdown()


def test_callback_of_a_future_of_others_may_shut_down():
    """What needs that future is run first, though it is told of it only after the callback."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
    need: concurrent.futures.Future = concurrent.futures.Future()
    need.add_done_callback(lambda _: executor.shutdown())
    future = needing(executor, need)
    in_thread(lambda: need.set_result(None))()
    assert future.result(0) == 3


@pytest.mark.parametrize("way", ["result", "standard"])
def test_callback_of_an_expired_call_may_wait_for_what_is_due_later(way):
    """The clock goes on, on another thread: here it ends the wait for the next start."""
    limit = Limit(per_second=4)
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, limit=limit) as executor:
        seen: list = []
        told = threading.Event()

        def callback(_):
            futures = [executor.submit(len, "ab") for _ in range(2)]
            if way == "standard":
                concurrent.futures.wait(futures, LONG)
            seen.extend(future.result(LONG) for future in futures)
            told.set()

        need: concurrent.futures.Future = concurrent.futures.Future()
        options = Options(deadline=0.05)
        future = executor._dispatch.submit(len, ("abc",), {}, needs=[need], options=options)
        future.add_done_callback(callback)
        assert told.wait(LONG / 2)
        assert seen == [2, 2]
        need.cancel()


def test_callback_of_an_expired_call_may_raise_system_exit(executor, caplog):
    """It does not end the clock: the next deadline holds."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    options = Options(deadline=0.02)
    for _ in range(2):
        future = executor._dispatch.submit(len, ("abc",), {}, needs=[need], options=options)
        future.add_done_callback(leave)
        assert isinstance(future.exception(LONG / 2), DeadlineExceeded)
    need.cancel()


def test_callback_that_raises_keeps_no_worker_from_what_it_has_taken():
    """A worker that finds a need failed tells so, and runs what it took for its own wait."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        bad: concurrent.futures.Future = concurrent.futures.Future()
        seen: list = []

        def callback(_):
            with contextlib.suppress(SystemExit):
                failing.exception()
            seen.append(other.result(LONG))

        def fail():
            bad.set_exception(OSError("gone"))

        bad.add_done_callback(callback)
        gate = Gate()
        executor.submit(gate)
        gate.wait_for(1)
        outer = executor.submit(fail)
        other = executor.submit(len, "ab")
        failing = needing(executor, bad, other)
        failing.add_done_callback(leave)
        gate.open()
        outer.result(LONG)
        assert seen == [2]
        assert type(failing.exception(LONG)).__name__ == "DependencyError"


# Many of them


MANY = 300  # each within the one before, they would fill the stack


@pytest.mark.parametrize("looks_at", ["its own result", "the next result"])
@pytest.mark.parametrize("settings", [{"gather_reads": True}, {"share_reads": True}, {}])
def test_many_gathered_calls_whose_callbacks_look_at_results(sandbox, settings, looks_at):
    """However many calls are told together, each is, and so is each callback."""
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, batch_writes=not settings, **settings
    ) as executor:
        project = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
        ids = [1 if "share_reads" in settings else n for n in range(1, MANY + 1)]
        if settings:
            futures = [executor.find_one("Shot", [["id", "is", n]]) for n in ids]
        else:
            data = {"project": project}
            made = [executor.create("Shot", {"code": f"sh{n}", **data}) for n in range(MANY)]
            futures = [executor.update("Shot", shot, {"description": "x"}) for shot in made]
        seen = []
        for future, following in zip(futures, [*futures[1:], futures[-1]]):
            looked_at = future if looks_at == "its own result" else following
            future.add_done_callback(lambda _, it=looked_at: seen.append(it.result(LONG)))
        assert not concurrent.futures.wait(futures, LONG).not_done
        wait_until(lambda: len(seen) == MANY)


def test_many_gathered_calls_that_are_shared_too_are_told(sandbox):
    """Readers between those who asked and the joint request fill no stack either."""
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, share_reads=True, gather_reads=True
    ) as executor:
        futures = [executor.find_one("Shot", [["id", "is", n]]) for n in range(1, MANY + 1)]
        assert [future.result(LONG) for future in futures] == [None] * MANY


def test_cancel_of_what_was_taken_to_be_told_is_notified(executor):
    """A call that will fail as what it needs has failed, cancelled before it is told so."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    first, gate = needing(executor, need), Gate()
    second = needing(executor, first)
    first.add_done_callback(lambda _: gate())
    failing = in_thread(lambda: need.set_exception(ValueError("no")))
    gate.wait_for(1)
    cancelled = second.cancel()
    gate.open()
    failing()
    assert concurrent.futures.wait([second], LONG).done == {second}
    assert second.cancelled() is cancelled
    assert executor.stats().running == 0


def test_callback_that_raises_system_exit_on_another_thread_is_not_ours(executor):
    """Who adds a harmless callback meanwhile is not ended by what another one has raised."""
    work, slow = Gate(), Gate()
    future = executor.submit(work)
    future.add_done_callback(leave)
    future.add_done_callback(lambda _: slow())
    work.open()
    slow.wait_for(1)
    added = Gate()
    future.add_done_callback(lambda _: added.open())
    slow.open()
    assert added.opened.wait(LONG)


def test_callback_that_raises_system_exit_keeps_no_call_from_being_cancelled(executor):
    """shutdown(cancel_futures=True) cancels all that waits; then it is raised."""
    gate = Gate()
    running = [executor.submit(gate) for _ in range(2)]
    gate.wait_for(2)
    waiting = [executor.submit(len, "abc") for _ in range(5)]
    waiting[0].add_done_callback(leave)
    with pytest.raises(SystemExit):
        executor.shutdown(wait=False, cancel_futures=True)
    assert concurrent.futures.wait(waiting, LONG).done == set(waiting)
    assert all(future.cancelled() for future in waiting)
    gate.open()
    assert [future.result(LONG) for future in running] == [None, None]


def test_a_call_one_of_whose_needs_has_failed_never_runs(executor):
    """Also if that one has not told so yet, when the last of the others is done."""
    failing: concurrent.futures.Future = concurrent.futures.Future()
    other: concurrent.futures.Future = concurrent.futures.Future()
    first, last, ran = Gate(), Gate(), []
    failing.add_done_callback(lambda _: first())
    other.add_done_callback(lambda _: last())
    call = needing(executor, failing, other, function=ran.append)
    done = in_thread(lambda: other.set_result(2))
    last.wait_for(1)
    with pytest.raises(concurrent.futures.TimeoutError):
        call.result(0)  # looks at its needs, on this thread
    failed = in_thread(lambda: failing.set_exception(ValueError("no")))
    first.wait_for(1)
    last.open()
    done()
    error = call.exception(LONG)
    first.open()
    failed()
    assert isinstance(error, DependencyError)
    assert ran == []


def test_shutdown_waits_until_all_is_told():
    """Also for what fails since what it needs has failed, while a slow callback comes first."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=2)
    need: concurrent.futures.Future = concurrent.futures.Future()
    first, gate = needing(executor, need), Gate()
    second = needing(executor, first)
    first.add_done_callback(lambda _: gate())
    failing = in_thread(lambda: need.set_exception(ValueError("no")))
    gate.wait_for(1)
    ending = in_thread(lambda: (executor.shutdown(), second.done())[1])
    wait_until(lambda: executor._dispatch._closed)
    gate.open()
    assert ending()
    failing()
