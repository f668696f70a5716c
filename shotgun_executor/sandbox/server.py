"""The HTTP server of a sandbox: which request is for which part, connections, and the listener."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hmac
import json
import logging
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

from aiohttp import web

from shotgun_executor.sandbox.connections import Connections
from shotgun_executor.sandbox.control import Control, HeldTooFewError, UnknownOperationError
from shotgun_executor.sandbox.counters import Tally
from shotgun_executor.sandbox.damage import Silence
from shotgun_executor.sandbox.downloads import find_route
from shotgun_executor.sandbox.exchange import Exchanges
from shotgun_executor.sandbox.failures import Failures
from shotgun_executor.sandbox.file_urls import FileUrls, Pending
from shotgun_executor.sandbox.forms import read_body
from shotgun_executor.sandbox.gate import Gates
from shotgun_executor.sandbox.latency import Latency
from shotgun_executor.sandbox.record import Record
from shotgun_executor.sandbox.rpc import RPC_PATH, Call
from shotgun_executor.sandbox.uploads import Place

if TYPE_CHECKING:
    import ssl

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_protocol import RequestHandler

    from shotgun_executor.sandbox.record import Request
    from shotgun_executor.sandbox.settings import Info, Settings
    from shotgun_executor.sandbox.site import Site
    from shotgun_executor.sandbox.storage import Storage

__all__ = ["CONTROL_PATH", "TOKEN_HEADER", "SiteServer"]

CONTROL_PATH = "/_sandbox/"
TOKEN_HEADER = "X-Sandbox-Token"  # noqa: S105  # a name, no secret

# The client breaks on an idle connection that the site has closed, so a site keeps them.
_IDLE_LIMIT = 7 * 24 * 3600.0
# Seconds between two attempts to take the port again.
_RETRY = 0.05

_log = logging.getLogger(__name__)
# aiohttp would log a traceback for every malformed request; those are the client's affair.
_quiet = logging.getLogger(f"{__name__}.http")
_quiet.setLevel(logging.CRITICAL)


class _Server(web.Server):
    """Tells when a connection is gone, and reads bodies of any size."""

    def __init__(self, site_server: SiteServer, connections: Connections) -> None:
        super().__init__(
            site_server.respond,
            request_factory=self._request,
            handler_cancellation=True,  # a request whose client went away waits no longer
            keepalive_timeout=_IDLE_LIMIT,
            access_log=None,
            logger=_quiet,
        )
        self._known = connections
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
        self._known.lost(handler)
        super().connection_lost(handler, exc)


class SiteServer:
    """One site, served over HTTP together with its control address.

    Args:
        site: The site.
        storage: Where its files are.
        settings: What can be set.
        tls: The certificate, for a site over HTTPS.
        report: Called with each request that is over.
    """

    def __init__(
        self,
        site: Site,
        storage: Storage,
        settings: Settings,
        tls: Optional[ssl.SSLContext] = None,
        report: Optional[Callable[[Request], None]] = None,
    ) -> None:
        self._site = site
        self._storage = storage
        self._settings = settings
        self._tls = tls
        self._gates = Gates()
        self._failures = Failures()
        self._latency = Latency(settings.latency, settings.seed)
        self._connections = Connections()
        self._tally = Tally(self._connections)
        self._record = Record(report)
        self._pending = Pending(settings.thumbnail_reads, settings.thumbnail_seconds)
        self._exchanges = Exchanges(
            self._gates,
            self._failures,
            self._latency,
            self._tally,
            self._connections,
            self._record,
            compress=settings.compress,
        )
        self._control: Optional[Control] = None
        self._server = _Server(self, self._connections)
        self._listener: Optional[asyncio.Server] = None
        self._port = settings.port
        self._coming_up: Optional[asyncio.Task[None]] = None
        self._aside = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="slow-read")

    # --- the listener -------------------------------------------------------------------------

    async def bind(self) -> int:
        """Take the port, without answering yet.

        Returns:
            The number of the port.

        Raises:
            OSError: The port is taken, or not allowed.
        """
        self._listener = await asyncio.get_running_loop().create_server(
            self._server,
            self._settings.host,
            self._port,
            backlog=2048,
            start_serving=False,
            ssl=self._tls,
        )
        self._port = int(self._listener.sockets[0].getsockname()[1])
        return self._port

    async def start(self, info: Info) -> None:
        """Answer from now on."""
        assert self._listener is not None
        self._place = Place(self._site, self._storage, self._pending, info.url)
        self._site.use_urls(FileUrls(info.url, self._storage, self._pending))
        self._control = Control(
            info=info,
            gates=self._gates,
            failures=self._failures,
            latency=self._latency,
            tally=self._tally,
            record=self._record,
            connections=self._connections,
            site=self._site,
            reset_site=self._reset_site,
            go_down=self._go_down,
        )
        await self._listener.start_serving()

    async def stop(self) -> None:
        """Close every connection at once, answered or not."""
        if self._coming_up is not None:
            self._coming_up.cancel()
        if self._listener is not None:
            self._listener.close()
        for connection in self._server.connections:
            connection.force_close()
        await self._server.shutdown(timeout=1.0)
        # What it still reads is broken off when the site is closed.
        self._aside.shutdown(wait=False)

    def _go_down(self, seconds: float) -> None:
        """Be away for a while: nobody listens, and every connection is closed."""
        if self._listener is None or self._coming_up is not None:
            raise ValueError("the site is down already")
        self._listener.close()
        for connection in self._connections.every():
            connection.force_close()
        self._coming_up = asyncio.get_running_loop().create_task(self._come_up(seconds))

    async def _come_up(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while True:
            try:
                await self.bind()
                break
            except OSError:  # someone has the port for the moment
                await asyncio.sleep(_RETRY)
        assert self._listener is not None
        await self._listener.start_serving()
        self._coming_up = None

    def _reset_site(self) -> None:
        Silence.end_all()
        self._site.clear()
        self._storage.clear()
        self._pending.clear()
        fill(self._site, self._settings)

    # --- requests -----------------------------------------------------------------------------

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request."""
        path = request.path
        if path.endswith(RPC_PATH):
            if request.method != "POST":
                return _only_post()
            call = Call(self._site, self._aside)
            return await self._exchanges.carry_out(request, call)
        if path.startswith(CONTROL_PATH):
            return await self._respond_to_control(request, path[len(CONTROL_PATH) :])
        exchange = find_route(request, self._place)
        if exchange is not None:
            return await self._exchanges.carry_out(request, exchange)
        return web.Response(
            status=404, text=f"Nothing here; the API of this site is POST {RPC_PATH}\n"
        )

    async def _respond_to_control(self, request: web.BaseRequest, name: str) -> web.Response:
        given = request.headers.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._settings.token.encode()):
            return _refusal(403, "token", f"the header {TOKEN_HEADER} must carry the token")
        if request.method != "POST":
            return _only_post()
        assert self._control is not None
        try:
            result = await self._control.run(name, _arguments(await read_body(request)))
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


def _arguments(body: bytes) -> dict[str, Any]:
    arguments = json.loads(body or b"{}")
    if not isinstance(arguments, dict):
        raise ValueError("the body must be a JSON object of keyword arguments")
    return cast("dict[str, Any]", arguments)


def _refusal(status: int, kind: str, why: object) -> web.Response:
    return web.json_response({"error": str(why), "kind": kind}, status=status)


def _only_post() -> web.Response:
    return web.Response(status=405, headers={"Allow": "POST"}, text="Only POST is served here.\n")
