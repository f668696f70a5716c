"""Which call runs next, and on which worker.

The threads belong to the standard library's ``ThreadPoolExecutor``; the order of the calls is ours.
Calls wait here. For each worker that is free while calls wait, the stdlib's pool is handed one
*runner*, which runs calls until none waits. How a runner ends in the eyes of the stdlib (its own
future) tells of a failed initializer, a shutdown or a dead thread.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_executor.future import Future

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Mapping, Sequence

__all__ = ["Call", "Dispatch"]

LOG = logging.getLogger("shotgun_executor")


class Call:
    """A function with its arguments, and the future that takes its outcome."""

    __slots__ = ("args", "dispatch", "function", "future", "kwargs", "waiting")

    def __init__(
        self,
        dispatch: Dispatch,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        self.dispatch = dispatch
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.waiting = True  # neither taken by a worker nor withdrawn; guarded by the dispatch
        self.future: Future[Any] = Future()
        self.future._call = self

    def run(self) -> None:
        """Resolve the future by what the function returns or raises."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.function(*self.args, **self.kwargs)
        except BaseException as error:
            self.future.set_exception(error)
            del self  # the error holds this frame, and this frame would hold the error
        else:
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Resolve the future of a withdrawn call by *error*."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Dispatch:
    """The calls of one executor.

    Guarantees:

    * Each call that was accepted is run once, or withdrawn once, or failed once.
    * While calls wait, as many runners are at work as there are workers; an executor without
      calls has none, and wakes no thread.
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
        self._here = threading.local()  # .working: this thread is a worker that is at work
        # The state. Guarded by _lock. A call waits as long as it is in _waiting and says so;
        # a withdrawn one is passed over when its turn comes. A runner is in _runners from the
        # decision to start it until it has found nothing to do.
        self._lock = threading.Lock()
        self._waiting: deque[Call] = deque()
        self._runners: set[Runner] = set()
        self._closed = False
        self._broken: Optional[BaseException] = None

    def submit(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Future[Any]:
        """Accept a call.

        Raises:
            RuntimeError: The executor was shut down, or the interpreter is exiting.
            BrokenThreadPool: An initializer has failed.
        """
        call = Call(self, function, args, kwargs)
        future = call.future
        runner = Runner(self)
        try:
            with self._lock:
                self._refuse_if_over()
                self._waiting.append(call)
                wanted = self._admit(runner)
            if wanted:
                self._start_runner(runner)
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
            withdrawn, call.waiting = call.waiting, False
            if withdrawn:
                call.future._call = None
                call.function, call.args, call.kwargs = _nothing, (), {}  # free what they hold
        return withdrawn

    def close(self) -> None:
        """Accept no more calls; those accepted are run."""
        with self._lock:
            self._closed = True

    def cancel_waiting(self) -> None:
        """Cancel each call that no worker has taken, and notify those who wait for it."""
        for call in self._withdraw_all():
            call.future.cancel_withdrawn()

    def fail_waiting(self, error: BaseException) -> None:
        """Fail each call that no worker has taken."""
        for call in self._withdraw_all():
            call.fail(error)

    def initialize(self, initializer: Callable[..., Any], *initargs: Any) -> None:
        """Run the user's initializer on a new worker; if it fails, so does all that waits."""
        self._here.working = True
        try:
            initializer(*initargs)
        except BaseException as error:
            with self._lock:
                self._broken = error
            self.fail_waiting(_broken_pool(error))
            raise
        finally:
            self._here.working = False
            self._after_run()

    @property
    def on_worker(self) -> bool:
        """Whether the current thread is one of the workers, and at work."""
        return getattr(self._here, "working", False)

    @property
    def waiting(self) -> int:
        """How many calls wait for a worker, those that were withdrawn of late included."""
        return len(self._waiting)

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

    def _admit(self, runner: Runner) -> bool:
        """Count *runner* in, if there is work and room for one more."""
        wanted = bool(self._waiting) and len(self._runners) < self._max_runners
        if wanted:
            self._runners.add(runner)
        return wanted

    def _next(self, runner: Runner) -> Optional[Call]:
        """The next call for *runner*; None ends it, so that the next submit starts another."""
        with self._lock:
            while self._waiting:
                call = self._waiting.popleft()
                if call.waiting:
                    call.waiting = False
                    call.future._call = None
                    return call
            self._runners.discard(runner)
        return None

    def _withdraw_all(self) -> list[Call]:
        with self._lock:
            withdrawn = [call for call in self._waiting if call.waiting]
            self._waiting.clear()
            for call in withdrawn:
                call.waiting = False
                call.future._call = None
        return withdrawn

    # Runners.

    def _start_runner(self, runner: Runner) -> None:
        ended = self._start(runner)
        runner.handed_over = True
        ended.add_done_callback(functools.partial(self._runner_ended, runner))

    def _run(self, runner: Runner) -> None:
        """What a worker thread does: calls, one after the other, until none waits."""
        self._here.working = True
        try:
            while True:
                call = self._next(runner)
                if call is None:
                    return
                try:
                    call.run()
                except BaseException:
                    # Its future is resolved: this is a callback that raised SystemExit or worse.
                    LOG.critical("a callback of a future raised", exc_info=True)
        finally:
            self._here.working = False
            self._after_run()

    def _runner_ended(self, runner: Runner, ended: concurrent.futures.Future[None]) -> None:
        """The stdlib is done with a runner: it ran, or it never will."""
        successor = Runner(self)
        with self._lock:
            if runner not in self._runners:
                return  # it found nothing to do, as it should
            self._runners.discard(runner)
            wanted = self._admit(successor)
        if not wanted:
            return
        if ended.cancelled():
            self._dismiss(successor, None)
        elif isinstance(ended.exception(), BrokenThreadPool):
            self._dismiss(successor, ended.exception())
        else:  # its thread was killed between two calls
            try:
                self._start_runner(successor)
            except Exception as error:
                self._dismiss(successor, error)

    def _dismiss(self, runner: Runner, error: Optional[BaseException]) -> None:
        """*runner* could not be had. If none is left, nobody would ever run what waits."""
        with self._lock:
            if runner.handed_over or runner not in self._runners:
                return
            self._runners.discard(runner)
            deserted = not self._runners
        if deserted and isinstance(error, Exception):
            self.fail_waiting(error)
        elif deserted:
            self.cancel_waiting()


class Runner:
    """What is handed to a worker thread: it runs calls until none waits."""

    __slots__ = ("_dispatch", "handed_over")

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self.handed_over = False  # the stdlib's pool has it

    def __call__(self) -> None:
        """Run calls; on the worker thread."""
        self._dispatch._run(self)


def _broken_pool(cause: BaseException) -> BrokenThreadPool:
    error = BrokenThreadPool(
        f"the initializer of a worker failed ({type(cause).__name__}), so the executor cannot "
        f"be used any more; make another"
    )
    error.__cause__ = cause
    return error


def _nothing() -> None:
    """Stands in for the function of a call that will not run."""
