"""The database of a site: the SQLite connection, transactions, and statements compiled once.

SQLAlchemy builds and compiles the statements; they run on the plain ``sqlite3`` connection, because
a small read spends more time in the layers above it than in the database.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from sqlalchemy import bindparam, column, table
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from .buckets import bucket
from .file_urls import PlainUrls
from .site_tables import SiteTables
from .tables import Tables

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Generator, Iterable, Sequence

    from sqlalchemy import Table
    from sqlalchemy.sql import ClauseElement

    from .schema import Schema

_DIALECT = sqlite_dialect(paramstyle="qmark")
# Filters may nest 265 deep, and compiling one level takes several frames.
_COMPILE_DEPTH = 8_000
# Steps of SQLite between two looks at the clock: about a tenth of a millisecond.
_STEPS_UNWATCHED = 2_000


class TooSlowError(Exception):
    """A read takes longer than it may."""


class Statement:
    """A compiled statement: SQL text and the order in which it takes the values.

    Args:
        sql: The text with question marks.
        order: For each question mark the position of its value in what `arrange` is given.
    """

    def __init__(self, sql: str, order: Sequence[int]) -> None:
        self.sql = sql
        if not order:
            self.arrange: Callable[[Sequence[Any]], Sequence[Any]] = _nothing
        elif list(order) == list(range(len(order))):
            self.arrange = _unchanged
        elif len(order) == 1:
            self.arrange = _only(order[0])
        else:
            self.arrange = itemgetter(*order)


def _only(place: int) -> Callable[[Sequence[Any]], Sequence[Any]]:
    return lambda values: (values[place],)


def _nothing(_values: Sequence[Any]) -> Sequence[Any]:
    return ()


def _unchanged(values: Sequence[Any]) -> Sequence[Any]:
    return values


def compile_statement(statement: ClauseElement, names: Sequence[str]) -> Statement:
    """Compiles a SQLAlchemy statement for SQLite.

    Args:
        statement: A Core statement whose values are all named bind parameters.
        names: The parameter names in the order in which values will be given.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _COMPILE_DEPTH))
    try:
        compiled = statement.compile(dialect=_DIALECT)
    finally:
        sys.setrecursionlimit(limit)
    places = {name: place for place, name in enumerate(names)}
    taken: Sequence[str] = getattr(compiled, "positiontup", None) or ()
    return Statement(str(compiled), [places[name] for name in taken])


