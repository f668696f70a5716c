"""Dotted paths: ``link.Type.field`` resolved against the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from .schema import Field, Schema


class Path(NamedTuple):
    """A field that is reached from an entity type through zero or more links."""

    steps: tuple[tuple[Field, str], ...]
    """The links to follow, each with the entity type it must lead to."""
    field: Field
    text: str
    """The path as it was asked, behind the type: ``Task.entity.Shot.code``."""

    @property
    def through_list(self) -> bool:
        """Says whether any step is a list of links, so that the path may have many values."""
        return any(link.is_multi for link, _ in self.steps)


def resolve(schema: Schema, entity_type: str, text: str) -> Optional[Path]:
    """Returns the path that `text` names on `entity_type`, or None if there is no such field."""
    names = text.split(".")
    steps: list[tuple[Field, str]] = []
    current = schema.types[entity_type]
    for link_name, target in zip(names[:-1:2], names[1::2]):
        link = current.fields.get(link_name)
        if link is None or not (link.is_link or link.is_multi):
            return None
        if target not in schema.types or not link.accepts(target):
            return None
        steps.append((link, target))
        current = schema.types[target]
    field = current.fields.get(names[-1])
    if field is None or len(names) % 2 == 0:
        return None
    return Path(tuple(steps), field, f"{entity_type}.{text}")
