"""Outcomes that a thread is to tell, one after the other."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar

from shotgun_executor.signals import depth_within, is_within

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Telling", "tell_rest"]

LOG = logging.getLogger("shotgun_executor")

Outcome = TypeVar("Outcome")


_DEEP = 10
"""In so many waits, each in a callback of what was told before the one before, the rest is told on
another thread: the stack would end before a chain of such callbacks does."""


class Telling(Generic[Outcome]):
    """Tells outcomes, which calls the callbacks of users, on the thread that has them.

    A callback may end others, and so on, a hundred thousand of them: they are told after it, not
    each within the one before. But before a callback waits, :func:`tell_rest` tells them: it may
    wait for one of them, and nobody else would.
    """

    def __init__(
        self,
        tell: Callable[[Outcome], None],
        told: Optional[Callable[[list[Outcome]], None]] = None,
    ) -> None:
        """Nothing is to be told yet.

        Args:
            tell: Tells one, if that was not done; it is called once more after Ctrl-C, and when
                the stack was full.
            told: Called with those that were told, when there are no more for now.
        """
        self._tell = tell
        self._told = told

    def tell(self, outcomes: Iterable[Outcome]) -> None:
        """Tell them, or if this thread is at it already, have it do so afterwards.

        Whatever the callbacks raise, SystemExit and Ctrl-C too, all are told; then it is raised.
        What the stack has no room for is told on another thread.
        """
        queues = _queues()
        known = self in queues
        queue = queues.setdefault(self, _Queue())
        queue.left.extend(outcomes)
        if known and is_within(Telling._tell_left, self):
            return
        try:
            self._tell_left(queue)
        finally:
            if not (queue.left or queue.told):  # else the stack was full, or Ctrl-C came in between
                queues.pop(self, None)
            if queues and not depth_within(Telling._tell_left):
                _leave_all()

    def _tell_left(self, queue: _Queue) -> None:
        raised = self._tell_each(queue)
        told, queue.told = queue.told, []
        if self._told is not None:
            try:
                self._told(told)
            except BaseException as error:
                if _may_be_repeated(error):
                    queue.told[:0] = told
                raise
        if raised is not None:
            raise raised

    def _tell_each(self, queue: _Queue) -> Optional[BaseException]:
        """What was raised last."""
        raised: Optional[BaseException] = None
        while queue.left:
            raised = self._tell_next(queue) or raised
        return raised

    def _tell_next(self, queue: _Queue) -> Optional[BaseException]:
        """Tell one; what was raised meanwhile."""
        outcome: Any = None
        try:
            outcome = queue.left[0]  # taken out by a step of its own: Ctrl-C may come in between
            queue.left.popleft()
            queue.told.append(outcome)
            self._tell(outcome)
        except BaseException as caught:
            # Ctrl-C, or the stack was full: maybe before it was told.
            if outcome is not None and not isinstance(caught, Exception):
                self._tell(outcome)
            elif outcome is not None and _may_be_repeated(caught):
                if queue.told and queue.told[-1] is outcome:
                    queue.told.pop()
                queue.left.appendleft(outcome)
                raise  # there is more room where this came from, and on another thread
            return caught
        return None


class _Queue:
    """What a thread is to tell, and what it has told."""

    __slots__ = ("left", "told")

    def __init__(self) -> None:
        self.left: deque[Any] = deque()
        self.told: list[Any] = []


class _Here(threading.local):
    """Of each thread: what it is to tell, for whom; None if it never told anything."""

    queues: Optional[dict[Telling[Any], _Queue]] = None
    last = False  # it was started to tell what others had no room for: nobody else would


_HERE = _Here()


def _queues() -> dict[Telling[Any], _Queue]:
    if _HERE.queues is None:
        _HERE.queues = {}
    return _HERE.queues


def _may_be_repeated(error: BaseException) -> bool:
    """Whether what has raised *error* for want of stack may find some further out, or elsewhere."""
    if isinstance(error, RecursionError):
        return not _HERE.last or depth_within(Telling._tell_left) > 1
    return not isinstance(error, Exception)


def tell_rest() -> None:
    """This thread is about to wait, maybe in a callback: tell first what it has yet to tell."""
    queues = _HERE.queues
    while queues:
        full = [(telling, queue) for telling, queue in queues.items() if queue.left]
        if not full:
            return
        for telling, queue in full:
            left = _Queue()
            left.left.extend(queue.left)
            deep = depth_within(Telling._tell_left) >= _DEEP
            if deep and _tell_elsewhere(telling, left):
                queue.left.clear()
            else:
                telling._tell_left(queue)


def _leave_all() -> None:
    """This thread may never wait: have all that it has yet to tell told on others."""
    queues = _queues()
    for telling, queue in list(queues.items()):
        if _tell_elsewhere(telling, queue):
            queues.pop(telling, None)


def _tell_elsewhere(telling: Telling[Any], queue: _Queue) -> bool:
    """Have *queue* told on a thread of its own; False if none can be had."""
    thread = threading.Thread(
        target=_take_over, args=(telling, queue), name="outcomes of an executor", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:  # RecursionError is one: the stack is full here, too
        return False
    return True


def _take_over(telling: Telling[Any], queue: _Queue) -> None:
    _HERE.last = True
    _queues()[telling] = queue
    try:
        telling.tell(())
    except BaseException:  # whose thread had no room for it has gone on
        LOG.critical("a callback of a future raised, or no stack had room for it", exc_info=True)
