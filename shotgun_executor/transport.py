"""Our HTTP: what a client has in place of httplib2, one request at a time.

It never sends a request twice by itself, notices a connection that the peer has closed before it
writes to it, keeps to limits of time, can be aborted, and knows how much of a request was sent.
"""

from __future__ import annotations

import enum
import http.client
import re
import socket
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Protocol, Union

from shotgun_executor.answers import Answer, AnswerReader, decompress
from shotgun_executor.contract import RedirectLimit, RedirectMissingLocation
from shotgun_executor.errors import encoded, note_on
from shotgun_executor.opening import Aborted, Limits, Proxy, Route, TlsContexts, open_socket
from shotgun_executor.stats import SocketCounters
from shotgun_executor.wire import Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from shotgun_executor.opening import AbortSwitch

__all__ = ["Body", "Channel", "Phase", "Shared", "Transport"]

_PIECE = 256 * 1024
_SAFE = frozenset({"GET", "HEAD"})
_REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
# A line feed in a header would begin another; what http.client refuses, so is refused here.
_ILLEGAL = re.compile(r"[\r\n]")


class Phase(enum.IntEnum):
    """How much of a request may have reached the site."""

    NOTHING = 0  # not a byte: it was refused before, or the connection was closed already
    PART = 1  # it broke off: the site cannot have carried it out
    WHOLE = 2


class Body(Protocol):
    """A body that is read piece by piece, from its start each time."""

    @property
    def size(self) -> int:
        """How many bytes it has."""
        ...

    def pieces(self) -> Iterator[Union[bytes, memoryview]]:
        """All of it, from the start."""
        ...


