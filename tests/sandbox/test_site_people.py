"""Following, working days, preferences, subscriptions, and fields that differ by user."""

from __future__ import annotations

from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox.account import PREFERENCES
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call, script

ME = {"type": "HumanUser", "id": 1}


@pytest.fixture
def shot(sg: DirectShotgun, project: dict[str, Any]) -> dict[str, Any]:
    """A shot to follow."""
    return {"type": "Shot", "id": sg.create("Shot", {"code": "s", "project": project})["id"]}


def test_following_twice_is_following_once(sg: DirectShotgun, shot: dict[str, Any]) -> None:
    """Follow and unfollow answer in the documented form, however often they are called."""
    for _ in range(2):
        assert sg.follow(ME, shot) == {"followed": True, "user": ME, "entity": shot}
    follower = {**ME, "name": "Sandbox Artist", "status": "act", "valid": "valid"}
    assert sg.followers(shot) == [follower]
    assert sg.following(ME) == [shot]
    for _ in range(2):
        assert sg.unfollow(ME, shot) == {"unfollowed": True, "user": ME, "entity": shot}
    assert sg.followers(shot) == sg.following(ME) == []


def test_following_can_be_asked_by_project_and_type(
    sg: DirectShotgun, project: dict[str, Any], shot: dict[str, Any]
) -> None:
    """Only what is in the project and of the type is told; what is retired is not."""
    other = sg.create("Project", {"name": "Other"})
    far = {"type": "Shot", "id": sg.create("Shot", {"code": "t", "project": other})["id"]}
    for entity in (shot, far, project, ME):
        sg.follow(ME, entity)
    assert sg.following(ME) == [ME, project, shot, far]
    assert sg.following(ME, project=project) == [project, shot]
    assert sg.following(ME, project=project, entity_type="Shot") == [shot]
    assert sg.following(ME, entity_type="Asset") == []
    sg.delete("Shot", shot["id"])
    assert sg.following(ME, entity_type="Shot") == [far]


@pytest.mark.parametrize(
    ("user", "entity"),
    [
        ({"type": "HumanUser", "id": 99}, ME),
        ({"type": "ApiUser", "id": 1}, ME),
        (ME, {"type": "Shot", "id": 99}),
        (ME, {"type": "Ship", "id": 1}),
        (ME, 3),
    ],
)
def test_following_what_is_not_there_is_a_fault(sg: DirectShotgun, user: Any, entity: Any) -> None:
    """User and entity must be there."""
    with pytest.raises(shotgun_api3.Fault):
        sg.follow(user, entity)


def test_working_week_is_monday_to_friday(sg: DirectShotgun) -> None:
    """Each day of the range is told, ends included, in the documented form."""
    days = sg.work_schedule_read("2026-05-01", "2026-05-04")
    assert [day["working"] for day in days.values()] == [True, False, False, True]
    assert list(days) == ["2026-05-01", "2026-05-02", "2026-05-03", "2026-05-04"]
    rule = {"description": None, "reason": "STUDIO_WORK_WEEK", "working": True}
    assert days["2026-05-01"] == rule
    assert sg.work_schedule_read("2026-05-04", "2026-05-01") == {}


