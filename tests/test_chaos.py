"""Errors where nobody expects them, signals at any moment, forks, and the end of the process."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import shotgun_executor
from shotgun_executor import Limit, Retries, ShotgunExecutor, transport
from shotgun_executor.alarm import Alarm
from shotgun_executor.wire import Wire
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread

QUICK = Retries(2, first_wait=0.001)
NO_THREAD = "can't start new thread"


# What raises


def called_by_us():
    """Whether it is the package that has called what calls this, maybe through `threading`."""
    frame = sys._getframe(2)
    while frame.f_globals["__name__"] == "threading":
        frame = frame.f_back
    return frame.f_globals["__name__"].startswith("shotgun_executor.")


class Trap:
    """Stands in for a method: raises when the package calls it the *step*-th time, or from then."""

    def __init__(self, owner, name, error, step, *, forever=False):
        self.owner, self.name, self.error = owner, name, error
        self.step, self.forever = step, forever
        self.method = getattr(owner, name)
        self.calls = 0
        self.lock = threading.Lock()

    def __enter__(self):
        trap = self

        def trapped(*args, **kwargs):
            if trap.owner is not threading.Thread and not called_by_us():
                return trap.method(*args, **kwargs)
            with trap.lock:
                trap.calls += 1
                hit = trap.calls == trap.step or (trap.forever and trap.calls > trap.step)
            if hit:
                raise trap.error
            return trap.method(*args, **kwargs)

        setattr(self.owner, self.name, trapped)
        return self

    def __exit__(self, *_):
        setattr(self.owner, self.name, self.method)


def everything(executor, errors):
    """Calls of all kinds, as far as they are accepted. Returns their futures."""
    futures = []

    def keep(submit, *args):
        try:
            futures.append(submit(*args))
        except (RuntimeError, MemoryError) as error:
            errors.append(error)

    def nested():
        return executor.submit(len, "abc").result()

    view = executor.options(deadline=LONG)
    keep(executor.submit, len, "abc")
    keep(view.submit, nested)
    keep(executor.find, "Project", [])
    keep(view.find, "Project", [])
    keep(view.find, "Project", [["id", "is", futures[-1]]] if futures else [])
    keep(executor.submit, nested)
    return futures


TRAPS = [
    (threading.Thread, "start", RuntimeError(NO_THREAD)),
    (threading.Thread, "start", MemoryError()),
    (ThreadPoolExecutor, "submit", RuntimeError(NO_THREAD)),
    (ThreadPoolExecutor, "submit", MemoryError()),
    (Alarm, "after", RuntimeError(NO_THREAD)),
    (Alarm, "after", MemoryError()),
    # What blocks: on a socket, for a name, a connection or a handshake, and between two attempts.
    (Wire, "send", MemoryError()),
    (Wire, "recv_into", MemoryError()),
    (Wire, "_wait", MemoryError()),
    (transport, "open_socket", MemoryError()),
    (threading.Condition, "wait", MemoryError()),
    (threading.Event, "wait", RuntimeError()),
]


@pytest.mark.parametrize("forever", [False, True])
@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: f"{trap[1]}-{type(trap[2]).__name__}")
def test_every_future_resolves_whatever_raises(sandbox, trap, forever):
    """No thread, no memory, at each place in turn: what was accepted is resolved all the same."""
    errors: list = []
    step = 0
    hit = True
    while hit and step < 40:
        step += 1
        sandbox.clear()
        sandbox.fail("read", status=503, fraction=0.5, seed=step)
        executor = ShotgunExecutor(
            sandbox.url,
            **sandbox.credentials,
            max_workers=2,
            retries=QUICK,
            limit=Limit(1, per_second=1000),
        )
        with Trap(*trap, step, forever=forever) as set_trap:
            futures = everything(executor, errors)
            assert not concurrent.futures.wait(futures, LONG).not_done
            hit = set_trap.calls >= step
        assert executor.submit(len, "ab").result(LONG) == 2
        in_thread(executor.shutdown)()
        stats = executor.stats()
        assert stats.submitted == stats.done + stats.failed + stats.cancelled
        assert executor.limit.running == 0
    assert step > 1


class Locks:
    """Makes the locks of the package such that the one taken as number *step* raises instead."""

    def __init__(self, error, step):
        self.error, self.step = error, step
        self.calls = 0
        self.lock, self.rlock = threading.Lock, threading.RLock
        self.armed = False
        self.where = None

    def __enter__(self):
        threading.Lock = self._made_by(self.lock)
        threading.RLock = self._made_by(self.rlock)
        return self

    def __exit__(self, *_):
        threading.Lock, threading.RLock = self.lock, self.rlock
        self.armed = False
        self.error = None  # its frames hold what they could not give back

    def _made_by(self, make):
        def made():
            ours = sys._getframe(1).f_globals["__name__"].startswith("shotgun_executor.")
            return TrappedLock(self, make()) if ours else make()

        return made

    def taken(self):
        """Called before one is taken."""
        if self.armed:
            self.calls += 1
            if self.calls == self.step:
                frame = sys._getframe(2)
                self.where = " < ".join(_calls_from(frame, 6))
                raise self.error


def _calls_from(frame, count):
    """Where *frame* is, and what called it."""
    while frame is not None and count:
        yield f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame, count = frame.f_back, count - 1


class TrappedLock:
    """A lock that asks before it is taken; else as the one that it stands for."""

    def __init__(self, locks, lock):
        self._locks, self._lock = locks, lock

    def acquire(self, *args, **kwargs):
        self._locks.taken()
        return self._lock.acquire(*args, **kwargs)

    def __enter__(self):
        self._locks.taken()
        return self._lock.__enter__()

    def __exit__(self, *error):
        return self._lock.__exit__(*error)

    def __getattr__(self, name):  # what a Condition asks of a re-entrant lock
        return getattr(self._lock, name)


@pytest.mark.slow
@pytest.mark.parametrize("error", [MemoryError, RecursionError], ids=lambda error: error.__name__)
def test_every_future_resolves_whichever_lock_raises(sandbox, caplog, error):
    """An error in place of each lock in turn, on whatever thread: nothing is lost by it."""
    # A record of the log would keep those frames too.
    for name in ("concurrent.futures", "shotgun_executor"):
        caplog.set_level(logging.CRITICAL + 1, name)
    errors: list = []
    step = 0
    hit = True
    while hit:
        step += 1
        with Locks(error(f"lock {step}"), step) as locks:
            executor = ShotgunExecutor(
                sandbox.url, **sandbox.credentials, max_workers=2, retries=QUICK
            )
            executor.connect()
            locks.armed = True
            futures = everything(executor, errors)
            late = concurrent.futures.wait(futures, LONG).not_done
            locks.armed = False
            hit = locks.calls >= step
        assert not late, f"{late} after {locks.where}"
        assert executor.submit(len, "ab").result(LONG) == 2, locks.where
        in_thread(executor.shutdown)()
        stats = executor.stats()
        assert stats.submitted == stats.done + stats.failed + stats.cancelled, locks.where
        assert executor.limit.running == 0, locks.where
        errors.clear()
    assert step > 30


def test_callback_that_raises_system_exit_ends_no_cascade():
    """All that depends on a cancelled call is cancelled, whatever the callbacks of some raise."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        submit = executor._dispatch.submit
        need: concurrent.futures.Future = concurrent.futures.Future()
        first = submit(len, ("",), {}, needs=[need])
        rest = [submit(len, ("",), {}, needs=[first]) for _ in range(5)]
        last = submit(len, ("",), {}, needs=[rest[-1]])

        def leave(_):
            raise SystemExit

        rest[1].add_done_callback(leave)
        with pytest.raises(SystemExit):
            need.set_exception(OSError())
        assert not concurrent.futures.wait([first, *rest, last], LONG).not_done


