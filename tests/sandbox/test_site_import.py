"""Sites with an imported schema: from Mockgun's files, and from what a site says of itself."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import shotgun_api3
from shotgun_api3.lib.mockgun import generate_schema

from shotgun_executor.sandbox.schema import Schema
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, script


def wrapped(**values: Any) -> dict[str, Any]:
    return {name: {"value": value, "editable": True} for name, value in values.items()}


def field(data_type: str, name: str = "Field", **properties: Any) -> dict[str, Any]:
    """Returns a field as `schema_read` of an old site describes it."""
    return {**wrapped(name=name, data_type=data_type), "properties": wrapped(**properties)}


@pytest.fixture
def files(sg: DirectShotgun, tmp_path: Path) -> tuple[Path, Path]:
    """Mockgun's two files, made by its own function."""
    sg.schema_field_create("Shot", "list", "Mood", {"valid_values": ["calm"]})
    paths = tmp_path / "schema.pickle", tmp_path / "schema_entity.pickle"
    generate_schema(sg, *map(str, paths))
    return paths


def test_site_from_mockgun_has_exactly_those_types_and_fields(
    sg: DirectShotgun, files: tuple[Path, Path]
) -> None:
    """What the files describe is what the new site describes, and it works as the old one."""
    site = Site(schema=Schema.from_mockgun(*files))
    copy = DirectShotgun(site)
    assert copy.schema_read() == sg.schema_read()
    assert copy.schema_entity_read() == sg.schema_entity_read()
    project = copy.create("Project", {"name": "p"})
    shot = copy.create("Shot", {"code": "s", "project": project, "sg_mood": "calm"})
    copy.create("Task", {"content": "t", "project": project, "entity": shot})
    found = copy.find_one("Shot", [["tasks.Task.content", "is", "t"]], ["sg_mood", "tasks"])
    assert found["sg_mood"] == "calm"
    assert found["tasks"] == [{"type": "Task", "id": 1, "name": "t"}]
    assert copy.find_one("EventLogEntry", [["event_type", "is", "Shotgun_Shot_New"]]) is not None
    site.close()


def test_site_from_json_is_the_same(sg: DirectShotgun, tmp_path: Path) -> None:
    """The results of `schema_read` and `schema_entity_read` may come as JSON files."""
    paths = tmp_path / "fields.json", tmp_path / "types.json"
    paths[0].write_text(json.dumps(sg.schema_read()))
    paths[1].write_text(json.dumps(sg.schema_entity_read()))
    site = Site(schema=[str(path) for path in paths])
    assert DirectShotgun(site).schema_read() == sg.schema_read()
    assert DirectShotgun(site).schema_entity_read() == sg.schema_entity_read()
    site.close()
    site = Site(schema=paths[0])
    assert DirectShotgun(site).schema_entity_read()["PublishedFile"]["name"]["value"] == (
        "PublishedFile"
    )
    site.close()


SMALL: dict[str, Any] = {
    "Ship": {
        "id": field("number", "Id"),
        "title": field("text", "Title"),
        "crew": field("multi_entity", "Crew", valid_types=["Sailor"]),
        "home": field("entity", "Home", valid_types=["Harbor"]),
        "rig": field("list", "Rig", valid_values=["sloop", "yawl"], default_value="sloop"),
        "kind": field("system_task_type", "Kind"),
        "step_0": field("pivot_column", "All"),
    },
    "Sailor": {"id": field("number"), "name": field("text")},
    "Harbor": {"code": field("text"), "archived": field("checkbox", default_value=False)},
}


