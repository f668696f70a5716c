"""A site's schema from what ``schema_read`` and ``schema_entity_read`` of another site returned.

The site then has exactly those types and fields. What the sandbox itself needs beyond them (users
have passwords, entities have a time of creation) it keeps in hidden types and fields.
"""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from .schema import FOLDED_TYPES, SCHEMA_FILE

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Union

_SYSTEM: dict[str, tuple[str, ...]] = {
    "ApiUser": ("firstname", "salted_password", "sg_status_list"),
    "HumanUser": ("login", "name", "firstname", "lastname", "password_proxy", "sg_status_list"),
    "PermissionRuleSet": (),
    "Status": (),
    "Step": (),
    "LocalStorage": ("code", "linux_path", "mac_path", "windows_path"),
    "Attachment": ("display_name", "this_file"),
    "EventLogEntry": (
        "event_type", "attribute_name", "description", "meta", "session_uuid", "is_transient",
        "entity", "user", "project",
    ),
    "Project": ("archived",),
}  # fmt: skip
"""The types that the sandbox itself reads and writes, and the fields that it relies on there."""
_IDENTIFIERS = ("code", "name", "title", "content", "subject", "display_name")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_RELATIONS = ("mirrors", "through", "counts", "only_statuses", "create_only")


class _Plain(pickle.Unpickler):
    """Reads pickles of dicts, lists and scalars, and runs nothing."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a schema")


def read_pickle(path: Union[str, os.PathLike[str]]) -> dict[str, Any]:
    """Returns the dict in one of Mockgun's schema files.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds something else.
    """
    with Path(path).open("rb") as file:
        try:
            # Files of Python 2 hold byte strings.
            value = _Plain(file, encoding="utf-8").load()
        except Exception as error:
            raise ValueError(f"{path} is no pickled schema: {error}") from error
    return _mapping(value, str(path))


def read_file(path: Union[str, os.PathLike[str]]) -> dict[str, Any]:
    """Returns the dict in a file: JSON if its name ends so, otherwise Mockgun's pickle.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds something else.
    """
    if Path(path).suffix != ".json":
        return read_pickle(path)
    try:
        return _mapping(json.loads(Path(path).read_text("utf-8")), str(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no schema in JSON: {error}") from error


def specification(fields: Mapping[str, Any], entities: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the specification of a schema, in the form of ``schema.json``.

    Args:
        fields: What ``schema_read()`` returned.
        entities: What ``schema_entity_read()`` returned; types that are missing there keep their
            internal name as display name.

    Raises:
        ValueError: The data has another shape.
    """
    own: dict[str, Any] = json.loads(SCHEMA_FILE.read_text("utf-8"))
    statuses = dict(own["statuses"])
    types: dict[str, Any] = {}
    for name, given in fields.items():
        _check_name(name)
        types[name] = _type(name, _mapping(given, name), entities, own, statuses)
    for name, spec in types.items():
        _relate(name, spec, own["types"], types)
    for name in _SYSTEM:
        if name not in types:
            types[name] = {**own["types"][name], "hidden": True}
            types[name]["fields"] = {**own["common"], **_loose(own["types"][name]["fields"])}
    return {"statuses": statuses, "common": {}, "types": types}


def _type(
    name: str,
    given: Mapping[str, Any],
    entities: Mapping[str, Any],
    own: Mapping[str, Any],
    statuses: dict[str, str],
) -> dict[str, Any]:
    specs = {field: _field(f"{name}.{field}", given[field], statuses) for field in given}
    known: dict[str, Any] = own["types"].get(name, {})
    hidden: dict[str, Any] = dict(own["common"])
    if name in _SYSTEM:
        hidden.update(_loose(known["fields"]))
    for field, spec in hidden.items():
        if field not in specs:
            specs[field] = {**spec, "hidden": field != "id"}
        elif field in own["common"] or field in _SYSTEM.get(name, ()):
            _check_type(f"{name}.{field}", specs[field]["type"], spec["type"])
    described = _mapping(entities.get(name, {}), name)
    spec = {"name": _value(described, "name", name), "fields": specs}
    spec["identifier"] = _identifier(given, known)
    spec["needs_project"] = bool(known.get("needs_project")) and "project" in given
    return spec


def _identifier(given: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    for name in (known.get("identifier"), *_IDENTIFIERS):
        if name in given:
            return str(name)
    return "id"


def _field(path: str, given: Any, statuses: dict[str, str]) -> dict[str, Any]:
    described = _mapping(given, path)
    _check_name(path.split(".", 1)[1])
    data_type = _value(described, "data_type", None)
    if not isinstance(data_type, str):
        raise ValueError(f"the schema of {path} names no data type")
    properties = _mapping(described.get("properties", {}), path)
    spec: dict[str, Any] = {
        "name": str(_value(described, "name", path)),
        "type": data_type,
        "description": str(_value(described, "description", None) or ""),
        "summary_default": str(_value(properties, "summary_default", None) or "none"),
    }
    for flag in ("editable", "mandatory", "unique"):
        spec[flag] = bool(_value(described, flag, flag == "editable"))
    for name in ("valid_types", "valid_values", "hidden_values"):
        values = _value(properties, name, None) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"the {name} of {path} are no list of strings")
        spec[name] = values
    names = _value(properties, "display_values", None)
    if data_type == "status_list" and isinstance(names, dict):
        statuses.update({str(code): str(label) for code, label in names.items()})
    default = _value(properties, "default_value", None)
    if isinstance(default, (str, bool, int, float)) and data_type not in ("entity", "multi_entity"):
        spec["default"] = default
    return spec


def _relate(
    name: str, spec: dict[str, Any], own: Mapping[str, Any], types: Mapping[str, Any]
) -> None:
    """Lets fields that show the same links from two sides do so, as in the package's own schema."""
    if name not in own:
        return
    for field, known in own[name]["fields"].items():
        mine = spec["fields"].get(field)
        if mine is None or mine["type"] != known["type"]:
            continue
        for word in _RELATIONS:
            if word in known and _is_there(name, known[word], word, own, types):
                mine[word] = known[word]


def _is_there(
    name: str, value: Any, word: str, own: Mapping[str, Any], types: Mapping[str, Any]
) -> bool:
    """Says whether the other side of a relation is there, with the same data types."""
    if word in ("only_statuses", "create_only"):
        return True
    entity_type, *fields = str(value).split(".") if "." in str(value) else (name, str(value))
    if entity_type not in types or entity_type not in own:
        return False
    there, known = types[entity_type]["fields"], own[entity_type]["fields"]
    return all(field in there and there[field]["type"] == known[field]["type"] for field in fields)


def _loose(specs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns specifications of fields without what ties them to other types."""
    return {
        name: {word: value for word, value in spec.items() if word not in _RELATIONS}
        for name, spec in specs.items()
    }


def _value(described: Mapping[str, Any], name: str, default: Any) -> Any:
    """Returns a value as schemas hold it: ``{"value": ..., "editable": ...}``."""
    given = described.get(name)
    return given.get("value", default) if isinstance(given, dict) else default


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{where} holds no schema: a dict by name is expected")
    return cast("dict[str, Any]", value)


def _check_type(path: str, data_type: str, needed: str) -> None:
    """Raises an error if a field that the sandbox relies on is stored in another way."""
    if data_type != needed and not {data_type, needed} <= FOLDED_TYPES:
        text = f"the sandbox needs {path} to be of the data type {needed}, not {data_type}"
        raise ValueError(text)


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no name of an entity type or field")
