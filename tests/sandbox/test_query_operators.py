"""Every filter operator on stored values: what it matches, null included, and what it refuses."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Any

import pytest

from shotgun_executor.sandbox import dates
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call, codes

ROWS: list[dict[str, Any]] = [
    {
        "code": "a", "description": "Straße am Meer", "sg_number": -3, "sg_float": 0.5,
        "sg_currency": 10, "sg_percent": 10, "sg_duration": 60, "sg_timecode": 1000,
        "sg_checkbox": True, "sg_list": "Alpha", "sg_status_list": "ip", "sg_color": "1,2,3",
        "sg_entity_type": "Shot", "sg_tag_list": ["Rain", "night"], "sg_json": {"k": {"x": [1, 2]}},
        "sg_date": "2026-03-11", "sg_date_time": "2026-03-11T12:00:00Z", "sg_footage": "12-04",
    },
    {
        "code": "b", "description": "CAFÉ 100%_done", "sg_number": 7, "sg_float": 2.0,
        "sg_currency": 20, "sg_percent": 50, "sg_duration": 120, "sg_timecode": 2000,
        "sg_checkbox": False, "sg_list": "Beta", "sg_status_list": "fin", "sg_color": "9,9,9",
        "sg_entity_type": "Asset", "sg_tag_list": ["day"], "sg_json": [1],
        "sg_date": "2026-03-10", "sg_date_time": "2026-03-11T11:59:59Z", "sg_footage": "3-00",
    },
    {"code": "c", "sg_status_list": None},
]  # fmt: skip


@pytest.fixture
def rows(sg: DirectShotgun, project: dict[str, Any]) -> DirectShotgun:
    """A client of a site with three rows: two full ones, and one whose fields are empty."""
    for row in ROWS:
        sg.create("CustomEntity01", {**row, "project": project})
    return sg


CASES: list[tuple[str, str, list[Any], str]] = [
    ("description", "is", ["STRASSE AM MEER"], "a"),
    ("description", "is", ["STRAẞE AM MEER"], "a"),
    ("description", "is", ["meer"], ""),
    ("description", "is", [None], "c"),
    ("description", "is", [""], "c"),
    ("description", "is_not", ["strasse am meer"], "b c"),
    ("description", "is_not", [None], "a b"),
    ("description", "contains", ["café"], "b"),
    ("description", "contains", ["%_"], "b"),
    ("description", "contains", ["'; drop table"], ""),
    ("description", "not_contains", ["CAFÉ"], "a c"),
    ("description", "starts_with", ["strasse"], "a"),
    ("description", "starts_with", ["meer"], ""),
    ("description", "ends_with", ["DONE"], "b"),
    ("description", "ends_with", [""], "a b"),
    ("description", "in", ["café 100%_DONE", "x"], "b"),
    ("description", "not_in", ["café 100%_DONE", "x"], "a c"),
    ("sg_footage", "contains", ["12"], "a"),
    ("id", "is", ["2"], "b"),
    ("id", "in", [1, 3, 99], "a c"),
    ("id", "not_in", [1, 3], "b"),
    ("id", "greater_than", [1], "b c"),
    ("sg_number", "is", [7], "b"),
    ("sg_number", "is", ["-3"], "a"),
    ("sg_number", "is", [None], "c"),
    ("sg_number", "is_not", [7], "a c"),
    ("sg_number", "is_not", [None], "a b"),
    ("sg_number", "greater_than", [-3], "b"),
    ("sg_number", "less_than", [7], "a"),
    ("sg_number", "between", [7, -3], "a b"),
    ("sg_number", "between", [None, 7], ""),
    ("sg_number", "in", [7, None], "b c"),
    ("sg_number", "not_in", [7], "a c"),
    ("sg_number", "not_in", [7, None], "a"),
    ("sg_float", "is", [2.0], "b"),
    ("sg_float", "is", [2], "b"),
    ("sg_float", "between", [0.1, 1], "a"),
    ("sg_currency", "less_than", [15], "a"),
    ("sg_percent", "is", [50], "b"),
    ("sg_duration", "greater_than", [60], "b"),
    ("sg_timecode", "in", [1000], "a"),
    ("sg_checkbox", "is", [True], "a"),
    ("sg_checkbox", "is", [False], "b c"),
    ("sg_checkbox", "is_not", [True], "b c"),
    ("sg_list", "is", ["ALPHA"], "a"),
    ("sg_list", "is", ["unknown"], ""),
    ("sg_list", "is_not", ["alpha"], "b c"),
    ("sg_status_list", "in", ["ip", "fin"], "a b"),
    ("sg_status_list", "in", ["ip", None], "a c"),
    ("sg_status_list", "not_in", ["ip"], "b c"),
    ("sg_status_list", "is", [None], "c"),
    ("sg_color", "is", ["1,2,3"], "a"),
    ("sg_color", "is_not", ["1,2,3"], "b c"),
    ("sg_entity_type", "is", ["Shot"], "a"),
    ("sg_entity_type", "is", ["shot"], ""),
    ("sg_entity_type", "in", ["Shot", "Asset"], "a b"),
    ("sg_uuid", "is_not", [None], "a b c"),
    ("sg_tag_list", "is", ["rain"], "a"),
    ("sg_tag_list", "is_not", ["rain"], "b c"),
    ("sg_tag_list", "name_contains", ["a"], "a b"),
    ("sg_tag_list", "name_not_contains", ["ai"], "b c"),
    ("image", "is", [None], "a b c"),
    ("image", "is_not", [None], ""),
    ("sg_json", "is", [{"k": {"x": [1, 2]}}], "a"),
    ("sg_json", "is", [{"k": {"x": [1]}}], ""),
    ("sg_json", "contains", [{"k": {"x": [2]}}], "a"),
    ("sg_json", "contains", [{}], "a"),
    ("sg_json", "not_contains", [{"k": {"x": [2]}}], "b c"),
    ("sg_json", "is", [None], "c"),
    ("sg_date", "is", ["2026-03-11"], "a"),
    ("sg_date", "between", ["2026-03-11", "2026-03-01"], "a b"),
    ("sg_date", "greater_than", ["2026-03-10"], "a"),
    ("sg_date_time", "is", ["2026-03-11T12:00:00Z"], "a"),
    ("sg_date_time", "is", ["2026-03-11T13:00:00+01:00"], "a"),
    ("sg_date_time", "less_than", ["2026-03-11T12:00:00Z"], "b"),
    ("sg_date_time", "greater_than", ["2026-03-11"], "a b"),
    ("sg_date_time", "between", ["2026-03-12", None], ""),
    ("cached_display_name", "is", ["B"], "b"),
]


@pytest.mark.parametrize(("field", "relation", "values", "expected"), CASES)
def test_operator_matches(
    rows: DirectShotgun, field: str, relation: str, values: list[Any], expected: str
) -> None:
    """Each operator matches the rows that a live site's does."""
    found = rows.find("CustomEntity01", [[field, relation, *values]], ["code"])
    assert codes(found) == expected


