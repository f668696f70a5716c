"""Which ids the answers to a read have covered, and which have not been asked for.

The rows of a page in the order of their ids are a contiguous slice of all rows that there were when
the site answered: each row whose id is between the first and the last of them is among them. So
what is between two neighbouring slices, and only that, may hold rows that nobody has seen: rows
that have moved to another page, since others were created or retired meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Coverage", "Range", "ids_of"]


class Range(NamedTuple):
    """Ids from *low* to *high*, both of them included; None: without end."""

    low: Optional[int]
    high: Optional[int]


# Ends that nothing reaches; ids are integers of the site's database.
_NONE_BEFORE = -(1 << 63)
_NONE_AFTER = 1 << 63


class Coverage:
    """The ids that were covered, by answers that are sorted by id in one direction."""

    def __init__(self, *, descending: bool = False) -> None:
        self._sign = -1 if descending else 1
        # Spans of ids times the sign, so that they ascend; merged by gaps(), in no order until then
        self._spans: list[tuple[int, int]] = []

    def sorts(self, ids: Sequence[Any]) -> bool:
        """Whether *ids* are integers in the order that this is about."""
        if not all(type(number) is int for number in ids):
            return False
        if self._sign > 0:
            return all(a < b for a, b in zip(ids, ids[1:]))
        return all(a > b for a, b in zip(ids, ids[1:]))

    def add(self, ids: Sequence[int], *, first: bool = False, last: bool = False) -> None:
        """An answer had the rows of these ids.

        Args:
            ids: In order.
            first: There were none before them.
            last: There were none after them.
        """
        if not ids:
            if first and last:
                self._spans.append((_NONE_BEFORE, _NONE_AFTER))
            return
        low = _NONE_BEFORE if first else ids[0] * self._sign
        high = _NONE_AFTER if last else ids[-1] * self._sign
        self._spans.append((low, high))

    def add_ranges(self, ranges: Sequence[Range], ids: Sequence[int], *, last: bool) -> None:
        """An answer about *ranges* had the rows of these ids.

        Args:
            ranges: As :meth:`gaps` has returned them.
            ids: In order.
            last: There were none after them.
        """
        reached = _NONE_AFTER if last else ids[-1] * self._sign
        for low, high in map(self._span, ranges):
            if low <= reached:
                self._spans.append((low, min(high, reached)))

    def gaps(self, until: Optional[int] = None) -> list[Range]:
        """What was not covered, in order; of what comes before the id *until*, if that is given."""
        found = []
        reached = _NONE_BEFORE
        end = _NONE_AFTER if until is None else until * self._sign
        spans: list[tuple[int, int]] = []
        for low, high in sorted(self._spans):
            if spans and low <= reached + 1:
                reached = max(reached, high)
                spans[-1] = (spans[-1][0], reached)
                continue
            if low > reached + 1 and reached < end:
                found.append(self._range(reached + 1, min(low - 1, end)))
            spans.append((low, high))
            reached = high
        self._spans = spans
        if reached < end:
            found.append(self._range(reached + 1, end))
        return found

    def _range(self, low: int, high: int) -> Range:
        first = None if low <= _NONE_BEFORE + 1 else low * self._sign
        last = None if high >= _NONE_AFTER else high * self._sign
        return Range(first, last) if self._sign > 0 else Range(last, first)

    def _span(self, ids: Range) -> tuple[int, int]:
        first, last = ids if self._sign > 0 else (ids.high, ids.low)
        low = _NONE_BEFORE if first is None else first * self._sign
        high = _NONE_AFTER if last is None else last * self._sign
        return low, high


def ids_of(records: Sequence[Any]) -> list[Any]:
    """The ids of records; None for what is none."""
    return [record.get("id") if isinstance(record, dict) else None for record in records]
