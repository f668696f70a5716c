"""Looking up many entities: chunks of values, in parallel, and what was found for each value."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from shotgun_executor.call import Unfinished
from shotgun_executor.errors import IncompleteError
from shotgun_executor.filling import filled
from shotgun_executor.parts import Parts
from shotgun_executor.plain import copy_plain

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from shotgun_executor.future import Future

__all__ = ["Lookup", "Question", "align", "align_first", "chunks_of", "key_of"]


class Question(NamedTuple):
    """The records of an entity type whose *field* has one of the values."""

    entity_type: str
    field: str
    values: Any
    fields: list[str]
    filters: Any
    keywords: dict[str, Any]
    """What else ``find`` is told."""
    chunk_size: int
    """How many values one call asks for."""
    chunk_bytes: int
    """How many bytes they take in it."""

    def __str__(self) -> str:
        return f"looking up {self.entity_type} by {self.field}"

    @property
    def field_is_extra(self) -> bool:
        """Whether the field is asked for only to tell whose record it is."""
        return self.field not in ("id", "type", *self.fields)


Found = dict["Hashable", list[dict[str, Any]]]


class Lookup:
    """The calls that answer a :class:`Question`. A chunk that fails does not end the others."""

    def __init__(
        self,
        question: Question,
        find: Callable[[Sequence[Any], dict[str, Any]], Future[Any]],
        arrange: Callable[[Question, Found], Any],
        at_a_time: int,
    ) -> None:
        """Nothing is sent before :meth:`begin`.

        Args:
            question: What is asked for.
            find: Submits a ``find`` with these arguments.
            arrange: Makes the result of what was found for each key, see :func:`key_of`.
            at_a_time: How many calls may be under way.
        """
        self._question = question
        self._find = find
        self._arrange = arrange
        self._at_a_time = at_a_time
        self._found: Found = {}
        self._answered: set[Hashable] = set()  # the keys that were looked for
        self._error: Optional[BaseException] = None  # the first one

    def begin(self) -> Any:
        """Submit the first calls; on a worker, when the futures among the arguments are done."""
        values, filters = filled(self._question.values), filled(self._question.filters)
        if self._question.field == "id":
            values = [id_of(value, self._question.entity_type) for value in values]
        question = self._question = self._question._replace(values=list(values), filters=filters)
        once = {key_of(value): value for value in question.values}
        chunks = chunks_of(map(_sent, once.values()), question.chunk_size, question.chunk_bytes)
        self._parts: Parts[list[Any]] = Parts(
            lambda: next(chunks, None), self._submit, self._take, self._at_a_time
        )
        self._parts.fill()
        return self._go_on()

    def _submit(self, chunk: list[Any]) -> Future[Any]:
        question = self._question
        fields = [*question.fields, question.field] if question.field_is_extra else question.fields
        filters = [[question.field, "in", chunk], *question.filters]
        keywords = dict(question.keywords)
        if question.field == "id":
            keywords["limit"] = len(chunk)  # there are no more: need not be counted
        return self._find((question.entity_type, filters, fields), keywords)

    def _take(self, chunk: list[Any], future: Future[Any]) -> None:
        """Keep what a call has found; under the lock of the parts."""
        if future.cancelled():
            return  # so is the whole
        error = future.exception()
        try:
            if error is None:
                wanted = {key_of(value) for value in chunk}
                self._sort_in(wanted, future.result())
                self._answered |= wanted
        except Exception as caught:
            error = caught
        self._error = self._error or error

    def _sort_in(self, wanted: set[Hashable], records: Iterable[dict[str, Any]]) -> None:
        question, mine = self._question, []
        for record in records:
            keys = _keys(record.get(question.field), wanted)
            if not keys:
                raise ValueError(
                    f"{question}: the site has found {question.entity_type} {record.get('id')}, "
                    f"but its {question.field} is none of the values; use find()"
                )
            if question.field_is_extra:
                record.pop(question.field)
            mine += [(key, record) for key in dict.fromkeys(keys)]
        for key, record in mine:
            self._found.setdefault(key, []).append(record)

    def _go_on(self) -> Any:
        if not self._parts.over:
            return Unfinished(self._parts, self._go_on)
        error, self._error = self._parts.error or self._error, None
        try:
            if error is not None and not self._found:
                raise error  # as it is: there is nothing that would be lost
            result = self._arrange(self._question, self._found)
            if error is not None:
                raise self._incomplete(result, error) from error
            return result
        finally:
            del self, error  # the error holds this frame

    def _incomplete(self, partial: Any, error: BaseException) -> IncompleteError:
        question = self._question
        values = [value for value in question.values if key_of(value) not in self._answered]
        return IncompleteError(
            f"{question} failed for {len(values)} of {len(question.values)} values, which `failed` "
            f"has; `partial` has the rest: {error}",
            partial=partial,
            failed=values,
        )


# The results.


def align(question: Question, found: Found) -> list[list[dict[str, Any]]]:
    """The records for each value, in the order of the values; each list has its own records."""
    lent: set[int] = set()
    return [
        [_own(record, lent) for record in found.get(key_of(value), ())] for value in question.values
    ]


def align_first(question: Question, found: Found, missing: str) -> list[Any]:
    """The record for each id; *missing* says what stands for one that was not found."""
    records = [each[0] if each else None for each in align(question, found)]
    absent = [value for value, record in zip(question.values, records) if record is None]
    if absent and missing == "raise":
        raise IncompleteError(
            f"{len(absent)} of {len(records)} ids were not found, which `missing` has: "
            f"{question.entity_type} {', '.join(map(str, absent[:5]))}"
            f"{', ...' if len(absent) > 5 else ''}",
            partial=records,
            missing=absent,
        )
    return [each for each in records if each is not None] if missing == "skip" else records


def _own(record: dict[str, Any], lent: set[int]) -> dict[str, Any]:
    """The record, and a copy of it from the second time on."""
    if id(record) in lent:
        return copy_plain(record)
    lent.add(id(record))
    return record


# Values.


def id_of(value: Any, entity_type: str) -> int:
    """The id that *value* is, or is the entity of.

    Raises:
        TypeError: It is neither.
        ValueError: It is of another entity type.
    """
    number = value.get("id") if isinstance(value, dict) else value
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"find_by_ids: ids must be integers or entities, not {value!r}")
    if isinstance(value, dict) and value.get("type", entity_type) != entity_type:
        raise ValueError(f"find_by_ids: {value.get('type')} {number} is no {entity_type}")
    return number


def key_of(value: Any) -> Hashable:
    """What two values have in common if the site takes them for the same.

    Texts are compared without case, entities by type and id, times by the second.

    Raises:
        TypeError: Values of that kind cannot be looked up.
    """
    if isinstance(value, dict) and "type" in value and "id" in value:
        return value["type"], value["id"]
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, datetime.datetime):
        return "time", int(value.timestamp())
    if isinstance(value, datetime.date):
        return value.isoformat()
    if value is None or isinstance(value, (int, float)):
        return value
    raise TypeError(
        f"find_by: values must be texts, numbers, dates or entities, not {type(value).__name__}"
    )


def _keys(value: Any, wanted: set[Hashable]) -> list[Hashable]:
    """The wanted keys that a record has by the value of a field, or by its several values.

    Numbers may have been asked for as texts; a text that is empty is none at all.
    """
    if not isinstance(value, (list, tuple)):
        key = key_of(value)
        other = "" if value is None else str(key)
        return [each for each in (key, other) if each in wanted]
    return [key for each in value or [None] for key in _keys(each, wanted)]


def _sent(value: Any) -> Any:
    """An entity as a link; anything else as it is."""
    if isinstance(value, dict):
        return {"type": value["type"], "id": value["id"]}
    return value


def chunks_of(values: Iterable[Any], count: int, size: int) -> Iterator[list[Any]]:
    """The values in chunks of at most so many, and at most so many bytes in a request.

    A value that is longer than that is a chunk of its own.
    """
    chunk: list[Any] = []
    left = size
    for value in values:
        length = _length(value) + 2
        if chunk and (len(chunk) == count or length > left):
            yield chunk
            chunk, left = [], size
        chunk.append(value)
        left -= length
    if chunk:
        yield chunk


def _length(value: Any) -> int:
    """How many bytes a value takes in a request."""
    if type(value) is int:
        return len(str(value))
    return len(json.dumps(value, ensure_ascii=False, default=str).encode())
