"""The workers: threads of the standard library's pool that run one call after the other.

For each worker that is free while calls wait for one, the stdlib's pool is handed one *runner*,
which runs calls until none waits. How a runner ends in the eyes of the stdlib (its own future)
tells of a failed initializer, a shutdown or a dead thread.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import threading
import time
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_executor.call import DELAYED, READY, TAKEN, State
from shotgun_executor.limit import admit
from shotgun_executor.opening import Aborted
from shotgun_executor.roster import Bounds, Roster, do_all
from shotgun_executor.runner import Runner
from shotgun_executor.signals import is_within

if TYPE_CHECKING:
    import concurrent.futures

    from shotgun_executor.call import Call, End
    from shotgun_executor.connection import Connection
    from shotgun_executor.limit import Told

__all__ = ["Workers"]

LOG = logging.getLogger("shotgun_executor")

_LOT = 100
"""How many calls that have ended are counted at a time; by those who ask for numbers, all."""


_POLITE = 20
"""How often a worker lets others go first before it sleeps until the lock is free."""


class Workers(Roster):
    """The threads of one executor: how they start, what they run next, and how they end."""

    def __init__(
        self,
        start: Callable[[Runner], concurrent.futures.Future[None]],
        after_run: Callable[[], None],
        owner: Callable[[], Any],
        bounds: Bounds,
        *,
        name: str,
    ) -> None:
        """See :class:`Dispatch`."""
        super().__init__(owner, bounds, name=name)
        self._start = start
        self._after_run = after_run

    # Decisions, under the lock.

    def _admit(self, runner: Runner) -> bool:
        """Count *runner* in, if there is work and room for one more."""
        if not self._ready or len(self._runners) >= self._max_runners or self._paused:
            return False
        anyway = self._exiting and not self._runners
        if not self.limit.enter(self, self._owner(), anyway=anyway):
            return False
        self._runners.add(runner)
        return True

    def _count_out(self, runner: Runner) -> list[Told]:
        """*runner* ends. Returns whom to tell, after the lock, that there is room."""
        if runner not in self._runners:
            return []
        # With calls left it waits for room like others: nobody else would start a runner for them.
        told = self.limit.leave(self, self._owner() if self._ready else None)
        self._runners.discard(runner)  # late: if that has raised, it is counted out later
        self._tell_if_stalled()
        return told

    def _put_in_line(self, call: Call, runner: Runner) -> bool:
        """From _aside; whether *runner* is wanted for it."""
        call.moved(call.state)
        self._line.append(call)
        call.state = READY
        self._aside.discard(call)
        self._ready += 1
        self._wake_onlookers()
        return self._admit(runner)

    def _next_in_line(
        self, runner: Runner, passed_over: list[Call]
    ) -> tuple[Optional[Call], float]:
        """The call to run now; or none, and the seconds until one may start if that is why."""
        # After one call at least: else none would run. At exit no other could be started.
        if runner.ran and not self._exiting and self.limit.crowded(self):
            return None, 0.0
        runner.ran = True
        pause = self.limit.claim_start(self, hurry=self._exiting) if self._ready else 0.0
        if pause:
            return None, pause
        call = self._line.take(passed_over)
        if call is not None:
            self.take(call)
        return call, 0.0

    # How workers start.

    def _start_if_wanted(self, runner: Runner, wanted: bool) -> bool:
        """Whether it was started."""
        if wanted:
            try:
                return self._start_runner(runner)
            except BaseException as error:
                self._dismiss(runner, error)
                if not isinstance(error, Exception):
                    raise
        return False

    def _amend(self, runner: Runner, error: BaseException) -> None:
        """*error*, Ctrl-C maybe, has come while *runner* was to be started for a call."""
        self._dismiss(runner, error)
        if not isinstance(error, Exception):
            self.recount()
            self.look()

    def _start_runner(self, runner: Runner) -> bool:
        """Hand it to the stdlib's pool; False if no thread can be had, and others do its work."""
        runner.keep = self._owner()
        try:
            ended = self._hand_over(runner)
        except RuntimeError as error:
            if not (self._exiting and len(self._runners) > 1):
                raise
            self._dismiss(runner, error)
            return False
        runner.handed_over = True
        if self._closed:
            self._end_if_idle()
        ended.add_done_callback(runner.ended)
        return True

    def _hand_over(self, runner: Runner) -> concurrent.futures.Future[None]:
        """A method of its own, so that others see on the stack that the stdlib's locks are held."""
        return self._start(runner)

    def admit_more(self) -> None:
        """There may be room for runners: start as many as there is work for."""
        while True:
            runner = Runner(self)
            try:
                with self.lock:
                    wanted = self._admit(runner)
                if not wanted or not self._start_if_wanted(runner, wanted):
                    return  # if no thread can be had, nor can another: those that are there must do
            except BaseException as error:
                self._amend(runner, error)
                raise

    def resume(self, keep: Any = None) -> None:
        """A call may start by now, as far as the rate goes. The executor, *keep*, lives so long."""
        with self.lock:
            self._paused = False
        self.admit_more()

    def _resume_after(self, pause: float) -> None:
        try:
            self.alarm.after(pause, functools.partial(self.resume, self._owner()))
        except Exception:  # no thread can be had to wait: too early is better than never
            self.resume()

    # What they do.

    def run(self, runner: Runner) -> None:
        """What a worker thread does: calls, one after the other, until none waits."""
        self._here.calls = runner.calls
        try:
            while True:
                call = self._next(runner)
                if call is None:
                    return
                self.run_call(call)
        finally:
            runner.keep = None
            self._after_run()

    def run_call(self, call: Call) -> None:
        """Run *call*, which this thread has taken, on this thread, which is a worker's."""
        calls = self._here.calls
        here = threading.get_ident()
        calls.append(call)
        call.thread = here
        try:
            call.run()
        except BaseException as error:
            if call.future.done():  # a callback that raised SystemExit or worse
                LOG.critical("a callback of a future raised", exc_info=True)
            else:
                call.fail(error)
        finally:
            if call.thread == here:  # else another worker makes it again already
                call.thread = None
            calls.pop()
            del call  # the traceback of its error holds this frame

    def end_if_forked(self) -> None:
        """A function may have forked on this worker: its child has nothing else to do.

        It would run, once more and by the connections of the parent, what that has in line.
        """
        if not self.forked or any(self._here.calls is guest.calls for guest in self._guests):
            return
        LOG.critical("a function that has forked went on to its end in the child, which ends here")
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(1)

    def _next(self, runner: Runner) -> Optional[Call]:
        """The next call for *runner*; None ends it, so that the next submit starts another."""
        if self.forked:  # a callback has forked
            self.end_if_forked()
        if self._dropped:
            self._cancel_dropped()
        passed_over: list[Call] = []  # freed after the lock: it may be the end of a user's object
        told: list[Told] = []
        _acquire_politely(self.lock)
        try:
            if runner not in self._runners:
                return None  # it was given up: the stdlib could not start a thread for it
            if len(self._counters.endings) > _LOT:
                self._counters.count_endings()
            call, pause = self._next_in_line(runner, passed_over)
            if pause and self._exiting:
                call, pause = self._next_at_exit(pause, runner, passed_over)
            if call is None:
                told = self._count_out(runner)
            if pause:
                self._paused = True
            over = call is None and self._closed
        finally:
            self.lock.release()
        if pause:
            self._resume_after(pause)
        if told:
            admit(told)
        if over:
            self._end_if_idle()
        return call

    def _next_at_exit(
        self, pause: float, runner: Runner, passed_over: list[Call]
    ) -> tuple[Optional[Call], float]:
        """As :meth:`_next_in_line`; nobody else would wait until a call may start."""
        call: Optional[Call] = None
        while pause:
            self._idle.wait(pause)  # without the lock
            call, pause = self._next_in_line(runner, passed_over)
        return call, pause

    def _cancel_dropped(self) -> None:
        while self._dropped:
            with contextlib.suppress(IndexError):  # another worker was faster
                self._dropped.popleft().cancel()

    def _run_as_guest(self, guest: Runner, call: Call) -> None:
        """Run *call*, which this thread has taken, though it is no worker."""
        outer = getattr(self._here, "calls", None)
        try:
            self._here.calls = guest.calls
            self.run_call(call)
        finally:
            self._here.calls = outer
            self._after_run()
            with self.lock:
                self._guests.discard(guest)
                self._tell_if_stalled()
            self._end_if_idle()
        if not call.future.done():
            return  # it is to be made again
        call.drop()
        error = None if call.future.cancelled() else call.future.exception()
        if isinstance(error, KeyboardInterrupt):
            raise error  # it was meant for this thread

    def _leave_as_guest(self, guest: Runner, call: Call, error: BaseException) -> bool:
        """*error* has ended a submit that has taken its *call*: fail it, if it is not done."""
        with self.lock:
            self._guests.discard(guest)
            ours = call.taken_here
        if ours and not call.future.done():
            call.fail(error)
            self._end_if_idle()
            return True
        return False

    def recount(self) -> None:
        """Ctrl-C came in the middle of something: count anew what is counted along."""
        with self.lock:
            waiting = (State.BLOCKED, DELAYED)
            gone = tuple(call for call in self._aside if call.state not in waiting)
            self._aside.difference_update(gone)
            ready = list(self._line)
            self._ready = len(ready)
            self._pending = sum(not call.number for call in (*ready, *self._aside))
            self.limit.recount(self, len(self._runners))
            self._room.notify_all()
        admit(self.limit.freed())
        self._end_if_idle()

    # How they end.

    def _end_if_idle(self, *, aside: bool = False) -> None:
        # A signal handler that shuts down must not end it all while the stdlib's locks are held
        # here; _start_runner does so afterwards.
        if self._closed and not is_within(Workers._hand_over, self):
            super()._end_if_idle(aside=aside)

    def runner_ended(self, runner: Runner, ended: concurrent.futures.Future[None]) -> None:
        """The stdlib is done with a runner: it ran, or it never will."""
        if runner not in self._runners:
            return  # it found nothing to do, as it should; nobody puts it back: no lock is needed
        # The stdlib calls this under its own lock then: it can take no other runner, nor be ended.
        locked = ended.cancelled() or isinstance(ended.exception(), BrokenThreadPool)
        successor = Runner(self)
        with self.lock:
            if runner not in self._runners:
                return  # it found nothing to do, as it should
            told = self._count_out(runner)
            wanted = self._admit(successor)
        if not wanted:
            admit(told)
            self._end_if_idle(aside=locked)
            return
        if locked:
            with self.lock:
                told += self._count_out(successor)
            self._desert(None if ended.cancelled() else ended.exception())
            admit(self._others(told))
            self._end_if_idle(aside=True)
            return
        admit(told)
        try:  # its thread was killed between two calls
            self._start_runner(successor)
        except Exception as error:
            self._dismiss(successor, error)

    def _dismiss(self, runner: Runner, error: Optional[BaseException]) -> None:
        """*runner* could not be had. If none is left, nobody would ever run what waits."""
        with self.lock:
            if runner.handed_over or runner.ran or runner not in self._runners:
                return
            told = self._count_out(runner)
            successor = Runner(self)
            wanted = not self._runners and self._admit(successor)
        admit(self._others(told))
        if wanted:  # others rely on the runner that could not be had
            try:
                self._start_runner(successor)
            except BaseException as another:
                with self.lock:
                    told = self._count_out(successor)
                admit(self._others(told))
                if not isinstance(another, Exception):
                    raise  # Ctrl-C: whoever submits next starts a runner for all
                self._desert(another)
        if self._closed:
            self._end_if_idle()

    def _others(self, told: list[Told]) -> list[Told]:
        return [each for each in told if each.dispatch is not self]

    def _desert(self, error: Optional[BaseException]) -> None:
        """No worker can be had: if none is left, fail what waits for one (no error: cancel it)."""
        with self.lock:
            waiting = [] if self._runners else list(self._line)
        if error is None:
            do_all(call.future.cancel for call in waiting)
        else:
            do_all(functools.partial(self._fail_if_waiting, call, error) for call in waiting)

    def _fail_if_waiting(self, call: Call, error: BaseException) -> None:
        if self.withdraw(call):
            call.fail(error)

    # Calls that are to end while they run.

    def use(
        self, connection: Connection, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """``function(*args, **kwargs)``, a part of the current call that uses *connection*."""
        calls = getattr(self._here, "calls", None)
        if not calls:
            return function(*args, **kwargs)
        call: Call = calls[-1]
        outer = call.connections
        call.connections = (*outer, (connection, connection.call_number))
        try:
            if call.end is not None:  # set before the connection was known to who set it
                raise Aborted
            return function(*args, **kwargs)
        finally:
            call.connections = outer

    def _abort(self, call: Call, end: End) -> bool:
        """End *call* where it runs: it can begin no more requests. False if it does not run."""
        with self.lock:
            if call.state is not TAKEN or call.future.done():
                return False
            if call.end is None:
                call.end = end
            used, awaited = self._used_by(call), call.waits_for
            self._wake_onlookers()
        for connection, number in used:
            connection.abort(number)
        for each in awaited:  # its worker sleeps on that
            each.tell_watchers()
        return True

    def _used_by(self, call: Call) -> tuple[tuple[Connection, int], ...]:
        """The connections to abort so that *call* ends.

        One may be used by a call that its worker runs because *call* waits for it. That one is made
        again for whoever else wants it; unless it writes, which is not torn for another's sake.
        """
        for runner in self._at_work():
            calls = list(runner.calls)
            if call in calls[:-1] and calls[-1].only_reads:
                return (*call.connections, *calls[-1].connections)
        return call.connections


def _acquire_politely(lock: threading.RLock) -> None:
    """Acquire *lock*, on a worker thread; whoever has it is to be done with it first.

    A thread that sleeps until the lock is free owns it as soon as it is, long before it has the
    interpreter: then the others sleep for that in turn, and each call costs two switches.
    """
    for _ in range(_POLITE):
        if lock.acquire(blocking=False):
            return
        time.sleep(0)
    lock.acquire()
