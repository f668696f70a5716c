"""Files as entities: attachments, the fields that hold them, and thumbnails.

The bytes are elsewhere by then; this is what makes them known. Everything is written as any other
change is: in the caller's transaction, with its place in the event log.
"""

from __future__ import annotations

import json
import mimetypes
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert

from . import dates
from .changes import Changes
from .events import Events
from .faults import WRITE, Fault
from .file_urls import UPLOADED, image_key
from .linking import Linking
from .rows import Rows
from .storage import STORAGE_PATH
from .store import compile_statement
from .tables import folded, link_id, link_type

if TYPE_CHECKING:
    from .auth import Caller
    from .schema import EntityType, Field, Schema
    from .store import Store

__all__ = ["Files", "NewFile", "StoredFile"]

_COLUMNS = ("attachment_id", "key", "name", "content_type", "size")


class NewFile(NamedTuple):
    """A file that has arrived."""

    key: str
    """Where its bytes are."""
    filename: str
    size: int
    display_name: str
    tags: tuple[str, ...] = ()
    created_at: Optional[str] = None
    """The time of creation that the sender wants, as the wire has times; None is now."""


class StoredFile(NamedTuple):
    """What is known of the file of an attachment."""

    key: str
    name: str
    content_type: str


class Files:
    """Writes the files of one site. Every method runs inside the caller's transaction.

    Args:
        schema: The fields.
        store: The database.
        event_log: Whether changes are logged.
    """

    def __init__(self, schema: Schema, store: Store, *, event_log: bool) -> None:
        self._schema = schema
        self._store = store
        self._rows = Rows(store)
        self._linking = Linking(schema, store)
        self._events = Events(self._rows, enabled=event_log)
        self._changes = Changes(self._rows, self._linking, self._events)
        table = store.site.files
        row: dict[str, Any] = {name: bindparam(f"{name}_") for name in _COLUMNS}
        new = insert(table).values(row)
        put = new.on_conflict_do_update(
            index_elements=["attachment_id"],
            set_={name: new.excluded[name] for name in _COLUMNS[1:]},
        )
        self._put = compile_statement(put, [f"{name}_" for name in _COLUMNS])
        wanted = select(table.c.key, table.c.name, table.c.content_type)
        self._find = compile_statement(wanted.where(table.c.attachment_id == bindparam("i")), ["i"])
        of_key = select(table.c.attachment_id).where(table.c.key == bindparam("k"))
        self._of_key = compile_statement(of_key.order_by(table.c.attachment_id), ["k"])
        self._keys = compile_statement(select(table.c.key), [])

    # --- what callers do ----------------------------------------------------------------------

    def attach(
        self,
        file: NewFile,
        owner: Optional[tuple[str, int]],
        field_name: Optional[str],
        caller: Caller,
    ) -> int:
        """Makes an attachment of a file, linked to an entity and, if wanted, held by a field.

        Args:
            file: The file.
            owner: Type and id of the entity; None makes an attachment that stands alone.
            field_name: A file field of the entity, a list of attachments, or an image field.
            caller: Who sends it.

        Returns:
            The id of the Attachment.

        Raises:
            Fault: There is no such entity or field, or the field holds no files.
        """
        field = self._field(owner, field_name) if owner and field_name else None
        if owner and field is not None and field.path == "Attachment.this_file":
            return self._replace(owner[1], file, caller)
        attachment_id = self._make(file, owner, caller)
        if owner and field is not None:
            self._hold(owner, field, attachment_id, file, caller)
        return attachment_id

    def set_thumbnail(
        self, file: NewFile, owner: tuple[str, int], caller: Caller, *, filmstrip: bool
    ) -> int:
        """Makes a file the thumbnail of an entity, and returns the id of its Attachment.

        Raises:
            Fault: There is no such entity, or it has no thumbnail.
        """
        field = self._image_field(self._kind(owner), filmstrip=filmstrip)
        attachment_id = self._make(file, None, caller)
        self._set(owner, field, STORAGE_PATH + file.key, caller)
        return attachment_id

    def share_thumbnail(
        self,
        owners: list[tuple[str, int]],
        source: tuple[str, int],
        caller: Caller,
        *,
        filmstrip: bool,
    ) -> Optional[int]:
        """Gives entities the thumbnail of another, or none if that has none.

        Returns:
            The id of the Attachment that holds the picture; None if there is none.

        Raises:
            Fault: There is no such entity, or it has no thumbnail.
        """
        stored = self.thumbnail(source, filmstrip=filmstrip)
        for owner in owners:
            field = self._image_field(self._kind(owner), filmstrip=filmstrip)
            self._set(owner, field, stored, caller)
        found: Optional[int] = self._store.first(self._of_key, (image_key(stored) or "",))
        return found

    def thumbnail(self, owner: tuple[str, int], *, filmstrip: bool) -> Optional[str]:
        """Returns what is stored as the thumbnail of an entity.

        Raises:
            Fault: There is no such entity, or its type has no thumbnail.
        """
        field = self._image_field(self._kind(owner), filmstrip=filmstrip)
        stored: Optional[str] = self._rows.columns(*owner, (field.name,))[field.name]
        return stored

    def find(self, attachment_id: int) -> Optional[StoredFile]:
        """Returns the file of an attachment that is not retired; None if it has none here."""
        if self._rows.is_retired("Attachment", attachment_id) is not False:
            return None
        found = self._store.run(self._find, (attachment_id,)).fetchone()
        return None if found is None else StoredFile(*found)

    def keys(self) -> list[str]:
        """Returns the keys of all files that attachments hold."""
        return [key for (key,) in self._store.run(self._keys)]

    # --- rows ---------------------------------------------------------------------------------

    def _make(self, file: NewFile, owner: Optional[tuple[str, int]], caller: Caller) -> int:
        kind = self._schema.every["Attachment"]
        columns = self._about(file)
        if owner is not None:
            project = self._changes.subject(self._kind(owner), owner[1]).project
            if project is not None and "project" in kind.stored:
                columns[link_type("project")], columns[link_id("project")] = "Project", project
        for verb in ("created", "updated"):
            columns.update(_stamp(verb, caller))
        if file.created_at is not None:
            columns["created_at"] = file.created_at
        attachment_id = self._rows.insert("Attachment", columns)
        self._rows.name("Attachment", attachment_id, file.display_name)
        self._remember(attachment_id, file)
        if owner is not None and "attachment_links" in kind.stored:
            links = kind.stored["attachment_links"]
            self._linking.change(links, attachment_id, [owner], "add", _stamp("created", caller))
        if self._events.wants(kind, caller):
            self._events.created(self._changes.subject(kind, attachment_id), caller)
        return attachment_id

    def _about(self, file: NewFile) -> dict[str, Any]:
        """Returns the columns that say what a file is, as far as the schema has them."""
        fields = self._schema.every["Attachment"].stored
        known: dict[str, Any] = {
            "display_name": file.display_name,
            "filename": file.filename,
            "original_fname": file.filename,
            "file_extension": file.filename.rpartition(".")[2] if "." in file.filename else None,
            "file_size": min(file.size, 2**31 - 1),
            "processing_status": "Ready",
            "sg_status_list": "wtg",
            "tag_list": json.dumps(list(file.tags), ensure_ascii=False),
        }
        columns: dict[str, Any] = {}
        for name, value in known.items():
            if name in fields:
                columns[name] = value
                if fields[name].is_folded:
                    columns[folded(name)] = value and value.casefold()
        return columns

    def _remember(self, attachment_id: int, file: NewFile) -> None:
        name = file.filename
        row = attachment_id, file.key, name, _content_type(name), file.size
        self._store.run(self._put, row)
        self._rows.update("Attachment", attachment_id, {"this_file": _value(attachment_id, file)})

    def _replace(self, attachment_id: int, file: NewFile, caller: Caller) -> int:
        """Puts another file into an attachment that is there."""
        kind = self._schema.every["Attachment"]
        before = self._changes.before(kind, attachment_id, ["this_file"])
        self._remember(attachment_id, file)
        self._rows.update("Attachment", attachment_id, _stamp("updated", caller))
        if self._events.wants(kind, caller):
            self._changes.log(kind, attachment_id, before, caller)
        return attachment_id

    def _hold(
        self,
        owner: tuple[str, int],
        field: Field,
        attachment_id: int,
        file: NewFile,
        caller: Caller,
    ) -> None:
        if field.data_type == "url":
            self._set(owner, field, _value(attachment_id, file), caller)
        elif field.data_type == "image":
            self._set(owner, field, STORAGE_PATH + file.key, caller)
        else:
            links = [("Attachment", attachment_id)]
            self._linking.change(field, owner[1], links, "add", _stamp("created", caller))

    def _set(
        self, owner: tuple[str, int], field: Field, value: Optional[str], caller: Caller
    ) -> None:
        kind = self._kind(owner)
        before = self._changes.before(kind, owner[1], [field.name])
        self._rows.update(*owner, {field.name: value, **_stamp("updated", caller)})
        if self._events.wants(kind, caller):
            self._changes.log(kind, owner[1], before, caller)

    # --- checks -------------------------------------------------------------------------------

    def _kind(self, owner: tuple[str, int]) -> EntityType:
        kind = self._schema.entity_type(owner[0], "upload")
        if self._rows.is_retired(*owner) is not False:
            text = f"Entity of type [{kind.name}] with id={owner[1]} does not exist."
            raise Fault(text, WRITE)
        return kind

    def _field(self, owner: tuple[str, int], name: str) -> Field:
        field = self._kind(owner).fields.get(name)
        if field is None:
            text = f"field [{owner[0]}.{name[:100]}] does not exist"
            raise Fault(f"Invalid field name: {text} or user does not have access permission.")
        if field.data_type not in ("url", "image") and not (
            field.is_multi and "Attachment" in field.valid_types
        ):
            raise Fault(f"API upload() {field.path} holds no files.", WRITE)
        return field

    def _image_field(self, kind: EntityType, *, filmstrip: bool) -> Field:
        field = kind.fields.get("filmstrip_image" if filmstrip else "image")
        if field is None:
            raise Fault(f"API upload() {kind.name} has no thumbnail.", WRITE)
        return field


def _value(attachment_id: int, file: NewFile) -> str:
    """Returns the stored value of a file field, with a path in the place of the URL."""
    content = {
        "name": file.display_name,
        "content_type": _content_type(file.filename),
        "type": "Attachment",
        "id": attachment_id,
    }
    rest = json.dumps(content, ensure_ascii=False)
    return f'{UPLOADED}/file_serve/attachment/{attachment_id}", {rest[1:]}'


def _content_type(filename: str) -> str:
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


def _stamp(verb: str, caller: Caller) -> dict[str, Any]:
    return {
        f"{verb}_at": dates.write_time(dates.utc_now()),
        link_type(f"{verb}_by"): caller.type,
        link_id(f"{verb}_by"): caller.id,
    }
