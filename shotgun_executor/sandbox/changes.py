"""What an update has changed: the values before and after, for the event log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from .events import Subject
from .schema import COMPUTED_TYPES
from .tables import has_column, link_id, link_type

if TYPE_CHECKING:
    from .auth import Caller
    from .events import Events
    from .linking import Key, Linking
    from .rows import Rows
    from .schema import EntityType, Field

_JSON = frozenset({"url", "serializable", "jsonb", "tag_list"})
_HIDDEN = "*******"


class Before(NamedTuple):
    """The state of an entity before a change of some of its fields."""

    fields: list[Field]
    values: dict[str, Any]
    """Columns with the values stored in them."""
    links: dict[str, list[Key]]


class Changes:
    """Compares entities of one site before and after an update.

    Args:
        rows: Reads columns.
        linking: Reads lists of links.
        events: Gets what has changed.
    """

    def __init__(self, rows: Rows, linking: Linking, events: Events) -> None:
        self._rows = rows
        self._linking = linking
        self._events = events

    def subject(self, kind: EntityType, entity_id: int) -> Subject:
        """Returns what an event about an entity says of it."""
        return Subject(
            kind,
            entity_id,
            self._rows.name_of(kind.name, entity_id),
            self._project(kind, entity_id),
        )

    def _project(self, kind: EntityType, entity_id: int) -> Optional[int]:
        if kind.name == "Project":
            return entity_id
        field = kind.fields.get("project")
        if field is None or not field.is_link:
            return None
        name = link_id("project")
        found: Optional[int] = self._rows.columns(kind.name, entity_id, (name,)).get(name)
        return found

    def before(self, kind: EntityType, entity_id: int, names: list[str]) -> Before:
        """Returns the state of the fields that are about to change."""
        fields = [kind.fields[name] for name in dict.fromkeys(names)]
        return self._state(kind, entity_id, [field for field in fields if _is_logged(field)])

    def _state(self, kind: EntityType, entity_id: int, fields: list[Field]) -> Before:
        columns: list[str] = []
        for field in fields:
            if field.is_link:
                columns += [link_type(field.name), link_id(field.name)]
            elif not field.is_multi:
                columns.append(field.name)
        names = tuple(columns)
        values = self._rows.columns(kind.name, entity_id, names) if names else {}
        members = self._linking.members
        links = {field.name: members(field, entity_id) for field in fields if field.is_multi}
        return Before(fields, values, links)

    def log(self, kind: EntityType, entity_id: int, before: Before, caller: Caller) -> None:
        """Logs each field that has another value now."""
        after = self._state(kind, entity_id, before.fields)
        subject = self.subject(kind, entity_id)
        for field in before.fields:
            if field.is_multi:
                old, new = before.links[field.name], after.links[field.name]
                if old != new:
                    self._events.relinked(subject, caller, field, old, new)
            elif _stored(field, before.values) != _stored(field, after.values):
                shown = self._shown(field, before.values), self._shown(field, after.values)
                self._events.changed(subject, caller, field, *shown)

    def _shown(self, field: Field, values: dict[str, Any]) -> Any:
        """Returns a stored value as records show it."""
        if field.is_link:
            entity_id = values[link_id(field.name)]
            kind = values[link_type(field.name)]
            return None if entity_id is None else self._events.link(kind, entity_id)
        value = values[field.name]
        if field.data_type == "password":
            return _HIDDEN
        if field.data_type == "checkbox":
            return bool(value)
        return json.loads(value) if field.data_type in _JSON and value is not None else value


def _stored(field: Field, values: dict[str, Any]) -> tuple[Any, ...]:
    if field.is_link:
        return values[link_type(field.name)], values[link_id(field.name)]
    return (values[field.name],)


def _is_logged(field: Field) -> bool:
    return field.is_multi or (has_column(field) and field.data_type not in COMPUTED_TYPES)
