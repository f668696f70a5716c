"""The demo show: believable, the same every time, and quick."""

from __future__ import annotations

import pytest

from shotgun_executor.sandbox.demo import load_demo
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun


def test_demo_is_the_same_every_time(site: Site, sg: DirectShotgun) -> None:
    """Two new sites with the same number of shots hold the same versions with the same ids."""
    fields = ["code", "entity", "sg_task", "user", "created_at", "sg_status_list"]
    load_demo(site, shots=20)
    first = sg.find("Version", [], fields)
    site.clear()
    load_demo(site, shots=20)
    assert sg.find("Version", [], fields) == first
    assert len(first) > 60


def test_demo_links_hang_together(site: Site, sg: DirectShotgun) -> None:
    """Publishes lead to versions, versions to tasks of the same entity, notes to versions."""
    load_demo(site, shots=40)
    fields = ["version.Version.entity", "entity", "version.Version.sg_task.Task.entity", "path"]
    for publish in sg.find("PublishedFile", [], fields, limit=200):
        assert publish["entity"] == publish["version.Version.entity"]
        assert publish["entity"] == publish["version.Version.sg_task.Task.entity"]
        assert publish["path"]["local_path"].startswith("/mnt/projects/lantern_sea/")
    shot = sg.find_one("Shot", [["code", "is", "LS002_0010"]], ["tasks", "assets", "sg_versions"])
    assert len(shot["tasks"]) == 5
    assert len(shot["assets"]) == 5
    note = sg.find_one("Note", [], ["note_links", "replies", "user"])
    assert note["note_links"][0]["type"] == "Version"
    assert note["replies"]


def test_demo_takes_a_second_show_beside_a_first(site: Site, sg: DirectShotgun) -> None:
    """The show can be added to a site that has entities, more than once."""
    load_demo(site, shots=2)
    load_demo(site, shots=2)
    names = [record["name"] for record in sg.find("Project", [], ["name"])]
    assert names == ["The Lantern Sea"] * 2
    assert len(sg.find("Shot", [])) == 4
    assert sg.create("Shot", {"code": "x", "project": {"type": "Project", "id": 1}})["id"] == 5


def test_demo_needs_a_shot(site: Site) -> None:
    """A show without shots is refused."""
    with pytest.raises(ValueError, match="shots"):
        load_demo(site, shots=0)
