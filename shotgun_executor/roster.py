"""What there is to do, and who is at it: the state of an executor, its lock and its decisions.

Dispatch is one object in four layers, each of which knows only those below it: the roster here; the
threads that do what it says (``workers.py``); calls that wait for something other than a worker
(``aside.py``); and what the executor asks for (``dispatch.py``).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections import deque
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Protocol

from shotgun_executor.alarm import Alarm
from shotgun_executor.call import DELAYED, READY, TAKEN, Call, State
from shotgun_executor.errors import TooManyCalls
from shotgun_executor.line import Line
from shotgun_executor.observing import Observers
from shotgun_executor.signals import is_within
from shotgun_executor.stats import Counters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shotgun_executor.future import Future
    from shotgun_executor.limit import Limit
    from shotgun_executor.runner import Runner

__all__ = ["Bounds", "Roster", "Source", "broken_pool", "do_all", "nothing"]


class Source(Protocol):
    """What has accepted calls that it submits later, such as a batch that is being gathered."""

    def hurry(self) -> None:
        """Nothing more comes: submit what could be submitted, and the rest as soon as it can."""

    def cancel_unsent(self) -> None:
        """Cancel what was not submitted yet."""

    def stalled(self) -> bool:
        """Whether all of it waits for futures. Takes no lock: it is asked under the dispatch's."""
        ...


class Bounds(NamedTuple):
    """How many calls may run and wait."""

    max_runners: int
    """How many workers there may be at a time."""
    limit: Limit
    """How many of them may be at work."""
    max_pending: Optional[int] = None
    """How many calls may wait that have never run; None: any number."""
    when_full: str = "block"
    """What happens to a call beyond that: "block", "raise" or "run"."""


