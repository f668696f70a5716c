"""What the arguments of ``Shotgun``'s methods must look like, and how it is said if they do not.

Only what no site takes is refused: the official client sends it as it is, or stumbles over it on a
worker, where the error names neither the argument nor the line that gave it.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping, Sequence
from typing import Callable

__all__ = ["SHAPES", "check_shape"]

_ENTITY = {"type", "id"}


def check_shape(owner: str, parameter: str, value: object) -> None:
    """Refuse *value* for a parameter of that name if no site takes it; futures are not known yet.

    Raises:
        TypeError: It has the wrong type.
    """
    check = SHAPES.get(parameter)
    if check is None or isinstance(value, concurrent.futures.Future):
        return
    wanted = check(value)
    if wanted:
        raise TypeError(f"{owner}: {parameter} must be {wanted}, not {_shown(value)}")


def _shown(value: object) -> str:
    """The value, if it is short and no data; else its type."""
    if value is None or isinstance(value, (bool, int)):
        return repr(value)
    if isinstance(value, str) and len(value) <= 40:
        return repr(value)
    if isinstance(value, (list, tuple)) and value:
        kinds = sorted({type(each).__name__ for each in value})
        return f"a {type(value).__name__} of {' and '.join(kinds)}"
    return f"a {type(value).__name__}"


def _entity_type(value: object) -> str:
    if isinstance(value, str) or _is_entity(value):
        return ""
    return "a text such as 'Shot'"


def _entity_id(value: object) -> str:
    if value is None or isinstance(value, (list, tuple, set)):
        return "an id or an entity"
    if isinstance(value, dict) and not _is_entity(value):
        return "an id or an entity, which has type and id"
    return ""


def _filters(value: object) -> str:
    if isinstance(value, dict):
        # The form in which the site gets them; the official client sends it as it is.
        if "logical_operator" in value:
            return ""
        return "a list of conditions such as [['id', 'is', 1]] (a group too stands in a list)"
    if not isinstance(value, (list, tuple)):
        return "a list of conditions such as [['id', 'is', 1]]; [] is all"
    if all(_may_be(condition, list, tuple, dict) for condition in value):
        return ""
    return "a list of conditions, each a list of its own: [['id', 'is', 1]]"


def _names(value: object) -> str:
    if not value or isinstance(value, (list, tuple)):
        return ""
    return "a list of names such as ['code']"


def _order(value: object) -> str:
    if not value:
        return ""
    listed = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else None
    if listed is not None and all(_may_be(each, Mapping) for each in listed):
        return ""
    return "a list such as [{'field_name': 'created_at', 'direction': 'desc'}]"


def _data(value: object) -> str:
    return "" if hasattr(value, "items") else "a dict such as {'code': 'sh010'}"


def _requests(value: object) -> str:
    if not isinstance(value, (list, tuple)):
        return ""  # the official client says so itself
    if all(_may_be(each, Mapping) for each in value):
        return ""
    return "a list of dicts such as {'request_type': 'update', ...}"


def _is_entity(value: object) -> bool:
    return isinstance(value, dict) and value.keys() >= _ENTITY


def _may_be(value: object, *kinds: type) -> bool:
    return isinstance(value, (*kinds, concurrent.futures.Future))


# What is wrong with a value of a parameter of that name: what it must be, or nothing.
SHAPES: dict[str, Callable[[object], str]] = {
    "data": _data,
    "entity_id": _entity_id,
    "entity_type": _entity_type,
    "fields": _names,
    "filters": _filters,
    "order": _order,
    "requests": _requests,
    "return_fields": _names,
}
