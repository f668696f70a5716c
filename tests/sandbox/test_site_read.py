"""Records and pages: fields, dotted fields, sorts, paging, retired rows, archived projects."""

from __future__ import annotations

from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call, codes, read


@pytest.fixture
def shots(sg: DirectShotgun, project: dict[str, Any]) -> DirectShotgun:
    """A client of a site with seven shots, s1 to s7."""
    for number in range(1, 8):
        sg.create("Shot", {"code": f"s{number}", "project": project, "sg_cut_in": number % 3})
    return sg


def test_record_has_type_id_and_known_fields_only(shots: DirectShotgun) -> None:
    """Unknown return fields are silently absent; type and id always come."""
    found = shots.find_one("Shot", [], ["code", "nope", "a.b", "sg_sequence.Nope.code", "id"])
    assert found == {"type": "Shot", "id": 1, "code": "s1"}


def test_every_field_of_every_type_reads(site: Site, sg: DirectShotgun) -> None:
    """Each type can be asked for all it has, and an empty field has the value of its kind."""
    project = sg.create("Project", {"name": "p"})
    for name, kind in site.schema.types.items():
        data = {"project": project} if kind.needs_project else {}
        entity_id = sg.create(name, data)["id"]
        record = sg.find_one(name, [["id", "is", entity_id]], list(kind.fields))
        assert record is not None
        assert set(record) == {"type", *kind.fields}
        for field in kind.fields.values():
            if field.is_multi or field.data_type == "tag_list":
                assert record[field.name] == []
            elif field.data_type == "checkbox":
                assert record[field.name] in (True, False)
            elif field.data_type == "password":
                assert record[field.name] == "*******"


