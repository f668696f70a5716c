"""The ranges that ``summarize`` groups values into: tens, weeks, first letters.

A live site's names of such groups were not recorded; these say what they hold.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Callable, Union

from . import dates

_SIZES = {
    "tens": 10,
    "hundreds": 100,
    "thousands": 1_000,
    "tensofthousands": 10_000,
    "hundredsofthousands": 100_000,
    "millions": 1_000_000,
}
_EPOCH = date(1970, 1, 1)
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip

Value = Union[str, int, float, None]


def bucket(kind: str, value: Value) -> Union[str, int, None]:
    """Returns the bucket that a stored value falls into: its lower end or its word.

    Args:
        kind: A grouping type other than ``exact`` and ``entitytype``.
        value: A number, a date or time as stored, or a text; None stays None.
    """
    if value is None:
        return None
    if kind in _SIZES:
        return int(float(value) // _SIZES[kind] * _SIZES[kind])
    text = str(value)
    if kind == "firstletter":
        return text[:1].upper()
    day = dates.read_date(text[:10])
    return None if day is None else _DAYS[kind](date.fromisoformat(day))


def bucket_name(kind: str, value: Union[str, int, None]) -> str:
    """Returns the name of a bucket for display; ``""`` for the one without a value."""
    if value is None:
        return ""
    if kind in _SIZES and isinstance(value, int):
        return f"{value}-{value + _SIZES[kind] - 1}"
    text = str(value)
    if kind == "month":
        return f"{_MONTHS[int(text[5:7]) - 1]} {text[:4]}"
    if kind == "quarter":
        return f"Q{int(text[5:7]) // 3 + 1} {text[:4]}"
    return text[:4] if kind == "year" else text


def _quarter(day: date) -> str:
    return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1).isoformat()


def _five_days(day: date) -> str:
    return (day - timedelta(days=(day - _EPOCH).days % 5)).isoformat()


def _cluster(day: date) -> str:
    away = (day - dates.utc_now().date()).days
    if away == 0:
        return "Today"
    if away < 0:
        return "Last 7 Days" if away >= -7 else "Earlier"
    return "Next 7 Days" if away <= 7 else "Later"


_DAYS: dict[str, Callable[[date], str]] = {
    "day": date.isoformat,
    "oneday": date.isoformat,
    "fivedays": _five_days,
    "week": lambda day: (day - timedelta(days=day.weekday())).isoformat(),
    "month": lambda day: day.replace(day=1).isoformat(),
    "quarter": _quarter,
    "year": lambda day: day.replace(month=1, day=1).isoformat(),
    "clustered_date": _cluster,
}

NUMBER_KINDS = frozenset(_SIZES)
DATE_KINDS = frozenset(_DAYS)
CLUSTERS = ("Earlier", "Last 7 Days", "Today", "Next 7 Days", "Later")
"""The buckets of ``clustered_date`` in order of time."""
