"""The event log: what is written for each change, and when nothing is."""

from __future__ import annotations

from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call, script

FIELDS = [
    "event_type", "attribute_name", "meta", "entity", "project", "user", "session_uuid",
    "description", "created_by",
]  # fmt: skip
MACHINE = {"type": "ApiUser", "id": 1, "name": "sandbox"}


def events(sg: DirectShotgun, *filters: Any) -> list[dict[str, Any]]:
    """Returns the events about shots, oldest first."""
    found: list[dict[str, Any]] = sg.find(
        "EventLogEntry", [["event_type", "contains", "Shot_"], *filters], FIELDS
    )
    return found


def types(sg: DirectShotgun) -> list[str]:
    return [event["event_type"].rsplit("_", 1)[1] for event in events(sg)]


@pytest.fixture
def shot(sg: DirectShotgun, project: dict[str, Any]) -> dict[str, Any]:
    """A shot that was made just now."""
    record = sg.create("Shot", {"code": "s1", "project": project})
    return {"type": "Shot", "id": record["id"]}


def test_create_is_logged_with_everything(
    sg: DirectShotgun, project: dict[str, Any], shot: dict[str, Any]
) -> None:
    """One event of the documented type tells entity, project, user and what `meta` holds."""
    (event,) = events(sg)
    assert event["event_type"] == "Shotgun_Shot_New"
    assert event["attribute_name"] is None
    assert event["meta"] == {"type": "new_entity", "entity_type": "Shot", "entity_id": shot["id"]}
    assert event["entity"] == {**shot, "name": "s1"}
    assert event["project"] == {**project, "name": "Tidewater"}
    assert event["user"] == event["created_by"] == MACHINE
    assert event["description"] == 'sandbox created new Shot "s1"'


def test_each_changed_field_is_logged_with_old_and_new_value(
    sg: DirectShotgun, shot: dict[str, Any]
) -> None:
    """An update writes one event per field; a field that keeps its value has none."""
    sg.update("Shot", shot["id"], {"code": "s1", "sg_status_list": "ip", "sg_cut_in": 1001})
    changes = {event["attribute_name"]: event for event in events(sg)[1:]}
    assert set(changes) == {"sg_status_list", "sg_cut_in"}
    assert {event["event_type"] for event in changes.values()} == {"Shotgun_Shot_Change"}
    assert changes["sg_status_list"]["meta"] == {
        "type": "attribute_change",
        "attribute_name": "sg_status_list",
        "entity_type": "Shot",
        "entity_id": shot["id"],
        "field_data_type": "status_list",
        "old_value": "wtg",
        "new_value": "ip",
    }
    assert changes["sg_cut_in"]["meta"]["old_value"] is None


def test_changed_values_are_shown_as_records_show_them(
    sg: DirectShotgun, project: dict[str, Any], shot: dict[str, Any]
) -> None:
    """Links come with names, checkboxes as booleans, lists as what came and went."""
    sequence = sg.create("Sequence", {"code": "q", "project": project})
    assets = [sg.create("Asset", {"code": code, "project": project}) for code in "abc"]
    sg.update("Shot", shot["id"], {"assets": assets[:2]})
    sg.update("Shot", shot["id"], {"sg_sequence": sequence, "sg_turnover": True})
    sg.update("Shot", shot["id"], {"assets": assets[1:]})
    metas = [event["meta"] for event in events(sg)[1:]]
    links = [{"type": "Asset", "id": asset["id"], "name": asset["code"]} for asset in assets]
    assert (metas[0]["added"], metas[0]["removed"]) == (links[:2], [])
    assert metas[1]["new_value"] == {"type": "Sequence", "id": sequence["id"], "name": "q"}
    assert (metas[2]["old_value"], metas[2]["new_value"]) == (False, True)
    assert (metas[3]["added"], metas[3]["removed"]) == (links[2:], links[:1])


def test_retirement_and_revival_are_logged_once(sg: DirectShotgun, shot: dict[str, Any]) -> None:
    """A second delete or revive that does nothing logs nothing."""
    for _ in range(2):
        sg.delete("Shot", shot["id"])
    for _ in range(2):
        sg.revive("Shot", shot["id"])
    assert types(sg) == ["New", "Retirement", "Revival"]
    assert events(sg)[1]["meta"]["display_name"] == "s1"