NOW = datetime(2026, 3, 11, 12, 0, 0, tzinfo=timezone.utc)  # a Wednesday
TIMES = {
    "hour": "2026-03-11T11:30:00Z", "day": "2026-03-10T13:00:00Z", "week": "2026-03-05T12:00:00Z",
    "month": "2026-02-11T12:00:00Z", "year": "2025-03-12T00:00:00Z", "old": "2020-01-01T00:00:00Z",
    "soon": "2026-03-11T12:30:00Z", "later": "2026-03-15T23:59:59Z", "none": None,
}  # fmt: skip
DATE_CASES: list[tuple[str, list[Any], str]] = [
    ("in_last", [1, "HOUR"], "hour"),
    ("in_last", [1, "DAY"], "hour day"),
    ("in_last", [1, "WEEK"], "hour day week"),
    ("in_last", [1, "MONTH"], "hour day week month"),
    ("in_last", [1, "YEAR"], "hour day week month year"),
    ("not_in_last", [1, "YEAR"], "old soon later none"),
    ("in_next", [1, "HOUR"], "soon"),
    ("in_next", [1, "WEEK"], "soon later"),
    ("not_in_next", [1, "WEEK"], "hour day week month year old none"),
    ("in_calendar_day", [0], "hour soon"),
    ("in_calendar_day", [-1], "day"),
    ("in_calendar_week", [0], "hour day soon later"),
    ("in_calendar_week", [-1], "week"),
    ("in_calendar_month", [0], "hour day week soon later"),
    ("in_calendar_month", [-1], "month"),
    ("in_calendar_year", [0], "hour day week month soon later"),
    ("in_calendar_year", [-1], "year"),
]


