"""Ctrl-C at any point: an interrupt is raised at each line of our code in turn."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dis
import gc
import linecache
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from shotgun_api3 import Shotgun

import shotgun_executor
from shotgun_executor import ShotgunExecutor, wait
from shotgun_executor.pool import ConnectionPool
from shotgun_executor.prototype import Prototype
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread

OURS = str(Path(shotgun_executor.__file__).parent)


class Interrupt(KeyboardInterrupt):
    """What is raised where a Ctrl-C would be."""


def interrupted_at(step, operation):
    """Run *operation* with an interrupt at its line number *step*; whether there was such a line.

    The exits of `with` are passed over: Python handles no signal between the block and its exit.
    """
    lines = 0

    def trace(frame, event, arg):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line":
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            if not line.strip().startswith("with "):
                lines += 1
                if lines == step:
                    raise Interrupt
        return trace

    # Python swallows what is raised in the finalizer of an executor that was left before.
    gc.collect()
    gc.disable()
    sys.settrace(trace)
    try:
        operation()
    except Interrupt:
        return True
    finally:
        sys.settrace(None)
        gc.enable()
    return False


def still_works(executor):
    """All of the two workers of *executor* are there, and it ends."""
    barrier = threading.Barrier(3)
    futures = [executor.submit(barrier.wait, LONG) for _ in range(2)]
    barrier.wait(LONG)
    assert not concurrent.futures.wait(futures, LONG).not_done
    in_thread(executor.shutdown)()


@pytest.fixture(autouse=True)
def no_coverage_of_ours(request):
    """Another tracer (a debugger, coverage) would be lost by these tests."""
    if sys.gettrace() is not None:
        pytest.skip("somebody else traces")


def each_step(operation):
    """Interrupt *operation* at line after line until it gets through."""
    step = 0
    interrupted = True
    gc.collect()
    gc.freeze()  # the collection before each step then looks only at what the steps have left
    try:
        while interrupted:
            step += 1
            interrupted = operation(step)
    finally:
        gc.unfreeze()
    assert step > 10, "hardly anything was interrupted"


def test_submit_interrupted_anywhere_leaves_a_whole_executor():
    """Whatever line of submit is interrupted, no worker and no other call is lost."""

    def attempt(step):
        executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=2)
        interrupted = interrupted_at(step, lambda: executor.submit(len, "abc"))
        still_works(executor)
        return interrupted

    each_step(attempt)


def test_submit_with_futures_interrupted_anywhere_leaves_a_whole_executor():
    """The same for a call that waits for a future."""

    def attempt(step):
        executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=2)
        need: concurrent.futures.Future = concurrent.futures.Future()
        submit = executor._dispatch.submit
        interrupted = interrupted_at(step, lambda: submit(len, ("abc",), {}, needs=[need]))
        need.set_result(None)
        still_works(executor)
        return interrupted

    each_step(attempt)


def test_submit_interrupted_anywhere_leaves_an_executor_that_the_same_thread_ends():
    """The thread that was interrupted shuts it down; the clock of its deadlines ends too."""

    def attempt(step):
        executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
        # A clock that runs, as the fixture that looks for threads left behind is to see.
        assert executor.options(deadline=LONG).submit(len, "ab").result(LONG) == 2
        interrupted = interrupted_at(step, lambda: executor.submit(len, "abc"))
        executor.shutdown(wait=LONG)
        return interrupted

    each_step(attempt)


def test_failure_interrupted_anywhere_reaches_all_dependants():
    """Whatever line of it is interrupted, all that needs the future is resolved, on a next wait."""

    def attempt(step):
        with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
            submit = executor._dispatch.submit
            need: concurrent.futures.Future = concurrent.futures.Future()
            chain = [submit(len, ("",), {}, needs=[need])]
            for _ in range(3):
                chain.append(submit(len, ("",), {}, needs=chain[-1:]))
            interrupted = interrupted_at(step, lambda: need.set_exception(OSError("gone")))
            assert not wait(chain, LONG).not_done
        return interrupted

    each_step(attempt)


def test_resolving_a_need_interrupted_anywhere_lets_its_calls_run():
    """Whatever line of it is interrupted, what needs the future runs, on a next wait."""

    def attempt(step):
        executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=2)
        need: concurrent.futures.Future = concurrent.futures.Future()
        submit = executor._dispatch.submit
        first = submit(len, ("abc",), {}, needs=[need])
        calls = [first, submit(len, ("ab",), {}, needs=[need, first])]
        interrupted = interrupted_at(step, lambda: need.set_result(None))
        assert not wait(calls, LONG).not_done
        assert [call.result(0) for call in calls] == [3, 2]
        still_works(executor)
        return interrupted

    each_step(attempt)


def test_cancel_interrupted_anywhere_resolves_the_future():
    """A future whose cancel() was interrupted is cancelled or run, and whoever waits is told."""

    def attempt(step):
        executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
        gate = Gate()
        executor.submit(gate)
        future = executor.submit(len, "abc")
        interrupted = interrupted_at(step, future.cancel)
        gate.open()
        assert concurrent.futures.wait([future], LONG).done
        in_thread(executor.shutdown)()
        return interrupted

    each_step(attempt)


@pytest.mark.parametrize("idle", [0, 1])
def test_lease_interrupted_anywhere_leaves_its_place(idle):
    """Whatever line of lease and release is interrupted, the pool has all its places."""

    def attempt(step):
        prototype = Prototype(Shotgun(NOWHERE, connect=False, **KEYS))
        pool = ConnectionPool(prototype, max_size=1, timeout=LONG)
        if idle:
            pool.lease().release()
        interrupted = interrupted_at(step, lambda: pool.lease().release())
        if pool.leased:
            gc.collect()  # the traceback of the interrupt held the lease
        assert pool.leased == 0
        pool.lease(timeout=0).release()
        return interrupted

    each_step(attempt)


def test_handler_that_cancels_at_any_step_of_a_wait_ends_it():
    """Whatever step of a wait a signal handler comes at, its cancel wakes it before its time."""
    places = (threading.__file__, concurrent.futures._base.__file__, OURS)

    def attempt(step):
        executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
        gate = Gate()
        executor.submit(gate)
        gate.wait_for(1)
        future = executor.submit(len, "abc")
        handled = handled_at(step, future.cancel, places, lambda: future.exception(SHORT))
        if handled:
            assert concurrent.futures.wait([future], LONG).done
            assert future.cancelled()
        gate.open()
        in_thread(executor.shutdown)()
        return handled

    each_step(attempt)


SHORT = 2.0  # seconds


def handled_at(step, handler, places, operation):
    """Run *operation*, which waits, with *handler* called at its line number *step*.

    Returns:
        Whether there was such a line before it was to go on by itself.
    """
    lines = 0
    handled = None
    end = time.monotonic() + SHORT

    def trace(frame, event, arg):
        nonlocal lines, handled
        if not frame.f_code.co_filename.startswith(places):
            return None
        if event == "line" and handled is None:
            lines += 1
            if lines == step:
                handled = time.monotonic()
                handler()
        return trace

    sys.settrace(trace)
    with contextlib.suppress(concurrent.futures.CancelledError, concurrent.futures.TimeoutError):
        try:
            operation()
        finally:
            sys.settrace(None)
    if handled is None or handled >= end:
        return False
    assert time.monotonic() < end, f"nobody woke the wait, at step {step}"
    return True


def test_ctrl_c_in_a_call_that_its_submitter_runs_is_raised():
    """With when_full="run" it comes up where the call was submitted, and the executor goes on."""

    def interrupted():
        raise KeyboardInterrupt

    gate = Gate()
    with ShotgunExecutor(
        NOWHERE, **KEYS, max_workers=2, max_pending=1, when_full="run"
    ) as executor:
        running = [executor.submit(gate) for _ in range(2)]
        gate.wait_for(2)
        waiting = executor.submit(len, "abc")
        with pytest.raises(KeyboardInterrupt):
            executor.submit(interrupted)
        gate.open()
        assert waiting.result(LONG) == 3
        assert [each.result(LONG) for each in running] == [None, None]


def test_ctrl_c_ends_what_only_reads(sandbox):
    """A `with` that is left by it does not wait for a site that is silent; a write is not torn."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials) as executor:
        project = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
        sandbox.hold()
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it is about the block
            with executor:
                reading = executor.find("Project", [])
                writing = executor.update("Project", project["id"], {"name": "Night"})
                sandbox.wait_for(2)
                reading.add_done_callback(lambda _: sandbox.resume())  # so it ended before
                raise KeyboardInterrupt
        assert reading.cancelled()
        assert writing.result(0)["name"] == "Night"