def test_observer_that_raises_system_exit_changes_no_count(sandbox):
    """A call ends once in the numbers, and no repeat is left in line, whatever observers do."""

    def leave(event):
        if event.kind in ("repeated", "ended"):
            raise SystemExit

    with ShotgunExecutor(sandbox.url, **sandbox.credentials, retries=QUICK) as executor:
        executor.add_observer(leave)
        sandbox.fail_next("read", status=503)
        futures = [executor.find("Shot", []), executor.submit(len, "")]
        assert not concurrent.futures.wait(futures, LONG).not_done
    stats = executor.stats()
    assert stats.submitted == stats.done + stats.failed + stats.cancelled == 2


def test_call_that_is_cancelled_just_after_it_was_taken_wakes_who_waits():
    """Between a worker's taking it and its start: counted once, and its waiters are woken."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        gate = Gate()
        executor.submit(gate)
        gate.wait_for(1)
        executor.submit(gate)
        gate.wait_for(1)
        future = executor.submit(len, "abc")
        call = future._call
        assert call is not None
        with executor._dispatch.lock:
            assert executor._dispatch.take(call)
        watcher = threading.Event()
        call.watchers = [watcher]
        assert future.cancel()
        call.run()
        assert watcher.is_set()
        gate.open()
    stats = executor.stats()
    assert (stats.submitted, stats.done, stats.cancelled) == (3, 2, 1)


# Limits


def test_calls_behind_a_shared_limit_are_not_forgotten():
    """Who makes room for another executor while it has calls left gets its turn again."""
    shared, gate = Limit(1), Gate()
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, limit=shared) as one:
        with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, limit=shared) as two:
            one.submit(gate)
            gate.wait_for(1)
            left = one.submit(len, "abc")  # waits for its only worker, not for room
            other = two.submit(len, "ab")  # waits for room
            gate.open()
            assert other.result(LONG) == 2
            assert left.result(LONG) == 3


def test_limit_that_grows_again_is_used_by_what_waits():
    """Workers that left when it was lowered come back when it is raised, without a new call."""
    first, second = Gate(), Gate()
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        for _ in range(2):
            executor.submit(first)
        first.wait_for(2)
        for _ in range(4):
            executor.submit(second)
        executor.limit.calls = 1
        first.open()
        second.wait_for(1)
        executor.limit.calls = 2
        second.wait_for(1)
        second.open()


def test_rate_that_is_lifted_releases_what_it_held_back():
    """From one call in an hour to any number: at once."""
    with ShotgunExecutor(NOWHERE, **KEYS, limit=Limit(per_second=1 / 3600)) as executor:
        futures = [executor.submit(len, "ab") for _ in range(5)]
        assert futures[0].result(LONG) == 2
        executor.limit.per_second = None
        assert [future.result(LONG) for future in futures] == [2] * 5


def test_executor_that_is_dropped_while_its_rate_holds_it_back_does_its_calls():
    """Between two calls no worker runs; the calls are made nevertheless."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, limit=Limit(per_second=20))
    futures = [executor.submit(len, "ab") for _ in range(3)]
    del executor
    assert [future.result(LONG) for future in futures] == [2] * 3


