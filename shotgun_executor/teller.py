"""A function that is told of what changes, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import Callable, Generic, Optional, TypeVar

__all__ = ["PATIENCE", "Teller"]

LOG = logging.getLogger("shotgun_executor")

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that the end waits for a function that is still being told."""


class Teller(Generic[T]):
    """Tells a function the newest state of something.

    Guarantees:

    * :meth:`tell` returns at once; the function is called on a thread of its own, without a lock,
      once at a time. It gets the newest state; what was replaced before it came to that is left
      out.
    * When :meth:`close` returns, it was told the last state, unless that has taken longer than
      :data:`PATIENCE`, which is logged.
    * What it raises is logged, and it is told nothing more.

    The thread is started at the first need, and ends at the end.
    """

    def __init__(self, function: Callable[[T], object], name: str) -> None:
        """Tell *function*; *name* is that of the thread, and what a log calls it."""
        self._function = function
        self._name = name
        # The state. Guarded by the lock of _changed, which is re-entrant since a garbage
        # collection may run a destructor of the user's under it.
        self._changed = threading.Condition(threading.RLock())
        self._untold: list[T] = []  # the newest state, unless it was told
        self._thread: Optional[threading.Thread] = None
        self._closed = False

    def tell(self, state: T) -> None:
        """Have the function told of *state*; after the end, nothing is."""
        with self._changed:
            if self._closed:
                return
            self._untold = [state]
            if self._thread is None:
                self._start()
            self._changed.notify_all()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # at the exit of the interpreter; then the end tells what is left
            return
        self._thread = thread

    def close(self) -> None:
        """Wait until the function was told the last state, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            self._run()
            return
        thread.join(PATIENCE)
        if thread.is_alive():
            LOG.warning("%s takes more than %g s: it is waited for no longer", self._name, PATIENCE)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._untold or self._closed)
                if not self._untold:
                    return
                state = self._untold.pop()
            if not self._told(state):
                return

    def _told(self, state: T) -> bool:
        """Whether the function took it well."""
        try:
            self._function(state)
        except BaseException as error:
            LOG.exception("%s failed, and is told nothing more", self._name)
            with self._changed:
                self._closed = True
            if threading.current_thread() is not self._thread and not isinstance(error, Exception):
                raise  # Ctrl-C in the thread that ends it
            return False
        return True
