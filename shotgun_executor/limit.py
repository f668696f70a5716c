"""How many calls run on a site at a time, and how many start in a second."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

if TYPE_CHECKING:
    from shotgun_executor.workers import Workers

__all__ = ["Limit", "Told", "admit"]

# Starts that were held up longer than this are not made up for. A thread is woken a little late;
# without any tolerance that would add up.
_TOLERANCE = 0.02

# Seconds that nothing starts when the site is still too busy after a cut, if it does not say how
# long itself: doubled each time, until a call succeeds. Whatever it says, one asks again after the
# longest: what is refused once must not stop all calls of a program for a minute.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


class Told(NamedTuple):
    """A dispatch to be told that there is room, and what has to live until it was."""

    dispatch: Workers
    keep: Any


class Limit:
    """How many calls run on a site at a time, and how many start in a second.

    ::

        executor.limit.calls = 4           # from now on; threads and connections stay
        print(executor.limit)              # <Limit: 4 calls at a time, 4 running>

        gentle = Limit(10, per_second=50)  # for two executors together
        ShotgunExecutor(..., limit=gentle)
        ShotgunExecutor(..., limit=gentle)

    When the site says that it is busy (429, 503) or is silent, the limit is halved, at most once in
    the time that a call takes, and never below one. While calls wait for it and succeed, it grows
    again, by one for as many successes as it lets run at a time.

    If the site says when to come back (``Retry-After``), no call starts before; if it is busy again
    after the limit was halved, none starts for a growing time. Both is for 5 seconds at most. So
    what waits is not sent just to be refused.

    It holds back calls that wait for a worker. What a worker runs within a call (the facade, a
    future that it waits for) belongs to that call.

    Args:
        calls: How many calls may run at a time; None: as many as there are workers.
        per_second: How many calls may start in a second; None: any number.
    """

    def __init__(self, calls: Optional[int] = None, *, per_second: Optional[float] = None) -> None:
        _check_calls(calls)
        _check_rate(per_second)
        # The state. Guarded by _lock, which is taken after the lock of a dispatch, never before.
        self._lock = threading.RLock()
        self._calls = calls
        self._per_second = per_second
        self._workers = 0  # of all executors together
        self._current = float(calls or 1)
        self._running: dict[Workers, int] = {}  # how many workers of each are at work
        self._total = 0  # of them
        self._cut_at = 0.0  # when it was halved last
        self._next_start = 0.0  # when the next call may start
        self._busy_until = 0.0  # no call starts before; 0: the site has not said that it is busy
        self._cuts = 0  # how often it was halved since a call has succeeded
        self._paused: weakref.WeakSet[Workers] = weakref.WeakSet()  # those who wait for that
        # Those who have calls for which there was no room, in the order in which they came; with
        # what has to live until there is.
        self._waiting: dict[Workers, Any] = {}

    @property
    def calls(self) -> int:
        """How many calls may run at a time when the site is well."""
        return self._calls or max(1, self._workers)

    @calls.setter
    def calls(self, calls: Optional[int]) -> None:
        _check_calls(calls)
        with self._lock:
            self._calls = calls
            self._current = float(self.calls)
        admit(self.freed())

    @property
    def per_second(self) -> Optional[float]:
        """How many calls may start in a second, if that is limited."""
        return self._per_second

    @per_second.setter
    def per_second(self, per_second: Optional[float]) -> None:
        _check_rate(per_second)
        with self._lock:
            self._per_second = per_second
            self._next_start = 0.0
            paused, self._paused = list(self._paused), weakref.WeakSet()
        for dispatch in paused:
            dispatch.resume()

    @property
    def current(self) -> int:
        """How many calls may run at a time now."""
        return int(self._current)

    @property
    def running(self) -> int:
        """How many calls run, of all executors that share this limit."""
        return self._total

    def __repr__(self) -> str:
        less = "" if self.current == self.calls else f", {self.current} while the site is busy"
        rate = "" if self._per_second is None else f", {self._per_second:g} per second"
        return f"<Limit: {self.calls} calls at a time{less}{rate}, {self._total} running>"

    # For the dispatches.

    def serve(self, workers: int) -> None:
        """An executor with so many workers keeps to this limit from now on."""
        with self._lock:
            whole = self._current >= self.calls
            self._workers += workers
            if whole:
                self._current = float(self.calls)

    def no_longer_serve(self, workers: int) -> None:
        """The executor with so many workers has ended."""
        with self._lock:
            self._workers -= workers
            self._current = min(self._current, float(self.calls))

    def enter(self, dispatch: Workers, keep: Any, *, anyway: bool = False) -> bool:
        """Let a worker begin; if not, *dispatch* is told when there is room. *keep* lives so long.

        Each that has begun is counted until :meth:`leave`.
        """
        with self._lock:
            if self._full() and not anyway:
                self._waiting[dispatch] = keep
                return False
            self._count(dispatch, +1)
        return True

    def leave(self, dispatch: Workers, keep: Any = None) -> list[Told]:
        """A worker has ended. Returns whom to tell that there is room: see :func:`admit`.

        With *keep*, *dispatch* has more calls, and is told as well, after those who waited before.
        """
        with self._lock:
            self._count(dispatch, -1)
            if keep is not None:
                self._waiting.setdefault(dispatch, keep)
            return self._freed() if self._waiting else []

    def recount(self, dispatch: Workers, running: int) -> None:
        """Correct the count of *dispatch*, which was interrupted in between."""
        with self._lock:
            self._count(dispatch, running - self._running.get(dispatch, 0))

    def _count(self, dispatch: Workers, change: int) -> None:
        count = self._running.get(dispatch, 0) + change
        if count:
            self._running[dispatch] = count
        else:
            self._running.pop(dispatch, None)
        self._total += change

    def crowded(self, dispatch: Workers) -> bool:
        """Whether a worker of *dispatch* that has done a call should make room for others."""
        if self._total > self._current:
            return True
        if not self._waiting:
            return False
        with self._lock:
            mine = self._running.get(dispatch, 0)
            return any(self._running.get(other, 0) < mine for other in self._waiting)

    def claim_start(self, dispatch: Workers, *, hurry: bool = False) -> float:
        """Count a call that starts now; or the seconds until one may.

        If the rate changes meanwhile, *dispatch* is told. With *hurry* a busy site counts for
        nothing.
        """
        rate = self._per_second
        if rate is None and not self._busy_until:
            return 0.0
        with self._lock:
            now = time.monotonic()
            if self._busy_until > now and not hurry:
                return self._busy_until - now
            self._busy_until = 0.0
            if rate is None:
                return 0.0
            if self._next_start > now:
                self._paused.add(dispatch)
                return self._next_start - now
            self._next_start = max(self._next_start, now - _TOLERANCE) + 1 / rate
        return 0.0

    def overloaded(self, began: float, retry_after: Optional[float] = None) -> None:
        """The site could not serve a call that began at *began* (of ``time.monotonic``).

        Args:
            began: When that was.
            retry_after: Seconds until the site wants to be asked again, if it said so.
        """
        with self._lock:
            now = time.monotonic()
            pause = min(retry_after or 0.0, _LONGEST_PAUSE)
            if began >= self._cut_at:  # else it was sent before the last cut took effect
                self._current = max(1.0, self._current / 2)
                self._cut_at = now
                self._cuts += 1
                if self._cuts > 1 and retry_after is None:
                    pause = min(_FIRST_PAUSE * 2.0 ** min(self._cuts - 2, 10), _LONGEST_PAUSE)
            if pause:
                self._busy_until = max(self._busy_until, now + pause)

    def succeeded(self) -> list[Told]:
        """The site has served a call. Returns whom to tell that there is room."""
        self._cuts = 0
        if self._current >= self.calls:
            return []
        with self._lock:
            if self._total < self.current:
                return []  # it is not what holds calls back
            self._current = min(float(self.calls), self._current + 1 / self._current)
            return self._freed()

    def freed(self) -> list[Told]:
        """Whom to tell that there is room; they are no longer waiting then."""
        with self._lock:
            return self._freed()

    def _freed(self) -> list[Told]:
        room = self.current - self._total
        if room <= 0:
            return []
        # Those with the fewest at work, and of these who came first.
        first = sorted(self._waiting, key=lambda each: self._running.get(each, 0))[:room]
        return [Told(dispatch, self._waiting.pop(dispatch)) for dispatch in first]

    def _full(self) -> bool:
        return self._total >= self.current


def admit(told: list[Told]) -> None:
    """Tell them that there is room. Without any lock held: each takes its own."""
    while told:
        for dispatch, _ in told:
            dispatch.admit_more()
        # Some may have had nothing left to run, so that there is still room for others.
        told = told[0].dispatch.limit.freed()


def _check_calls(calls: object) -> None:
    if calls is None:
        return
    if not isinstance(calls, int) or isinstance(calls, bool) or calls < 1:
        raise ValueError(f"Limit: calls must be an integer, at least 1, or None, not {calls!r}")


def _check_rate(rate: object) -> None:
    if rate is None:
        return
    if not isinstance(rate, (int, float)) or isinstance(rate, bool) or not 0 < rate < 1e9:
        raise ValueError(f"Limit: per_second must be a positive number or None, not {rate!r}")
