"""Conversations, text search, activity, the navigation tree, and exported pages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox.bulk import Bulk
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call

MACHINE = {"type": "ApiUser", "id": 1, "name": "sandbox", "status": "act", "valid": "valid"}
PERSON = {"type": "HumanUser", "id": 1, "name": "Sandbox Artist", "status": "act"}


# --- note_thread_contents -------------------------------------------------------------------------


@pytest.fixture
def note(site: Site) -> int:
    """A note with two replies, an attachment between them, and another note beside it."""
    bulk = Bulk(site, "2026-05-01T10:00:00Z")
    project = bulk.add("Project", name="p")
    person = ("HumanUser", 1)
    key = bulk.add("Note", subject="s", content="look", project=project, user=person)
    bulk.add("Reply", content="second", entity=key, user=person, created_at="2026-05-03T00:00:00Z")
    bulk.add("Reply", content="first", entity=key, user=person, created_at="2026-05-01T11:00:00Z")
    moment = "2026-05-02T00:00:00Z"
    bulk.add("Attachment", display_name="f", attachment_links=[key], created_at=moment)
    other = bulk.add("Note", subject="t", content="other", project=project)
    bulk.add("Reply", content="not this", entity=other, user=person)
    bulk.write()
    return key[1]


def test_thread_holds_note_replies_and_attachments(sg: DirectShotgun, note: int) -> None:
    """The note comes first, then its parts as they were made, each with the documented keys."""
    thread = sg.note_thread_read(note)
    assert [part["type"] for part in thread] == ["Note", "Reply", "Attachment", "Reply"]
    assert thread[0] == {
        "type": "Note",
        "id": note,
        "content": "look",
        "created_at": "2026-05-01 10:00:00 UTC",
        "created_by": MACHINE,
    }
    assert thread[1] == {
        "type": "Reply",
        "id": 2,
        "content": "first",
        "created_at": "2026-05-01 11:00:00 UTC",
        "user": {**PERSON, "valid": "valid", "image": None},
    }
    assert set(thread[2]) == {"type", "id", "created_at", "created_by"}


def test_thread_gives_the_fields_that_are_asked_for(sg: DirectShotgun, note: int) -> None:
    """Extra fields come by entity type, dotted ones too."""
    extra = {"Note": ["subject", "user.HumanUser.login"], "Attachment": ["this_file"]}
    thread = sg.note_thread_read(note, extra)
    assert thread[0]["subject"] == "s"
    assert thread[0]["user.HumanUser.login"] == "sandbox.artist"
    assert "this_file" in thread[2]
    assert "this_file" not in thread[1]


def test_thread_leaves_out_what_is_retired(sg: DirectShotgun, note: int) -> None:
    """A deleted reply is gone, and a deleted note has no thread."""
    sg.delete("Reply", 2)
    assert [part["type"] for part in sg.note_thread_read(note)] == ["Note", "Attachment", "Reply"]
    sg.delete("Note", note)
    with pytest.raises(shotgun_api3.Fault, match=f"id={note} does not exist"):
        sg.note_thread_read(note)


# --- query_display_name_cache ---------------------------------------------------------------------


@pytest.fixture
def bunnies(site: Site) -> None:
    """Things with bunny in their name, in two projects."""
    bulk = Bulk(site)
    projects = [bulk.add("Project", name=name) for name in ("Big Bunny", "Small")]
    shot = bulk.add("Shot", code="bunny_010", project=projects[0])
    bulk.add("Asset", code="Bunny", project=projects[0], sg_asset_type="Character")
    bulk.add("Asset", code="Old Bunny Hat", project=projects[1], sg_asset_type="Prop")
    bulk.add("Task", content="FX for bunny", project=projects[0], entity=shot, sg_status_list="fin")
    bulk.write()


def names(result: dict[str, Any]) -> list[str]:
    return [match["name"] for match in result["matches"]]


def test_search_finds_names_that_hold_every_word(sg: DirectShotgun, bunnies: None) -> None:
    """Words may stand in any order and case; names that start with the first come first."""
    types: dict[str, Any] = {"Asset": [], "Task": [], "Shot": [], "Project": []}
    found = sg.text_search("BUNNY", types)
    assert found["terms"] == ["bunny"]
    assert names(found) == [
        "Bunny", "bunny_010", "Big Bunny", "FX for bunny", "Old Bunny Hat"
    ]  # fmt: skip
    assert names(sg.text_search("hat old", types)) == ["Old Bunny Hat"]
    assert sg.text_search("hat old", types)["terms"] == ["hat", "old"]
    assert names(sg.text_search("bunny", {"Asset": []}, limit=1)) == ["Bunny"]


def test_match_tells_link_project_and_status(sg: DirectShotgun, bunnies: None) -> None:
    """A match has the documented keys; what is linked to nothing has two empty strings."""
    (match,) = sg.text_search("fx for", {"Task": []})["matches"]
    assert match == {
        "id": 1, "type": "Task", "name": "FX for bunny", "project_id": 1, "image": None,
        "links": ["Shot", "bunny_010"], "status": "fin",
    }  # fmt: skip
    (project,) = sg.text_search("small", {"Project": []})["matches"]
    assert (project["project_id"], project["links"]) == (2, ["", ""])


def test_search_keeps_to_filters_and_projects(sg: DirectShotgun, bunnies: None) -> None:
    """Each type has filters of its own, and projects narrow all of them."""
    props = {"Asset": [["sg_asset_type", "is", "Prop"]]}
    assert names(sg.text_search("bunny", props)) == ["Old Bunny Hat"]
    everything: dict[str, Any] = {"Asset": [], "Project": [], "Group": []}
    assert names(sg.text_search("bunny", everything, project_ids=[1])) == ["Bunny", "Big Bunny"]
    sg.delete("Asset", 1)
    assert names(sg.text_search("bunny", everything, project_ids=[1])) == ["Big Bunny"]


def test_search_needs_three_characters(sg: DirectShotgun) -> None:
    """A shorter text is refused."""
    with pytest.raises(shotgun_api3.Fault, match="at least 3 characters"):
        sg.text_search("ab", {"Shot": []})


# --- activity_stream ------------------------------------------------------------------------------


def test_stream_tells_what_happened_newest_first(
    sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """The stream of a shot holds its own events and the making of what is linked to it."""
    shot = sg.create("Shot", {"code": "s", "project": project})
    other = sg.create("Shot", {"code": "other", "project": project})
    sg.update("Shot", shot["id"], {"sg_status_list": "ip"})
    version = sg.create("Version", {"code": "v", "project": project, "entity": shot})
    sg.create("Version", {"code": "w", "project": project, "entity": other})
    sg.create("Note", {"subject": "n", "project": project, "note_links": [shot, other]})
    stream = sg.activity_stream_read("Shot", shot["id"])
    updates = stream["updates"]
    assert [update["update_type"] for update in updates] == ["create", "create", "update", "create"]
    subjects = [update["primary_entity"]["type"] for update in updates]
    assert subjects == ["Note", "Version", "Shot", "Shot"]
    ids = [update["id"] for update in updates]
    assert ids == sorted(ids, reverse=True)
    assert (stream["latest_update_id"], stream["earliest_update_id"]) == (ids[0], ids[-1])
    assert set(stream) == {
        "entity_type", "entity_id", "updates", "earliest_update_id", "latest_update_id"
    }  # fmt: skip
    update = updates[1]
    assert update["primary_entity"] == {
        "type": "Version", "id": version["id"], "name": "v", "status": "rev",
    }  # fmt: skip
    assert update["meta"] == {
        "type": "new_entity", "entity_type": "Version", "entity_id": version["id"],
    }  # fmt: skip
    assert update["created_by"] == {
        "type": "ApiUser", "id": 1, "name": "sandbox", "status": "act", "image": None,
    }  # fmt: skip
    assert update["read"] is False
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", update["created_at"])


def test_stream_of_a_project_holds_everything_in_it(
    sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """Extra fields come by type; what is deleted since then is still told."""
    sg.create("Shot", {"code": "s", "project": project, "sg_cut_in": 5})
    sg.create("Asset", {"code": "a", "project": project})
    sg.delete("Asset", 1)
    stream = sg.activity_stream_read("Project", project["id"], {"Shot": ["sg_cut_in"]})
    words = [(each["update_type"], each["primary_entity"]["type"]) for each in stream["updates"]]
    assert words == [
        ("delete", "Asset"), ("create", "Asset"), ("create", "Shot"), ("create", "Project")
    ]  # fmt: skip
    assert stream["updates"][2]["primary_entity"]["sg_cut_in"] == 5
    assert stream["updates"][0]["primary_entity"]["name"] == "a"


def test_stream_comes_in_parts(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """The bounds are ids that belong to the part; a limit counts from the newest."""
    shot = sg.create("Shot", {"code": "s", "project": project})["id"]
    for number in range(5):
        sg.update("Shot", shot, {"sg_cut_in": number})
    ids = [update["id"] for update in sg.activity_stream_read("Shot", shot)["updates"]]

    def part(**bounds: int) -> list[int]:
        return [each["id"] for each in sg.activity_stream_read("Shot", shot, **bounds)["updates"]]

    assert part(limit=2) == ids[:2]
    assert part(max_id=ids[1], limit=2) == ids[1:3]
    assert part(min_id=ids[2]) == ids[:3]
    assert sg.activity_stream_read("HumanUser", 1)["updates"] == []
    with pytest.raises(shotgun_api3.Fault, match="does not exist"):
        sg.activity_stream_read("Shot", 99)


# --- nav_expand, nav_search -----------------------------------------------------------------------


@pytest.fixture
def tree(site: Site) -> None:
    """Two projects, one with a sequence of shots and an asset."""
    bulk = Bulk(site)
    project = bulk.add("Project", name="p")
    bulk.add("Project", name="q")
    sequence = bulk.add("Sequence", code="q1", project=project)
    for code in ("s1", "s2"):
        bulk.add("Shot", code=code, project=project, sg_sequence=sequence)
    bulk.add("Shot", code="loose", project=project)
    bulk.add("Asset", code="gull", project=project, sg_asset_type="Prop")
    bulk.write()


def test_tree_opens_level_by_level(sg: DirectShotgun, tree: None) -> None:
    """Every path that a node tells can be expanded and gives that node again."""
    seen: list[str] = []
    todo = ["/"]
    while todo:
        node = sg.nav_expand(todo.pop())
        seen.append(node["path"])
        for child in node.get("children", []):
            assert child["parent_path"] == node["path"]
            todo.append(child["path"])
            again = sg.nav_expand(child["path"])
            assert (again["label"], again["ref"]) == (child["label"], child["ref"])
    group = "/Project/1/Shot/sg_sequence/Sequence/1"
    assert set(seen) == {
        "/", "/Project/1", "/Project/2", "/Project/1/Shot", "/Project/1/Asset", "/Project/2/Shot",
        "/Project/2/Asset", group, f"{group}/id/1", f"{group}/id/2",
        "/Project/1/Shot/sg_sequence/None", "/Project/1/Shot/sg_sequence/None/id/3",
        "/Project/1/Asset/sg_asset_type/Prop", "/Project/1/Asset/sg_asset_type/Prop/id/1",
    }  # fmt: skip
    assert sg.nav_expand(f"{group}/id/2")["ref"] == {
        "kind": "entity", "value": {"type": "Shot", "id": 2},
    }  # fmt: skip


def test_search_tells_the_way_from_the_root(sg: DirectShotgun, tree: None) -> None:
    """An entity or a part of a name is found under a root, with every path to it."""
    way = {
        "label": "s2",
        "incremental_path": [
            "/Project/1", "/Project/1/Shot", "/Project/1/Shot/sg_sequence/Sequence/1",
            "/Project/1/Shot/sg_sequence/Sequence/1/id/2",
        ],
        "path_label": "Shots > q1",
        "ref": {"type": "Shot", "id": 2},
        "project_id": 1,
    }  # fmt: skip
    assert sg.nav_search_entity("/Project/1", {"type": "Shot", "id": 2}) == [way]
    assert sg.nav_search_string("/", "S2") == [way]
    assert sg.nav_search_string("/Project/2", "s2") == []
    assert sg.nav_search_entity("/", {"type": "HumanUser", "id": 1}) == []


@pytest.mark.parametrize(
    "path",
    [
        "", "x", "/Project", "/Project/9", "/Project/x", "/Ship/1", "/Project/1/Ship",
        "/Project/1/Shot/x", "/Project/1/Shot/sg_sequence/Sequence/9", "/Project/1/Shot/id/1",
        "/Project/1/Shot/sg_sequence/Sequence/1/id/99", "/Project/1/Shot/sg_sequence/id/1",
        "/Project/1/Shot/sg_sequence/Sequence/1/id/2/x/y", "/" * 50,
    ],
)  # fmt: skip
def test_path_that_leads_nowhere_is_a_fault(sg: DirectShotgun, tree: None, path: str) -> None:
    """A wrong path is refused; only the bare root may be written with more slashes."""
    if not path.strip("/") and path:
        assert sg.nav_expand(path)["path"] == "/"
        return
    with pytest.raises(shotgun_api3.Fault, match=r"leads nowhere|does not exist"):
        sg.nav_expand(path)


# --- export_page ----------------------------------------------------------------------------------


def test_page_is_exported_as_csv(site: Site, sg: DirectShotgun, project: dict[str, Any]) -> None:
    """The answer is CSV text with headings, quoted where needed, of the page's project only."""
    other = sg.create("Project", {"name": "q"})
    for code, where in (('a "b", c', project), ("far", other)):
        sg.create("Shot", {"code": code, "project": where})
    page = sg.create("Page", {"name": "shots", "entity_type": "Shot", "project": project})["id"]
    assert sg.export_page(page, "csv") == 'Id,Shot Code,Status\n1,"a ""b"", c",wtg\n'
    everywhere = sg.create("Page", {"name": "all", "entity_type": "Shot"})["id"]
    text = sg.export_page(everywhere, "csv", layout_name="any")
    assert text.splitlines()[2] == "2,far,wtg"
    auth = {"script_name": site.script_name, "script_key": site.api_key}
    params = [auth, {"format": "csv", "page_id": page}]
    answer = site.answer(json.dumps({"method_name": "export_page", "params": params}).encode())
    assert answer.content_type == "text/csv"


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"page_id": 1}, "'format' missing"),
        ({"format": "csv"}, "'page_id' missing"),
        ({"format": "pdf", "page_id": 1}, "must be csv"),
        ({"format": "csv", "page_id": 99}, "Export for Page id=99 not available"),
        ({"format": "csv", "page_id": 1}, "Export for Page id=1 not available"),
    ],
)
def test_page_that_cannot_be_exported_is_a_fault(
    sg: DirectShotgun, params: dict[str, Any], text: str
) -> None:
    """The recorded texts; a page without a type shows nothing."""
    sg.create("Page", {"name": "empty"})
    assert text in call(sg.site, "export_page", params)["message"]
