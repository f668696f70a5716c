"""The contenders: which client, and how its calls are spread over threads.

A contender maps a function ``(sg, item)`` over items, in one of the ways below. Nothing here is
imported before it is needed: each contender runs in a process of its own, and some in a virtual
environment in which the other clients do not exist.
"""

from __future__ import annotations

import ssl
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, NamedTuple, Optional

from _wire import Line, by_id, read_params, rpc


class Site(NamedTuple):
    """Where to connect to, as whom, and how many workers there are."""

    url: str
    script_name: str
    api_key: str
    workers: int
    ca_certs: Optional[str] = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What any ``Shotgun`` takes."""
        given = {"script_name": self.script_name, "api_key": self.api_key}
        return {**given, **({"ca_certs": self.ca_certs} if self.ca_certs else {})}


Connect = Callable[[Site], Any]
Function = Callable[[Any, int], Any]


class Serial:
    """One client, one call at a time."""

    def __init__(self, connect: Connect, site: Site) -> None:
        self.sg = connect(site)

    def map(self, function: Function, items: list[int]) -> list[Any]:
        return [function(self.sg, item) for item in items]

    def close(self) -> None:
        self.sg.close()


class PerThread:
    """What people write today: a ThreadPoolExecutor, and a client for each of its threads."""

    def __init__(self, connect: Connect, site: Site) -> None:
        self._local = threading.local()
        self._connect = connect
        self._site = site
        self._clients: list[Any] = []
        self._threads = ThreadPoolExecutor(site.workers, initializer=self._begin)

    def _begin(self) -> None:
        self._local.sg = self._connect(self._site)
        self._clients.append(self._local.sg)

    def map(self, function: Function, items: list[int]) -> list[Any]:
        return list(self._threads.map(lambda item: function(self._local.sg, item), items))

    def close(self) -> None:
        self._threads.shutdown()
        for client in self._clients:
            client.close()


class Shared:
    """A ThreadPoolExecutor, and one client that its threads may share."""

    def __init__(self, connect: Connect, site: Site) -> None:
        self._sg = connect(site)
        self._threads = ThreadPoolExecutor(site.workers)

    def map(self, function: Function, items: list[int]) -> list[Any]:
        return list(self._threads.map(lambda item: function(self._sg, item), items))

    def close(self) -> None:
        self._threads.shutdown()
        self._sg.close()


class Futures:
    """An executor whose methods return futures."""

    def __init__(self, connect: Connect, site: Site) -> None:
        self.executor = connect(site)

    def map(self, function: Function, items: list[int]) -> list[Any]:
        futures = [function(self.executor, item) for item in items]
        return [future.result() for future in futures]

    def close(self) -> None:
        self.executor.shutdown()


class Prefetch(Serial):
    """One ``find`` over all pages, by a client that asks for several pages at a time."""

    def pages(self, fields: list[str], rows: int, count: int) -> list[Any]:
        found = self.sg.find("Shot", [], fields, limit=rows * count)
        return [found[start : start + rows] for start in range(0, len(found), rows)]


def official(site: Site) -> Any:
    """The official client; or, in another environment, what has its name."""
    import shotgun_api3

    return shotgun_api3.Shotgun(site.url, **site.arguments)


def executor(site: Site) -> Any:
    """Our executor."""
    from shotgun_executor import ShotgunExecutor

    return ShotgunExecutor(site.url, **site.arguments, max_workers=site.workers)


def executor_without_orjson(site: Site) -> Any:
    """Our executor, where orjson is not installed."""
    sys.modules["orjson"] = None  # type: ignore[assignment]  # as Python marks what is not there
    return executor(site)


def pool(site: Site) -> Any:
    """Our ``Shotgun`` that threads may share."""
    from shotgun_executor import ShotgunPool

    return ShotgunPool(site.url, **site.arguments)


def rewrite(site: Site) -> Any:
    """sg-python-api, with as many connections as there are threads to use them."""
    sg = official(site)
    sg.config.pool_maxsize = max(site.workers, 10)
    if site.ca_certs:  # at the sandbox
        _read_uploads_like_the_official_client()
    return sg


def _read_uploads_like_the_official_client() -> None:
    """Have sg-python-api take two answers of the sandbox that it finds too long.

    One has the name of the storage as a sixth line, the other the name of the file after its id.
    """
    from shotgun_api3 import _files

    class LinkInfo(_files.UploadLinkInfo):  # type: ignore[misc,name-defined]  # not installed here
        def __init__(self, encoded: str, multipart: bool) -> None:
            lines = encoded.split("\n")
            super().__init__("\n".join(lines if multipart else lines[:5]), multipart)

    parse = _files.parse_link_completion
    _files.UploadLinkInfo = LinkInfo
    _files.parse_link_completion = lambda text: parse(":".join(text.split(":")[:2]))


def rewrite_with_prefetch(site: Site) -> Any:
    """The same, with as many pages under way as there are workers."""
    sg = rewrite(site)
    sg.config.page_prefetch = site.workers
    return sg


def fpt(site: Site) -> Any:
    """fpt-api, told each time that there are no query fields: it would ask for the schema.

    It trusts the authorities of certifi only, so that is told of ours.
    """
    import certifi
    from fpt_api import FPT

    class WithoutQueryFields(FPT):
        def find(self, *args: Any, **kwargs: Any) -> Any:
            return super().find(*args, **{**kwargs, "process_query_fields": False})

        def find_one(self, *args: Any, **kwargs: Any) -> Any:
            return super().find_one(*args, **{**kwargs, "process_query_fields": False})

    if site.ca_certs:
        trusted = site.ca_certs
        certifi.where = lambda: trusted
    return WithoutQueryFields(site.url, **site.arguments)


class Socket:
    """The floor: prepared requests over a socket, and JSON that is decoded and nothing more."""

    def __init__(self, site: Site, context: Optional[ssl.SSLContext]) -> None:
        try:
            from orjson import loads
        except ImportError:
            from json import loads
        self._loads = loads
        self._site = site
        self._line = Line(site.url, context)

    def find(
        self, _type: str, _filters: object, fields: list[str], *, limit: int, page: int
    ) -> Any:
        return self._read(read_params([], fields, limit, page))

    def find_one(self, _type: str, filters: list[list[Any]], fields: list[str]) -> Any:
        return self._read(read_params(by_id(filters[0][2]), fields, 1))[0]

    def _read(self, params: object) -> Any:
        site = self._site
        self._line.send(rpc(site.url, site.script_name, site.api_key, "read", params))
        body = self._line.receive()
        if body.startswith(b"\x1f\x8b"):
            body = zlib.decompress(body, wbits=31)  # of gzip
        return self._loads(body)["results"]["entities"]

    def close(self) -> None:
        self._line.close()


class Sockets(PerThread):
    """A thread for each socket, and one TLS context for all."""

    def __init__(self, connect: Callable[..., Any], site: Site) -> None:
        trusted = ssl.create_default_context(cafile=site.ca_certs) if site.ca_certs else None
        super().__init__(lambda site: connect(site, trusted), site)


class Contender(NamedTuple):
    """One of those that are compared."""

    title: str
    way: Callable[[Connect, Site], Any]
    connect: Callable[..., Any]
    home: str = ""
    """The environment that it runs in: "" is that of the benchmark, else a package on PyPI."""
    converts: bool = True
    """Whether it makes datetimes of dates."""


CONTENDERS = {
    "ours": Contender("this package, orjson", Futures, executor),
    "ours-stdlib": Contender("this package, no orjson", Futures, executor_without_orjson),
    "ours-pool": Contender("ShotgunPool, plain threads, orjson", Shared, pool),
    "official": Contender("official client, serial", Serial, official),
    "official-threads": Contender("official client, one per thread", PerThread, official),
    "rewrite": Contender("sg-python-api", Shared, rewrite, "sg-python-api"),
    "rewrite-prefetch": Contender(
        "sg-python-api, page prefetch", Prefetch, rewrite_with_prefetch, "sg-python-api"
    ),
    "fpt": Contender("fpt-api", PerThread, fpt, "fpt-api"),
    "floor": Contender("plain sockets, orjson (the floor)", Sockets, Socket, converts=False),
}