class Shared:
    """What the transports of one pool share."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.contexts = TlsContexts()
        self.counters = SocketCounters()
        self.failed_at = 0.0
        """When a connection failed last: those that were idle then may have gone the same way."""
        self.wrote: Callable[[], None] = _nothing
        """Called after each request that writes, however it ended."""


def _nothing() -> None:
    """Nobody wants to know."""


class Channel:
    """One connection to one place, opened when it is needed."""

    def __init__(
        self, route: Route, shared: Shared, switch: AbortSwitch, context: Optional[ssl.SSLContext]
    ) -> None:
        self.route = route
        self.limits = shared.limits
        self.phase = Phase.NOTHING
        self._shared = shared
        self._switch = switch
        self._context = context
        self._wire: Optional[Wire] = None
        self._reader: Optional[AnswerReader] = None
        self._used_at = 0.0

    @property
    def sock(self) -> Optional[socket.socket]:
        """The socket, if it is open."""
        return None if self._wire is None else self._wire.sock

    def request(
        self,
        method: str,
        target: str,
        body: Union[bytes, Body, None] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Send a request, over a new connection if the one that is there is not usable."""
        length = len(body) if isinstance(body, bytes) else 0 if body is None else body.size
        head = _head(
            method, target, self.route, headers or {}, length if body is not None else None
        )
        self.send(method, head, body, length)

    def send(self, method: str, head: bytes, body: Union[bytes, Body, None], length: int) -> None:
        """Send a request with a head that was made before."""
        self.phase = Phase.NOTHING
        wire = self._ready()
        if body is None or (isinstance(body, bytes) and length <= _PIECE):
            self._write(wire, head + body if body else head, last=True)
        else:
            self._write(wire, head, last=False)
            self._stream(wire, body, length)

    def answer(self, method: str) -> Answer:
        """The head of the answer to the request that was sent."""
        assert self._reader is not None, "nothing was sent"
        began = time.monotonic()
        try:
            answer = self._reader.head(method)
        except socket.timeout as error:
            raise self._silence(error) from error.__cause__
        self._shared.counters.answered(time.monotonic() - began)
        return answer

    def body(self, answer: Answer) -> bytes:
        """The body that belongs to *answer*, whole."""
        assert self._reader is not None
        try:
            body = self._reader.body(answer)
        except socket.timeout as error:
            raise self._silence(error) from error.__cause__
        self.finish(answer)
        return body

    def pieces(self, answer: Answer) -> Iterator[bytes]:
        """The body that belongs to *answer*, piece by piece."""
        assert self._reader is not None
        try:
            yield from self._reader.pieces(answer)
        except socket.timeout as error:
            raise self._silence(error) from error.__cause__
        self.finish(answer)

    def finish(self, answer: Answer) -> None:
        """The answer was read to its end."""
        self._used_at = time.monotonic()
        whole = self.phase is Phase.WHOLE and self._reader is not None and self._reader.clean
        if answer.last or not whole:
            self.close("the site closes after its answer" if whole else "its answer came early")

    def close(self, reason: str = "no longer wanted") -> None:
        """Close the connection; the next request opens another."""
        wire, self._wire, self._reader = self._wire, None, None
        if wire is not None:
            try:
                self._switch.release(wire.sock)
            finally:
                wire.sock.close()
            self._shared.counters.closed(reason)

    def _ready(self) -> Wire:
        """What to write to, guarded by the switch."""
        wire = self._wire
        if wire is not None:
            if self._used_at >= self._shared.failed_at and not wire.readable():
                self._switch.guard(wire.sock)
                wire.limit = self.limits.read
                return wire
            # Nothing was asked, so what there is to read is the end, or not for us.
            suspect = self._used_at < self._shared.failed_at
            self.close("another one failed" if suspect else "closed by the site while idle")
        began = time.monotonic()
        try:
            sock = open_socket(self.route, self.limits.connect, self._switch, self._context)
        except OSError as error:
            note_on(error, f"while connecting to {self.route.authority}")
            raise
        wire = self._wire = Wire(sock, self.limits.read)
        self._reader = AnswerReader(wire)
        self._shared.counters.connected(time.monotonic() - began)
        return wire

    def _write(self, wire: Wire, data: Union[bytes, memoryview], *, last: bool) -> bool:
        """Write all of *data*; False if the site answers before it took all.

        The limit holds for each silence, not for the whole.
        """
        before = self.phase
        # Before it is sent: an interrupt may come when it is, and before that is noted.
        self.phase = Phase.WHOLE if last else Phase.PART
        sent = 0
        try:
            sent = wire.send(data)
            if sent < len(data) and not _send_rest(wire, memoryview(data)[sent:]):
                self.phase = Phase.PART
                return False
        except OSError as error:
            self.phase = Phase.PART if sent else before
            if isinstance(error, socket.timeout):
                raise self._silence(error) from error.__cause__
            raise
        return True

    def _stream(self, wire: Wire, body: Union[bytes, Body], left: int) -> None:
        """Send *body* piece by piece, until the site answers: then it will not read the rest."""
        pieces = _slices(body) if isinstance(body, bytes) else body.pieces()
        for piece in pieces:
            if wire.readable():
                return
            left -= len(piece)
            try:
                if not self._write(wire, piece, last=left <= 0):
                    return
            except (BrokenPipeError, ConnectionResetError):
                if not self._switch.thrown and wire.readable(0.5):
                    return  # it may have said why
                raise
        self.phase = Phase.WHOLE

    def _silence(self, error: OSError) -> OSError:
        """What to raise for a time-out; one of the system's own is about a peer that vanished."""
        if error.errno is not None or self.limits.read is None:
            return error
        return socket.timeout(
            f"{self.route.host} was silent for {self.limits.read:g} s (read_timeout)"
        )


class _Place(NamedTuple):
    """A URL, taken apart."""

    route: Route
    target: str


