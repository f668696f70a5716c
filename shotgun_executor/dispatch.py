"""Which call runs next, and on which worker.

The threads belong to the standard library's ``ThreadPoolExecutor``; the order of the calls is ours.
A call waits here for the futures among its arguments, then for a worker. For each worker that is
free while calls wait for one, the stdlib's pool is handed one *runner*, which runs calls until none
waits. How a runner ends in the eyes of the stdlib (its own future) tells of a failed initializer, a
shutdown or a dead thread.
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import threading
import time
from collections import deque
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_executor.call import TAKEN, Call, State
from shotgun_executor.errors import DeadlockError, DependencyError
from shotgun_executor.line import Line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shotgun_executor.future import Future

__all__ = ["Dispatch"]

LOG = logging.getLogger("shotgun_executor")


class Dispatch:
    """The calls of one executor.

    Guarantees:

    * Each call that was accepted is run once, or withdrawn once, or failed once.
    * While calls wait for a worker, as many runners are at work as there are workers; an executor
      without calls has none, and wakes no thread.
    * A worker that waits for a call which no worker has taken runs it itself, so waiting within
      calls never locks up; calls that wait for each other in a circle are told so.
    * Functions, callbacks and the stdlib's pool are never called with the lock held.
    """

    def __init__(
        self,
        start: Callable[[Runner], concurrent.futures.Future[None]],
        *,
        max_runners: int,
        after_run: Callable[[], None],
    ) -> None:
        """Dispatch calls to at most *max_runners* workers.

        Args:
            start: Hands a runner to a worker thread; returns the future of its run.
            max_runners: How many runners there may be at a time.
            after_run: Called on the worker thread when no call waits any more.
        """
        self._start = start
        self._max_runners = max_runners
        self._after_run = after_run
        self._process = os.getpid()
        # What this thread does: .calls, the calls that it runs, each within the one before;
        # .cascade, the dependants that it is resolving.
        self._here = threading.local()
        # The state. Guarded by _lock, as is the state of each call. A call that is READY is in
        # _line, one that is BLOCKED in _blocked. A runner is in _runners from the decision to
        # start it until it has found nothing to do.
        #
        # The lock is re-entrant: a garbage collection may run a destructor of the user's under it,
        # which may come back here; and no decision allocates between its test and its effect.
        self._lock = threading.RLock()
        self._line = Line()
        self._blocked: set[Call] = set()
        self._unblocked = threading.Condition(self._lock)  # notified when _blocked is empty again
        self._runners: set[Runner] = set()
        self._closed = False
        self._broken: Optional[BaseException] = None
        self._at_end: Optional[Callable[[], None]] = None  # to be called when _blocked is empty
        # Futures that nobody wants any more, left by destructors, which must take no lock.
        self._dropped: deque[Future[Any]] = deque()

    def submit(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        needs: Sequence[concurrent.futures.Future[Any]] = (),
        label: Optional[str] = None,
        priority: int = 0,
    ) -> Future[Any]:
        """Accept a call.

        Args:
            function: What the worker calls.
            args: With these arguments.
            kwargs: And these.
            needs: Futures that must have their results before the call starts. If one fails, so
                does the call; if one is cancelled, so is the call.
            label: What the call is named in errors.
            priority: Calls of a higher priority start first; see :class:`Line`.

        Raises:
            RuntimeError: The executor was shut down, or the interpreter is exiting, or this is a
                forked process.
            BrokenThreadPool: An initializer has failed.
        """
        self.check_process()  # first: in a forked process the lock may be held for ever
        call = Call(self, function, args, kwargs, label=label, priority=priority)
        future = call.future
        runner = Runner(self)
        try:
            with self._lock:
                self._refuse_if_over()
                if needs:
                    call.state = State.BLOCKED
                    call.needs = list(reversed(needs))
                    call.open_needs = len(needs)
                    self._blocked.add(call)
                else:
                    self._line.append(call)
                wanted = self._admit(runner)
            if wanted:
                self._start_runner(runner)
                if self._closed:  # a shutdown waits for starts that are under way
                    self._end_if_unblocked()
            for need in needs:
                need.add_done_callback(_Need(self, call))
        except BaseException as error:  # refused, or Ctrl-C at any point in between
            withdrawn = self.withdraw(call)
            self._dismiss(runner, error)
            if withdrawn or not isinstance(error, Exception):
                raise
            # no thread could be started, but a worker that is there has taken the call
        return future

    def withdraw(self, call: Call) -> bool:
        """Take back a call that no worker has taken; True for who comes first, if in time."""
        with self._lock:
            withdrawn = self._take(call)
        if withdrawn:
            call.drop()
            self._end_if_unblocked()
        return withdrawn

    def close(self) -> None:
        """Accept no more calls; those accepted are run."""
        with self._lock:
            self._closed = True

    def when_unblocked(self, end: Callable[[], None], *, wait: bool) -> None:
        """Call *end* as soon as no call waits for futures.

        From then on no runner needs to be started: what waits for a worker has one.
        """
        with self._lock:
            if wait and not self.on_worker and not getattr(self._here, "resolving", False):
                self._unblocked.wait_for(lambda: not self._needs_threads())
            self._at_end = end
        self._end_if_unblocked()

    def cancel_soon(self, future: Future[Any]) -> None:
        """Cancel *future* before a worker would take its call. Takes no lock: for destructors."""
        self._dropped.append(future)

    def cancel_waiting(self) -> None:
        """Cancel each call that no worker has taken, and notify those who wait for it."""
        for call in self._all_waiting():
            call.future.cancel()

    def fail_waiting(self, error: BaseException) -> None:
        """Fail each call that no worker has taken."""
        for call in self._all_waiting():
            if self.withdraw(call):
                call.fail(error)

    def initialize(self, initializer: Callable[..., Any], *initargs: Any) -> None:
        """Run the user's initializer on a new worker; if it fails, so does all that waits."""
        self._here.calls = [Call(self, initializer, initargs, {}, label="the initializer")]
        try:
            initializer(*initargs)
        except BaseException as error:
            with self._lock:
                self._broken = error
            self.fail_waiting(_broken_pool(error))
            raise
        finally:
            self._here.calls = []
            self._after_run()

    def check_process(self) -> None:
        """Refuse to be used in a process that was forked from ours: it has none of our threads."""
        if os.getpid() != self._process:
            raise RuntimeError(
                "this process was forked from the one that made the executor, and has none of its "
                "threads; make an executor of its own after the fork"
            )

    @property
    def on_worker(self) -> bool:
        """Whether the current thread is one of the workers, and at work."""
        return bool(getattr(self._here, "calls", None))

    @property
    def waiting(self) -> int:
        """How many calls wait; those that were withdrawn of late may be among them."""
        return len(self._line) + len(self._blocked)

    @property
    def runners(self) -> int:
        """How many workers are at work."""
        return len(self._runners)

    # Decisions, under the lock.

    def _refuse_if_over(self) -> None:
        if self._broken is not None:
            raise _broken_pool(self._broken)
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _take(self, call: Call) -> bool:
        """Make *call* the caller's to run or to resolve; False if somebody was faster."""
        here = threading.get_ident()
        if call.state is TAKEN:
            return False
        call.state, call.taker = TAKEN, here  # nothing allocates since the test
        self._blocked.discard(call)
        return True

    def _admit(self, runner: Runner) -> bool:
        """Count *runner* in, if there is work and room for one more."""
        wanted = bool(self._line) and len(self._runners) < self._max_runners
        if wanted:
            self._runners.add(runner)
        return wanted

    def _needs_threads(self) -> bool:
        """Whether a runner is still to be handed to the stdlib's pool, now or later."""
        return bool(self._blocked) or not all(runner.handed_over for runner in self._runners)

    def _next(self, runner: Runner) -> Optional[Call]:
        """The next call for *runner*; None ends it, so that the next submit starts another."""
        while self._dropped:
            self._dropped.popleft().cancel()
        passed_over: list[Call] = []  # freed after the lock: it may be the end of a user's object
        with self._lock:
            call = self._line.take(passed_over)
            if call is None:
                self._runners.discard(runner)
            else:
                self._take(call)
        return call

    def _all_waiting(self) -> list[Call]:
        with self._lock:
            return [*self._line, *self._blocked]

    # Futures among the arguments.

    def need_is_done(self, call: Call, need: concurrent.futures.Future[Any]) -> None:
        """The callback of a future that *call* needs.

        Other calls may wait for a callback that comes after this one on the same thread, so a
        callback that shuts the executor down from here must not wait for them.
        """
        outer, self._here.resolving = getattr(self._here, "resolving", False), True
        try:
            self._need_is_done(call, need)
        finally:
            self._here.resolving = outer

    def _need_is_done(self, call: Call, need: concurrent.futures.Future[Any]) -> None:
        """One of the futures that *call* needs is done; on whichever thread resolved it."""
        error = _failure(need)
        if error is None and not need.cancelled():
            with self._lock:
                call.open_needs -= 1
                complete = not call.open_needs
            if complete:
                self._unblock(call)
            return
        with self._lock:
            taken = self._take(call)
        if taken:
            call.drop()
            self._resolve(call, error and _dependency_failed(call, error))
            self._end_if_unblocked()

    def _unblock(self, call: Call) -> None:
        """Put *call* in line if all that it needs is there."""
        runner = Runner(self)
        with self._lock:
            if call.state is not State.BLOCKED or not all(need.done() for need in call.needs):
                return
            self._blocked.discard(call)
            call.state = State.READY
            done, call.needs = call.needs, []  # freed after the lock
            self._line.append(call)
            wanted = self._admit(runner)
        del done
        if wanted:
            try:
                self._start_runner(runner)
            except Exception as error:
                self._dismiss(runner, error)
        self._end_if_unblocked()

    def _resolve(self, call: Call, error: Optional[BaseException]) -> None:
        """Fail *call* (without an error: cancel it), and so on with those that need it.

        One after the other, not each within the one before: they may be a hundred thousand.
        """
        cascade: Optional[deque[tuple[Call, Optional[BaseException]]]]
        cascade = getattr(self._here, "cascade", None)
        if cascade is not None:
            cascade.append((call, error))
            return
        self._here.cascade = cascade = deque([(call, error)])
        try:
            while cascade:
                call, error = cascade.popleft()
                if error is None:
                    call.cancel()
                else:
                    call.fail(error)
        finally:
            self._here.cascade = None

    def _end_if_unblocked(self) -> None:
        with self._lock:
            if self._needs_threads():
                return
            self._unblocked.notify_all()
            end, self._at_end = self._at_end, None
        if end is not None:
            end()

    # Waiting on a worker.

    def help(self, future: Future[Any], deadline: Optional[float]) -> None:
        """What a worker does before it blocks on *future*: run the call if nobody else does.

        Returns when the future is done, or the deadline has passed, or it is for others to
        resolve it.

        Raises:
            DeadlockError: The call waits for one that this worker runs.
        """
        mine: Call = self._here.calls[-1]
        while not future.done() and (deadline is None or time.monotonic() < deadline):
            try:
                self._help_once(future, mine, deadline)
            finally:
                mine.waits_for = None

    def _help_once(self, future: Future[Any], mine: Call, deadline: Optional[float]) -> None:
        """One step towards *future*: run a call, put one in line, or wait for what others do."""
        freed: list[tuple[Call, concurrent.futures.Future[Any]]] = []
        with self._lock:
            call, need = self._what_it_waits_for(future, freed)
            taken = call is not None and call.state is State.READY and self._take(call)
            if call is not None and call.state is TAKEN and (taken or deadline is None):
                mine.waits_for = call
                if not taken:
                    self._refuse_circle(mine, call)
        failed = [(of, done) for of, done in freed if done.cancelled() or done.exception()]
        del freed
        for of, done in failed:  # we may be faster than the callback
            self._need_is_done(of, done)
        if taken and call is not None:
            try:
                self._run_call(call)
            except BaseException as error:  # no stack was left to run it on, for one
                call.fail(error)
                raise
            call.drop()  # it stays in line until its turn would have come
        elif need is not None:
            _wait(need, deadline)
        elif call is not None and call.state is State.BLOCKED:
            self._unblock(call)
        else:
            _wait(future if call is None else call.future, deadline)

    def _what_it_waits_for(
        self, future: Future[Any], freed: list[tuple[Call, concurrent.futures.Future[Any]]]
    ) -> tuple[Optional[Call], Optional[concurrent.futures.Future[Any]]]:
        """The call that holds up *future*, or a future of others that does."""
        call = future._call
        while call is not None and call.state is State.BLOCKED:
            while call.needs and call.needs[-1].done():
                freed.append((call, call.needs.pop()))
            if not call.needs:
                break
            need = call.needs[-1]
            call = getattr(need, "_call", None)
            if call is None or call.dispatch is not self:
                return None, need
        return call, None

    def _refuse_circle(self, mine: Call, call: Call) -> None:
        """Raise if *call*, through whatever it waits for, waits for this very thread."""
        circle = [mine]
        here = threading.get_ident()
        awaited: Optional[Call] = call
        while awaited is not None:
            circle.append(awaited)
            if awaited.thread == here:
                raise DeadlockError(
                    "these calls wait for each other: " + " -> ".join(map(str, circle))
                )
            awaited = awaited.waits_for

    # Runners.

    def _start_runner(self, runner: Runner) -> None:
        ended = self._start(runner)
        runner.handed_over = True
        ended.add_done_callback(runner.ended)

    def run(self, runner: Runner) -> None:
        """What a worker thread does: calls, one after the other, until none waits."""
        try:
            while True:
                call = self._next(runner)
                if call is None:
                    return
                self._run_call(call)
        finally:
            self._after_run()

    def _run_call(self, call: Call) -> None:
        calls = self._here.__dict__.setdefault("calls", [])
        calls.append(call)
        call.thread = threading.get_ident()
        try:
            call.run()
        except BaseException as error:
            if call.future.done():  # a callback that raised SystemExit or worse
                LOG.critical("a callback of a future raised", exc_info=True)
            else:
                call.fail(error)
        finally:
            call.thread = None
            calls.pop()
            del call  # the traceback of its error holds this frame

    def runner_ended(self, runner: Runner, ended: concurrent.futures.Future[None]) -> None:
        """The stdlib is done with a runner: it ran, or it never will."""
        successor = Runner(self)
        with self._lock:
            if runner not in self._runners:
                return  # it found nothing to do, as it should
            self._runners.discard(runner)
            wanted = self._admit(successor)
        if not wanted:
            return
        if ended.cancelled() or isinstance(ended.exception(), BrokenThreadPool):
            # The stdlib calls this under its own lock: it can take no other runner now, nor later.
            with self._lock:
                self._runners.discard(successor)
            self._desert(None if ended.cancelled() else ended.exception())
            return
        try:  # its thread was killed between two calls
            self._start_runner(successor)
        except Exception as error:
            self._dismiss(successor, error)

    def _dismiss(self, runner: Runner, error: Optional[BaseException]) -> None:
        """*runner* could not be had. If none is left, nobody would ever run what waits."""
        with self._lock:
            if runner.handed_over or runner not in self._runners:
                return
            self._runners.discard(runner)
            successor = Runner(self)
            wanted = not self._runners and self._admit(successor)
        if wanted:  # others rely on the runner that could not be had
            try:
                self._start_runner(successor)
            except BaseException as another:
                with self._lock:
                    self._runners.discard(successor)
                if not isinstance(another, Exception):
                    raise  # Ctrl-C: whoever submits next starts a runner for all
                self._desert(another)
        if self._closed:
            self._end_if_unblocked()

    def _desert(self, error: Optional[BaseException]) -> None:
        """No worker can be had: if none is left, fail what waits for one (no error: cancel it)."""
        with self._lock:
            waiting = [] if self._runners else list(self._line)
        for call in waiting:
            if error is None:
                call.future.cancel()
            elif self.withdraw(call):
                call.fail(error)