def test_small_schema_makes_a_working_site() -> None:
    """Types of any name work; what the sandbox needs itself stays out of sight."""
    site = Site(schema=Schema.from_site(SMALL))
    sg = DirectShotgun(site)
    assert set(sg.schema_read()) == set(SMALL)
    assert set(sg.schema_read()["Ship"]) == set(SMALL["Ship"])
    harbor = sg.create("Harbor", {"code": "north"})
    sailors = [sg.create("Sailor", {"name": name}) for name in ("Ada", "Bo")]
    ship = sg.create("Ship", {"title": "Gull", "crew": sailors, "home": harbor})
    found = sg.find_one("Ship", [["home.Harbor.code", "is", "north"]], list(SMALL["Ship"]))
    assert found == {
        "type": "Ship", "id": ship["id"], "title": "Gull", "rig": "sloop", "kind": None,
        "step_0": None, "home": {"type": "Harbor", "id": 1, "name": "north"},
        "crew": [
            {"type": "Sailor", "id": 1, "name": "Ada"}, {"type": "Sailor", "id": 2, "name": "Bo"}
        ],
    }  # fmt: skip
    sg.update("Ship", ship["id"], {"title": "Tern", "crew": sailors[:1]})
    assert sg.delete("Ship", ship["id"]) is sg.revive("Ship", ship["id"]) is True
    assert sg.summarize("Ship", [], [{"field": "id", "type": "count"}])["summaries"] == {"id": 1}
    for hidden in (("HumanUser", []), ("Ship", [["created_at", "is", None]])):
        with pytest.raises(shotgun_api3.Fault, match="exist"):
            sg.find(*hidden)
    assert "created_at" not in sg.find_one("Ship", [], ["created_at"])
    with pytest.raises(shotgun_api3.Fault, match="read only"):
        sg.update("Ship", ship["id"], {"kind": "x"})
    for absent in (lambda: sg.note_thread_read(1), lambda: sg.nav_expand("/")):
        with pytest.raises(shotgun_api3.Fault, match="exist"):
            absent()
    token = sg.get_session_token()
    person = {"login": site.login, "password": site.password}
    for client in (DirectShotgun(site, **person), DirectShotgun(site, session_token=token)):
        assert len(client.find("Ship", [])) == 1
    sudo = DirectShotgun(site, **script(site), sudo_as_login=site.login)
    assert len(sudo.find("Ship", [])) == 1
    site.close()


def test_file_remembers_its_schema(tmp_path: Path) -> None:
    """A file opens with the schema that it was made with, and refuses another."""
    site = Site(tmp_path / "site.db", schema=Schema.from_site(SMALL))
    DirectShotgun(site).create("Ship", {"title": "Gull"})
    name = DirectShotgun(site).schema_field_create("Ship", "number", "Guns")
    site.close()
    for schema in (None, Schema.from_site(SMALL)):
        site = Site(tmp_path / "site.db", schema=schema)
        found = DirectShotgun(site).find("Ship", [], ["title", name])
        assert [ship["title"] for ship in found] == ["Gull"]
        site.clear()
        assert set(DirectShotgun(site).schema_read()["Ship"]) == set(SMALL["Ship"])
        DirectShotgun(site).create("Ship", {"title": "Gull"})
        site.close()
    with pytest.raises(ValueError, match="another schema"):
        Site(tmp_path / "site.db", schema=Schema.load())
    Site(tmp_path / "plain.db").close()
    with pytest.raises(ValueError, match="another schema"):
        Site(tmp_path / "plain.db", schema=Schema.from_site(SMALL))


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the file ran code",))


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Trap()),
        pickle.dumps([1]),
        pickle.dumps({3: {}}),
        b"",
        b"no pickle",
        b"\x80\x04.",
    ],
)
def test_file_that_is_no_schema_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever is in a file, it is not executed, and the error names the file."""
    path = tmp_path / "schema.pickle"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"schema\.pickle"):
        Schema.from_mockgun(path, path)


@pytest.mark.parametrize(
    "fields",
    [
        {"Shot": 3},
        {"Shot": {"code": 3}},
        {"Shot": {"code": {}}},
        {"Shot": {"a b": field("text")}},
        {'x"; DROP': {}},
        {"Shot": {"sg_list": field("list", valid_values="abc")}},
        {"ApiUser": {"firstname": field("number")}},
    ],
)
def test_data_that_is_no_schema_is_refused(fields: dict[str, Any]) -> None:
    """Another shape is an error, and so is a type that the sandbox cannot work with."""
    with pytest.raises(ValueError, match=r"schema|name|list|needs"):
        Schema.from_site(fields)


def test_wrong_number_of_schema_files_is_refused(tmp_path: Path) -> None:
    """One file or two."""
    with pytest.raises(ValueError, match="one or two files"):
        Site(schema=[])
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json is no schema"):
        Site(schema=tmp_path / "x.json")
    with pytest.raises(OSError, match="none"):
        Site(schema=tmp_path / "none.json")
