"""A caller of a read that others may want too: what it asks for, and its future."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from shotgun_executor.errors import note_on
from shotgun_executor.joined import JoinedFuture

if TYPE_CHECKING:
    from shotgun_executor.alarm import Ring
    from shotgun_executor.asked import Asked, Lookup
    from shotgun_executor.future import Future
    from shotgun_executor.joint import JointRead
    from shotgun_executor.reads import Reads

__all__ = ["PATIENCE", "Reader", "ReaderFuture"]

T = TypeVar("T")

PATIENCE = 0.02
"""Seconds that a worker leaves what it waits for to others before it looks again."""


class Reader:
    """One of those who wait for a joint read. ``joint`` and ``over`` are guarded by its reads."""

    __slots__ = ("asked", "due", "future", "joint", "keep", "lookup", "over", "reads", "ring",
                 "site")  # fmt: skip

    def __init__(
        self,
        reads: Reads,
        asked: Asked,
        site: Optional[tuple[str, int]] = None,
        lookup: Optional[Lookup] = None,
    ) -> None:
        self.reads = reads
        self.asked = asked
        self.site = site  # where it was submitted; None: it stands between two joint reads
        self.lookup = lookup
        self.joint: Optional[JointRead] = None  # what it waits for
        self.over = 0  # the thread that has claimed to tell its outcome; 0: none has
        self.due: Optional[float] = None  # its deadline
        self.ring: Optional[Ring] = None  # rings then
        self.keep: Any = None  # the executor, until there is an outcome
        self.future: ReaderFuture[Any] = ReaderFuture(self)

    def __str__(self) -> str:
        return str(self.asked)

    def tell(self, result: Any, error: Optional[BaseException]) -> None:
        """Resolve the future; only for who has claimed it, and so once."""
        future = self.future
        if isinstance(error, concurrent.futures.CancelledError):
            concurrent.futures.Future.cancel(future)
        if not future.running() and not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(result)
            return
        if self.site is not None:
            note_on(error, f"{self}, submitted at {self.site[0]}:{self.site[1]}")
        future.set_exception(error)

    def drop(self) -> None:
        """Let go of what is no longer needed."""
        ring, self.ring = self.ring, None
        if ring is not None:
            ring.cancel()
        self.joint = self.keep = self.lookup = self.future._part = None


class ReaderFuture(JoinedFuture[T]):
    """The future of a call that may share its request with others.

    As any :class:`~shotgun_executor.Future`, but that :meth:`cancel` succeeds until the answer is
    there: the others get theirs, and the request is given up if there are none.
    """

    _part: Optional[Reader]

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader.reads.dispatch, reader)

    @property
    def carried_by(self) -> Optional[Future[Any]]:
        """The future of the call for all who want it."""
        reader = self._part
        joint = None if reader is None else reader.joint
        future = None if joint is None else joint.future
        return None if future is None else future.carried_by

    def _withdraw(self, part: Reader) -> None:
        part.reads.withdraw(part)

    def _step(self, left: Optional[float], deadline: Optional[float]) -> None:
        reader = self._part
        if reader is None:  # it is being resolved
            concurrent.futures.wait([self], left)
            return
        if reader.due is not None:
            until_due = reader.due - time.monotonic()
            left = until_due if left is None else min(left, until_due)
        briefly = PATIENCE if left is None else min(PATIENCE, max(left, 0.001))
        joint = reader.joint
        future = None if joint is None else joint.future
        if joint is None or (future is not None and future.done()) or briefly == left:
            concurrent.futures.wait([self], briefly)  # another thread is about to tell it
        elif future is None:
            reader.reads.wait_until_submitted(joint, briefly)
        else:
            with contextlib.suppress(
                concurrent.futures.CancelledError, concurrent.futures.TimeoutError
            ):
                future.exception(left)
