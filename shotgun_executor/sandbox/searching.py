"""The method ``query_display_name_cache``: a search for words in display names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .faults import Fault, ruby_text
from .targets import condition, every
from .wire import get_hash, get_string, is_hash, is_integer, is_list

if TYPE_CHECKING:
    from .query import Query
    from .schema import Schema

_METHOD = "query_display_name_cache"
_SHORTEST = 3
_MOST = 25
"""As many matches as the REST API of a live site gives at most; what RPC does is not known."""


class Searching:
    """Searches the display names of one site.

    Args:
        schema: The fields.
        query: Reads the records.
    """

    def __init__(self, schema: Schema, query: Query) -> None:
        self._schema = schema
        self._query = query

    def search(self, params: dict[str, Any]) -> dict[str, Any]:
        """Returns the entities whose name holds every word of a text, best match first.

        A name that starts with the first word is a better match than one that holds it further in.

        Raises:
            Fault: The text is shorter than three characters, or a parameter is malformed.
        """
        text = get_string(params, "text", _METHOD).strip()
        if len(text) < _SHORTEST:
            raise Fault(f"API {_METHOD}() 'text' must have at least {_SHORTEST} characters.")
        terms = text.casefold().split()
        projects = _projects(params)
        limit = _limit(params)
        found: list[dict[str, Any]] = []
        for entity_type, tree in get_hash(params, "entity_types", _METHOD).items():
            kind = self._schema.entity_type(entity_type, _METHOD)
            found += self._matches(kind.name, tree, terms, projects, limit)
        found.sort(key=lambda match: _rank(match, terms[0]))
        return {"matches": found[:limit], "terms": terms}

    def _matches(
        self, entity_type: str, tree: Any, terms: list[str], projects: list[int], limit: int
    ) -> list[dict[str, Any]]:
        if not is_hash(tree):
            raise Fault(f"API {_METHOD}() invalid filters of {entity_type}: {ruby_text(tree)}")
        words = [condition("cached_display_name", "contains", term) for term in terms]
        name = self._schema.types[entity_type].identifier
        if not self._schema.has(entity_type, "cached_display_name"):
            words = [condition(name, "contains", term) for term in terms]
        if projects:
            links = [{"type": "Project", "id": project} for project in projects]
            if entity_type == "Project":
                words.append(condition("id", "in", *projects))
            elif self._schema.has(entity_type, "project"):
                words.append(condition("project", "in", *links))
            else:
                return []
        fields = (
            name,
            "cached_display_name",
            "project",
            "image",
            "entity",
            "sg_status_list",
            "sg_status",
        )
        conditions = every(tree, *words)
        found = self._query.find(
            entity_type, fields, conditions, limit=max(limit, _MOST), method=_METHOD
        )
        return [_match(record, name) for record in found]


def _match(record: dict[str, Any], identifier: str) -> dict[str, Any]:
    link = record.get("entity") or {}
    project = record if record["type"] == "Project" else record.get("project") or {}
    return {
        "id": record["id"],
        "type": record["type"],
        "name": record.get("cached_display_name", record.get(identifier)),
        "project_id": project.get("id"),
        "image": record.get("image"),
        "links": [link.get("type", ""), link.get("name") or ""],
        "status": record.get("sg_status_list", record.get("sg_status")),
    }


def _rank(match: dict[str, Any], term: str) -> tuple[Any, ...]:
    name = str(match["name"] or "").casefold()
    return not name.startswith(term), name, match["type"], match["id"]


def _projects(params: dict[str, Any]) -> list[int]:
    given = params.get("project_ids")
    if given is None:
        return []
    if not is_list(given) or not all(is_integer(project) for project in given):
        raise Fault(f"API {_METHOD}() invalid array 'project_ids': {ruby_text(given)}")
    return given


def _limit(params: dict[str, Any]) -> int:
    given = params.get("max_results")
    if given is None:
        return _MOST
    if not is_integer(given) or given < 1:
        raise Fault(f"API {_METHOD}() invalid integer 'max_results': {ruby_text(given)}")
    return min(given, 1_000)
