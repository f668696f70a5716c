"""Many entities at once, past the checks of ``create``: for demo data and large tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from sqlalchemy import func, select

from . import dates
from .linking import Linking
from .store import compile_statement
from .tables import folded, link_id, link_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .schema import Field
    from .site import Site

Key = tuple[str, int]
_MAKER: Key = ("ApiUser", 1)


class Bulk:
    """Collects entities and writes them in one transaction.

    Values are taken as they are stored: dates and times as text, links as type and id, list and
    status values unchecked.

    Args:
        site: The site to write to. Nothing else may write to it between `add` and `write`.
        moment: The time of creation for rows that give none, as the site writes times.
    """

    def __init__(self, site: Site, moment: Optional[str] = None) -> None:
        self._site = site
        self._moment = moment or dates.write_time(dates.utc_now())
        self._linking = Linking(site.schema, site.store)
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._links: dict[str, list[tuple[Any, ...]]] = {}
        self._next: dict[str, int] = {}

    def add(self, entity_type: str, **values: Any) -> Key:
        """Adds an entity and returns its type and id.

        Args:
            entity_type: Its type.
            values: Its fields. A list of links is a list of keys, and its field must own the
                relation.
        """
        entity_id = self._take_id(entity_type)
        kind = self._site.schema.types[entity_type]
        row: dict[str, Any] = {"id": entity_id}
        stamps: dict[str, Any] = {"created_at": self._moment, "created_by": _MAKER}
        stamps["updated_at"] = values.get("created_at", self._moment)
        stamps["updated_by"] = values.get("created_by", _MAKER)
        defaults = {field.name: field.default for field in kind.defaults}
        for name, value in {**defaults, **stamps, **values}.items():
            field = kind.fields[name]
            if field.is_multi:
                self._link(field, entity_id, value)
            else:
                _put(row, field, value)
        self._rows.setdefault(entity_type, []).append(row)
        return entity_type, entity_id

    def _take_id(self, entity_type: str) -> int:
        entity_id = self._next.get(entity_type)
        if entity_id is None:
            table = self._site.store.tables.entities[entity_type]
            last = self._site.store.first(compile_statement(select(func.max(table.c.id)), []))
            entity_id = (last or 0) + 1
        self._next[entity_type] = entity_id + 1
        return entity_id

    def _link(self, field: Field, owner: int, targets: Iterable[Key]) -> None:
        if field.mirrors is not None or field.through is not None:
            instead = field.mirrors or field.through
            raise ValueError(f"{field.path} does not own its links; set {instead} instead")
        self._links.setdefault(field.path, []).extend((owner, *target) for target in targets)

    def write(self) -> int:
        """Writes what was added and returns the number of entities."""
        count = 0
        with self._site.store.transaction():
            for entity_type, rows in self._rows.items():
                self._write_rows(entity_type, rows)
                count += len(rows)
            for path, links in self._links.items():
                field = self._site.schema.field(*path.split("."))
                self._site.store.run_many(self._linking.statement(field, "add"), links)
        self._rows.clear()
        self._links.clear()
        return count

    def _write_rows(self, entity_type: str, rows: list[dict[str, Any]]) -> None:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        statement = self._site.rows.insert_statement(entity_type, columns)
        values = ([row.get(column) for column in columns] for row in rows)
        self._site.store.run_many(statement, values)
        name = self._site.schema.types[entity_type].identifier
        self._site.rows.name_many([(entity_type, row["id"], _text(row.get(name))) for row in rows])


def _text(value: Any) -> Optional[str]:
    return None if value is None else str(value)


def _put(row: dict[str, Any], field: Field, value: Any) -> None:
    name = field.name
    if field.is_link:
        row[link_type(name)], row[link_id(name)] = value or (None, None)
        return
    row[name] = value
    if field.is_folded:
        row[folded(name)] = value and value.casefold()
