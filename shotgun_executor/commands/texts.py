"""The values of records as text: for JSON Lines, and for the cells of a CSV file."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any, cast

__all__ = ["cell_of", "line_of"]

_SIGNED = re.compile(
    r"(https?://[^\s?]+)\?\S*\b(?:signature|x-amz-\w+|token|sig|awsaccesskeyid|googleaccessid)="
    r"\S*\Z",
    re.IGNORECASE,
)
"""A URL that lets whoever has it in, for some minutes."""


def line_of(record: dict[str, Any]) -> bytes:
    """A record as a line of JSON: times in UTC, and no signature in its URLs."""
    plain = _unsigned(record)
    try:
        return _json(plain, ascii_only=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which UTF-8 cannot hold
        return _json(plain, ascii_only=True).encode() + b"\n"


def cell_of(value: Any) -> str:
    """A value as the cell of a table: the names of links, lists with "; " between."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "; ".join(map(cell_of, cast("list[Any]", value)))
    if isinstance(value, dict):
        record = cast("dict[str, Any]", value)
        if isinstance(record.get("name"), str):
            return cast("str", record["name"])
        if "type" in record and "id" in record:
            return f"{record['type']} {record['id']}"
        return _json(_unsigned(record), ascii_only=False)
    if isinstance(value, (datetime.date, datetime.time)):
        return _iso(value)
    return str(_unsigned(value))


def _json(value: Any, *, ascii_only: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"), default=_iso)


def _iso(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def _unsigned(value: Any) -> Any:
    """The value, with the URLs that are signed cut off before the signature."""
    if isinstance(value, str):
        return _SIGNED.sub(r"\1", value) if value.startswith("http") else value
    if isinstance(value, dict):
        record = cast("dict[str, Any]", value)
        return {name: _unsigned(item) for name, item in record.items()}
    if isinstance(value, list):
        return [_unsigned(item) for item in value]
    return value
