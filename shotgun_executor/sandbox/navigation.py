"""The methods ``nav_expand`` and ``nav_search``: the site as a tree.

The official client calls them experimental and documents no shape. The keys of a node and the form
of the paths are those that public tools read; the tree itself is the sandbox's own: the site, its
projects, in each the assets by their type and the shots by their sequence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from .faults import Fault, ruby_text
from .targets import condition, every
from .wire import entity_key, get_hash, get_string

if TYPE_CHECKING:
    from .query import Query
    from .schema import Schema
    from .targets import Targets

_GROUPS = {"Asset": "sg_asset_type", "Shot": "sg_sequence"}
_MOST = 5_000
_NO_GROUP = "None"


class _Place(NamedTuple):
    """A path, taken apart; what is missing is None."""

    project: Optional[int] = None
    entity_type: Optional[str] = None
    group: Optional[str] = None
    entity_id: Optional[int] = None


class Navigation:
    """Shows one site as a tree.

    Args:
        schema: Says which types there are.
        query: Reads the records.
        targets: Checks the entities that paths name.
    """

    def __init__(self, schema: Schema, query: Query, targets: Targets) -> None:
        self._schema = schema
        self._query = query
        self._targets = targets

    # --- nav_expand ---------------------------------------------------------------------------

    def expand(self, params: dict[str, Any]) -> dict[str, Any]:
        """Returns the node at a path with its children, whose own children are left out.

        Raises:
            Fault: The path leads nowhere.
        """
        path = get_string(params, "path", "nav_expand")
        place = self._place(path, "nav_expand")
        if place.project is None:
            projects = self._find("Project", ("name",), [])
            children = [_node(one["name"], "/", _entity(one)) for one in projects]
            return _node("Site", "", {"kind": "root", "value": None}, path="/", children=children)
        if place.entity_type is None:
            return self._project_node(place.project)
        if place.group is None:
            return self._type_node(place.project, place.entity_type)
        return self._group_node(place, path)

    def _project_node(self, project: int) -> dict[str, Any]:
        link = {"type": "Project", "id": project}
        path = f"/Project/{project}"
        children = [
            _node(f"{self._schema.types[kind].label}s", path, _type_ref(kind))
            for kind in self._kinds()
        ]
        name = (self._targets.link(("Project", project)) or {}).get("name")
        return _node(name, "/", {"kind": "entity", "value": link}, children=children)

    def _type_node(self, project: int, kind: str) -> dict[str, Any]:
        parent = f"/Project/{project}"
        path, field = f"{parent}/{kind}", _GROUPS[kind]
        groups = {
            _group_of(record.get(field)): record.get(field) for record in self._in(project, kind)
        }
        children = [
            _node(_label(value), path, _group_ref(value), path=f"{path}/{field}/{key}")
            for key, value in sorted(groups.items(), key=lambda item: str(_label(item[1])))
        ]
        return _node(
            f"{self._schema.types[kind].label}s", parent, _type_ref(kind), children=children
        )

    def _group_node(self, place: _Place, path: str) -> dict[str, Any]:
        assert place.project is not None
        assert place.entity_type is not None
        kind = place.entity_type
        field = _GROUPS[kind]
        start = f"/Project/{place.project}/{kind}"
        here = f"{start}/{field}/{place.group}"
        records = [
            r for r in self._in(place.project, kind) if _group_of(r.get(field)) == place.group
        ]
        if place.entity_id is not None:
            records = [record for record in records if record["id"] == place.entity_id]
        if not records:
            raise _nowhere("nav_expand", path)
        leaves = [
            _node(
                record["code"], here, _entity(record), path=f"{here}/id/{record['id']}", leaf=True
            )
            for record in records
        ]
        value = records[0].get(field)
        if place.entity_id is not None:
            return leaves[0]
        return _node(_label(value), start, _group_ref(value), path=here, children=leaves)

    # --- nav_search ---------------------------------------------------------------------------

    def search(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns the ways from a root to the entities that are looked for.

        Raises:
            Fault: The root leads nowhere, or nothing to look for is named.
        """
        root = get_string(params, "root_path", "nav_search")
        project = self._place(root, "nav_search").project
        criteria = get_hash(params, "search_criteria", "nav_search")
        if criteria.get("entity") is not None:
            key = entity_key(criteria["entity"], "nav_search")
            wanted = [condition("id", "is", key[1])]
            kinds = [key[0]] if key[0] in self._kinds() else []
        else:
            text = get_string(criteria, "search_string", "nav_search")
            wanted = [condition("code", "contains", text)]
            kinds = self._kinds()
        if project is not None:
            wanted.append(condition("project", "is", {"type": "Project", "id": project}))
        ways = [
            _way(record, kind, self._schema.types[kind].label)
            for kind in kinds
            for record in self._find(kind, ("code", "project", _GROUPS[kind]), wanted)
        ]
        return [way for way in ways if way is not None]

    # --- the rest -----------------------------------------------------------------------------

    def _kinds(self) -> list[str]:
        return [
            kind
            for kind, field in _GROUPS.items()
            if all(self._schema.has(kind, name) for name in (field, "code", "project"))
        ]

    def _in(self, project: int, kind: str) -> list[dict[str, Any]]:
        here = condition("project", "is", {"type": "Project", "id": project})
        return self._find(kind, ("code", _GROUPS[kind]), [here])

    def _find(
        self, kind: str, fields: tuple[str, ...], where: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        tree = every(*where)
        return self._query.find(kind, fields, tree, limit=_MOST, method="nav_expand")

    def _place(self, path: str, method: str) -> _Place:
        parts = path.strip("/").split("/") if path.strip("/") else []
        if path[:1] != "/" or len(parts) > 8 or len(parts) in (1, 4):
            raise _nowhere(method, path)
        if not parts:
            return _Place()
        project = _number(parts[1])
        if parts[0] != "Project" or project is None:
            raise _nowhere(method, path)
        self._targets.require("Project", project)
        kind = parts[2] if len(parts) > 2 else None
        if kind is not None and kind not in self._kinds():
            raise _nowhere(method, path)
        return self._deep_place(project, kind, parts[3:], method, path)

    def _deep_place(
        self, project: int, kind: Optional[str], rest: list[str], method: str, path: str
    ) -> _Place:
        if kind is None or not rest:
            return _Place(project, kind)
        entity_id = _number(rest.pop()) if len(rest) > 2 and rest[-2] == "id" else None
        if entity_id is not None:
            rest.pop()
        if rest[0] != _GROUPS[kind] or len(rest) not in (2, 3):
            raise _nowhere(method, path)
        return _Place(project, kind, "/".join(rest[1:]), entity_id)


def _node(
    label: Any,
    parent: str,
    ref: dict[str, Any],
    *,
    path: Optional[str] = None,
    children: Optional[list[dict[str, Any]]] = None,
    leaf: bool = False,
) -> dict[str, Any]:
    if path is None:
        value = ref["value"]
        start = "" if parent == "/" else parent
        path = (
            f"{start}/{value}"
            if isinstance(value, str)
            else f"{start}/{value['type']}/{value['id']}"
        )
    node: dict[str, Any] = {
        "label": label,
        "ref": ref,
        "parent_path": parent,
        "path": path,
        "has_children": bool(children) if children is not None else not leaf,
    }
    if children is not None:
        node["children"] = children
    return node


def _entity(record: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "entity", "value": {"type": record["type"], "id": record["id"]}}


def _type_ref(kind: str) -> dict[str, Any]:
    return {"kind": "entity_type", "value": kind}


def _group_ref(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"kind": "entity", "value": {"type": value["type"], "id": value["id"]}}
    return {"kind": "empty" if value is None else "list", "value": value}


def _group_of(value: Any) -> str:
    """Returns the part of a path that stands for a group."""
    if isinstance(value, dict):
        return f"{value['type']}/{value['id']}"
    return _NO_GROUP if value is None else str(value).replace("/", " ")


def _label(value: Any) -> Any:
    if isinstance(value, dict):
        return value["name"]
    return _NO_GROUP if value is None else value


def _way(record: dict[str, Any], kind: str, label: str) -> Optional[dict[str, Any]]:
    project: Optional[dict[str, Any]] = record.get("project")
    if project is None:
        return None
    field = _GROUPS[kind]
    start = f"/Project/{project['id']}"
    group = f"{start}/{kind}/{field}/{_group_of(record.get(field))}"
    return {
        "label": record["code"],
        "incremental_path": [start, f"{start}/{kind}", group, f"{group}/id/{record['id']}"],
        "path_label": f"{label}s > {_label(record.get(field))}",
        "ref": {"type": record["type"], "id": record["id"]},
        "project_id": project["id"],
    }


def _number(text: str) -> Optional[int]:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _nowhere(method: str, path: str) -> Fault:
    return Fault(f"API {method}() path {ruby_text(path)} leads nowhere.")
