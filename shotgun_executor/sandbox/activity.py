"""The method ``activity_stream``: what has happened to an entity, from the event log.

A stream holds the events of the entity itself; that of a project those of everything in it; and
that of any other entity also the making of what is linked to it: tasks, versions, published files
and notes. A live site's choice was not recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from . import people
from .events import LOG
from .faults import Fault, ruby_text
from .targets import condition, every, some
from .wire import get_integer, is_integer

if TYPE_CHECKING:
    from .query import Query
    from .schema import Schema
    from .targets import Targets

_METHOD = "activity_stream"
_LIMIT = 100
_LINKS = (
    ("Task", "entity"),
    ("Version", "entity"),
    ("PublishedFile", "entity"),
    ("Note", "note_links"),
)
_WORDS = {"New": "create", "Change": "update", "Retirement": "delete", "Revival": "revive"}


class Activity:
    """Reads the activity streams of one site.

    Args:
        schema: Says which fields there are.
        query: Reads the records.
        targets: Checks the entity.
    """

    def __init__(self, schema: Schema, query: Query, targets: Targets) -> None:
        self._schema = schema
        self._query = query
        self._targets = targets

    def read(self, params: dict[str, Any]) -> dict[str, Any]:
        """Returns a part of a stream, newest first.

        Raises:
            Fault: There is no such entity, or a parameter is malformed.
        """
        kind = self._schema.entity_type(params.get("type"), _METHOD)
        entity_id = get_integer(params, "id", _METHOD)
        self._targets.require(kind.name, entity_id)
        extra = self._targets.extra_fields(params, _METHOD)
        limit = _bound(params, "limit") or _LIMIT
        events = self._events(kind.name, entity_id, params, min(limit, 10 * _LIMIT))
        subjects = self._subjects(events, extra)
        updates = [_update(event, subjects) for event in events]
        return {
            "entity_type": kind.name,
            "entity_id": entity_id,
            "updates": updates,
            "latest_update_id": updates[0]["id"] if updates else None,
            "earliest_update_id": updates[-1]["id"] if updates else None,
        }

    def _events(
        self, entity_type: str, entity_id: int, params: dict[str, Any], limit: int
    ) -> list[dict[str, Any]]:
        whole = {"type": entity_type, "id": entity_id}
        where = [condition("event_type", "starts_with", "Shotgun_")]
        if entity_type == "Project":
            where.append(condition("project", "is", whole))
        else:
            where.append(some(condition("entity", "is", whole), *self._made_for(whole)))
        low, high = _bound(params, "min_id"), _bound(params, "max_id")
        if low is not None:
            where.append(condition("id", "greater_than", low - 1))
        if high is not None:
            where.append(condition("id", "less_than", high + 1))
        fields = ("event_type", "meta", "created_at", "entity", *people.fields_of("user"))
        tree = every(*where)
        return self._query.find(LOG, fields, tree, limit=limit, method=_METHOD, newest=True)

    def _made_for(self, whole: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns the conditions for the making of what is linked to an entity."""
        found: list[dict[str, Any]] = []
        for entity_type, link in _LINKS:
            if not self._schema.has(entity_type, link):
                continue
            if self._schema.field(entity_type, link).accepts(whole["type"]):
                made = condition("event_type", "is", f"Shotgun_{entity_type}_New")
                linked = condition(f"entity.{entity_type}.{link}", "is", whole)
                found.append(every(made, linked))
        return found

    def _subjects(
        self, events: list[dict[str, Any]], extra: dict[str, tuple[str, ...]]
    ) -> dict[tuple[str, int], dict[str, Any]]:
        """Returns the entities that events are about, those that are retired left out."""
        ids: dict[str, list[int]] = {}
        for event in events:
            link = event.get("entity")
            if link is not None and link["type"] in self._schema.types:
                ids.setdefault(link["type"], []).append(link["id"])
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for entity_type, wanted in ids.items():
            kind = self._schema.types[entity_type]
            wanted_fields = extra.get(entity_type, ())
            fields = (kind.identifier, "sg_status_list", "image", *wanted_fields)
            tree = every(condition("id", "in", *sorted(set(wanted))))
            records = self._query.find(entity_type, fields, tree, limit=len(wanted), method=_METHOD)
            for record in records:
                found[entity_type, record["id"]] = _shown(record, kind.identifier, wanted_fields)
        return found


def _shown(record: dict[str, Any], identifier: str, extra: tuple[str, ...]) -> dict[str, Any]:
    """Returns an entity as a stream shows it."""
    name, status = record.get(identifier), record.get("sg_status_list")
    shown = {"type": record["type"], "id": record["id"], "name": name, "status": status}
    return {**shown, **{field: record[field] for field in extra if field in record}}


def _update(
    event: dict[str, Any], subjects: dict[tuple[str, int], dict[str, Any]]
) -> dict[str, Any]:
    people.fold(event, "user", "image")
    meta = event.get("meta") or {}
    key = (meta.get("entity_type"), meta.get("entity_id"))
    gone = {"type": key[0], "id": key[1], "name": meta.get("display_name"), "status": None}
    action = str(event["event_type"]).rsplit("_", 1)[-1]
    return {
        "id": event["id"],
        "created_at": people.utc_text(event.get("created_at")),
        "created_by": event.get("user"),
        "read": False,
        "update_type": _WORDS.get(action, action.lower()),
        "meta": meta,
        "primary_entity": subjects.get(key, gone),  # type: ignore[arg-type]
    }


def _bound(params: dict[str, Any], name: str) -> Optional[int]:
    value = params.get(name)
    if value is None:
        return None
    if not is_integer(value) or not 0 < value < 2**62:
        raise Fault(f"API {_METHOD}() invalid integer '{name}': {ruby_text(value)}")
    return value
