"""Additional filter presets, and reads without archived projects."""

from __future__ import annotations

from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox.bulk import Bulk
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, codes, read

CREATED = {"preset_name": "LATEST", "latest_by": "ENTITIES_CREATED_AT"}
BY_STEP = {
    "preset_name": "LATEST",
    "latest_by": "BY_PIPELINE_STEP_NUMBER_AND_ENTITIES_CREATED_AT",
}
BY_NUMBER = {"preset_name": "LATEST", "latest_by": "VERSION_NUMBER"}
BY_REVISION = {"preset_name": "LATEST", "latest_by": "REVISION_NUMBER"}


def found(sg: DirectShotgun, entity_type: str, *presets: Any, filters: Any = ()) -> str:
    records = sg.find(entity_type, list(filters), ["code"], additional_filter_presets=list(presets))
    return codes(records)


@pytest.fixture
def show(site: Site) -> dict[str, Any]:
    """Two shots with versions made on different days, cuts, and published files."""
    bulk = Bulk(site)
    project = bulk.add("Project", name="p")
    shots = [bulk.add("Shot", code=code, project=project) for code in ("s1", "s2", "s3")]
    steps = [("Step", 5), ("Step", 9)]
    tasks = [bulk.add("Task", content="t", project=project, step=step) for step in steps]
    tasks.append(bulk.add("Task", content="none", project=project))
    for code, shot, day, task in (
        ("a1", 0, 1, 1), ("a2", 0, 3, 0), ("a3", 0, 2, 1), ("b1", 1, 1, 0), ("b2", 1, 1, 2),
    ):  # fmt: skip
        moment = f"2026-01-0{day}T12:00:00Z"
        made = {"entity": shots[shot], "created_at": moment, "sg_task": tasks[task]}
        bulk.add("Version", code=code, project=project, **made)
    bulk.add("Version", code="loose", project=project)
    for code, shot, number, day in (("f1", 0, 1, 3), ("f2", 0, 2, 1), ("g1", 1, 7, 1)):
        moment = f"2026-01-0{day}T12:00:00Z"
        made = {"entity": shots[shot], "created_at": moment, "version_number": number}
        bulk.add("PublishedFile", code=code, project=project, **made)
    cuts = [
        bulk.add("Cut", code=code, project=project, revision_number=number)
        for code, number in (("reel", 1), ("reel", 3), ("other", 9), ("none", None))
    ]
    bulk.add("CutItem", code="i", project=project, cut=cuts[0], shot=shots[0])
    bulk.add("CutItem", code="j", project=project, cut=cuts[1], shot=shots[1])
    bulk.write()
    return {"cuts": cuts}


def test_latest_version_of_each_entity(sg: DirectShotgun, show: Any) -> None:
    """Of versions made in one second the higher id is the later; loose ones have no entity."""
    assert found(sg, "Version", CREATED) == "a2 b2"


def test_latest_version_furthest_down_the_pipeline(sg: DirectShotgun, show: Any) -> None:
    """The step's order counts first, then the time; a task without a step comes before all."""
    assert found(sg, "Version", BY_STEP) == "a3 b1"


def test_latest_published_file(sg: DirectShotgun, show: Any) -> None:
    """By time or by version number, one for each entity."""
    assert found(sg, "PublishedFile", CREATED) == "f1 g1"
    assert found(sg, "PublishedFile", BY_NUMBER) == "f2 g1"


def test_highest_revision_of_the_cuts_that_are_asked_for(sg: DirectShotgun, show: Any) -> None:
    """For cuts the filters count first, as the docs describe the use."""
    reels = [["code", "is", "reel"], ["project.Project.name", "in", ["p", "q"]]]
    assert found(sg, "Cut", BY_REVISION) == "other"
    records = sg.find("Cut", reels, ["revision_number"], additional_filter_presets=[BY_REVISION])
    assert [record["revision_number"] for record in records] == [3]


def test_versions_of_a_cut_go_through_its_shots(sg: DirectShotgun, show: Any) -> None:
    """The preset takes the cut's id, works with filters and with LATEST, and with other ids."""
    one, two = ({"preset_name": "CUT_SHOT_VERSIONS", "cut_id": cut[1]} for cut in show["cuts"][:2])
    assert found(sg, "Version", one) == "a1 a2 a3"
    assert found(sg, "Version", two) == "b1 b2"
    assert found(sg, "Version", {**one, "cut_id": 99}) == ""
    assert found(sg, "Version", CREATED, one) == "a2"
    assert found(sg, "Version", one, filters=[["code", "in", ["a1", "b1"]]]) == "a1"


def test_presets_are_joined_with_filters(sg: DirectShotgun, show: Any) -> None:
    """The latest version of a shot is the latest of all, whatever else is asked."""
    assert found(sg, "Version", CREATED, filters=[["code", "starts_with", "a"]]) == "a2"
    assert found(sg, "Version", CREATED, filters=[["code", "is", "a1"]]) == ""


def test_retired_versions_are_not_the_latest(sg: DirectShotgun, show: Any) -> None:
    """What is deleted makes room for the one before."""
    sg.delete("Version", sg.find_one("Version", [["code", "is", "a2"]])["id"])
    assert found(sg, "Version", CREATED) == "a3 b2"


BAD = [
    3, {"preset_name": "LATEST"}, ["LATEST"], [{}], [{"preset_name": "NEWEST"}],
    [{"preset_name": 3}], [{"preset_name": "LATEST"}], [{**CREATED, "latest_by": "X"}],
    [{**CREATED, "latest_by": ["X"]}], [CREATED, CREATED], [CREATED, BY_STEP], [BY_NUMBER],
    [{"preset_name": "CUT_SHOT_VERSIONS"}], [{"preset_name": "CUT_SHOT_VERSIONS", "cut_id": "1"}],
]  # fmt: skip


@pytest.mark.parametrize("presets", BAD)
def test_bad_preset_is_a_fault(site: Site, presets: Any) -> None:
    """A missing or unknown name or variant, no array, no hash, or two LATEST are refused."""
    answer = read(site, "Version", ["id"], additional_filter_presets=presets)
    assert answer.get("exception") is True
    assert "could not be carried out" not in answer["message"]


def test_preset_of_another_type_is_a_fault(sg: DirectShotgun) -> None:
    """Shots have no presets."""
    for preset in (CREATED, {"preset_name": "CUT_SHOT_VERSIONS", "cut_id": 1}):
        with pytest.raises(shotgun_api3.Fault):
            found(sg, "Shot", preset)


def test_archived_projects_can_be_left_out(sg: DirectShotgun) -> None:
    """Rows of archived projects come unless the call says no, in reads, counts and summaries."""
    for name in ("open", "shut"):
        project = sg.create("Project", {"name": name})
        sg.create("Shot", {"code": name, "project": project})
        sg.create("Shot", {"code": f"{name} too", "project": project})
        sg.create("Group", {"code": name})
    sg.update("Project", 2, {"archived": True})
    assert codes(sg.find("Shot", [], ["code"])) == "open open too shut shut too"
    assert codes(sg.find("Shot", [], ["code"], include_archived_projects=False)) == "open open too"
    assert len(sg.find("Project", [], include_archived_projects=False)) == 1
    assert len(sg.find("Group", [], include_archived_projects=False)) == 2
    count = [{"field": "id", "type": "count"}]
    summary = sg.summarize("Shot", [], count, include_archived_projects=False)
    assert summary["summaries"] == {"id": 2}
    sg.update("Project", 2, {"archived": False})
    assert len(sg.find("Shot", [], include_archived_projects=False)) == 4
