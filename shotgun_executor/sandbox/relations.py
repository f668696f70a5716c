"""Where links are kept, and how one relation is read from either of its sides.

Every field that holds a list of links answers the same question, "which targets belong to which
owner", whether it owns a link table (``Shot.assets``), shows such a table from the other side
(``Asset.shots``), shows a single-entity link from the other side (``Shot.tasks``), or shows
entities that each stand for one link (``PublishedFile.upstream_published_files``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, exists, literal_column, select, true

from .tables import link_id, link_type

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.sql.elements import ColumnElement
    from sqlalchemy.sql.expression import FromClause

    from .schema import Field, Schema
    from .tables import Tables


def constant(value: str) -> ColumnElement[Any]:
    """Returns a string from the schema as part of the statement's text, not as a parameter."""
    quoted = value.replace("'", "''")
    return literal_column(f"'{quoted}'")


def number(value: int) -> ColumnElement[Any]:
    """Returns a whole number as part of the statement's text, not as a parameter."""
    return literal_column(str(int(value)))


def any_row(rows: Select[Any]) -> ColumnElement[bool]:
    """Returns the condition that a subquery finds something.

    It is compared with 1 because SQLite 3.51 turns a bare EXISTS into a join, and of two nested
    ones into a join that repeats rows.
    """
    return exists(rows) == number(1)


class Pairs(NamedTuple):
    """One relation as rows of an owner's id and a target's type and id."""

    source: FromClause
    owner: ColumnElement[int]
    target_type: ColumnElement[str]
    target_id: ColumnElement[int]
    condition: ColumnElement[bool]
    """Which rows of `source` belong to the relation."""


def pairs(tables: Tables, schema: Schema, field: Field) -> Pairs:
    """Returns the links of a list field, with a fresh alias of the table they are kept in."""
    if field.through is not None:
        return _through(tables, field, field.through)
    if field.mirrors is None:
        source = tables.links[field.path].alias()
        c = source.c
        return Pairs(source, c.owner, c.target_type, c.target_id, true())
    mirrored = schema.field(*field.mirrors)
    if mirrored.is_link:
        return _mirrored_single(tables, field, mirrored)
    source = tables.links[mirrored.path].alias()
    mine = source.c.target_type == constant(field.entity_type)
    found = Pairs(source, source.c.target_id, constant(mirrored.entity_type), source.c.owner, mine)
    return _only_statuses(tables, field, found)


def _mirrored_single(tables: Tables, field: Field, mirrored: Field) -> Pairs:
    source = tables.entities[mirrored.entity_type].alias()
    owner = source.c[link_id(mirrored.name)]
    mine = source.c[link_type(mirrored.name)] == constant(field.entity_type)
    return Pairs(source, owner, constant(mirrored.entity_type), source.c.id, mine)


def _through(tables: Tables, field: Field, through: tuple[str, str, str]) -> Pairs:
    entity_type, owner, target = through
    source = tables.entities[entity_type].alias()
    c = source.c
    mine = and_(c[link_type(owner)] == constant(field.entity_type), c["_retired"] == number(0))
    return Pairs(source, c[link_id(owner)], c[link_type(target)], c[link_id(target)], mine)


def _only_statuses(tables: Tables, field: Field, found: Pairs) -> Pairs:
    if not field.only_statuses:
        return found
    target = tables.entities[field.valid_types[0]].alias()
    legal = target.c.sg_status_list.in_([constant(status) for status in field.only_statuses])
    one = any_row(select(number(1)).where(target.c.id == found.target_id, legal))
    return found._replace(condition=and_(found.condition, one))