@pytest.mark.parametrize(("relation", "values", "expected"), DATE_CASES)
def test_relative_operator_matches(
    sg: DirectShotgun,
    project: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    relation: str,
    values: list[Any],
    expected: str,
) -> None:
    """Relative and calendar operators count from the site's clock, in UTC."""
    monkeypatch.setattr(dates, "utc_now", lambda: NOW)
    for code, moment in TIMES.items():
        data = {"code": code, "project": project, "sg_date_time": moment}
        sg.create("CustomEntity01", data)
    found = sg.find("CustomEntity01", [["sg_date_time", relation, *values]], ["code"])
    assert codes(found) == expected


@pytest.mark.parametrize(
    ("relation", "values", "expected"),
    [
        ("in_last", [2, "DAY"], "2026-03-09 2026-03-10 2026-03-11"),
        ("in_next", [1, "MONTH"], "2026-03-11 2026-03-31"),
        ("in_calendar_month", [-1], "2026-02-28"),
    ],
)
def test_relative_operator_on_a_date(
    sg: DirectShotgun,
    project: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    relation: str,
    values: list[Any],
    expected: str,
) -> None:
    """On a date the range is made of whole days, both ends included."""
    monkeypatch.setattr(dates, "utc_now", lambda: NOW)
    for day in ("2026-02-28", "2026-03-09", "2026-03-10", "2026-03-11", "2026-03-31"):
        sg.create("CustomEntity01", {"code": day, "project": project, "sg_date": day})
    found = sg.find("CustomEntity01", [["sg_date", relation, *values]], ["code"])
    assert codes(found) == expected


REFUSED: list[tuple[str, str, list[Any], str]] = [
    ("nope", "is", [1], "API read() CustomEntity01.nope doesn't exist."),
    ("sg_link.Shot.nope", "is", [1], "API read() CustomEntity01.sg_link.Shot.nope doesn't exist."),
    ("sg_link.Nope.code", "is", [1], "doesn't exist."),
    ("sg_link.Shot", "is", [1], "doesn't exist."),
    ("description.Shot.code", "is", [1], "doesn't exist."),
    ("description", "between", ["a", "b"], "API read() CustomEntity01.description's 'text' data "
     "type doesn't support 'between' 'relation'. Valid relations: [\"is\", \"is_not\", "
     '"contains", "not_contains", "starts_with", "ends_with", "in", "not_in"]'),
    ("sg_url", "is", [None], "CustomEntity01.sg_url's 'url' data type cannot be used in a filter."),
    ("sg_secret", "is", ["x"], "data type cannot be used in a filter."),
    ("sg_calculated", "is", ["x"], "data type cannot be used in a filter."),
    ("description", "is", [2.5], "API read() CustomEntity01.description expected [String, NilClass]"
     " data type(s) but got Float: 2.5"),
    ("description", "in", [None], "data type(s) but got NilClass: nil"),
    ("description", "contains", [None], "'contains' 'relation' expects a non-null value: [nil]"),
    ("sg_number", "is", [2.5], "API read() CustomEntity01.sg_number expected [String, Integer, "
     "NilClass] data type(s) but got Float: 2.5"),
    ("sg_number", "is", [True], "but got TrueClass: true"),
    ("sg_number", "is", [2**70], "expected [String, Integer, NilClass]"),
    ("sg_number", "is", ["1e3"], "but got String: \"1e3\""),
    ("sg_float", "is", ["nan"], "but got String: \"nan\""),
    ("sg_checkbox", "is", [None], "expected [String, FalseClass, TrueClass] data type(s) but got "
     "NilClass: nil"),
    ("sg_date", "is", ["2026-02-30"], "invalid date: \"2026-02-30\""),
    ("sg_date", "is", ["2026-03-11T00:00:00Z"], "invalid date"),
    ("sg_date_time", "is", ["noon"], "invalid date_time"),
    ("sg_date", "in_last", [1, "day"], "Valid units: HOUR, DAY, WEEK, MONTH, YEAR"),
    ("sg_date", "in_last", [0, "DAY"], "expected [positive Integer]"),
    ("sg_date", "in_last", [10**9, "YEAR"], "date out of range"),
    ("sg_date", "in_calendar_day", ["x"], "expected [Integer]"),
    ("image", "is", ["x"], "expected [NilClass]"),
    ("sg_json", "is", ["x"], "expected [Hash, Array, NilClass]"),
    ("sg_json", "in", [{}], "doesn't support 'in' 'relation'"),
    ("id", "is", [1, 2], "API read() 'is' 'relation' expects a 1-element array: [1, 2]"),
    ("id", "between", [1], "API read() 'between' 'relation' expects a 2-element array: [1]"),
    ("id", "in", [], "API read() 'in' 'relation' expects at least a 1-element array: []"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "relation", "values", "text"), REFUSED)
