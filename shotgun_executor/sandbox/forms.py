"""The forms that clients upload files with, read piece by piece.

Fields are short and are kept in memory; files go to disk as they arrive, so a file of any size
takes no memory. Whatever is wrong with a form is a :class:`FormError`, and leaves nothing behind.
"""

from __future__ import annotations

import urllib.parse
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Optional

from aiohttp import BodyPartReader, web

if TYPE_CHECKING:
    from shotgun_executor.sandbox.storage import Incoming, Storage

__all__ = ["Form", "FormError", "read_body", "read_form", "receive_body"]

_FIELD_LIMIT = 1 << 20  # bytes of one field, and of a form without files
_FIELDS = 200
_PIECE = 1 << 18


class FormError(ValueError):
    """A form cannot be read; the message says why, without quoting it."""


class Form:
    """What a form holds: fields by name, and files that lie in the storage for now."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.files: dict[str, Incoming] = {}
        self.size = 0

    def discard(self) -> None:
        """Remove the files that nobody has kept."""
        for file in self.files.values():
            file.discard()


async def read_body(request: web.BaseRequest, limit: Optional[int] = None) -> bytes:
    """Returns a body whole. A client may ask first whether it is welcome (curl does, from 1 MB).

    Raises:
        FormError: It is longer than *limit* bytes.
    """
    await _welcome(request)
    if limit is None:
        return await request.read()
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_chunked(_PIECE):
        size += len(piece)
        if size > limit:
            raise FormError("the form is too long")
        pieces.append(piece)
    return b"".join(pieces)


async def receive_body(request: web.BaseRequest, file: Incoming) -> None:
    """Writes a body into a file.

    Raises:
        FormError: The body ended early.
    """
    await _welcome(request)
    try:
        async for piece in request.content.iter_chunked(_PIECE):
            file.write(piece)
    except (web.RequestPayloadError, ValueError):
        raise FormError("the body is broken") from None


async def read_form(request: web.BaseRequest, storage: Storage) -> Form:
    """Reads a form in either of the encodings that forms have.

    Raises:
        FormError: It is malformed, or has more fields, or longer ones, than any client sends.
    """
    form = Form()
    try:
        if request.content_type.startswith("multipart/"):
            await _read_parts(request, storage, form)
        else:
            body = await read_body(request, _FIELD_LIMIT)
            form.size = len(body)
            form.fields = _decode(body)
    except BaseException as error:
        form.discard()
        if isinstance(error, (OSError, FormError)) or not isinstance(error, Exception):
            raise
        # Malformed parts make the parser raise almost anything.
        raise FormError("the form is malformed") from None
    return form


def _decode(body: bytes) -> dict[str, str]:
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except ValueError:
        raise FormError("the form is malformed") from None
    return dict(pairs)


async def _read_parts(request: web.BaseRequest, storage: Storage, form: Form) -> None:
    await _welcome(request)
    reader = await request.multipart()
    count = 0
    while (part := await reader.next()) is not None:
        count += 1
        if count > _FIELDS or not isinstance(part, BodyPartReader) or not part.name:
            raise FormError("the form has a part that is no field")
        if part.filename is None:
            form.fields[part.name] = await _read_field(part, form)
        elif part.name in form.files:
            raise FormError("the form has two files of one name")
        else:
            # What a path has before the last slash is the client's affair.
            name = PurePosixPath(part.filename).name
            form.files[part.name] = storage.receive(name)
            await _read_file(part, form, form.files[part.name])


async def _read_field(part: BodyPartReader, form: Form) -> str:
    pieces: list[bytes] = []
    size = 0
    while piece := await part.read_chunk():
        size += len(piece)
        if size > _FIELD_LIMIT:
            raise FormError("a field of the form is too long")
        pieces.append(piece)
    form.size += size
    return b"".join(pieces).decode()


async def _read_file(part: BodyPartReader, form: Form, file: Incoming) -> None:
    while piece := await part.read_chunk(_PIECE):
        file.write(piece)
        form.size += len(piece)


async def _welcome(request: web.BaseRequest) -> None:
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
