"""From the bytes of an answer to the values that the official client makes of them, at less cost.

The official client copies every answer and looks at each of its values with several calls, and a
date costs it a dozen. Here an answer is read by ``orjson`` if that is installed, its dates are put
in where they stand, and a date costs two additions. The values are the same: type, value, the time
zone object, the order of dictionaries. What is rare is left to the official client's own methods:
numbers that ``orjson`` would round, text that it refuses, days on which the clock is changed.

What it leans on in ``shotgun_api3`` is in ``contract.py``, and :func:`disagreements` tries it on an
example. Whatever a user's class, an instance or a patch of ``Shotgun`` has changed stays in use:
:func:`decodes_as_official` tells.
"""

from __future__ import annotations

import operator
import os
import time
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, Callable, Final, Optional

from shotgun_api3 import shotgun as official_module
from shotgun_api3.shotgun import Shotgun

try:
    import orjson as _orjson
except ImportError:
    orjson: Any = None
else:
    orjson = _orjson

__all__ = ["OwnDecoding", "convert", "decoded", "decodes_as_official", "disagreements"]

# The parts of a date-time as the site writes it, such as "2026-03-29" "T01:30" ":00Z".
_MINUTES: Final = {
    f"T{hour:02}:{minute:02}": timedelta(hours=hour, minutes=minute)
    for hour in range(24)
    for minute in range(60)
}
_SECONDS: Final = {f":{second:02}Z": timedelta(seconds=second) for second in range(60)}
_LENGTH: Final = 20
# Around a change of the clock the local time is not certain for as long as the change is wide,
# which is two hours at most; a day is regular if it is that far from any.
_MARGINS: Final = (timedelta(hours=-3), timedelta(hours=27))
_MOST_DAYS: Final = 20_000

_Days = dict[str, Optional[datetime]]

# What each day begins with in local time, None if that does not tell the rest of the day. One
# dictionary for each setting of the time zone that was met; see _days().
_known_days: dict[tuple[Any, ...], _Days] = {}

# orjson reads longer integers as floats.
_DIGITS: Final = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_LONG: Final = b"0" * 19

# Fields of these types stay as they are when records are parsed.
_LEFT_ALONE: Final = frozenset({bool, int, float, list, datetime, type(None)})

# What OwnDecoding stands before; what somebody has put in its place must not be hidden by it.
_OFFICIAL_LOADS: Final = vars(Shotgun).get("_json_loads")
_OFFICIAL_PARSE: Final = vars(Shotgun).get("_parse_records")


class OwnDecoding(Shotgun):
    """The steps that the client takes with every answer."""

    def _json_loads(self, body: Any) -> Any:
        """As in ``Shotgun``: what the stdlib's ``json`` makes of *body*, and its errors."""
        if (
            orjson is not None
            and type(body) is bytes
            and _LONG not in body.translate(_DIGITS)
            and vars(Shotgun).get("_json_loads") is _OFFICIAL_LOADS
        ):
            try:
                return orjson.loads(body)
            except ValueError:
                pass  # NaN, half a surrogate pair, UTF-16, no JSON: the stdlib knows what to do
        return super()._json_loads(body)

    def _parse_records(self, records: Any) -> Any:
        """As in ``Shotgun``: thumbnails, paths of local files, and ``<`` in the fields."""
        unchanged = vars(Shotgun).get("_parse_records") is _OFFICIAL_PARSE
        if unchanged and type(records) is list and parse_records(self, records):
            return records
        return super()._parse_records(records)


def parse_records(client: Any, records: list[Any]) -> bool:
    """Do to *records* what ``Shotgun._parse_records`` does; False if that must do it.

    It must for no records, and for a site so old that it has to be asked for each thumbnail.
    """
    asked = False  # what site it is
    for record in records:
        if not isinstance(record, dict):
            continue
        if not asked and record.get("image"):
            asked = True
            version = client.server_caps.version
            if version and version < (3, 3, 0):
                return False
        for field, value in record.items():
            kind = type(value)
            if kind is str:
                if "&lt;" in value:
                    record[field] = value.replace("&lt;", "<")
            elif kind not in _LEFT_ALONE:
                _parse_value(client, record, field, value)
    return bool(records)


def _parse_value(client: Any, record: dict[str, Any], field: str, value: Any) -> None:
    if isinstance(value, dict):
        if value.get("link_type") == "local":
            _add_local_path(value, client.client_caps.local_path_field)
    elif isinstance(value, str) and value:  # of a subclass
        record[field] = value.replace("&lt;", "<")


def _add_local_path(link: dict[str, Any], path_field: str) -> None:
    if path_field in link:
        path = link[path_field]
        link["local_path"] = path
        link["url"] = "file://" + str(path or "")


# The steps with an answer that are not taken one by one, unless somebody has changed one.
_STEPS: Final = (
    "_decode_response",
    "_json_loads",
    "_response_errors",
    "_transform_inbound",
    "_visit_data",
    "_DATE_TIME_PATTERN",
)
_OFFICIAL: Final = tuple(vars(Shotgun).get(name) for name in _STEPS)
_OWN: Final = tuple(vars(OwnDecoding).get(name, vars(Shotgun).get(name)) for name in _STEPS)
_steps_of: Final = operator.attrgetter(*_STEPS)


def decodes_as_official(client: Any) -> bool:
    """Whether nobody has changed how *client* decodes an answer: no class, instance or patch."""
    return (
        _steps_of(type(client)) == _OWN
        and _steps_of(Shotgun) == _OFFICIAL
        and vars(client).keys().isdisjoint(_STEPS)
    )


