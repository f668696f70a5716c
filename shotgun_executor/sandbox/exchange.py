"""The way of a request, whatever it asks for: between reading it and writing its answer.

::

    read -> gate (before) -> failure or execution -> latency -> gate (after) -> write

Waiting is done by the event loop, so thousands of requests wait at no cost.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from typing import TYPE_CHECKING, Any, Optional, cast

from aiohttp import web

from shotgun_executor.sandbox.failures import NoAnswer

if TYPE_CHECKING:
    from shotgun_executor.sandbox.connections import Connections
    from shotgun_executor.sandbox.counters import Tally
    from shotgun_executor.sandbox.failures import Failure, Failures
    from shotgun_executor.sandbox.faults import Fault
    from shotgun_executor.sandbox.gate import Gates
    from shotgun_executor.sandbox.latency import Latency
    from shotgun_executor.sandbox.record import Entry, Record

__all__ = ["Exchange", "Exchanges"]

_log = logging.getLogger(__name__)


class Exchange:
    """One request: what it asks for, and how that is done. There is a subclass for each kind."""

    __slots__ = ("fault", "name", "source", "writes")

    def __init__(self, name: Optional[str] = None) -> None:
        self.name: Optional[str] = name
        """The method, or the name of the route; None as long as it is not known."""
        self.source: Any = None
        """What the record keeps of the request: its body, or the fields of its form."""
        self.fault: Optional[str] = None
        """The site's refusal, once executed; None if it did not refuse."""
        self.writes = 0
        """How many writes were executed."""

    async def read(self, request: web.BaseRequest) -> int:
        """Read the body, and return its size."""
        await request.read()
        return 0

    def find_name(self) -> str:
        """The name, once the body was read."""
        return self.name or ""

    async def execute(self) -> web.StreamResponse:
        """Do what is asked for, and return the answer."""
        raise NotImplementedError  # each route does its own

    def refuse(self, fault: Fault) -> web.StreamResponse:
        """The answer with which the site refuses such a request."""
        raise NotImplementedError  # each protocol refuses in its own way

    def discard(self) -> None:
        """Leave nothing of what was read and not kept. Called last, in any case."""


class Exchanges:
    """Carries out exchanges, with everything that can be made to happen to them."""

    def __init__(
        self,
        gates: Gates,
        failures: Failures,
        latency: Latency,
        tally: Tally,
        connections: Connections,
        record: Record,
        *,
        compress: bool,
    ) -> None:
        self._gates = gates
        self._failures = failures
        self._latency = latency
        self._tally = tally
        self._connections = connections
        self._record = record
        self._compress = compress

    async def carry_out(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        """Answer a request, and write the answer."""
        entry = self._record.begin(self._connections.begin(request.protocol))
        response: web.StreamResponse = NoAnswer()
        try:
            response = await self._outcome(request, exchange, entry)
            await response.prepare(request)
            await response.write_eof()
            entry.status = response.status
        except ConnectionError:  # the client went away, or a failure wants it so
            entry.outcome = entry.outcome or "client gone"
            response = NoAnswer()
        except asyncio.CancelledError:
            entry.outcome = entry.outcome or "client gone"
            raise
        finally:
            if entry.arrived:
                self._tally.left()
            self._connections.end(request.protocol)
            exchange.discard()
            size = 0 if isinstance(response, NoAnswer) else response.content_length or 0
            self._tally.sent(size)
            self._record.end(entry, exchange, size)
        return response

    async def _outcome(
        self, request: web.BaseRequest, exchange: Exchange, entry: Entry
    ) -> web.StreamResponse:
        """The way of a request, up to what is to be written."""
        if self._failures.pending and self._failures.strikes_unread(exchange.name):
            entry.outcome = "drop_unread"
            if request.transport is not None:
                request.transport.abort()
            return NoAnswer()
        try:
            size = await exchange.read(request)
        except OSError:
            raise
        except Exception:  # a body that is not what its headers say makes aiohttp raise anything
            entry.outcome = "malformed"
            return _unreadable()
        entry.arrived, entry.received = True, size
        self._tally.arrived(size)
        name = exchange.name
        if name is None and (self._gates.holds_before or self._failures.pending):
            name = exchange.find_name()
        failure = None
        if name is not None:
            self._tally.named(name)
            if not await self._gates.pass_by(name, before=True):
                entry.outcome = "cleared"
                return NoAnswer()
            failure = self._failures.take(name)
        answer = None
        if failure is None or failure.executes:
            answer = await self._execute(exchange)
            entry.executed = True
            if name is None:
                name = exchange.find_name()
                self._tally.named(name)
        await self._delay(name or "")
        if failure is not None:
            return self._fail(failure, exchange, entry, answer)
        assert answer is not None
        return self._compressed(request, answer) if self._compress else answer

    async def _execute(self, exchange: Exchange) -> web.StreamResponse:
        """The answer of the site; a status of 500 if it failed, which only a bug can cause."""
        try:
            answer = await exchange.execute()
        except Exception:
            self._tally.internal_errors += 1
            _log.exception("the site failed on a request")
            return web.Response(status=500, text="The sandbox failed; its log tells how.\n")
        if exchange.writes:
            self._tally.executed(exchange.writes)
        return answer

    async def _delay(self, name: str) -> None:
        seconds = self._latency.draw(name)
        if seconds:
            await asyncio.sleep(seconds)
        await self._gates.pass_by(name, before=False)

    def _fail(
        self,
        failure: Failure,
        exchange: Exchange,
        entry: Entry,
        answer: Optional[web.StreamResponse],
    ) -> web.StreamResponse:
        entry.outcome = failure.label
        return failure.respond(exchange, answer)

    def _compressed(
        self, request: web.BaseRequest, answer: web.StreamResponse
    ) -> web.StreamResponse:
        accepted = "gzip" in request.headers.get("Accept-Encoding", "")
        if accepted and isinstance(answer, web.Response) and answer.body:
            answer.headers["Content-Encoding"] = "gzip"
            answer.body = gzip.compress(cast("bytes", answer.body), compresslevel=1)
        return answer


def _unreadable() -> web.StreamResponse:
    response = web.Response(status=400, text="The body cannot be read.\n")
    response.force_close()
    return response
