"""The method ``summarize``: totals over the rows of a filter, and per group."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from sqlalchemy import bindparam, case, distinct, func, literal_column, select

from .buckets import CLUSTERS, DATE_KINDS, NUMBER_KINDS, bucket_name
from .faults import Fault, ruby_text
from .query import Question
from .relations import constant, number
from .store import compile_statement
from .tables import has_column
from .wire import get_hash, get_list, is_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.sql.expression import FromClause

    from .filters import Filters
    from .paths import Path
    from .query import Query
    from .records import Records
    from .schema import Field, Schema
    from .store import Store

SUMMARY_TYPES = (
    "record_count", "count", "sum", "maximum", "minimum", "average", "earliest", "latest",
    "percentage", "status_percentage", "status_percentage_as_float", "status_list", "checked",
    "unchecked",
)  # fmt: skip
GROUPING_TYPES = frozenset({"exact", "entitytype", "firstletter"} | NUMBER_KINDS | DATE_KINDS)
_NUMBERS = frozenset({"number", "percent", "duration", "timecode", "float", "currency"})
_DATES = frozenset({"date", "date_time"})


class _Group(NamedTuple):
    path: Path
    kind: str
    descending: bool


class Summaries:
    """Summarizes the entities of one site.

    Args:
        schema: The fields.
        store: The database.
        records: Makes value expressions.
        filters: Reads filters.
        query: Makes the conditions of a filter.
    """

    def __init__(
        self, schema: Schema, store: Store, records: Records, filters: Filters, query: Query
    ) -> None:
        self._schema = schema
        self._store = store
        self._records = records
        self._filters = filters
        self._query = query

    def summarize(self, params: dict[str, Any]) -> dict[str, Any]:
        """Returns the result of ``summarize``: ``summaries`` and ``groups``.

        Args:
            params: The parameters as they came over the wire. Of two summaries of one field the
                last one counts, as on a live site.

        Raises:
            Fault: The parameters are malformed or name an unknown field or type.
        """
        entity_type = self._schema.entity_type(params.get("type"), "summarize").name
        values: list[Any] = []
        tree = get_hash(params, "filters", "summarize")
        shape = self._filters.read(entity_type, tree, values, "summarize")
        archived = params.get("include_archived_projects", True) is not False
        question = Question(entity_type, (), shape, (), retired=False, archived=archived)
        wanted = self._wanted(entity_type, params)
        groups = self._groups(entity_type, params)
        total = self._run(question, values, wanted, [])
        result: dict[str, Any] = {"summaries": total[0][1] if total else {}, "groups": []}
        self._add_groups(result, question, values, wanted, groups)
        return result

    def _add_groups(
        self,
        result: dict[str, Any],
        question: Question,
        values: list[Any],
        wanted: dict[str, tuple[str, Path]],
        groups: list[_Group],
    ) -> None:
        nodes: dict[tuple[Any, ...], dict[str, Any]] = {(): result}
        for depth in range(1, len(groups) + 1):
            level = groups[:depth]
            rows = self._run(question, values, wanted, level)
            rows.sort(key=lambda row: _rank(level[-1], row[0][-1]), reverse=level[-1].descending)
            for keys, summaries in rows:
                node = {**_describe(level[-1], keys[-1]), "summaries": summaries}
                nodes[keys[:-1]].setdefault("groups", []).append(node)
                nodes[keys] = node

    # --- the wire -----------------------------------------------------------------------------

    def _wanted(self, entity_type: str, params: dict[str, Any]) -> dict[str, tuple[str, Path]]:
        wanted: dict[str, tuple[str, Path]] = {}
        for item in get_list(params, "summaries", "summarize"):
            name, kind = _name_and_type(item, "type")
            if kind not in SUMMARY_TYPES:
                raise Fault(f"type must be one of: {', '.join(SUMMARY_TYPES)}")
            wanted[name] = (kind, self._path(entity_type, name))
            _check_summary(wanted[name][1], kind)
        return wanted

    def _groups(self, entity_type: str, params: dict[str, Any]) -> list[_Group]:
        if params.get("grouping") is None:
            return []
        groups: list[_Group] = []
        for item in get_list(params, "grouping", "summarize"):
            name, kind = _name_and_type(item, "exact")
            if kind not in GROUPING_TYPES:
                legal = ", ".join(sorted(GROUPING_TYPES))
                raise Fault(f"API summarize() grouping type must be one of: {legal}")
            path = self._path(entity_type, name)
            _check_group(path, kind)
            groups.append(_Group(path, kind, item.get("direction") == "desc"))
        return groups

    def _path(self, entity_type: str, name: str) -> Path:
        path = self._filters.path(entity_type, name)
        if path is None:
            raise Fault(f"API summarize() {entity_type}.{name} doesn't exist.")
        if path.through_list:
            raise Fault(f"API summarize() {path.text} leads through a list of links.")
        return path

    # --- SQL ----------------------------------------------------------------------------------

    def _run(
        self,
        question: Question,
        values: list[Any],
        wanted: dict[str, tuple[str, Path]],
        groups: list[_Group],
    ) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Returns one row per group: its keys and its summaries by field."""
        names = [f"v{place}" for place in range(len(values))]
        parameters: Iterator[Any] = (bindparam(name) for name in names)
        table = self._store.tables.entities[question.entity_type].alias("t")
        keys = [self._key(table, group).label(f"k{at}") for at, group in enumerate(groups)]
        sums = [self._aggregate(table, kind, path) for kind, path in wanted.values()]
        statement = (
            select(*keys, *sums, func.count())
            .select_from(table)
            .where(table.c["_retired"] == number(0))
            .where(*self._query.conditions(table, question, lambda: next(parameters)))
            .group_by(*keys)
        )
        rows = self._store.run(compile_statement(statement, names), values).fetchall()
        kinds = [kind for kind, _ in wanted.values()]
        count = len(keys)
        return [
            (tuple(row[:count]), dict(zip(wanted, map(_finish, kinds, row[count:-1]))))
            for row in rows
        ]

    def _key(self, table: FromClause, group: _Group) -> Any:
        if group.kind == "entitytype":
            return self._records.target_type(table, group.path)
        if group.kind != "exact":
            return func.bucket(constant(group.kind), self._records.stored(table, group.path))
        return self._records.value(table, group.path)

    def _aggregate(self, table: FromClause, kind: str, path: Path) -> Any:
        if kind == "record_count" or kind.startswith("status_percentage"):
            return func.count()
        if kind == "count" and path.field.is_multi:
            links = self._records.value(table, path)
            return func.sum(
                case((func.json_array_length(links) > number(0), number(1)), else_=number(0))
            )
        column = self._records.stored(table, path)
        if kind == "status_list":
            return func.group_concat(distinct(column))
        if kind in ("checked", "unchecked"):
            return func.count().filter(column == number(kind == "checked"))
        if kind == "percentage":
            share = (
                column == number(1) if path.field.data_type == "checkbox" else column.is_not(None)
            )
            return func.count().filter(share) * literal_column("100.0") / func.count()
        return _FUNCTIONS[kind](column)


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "count": func.count,
    "sum": func.sum,
    "average": func.avg,
    "maximum": func.max,
    "latest": func.max,
    "minimum": func.min,
    "earliest": func.min,
}


