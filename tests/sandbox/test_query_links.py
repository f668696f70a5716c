"""Filters, fields and sorts on links: single, lists, both sides of a relation, dotted paths."""

from __future__ import annotations

from typing import Any

import pytest
import shotgun_api3

from tests.sandbox.site_support import DirectShotgun, codes


@pytest.fixture
def show(sg: DirectShotgun, project: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Two sequences, four shots (the last one without any link) and three assets, by code."""
    made: dict[str, dict[str, Any]] = {}

    def add(entity_type: str, code: str, **data: Any) -> None:
        record = sg.create(entity_type, {"code": code, "project": project, **data})
        made[code] = {"type": entity_type, "id": record["id"]}

    add("Sequence", "Dawn", description="early")
    add("Sequence", "Dusk")
    add("Asset", "Ärger", sg_asset_type="Prop")
    add("Asset", "Boat", sg_asset_type="Vehicle")
    add("Asset", "Gull", sg_asset_type="Character")
    add("Shot", "s1", sg_sequence=made["Dawn"], assets=[made["Ärger"], made["Boat"]])
    add("Shot", "s2", sg_sequence=made["Dusk"], assets=[made["Boat"]])
    add("Shot", "s3", sg_sequence=made["Dawn"], assets=[made["Gull"]])
    add("Shot", "s4")
    return made


def resolved(show: dict[str, dict[str, Any]], values: list[Any]) -> list[Any]:
    """Returns the values with codes in angle brackets replaced by links."""
    return [
        show[value[1:-1]] if isinstance(value, str) and value.startswith("<") else value
        for value in values
    ]


GONE = {"type": "Sequence", "id": 99_999}
CASES: list[tuple[str, str, list[Any], str]] = [
    ("sg_sequence", "is", ["<Dawn>"], "s1 s3"),
    ("sg_sequence", "is", [GONE], ""),
    ("sg_sequence", "is", [None], "s4"),
    ("sg_sequence", "is_not", ["<Dawn>"], "s2 s4"),
    ("sg_sequence", "is_not", [None], "s1 s2 s3"),
    ("sg_sequence", "in", ["<Dawn>", "<Dusk>"], "s1 s2 s3"),
    ("sg_sequence", "in", ["<Dusk>", "<Boat>", None], "s2 s4"),
    ("sg_sequence", "not_in", ["<Dusk>", GONE], "s1 s3 s4"),
    ("sg_sequence", "not_in", ["<Dusk>", None], "s1 s3"),
    ("sg_sequence", "type_is", ["Sequence"], "s1 s2 s3"),
    ("sg_sequence", "type_is", ["Shot"], ""),
    ("sg_sequence", "type_is_not", ["Sequence"], "s4"),
    ("sg_sequence", "name_is", ["DAWN"], "s1 s3"),
    ("sg_sequence", "name_contains", ["us"], "s2"),
    ("sg_sequence", "name_not_contains", ["US"], "s1 s3 s4"),
    ("assets", "is", ["<Boat>"], "s1 s2"),
    ("assets", "is", [None], "s4"),
    ("assets", "is_not", ["<Boat>"], "s3 s4"),
    ("assets", "is_not", [None], "s1 s2 s3"),
    ("assets", "in", ["<Ärger>", "<Gull>"], "s1 s3"),
    ("assets", "not_in", ["<Ärger>", "<Gull>"], "s2 s4"),
    ("assets", "type_is", ["Asset"], "s1 s2 s3"),
    ("assets", "type_is_not", ["Asset"], "s4"),
    ("assets", "name_is", ["ÄRGER"], "s1"),
    ("assets", "name_contains", ["o"], "s1 s2"),
    ("assets", "name_not_contains", ["o"], "s3 s4"),
    ("sg_sequence.Sequence.code", "is", ["dawn"], "s1 s3"),
    ("sg_sequence.Sequence.code", "is_not", ["dawn"], "s2 s4"),
    ("sg_sequence.Sequence.description", "is", [None], "s2 s4"),
    ("sg_sequence.Sequence.id", "in", [1, 2], "s1 s2 s3"),
    ("sg_sequence.Sequence.project.Project.name", "is", ["tidewater"], "s1 s2 s3"),
    ("sg_sequence.Sequence.project", "is_not", [None], "s1 s2 s3"),
    ("sg_sequence.Sequence.shots", "is", ["<s1>"], "s1 s3"),
    ("assets.Asset.code", "is", ["boat"], "s1 s2"),
    ("assets.Asset.code", "contains", ["oa"], "s1 s2"),
    ("assets.Asset.sg_asset_type", "is_not", ["Vehicle"], "s1 s3 s4"),
    ("assets.Asset.sg_asset_type", "is", [None], "s4"),
    ("assets.Asset.shots.Shot.code", "is", ["s1"], "s1 s2"),
    ("assets.Asset.project", "is", [{"type": "Project", "id": 1}], "s1 s2 s3"),
]


@pytest.mark.parametrize(("field", "relation", "values", "expected"), CASES)
def test_link_operator_matches(
    sg: DirectShotgun,
    show: dict[str, dict[str, Any]],
    field: str,
    relation: str,
    values: list[Any],
    expected: str,
) -> None:
    """Each operator matches the right shots, directly and through dotted paths of any depth."""
    given = resolved(show, values)
    condition = (
        [field, relation, given] if relation in ("in", "not_in") else [field, relation, *given]
    )
    assert codes(sg.find("Shot", [condition], ["code"])) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "invalid/missing entity hash: 7"),
        ({"id": 7}, "invalid/missing entity hash string 'type'"),
        ({"type": "Shot"}, "invalid/missing entity hash integer 'id'"),
    ],
)
def test_a_link_needs_type_and_id(sg: DirectShotgun, value: Any, text: str) -> None:
    """Half a link in a filter is refused with the text of a live site."""
    with pytest.raises(shotgun_api3.Fault, match=text):
        sg.find("Shot", [["sg_sequence", "is", value]])


def test_retired_target_drops_out_of_links(
    sg: DirectShotgun, show: dict[str, dict[str, Any]]
) -> None:
    """Links to a retired entity read as empty, match as empty, and come back with it."""
    sg.delete("Sequence", show["Dawn"]["id"])
    sg.delete("Asset", show["Boat"]["id"])
    found = sg.find(
        "Shot", [["code", "is", "s1"]], ["sg_sequence", "sg_sequence.Sequence.code", "assets"]
    )
    assert (found[0]["sg_sequence"], found[0]["sg_sequence.Sequence.code"]) == (None, None)
    assert [asset["name"] for asset in found[0]["assets"]] == ["Ärger"]
    assert codes(sg.find("Shot", [["sg_sequence", "is", None]], ["code"])) == "s1 s3 s4"
    assert sg.find("Shot", [["sg_sequence", "is", show["Dawn"]]]) == []
    assert codes(sg.find("Shot", [["assets", "is", None]], ["code"])) == "s2 s4"
    assert sg.find("Shot", [["sg_sequence.Sequence.code", "is", "Dawn"]]) == []
    sg.revive("Sequence", show["Dawn"]["id"])
    assert codes(sg.find("Shot", [["sg_sequence", "is", show["Dawn"]]], ["code"])) == "s1 s3"


def test_rename_shows_in_every_link(sg: DirectShotgun, show: dict[str, dict[str, Any]]) -> None:
    """The name in a link is the name that the target has now."""
    sg.update("Sequence", show["Dawn"]["id"], {"code": "Noon"})
    sg.update("Asset", show["Boat"]["id"], {"code": "Ship"})
    record = sg.find_one("Shot", [["code", "is", "s1"]], ["sg_sequence", "assets"])
    assert record["sg_sequence"] == {**show["Dawn"], "name": "Noon"}
    assert [asset["name"] for asset in record["assets"]] == ["Ärger", "Ship"]
    assert codes(sg.find("Shot", [["sg_sequence", "name_is", "noon"]], ["code"])) == "s1 s3"
    renamed = sg.find_one("Sequence", [["code", "is", "noon"]], ["cached_display_name"])
    assert renamed["cached_display_name"] == "Noon"


def test_identifier_differs_by_type(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """A link to a task, note or person is named by content, subject or full name."""
    task = sg.create("Task", {"content": "Model", "project": project})
    person = sg.create("HumanUser", {"firstname": "Ines", "lastname": "Fennel", "login": "ines"})
    data = {"subject": "Hello", "project": project, "tasks": [task], "addressings_to": [person]}
    note = sg.create("Note", data, ["tasks", "addressings_to"])
    assert note["tasks"] == [{"type": "Task", "id": task["id"], "name": "Model"}]
    assert note["addressings_to"][0]["name"] == "Ines Fennel"
    reply = sg.create("Reply", {"content": "Hi", "entity": note}, ["entity"])
    assert reply["entity"]["name"] == "Hello"
    sg.update("HumanUser", person["id"], {"lastname": "Alder"})
    found = sg.find_one("Note", [["id", "is", note["id"]]], ["addressings_to"])
    assert found["addressings_to"][0]["name"] == "Ines Alder"


RELATIONS = [
    ("Shot", "tasks", "Task", "entity"),
    ("Version", "published_files", "PublishedFile", "version"),
    ("Shot", "assets", "Asset", "shots"),
    ("Playlist", "versions", "Version", "playlists"),
    ("Group", "users", "HumanUser", "groups"),
    ("Version", "notes", "Note", "note_links"),
    ("Task", "upstream_tasks", "Task", "downstream_tasks"),
]


@pytest.mark.parametrize(("near", "near_field", "far", "far_field"), RELATIONS)
def test_relation_is_one_seen_from_both_sides(
    sg: DirectShotgun, project: dict[str, Any], near: str, near_field: str, far: str, far_field: str
) -> None:
    """Set, add and remove on either side show on the other, and filters on both agree."""

    def make(entity_type: str) -> dict[str, Any]:
        data = {} if entity_type in ("Group", "HumanUser") else {"project": project}
        return {"type": entity_type, "id": sg.create(entity_type, data)["id"]}

    def ids(owner: dict[str, Any], field: str) -> list[int]:
        value = sg.find_one(owner["type"], [["id", "is", owner["id"]]], [field])[field]
        links = value if isinstance(value, list) else [value] if value else []
        return [link["id"] for link in links]

    owner, others = make(near), [make(far) for _ in range(3)]
    numbers = [other["id"] for other in others]
    sg.update(near, owner["id"], {near_field: others[:2]})
    assert ids(owner, near_field) == numbers[:2]
    assert [ids(other, far_field) for other in others] == [[owner["id"]], [owner["id"]], []]
    sg.update(near, owner["id"], {near_field: [others[2]]}, {near_field: "add"})
    sg.update(near, owner["id"], {near_field: [others[0]]}, {near_field: "remove"})
    assert ids(owner, near_field) == numbers[1:]
    back = [owner] if isinstance(sg.find_one(far, [], [far_field])[far_field], list) else owner
    sg.update(far, numbers[0], {far_field: back})
    assert ids(owner, near_field) == numbers
    found = sg.find(near, [[near_field, "is", others[0]]])
    assert [record["id"] for record in found] == [owner["id"]]
    matched = sg.find(far, [[far_field, "is", owner], ["id", "in", numbers]])
    assert [record["id"] for record in matched] == numbers


def test_sort_by_link_is_by_name_with_empty_last(
    sg: DirectShotgun, show: dict[str, dict[str, Any]]
) -> None:
    """A link sorts by the name of its target without regard to case; id breaks ties."""
    order = [{"field_name": "sg_sequence", "direction": "asc"}]
    assert codes(sg.find("Shot", [], ["code"], order)) == "s1 s3 s2 s4"
    order = [{"field_name": "sg_sequence.Sequence.code", "direction": "desc"}]
    assert codes(sg.find("Shot", [], ["code"], order)) == "s4 s2 s1 s3"
