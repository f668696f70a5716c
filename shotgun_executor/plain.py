"""Copies of plain data: lists, dicts, tuples and sets, down to what they hold."""

from __future__ import annotations

import concurrent.futures
import copy
from typing import Any, Callable, Optional, TypeVar

__all__ = ["copy_plain", "rebuilt"]

T = TypeVar("T")

_Futures = Optional["list[concurrent.futures.Future[Any]]"]

_ATOMS = frozenset({str, int, float, bool, type(None), bytes})


def copy_plain(value: T, futures: _Futures = None) -> T:
    """Copy the containers in *value*, and share what is no container.

    Filters, data and settings travel between threads as such copies: who holds one can change
    it without anyone else seeing it. Files, dates and objects of the user are not copied.

    Args:
        value: What to copy.
        futures: A list that takes the futures that are found.
    """
    return _copy(value, futures)  # type: ignore[no-any-return]  # each branch keeps the type


def _copy(value: Any, futures: _Futures) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return value
    # Looked at here first: most of what a container holds is an atom, and a call costs more.
    if kind is dict:
        return {
            key: item if type(item) in _ATOMS else _copy(item, futures)
            for key, item in value.items()
        }
    if kind is list:
        return [item if type(item) in _ATOMS else _copy(item, futures) for item in value]
    if kind is tuple:
        return tuple([item if type(item) in _ATOMS else _copy(item, futures) for item in value])
    if kind is set:
        return set(value)
    if isinstance(value, (dict, list)):
        return _copy_subclass(value, futures)
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return rebuilt(value, [_copy(item, futures) for item in value])
    if futures is not None and isinstance(value, concurrent.futures.Future):
        futures.append(value)
    return value


def rebuilt(value: Any, items: list[Any]) -> Any:
    """A list or tuple like *value* that holds these *items*; a named tuple stays one."""
    make: Callable[[list[Any]], Any] = getattr(value, "_make", type(value))
    return make(items)


def _copy_subclass(value: Any, futures: _Futures) -> Any:
    """An ``OrderedDict`` stays one: copy it by its own means, then what it holds."""
    twin = copy.copy(value)
    places = list(twin) if isinstance(twin, dict) else range(len(twin))
    for place in places:
        twin[place] = _copy(twin[place], futures)
    return twin
