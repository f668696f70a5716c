"""Malformed parameters of every method: a fault goes out, no traceback, no secret, no change."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call

pytestmark = pytest.mark.slow

FILTERS = {
    "logical_operator": "and",
    "conditions": [{"path": "id", "relation": "in", "values": [1, 2]}],
}
SHOT = {"type": "Shot", "id": 1}
ME = {"type": "HumanUser", "id": 1}
PROJECT = {"type": "Project", "id": 1}
CREATE = {
    "type": "Shot",
    "fields": [{"field_name": "code", "value": "x"}, {"field_name": "project", "value": PROJECT}],
    "return_fields": ["id", "project.Project.name"],
}
UPDATE = {
    "type": "Shot",
    "id": 1,
    "fields": [
        {"field_name": "assets", "value": [], "multi_entity_update_mode": "add"},
        {"field_name": "sg_cut_in", "value": 3},
    ],
}
PROPERTIES = [
    {"property_name": "name", "value": "Good"},
    {"property_name": "description", "value": "x"},
]
GOOD: dict[str, Any] = {
    "read": {
        "type": "Version", "return_fields": ["code", "entity.Shot.code"], "filters": FILTERS,
        "return_only": "active", "paging": {"entities_per_page": 5, "current_page": 1},
        "sorts": [{"field_name": "code", "direction": "asc"}], "include_archived_projects": False,
        "additional_filter_presets": [
            {"preset_name": "LATEST", "latest_by": "ENTITIES_CREATED_AT"},
            {"preset_name": "CUT_SHOT_VERSIONS", "cut_id": 1},
        ],
        "return_paging_info_without_counts": True,
    },
    "create": CREATE,
    "update": UPDATE,
    "delete": {"type": "Shot", "id": 2},
    "revive": {"type": "Shot", "id": 2},
    "batch": [{"request_type": "create", **CREATE}, {"request_type": "update", **UPDATE}],
    "summarize": {
        "type": "Shot", "filters": FILTERS, "summaries": [{"field": "id", "type": "count"}],
        "grouping": [{"field": "project", "type": "exact", "direction": "asc"}],
    },
    "schema_read": {"project": PROJECT},
    "schema_entity_read": {"project": PROJECT},
    "schema_field_read": {"type": "Shot", "field_name": "code", "project": PROJECT},
    "schema_field_create": {"type": "Shot", "data_type": "text", "properties": PROPERTIES},
    "schema_field_update": {
        "type": "Shot", "field_name": "sg_cut_in", "project": PROJECT,
        "properties": [*PROPERTIES, {"property_name": "visible", "value": False}],
    },
    "schema_field_delete": {"type": "Shot", "field_name": "sg_turnover"},
    "follow": {"user": ME, "entity": SHOT},
    "unfollow": {"user": ME, "entity": SHOT},
    "followers": {"entity": SHOT},
    "following": {"user": ME, "project": PROJECT, "entity_type": "Shot"},
    "note_thread_contents": {"note_id": 1, "entity_fields": {"Note": ["subject"]}},
    "query_display_name_cache": {
        "text": "abc def", "entity_types": {"Shot": FILTERS}, "project_ids": [1], "max_results": 5,
    },
    "activity_stream": {
        "type": "Shot", "id": 1, "max_id": 99, "min_id": 1, "limit": 5,
        "entity_fields": {"Shot": ["code"]},
    },
    "work_schedule_read": {
        "start_date": "2026-05-01", "end_date": "2026-05-09", "project": PROJECT, "user": ME,
    },
    "work_schedule_update": {
        "date": "2026-05-01", "working": False, "description": "x", "project": PROJECT,
        "user": None, "recalculate_field": "due_date",
    },
    "nav_expand": {"path": "/Project/1/Shot", "seed_entity_field": None, "entity_fields": None},
    "nav_search": {"root_path": "/", "search_criteria": {"search_string": "s", "entity": SHOT}},
    "export_page": {"format": "csv", "page_id": 1, "layout_name": None},
    "preferences_read": {"prefs": ["hours_per_day"]},
    "update_project_last_accessed_by_current_user": {"project_id": 1, "user_id": 1},
    "user_subscriptions_create": {"users": [{"humanUserId": 1, "subscription": ["a", "b"]}]},
    "user_subscriptions_read": {},
    "get_session_token": {},
}  # fmt: skip

odd = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 2**63, 10**30, 1.5, "", "x", "Shot", "id", "é\0'\"", "\ud800",
         [], [[]], [None], {}, {"a": 1}, {"type": "Shot"}, {"type": "Shot", "id": "1"},
         {"type": [], "id": {}}, "Shot.code", "code", "x.y.z", "2026-02-30", ["Shot", 1]]
    ),
    st.text(max_size=5),
    st.integers(),
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the path of every value in a structure."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [path] + [place for key, each in items for place in places(each, (*path, key))]


def changed(value: Any, path: tuple[Any, ...], new: Any, remove: bool) -> Any:
    """Returns a copy of a structure with one value replaced or removed."""
    if not path:
        return new
    result = copy.deepcopy(value)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return result


@pytest.fixture
def full(site: Site, caplog: pytest.LogCaptureFixture) -> Site:
    """A site on which every good call works; what it logs is kept."""
    sg = DirectShotgun(site)
    project = sg.create("Project", {"name": "p"})
    for code in ("s1", "s2"):
        sg.create("Shot", {"code": code, "project": project})
    sg.create("Note", {"subject": "n", "project": project})
    sg.create("Page", {"name": "all", "entity_type": "Shot"})
    caplog.set_level(logging.ERROR, logger="shotgun_executor.sandbox")
    return site


def test_good_parameters_are_good(full: Site) -> None:
    """What is to be malformed is well-formed to begin with: each call works."""
    for method, params in GOOD.items():
        if method not in ("export_page", "revive"):
            answer = call(full, method, params)
            assert "results" in answer, (method, answer)


@pytest.mark.parametrize("method", sorted(GOOD))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_malformed_parameters_never_break_the_site(
    full: Site, caplog: pytest.LogCaptureFixture, method: str, data: st.DataObject
) -> None:
    """One or two wrong values anywhere give a result or a fault in the site's own words."""
    params = copy.deepcopy(GOOD[method])
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(params)))
        params = changed(params, place, data.draw(odd), bool(place) and data.draw(st.booleans()))
    try:
        answer = call(full, method, params)
    except ValueError:
        assert method == "export_page"  # which answers in CSV
        return
    text = str(answer.get("message", ""))
    assert "results" in answer or answer["exception"] is True
    assert "could not be carried out" not in text, caplog.text
    assert "Traceback" not in text
    for secret in (full.api_key, full.password):
        assert secret not in text
        assert secret not in caplog.text
