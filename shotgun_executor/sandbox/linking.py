"""Links as they are written: checks on the targets, and changes of lists from either side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional

from sqlalchemy import and_, bindparam, func, null, select
from sqlalchemy.dialects.sqlite import insert

from .faults import Fault, ruby_text, wrong_type
from .predicates import listed
from .relations import any_row, constant, number, pairs
from .rows import Rows
from .store import compile_statement
from .tables import link_id, link_type
from .values import not_legal
from .wire import entity_key, is_list

if TYPE_CHECKING:
    from sqlalchemy.sql import ClauseElement

    from .schema import Field, Schema
    from .store import Statement, Store

Key = tuple[str, int]
_MODES = ("set", "add", "remove")


class Linking:
    """Checks and writes the links of one site.

    Args:
        schema: The fields.
        store: The database.
    """

    def __init__(self, schema: Schema, store: Store) -> None:
        self._schema = schema
        self._store = store
        self._tables = store.tables
        self._rows = Rows(store)
        self._kept: dict[tuple[str, str], Statement] = {}
        names = store.tables.names
        live = and_(
            names.c.type == bindparam("t"),
            names.c.id.in_(listed(bindparam("ids"))),
            names.c.retired == number(0),
        )
        self._count = compile_statement(
            select(func.count()).select_from(names).where(live), ["t", "ids"]
        )

    # --- checks -------------------------------------------------------------------------------

    def target(self, field: Field, value: Any, method: str) -> Optional[Key]:
        """Returns the target of a single link, or None for null.

        Raises:
            Fault: The value is no link, or leads to nothing or to a type that is not legal.
        """
        if value is None:
            return None
        key = entity_key(value, method)
        self._check(field, {key}, method)
        return key

    def targets(self, field: Field, value: Any, mode: str, method: str) -> list[Key]:
        """Returns the targets of a list of links, each once.

        Raises:
            Fault: The value is no list of links, a target is not legal, or the mode is unknown.
        """
        if mode not in _MODES:
            text = f"API {method}() invalid/missing string 'multi_entity_update_mode'"
            raise Fault(f"{text}: {ruby_text(mode)}")
        if not is_list(value):
            raise wrong_type(method, field.path, "Array, Hash", value)
        keys = dict.fromkeys(entity_key(item, method) for item in value)
        if mode != "remove":
            self._check(field, set(keys), method)
        return list(keys)

    def _check(self, field: Field, keys: set[Key], method: str) -> None:
        by_type: dict[str, list[int]] = {}
        for entity_type, entity_id in keys:
            by_type.setdefault(entity_type, []).append(entity_id)
        for entity_type, ids in by_type.items():
            if not field.accepts(entity_type):
                raise not_legal(field, method)
            if self._store.first(self._count, (entity_type, json.dumps(ids))) != len(ids):
                raise not_legal(field, method)

    # --- changes ------------------------------------------------------------------------------

    def change(
        self,
        field: Field,
        owner: int,
        targets: list[Key],
        mode: str,
        stamps: Optional[dict[str, Any]] = None,
    ) -> None:
        """Changes a list of links; the other side of the relation changes with it.

        Args:
            field: The list, on whichever side of the relation.
            owner: The id of the entity that has it.
            targets: What to set, add or remove.
            mode: ``set``, ``add`` or ``remove``.
            stamps: The columns that say who makes an entity, for links that are entities.
        """
        if field.through is not None:
            self._change_through(field, owner, targets, mode, stamps or {})
            return
        if mode == "set":
            self._run(field, "clear", [(owner,)])
        if field.mirrors is None:
            rows: list[tuple[Any, ...]] = [(owner, *key) for key in targets]
        else:
            rows = [(owner, key[1]) for key in targets]
        self._run(field, "remove" if mode == "remove" else "add", rows)

    def members(self, field: Field, owner: int) -> list[Key]:
        """Returns what a list leads to, retired entities left out, in order of type and id."""
        key = (field.path, "members")
        statement = self._kept.get(key)
        if statement is None:
            found = pairs(self._tables, self._schema, field)
            names = self._tables.names.alias()
            live = and_(
                names.c.type == found.target_type,
                names.c.id == found.target_id,
                names.c.retired == number(0),
            )
            wanted = (
                select(found.target_type, found.target_id)
                .select_from(found.source)
                .where(found.owner == bindparam("owner_"), found.condition)
                .where(any_row(select(number(1)).select_from(names).where(live)))
                .distinct()
            )
            statement = self._kept[key] = compile_statement(wanted, ["owner_"])
        return sorted((kind, entity_id) for kind, entity_id in self._store.run(statement, (owner,)))

    def _change_through(
        self, field: Field, owner: int, targets: list[Key], mode: str, stamps: dict[str, Any]
    ) -> None:
        """Makes and retires the entities that stand for the links of a list."""
        assert field.through is not None
        entity_type, mine, other = field.through
        there = dict.fromkeys(self.members(field, owner))
        gone = [key for key in there if (key in targets) == (mode == "remove")]
        for kind, entity_id in gone if mode != "add" else []:
            for link in self._link_entities(field, owner, kind, entity_id):
                self._rows.set_retired(entity_type, link, retired=True)
        for kind, entity_id in [] if mode == "remove" else targets:
            if (kind, entity_id) not in there:
                row = {link_type(mine): field.entity_type, link_id(mine): owner}
                row.update({link_type(other): kind, link_id(other): entity_id}, **stamps)
                link = self._rows.insert(entity_type, row)
                self._rows.name(entity_type, link, link)

    def _link_entities(self, field: Field, owner: int, kind: str, entity_id: int) -> list[int]:
        key = (field.path, "entities")
        statement = self._kept.get(key)
        if statement is None:
            assert field.through is not None
            entity_type, mine, other = field.through
            table = self._tables.entities[entity_type]
            wanted = select(table.c.id).where(
                table.c[link_type(mine)] == constant(field.entity_type),
                table.c[link_id(mine)] == bindparam("owner_"),
                table.c[link_type(other)] == bindparam("type_"),
                table.c[link_id(other)] == bindparam("id_"),
                table.c["_retired"] == number(0),
            )
            statement = compile_statement(wanted, ["owner_", "type_", "id_"])
            self._kept[key] = statement
        return [row[0] for row in self._store.run(statement, (owner, kind, entity_id))]

    def _run(self, field: Field, verb: str, rows: list[tuple[Any, ...]]) -> None:
        key = (field.path, verb)
        statement = self._kept.get(key)
        if statement is None:
            statement = self._kept[key] = self.statement(field, verb)
        self._store.run_many(statement, rows)

    def statement(self, field: Field, verb: str) -> Statement:
        """Returns the statement that adds or removes one link, or clears a list.

        Args:
            field: The list.
            verb: ``add`` or ``remove``, which take the owner's id and the target (its type and
                id if the field owns the relation, else its id alone), or ``clear``, which takes
                the owner's id.
        """
        if field.mirrors is None:
            changed, names = self._own(field, verb), ["owner_", "type_", "id_"]
        else:
            mirrored = self._schema.field(*field.mirrors)
            make = self._mirrored_single if mirrored.is_link else self._mirrored_list
            changed, names = make(field, mirrored, verb), ["owner_", "id_"]
        return compile_statement(changed, names[:1] if verb == "clear" else names)

    def _own(self, field: Field, verb: str) -> ClauseElement:
        table = self._tables.links[field.path]
        row: dict[str, Any] = {"owner": bindparam("owner_"), "target_type": bindparam("type_")}
        if verb == "add":
            values = {**row, "target_id": bindparam("id_")}
            return insert(table).values(values).on_conflict_do_nothing()
        gone = table.delete().where(table.c.owner == row["owner"])
        if verb == "clear":
            return gone
        return gone.where(
            table.c.target_type == row["target_type"], table.c.target_id == bindparam("id_")
        )

    def _mirrored_list(self, field: Field, mirrored: Field, verb: str) -> ClauseElement:
        table = self._tables.links[mirrored.path]
        mine = constant(field.entity_type)
        if verb == "add":
            values = {
                "owner": bindparam("id_"), "target_type": mine, "target_id": bindparam("owner_")
            }  # fmt: skip
            return insert(table).values(values).on_conflict_do_nothing()
        gone = table.delete().where(
            table.c.target_type == mine, table.c.target_id == bindparam("owner_")
        )
        return gone if verb == "clear" else gone.where(table.c.owner == bindparam("id_"))

    def _mirrored_single(self, field: Field, mirrored: Field, verb: str) -> ClauseElement:
        table = self._tables.entities[mirrored.entity_type]
        kind, key = table.c[link_type(mirrored.name)], table.c[link_id(mirrored.name)]
        if verb == "add":
            linked = {kind: constant(field.entity_type), key: bindparam("owner_")}
            return table.update().where(table.c.id == bindparam("id_")).values(linked)
        mine = and_(key == bindparam("owner_"), kind == constant(field.entity_type))
        gone = table.update().where(mine).values({kind: null(), key: null()})
        return gone if verb == "clear" else gone.where(table.c.id == bindparam("id_"))
