"""Dates and times as the site writes, reads and filters them; all in UTC."""

from __future__ import annotations

import calendar
import re
from datetime import date, datetime, timedelta, timezone
from typing import Optional

UNITS = ("HOUR", "DAY", "WEEK", "MONTH", "YEAR")
CALENDARS = ("day", "week", "month", "year")

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_DATE_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2})?(?:\.\d+)?\s?(Z|UTC|[+-]\d{2}:?\d{2})?\Z",
    re.ASCII,
)


def utc_now() -> datetime:
    """Returns the time of the site's clock; tests put their own in its place."""
    return datetime.now(timezone.utc)


def write_time(moment: datetime) -> str:
    """Returns a UTC time as the site stores and sends it: ``2026-01-31T12:00:00Z``."""
    return moment.isoformat(timespec="seconds")[:19] + "Z"


def read_date(text: str) -> Optional[str]:
    """Returns the stored form of a date, or None if `text` is not ``YYYY-MM-DD``."""
    if not _DATE.match(text):
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def read_time(text: str) -> Optional[str]:
    """Returns the stored form of an ISO time, or None if `text` is none.

    An offset is taken into account, parts of a second are dropped, and a date alone means midnight.
    """
    if _DATE.match(text):
        day = read_date(text)
        return None if day is None else f"{day}T00:00:00Z"
    match = _DATE_TIME.match(text)
    if not match:
        return None
    day, minutes, seconds, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}+00:00")
        return write_time(moment - _offset(zone))
    except (ValueError, OverflowError):
        return None


def _offset(zone: Optional[str]) -> timedelta:
    if zone in (None, "Z", "UTC"):
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError(zone)
    size = timedelta(hours=hours, minutes=minutes)
    return -size if zone[0] == "-" else size


def relative_range(count: int, unit: str) -> tuple[datetime, datetime]:
    """Returns the range from now to `count` units away; a negative count lies in the past.

    Raises:
        OverflowError: The range leaves the years 1 to 9999.
    """
    now = utc_now()
    other = _away(now, count, unit)
    return (other, now) if count < 0 else (now, other)


def _away(now: datetime, count: int, unit: str) -> datetime:
    if unit in ("MONTH", "YEAR"):
        return _months_away(now, count * (12 if unit == "YEAR" else 1))
    hours = {"HOUR": 1, "DAY": 24, "WEEK": 168}[unit]
    return now + timedelta(hours=hours * count)


def _months_away(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError("year out of range")
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def calendar_range(bucket: str, offset: int) -> tuple[datetime, datetime]:
    """Returns first and last second of a calendar day, week, month or year.

    Args:
        bucket: One of `CALENDARS`. Weeks begin on Monday.
        offset: 0 is the present one, -1 the one before, 1 the next.

    Raises:
        OverflowError: The range leaves the years 1 to 9999.
    """
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    if bucket == "day":
        start = today + timedelta(days=offset)
        end = start + timedelta(days=1)
    elif bucket == "week":
        start = today - timedelta(days=today.weekday()) + timedelta(weeks=offset)
        end = start + timedelta(weeks=1)
    else:
        first = today.replace(day=1) if bucket == "month" else today.replace(month=1, day=1)
        size = 1 if bucket == "month" else 12
        start = _months_away(first, offset * size)
        end = _months_away(first, (offset + 1) * size)
    return start, end - timedelta(seconds=1)