# Shutdown


def test_shutdown_on_a_worker_returns_and_loses_nothing():
    """It cannot wait for itself; what was accepted is done."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
    gate = Gate()
    executor.submit(gate)
    stopping = executor.submit(executor.shutdown)
    last = executor.submit(len, "abc")
    gate.open()
    assert stopping.result(LONG) is None
    assert last.result(LONG) == 3
    in_thread(executor.shutdown)()


# Signals

WATCHED = (
    str(Path(shotgun_executor.__file__).parent),
    threading.__file__,
    concurrent.futures._base.__file__,
)


def shut_down_at(step, executor, operation):
    """Run *operation*, and shut *executor* down at its line number *step*; was there such a line?

    As a signal handler would: on the same thread, between two lines. The exits of `with` are passed
    over, and what holds a lock of the standard library's that is not re-entrant.
    """
    lines = 0

    def trace(frame, event, arg):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(WATCHED):
            return None
        if event == "line" and lines < step:
            lines += 1
            if lines == step:
                executor.shutdown(wait=False, cancel_futures=True)
        return trace

    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(None)
    return lines >= step


def use(how, executor, futures):
    """What the main thread is interrupted in."""
    with contextlib.suppress(RuntimeError, concurrent.futures.CancelledError):
        if how == "result":
            futures[0].result(LONG)
        elif how == "wait":
            assert not concurrent.futures.wait(futures, LONG).not_done
        elif how == "as_completed":
            assert list(concurrent.futures.as_completed(futures, LONG)) == futures
        else:
            futures.append(executor.submit(len, "ab"))


@pytest.mark.parametrize("how", ["result", "wait", "as_completed", "submit", "room"])
def test_signal_handler_may_shut_down_at_any_line(how):
    """Whatever line of the main thread it interrupts, nobody waits for ever."""
    if sys.gettrace() is not None:
        pytest.skip("somebody else traces")
    step, reached = 0, True
    while reached:
        step += 1
        gate = Gate()
        executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, max_pending=2)
        executor.submit(gate)
        gate.wait_for(1)
        futures = [executor.submit(len, "abc") for _ in range(2 if how == "room" else 1)]
        opening = threading.Timer(0.02, gate.open)
        opening.start()

        began = time.monotonic()
        reached = shut_down_at(step, executor, functools.partial(use, how, executor, futures))
        assert time.monotonic() - began < LONG / 2, f"nobody woke it, after line {step}"
        gate.open()
        opening.cancel()
        opening.join()
        in_thread(executor.shutdown)()
        assert not concurrent.futures.wait(futures, LONG).not_done
    assert step > 10


SIGNALS = """
    import concurrent.futures, random, signal
    from shotgun_executor import ShotgunExecutor

    def stop(number, frame):
        current[0].shutdown(wait=False, cancel_futures=True)

    signal.signal(signal.SIGALRM, stop)
    dice = random.Random(5)
    current = []
    for round in range(150):
        executor = ShotgunExecutor("http://127.0.0.1:9", "tool", "key", max_workers=2)
        current[:] = [executor]
        signal.setitimer(signal.ITIMER_REAL, dice.random() * 0.01 + 1e-5)
        futures = []
        try:
            while True:
                view = executor.options(deadline=30.0 if round % 2 else None)
                futures.append(view.submit(len, "abc"))
                futures[-1].result()
        except (RuntimeError, concurrent.futures.CancelledError):
            pass
        signal.setitimer(signal.ITIMER_REAL, 0)
        executor.shutdown()
        assert not concurrent.futures.wait(futures, 10).not_done
    print("end")
