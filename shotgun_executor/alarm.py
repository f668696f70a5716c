"""A clock that calls functions at given times, on one thread for all that return soon."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import threading
import time
from typing import Callable, Optional

__all__ = ["Alarm", "Ring"]

LOG = logging.getLogger("shotgun_executor")

# Cancelled rings are dropped when they would have rung; before that, if they are so many.
_MANY = 64

_SOON = 0.01  # seconds

_LONG = 0.05  # seconds; a function that takes so long holds up no other


class Ring:
    """Something to be called at a time; it can be called off until then."""

    __slots__ = ("_alarm", "apart", "function", "moment")

    def __init__(
        self, alarm: Alarm, moment: float, function: Callable[[], object], *, apart: bool
    ) -> None:
        self._alarm = alarm
        self.moment = moment
        self.apart = apart
        self.function: Optional[Callable[[], object]] = function

    def cancel(self) -> None:
        """Call it off; without effect if it is being called, or was."""
        if self.function is not None:
            self.function = None
            self._alarm.forget_one()


class Alarm:
    """Calls functions at given times.

    Guarantees:

    * Its thread is started at the first need and ends with :meth:`close`; in between it sleeps
      until the next function is due, and is woken only for one that is due earlier.
    * Functions are called without a lock, in the order of their times. What they raise is logged.
    * A function that is called *apart* may wait for what is due later, as callbacks of users do:
      if it takes long, another thread looks after that.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # The state, guarded by the lock of _changed. That is re-entrant: a garbage collection under
        # it may run a destructor that comes back here.
        self._changed = threading.Condition(threading.RLock())
        self._rings: list[tuple[float, int, Ring]] = []  # a heap
        self._cancelled = 0  # how many of them
        self._thread: Optional[threading.Thread] = None
        self._apart = 0  # how many functions were called apart
        self._calling = 0  # the number of the one that _thread is calling; 0: none
        self._deputy: Optional[threading.Thread] = None  # that stands by meanwhile
        self._closed = False
        self._numbers = itertools.count()  # of rings at the same moment the first comes first

    def after(self, seconds: float, function: Callable[[], object], *, apart: bool = False) -> Ring:
        """Call *function* in so many seconds; *apart* if it may call functions of the user's.

        Raises:
            RuntimeError: No thread can be started (any more).
        """
        ring = Ring(self, time.monotonic() + seconds, function, apart=apart)
        with self._changed:
            if self._closed:
                raise RuntimeError("cannot do anything later: the executor was shut down")
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            heapq.heappush(self._rings, (ring.moment, next(self._numbers), ring))
            if self._rings[0][2] is ring:
                self._changed.notify_all()
        return ring

    def close(self) -> None:
        """End the thread; what was to be called is not."""
        with self._changed:
            self._closed = True
            self._rings.clear()
            self._changed.notify_all()

    def forget_one(self) -> None:
        """One of the rings was cancelled. If that is most of them, drop those."""
        with self._changed:
            self._cancelled += 1
            if self._cancelled > _MANY and self._cancelled > len(self._rings) // 2:
                self._rings = list(filter(_is_wanted, self._rings))
                heapq.heapify(self._rings)
                self._cancelled = 0

    def _run(self) -> None:
        while True:
            try:
                due = self._next_due()
            except Exception:  # no memory to wait with: nobody else would look at what is due
                time.sleep(_SOON)
                continue
            if due is None:
                return
            function, apart = due
            process = os.getpid()
            try:
                if apart:
                    self._have_deputy()
                function()
            except BaseException:  # SystemExit of a callback too: nobody else calls the others
                LOG.exception("what was to be done later failed")
            if os.getpid() != process:  # a callback has forked: its child has nothing else to do
                LOG.critical("a callback that has forked went on to its end in the child")
                os._exit(1)
            del function, due  # it may be the last that holds its object
            if apart and not self._take_back():
                return

    def _have_deputy(self) -> None:
        """What is called now may take long: have another thread look after the rest then."""
        with self._changed:
            self._apart += 1
            self._calling = self._apart
            if self._deputy is None:
                deputy = threading.Thread(target=self._stand_by, name=self._name, daemon=True)
                with contextlib.suppress(RuntimeError, MemoryError):  # else the rest has to wait
                    deputy.start()
                    self._deputy = deputy

    def _stand_by(self) -> None:
        """Take the place of the thread that calls a function, if that takes long."""
        with self._changed:
            self._wait_for_place()
            self._deputy = None
        if self._thread is threading.current_thread():
            self._run()

    def _wait_for_place(self) -> None:
        while (number := self._calling) and not self._closed:
            self._changed.wait(_LONG)
            if self._calling == number:
                self._thread, self._calling = threading.current_thread(), 0
                return

    def _take_back(self) -> bool:
        """Whether this thread still looks after what is due."""
        with self._changed:
            mine = self._thread is threading.current_thread()
            if mine:
                self._calling = 0
        return mine

    def _next_due(self) -> Optional[tuple[Callable[[], object], bool]]:
        """Wait for the next function that is due, and whether it is apart; None at the end."""
        with self._changed:
            due = self._wait_until_due()
            if due is None:
                self._thread = None
        return due

    def _wait_until_due(self) -> Optional[tuple[Callable[[], object], bool]]:
        while not self._closed:
            if not self._rings:
                self._changed.wait()
                continue
            moment, _, ring = self._rings[0]
            left = moment - time.monotonic()
            if left > 0 and ring.function is not None:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
                continue
            heapq.heappop(self._rings)
            function, ring.function = ring.function, None
            if function is not None:
                return function, ring.apart
            self._cancelled = max(0, self._cancelled - 1)
        return None


def _is_wanted(entry: tuple[float, int, Ring]) -> bool:
    return entry[2].function is not None
