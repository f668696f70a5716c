"""``shotgun-executor lookup``: codes, ids or other values in, a CSV table out."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from shotgun_executor.commands.site import (
    check_fields,
    check_types,
    find_project,
    open_executor,
)
from shotgun_executor.commands.terminal import Refused, emit, say, use_utf8
from shotgun_executor.commands.texts import cell_of
from shotgun_executor.errors import IncompleteError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shotgun_executor.executor import ShotgunExecutor

__all__ = ["lookup"]

_WHOLE = ("number", "percent", "duration", "timecode")
_TEXTS = ("text", "list", "status_list", "entity_type", "uuid", "date", "color")
_LIMIT = 1 << 63
"""No number of a site is as large."""
_SHOWN = 10
"""Missing values that the summary names."""
_ROWS = 500
"""Rows that are written at a time."""


class _Found(NamedTuple):
    """What was found for each value."""

    records: Sequence[Sequence[dict[str, Any]]]
    failed: Sequence[Any]
    """The values that could not be looked up."""
    error: object = None


def lookup(options: argparse.Namespace) -> int:
    """Look up the values of a file, and print a row for each record.

    Returns:
        0 if each value was found, else 1.

    Raises:
        Refused: The command line or the input is wrong.
    """
    use_utf8()
    texts = _read_values(options.file)
    fields = options.fields or ["code" if options.by == "id" else options.by]
    if options.by == "id":
        _numbers("id", texts, int)  # wrong ones are told before anything is sent
    with open_executor(options) as executor:
        schema = _schema(executor, options, fields)
        values = _values(options.by, texts, schema)
        filters = _filters(executor, options, schema)
        found = _look_up(executor, options, values, fields, filters)
    _write(options, texts, found, fields)
    return _summary(options, texts, found)


def _read_values(name: str) -> list[str]:
    """The lines that are not empty.

    Raises:
        Refused: The file is not there, is no text, or has no such lines.
    """
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Refused(f"FILE: cannot read {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"FILE: {name} is no text in UTF-8; save it as that") from None
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()]
    values = [line for line in lines if line]
    if not values:
        raise Refused(f"FILE: {name} has no values; write one to a line")
    return values


def _schema(
    executor: ShotgunExecutor, options: argparse.Namespace, fields: Sequence[str]
) -> Mapping[str, Any]:
    """The fields of the type, which has those that were asked for."""
    check_types("--type", [options.type], executor.schema_entity_read().result())
    schema: Mapping[str, Any] = executor.schema_field_read(options.type).result()
    check_fields("--by", options.type, [options.by], schema)
    check_fields("--fields", options.type, fields, schema)
    return schema


def _values(by: str, texts: Sequence[str], schema: Mapping[str, Any]) -> list[Any]:
    """The values as the field has them."""
    kind = "number" if by == "id" else "text"
    if "." not in by and by != "id":
        kind = schema[by]["data_type"]["value"]
    if kind in _WHOLE:
        return _numbers(by, texts, int)
    if kind == "float":
        return _numbers(by, texts, float)
    if kind not in _TEXTS:
        raise Refused(
            f"--by: {by} is of the type {kind}, which cannot be looked up by a text; of a linked "
            f"entity name a field, such as {by}.Shot.code"
        )
    return list(texts)


def _numbers(by: str, texts: Sequence[str], kind: type) -> list[Any]:
    return [_number(by, text, kind) for text in texts]


def _number(by: str, text: str, kind: type) -> Any:
    with contextlib.suppress(ValueError):
        number = kind(text if text.isascii() and "_" not in text else "none")
        if -_LIMIT <= number < _LIMIT:  # also no "nan"
            return number
    raise Refused(f"--by: {by} is a number, and {text!r} in the input is none")


def _filters(
    executor: ShotgunExecutor, options: argparse.Namespace, schema: Mapping[str, Any]
) -> list[Any]:
    if not options.project:
        return []
    if "project" not in schema:
        raise Refused(f"--project: {options.type} belongs to no project; leave it out")
    project = find_project(executor, options.project)
    return [["project", "is", {"type": "Project", "id": project["id"]}]]


def _look_up(
    executor: ShotgunExecutor,
    options: argparse.Namespace,
    values: list[Any],
    fields: list[str],
    filters: list[Any],
) -> _Found:
    asked: Any
    if options.by == "id":
        asked = executor.find_by_ids(options.type, values, fields, filters=filters)
    else:
        asked = executor.find_by(options.type, options.by, values, fields, filters=filters)
    try:
        return _Found(_listed(asked.result()), [])
    except IncompleteError as error:
        return _Found(_listed(error.partial), error.failed, error.__cause__)


def _listed(found: Iterable[Any]) -> list[list[dict[str, Any]]]:
    """A list of records for each value."""
    return [each if isinstance(each, list) else [each] if each else [] for each in found]


def _write(
    options: argparse.Namespace, texts: Sequence[str], found: _Found, fields: Sequence[str]
) -> None:
    """A row for each record, and one without a record for each value that has none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["input", "id", *(name for name in fields if name != "id")])
    for number, row in enumerate(_rows(texts, found, fields), 1):
        writer.writerow(row)
        if number % _ROWS == 0:
            emit(text.getvalue())
            text.seek(0)
            text.truncate()
    emit(text.getvalue())


def _rows(texts: Sequence[str], found: _Found, fields: Sequence[str]) -> Iterator[list[str]]:
    names = ["id", *(name for name in fields if name != "id")]
    for text, records in zip(texts, found.records):
        for record in records or [{}]:
            yield [text, *(cell_of(record.get(name)) for name in names)]


def _summary(options: argparse.Namespace, texts: Sequence[str], found: _Found) -> int:
    failed = {str(value) for value in found.failed}
    without = [text for text, records in zip(texts, found.records) if not records]
    missing = [text for text in dict.fromkeys(without) if text not in failed]
    records = sum(map(len, found.records))
    say(f"{len(texts)} values, {records} records of {options.type}, {len(missing)} values missing")
    if missing:
        more = f", and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        say(f"missing: {', '.join(missing[:_SHOWN])}{more}")
    if failed:
        say(f"{len(failed)} values could not be looked up: {found.error}")
    return 1 if failed or (missing and not options.allow_missing) else 0
