"""``find`` of more than one page: the pages are read in parallel.

The first page is asked alone, by the request that ``Shotgun.find`` sends. If the answer says that
there are more, a count of the rows is asked for along with the second page (with many workers also
with the third and fourth), and then all the other pages, so many at a time. Then follows what the
pages have not covered, see ``coverage.py``.

``find_iter`` does so with one window of pages after the other.
"""

from __future__ import annotations

import concurrent.futures
import logging
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union

from shotgun_api3.shotgun import ShotgunError

from shotgun_executor.call import Unfinished
from shotgun_executor.connection import read_page, reads_pages
from shotgun_executor.coverage import Coverage, Range, ids_of
from shotgun_executor.filling import filled
from shotgun_executor.mirror import with_ids
from shotgun_executor.page import PageRead
from shotgun_executor.parts import Parts
from shotgun_executor.query import SIGNATURE, Query, is_by_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shotgun_executor.future import Future

__all__ = ["PagedFind", "Window", "find_first_page", "find_window"]

LOG = logging.getLogger("shotgun_executor")

Submit = Callable[[str, Callable[..., Any], "Sequence[Any]", "Mapping[str, Any]"], "Future[Any]"]
"""Submits a call of the named method, made by the function given, with these arguments."""

_UNCOUNTED = 2
"""Pages beyond the last one known that are asked for on the chance, where nobody can count."""
_FEW = 3
"""So many pages are not worth a count."""
_MANY_WORKERS = 16
_GUESSED = 4
"""With so many workers the pages up to this one are asked for on the chance, along with the count:
most of the workers have nothing else to do for as long as that takes."""
_RANGES = 2_000
"""Ranges of ids in one request; sites take 5,000 conditions (recorded on a live site)."""


