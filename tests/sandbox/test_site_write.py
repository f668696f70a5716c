"""Create, update and batch: values of every data type, refusals, and all or nothing."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox import dates
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call, codes

VALUES: list[tuple[str, Any, Any]] = [
    ("description", "  Grüße, 世界 🎬 <&>  ", "Grüße, 世界 🎬 <&>"),
    ("description", "", None),
    ("description", "x" * 100_000, "x" * 100_000),
    ("sg_number", -(2**31), -(2**31)),
    ("sg_number", "12", 12),
    ("sg_number", None, None),
    ("sg_percent", 150, 150),
    ("sg_duration", 480, 480),
    ("sg_timecode", 3_600_000, 3_600_000),
    ("sg_footage", "12-04", "12-04"),
    ("sg_float", 2.0, 2.0),
    ("sg_float", 1 / 3, 0.333333),
    ("sg_float", 1e-7, 0.0),
    ("sg_currency", 9999999999999.99, 9999999999999.99),
    ("sg_checkbox", True, True),
    ("sg_date", "2024-02-29", "2024-02-29"),
    ("sg_date_time", "2026-01-01T01:30:00.75+02:00", "2025-12-31T23:30:00Z"),
    ("sg_date_time", "2026-01-01", "2026-01-01T00:00:00Z"),
    ("sg_list", "Gamma", "Gamma"),
    ("sg_list", None, None),
    ("sg_status_list", "ip", "ip"),
    ("sg_color", "0,128,255", "0,128,255"),
    ("sg_entity_type", "Asset", "Asset"),
    ("sg_tag_list", ["b", "a", "b"], ["b", "a"]),
    ("sg_serializable", {"any": [1, None, "é"]}, {"any": [1, None, "é"]}),
    ("sg_json", {"zz": 1.0, "a": {"c": [], "b": None}}, {"a": {"b": None, "c": []}, "zz": 1.0}),
    ("sg_secret", "hush", "*******"),
    ("sg_url", None, None),
    ("image", None, None),
    ("cached_display_name", "dropped", "row"),
]


@pytest.mark.parametrize(("field", "value", "stored"), VALUES)
def test_value_reads_back_in_its_stored_form(
    site: Site, project: dict[str, Any], field: str, value: Any, stored: Any
) -> None:
    """What is written by create and by update is answered and read as a live site stores it."""
    given = {"code": "row", "project": project, field: value}
    fields = [{"field_name": name, "value": each} for name, each in given.items()]
    made = call(site, "create", {"type": "CustomEntity01", "fields": fields})["results"]
    assert (made[field], type(made[field])) == (stored, type(stored))
    update = {"type": "CustomEntity01", "id": 1, "fields": [fields[-1]]}
    changed = call(site, "update", update)["results"]
    assert changed == {"type": "CustomEntity01", "id": 1, field: stored}


REFUSED: list[tuple[str, Any, int, str]] = [
    ("description", 3, 103, "CustomEntity01.description expected [String, NilClass]"),
    ("description", "a\0b", 104, "null character"),
    ("description", "\ud800", 103, ""),
    ("sg_number", 1.5, 103, "expected [String, Integer, NilClass] data type(s) but got Float: 1.5"),
    ("sg_number", 2**31, 104, "2147483648 is out of range."),
    ("sg_number", True, 103, "but got TrueClass: true"),
    ("sg_float", "x", 103, "expected [String, Float, Integer, NilClass]"),
    ("sg_currency", 1e14, 104, "out of range"),
    ("sg_checkbox", None, 103, "expected [String, FalseClass, TrueClass]"),
    ("sg_date", "2026-02-30", 103, "invalid date"),
    ("sg_date_time", "soon", 103, "invalid date_time"),
    ("sg_list", "gamma", 104, "'gamma' is not a valid value. Valid values: 'Alpha', 'Beta'"),
    ("sg_status_list", "zz", 104, "failed for [CustomEntity01.sg_status_list]: 'zz' is not a valid "
     "status. Valid statuses: 'wtg', 'rdy'"),
    ("sg_color", "#ff8000", 103, "invalid format for color value"),
    ("sg_color", "300,0,0", 103, "invalid range in color value"),
    ("sg_entity_type", "Spaceship", 104, "Value is not legal."),
    ("sg_tag_list", "a", 103, "expected [Array]"),
    ("sg_json", 3, 103, "expected [Hash, Array, NilClass]"),
    ("image", "x.png", 103, "expected [NilClass]"),
    ("sg_url", "http://x", 103, "expected [Hash, NilClass]"),
    ("sg_url", {}, 103, "missing 'url'"),
    ("sg_url", {"local_path": "/nowhere/x"}, 104, "is on no local file storage"),
    ("sg_secret", 3, 103, "CustomEntity01.sg_secret expected [String, NilClass]"),
    ("sg_link", 3, 103, "invalid/missing entity hash: 3"),
    ("sg_link", {"type": "Shot", "id": 99}, 104, "failed for [CustomEntity01.sg_link]: Value is "
     "not legal."),
    ("sg_link", {"type": "Project", "id": 1}, 104, "Value is not legal."),
    ("sg_links", None, 103, "expected [Array, Hash] data type(s) but got NilClass: nil"),
    ("sg_links", [{"type": "Project", "id": 1}], 104, "Value is not legal."),
    ("nope", 3, 103, "Invalid field name: field [CustomEntity01.nope] does not exist or user does "
     "not have access permission."),
    ("id", 3, 103, "CustomEntity01.id is read only."),
    ("sg_calculated", "x", 103, "CustomEntity01.sg_calculated is read only."),
    ("code", None, 104, "failed for [CustomEntity01]: Cannot set identifier field to empty."),
]  # fmt: skip


@pytest.mark.parametrize("method", ["create", "update"])
@pytest.mark.parametrize(("field", "value", "code", "text"), REFUSED)
def test_illegal_value_is_refused_and_leaves_no_trace(
    site: Site, project: dict[str, Any], method: str, field: str, value: Any, code: int, text: str
) -> None:
    """A value of the wrong kind is a fault with the recorded text, and nothing was written."""
    sg = DirectShotgun(site)
    row = {"type": "CustomEntity01", "id": sg.create("CustomEntity01", {"project": project})["id"]}
    fields = [{"field_name": "description", "value": "new"}]
    if method == "create":
        fields.append({"field_name": "project", "value": project})
    fields.append({"field_name": field, "value": value})
    answer = call(site, method, {**row, "fields": fields})
    assert text in answer["message"]
    assert answer["error_code"] == code
    assert "hush" not in answer["message"]
    found = sg.find("CustomEntity01", [], ["description"])
    assert [record["description"] for record in found] == [None]
    assert sg.find("Attachment", []) == []


def test_project_is_required(sg: DirectShotgun) -> None:
    """An entity of a project cannot be made without one; the fault shows what was sent."""
    text = r"API create\(\) missing 'project' attribute: \{\"code\" => \"sh010\"\}"
    with pytest.raises(shotgun_api3.Fault, match=text):
        sg.create("Shot", {"code": "sh010"})
    with pytest.raises(shotgun_api3.Fault, match="missing 'project' attribute"):
        sg.create("Shot", {"code": "sh010", "project": None})


def test_create_returns_what_was_set_and_what_was_asked(
    sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """The record has every field that was set and every return field, dotted ones too."""
    record = sg.create(
        "Shot",
        {"code": "a", "project": project},
        ["sg_status_list", "project.Project.name", "tags"],
    )
    assert record == {
        "type": "Shot", "id": 1, "code": "a", "project": {**project, "name": "Tidewater"},
        "sg_status_list": "wtg", "project.Project.name": "Tidewater", "tags": [],
    }  # fmt: skip


def test_name_is_made_up_when_none_is_given(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """An entity without a code gets one, except for a Note."""
    assert sg.create("Shot", {"project": project}, ["code"])["code"] == "New Shot 1"
    note = sg.create("Note", {"project": project}, ["subject", "cached_display_name"])
    assert (note["subject"], note["cached_display_name"]) == (None, None)


def test_server_sets_times(
    site: Site, project: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creation sets both stamps, an update only the second."""
    sg = DirectShotgun(site, login=site.login, password=site.password)
    sg.config.convert_datetimes_to_utc = False
    moments = [datetime(2026, 5, day, tzinfo=timezone.utc) for day in (1, 2)]
    monkeypatch.setattr(dates, "utc_now", lambda: moments[0])
    shot = sg.create("Shot", {"code": "a", "project": project})
    monkeypatch.setattr(dates, "utc_now", lambda: moments[1])
    DirectShotgun(site).update("Shot", shot["id"], {"code": "b"})
    record = sg.find_one("Shot", [], ["created_at", "created_by", "updated_at", "updated_by"])
    assert record["created_at"] == datetime(2026, 5, 1)  # noqa: DTZ001
    assert record["updated_at"] == datetime(2026, 5, 2)  # noqa: DTZ001
    assert (record["created_by"]["type"], record["updated_by"]["type"]) == ("HumanUser", "ApiUser")


