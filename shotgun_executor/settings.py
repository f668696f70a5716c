"""The settings of a client, and how a change to them is carried to others.

Users set them as plain attributes of a ``Shotgun`` and its ``config``, and change lists and dicts
in place. So there is nothing to hook: they are compared with what was seen last.
"""

from __future__ import annotations

import types
import urllib.request
from typing import TYPE_CHECKING, Any

from shotgun_executor.plain import copy_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shotgun_api3.shotgun import Shotgun

__all__ = [
    "OWN_ATTRIBUTES",
    "Settings",
    "carry_over",
    "changed",
    "copy_setting",
    "read_settings",
]

# What belongs to one client and is never carried from one to another.
OWN_ATTRIBUTES = frozenset(
    {"config", "_connection", "_server_caps", "_pooled_connection", "_pooled_prototype"}
)


class Settings:
    """The settings of a template as a connection last saw them; copies, but for objects."""

    __slots__ = ("attributes", "config")

    def __init__(self, attributes: dict[str, Any], config: dict[str, Any]) -> None:
        self.attributes = attributes
        self.config = config

    def are_those_of(self, template: Shotgun) -> bool:
        """Whether nothing has changed; asked before each call, so it must cost next to nothing."""
        return vars(template) == self.attributes and vars(template.config) == self.config


def read_settings(client: Shotgun) -> Settings:
    """The settings of *client* as they are now, in copies."""
    return Settings(copy_plain(dict(vars(client))), copy_plain(dict(vars(client.config))))


def carry_over(seen: Settings, template: Shotgun, client: Shotgun) -> Settings:
    """Set on *client* what has changed on *template* since *seen*; returns what is seen now."""
    now = read_settings(template)
    for name in changed(seen.attributes, now.attributes):
        if name not in OWN_ATTRIBUTES:
            _set_or_delete(client, name, now.attributes, template, client)
    for name in changed(seen.config, now.config):
        _set_or_delete(client.config, name, now.config, template, client)
    return now


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """The names whose values differ between two sets of settings."""
    if before == after:  # mostly; and in C
        return
    for name in {**before, **after}:
        old, new = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if old is not new and (old is _ABSENT or new is _ABSENT or old != new):
            yield name


def _set_or_delete(
    owner: Any, name: str, values: Mapping[str, Any], template: Any, client: Any
) -> None:
    if name in values:
        setattr(owner, name, copy_setting(values[name], template, client))
    else:
        vars(owner).pop(name, None)


def copy_setting(value: Any, source: Any, clone: Any) -> Any:
    """*value*, an attribute of *source*, as an attribute of *clone*."""
    if value is source:
        return clone
    if isinstance(value, types.MethodType) and value.__self__ is source:
        return types.MethodType(value.__func__, clone)
    if type(value) is urllib.request.ProxyHandler:
        # urllib ties a handler to each opener that it is added to
        return urllib.request.ProxyHandler(dict(value.proxies))  # type: ignore[attr-defined]  # left out of typeshed
    return copy_plain(value)


_ABSENT: Any = object()
