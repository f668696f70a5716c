"""The entity types and fields of the site, read from ``schema.json``, and their wire form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

from .faults import Fault

SCHEMA_FILE = Path(__file__).with_name("schema.json")

MULTI_TYPES = frozenset({"multi_entity", "addressing"})
FOLDED_TYPES = frozenset({"text", "list", "status_list", "footage"})
"""Data types whose values compare without regard to case."""
COMPUTED_TYPES = frozenset({"calculated", "summary", "pivot_column"})
"""Data types that store nothing."""


class Field:
    """One field of an entity type: what ``schema.json`` says about it, with defaults filled in."""

    def __init__(self, entity_type: str, name: str, spec: dict[str, Any]) -> None:
        self.entity_type = entity_type
        self.name = name
        self.label: str = spec["name"]
        self.data_type: str = spec["type"]
        self.valid_types: tuple[str, ...] = tuple(spec.get("valid_types", ()))
        self.valid_values: tuple[str, ...] = tuple(spec.get("valid_values", ()))
        self.default: Any = spec.get("default")
        self.editable: bool = spec.get("editable", True)
        self.create_only: bool = spec.get("create_only", False)
        self.mandatory: bool = spec.get("mandatory", False)
        self.unique: bool = spec.get("unique", False)
        self.counts: Optional[str] = spec.get("counts")
        self.only_statuses: tuple[str, ...] = tuple(spec.get("only_statuses", ()))
        mirrored = spec.get("mirrors")
        self.mirrors: Optional[tuple[str, str]] = tuple(mirrored.split(".")) if mirrored else None
        self.is_multi = self.data_type in MULTI_TYPES
        self.is_link = self.data_type == "entity"
        self.is_folded = self.data_type in FOLDED_TYPES
        self.path = f"{entity_type}.{name}"

    def __repr__(self) -> str:
        return f"<Field {self.path} {self.data_type}>"

    def accepts(self, entity_type: str) -> bool:
        """Says whether a link to this entity type is legal; a field without a list takes all."""
        return not self.valid_types or entity_type in self.valid_types


class EntityType:
    """One entity type: its fields by name and the field that names its entities."""

    def __init__(self, name: str, spec: dict[str, Any], common: dict[str, Any]) -> None:
        self.name = name
        self.label: str = spec["name"]
        self.identifier: str = spec["identifier"]
        self.needs_project: bool = spec.get("needs_project", False)
        specs = {**common, **spec["fields"]}
        self.fields = {field: Field(name, field, specs[field]) for field in specs}
        self.defaults = [f for f in self.fields.values() if f.default is not None]
        self.uuids = [f for f in self.fields.values() if f.data_type == "uuid" and not f.editable]

    def __repr__(self) -> str:
        return f"<EntityType {self.name}>"


class Schema:
    """All entity types of a site.

    Args:
        data: The decoded ``schema.json``.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.status_names: dict[str, str] = data["statuses"]
        types: dict[str, Any] = data["types"]
        self.types = {name: EntityType(name, types[name], data["common"]) for name in types}

    @classmethod
    def load(cls, path: Path = SCHEMA_FILE) -> Schema:
        """Reads the schema that ships with the package."""
        return cls(json.loads(path.read_text("utf-8")))

    def entity_type(self, name: object, method: str) -> EntityType:
        """Returns an entity type by name, or raises the site's fault."""
        found = self.types.get(name) if isinstance(name, str) else None
        if found is None:
            shown = name if isinstance(name, str) else type(name).__name__
            raise Fault(f"API {method}() entity type '{shown}' doesn't exist.")
        return found

    def field(self, entity_type: str, name: str) -> Field:
        """Returns a field that is known to exist."""
        return self.types[entity_type].fields[name]

    def mirrored_by(self, field: Field) -> list[Field]:
        """Returns the fields that show the links of `field` from their other side."""
        key = (field.entity_type, field.name)
        every = (other for kind in self.types.values() for other in kind.fields.values())
        return [other for other in every if other.mirrors == key]

    def describe_types(self) -> dict[str, Any]:
        """Returns the result of ``schema_entity_read``."""
        return {
            name: {"name": _fixed(kind.label), "visible": _fixed(True)}
            for name, kind in self.types.items()
        }

    def describe_fields(self, entity_type: str) -> dict[str, Any]:
        """Returns the result of ``schema_field_read`` for all fields of a type."""
        kind = self.types[entity_type]
        return {name: self.describe_field(field) for name, field in kind.fields.items()}

    def describe_field(self, field: Field) -> dict[str, Any]:
        """Returns one field in the shape that the official client's docs show."""
        custom = field.name.startswith("sg_")
        return {
            "name": _open(field.label),
            "description": _open(""),
            "data_type": _fixed(field.data_type),
            "entity_type": _fixed(field.entity_type),
            "editable": _fixed(field.editable),
            "mandatory": _fixed(field.mandatory),
            "unique": _fixed(field.unique),
            "visible": _open(True) if custom else _fixed(True),
            "properties": self._properties(field),
        }

    def _properties(self, field: Field) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "default_value": _fixed(field.default),
            "summary_default": _open("none"),
        }
        if field.is_link or field.is_multi:
            properties["valid_types"] = _open(list(field.valid_types))
        if field.data_type in ("list", "status_list"):
            properties["valid_values"] = _open(list(field.valid_values))
        if field.data_type == "status_list":
            names = {code: self.status_names[code] for code in field.valid_values}
            properties["display_values"] = _fixed(names)
            properties["hidden_values"] = _fixed([])
        return properties


def _fixed(value: Any) -> dict[str, Any]:
    return {"value": value, "editable": False}


def _open(value: Any) -> dict[str, Any]:
    return {"value": value, "editable": True}