def codes_within(code):
    """*code* and those of the functions that it defines, and so on."""
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from codes_within(each)


def unguarded_jumps(code):
    """Lines of jumps back out of whose `with` or `try` an interrupt would get without its exit."""
    bytecode = dis.Bytecode(code)
    instructions = {each.offset: each for each in bytecode}

    def handler(offset):
        for entry in bytecode.exception_entries:
            if entry.start <= offset < entry.end:
                found = instructions[entry.target]
                # What restores the variable of a comprehension, or ends a generator, is no matter.
                if found.opname in ("SWAP", "COPY"):
                    return handler(entry.target)
                return found if found.opname == "PUSH_EXC_INFO" else None
        return None

    for each in instructions.values():
        if each.opname == "JUMP_BACKWARD" and handler(each.argval) and not handler(each.offset):
            yield each.positions.lineno


@pytest.mark.skipif(sys.version_info < (3, 13), reason="older ones handle no signal there")
def test_no_loop_lets_an_interrupt_out_of_a_with_or_a_try():
    """Python 3.13 handles signals at jumps that its compiler puts outside of `with` and `try`.

    Such are the ends of `while` loops and of conditions within loops and comprehensions: Ctrl-C
    there would leave a lock locked for ever (python/cpython issue 130279). The loop is to be in a
    function of its own then, or a generator expression.
    """

    def in_a_loop(lock):
        with lock:
            return [each for each in range(3) if each]

    if not list(unguarded_jumps(in_a_loop.__code__)):
        pytest.skip("this one guards each instruction")
    found = []
    for path in sorted(Path(OURS).rglob("*.py")):
        if (
            "sandbox" not in path.relative_to(OURS).parts
        ):  # a site is a process of its own, which ends by Ctrl-C
            for code in codes_within(compile(path.read_text("utf-8"), str(path), "exec")):
                found += [f"{path.name}:{line} {code.co_name}" for line in unguarded_jumps(code)]
    assert not found
