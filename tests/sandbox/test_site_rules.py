"""Rules beyond single values: what is unique, what the site fills in, links that are entities."""

from __future__ import annotations

from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun

ME = {"type": "HumanUser", "id": 1, "name": "Sandbox Artist"}
MACHINE = {"type": "ApiUser", "id": 1, "name": "sandbox"}


def test_unique_value_is_taken_once(sg: DirectShotgun) -> None:
    """A second live entity with the value is refused, in whatever case, on create and update."""
    sg.create("Tag", {"name": "Hero"})
    other = sg.create("Tag", {"name": "night"})["id"]
    for use in (
        lambda: sg.create("Tag", {"name": "hero"}),
        lambda: sg.update("Tag", other, {"name": "HERO"}),
    ):
        with pytest.raises(shotgun_api3.Fault, match="is not unique"):
            use()
    assert sg.update("Tag", other, {"name": "Night"})["name"] == "Night"
    assert len(sg.find("Tag", [])) == 2


def test_unique_value_of_a_retired_entity_is_free(sg: DirectShotgun) -> None:
    """What is deleted does not keep its name, and cannot come back once it is taken."""
    first = sg.create("Tag", {"name": "a"})["id"]
    sg.delete("Tag", first)
    second = sg.create("Tag", {"name": "a"})["id"]
    with pytest.raises(shotgun_api3.Fault, match="is not unique"):
        sg.revive("Tag", first)
    sg.update("Tag", second, {"name": "b"})
    assert sg.revive("Tag", first) is True


def test_batch_sees_its_own_unique_values(sg: DirectShotgun) -> None:
    """Two members of a batch cannot take one name, and then none of them does."""
    create = {"request_type": "create", "entity_type": "Tag", "data": {"name": "a"}}
    with pytest.raises(shotgun_api3.Fault, match="is not unique"):
        sg.batch([create, create])
    assert sg.find("Tag", []) == []


def test_author_is_the_caller_unless_given(site: Site, sg: DirectShotgun, project: Any) -> None:
    """Notes, replies and versions name who made them, if that may be a user of this kind."""
    person = DirectShotgun(site, login=site.login, password=site.password)
    for client, user in ((sg, MACHINE), (person, ME)):
        made = client.create("Note", {"subject": "n", "project": project}, ["user"])
        assert made["user"] == user
    made = sg.create("Version", {"code": "v", "project": project, "user": ME}, ["user"])
    assert made["user"] == ME
    log = sg.create("TimeLog", {"duration": 5, "project": project}, ["user"])
    assert log["user"] is None


def test_approval_names_who_and_when(sg: DirectShotgun, project: Any) -> None:
    """The two fields follow the flag, and cannot be written."""
    version = sg.create("Version", {"code": "v", "project": project})["id"]
    fields = ["client_approved_at", "client_approved_by"]
    sg.update("Version", version, {"client_approved": True})
    found = sg.find_one("Version", [], fields)
    assert found["client_approved_by"] == MACHINE
    assert found["client_approved_at"] is not None
    sg.update("Version", version, {"client_approved": False})
    assert [sg.find_one("Version", [], fields)[name] for name in fields] == [None, None]
    with pytest.raises(shotgun_api3.Fault, match="read only"):
        sg.update("Version", version, {"client_approved_by": ME})


@pytest.fixture
def files(sg: DirectShotgun, project: dict[str, Any]) -> list[dict[str, Any]]:
    """Three published files."""
    made = [sg.create("PublishedFile", {"code": code, "project": project}) for code in "abc"]
    return [{"type": "PublishedFile", "id": each["id"], "name": each["code"]} for each in made]


def streams(sg: DirectShotgun) -> list[tuple[str, str]]:
    """Returns the names up and down the stream of each published file."""
    fields = ["upstream_published_files", "downstream_published_files"]
    return [
        tuple("".join(sorted(link["name"] for link in found[name])) for name in fields)
        for found in sg.find("PublishedFile", [], fields)
    ]  # type: ignore[misc]


def test_dependencies_drive_both_streams(sg: DirectShotgun, files: list[Any]) -> None:
    """An entity that says "c needs a" puts a up the stream of c and c down that of a."""
    a, b, c = files
    made = sg.create(
        "PublishedFileDependency", {"published_file": c, "dependent_published_file": a}
    )
    sg.create("PublishedFileDependency", {"published_file": c, "dependent_published_file": b})
    assert streams(sg) == [("", "c"), ("", "c"), ("ab", "")]
    filters = ["upstream_published_files.PublishedFile.code", "is", "a"]
    assert [each["id"] for each in sg.find("PublishedFile", [filters])] == [c["id"]]
    sg.delete("PublishedFileDependency", made["id"])
    assert streams(sg) == [("", ""), ("", "c"), ("b", "")]
    sg.revive("PublishedFileDependency", made["id"])
    sg.delete("PublishedFile", b["id"])
    assert streams(sg) == [("", "c"), ("a", "")]


def test_streams_can_be_written_from_either_side(sg: DirectShotgun, files: list[Any]) -> None:
    """Writing a list makes and retires dependencies, in every mode."""
    a, b, c = files

    def change(entity: Any, name: str, targets: list[Any], mode: str) -> None:
        modes = {f"{name}stream_published_files": mode}
        data = {f"{name}stream_published_files": targets}
        sg.update("PublishedFile", entity["id"], data, multi_entity_update_modes=modes)

    change(c, "up", [a, b, a], "set")
    assert streams(sg) == [("", "c"), ("", "c"), ("ab", "")]
    dependencies = sg.find("PublishedFileDependency", [], ["published_file", "created_by"])
    assert [each["published_file"] for each in dependencies] == [c, c]
    assert dependencies[0]["created_by"] == MACHINE
    change(b, "down", [c], "remove")
    change(b, "down", [a], "add")
    assert streams(sg) == [("b", "c"), ("", "a"), ("a", "")]
    change(c, "up", [b], "set")
    assert streams(sg) == [("b", ""), ("", "ac"), ("b", "")]
    change(c, "up", [], "set")
    change(c, "up", [b], "remove")
    assert streams(sg) == [("b", ""), ("", "a"), ("", "")]
    made = sg.create(
        "PublishedFile",
        {"code": "d", "project": sg.find_one("Project", []), "upstream_published_files": [a]},
    )
    assert made["upstream_published_files"] == [a]