def test_password_never_reaches_the_log(sg: DirectShotgun) -> None:
    """That a password changed is no secret, the password is."""
    sg.update("HumanUser", 1, {"password_proxy": "hunter22"})
    found = sg.find("EventLogEntry", [["attribute_name", "is", "password_proxy"]], FIELDS)
    assert [event["meta"]["new_value"] for event in found] == ["*******"]
    assert "hunter22" not in repr(sg.find("EventLogEntry", [], FIELDS))


def test_failed_batch_leaves_no_event(
    sg: DirectShotgun, project: dict[str, Any], shot: dict[str, Any]
) -> None:
    """Event log and entities are written together or not at all, the next id included."""
    before = sg.find("EventLogEntry", [], FIELDS)
    wrong = {"request_type": "update", "entity_type": "Shot", "entity_id": 99, "data": {}}
    good: list[dict[str, Any]] = [
        {
            "request_type": "create",
            "entity_type": "Shot",
            "data": {"code": "x", "project": project},
        },
        {
            "request_type": "update",
            "entity_type": "Shot",
            "entity_id": shot["id"],
            "data": {"code": "y"},
        },
        {"request_type": "delete", "entity_type": "Shot", "entity_id": shot["id"]},
    ]
    with pytest.raises(shotgun_api3.Fault):
        sg.batch([*good, wrong])
    assert sg.find("EventLogEntry", [], FIELDS) == before
    sg.batch(good)
    assert types(sg) == ["New", "New", "Change", "Retirement"]


def test_script_may_do_without_events(site: Site, sg: DirectShotgun, project: Any) -> None:
    """A script whose `generate_event_log_entries` is false logs nothing, others still do."""
    sg.create("ApiUser", {"firstname": "quiet", "salted_password": "k"})
    sg.update("ApiUser", 2, {"generate_event_log_entries": False})
    quiet = DirectShotgun(site, script_name="quiet", api_key="k")
    quiet.create("Shot", {"code": "silent", "project": project})
    sudo = DirectShotgun(site, script_name="quiet", api_key="k", sudo_as_login=site.login)
    sudo.create("Shot", {"code": "silent too", "project": project})
    assert events(sg) == []
    sg.update("ApiUser", 2, {"generate_event_log_entries": True})
    quiet.create("Shot", {"code": "loud", "project": project})
    assert [event["entity"]["name"] for event in events(sg)] == ["loud"]


def test_site_may_do_without_an_event_log() -> None:
    """The log can be switched off for the whole site."""
    site = Site(event_log=False)
    sg = DirectShotgun(site)
    sg.create("Project", {"name": "p"})
    sg.update("Project", 1, {"name": "q"})
    assert sg.find("EventLogEntry", []) == []
    site.close()


def test_person_acted_for_is_who_did_it(site: Site, sg: DirectShotgun, project: Any) -> None:
    """With sudo the log names the person, and the session that the call belongs to."""
    sudo = DirectShotgun(site, **script(site), sudo_as_login=site.login)
    sudo.set_session_uuid("5a1b4f1e-0000-4000-8000-000000000001")
    sudo.create("Shot", {"code": "a", "project": project})
    (event,) = events(sg)
    assert event["user"] == {"type": "HumanUser", "id": 1, "name": "Sandbox Artist"}
    assert event["session_uuid"] == "5a1b4f1e-0000-4000-8000-000000000001"


def test_own_event_can_be_written_but_none_changed(sg: DirectShotgun, project: Any) -> None:
    """Tools write event types of their own; nobody rewrites the log, and it does not log itself."""
    made = sg.create("EventLogEntry", {"event_type": "Tool_Shot_Done", "project": project})
    assert [event["event_type"] for event in events(sg)] == ["Tool_Shot_Done"]
    assert events(sg)[0]["user"] == MACHINE
    for method, params in (("update", {"fields": []}), ("delete", {}), ("revive", {})):
        answer = call(sg.site, method, {"type": "EventLogEntry", "id": made["id"], **params})
        assert "cannot be updated" in answer["message"], method
