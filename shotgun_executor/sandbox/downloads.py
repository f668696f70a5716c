"""The routes that files are read from, and the storage that they are sent to."""

from __future__ import annotations

import mimetypes
import struct
import urllib.parse
import zlib
from typing import TYPE_CHECKING, Callable, Optional

from aiohttp import web

from shotgun_executor.sandbox.exchange import Exchange
from shotgun_executor.sandbox.faults import Fault
from shotgun_executor.sandbox.file_urls import PENDING_PATH
from shotgun_executor.sandbox.forms import FormError, receive_body
from shotgun_executor.sandbox.storage import STORAGE_PATH
from shotgun_executor.sandbox.uploads import UPLOADS, Place

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from shotgun_executor.sandbox.storage import Incoming

__all__ = ["ROUTES", "find_route"]

_ATTACHMENT_PATH = "/file_serve/attachment/"
_LOGIN_PATH = "/user/login"
_THUMBNAIL_PATH = "/upload/get_thumbnail_url"
_UPLOAD_PATH = "/upload/"

_LOGIN_PAGE = "<html><body><h1>Log in</h1><p>This site wants you to log in.</p></body></html>\n"


class _Page(Exchange):
    """A request that has no body, and is answered at once."""

    __slots__ = ("_respond",)

    def __init__(self, name: str, respond: Callable[[], web.StreamResponse]) -> None:
        super().__init__(name)
        self._respond = respond

    async def execute(self) -> web.StreamResponse:
        """Answer."""
        try:
            return self._respond()
        except Fault as fault:
            return self.refuse(fault)

    def refuse(self, fault: Fault) -> web.StreamResponse:
        """A page with the reason."""
        self.fault = fault.message
        return web.Response(status=403, text=fault.message + "\n")


class ServeAttachment(_Page):
    """``file_serve``: leads to the file of an attachment. It asks for no credentials."""

    __slots__ = ("_number", "_place")

    def __init__(self, place: Place, number: str) -> None:
        super().__init__("file_serve", self._redirect)
        self._place = place
        self._number = number
        self.source = {"id": number[:20]}

    def _redirect(self) -> web.StreamResponse:
        number = self._number
        usable = number.isascii() and number.isdigit() and len(number) < 19
        found = usable and self._place.site.read_files(lambda files: files.find(int(number)))
        if not found:
            self.fault = "There is no such attachment, or it is no file on this site."
            return web.Response(status=400, text=self.fault + "\n")
        target = self._place.base + self._place.storage.sign("GET", found.key, found.name)
        return web.Response(status=302, headers={"Location": target})


class ThumbnailUrl(_Page):
    """``get_thumbnail_url``: how clients of very old sites learn where a thumbnail is."""

    __slots__ = ("_place",)

    def __init__(self, place: Place, query: dict[str, str]) -> None:
        super().__init__("get_thumbnail_url", self._find)
        self._place = place
        self.source = query

    def _find(self) -> web.StreamResponse:
        entity_id = self.source.get("entity_id", "")
        if not (entity_id.isascii() and entity_id.isdigit() and len(entity_id) < 19):
            raise Fault("API get_thumbnail_url() invalid integer 'entity_id'")
        owner = self.source.get("entity_type", ""), int(entity_id)
        stored = self._place.site.read_files(lambda files: files.thumbnail(owner, filmstrip=False))
        if stored is None:
            raise Fault("There is no thumbnail.")
        path = self._place.site.store.urls.image(stored)[len(self._place.base) :]
        return web.Response(text=f"1\n{path}\n", content_type="text/html")

    def refuse(self, fault: Fault) -> web.StreamResponse:
        """The text of a failure, as forms are answered with."""
        self.fault = fault.message
        return web.Response(text=f"0\n{fault.message}\n", content_type="text/html")


class _Stored(Exchange):
    """A request to the storage, which speaks the language of S3."""

    __slots__ = ("_key", "_place", "_query", "_verb")

    def __init__(self, place: Place, name: str, verb: str, key: str, query: dict[str, str]) -> None:
        super().__init__(name)
        self._place = place
        self._verb = verb
        self._key = key
        self._query = query
        self.source = {"key": key[:60]}

    async def execute(self) -> web.StreamResponse:
        """Do it if the URL is good."""
        why = self._place.storage.refusal(self._verb, self._key, self._query)
        return self.refuse(Fault(why)) if why else self.act()

    def act(self) -> web.StreamResponse:
        """Do it; the URL is good."""
        raise NotImplementedError  # each route does its own

    def refuse(self, fault: Fault) -> web.StreamResponse:
        """S3's way to refuse."""
        return self.error(403, "AccessDenied", fault.message)

    def error(self, status: int, code: str, message: str) -> web.StreamResponse:
        """S3's way to report an error."""
        self.fault = message
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        head = '<?xml version="1.0" encoding="UTF-8"?>\n'
        return web.Response(status=status, text=head + text, content_type="application/xml")


