"""A call: a function with its arguments, and the future that takes its outcome."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import enum
import itertools
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from shotgun_executor.errors import DeadlineExceeded, ShutdownError, note_on, outcome_unknown
from shotgun_executor.future import Future
from shotgun_executor.limit import admit
from shotgun_executor.observing import CallEvent
from shotgun_executor.opening import Aborted
from shotgun_executor.outcome import mark_unknown
from shotgun_executor.retry import is_overload, retry_after_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shotgun_executor.alarm import Ring
    from shotgun_executor.attempts import Attempts
    from shotgun_executor.connection import Connection
    from shotgun_executor.dispatch import Dispatch
    from shotgun_executor.parts import Parts
    from shotgun_executor.retry import Retries

__all__ = [
    "DEFAULT",
    "DELAYED",
    "READY",
    "TAKEN",
    "Call",
    "End",
    "Options",
    "State",
    "Unfinished",
    "submitted_at",
]


class State(enum.Enum):
    """Where a call is; changed by a decision under the lock of its dispatch.

    NEW, BLOCKED, READY, TAKEN, maybe without those between; and from there, if it is to be made
    again, DELAYED and READY, or, if it waits for its parts, BLOCKED and READY.
    Whoever makes it TAKEN runs or resolves it, and nobody else does.
    """

    NEW = "waited to be accepted"
    BLOCKED = "waited for futures"
    READY = "waited for a worker"
    TAKEN = "ran"
    DELAYED = "waited to be made again"


READY = State.READY
TAKEN = State.TAKEN
DELAYED = State.DELAYED


class End(enum.Enum):
    """Why a running call is to end before it has."""

    DEADLINE = "its deadline has passed"
    CANCELLED = "it was cancelled"
    SHUTDOWN = "the executor was shut down"


class Options(NamedTuple):
    """What ``executor.options`` was told about the calls that are made through it."""

    priority: int = 0
    deadline: Optional[float] = None
    retries: Optional[Retries] = None
    timeout: Optional[float] = None


DEFAULT = Options()

_ids = itertools.count(1)

_NO_NEEDS: list[concurrent.futures.Future[Any]] = []  # of all calls without any; never added to


class Unfinished(NamedTuple):
    """What the function of a call returns if the result takes more calls, its parts.

    They are waited for without a worker. When those that are under way now are done, however they
    ended, ``go_on`` is called on a worker, and its result is the result of the call; it may be
    unfinished as well.
    """

    parts: Parts[Any]
    go_on: Callable[[], Any]


class Call:
    """What a worker is to do.

    ``state``, ``taker``, ``needs``, ``open_needs``, ``parts``, ``thread``, ``waits_for``,
    ``watchers``, ``end`` and ``keep`` are guarded by the dispatch.
    """

    __slots__ = (
        "args",
        "attempts",
        "blocked",
        "connections",
        "context",
        "counted",
        "deadline",
        "dispatch",
        "due",
        "end",
        "function",
        "future",
        "id",
        "keep",
        "kwargs",
        "label",
        "needs",
        "notified",
        "number",
        "open_needs",
        "parts",
        "paused",
        "priority",
        "queued",
        "ran",
        "ran_before",
        "ring",
        "since",
        "site",
        "state",
        "taker",
        "thread",
        "waits_for",
        "watchers",
    )

    def __init__(
        self,
        dispatch: Dispatch,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        label: Optional[str] = None,
        attempts: Optional[Attempts] = None,
        options: Options = DEFAULT,
        site: Optional[tuple[str, int]] = None,
    ) -> None:
        self.dispatch = dispatch
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.label = label
        self.priority = options.priority
        self.deadline = options.deadline  # seconds from its submission; None: there is none
        self.attempts = attempts  # decides whether it is made again; None: it is not
        self.context = contextvars.copy_context()  # of who submits: the call sees its variables
        self.state = State.NEW
        self.id = next(_ids)
        self.site = site  # where it was submitted
        self.number = 0  # of the attempt that runs or ran last; the first is 1
        # The futures among the arguments that may not be done, the first one last; and of how
        # many the dispatch was not told yet.
        self.needs: list[concurrent.futures.Future[Any]] = _NO_NEEDS
        self.open_needs = 0
        self.parts: Optional[Parts[Any]] = None  # the calls that it has made to go on with
        self.taker: Optional[int] = None  # the thread that took it
        self.counted = False  # the dispatch was told that it has ended
        self.notified = False  # who waits for the future was told that it is cancelled
        self.thread: Optional[int] = None  # the worker that runs it
        # The calls that this running one waits for, any of them.
        self.waits_for: Sequence[Call] = ()
        # What workers that wait for it while it runs sleep on.
        self.watchers: Optional[list[threading.Event]] = None
        self.end: Optional[End] = None  # why it is to end while it runs
        # The connections that it uses, each within the use of the one before, with the numbers that
        # tell these uses from later ones.
        self.connections: tuple[tuple[Connection, int], ...] = ()
        self.ring: Optional[Ring] = None  # what ends it at its deadline
        self.keep: Any = None  # the executor, while the call waits for more than a worker
        # When it came to be where it is, and how long it was in each state before.
        self.due = 0.0  # when it is to be made again, if it is DELAYED
        self.since = time.monotonic()
        self.blocked = self.queued = self.ran = self.paused = 0.0
        self.ran_before = 0.0  # of the time that it ran: in attempts before this one
        self.future: Future[Any] = Future()
        self.future._call = self

    def __str__(self) -> str:
        return self.label or name_of(self.function)

    @property
    def only_reads(self) -> bool:
        """Whether it is known to change nothing."""
        return self.attempts is not None and self.attempts.only_reads

    @property
    def runs(self) -> bool:
        """Whether somebody has taken it, to run or to resolve it."""
        return self.state is TAKEN

    @property
    def taken_here(self) -> bool:
        """Whether this very thread has taken it."""
        return self.state is TAKEN and self.taker == threading.get_ident()

    @property
    def waits_for_futures(self) -> bool:
        """Whether it waits for futures, or for its parts."""
        return self.state is State.BLOCKED

    @property
    def method(self) -> str:
        """The method of ``Shotgun`` that it is a call of."""
        return "submit" if self.attempts is None else self.attempts.method

    def event(self, kind: str, error: Optional[BaseException] = None) -> CallEvent:
        """What has happened to it just now."""
        cancelled = isinstance(error, concurrent.futures.CancelledError)
        return CallEvent(
            kind=kind,
            call=self.id,
            method=self.method,
            label=str(self),
            moment=time.monotonic(),
            thread=threading.current_thread().name,
            attempt=self.number,
            error=None if cancelled else error,
            cancelled=cancelled,
        )

    def moved(self, before: State) -> None:
        """Note the time that it spent in the state before this one."""
        now = time.monotonic()
        spent = now - self.since
        self.since = now
        if before is READY:
            self.queued += spent
        elif before is TAKEN:
            self.ran += spent
        elif before is DELAYED:
            self.paused += spent
        else:
            self.blocked += spent

    def run(self) -> None:
        """Resolve the future by what the function returns or raises; or have it made again."""
        future = self.future
        self.keep = None
        if self.parts is None and not self._begin():
            return
        observers = self.dispatch.observers
        if observers.listening:
            observers.tell(self.event("started"))
        try:
            try:
                result = self.context.run(self.function, *self.args, **self.kwargs)
            finally:
                if self.dispatch.forked:
                    self.dispatch.end_if_forked()
        except BaseException as error:
            if not self._again(error):
                self.fail(self._told(error))
            # the error holds this frame, and this frame would hold the error
            del self, future
        else:
            if type(result) is Unfinished:
                self.dispatch.suspend(self, result)
                return
            if self.attempts is not None:
                self.attempts.succeeded()
                admit(self.dispatch.limit.succeeded())
            self.release()
            self.dispatch.ended(self)
            try:
                future.set_result(result)
            finally:  # whatever a callback has raised
                self.tell_watchers()

    def _begin(self) -> bool:
        """An attempt begins; False if the call was cancelled."""
        self.number += 1
        self.ran_before = self.ran
        if self.attempts is not None:
            self.attempts.begin()
        if self.number == 1 and not self.future.set_running_or_notify_cancel():
            self.notified = True  # cancelled after it was taken
            self.notify_cancelled()
            return False
        return True

    def _again(self, error: BaseException) -> bool:
        """Whether the call is made again; if it has parts, these were made again."""
        if self.attempts is None or self.parts is not None or not isinstance(error, Exception):
            return False
        if is_overload(error):
            self.dispatch.limit.overloaded(self.since, retry_after_of(error))
        return self.dispatch.repeat(self, self.attempts, error)

    def _told(self, error: BaseException) -> BaseException:
        """What the call fails by: *error*, or what has made it fail."""
        if self.end is None or not isinstance(error, Aborted):
            return error
        ended = self.ended()
        ended.__cause__ = error
        if outcome_unknown(error):
            mark_unknown(ended, str(error))
        return ended

    def ended(self) -> BaseException:
        """The error of a call that ended before it had run, or while it ran."""
        if self.end is End.DEADLINE:
            limit = f"{self} did not end within {self.deadline:g} s"
            return DeadlineExceeded(f"{limit}: {self.times()}{self.dispatch.status()}")
        if self.end is End.SHUTDOWN:
            return ShutdownError(f"{self} was ended by a shutdown: {self.times()}")
        return concurrent.futures.CancelledError()

    def attempt_time(self) -> Optional[float]:
        """Seconds that its last attempt ran, apart from the wait for its parts; None: none did."""
        if not self.number:
            return None
        return self.ran - self.ran_before + time.monotonic() - self.since

    def times(self) -> str:
        """Where the time went."""
        spent = {
            State.BLOCKED: self.blocked,
            READY: self.queued,
            TAKEN: self.ran,
            DELAYED: self.paused,
        }
        spent[self.state] = spent.get(self.state, 0.0) + time.monotonic() - self.since
        parts = [
            f"{state.value} for {seconds:.3g} s" for state, seconds in spent.items() if seconds
        ]
        if self.number > 1:
            parts.append(f"this was attempt {self.number}")
        return ", ".join(parts)

    def fail(self, error: BaseException) -> None:
        """Resolve the future by *error*, unless it is resolved; only for who took the call."""
        self.release()
        self._say_where(error)
        if self._was_cancelled():
            self.notify_cancelled()
            return
        if isinstance(error, concurrent.futures.CancelledError) and self.end is End.CANCELLED:
            self.future._cancelled_late = True
        try:
            if not self.future.done():
                self.dispatch.ended(self, error)
        finally:  # whatever becomes of the counting: the stack may be full
            try:
                with contextlib.suppress(concurrent.futures.InvalidStateError):
                    self.future.set_exception(error)
            finally:  # and of the callbacks
                self.tell_watchers()

    def _was_cancelled(self) -> bool:
        """Whether the future was cancelled; if not, it no longer can be.

        Else it might be between this and its failing, by somebody who leaves it to who has taken
        the call to notify those who wait.
        """
        future = self.future
        if self.notified or future.running():
            return self.notified
        if future.done() and (future._cancelled_late or not future.cancelled()):
            return False
        if future.set_running_or_notify_cancel():
            return False
        self.notified = True
        return True

    def settle(self, error: Optional[BaseException]) -> None:
        """Fail by *error*; without one, cancel the future."""
        if error is None:
            self.cancel()
        else:
            self.fail(error)

    def cancel(self) -> None:
        """Cancel the future, and notify who waits for it; only for who took the call."""
        if self.number:  # it ran before: the standard library's future can no longer be cancelled
            self.end = End.CANCELLED
            self.fail(concurrent.futures.CancelledError())
            return
        concurrent.futures.Future.cancel(self.future)
        self.notify_cancelled()

    def notify_cancelled(self) -> None:
        """Tell who waits for the cancelled future; only for who took the call."""
        self.release()
        self.dispatch.ended(self, concurrent.futures.CancelledError())
        if not self.notified:
            self.future.set_running_or_notify_cancel()
            self.notified = True
        self.tell_watchers()
        self.future._raise_caught()

    def _say_where(self, error: BaseException) -> None:
        """Note on *error* which call it is of, and where that was submitted."""
        if self.site is None or isinstance(error, concurrent.futures.CancelledError):
            return
        attempts = f", attempt {self.number}" if self.number > 1 else ""
        note_on(error, f"{self}{attempts}, submitted at {self.site[0]}:{self.site[1]}")

    def release(self) -> None:
        """It is about to be resolved: nothing is to come back to it."""
        self.future._call = self.keep = None
        ring, self.ring = self.ring, None
        if ring is not None:
            ring.cancel()

    def tell_watchers(self) -> None:
        """Wake the workers that wait for it; the future is resolved, or it is to be made again."""
        watchers, self.watchers = self.watchers, None
        for watcher in watchers or ():
            watcher.set()

    def drop(self) -> None:
        """Let go of what is no longer needed: it will not run."""
        self.label = str(self)  # while the function is there to tell
        self.function, self.args, self.kwargs, self.needs = _nothing, (), {}, _NO_NEEDS


def submitted_at() -> tuple[str, int]:
    """The file and line of the user's that submits a call: the first that is not of the package."""
    frame = sys._getframe(2)  # the first is of who submits it for us
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


_PACKAGE = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - compared with co_filename


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called in errors; never its repr, which may hold arguments."""
    name = getattr(function, "__qualname__", None)
    return str(name) if name else type(function).__name__


def _nothing() -> None:
    """Stands in for the function of a call that will not run."""
