"""A socket whose every wait has a limit, with as few calls of the system as can be.

Python lets another thread go first at each call of the system. A socket with a time-out of its own
needs two of them for each that is wanted, and one under TLS three: with many threads that costs
more than the request. Here the socket never blocks, and is waited for only where it must be.
"""

from __future__ import annotations

import select
import socket
import ssl
from typing import Any, Callable, Optional, Union

__all__ = ["Wire"]

_Until = Callable[[Optional[float]], bool]
"""Waits so many seconds for something, and returns whether it is so."""


class Wire:
    """What one thread at a time sends and receives by, over an open socket.

    Raises, besides what a socket raises:
        socket.timeout: The peer was silent, or took nothing, for as long as *limit*.

    Attributes:
        limit: Seconds that each wait may take; None is for ever.
    """

    def __init__(self, sock: socket.socket, limit: Optional[float]) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.limit = limit
        self._pending = sock.pending if isinstance(sock, ssl.SSLSocket) else None
        self._readable = _waiting(sock, write=False)
        self._writable = _waiting(sock, write=True)
        self._asked = False  # something was sent, and nothing received since

    def send(self, data: Union[bytes, memoryview]) -> int:
        """Send what goes at once of *data*, and return how many bytes that is: at least one."""
        self._asked = True
        return self._as_soon_as(self._writable, self.sock.send, data)

    def recv_into(self, buffer: memoryview) -> int:
        """Receive what is there into *buffer*, and return how many bytes; none at the end."""
        if self._asked:
            self._asked = False
            if not (self._pending and self._pending()):
                self._wait(self._readable)  # an answer takes its time
        return self._as_soon_as(self._readable, self.sock.recv_into, buffer)

    def readable(self, seconds: float = 0.0) -> bool:
        """Whether there is something to receive, be it the end, within so many seconds."""
        if self._pending is not None and self._pending():
            return True  # decrypted already, so the system knows nothing of it
        return self._readable(seconds)

    def _as_soon_as(self, ready: _Until, step: Callable[[Any], int], data: Any) -> int:
        """``step(data)``, again after each wait; under TLS either step may need the other way."""
        while True:
            try:
                return step(data)
            except BlockingIOError:  # noqa: PERF203  # each try may say so
                self._wait(ready)
            except ssl.SSLWantReadError:
                self._wait(self._readable)
            except ssl.SSLWantWriteError:
                self._wait(self._writable)

    def _wait(self, ready: _Until) -> None:
        if not ready(self.limit):
            raise socket.timeout("timed out")


def _waiting(sock: socket.socket, *, write: bool) -> _Until:
    """A function that waits so many seconds for *sock*, and returns whether it is ready."""
    if not hasattr(select, "poll"):  # on Windows, where select() knows more than 1024 sockets

        def selected(seconds: Optional[float]) -> bool:
            one = [sock]
            return any(select.select([] if write else one, one if write else [], one, seconds))

        return selected
    poll: Any = select.poll()  # typed so because it is not there on Windows
    poll.register(sock, select.POLLOUT if write else select.POLLIN)

    def polled(seconds: Optional[float]) -> bool:
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    return polled
