"""The HTTP server of a sandbox: what happens to a request between reading and answering.

The way of an RPC request::

    read -> gate (before) -> failure or execution -> latency -> gate (after) -> write

Executing is a plain function call on the event loop, so each request is atomic; all waiting is
done by the loop, so thousands of requests wait at no cost. A read that takes long is broken off
and done again by a thread, which reads one committed state of the database: measured on 200,000
rows, a search of 58 ms stops the others for 20 ms at most, and small reads go on at 19,000 a second
meanwhile. Handing every read to a thread would cost small ones more than they take themselves.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gzip
import hmac
import json
import logging
from typing import TYPE_CHECKING, Any, Optional, cast

from aiohttp import web

from shotgun_executor.sandbox.control import Control, HeldTooFewError, UnknownOperationError
from shotgun_executor.sandbox.counters import Tally
from shotgun_executor.sandbox.failures import Failures, NoAnswer
from shotgun_executor.sandbox.gate import Gates
from shotgun_executor.sandbox.latency import Latency
from shotgun_executor.sandbox.store import TooSlowError

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_protocol import RequestHandler

    from shotgun_executor.sandbox.settings import Info, Settings
    from shotgun_executor.sandbox.site import Answer, Site

__all__ = ["CONTROL_PATH", "TOKEN_HEADER", "SiteServer"]

RPC_PATH = "/api3/json"
CONTROL_PATH = "/_sandbox/"
TOKEN_HEADER = "X-Sandbox-Token"  # noqa: S105  # a name, no secret

# The client breaks on an idle connection that the site has closed, so a site keeps them.
_IDLE_LIMIT = 7 * 24 * 3600.0

# Seconds after which a read goes on in a thread.
_PATIENCE = 0.02

_WRITES = frozenset(["create", "update", "delete", "revive"])

_log = logging.getLogger(__name__)
# aiohttp would log a traceback for every malformed request; those are the client's affair.
_quiet = logging.getLogger(f"{__name__}.http")
_quiet.setLevel(logging.CRITICAL)


class _Server(web.Server):
    """Tells the tally when a connection is gone, and reads bodies of any size."""

    def __init__(self, site_server: SiteServer, tally: Tally) -> None:
        super().__init__(
            site_server.respond,
            request_factory=self._request,
            handler_cancellation=True,  # a request whose client went away waits no longer
            keepalive_timeout=_IDLE_LIMIT,
            access_log=None,
            logger=_quiet,
        )
        self._tally = tally
        self._event_loop = asyncio.get_running_loop()

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._event_loop, client_max_size=0
        )

    def connection_lost(self, handler: RequestHandler, exc: Optional[BaseException] = None) -> None:
        self._tally.lost(handler)
        super().connection_lost(handler, exc)


class SiteServer:
    """One site, served over HTTP together with its control address."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self._site = site
        self._settings = settings
        self._gates = Gates()
        self._failures = Failures()
        self._latency = Latency(settings.latency, settings.seed)
        self._tally = Tally()
        self._control: Optional[Control] = None
        self._server = _Server(self, self._tally)
        self._listener: Optional[asyncio.Server] = None
        self._aside = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="slow-read")

    async def bind(self) -> int:
        """Take the port, without answering yet.

        Returns:
            The number of the port.

        Raises:
            OSError: The port is taken, or not allowed.
        """
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            self._server,
            self._settings.host,
            self._settings.port,
            backlog=2048,
            start_serving=False,
        )
        return int(self._listener.sockets[0].getsockname()[1])

    async def start(self, info: Info) -> None:
        """Answer from now on."""
        assert self._listener is not None
        self._control = Control(
            info=info,
            gates=self._gates,
            failures=self._failures,
            latency=self._latency,
            tally=self._tally,
            reset_site=self._reset_site,
        )
        await self._listener.start_serving()

    async def stop(self) -> None:
        """Close every connection at once, answered or not."""
        if self._listener is not None:
            self._listener.close()
        for connection in self._server.connections:
            connection.force_close()
        await self._server.shutdown(timeout=1.0)
        # What it still reads is broken off when the site is closed.
        self._aside.shutdown(wait=False)

    def _reset_site(self) -> None:
        self._site.clear()
        fill(self._site, self._settings)

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request."""
        path = request.path
        if path.endswith(RPC_PATH):
            return await self._respond_to_rpc(request)
        if path.startswith(CONTROL_PATH):
            return await self._respond_to_control(request, path[len(CONTROL_PATH) :])
        return web.Response(
            status=404, text=f"Nothing here; the API of this site is POST {RPC_PATH}\n"
        )

    async def _respond_to_rpc(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST":
            return _only_post()
        body = await _read(request)
        self._tally.arrived(request.protocol, len(body))
        try:
            response = await self._outcome(request, body)
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:  # the client went away, or a failure wants it so
            return NoAnswer()
        finally:
            self._tally.left()
        self._tally.sent(response.content_length or 0)
        return response

    async def _outcome(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """The way of a request, up to what is to be written."""
        method = None
        if self._gates.holds_before or self._failures.pending:
            method = _method_of(body)
            self._tally.named(method)
            if not await self._gates.pass_by(method, before=True):
                return NoAnswer()
        failure = None if method is None else self._failures.take(method)
        answer = None
        if failure is None or failure.after_execution:
            answer = await self._execute(body)
            if method is None:
                method = _method_of(body) if answer is None else answer.method
                self._tally.named(method)
        await self._delay(method or "")
        if failure is not None:
            return failure.respond()
        return self._answer(request, answer) if answer else _internal_error()

    async def _execute(self, body: bytes) -> Optional[Answer]:
        """The answer of the site; None if the site failed, which only a bug of it can cause."""
        try:
            try:
                answer = self._site.answer(body, _PATIENCE)
            except TooSlowError:
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(self._aside, self._site.answer_aside, body)
        except Exception:
            self._tally.internal_errors += 1
            _log.exception("the site failed on a request")
            return None
        if not answer.failed:
            self._tally.executed(_writes_of(answer.method, body))
        return answer

    async def _delay(self, method: str) -> None:
        seconds = self._latency.draw(method)
        if seconds:
            await asyncio.sleep(seconds)
        await self._gates.pass_by(method, before=False)

    def _answer(self, request: web.BaseRequest, answer: Answer) -> web.Response:
        headers = {"Content-Type": answer.content_type}
        body = answer.body
        if self._settings.compress and "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1)
        return web.Response(body=body, headers=headers)

    async def _respond_to_control(self, request: web.BaseRequest, name: str) -> web.Response:
        given = request.headers.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(given.encode(), self._settings.token.encode()):
            return _refusal(403, "token", f"the header {TOKEN_HEADER} must carry the token")
        if request.method != "POST":
            return _only_post()
        assert self._control is not None
        try:
            result = await self._control.run(name, _arguments(await _read(request)))
        except UnknownOperationError as error:
            return _refusal(404, "value", error)
        except ValueError as error:
            return _refusal(400, "value", error)
        except HeldTooFewError as error:
            return _refusal(504, "timeout", error)
        return web.json_response({"result": result})


def fill(site: Site, settings: Settings) -> None:
    """Give a new site the demo show, if the settings want that."""
    if settings.demo:
        from shotgun_executor.sandbox.demo import load_demo

        if settings.shots is None:
            load_demo(site)
        else:
            load_demo(site, shots=settings.shots)


async def _read(request: web.BaseRequest) -> bytes:
    """The body. A client may ask first whether it is welcome (curl does, from 1 MB)."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    return await request.read()


def _method_of(body: bytes) -> str:
    """The method that an RPC body names, or ``""``."""
    try:
        method = json.loads(body)["method_name"]
    except (ValueError, LookupError, TypeError):
        return ""
    return method if isinstance(method, str) else ""


def _writes_of(method: str, body: bytes) -> int:
    """How many writes a request is that was executed without a fault."""
    if method in _WRITES:
        return 1
    return len(json.loads(body)["params"][1]) if method == "batch" else 0


def _arguments(body: bytes) -> dict[str, Any]:
    arguments = json.loads(body or b"{}")
    if not isinstance(arguments, dict):
        raise ValueError("the body must be a JSON object of keyword arguments")
    return cast("dict[str, Any]", arguments)


def _refusal(status: int, kind: str, why: object) -> web.Response:
    return web.json_response({"error": str(why), "kind": kind}, status=status)


def _only_post() -> web.Response:
    return web.Response(status=405, headers={"Allow": "POST"}, text="Only POST is served here.\n")


def _internal_error() -> web.Response:
    return web.Response(status=500, text="The sandbox failed; its log tells how.\n")