class Transport:
    """What a client keeps in place of its ``httplib2.Http``.

    Guarantees:

    * A request is sent once, or not at all. Redirections are followed as httplib2 does it.
    * What fails leaves no connection behind that could hold the answer to it.
    * :attr:`phase` tells how much of the last request was sent.
    """

    def __init__(
        self,
        shared: Shared,
        switch: AbortSwitch,
        *,
        ca_file: str,
        proxy: Optional[Proxy] = None,
        limits: Optional[Callable[[], Limits]] = None,
    ) -> None:
        """A transport without a connection.

        Args:
            shared: What it shares with others.
            switch: What wakes it.
            ca_file: The authorities that it trusts.
            proxy: What requests of the JSON API go through.
            limits: Asked before each request.
        """
        self.connections: dict[Route, Channel] = {}
        self.phase = Phase.NOTHING
        self.redirected = False  # the last request was taken, and its outcome asked for elsewhere
        self.proxy = proxy
        self._shared = shared
        self._switch = switch
        self._ca_file = ca_file
        self._limits = limits or (lambda: shared.limits)
        # The last URL and the last head: a client sends the same ones all the time.
        self._place: tuple[str, Optional[_Place]] = ("", None)
        self._head: tuple[Any, bytes] = (None, b"")

    def request(
        self,
        url: str,
        method: str = "GET",
        body: Union[bytes, str, None] = None,
        headers: Optional[Mapping[str, str]] = None,
        redirections: int = 5,
    ) -> tuple[Answer, bytes]:
        """Send a request and read the whole answer, as httplib2 does it.

        A redirection from https to http is not followed: the answer is that redirection.

        Raises:
            ServerNotFoundError: The name of the site is unknown.
            OSError: The connection failed; ``socket.timeout`` if a limit was reached.
            http.client.HTTPException: What came is no answer.
            Aborted: The call was aborted.
        """
        if isinstance(body, str):
            body = body.encode()
        self.phase = Phase.NOTHING
        self.redirected = False
        while True:
            answer, content = self._once(url, method, body, headers or {})
            redirected = answer.status in (303, 308) or method in _SAFE
            if not redirected or answer.status not in _REDIRECTS:
                return answer, content
            if redirections <= 0:
                raise RedirectLimit("too many redirections", answer, content)  # type: ignore[no-untyped-call]  # httplib2 has no types
            if "location" not in answer:
                if answer.status == 300:
                    return answer, content
                raise RedirectMissingLocation("no location to go to", answer, content)  # type: ignore[no-untyped-call]  # likewise
            redirections -= 1
            place = urllib.parse.urljoin(url, answer["location"])
            if url.lower().startswith("https:") and not place.lower().startswith("https:"):
                return answer, content  # what was sent under TLS has secrets in it
            url = place
            if answer.status in (302, 303):
                self.redirected = self.redirected or method not in _SAFE
                method, body = "GET", None
            headers = {k: v for k, v in (headers or {}).items() if k.lower() != "authorization"}

    def _once(
        self, url: str, method: str, body: Optional[bytes], headers: Mapping[str, str]
    ) -> tuple[Answer, bytes]:
        place = self._place_of(url)
        if "accept-encoding" not in headers:
            headers = {**headers, "accept-encoding": "gzip, deflate"}
        channel, answer = self.exchange(place.route, place.target, method, body, headers)
        with _Failing(self, channel):
            content = channel.body(answer)
        self._switch.release()
        return answer, decompress(answer, content)

    def exchange(
        self,
        route: Route,
        target: str,
        method: str,
        body: Union[bytes, Body, None],
        headers: Mapping[str, str],
    ) -> tuple[Channel, Answer]:
        """Send a request and read the head of the answer; the body is yet to be read."""
        channel = self.connections.get(route)
        if channel is None:
            channel = self.connections[route] = self._new_channel(route)
        channel.limits = self._limits()
        length = len(body) if isinstance(body, bytes) else 0 if body is None else body.size
        head = self._head_of(method, target, route, headers, length if body is not None else None)
        with _Failing(self, channel):
            channel.send(method, head, body, length)
            return channel, channel.answer(method)

    def read(self, channel: Channel, answer: Answer) -> bytes:
        """The rest of what :meth:`exchange` began."""
        with _Failing(self, channel):
            body = channel.body(answer)
        self._switch.release()
        return body

    def read_pieces(self, channel: Channel, answer: Answer) -> Iterator[bytes]:
        """The same, piece by piece."""
        with _Failing(self, channel):
            yield from channel.pieces(answer)
        self._switch.release()

    def close(self) -> None:
        """Close all connections; the next request opens another."""
        for channel in list(self.connections.values()):
            channel.close()
        self.connections.clear()

    def failed(self, channel: Channel, error: BaseException) -> None:
        """A request ended without a whole answer."""
        self.phase = max(self.phase, channel.phase)
        channel.close("aborted" if self._switch.thrown else "a request failed")
        if isinstance(error, (OSError, http.client.HTTPException)) and not self._switch.thrown:
            self._shared.failed_at = time.monotonic()

    @property
    def aborted(self) -> bool:
        """Whether somebody has aborted the call."""
        return self._switch.thrown

    def _new_channel(self, route: Route) -> Channel:
        secure = route.scheme == "https"
        context = self._shared.contexts.get(self._ca_file) if secure else None
        return Channel(route, self._shared, self._switch, context)

    def _place_of(self, url: str) -> _Place:
        last, place = self._place
        if url != last or place is None:
            place = place_of(url, self.proxy)
            self._place = (url, place)
        return place

    def _head_of(
        self,
        method: str,
        target: str,
        route: Route,
        headers: Mapping[str, str],
        length: Optional[int],
    ) -> bytes:
        key = (method, target, route, tuple(headers.items()))
        last, head = self._head
        if key != last:
            head = _head(method, target, route, headers, None)[:-2]
            self._head = (key, head)
        return head + (b"\r\n" if length is None else b"content-length: %d\r\n\r\n" % length)


