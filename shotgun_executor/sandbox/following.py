"""The methods ``follow``, ``unfollow``, ``followers`` and ``following``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert

from .relations import number
from .store import compile_statement
from .tables import link_id

if TYPE_CHECKING:
    from .schema import Schema
    from .store import Store
    from .targets import Targets

_USERS = ("HumanUser",)
_PAIR = ["user_type", "user_id", "entity_type", "entity_id"]
_NAMES = [f"{name}_" for name in _PAIR]


class Following:
    """Who follows what on one site.

    Args:
        schema: The entity types.
        store: The database.
        targets: Checks the entities that calls name.
    """

    def __init__(self, schema: Schema, store: Store, targets: Targets) -> None:
        self._schema = schema
        self._store = store
        self._targets = targets
        table = store.site.follows
        row: dict[str, Any] = dict(zip(_PAIR, map(bindparam, _NAMES)))
        self._add = compile_statement(insert(table).values(row).on_conflict_do_nothing(), _NAMES)
        gone = table.delete().where(*(table.c[name] == row[name] for name in _PAIR))
        self._remove = compile_statement(gone, _NAMES)
        self._followers = self._select_followers()
        self._following = self._select_following()

    def _select_followers(self) -> Any:
        follows = self._store.site.follows
        users = self._store.tables.entities["HumanUser"]
        names = self._store.tables.names
        wanted = (
            select(users.c.id, names.c.name, users.c.sg_status_list)
            .select_from(follows)
            .join(users, users.c.id == follows.c.user_id)
            .join(names, (names.c.id == users.c.id) & (names.c.type == follows.c.user_type))
            .where(users.c["_retired"] == number(0))
            .where(follows.c.entity_type == bindparam("type_"))
            .where(follows.c.entity_id == bindparam("id_"))
        )
        return compile_statement(wanted.order_by(users.c.id), ["type_", "id_"])

    def _select_following(self) -> Any:
        follows, names = self._store.site.follows, self._store.tables.names
        live = (names.c.type == follows.c.entity_type) & (names.c.id == follows.c.entity_id)
        wanted = (
            select(follows.c.entity_type, follows.c.entity_id)
            .join(names, live & (names.c.retired == number(0)))
            .where(follows.c.user_type == bindparam("type_"))
            .where(follows.c.user_id == bindparam("id_"))
        )
        order = (follows.c.entity_type, follows.c.entity_id)
        return compile_statement(wanted.order_by(*order), ["type_", "id_"])

    def follow(self, params: dict[str, Any]) -> dict[str, Any]:
        """Makes a person follow an entity; nothing changes if that is so already."""
        return self._change(params, "follow", self._add, "followed")

    def unfollow(self, params: dict[str, Any]) -> dict[str, Any]:
        """Ends that a person follows an entity; nothing changes if that was not so."""
        return self._change(params, "unfollow", self._remove, "unfollowed")

    def _change(
        self, params: dict[str, Any], method: str, statement: Any, word: str
    ) -> dict[str, Any]:
        user = self._targets.entity(params, "user", method, *_USERS)
        entity = self._targets.entity(params, "entity", method)
        self._store.run(statement, (*user, *entity))
        keys = {"user": user, "entity": entity}
        links = {name: {"type": kind, "id": number_} for name, (kind, number_) in keys.items()}
        return {word: True, **links}

    def followers(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns the people who follow an entity."""
        entity = self._targets.entity(params, "entity", "followers")
        people = self._store.run(self._followers, entity)
        return [
            {"type": "HumanUser", "id": id_, "name": name, "status": status, "valid": "valid"}
            for id_, name, status in people
        ]

    def following(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns what a person follows, if asked in one project or of one type only."""
        user = self._targets.entity(params, "user", "following", *_USERS)
        project = self._targets.optional(params, "project", "following", "Project")
        only = params.get("entity_type")
        if only is not None:
            only = self._schema.entity_type(only, "following").name
        found = self._store.run(self._following, user).fetchall()
        return [
            {"type": kind, "id": entity_id}
            for kind, entity_id in found
            if only in (None, kind)
            and (project is None or self._is_in(kind, entity_id, project[1]))
        ]

    def _is_in(self, entity_type: str, entity_id: int, project: int) -> bool:
        field = self._schema.types[entity_type].fields.get("project")
        if field is None or not field.is_link:
            return (entity_type, entity_id) == ("Project", project)
        table = self._store.tables.entities[entity_type]
        wanted = select(table.c[link_id("project")]).where(table.c.id == bindparam("id_"))
        return self._store.first(compile_statement(wanted, ["id_"]), (entity_id,)) == project
