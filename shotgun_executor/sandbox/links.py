"""Filters on links: predicates on a link, and conditions at the far end of a dotted path.

A link to a retired entity counts as no link, in filters as in records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from sqlalchemy import and_, func, or_, select

from .predicates import listed
from .records import linked
from .relations import any_row, constant, number, pairs
from .tables import link_id, link_type

if TYPE_CHECKING:
    from sqlalchemy.sql.elements import ColumnElement
    from sqlalchemy.sql.expression import FromClause

    from .predicates import Take
    from .schema import Field, Schema
    from .tables import Tables

Inner = Callable[["FromClause"], "ColumnElement[bool]"]


def null_matches(predicate: str) -> bool:
    """Says whether a link predicate holds for an empty link."""
    if ":" in predicate:
        return (" or null" in predicate) != predicate.startswith("not any")
    return predicate in ("type_is_not", "name_not_contains")


class Links:
    """Makes conditions on the links of one site.

    Args:
        schema: The fields.
        tables: The tables they are stored in.
    """

    def __init__(self, schema: Schema, tables: Tables) -> None:
        self._schema = schema
        self._tables = tables

    def condition(self, table: FromClause, field: Field, predicate: str, take: Take) -> Any:
        """Returns the SQL for a predicate that `operators` found for a link field."""
        if ":" in predicate:
            return self._membership(table, field, predicate, take)
        word = take()
        negative = predicate in ("type_is_not", "name_not_contains")
        found = self._leads_to(table, field, lambda names: _word(names, predicate, word))
        return ~found if negative else found

    def _membership(self, table: FromClause, field: Field, predicate: str, take: Take) -> Any:
        sign, counts = predicate.split(":")
        found: list[Any] = []
        for count in counts:
            entity_type, ids = take(), take()
            live = self._live_ids(entity_type, ids) if count == "n" else None
            found.append(self._one_of(table, field, entity_type, ids, live))
        if sign.endswith(" or null"):
            found.append(~self._leads_to(table, field, lambda _names: []))
        every = or_(*found)
        if sign.startswith("not any"):
            # An empty link compares as NULL, which is neither true nor false.
            return func.coalesce(every, number(0)) == number(0)
        return every

    def _live_ids(self, entity_type: Any, ids: Any) -> Any:
        names = self._tables.names.alias()
        return select(names.c.id).where(
            names.c.type == entity_type,
            names.c.id.in_(listed(ids)),
            names.c.retired == number(0),
        )

    def _one_of(
        self, table: FromClause, field: Field, entity_type: Any, given: Any, live: Any
    ) -> Any:
        """Returns the condition that the link leads to one entity, or to one of many.

        What it is compared with does not depend on the row, so that the index on the link can
        find the rows.
        """
        alive = [] if live is not None else [self._live(entity_type, given, lambda _names: [])]
        if field.is_link:
            key = table.c[link_id(field.name)]
            same = key == given if live is None else key.in_(live)
            return and_(same, table.c[link_type(field.name)] == entity_type, *alive)
        found = pairs(self._tables, self._schema, field)
        same = found.target_id == given if live is None else found.target_id.in_(live)
        owners = select(found.owner).where(found.condition, found.target_type == entity_type, same)
        return and_(table.c.id.in_(owners), *alive)

    def _leads_to(
        self, table: FromClause, field: Field, extra: Callable[[FromClause], list[Any]]
    ) -> Any:
        """Returns the condition that the link leads to a live entity that meets `extra`."""
        if field.is_link:
            return self._live(table.c[link_type(field.name)], table.c[link_id(field.name)], extra)
        found = pairs(self._tables, self._schema, field)
        live = self._live(found.target_type, found.target_id, extra)
        return any_row(
            select(number(1))
            .select_from(found.source)
            .where(found.owner == table.c.id, found.condition, live)
        )

    def _live(
        self, entity_type: Any, entity_id: Any, extra: Callable[[FromClause], list[Any]]
    ) -> Any:
        names = self._tables.names.alias()
        return any_row(
            select(number(1))
            .select_from(names)
            .where(
                names.c.type == entity_type,
                names.c.id == entity_id,
                names.c.retired == number(0),
                *extra(names),
            )
        )

    def follow(
        self, table: FromClause, link: Field, target: str, inner: Inner, *, or_empty: bool
    ) -> Any:
        """Returns the condition that some live entity at the end of a link meets `inner`.

        Args:
            table: The alias of the table that holds the link.
            link: The link; of a list, any member counts.
            target: The entity type that it must lead to.
            inner: Makes the condition on an alias of the target's table.
            or_empty: Whether a link that leads to no entity of that type matches too.
        """
        found = self._reach(table, link, target, inner)
        return or_(found, ~self._reach(table, link, target, None)) if or_empty else found

    def follow_back(self, table: FromClause, link: Field, target: str, inner: Inner) -> Any:
        """Does what `follow` does from the far end: for conditions that few entities meet."""
        other = self._tables.entities[target].alias()
        few = select(other.c.id).where(inner(other), other.c["_retired"] == number(0))
        if link.is_link:
            same_type = table.c[link_type(link.name)] == constant(target)
            return and_(table.c[link_id(link.name)].in_(few), same_type)
        found = pairs(self._tables, self._schema, link)
        owners = select(found.owner).where(
            found.condition, found.target_type == constant(target), found.target_id.in_(few)
        )
        return table.c.id.in_(owners)

    def _reach(self, table: FromClause, link: Field, target: str, inner: Any) -> Any:
        other = self._tables.entities[target].alias()
        far = [] if inner is None else [inner(other)]
        one = select(number(1)).select_from(other)
        if link.is_link:
            return any_row(one.where(linked(table, link, target, other), *far))
        found = pairs(self._tables, self._schema, link)
        alive = [other.c.id == found.target_id, other.c["_retired"] == number(0)]
        mine = [found.owner == table.c.id, found.condition, found.target_type == constant(target)]
        rows = select(number(1)).select_from(found.source)
        return any_row(rows.where(*mine, any_row(one.where(*alive, *far))))


def _word(names: FromClause, predicate: str, word: Any) -> list[Any]:
    if predicate.startswith("type_"):
        return [names.c.type == word]
    if predicate == "name_is":
        return [names.c.folded == word]
    return [func.instr(names.c.folded, word) > number(0)]
