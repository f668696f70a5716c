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
import re
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
_JSON: Final = "application/json"
# Around a change of the clock the local time is not certain for as long as the change is wide,
# which is two hours at most; days are regular if they are that far from any change.
_MARGIN: Final = timedelta(hours=3)
# In no zone of the tz database is the clock put back or forth twice within this time.
_STEP: Final = timedelta(days=3, hours=12)
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_MOST_DAYS: Final = 20_000
_ENOUGH: Final = 10  # records, to see which fields have dates

# A body where each digit is a zero and each letter a capital, to find in it what looks like ...
_SHAPES: Final = (
    bytes(range(256))
    .upper()
    .translate(bytes(48 if 48 <= byte <= 57 else byte for byte in range(256)))
)
# ... a date, or an integer that orjson might read as a float.
_DATE: Final = b'"0000-00-00T00:00:00Z"'
_LONG: Final = b"0" * 19
_ZEROS: Final = re.compile(b"0+")

# Fields of these types stay as they are when records are parsed.
_LEFT_ALONE: Final = frozenset({bool, int, float, list, datetime, type(None)})

# What OwnDecoding stands before; what somebody has put in its place must not be hidden by it.
_OFFICIAL_LOADS: Final = vars(Shotgun).get("_json_loads")
_OFFICIAL_PARSE: Final = vars(Shotgun).get("_parse_records")


class OwnDecoding(Shotgun):
    """The steps that the client takes with every answer."""

    def _json_loads(self, body: Any) -> Any:
        """As in ``Shotgun``: what the stdlib's ``json`` makes of *body*, and its errors."""
        unchanged = vars(Shotgun).get("_json_loads") is _OFFICIAL_LOADS
        if unchanged and orjson is not None and type(body) is bytes:
            return _loads(self, body, body.translate(_SHAPES))
        return super()._json_loads(body)

    def _parse_records(self, records: Any) -> Any:
        """As in ``Shotgun``: thumbnails, paths of local files, and ``<`` in the fields."""
        unchanged = vars(Shotgun).get("_parse_records") is _OFFICIAL_PARSE
        if unchanged and type(records) is list and parse_records(self, records):
            return records
        return super()._parse_records(records)


def _loads(client: Any, body: bytes, shapes: bytes) -> Any:
    if orjson is not None and not _has_long_number(shapes):
        try:
            return orjson.loads(body)
        except ValueError:
            pass  # NaN, half a surrogate pair, UTF-16, no JSON: the stdlib knows what to do
    return Shotgun._json_loads(client, body)  # type: ignore[arg-type]  # it takes bytes as well


def _has_long_number(shapes: bytes) -> bool:
    """Whether there may be an integer that ``orjson`` would read as a float."""
    at = shapes.find(_LONG)
    while at >= 0:
        digits = _ZEROS.match(shapes, at)
        if digits is None or shapes[at - 1 : at] != b".":
            return True
        at = shapes.find(_LONG, digits.end())  # past the decimals of a float
    return False


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
    as_official = decodes_as_official(client)
    kind = headers.get("content-type")
    shapes = None
    if as_official and type(body) is bytes and body and kind and kind.startswith(_JSON):
        shapes = body.translate(_SHAPES)
        answer = _loads(client, body, shapes)
    else:
        answer = client._decode_response(headers, body)
    client._response_errors(answer)
    if as_official:
        return convert(client, answer, _dates_in(body, shapes))
    return client._transform_inbound(answer)


def _dates_in(body: Any, shapes: Optional[bytes]) -> Optional[int]:
    """How many dates are in the JSON of *body*, or could be; None if that is not seen so easily."""
    if shapes is None or b"\0" in body or (b"\\" in body and b"\\u" in body):
        return None  # with zeros it is not UTF-8
    if body.isascii():
        return shapes.count(_DATE)
    return shapes.count(b'Z"')  # there are more digits than those of ASCII


def convert(client: Any, answer: Any, dates: Optional[int]) -> Any:
    """*answer* with its dates, as ``client._transform_inbound`` would copy it.

    Args:
        client: The client whose settings count.
        answer: What was decoded from JSON, and nobody else holds: it is changed in place.
        dates: How many dates it has at most; None if that is not known.
    """
    kind = type(answer)
    if kind is not dict and kind is not list:
        return Shotgun._transform_inbound(client, answer)
    if dates == 0:
        return answer
    date = _date_converter(client)
    if kind is list:
        _convert_list(answer, date)
    elif dates is None or not _all_dates_are_fields(answer, dates, date):
        _convert_dict(answer, date)
    return answer


