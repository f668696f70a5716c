"""The tables of a site, made from its schema with SQLAlchemy Core.

* One table per entity type. A text field is two columns, the value and its case-folded form, which
  is what filters and sorts compare; a single-entity link is two columns, type and id; fields that
  show another field's links from the other side have no column.
* One table per multi_entity field that owns its links: ``owner``, ``target_type``, ``target_id``.
* ``display_name``: name and state of every entity of the site. Links read the name here, so a
  rename or a retirement shows in every link at once and costs one row.
* Through fields (``PublishedFile.upstream_published_files``) have none either: they show the
  rows of an entity type that stands for the link.

``implicit_returning`` is off: an INSERT with RETURNING could not run many times at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from sqlalchemy import Column, Float, Index, Integer, MetaData, Table, Text, text

from .schema import COMPUTED_TYPES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .schema import EntityType, Field, Schema

INTEGER_TYPES = frozenset({"number", "percent", "duration", "timecode", "checkbox"})
FLOAT_TYPES = frozenset({"float", "currency"})
COMMON_LINKS = frozenset({"project", "created_by", "updated_by", "user", "step"})
"""Single-entity links that many entities share a target of."""

_MANY_ROWS = 1_000_000


def folded(name: str) -> str:
    """Returns the name of the column with the case-folded form of a text field."""
    return f"{name}__folded"


def link_type(name: str) -> str:
    """Returns the name of the column with the type of a single-entity link."""
    return f"{name}__type"


def link_id(name: str) -> str:
    """Returns the name of the column with the id of a single-entity link."""
    return f"{name}__id"


def has_column(field: Field) -> bool:
    """Says whether a field is stored in the table of its entity type."""
    return not (
        field.is_multi
        or field.is_per_user
        or not field.is_known
        or field.data_type in COMPUTED_TYPES
        or field.name == "cached_display_name"
    )


class Tables:
    """All tables of a site.

    Args:
        schema: The entity types and fields to make tables for.
        before: The tables of the same site before its schema was changed.
        changed: The entity types that were changed; the tables of all others are taken over.
    """

    names: Table
    """Name and state of every entity of the site."""
    entities: dict[str, Table]
    """A table for each entity type."""
    links: dict[str, Table]
    """A table for each list of links that is kept in one, by the path of its field."""

    def __init__(
        self, schema: Schema, before: Optional[Tables] = None, changed: Collection[str] = ()
    ) -> None:
        self._metadata = MetaData()
        self.made: list[Table] = []
        """The tables that were not taken over."""
        self._indexed: dict[str, list[str]] = {}
        same: Collection[str] = ()
        if before is not None:
            same = schema.every.keys() - set(changed)
            self._indexed.update(before._indexed)
        self.names = before.names if before is not None else self._name_table()
        self.entities = {
            name: before.entities[name] if before and name in same else self._entity_table(kind)
            for name, kind in schema.every.items()
        }
        owners = (f for kind in schema.every.values() for f in kind.stored.values())
        self.links = {
            field.path: before.links[field.path]
            if before and field.entity_type in same
            else self._link_table(field)
            for field in owners
            if field.is_multi and not field.mirrors and not field.through
        }

    @property
    def every(self) -> Iterator[Table]:
        """All tables."""
        yield self.names
        yield from self.entities.values()
        yield from self.links.values()

    def _name_table(self) -> Table:
        return self._table(
            "display_name",
            Column("type", Text, primary_key=True),
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("name", Text),
            Column("folded", Text),
            Column("retired", Integer, nullable=False, server_default="0"),
            rowid=False,
        )

    def _table(self, name: str, *columns: Column[object], rowid: bool = True) -> Table:
        options: dict[str, Any] = {"implicit_returning": False, "sqlite_with_rowid": rowid}
        table = Table(name, self._metadata, *columns, **options)
        self.made.append(table)
        return table

    def statistics(self) -> Iterator[tuple[str, str, str]]:
        """Yields table, index and figures for SQLite's ``sqlite_stat1``.

        The figures are those of a large site, so that a small one gets the same plans: without
        any, SQLite takes the index on the project for as good as that on the sequence.
        """
        yield self.names.name, self.names.name, f"{_MANY_ROWS} {_MANY_ROWS // 20} 1"
        for table in self.entities.values():
            yield table.name, f"{table.name}_retired", f"{_MANY_ROWS // 100} 1"
        for name, fields in self._indexed.items():
            for field in fields:
                rows = _MANY_ROWS // 20 if field in COMMON_LINKS else 10
                yield name, f"{name}_{field}", f"{_MANY_ROWS} {rows}"
        for table in self.links.values():
            yield table.name, table.name, f"{_MANY_ROWS} 5 4 1"
            yield table.name, f"{table.name}_target", f"{_MANY_ROWS} 5 4 1"

    def _entity_table(self, kind: EntityType) -> Table:
        columns: list[Column[object]] = []
        for field in kind.stored.values():
            if has_column(field):
                columns.extend(_columns(field))
        columns.append(Column("_retired", Integer, nullable=False, server_default="0"))
        table = self._table(f"entity_{kind.name}", *columns)
        indexed = self._indexed[table.name] = []
        Index(f"{table.name}_retired", table.c.id, sqlite_where=text("_retired = 1"))
        for field in kind.stored.values():
            if field.is_link:
                column = table.c[link_id(field.name)]
                where = text(f"{column.name} IS NOT NULL")
                indexed.append(field.name)
                Index(f"{table.name}_{field.name}", column, sqlite_where=where)
            elif field.unique and field.is_folded:
                indexed.append(field.name)
                Index(f"{table.name}_{field.name}", table.c[folded(field.name)])
        return table

    def _link_table(self, field: Field) -> Table:
        table = self._table(
            f"links_{field.entity_type}_{field.name}",
            Column("owner", Integer, primary_key=True, autoincrement=False),
            Column("target_type", Text, primary_key=True),
            Column("target_id", Integer, primary_key=True, autoincrement=False),
            rowid=False,
        )
        Index(f"{table.name}_target", table.c.target_id, table.c.target_type, table.c.owner)
        return table


def _columns(field: Field) -> list[Column[object]]:
    if field.name == "id":
        return [Column("id", Integer, primary_key=True)]
    if field.is_link:
        return [Column(link_type(field.name), Text), Column(link_id(field.name), Integer)]
    if field.is_folded:
        return [Column(field.name, Text), Column(folded(field.name), Text)]
    if field.data_type == "checkbox":
        # A checkbox is never null, in rows that are older than the field neither.
        return [Column(field.name, Integer, server_default=str(int(field.default is True)))]
    if field.data_type in INTEGER_TYPES:
        return [Column(field.name, Integer)]
    if field.data_type in FLOAT_TYPES:
        return [Column(field.name, Float)]
    return [Column(field.name, Text)]
