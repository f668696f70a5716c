"""A value that is asked for once, however many threads need it."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Callable, Generic, Optional, TypeVar

from shotgun_executor.errors import same_error

__all__ = ["Once"]

T = TypeVar("T")


class Once(Generic[T]):
    """Whoever needs the value first makes it; who comes meanwhile waits for that one.

    Guarantees:

    * The value is made outside any lock, so a slow site blocks only those who need its answer.
    * If making it fails, everyone who waited fails at once with an error of the same class (a
      dead site is not asked again by each in turn), and whoever comes later tries anew.
    * If the maker is interrupted (Ctrl-C), one of those who waited takes over.
    """

    def __init__(self) -> None:
        # The state: who makes the value now, or the future that holds it. Guarded by _lock.
        self._lock = threading.Lock()
        self._made: Optional[concurrent.futures.Future[T]] = None
        self._maker: Optional[int] = None

    @property
    def known(self) -> bool:
        """Whether the value is made."""
        made = self._made
        return made is not None and made.done()

    def forget_parent(self) -> None:
        """In a forked process: whoever was making the value is not here."""
        self._lock = threading.Lock()
        if not self.known:
            self._made = self._maker = None

    def get(self, make: Callable[[], T]) -> T:
        """The value; *make* is called if nobody has made it, and nobody is making it."""
        while True:
            with self._lock:
                made = self._made
                if made is None:
                    mine = self._made = concurrent.futures.Future()
                    self._maker = threading.get_ident()
                    break
                nested = self._maker == threading.get_ident()
            if (
                nested
            ):  # a make() that needs the value on its way: waiting for itself would be forever
                return make()
            try:
                error = made.exception()
            except concurrent.futures.CancelledError:
                continue  # the maker was interrupted
            if isinstance(error, Exception):
                raise same_error(error)
            return made.result()
        return self._make(make, mine)

    def _make(self, make: Callable[[], T], mine: concurrent.futures.Future[T]) -> T:
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                self._made = self._maker = None
            if isinstance(error, Exception):
                mine.set_exception(error)
            else:
                mine.cancel()
                mine.set_running_or_notify_cancel()
            raise
        with self._lock:
            self._maker = None
        mine.set_result(value)
        return value
