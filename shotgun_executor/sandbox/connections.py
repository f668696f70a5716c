"""The connections of a server: their numbers, and what can be done to the idle ones."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from asyncio import BaseTransport, Transport

    from aiohttp.web_protocol import RequestHandler

__all__ = ["Connections", "reset"]

_LINGER_NOT = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class Connections:
    """Those that have carried a request. Those that only steer the sandbox are never among them.

    Used by the event loop of the server alone.
    """

    def __init__(self) -> None:
        self.count = 0
        """How many there have been since the start or :meth:`clear`."""
        self._numbers: dict[RequestHandler, int] = {}
        self._idle: dict[RequestHandler, None] = {}
        self._vanished: dict[RequestHandler, None] = {}

    @property
    def open(self) -> int:
        """How many of those counted are open."""
        return len(self._numbers)

    def every(self) -> list[RequestHandler]:
        """All that are open, whether counted or not."""
        return list({**self._numbers, **self._idle, **self._vanished})

    def begin(self, connection: RequestHandler) -> int:
        """A connection carries a request; returns its number, counted from 1."""
        self._idle.pop(connection, None)
        number = self._numbers.get(connection)
        if number is None:
            self.count += 1
            number = self._numbers[connection] = self.count
        return number

    def end(self, connection: RequestHandler) -> None:
        """The request of a connection is over."""
        if connection.transport is not None:
            self._idle[connection] = None

    def lost(self, connection: RequestHandler) -> None:
        """A connection was closed, by whichever side."""
        self._numbers.pop(connection, None)
        self._idle.pop(connection, None)
        self._vanished.pop(connection, None)

    def clear(self) -> None:
        """Count from 1 again, and end those that vanished.

        A connection that is open counts once more when it carries its next request: a test then
        sees the connections that it uses, whoever opened them.
        """
        self.count = 0
        self._numbers.clear()
        for connection in list(self._vanished):
            if connection.transport is not None:
                connection.transport.abort()

    def close_idle(self, how: str) -> int:
        """Do to each idle connection what :meth:`RemoteSandbox.close_idle` says.

        Returns:
            How many there were.
        """
        chosen = list(self._idle)
        for connection in chosen:
            transport = connection.transport
            if transport is None:
                continue
            if how == "fin":
                connection.force_close()
            elif how == "reset":
                reset(transport)
            else:
                transport.pause_reading()
                self._vanished[connection] = None
                del self._idle[connection]
        return len(chosen)


def reset(transport: Optional[Transport]) -> None:
    """Close a connection with a RST in place of a FIN; what was not sent yet is lost."""
    if transport is None:
        return
    line = _socket_of(transport)
    if line is not None:
        with contextlib.suppress(OSError):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


def _socket_of(transport: BaseTransport) -> Optional[socket.socket]:
    found: Optional[socket.socket] = transport.get_extra_info("socket")
    return found
