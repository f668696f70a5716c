"""Responses that are not what a client expects: spoiled, cut off, or none at all."""

from __future__ import annotations

import asyncio
import http
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional, cast

from aiohttp import web

from shotgun_executor.sandbox.connections import reset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.abc import AbstractStreamWriter

__all__ = ["NoAnswer", "silences", "spoiled", "status"]

_PIECE = 1 << 18
_SLOW_PIECES = 20


class NoAnswer(web.StreamResponse):
    """Closes the connection in place of answering."""

    async def prepare(self, request: web.BaseRequest) -> NoReturn:
        """Tell aiohttp that there is nobody to write to; it then closes the connection."""
        raise ConnectionResetError


class Reset(NoAnswer):
    """Closes the connection with a RST in place of answering."""

    async def prepare(self, request: web.BaseRequest) -> NoReturn:
        """Close it so."""
        reset(request.transport)
        raise ConnectionResetError


class Silence(NoAnswer):
    """Never answers, and leaves the connection open, until the client closes it or all is cleared.

    A request that waits so is in flight.
    """

    waiting: set[asyncio.Future[None]] = set()  # noqa: RUF012  # of this process, like its loop

    async def prepare(self, request: web.BaseRequest) -> NoReturn:
        """Wait."""
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.add(end)
        try:
            await end
        finally:
            self.waiting.discard(end)
        raise ConnectionResetError

    @classmethod
    def end_all(cls) -> None:
        """Close the connections of all that wait."""
        for end in cls.waiting:
            if not end.done():
                end.set_result(None)


silences: dict[str, Callable[[], web.StreamResponse]] = {
    "drop": NoAnswer,
    "drop_unread": NoAnswer,
    "reset": Reset,
    "silence": Silence,
}
"""Kinds of failures that send nothing."""


class _Spoiled(web.StreamResponse):
    """The head of an answer, and its body in another way."""

    def __init__(self, answer: web.StreamResponse) -> None:
        super().__init__(status=answer.status, headers=answer.headers)
        self._answer = answer
        self._size, self._pieces = _content(answer)
        self.content_length = self._size

    async def prepare(self, request: web.BaseRequest) -> Optional[AbstractStreamWriter]:
        """Write the head, and begin the body."""
        writer = await super().prepare(request)
        await self._write_body(request)
        return writer

    async def _write_body(self, request: web.BaseRequest) -> None:
        raise NotImplementedError  # how it is spoiled is what the subclasses are for


class HalfBody(_Spoiled):
    """Promises a body, sends half of it, and closes the connection."""

    def __init__(self, answer: web.StreamResponse) -> None:
        super().__init__(answer)
        self.content_length = max(1, self._size)  # an empty one could not break off

    async def _write_body(self, request: web.BaseRequest) -> None:
        left = self._size // 2
        async for piece in self._pieces:
            await self.write(piece[:left])
            left -= len(piece[:left])
            if not left:
                break
        raise ConnectionResetError


class SlowBody(_Spoiled):
    """Sends the body in pieces, with pauses between them."""

    def __init__(self, answer: web.StreamResponse, seconds: float) -> None:
        super().__init__(answer)
        self._seconds = seconds

    async def _write_body(self, request: web.BaseRequest) -> None:
        step = max(1, -(-self._size // _SLOW_PIECES))
        async for piece in self._pieces:
            for start in range(0, len(piece), step):
                part = piece[start : start + step]
                await asyncio.sleep(self._seconds * len(part) / self._size)
                await self.write(part)


def spoiled(kind: str, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Returns an answer as a kind of failure makes it."""
    if kind == "half_body":
        return HalfBody(answer)
    if kind == "slow_body":
        return SlowBody(answer, seconds)
    if kind == "wrong_type":
        answer.content_type = "text/html"
    elif isinstance(answer, web.Response):  # broken_json
        answer.body = cast("bytes", answer.body or b"")[: len(cast("bytes", answer.body)) // 2]
    return answer


def _content(answer: web.StreamResponse) -> tuple[int, AsyncIterator[bytes]]:
    """Returns the size of a body, and the body piece by piece."""
    if isinstance(answer, web.FileResponse):
        path = _path_of(answer)
        return path.stat().st_size, _read(path)
    body = cast("bytes", getattr(answer, "body", None) or b"")
    return len(body), _single(body)


def _path_of(answer: web.FileResponse) -> Path:
    return Path(cast("Any", answer)._path)


async def _single(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def status(
    code: int, headers: Optional[Mapping[str, str]], body: Optional[bytes]
) -> web.StreamResponse:
    """Returns a response with any HTTP status; without a *body* a short page names the status."""
    response = web.Response(status=code, headers=headers, body=_page(code, body))
    if not headers or "content-type" not in map(str.lower, headers):
        response.content_type = "text/html"
    if response.headers.get("Connection", "").lower() == "close":
        response.force_close()
    return response


def _page(code: int, body: Optional[bytes]) -> bytes:
    if body is not None:
        return body
    try:
        title = f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        title = str(code)
    return f"<html><body><h1>{title}</h1></body></html>".encode()
