"""Values as they are written: checks per data type, and the form in which they are stored."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Callable, Optional

from . import dates
from .faults import WRITE, Fault, ruby_text, wrong_type
from .operators import canonical
from .passwords import hash_password
from .wire import is_hash, is_list

if TYPE_CHECKING:
    from .schema import Field, Schema

_INT32 = 2**31
_CURRENCY_MAX = 9_999_999_999_999.99
_COLOR = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3})\Z", re.ASCII)
_DIGITS = re.compile(r"-?\d{1,18}\Z", re.ASCII)


def store_form(schema: Schema, field: Field, value: Any, method: str) -> Any:
    """Returns a value of a field that is no link and no url as its column holds it.

    Args:
        schema: For the names of entity types.
        field: The field to write.
        value: The value from the wire.
        method: The RPC method, for texts.

    Raises:
        Fault: The value is of the wrong class, out of range, or not a legal choice.
    """
    return _FORMS[field.data_type](schema, field, value, method)


def not_legal(field: Field, method: str, text: str = "Value is not legal.") -> Fault:
    """Returns the fault for a value of the right class that the field does not take."""
    return Fault(f"{method.capitalize()} failed for [{field.path}]: {text}", WRITE)


def _text(_schema: Schema, field: Field, value: Any, method: str) -> Optional[str]:
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_type(method, field.path, "String, NilClass", value)
    if "\0" in value:
        raise not_legal(field, method, "A text cannot hold a null character.")
    return value.strip() or None


def _integer(_schema: Schema, field: Field, value: Any, method: str) -> Optional[int]:
    if value is None:
        return None
    if isinstance(value, str) and _DIGITS.match(value):
        value = int(value)
    if type(value) is not int:
        raise wrong_type(method, field.path, "String, Integer, NilClass", value)
    if not -_INT32 <= value < _INT32:
        raise not_legal(field, method, f"{value} is out of range.")
    return value


def _float(_schema: Schema, field: Field, value: Any, method: str) -> Optional[float]:
    if value is None:
        return None
    expected = "String, Float, Integer, NilClass"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise wrong_type(method, field.path, expected, value)
    try:
        stored = round(float(value), 6)
    except (ValueError, OverflowError):
        raise wrong_type(method, field.path, expected, value) from None
    limit = _CURRENCY_MAX if field.data_type == "currency" else 1e300
    if not -limit <= stored <= limit:
        raise not_legal(field, method, f"{ruby_text(value)} is out of range.")
    return stored


def _flag(_schema: Schema, field: Field, value: Any, method: str) -> int:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return int(value.lower() == "true")
    if not isinstance(value, bool):
        raise wrong_type(method, field.path, "String, FalseClass, TrueClass", value)
    return int(value)


def _moment(read: Callable[[str], Optional[str]]) -> Callable[..., Optional[str]]:
    def form(_schema: Schema, field: Field, value: Any, method: str) -> Optional[str]:
        if value is None:
            return None
        if not isinstance(value, str):
            raise wrong_type(method, field.path, "String, NilClass", value)
        stored = read(value)
        if stored is None:
            text = f"API {method}() {field.path} invalid {field.data_type}: {ruby_text(value)}"
            raise Fault(text)
        return stored

    return form


def _choice(schema: Schema, field: Field, value: Any, method: str) -> Optional[str]:
    text = _text(schema, field, value, method)
    if text is None or text in field.valid_values:
        return text
    kind = "status" if field.data_type == "status_list" else "value"
    plural = "statuses" if kind == "status" else "values"
    legal = ", ".join(f"'{each}'" for each in field.valid_values)
    told = f"'{ruby_text(text)[1:-1]}' is not a valid {kind}. Valid {plural}: {legal}"
    raise not_legal(field, method, told)


def _color(schema: Schema, field: Field, value: Any, method: str) -> Optional[str]:
    text = _text(schema, field, value, method)
    if text is None:
        default: Optional[str] = field.default
        return default
    if text == "pipeline_step" and field.default == text:
        return text
    match = _COLOR.match(text)
    if match is None:
        raise Fault(
            f"API {method}() invalid format for color value: {ruby_text(text)} Correct format is "
            "'127,127,127' with values from 0 to 255 inclusive."
        )
    if any(int(part) > 255 for part in match.groups()):
        raise Fault(f"API {method}() invalid range in color value: {ruby_text(text)}")
    return text


def _entity_type(schema: Schema, field: Field, value: Any, method: str) -> Optional[str]:
    text = _text(schema, field, value, method)
    if text is not None and text not in schema.types:
        raise not_legal(field, method)
    return text


def _tag_list(_schema: Schema, field: Field, value: Any, method: str) -> str:
    if not is_list(value):
        raise wrong_type(method, field.path, "Array", value)
    for tag in value:
        if not isinstance(tag, str):
            raise wrong_type(method, field.path, "String", tag)
    return json.dumps(list(dict.fromkeys(value)), ensure_ascii=False)


def _image(_schema: Schema, field: Field, value: Any, method: str) -> None:
    if value is not None:
        raise wrong_type(method, field.path, "NilClass", value)


def _jsonb(_schema: Schema, field: Field, value: Any, method: str) -> Optional[str]:
    if value is None:
        return None
    if not is_hash(value) and not is_list(value):
        raise wrong_type(method, field.path, "Hash, Array, NilClass", value)
    return canonical(value)


def _serializable(_schema: Schema, _field: Field, value: Any, _method: str) -> Optional[str]:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _password(schema: Schema, field: Field, value: Any, method: str) -> Optional[str]:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        # The value is not shown: it may be a password all the same.
        raise Fault(f"API {method}() {field.path} expected [String, NilClass] data type(s)")
    return hash_password(value)


_FORMS: dict[str, Callable[[Schema, Field, Any, str], Any]] = {
    **dict.fromkeys(("text", "footage", "uuid"), _text),
    **dict.fromkeys(("number", "duration", "timecode", "percent"), _integer),
    **dict.fromkeys(("float", "currency"), _float),
    "checkbox": _flag,
    "date": _moment(dates.read_date),
    "date_time": _moment(dates.read_time),
    **dict.fromkeys(("list", "status_list"), _choice),
    "color": _color,
    "entity_type": _entity_type,
    "tag_list": _tag_list,
    "image": _image,
    "jsonb": _jsonb,
    "serializable": _serializable,
    "password": _password,
}