class Runner:
    """What is handed to a worker thread: it runs calls until none waits."""

    __slots__ = ("_dispatch", "handed_over")

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self.handed_over = False  # the stdlib's pool has it

    def __call__(self) -> None:
        """Run calls; on the worker thread."""
        self._dispatch.run(self)

    def ended(self, ended: concurrent.futures.Future[None]) -> None:
        """The callback of the stdlib's future of this run."""
        self._dispatch.runner_ended(self, ended)


class _Need:
    """The callback of a future that a call needs; lets go of the call once it was called.

    A future keeps its callbacks. If they kept the calls, a long chain of calls would be freed each
    within the one before.
    """

    __slots__ = ("_call", "_dispatch")

    def __init__(self, dispatch: Dispatch, call: Call) -> None:
        self._dispatch: Optional[Dispatch] = dispatch
        self._call: Optional[Call] = call

    def __call__(self, need: concurrent.futures.Future[Any]) -> None:
        dispatch, call = self._dispatch, self._call
        self._dispatch = self._call = None
        if dispatch is not None and call is not None:
            dispatch.need_is_done(call, need)


def _failure(future: concurrent.futures.Future[Any]) -> Optional[BaseException]:
    """What a finished future failed by; None also if it was cancelled."""
    return None if future.cancelled() else future.exception()


def _wait(future: concurrent.futures.Future[Any], deadline: Optional[float]) -> None:
    """Block until *future* is done, whatever by, or the deadline has passed."""
    timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
    concurrent.futures.wait([future], timeout)


def _dependency_failed(call: Call, error: BaseException) -> DependencyError:
    cause = error
    if isinstance(error, DependencyError) and error.__cause__ is not None:
        cause = error.__cause__  # the first failure says more than a chain of consequences
    failed = DependencyError(f"{call} was not done, since what it needs failed: {cause}")
    failed.__cause__ = cause
    return failed


def _broken_pool(cause: BaseException) -> BrokenThreadPool:
    error = BrokenThreadPool(
        f"the initializer of a worker failed ({type(cause).__name__}), so the executor cannot "
        f"be used any more; make another"
    )
    error.__cause__ = cause
    return error