def test_exception_of_a_person_beats_project_and_studio(
    sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """The nearest rule counts, and its reason says whose it is."""
    day = "2026-05-02"
    named = {**project, "name": "Tidewater"}
    result = sg.work_schedule_update(day, True, "crunch")
    assert result == {
        "date": day, "description": "crunch", "working": True, "project": None, "user": None,
    }  # fmt: skip
    assert sg.work_schedule_update(day, False, "wrap", project=project)["project"] == named
    assert sg.work_schedule_update(day, True, None, user=ME)["user"]["name"] == "Sandbox Artist"
    expected = [
        ({}, True, "STUDIO_EXCEPTION", "crunch"),
        ({"project": project}, False, "PROJECT_EXCEPTION", "wrap"),
        ({"project": project, "user": ME}, True, "USER_EXCEPTION", None),
        ({"user": ME}, True, "USER_EXCEPTION", None),
    ]
    for scope, working, reason, text in expected:
        found = sg.work_schedule_read(day, day, **scope)[day]
        assert found == {"working": working, "reason": reason, "description": text}
    sg.work_schedule_update(day, False, user=ME)
    assert sg.work_schedule_read(day, day, user=ME)[day]["working"] is False


@pytest.mark.parametrize(
    "params",
    [
        {"date": "2026-13-01", "working": True},
        {"date": "2026-05-01", "working": "yes"},
        {"date": "2026-05-01", "working": True, "description": 3},
        {"date": "2026-05-01", "working": True, "project": ME},
        {"date": "2026-05-01", "working": True, "user": {"type": "HumanUser", "id": 99}},
        {"date": "2026-05-01", "working": True, "recalculate_field": "code"},
    ],
)
def test_illegal_working_day_is_a_fault(site: Site, params: dict[str, Any]) -> None:
    """A refusal, and no rule."""
    answer = call(site, "work_schedule_update", params)
    assert answer["exception"] is True
    assert "could not be carried out" not in answer["message"]


def test_project_and_person_exclude_each_other(sg: DirectShotgun, project: Any) -> None:
    """An exception is for one of them."""
    with pytest.raises(shotgun_api3.Fault, match="cannot be given together"):
        sg.work_schedule_update("2026-05-01", False, project=project, user=ME)


def test_preferences_by_name_or_all(sg: DirectShotgun) -> None:
    """Unknown names are dropped without a word."""
    assert sg.preferences_read() == PREFERENCES
    assert len(PREFERENCES) == 17
    wanted = ["hours_per_day", "no_such_thing", "date_component_order"]
    assert sg.preferences_read(wanted) == {
        "hours_per_day": 8.0,
        "date_component_order": "month_day",
    }


def test_subscriptions_are_kept(sg: DirectShotgun) -> None:
    """Each person has the subscription that was written last, and None before."""
    other = sg.create("HumanUser", {"login": "o", "name": "O"})["id"]
    assert [one["subscription"] for one in sg.user_subscriptions_read()] == [None, None]
    users = [
        {"humanUserId": 1, "subscription": "basic"},
        {"humanUserId": other, "subscription": ["a", "b"]},
    ]
    assert sg.user_subscriptions_create(users) is True
    assert sg.user_subscriptions_read() == users
    bad = [{"humanUserId": 1, "subscription": None}, {"humanUserId": 99, "subscription": "x"}]
    with pytest.raises(shotgun_api3.Fault):
        sg.user_subscriptions_create(bad)
    assert sg.user_subscriptions_read() == users


def test_last_access_is_each_persons_own(site: Site, sg: DirectShotgun, project: Any) -> None:
    """The time of the visit is seen by who made it, and by nobody else."""
    person = DirectShotgun(site, login=site.login, password=site.password)
    person.update_project_last_accessed(project)
    field = "last_accessed_by_current_user"
    assert person.find_one("Project", [], [field])[field] is not None
    assert sg.find_one("Project", [], [field])[field] is None
    assert person.find_one("Project", [[field, "in_last", 1, "DAY"]]) is not None
    assert sg.find_one("Project", [[field, "is_not", None]]) is None
    sg.update_project_last_accessed(project, ME)
    DirectShotgun(site, **script(site), sudo_as_login=site.login).update_project_last_accessed(
        project
    )
    with pytest.raises(shotgun_api3.Fault, match="'user_id' missing"):
        sg.update_project_last_accessed(project)


def test_read_state_differs_by_user(site: Site, sg: DirectShotgun, project: Any) -> None:
    """A note that one user has read is unread for the other: in records, filters, sorts, groups."""
    person = DirectShotgun(site, login=site.login, password=site.password)
    for subject in ("a", "b"):
        sg.create("Note", {"subject": subject, "project": project})
    field = "read_by_current_user"
    record = person.update("Note", 1, {field: "read"})
    assert record == {"type": "Note", "id": 1, field: "read"}
    for client, states in ((person, ["read", "unread"]), (sg, ["unread", "unread"])):
        assert [note[field] for note in client.find("Note", [], [field])] == states
        found = client.find("Note", [[field, "is", "unread"]])
        assert len(found) == states.count("unread")
    ordered = person.find("Note", [], order=[{"field_name": field, "direction": "desc"}])
    assert [note["id"] for note in ordered] == [2, 1]
    group = [{"field": field, "type": "exact", "direction": "asc"}]
    count = [{"field": "id", "type": "count"}]
    groups = person.summarize("Note", [], count, grouping=group)["groups"]
    assert [each["group_name"] for each in groups] == ["read", "unread"]
    with pytest.raises(shotgun_api3.Fault, match="not a valid value"):
        sg.update("Note", 1, {field: "skimmed"})
