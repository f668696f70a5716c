"""Bulk reads: many entities by their ids or by another field, and records as they are read."""

from __future__ import annotations

import concurrent.futures
import functools
from typing import TYPE_CHECKING, Any, Literal, Optional, Union, cast

from shotgun_executor.arguments import check_choice, check_count, check_integer
from shotgun_executor.filling import as_type
from shotgun_executor.finding import find_first_page, find_window
from shotgun_executor.lookups import Lookup, Question, align, align_first, id_of, key_of
from shotgun_executor.plain import copy_plain
from shotgun_executor.query import is_by_id
from shotgun_executor.shapes import check_shape
from shotgun_executor.streaming import FindIterator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from shotgun_executor.call import Options
    from shotgun_executor.executor import ShotgunExecutor
    from shotgun_executor.finding import Window
    from shotgun_executor.future import Future

    Entity = dict[str, Any]

__all__ = ["BulkReads"]

CHUNK_SIZE = 500
"""Values that one call asks for: so many rows cost a site as much as one (recorded)."""
CHUNK_BYTES = 200_000


class BulkReads:
    """Reads that take many calls, as one future or iterator."""

    def _with_options(self) -> tuple[ShotgunExecutor, Options]:
        """The executor, and the options of the calls that are made through this object."""
        raise NotImplementedError  # the executor's business

    def find_by_ids(
        self,
        entity_type: str,
        ids: Union[Iterable[Union[int, Entity]], Future[Any]],
        fields: Optional[Iterable[str]] = None,
        *,
        filters: Sequence[Any] = (),
        missing: Literal["none", "raise", "skip"] = "none",
        retired_only: bool = False,
        include_archived_projects: bool = True,
        chunk_size: int = CHUNK_SIZE,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Future[list[Any]]:
        """The records of entities, by their ids.

        ::

            shots = executor.find_by_ids("Shot", ids, ["code"]).result()
            for number, shot in zip(ids, shots):
                print(number, shot and shot["code"])

        One call asks for 500 of them, and the calls run in parallel; each is repeated by itself,
        as any other read.

        Args:
            entity_type: As in ``find``.
            ids: Ids, or entities of that type. They may be futures, or one future of a list.
            fields: As in ``find``.
            filters: Conditions that an entity must meet as well, as in ``find``.
            missing: What becomes of an id that is not found: None in its place ("none"),
                :class:`~shotgun_executor.IncompleteError` ("raise"), or nothing, so that the
                list is shorter ("skip").
            retired_only: As in ``find``.
            include_archived_projects: As in ``find``.
            chunk_size: How many ids one call asks for.
            chunk_bytes: How many bytes of a request they may take.

        Returns:
            A future of a list with a record for each id, in their order. An id that is given twice
            is asked for once, and each place has a record of its own.

        Raises:
            TypeError: The ids are none; nothing was submitted.
            ValueError: An entity is of another type, or a number is out of range.

        The future raises :class:`~shotgun_executor.IncompleteError` if some of the calls failed:
        ``partial`` has the list, with None where ``failed`` ids would be. If nothing was found it
        raises what the first of the calls has raised.
        """
        check_choice("find_by_ids", "missing", missing, ("none", "raise", "skip"))
        entity_type = _entity_type("find_by_ids", entity_type)
        keywords = _keywords(retired_only, include_archived_projects)
        sizes = _sizes("find_by_ids", chunk_size, chunk_bytes)
        values = _values("find_by_ids", "ids", ids)
        names = _fields("find_by_ids", fields)
        question = Question(
            entity_type, "id", values, names, _group("find_by_ids", filters), keywords, *sizes
        )
        arrange = functools.partial(align_first, missing=missing)
        return self._look_up(question, arrange, lambda value: id_of(value, entity_type))

    def find_by(
        self,
        entity_type: str,
        field: str,
        values: Union[Iterable[Any], Future[Any]],
        fields: Optional[Iterable[str]] = None,
        *,
        filters: Sequence[Any] = (),
        order: Optional[Sequence[Mapping[str, str]]] = None,
        retired_only: bool = False,
        include_archived_projects: bool = True,
        chunk_size: int = CHUNK_SIZE,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Future[list[list[Entity]]]:
        """The records whose *field* has one of many values.

        ::

            codes = ["sh010", "sh020"]
            found = executor.find_by("Shot", "code", codes, ["code"], filters=[in_project])
            shots = dict(zip(codes, found.result()))      # lists: a code may be there twice

        As :meth:`find_by_ids`, for any field that ``find`` filters with "in": texts, numbers,
        dates, entities, several entities.

        Args:
            entity_type: As in ``find``.
            field: The field.
            values: The values; entities as dicts. They may be futures, or one future of a list.
            fields: As in ``find``.
            filters: Conditions that a record must meet as well, as in ``find``.
            order: As in ``find``, for the records of each value.
            retired_only: As in ``find``.
            include_archived_projects: As in ``find``.
            chunk_size: How many values one call asks for.
            chunk_bytes: How many bytes of a request they may take.

        Returns:
            A future of a list with a list of records for each value, in their order; it is empty
            if there are none. As on the site, texts are the same whatever their case is. A record
            that several values lead to is in the list of each, as a copy.

        Raises:
            TypeError: Values of that kind cannot be looked up; nothing was submitted.
            ValueError: A number is out of range.

        The future raises as that of :meth:`find_by_ids` does.
        """
        entity_type = _entity_type("find_by", entity_type)
        check_shape("find_by", "order", order)
        if not isinstance(cast("object", field), str):
            raise TypeError(f"find_by: field must be the name of a field, not {field!r}")
        keywords = {
            **_keywords(retired_only, include_archived_projects),
            "order": copy_plain(order),
        }
        sizes = _sizes("find_by", chunk_size, chunk_bytes)
        given, names = _values("find_by", "values", values), _fields("find_by", fields)
        question = Question(
            entity_type, field, given, names, _group("find_by", filters), keywords, *sizes
        )
        return self._look_up(question, align, key_of)

    def find_iter(
        self,
        entity_type: str,
        filters: Sequence[Any],
        fields: Optional[Sequence[str]] = None,
        order: Optional[Sequence[Mapping[str, str]]] = None,
        *,
        filter_operator: Optional[str] = None,
        retired_only: bool = False,
        include_archived_projects: bool = True,
        additional_filter_presets: Optional[Sequence[Mapping[str, Any]]] = None,
        ahead: int = 4,
        after_id: Optional[int] = None,
    ) -> FindIterator:
        """The records of a ``find``, one after the other, while the next ones are read.

        ::

            for version in executor.find_iter("Version", filters, ["code"]):
                print(version["code"])

        In the order of ids, which is that without *order*, each row that nobody changes meanwhile
        comes once, as from ``find``. In another order pages are asked for by their numbers, and
        rows that move from page to page may come twice or not at all.

        Args:
            entity_type: As in ``find``.
            filters: As in ``find``.
            fields: As in ``find``.
            order: As in ``find``.
            filter_operator: As in ``find``.
            retired_only: As in ``find``.
            include_archived_projects: As in ``find``.
            additional_filter_presets: As in ``find``.
            ahead: How many pages are read at a time, while as many may wait to be taken.
            after_id: Begin after the row of that id; only in the order of ids. ``last_id`` of the
                iterator is where another one goes on.

        Returns:
            An iterator, which asks for nothing more when it is closed, dropped or has failed.

        Raises:
            TypeError: A number is none.
            ValueError: *ahead* is less than 1, or *after_id* goes with another order.
        """
        check_shape("find_iter", "entity_type", entity_type)
        check_shape("find_iter", "filters", filters)
        check_shape("find_iter", "fields", fields)
        check_shape("find_iter", "order", order)
        check_count("find_iter", "ahead", ahead, optional=False)
        if after_id is not None:
            check_integer("find_iter", "after_id", after_id)
            if is_by_id(order) is None:
                raise ValueError("find_iter: after_id is for the order of ids; leave order out")
            if additional_filter_presets:
                raise ValueError("find_iter: with after_id a preset would find other rows")
        args = (entity_type, filters, fields, order, filter_operator)
        keywords = {
            **_keywords(retired_only, include_archived_projects),
            "additional_filter_presets": additional_filter_presets,
        }
        return self._windows(args, keywords, ahead, after_id)

    def _windows(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], ahead: int, after_id: Optional[int]
    ) -> FindIterator:
        executor, options = self._with_options()
        needs: list[concurrent.futures.Future[Any]] = []
        args, kwargs = copy_plain(args, needs), copy_plain(kwargs, needs)

        def ask(before: Optional[Window]) -> Future[Any]:
            start = after_id if before is None else before.records[-1]["id"]
            submit = functools.partial(executor._submit_part, options)
            window = functools.partial(find_window, submit, ahead, before, start, bool(needs))
            return executor._submit_attempts(window, "find", args, kwargs, needs, options)

        return FindIterator(ask, after_id)

    def _look_up(
        self,
        question: Question,
        arrange: Callable[[Question, Any], Any],
        check: Callable[[Any], object],
    ) -> Future[Any]:
        executor, options = self._with_options()
        needs: list[concurrent.futures.Future[Any]] = []
        question = question._replace(
            values=copy_plain(question.values, needs), filters=copy_plain(question.filters, needs)
        )
        if not needs:
            for value in question.values:
                check(value)  # else in the future, when the values are there

        def find(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Future[Any]:
            submit = functools.partial(executor._submit_part, options)
            pages = functools.partial(find_first_page, submit, executor._workers, False)
            return submit("find", pages, args, kwargs)

        lookup = Lookup(question, find, arrange, executor._workers)
        return executor._submit_whole(lookup.begin, needs, str(question), options)


def _entity_type(owner: str, given: Any) -> str:
    if isinstance(given, concurrent.futures.Future):
        raise TypeError(f"{owner}: entity_type must be a text such as 'Shot', not a future")
    check_shape(owner, "entity_type", given)
    return cast("str", as_type(given))


def _keywords(retired_only: bool, include_archived_projects: bool) -> dict[str, Any]:
    return {
        "retired_only": retired_only,
        "include_archived_projects": include_archived_projects,
    }


def _sizes(owner: str, chunk_size: object, chunk_bytes: object) -> tuple[int, int]:
    check_count(owner, "chunk_size", chunk_size, optional=False)
    check_count(owner, "chunk_bytes", chunk_bytes, optional=False)
    return cast("int", chunk_size), cast("int", chunk_bytes)


def _values(owner: str, name: str, given: Any) -> Any:
    """A list of what was given, or a future of one."""
    if isinstance(given, concurrent.futures.Future):
        return given
    if isinstance(given, (str, bytes, dict)) or not hasattr(given, "__iter__"):
        raise TypeError(f"{owner}: {name} must be a list, not a {type(given).__name__}")
    return list(given)


def _fields(owner: str, fields: Any) -> list[str]:
    if isinstance(fields, (str, bytes)):
        raise TypeError(f"{owner}: fields must be a list of names, not {fields!r}")
    return list(fields or ["id"])


def _group(owner: str, filters: Any) -> Any:
    """Filters as a list of conditions, to which more can be added."""
    if isinstance(filters, dict) and "filters" in filters:
        return [filters]
    if isinstance(filters, dict) and "logical_operator" in filters:
        raise TypeError(
            f"{owner}: filters must be a list of conditions such as [['id', 'is', 1]]; the form in "
            f"which the site gets them cannot be added to"
        )
    if hasattr(filters, "__iter__") and not isinstance(filters, (str, dict)):
        filters = list(filters)
    check_shape(owner, "filters", filters)
    return filters
