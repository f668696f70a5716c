"""The filter operators of each data type: legal names, legal values, and what they mean.

The lists and the meaning of null follow what was recorded on a live site; where nothing was
recorded, the official client's docs.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from . import dates
from .faults import Fault, ruby_text, wrong_type
from .wire import entity_key, is_hash, is_integer, is_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .schema import Field

_TEXT = ("is", "is_not", "contains", "not_contains", "starts_with", "ends_with", "in", "not_in")
_NUMBER = ("is", "is_not", "greater_than", "less_than", "between", "in", "not_in")
_DATE = (
    *_NUMBER, "in_last", "not_in_last", "in_next", "not_in_next", "in_calendar_day",
    "in_calendar_week", "in_calendar_month", "in_calendar_year",
)  # fmt: skip
_CHOICE = ("is", "is_not", "in", "not_in")
_LINK = (
    "is", "is_not", "name_contains", "name_not_contains", "name_is", "type_is", "type_is_not",
    "in", "not_in",
)  # fmt: skip

RELATIONS: dict[str, tuple[str, ...]] = {
    "text": _TEXT,
    "footage": _TEXT,
    **dict.fromkeys(("number", "percent", "duration", "timecode", "float", "currency"), _NUMBER),
    "date": _DATE,
    "date_time": _DATE,
    "checkbox": ("is", "is_not"),
    **dict.fromkeys(("list", "status_list", "entity_type", "uuid", "color"), _CHOICE),
    **dict.fromkeys(("entity", "multi_entity", "addressing"), _LINK),
    "tag_list": ("is", "is_not", "name_contains", "name_not_contains", "name_id"),
    "image": ("is", "is_not"),
    "jsonb": ("is", "is_not", "contains", "not_contains"),
}
"""The legal operators of each data type; a type that is missing cannot be filtered on."""


class Asked(NamedTuple):
    """One condition as it was asked."""

    field: Field
    where: str
    """The path behind the entity type, for texts."""
    relation: str
    method: str


class Meaning(NamedTuple):
    """What a condition comes down to: a predicate and the values that it takes, in order."""

    predicate: str
    values: tuple[Any, ...] = ()


def understand(asked: Asked, values: list[Any]) -> Meaning:
    """Turns operator and values of a condition into a predicate and stored values.

    Raises:
        Fault: The data type knows no such operator, the number of values is wrong, or a value is
            of the wrong class.
    """
    field = asked.field
    legal = RELATIONS.get(field.data_type)
    if legal is None:
        text = f"API {asked.method}() {asked.where}'s '{field.data_type}' data type"
        raise Fault(f"{text} cannot be used in a filter.")
    if asked.relation not in legal:
        raise _unknown_relation(asked, legal)
    if len(values) == 1 and is_list(values[0]) and field.data_type != "jsonb":
        values = values[0]
    _check_count(asked, values)
    if field.is_link or field.is_multi:
        return _link_meaning(asked, values)
    return _MEANINGS[asked.relation](asked, values)


def _unknown_relation(asked: Asked, legal: Sequence[str]) -> Fault:
    names = ", ".join(f'"{name}"' for name in legal)
    kind = asked.field.data_type
    return Fault(
        f"API {asked.method}() {asked.where}'s '{kind}' data type doesn't support "
        f"'{ruby_text(asked.relation)[1:-1]}' 'relation'. Valid relations: [{names}]"
    )


def _check_count(asked: Asked, values: list[Any]) -> None:
    relation = asked.relation
    if relation in ("in", "not_in"):
        right, wanted = bool(values), "at least a 1-element array"
    elif relation == "between" or relation.endswith(("_last", "_next")):
        right, wanted = len(values) == 2, "a 2-element array"
    else:
        right, wanted = len(values) == 1, "a 1-element array"
    if not right:
        shown = ruby_text(values)
        raise Fault(f"API {asked.method}() '{relation}' 'relation' expects {wanted}: {shown}")


# --- values -----------------------------------------------------------------------------------


def _read_text(value: Any) -> Optional[str]:
    return value.casefold() if isinstance(value, str) else None


def _read_exact(value: Any) -> Optional[str]:
    return value if isinstance(value, str) else None


def _read_integer(value: Any) -> Optional[int]:
    if isinstance(value, str):
        digits = value[1:] if value[:1] == "-" else value
        legal = digits.isascii() and digits.isdigit() and len(digits) < 19
        return int(value) if legal else None
    return value if is_integer(value) else None


def _read_float(value: Any) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _read_date(value: Any) -> Optional[str]:
    return dates.read_date(value) if isinstance(value, str) else None


def _read_time(value: Any) -> Optional[str]:
    return dates.read_time(value) if isinstance(value, str) else None


def _read_flag(value: Any) -> Optional[int]:
    if isinstance(value, str):
        return {"true": 1, "false": 0}.get(value.lower())
    return int(value) if isinstance(value, bool) else None


def _read_json(value: Any) -> Optional[str]:
    return canonical(value) if is_hash(value) or is_list(value) else None


def _read_nothing(_value: Any) -> None:
    return None


def canonical(value: Any) -> str:
    """Returns JSON text with the keys ordered as a live site's ``jsonb`` orders them."""
    return json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"))


