"""Failures on cue: what a request gets in place of its answer.

A failure is taken when its request is about to be executed. It gives a response to send in place
of the answer; aiohttp lets a response write what it likes to the connection, so a new kind of
failure is a new kind of response.
"""

from __future__ import annotations

import dataclasses
import http
from typing import TYPE_CHECKING, Callable, NoReturn, Optional

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Failure", "Failures", "NoAnswer", "failing_with"]


class NoAnswer(web.StreamResponse):
    """Closes the connection in place of answering."""

    async def prepare(self, request: web.BaseRequest) -> NoReturn:
        """Tell aiohttp that there is nobody to write to; it then closes the connection."""
        raise ConnectionResetError


def failing_with(
    status: int, headers: Optional[Mapping[str, str]], body: Optional[bytes]
) -> Callable[[], web.StreamResponse]:
    """Makes responses with any HTTP status; without a *body* a short page names the status."""

    def respond() -> web.StreamResponse:
        response = web.Response(status=status, headers=headers, body=_page(status, body))
        if not headers or "content-type" not in map(str.lower, headers):
            response.content_type = "text/html"
        if response.headers.get("Connection", "").lower() == "close":
            response.force_close()
        return response

    return respond


def _page(status: int, body: Optional[bytes]) -> bytes:
    if body is not None:
        return body
    try:
        title = f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        title = str(status)
    return f"<html><body><h1>{title}</h1></body></html>".encode()


@dataclasses.dataclass
class Failure:
    """What happens to the next *count* requests of *method*, or of any."""

    respond: Callable[[], web.StreamResponse]
    method: Optional[str]
    count: int
    after_execution: bool


class Failures:
    """The failures that wait for their request, the oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Failure] = []

    @property
    def pending(self) -> bool:
        """Whether any request will fail, so that its method must be known early."""
        return bool(self._waiting)

    def add(self, failure: Failure) -> None:
        """Put *failure* behind those that wait."""
        self._waiting.append(failure)

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()

    def take(self, method: str) -> Optional[Failure]:
        """The failure that a request of *method* meets, used up by one."""
        for failure in self._waiting:
            if failure.method in (None, method):
                failure.count -= 1
                if not failure.count:
                    self._waiting.remove(failure)
                return failure
        return None
