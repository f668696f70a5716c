"""Failures on cue: what happens to a request in place of, or to, its answer.

A failure is taken when its request is about to be executed. It gives a response to send; aiohttp
lets a response write what it likes to the connection, so a kind of failure is a kind of response
(see ``damage.py``).
"""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Optional

from shotgun_executor.sandbox import damage
from shotgun_executor.sandbox.damage import NoAnswer as NoAnswer
from shotgun_executor.sandbox.faults import AUTHENTICATION, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from shotgun_executor.sandbox.exchange import Exchange

__all__ = ["AFTER", "BEFORE", "KINDS", "Failure", "Failures", "NoAnswer"]

EITHER = frozenset({"status", "drop", "reset", "silence"})
"""Kinds that strike a request executed or not."""
AFTER = frozenset({"half_body", "slow_body", "wrong_type", "broken_json"})
"""Kinds that spoil the real answer, so that the request was executed."""
BEFORE = frozenset({"session_expired", "login_required", "drop_unread"})
"""Kinds of requests that are not executed."""
KINDS = EITHER | AFTER | BEFORE


@dataclasses.dataclass
class Failure:
    """What happens to requests of *method*, or of any.

    Attributes:
        kind: One of `KINDS`.
        method: The name of a method or route; None is any.
        count: How many requests it happens to; None is from now on.
        after_execution: Whether the request is executed first.
        status: The HTTP status, of the kind ``status``.
        headers: The headers that go with it.
        body: The body that goes with it; None is a short page.
        seconds: What the kind ``slow_body`` takes for the body.
        fraction: The chance of each request to be struck.
        seed: Where the random numbers for that start.
    """

    kind: str
    method: Optional[str] = None
    count: Optional[int] = 1
    after_execution: bool = False
    status: int = 500
    headers: Optional[Mapping[str, str]] = None
    body: Optional[bytes] = None
    seconds: float = 1.0
    fraction: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  # repeatable, not secret

    @property
    def executes(self) -> bool:
        """Whether the site executes a request that this strikes."""
        return self.after_execution or self.kind in AFTER

    @property
    def label(self) -> str:
        """What the record says."""
        return f"status {self.status}" if self.kind == "status" else self.kind

    def strikes(self, method: Optional[str]) -> bool:
        """Whether the next request of *method* is struck; asking again may tell otherwise."""
        if self.method is not None and self.method != method:
            return False
        return self.fraction >= 1 or self._random.random() < self.fraction

    def respond(
        self, exchange: Exchange, answer: Optional[web.StreamResponse]
    ) -> web.StreamResponse:
        """What is sent in place of *answer*, which is None if the request was not executed."""
        if self.kind == "status":
            return damage.status(self.status, self.headers, self.body)
        if self.kind == "session_expired":
            text = "Can't authenticate session token ending with '****'"
            return exchange.refuse(Fault(text, AUTHENTICATION))
        if self.kind == "login_required":
            return damage.status(302, {"Location": "/user/login"}, b"")
        if self.kind in AFTER:
            assert answer is not None
            return damage.spoiled(self.kind, answer, self.seconds)
        return damage.silences[self.kind]()


class Failures:
    """The failures that wait for their requests, the oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Failure] = []

    @property
    def pending(self) -> bool:
        """Whether any request may fail, so that its method must be known early."""
        return bool(self._waiting)

    def add(self, failure: Failure) -> None:
        """Put *failure* behind those that wait."""
        self._waiting.append(failure)

    def remove(self, method: Optional[str] = None) -> None:
        """Forget the failures of *method*, or all."""
        if method is None:
            self._waiting.clear()
        else:
            self._waiting = [each for each in self._waiting if each.method != method]

    def strikes_unread(self, name: Optional[str]) -> bool:
        """Whether a request is dropped before its body is read; that failure is used up by one.

        Args:
            name: The name of the route; None for a method, whose name is in the body.
        """
        return self._take(name, unread=True) is not None

    def take(self, method: str) -> Optional[Failure]:
        """The failure that a request of *method* meets, used up by one."""
        return self._take(method, unread=False)

    def _take(self, method: Optional[str], *, unread: bool) -> Optional[Failure]:
        for failure in self._waiting:
            if (failure.kind == "drop_unread") == unread and failure.strikes(method):
                if failure.count is not None:
                    failure.count -= 1
                    if not failure.count:
                        self._waiting.remove(failure)
                return failure
        return None
