"""The method ``note_thread_contents``: a note with its replies and attachments.

The parts come oldest first. The official client's docstring says the opposite and shows this order
in its example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import people
from .targets import condition, every
from .wire import get_integer

if TYPE_CHECKING:
    from .query import Query
    from .schema import Schema
    from .targets import Targets

_METHOD = "note_thread_contents"
_MOST = 10_000


class Threads:
    """Reads the conversations of one site.

    Args:
        schema: Says which fields there are.
        query: Reads the records.
        targets: Checks the note.
    """

    def __init__(self, schema: Schema, query: Query, targets: Targets) -> None:
        self._schema = schema
        self._query = query
        self._targets = targets

    def read(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns the note, then its replies and attachments in the order of their making.

        Raises:
            Fault: There is no such note, or ``entity_fields`` is malformed.
        """
        note_id = get_integer(params, "note_id", _METHOD)
        extra = self._targets.extra_fields(params, _METHOD)
        self._schema.entity_type("Note", _METHOD)
        self._targets.require("Note", note_id)
        note = {"type": "Note", "id": note_id}
        content = ("content", "created_at")
        found = self._part("Note", "id", note_id, content, "created_by", extra)
        parts = self._part("Reply", "entity", note, content, "user", extra)
        parts += self._part(
            "Attachment", "attachment_links", note, ("created_at",), "created_by", extra
        )
        return found + sorted(parts, key=lambda part: (part.get("created_at") or "", part["id"]))

    def _part(
        self,
        entity_type: str,
        link: str,
        value: Any,
        fields: tuple[str, ...],
        author: str,
        extra: dict[str, tuple[str, ...]],
    ) -> list[dict[str, Any]]:
        if not self._schema.has(entity_type, link):
            return []
        names = (*fields, *people.fields_of(author), *extra.get(entity_type, ()))
        tree = every(condition(link, "is", value))
        found = self._query.find(entity_type, names, tree, limit=_MOST, method=_METHOD)
        for record in found:
            people.fold(record, author, "valid", *(("image",) if author == "user" else ()))
            record["created_at"] = people.utc_text(record.get("created_at"))
        return found
