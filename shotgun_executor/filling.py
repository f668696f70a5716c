"""Futures among the arguments of a call, replaced by what they resolved to."""

from __future__ import annotations

import concurrent.futures
from typing import Any, Optional

from shotgun_executor.plain import rebuilt

__all__ = ["as_id", "as_type", "filled", "link"]

# What shotgun_api3 keeps of an entity that stands for a link (its payload optimization).
_KEYS_OF_A_LINK = (
    "type",
    "id",
    "url",
    "name",
    "content_type",
    "local_path",
    "storage",
    "relative_path",
)


def filled(value: Any) -> Any:
    """*value* with the results of the futures in it, all of which are done.

    An entity that a future resolved to is cut to a link within filters and data. It is its id
    where an ``entity_id`` is asked for, and whole where it is an argument of its own.
    """
    if isinstance(value, concurrent.futures.Future):
        return value.result()
    return _filled_within(value)


def _filled_within(value: Any) -> Any:
    if isinstance(value, concurrent.futures.Future):
        return _links(value.result())
    if isinstance(value, dict):
        done = {key: _filled_within(item) for key, item in value.items()}
        if "entity_id" in done:
            done["entity_id"] = as_id(done["entity_id"], done.get("entity_type"))
        return done
    if isinstance(value, (list, tuple)):
        return rebuilt(value, [_filled_within(item) for item in value])
    return value


def _links(value: Any) -> Any:
    if isinstance(value, list):
        return [link(item) for item in value]
    return link(value)


def link(value: Any) -> Any:
    """An entity as a link to it; anything else as it is."""
    if isinstance(value, dict) and "type" in value and "id" in value:
        return {key: value[key] for key in _KEYS_OF_A_LINK if key in value}
    return value


def as_id(value: Any, kind: Optional[object] = None) -> Any:
    """The id of an entity; anything else as it is.

    Raises:
        ValueError: It is of another type than *kind*, the one that was asked for: another entity,
            which happens to have that id, would be changed.
    """
    if not isinstance(value, dict) or "type" not in value or "id" not in value:
        return value
    if isinstance(kind, str) and value["type"] != kind:
        raise ValueError(
            f"{value['type']} {value['id']} was given as the id of a {kind}; give one of these, or "
            f"{value['type']!r} as the type"
        )
    return value["id"]


def as_type(value: Any) -> Any:
    """The type of an entity; anything else as it is."""
    if isinstance(value, dict) and "type" in value and "id" in value:
        return value["type"]
    return value
