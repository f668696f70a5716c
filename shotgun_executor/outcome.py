"""What is said about a write of which nobody knows whether the site carried it out."""

from __future__ import annotations

import re
from typing import Any, Optional
from xmlrpc.client import ProtocolError

__all__ = ["add_text", "is_secret", "mark_unknown", "redacted", "unknown_form", "unknown_request"]

_SECRET = re.compile(r"pass|secret|token|key|auth|credential|cookie|session", re.IGNORECASE)
# What follows the question mark of a URL may be a signature.
_QUERY = re.compile(r"(https?://[^\s?]*)\?\S*")
_LONGEST = 400


def mark_unknown(error: BaseException, text: str) -> None:
    """Have *error* say that the outcome is unknown; its class stays.

    The text goes into the message, which is seen wherever the error is, on every Python.
    """
    if getattr(error, "_outcome_unknown", False):
        return
    error._outcome_unknown = True  # type: ignore[attr-defined]  # read by outcome_unknown()
    if isinstance(error, Exception):
        add_text(error, text)


def add_text(error: BaseException, text: str) -> None:
    """Append *text* to the message of *error*."""
    if isinstance(error, ProtocolError):
        error.errmsg = f"{error.errmsg}; {text}"
    elif isinstance(error, OSError) and error.errno is not None and len(error.args) >= 2:
        error.strerror = f"{error.strerror}; {text}"
        error.args = (error.args[0], error.strerror, *error.args[2:])
    elif error.args:
        error.args = (f"{error.args[0]}; {text}", *error.args[1:])
    else:
        error.args = (text,)


def unknown_request(method: str, params: Any) -> str:
    """What to say of a request of the JSON API."""
    shown, advice = _shown(method, params), _advice(method, params)
    return f"whether the site carried out {shown} is not known: {advice}"


def unknown_form(path: str, params: Any) -> str:
    """What to say of a form, such as an upload."""
    return (
        f"whether the site carried out {_shown(path, params)} is not known: look for the new "
        f"Attachment, or at the field of the entity, before sending it again"
    )


def _shown(name: str, params: Any) -> str:
    text = repr(redacted(params))
    return f"{name}({text if len(text) <= _LONGEST else text[:_LONGEST] + '...'})"


def is_secret(name: str) -> bool:
    """Whether what has that name may be secret."""
    return _SECRET.search(name) is not None


def redacted(value: Any) -> Any:
    """*value* without what may be secret, and without what is no plain data."""
    if isinstance(value, dict):
        # {"field_name": "password", "value": ...} hides its name in a value, as a filter does.
        field = value.get("field_name", value.get("path"))
        hidden = isinstance(field, str) and _SECRET.search(field) is not None
        return {
            key: "***"
            if _SECRET.search(str(key)) or (hidden and key in ("value", "values"))
            else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    if isinstance(value, str):
        return _QUERY.sub(r"\1?***", value)
    if value is None or isinstance(value, (int, float)):
        return value
    return f"<{type(value).__name__}>"


def _advice(method: str, params: Any) -> str:
    kind, number = _entity(params)
    if method == "create" and kind:
        return f"look for a {kind} with these values before creating it again"
    if method in ("update", "delete", "revive") and kind and number is not None:
        retired = ", retired_only=True" if method == "delete" else ""
        return f'find_one("{kind}", [["id", "is", {number}]], ...{retired}) tells'
    if method == "batch":
        return "it was carried out as a whole or not at all, so any one of its entities tells"
    return "look at what it should have changed before sending it again"


def _entity(params: Any) -> tuple[Optional[str], Optional[int]]:
    if not isinstance(params, dict):
        return None, None
    kind, number = params.get("type"), params.get("id")
    return (
        kind if isinstance(kind, str) else None,
        number if isinstance(number, int) else None,
    )
