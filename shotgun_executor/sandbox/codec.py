"""JSON to Python and back: with orjson if it is installed, with the same results if not."""

from __future__ import annotations

import json
from typing import Any, Callable

from .faults import Fault

try:
    import orjson as _orjson
except ImportError:  # pragma: no cover  # without the extra; the results are the same
    orjson: Any = None
else:
    orjson = _orjson


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _plain_loads(body: bytes) -> Any:
    value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    if b"\\ud" in body or b"\\uD" in body:
        # Half a surrogate pair is no text; orjson refuses it while it reads.
        _plain_dumps(value)
    return value


def _plain_dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


loads: Callable[[bytes], Any] = _plain_loads if orjson is None else orjson.loads
encode: Callable[[Any], bytes] = _plain_dumps if orjson is None else orjson.dumps


def decode(body: bytes) -> Any:
    """Returns the value of a JSON body.

    Raises:
        Fault: The body is not JSON in UTF-8, or nests too deep.
    """
    try:
        return loads(body)
    except (ValueError, RecursionError):
        raise Fault("The body of a call must be JSON in UTF-8.") from None


def encode_fault(fault: Fault) -> bytes:
    """Returns the envelope of a fault. The text may hold anything that a caller sent."""
    envelope = {"exception": True, "message": fault.message, "error_code": fault.code}
    return json.dumps(envelope).encode("ascii")