def test_dotted_field_through_an_empty_or_foreign_link_is_null(
    sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """A dotted path gives the value, or null where the link is empty or of another type."""
    asset = sg.create("Asset", {"code": "Gull", "project": project, "sg_asset_type": "Prop"})
    sg.create("Task", {"content": "on asset", "project": project, "entity": asset})
    sg.create("Task", {"content": "alone", "project": project})
    fields = ["entity.Asset.code", "entity.Shot.code", "entity.Asset.project.Project.name"]
    on_asset, alone = sg.find("Task", [], fields)
    assert [on_asset[field] for field in fields] == ["Gull", None, "Tidewater"]
    assert [alone[field] for field in fields] == [None, None, None]


def test_dotted_field_through_a_list_is_absent(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """A path through a list of links reads nothing, as on a live site."""
    sg.create("Asset", {"code": "Gull", "project": project})
    sg.create("Shot", {"code": "a", "project": project, "assets": [{"type": "Asset", "id": 1}]})
    assert sg.find_one("Shot", [], ["code", "assets.Asset.code"]) == {
        "type": "Shot", "id": 1, "code": "a",
    }  # fmt: skip


def test_more_than_sixty_fields_come_in_one_record(
    site: Site, sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """A record is not limited by the number of arguments of a database function."""
    data = {"code": "a", "project": project, "sg_cut_in": 5, "description": 'q"\\ü\n'}
    shot = sg.create("Shot", data)
    sg.create("CustomEntity01", {"code": "x", "project": project, "sg_link": shot})
    names = [f"sg_link.Shot.{name}" for name in site.schema.types["Shot"].fields]
    names += [f"project.Project.{name}" for name in site.schema.types["Project"].fields]
    names += [f"sg_link.Shot.project.Project.{n}" for n in site.schema.types["Project"].fields]
    record = sg.find_one("CustomEntity01", [], names)
    assert record is not None
    assert set(record) == {"type", "id", *names}
    assert record["sg_link.Shot.description"] == 'q"\\ü'
    assert record["sg_link.Shot.project.Project.name"] == "Tidewater"


def test_default_order_is_by_id_and_ties_too(shots: DirectShotgun) -> None:
    """Without an order, and among equals, rows come in the order of their ids."""
    assert codes(shots.find("Shot", [["id", "in", [5, 2, 4]]], ["code"])) == "s2 s4 s5"
    order = [{"field_name": "sg_cut_in", "direction": "desc"}]
    assert codes(shots.find("Shot", [], ["code"], order)) == "s2 s5 s1 s4 s7 s3 s6"


@pytest.mark.parametrize("field", ["nope", "creative_brief", "open_notes_count", "tags", "step_0"])
def test_sort_by_what_has_no_order_is_ignored(
    sg: DirectShotgun, project: dict[str, Any], field: str
) -> None:
    """A sort on an unknown, url or summary field changes nothing and is no error."""
    for code in "ba":
        sg.create("Asset", {"code": code, "project": project})
    order = [{"field_name": field, "direction": "desc"}, {"field_name": "code"}]
    assert codes(sg.find("Asset", [], ["code"], order)) == "a b"


def test_text_sorts_without_regard_to_case(sg: DirectShotgun, project: dict[str, Any]) -> None:
    """Upper and lower case sort together, rows without a value as the greatest."""
    for code, text in (("1", "b"), ("2", "A"), ("3", None), ("4", "C"), ("5", "a")):
        sg.create("Shot", {"code": code, "project": project, "description": text})
    order = [{"field_name": "description", "direction": "asc"}]
    assert codes(sg.find("Shot", [], ["code"], order)) == "2 5 1 4 3"
    order = [{"field_name": "description", "direction": "desc"}]
    assert codes(sg.find("Shot", [], ["code"], order)) == "3 4 1 2 5"


@pytest.mark.parametrize(
    ("limit", "page", "expected"), [(3, 2, "s4 s5 s6"), (3, 3, "s7"), (3, 4, "")]
)
def test_page_is_a_slice_of_the_order(
    shots: DirectShotgun, limit: int, page: int, expected: str
) -> None:
    """A page by number is that slice of all rows."""
    assert codes(shots.find("Shot", [], ["code"], limit=limit, page=page)) == expected


@pytest.mark.parametrize("version", [(7, 3, 0), (8, 89, 0)])
@pytest.mark.parametrize("size", [1, 3, 7, 500])
def test_client_walks_all_pages(version: tuple[int, int, int], size: int) -> None:
    """With both styles of paging info the client gets every row once, whatever the page size."""
    site = Site(version=version, api_max_entities_per_page=size)
    sg = DirectShotgun(site)
    project = sg.create("Project", {"name": "p"})
    for number in range(7):
        sg.create("Shot", {"code": f"s{number}", "project": project})
    found = codes(sg.find("Shot", [["code", "is_not", "s3"]], ["code"]))
    cut = codes(sg.find("Shot", [], ["code"], limit=5))
    nothing = sg.find("Shot", [["code", "is", "none"]])
    site.close()
    assert found == "s0 s1 s2 s4 s5 s6"
    assert cut == "s0 s1 s2 s3 s4"
    assert nothing == []


def test_paging_info_tells_counts_when_asked(shots: DirectShotgun) -> None:
    """The old style of paging info counts rows and pages."""
    paging = {"entities_per_page": 3, "current_page": 3}
    answer = read(shots.site, "Shot", ["code"], paging=paging, return_paging_info=True)["results"]
    assert codes(answer["entities"]) == "s7"
    assert answer["paging_info"] == {
        "entity_count": 7, "page_count": 3, "current_page": 3, "entities_per_page": 3,
    }  # fmt: skip


def test_page_is_never_larger_than_the_site_allows() -> None:
    """A page size above the maximum is cut to it, and the client can walk on."""
    site = Site(api_max_entities_per_page=2)
    sg = DirectShotgun(site)
    for name in "abc":
        sg.create("Tag", {"name": name})
    paging = {"entities_per_page": 5000, "current_page": 1}
    answer = read(site, "Tag", ["id"], paging=paging, return_paging_info_without_counts=True)
    site.close()
    assert len(answer["results"]["entities"]) == 2
    assert answer["results"]["paging_info"] == {"has_next_page": True}


@pytest.mark.parametrize(("page", "more"), [(1, True), (2, True), (3, False), (9, False)])
def test_paging_info_without_counts_tells_if_more_follows(
    shots: DirectShotgun, page: int, more: bool
) -> None:
    """The new style says only whether there is a next page."""
    paging = {"entities_per_page": 3, "current_page": page}
    answer = read(
        shots.site, "Shot", ["code"], paging=paging, return_paging_info_without_counts=True
    )
    assert answer["results"]["paging_info"] == {"has_next_page": more}


@pytest.mark.parametrize(
    "paging",
    [
        3,
        {"current_page": 0},
        {"entities_per_page": 0},
        {"current_page": "x"},
        {"current_page": 2**40},
    ],
)
def test_bad_paging_is_refused(site: Site, paging: Any) -> None:
    """Pages count from 1 and sizes too."""
    assert "paging" in read(site, "Shot", ["id"], paging=paging)["message"] or (
        "positive integer" in read(site, "Shot", ["id"], paging=paging)["message"]
    )


def test_retired_rows_are_read_apart(shots: DirectShotgun) -> None:
    """A retired entity leaves the active rows and is found among the retired ones."""
    assert shots.delete("Shot", 2) is True
    assert shots.delete("Shot", 2) is False
    assert codes(shots.find("Shot", [], ["code"])) == "s1 s3 s4 s5 s6 s7"
    assert codes(shots.find("Shot", [], ["code"], retired_only=True)) == "s2"
    assert shots.revive("Shot", 2) is True
    assert shots.revive("Shot", 2) is False
    assert codes(shots.find("Shot", [], ["code"], retired_only=True)) == ""


@pytest.mark.parametrize("method", ["delete", "revive"])
def test_entity_that_never_existed_is_a_fault(sg: DirectShotgun, method: str) -> None:
    """Retiring what is not there is refused with the recorded text."""
    with pytest.raises(shotgun_api3.Fault, match=r"Entity of type \[Shot\] with id=9 does not"):
        getattr(sg, method)("Shot", 9)


def test_archived_projects_can_be_left_out(shots: DirectShotgun) -> None:
    """Rows of an archived project go when they are not wanted, and so does the project."""
    shots.update("Project", 1, {"archived": True})
    other = shots.create("Project", {"name": "open"})
    shots.create("Shot", {"code": "kept", "project": other})
    assert len(shots.find("Shot", [])) == 8
    found = shots.find("Shot", [], ["code"], include_archived_projects=False)
    assert codes(found) == "kept"
    assert len(shots.find("Project", [], include_archived_projects=False)) == 1
    counted = shots.summarize("Shot", [], [{"field": "id", "type": "count"}], None, None, False)
    assert counted["summaries"] == {"id": 1}
    assert len(shots.find("HumanUser", [], include_archived_projects=False)) == 1


def test_schema_is_what_the_site_stores(site: Site, sg: DirectShotgun) -> None:
    """The schema names every type and field, in the shape of the official docs."""
    types = sg.schema_entity_read()
    assert set(types) == set(site.schema.types)
    assert types["Shot"]["name"] == {"value": "Shot", "editable": False}
    fields = sg.schema_read()
    assert set(fields["Shot"]) == set(site.schema.types["Shot"].fields)
    assert fields["Shot"] == sg.schema_field_read("Shot")
    assert sg.schema_field_read("Asset", "shots") == {
        "shots": {
            "data_type": {"editable": False, "value": "multi_entity"},
            "description": {"editable": True, "value": ""},
            "editable": {"editable": False, "value": True},
            "entity_type": {"editable": False, "value": "Asset"},
            "mandatory": {"editable": False, "value": False},
            "name": {"editable": True, "value": "Shots"},
            "properties": {
                "default_value": {"editable": False, "value": None},
                "summary_default": {"editable": True, "value": "none"},
                "valid_types": {"editable": True, "value": ["Shot"]},
            },
            "unique": {"editable": False, "value": False},
            "visible": {"editable": False, "value": True},
        }
    }


def test_schema_has_every_data_type(site: Site) -> None:
    """Every data type of a live site is somewhere in the schema."""
    kinds = {
        field.data_type for kind in site.schema.types.values() for field in kind.fields.values()
    }
    expected = (
        "text number duration timecode percent footage float currency checkbox date date_time list "
        "status_list entity multi_entity addressing tag_list url image color entity_type uuid "
        "password serializable jsonb calculated summary pivot_column"
    )
    assert " ".join(sorted(kinds)) == " ".join(sorted(expected.split()))


PLANS: list[tuple[str, list[Any], str]] = [
    ("Shot", [["project", "is", {"type": "Project", "id": 1}]], "entity_Shot_project"),
    ("Shot", [["project", "is", {"type": "Project", "id": 1}],
              ["sg_sequence", "is", {"type": "Sequence", "id": 1}]], "entity_Shot_sg_sequence"),
    ("Task", [["entity", "is", {"type": "Shot", "id": 1}]], "entity_Task_entity"),
    ("Version", [["project", "is", {"type": "Project", "id": 1}],
                 ["entity", "is", {"type": "Shot", "id": 1}]], "entity_Version_entity"),
    ("Task", [["entity.Shot.sg_sequence", "is", {"type": "Sequence", "id": 1}]],
     "entity_Task_entity"),
    ("Shot", [["assets", "is", {"type": "Asset", "id": 1}]], "links_Shot_assets_target"),
    ("Shot", [["id", "in", [1, 2, 3]]], "INTEGER PRIMARY KEY"),
]  # fmt: skip


@pytest.mark.parametrize(("entity_type", "filters", "index"), PLANS)
def test_common_filters_use_an_index_and_need_no_sort(
    sg: DirectShotgun, monkeypatch: pytest.MonkeyPatch, entity_type: str, filters: Any, index: str
) -> None:
    """The filters that scripts use most do not look at every row."""
    ran: list[Any] = []
    store = sg.site.store
    run = store.run
    monkeypatch.setattr(store, "run", lambda *given: ran.append(given) or run(*given))
    sg.find(entity_type, filters, ["code"], limit=10)
    statement, values = next(each for each in ran if "t._retired" in each[0].sql)
    explain = type(statement)(f"EXPLAIN QUERY PLAN {statement.sql}", ())
    explain.arrange = statement.arrange
    plan = [str(row[3]) for row in run(explain, values)]
    assert any(index in line for line in plan), plan
    assert not any(line.startswith("SCAN t") for line in plan), plan
    if "." not in filters[0][0]:
        assert not any("TEMP B-TREE" in line for line in plan), plan


def test_unknown_type_is_refused(site: Site) -> None:
    """A type that is not in the schema is named in the fault."""
    answer = call(site, "read", {"type": "Spaceship", "filters": {}})
    assert answer["message"] == "API read() entity type 'Spaceship' doesn't exist."
