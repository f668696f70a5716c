"""What an executor has done and is doing, in numbers."""

from __future__ import annotations

import bisect
import dataclasses
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BOUNDS", "CallStats", "Counters", "Histogram", "SocketCounters", "Stats", "Times"]

BOUNDS = (
    *(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03),
    *(0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0),
)
"""The upper ends of the classes of :class:`Times`, in seconds; the last class has none."""


@dataclasses.dataclass(frozen=True)
class Times:
    """How long something has taken: a histogram.

    Attributes:
        count: How often it was measured.
        seconds: All of it together.
        longest: The longest of it, in seconds.
        classes: How often it took at most as long as each of ``shotgun_executor.stats.BOUNDS``, and
            longer than the one before; at the end, how often it took longer than the last.
    """

    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    classes: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)

    @property
    def mean(self) -> float:
        """The mean, in seconds."""
        return self.seconds / self.count if self.count else 0.0

    def __str__(self) -> str:
        return f"{self.count} times, {self.mean:.3g} s on average, {self.longest:.3g} s at most"


class Histogram:
    """Collects :class:`Times`. Not thread-safe: a lock of its owner guards it."""

    __slots__ = ("_classes", "_count", "_longest", "_seconds")

    def __init__(self) -> None:
        self._count = 0
        self._seconds = self._longest = 0.0
        self._classes = [0] * (len(BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        """It was measured once more."""
        self._count += 1
        self._seconds += seconds
        if seconds > self._longest:  # twice for each call, and max() is slower
            self._longest = seconds
        self._classes[bisect.bisect_left(BOUNDS, seconds)] += 1

    def times(self) -> Times:
        """What was collected until now."""
        return Times(self._count, self._seconds, self._longest, tuple(self._classes))


@dataclasses.dataclass(frozen=True)
class CallStats:
    """The calls of one method, or of an executor.

    Attributes:
        done: How many have returned.
        failed: How many have raised.
        cancelled: How many were cancelled.
        repeated: How often calls were made again.
        queue: How long those that ended had waited for a worker.
        run: How long their last attempt took on a worker; without the time in which a call of many
            pages waits for these, when it occupies none.
    """

    done: int = 0
    failed: int = 0
    cancelled: int = 0
    repeated: int = 0
    queue: Times = dataclasses.field(default_factory=Times)
    run: Times = dataclasses.field(default_factory=Times)


@dataclasses.dataclass(frozen=True)
class Stats:
    """What an executor has done and is doing: ``executor.stats()``.

    The numbers of calls are of one moment: ``submitted`` is the sum of ``waiting``, ``ready``,
    ``delayed``, ``running``, ``done``, ``failed`` and ``cancelled``.

    Attributes:
        submitted: How many calls were accepted.
        waiting: How many wait for futures among their arguments.
        ready: How many wait for a worker.
        delayed: How many wait to be made again.
        running: How many run, or are about to be resolved.
        done: How many have returned.
        failed: How many have raised.
        cancelled: How many were cancelled.
        repeated: How often calls were made again.
        methods: The same by method; functions that were submitted are under "submit".
        connect: How long it took to open a socket, TLS included.
        server: How long the site took from the end of a request to the begin of its answer.
        connections_idle: How many connections nobody uses.
        connections_leased: How many are in use.
        closed: How many sockets were closed, by reason.
        limit: How many calls may run at a time when the site is well.
        limit_now: How many may run at a time now.
    """

    submitted: int
    waiting: int
    ready: int
    delayed: int
    running: int
    done: int
    failed: int
    cancelled: int
    repeated: int
    methods: Mapping[str, CallStats]
    connect: Times
    server: Times
    connections_idle: int
    connections_leased: int
    closed: Mapping[str, int]
    limit: int
    limit_now: int


class _Of:
    """What is counted of one method."""

    __slots__ = ("cancelled", "done", "failed", "queue", "repeated", "run")

    def __init__(self) -> None:
        self.done = self.failed = self.cancelled = self.repeated = 0
        self.queue = Histogram()
        self.run = Histogram()


class Counters:
    """What the dispatch counts, under its lock, but for :meth:`ended`."""

    def __init__(self) -> None:
        self.submitted = 0
        self._of: dict[str, _Of] = {}
        # What has ended and is yet to be counted; added to without the lock.
        self.endings: deque[tuple[str, Optional[bool], float, Optional[float]]] = deque()

    def repeated(self, method: str) -> None:
        """A call is to be made again."""
        self._of_method(method).repeated += 1

    def ended(self, method: str, error: Optional[bool], queue: float, run: Optional[float]) -> None:
        """A call has ended. Takes no lock: to take it once more for each call costs too much.

        Args:
            method: What was called.
            error: Whether it has raised; None: it was cancelled.
            queue: Seconds that it has waited for a worker.
            run: Seconds that it has run; None: it has not.
        """
        self.endings.append((method, error, queue, run))

    def count_endings(self) -> None:
        """Count the calls that have ended; for who comes by with the lock."""
        endings = self.endings
        while endings:
            method, error, queue, run = endings.popleft()
            of = self._of_method(method)
            if error is None:
                of.cancelled += 1
            elif error:
                of.failed += 1
            else:
                of.done += 1
            of.queue.add(queue)
            if run is not None:
                of.run.add(run)

    def totals(self) -> dict[str, int]:
        """The sums over all methods."""
        names = ("done", "failed", "cancelled", "repeated")
        return {name: sum(getattr(of, name) for of in self._of.values()) for name in names}

    def methods(self) -> dict[str, CallStats]:
        """What was counted until now, by method."""
        return {
            method: CallStats(
                *(of.done, of.failed, of.cancelled, of.repeated), of.queue.times(), of.run.times()
            )
            for method, of in self._of.items()
        }

    def _of_method(self, method: str) -> _Of:
        of = self._of.get(method)
        if of is None:
            of = self._of[method] = _Of()
        return of


class SocketCounters:
    """What the transports of a pool count."""

    def __init__(self) -> None:
        # Reentrant: a garbage collection within may close a socket of the same pool.
        self._lock = threading.RLock()
        self._connect = Histogram()
        self._server = Histogram()
        self._closed: Counter[str] = Counter()

    def forget_parent(self) -> None:
        """In a forked process: nobody is left who would set the lock free."""
        self._lock = threading.RLock()

    def connected(self, seconds: float) -> None:
        """A socket was opened."""
        with self._lock:
            self._connect.add(seconds)

    def answered(self, seconds: float) -> None:
        """An answer has begun."""
        with self._lock:
            self._server.add(seconds)

    def closed(self, reason: str) -> None:
        """A socket was closed."""
        with self._lock:
            self._closed[reason] += 1

    def snapshot(self) -> tuple[Times, Times, dict[str, int]]:
        """Times to connect, times of the site, and closed sockets by reason."""
        with self._lock:
            return self._connect.times(), self._server.times(), dict(self._closed)
