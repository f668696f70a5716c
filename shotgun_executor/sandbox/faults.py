"""What the site says when it refuses: one exception class and the words for values.

The texts imitate a live site's, which is written in Ruby and names classes and values its way.
"""

from __future__ import annotations

import json
from typing import Any

AUTHENTICATION = 102
REQUEST = 103
WRITE = 104


class Fault(Exception):  # noqa: N818  # the official client's word
    """A refusal that the client sees as ``shotgun_api3.Fault`` or a subclass of it.

    Args:
        message: The text for the user. It never holds a key, a password or a token.
        code: The error code: `AUTHENTICATION`, `REQUEST` or `WRITE`.
    """

    def __init__(self, message: str, code: int = REQUEST) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


_RUBY_CLASSES: dict[type, str] = {
    type(None): "NilClass",
    str: "String",
    int: "Integer",
    float: "Float",
    list: "Array",
    dict: "Hash",
}


def ruby_class(value: object) -> str:
    """Returns the name that a live site gives to the class of a JSON value."""
    if isinstance(value, bool):
        return "TrueClass" if value else "FalseClass"
    return _RUBY_CLASSES.get(type(value), "Object")


def ruby_text(value: object, limit: int = 200) -> str:
    """Returns a JSON value as a live site prints it, cut to `limit` characters."""
    if value is None:
        return "nil"
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(", ", " => "))
    except (TypeError, ValueError, RecursionError):
        text = "..."
    return text.replace("null", "nil") if len(text) <= limit else text[:limit] + "..."


def wrong_type(method: str, where: str, expected: str, value: Any) -> Fault:
    """Returns the fault for a value of the wrong class.

    Args:
        method: The RPC method, for example ``read``.
        where: The field as ``Type.path``.
        expected: Ruby class names separated by commas.
        value: What came instead.
    """
    got = f"{ruby_class(value)}: {ruby_text(value)}"
    return Fault(f"API {method}() {where} expected [{expected}] data type(s) but got {got}")
