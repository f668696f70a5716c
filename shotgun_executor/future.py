"""The future of a call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Optional, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

    from shotgun_executor.call import Call

__all__ = ["Future"]

T = TypeVar("T")


class Future(concurrent.futures.Future[T]):
    """A ``concurrent.futures.Future`` that may be awaited, waited for on a worker, and passed on.

    * It may be an argument of a later call, which then waits for it without a worker.
    * ``await`` gives its result; cancelling the task cancels what has not started.
    * A worker that waits for a call which has not started runs it itself.
    * Cancelling notifies at once. The standard library tells those who wait (``wait``,
      ``as_completed``) only when a worker comes by, which after a shutdown is never.
    """

    def __init__(self) -> None:
        super().__init__()
        # The call that resolves this future, until it has.
        self._call: Optional[Call] = None

    def result(self, timeout: Optional[float] = None) -> T:
        """What the call returns; waits for it.

        Args:
            timeout: Seconds to wait; a call that the waiting worker runs itself is not cut off.

        Raises:
            TimeoutError: It is not there in time.
            CancelledError: The call was cancelled.
            DeadlockError: The call waits for the one that waits here.
        """
        return super().result(self._help(timeout))

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """What the call raised, or None; waits as :meth:`result` does."""
        return super().exception(self._help(timeout))

    def cancel(self) -> bool:
        """Cancel the call unless it runs or has run; as in the standard library.

        Returns:
            True if the future is cancelled now, so that the call will never run.
        """
        if not super().cancel():
            return False
        call = self._call
        if call is not None:
            try:
                if call.dispatch.withdraw(call):
                    call.notify_cancelled()
            except BaseException:  # Ctrl-C: nobody else would notify what we have withdrawn
                if call.taker == threading.get_ident():
                    with contextlib.suppress(RuntimeError):  # it was notified just before
                        call.notify_cancelled()
                raise
        return True

    def cancel_soon(self) -> None:
        """Cancel the call before a worker would take it. For destructors: it takes no lock."""
        call = self._call
        if call is not None:
            call.dispatch.cancel_soon(self)

    @property
    def on_worker(self) -> bool:
        """Whether the current thread is a worker of the executor that this call waits for."""
        call = self._call
        return call is not None and call.dispatch.on_worker

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()

    def _help(self, timeout: Optional[float]) -> Optional[float]:
        """Before a worker blocks here: do what it waits for, if nobody else does. What is left."""
        call = self._call
        if call is None:
            return timeout
        call.dispatch.check_process()
        if not call.dispatch.on_worker:
            return timeout
        if timeout is None:
            call.dispatch.help(self, None)
            return None
        deadline = time.monotonic() + timeout
        call.dispatch.help(self, deadline)
        return max(0.0, deadline - time.monotonic())
