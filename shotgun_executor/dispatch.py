"""Which call runs next, and on which worker.

The threads belong to the standard library's ``ThreadPoolExecutor``; the order of the calls is ours.
A call waits here for the futures among its arguments, then for a worker. For each worker that is
free while calls wait for one, the stdlib's pool is handed one *runner*, which runs calls until none
waits. How a runner ends in the eyes of the stdlib (its own future) tells of a failed initializer, a
shutdown or a dead thread.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import logging
import os
import threading
import time
from collections import deque
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol

from shotgun_executor.alarm import Alarm
from shotgun_executor.call import DEFAULT, DELAYED, READY, TAKEN, Call, End, State, submitted_at
from shotgun_executor.errors import TooManyCalls
from shotgun_executor.exiting import finish_at_exit, threads_can_start
from shotgun_executor.limit import Limit, Told, admit
from shotgun_executor.line import Line
from shotgun_executor.needs import Need, dependency_failed, failure_of
from shotgun_executor.observing import Observers
from shotgun_executor.opening import Aborted
from shotgun_executor.retry import Sent, sent_of
from shotgun_executor.runner import Runner
from shotgun_executor.stats import Counters
from shotgun_executor.waiting import help_along

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shotgun_executor.attempts import Attempts
    from shotgun_executor.call import Options, Unfinished
    from shotgun_executor.connection import Connection
    from shotgun_executor.future import Future

__all__ = ["Dispatch", "Source"]

LOG = logging.getLogger("shotgun_executor")

_LOT = 100
"""How many calls that have ended are counted at a time; by those who ask for numbers, all."""


class Source(Protocol):
    """What has accepted calls that it submits later, such as a batch that is being gathered."""

    def hurry(self) -> None:
        """Nothing more comes: submit what could be submitted, and the rest as soon as it can."""

    def cancel_unsent(self) -> None:
        """Cancel what was not submitted yet."""


class Dispatch:
    """The calls of one executor.

    Guarantees:

    * Each call that was accepted is run, or withdrawn once, or failed once; its future is resolved
      once.
    * While calls wait for a worker, as many runners are at work as there are workers; an executor
      without calls has none, and wakes no thread.
    * A call that waits for something other than a worker (a future, its time) occupies none.
    * A worker that waits for a call which no worker has taken runs it itself, so waiting within
      calls never locks up; calls that wait for each other in a circle are told so.
    * Functions, callbacks and the stdlib's pool are never called with the lock held.
    """

    def __init__(
        self,
        start: Callable[[Runner], concurrent.futures.Future[None]],
        *,
        name: str,
        max_runners: int,
        after_run: Callable[[], None],
        owner: Callable[[], Any],
        limit: Limit,
        max_pending: Optional[int] = None,
        when_full: str = "block",
    ) -> None:
        """Dispatch calls to at most *max_runners* workers.

        Args:
            start: Hands a runner to a worker thread; returns the future of its run.
            name: Of the thread of the alarm.
            max_runners: How many runners there may be at a time.
            after_run: Called on the worker thread when no call waits any more.
            owner: What must live while calls wait that will need a worker later.
            limit: How many of the workers may be at work.
            max_pending: How many calls may wait that have never run; None: any number.
            when_full: What happens to a call beyond that: "block", "raise" or "run".
        """
        self._start = start
        self._max_runners = max_runners
        self._after_run = after_run
        self._owner = owner
        self.limit = limit
        self._max_pending = max_pending
        self._when_full = when_full
        self.process = os.getpid()
        self.alarm = Alarm(name)
        # What this thread does: .calls, the calls that it runs, each within the one before;
        # .cascade, the dependants that it is resolving.
        self._here = threading.local()
        # The state. Guarded by lock, as is the state of each call. A call that is READY is in
        # _line, one that is BLOCKED or DELAYED in _aside. A runner is in _runners from the decision
        # to start it until it has found nothing to do.
        #
        # The lock is re-entrant: a garbage collection may run a destructor of the user's under it,
        # which may come back here; and no decision allocates between its test and its effect.
        self.lock = threading.RLock()
        self._line = Line()
        self._ready = 0  # how many of the calls in _line are READY; the others were withdrawn
        self._aside: set[Call] = set()
        self._idle = threading.Condition(self.lock)  # notified when nothing waits or runs any more
        self._runners: set[Runner] = set()
        self._guests: set[Runner] = set()  # threads that run a call which they have submitted
        # What each source has accepted, and has no outcome yet.
        self._promised: dict[Source, dict[object, None]] = {}
        self._pending = 0  # the calls that were accepted, and never taken
        self._room = threading.Condition(self.lock)  # notified when one is taken
        self._blocked_submits = 0  # how many wait for that
        self._paused = False  # the alarm will start a runner: until then no call may start
        self._closed = False
        self._hurried = False  # no call is made again
        self._exiting = False  # a worker that ends now is the last: it waits for its turn itself
        self._broken: Optional[BaseException] = None
        self._at_end: Optional[Callable[[], None]] = None  # to be called when all is done
        # Futures that nobody wants any more, left by destructors, which must take no lock.
        self._dropped: deque[Future[Any]] = deque()
        self._counters = Counters()
        self.observers = Observers()
        self.fence: Callable[[], None] = _nothing  # called for each write that was accepted
        limit.serve(max_runners)
        self._served = True  # the limit counts our workers; until all has ended
        finish_at_exit(self)

    def submit(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        needs: Sequence[concurrent.futures.Future[Any]] = (),
        label: Optional[str] = None,
        attempts: Optional[Attempts] = None,
        options: Options = DEFAULT,
        promised: bool = False,
    ) -> Future[Any]:
        """Accept a call.

        Args:
            function: What the worker calls.
            args: With these arguments.
            kwargs: And these.
            needs: Futures that must have their results before the call starts. If one fails, so
                does the call; if one is cancelled, so is the call.
            label: What the call is named in errors.
            attempts: Decides whether the call is made again when it fails.
            options: Its priority (see :class:`Line`) and deadline.
            promised: It was accepted before, as a part of a call or by :meth:`promise`: neither a
                shutdown nor a bound refuses it.

        Raises:
            RuntimeError: The executor was shut down, or the interpreter is exiting, or this is a
                forked process.
            BrokenThreadPool: An initializer has failed.
            TooManyCalls: So many wait already.
        """
        self.check_process()  # first: in a forked process the lock may be held for ever
        call = Call(
            *(self, function, args, kwargs),
            label=label,
            attempts=attempts,
            options=options,
            site=None if promised else submitted_at(),
        )
        future = call.future
        runner = Runner(self)
        guest = Runner(self) if self._when_full == "run" else runner
        run_here = False
        if needs:
            call.needs = list(reversed(needs))
            call.open_needs = len(needs)
            call.keep = self._owner()
        try:
            with self.lock:
                self._refuse_if_over(promised)
                may_run = not promised and not self._has_room() and self._make_room(call)
                self._accept(call)
                run_here = may_run and self.take(call)
                if run_here:
                    self._guests.add(guest)  # from here on: else the executor might seem idle
                wanted = self._admit(runner)
            if self.observers:
                self.observers.tell(call.event("submitted"))
            if call.deadline is not None:
                self._set_deadline(call, call.deadline)
            if wanted:
                self._start_runner(runner)
            if run_here:
                self._run_as_guest(guest, call)
            for need in needs:
                need.add_done_callback(Need(self, call))
        except BaseException as error:  # refused, or Ctrl-C at any point in between
            if self._undo_submit(call, runner, guest, error):
                raise
        return future

    def _undo_submit(self, call: Call, runner: Runner, guest: Runner, error: BaseException) -> bool:
        """Take *call* back, if it can be. Whether *error* is to be raised: who submits has no call.

        Else no thread could be started, but a worker that is there has taken it.
        """
        accepted = call.state is not State.NEW
        try:
            withdrawn = self.withdraw(call)
            if withdrawn and accepted:
                self._forget(call)
            if not withdrawn:
                withdrawn = self._leave_as_guest(guest, call, error)
            self._dismiss(runner, error)
        finally:
            if not isinstance(error, Exception):
                self.recount()
        return withdrawn or not isinstance(error, Exception)

    def promise(self, source: Source, what: object) -> Any:
        """Accept *what*, a call that *source* will submit later. It holds up a shutdown until then.

        Returns:
            What must live until then; call :meth:`kept` when the call has its outcome.

        Raises:
            RuntimeError, BrokenThreadPool, TooManyCalls: As :meth:`submit`.
        """
        self.check_process()
        with self.lock:
            self._refuse_if_over()
            if not self._has_room():
                self._wait_for_room(str(what))
            self._promised.setdefault(source, {})[what] = None
        return self._owner()

    def kept(self, source: Source, calls: Iterable[object]) -> None:
        """What *source* has promised has its outcome, or was not promised after all."""
        with self.lock:
            promised = self._promised.get(source, {})
            for call in calls:
                promised.pop(call, None)
            if not promised:
                self._promised.pop(source, None)
        self._end_if_idle()

    def _sources(self) -> list[Source]:
        with self.lock:
            return list(self._promised)

    def withdraw(self, call: Call) -> bool:
        """Take back a call that no worker has taken; True for who comes first, if in time."""
        with self.lock:
            withdrawn = self.take(call)
        if withdrawn:
            call.drop()
            self._end_if_idle()
        return withdrawn

    def cancel_repeat(self, call: Call) -> bool:
        """Cancel a call that has run, and waits to be made again; False if it does not."""
        if not self.withdraw(call):
            return False
        call.cancel()
        return True

    def abort_read(self, call: Call) -> bool:
        """End a call that runs, if it only reads; its future is cancelled when it has ended."""
        return call.only_reads and self._abort(call, End.CANCELLED)

    def close(self, *, hurry: bool = True) -> None:
        """Accept no more calls; those accepted are run, and with *hurry* gathered no longer."""
        with self.lock:
            self._closed = True
            self._room.notify_all()
        if hurry:
            for source in self._sources():
                source.hurry()

    def when_idle(self, end: Callable[[], None]) -> None:
        """Call *end* as soon as nothing waits or runs any more."""
        with self.lock:
            self._at_end = end
        self._end_if_idle()

    def abandon(self) -> None:
        """The executor is gone: nobody can submit any more; what was accepted is run."""
        if self.forked:
            return  # a forked child has dropped it, where the lock may be held for ever
        self.close()
        self.when_idle(_nothing)

    def wait_until_idle(self, timeout: Optional[float] = None) -> bool:
        """Wait until nothing waits or runs any more; False if that takes longer."""
        with self.lock:
            return self._idle.wait_for(lambda: not self._busy(), timeout)

    def cancel_soon(self, future: Future[Any]) -> None:
        """Cancel *future* before a worker would take its call. Takes no lock: for destructors."""
        self._dropped.append(future)

    def cancel_waiting(self) -> None:
        """Cancel each call that no worker has taken, and notify those who wait for it."""
        for source in self._sources():
            source.cancel_unsent()
        for call in self._all_waiting():
            call.future.cancel()

    def stop(self) -> None:
        """Cancel each call that has not started, and end each that runs, as far as can be."""
        self.cancel_waiting()
        self._abort_running()

    def _abort_running(self) -> None:
        """End each call that runs, as far as it uses a connection."""
        with self.lock:
            self._hurried = True
            running = [call for runner in self._at_work() for call in list(runner.calls)]
        for call in running:
            self._abort(call, End.SHUTDOWN)

    def fail_waiting(self, error: BaseException) -> None:
        """Fail each call that no worker has taken."""
        for call in self._all_waiting():
            if self.withdraw(call):
                call.fail(error)

    def finish_at_exit(self) -> None:
        """The interpreter exits: give up what only reads, and hurry what writes.

        Threads that were joined would wait for all of it. What a read would have returned has
        nobody left to look at it; a write that was accepted is made. No worker can begin any more
        after this, so one begins now though there may be no room for it. Where no thread can be
        started even now (on Python 3.12), this one is that worker.
        """
        here = Runner(self) if self._busy() and not threads_can_start() else None
        if here is not None:
            with self.lock:
                self.limit.enter(self, None, anyway=True)
                self._runners.add(here)
                self._exiting = True
        for source in self._sources():
            source.hurry()
        with self.lock:
            self._hurried = self._exiting = True
            self._paused = False
            delayed = [call for call in self._aside if call.state is DELAYED]
        for call in self._all_waiting():
            if call.only_reads:
                call.future.cancel()
        for call in delayed:
            self.ready_again(call)
        self.admit_more()
        if here is not None:
            self.run(here)

    def initialize(self, initializer: Callable[..., Any], *initargs: Any) -> None:
        """Run the user's initializer on a new worker; if it fails, so does all that waits."""
        self._here.calls = [Call(self, initializer, initargs, {}, label="the initializer")]
        try:
            initializer(*initargs)
        except BaseException as error:
            with self.lock:
                self._broken = error
                self._room.notify_all()
            self.fail_waiting(_broken_pool(error))
            raise
        finally:
            self._here.calls = []
            self._after_run()

    def check_process(self) -> None:
        """Refuse to be used in a process that was forked from ours: it has none of our threads."""
        if self.forked:
            raise RuntimeError(
                "this process was forked from the one that made the executor, and has none of its "
                "threads; make an executor of its own after the fork"
            )

    def status(self) -> str:
        """What the executor is doing, for errors that are about it."""
        owner = self._owner()
        return "" if owner is None else f"; {owner!r}"

    @property
    def forked(self) -> bool:
        """Whether this is a process that was forked from ours."""
        return os.getpid() != self.process

    @property
    def on_worker(self) -> bool:
        """Whether the current thread is one of the workers, and at work."""
        return bool(getattr(self._here, "calls", None))

    @property
    def others_wait_for_us(self) -> bool:
        """Whether the current thread runs a call or resolves others: then it must not wait."""
        return self.on_worker or getattr(self._here, "resolving", False)

    @property
    def waiting(self) -> int:
        """How many calls wait, for whatever."""
        return self._ready + len(self._aside)

    @property
    def runners(self) -> int:
        """How many workers are at work."""
        return len(self._runners)

    # Decisions, under the lock.

    def _refuse_if_over(self, promised: bool = False) -> None:
        if self._broken is not None:
            raise _broken_pool(self._broken)
        if self._closed and not promised:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _has_room(self) -> bool:
        return self._max_pending is None or self._pending < self._max_pending

    def _make_room(self, call: Call) -> bool:
        """Wait until one more call may wait; or raise. True: the caller is to run it.

        A worker never waits here, nor a callback: others may wait for them. And a call that waits
        for futures cannot be run at once.
        """
        if self._when_full == "run" and not self.others_wait_for_us:
            return not call.needs
        self._wait_for_room(str(call))
        return False

    def _wait_for_room(self, label: str) -> None:
        """Wait until one more call may wait; or raise, if that is wanted."""
        if self.others_wait_for_us:
            return
        if self._when_full == "raise":
            raise TooManyCalls(
                f"{self._pending} calls wait already, as many as max_pending allows: {label} was "
                f"not accepted{self.status()}"
            )
        self._blocked_submits += 1
        try:
            self._room.wait_for(lambda: self._has_room() or self._closed or self._broken)
        finally:
            self._blocked_submits -= 1
        self._refuse_if_over()

    def _forget(self, call: Call) -> None:
        """*call* was taken back by its submit: nobody will ever hear of it."""
        with self.lock:
            self._counters.submitted -= 1

    def ended(self, call: Call, error: Optional[BaseException] = None) -> None:
        """*call* is about to be resolved, once."""
        if call.counted:
            return  # something was raised between this and its end
        call.counted = True
        cancelled = isinstance(error, concurrent.futures.CancelledError)
        run = time.monotonic() - call.since if call.number else None
        outcome = None if cancelled else error is not None
        self._counters.ended(call.method, outcome, call.queued, run)
        if self.observers:
            self.observers.tell(call.event("ended", error))

    def count_calls(self) -> dict[str, Any]:
        """The numbers of calls, all of one moment; see ``Stats``."""
        with self.lock:
            counters = self._counters
            counters.count_endings()
            totals = counters.totals()
            delayed = sum(call.state is DELAYED for call in self._aside)
            waiting = len(self._aside) - delayed
            ended = totals["done"] + totals["failed"] + totals["cancelled"]
            return {
                "submitted": counters.submitted,
                "waiting": waiting,
                "ready": self._ready,
                "delayed": delayed,
                "running": counters.submitted - ended - self._ready - waiting - delayed,
                "methods": counters.methods(),
                **totals,
            }

    def recount(self) -> None:
        """Ctrl-C came in the middle of something: count anew what is counted along."""
        with self.lock:
            ready = list(self._line)
            self._ready = len(ready)
            self._pending = sum(not call.number for call in (*ready, *self._aside))
            self.limit.recount(self, len(self._runners))
            self._room.notify_all()
        self._end_if_idle()

    def _accept(self, call: Call) -> None:
        self._counters.submitted += 1
        if not self._counters.submitted % 1000:  # no worker comes by, if they were cancelled
            self._counters.count_endings()
        self._pending += 1
        if call.needs:
            call.state = State.BLOCKED
            self._aside.add(call)
        else:
            call.state = READY
            self._ready += 1
            self._line.append(call)

    def take(self, call: Call) -> bool:
        """Make *call* the caller's to run or to resolve; False if somebody was faster."""
        here = threading.get_ident()
        before = call.state
        if before is TAKEN:
            return False
        # What calls functions comes first: the stack may be full, and then nothing has happened.
        call.moved(before)
        first = before is not State.NEW and not call.number
        if first and self._blocked_submits:
            self._room.notify()
        if call.state is not before:
            return False  # somebody was, in a garbage collection on this very thread
        call.state, call.taker = TAKEN, here  # nothing allocates since the test
        self._aside.discard(call)
        if before is READY:
            self._ready -= 1
        if first:
            self._pending -= 1
        return True

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
        self._runners.discard(runner)  # last: if that has raised, it is counted out later
        return told

    def _at_work(self) -> list[Runner]:
        return [*self._runners, *self._guests]

    def _busy(self) -> bool:
        """Whether a call waits or runs, or a runner is about to."""
        return bool(self._ready or self._aside or self._runners or self._guests or self._promised)

    def _next(self, runner: Runner) -> Optional[Call]:
        """The next call for *runner*; None ends it, so that the next submit starts another."""
        if self._dropped:
            self._cancel_dropped()
        passed_over: list[Call] = []  # freed after the lock: it may be the end of a user's object
        told: list[Told] = []
        with self.lock:
            if runner not in self._runners:
                return None  # it was given up: the stdlib could not start a thread for it
            self._counters.count_endings(_LOT)
            call, pause = self._next_in_line(runner, passed_over)
            while pause and self._exiting:
                self._idle.wait(pause)  # without the lock
                call, pause = self._next_in_line(runner, passed_over)
            if call is None:
                told = self._count_out(runner)
            if pause:
                self._paused = True
            over = call is None and self._closed
        if pause:
            self._resume_after(pause)
        admit(told)
        if over:
            self._end_if_idle()
        return call

    def _cancel_dropped(self) -> None:
        while self._dropped:
            with contextlib.suppress(IndexError):  # another worker was faster
                self._dropped.popleft().cancel()

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

    def _resume_after(self, pause: float) -> None:
        try:
            self.alarm.after(pause, functools.partial(self.resume, self._owner()))
        except Exception:  # no thread can be had to wait: too early is better than never
            self.resume()

    def resume(self, keep: Any = None) -> None:
        """A call may start by now, as far as the rate goes. The executor, *keep*, lives so long."""
        with self.lock:
            self._paused = False
        self.admit_more()

    def admit_more(self) -> None:
        """There may be room for runners: start as many as there is work for."""
        while True:
            runner = Runner(self)
            with self.lock:
                wanted = self._admit(runner)
            if not wanted or not self._start_if_wanted(runner, wanted):
                return  # if no thread can be had, nor can another: those that are there must do

    def _all_waiting(self) -> list[Call]:
        with self.lock:
            return [*self._line, *self._aside]

    # Futures among the arguments.

    def need_is_done(self, call: Call, need: concurrent.futures.Future[Any]) -> None:
        """One of the futures that *call* needs is done; on whichever thread resolved it.

        Other calls may wait for a callback that comes after this one on the same thread, so a
        callback that shuts the executor down from here must not wait for them.
        """
        outer, self._here.resolving = getattr(self._here, "resolving", False), True
        try:
            self._need_is_done(call, need)
        finally:
            self._here.resolving = outer

    def _need_is_done(self, call: Call, need: concurrent.futures.Future[Any]) -> None:
        if call.parts is not None:  # it looks itself at how they ended
            self.unblock(call)
            return
        error = failure_of(need)
        if error is None and not need.cancelled():
            with self.lock:
                call.open_needs -= 1
                complete = call.open_needs <= 0  # see look_again
            if complete:
                self.unblock(call)
            return
        self._end_without_run(call, error and dependency_failed(call, error))

    def look_again(self, call: Call) -> None:
        """Something was raised where one of the needs of *call* was noted: see which are done."""
        self.admit_more()  # it may be in line already, without a runner for it
        with self.lock:
            if call.state is not State.BLOCKED:
                return
            done = [need for need in call.needs if need.done()]
            # Those of them that are yet to be noted are counted twice then: it may fall below zero.
            call.open_needs = len(call.needs) - len(done)
        for need in done if call.parts is None else ():
            error = failure_of(need)
            if error is not None or need.cancelled():
                self._end_without_run(call, error and dependency_failed(call, error))
                return
        self.unblock(call)

    def _end_without_run(self, call: Call, error: Optional[BaseException]) -> bool:
        """Fail *call* (without an error: cancel it), unless a worker has taken it."""
        with self.lock:
            taken = self.take(call)
        if taken:
            call.drop()
            self._resolve(call, error)
            self._end_if_idle()
        return taken

    def unblock(self, call: Call) -> None:
        """Put *call* in line if all that it needs is there."""
        runner = Runner(self)
        done = []  # freed after the lock
        with self.lock:
            if call.state is not State.BLOCKED:
                return
            while call.needs and call.needs[-1].done():
                done.append(call.needs.pop())
            if call.needs:
                return
            wanted = self._put_in_line(call, runner)
        del done
        self._start_if_wanted(runner, wanted)

    def _put_in_line(self, call: Call, runner: Runner) -> bool:
        """From _aside; whether *runner* is wanted for it."""
        call.moved(call.state)
        self._line.append(call)
        call.state = READY
        self._aside.discard(call)
        self._ready += 1
        return self._admit(runner)

    def _start_if_wanted(self, runner: Runner, wanted: bool) -> bool:
        """Whether it was started."""
        if wanted:
            try:
                return self._start_runner(runner)
            except Exception as error:
                self._dismiss(runner, error)
        return False

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
        interrupt: Optional[BaseException] = None
        while cascade:
            call, error = cascade.popleft()
            try:
                call.settle(error)
            except BaseException as raised:  # Ctrl-C, or SystemExit in a callback: go on to the end
                interrupt = raised
                if not call.future.done():
                    cascade.appendleft((call, error))
        self._here.cascade = None
        if interrupt is not None:
            raise interrupt

    def _end_if_idle(self, *, aside: bool = False) -> None:
        """End if all is done; *aside*: on a thread of its own, as this one holds stdlib locks."""
        if getattr(self._here, "starting", False):
            return  # whoever interrupted this thread is not to end it all; see _start_runner
        with self.lock:
            if not self._closed or self._busy():
                return
            self._idle.notify_all()
            end, self._at_end = self._at_end, None
            served, self._served = self._served, False
        if served:
            self.limit.no_longer_serve(self._max_runners)
        if end is not None:
            self.alarm.close()
            if aside:
                with contextlib.suppress(RuntimeError):  # no thread can be had: it all ends anyway
                    threading.Thread(target=end, name="end of an executor", daemon=True).start()
            else:
                end()

    # Calls that wait for their parts.

    def suspend(self, call: Call, unfinished: Unfinished) -> None:
        """Put *call*, which this worker has run, aside until its parts are done."""
        parts, go_on = unfinished
        keep, needs = self._owner(), parts.under_way()
        with self.lock:
            ends = self._hurried or call.end is not None or keep is None
            known = call.parts is parts
            if not ends:
                call.moved(TAKEN)
                call.parts = parts
                call.function, call.args, call.kwargs = go_on, (), {}
                call.needs, call.keep = list(reversed(needs)), keep
                call.state, call.taker = State.BLOCKED, None
                self._aside.add(call)
        if ends:
            call.end = call.end or End.SHUTDOWN
            parts.stop(abort=True)
            call.fail(call.ended())
            return
        if self.observers:
            self.observers.tell(call.event("suspended"))
        call.tell_watchers()
        if not known:
            call.future.add_done_callback(parts.stop_with)
        for need in needs:
            need.add_done_callback(Need(self, call))
        if not needs:
            self.unblock(call)

    # Calls that are made again.

    def repeat(self, call: Call, attempts: Attempts, error: Exception) -> bool:
        """Put *call*, which *error* has ended on this worker, aside to be made again later.

        Returns:
            False if it is not to be made again.
        """
        if isinstance(error, Aborted):  # by somebody for a call that waits for this one
            again = attempts.only_reads or sent_of(error) is Sent.NOTHING
            pause = 0.0 if again else None
        else:
            pause = attempts.pause_after(error)
        if pause is None:
            return False
        due = time.monotonic() + pause
        if call.ring is not None and due > call.ring.moment:
            return False  # its deadline would have passed
        if not self._put_aside(call, due):
            return False
        try:
            if self.observers:
                self.observers.tell(call.event("repeated", error))
            call.tell_watchers()
            self.alarm.after(due - time.monotonic(), functools.partial(self.ready_again, call))
        except BaseException as raised:  # no thread can be started to wait for the time, say
            if not self.withdraw(call):
                return True  # somebody else has it
            if not isinstance(raised, Exception):
                raise
            return False
        return True

    def _put_aside(self, call: Call, due: float) -> bool:
        keep = self._owner()
        with self.lock:
            if self._hurried or call.end is not None or keep is None:
                return False
            call.moved(TAKEN)
            self._counters.repeated(call.method)
            call.keep, call.due = keep, due
            call.state, call.taker = DELAYED, None
            self._aside.add(call)
        return True

    def ready_again(self, call: Call) -> None:
        """Put a call that was to be made again in line."""
        runner = Runner(self)
        with self.lock:
            if call.state is not DELAYED:
                return
            wanted = self._put_in_line(call, runner)
        self._start_if_wanted(runner, wanted)

    # Deadlines and aborts.

    def _set_deadline(self, call: Call, seconds: float) -> None:
        ring = self.alarm.after(seconds, functools.partial(self._expire, call))
        with self.lock:
            call.ring = ring
            ended = call.future.done()
        if ended:
            ring.cancel()

    def _expire(self, call: Call) -> None:
        """The deadline of *call* has passed."""
        with self.lock:
            if call.end is None:
                call.end = End.DEADLINE
        if not self._end_without_run(call, call.ended()):
            self._abort(call, End.DEADLINE)

    def _abort(self, call: Call, end: End) -> bool:
        """End *call* where it runs: it can begin no more requests. False if it does not run."""
        with self.lock:
            if call.state is not TAKEN or call.future.done():
                return False
            if call.end is None:
                call.end = end
            used, awaited = self._used_by(call), call.waits_for
        if used is not None:
            connection, number = used
            connection.abort(number)
        if awaited is not None:  # its worker sleeps on that
            awaited.tell_watchers()
        return True

    def _used_by(self, call: Call) -> Optional[tuple[Connection, int]]:
        """The connection to abort so that *call* ends.

        It may be used by a call that its worker runs because *call* waits for it. That one is made
        again for whoever else wants it; unless it writes, which is not torn for another's sake.
        """
        if call.connection is None:
            for runner in self._at_work():
                calls = list(runner.calls)
                if call in calls[:-1] and calls[-1].only_reads:
                    return calls[-1].connection
        return call.connection

    def use(
        self, connection: Connection, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """``function(*args, **kwargs)``, a part of the current call that uses *connection*."""
        calls = getattr(self._here, "calls", None)
        if not calls:
            return function(*args, **kwargs)
        call: Call = calls[-1]
        outer, call.connection = call.connection, (connection, connection.call_number)
        try:
            if call.end is not None:  # set before the connection was known to who set it
                raise Aborted
            return function(*args, **kwargs)
        finally:
            call.connection = outer

    # Waiting on a worker.

    def help(self, future: Future[Any], deadline: Optional[float]) -> None:
        """What a worker does before it blocks on *future*; see ``waiting.py``."""
        help_along(self, self._here.calls[-1], future, deadline)

    # Runners.

    def _start_runner(self, runner: Runner) -> bool:
        """Hand it to the stdlib's pool; False if no thread can be had, and others do its work."""
        runner.keep = self._owner()
        # A signal handler that shuts down in between must not: the stdlib's lock is held here.
        outer, self._here.starting = getattr(self._here, "starting", False), True
        try:
            ended = self._start(runner)
        except RuntimeError as error:
            if not (self._exiting and len(self._runners) > 1):
                raise
            self._dismiss(runner, error)
            return False
        finally:
            self._here.starting = outer
        runner.handed_over = True
        if self._closed:
            self._end_if_idle()
        ended.add_done_callback(runner.ended)
        return True

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

    def _run_as_guest(self, guest: Runner, call: Call) -> None:
        """Run *call*, which this thread has taken, though it is no worker."""
        outer = getattr(self._here, "calls", None)
        self._here.calls = guest.calls
        try:
            self.run_call(call)
        finally:
            self._here.calls = outer
            self._after_run()
            with self.lock:
                self._guests.discard(guest)
            self._end_if_idle()

    def _leave_as_guest(self, guest: Runner, call: Call, error: BaseException) -> bool:
        """*error* has ended a submit that has taken its *call*: fail it, if it is not done."""
        with self.lock:
            self._guests.discard(guest)
            ours = call.state is TAKEN and call.taker == threading.get_ident()
        if ours and not call.future.done():
            call.fail(error)
            self._end_if_idle()
            return True
        return False

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
            admit([each for each in told if each.dispatch is not self])
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
        admit([each for each in told if each.dispatch is not self])
        if wanted:  # others rely on the runner that could not be had
            try:
                self._start_runner(successor)
            except BaseException as another:
                with self.lock:
                    told = self._count_out(successor)
                admit([each for each in told if each.dispatch is not self])
                if not isinstance(another, Exception):
                    raise  # Ctrl-C: whoever submits next starts a runner for all
                self._desert(another)
        if self._closed:
            self._end_if_idle()

    def _desert(self, error: Optional[BaseException]) -> None:
        """No worker can be had: if none is left, fail what waits for one (no error: cancel it)."""
        with self.lock:
            waiting = [] if self._runners else list(self._line)
        for call in waiting:
            if error is None:
                call.future.cancel()
            elif self.withdraw(call):
                call.fail(error)


def _nothing() -> None:
    """What is done at the end of a dispatch without an executor."""


def _broken_pool(cause: BaseException) -> BrokenThreadPool:
    error = BrokenThreadPool(
        f"the initializer of a worker failed ({type(cause).__name__}), so the executor cannot "
        f"be used any more; make another"
    )
    error.__cause__ = cause
    return error
