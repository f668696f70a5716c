"""The entity types and fields of a site, and their wire form.

A site has the types of ``schema.json`` unless it is given others, see `schema_import`. Types and
fields may be *hidden*: the sandbox stores something in them, and no caller sees them. Those are
the ones that it needs itself and an imported schema lacks, and custom fields that were deleted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from .faults import Fault

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import Union

SCHEMA_FILE = Path(__file__).with_name("schema.json")

MULTI_TYPES = frozenset({"multi_entity", "addressing"})
FOLDED_TYPES = frozenset({"text", "list", "status_list", "footage"})
"""Data types whose values compare without regard to case."""
COMPUTED_TYPES = frozenset({"calculated", "summary", "pivot_column"})
"""Data types that store nothing."""
STORED_TYPES = (
    MULTI_TYPES
    | FOLDED_TYPES
    | frozenset(
        {"number", "percent", "duration", "timecode", "float", "currency", "checkbox", "date",
         "date_time", "entity", "entity_type", "uuid", "color", "tag_list", "url", "image",
         "password", "serializable", "jsonb"}
    )
)  # fmt: skip
"""Data types that the site can store; a field of any other type reads as null."""
PER_USER_SUFFIX = "_by_current_user"


class Field:
    """One field of an entity type: what its specification says, with defaults filled in.

    Args:
        entity_type: The type that has the field.
        name: Its internal name.
        spec: What ``schema.json`` says about such a field.
    """

    def __init__(self, entity_type: str, name: str, spec: Mapping[str, Any]) -> None:
        self.entity_type = entity_type
        self.name = name
        self.spec = dict(spec)
        self.label: str = spec["name"]
        self.description: str = spec.get("description", "")
        self.data_type: str = spec["type"]
        self.valid_types: tuple[str, ...] = tuple(spec.get("valid_types", ()))
        self.valid_values: tuple[str, ...] = tuple(spec.get("valid_values", ()))
        self.hidden_values: tuple[str, ...] = tuple(spec.get("hidden_values", ()))
        self.summary_default: str = spec.get("summary_default", "none")
        self.default: Any = spec.get("default")
        self.is_known = self.data_type in STORED_TYPES or self.data_type in COMPUTED_TYPES
        self.editable: bool = spec.get("editable", True) and self.is_known
        self.create_only: bool = spec.get("create_only", False)
        self.mandatory: bool = spec.get("mandatory", False)
        self.unique: bool = spec.get("unique", False)
        self.hidden: bool = spec.get("hidden", False)
        self.counts: Optional[str] = spec.get("counts")
        self.only_statuses: tuple[str, ...] = tuple(spec.get("only_statuses", ()))
        self.mirrors = _pair(spec.get("mirrors"))
        self.through = _through(spec.get("through"))
        self.is_multi = self.data_type in MULTI_TYPES
        self.is_link = self.data_type == "entity"
        self.is_folded = self.data_type in FOLDED_TYPES and not name.endswith(PER_USER_SUFFIX)
        self.is_per_user = name.endswith(PER_USER_SUFFIX)
        self.is_custom = name.startswith("sg_")
        self.path = f"{entity_type}.{name}"

    def __repr__(self) -> str:
        return f"<Field {self.path} {self.data_type}>"

    def accepts(self, entity_type: str) -> bool:
        """Says whether a link to this entity type is legal; a field without a list takes all."""
        return not self.valid_types or entity_type in self.valid_types


def _pair(text: Optional[str]) -> Optional[tuple[str, str]]:
    if text is None:
        return None
    entity_type, name = text.split(".")
    return entity_type, name


def _through(text: Optional[str]) -> Optional[tuple[str, str, str]]:
    if text is None:
        return None
    entity_type, owner, target = text.split(".")
    return entity_type, owner, target


class EntityType:
    """One entity type: its fields by name and the field that names its entities.

    Args:
        name: Its name.
        spec: What ``schema.json`` says about such a type.
        common: The specifications of the fields that every type has.
    """

    def __init__(self, name: str, spec: Mapping[str, Any], common: Mapping[str, Any]) -> None:
        self.name = name
        self.label: str = spec["name"]
        self.identifier: str = spec["identifier"]
        self.needs_project: bool = spec.get("needs_project", False)
        self.hidden: bool = spec.get("hidden", False)
        self.stored: dict[str, Field] = {}
        """All fields, the hidden ones too."""
        specs = {**common, **spec["fields"]}
        for field in specs:
            self.stored[field] = Field(name, field, specs[field])
        self._sort_fields()

    def __repr__(self) -> str:
        return f"<EntityType {self.name}>"

    def put(self, field: Field) -> None:
        """Adds a field, or puts a changed one in the place of the old."""
        self.stored[field.name] = field
        self._sort_fields()

    def _sort_fields(self) -> None:
        self.fields = {name: field for name, field in self.stored.items() if not field.hidden}
        given = [field for field in self.fields.values() if not field.is_per_user]
        self.defaults = [field for field in given if field.default is not None]
        self.uuids = [f for f in given if f.data_type == "uuid" and not f.editable]
        self.uniques = [field for field in given if field.unique and field.is_folded]


class Schema:
    """All entity types of a site.

    Args:
        data: A decoded specification in the form of ``schema.json``.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = dict(data)
        self.status_names: dict[str, str] = data["statuses"]
        types: dict[str, Any] = data["types"]
        self.every = {name: EntityType(name, types[name], data["common"]) for name in types}
        """All entity types, the hidden ones too."""
        self.types = {name: kind for name, kind in self.every.items() if not kind.hidden}

    @classmethod
    def load(cls, path: Path = SCHEMA_FILE) -> Schema:
        """Reads the schema that ships with the package."""
        return cls(json.loads(path.read_text("utf-8")))

    @classmethod
    def from_site(
        cls, fields: Mapping[str, Any], entities: Optional[Mapping[str, Any]] = None
    ) -> Schema:
        """Makes a schema with the types and fields of a live site.

        Args:
            fields: What the official client's ``schema_read()`` returned.
            entities: What its ``schema_entity_read()`` returned, for the display names.

        Raises:
            ValueError: The data has another shape.
        """
        from .schema_import import specification

        return cls(specification(fields, entities or {}))

    @classmethod
    def from_mockgun(
        cls, schema: Union[str, os.PathLike[str]], entities: Union[str, os.PathLike[str]]
    ) -> Schema:
        """Makes a schema from the two files that Mockgun's ``generate_schema`` writes.

        Args:
            schema: The path of the pickled ``schema_read()``.
            entities: The path of the pickled ``schema_entity_read()``.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file holds something else. Nothing in it is executed.
        """
        from .schema_import import read_pickle

        return cls.from_site(read_pickle(schema), read_pickle(entities))

    @classmethod
    def from_files(cls, paths: Sequence[Union[str, os.PathLike[str]]]) -> Schema:
        """Makes a schema from one or two files, JSON or pickled.

        Args:
            paths: The path of what ``schema_read()`` returned, and, if wanted, of what
                ``schema_entity_read()`` returned. A name that ends in ``.json`` is read as JSON,
                any other as Mockgun's pickle.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file holds something else, or there are not one or two of them.
        """
        from .schema_import import read_file

        if not 1 <= len(paths) <= 2:
            raise ValueError("a schema is read from one or two files: fields and entity types")
        return cls.from_site(*map(read_file, paths))

    def entity_type(self, name: object, method: str) -> EntityType:
        """Returns an entity type by name, or raises the site's fault."""
        found = self.types.get(name) if isinstance(name, str) else None
        if found is None:
            shown = name if isinstance(name, str) else type(name).__name__
            raise Fault(f"API {method}() entity type '{shown}' doesn't exist.")
        return found

    def field(self, entity_type: str, name: str) -> Field:
        """Returns a field that is known to exist."""
        return self.every[entity_type].stored[name]

    def has(self, entity_type: str, name: str) -> bool:
        """Says whether callers see a field of this name on a type of this name."""
        return entity_type in self.types and name in self.types[entity_type].fields

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
        return {
            "name": _open(field.label),
            "description": _open(field.description),
            "data_type": _fixed(field.data_type),
            "entity_type": _fixed(field.entity_type),
            "editable": _fixed(field.editable),
            "mandatory": _fixed(field.mandatory),
            "unique": _fixed(field.unique),
            "visible": _open(True) if field.is_custom else _fixed(True),
            "properties": self._properties(field),
        }

    def _properties(self, field: Field) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "default_value": _fixed(field.default),
            "summary_default": _open(field.summary_default),
        }
        if field.is_link or field.is_multi:
            properties["valid_types"] = _open(list(field.valid_types))
        if field.data_type in ("list", "status_list"):
            properties["valid_values"] = _open(list(field.valid_values))
        if field.data_type == "status_list":
            names = {code: self.status_names.get(code, code) for code in field.valid_values}
            properties["display_values"] = _fixed(names)
            properties["hidden_values"] = _open(list(field.hidden_values))
        return properties


def _fixed(value: Any) -> dict[str, Any]:
    return {"value": value, "editable": False}


def _open(value: Any) -> dict[str, Any]:
    return {"value": value, "editable": True}
