"""What earlier attempts of an upload have stored, so that the next one goes on from there.

An upload is many requests. When one of those that do no harm fails, the whole call is put aside as
any other, without a worker; the next attempt makes it anew, from its first line, and is given the
answers to what needs not be sent again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["FailedPart", "Memory", "failed_part_of"]


class FailedPart(NamedTuple):
    """A request of an upload that failed, and does no harm if it is sent again."""

    attempt: int
    """How often it, or another that leads to the same part of the file, has failed."""
    elapsed: float
    """Seconds since the first of these was sent."""


class Memory:
    """The requests that one call has made, as far as they have led to a stored part of its file.

    They are given in the order in which they were made. At the first that differs (the file is
    another by now, say) the rest is forgotten. What only asks where to store a part is remembered
    when the part is there: a link that was not used may be too old by the next attempt.

    One attempt at a time uses it.
    """

    def __init__(self, can_repeat: Callable[[], bool]) -> None:
        """*can_repeat* tells whether the call can be put aside now."""
        self.can_repeat = can_repeat
        self._done: list[tuple[Hashable, str]] = []  # requests and their answers
        self._place = 0  # how many of these the attempt has been given
        self._asked: list[tuple[Hashable, str]] = []  # to be added when the part is stored
        # Of the part that is to be stored next.
        self._failures = 0
        self._since: Optional[float] = None

    def begin(self) -> None:
        """An attempt begins."""
        self._place = 0
        self._asked.clear()

    def answer_to(self, request: Hashable) -> Optional[str]:
        """What an earlier attempt was answered; None if the request is to be sent."""
        if self._place < len(self._done):
            known, answer = self._done[self._place]
            if known == request:
                self._place += 1
                return answer
            del self._done[self._place :]
        if self._since is None:
            self._since = time.monotonic()
        return None

    def asked(self, request: Hashable, answer: str) -> None:
        """The site has answered what only asks."""
        self._asked.append((request, answer))

    def stored(self, request: Hashable, answer: str) -> None:
        """A part is stored; or all of them are put together."""
        self._done += [*self._asked, (request, answer)]
        self._place = len(self._done)
        self._asked.clear()
        self._failures, self._since = 0, None

    def forget(self) -> None:
        """The next attempt is to send all again."""
        self._done.clear()
        self.begin()

    def failed(self, error: Exception) -> None:
        """*error* has ended the attempt; :func:`failed_part_of` then tells of it."""
        self._failures += 1
        elapsed = 0.0 if self._since is None else time.monotonic() - self._since
        error._failed_part = FailedPart(self._failures, elapsed)  # type: ignore[attr-defined]  # any error takes attributes


def failed_part_of(error: BaseException) -> Optional[FailedPart]:
    """The request that *error* is of, if it is one of those that a :class:`Memory` was told of."""
    part = getattr(error, "_failed_part", None)
    return part if isinstance(part, FailedPart) else None