class Roster:
    """The calls of one executor and its workers.

    A method whose name begins with an underscore decides, and is called with the lock held, unless
    it says otherwise; what follows from it is done without.
    """

    def __init__(self, owner: Callable[[], Any], bounds: Bounds, *, name: str) -> None:
        """See :class:`Dispatch`."""
        self._owner = owner
        self._max_runners, self.limit, self._max_pending, self._when_full = bounds
        self.forked = False  # this is a process that was forked from ours; see exiting.py
        self.alarm = Alarm(name)
        # What this thread does: .calls, the calls that it runs, each within the one before.
        self._here = threading.local()
        # The state. Guarded by lock, as is the state of each call. A call that is READY is in
        # _line, one that is BLOCKED or DELAYED in _aside. A runner is in _runners from the decision
        # to start it until it has found nothing to do.
        #
        # The lock is re-entrant: a garbage collection may run a destructor of the user's under it,
        # which may come back here; and no decision allocates between its test and its effect.
        self.lock = threading.RLock()
        self._line = Line()
        self._swept: list[Call] = []  # out of the line, to be freed without the lock
        self._ready = 0  # how many of the calls in _line are READY; the others were withdrawn
        self._aside: set[Call] = set()
        self._to_be_told: set[Call] = set()  # taken by who tells them that they will not run
        self._idle = threading.Condition(self.lock)  # notified when nothing waits or runs any more
        self._runners: set[Runner] = set()
        self._guests: set[Runner] = set()  # threads that run a call which they have submitted
        # What each source has accepted, and has no outcome yet.
        self._promised: dict[Source, dict[object, None]] = {}
        self._pending = 0  # the calls that were accepted, and never taken
        self._room = threading.Condition(self.lock)  # notified when a submit need not wait any more
        self._blocked_submits = 0  # how many wait for that
        # Workers that wait for the first of several futures: resolved when they are to look again.
        self.onlookers: list[concurrent.futures.Future[None]] = []
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
        self.fence: Callable[[], None] = nothing  # called for each write that was accepted
        self.limit.serve(self._max_runners)
        self._served = True  # the limit counts our workers; until all has ended

    # What this thread is, and the whole.

    def check_process(self) -> None:
        """Refuse to be used in a process that was forked from ours: it has none of our threads."""
        if self.forked:
            raise RuntimeError(
                "this process was forked from the one that made the executor, and has none of its "
                "threads; make an executor of its own after the fork"
            )

    def check_open(self) -> None:
        """Refuse what will make calls, if these would be refused."""
        self.check_process()
        with self.lock:
            self._refuse_if_over()

    @property
    def on_worker(self) -> bool:
        """Whether the current thread is one of the workers, and at work."""
        return bool(getattr(self._here, "calls", None))

    @property
    def others_wait_for_us(self) -> bool:
        """Whether the current thread runs a call or resolves others: then it must not wait."""
        return self.on_worker or is_within(Roster.while_resolving, self)

    def can_repeat(self) -> bool:
        """Whether calls may be made again later; not at exit, nor when all is to end."""
        return not self._hurried

    def while_resolving(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Call *function*, which resolves futures, and so calls their callbacks.

        Other calls may wait for what comes after a callback on the same thread, so a callback that
        shuts the executor down from here must not wait for them.
        """
        return function(*args)

    # What is counted along.

    @property
    def waiting(self) -> int:
        """How many calls wait, for whatever."""
        return self._ready + len(self._aside)

    @property
    def runners(self) -> int:
        """How many workers are at work."""
        return len(self._runners)

    def status(self) -> str:
        """What the executor is doing, for errors that are about it."""
        owner = self._owner()
        return "" if owner is None else f"; {owner!r}"

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

    # Decisions, under the lock.

    def _refuse_if_over(self, promised: bool = False) -> None:
        if self._broken is not None:
            raise broken_pool(self._broken)
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
            self._room.wait_for(
                lambda: self._has_room() or self._stalled() or self._closed or self._broken
            )
        except BaseException:  # Ctrl-C, maybe just when it was told: the next one is to be
            self._room.notify()
            raise
        finally:
            self._blocked_submits -= 1
        self._refuse_if_over()

    def _tell_if_stalled(self) -> None:
        if self._blocked_submits and self._stalled():
            self._room.notify_all()

    def _stalled(self) -> bool:
        """Whether nothing here makes room: all calls that wait do so for futures of others.

        Who submits may be the one who is to resolve them, afterwards.
        """
        if self._ready or self._runners or self._guests:
            return False
        if not all(call.state is State.BLOCKED for call in self._aside):
            return False
        return all(source.stalled() for source in self._promised)

    def _accept(self, call: Call) -> None:
        self._counters.submitted += 1
        if not self._counters.submitted % 1000:
            self._counters.count_endings()
        # No worker comes by for those that were cancelled, or run by workers that waited for them.
        if not self._counters.submitted % 64 and len(self._line) > 2 * self._ready + 64:
            self._swept = self._line.sweep()
        self._pending += 1
        if call.needs:
            call.state = State.BLOCKED
            self._aside.add(call)
            self._tell_if_stalled()
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
        if self._blocked_submits:
            self._room.notify()
        if call.state is not before:
            return False  # somebody was, in a garbage collection on this very thread
        call.taker, call.state = here, TAKEN  # nothing allocates since the test
        self._aside.discard(call)
        if before is READY:
            self._ready -= 1
        if first:
            self._pending -= 1
        return True

    def _wake_onlookers(self) -> None:
        """A call is in another place now: have those look who may want to run it."""
        while self.onlookers:
            self.onlookers.pop().set_result(None)

    def _at_work(self) -> list[Runner]:
        return [*self._runners, *self._guests]

    def _busy(self) -> bool:
        """Whether a call waits or runs, or a runner is about to."""
        if self._ready or self._aside or self._runners or self._guests or self._promised:
            return True
        return any(not call.future.done() for call in self._to_be_told)

    # These take the lock themselves.

    def look(self) -> None:
        """Something has come into the line by a way that its waiting workers do not know yet."""
        with self.lock:
            self._wake_onlookers()

    def withdraw(self, call: Call) -> bool:
        """Take back a call that no worker has taken; True for who comes first, if in time."""
        with self.lock:
            withdrawn = self.take(call)
        if withdrawn:
            call.drop()
            self._end_if_idle()
        return withdrawn

    def kept(self, source: Source, calls: Iterable[object]) -> None:
        """What *source* has promised has its outcome, or was not promised after all."""
        with self.lock:
            promised = self._promised.get(source, {})
            for call in calls:
                promised.pop(call, None)
            if not promised:
                self._promised.pop(source, None)
            self._tell_if_stalled()
        self._end_if_idle()

    def _forget(self, call: Call) -> None:
        """*call* was taken back by its submit: nobody will ever hear of it."""
        with self.lock:
            self._counters.submitted -= 1

    def ended(self, call: Call, error: Optional[BaseException] = None) -> None:
        """*call* is about to be resolved, once."""
        if call.counted:
            return  # something was raised between this and its end
        call.counted = True
        failed: Optional[bool] = error is not None
        if failed and isinstance(error, concurrent.futures.CancelledError):
            failed = None
        self._counters.ended(call.method, failed, call.queued, call.attempt_time())
        if self.observers.listening:
            self.observers.tell(call.event("ended", error))

    def _sources(self) -> list[Source]:
        with self.lock:
            return list(self._promised)

    def _all_waiting(self) -> list[Call]:
        with self.lock:
            return [*self._line, *self._aside]

    def _end_if_idle(self, *, aside: bool = False) -> None:
        """End if all is done; *aside*: on a thread of its own, as this one holds stdlib locks."""
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


def do_all(actions: Iterable[Callable[[], object]]) -> None:
    """Do all of them, whatever callbacks of the user raise; what came first is raised then."""
    raised: Optional[BaseException] = None
    for action in actions:
        try:
            action()
        except BaseException as error:  # noqa: PERF203 - as each may raise
            raised = raised or error
    if raised is not None:
        raise raised


def nothing() -> None:
    """What is done where there is nothing to do."""


def broken_pool(cause: BaseException) -> BrokenThreadPool:
    """The error of an executor whose initializer failed by *cause*."""
    error = BrokenThreadPool(
        f"the initializer of a worker failed ({type(cause).__name__}), so the executor cannot "
        f"be used any more; make another"
    )
    error.__cause__ = cause
    return error
