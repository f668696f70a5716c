"""The routes of ``/upload/``: forms that carry files, or lead to where files go.

The answers are text whose first character tells success, as the official client reads them: ``1``
and what it asked for, ``2`` if a thumbnail is not ready, ``0`` and the reason otherwise.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import TYPE_CHECKING, NamedTuple, Optional

from aiohttp import web

from shotgun_executor.sandbox import dates
from shotgun_executor.sandbox.exchange import Exchange
from shotgun_executor.sandbox.faults import Fault
from shotgun_executor.sandbox.file_urls import image_key
from shotgun_executor.sandbox.files import NewFile
from shotgun_executor.sandbox.forms import Form, FormError, read_form

if TYPE_CHECKING:
    from shotgun_executor.sandbox.file_urls import Pending
    from shotgun_executor.sandbox.site import Site
    from shotgun_executor.sandbox.storage import Incoming, Storage

__all__ = ["UPLOADS", "Place"]

_NOT_READY = "2\nThe thumbnail is not ready yet.\n"
_SERVICE = "s3"


class Place(NamedTuple):
    """What the routes work with."""

    site: Site
    storage: Storage
    pending: Pending
    base: str
    """The URL of the site."""


class UploadForm(Exchange):
    """A form that is answered with text."""

    __slots__ = ("_problem", "form", "place")

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(name)
        self.place = place
        self.form = Form()
        self._problem: Optional[str] = None

    async def read(self, request: web.BaseRequest) -> int:
        """Read the form; its files are on disk afterwards."""
        try:
            self.form = await read_form(request, self.place.storage)
        except FormError as error:
            self._problem = str(error)
        self.source = self.form.fields
        return self.form.size

    async def execute(self) -> web.StreamResponse:
        """Do what the form asks for."""
        try:
            if self._problem is not None:
                raise Fault(self._problem)
            return _text(await self.act())
        except Fault as fault:
            return self.refuse(fault)

    async def act(self) -> str:
        """Do it, and return the text of the answer.

        Raises:
            Fault: The site refuses.
        """
        raise NotImplementedError  # each form does its own

    def refuse(self, fault: Fault) -> web.StreamResponse:
        """The text of a failure, which has the status 200."""
        self.fault = fault.message
        return _text(f"0\n{fault.message}\n")

    def discard(self) -> None:
        """Remove what has arrived and was not kept."""
        self.form.discard()

    # --- fields -------------------------------------------------------------------------------

    def get(self, name: str) -> Optional[str]:
        """A field that may be missing; empty counts as missing."""
        return self.form.fields.get(name) or None

    def need(self, name: str) -> str:
        """A field that must be there.

        Raises:
            Fault: It is missing.
        """
        value = self.get(name)
        if value is None:
            raise Fault(f"API {self.name}() '{name}' missing")
        return value

    def flag(self, name: str) -> bool:
        """A field that says yes or no."""
        return (self.get(name) or "").lower() in ("true", "1")

    def owner(self) -> Optional[tuple[str, int]]:
        """The entity that the form names, if it names one."""
        entity_type = self.get("entity_type")
        if entity_type in (None, "None"):
            return None
        return entity_type or "", _number(self.need("entity_id"), "entity_id")

    def needed_owner(self) -> tuple[str, int]:
        """The entity that the form must name."""
        self.need("entity_type")
        owner = self.owner()
        if owner is None:
            raise Fault(f"API {self.name}() 'entity_type' missing")
        return owner

    # --- files --------------------------------------------------------------------------------

    def about(self, key: str, filename: str, size: int) -> NewFile:
        """What the form says of a file."""
        tags = [tag.strip() for tag in (self.get("tag_list") or "").split(",")]
        return NewFile(
            key=key,
            filename=filename,
            size=size,
            display_name=self.get("display_name") or filename,
            tags=tuple(dict.fromkeys(filter(None, tags))),
            created_at=_moment(self.get("created_at")),
        )

    def attach(self, file: NewFile) -> str:
        """Make an attachment, with the credentials and for the entity of the form."""
        owner, field = self.owner(), self.get("field_name")
        change = self.place.site.change_files
        made = change(self.form.fields, lambda files, user: files.attach(file, owner, field, user))
        self.place.pending.start(file.key)
        self.writes = 1
        return f"1:{made}:{file.display_name}\n"

    def set_thumbnail(self, file: NewFile) -> str:
        """Make a thumbnail, with the credentials and for the entity of the form."""
        owner, strip = self.needed_owner(), self.flag("filmstrip")
        made = self.place.site.change_files(
            self.form.fields,
            lambda files, user: files.set_thumbnail(file, owner, user, filmstrip=strip),
        )
        self.place.pending.start(file.key)
        self.writes = 1
        return f"1:{made}:{file.display_name}\n"


class _FileForm(UploadForm):
    """A form that carries a file."""

    __slots__ = ()
    file_field = ""

    async def act(self) -> str:
        """Keep the file if the site takes it."""
        incoming = self.form.files.get(self.file_field)
        if incoming is None or not incoming.size:
            raise Fault(f"API {self.name}() '{self.file_field}' missing")
        storage = self.place.storage
        key = storage.new_key(incoming.filename)
        incoming.keep(storage.place(key))
        try:
            return self.use(self.about(key, incoming.filename, incoming.size))
        except BaseException:
            storage.place(key).unlink()
            raise

    def use(self, file: NewFile) -> str:
        """Do with the file what it was sent for."""
        raise NotImplementedError  # each form does its own


class UploadFile(_FileForm):
    """``upload_file``: a file that becomes an attachment."""

    __slots__ = ()
    file_field = "file"

    def use(self, file: NewFile) -> str:
        """Make an attachment of it."""
        return self.attach(file)


class PublishThumbnail(_FileForm):
    """``publish_thumbnail``: a picture that becomes a thumbnail."""

    __slots__ = ()
    file_field = "thumb_image"

    def use(self, file: NewFile) -> str:
        """Make a thumbnail of it."""
        return self.set_thumbnail(file)


class ShareThumbnail(UploadForm):
    """``share_thumbnail``: entities get the thumbnail of another."""

    __slots__ = ()

    async def act(self) -> str:
        """Share it, unless it is not ready."""
        owners = [_entity(text) for text in self.need("entities").split(",")]
        source, strip = _entity(self.need("source_entity")), self.flag("filmstrip_thumbnail")
        site = self.place.site
        site.identify(self.form.fields)
        stored = site.read_files(lambda files: files.thumbnail(source, filmstrip=strip))
        if self.place.pending.look(image_key(stored) or ""):
            return _NOT_READY
        shared = site.change_files(
            self.form.fields,
            lambda files, user: files.share_thumbnail(owners, source, user, filmstrip=strip),
        )
        self.writes = len(owners)
        return f"1:{'' if shared is None else shared}\n"


class GetUploadLinkInfo(UploadForm):
    """``api_get_upload_link_info``: where a file is to be sent."""

    __slots__ = ()

    async def act(self) -> str:
        """Give a key to a file that is to come."""
        upload_type, filename = self.need("upload_type"), self.need("filename")
        if upload_type not in ("Attachment", "Thumbnail"):
            raise Fault(f"API {self.name}() unknown 'upload_type'")
        self.place.site.identify(self.form.fields)
        filename = filename.replace("\n", " ")
        key = self.place.storage.new_key(filename)
        url = self.place.base + self.place.storage.sign("PUT", key, filename)
        moment = dates.utc_now().strftime("%Y%m%d%H%M%S")
        return "\n".join(("1", url, moment, upload_type, key, _SERVICE))


class GetUploadLinkForPart(UploadForm):
    """``api_get_upload_link_for_part``: where a part of a file is to be sent."""

    __slots__ = ()

    async def act(self) -> str:
        """Make a URL for the part."""
        key, number = self.need("upload_id"), _number(self.need("part_number"), "part_number")
        self.place.site.identify(self.form.fields)
        part = f"{key}/{number}"
        _check_key(self.place.storage, part)
        return f"1\n{self.place.base}{self.place.storage.sign('PUT', part)}\n"


class CompleteMultipartUpload(UploadForm):
    """``api_complete_multipart_upload``: the parts of a file become one."""

    __slots__ = ("_whole",)

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name)
        self._whole: Optional[Incoming] = None

    async def act(self) -> str:
        """Put the parts together, in a thread as they may be large."""
        key, storage = self.need("upload_id"), self.place.storage
        self.place.site.identify(self.form.fields)
        _check_key(storage, key)
        etags = [etag.strip().strip('"') for etag in self.need("etags").split(",")]
        self._whole = storage.receive("")
        whole = self._whole
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(None, _join, storage, key, whole) != etags:
            raise Fault(f"API {self.name}() the etags are not those of the parts")
        whole.keep(storage.place(key))
        storage.forget_parts(key)
        return "1\n"

    def discard(self) -> None:
        """Remove what was not put together."""
        super().discard()
        if self._whole is not None:
            self._whole.discard()


class LinkFile(UploadForm):
    """``api_link_file``: a file that was sent becomes an attachment or a thumbnail."""

    __slots__ = ()

    async def act(self) -> str:
        """Make it known."""
        lines = self.need("upload_link_info").split("\n")
        if len(lines) < 5:
            raise Fault(f"API {self.name}() invalid 'upload_link_info'")
        key = lines[4]
        _check_key(self.place.storage, key)
        path = self.place.storage.place(key)
        if not path.is_file():
            raise Fault(f"API {self.name}() nothing was uploaded for this 'upload_link_info'")
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(lines[1]).query)
        file = self.about(key, query.get("name", [key])[0], path.stat().st_size)
        return self.set_thumbnail(file) if lines[3] == "Thumbnail" else self.attach(file)


UPLOADS: dict[str, type[UploadForm]] = {
    "upload_file": UploadFile,
    "publish_thumbnail": PublishThumbnail,
    "share_thumbnail": ShareThumbnail,
    "api_get_upload_link_info": GetUploadLinkInfo,
    "api_get_upload_link_for_part": GetUploadLinkForPart,
    "api_complete_multipart_upload": CompleteMultipartUpload,
    "api_link_file": LinkFile,
}
"""The forms by name, which is the path behind ``/upload/``."""


def _text(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")


def _number(text: str, name: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise Fault(f"API upload() invalid integer '{name}'")


def _entity(text: str) -> tuple[str, int]:
    entity_type, _, entity_id = text.rpartition("_")
    return entity_type, _number(entity_id, "id")


def _moment(text: Optional[str]) -> Optional[str]:
    """Returns a time as the wire has it; the forms carry it as Python writes it."""
    if text is None:
        return None
    moment = dates.read_time(text)
    if moment is None:
        raise Fault("API upload() invalid 'created_at'")
    return moment


def _check_key(storage: Storage, key: str) -> None:
    try:
        storage.place(key)
    except ValueError:
        raise Fault("API upload() unknown 'upload_id'") from None


def _join(storage: Storage, key: str, whole: Incoming) -> list[str]:
    """Writes the parts of a file one behind the other, and returns the MD5 of each."""
    return [whole.append_file(path) for path in storage.parts(key)]
