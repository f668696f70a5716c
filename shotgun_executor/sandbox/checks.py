"""Checks of what the control address is asked to do. Each error names the argument.

All raise a ``ValueError`` that says what would be right.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable


def method(value: object) -> Optional[str]:
    """A name of a method or route, or None."""
    if value is None or (isinstance(value, str) and value):
        return value
    raise ValueError(f"method must be the name of a method such as 'read', or None, not {value!r}")


def status(value: object) -> int:
    """An HTTP status."""
    if isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599:
        return value
    raise ValueError(f"status must be an HTTP status from 200 to 599, not {value!r}")


def flag(name: str, value: object) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"{name} must be true or false, not {value!r}")


def whole(name: str, value: object) -> int:
    """A whole number of at least 1."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def seconds(name: str, value: object) -> float:
    """A number of seconds."""
    number = -1.0 if isinstance(value, bool) or not isinstance(value, (int, float)) else value
    if math.isfinite(number) and number >= 0:
        return float(number)
    raise ValueError(f"{name} must be a number of seconds, 0 or more, not {value!r}")


def headers(value: object) -> Optional[dict[str, str]]:
    """HTTP headers, or None."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"headers must map names to values, not {value!r}")
    return {str(name): str(content) for name, content in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON


def body(text: object, encoded: object) -> Optional[bytes]:
    """A body, given as text or as base64, or None."""
    if isinstance(text, str):
        return text.encode()
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError("body_base64 must be base64") from None
    if text is None and encoded is None:
        return None
    raise ValueError("body must be text or bytes")


def fraction(value: object) -> float:
    """A chance."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise ValueError(f"fraction must be a number above 0, at most 1, not {value!r}")


def choice(name: str, value: object, known: Iterable[str]) -> str:
    """One of some words."""
    if isinstance(value, str) and value in known:
        return value
    raise ValueError(f"{name} must be one of {', '.join(sorted(known))}, not {value!r}")
