"""A socket whose every wait has a limit, with as few calls of the system as can be.

Python lets another thread go first at each call of the system. A socket with a time-out of its own
needs two of them for each that is wanted, and one under TLS three: with many threads that costs
more than the request. Here the socket never blocks, and is waited for only where it must be.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import Any, Callable, NamedTuple, Optional, Union

__all__ = ["Wire"]

_RECORD = 16 * 1024  # bytes that one record of TLS holds at most


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
        self._secure = isinstance(sock, ssl.SSLSocket)
        self._until_readable = _waiting(sock, read=True)
        self._until_writable = _waiting(sock, write=True)
        self._until_either = _waiting(sock, read=True, write=True)
        self._asked = False  # something was sent, and nothing received since
        self._early: Optional[bytes] = None  # what was received to see whether there is something

    def send(self, data: Union[bytes, memoryview]) -> int:
        """Send what goes at once of *data*, and return how many bytes that is.

        It is zero if the peer takes no more, and has sent something itself: it has answered early.
        """
        self._asked = True
        while True:
            try:
                return self.sock.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError):  # noqa: PERF203  # each try may say so
                ready = self._wait(self._until_either)
                if not ready.write and self.readable():
                    return 0
            except ssl.SSLWantReadError:
                self._wait(self._until_readable)

    def recv_into(self, buffer: memoryview) -> int:
        """Receive what is there into *buffer*, and return how many bytes; none at the end."""
        asked, self._asked = self._asked, False
        if self._early is not None:
            return self._take_early(buffer)
        if asked:
            self._wait(self._until_readable)  # an answer takes its time
        while True:
            try:
                return self.sock.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):  # noqa: PERF203  # each try may say so
                self._wait(self._until_readable)
            except ssl.SSLWantWriteError:
                self._wait(self._until_writable)

    def readable(self, seconds: float = 0.0) -> bool:
        """Whether there is something to receive, be it the end, within so many seconds."""
        if self._early is not None:
            return True
        if not self._secure:
            return self._until_readable(seconds).read
        return self._has_received(seconds)

    def _has_received(self, seconds: float) -> bool:
        """Under TLS, what comes may be for TLS itself, such as tickets: only receiving tells."""
        end = time.monotonic() + seconds
        while self._until_readable(max(0.0, end - time.monotonic())).read or self._pending():
            try:
                self._early = self.sock.recv(_RECORD)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            except OSError:
                self._early = b""  # it has failed: that is the end
            return True
        return False

    def _pending(self) -> bool:
        """Whether something is decrypted already, so that the system knows nothing of it."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def _take_early(self, buffer: memoryview) -> int:
        assert self._early is not None
        count = min(len(buffer), len(self._early))
        buffer[:count] = self._early[:count]
        if count:
            self._early = self._early[count:] or None  # at the end it stays: nothing comes after
        return count

    def _wait(self, until: _Until) -> _Ready:
        ready = until(self.limit)
        if not (ready.read or ready.write):
            raise socket.timeout("timed out")
        return ready


class _Ready(NamedTuple):
    """What a socket is ready for; one that has failed is, for whatever was waited for."""

    read: bool
    write: bool


LONGEST = 1e6
"""Seconds, eleven days: all systems know such a number of milliseconds."""

_Until = Callable[[Optional[float]], _Ready]
"""Waits so many seconds, or for ever."""


def _waiting(sock: socket.socket, *, read: bool = False, write: bool = False) -> _Until:
    """A function that waits for *sock*."""
    if not hasattr(select, "poll"):  # on Windows, where select() knows more than 1024 sockets
        readers, writers, all_of_them = [sock] * read, [sock] * write, [sock]

        def selected(seconds: Optional[float]) -> _Ready:
            found = select.select(readers, writers, all_of_them, seconds)
            failed = bool(found[2])
            return _Ready(read and bool(found[0] or failed), write and bool(found[1] or failed))

        return selected
    poll: Any = select.poll()  # typed so because it is not there on Windows
    poll.register(sock, read * select.POLLIN | write * select.POLLOUT)
    failed = select.POLLERR | select.POLLHUP | select.POLLNVAL

    def polled(seconds: Optional[float]) -> _Ready:
        found = poll.poll(None if seconds is None else seconds * 1000)
        if not found:
            return _NOT_READY
        events = found[0][1]
        return _Ready(
            read and bool(events & (select.POLLIN | failed)),
            write and bool(events & (select.POLLOUT | failed)),
        )

    return polled


_NOT_READY = _Ready(read=False, write=False)