def test_operator_refuses(
    site: Site, field: str, relation: str, values: list[Any], text: str
) -> None:
    """What a live site refuses is refused with its text and code 103."""
    condition = {"path": field, "relation": relation, "values": values}
    filters = {"logical_operator": "and", "conditions": [condition]}
    params = {"type": "CustomEntity01", "return_fields": ["id"], "filters": filters}
    answer = call(site, "read", params)
    assert text in answer["message"]
    assert answer["error_code"] == 103


def test_groups_nest_with_and_and_or(rows: DirectShotgun) -> None:
    """Nested groups mean what they say, and empty ones match everything."""
    either = {"filter_operator": "any", "filters": [["code", "is", "a"], ["code", "is", "c"]]}
    assert codes(rows.find("CustomEntity01", [either], ["code"])) == "a c"
    both = [either, ["sg_number", "is", None]]
    assert codes(rows.find("CustomEntity01", both, ["code"])) == "c"
    empty = {"filter_operator": "all", "filters": []}
    assert codes(rows.find("CustomEntity01", [empty], ["code"])) == "a b c"
    inner = {"filter_operator": "all", "filters": [["code", "is", "b"], either]}
    any_of = [inner, ["sg_number", "less_than", 0]]
    found = rows.find("CustomEntity01", any_of, ["code"], filter_operator="any")
    assert codes(found) == "a"


# CPython 3.12 bounds the depth of calls from C, which SQLAlchemy's compiler makes, for good.
DEEPEST = 265 if sys.version_info[:2] != (3, 12) else 80


@pytest.mark.parametrize(("depth", "refused"), [(DEEPEST, False), (266, True)])
def test_groups_nest_as_deep_as_on_a_live_site(
    rows: DirectShotgun, depth: int, refused: bool
) -> None:
    """265 levels work and give the right rows; far more are a fault and not a crash."""
    leaf = {"path": "code", "relation": "is", "values": ["a"]}
    extras = {"or": ("code", "zzz"), "and": ("sg_number", -3)}
    tree: dict[str, Any] = {"logical_operator": "and", "conditions": [leaf]}
    for level in range(depth - 1):
        operator = ("or", "and")[level % 2]
        path, value = extras[operator]
        extra = {"path": path, "relation": "is", "values": [value]}
        tree = {"logical_operator": operator, "conditions": [tree, extra]}
    params = {"type": "CustomEntity01", "return_fields": ["code"], "filters": tree}
    answer = call(rows.site, "read", params)
    if refused:
        assert "nested more than 265 deep" in answer["message"]
    else:
        assert codes(answer["results"]["entities"]) == "a"


def test_five_thousand_siblings_work(rows: DirectShotgun) -> None:
    """A long flat filter is answered, as on a live site."""
    many = [["code", "is", f"x{number}"] for number in range(4999)]
    found = rows.find("CustomEntity01", [*many, ["code", "is", "b"]], ["code"], [], "any")
    assert codes(found) == "b"
