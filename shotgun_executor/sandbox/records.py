"""Fields as SQL expressions: the JSON text of a record, and the value to sort by.

SQLite builds the text of each record, so a page becomes the body of an answer without a detour
through Python dicts. Links are read with the name that the target has now; a link whose target is
retired reads as empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from sqlalchemy import LargeBinary, and_, case, cast, func, null, select

from .relations import constant, number, pairs
from .schema import COMPUTED_TYPES
from .tables import FLOAT_TYPES, INTEGER_TYPES, folded, link_id, link_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.sql.elements import ColumnElement
    from sqlalchemy.sql.expression import FromClause

    from .paths import Path
    from .schema import Field, Schema
    from .store import Store

# SQLite functions take at most 127 arguments in its usual builds.
_FIELDS_PER_OBJECT = 60
_JSON_TEXT = frozenset({"serializable", "jsonb"})
_SORTED_AS_STORED = (
    INTEGER_TYPES | FLOAT_TYPES | {"date", "date_time", "entity_type", "uuid", "color", "image"}
)


class Records:
    """Makes the expressions for one site.

    Args:
        schema: The fields.
        store: The tables they are stored in.
    """

    def __init__(self, schema: Schema, store: Store) -> None:
        self._schema = schema
        self._tables = store.tables
        self._personal = store.site.personal

    def record(self, table: FromClause, entity_type: str, paths: Iterable[Path]) -> Any:
        """Returns the expression for a record as UTF-8 bytes of a JSON object.

        Args:
            table: The alias of the entity table that the row comes from.
            entity_type: The type of the entity.
            paths: The fields beside ``type`` and ``id``.
        """
        members: list[ColumnElement[Any]] = [
            constant("type"), constant(entity_type), constant("id"), table.c.id
        ]  # fmt: skip
        for path in paths:
            name = path.text.split(".", 1)[1]
            members += [constant(name), self.value(table, path)]
        size = 2 * _FIELDS_PER_OBJECT
        parts = [members[at : at + size] for at in range(0, len(members), size)]
        text: Any = func.json_object(*parts[0])
        for part in parts[1:]:
            more = func.json_object(*part)
            head = func.substr(text, number(1), func.length(text) - number(1))
            text = head.op("||")(constant(",")).op("||")(func.substr(more, number(2)))
        return cast(text, LargeBinary)

    def value(self, table: FromClause, path: Path) -> Any:
        """Returns the expression for the JSON value of a field, followed through its links."""
        if not path.steps:
            return self._own_value(table, path.field)
        return self._follow(table, path, self.value)

    def sort_key(self, table: FromClause, path: Path) -> Optional[Any]:
        """Returns the expression to sort by, or None if the field has no order."""
        if path.through_list or not sortable(path.field):
            return None
        if path.steps:
            return self._follow(table, path, self.sort_key)
        field = path.field
        if field.is_link:
            return self._name_of(table, field, "folded")
        return self.compared(table, field)

    def compared(self, table: FromClause, field: Field) -> Any:
        """Returns the expression that filters and sorts of a field that is no link work on."""
        if field.name == "cached_display_name":
            return self.own_name(table, field, "folded")
        if field.is_per_user:
            return self._own_view(table, field)
        return table.c[folded(field.name) if field.is_folded else field.name]

    def _own_view(self, table: FromClause, field: Field) -> Any:
        """Returns the expression for a value that differs from user to user: the caller's."""
        mine = self._personal.alias()
        value: Any = (
            select(mine.c.value)
            .where(
                mine.c.entity_type == constant(field.entity_type),
                mine.c.entity_id == table.c.id,
                mine.c.field == constant(field.name),
                mine.c.user_type == func.caller_type(),
                mine.c.user_id == func.caller_id(),
            )
            .scalar_subquery()
        )
        return value if field.default is None else func.coalesce(value, constant(field.default))

    def stored(self, table: FromClause, path: Path) -> Any:
        """Returns the expression for the stored value of a field; of a link, the target's id."""
        if path.steps:
            return self._follow(table, path, self.stored)
        field = path.field
        if field.name == "cached_display_name":
            return self.own_name(table, field, "name")
        if field.is_per_user:
            return self._own_view(table, field)
        return table.c[link_id(field.name) if field.is_link else field.name]

    def target_type(self, table: FromClause, path: Path) -> Any:
        """Returns the expression for the type that a single-entity link leads to."""
        if path.steps:
            return self._follow(table, path, self.target_type)
        return table.c[link_type(path.field.name)]

    def _follow(self, table: FromClause, path: Path, inner: Any) -> Any:
        """Returns what `inner` says at the end of the first link; NULL if the link is empty."""
        link, target = path.steps[0]
        other = self._tables.entities[target].alias()
        there = inner(other, path._replace(steps=path.steps[1:]))
        return select(there).where(linked(table, link, target, other)).scalar_subquery()

    def _own_value(self, table: FromClause, field: Field) -> Any:
        if field.is_multi:
            return self._link_list(table, field)
        if field.is_link:
            return self._link(table, field)
        if field.counts:
            return self._count(table, self._schema.field(field.entity_type, field.counts))
        return self._plain_value(table, field)

    def _plain_value(self, table: FromClause, field: Field) -> Any:
        kind = field.data_type
        if field.name == "cached_display_name":
            return self.own_name(table, field, "name")
        if field.is_per_user:
            return self._own_view(table, field)
        if kind in COMPUTED_TYPES or not field.is_known:
            return func.json(constant("null"))
        if kind == "password":
            return constant("*******")
        column = table.c[field.name]
        if kind == "checkbox":
            return func.json(case((column == number(1), constant("true")), else_=constant("false")))
        if kind == "tag_list":
            return func.json(func.coalesce(column, constant("[]")))
        if kind == "image":
            return case((column.is_not(null()), func.image_url(column)), else_=null())
        if kind == "url":
            return func.json(case((column.is_not(null()), func.file_url(column)), else_=null()))
        return func.json(column) if kind in _JSON_TEXT else column

    def _link(self, table: FromClause, field: Field) -> Any:
        names = self._tables.names.alias()
        text = _link_text(names.c.id, names.c.name, names.c.type)
        return select(text).where(self._active_target(table, field, names)).scalar_subquery()

    def _name_of(self, table: FromClause, field: Field, column: str) -> Any:
        names = self._tables.names.alias()
        found = select(names.c[column]).where(self._active_target(table, field, names))
        return found.scalar_subquery()

    def own_name(self, table: FromClause, field: Field, column: str) -> Any:
        """Returns a column of the display name of the row itself."""
        names = self._tables.names.alias()
        mine = and_(names.c.type == constant(field.entity_type), names.c.id == table.c.id)
        return select(names.c[column]).where(mine).scalar_subquery()

    def _active_target(self, table: FromClause, field: Field, names: FromClause) -> Any:
        return and_(
            names.c.type == table.c[link_type(field.name)],
            names.c.id == table.c[link_id(field.name)],
            names.c.retired == number(0),
        )

    def _link_list(self, table: FromClause, field: Field) -> Any:
        found = pairs(self._tables, self._schema, field)
        names = self._tables.names.alias()
        text = _link_text(names.c.id, names.c.name, names.c.type)
        # An outer join keeps SQLite from starting at the names; the filter makes it an inner one.
        joined = found.source.outerjoin(
            names, and_(names.c.type == found.target_type, names.c.id == found.target_id)
        )
        texts = func.json_group_array(text).filter(names.c.retired == number(0))
        mine = select(texts).select_from(joined).where(found.owner == table.c.id, found.condition)
        return mine.scalar_subquery()

    def _count(self, table: FromClause, field: Field) -> Any:
        found = pairs(self._tables, self._schema, field)
        names = self._tables.names.alias()
        joined = found.source.outerjoin(
            names, and_(names.c.type == found.target_type, names.c.id == found.target_id)
        )
        count = func.count().filter(names.c.retired == number(0))
        mine = select(count).select_from(joined).where(found.owner == table.c.id, found.condition)
        return mine.scalar_subquery()


def sortable(field: Field) -> bool:
    """Says whether an order by this field means anything; others are ignored, as on a site."""
    return (
        field.is_folded
        or field.is_link
        or field.is_per_user
        or field.data_type in _SORTED_AS_STORED
    )


def linked(table: FromClause, link: Field, target: str, other: FromClause) -> Any:
    """Returns the condition that a single-entity link of `table` leads to a live row of `other`."""
    return and_(
        other.c.id == table.c[link_id(link.name)],
        table.c[link_type(link.name)] == constant(target),
        other.c["_retired"] == number(0),
    )


def _link_text(entity_id: Any, name: Any, entity_type: Any) -> Any:
    return func.json_object(
        constant("id"), entity_id, constant("name"), name, constant("type"), entity_type
    )
