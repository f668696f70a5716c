"""How an HTTP/1.1 answer is read from a socket: strictly, and without the e-mail parser."""

from __future__ import annotations

import gzip
import http.client
import re
import zlib
from typing import TYPE_CHECKING, Optional, Protocol

from shotgun_executor.contract import FailedToDecompressContent

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Answer", "AnswerReader", "decompress"]

_LONGEST_HEAD = 256 * 1024
_LONGEST_LINE = 64 * 1024
_MOST_INTERIM = 100  # heads such as "100 Continue" before that of the answer
# What is received at a time, into a buffer that is there already; a larger body has its own.
_PIECE = 32 * 1024
_LARGE_PIECE = 4 * 1024 * 1024
_STATUS_LINE = re.compile(r"HTTP/(\d)\.(\d) +(\d\d\d)(?: +(.*))?", re.ASCII)
_WITHOUT_BODY = frozenset({204, 304})


class Answer(dict[str, str]):
    """The head of an answer: its headers, in lower case, and its status.

    Headers that came more than once are joined by commas. It stands where the official client has
    httplib2's ``Response``, and holds the same: ``status`` is among the headers too.
    """

    def __init__(self, version: tuple[int, int], status: int, reason: str) -> None:
        super().__init__()
        self.version = version
        self.status = status
        self.reason = reason
        self.length: Optional[int] = None  # of the body; None: until the peer closes, or chunked
        self.chunked = False
        self.last = False  # the peer closes the connection after it
        self.cookies: list[str] = []  # each Set-Cookie, since they cannot be joined


class BrokenOff(http.client.IncompleteRead):
    """The connection ended in the middle of an answer."""

    def __init__(self, missing: Optional[int] = None) -> None:
        super().__init__(b"", missing)
        count = "" if missing is None else f", {missing} bytes before its end"
        self.args = (f"the connection ended in the middle of an answer{count}",)

    def __str__(self) -> str:
        return str(self.args[0])  # that of the base knows only of bytes


class Source(Protocol):
    """What is read from: a socket, or a :class:`~shotgun_executor.wire.Wire`."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Receive at least one byte, or none at the end; return how many."""
        ...


