"""The parts of a call: the calls that it is made of, so many at a time."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar

from shotgun_executor.errors import DeadlineExceeded, ShutdownError

if TYPE_CHECKING:
    import concurrent.futures

    from shotgun_executor.future import Future

__all__ = ["Parts"]

Item = TypeVar("Item")

_BRIEFLY = 1.0  # seconds; that another thread takes to submit a call


class Parts(Generic[Item]):
    """Submits a call for one item after the other, so many at a time.

    The next one is submitted as soon as one is done, on the thread that has done it: a call of many
    parts is never in the way of others with all of them at once, and needs no thread to watch it.
    """

    def __init__(
        self,
        following: Callable[[], Optional[Item]],
        submit: Callable[[Item], Future[Any]],
        done: Callable[[Item, Future[Any]], None],
        at_a_time: int,
    ) -> None:
        """Nothing is submitted before :meth:`fill`.

        Args:
            following: The next item; None: there is none now. It must not block.
            submit: Submits its call.
            done: Takes the item and its future when that is done. It must not block.
            at_a_time: How many of the calls may be under way.
        """
        self._following = following
        self._submit = submit
        self._done = done
        self._at_a_time = at_a_time
        self._context = contextvars.copy_context()  # the parts see the variables of the call
        # Guarded by _lock, which is not held while anything is called but _following and _done.
        self._lock = threading.RLock()
        self._filled = threading.Condition(self._lock)
        self._under_way: dict[Future[Any], Item] = {}
        self._filling = False  # a thread submits; it looks again before it stops
        self._stopped = False
        self.error: Optional[Exception] = None  # what came in the way of the next part

    def fill(self) -> None:
        """Submit calls until so many are under way, or there are no more items."""
        with self._lock:
            if self._filling:
                return
            self._filling = True
        self._fill()

    def under_way(self) -> list[Future[Any]]:
        """The calls that are not done."""
        with self._lock:
            return list(self._under_way)

    @property
    def over(self) -> bool:
        """Whether all that was submitted is done, and nothing more is."""
        with self._lock:
            self._filled.wait_for(lambda: not self._filling, _BRIEFLY)
            return not (self._filling or self._under_way)

    def stop(self, *, abort: bool = False) -> None:
        """Submit no more, and cancel what has not started; with *abort* also what only reads."""
        with self._lock:
            self._stopped = True
            left = list(self._under_way)
        for future in reversed(left):  # so that none starts in place of another
            future.cancel(abort=abort)

    def stop_with(self, whole: concurrent.futures.Future[Any]) -> None:
        """The call that these are parts of is done: if it has failed, nobody wants them."""
        error = None if whole.cancelled() else whole.exception()
        self.stop(abort=isinstance(error, (DeadlineExceeded, ShutdownError)))
        # Its future keeps its callbacks, and so this; it need not keep what was found.
        with self._lock:
            self._following, self._submit, self._done = _no_item, _not_submitted, _nothing

    def _fill(self) -> None:
        try:
            self._submit_all()
        except BaseException:  # Ctrl-C; else whoever waits for this thread would do so for ever
            self._leave()
            raise

    def _leave(self) -> None:
        with self._lock:
            self._filling = False
            self._filled.notify_all()

    def _submit_all(self) -> None:
        while self._submit_next():
            pass

    def _submit_next(self) -> bool:
        with self._lock:
            full = self._stopped or len(self._under_way) >= self._at_a_time
            item = None if full else self._following()
            if item is None:
                self._leave()  # under the same lock: whoever comes later fills again himself
                return False
        try:
            future = self._context.copy().run(self._submit, item)
        except Exception as error:
            with self._lock:
                self.error, self._stopped = error, True
            return True
        with self._lock:
            self._under_way[future] = item
            stopped = self._stopped
        future.add_done_callback(self._is_done)
        if stopped:
            future.cancel()
        return True

    def _is_done(self, future: Future[Any]) -> None:
        with self._lock:
            item = self._under_way.pop(future)
            try:
                self._done(item, future)
            except Exception as error:
                self.error, self._stopped = error, True
            fills, self._filling = not self._filling, True  # at once: else it might seem over
        if fills:
            self._fill()


def _no_item() -> None:
    """There are no more items."""


def _not_submitted(item: object) -> Future[Any]:
    raise RuntimeError("the call that this is a part of has ended")


def _nothing(item: object, future: Future[Any]) -> None:
    """Nobody wants what it has found."""
