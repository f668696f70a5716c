"""Summaries and groupings."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox import dates
from tests.sandbox.site_support import DirectShotgun

NOW = datetime(2026, 3, 11, 12, 0, 0, tzinfo=timezone.utc)
ROWS: list[dict[str, Any]] = [
    {"code": "ant", "sg_number": 5, "sg_float": 0.5, "sg_checkbox": True, "sg_status_list": "fin",
     "sg_date": "2026-01-31", "sg_list": "Alpha"},
    {"code": "Axe", "sg_number": 15, "sg_float": 1.5, "sg_checkbox": False, "sg_status_list": "omt",
     "sg_date": "2026-03-11", "sg_list": "Alpha"},
    {"code": "bee", "sg_number": 25, "sg_checkbox": True, "sg_status_list": "ip",
     "sg_date": "2026-03-13"},
    {"code": "cat", "sg_number": None, "sg_status_list": "fin"},
]  # fmt: skip


@pytest.fixture
def rows(sg: DirectShotgun, project: dict[str, Any]) -> DirectShotgun:
    """A client of a site with four rows; the first two link to a shot, the third to an asset."""
    shot = sg.create("Shot", {"code": "sh1", "project": project})
    asset = sg.create("Asset", {"code": "gull", "project": project})
    for row, links in zip(ROWS, ([shot], [shot], [asset], [])):
        data = {
            **row,
            "project": project,
            "sg_links": links,
            "sg_link": links[0] if links else None,
        }
        sg.create("CustomEntity01", data)
    return sg


SUMMARIES: list[tuple[str, str, Any]] = [
    ("id", "record_count", 4),
    ("sg_number", "record_count", 4),
    ("sg_number", "count", 3),
    ("sg_links", "count", 3),
    ("sg_link", "count", 3),
    ("sg_number", "sum", 45),
    ("sg_float", "sum", 2.0),
    ("sg_number", "maximum", 25),
    ("sg_number", "minimum", 5),
    ("sg_number", "average", 15.0),
    ("sg_date", "earliest", "2026-01-31"),
    ("sg_date", "latest", "2026-03-13"),
    ("sg_checkbox", "checked", 2),
    ("sg_checkbox", "unchecked", 2),
    ("sg_checkbox", "percentage", 50.0),
    ("sg_status_list", "status_list", "ip"),
    ("sg_status_list", "status_percentage", 0),
    ("sg_status_list", "status_percentage_as_float", 0.0),
    ("sg_link.Shot.code", "count", 2),
]


@pytest.mark.parametrize(("field", "kind", "expected"), SUMMARIES)
def test_summary_of_all_rows(rows: DirectShotgun, field: str, kind: str, expected: Any) -> None:
    """Each summary type counts what its name says."""
    result = rows.summarize("CustomEntity01", [], [{"field": field, "type": kind}])
    assert result == {"summaries": {field: expected}, "groups": []}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [(["fin", "omt"], "fin"), (["omt"], "na"), (["fin", "ip"], "ip"), (["fin"], "fin"), ([], "na")],
)
def test_statuses_roll_up_as_recorded(
    rows: DirectShotgun, statuses: list[str], expected: str
) -> None:
    """Omitted rows do not count; one status stands for itself, many for in progress."""
    filters = [["sg_status_list", "in", statuses]] if statuses else [["id", "is", 0]]
    summary = [{"field": "sg_status_list", "type": "status_list"}]
    result = rows.summarize("CustomEntity01", filters, summary)
    assert result["summaries"] == {"sg_status_list": expected}


def test_summary_of_nothing(rows: DirectShotgun) -> None:
    """A sum over no row is 0, an extreme is null, and filters apply."""
    fields = [{"field": "sg_number", "type": "sum"}, {"field": "id", "type": "maximum"}]
    result = rows.summarize("CustomEntity01", [["code", "is", "none"]], fields)
    assert result["summaries"] == {"sg_number": 0, "id": None}


def test_last_summary_of_a_field_counts(rows: DirectShotgun) -> None:
    """Two summaries of one field give the last one."""
    fields = [{"field": "id", "type": "count"}, {"field": "id", "type": "maximum"}]
    assert rows.summarize("CustomEntity01", [["id", "less_than", 3]], fields)["summaries"] == {
        "id": 2
    }


GROUPS: list[tuple[str, str, list[tuple[str, Any, int]]]] = [
    ("sg_list", "exact", [("Alpha", "Alpha", 2), ("", None, 2)]),
    ("sg_number", "exact", [("5", 5, 1), ("15", 15, 1), ("25", 25, 1), ("", None, 1)]),
    ("sg_number", "tens", [("0-9", 0, 1), ("10-19", 10, 1), ("20-29", 20, 1), ("", None, 1)]),
    ("sg_number", "hundreds", [("0-99", 0, 3), ("", None, 1)]),
    ("sg_checkbox", "exact", [("False", False, 2), ("True", True, 2)]),
    ("code", "firstletter", [("A", "A", 2), ("B", "B", 1), ("C", "C", 1)]),
    ("sg_link", "entitytype", [("Asset", "Asset", 1), ("Shot", "Shot", 2), ("", None, 1)]),
    ("sg_date", "day", [("2026-01-31", "2026-01-31", 1), ("2026-03-11", "2026-03-11", 1),
                        ("2026-03-13", "2026-03-13", 1), ("", None, 1)]),
    ("sg_date", "week", [("2026-01-26", "2026-01-26", 1), ("2026-03-09", "2026-03-09", 2),
                         ("", None, 1)]),
    ("sg_date", "month", [("January 2026", "2026-01-01", 1), ("March 2026", "2026-03-01", 2),
                          ("", None, 1)]),
    ("sg_date", "quarter", [("Q1 2026", "2026-01-01", 3), ("", None, 1)]),
    ("sg_date", "year", [("2026", "2026-01-01", 3), ("", None, 1)]),
    ("sg_date", "fivedays", [("2026-01-27", "2026-01-27", 1), ("2026-03-08", "2026-03-08", 1),
                             ("2026-03-13", "2026-03-13", 1), ("", None, 1)]),
    ("sg_date", "clustered_date", [("Earlier", "Earlier", 1), ("Today", "Today", 1),
                                   ("Next 7 Days", "Next 7 Days", 1), ("", None, 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("field", "kind", "expected"), GROUPS)
def test_rows_are_grouped(
    rows: DirectShotgun,
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    kind: str,
    expected: list[tuple[str, Any, int]],
) -> None:
    """Each grouping type puts the rows into its ranges, in order, the empty group last."""
    monkeypatch.setattr(dates, "utc_now", lambda: NOW)
    grouping = [{"field": field, "type": kind, "direction": "asc"}]
    count = [{"field": "id", "type": "count"}]
    groups = rows.summarize("CustomEntity01", [], count, grouping=grouping)["groups"]
    found = [
        (group["group_name"], group["group_value"], group["summaries"]["id"]) for group in groups
    ]
    assert found == expected


def test_groups_of_links_and_of_groups(rows: DirectShotgun) -> None:
    """A link groups by entity, a list by the whole list, and groups nest in each direction."""
    shot = {"type": "Shot", "id": 1, "name": "sh1", "valid": "valid"}
    grouping = [
        {"field": "sg_link", "type": "exact", "direction": "desc"},
        {"field": "sg_status_list", "type": "exact", "direction": "asc"},
    ]
    count = [{"field": "id", "type": "count"}]
    groups = rows.summarize("CustomEntity01", [], count, grouping=grouping)["groups"]
    assert [group["group_name"] for group in groups] == ["", "sh1", "gull"]
    assert groups[1]["group_value"] == shot
    assert groups[1]["summaries"] == {"id": 2}
    assert [(each["group_value"], each["summaries"]["id"]) for each in groups[1]["groups"]] == [
        ("fin", 1), ("omt", 1),
    ]  # fmt: skip
    grouping = [{"field": "sg_links", "type": "exact"}]
    groups = rows.summarize("CustomEntity01", [], count, grouping=grouping)["groups"]
    assert [(group["group_name"], len(group["group_value"])) for group in groups] == [
        ("", 0), ("gull", 1), ("sh1", 1),
    ]  # fmt: skip


REFUSED: list[tuple[dict[str, str], dict[str, str] | None, str]] = [
    ({"field": "id", "type": "median"}, None, "type must be one of: record_count, count, sum"),
    ({"field": "nope", "type": "count"}, None, "CustomEntity01.nope doesn't exist."),
    ({"field": "code", "type": "sum"}, None, "'text' data type doesn't support summary type 'sum'"),
    ({"field": "sg_secret", "type": "count"}, None, "'password' data type doesn't support"),
    ({"field": "sg_links.Shot.code", "type": "count"}, None, "leads through a list of links"),
    ({"field": "id", "type": "count"}, {"field": "code", "type": "tens"}, "grouping type 'tens'"),
    (
        {"field": "id", "type": "count"},
        {"field": "code", "type": "zz"},
        "must be one of: clustered",
    ),
    ({"field": "id", "type": "count"}, {"field": "sg_url", "type": "exact"}, "'url' data type"),
]


@pytest.mark.parametrize(("summary", "grouping", "text"), REFUSED)
def test_summary_that_means_nothing_is_refused(
    sg: DirectShotgun, summary: Any, grouping: Any, text: str
) -> None:
    """Unknown fields and types, and types that do not fit the field, are faults."""
    with pytest.raises(shotgun_api3.Fault, match=text):
        sg.summarize("CustomEntity01", [], [summary], grouping=grouping and [grouping])
