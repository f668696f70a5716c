"""The methods that read and change the schema: fields are made, changed, deleted and hidden.

What has changed since the site was made is kept in ``site_field``; `Fields.restore` puts it into
the schema of a site that is opened again.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Callable, Optional

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert

from .faults import WRITE, Fault, ruby_text
from .schema import STORED_TYPES, Field
from .store import compile_statement
from .wire import get_list, get_string, is_hash, is_list

if TYPE_CHECKING:
    from .linking import Key
    from .schema import EntityType, Schema
    from .store import Store

CREATABLE = tuple(
    sorted(STORED_TYPES - {"image", "password", "uuid", "addressing", "serializable"})
)
"""The data types that a new field may have; a live site's list was not recorded."""

_CHANGEABLE = (
    "name", "description", "summary_default", "valid_types", "valid_values", "hidden_values",
    "default_value", "visible",
)  # fmt: skip
_TEXTS = frozenset({"name", "description", "summary_default"})
_LISTS = frozenset({"valid_types", "valid_values", "hidden_values"})
_FORGETS_RETIRED = 8
"""The first version whose sites refuse a field with the name of a deleted one; when that began was
not recorded."""


class Fields:
    """Changes the schema of one site.

    Args:
        schema: The schema, which is changed.
        store: Keeps the changes, and makes the columns.
        version: The version of the site.
    """

    def __init__(self, schema: Schema, store: Store, version: tuple[int, ...]) -> None:
        self._schema = schema
        self._store = store
        self._version = version
        table = store.site.fields
        columns = ["entity_type", "name", "spec"]
        names = [f"{column}_" for column in columns]
        new = insert(table).values(dict(zip(columns, map(bindparam, names))))
        put = new.on_conflict_do_update(
            index_elements=columns[:2], set_={"spec": new.excluded.spec}
        )
        self._put = compile_statement(put, names)
        self._all = compile_statement(select(*(table.c[column] for column in columns)), [])
        self._hide = self._compile_hide()
        hidden = store.site.visibility
        wanted = select(hidden.c.entity_type, hidden.c.name, hidden.c.visible)
        mine = hidden.c.project_id == bindparam("project_")
        self._hidden = compile_statement(wanted.where(mine), ["project_"])

    def _compile_hide(self) -> Any:
        columns = ["project_id", "entity_type", "name", "visible"]
        names = [f"{column}_" for column in columns]
        new = insert(self._store.site.visibility).values(dict(zip(columns, map(bindparam, names))))
        changed = {"visible": new.excluded.visible}
        return compile_statement(
            new.on_conflict_do_update(index_elements=columns[:3], set_=changed), names
        )

    def restore(self) -> set[str]:
        """Puts the changes that the database keeps into the schema.

        Returns:
            The entity types that have changed.
        """
        found: set[str] = set()
        for entity_type, name, spec in self._store.run(self._all).fetchall():
            kind = self._schema.every.get(entity_type)
            if kind is not None:
                kind.put(Field(entity_type, name, json.loads(spec)))
                found.add(entity_type)
        return found

    # --- reading ------------------------------------------------------------------------------

    def describe(self, project: Optional[int] = None) -> dict[str, Any]:
        """Returns the result of ``schema_read``, as it is in a project."""
        found = {name: self._schema.describe_fields(name) for name in self._schema.types}
        for kind, name, visible in self._visibility(project):
            if name in found.get(kind, {}):
                found[kind][name]["visible"]["value"] = bool(visible)
        return found

    def describe_type(self, params: dict[str, Any], project: Optional[int]) -> dict[str, Any]:
        """Returns the result of ``schema_field_read``: all fields of a type, or one.

        Raises:
            Fault: There is no such type or field.
        """
        kind = self._schema.entity_type(params.get("type"), "schema_field_read")
        found = self._schema.describe_fields(kind.name)
        for entity_type, name, visible in self._visibility(project):
            if entity_type == kind.name and name in found:
                found[name]["visible"]["value"] = bool(visible)
        if params.get("field_name") is None:
            return found
        name = get_string(params, "field_name", "schema_field_read")
        if name not in found:
            raise Fault(f"API schema_field_read() {kind.name}.{name} doesn't exist.")
        return {name: found[name]}

    def _visibility(self, project: Optional[int]) -> list[tuple[str, str, int]]:
        return [] if project is None else self._store.run(self._hidden, (project,)).fetchall()

    # --- changing -----------------------------------------------------------------------------

    def create(self, params: dict[str, Any]) -> str:
        """Makes a custom field and its column, and returns its internal name.

        Raises:
            Fault: The type is unknown, the data type or a property is not legal, or a deleted
                field has the same name.
        """
        method = "schema_field_create"
        kind = self._schema.entity_type(params.get("type"), method)
        data_type = get_string(params, "data_type", method)
        if data_type not in CREATABLE:
            legal = ", ".join(CREATABLE)
            raise Fault(f"API {method}() invalid data type {ruby_text(data_type)}. Valid: {legal}")
        properties = _properties(params, method)
        label = properties.get("name")
        if not isinstance(label, str) or not label.strip():
            raise Fault(f"API {method}() invalid/missing string 'name': {ruby_text(label)}")
        spec: dict[str, Any] = {"name": label.strip(), "type": data_type}
        if data_type == "checkbox":
            spec["default"] = False
        draft = Field(kind.name, self._new_name(kind, label), spec)
        spec.update(self._checked(draft, properties, method))
        self._keep(kind, Field(kind.name, draft.name, spec))
        return draft.name

    def _new_name(self, kind: EntityType, label: str) -> str:
        words = re.sub(r"[^0-9a-z]+", "_", label.strip().casefold()).strip("_") or "field"
        base = words if words.startswith("sg_") else f"sg_{words}"
        retired = kind.stored.get(base)
        if retired is not None and retired.hidden and self._version[0] >= _FORGETS_RETIRED:
            text = f"a deleted field named {base} exists. Restore it or choose another name."
            raise Fault(f"API schema_field_create() {kind.name}.{base}: {text}", WRITE)
        name, count = base, 0
        while name in kind.stored:
            count += 1
            name = f"{base}_{count}"
        return name

    def update(self, params: dict[str, Any], project: Optional[Key]) -> bool:
        """Changes properties of a field.

        Args:
            params: The parameters of the call.
            project: The project in which the property ``visible`` changes.

        Raises:
            Fault: There is no such field, or a property is unknown or not legal.
        """
        method = "schema_field_update"
        kind, field = self._named(params, method)
        properties = _properties(params, method)
        if "visible" in properties:
            self._set_visible(field, properties.pop("visible"), project)
        if properties:
            spec = {**field.spec, **self._checked(field, properties, method)}
            self._keep(kind, Field(kind.name, field.name, spec))
        return True

    def _set_visible(self, field: Field, value: Any, project: Optional[Key]) -> None:
        where = f"API schema_field_update() {field.path}"
        if project is None:
            raise Fault(f"{where} 'visible' needs a 'project'.")
        if not field.is_custom:
            raise Fault(f"{where} 'visible' is not editable.")
        if not isinstance(value, bool):
            raise Fault(f"{where} 'visible' must be true or false: {ruby_text(value)}")
        self._store.run(self._hide, (project[1], field.entity_type, field.name, int(value)))

    def delete(self, params: dict[str, Any]) -> bool:
        """Deletes a custom field; what it holds is kept, and its name stays taken.

        Raises:
            Fault: There is no such field, or it is not a custom one.
        """
        kind, field = self._named(params, "schema_field_delete")
        if not field.is_custom:
            raise Fault(f"API schema_field_delete() {field.path} is not a custom field.")
        self._keep(kind, Field(kind.name, field.name, {**field.spec, "hidden": True}))
        return True

    def _named(self, params: dict[str, Any], method: str) -> tuple[EntityType, Field]:
        kind = self._schema.entity_type(params.get("type"), method)
        name = get_string(params, "field_name", method)
        field = kind.fields.get(name)
        if field is None:
            raise Fault(f"API {method}() {kind.name}.{name} doesn't exist.")
        return kind, field

    def _keep(self, kind: EntityType, field: Field) -> None:
        """Writes a field into the database, and into the schema."""
        self._store.run(self._put, (kind.name, field.name, json.dumps(field.spec)))
        before = kind.stored.get(field.name)
        kind.put(field)
        try:
            self._store.set_up(self._schema, [kind.name])
        except BaseException:
            if before is None:
                del kind.stored[field.name]
            else:
                kind.put(before)
            raise

    def _checked(self, field: Field, properties: dict[str, Any], method: str) -> dict[str, Any]:
        """Returns properties under the names that a specification has for them."""
        found: dict[str, Any] = {}
        for name, value in properties.items():
            if name not in _CHANGEABLE or not self._is_legal(field, name, value):
                shown = f"{ruby_text(name)}: {ruby_text(value)}"
                raise Fault(f"API {method}() {field.path} invalid property {shown}")
            found["default" if name == "default_value" else name] = value
        return found

    def _is_legal(self, field: Field, name: str, value: Any) -> bool:
        if name in _TEXTS:
            return isinstance(value, str) and (name != "name" or bool(value.strip()))
        if name in _LISTS:
            return is_list(value) and all(self._is_member(field, name, item) for item in value)
        return _is_default(field, value) if name == "default_value" else False

    def _is_member(self, field: Field, name: str, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        if name == "valid_types":
            return (field.is_link or field.is_multi) and value in self._schema.types
        if field.data_type == "status_list":
            return value in self._schema.status_names
        return field.data_type == "list"


_DEFAULTS: dict[str, Callable[[Any], bool]] = {
    "checkbox": lambda value: isinstance(value, bool),
    **dict.fromkeys(("text", "list", "status_list"), lambda value: isinstance(value, str)),
    **dict.fromkeys(
        ("number", "percent", "duration", "timecode"),
        lambda value: type(value) is int and abs(value) < 2**31,
    ),
}


def _is_default(field: Field, value: Any) -> bool:
    if value is None:
        return field.data_type != "checkbox"
    legal = _DEFAULTS.get(field.data_type)
    return legal is not None and legal(value)


def _properties(params: dict[str, Any], method: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in get_list(params, "properties", method):
        if not is_hash(item) or "value" not in item:
            raise Fault(f"API {method}() invalid property: {ruby_text(item)}")
        found[get_string(item, "property_name", method)] = item["value"]
    return found