class AnswerReader:
    """Reads the answers on one connection.

    Raises, each of which means that the connection is of no more use:
        RemoteDisconnected: The peer closed the connection before the first byte.
        BrokenOff: It closed it in the middle.
        HTTPException: What came is no HTTP.
        socket.timeout: Nothing came for as long as the source allows.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = bytearray()
        self._received = memoryview(bytearray(_PIECE))

    @property
    def clean(self) -> bool:
        """Whether all that came was read."""
        return not self._buffer

    def head(self, method: str) -> Answer:
        """The head of the answer to a request of *method*."""
        for _ in range(_MOST_INTERIM):
            answer = _parse_head(self._read_head())
            if answer.status == 101:
                raise http.client.BadStatusLine("101: nobody asked for another protocol")
            if not 100 <= answer.status < 200:
                _find_end(answer, method)
                return answer
        raise http.client.HTTPException(f"more than {_MOST_INTERIM} answers before the answer")

    def body(self, answer: Answer) -> bytes:
        """The whole body that belongs to *answer*, as it was sent."""
        if answer.length is not None and not answer.chunked:
            return self._exactly(answer.length)
        return b"".join(self.pieces(answer))

    def pieces(self, answer: Answer) -> Iterator[bytes]:
        """The body in pieces, as they come."""
        if answer.chunked:
            yield from self._chunks()
        elif answer.length is None:
            yield from self._until_closed()
        else:
            left = answer.length
            while left:
                piece = self._some(left, expected=left)
                left -= len(piece)
                yield piece

    # What the bytes are read by.

    def _more(self) -> bool:
        """Read what there is into the buffer; False at the end of the stream."""
        count = self._source.recv_into(self._received)
        self._buffer += self._received[:count]
        return bool(count)

    def _read_head(self) -> str:
        buffer = self._buffer
        start = 0
        while True:
            end = buffer.find(b"\r\n\r\n", start)
            width = 4
            if end < 0:
                end = buffer.find(b"\n\n", start)
                width = 2
            if end >= 0:
                head = buffer[:end].decode("latin-1")
                del buffer[: end + width]
                return head
            if len(buffer) > _LONGEST_HEAD:
                raise http.client.HTTPException(f"a head of more than {_LONGEST_HEAD} bytes")
            start = max(0, len(buffer) - 3)
            if not self._more():
                if not buffer:
                    raise http.client.RemoteDisconnected(
                        "the site closed the connection without an answer"
                    )
                raise BrokenOff

    def _exactly(self, length: int) -> bytes:
        buffer = self._buffer
        if len(buffer) >= length:
            body = bytes(buffer[:length])
            del buffer[:length]
            return body
        parts = [bytes(buffer)]
        left = length - len(buffer)
        buffer.clear()
        while left:
            part = bytearray(min(left, _LARGE_PIECE))
            self._fill(memoryview(part), length, left)
            left -= len(part)
            parts.append(part)  # type: ignore[arg-type]  # join takes either
        return b"".join(parts)

    def _fill(self, view: memoryview, length: int, left: int) -> None:
        filled = 0
        while filled < len(view):
            count = self._source.recv_into(view[filled:])
            if not count:
                read = length - left + filled
                raise BrokenOff(length - read)
            filled += count

    def _some(self, most: int, expected: Optional[int]) -> bytes:
        """At least one byte and at most *most*."""
        if not self._buffer and not self._more():
            raise BrokenOff(expected)
        piece = bytes(self._buffer[:most])
        del self._buffer[:most]
        return piece

    def _until_closed(self) -> Iterator[bytes]:
        while self._buffer or self._more():
            piece = bytes(self._buffer)
            self._buffer.clear()
            yield piece

    def _line(self) -> bytes:
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                return line.rstrip(b"\r")
            if len(self._buffer) > _LONGEST_LINE:
                raise http.client.LineTooLong("chunk size")
            if not self._more():
                raise BrokenOff

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = self._line().partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
                raise http.client.HTTPException("a chunk without a size")
            left = int(size, 16)
            if not left:
                break
            while left:
                piece = self._some(left, expected=left)
                left -= len(piece)
                yield piece
            if self._line():
                raise http.client.HTTPException("a chunk longer than its size")
        for _ in range(100):  # trailers, which nobody wants
            if not self._line():
                return
        raise http.client.HTTPException("too many trailers")


def _parse_head(head: str) -> Answer:
    first, *lines = head.split("\n")
    match = _STATUS_LINE.fullmatch(first.rstrip("\r"))
    if match is None:
        raise http.client.BadStatusLine(first[:100])
    answer = Answer((int(match[1]), int(match[2])), int(match[3]), (match[4] or "").strip())
    name = ""
    for line in lines:
        if line[:1] in (" ", "\t"):  # the line before goes on
            if not name:
                raise http.client.HTTPException("a header without a name")
            answer[name] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise http.client.HTTPException(f"no header: {line[:100]!r}")
        name = name.lower()
        value = value.strip()
        if name == "set-cookie":
            answer.cookies.append(value)
        answer[name] = f"{answer[name]}, {value}" if name in answer else value
    return answer


def _find_end(answer: Answer, method: str) -> None:
    """Where the body ends, and whether the connection ends with it."""
    connection = answer.get("connection", "").lower()
    answer.last = "close" in connection or (
        answer.version < (1, 1) and "keep-alive" not in connection
    )
    coding = answer.get("transfer-encoding")
    length = answer.get("content-length")
    if method == "HEAD" or answer.status in _WITHOUT_BODY:
        answer.length = 0
    elif coding is not None:
        if coding.lower() != "chunked":
            raise http.client.UnknownTransferEncoding(coding[:100])
        answer.chunked = True
        # Both a length and chunks: somebody may have been fooled, so trust nothing after it.
        answer.last = answer.last or length is not None
    elif length is not None:
        answer.length = _length(length)
    else:
        answer.last = True
    answer["status"] = str(answer.status)


def _length(value: str) -> int:
    lengths = {part.strip() for part in value.split(",")}
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()):
        raise http.client.HTTPException(f"no content length: {value[:100]!r}")
    return int(length)


def decompress(answer: Answer, body: bytes) -> bytes:
    """*body* without the gzip or deflate that *answer* tells of; headers as in httplib2.

    Raises:
        FailedToDecompressContent: It is damaged.
    """
    coding = answer.get("content-encoding")
    if coding not in ("gzip", "deflate"):
        return body
    try:
        plain = gzip.decompress(body) if coding == "gzip" else _inflate(body)
    except (OSError, EOFError, zlib.error) as error:
        raise FailedToDecompressContent(  # type: ignore[no-untyped-call]  # httplib2 has no types
            f"an answer said to be compressed with {coding} is damaged", answer, ""
        ) from error
    answer["content-length"] = str(len(plain))
    answer["-content-encoding"] = answer.pop("content-encoding")
    return plain


def _inflate(body: bytes) -> bytes:
    try:
        return zlib.decompress(body)
    except zlib.error:
        return zlib.decompress(body, -zlib.MAX_WBITS)
