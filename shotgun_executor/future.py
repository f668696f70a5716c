"""The future of a call."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Optional, TypeVar

if TYPE_CHECKING:
    from shotgun_executor.dispatch import Call

__all__ = ["Future"]

T = TypeVar("T")


class Future(concurrent.futures.Future[T]):
    """A ``concurrent.futures.Future`` that is told at once when it is cancelled.

    The standard library notifies those who wait for a future (``wait``, ``as_completed``) of its
    cancellation only when a worker comes by, which after a shutdown is never.
    """

    def __init__(self) -> None:
        super().__init__()
        # The call that resolves this future, until a worker takes it. Guarded by its dispatch.
        self._call: Optional[Call] = None

    def cancel(self) -> bool:
        """Cancel the call unless it runs or has run; as in the standard library.

        Returns:
            True if the future is cancelled now, so that the call will never run.
        """
        call = self._call
        if call is not None and call.dispatch.withdraw(call):
            self.cancel_withdrawn()
            return True
        return super().cancel()

    def cancel_withdrawn(self) -> None:
        """Cancel and notify. Only for who withdrew the call: it may be done once."""
        super().cancel()
        self.set_running_or_notify_cancel()