"""


def run(script, limit=50):
    """Run *script* in a process of its own, which must end in time. What it has printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no such signals here")
def test_real_signals_that_shut_down_hang_nothing():
    """At a hundred and fifty random moments of a loop that submits and waits."""
    assert run(SIGNALS) == ["end"]


# The end of the interpreter

EXIT = """
    import atexit, threading, time
    from shotgun_executor import Limit, ShotgunExecutor

    def work(number):
        print(f"ran {{number}}\\n", end="", flush=True)

    def make(**arguments):
        return ShotgunExecutor("http://127.0.0.1:9", "tool", "key", **arguments)

    def late():
        try:
            e.submit(work, 2)
        except RuntimeError:  # he came too late
            work(2)

    {body}
"""


@pytest.mark.parametrize(
    ("body", "ran"),
    [
        # held back by a rate
        ("e = make(limit=Limit(per_second=10)); [e.submit(work, n) for n in range(4)]", 4),
        # held back by another executor
        (
            "one = Limit(1); a, e = make(limit=one), make(limit=one); "
            "a.submit(time.sleep, 0.3); [e.submit(work, n) for n in range(4)]",
            4,
        ),
        # a thread that waits for room
        (
            "e = make(max_workers=1, max_pending=1); e.submit(time.sleep, 0.3); e.submit(work, 1); "
            "threading.Thread(target=late).start()",
            2,
        ),
        # in atexit, with and without a shutdown before
        ("e = make(); e.submit(work, 1); atexit.register(e.shutdown)", 1),
        ("e = make(); e.submit(work, 1); e.shutdown(); atexit.register(e.shutdown)", 1),
        ("e = make(); f = e.submit(work, 1); atexit.register(f.result)", 1),
        # a deadline that is far away
        ("e = make(); e.options(deadline=1000).submit(work, 1)", 1),
        # a non-daemon thread that goes on
        (
            "e = make(); f = e.submit(time.sleep, 0.2); "
            "threading.Thread(target=lambda: (f.result(), work(1))).start()",
            1,
        ),
        ("e = make(); e.submit(work, 1); e.shutdown(wait=0.1)", 1),
    ],
)
def test_interpreter_ends_and_has_done_what_it_accepted(body, ran):
    """Whatever holds calls back, the interpreter ends, and they are made before."""
    lines = run(EXIT.format(body=body), 30)
    assert len([line for line in lines if line.startswith("ran ")]) == ran


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_fork_in_the_middle_leaves_parent_and_child_well():
    """The child is told, may leave the block and drop the executor; the parent goes on."""
    gate = Gate()
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        running = executor.options(deadline=LONG).submit(gate)
        waiting = [executor.submit(len, "abc") for _ in range(3)]
        gate.wait_for(1)
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(child_of(executor, [running, *waiting]))
            assert os.waitpid(child, 0)[1] == 0
        gate.open()
        assert running.result(LONG) is None
        assert [future.result(LONG) for future in waiting] == [3] * 3


def error_of(function):
    try:
        function()
    except RuntimeError as error:
        return error
    return None


def child_of(executor, futures):
    """What a forked child does with it all; 0 if it was told each time."""
    signal.alarm(10)  # ends it, should it hang
    attempts = (
        *(executor.stats, functools.partial(executor.submit, len, "")),
        *(futures[0].result, futures[0].cancel),
    )
    told = sum("forked" in str(error_of(attempt)) for attempt in attempts)
    executor.shutdown()
    executor.__exit__(None, None, None)
    return 0 if told == len(attempts) else 1