def _all_dates_are_fields(answer: dict[str, Any], dates: int, date: Callable[[str], Any]) -> bool:
    """Put in the dates of records, and tell whether these were all.

    Most of a page is links, which seldom hold a date, and most records have theirs in the same
    fields. If as many were found there as the body has, nothing else needs to be looked at.
    """
    results = answer.get("results")
    records = results.get("entities") if type(results) is dict else results
    if type(records) is not list:
        records = [results]
    records = [record for record in records if type(record) is dict]
    fields = {
        field
        for record in records[:_ENOUGH]
        for field, value in record.items()
        if type(value) is str and len(value) == _LENGTH
    }
    for record in records:
        for field in fields:
            value = record.get(field)
            if type(value) is str and len(value) == _LENGTH:
                converted = record[field] = date(value)
                dates -= converted is not value
    return dates == 0


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
    calendar = _calendar(client)
    days = calendar.days

    def official(text: str) -> Any:
        return Shotgun._transform_inbound(client, text)

    def date(text: str) -> Any:
        try:
            return days[text[:10]] + _MINUTES[text[10:16]] + _SECONDS[text[16:]]  # type: ignore[operator]  # None + is a TypeError
        except (KeyError, TypeError):
            pass
        if text[:10] not in days and text[10:16] in _MINUTES and text[16:] in _SECONDS:
            calendar.learn(text[:10], official)
            return date(text)
        return official(text)

    return date


class _Calendar:
    """When the days begin in local time, with one setting of the time zone.

    All is learned from the official client, which is asked for a few moments of a week; only in
    weeks in which the clock is changed it is asked for each day, and on the days around the change
    for each date.
    """

    __slots__ = ("days", "weeks")

    def __init__(self) -> None:
        # None where the time of the beginning does not tell the rest of the day or week.
        self.days: dict[str, Optional[datetime]] = {}
        self.weeks: dict[datetime, Optional[datetime]] = {}

    def learn(self, day: str, official: Callable[[str], Any]) -> None:
        """Find out about *day*, the first ten characters of what may be a date."""
        if len(self.days) >= _MOST_DAYS:
            self.days.clear()
            self.weeks.clear()
        self.days[day] = self._start(day, official)

    def _start(self, day: str, official: Callable[[str], Any]) -> Optional[datetime]:
        try:
            midnight = datetime.fromisoformat(day)
        except ValueError:
            return None
        if midnight.isoformat()[:10] != day:
            return None
        monday = midnight - timedelta(days=midnight.weekday())
        if monday not in self.weeks:
            self.weeks[monday] = _regular(monday, _WEEK, official)
        start = self.weeks[monday]
        if start is not None:
            return start + (midnight - monday)
        return _regular(midnight, _DAY, official)


def _regular(
    start: datetime, length: timedelta, official: Callable[[str], Any]
) -> Optional[datetime]:
    """*start*, which is in UTC, in local time; None if the clock is changed within *length*."""
    shifts = [-_MARGIN, length + _MARGIN]
    if length > _STEP:
        shifts.append(_STEP)
    try:
        found = [official(f"{(start + shift).isoformat()}Z") - shift for shift in shifts]
    except (TypeError, ValueError, OverflowError, OSError):  # beyond what the system can convert
        return None
    local: datetime = found[0]
    same = all(moment == local and moment.tzinfo is local.tzinfo for moment in found)
    return local if same else None


# One for each setting that was met.
_calendars: dict[tuple[Any, ...], _Calendar] = {}


def _calendar(client: Any) -> _Calendar:
    """What is known of the days, with the settings that *client* and the process have now."""
    setting = (bool(client.config.convert_datetimes_to_utc), *_zone())
    calendar = _calendars.get(setting)
    if calendar is None:
        if len(_calendars) >= 10:
            _calendars.clear()
        calendar = _calendars[setting] = _Calendar()
    return calendar


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
    expected = client._decode_response({"content-type": _JSON}, _EXAMPLE)
    client._response_errors(expected)
    expected = client._transform_inbound(expected)
    client._parse_records(expected["results"]["entities"])
    answers = [decoded(own, {"content-type": _JSON}, _EXAMPLE)]
    answers.append(convert(own, own._json_loads(_EXAMPLE), None))
    for answer in answers:
        own._parse_records(answer["results"]["entities"])
    return all(repr(answer) == repr(expected) for answer in answers)
