"""Dry runs: reads go to the site, writes are listed and go nowhere."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from shotgun_api3 import Shotgun, ShotgunError

from shotgun_executor import PlannedWrite, ShotgunExecutor, ShotgunPool
from shotgun_executor.mirror import LOCAL, public_methods
from shotgun_executor.retry import READS
from tests.support import LONG


@pytest.fixture
def project(sandbox):
    """A project that is really there."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    sg.close()
    return project


@pytest.fixture
def dry(sandbox, project):
    """An executor that writes nothing; after the test that is so."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, dry_run=True) as executor:
        yield executor
    assert sandbox.counters().writes == 1
    assert set(sandbox.counters().requests) <= {"create", "read", "info", "get_session_token"}


def test_a_publish_works_and_writes_nothing(dry, project, tmp_path):
    """A script that creates, links and uploads by futures runs to its end; the plan is complete."""
    movie = tmp_path / "a.mov"
    movie.write_bytes(b"x" * 1234)
    shot = dry.create("Shot", {"code": "sh010", "project": project}, ["sg_status_list"])
    version = dry.create("Version", {"code": "v1", "entity": shot, "project": project})
    uploaded = dry.upload("Version", version, str(movie), field_name="sg_uploaded_movie")
    thumbnail = dry.upload_thumbnail("Version", version, str(movie))
    noted = dry.update("Version", version, {"description": "first"})
    assert noted.result(LONG) == {"type": "Version", "id": -2, "description": "first"}
    assert shot.result() == {
        "type": "Shot",
        "id": -1,
        "code": "sh010",
        "project": project,
        "sg_status_list": None,
    }
    assert version.result()["entity"] == {"type": "Shot", "id": -1}
    assert uploaded.result(LONG) < 0
    assert thumbnail.result(LONG) < 0
    assert uploaded.result() != thumbnail.result()
    found = dry.find_one("Version", [["id", "is", -2]], ["code", "description", "image"])
    assert found.result(LONG) == {
        "type": "Version",
        "id": -2,
        "code": "v1",
        "description": "first",
        "image": None,
    }
    plan = {(write.method, write.entity_type, write.path): write for write in dry.planned}
    assert len(dry.planned) == 5  # two uploads of the same file among them
    assert plan["create", "Shot", None].data == {"code": "sh010", "project": project}
    assert plan["upload", "Version", str(movie)].size == 1234
    assert plan["update", "Version", None] == PlannedWrite(
        "update", "Version", -2, {"description": "first"}
    )


def test_image_of_a_create_is_planned(dry, project, tmp_path):
    """A create with an image, which reads it back, works as well."""
    image = tmp_path / "a.png"
    image.write_bytes(b"PNG")
    data = {"code": "v", "project": project, "image": str(image)}
    version = dry.create("Version", data).result(LONG)
    assert version["id"] == -1
    assert [write.method for write in dry.planned] == ["create", "upload"]
    with pytest.raises(ShotgunError, match="valid file"):
        dry.upload("Version", version["id"], str(tmp_path / "missing.mov")).result(LONG)


def test_every_way_to_write_is_held_back(dry, project):
    """The facade, batches, a function with the client, a pool made from it: nothing is sent."""
    shot = {"type": "Shot", "id": 7}
    dry.shotgun.create("Shot", {"code": "facade", "project": project})
    dry.submit(lambda: dry.shotgun.delete("Shot", 7)).result(LONG)
    dry.call(lambda sg: sg.update("Shot", 7, {"code": "client"})).result(LONG)
    with dry.batching() as batch:
        made = [batch.create("Shot", {"code": n, "project": project}) for n in "ab"]
        batch.update("Shot", made[0], {"sg_cut_in": 1})
    request = {"request_type": "delete", "entity_type": "Shot", "entity_id": 7}
    assert [outcome.result for outcome in dry.batch_chunks([request] * 2)] == [True, True]
    with ShotgunPool(dry.shotgun) as pool:
        pool.revive("Shot", 7)
        pool.share_thumbnail([shot, shot], source_entity={"type": "Shot", "id": 8})
    assert [write.method for write in dry.planned] == [
        *("create", "delete", "update", "create", "create", "update"),
        *("delete", "delete", "revive", "share_thumbnail"),
    ]


def calls_that_write(project) -> dict[str, Any]:
    """Arguments for each public method that writes."""
    shot = {"type": "Shot", "id": 1}
    user = {"type": "HumanUser", "id": 1}
    return {
        "batch": ([{"request_type": "delete", "entity_type": "Shot", "entity_id": 1}],),
        "create": ("Shot", {"code": "x", "project": project}),
        "delete": ("Shot", 1),
        "follow": (user, shot),
        "revive": ("Shot", 1),
        "schema_field_create": ("Shot", "text", "My Field"),
        "schema_field_delete": ("Shot", "sg_my_field"),
        "schema_field_update": ("Shot", "sg_my_field", {"name": "Other"}),
        "share_thumbnail": ([shot], None, shot),
        "unfollow": (user, shot),
        "update": ("Shot", 1, {"assets": [shot]}, {"assets": "add"}),
        "update_project_last_accessed": (project,),
        "upload": ("Shot", 1, __file__),
        "upload_filmstrip_thumbnail": ("Shot", 1, __file__),
        "upload_thumbnail": ("Shot", 1, __file__),
        "user_subscriptions_create": ([{"humanUserId": 1, "subscription": "x"}],),
        "work_schedule_update": ("2024-05-17", False, "closed"),
    }


def test_each_method_that_writes_is_planned(dry, project):
    """Every public method of the client that writes has a plausible result, and is listed."""
    calls = calls_that_write(project)
    only_local = {"authenticate_human_user", "get_auth_cookie_handler"}
    assert set(calls) == set(public_methods()) - LOCAL - set(READS) - only_local
    results = {name: getattr(dry, name)(*args).result(LONG) for name, args in calls.items()}
    assert len(dry.planned) == len(calls)
    assert results["batch"] == [True]
    assert results["schema_field_create"] == "sg_my_field"
    assert results["user_subscriptions_create"] is True
    assert results["follow"]["followed"] is True
    assert results["unfollow"]["unfollowed"] is True
    assert results["work_schedule_update"]["working"] is False
    assert results["update"]["assets"] == [{"type": "Shot", "id": 1}]
    modes = [w.data.get("multi_entity_update_modes") for w in dry.planned if w.method == "update"]
    assert modes == [{"assets": "add"}]


def test_reads_go_to_the_site(dry, project):
    """What only reads is answered by the site."""
    assert dry.find("Project", [], ["name"]).result(LONG) == [project]
    assert dry.find_one("Project", [["id", "is", project["id"]]]).result(LONG)["id"] == 1
    assert dry.find_one("Shot", [["id", "is", -1]]).result(LONG) is None
    assert dry.planned == []


def test_writes_of_a_wrapper_are_held_back(sandbox, project):
    """What a studio's own methods write is caught too; what cannot be pretended is refused."""

    class Studio(Shotgun):
        def publish(self, code):
            return self.create("Shot", {"code": code, "project": project})

        def reticulate(self):
            return self._call_rpc("reticulate", {"splines": 3})

    for arguments in (
        {"base_url": Studio(sandbox.url, **sandbox.credentials, connect=False)},
        {"factory": lambda: Studio(sandbox.url, **sandbox.credentials, connect=False)},
    ):
        with ShotgunExecutor(**cast("Any", arguments), dry_run=True) as executor:
            assert executor.publish("x").result(LONG)["id"] == -1
            with pytest.raises(ShotgunError, match="dry run: reticulate is not known"):
                executor.reticulate().result(LONG)
    assert sandbox.counters().writes == 1
    assert "reticulate" not in sandbox.counters().requests


