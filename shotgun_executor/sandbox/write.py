"""The methods that change entities: create, update, delete and revive."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from . import dates
from .attachments import Attachments
from .changes import Before, Changes
from .events import LOG, Events
from .faults import WRITE, Fault, ruby_text
from .linking import Linking
from .personal import Personal
from .rows import Rows
from .tables import folded, link_id, link_type
from .values import not_legal, store_form
from .wire import get_integer, get_list, get_string, is_hash

if TYPE_CHECKING:
    from .auth import Caller
    from .query import Query
    from .schema import EntityType, Field, Schema
    from .store import Store

_USERS = frozenset({"HumanUser", "ApiUser"})


class _Change(NamedTuple):
    """What a call wants to write to one entity."""

    columns: dict[str, Any]
    links: list[tuple[Field, list[tuple[str, int]], str]]
    """Lists of links: the field, the targets, and the mode ``set``, ``add`` or ``remove``."""
    personal: list[tuple[Field, Any]]
    """Fields that are written for the caller alone, each with its stored value."""
    fields: list[str]
    """The names of the fields, in the order in which they were given."""


class Writer:
    """Changes the entities of one site. Every method runs inside the caller's transaction.

    Args:
        schema: The fields.
        store: The database.
        query: Reads the records that the methods return.
        event_log: Whether changes are logged.
    """

    def __init__(
        self, schema: Schema, store: Store, query: Query, *, event_log: bool = True
    ) -> None:
        self._schema = schema
        self._query = query
        self._rows = Rows(store)
        self._linking = Linking(schema, store)
        self._attachments = Attachments(store, self._rows)
        self._personal = Personal(store)
        self.events = Events(self._rows, enabled=event_log)
        self._changes = Changes(self._rows, self._linking, self.events)
        self.users_changed = False
        """Set when a HumanUser or ApiUser was written; whoever remembers users resets it."""

    # --- methods ------------------------------------------------------------------------------

    def create(self, params: dict[str, Any], caller: Caller) -> bytes:
        """Makes an entity and returns its record: what was set and what was asked for."""
        kind = self._schema.entity_type(params.get("type"), "create")
        given = _given_fields(params, "create")
        change = self._change(kind, given, caller, "create")
        self._check_project(kind, given)
        entity_id = self._insert(kind, change, caller)
        for field, targets, _ in change.links:
            self._linking.change(field, entity_id, targets, "set", self._stamps("created", caller))
        self._write_personal(change, entity_id, caller)
        if self.events.wants(kind, caller):
            self.events.created(self._changes.subject(kind, entity_id), caller)
        asked = params.get("return_fields") is not None
        wanted = get_list(params, "return_fields", "create") if asked else []
        names = (*change.fields, *(name for name in wanted if isinstance(name, str)))
        return self._record(kind, entity_id, names)

    def update(self, params: dict[str, Any], caller: Caller) -> bytes:
        """Changes an entity and returns its record: type, id and what was set."""
        kind = self._schema.entity_type(params.get("type"), "update")
        entity_id = get_integer(params, "id", "update")
        self._require(kind.name, entity_id)
        _refuse_log(kind, "update")
        change = self._change(kind, _given_fields(params, "update"), caller, "update")
        self._refuse_empty_name(kind, change.columns, "update")
        columns = change.columns
        self._refuse_taken(kind, columns, "update", entity_id)
        before: Optional[Before] = None
        if self.events.wants(kind, caller):
            before = self._changes.before(kind, entity_id, change.fields)
        self._approve(kind, columns, caller)
        if "image" in columns and columns["image"] is None and "filmstrip_image" in kind.fields:
            columns["filmstrip_image"] = None
        columns.update(self._stamps("updated", caller))
        self._rows.update(kind.name, entity_id, columns)
        self._note_user(kind.name)
        for field, targets, mode in change.links:
            stamps = self._stamps("created", caller)
            self._linking.change(field, entity_id, targets, mode, stamps)
        self._write_personal(change, entity_id, caller)
        self._rename(kind, entity_id, columns)
        if before is not None:
            self._changes.log(kind, entity_id, before, caller)
        return self._record(kind, entity_id, tuple(change.fields))

    def delete(self, params: dict[str, Any], caller: Caller) -> bool:
        """Retires an entity; returns False if it was retired already."""
        return self._set_retired(params, caller, "delete", retired=True)

    def revive(self, params: dict[str, Any], caller: Caller) -> bool:
        """Brings a retired entity back; returns False if it was not retired."""
        return self._set_retired(params, caller, "revive", retired=False)

    def _set_retired(
        self, params: dict[str, Any], caller: Caller, method: str, *, retired: bool
    ) -> bool:
        kind = self._schema.entity_type(params.get("type"), method)
        entity_id = get_integer(params, "id", method)
        state = self._rows.is_retired(kind.name, entity_id)
        if state is None:
            raise _no_entity(kind.name, entity_id)
        _refuse_log(kind, method)
        if state == retired:
            return False
        if not retired and kind.uniques:
            names = tuple(n for f in kind.uniques for n in (f.name, folded(f.name)))
            columns = self._rows.columns(kind.name, entity_id, names)
            self._refuse_taken(kind, columns, method, entity_id)
        self._rows.set_retired(kind.name, entity_id, retired=retired)
        self._note_user(kind.name)
        if self.events.wants(kind, caller):
            log = self.events.retired if retired else self.events.revived
            log(self._changes.subject(kind, entity_id), caller)
        return True

    # --- what is wanted -----------------------------------------------------------------------

    def _change(
        self, kind: EntityType, given: list[dict[str, Any]], caller: Caller, method: str
    ) -> _Change:
        change = _Change({}, [], [], [])
        for item in given:
            name, value = item["field_name"], item["value"]
            field = self._writable(kind, name, method)
            change.fields.append(name)
            if name == "cached_display_name":
                continue  # A live site takes the value and drops it.
            if field.is_multi:
                mode = item.get("multi_entity_update_mode") or "set"
                targets = self._linking.targets(field, value, mode, method)
                change.links.append((field, targets, mode))
            elif field.is_per_user:
                stored = store_form(self._schema, field, value, method)
                change.personal.append((field, stored))
            else:
                change.columns.update(self._columns(field, value, caller, method))
        return change

    def _writable(self, kind: EntityType, name: str, method: str) -> Field:
        field = kind.fields.get(name)
        if field is None:
            shown = f"{kind.name}.{ruby_text(name)[1:-1]}"
            text = f"field [{shown}] does not exist or user does not have access permission."
            raise Fault(f"Invalid field name: {text}")
        if field.editable or name == "cached_display_name":
            return field
        if field.create_only and method == "create":
            return field
        if field.create_only:
            raise Fault(f"API {method}() {field.path} is editable on create only.")
        raise Fault(f"API {method}() {field.path} is read only.")

    def _columns(self, field: Field, value: Any, caller: Caller, method: str) -> dict[str, Any]:
        """Returns the columns of one field with the values to store."""
        name = field.name
        if field.is_link:
            key = self._linking.target(field, value, method)
            entity_type, entity_id = (None, None) if key is None else key
            return {link_type(name): entity_type, link_id(name): entity_id}
        if field.data_type == "url":
            return {name: self._attachments.write(field, value, caller, method)}
        stored = store_form(self._schema, field, value, method)
        if field.is_folded:
            return {name: stored, folded(name): stored and stored.casefold()}
        return {name: stored}

    def _check_project(self, kind: EntityType, given: list[dict[str, Any]]) -> None:
        data = {item["field_name"]: item["value"] for item in given}
        if kind.needs_project and data.get("project") is None:
            raise Fault(f"API create() missing 'project' attribute: {ruby_text(data)}")

    def _refuse_empty_name(self, kind: EntityType, columns: dict[str, Any], method: str) -> None:
        name = kind.identifier
        if name in columns and columns[name] is None and kind.fields[name].mandatory:
            text = f"[{kind.name}]: Cannot set identifier field to empty. ({kind.name})"
            raise Fault(f"{method.capitalize()} failed for {text}", WRITE)

    def _refuse_taken(
        self, kind: EntityType, columns: dict[str, Any], method: str, entity_id: int = 0
    ) -> None:
        """Raises a fault if a value that must be unique is that of another live entity."""
        for field in kind.uniques:
            value = columns.get(folded(field.name))
            if value is None:
                continue
            holders = self._rows.holders(kind.name, folded(field.name), value)
            if any(holder != entity_id for holder in holders):
                shown = ruby_text(columns[field.name])
                raise not_legal(field, method, f"{shown} is not unique.")

    # --- rows ---------------------------------------------------------------------------------

    def _insert(self, kind: EntityType, change: _Change, caller: Caller) -> int:
        columns = self._defaults(kind)
        columns.update(self._stamps("created", caller))
        columns.update(self._stamps("updated", caller))
        columns.update(self._authorship(kind, caller))
        columns.update(change.columns)
        self._refuse_empty_name(kind, change.columns, "create")
        self._refuse_taken(kind, columns, "create")
        self._approve(kind, columns, caller)
        if kind.name == "HumanUser" and not columns.get("name"):
            _set_text(columns, "name", _full_name(columns))
        entity_id = self._rows.insert(kind.name, columns)
        identifier = kind.fields[kind.identifier]
        name = entity_id if kind.identifier == "id" else columns.get(kind.identifier)
        if name is None and identifier.mandatory:
            name = f"New {kind.label} {entity_id}"
            self._rows.update(kind.name, entity_id, _set_text({}, kind.identifier, name))
        self._rows.name(kind.name, entity_id, name)
        self._note_user(kind.name)
        return entity_id

    def _defaults(self, kind: EntityType) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for field in kind.defaults:
            if field.is_folded:
                _set_text(columns, field.name, field.default)
            else:
                columns[field.name] = field.default
        for field in kind.uuids:
            columns[field.name] = str(uuid.uuid4())
        return columns

    def _authorship(self, kind: EntityType, caller: Caller) -> dict[str, Any]:
        """Returns the columns of the field ``user``, which is the caller if nobody is given."""
        field = kind.fields.get("user")
        if field is None or not field.is_link or not field.accepts(caller.type):
            return {}
        return {link_type("user"): caller.type, link_id("user"): caller.id}

    def _approve(self, kind: EntityType, columns: dict[str, Any], caller: Caller) -> None:
        """Fills in who approved a version for the client, and when."""
        if "client_approved" in columns and "client_approved_at" in kind.fields:
            by = caller.key if columns["client_approved"] else (None, None)
            columns[link_type("client_approved_by")], columns[link_id("client_approved_by")] = by
            now = dates.write_time(dates.utc_now())
            columns["client_approved_at"] = now if columns["client_approved"] else None

    def _write_personal(self, change: _Change, entity_id: int, caller: Caller) -> None:
        for field, value in change.personal:
            self._personal.write(field, entity_id, caller.key, value)

    def _stamps(self, verb: str, caller: Caller) -> dict[str, Any]:
        return {
            f"{verb}_at": dates.write_time(dates.utc_now()),
            link_type(f"{verb}_by"): caller.type,
            link_id(f"{verb}_by"): caller.id,
        }

    def _rename(self, kind: EntityType, entity_id: int, columns: dict[str, Any]) -> None:
        if kind.name == "HumanUser" and "name" not in columns:
            if not columns.keys() & {"firstname", "lastname"}:
                return
            name = _full_name(self._rows.columns(kind.name, entity_id, ("firstname", "lastname")))
            self._rows.update(kind.name, entity_id, _set_text({}, "name", name))
            self._rows.rename(kind.name, entity_id, name)
        elif kind.identifier in columns:
            self._rows.rename(kind.name, entity_id, columns[kind.identifier])

    def _require(self, entity_type: str, entity_id: int) -> None:
        if self._rows.is_retired(entity_type, entity_id) is not False:
            raise _no_entity(entity_type, entity_id)

    def _record(self, kind: EntityType, entity_id: int, names: tuple[str, ...]) -> bytes:
        return self._query.record(kind.name, entity_id, tuple(dict.fromkeys(names)) or ("id",))

    def _note_user(self, entity_type: str) -> None:
        if entity_type in _USERS:
            self.users_changed = True


def _given_fields(params: dict[str, Any], method: str) -> list[dict[str, Any]]:
    fields = get_list(params, "fields", method)
    for field in fields:
        if not is_hash(field) or "value" not in field:
            raise Fault(f"API {method}() invalid field: {ruby_text(field)}")
        get_string(field, "field_name", method)
    return fields


def _refuse_log(kind: EntityType, method: str) -> None:
    if kind.name == LOG:
        raise Fault(f"API {method}() an {LOG} cannot be updated, deleted or revived.", WRITE)


def _no_entity(entity_type: str, entity_id: int) -> Fault:
    return Fault(f"Entity of type [{entity_type}] with id={entity_id} does not exist.", WRITE)


def _set_text(columns: dict[str, Any], name: str, value: Optional[str]) -> dict[str, Any]:
    columns[name] = value
    columns[folded(name)] = value and value.casefold()
    return columns


def _full_name(columns: dict[str, Any]) -> Optional[str]:
    parts = [columns.get("firstname"), columns.get("lastname")]
    return " ".join(part for part in parts if part) or None