def test_creator_can_be_given_on_create_only(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """Publishing tools set created_by and created_at; later they cannot be changed."""
    user = {"type": "HumanUser", "id": 1}
    given = {"created_by": user, "created_at": datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc)}
    record = sg.create("PublishedFile", {"code": "a", "project": project, **given})
    assert record["created_by"]["id"] == 1
    assert record["created_at"] == given["created_at"]
    with pytest.raises(shotgun_api3.Fault, match="created_by is editable on create only"):
        sg.update("PublishedFile", record["id"], {"created_by": user})


def test_retired_entity_cannot_be_changed_or_linked_to(
    sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """A retired entity is no target and takes no update until it is revived."""
    shot = sg.create("Shot", {"code": "a", "project": project})
    sg.delete("Shot", shot["id"])
    with pytest.raises(shotgun_api3.Fault, match=r"Entity of type \[Shot\] with id=1 does not"):
        sg.update("Shot", shot["id"], {"code": "b"})
    with pytest.raises(shotgun_api3.Fault, match="Value is not legal"):
        sg.create("Task", {"content": "t", "project": project, "entity": shot})


def test_list_of_links_replaces_adds_and_removes(
    sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """The mode is per field; duplicates collapse and the order is not that of insertion."""
    assets = [sg.create("Asset", {"code": code, "project": project}) for code in "abc"]
    tag = sg.create("Tag", {"name": "t"})
    shot = sg.create("Shot", {"project": project, "assets": [assets[1], assets[0], assets[1]]})
    assert [asset["name"] for asset in shot["assets"]] == ["a", "b"]
    modes = {"assets": "add", "tags": "remove"}
    record = sg.update("Shot", 1, {"assets": assets[2:], "tags": [tag]}, modes)
    assert [asset["name"] for asset in record["assets"]] == ["a", "b", "c"]
    record = sg.update("Shot", 1, {"assets": assets[:1]}, {"assets": "remove"})
    assert [asset["name"] for asset in record["assets"]] == ["b", "c"]
    assert sg.update("Shot", 1, {"assets": []})["assets"] == []
    with pytest.raises(shotgun_api3.Fault, match="multi_entity_update_mode"):
        sg.update("Shot", 1, {"assets": []}, {"assets": "append"})


def test_url_makes_an_attachment(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """A web link and a local path each become an Attachment with its form."""
    version = sg.create("Version", {"project": project, "sg_uploaded_movie": {
        "url": "https://files.example/a.mov", "name": "a.mov"}})  # fmt: skip
    movie = version["sg_uploaded_movie"]
    assert movie == {
        "url": "https://files.example/a.mov", "name": "a.mov", "link_type": "web",
        "id": movie["id"], "type": "Attachment", "content_type": "video/quicktime",
    }  # fmt: skip
    found = sg.find_one("Attachment", [["id", "is", movie["id"]]], ["display_name", "this_file"])
    assert (found["display_name"], found["this_file"]) == ("a.mov", movie)
    publish = sg.create(
        "PublishedFile", {"project": project, "path": {"local_path": "/mnt/projects/t/a.ma"}}
    )
    path = publish["path"]
    assert path["local_path"] == "/mnt/projects/t/a.ma"
    assert path["local_path_windows"] == "P:\\projects\\t\\a.ma"
    assert path["local_storage"] == {"type": "LocalStorage", "id": 1, "name": "primary"}
    assert path["relative_path"] == "t/a.ma"


def test_clearing_the_thumbnail_answers_just_that(
    sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """An update that clears the image returns type, id and the empty image."""
    sg.create("Shot", {"code": "a", "project": project})
    assert sg.update("Shot", 1, {"image": None}) == {"type": "Shot", "id": 1, "image": None}


def test_update_without_fields_is_harmless(site: Site, project: dict[str, Any]) -> None:
    """An update of nothing answers type and id."""
    DirectShotgun(site).create("Shot", {"code": "a", "project": project})
    answer = call(site, "update", {"type": "Shot", "id": 1, "fields": []})
    assert answer == {"results": {"type": "Shot", "id": 1}}


# --- batch ------------------------------------------------------------------------------------


def test_batch_answers_in_order(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """Each member has its result: records for create and update, true for delete."""
    sg.create("Shot", {"code": "old", "project": project})
    data = {"code": "new", "project": project}
    results = sg.batch(
        [
            {"request_type": "create", "entity_type": "Shot", "data": data,
             "return_fields": ["id"]},
            {"request_type": "update", "entity_type": "Shot", "entity_id": 1,
             "data": {"code": "changed"}},
            {"request_type": "delete", "entity_type": "Shot", "entity_id": 1},
        ]
    )  # fmt: skip
    assert results[0]["id"] == 2
    assert results[1:] == [{"type": "Shot", "id": 1, "code": "changed"}, True]
    assert codes(sg.find("Shot", [], ["code"])) == "new"


FAILING: list[dict[str, Any]] = [
    {"request_type": "update", "entity_type": "Shot", "entity_id": 99, "data": {"code": "x"}},
    {"request_type": "update", "entity_type": "Shot", "entity_id": 1, "data": {"nope": "x"}},
    {"request_type": "create", "entity_type": "Shot", "data": {"code": "x"}},
    {"request_type": "delete", "entity_type": "Shot", "entity_id": 99},
]


@pytest.mark.parametrize("failing", FAILING)
def test_failing_batch_leaves_no_trace(
    sg: DirectShotgun, project: dict[str, Any], failing: dict[str, Any]
) -> None:
    """One bad member undoes all: rows, links, names, retirements, attachments and ids."""
    asset = sg.create("Asset", {"code": "Gull", "project": project})
    sg.create("Shot", {"code": "a", "project": project, "assets": [asset]})
    members = [
        {"request_type": "create", "entity_type": "Version",
         "data": {"project": project, "sg_uploaded_movie": {"url": "http://x.example/m"}}},
        {"request_type": "update", "entity_type": "Shot", "entity_id": 1,
         "data": {"code": "b", "assets": []}},
        {"request_type": "update", "entity_type": "Asset", "entity_id": 1,
         "data": {"code": "Crow"}},
        {"request_type": "delete", "entity_type": "Asset", "entity_id": 1},
    ]  # fmt: skip
    with pytest.raises(shotgun_api3.Fault):
        sg.batch([*members, failing])
    record = sg.find_one("Shot", [], ["code", "assets"])
    assert record["code"] == "a"
    assert record["assets"] == [{"type": "Asset", "id": 1, "name": "Gull"}]
    assert sg.find("Version", []) == sg.find("Attachment", []) == []
    assert sg.create("Shot", {"project": project})["id"] == 2


def test_failing_batch_does_not_change_who_may_sign_in(site: Site, sg: DirectShotgun) -> None:
    """A password that was changed in a batch that failed is the old one still."""
    human = DirectShotgun(site, login=site.login, password=site.password)
    change = {"request_type": "update", "entity_type": "HumanUser", "entity_id": 1,
              "data": {"password_proxy": "new"}}  # fmt: skip
    with pytest.raises(shotgun_api3.Fault):
        sg.batch([change, FAILING[0]])
    assert human.find("Shot", []) == []
