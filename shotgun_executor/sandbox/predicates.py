"""What a filter on a stored value comes down to: a few predicates on one column.

An operator such as ``not_contains`` is turned into a predicate and its values in `operators`; here
each predicate becomes SQL. A predicate takes its values from `take` in the order in which
`operators` lists them.
"""

from __future__ import annotations

from typing import Any, Callable

from sqlalchemy import and_, false, func, or_, select

from .relations import any_row, number

Take = Callable[[], Any]

NULL_MATCHES = frozenset(
    {"null", "is not", "not in", "outside", "lacks", "not subset", "no tag", "no tag like"}
)
"""The predicates that hold for a row without a value."""


def listed(values: Any) -> Any:
    """Returns the members of a JSON array given as one parameter, as a subquery."""
    return select(func.json_each(values).table_valued("value").c.value)


def _is_in(column: Any, take: Take) -> Any:
    return column.in_(listed(take()))


def _not_in(column: Any, take: Take) -> Any:
    return or_(column.is_(None), column.not_in(listed(take())))


def _set_and_not_in(column: Any, take: Take) -> Any:
    # In an empty list not even NULL is.
    return and_(column.is_not(None), column.not_in(listed(take())))


def _in_or_null(column: Any, take: Take) -> Any:
    return or_(column.is_(None), column.in_(listed(take())))


def _outside(column: Any, take: Take) -> Any:
    low = take()
    return or_(column.is_(None), column < low, column > take())


def _between(column: Any, take: Take) -> Any:
    low = take()
    return column.between(low, take())


def _starts(column: Any, take: Take) -> Any:
    size = take()
    return func.substr(column, number(1), size) == take()


def _ends(column: Any, take: Take) -> Any:
    minus_size = take()
    return func.substr(column, minus_size) == take()


def _tags(column: Any, condition: Callable[[Any], Any]) -> Any:
    tags = func.json_each(column).table_valued("value")
    return any_row(select(tags.c.value).where(condition(func.fold(tags.c.value))))


def _tag(column: Any, take: Take) -> Any:
    wanted = take()
    return _tags(column, lambda tag: tag == wanted)


def _tag_like(column: Any, take: Take) -> Any:
    wanted = take()
    return _tags(column, lambda tag: func.instr(tag, wanted) > number(0))


PREDICATES: dict[str, Callable[[Any, Take], Any]] = {
    "never": lambda _column, _take: false(),
    "null": lambda column, _take: column.is_(None),
    "set": lambda column, _take: column.is_not(None),
    "is": lambda column, take: column == take(),
    "is not": lambda column, take: column.is_distinct_from(take()),
    "in": _is_in,
    "not in": _not_in,
    "in or null": _in_or_null,
    "set and not in": _set_and_not_in,
    "greater": lambda column, take: column > take(),
    "less": lambda column, take: column < take(),
    "between": _between,
    "outside": _outside,
    "contains": lambda column, take: func.instr(column, take()) > number(0),
    "lacks": lambda column, take: or_(column.is_(None), func.instr(column, take()) == number(0)),
    "starts": _starts,
    "ends": _ends,
    "subset": lambda column, take: func.jsonb_contains(column, take()) == number(1),
    "not subset": lambda column, take: func.jsonb_contains(column, take()) == number(0),
    "tag": _tag,
    "no tag": lambda column, take: ~_tag(column, take),
    "tag like": _tag_like,
    "no tag like": lambda column, take: ~_tag_like(column, take),
}