def test_way_around_ends_before_the_site(sandbox, project):
    """A class that builds its own requests is stopped where they would be sent."""

    class Raw(Shotgun):
        def _call_rpc(self, method, params, include_auth_params=True, first=False):
            body = b'{"method_name": "create", "params": []}'
            return self._http_request("POST", "/api3/json", body, {})

    client = Raw(sandbox.url, **sandbox.credentials, connect=False)
    with ShotgunExecutor(client, dry_run=True) as executor:
        with pytest.raises(ShotgunError, match="dry run: create"):
            executor.create("Shot", {}).result(LONG)
    assert sandbox.counters().writes == 1


def test_stand_ins_are_refused():
    """A client that is no Shotgun cannot be held back, so it is not used."""

    class StandIn:
        find = find_one = create = update = delete = batch = lambda *_: None

    with ShotgunExecutor(factory=StandIn, dry_run=True) as executor:
        with pytest.raises(TypeError, match="dry_run needs clients that are a Shotgun"):
            executor.create("Shot", {}).result(LONG)


def test_planned_writes_are_told_and_logged(sandbox, project, caplog):
    """dry_run may be a function, which is told of each write; secrets are in no text."""
    told = []
    with caplog.at_level(logging.INFO, "shotgun_executor"):
        with ShotgunExecutor(
            sandbox.url, **sandbox.credentials, dry_run=lambda write: told.append(str(write))
        ) as executor:
            executor.update("HumanUser", 1, {"name": "A", "password_proxy": "hunter2"}).result(LONG)
            executor.delete("Shot", 3).result(LONG)
    assert told == ["update HumanUser 1: name='A', password_proxy='***'", "delete Shot 3"]
    assert f"dry run: {told[0]}" in caplog.text
    assert "hunter2" not in caplog.text


def test_argument_is_checked(sandbox):
    """What is no switch and no function is refused; without a dry run nothing is planned."""
    with pytest.raises(TypeError, match="dry_run must be True, False, or a function"):
        ShotgunExecutor(sandbox.url, **sandbox.credentials, dry_run=cast("Any", "yes"))
    with ShotgunExecutor(sandbox.url, **sandbox.credentials) as executor:
        assert executor.planned == []