class Store:
    """The tables of one site in one SQLite database. Used by one thread at a time.

    The tables of entities are there once `set_up` was called.

    Args:
        database: A path, or None for a database in memory.

    Raises:
        sqlite3.Error: The file cannot be opened or is no database.
    """

    tables: Tables

    def __init__(self, database: Union[str, os.PathLike[str], None] = None) -> None:
        self.site = SiteTables()
        self.urls = PlainUrls()
        """Makes the URLs of files and pictures that records show."""
        self.caller: tuple[str, int] = ("", 0)
        """Type and id of the user that the running call is made by; fields that differ from user
        to user show this user's values."""
        self._database = database
        self._deadline: Optional[float] = None
        self._connection = self._connect()
        try:
            self._configure(in_file=database is not None)
            self._synchronize(self.site.every)
        except BaseException:
            self._connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            ":memory:" if self._database is None else self._database,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=1024,
        )
        self._add_functions(connection)
        if self._database is not None:
            connection.set_progress_handler(self._is_late, _STEPS_UNWATCHED)
        return connection

    def reader(self) -> Optional[Store]:
        """Returns a store with a connection of its own that reads what is committed.

        It may be used by another thread at the same time. A database in memory has none.
        """
        if self._database is None:
            return None
        store = Store.__new__(Store)
        store.site, store.tables, store.caller = self.site, self.tables, self.caller
        store.urls = self.urls
        store._database, store._deadline = self._database, None
        store._connection = store._connect()
        store._configure(in_file=False)
        store._connection.execute("PRAGMA busy_timeout = 5000")
        store._connection.execute("PRAGMA query_only = ON")
        return store

    def _add_functions(self, connection: sqlite3.Connection) -> None:
        add = connection.create_function
        add("jsonb_contains", 2, _jsonb_contains, deterministic=True)
        add("bucket", 2, bucket)
        add("fold", 1, _fold, deterministic=True)
        add("caller_type", 0, lambda: self.caller[0])
        add("caller_id", 0, lambda: self.caller[1])
        add("image_url", 1, lambda stored: self.urls.image(stored))
        add("file_url", 1, lambda stored: self.urls.file(stored))

    @contextmanager
    def limited(self, seconds: float) -> Generator[None, None, None]:
        """Interrupts a read inside that takes longer.

        Raises:
            TooSlowError: It took longer. Nothing was changed.
        """
        self._deadline = time.monotonic() + seconds
        try:
            yield
        except sqlite3.OperationalError as error:
            if self._is_late():
                raise TooSlowError from error
            raise
        finally:
            self._deadline = None

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    @contextmanager
    def snapshot(self) -> Generator[None, None, None]:
        """Lets all reads inside see one state of the database."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def _configure(self, *, in_file: bool) -> None:
        if in_file:
            # What WAL has written survives the end of the process without a sync per commit.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA busy_timeout = 5000")
        self._connection.execute("PRAGMA temp_store = MEMORY")
        self._connection.execute("PRAGMA cache_size = -65536")

    def set_up(self, schema: Schema, changed: Optional[Collection[str]] = None) -> None:
        """Makes the tables and columns that a schema needs and the database lacks.

        Nothing is taken away: the column of a field that is gone stays, and is not looked at.

        Args:
            schema: The schema.
            changed: The entity types that have changed since the last time; None means all.
        """
        tables = Tables(schema) if changed is None else Tables(schema, self.tables, changed)
        self._synchronize(tables.made)
        self.tables = tables
        self._write_statistics()

    def _synchronize(self, tables: Iterable[Table]) -> None:
        with self._unit():
            for each in tables:
                there = self._columns_of(each)
                if not there:
                    self._run_plain(CreateTable(each))
                else:
                    self._add_columns(each, there)
                for index in each.indexes:
                    self._run_plain(CreateIndex(index, if_not_exists=True))

    def _columns_of(self, each: Table) -> set[str]:
        """Returns the names of the columns that a table has; none if there is no such table."""
        quoted = each.name.replace("'", "''")
        rows = self._connection.execute(f"PRAGMA table_info('{quoted}')")
        return {row[1] for row in rows}

    def _add_columns(self, each: Table, there: set[str]) -> None:
        for missing in each.columns:
            if missing.name not in there:
                name = _DIALECT.identifier_preparer.format_table(each)
                definition = CreateColumn(missing).compile(dialect=_DIALECT)
                self._connection.execute(f"ALTER TABLE {name} ADD COLUMN {definition}")

    def drop_types(self, types: Iterable[str]) -> None:
        """Drops the tables of entity types and of their lists; `set_up` makes them anew."""
        gone = {f"entity_{name}" for name in types}
        starts = tuple(f"links_{name}_" for name in types)
        with self._unit():
            for each in self.tables.every:
                if each.name in gone or each.name.startswith(starts):
                    name = _DIALECT.identifier_preparer.format_table(each)
                    self._connection.execute(f"DROP TABLE IF EXISTS {name}")

    def _write_statistics(self) -> None:
        """Writes the figures of a large site into the table that SQLite plans with."""
        there = self._connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'"
        ).fetchone()
        if there is None:
            self._connection.execute("ANALYZE")
        figures = table("sqlite_stat1", column("tbl"), column("idx"), column("stat"))
        names = ["table_", "index_", "stat_"]
        row: dict[str, Any] = dict(zip(("tbl", "idx", "stat"), map(bindparam, names)))
        with self._unit():
            self._run_plain(figures.delete())
            put = compile_statement(figures.insert().values(row), names)
            self.run_many(put, self.tables.statistics())
        self._connection.execute("ANALYZE sqlite_master")

    @contextmanager
    def _unit(self) -> Generator[None, None, None]:
        """Is a transaction unless there is one already."""
        if self._connection.in_transaction:
            yield
        else:
            with self.transaction():
                yield

    def _run_plain(self, statement: ClauseElement) -> None:
        self._connection.execute(str(statement.compile(dialect=_DIALECT)))

    def run(self, statement: Statement, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Runs a compiled statement with values in the order it was compiled for."""
        return self._connection.execute(statement.sql, statement.arrange(values))

    def run_many(self, statement: Statement, rows: Iterable[Sequence[Any]]) -> None:
        """Runs a compiled statement once per row of values."""
        self._connection.executemany(statement.sql, map(statement.arrange, rows))

    def first(self, statement: Statement, values: Sequence[Any] = ()) -> Optional[Any]:
        """Returns the first column of the first row, or None."""
        row = self.run(statement, values).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """Makes what is written inside one unit: all of it stays, or, on any error, nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def clear(self) -> None:
        """Deletes every row except the settings of the site."""
        with self.transaction():
            for each in (*self.tables.every, *self.site.every):
                if each is not self.site.settings:
                    self._run_plain(each.delete())

    def interrupt(self) -> None:
        """Breaks off what another thread is reading."""
        self._connection.interrupt()

    def close(self) -> None:
        """Closes the database."""
        self._connection.close()


def _fold(value: object) -> Optional[str]:
    return value.casefold() if isinstance(value, str) else None


def _jsonb_contains(stored: Optional[str], wanted: str) -> bool:
    """Says whether a stored JSON object holds the wanted one, as PostgreSQL's ``@>`` does."""
    value = None if stored is None else json.loads(stored)
    return isinstance(value, dict) and _contains(value, json.loads(wanted))


def _contains(value: object, wanted: object) -> bool:
    if isinstance(value, dict) and isinstance(wanted, dict):
        return all(key in value and _contains(value[key], wanted[key]) for key in wanted)
    if isinstance(value, list) and isinstance(wanted, list):
        return all(any(_contains(item, each) for item in value) for each in wanted)
    if _is_number(value) and _is_number(wanted):
        return value == wanted
    return type(value) is type(wanted) and value == wanted


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
