"""Fields whose value differs from user to user: ``Note.read_by_current_user`` and its like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam
from sqlalchemy.dialects.sqlite import insert

from .store import compile_statement

if TYPE_CHECKING:
    from .schema import Field
    from .store import Store

_NAMES = ["type_", "id_", "field_", "user_type_", "user_id_", "value_"]


class Personal:
    """Writes the values of one site; they are read as any other field is.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        table = store.site.personal
        columns = ["entity_type", "entity_id", "field", "user_type", "user_id", "value"]
        row: dict[str, Any] = dict(zip(columns, map(bindparam, _NAMES)))
        new = insert(table).values(row)
        put = new.on_conflict_do_update(
            index_elements=columns[:5], set_={"value": new.excluded.value}
        )
        self._put = compile_statement(put, _NAMES)

    def write(self, field: Field, entity_id: int, user: tuple[str, int], value: Any) -> None:
        """Sets the value that a field of an entity has for a user.

        Args:
            field: The field.
            entity_id: The id of the entity, whose type is that of the field.
            user: Type and id of the user.
            value: The value as it is stored.
        """
        self._store.run(self._put, (field.entity_type, entity_id, field.name, *user, value))
