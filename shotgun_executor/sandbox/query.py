"""The method ``read``: pages of records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from sqlalchemy import bindparam, func, select

from .faults import Fault, ruby_text
from .filters import keeps_id_order
from .presets import Presets
from .relations import any_row, number
from .store import compile_statement
from .tables import link_id
from .wire import get_hash, get_list, is_hash, is_integer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Select
    from sqlalchemy.sql.expression import FromClause

    from .filters import Filters, Shape
    from .paths import Path
    from .records import Records
    from .schema import Schema
    from .store import Statement, Store
    from .tables import Tables

_STATEMENTS_KEPT = 1_000
# Statements of huge filters are not kept: they hardly ever come again.
_VALUES_KEPT = 200


class Question(NamedTuple):
    """Everything about a read but its values; what a statement is compiled for."""

    entity_type: str
    fields: tuple[str, ...]
    """Return fields; empty to count rows instead."""
    shape: Shape
    sorts: tuple[tuple[str, bool], ...]
    """Paths to sort by, each with whether it descends."""
    retired: bool
    archived: bool
    """Whether rows of archived projects count."""
    presets: tuple[str, ...] = ()
    """Additional filter presets."""


class Query:
    """Answers reads of one site.

    Args:
        schema: The fields.
        store: The database.
        records: Makes record expressions.
        filters: Reads filters.
        page_size: The most records that one page holds.
    """

    def __init__(
        self, schema: Schema, store: Store, records: Records, filters: Filters, page_size: int
    ) -> None:
        self._schema = schema
        self._store = store
        self._tables: Tables = store.tables
        self._records = records
        self._filters = filters
        self._presets = Presets(schema, store.tables)
        self._page_size = page_size
        self._statements: dict[Question, Statement] = {}

    def read(self, params: dict[str, Any]) -> bytes:
        """Returns the JSON text of the result of ``read``.

        Args:
            params: The parameters as they came over the wire.

        Raises:
            Fault: The parameters are malformed.
        """
        values: list[Any] = []
        question = self._question(params, values)
        size, page = self._paging(params)
        parts = [b'{"entities":[']
        if params.get("return_paging_info"):
            rows = self._rows(question, values, size, (page - 1) * size)
            parts += [b",".join(rows), b"]", self._counts(question, values, size, page)]
        elif params.get("return_paging_info_without_counts"):
            rows = self._rows(question, values, size + 1, (page - 1) * size)
            more = b"true" if len(rows) > size else b"false"
            parts += [b",".join(rows[:size]), b'],"paging_info":{"has_next_page":', more, b"}"]
        else:
            rows = self._rows(question, values, size, (page - 1) * size)
            parts += [b",".join(rows), b"]"]
        parts.append(b"}")
        return b"".join(parts)

    def record(self, entity_type: str, entity_id: int, fields: tuple[str, ...]) -> bytes:
        """Returns one record that is not retired, by id, as JSON text.

        Args:
            entity_type: Its type.
            entity_id: Its id, which exists.
            fields: The fields beside ``type`` and ``id``; unknown ones are left out.
        """
        question = Question(entity_type, fields, ("id", "is"), (), retired=False, archived=True)
        rows = self._rows(question, [entity_id], 1, 0)
        return rows[0] if rows else b"null"

    def find(
        self,
        entity_type: str,
        fields: tuple[str, ...],
        tree: dict[str, Any],
        *,
        limit: int,
        method: str,
        newest: bool = False,
    ) -> list[dict[str, Any]]:
        """Returns records that are not retired as dicts; for the methods built on reading.

        Args:
            entity_type: Their type.
            fields: The fields beside ``type`` and ``id``.
            tree: A filter tree as it comes over the wire.
            limit: The most records to return.
            method: The RPC method that asks, for the texts of faults.
            newest: Whether the highest ids come first.

        Raises:
            Fault: There is no such entity type, or the filter tree is malformed.
        """
        self._schema.entity_type(entity_type, method)
        values: list[Any] = []
        shape = self._filters.read(entity_type, tree, values, method)
        sorts = (("id", True),) if newest else ()
        question = Question(
            entity_type, fields or ("id",), shape, sorts, retired=False, archived=True
        )
        return [json.loads(row) for row in self._rows(question, values, limit, 0)]

    def _rows(self, question: Question, values: list[Any], limit: int, offset: int) -> list[bytes]:
        statement = self._statement(question, len(values))
        return [row[0] for row in self._store.run(statement, (*values, limit, offset))]

    def _counts(self, question: Question, values: list[Any], size: int, page: int) -> bytes:
        counted = question._replace(fields=(), sorts=())
        count = self._store.first(self._statement(counted, len(values)), (*values, 1, 0)) or 0
        text = (
            f',"paging_info":{{"entity_count":{count},"page_count":{-(-count // size)},'
            f'"current_page":{page},"entities_per_page":{size}}}'
        )
        return text.encode()

    # --- the wire -----------------------------------------------------------------------------

    def _question(self, params: dict[str, Any], values: list[Any]) -> Question:
        entity_type = self._schema.entity_type(params.get("type"), "read").name
        fields = get_list(params, "return_fields", "read") if "return_fields" in params else []
        shape = self._filters.read(entity_type, get_hash(params, "filters", "read"), values)
        only = params.get("return_only", "active")
        if only not in ("active", "retired"):
            raise Fault(f"API read() invalid 'return_only': {ruby_text(only)}")
        archived = params.get("include_archived_projects", True) is not False
        sorts = self._sorts(entity_type, params)
        names = tuple(dict.fromkeys(name for name in fields if isinstance(name, str)))
        presets = self._presets.read(entity_type, params.get("additional_filter_presets"), values)
        retired = only == "retired"
        return Question(entity_type, names or ("id",), shape, sorts, retired, archived, presets)

    def _sorts(self, entity_type: str, params: dict[str, Any]) -> tuple[tuple[str, bool], ...]:
        if not params.get("sorts"):
            return ()
        sorts: list[tuple[str, bool]] = []
        for sort in get_list(params, "sorts", "read"):
            if not is_hash(sort) or not isinstance(sort.get("field_name"), str):
                raise Fault(f"API read() invalid sort: {ruby_text(sort)}")
            direction = sort.get("direction", "asc")
            if direction not in ("asc", "desc"):
                raise Fault(f"API read() invalid sort direction: {ruby_text(direction)}")
            sorts.append((sort["field_name"], direction == "desc"))
        return tuple(sorts)

    def _paging(self, params: dict[str, Any]) -> tuple[int, int]:
        """Returns page size and page number; a size above the site's maximum is cut to it."""
        paging = params.get("paging")
        if paging is None:
            return self._page_size, 1
        if not is_hash(paging):
            raise Fault(f"API read() invalid hash 'paging': {ruby_text(paging)}")
        size, page = paging.get("entities_per_page", self._page_size), paging.get("current_page", 1)
        for name, number_ in (("entities_per_page", size), ("current_page", page)):
            if not is_integer(number_) or not 1 <= number_ < 2**31:
                raise Fault(f"API read() '{name}' must be a positive integer: {ruby_text(number_)}")
        return min(size, self._page_size), page

    # --- statements ---------------------------------------------------------------------------

    def _statement(self, question: Question, count: int) -> Statement:
        found = self._statements.get(question)
        if found is None:
            found = self._compile(question, count)
            if count <= _VALUES_KEPT:
                if len(self._statements) >= _STATEMENTS_KEPT:
                    del self._statements[next(iter(self._statements))]
                self._statements[question] = found
        return found

    def _compile(self, question: Question, count: int) -> Statement:
        names = [f"v{place}" for place in range(count)]
        parameters: Iterator[Any] = (bindparam(name) for name in names)
        table = self._tables.entities[question.entity_type].alias("t")
        where = self._where(table, question, lambda: next(parameters))
        if question.presets:
            where += self._presets.conditions(
                table,
                question.entity_type,
                question.presets,
                lambda: next(parameters),
                lambda other: self._where(other, question, iter(map(bindparam, names)).__next__),
            )
        in_order = not question.sorts and keeps_id_order(question.shape)
        if not question.fields:
            statement = select(func.count()).select_from(table).where(*where)
        elif in_order:
            wanted = select(self._record(table, question)).select_from(table).where(*where)
            statement = wanted.order_by(table.c.id)
        else:
            statement = self._sorted(table, question, where)
        if in_order or not question.fields:
            statement = statement.limit(bindparam("limit")).offset(bindparam("offset"))
        return compile_statement(statement, [*names, "limit", "offset"])

    def _where(self, table: FromClause, question: Question, take: Any) -> list[Any]:
        state = table.c["_retired"] == number(1 if question.retired else 0)
        return [state, *self.conditions(table, question, take)]

    def _sorted(self, table: FromClause, question: Question, where: list[Any]) -> Select[Any]:
        """Returns the statement that finds the ids of a page first.

        In one step SQLite would make the records of all the rows that it has to sort.
        """
        ids = select(table.c.id).select_from(table).where(*where)
        ids = ids.order_by(*self._order(table, question))
        page = ids.limit(bindparam("limit")).offset(bindparam("offset")).subquery()
        rows = self._tables.entities[question.entity_type].alias()
        found = select(self._record(rows, question)).select_from(
            page.join(rows, rows.c.id == page.c.id)
        )
        return found.order_by(*self._order(rows, question))

    def _record(self, table: FromClause, question: Question) -> Any:
        paths = self._return_paths(question.entity_type, question.fields)
        return self._records.record(table, question.entity_type, paths)

    def conditions(self, table: FromClause, question: Question, take: Any) -> list[Any]:
        """Returns the SQL conditions of filters and archived projects."""
        found: list[Any] = []
        if question.shape is not None:
            entity_type = question.entity_type
            found.append(self._filters.condition(table, entity_type, question.shape, take))
        if not question.archived:
            found += self._not_archived(table, question.entity_type)
        return found

    def _not_archived(self, table: FromClause, entity_type: str) -> list[Any]:
        if entity_type == "Project":
            return [table.c.archived == number(0)]
        field = self._schema.types[entity_type].fields.get("project")
        if field is None or not field.is_link:
            return []
        project = self._tables.entities["Project"].alias()
        mine = project.c.id == table.c[link_id("project")]
        return [~any_row(select(number(1)).where(mine, project.c.archived == number(1)))]

    def _return_paths(self, entity_type: str, names: tuple[str, ...]) -> list[Path]:
        """Returns the paths to read; unknown ones and those through lists are left out."""
        found = [
            self._filters.path(entity_type, name) for name in names if name not in ("type", "id")
        ]
        return [path for path in found if path is not None and not path.through_list]

    def _order(self, table: FromClause, question: Question) -> list[Any]:
        order: list[Any] = []
        for name, descending in question.sorts:
            path = self._filters.path(question.entity_type, name)
            key: Optional[Any] = None if path is None else self._records.sort_key(table, path)
            if key is not None:
                # PostgreSQL's order, which a live site has: no value sorts as the greatest.
                order.append(key.desc().nulls_first() if descending else key.asc().nulls_last())
        return [*order, table.c.id]