def _name_and_type(item: Any, default: str) -> tuple[str, str]:
    if not is_hash(item) or not isinstance(item.get("field"), str):
        raise Fault(f"API summarize() invalid/missing string 'field': {ruby_text(item)}")
    kind = item.get("type", default)
    return item["field"], kind if isinstance(kind, str) else ruby_text(kind)


def _has_value(field: Field) -> bool:
    return has_column(field) or field.is_per_user


def _check_summary(path: Path, kind: str) -> None:
    field = path.field
    data_type = field.data_type
    legal = _has_value(field) or kind in ("record_count",) or (kind == "count" and field.is_multi)
    if kind in ("sum", "average"):
        legal = data_type in _NUMBERS
    elif kind in ("maximum", "minimum"):
        legal = data_type in _NUMBERS or data_type in _DATES
    elif kind in ("earliest", "latest"):
        legal = data_type in _DATES
    elif kind in ("checked", "unchecked"):
        legal = data_type == "checkbox"
    elif kind.startswith("status_"):
        legal = data_type == "status_list"
    if not legal or data_type == "password":
        text = f"API summarize() {path.text}'s '{data_type}' data type doesn't support"
        raise Fault(f"{text} summary type '{kind}'.")


def _check_group(path: Path, kind: str) -> None:
    field = path.field
    legal = _has_value(field) and field.data_type not in ("password", "url", "serializable")
    if kind == "exact":
        legal = legal or field.is_multi or field.name == "cached_display_name"
    elif kind == "entitytype":
        legal = field.is_link
    elif kind in NUMBER_KINDS:
        legal = field.data_type in _NUMBERS
    elif kind in DATE_KINDS:
        legal = field.data_type in _DATES
    else:
        legal = field.is_folded or field.data_type in ("entity_type", "uuid", "color")
    if not legal:
        text = f"API summarize() {path.text}'s '{field.data_type}' data type doesn't support"
        raise Fault(f"{text} grouping type '{kind}'.")


def _finish(kind: str, value: Any) -> Any:
    """Returns a summary as it goes over the wire, from what the database computed."""
    if kind == "status_list":
        return _rolled_up(value)
    if kind.startswith("status_percentage"):
        # Recorded on a live site: without a status to look for the share is 0 for every set.
        return 0.0 if kind.endswith("float") else 0
    if value is None and kind in ("sum", "count"):
        return 0
    return value


def _rolled_up(joined: Optional[str]) -> str:
    """Returns the one status that stands for many, as recorded on a live site.

    Omitted rows do not count; what is left is the status that all have, or in progress.
    """
    statuses = {status for status in (joined or "").split(",") if status and status != "omt"}
    if not statuses:
        return "na"
    return statuses.pop() if len(statuses) == 1 else "ip"


def _describe(group: _Group, key: Any) -> dict[str, Any]:
    """Returns name and value of a group."""
    if group.kind == "entitytype":
        return {"group_name": key or "", "group_value": key}
    if group.kind != "exact":
        return {"group_name": bucket_name(group.kind, key), "group_value": key}
    value = _exact_value(group.path, key)
    return {"group_name": _exact_name(value), "group_value": value}


def _exact_value(path: Path, key: Any) -> Any:
    field = path.field
    if key is None or not (
        field.is_link or field.is_multi or field.data_type in ("checkbox", "tag_list", "jsonb")
    ):
        return key
    value = json.loads(key)
    if field.is_link:
        value["valid"] = "valid"
    return value


def _exact_name(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return str(value.get("name") or "")
    if isinstance(value, list):
        return ", ".join(_exact_name(item) for item in value)
    return str(value)


def _rank(group: _Group, key: Any) -> tuple[Any, ...]:
    """Returns what groups are ordered by; the empty group comes last in ascending order."""
    if key is None:
        return (1,)
    if group.kind == "clustered_date":
        return (0, CLUSTERS.index(key))
    if isinstance(key, (int, float)):
        return (0, key)
    return (
        (0, str(_describe(group, key)["group_name"]).casefold(), str(key))
        if (group.kind == "exact")
        else (0, str(key))
    )