class _Failing:
    """Closes the channel of what fails, and says if it was because of an abort."""

    __slots__ = ("_channel", "_transport")

    def __init__(self, transport: Transport, channel: Channel) -> None:
        self._transport = transport
        self._channel = channel

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], _: object
    ) -> None:
        if error is None:
            self._transport.phase = max(self._transport.phase, self._channel.phase)
            return
        self._transport.failed(self._channel, error)
        if self._transport.aborted and isinstance(error, Exception):
            raise Aborted from error


def place_of(url: str, proxy: Optional[Proxy]) -> _Place:
    """Where *url* leads: the connection that it needs, and what to ask for over it."""
    parts = urllib.parse.urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"no http or https URL: {url.partition('?')[0]!r}")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    port = parts.port or (443 if scheme == "https" else 80)
    target = urllib.parse.quote(parts.path or "/", safe="/%:;=@&+$,!~*'()-._")
    if parts.query:
        target += "?" + parts.query.replace(" ", "%20")
    route = Route(scheme, host, port, proxy)
    if route.forwarded:
        target = f"{scheme}://{route.authority}{target}"
    return _Place(route, target)


def _head(
    method: str, target: str, route: Route, headers: Mapping[str, str], length: Optional[int]
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {route.authority}"]
    for name, value in headers.items():
        if _ILLEGAL.search(name) or _ILLEGAL.search(value):
            raise ValueError(f"Invalid header value in {name[:50]!r}: it has more than one line")
        lines.append(f"{name}: {value}")
    if _ILLEGAL.search(target) or " " in target:
        raise ValueError("a URL with a space or more than one line")
    if length is not None:
        lines.append(f"content-length: {length}")
    return encoded("\r\n".join(lines) + "\r\n\r\n", "latin-1")


def _send_rest(wire: Wire, rest: memoryview) -> bool:
    while rest:
        sent = wire.send(rest[:_PIECE])
        if not sent:
            return False
        rest = rest[sent:]
    return True


def _slices(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), _PIECE):
        yield view[start : start + _PIECE]
