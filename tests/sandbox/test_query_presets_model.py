"""Presets, archived projects and retired rows against a model in plain Python, over random data."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shotgun_executor.sandbox.bulk import Bulk
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import call

pytestmark = pytest.mark.slow

Row = dict[str, Any]

# Tasks by their number: the order of their step; -1 is a task without one.
STEPS = {1: 2, 2: 9, 3: -1}
SHOTS = (1, 2, 3)
CUT_SHOTS = (1, 3)
RETIRED_ITEM_SHOT = 2

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "code": st.sampled_from("ab"), "shot": st.sampled_from([None, *SHOTS]),
            "day": st.integers(1, 3), "task": st.sampled_from([None, *STEPS]),
            "archived": st.booleans(), "retired": st.booleans(),
        }
    ),
    max_size=8,
)  # fmt: skip
LATEST = {
    None: None,
    "created": "ENTITIES_CREATED_AT",
    "step": "BY_PIPELINE_STEP_NUMBER_AND_ENTITIES_CREATED_AT",
}


def fill(site: Site, rows: list[Row]) -> None:
    site.clear()
    bulk = Bulk(site)
    projects = [bulk.add("Project", name="open"), bulk.add("Project", name="shut", archived=1)]
    for number in SHOTS:
        bulk.add("Shot", code=f"s{number}", project=projects[0])
    for step in STEPS.values():
        linked = {"step": ("Step", step)} if step > 0 else {}
        bulk.add("Task", content="t", project=projects[0], **linked)
    cut = bulk.add("Cut", code="c", project=projects[0])
    for shot in (*CUT_SHOTS, RETIRED_ITEM_SHOT):
        bulk.add("CutItem", code="i", project=projects[0], cut=cut, shot=("Shot", shot))
    for number, row in enumerate(rows, 1):
        row["id"] = number
        bulk.add(
            "Version",
            code=row["code"],
            project=projects[row["archived"]],
            created_at=f"2026-01-0{row['day']}T00:00:00Z",
            entity=row["shot"] and ("Shot", row["shot"]),
            sg_task=row["task"] and ("Task", row["task"]),
        )
    bulk.write()
    site.rows.set_retired("CutItem", 3, retired=True)
    for row in rows:
        if row["retired"]:
            site.rows.set_retired("Version", row["id"], retired=True)


def rank(row: Row, latest: str) -> tuple[int, ...]:
    step = STEPS.get(row["task"], -1) if latest == "step" else 0
    return step, row["day"], row["id"]


def is_latest(row: Row, rows: list[Row], latest: Optional[str]) -> bool:
    """Says whether no live version of the same shot comes after a row."""
    if latest is None:
        return True
    others = [other for other in rows if other["shot"] == row["shot"] and not other["retired"]]
    ranks = [rank(other, latest) for other in others]
    return row["shot"] is not None and all(each <= rank(row, latest) for each in ranks)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=ROWS,
    latest=st.sampled_from(list(LATEST)),
    of_cut=st.booleans(),
    code=st.sampled_from([None, "a"]),
    archived=st.booleans(),
    retired=st.booleans(),
)
def test_presets_agree_with_a_model(
    site: Site,
    rows: list[Row],
    latest: Optional[str],
    of_cut: bool,
    code: Optional[str],
    archived: bool,
    retired: bool,
) -> None:
    """Any mix of presets, filters, archived and retired gives the rows that plain Python picks."""
    fill(site, rows)
    presets: list[dict[str, Any]] = []
    if of_cut:
        presets.append({"preset_name": "CUT_SHOT_VERSIONS", "cut_id": 1})
    if latest is not None:
        presets.append({"preset_name": "LATEST", "latest_by": LATEST[latest]})
    condition = {"path": "code", "relation": "is", "values": [code]}
    params = {
        "type": "Version",
        "return_fields": ["id"],
        "filters": {"logical_operator": "and", "conditions": [condition] if code else []},
        "additional_filter_presets": presets,
        "return_only": "retired" if retired else "active",
        "return_paging_info": True,
        **({} if archived else {"include_archived_projects": False}),
    }
    result = call(site, "read", params)["results"]
    wanted = [
        row["id"]
        for row in rows
        if row["retired"] == retired
        and code in (None, row["code"])
        and (archived or not row["archived"])
        and (not of_cut or row["shot"] in CUT_SHOTS)
        and is_latest(row, rows, latest)
    ]
    assert [record["id"] for record in result["entities"]] == wanted
    assert result["paging_info"]["entity_count"] == len(wanted)