def find_first_page(
    submit: Submit,
    at_a_time: int,
    fill: bool,
    client: Any,
    _name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """The records, if one page holds them; else :class:`Unfinished`.

    Args:
        submit: Submits the calls for what the first page does not hold.
        at_a_time: How many of those may be under way.
        fill: There are futures among the arguments, which are done.
        client: A real client, which this thread alone uses.
        args: Of ``find``.
        kwargs: Of ``find``.
    """
    args, kwargs = _filled(args, kwargs) if fill else (args, kwargs)
    args, kwargs = with_ids(type(client), "find", args, kwargs)
    if not reads_pages(client):
        return client.find(*args, **kwargs)
    page = PageRead(1)
    records = read_page(client, page, args, kwargs)
    if page.single or not page.more:
        return records
    query = Query.of(client, args, kwargs, len(records))
    return PagedFind(query, submit, at_a_time).begin(records, page)


class Window(NamedTuple):
    """Some pages of a ``find_iter``."""

    records: list[Any]
    more: bool
    """Whether there may be more."""
    size: int = 0
    """Rows on a page."""
    pages: int = 0
    """How many pages there have been, with this one."""


def find_window(
    submit: Submit,
    pages: int,
    before: Optional[Window],
    after_id: Optional[int],
    fill: bool,
    client: Any,
    _name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """The :class:`Window` of so many pages after another one, or :class:`Unfinished`.

    Args:
        submit: As in :func:`find_first_page`.
        pages: How many pages; all of them are read at a time.
        before: The window before; None: this is the first one.
        after_id: The id after which the rows begin, in their order; None: from the beginning.
        fill: As in :func:`find_first_page`.
        client: As in :func:`find_first_page`.
        args: Of ``find``, without a limit.
        kwargs: Of ``find``, without a limit.
    """
    args, kwargs = _filled(args, kwargs) if fill else (args, kwargs)
    args, kwargs = with_ids(type(client), "find", args, kwargs)
    if not reads_pages(client):
        return _window_of_own_find(client, after_id, args, kwargs)
    query = Query.of(client, args, kwargs, before.size if before else 0)
    if after_id is not None and query.by_id is not None:
        after = Range(after_id + 1, None) if query.by_id else Range(None, after_id - 1)
        query = query._replace(within=(after,))
    if before is not None:
        return PagedFind(query.window(pages, before.pages), submit, pages).begin_all()
    page = PageRead(1, query.within)
    records = read_page(client, page, args, kwargs)
    if page.single or not page.more:
        return Window(records, more=False)
    query = query._replace(size=len(records)).window(pages, 0)
    return PagedFind(query, submit, pages).begin(records, page)


def _window_of_own_find(
    client: Any, after_id: Optional[int], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Window:
    """All records, by the ``find`` of a client that reads its pages in a way of its own."""
    records = client.find(*args, **kwargs)
    if after_id is not None:
        up = is_by_id(SIGNATURE.bind(None, *args, **kwargs).arguments.get("order"))
        records = [
            each for each in records if (each["id"] > after_id if up else each["id"] < after_id)
        ]
    return Window(records, more=False)


class _Answer(NamedTuple):
    """The records of a page, and what the site said of it."""

    records: list[Any]
    page: PageRead


class PagedFind:
    """A ``find`` of more than one page.

    In the order of ids the result is exact: each row that nobody creates, changes, retires or
    revives while it is read is in it once, and in its place. In any other order the pages are read
    by their numbers, as ``Shotgun.find`` does: a row that another one's change moves to another
    page may be missing; none is in the result twice.
    """

    def __init__(self, query: Query, submit: Submit, at_a_time: int) -> None:
        self._query = query
        self._submit = submit
        # What is known of the pages. Guarded by the lock of the parts.
        self._next = query.start
        self._farthest = query.start  # the page of the highest number that is sure to be there
        self._end: Optional[int] = None  # the page that was the last one
        self._counted: Optional[int] = None
        self._to_count = False  # the count was not asked for yet
        self._counting = False
        self._answers: dict[int, _Answer] = {}
        self._error: Optional[BaseException] = None
        self._parts: Parts[Union[int, str]] = Parts(
            self._following, self._submit_part, self._take, at_a_time
        )
        self._coverage = Coverage(descending=query.by_id is False)
        self._asked: Sequence[Range] = ()
        self._at_a_time = at_a_time

    def begin(self, records: list[Any], page: PageRead) -> Unfinished:
        """Go on after the first page."""
        self._next = 2
        self._add(_Answer(records, page))
        wanted = self._query.wanted()
        if wanted is not None and (self._query.pages is not None or wanted <= _FEW):
            self._counted = wanted
        elif page.count is not None:
            self._counted = -(-page.count // self._query.size)
        else:
            self._to_count = self._query.countable and self._at_a_time > 1
        self._parts.fill()
        return Unfinished(self._parts, self._go_on)

    def begin_all(self) -> Unfinished:
        """Ask for all pages of a window at once."""
        self._counted = self._query.pages
        self._parts.fill()
        return Unfinished(self._parts, self._go_on)

    # Which page is next; these run under the lock of the parts.

    def _following(self) -> Union[int, str, None]:
        if self._error is not None:
            return None
        if self._next <= self._farthest:
            return self._take_number()
        if self._to_count:
            self._to_count, self._counting = False, True
            return "count"
        return self._take_number() if self._next <= self._to_ask() else None

    def _take_number(self) -> Optional[int]:
        number = self._next
        last = min(each or number for each in (self._end, self._query.wanted()))
        if number > last:
            return None
        self._next += 1
        return number

    def _to_ask(self) -> int:
        """The number of the last page to ask for, as far as is known."""
        if self._counted is not None:
            return max(self._counted, self._farthest)
        if self._counting:
            return max(self._farthest, _GUESSED if self._at_a_time >= _MANY_WORKERS else 0)
        if self._at_a_time == 1:
            return self._farthest
        return self._farthest + _UNCOUNTED

    def _take(self, item: Union[int, str], future: Future[Any]) -> None:
        error = _failure(future)
        if item == "count":
            self._counting = False
            self._counted = None if error is not None else self._pages_of(future.result())
        elif error is not None:
            self._error = self._error or error
        else:
            self._add(future.result())

    def _pages_of(self, summary: Any) -> Optional[int]:
        try:
            return -(-int(summary["summaries"]["id"]) // self._query.size)
        except (KeyError, TypeError, ValueError):
            return None  # it is a hint, no more

    def _add(self, answer: _Answer) -> None:
        number = answer.page.number
        self._answers[number] = answer
        if answer.page.more:
            self._farthest = max(self._farthest, number + 1)
        else:
            self._end = number if self._end is None else min(self._end, number)

    # Submitting.

    def _submit_part(self, item: Union[int, str]) -> Future[Any]:
        if item == "count":
            return self._submit("summarize", _count, (), self._query.to_count())
        assert isinstance(item, int)
        before = (item - 1) * self._query.size
        reader = _Reader(item, self._query.within, before)
        return self._submit("find", reader, (), self._query.arguments)

    # On a worker, when the pages are there.

    def _go_on(self) -> Any:
        if not self._parts.over and self._error is None:
            return Unfinished(self._parts, self._go_on)
        self._raise_if_failed(self._parts)
        answers = [self._answers[number] for number in sorted(self._answers)]
        self._answers.clear()
        if self._query.by_id is None or not self._cover(answers):
            return self._result(self._once(answers), more=bool(answers and answers[-1].page.more))
        return self._complete([record for answer in answers for record in answer.records])

    def _raise_if_failed(self, parts: Parts[Any]) -> None:
        error = self._error or parts.error
        if error is None:
            return
        parts.stop()
        self._error = parts.error = None  # the error will hold this frame
        try:
            raise error
        finally:
            del self, parts, error

    def _cover(self, answers: Sequence[_Answer]) -> bool:
        """Note which ids were covered; False if the site does not sort by id.

        Raises:
            ShotgunError: It does not, and ``find_iter`` would not know where to go on.
        """
        for records, page in answers:
            ids = ids_of(records)
            if not self._coverage.sorts(ids):
                if self._query.pages is None:
                    return False
                raise ShotgunError("find_iter: the site does not sort by id; give an order")
            self._coverage.add(ids, first=page.number == 1, last=not page.more)
        return True

    def _complete(self, records: list[Any]) -> Any:
        """The result, if nothing was missed; else ask for what may have been."""
        records = self._in_order(records)
        limit = self._query.limit
        until = records[limit - 1]["id"] if limit and len(records) >= limit else None
        gaps = self._coverage.gaps(until)[:_RANGES]
        if not gaps:
            more = len(records) > limit or bool(until is not None and self._coverage.gaps())
            return self._result(records, more=more)
        items = [gaps]
        found: list[_Answer] = []

        def take(_: Sequence[Range], future: Future[Any]) -> None:
            self._error = _failure(future)
            if self._error is None:
                found.append(future.result())

        def submit(ranges: Sequence[Range]) -> Future[Any]:
            return self._submit("find", _Reader(1, ranges), (), self._query.arguments)

        def go_on() -> Any:
            if not parts.over:
                return Unfinished(parts, go_on)
            self._raise_if_failed(parts)
            ids = ids_of(found[0].records)
            self._coverage.add_ranges(gaps, ids, last=not found[0].page.more)
            return self._complete(records + found[0].records)

        parts: Parts[Sequence[Range]] = Parts(
            lambda: items.pop() if items else None, submit, take, 1
        )
        parts.fill()
        return Unfinished(parts, go_on)

    def _result(self, records: list[Any], *, more: bool) -> Any:
        limit, pages = self._query.limit, self._query.pages
        records = records[:limit] if limit else records
        return records if pages is None else Window(records, more, self._query.size, pages)

    def _in_order(self, records: list[Any]) -> list[Any]:
        """Each row once, by id; of several answers the last one counts."""
        if self._coverage.sorts(ids_of(records)):
            return records
        by_id = {record["id"]: record for record in records}
        return [by_id[number] for number in sorted(by_id, reverse=self._query.by_id is False)]

    def _once(self, answers: Sequence[_Answer]) -> list[Any]:
        """The records in the order of the pages, each row once."""
        seen: dict[Any, Any] = {}
        count = 0
        for records, _ in answers:
            count += len(records)
            for number, record in zip(ids_of(records), records):
                seen.setdefault(number, record)
        if len(seen) < count and None not in seen:
            LOG.warning(
                "find %s: rows have moved from page to page while these were read: %d came twice, "
                "and others may be missing; without an order, or by id, none would be",
                self._query.arguments["entity_type"],
                count - len(seen),
            )
            return list(seen.values())
        return [record for records, _ in answers for record in records]


class _Reader:
    """Reads one page on a client."""

    __slots__ = ("_before", "_number", "_ranges")

    def __init__(self, number: int, ranges: Sequence[Range] = (), before: int = 0) -> None:
        self._number = number
        self._ranges = ranges
        self._before = before

    def __call__(
        self, client: Any, _name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> _Answer:
        page = PageRead(self._number, self._ranges, self._before)
        return _Answer(read_page(client, page, args, kwargs), page)


def _filled(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    return [filled(each) for each in args], {name: filled(each) for name, each in kwargs.items()}


def _count(client: Any, _name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return client.summarize(*args, **kwargs)


def _failure(future: Future[Any]) -> Optional[BaseException]:
    if future.cancelled():
        return concurrent.futures.CancelledError()
    return future.exception()
