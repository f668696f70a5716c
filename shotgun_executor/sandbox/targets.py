"""Entities that a call names as its subject: they must be there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from .faults import WRITE, Fault, ruby_text
from .wire import entity_key, is_list

if TYPE_CHECKING:
    from .linking import Key
    from .rows import Rows
    from .schema import Schema


class Targets:
    """Checks the entities that calls to one site name.

    Args:
        schema: The entity types.
        rows: Knows which entities there are.
    """

    def __init__(self, schema: Schema, rows: Rows) -> None:
        self._schema = schema
        self._rows = rows

    def entity(self, params: dict[str, Any], name: str, method: str, *types: str) -> Key:
        """Returns type and id of the entity that a parameter names.

        Args:
            params: The parameters of the call.
            name: The name of the parameter.
            method: The RPC method, for texts.
            types: The legal entity types; any if there are none.

        Raises:
            Fault: It is no entity, of the wrong type, retired, or was never there.
        """
        entity_type, entity_id = entity_key(params.get(name), method)
        self._schema.entity_type(entity_type, method)
        if types and entity_type not in types:
            legal = " or ".join(types)
            raise Fault(f"API {method}() '{name}' must be a {legal}: {ruby_text(entity_type)}")
        self.require(entity_type, entity_id)
        return entity_type, entity_id

    def optional(
        self, params: dict[str, Any], name: str, method: str, *types: str
    ) -> Optional[Key]:
        """Does the same for a parameter that may be null or missing."""
        return None if params.get(name) is None else self.entity(params, name, method, *types)

    def require(self, entity_type: str, entity_id: int) -> None:
        """Raises the site's fault unless an entity is there and not retired."""
        if self._rows.is_retired(entity_type, entity_id) is not False:
            text = f"Entity of type [{entity_type}] with id={entity_id} does not exist."
            raise Fault(text, WRITE)

    def link(self, key: Optional[Key]) -> Optional[dict[str, Any]]:
        """Returns an entity as ``type``, ``id`` and ``name``; None for None."""
        if key is None:
            return None
        return {"type": key[0], "id": key[1], "name": self._rows.name_of(*key)}

    def extra_fields(self, params: dict[str, Any], method: str) -> dict[str, tuple[str, ...]]:
        """Returns the parameter ``entity_fields``: names of fields by entity type.

        Raises:
            Fault: It is no hash of arrays of strings.
        """
        given = params.get("entity_fields")
        if given is None:
            return {}
        if not isinstance(given, dict):
            raise Fault(f"API {method}() invalid hash 'entity_fields': {ruby_text(given)}")
        found: dict[str, tuple[str, ...]] = {}
        for entity_type, names in given.items():
            if not is_list(names) or not all(isinstance(name, str) for name in names):
                text = f"API {method}() invalid array of fields for {ruby_text(entity_type)}"
                raise Fault(f"{text}: {ruby_text(names)}")
            found[entity_type] = tuple(names)
        return found


def condition(path: str, relation: str, *values: Any) -> dict[str, Any]:
    """Returns a condition of a filter tree as it comes over the wire."""
    return {"path": path, "relation": relation, "values": list(values)}


def every(*conditions: dict[str, Any]) -> dict[str, Any]:
    """Returns the filter tree that demands all of some conditions."""
    return {"logical_operator": "and", "conditions": list(conditions)}


def some(*conditions: dict[str, Any]) -> dict[str, Any]:
    """Returns the filter tree that demands one of some conditions."""
    return {"logical_operator": "or", "conditions": list(conditions)}
