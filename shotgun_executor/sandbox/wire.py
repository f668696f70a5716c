"""Checks on decoded JSON, so that the rest of the site deals with known shapes only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from .faults import Fault, ruby_text

if TYPE_CHECKING:
    from typing_extensions import TypeGuard

MAX_INTEGER = 2**63 - 1


def is_hash(value: object) -> TypeGuard[dict[str, Any]]:
    """Says whether a decoded JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Says whether a decoded JSON value is an array."""
    return isinstance(value, list)


def is_integer(value: object) -> TypeGuard[int]:
    """Says whether a value is a whole number that the database can hold (a bool is not one)."""
    return type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER


def get_hash(params: dict[str, Any], name: str, method: str) -> dict[str, Any]:
    """Returns the object under `name`, or raises the site's fault."""
    value = params.get(name)
    if not is_hash(value):
        raise Fault(f"API {method}() invalid/missing hash '{name}': {ruby_text(value)}")
    return value


def get_list(params: dict[str, Any], name: str, method: str) -> list[Any]:
    """Returns the array under `name`, or raises the site's fault."""
    value = params.get(name)
    if not is_list(value):
        raise Fault(f"API {method}() invalid/missing array '{name}': {ruby_text(value)}")
    return value


def get_string(params: dict[str, Any], name: str, method: str) -> str:
    """Returns the string under `name`, or raises the site's fault."""
    value = params.get(name)
    if not isinstance(value, str):
        raise Fault(f"API {method}() invalid/missing string '{name}': {ruby_text(value)}")
    return value


def get_integer(params: dict[str, Any], name: str, method: str) -> int:
    """Returns the whole number under `name` (digits in a string count), or raises a fault."""
    value = params.get(name)
    number = _whole(value)
    if number is None:
        raise Fault(f"API {method}() invalid/missing integer '{name}': {ruby_text(value)}")
    return number


def _whole(value: object) -> Optional[int]:
    """Returns a whole number, given as such or as digits, or None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if is_integer(value) else None


def entity_key(value: object, method: str) -> tuple[str, int]:
    """Returns type and id of an entity hash.

    Raises:
        Fault: The value is no hash, or its ``type`` or ``id`` is missing or of the wrong class;
            the texts are those of a live site.
    """
    if not is_hash(value):
        raise Fault(f"API {method}() invalid/missing entity hash: {ruby_text(value)}")
    entity_type = value.get("type")
    if not isinstance(entity_type, str):
        text = f"API {method}() invalid/missing entity hash string 'type': {ruby_text(value)}"
        raise Fault(text)
    entity_id = _whole(value.get("id"))
    if entity_id is None:
        text = f"API {method}() invalid/missing entity hash integer 'id': {ruby_text(value)}"
        raise Fault(text)
    return entity_type, entity_id
