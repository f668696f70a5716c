"""The future of a call that is made together with others, as soon as these have come."""

from __future__ import annotations

import concurrent.futures
import time
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from shotgun_executor.future import Future
from shotgun_executor.signals import in_interrupted_wait
from shotgun_executor.telling import tell_rest

if TYPE_CHECKING:
    from shotgun_executor.dispatch import Dispatch

__all__ = ["JoinedFuture"]

T = TypeVar("T")

_BRIEFLY = 0.001  # seconds


class JoinedFuture(Future[T]):
    """A future that no call of its own resolves.

    Subclasses say for what it waits (``_part``; None once it has its outcome), how that is taken
    back (:meth:`_withdraw`), and what a worker does meanwhile (:meth:`_step`).
    """

    _part: Optional[Any]

    def __init__(self, dispatch: Dispatch, part: Any) -> None:
        super().__init__()
        self._part = part
        self._dispatch = dispatch

    def cancel(self, *, abort: bool = False) -> bool:
        """Take the call back, unless what it is a part of is being sent, or was."""
        if self._cancelled_late:
            return True
        part = self._part
        if part is not None and in_interrupted_wait():
            started = self.running() or self.done()
            return self.cancelled() if started else self._cancel_elsewhere(self._dispatch, abort)
        if not self._dispatch.while_resolving(self._cancel_unsent, part):
            return False
        self._raise_caught()
        return True

    def _cancel_unsent(self, part: Optional[Any]) -> bool:
        if not concurrent.futures.Future.cancel(self):
            return False
        if part is not None:
            self._withdraw(part)
        return True

    def cancel_soon(self) -> None:
        """Cancel the call before a worker would take another. For destructors."""
        self._dispatch.cancel_soon(self)

    @property
    def helper(self) -> Optional[Dispatch]:
        """What can help it along on the current thread; None if that is no worker of it."""
        return self._dispatch if self._part is not None and self._dispatch.on_worker else None

    @property
    def carried_by(self) -> Optional[Future[Any]]:
        """The future of the call that resolves this one; None if that was not submitted yet."""
        raise NotImplementedError  # what it waits for is what the subclasses are about

    def nudge(self) -> None:
        """A worker waits for it and others: have it submitted, if it is being gathered."""
        if self._part is not None and self.carried_by is None:
            self._step(_BRIEFLY, time.monotonic() + _BRIEFLY)

    def _help(self, timeout: Optional[float]) -> Optional[float]:
        """On a worker: have it gathered, sent and made, if nobody else does. What is left."""
        if self._part is None or self.done():
            return timeout  # it may be just being told, on this very thread: nothing comes first
        self._dispatch.check_process()
        tell_rest()
        if not self._dispatch.on_worker:
            self.look_behind()
            return timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.done():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return 0.0
            self._step(left, deadline)
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def look_behind(self) -> None:
        """This thread is about to wait, maybe in a callback: see what would be told after that."""

    def _withdraw(self, part: Any) -> None:
        """It was cancelled: notify who waits for it, unless somebody else does."""
        raise NotImplementedError  # what it waits for is what the subclasses are about

    def _step(self, left: Optional[float], deadline: Optional[float]) -> None:
        """One step towards the outcome, in *left* seconds: until the *deadline*."""
        raise NotImplementedError  # what it waits for is what the subclasses are about