def _ordered(value: Any) -> Any:
    if is_hash(value):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: _ordered(value[key]) for key in keys}
    return [_ordered(item) for item in value] if is_list(value) else value


_READERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    **dict.fromkeys(("text", "list", "status_list", "footage"), (_read_text, "String, NilClass")),
    **dict.fromkeys(("entity_type", "uuid", "color"), (_read_exact, "String, NilClass")),
    **dict.fromkeys(
        ("number", "percent", "duration", "timecode"), (_read_integer, "String, Integer, NilClass")
    ),
    **dict.fromkeys(("float", "currency"), (_read_float, "String, Float, Integer, NilClass")),
    "date": (_read_date, "String, NilClass"),
    "date_time": (_read_time, "String, NilClass"),
    "checkbox": (_read_flag, "String, FalseClass, TrueClass"),
    "tag_list": (_read_text, "String, NilClass"),
    "jsonb": (_read_json, "Hash, Array, NilClass"),
    "image": (_read_nothing, "NilClass"),
}


def _read(asked: Asked, value: Any) -> Any:
    """Returns a value as it is stored; None stands for null and, in text, for ``""``."""
    kind = asked.field.data_type
    if value is None and kind != "checkbox":
        return None
    reader, expected = _READERS[kind]
    stored = reader(value)
    if stored is None:
        raise _illegal(asked, value, expected)
    return stored or (None if stored == "" else stored)


def _illegal(asked: Asked, value: Any, expected: str) -> Fault:
    if isinstance(value, str) and asked.field.data_type in ("date", "date_time"):
        text = f"API {asked.method}() {asked.where} invalid {asked.field.data_type}"
        return Fault(f"{text}: {ruby_text(value)}")
    return wrong_type(asked.method, asked.where, expected, value)


# --- operators on stored values ----------------------------------------------------------------


def _is(asked: Asked, values: list[Any]) -> Meaning:
    value = _read(asked, values[0])
    if asked.field.data_type == "tag_list" and value is not None:
        return Meaning("tag", (value,))
    return Meaning("null") if value is None else Meaning("is", (value,))


def _is_not(asked: Asked, values: list[Any]) -> Meaning:
    value = _read(asked, values[0])
    if asked.field.data_type == "tag_list" and value is not None:
        return Meaning("no tag", (value,))
    return Meaning("set") if value is None else Meaning("is not", (value,))


def _in(asked: Asked, values: list[Any]) -> Meaning:
    members = _members(asked, values)
    given = json.dumps([member for member in members if member is not None])
    return Meaning("in or null" if None in members else "in", (given,))


def _not_in(asked: Asked, values: list[Any]) -> Meaning:
    members = _members(asked, values)
    given = json.dumps([member for member in members if member is not None])
    return Meaning("set and not in" if None in members else "not in", (given,))


def _members(asked: Asked, values: list[Any]) -> list[Any]:
    if asked.field.data_type == "text" and None in values:
        raise wrong_type(asked.method, asked.where, "String", None)
    return [_read(asked, value) for value in values]


def _compare(predicate: str) -> Callable[[Asked, list[Any]], Meaning]:
    def meaning(asked: Asked, values: list[Any]) -> Meaning:
        value = _read(asked, values[0])
        return Meaning("never") if value is None else Meaning(predicate, (value,))

    return meaning


def _between(asked: Asked, values: list[Any]) -> Meaning:
    ends = [_read(asked, value) for value in values]
    return Meaning("never") if None in ends else Meaning("between", tuple(sorted(ends)))


