"""The event log: what happened to entities, written in the transaction in which it happened.

There is one EventLogEntry for each entity that is made, retired or revived, and one for each field
that changes. The event types are those of the official client's docs. The keys of ``meta`` are
those that public event-driven tools expect of a live site; the wording of ``description`` is the
sandbox's own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from . import dates
from .tables import folded, link_id, link_type

if TYPE_CHECKING:
    from .auth import Caller
    from .linking import Key
    from .rows import Rows
    from .schema import EntityType, Field

LOG = "EventLogEntry"


class Subject(NamedTuple):
    """The entity that an event is about."""

    kind: EntityType
    id: int
    name: Optional[str]
    project: Optional[int]
    """The id of its project; its own if it is a project."""


class Events:
    """Writes the event log of one site, inside the caller's transaction.

    Args:
        rows: Writes the rows.
        enabled: Whether anything is written at all.
    """

    def __init__(self, rows: Rows, *, enabled: bool = True) -> None:
        self._rows = rows
        self._enabled = enabled

    def wants(self, kind: EntityType, caller: Caller) -> bool:
        """Says whether changes of a type by a user are logged.

        A script can do without (``generate_event_log_entries``); the log does not log itself.
        """
        return self._enabled and caller.logs and kind.name != LOG

    def created(self, subject: Subject, caller: Caller) -> None:
        """Logs that an entity was made."""
        meta = {"type": "new_entity", **_about(subject)}
        self._write(subject, caller, "New", f"created new {_named(subject)}", meta)

    def retired(self, subject: Subject, caller: Caller) -> None:
        """Logs that an entity was deleted."""
        meta = {
            "type": "entity_retirement",
            **_about(subject),
            "class_name": subject.kind.name,
            "display_name": subject.name,
            "retirement_date": dates.write_time(dates.utc_now()),
        }
        self._write(subject, caller, "Retirement", f"deleted {_named(subject)}", meta)

    def revived(self, subject: Subject, caller: Caller) -> None:
        """Logs that an entity was brought back."""
        meta = {"type": "entity_revival", **_about(subject)}
        self._write(subject, caller, "Revival", f"revived {_named(subject)}", meta)

    def changed(self, subject: Subject, caller: Caller, field: Field, old: Any, new: Any) -> None:
        """Logs that a field has another value, given as records show it."""
        meta = {**_change(subject, field), "old_value": old, "new_value": new}
        text = f'changed "{field.label}" from "{_shown(old)}" to "{_shown(new)}" on'
        self._write(subject, caller, "Change", f"{text} {_named(subject)}", meta, field.name)

    def relinked(
        self, subject: Subject, caller: Caller, field: Field, old: list[Key], new: list[Key]
    ) -> None:
        """Logs that a list of links has other members."""
        added = [self.link(*key) for key in new if key not in old]
        removed = [self.link(*key) for key in old if key not in new]
        meta = {**_change(subject, field), "added": added, "removed": removed}
        text = f'changed "{field.label}" on {_named(subject)}'
        self._write(subject, caller, "Change", text, meta, field.name)

    def link(self, entity_type: str, entity_id: int) -> dict[str, Any]:
        """Returns a link with the name that its target has now."""
        name = self._rows.name_of(entity_type, entity_id)
        return {"type": entity_type, "id": entity_id, "name": name}

    def _write(
        self,
        subject: Subject,
        caller: Caller,
        action: str,
        text: str,
        meta: dict[str, Any],
        attribute: Optional[str] = None,
    ) -> None:
        now = dates.write_time(dates.utc_now())
        description = f"{caller.name} {text}"
        event = f"Shotgun_{subject.kind.name}_{action}"
        columns: dict[str, Any] = {
            "event_type": event,
            folded("event_type"): event.casefold(),
            "attribute_name": attribute,
            folded("attribute_name"): attribute,
            "description": description,
            folded("description"): description.casefold(),
            "meta": json.dumps(meta, ensure_ascii=False),
            "session_uuid": caller.session_uuid,
            "is_transient": 0,
            "created_at": now,
            "updated_at": now,
            link_type("entity"): subject.kind.name,
            link_id("entity"): subject.id,
            link_type("project"): None if subject.project is None else "Project",
            link_id("project"): subject.project,
        }
        for name in ("user", "created_by", "updated_by"):
            columns[link_type(name)], columns[link_id(name)] = caller.type, caller.id
        self._rows.name(LOG, self._rows.insert(LOG, columns), description)


def _about(subject: Subject) -> dict[str, Any]:
    return {"entity_type": subject.kind.name, "entity_id": subject.id}


def _change(subject: Subject, field: Field) -> dict[str, Any]:
    return {
        "type": "attribute_change",
        "attribute_name": field.name,
        **_about(subject),
        "field_data_type": field.data_type,
    }


def _named(subject: Subject) -> str:
    return f'{subject.kind.label} "{subject.name or subject.id}"'


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("name") or value.get("id") or "")
    return "" if value is None else str(value)[:200]
