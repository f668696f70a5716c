"""Copies of plain data: lists, dicts, tuples and sets, down to what they hold."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

__all__ = ["copy_plain"]

T = TypeVar("T")


def copy_plain(value: T) -> T:
    """Copy the containers in *value*, and share what is no container.

    Filters, data and settings travel between threads as such copies: who holds one can change
    it without anyone else seeing it. Files, dates and objects of the user are not copied.
    """
    return _copy(value)  # type: ignore[no-any-return]  # each branch keeps the type


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _copy(item) for key, item in value.items()}
    if kind is list:
        return [_copy(item) for item in value]
    if kind is tuple:
        return tuple([_copy(item) for item in value])
    if kind is set:
        return set(value)
    if isinstance(value, (dict, list)):
        return _copy_subclass(value)
    return value


def _copy_subclass(value: Any) -> Any:
    """An ``OrderedDict`` stays one: copy it by its own means, then what it holds."""
    twin = copy.copy(value)
    places = list(twin) if isinstance(twin, dict) else range(len(twin))
    for place in places:
        twin[place] = _copy(twin[place])
    return twin