def _contains(asked: Asked, values: list[Any]) -> Meaning:
    subset = asked.field.data_type == "jsonb"
    negative = asked.relation == "not_contains"
    value = _required(asked, values[0])
    if subset:
        return Meaning("not subset" if negative else "subset", (value,))
    return Meaning("lacks" if negative else "contains", (value,))


def _required(asked: Asked, value: Any) -> Any:
    if value is None:
        text = f"API {asked.method}() '{asked.relation}' 'relation' expects a non-null value"
        raise Fault(f"{text}: [nil]")
    stored = _read(asked, value)
    return "" if stored is None else stored


def _starts_with(asked: Asked, values: list[Any]) -> Meaning:
    value = _required(asked, values[0])
    return Meaning("starts", (len(value), value))


def _ends_with(asked: Asked, values: list[Any]) -> Meaning:
    value = _required(asked, values[0])
    return Meaning("ends", (-len(value), value)) if value else Meaning("set")


def _name_contains(asked: Asked, values: list[Any]) -> Meaning:
    predicate = "tag like" if asked.relation == "name_contains" else "no tag like"
    return Meaning(predicate, (_required(asked, values[0]),))


def _relative(asked: Asked, values: list[Any]) -> Meaning:
    count, unit = values
    if not is_integer(count) or count <= 0:
        raise wrong_type(asked.method, asked.where, "positive Integer", count)
    if unit not in dates.UNITS:
        units = ", ".join(dates.UNITS)
        text = f"API {asked.method}() {asked.where} invalid unit {ruby_text(unit)}"
        raise Fault(f"{text}. Valid units: {units}")
    past = asked.relation.endswith("_last")
    ends = _range(asked, lambda: dates.relative_range(-count if past else count, unit))
    return Meaning("outside" if asked.relation.startswith("not_") else "between", ends)


def _calendar(asked: Asked, values: list[Any]) -> Meaning:
    offset = values[0]
    if not is_integer(offset):
        raise wrong_type(asked.method, asked.where, "Integer", offset)
    bucket = asked.relation.rsplit("_", 1)[1]
    return Meaning("between", _range(asked, lambda: dates.calendar_range(bucket, offset)))


def _range(asked: Asked, find: Callable[[], Any]) -> tuple[str, str]:
    try:
        low, high = find()
    except OverflowError:
        raise Fault(f"API {asked.method}() {asked.where} date out of range") from None
    size = 10 if asked.field.data_type == "date" else 20
    return dates.write_time(low)[:size], dates.write_time(high)[:size]


_MEANINGS: dict[str, Callable[[Asked, list[Any]], Meaning]] = {
    "is": _is,
    "is_not": _is_not,
    "name_id": _is,
    "in": _in,
    "not_in": _not_in,
    "greater_than": _compare("greater"),
    "less_than": _compare("less"),
    "between": _between,
    "contains": _contains,
    "not_contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "name_contains": _name_contains,
    "name_not_contains": _name_contains,
    **dict.fromkeys(("in_last", "not_in_last", "in_next", "not_in_next"), _relative),
    **{f"in_calendar_{bucket}": _calendar for bucket in dates.CALENDARS},
}


# --- operators on links ------------------------------------------------------------------------


def _link_meaning(asked: Asked, values: list[Any]) -> Meaning:
    """Returns one of the link predicates.

    A membership predicate names its signs behind a colon: for each entity type ``1`` if one id is
    given as such, ``n`` if many are given as a JSON array. ``any or null:1n`` is an example.
    """
    relation = asked.relation
    if relation.startswith(("name_", "type_")):
        return Meaning(relation, (_link_word(asked, values[0]),))
    keys: dict[str, list[int]] = {}
    for value in values:
        if value is not None:
            entity_type, entity_id = entity_key(value, asked.method)
            keys.setdefault(entity_type, []).append(entity_id)
    flat: list[Any] = []
    counts = ""
    for entity_type, ids in sorted(keys.items()):
        flat += [entity_type, ids[0] if len(ids) == 1 else json.dumps(ids)]
        counts += "1" if len(ids) == 1 else "n"
    sign = "not any" if relation in ("is_not", "not_in") else "any"
    null = " or null" if None in values else ""
    return Meaning(f"{sign}{null}:{counts}", tuple(flat))


def _link_word(asked: Asked, value: Any) -> str:
    if not isinstance(value, str):
        raise wrong_type(asked.method, asked.where, "String", value)
    return value if asked.relation.startswith("type_") else value.casefold()
