"""Custom fields: made, changed, hidden, deleted, and there again after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox.fields import CREATABLE
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call

pytestmark = pytest.mark.slow

VALUES: dict[str, tuple[Any, Any]] = {
    "checkbox": (True, True),
    "color": ("1,2,3", "1,2,3"),
    "currency": (2.5, 2.5),
    "date": ("2026-01-31", "2026-01-31"),
    "date_time": ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
    "duration": ("60", 60),
    "entity_type": ("Asset", "Asset"),
    "float": (1, 1.0),
    "footage": ("10-05", "10-05"),
    "jsonb": ({"a": [1]}, {"a": [1]}),
    "list": ("b", "b"),
    "number": (7, 7),
    "percent": (50, 50),
    "status_list": ("ip", "ip"),
    "tag_list": (["x"], ["x"]),
    "text": (" words ", "words"),
    "timecode": (1000, 1000),
}
PROPERTIES = {"list": {"valid_values": ["a", "b"]}, "status_list": {"valid_values": ["wtg", "ip"]}}


def test_field_is_made_with_the_documented_name(sg: DirectShotgun) -> None:
    """The internal name is `sg_` and the display name in snake case, with a number if taken."""
    names = [sg.schema_field_create("Shot", "text", "Lens  Kit (mm)") for _ in range(3)]
    assert names == ["sg_lens_kit_mm", "sg_lens_kit_mm_1", "sg_lens_kit_mm_2"]
    assert sg.schema_field_create("Shot", "text", "sg_plain") == "sg_plain"


def test_new_field_describes_itself(sg: DirectShotgun) -> None:
    """What was given at the making is what the schema tells, and the type lists the field."""
    properties = {"summary_default": "count", "description": "how hard it is"}
    name = sg.schema_field_create("Asset", "text", "Complexity", properties)
    field = sg.schema_field_read("Asset", name)[name]
    assert field["name"]["value"] == "Complexity"
    assert field["description"]["value"] == "how hard it is"
    assert field["data_type"] == {"value": "text", "editable": False}
    assert field["visible"] == {"value": True, "editable": True}
    assert field["properties"]["summary_default"]["value"] == "count"
    assert field == sg.schema_read()["Asset"][name] == sg.schema_field_read("Asset")[name]


@pytest.mark.parametrize("data_type", CREATABLE)
def test_field_of_each_type_holds_values(
    sg: DirectShotgun, project: dict[str, Any], data_type: str
) -> None:
    """Rows that were there before have no value; a value that is written is read, and found."""
    other = {"type": "Shot", "id": sg.create("Shot", {"code": "a", "project": project})["id"]}
    named = {**other, "name": "a"}
    name = sg.schema_field_create("Shot", data_type, "Fresh", PROPERTIES.get(data_type))
    links: dict[str, tuple[Any, Any]] = {
        "entity": (other, named),
        "multi_entity": ([other], [named]),
        "url": ({"url": "http://a.example", "name": "a"}, None),
    }
    given, expected = {**VALUES, **links}[data_type]
    shot = sg.create("Shot", {"code": "b", "project": project, name: given})
    found = {row["code"]: row[name] for row in call_read(sg, name)}
    empty = {"checkbox": False, "multi_entity": [], "tag_list": []}.get(data_type)
    assert found["a"] in (empty, None if data_type != "checkbox" else False)
    if data_type == "url":
        assert found["b"]["url"] == "http://a.example"
    else:
        assert found["b"] == expected
    if data_type == "text":
        assert sg.find_one("Shot", [[name, "is", "WORDS"]]) == {"type": "Shot", "id": shot["id"]}


def call_read(sg: DirectShotgun, name: str) -> list[dict[str, Any]]:
    filters = {"logical_operator": "and", "conditions": []}
    params = {"type": "Shot", "return_fields": ["code", name], "filters": filters}
    found: list[dict[str, Any]] = call(sg.site, "read", params)["results"]["entities"]
    return found


def test_checkbox_made_later_is_false_in_old_rows(
    sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """A checkbox is never null, whenever its row was made."""
    sg.create("Shot", {"code": "old", "project": project})
    name = sg.schema_field_create("Shot", "checkbox", "Done")
    assert sg.find_one("Shot", [], [name])[name] is False
    assert sg.find_one("Shot", [[name, "is", False]]) is not None


def test_links_to_a_new_field_follow_and_filter(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """A custom link works in dotted paths like any other."""
    name = sg.schema_field_create("Shot", "entity", "Lead", {"valid_types": ["Asset"]})
    asset = sg.create("Asset", {"code": "gull", "project": project})
    sg.create("Shot", {"code": "a", "project": project, name: asset})
    found = sg.find_one("Shot", [[f"{name}.Asset.code", "is", "gull"]], [f"{name}.Asset.code"])
    assert found[f"{name}.Asset.code"] == "gull"
    with pytest.raises(shotgun_api3.Fault, match="Value is not legal"):
        sg.create("Shot", {"code": "b", "project": project, name: project})


def test_field_changes_its_properties(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """Name, description and legal values change at once, for writing too."""
    name = sg.schema_field_create("Shot", "list", "Mood", {"valid_values": ["calm"]})
    changed = {"name": "Temper", "description": "d", "valid_values": ["calm", "wild"]}
    assert sg.schema_field_update("Shot", name, changed) is True
    field = sg.schema_field_read("Shot", name)[name]
    assert field["name"]["value"] == "Temper"
    assert field["properties"]["valid_values"]["value"] == ["calm", "wild"]
    sg.create("Shot", {"code": "a", "project": project, name: "wild"})
    assert sg.schema_field_update("Shot", "code", {"description": "of the shot"}) is True
    assert sg.schema_field_read("Shot", "code")["code"]["description"]["value"] == "of the shot"


def test_field_is_hidden_in_one_project_only(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """`visible` of a custom field is per project, and true where nothing was said."""
    other = sg.create("Project", {"name": "Other"})
    name = sg.schema_field_create("Shot", "text", "Quiet")
    assert sg.schema_field_update("Shot", name, {"visible": False}, project) is True

    def visible(where: Any) -> list[bool]:
        answers = sg.schema_read(where)["Shot"], sg.schema_field_read("Shot", name, where)
        return [answer[name]["visible"]["value"] for answer in answers]

    assert [visible(project), visible(other), visible(None)] == [
        [False] * 2,
        [True] * 2,
        [True] * 2,
    ]
    assert sg.schema_field_update("Shot", name, {"visible": True}, project) is True
    assert visible(project) == [True, True]
    assert sg.schema_entity_read(project) == sg.schema_entity_read()


@pytest.mark.parametrize(
    ("call_", "text"),
    [
        (("schema_field_create", "Shot", "text", ""), "'name'"),
        (("schema_field_create", "Shot", "image", "x"), "invalid data type"),
        (("schema_field_create", "Ship", "text", "x"), "'Ship' doesn't exist"),
        (("schema_field_create", "Shot", "text", "x", {"colour": 3}), "invalid property"),
        (("schema_field_create", "Shot", "list", "x", {"valid_values": "abc"}), "invalid property"),
        (
            ("schema_field_create", "Shot", "entity", "x", {"valid_types": ["No"]}),
            "invalid property",
        ),
        (
            ("schema_field_create", "Shot", "number", "x", {"default_value": "3"}),
            "invalid property",
        ),
        (("schema_field_update", "Shot", "sg_no", {"name": "x"}), "Shot.sg_no doesn't exist"),
        (("schema_field_update", "Shot", "sg_cut_in", {"visible": False}), "needs a 'project'"),
        (("schema_field_delete", "Shot", "code"), "not a custom field"),
        (("schema_field_delete", "Shot", "sg_no"), "doesn't exist"),
        (("schema_field_read", "Shot", "sg_no"), "doesn't exist"),
    ],
)
def test_illegal_change_of_the_schema_is_a_fault(
    sg: DirectShotgun, call_: tuple[Any, ...], text: str
) -> None:
    """A refusal names what is wrong, and the schema stays as it was."""
    before = sg.schema_read()
    with pytest.raises(shotgun_api3.Fault, match=text):
        getattr(sg, call_[0])(*call_[1:])
    assert sg.schema_read() == before


def test_visibility_of_a_stock_field_is_fixed(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """Only custom fields can be hidden."""
    with pytest.raises(shotgun_api3.Fault, match="'visible' is not editable"):
        sg.schema_field_update("Shot", "code", {"visible": False}, project)


def test_deleted_field_is_gone_everywhere(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """A deleted field is neither described, read, written, filtered on nor sorted by."""
    name = sg.schema_field_create("Shot", "text", "Old", {"default_value": "x"})
    sg.create("Shot", {"code": "a", "project": project})
    assert sg.find_one("Shot", [], [name])[name] == "x"
    assert sg.schema_field_delete("Shot", name) is True
    assert name not in sg.schema_read()["Shot"]
    assert name not in sg.find_one("Shot", [], [name])
    for use in (
        lambda: sg.update("Shot", 1, {name: "y"}),
        lambda: sg.find("Shot", [[name, "is", "x"]]),
    ):
        with pytest.raises(shotgun_api3.Fault, match="exist"):
            use()
    assert len(sg.find("Shot", [], order=[{"field_name": name, "direction": "asc"}])) == 1


@pytest.mark.parametrize("version", [(7, 4, 0), (8, 89, 0)])
def test_name_of_a_deleted_field_stays_taken(version: tuple[int, int, int]) -> None:
    """Newer sites refuse a field with the name of a deleted one; older ones add a number."""
    site = Site(version=version)
    sg = DirectShotgun(site)
    sg.schema_field_delete("Shot", sg.schema_field_create("Shot", "text", "Old"))
    if version[0] < 8:
        assert sg.schema_field_create("Shot", "number", "Old") == "sg_old_1"
    else:
        with pytest.raises(shotgun_api3.Fault, match="a deleted field named sg_old exists"):
            sg.schema_field_create("Shot", "number", "Old")
    site.close()


def test_custom_fields_survive_a_restart(tmp_path: Path) -> None:
    """A file brings back fields with their values, changes, deletions and visibility."""
    site = Site(tmp_path / "site.db")
    sg = DirectShotgun(site)
    project = sg.create("Project", {"name": "Tide"})
    names = [sg.schema_field_create("Shot", kind, kind) for kind in ("text", "multi_entity")]
    gone = sg.schema_field_create("Shot", "number", "gone")
    data = {names[0]: "kept", names[1]: [project]}
    sg.create("Shot", {"code": "a", "project": project, **data})
    sg.schema_field_update("Shot", names[0], {"name": "Renamed", "visible": False}, project)
    sg.schema_field_delete("Shot", gone)
    before = sg.schema_read(project)
    site.close()

    site = Site(tmp_path / "site.db")
    sg = DirectShotgun(site)
    assert sg.schema_read(project) == before
    found = sg.find_one("Shot", [[names[0], "is", "kept"]], names)
    assert found[names[1]] == [{"type": "Project", "id": 1, "name": "Tide"}]
    with pytest.raises(shotgun_api3.Fault, match="deleted field"):
        sg.schema_field_create("Shot", "number", "gone")
    site.close()


def test_clear_takes_the_schema_back(sg: DirectShotgun, site: Site) -> None:
    """A cleared site has its first schema; a name that is used again may have another type."""
    before = sg.schema_read()
    for data_type in ("text", "multi_entity", "number"):
        name = sg.schema_field_create("Shot", data_type, "again")
        project = sg.create("Project", {"name": "p"})
        sg.create("Shot", {"code": "a", "project": project})
        site.clear()
        assert name not in sg.schema_read()["Shot"]
    name = sg.schema_field_create("Shot", "number", "again")
    project = sg.create("Project", {"name": "p"})
    sg.create("Shot", {"code": "a", "project": project, name: 5})
    assert sg.find_one("Shot", [], [name])[name] == 5
    site.clear()
    assert sg.schema_read() == before
