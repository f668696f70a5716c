"""What was read, in a form that is equal when the answers are."""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

_WHOLE_EVERY = 25  # records that are compared value by value; of the others the id is


def digest(pages: list[Any], *, converts: bool) -> str:
    """The digest of lists of records.

    Args:
        pages: The lists.
        converts: Whether dates should have become datetimes; if not, that is made up for here.
    """
    seen = hashlib.sha256()
    for page in pages:
        seen.update(json.dumps([record["id"] for record in page]).encode())
        for record in page[::_WHOLE_EVERY]:
            if not converts:
                record = {name: _converted(name, value) for name, value in record.items()}
            seen.update(json.dumps(_plain(record), sort_keys=True).encode())
    return seen.hexdigest()[:16]


def _converted(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        return datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z")
    return value.replace("&lt;", "<") if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """*value* with each datetime as the moment that it is, and marked as one."""
    if isinstance(value, datetime.datetime):
        zone = "local" if value.tzinfo is None else "aware"
        return [zone, value.astimezone(datetime.timezone.utc).isoformat()]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