def decoded(client: Any, headers: Any, body: Any) -> Any:
    """The answer of a site, as ``Shotgun._call_rpc`` makes it from what came.

    Raises:
        Fault: The answer is an error.
        json.JSONDecodeError: It is no JSON.
    """
    answer = client._decode_response(headers, body)
    client._response_errors(answer)
    if decodes_as_official(client):
        return convert(client, answer)
    return client._transform_inbound(answer)


def convert(client: Any, answer: Any) -> Any:
    """*answer* with its dates, as ``client._transform_inbound`` would copy it.

    Args:
        client: The client whose settings count.
        answer: What was decoded from JSON, and nobody else holds: it is changed in place.
    """
    kind = type(answer)
    if kind is dict:
        _convert_dict(answer, _date_converter(client))
    elif kind is list:
        _convert_list(answer, _date_converter(client))
    else:
        return Shotgun._transform_inbound(client, answer)
    return answer


def _convert_dict(values: dict[str, Any], date: Callable[[str], Any]) -> None:
    for key, value in values.items():
        kind = type(value)
        if kind is str:
            if len(value) == _LENGTH:
                values[key] = date(value)
        elif kind is dict:
            _convert_dict(value, date)
        elif kind is list:
            _convert_list(value, date)


def _convert_list(values: list[Any], date: Callable[[str], Any]) -> None:
    for index, value in enumerate(values):
        kind = type(value)
        if kind is dict:
            _convert_dict(value, date)
        elif kind is str:
            if len(value) == _LENGTH:
                values[index] = date(value)
        elif kind is list:
            _convert_list(value, date)


def _date_converter(client: Any) -> Callable[[str], Any]:
    """A function that makes of a string of 20 characters what *client* makes of it."""
    days = _days(client)

    def official(text: str) -> Any:
        return Shotgun._transform_inbound(client, text)

    def date(text: str) -> Any:
        try:
            return days[text[:10]] + _MINUTES[text[10:16]] + _SECONDS[text[16:]]  # type: ignore[operator]  # None + is a TypeError
        except (KeyError, TypeError):
            pass
        day = text[:10]
        if day not in days and text[10:16] in _MINUTES and text[16:] in _SECONDS:
            if len(days) >= _MOST_DAYS:
                days.clear()
            days[day] = _start_of(day, official)
        return official(text)

    return date


def _start_of(day: str, official: Callable[[str], Any]) -> Optional[datetime]:
    """When *day* begins, if the rest of it follows from that."""
    try:
        midnight = datetime.fromisoformat(day)
        start = official(f"{day}T00:00:00Z")
        if midnight.isoformat()[:10] != day or not isinstance(start, datetime):
            return None
        for margin in _MARGINS:
            moment = official(f"{(midnight + margin).isoformat()}Z")
            if moment.tzinfo is not start.tzinfo or moment - margin != start:
                return None
    except (ValueError, OverflowError, OSError):  # no date, or beyond what the system can convert
        return None
    return start


def _days(client: Any) -> _Days:
    """What is known of the days, with the settings that *client* and the process have now."""
    setting = (bool(client.config.convert_datetimes_to_utc), *_zone())
    days = _known_days.get(setting)
    if days is None:
        if len(_known_days) >= 10:
            _known_days.clear()
        days = _known_days[setting] = {}
    return days


def _zone() -> tuple[Any, ...]:
    """What the official client's local time depends on."""
    zones: Any = official_module.SG_TIMEZONE
    return (
        os.environ.get("TZ"),
        time.tzname,
        time.timezone,
        time.altzone,
        zones.utc,
        zones.local,
        zones.STDOFFSET,
        zones.DSTOFFSET,
        zones.DSTDIFF,
    )


_EXAMPLE: Final = rb"""{"results": {"entities": [
    {"type": "Shot", "id": 18446744073709551616, "code": "a &lt; b", "text": "\ud800", "no": null,
     "created_at": "2026-07-01T12:00:00Z", "odd": "2026-02-30T12:00:00Z", "ratio": NaN,
     "nested": {"description": "&lt;", "at": "2026-07-01t12:00:00z"}},
    {"type": "Shot", "id": 2, "list": ["2026-01-31T23:59:59Z", {}, [], "", false],
     "file": {"link_type": "local", "local_path_linux": "/a", "local_path_mac": "/b",
              "local_path_windows": "c:\\d"}}, 3]}}"""


def disagreements() -> list[str]:
    """What the installed client makes in another way; nothing if all is as it was known."""
    found = [
        f"{name} was replaced"
        for name, step in zip(_STEPS, _OFFICIAL)
        if callable(step) and getattr(step, "__module__", None) != Shotgun.__module__
    ]
    try:
        same = all(_agrees(utc) for utc in (True, False))
    except Exception as error:
        found.append(f"it decodes an example with {type(error).__name__}")
    else:
        found += [] if same else ["it makes other values of an answer"]
    return found


def _agrees(utc: bool) -> bool:
    """Whether the official client and we make the same of the example."""
    client: Any = object.__new__(Shotgun)
    own: Any = object.__new__(OwnDecoding)
    for one in (client, own):
        one.config = SimpleNamespace(convert_datetimes_to_utc=utc)
        one.client_caps = official_module.ClientCapabilities()  # type: ignore[no-untyped-call]  # it has no types
    expected = client._transform_inbound(client._json_loads(_EXAMPLE))
    client._parse_records(expected["results"]["entities"])
    answer = convert(own, own._json_loads(_EXAMPLE))
    own._parse_records(answer["results"]["entities"])
    return repr(answer) == repr(expected)
