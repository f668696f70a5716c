"""RPC requests: ``POST /api3/json``.

Executing is a plain function call on the event loop, so each request is atomic. A read that takes
long is broken off and done again by a thread, which reads one committed state of the database:
measured on 200,000 rows, a search of 58 ms stops the others for 20 ms at most, and small reads go
on at 19,000 a second meanwhile. Handing every read to a thread would cost small ones more than they
take themselves.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from shotgun_executor.sandbox.codec import encode_fault
from shotgun_executor.sandbox.exchange import Exchange
from shotgun_executor.sandbox.forms import read_body
from shotgun_executor.sandbox.site import JSON_TYPE
from shotgun_executor.sandbox.store import TooSlowError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from shotgun_executor.sandbox.faults import Fault
    from shotgun_executor.sandbox.site import Answer, Site

__all__ = ["RPC_PATH", "Call"]

RPC_PATH = "/api3/json"

# Seconds after which a read goes on in a thread.
_PATIENCE = 0.02

_WRITES = frozenset(["create", "update", "delete", "revive"])


class Call(Exchange):
    """A call of a method.

    Args:
        site: Answers it.
        aside: The thread for reads that take long.
    """

    __slots__ = ("_aside", "_site")

    def __init__(self, site: Site, aside: Executor) -> None:
        super().__init__()
        self._site = site
        self._aside = aside
        self.source = b""

    async def read(self, request: web.BaseRequest) -> int:
        """Read the body, of any size."""
        self.source = await read_body(request)
        return len(self.source)

    def find_name(self) -> str:
        """The method that the body names, or ``""``."""
        if self.name is None:
            self.name = _method_of(self.source)
        return self.name

    async def execute(self) -> web.StreamResponse:
        """Have the site answer."""
        answer = await self._answer()
        self.name = answer.method
        if answer.failed:
            self.fault = _message_of(answer.body)
        elif answer.method in _WRITES:
            self.writes = 1
        elif answer.method == "batch":
            self.writes = len(json.loads(self.source)["params"][1])
        return _response(answer.body, answer.content_type)

    async def _answer(self) -> Answer:
        try:
            return self._site.answer(self.source, _PATIENCE)
        except TooSlowError:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._aside, self._site.answer_aside, self.source)

    def refuse(self, fault: Fault) -> web.StreamResponse:
        """The envelope of a fault, which has the status 200."""
        self.fault = fault.message
        return _response(encode_fault(fault), JSON_TYPE)


def _response(body: bytes, content_type: str) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": content_type})


def _method_of(body: bytes) -> str:
    try:
        method = json.loads(body)["method_name"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return method if isinstance(method, str) else ""


def _message_of(envelope: bytes) -> str:
    return str(cast("dict[str, Any]", json.loads(envelope))["message"])
