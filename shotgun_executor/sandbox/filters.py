"""Filter trees: from the wire to a shape with values, and from a shape to SQL.

The *shape* of a tree is everything but its values: statements are compiled once per shape and kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Union

from sqlalchemy import and_, func, or_, select

from .faults import Fault, ruby_text
from .links import Links, null_matches
from .operators import Asked, understand
from .paths import Path, resolve
from .predicates import NULL_MATCHES, PREDICATES
from .relations import number
from .tables import COMMON_LINKS
from .wire import is_hash, is_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.sql.expression import FromClause

    from .predicates import Take
    from .records import Records
    from .schema import Field, Schema
    from .tables import Tables

MAX_DEPTH = 265
"""How deep a live site lets groups nest."""

# SQLite's parser holds about 30 levels of parentheses and its expressions 1,000 levels.
_LEVELS_INLINE = 10
_SIBLINGS_INLINE = 100

Leaf = tuple[str, str]
"""The dotted path of a condition and its predicate."""
Shape = Optional[Union[Leaf, tuple[str, tuple[Any, ...]]]]
"""A leaf, or ``("and" or "or", members)``; None matches everything."""


class Filters:
    """Reads the filters of one site and turns them into SQL.

    Args:
        schema: The fields.
        tables: The tables they are stored in.
        records: Where computed columns come from.
    """

    def __init__(self, schema: Schema, tables: Tables, records: Records) -> None:
        self._schema = schema
        self._tables = tables
        self._records = records
        self._links = Links(schema, tables)
        self._paths: dict[tuple[str, str], Optional[Path]] = {}

    def path(self, entity_type: str, text: str) -> Optional[Path]:
        """Returns a path by its text, or None if there is no such field."""
        key = (entity_type, text)
        if key not in self._paths:
            found = resolve(self._schema, entity_type, text)
            if found is None:
                return None
            self._paths[key] = found
        return self._paths[key]

    def read(self, entity_type: str, tree: Any, values: list[Any], method: str = "read") -> Shape:
        """Checks a filter tree as it came over the wire.

        Args:
            entity_type: The type to filter.
            tree: A group or a condition.
            values: Gets the stored values, in the order in which the shape takes them.
            method: The RPC method, for texts.

        Raises:
            Fault: The tree is malformed, or names an unknown field, operator or value.
        """
        return self._read(entity_type, tree, values, method, MAX_DEPTH)

    def _read(
        self, entity_type: str, tree: Any, values: list[Any], method: str, depth: int
    ) -> Shape:
        if not is_hash(tree):
            raise Fault(f"API {method}() Invalid condition: {ruby_text(tree)}")
        if "path" in tree:
            return self._read_condition(entity_type, tree, values, method)
        if depth == 0:
            raise Fault(f"API {method}() filters are nested more than {MAX_DEPTH} deep.")
        operator, conditions = _group(tree, method)
        members: list[Any] = []
        for condition in conditions:
            shape = self._read(entity_type, condition, values, method, depth - 1)
            if shape is not None:
                members.append(shape)
        if len(members) <= 1:
            return members[0] if members else None
        return operator, tuple(members)

    def _read_condition(
        self, entity_type: str, condition: dict[str, Any], values: list[Any], method: str
    ) -> Leaf:
        text = condition["path"]
        path = self.path(entity_type, text) if isinstance(text, str) else None
        if path is None:
            shown = text if isinstance(text, str) else ruby_text(text)
            raise Fault(f"API {method}() {entity_type}.{shown} doesn't exist.")
        relation, given = condition.get("relation"), condition.get("values")
        if not isinstance(relation, str) or not is_list(given):
            raise Fault(f"API {method}() Invalid condition: {ruby_text(condition)}")
        meaning = understand(Asked(path.field, path.text, relation, method), given)
        values.extend(meaning.values)
        return text, meaning.predicate

    def condition(self, table: FromClause, entity_type: str, shape: Shape, take: Take) -> Any:
        """Returns the SQL for a shape that is not None.

        Args:
            table: The alias of the entity table to filter.
            entity_type: Its type.
            shape: What `read` returned.
            take: Makes the next parameter; called in the order of the values of `read`.
        """
        return self._build(table, entity_type, shape, take, _LEVELS_INLINE)

    def _build(
        self, table: FromClause, entity_type: str, shape: Any, take: Take, levels: int
    ) -> Any:
        head, rest = shape
        if isinstance(rest, str):
            path = self.path(entity_type, head)
            assert path is not None
            return self._leaf(table, path, rest, take)
        if levels == 0:
            return self._set_apart(table, entity_type, shape, take)
        members = [self._build(table, entity_type, each, take, levels - 1) for each in rest]
        return _joined(and_ if head == "and" else or_, members)

    def _set_apart(self, table: FromClause, entity_type: str, shape: Any, take: Take) -> Any:
        """Moves a deep part of the tree into a common table expression, which is not nested."""
        other = self._tables.entities[entity_type].alias()
        inner = self._build(other, entity_type, shape, take, _LEVELS_INLINE)
        apart = select(other.c.id).where(inner).cte()
        return table.c.id.in_(select(apart.c.id))

    def _leaf(self, table: FromClause, path: Path, predicate: str, take: Take) -> Any:
        if not path.steps:
            return self._own(table, path.field, predicate, take)
        link, target = path.steps[0]
        rest = path._replace(steps=path.steps[1:])

        def inner(other: FromClause) -> Any:
            return self._leaf(other, rest, predicate, take)

        if _is_selective(path.field, predicate):
            return self._links.follow_back(table, link, target, inner)
        or_empty = _holds_for_null(path.field, predicate)
        return self._links.follow(table, link, target, inner, or_empty=or_empty)

    def _own(self, table: FromClause, field: Field, predicate: str, take: Take) -> Any:
        if field.is_link or field.is_multi:
            return self._links.condition(table, field, predicate, take)
        return PREDICATES[predicate](self._records.compared(table, field), take)


def _holds_for_null(field: Field, predicate: str) -> bool:
    if field.is_link or field.is_multi:
        return null_matches(predicate)
    return predicate in NULL_MATCHES or predicate == "in or null"


def _is_selective(field: Field, predicate: str) -> bool:
    """Says whether few entities meet a predicate, and none without a value does."""
    if field.is_link:
        return predicate.startswith("any:") and field.name not in COMMON_LINKS
    return predicate in ("is", "in") and (field.is_folded or field.name == "id")


def keeps_id_order(shape: Shape) -> bool:
    """Says whether SQLite finds the rows of a filter in the order of their ids.

    It does unless it looks for several values in an index.
    """
    if shape is None:
        return True
    head, rest = shape
    if isinstance(rest, str):
        return "." not in head and not (":" in rest and "n" in rest.split(":")[1])
    return head == "and" and all(keeps_id_order(each) for each in rest)


def _group(tree: dict[str, Any], method: str) -> tuple[str, Sequence[Any]]:
    operator, conditions = tree.get("logical_operator"), tree.get("conditions")
    if "logical_operator" not in tree:
        raise Fault(f"API {method}() Missing logical operator")
    if operator not in ("and", "or"):
        raise Fault(f"API {method}() Invalid logical operator: {ruby_text(operator)}")
    if not is_list(conditions):
        raise Fault(f"API {method}() Missing conditions parameter")
    return operator, conditions


def _joined(join: Any, members: list[Any]) -> Any:
    """Joins conditions; many siblings in groups, for SQLite reads a long chain as a deep one."""
    if len(members) <= _SIBLINGS_INLINE:
        return join(*members)
    size = _SIBLINGS_INLINE
    groups = [join(*members[at : at + size]) for at in range(0, len(members), size)]
    return _joined(join, [func.coalesce(group, number(0)) for group in groups])