class _File(web.FileResponse):
    """A file as an answer, which is sent once."""

    async def prepare(self, request: web.BaseRequest) -> Optional[AbstractStreamWriter]:
        """Send it; aiohttp asks for that again when it is given an answer that was written."""
        return None if self.prepared else await super().prepare(request)


class StorageGet(_Stored):
    """``storage_get``: the bytes of a file."""

    __slots__ = ()

    def act(self) -> web.StreamResponse:
        """Send them, or the part of them that is asked for."""
        path = self._place.storage.place(self._key)
        if not path.is_file():
            return self.error(404, "NoSuchKey", "The specified key does not exist.")
        name = self._query.get("name", "")
        kind = mimetypes.guess_type(name or path.name)[0] or "application/octet-stream"
        headers = {"Content-Type": kind}
        if name:
            quoted = urllib.parse.quote(name)
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quoted}"
        return _File(path, headers=headers)


class StoragePut(_Stored):
    """``storage_put``: a file, or a part of one, is sent."""

    __slots__ = ("_incoming", "_problem")

    def __init__(self, place: Place, name: str, verb: str, key: str, query: dict[str, str]) -> None:
        super().__init__(place, name, verb, key, query)
        self._incoming: Optional[Incoming] = None
        self._problem: Optional[str] = None

    async def read(self, request: web.BaseRequest) -> int:
        """Write the body to disk, if the URL is good."""
        if self._place.storage.refusal(self._verb, self._key, self._query):
            return 0
        self._incoming = self._place.storage.receive("")
        try:
            await receive_body(request, self._incoming)
        except FormError as error:
            self._problem = str(error)
        return self._incoming.size

    def act(self) -> web.StreamResponse:
        """Keep what has arrived."""
        if self._problem is not None or self._incoming is None:
            return self.error(400, "IncompleteBody", self._problem or "the body is missing")
        self._incoming.keep(self._place.storage.place(self._key))
        return web.Response(status=200, headers={"ETag": self._incoming.etag})

    def discard(self) -> None:
        """Remove what was not kept."""
        if self._incoming is not None:
            self._incoming.discard()


def _login_page() -> web.StreamResponse:
    return web.Response(text=_LOGIN_PAGE, content_type="text/html")


def _pending_picture() -> web.StreamResponse:
    return web.Response(body=_PICTURE, content_type="image/png")


ROUTES = (
    *UPLOADS, "get_thumbnail_url", "storage_put", "storage_get", "file_serve", "thumbnail_pending",
    "login_page",
)  # fmt: skip
"""The names of the routes, which failures, gates and latencies can be set for."""


def find_route(request: web.BaseRequest, place: Place) -> Optional[Exchange]:
    """Returns what a request asks for that is no RPC; None if there is nothing at its path."""
    path, verb = request.path, request.method
    if verb == "POST" and path.startswith(_UPLOAD_PATH):
        name = path[len(_UPLOAD_PATH) :]
        return UPLOADS[name](place, name) if name in UPLOADS else None
    if path.startswith(STORAGE_PATH):
        key, query = path[len(STORAGE_PATH) :], dict(request.query)
        if verb == "PUT":
            return StoragePut(place, "storage_put", verb, key, query)
        if verb in ("GET", "HEAD"):
            return StorageGet(place, "storage_get", "GET", key, query)
    return _find_page(path, dict(request.query), place) if verb in ("GET", "HEAD") else None


def _find_page(path: str, query: dict[str, str], place: Place) -> Optional[Exchange]:
    if path.startswith(_ATTACHMENT_PATH):
        return ServeAttachment(place, path[len(_ATTACHMENT_PATH) :])
    if path == _THUMBNAIL_PATH:
        return ThumbnailUrl(place, query)
    if path == PENDING_PATH:
        return _Page("thumbnail_pending", _pending_picture)
    return _Page("login_page", _login_page) if path == _LOGIN_PATH else None


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _grey_picture(width: int, height: int) -> bytes:
    """Returns a PNG of one shade of grey."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * width) * height
    chunks = _chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


_PICTURE = _grey_picture(240, 135)
