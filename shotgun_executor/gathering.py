"""What is gathered until it is enough: by count, by bytes, or after a short wait."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Callable, Generic, Optional, TypeVar

if TYPE_CHECKING:
    from shotgun_executor.alarm import Alarm, Ring

__all__ = ["MAX_WAIT", "Gathering"]

Item = TypeVar("Item")

MAX_WAIT = 0.02
"""Seconds that the first one waits for others: little beside what a site takes to answer."""


class Gathering(Generic[Item]):
    """The items that have come so far; what becomes of them is its owner's decision.

    It has no lock: its methods are called under that of its owner. ``items`` and ``size`` are the
    owner's to take, together with counting up ``number``.
    """

    __slots__ = (
        "_alarm",
        "_max_bytes",
        "_max_count",
        "_max_wait",
        "_ring",
        "_waited",
        "items",
        "number",
        "size",
    )

    def __init__(
        self,
        alarm: Alarm,
        waited: Callable[[int], None],
        *,
        max_count: int,
        max_bytes: int,
        max_wait: float,
    ) -> None:
        """Gather nothing yet.

        Args:
            alarm: Ends the wait for others.
            waited: Called then, without the lock, with the ``number`` from when the wait began.
            max_count: How many items are enough.
            max_bytes: How many bytes are.
            max_wait: Seconds that the first item waits.
        """
        self._alarm = alarm
        self._waited = waited
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._max_wait = max_wait
        self._ring: Optional[Ring] = None
        self.items: list[Item] = []
        self.size = 0
        self.number = 0

    @property
    def full(self) -> bool:
        """Whether it is enough."""
        return len(self.items) >= self._max_count or self.size >= self._max_bytes

    def has_room_for(self, size: int) -> bool:
        """Whether so many bytes more are not too many."""
        return self.size + size <= self._max_bytes

    def add(self, item: Item, size: int) -> None:
        """One more."""
        self.items.append(item)
        self.size += size

    def remove(self, item: Item, size: int) -> None:
        """One less, if it is there."""
        if item in self.items:
            self.items.remove(item)
            self.size -= size

    def waits(self, *, hurried: bool = False) -> bool:
        """Wait for others from the first item on; False if no thread can be had to do so.

        With *hurried* for no longer than usual.
        """
        if len(self.items) > 1:
            return True
        wait = min(self._max_wait, MAX_WAIT) if hurried else self._max_wait
        try:
            self._ring = self._alarm.after(wait, functools.partial(self._waited, self.number))
        except RuntimeError:  # too early is better than never
            return False
        return True

    def end_wait(self) -> None:
        """Wait no longer."""
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.cancel()
