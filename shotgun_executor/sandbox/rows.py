"""Rows of entities and of the table of display names: insert, update, retire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from sqlalchemy import bindparam, literal_column, select

from .store import compile_statement

if TYPE_CHECKING:
    from .store import Statement, Store


class Rows:
    """Writes single rows with statements that are compiled once per set of columns.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tables = store.tables.entities
        self._kept: dict[tuple[Any, ...], Statement] = {}
        names = store.tables.names
        mine = (names.c.type == bindparam("t")) & (names.c.id == bindparam("i"))
        self._new_name = compile_statement(
            names.insert().values(
                type=bindparam("t"), id=bindparam("i"), name=bindparam("n"), folded=bindparam("f")
            ),
            ["t", "i", "n", "f"],
        )
        self._rename = compile_statement(
            names.update().where(mine).values(name=bindparam("n"), folded=bindparam("f")),
            ["n", "f", "t", "i"],
        )
        self._retire_name = compile_statement(
            names.update().where(mine).values(retired=bindparam("r")), ["r", "t", "i"]
        )
        self._retired = compile_statement(select(names.c.retired).where(mine), ["t", "i"])
        self._name = compile_statement(select(names.c.name).where(mine), ["t", "i"])

    def insert(self, entity_type: str, columns: dict[str, Any]) -> int:
        """Inserts a row of an entity table and returns its new id."""
        key = ("insert", entity_type, *columns)
        statement = self._kept.get(key)
        if statement is None:
            statement = self._kept[key] = self.insert_statement(entity_type, list(columns))
        entity_id = self._store.run(statement, tuple(columns.values())).lastrowid
        assert entity_id is not None
        return entity_id

    def insert_statement(self, entity_type: str, columns: list[str]) -> Statement:
        """Returns the statement that inserts a row with these columns, values in this order."""
        names = [f"v{place}" for place in range(len(columns))]
        values: dict[str, Any] = {column: bindparam(name) for column, name in zip(columns, names)}
        return compile_statement(self._tables[entity_type].insert().values(values), names)

    def update(self, entity_type: str, entity_id: int, columns: dict[str, Any]) -> None:
        """Sets columns of one row."""
        key = ("update", entity_type, *columns)
        statement = self._kept.get(key)
        if statement is None:
            names = [f"v{place}" for place in range(len(columns))]
            table = self._tables[entity_type]
            values: dict[str, Any] = {
                column: bindparam(name) for column, name in zip(columns, names)
            }
            changed = table.update().where(table.c.id == bindparam("i")).values(values)
            statement = self._kept[key] = compile_statement(changed, [*names, "i"])
        self._store.run(statement, (*columns.values(), entity_id))

    def columns(self, entity_type: str, entity_id: int, names: tuple[str, ...]) -> dict[str, Any]:
        """Returns columns of one row by name."""
        key = ("select", entity_type, *names)
        statement = self._kept.get(key)
        if statement is None:
            table = self._tables[entity_type]
            wanted = select(*(table.c[name] for name in names))
            found = wanted.where(table.c.id == bindparam("i"))
            statement = self._kept[key] = compile_statement(found, ["i"])
        row = self._store.run(statement, (entity_id,)).fetchone()
        return dict(zip(names, row)) if row else {}

    def name(self, entity_type: str, entity_id: int, name: Any) -> None:
        """Enters a new entity into the table of display names."""
        text = None if name is None else str(name)
        self._store.run(self._new_name, (entity_type, entity_id, text, text and text.casefold()))

    def name_many(self, rows: list[tuple[str, int, Optional[str]]]) -> None:
        """Enters many new entities, each as type, id and name."""
        full = [(kind, key, name, name and name.casefold()) for kind, key, name in rows]
        self._store.run_many(self._new_name, full)

    def rename(self, entity_type: str, entity_id: int, name: Optional[str]) -> None:
        """Changes the display name of an entity, and so of every link to it."""
        self._store.run(self._rename, (name, name and name.casefold(), entity_type, entity_id))

    def is_retired(self, entity_type: str, entity_id: int) -> Optional[bool]:
        """Says whether an entity is retired; None if there is none of that id."""
        found = self._store.first(self._retired, (entity_type, entity_id))
        return None if found is None else bool(found)

    def name_of(self, entity_type: str, entity_id: int) -> Optional[str]:
        """Returns the display name of an entity, retired or not; None if there is none."""
        return self._store.first(self._name, (entity_type, entity_id))

    def holders(self, entity_type: str, column: str, value: Any) -> list[int]:
        """Returns the ids of the entities that are not retired and have a value in a column."""
        key = ("holders", entity_type, column)
        statement = self._kept.get(key)
        if statement is None:
            table = self._tables[entity_type]
            active = table.c["_retired"] == literal_column("0")
            wanted = select(table.c.id).where(table.c[column] == bindparam("v"), active)
            statement = self._kept[key] = compile_statement(wanted, ["v"])
        return [row[0] for row in self._store.run(statement, (value,))]

    def set_retired(self, entity_type: str, entity_id: int, *, retired: bool) -> None:
        """Retires or revives an entity that exists."""
        self.update(entity_type, entity_id, {"_retired": int(retired)})
        self._store.run(self._retire_name, (int(retired), entity_type, entity_id))
