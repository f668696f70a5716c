"""A value that is asked for once, however many threads need it."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from typing import Any, Callable, Generic, Optional, TypeVar, cast

from shotgun_executor.errors import Aborted, same_error

__all__ = ["Once"]

T = TypeVar("T")

_ABSENT: Any = object()


class Once(Generic[T]):
    """Whoever needs the value first makes it; who comes meanwhile waits for that one.

    Guarantees:

    * The value is made outside any lock, so a slow site blocks only those who need its answer.
    * If making it fails, everyone who waited fails at once with an error of the same class (a
      dead site is not asked again by each in turn), and whoever comes later tries anew.
    * If the maker is interrupted (Ctrl-C) or aborted, one of those who waited takes over.
    """

    def __init__(self) -> None:
        # The state: who makes the value now, or the future that holds it. Guarded by _lock.
        self._lock = threading.Lock()
        self._made: Optional[concurrent.futures.Future[T]] = None
        self._maker: Optional[int] = None
        # The value again, once it is made: to be read without the lock.
        self._value: Any = _ABSENT

    @property
    def known(self) -> bool:
        """Whether the value is made."""
        if self._value is not _ABSENT:
            return True
        made = self._made
        return made is not None and made.done()

    def forget_parent(self) -> None:
        """In a forked process: whoever was making the value is not here."""
        self._lock = threading.Lock()
        if not self.known:
            self._made = self._maker = None

    def get(
        self, make: Callable[[], T], wait: Optional[Callable[[threading.Event], object]] = None
    ) -> T:
        """The value; *make* is called if nobody has made it, and nobody is making it.

        Args:
            make: Makes the value.
            wait: Waits for an event, which tells that somebody else has made it; it may raise
                instead. Without it nothing but Ctrl-C ends the waiting.
        """
        if self._value is not _ABSENT:
            return cast("T", self._value)
        while True:
            mine: concurrent.futures.Future[T] = concurrent.futures.Future()
            try:
                with self._lock:
                    made, nested = self._made, self._maker == threading.get_ident()
                    if made is None:
                        self._made, self._maker = mine, threading.get_ident()
                if made is None:
                    return self._make(make, mine)
            finally:
                self._forget_unless_made(mine)
            if nested and not made.done():
                return make()  # it needs the value on its way: waiting for itself is forever
            if wait is not None and not made.done():
                done = threading.Event()
                made.add_done_callback(functools.partial(_tell, done))
                wait(done)
            try:
                error = made.exception()
            except concurrent.futures.CancelledError:
                continue  # the maker was interrupted
            if isinstance(error, Exception):
                raise same_error(error)
            return made.result()

    def _make(self, make: Callable[[], T], mine: concurrent.futures.Future[T]) -> T:
        try:
            value = make()
        except Aborted:
            raise  # which is about this thread alone
        except Exception as error:
            self._forget(mine)  # first: who comes later is to try anew
            mine.set_exception(error)
            raise
        mine.set_result(value)
        self._value = value
        return value

    def _forget(self, mine: concurrent.futures.Future[T]) -> None:
        with self._lock:
            if self._made is mine:
                self._made = None
            self._maker = None

    def _forget_unless_made(self, mine: concurrent.futures.Future[T]) -> None:
        """However the maker ended, nobody waits for what will not come."""
        if self._made is mine:
            if mine.done():
                self._maker = None
            else:
                self._forget(mine)
        if not mine.done():
            mine.cancel()
            mine.set_running_or_notify_cancel()


def _tell(event: threading.Event, _: object) -> None:
    """Set *event* when a future is done."""
    event.set()
