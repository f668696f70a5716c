"""Filters, sorts and pages against a model in plain Python, over random data."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any, Callable, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shotgun_executor.sandbox.bulk import Bulk
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import call

pytestmark = pytest.mark.slow

Row = dict[str, Any]
Test = Callable[[Any, list[Any]], bool]

TARGETS = [("Shot", number) for number in range(1, 4)] + [("Asset", 1)]
NAMES = {("Shot", 1): "Ärger", ("Shot", 2): "boat", ("Shot", 3): "Gone", ("Asset", 1): "BOAT"}
RETIRED = ("Shot", 3)

words = st.text(alphabet="aAbäÄßẞé %_'\"\\1", max_size=4).map(str.strip)
texts = st.one_of(st.none(), words.map(lambda word: word or None))
numbers = st.one_of(st.none(), st.integers(-3, 3))
floats = st.one_of(st.none(), st.sampled_from([-0.5, 0.0, 0.25, 2.0]))
days = st.one_of(st.none(), st.sampled_from(["2024-02-29", "2025-12-31", "2026-01-01"]))
moments = st.one_of(st.none(), days.map(lambda day: day and f"{day}T12:00:00Z"))
choices = st.sampled_from([None, "Alpha", "Beta", "Gamma"])
links = st.one_of(st.none(), st.sampled_from(TARGETS))
lists = st.lists(st.sampled_from(TARGETS), max_size=3, unique=True)

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "description": texts, "sg_number": numbers, "sg_float": floats, "sg_date": days,
            "sg_date_time": moments, "sg_checkbox": st.booleans(), "sg_list": choices,
            "sg_link": links, "sg_links": lists, "retired": st.booleans(),
        }
    ),
    max_size=8,
)  # fmt: skip


def fold(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def text_test(check: Callable[[str, str], bool], for_null: bool = False) -> Test:
    return lambda value, given: for_null if value is None else check(fold(value), fold(given[0]))


def compare(check: Callable[[Any, Any], bool]) -> Test:
    return lambda value, given: None not in (value, given[0]) and check(value, given[0])


def between(value: Any, given: list[Any]) -> bool:
    return None not in (value, *given) and min(given) <= value <= max(given)


EQUAL: dict[str, Test] = {
    "is": lambda value, given: fold(value) == fold(given[0]),
    "is_not": lambda value, given: fold(value) != fold(given[0]),
}
MEMBER: dict[str, Test] = {
    "in": lambda value, given: fold(value) in map(fold, given),
    "not_in": lambda value, given: fold(value) not in map(fold, given),
}
RANGE: dict[str, Test] = {
    "greater_than": compare(lambda value, limit: value > limit),
    "less_than": compare(lambda value, limit: value < limit),
    "between": between,
}
TEXT: dict[str, Test] = {
    "contains": text_test(lambda value, part: part in value),
    "not_contains": text_test(lambda value, part: part not in value, for_null=True),
    "starts_with": text_test(str.startswith),
    "ends_with": text_test(str.endswith),
}


def is_linked(value: list[Any], given: list[Any]) -> bool:
    """Says whether a list of links holds one of the given ones, or is empty if null is given."""
    return any(key in value for key in given) or (None in given and not value)


def names(value: list[Any]) -> list[str]:
    return [fold(NAMES[key]) for key in value]


LINK: dict[str, Test] = {
    "is": is_linked,
    "in": is_linked,
    "is_not": lambda value, given: not is_linked(value, given),
    "not_in": lambda value, given: not is_linked(value, given),
    "type_is": lambda value, given: any(key[0] == given[0] for key in value),
    "type_is_not": lambda value, given: all(key[0] != given[0] for key in value),
    "name_is": lambda value, given: fold(given[0]) in names(value),
    "name_contains": lambda value, given: any(fold(given[0]) in name for name in names(value)),
    "name_not_contains": lambda value, given: all(fold(given[0]) not in n for n in names(value)),
}


def some(relations: dict[str, Test], values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Returns a strategy for the values of each relation."""
    found: dict[str, Any] = {}
    for relation in relations:
        low, high = 1, 1
        if relation == "between":
            low, high = 2, 2
        elif relation in ("in", "not_in"):
            low, high = 1, 3
        found[relation] = st.lists(values, min_size=low, max_size=high)
    return found


filled = words.filter(bool)
kinds = st.sampled_from(["Shot", "Asset"])
link_values = links.filter(lambda key: key != RETIRED)
FIELDS: dict[str, tuple[dict[str, Test], dict[str, Any]]] = {
    "description": (
        {**EQUAL, **MEMBER, **TEXT},
        {**some(EQUAL, texts), **some(MEMBER, filled), **some(TEXT, words)},
    ),
    "sg_number": ({**EQUAL, **MEMBER, **RANGE}, some({**EQUAL, **MEMBER, **RANGE}, numbers)),
    "sg_float": ({**EQUAL, **MEMBER, **RANGE}, some({**EQUAL, **MEMBER, **RANGE}, floats)),
    "sg_date": ({**EQUAL, **MEMBER, **RANGE}, some({**EQUAL, **MEMBER, **RANGE}, days)),
    "sg_date_time": ({**EQUAL, **MEMBER, **RANGE}, some({**EQUAL, **MEMBER, **RANGE}, moments)),
    "sg_checkbox": (EQUAL, some(EQUAL, st.booleans())),
    "sg_list": ({**EQUAL, **MEMBER}, some({**EQUAL, **MEMBER}, choices)),
}
LINK_VALUES: dict[str, Any] = {
    **some({name: LINK[name] for name in ("is", "is_not", "in", "not_in")}, link_values),
    **some(dict.fromkeys(("type_is", "type_is_not"), is_linked), kinds),
    **some({name: LINK[name] for name in LINK if name.startswith("name_")}, words),
}  # fmt: skip
FIELDS["sg_link"] = FIELDS["sg_links"] = (LINK, LINK_VALUES)
DOTTED = {"sg_link.Shot.code": "sg_link", "sg_links.Shot.code": "sg_links"}
for dotted in DOTTED:
    FIELDS[dotted] = (
        {**EQUAL, **MEMBER, **TEXT},
        {**some(EQUAL, texts), **some(MEMBER, filled), **some(TEXT, words)},
    )


@st.composite
def conditions(draw: Any) -> tuple[str, str, list[Any]]:
    path = draw(st.sampled_from(sorted(FIELDS)))
    relation = draw(st.sampled_from(sorted(FIELDS[path][0])))
    return path, relation, draw(FIELDS[path][1][relation])


trees = st.recursive(
    conditions(),
    lambda inner: st.tuples(
        st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)
sorts = st.lists(
    st.tuples(
        st.sampled_from(
            ["description", "sg_number", "sg_float", "sg_date", "sg_checkbox", "sg_link"]
        ),
        st.booleans(),
    ),
    max_size=2,
)


def live(row: Row, field: str) -> list[Any]:
    """Returns the links of a field without those to retired entities."""
    value = row[field] if isinstance(row[field], list) else [row[field]]
    return [key for key in value if key not in (None, RETIRED)]


def matches(row: Row, tree: Any) -> bool:
    if len(tree) == 2:
        operator, members = tree
        return (all if operator == "and" else any)(matches(row, member) for member in members)
    path, relation, given = tree
    test = FIELDS[path][0][relation]
    if path in DOTTED:
        reached = [NAMES[key] for key in live(row, DOTTED[path]) if key[0] == "Shot"]
        return any(test(value, given) for value in reached or [None])
    return test(live(row, path) if path in ("sg_link", "sg_links") else row[path], given)


def sort_value(row: Row, field: str) -> Optional[Any]:
    if field == "sg_link":
        found = live(row, field)
        return fold(NAMES[found[0]]) if found else None
    return fold(row[field])


def ordered(rows: list[Row], order: list[tuple[str, bool]]) -> list[Row]:
    def before(one: Row, other: Row) -> int:
        for field, descending in order:
            left, right = sort_value(one, field), sort_value(other, field)
            if left != right:
                less = right is None or (left is not None and left < right)
                return 1 if less == descending else -1
        return one["id"] - other["id"]

    return sorted(rows, key=cmp_to_key(before))


def wire(tree: Any) -> dict[str, Any]:
    """Returns a tree as it goes over the wire."""
    if len(tree) == 2:
        return {"logical_operator": tree[0], "conditions": [wire(member) for member in tree[1]]}
    path, relation, given = tree
    values = [
        {"type": value[0], "id": value[1]} if isinstance(value, tuple) else value for value in given
    ]
    return {"path": path, "relation": relation, "values": values}


def fill(site: Site, rows: list[Row]) -> None:
    site.clear()
    bulk = Bulk(site)
    project = bulk.add("Project", name="p")
    for entity_type, number in TARGETS:
        bulk.add(entity_type, code=NAMES[entity_type, number], project=project)
    for number, row in enumerate(rows, 1):
        row["id"] = number
        data = {**row, "sg_checkbox": int(row["sg_checkbox"])}
        del data["retired"], data["id"]
        bulk.add("CustomEntity01", code=f"row {number}", project=project, **data)
    bulk.write()
    site.rows.set_retired(*RETIRED, retired=True)
    for row in rows:
        if row["retired"]:
            site.rows.set_retired("CustomEntity01", row["id"], retired=True)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS, tree=trees, order=sorts, retired=st.booleans(), size=st.integers(1, 4))
def test_pages_agree_with_a_model(
    site: Site, rows: list[Row], tree: Any, order: list[Any], retired: bool, size: int
) -> None:
    """Any filter in any order, page by page, gives the rows that plain Python picks."""
    fill(site, rows)
    wanted = [row for row in rows if row["retired"] == retired and matches(row, tree)]
    params = {
        "type": "CustomEntity01",
        "return_fields": ["id"],
        "filters": wire(tree) if len(tree) == 2 else wire(("and", [tree])),
        "sorts": [
            {"field_name": name, "direction": "desc" if down else "asc"} for name, down in order
        ],
        "return_only": "retired" if retired else "active",
    }
    found: list[int] = []
    for page in range(1, len(rows) + 2):
        paging = {"entities_per_page": size, "current_page": page}
        answer = call(
            site, "read", {**params, "paging": paging, "return_paging_info_without_counts": True}
        )
        found += [record["id"] for record in answer["results"]["entities"]]
        if not answer["results"]["paging_info"]["has_next_page"]:
            break
    assert found == [row["id"] for row in ordered(wanted, order)]
    counted = call(site, "read", {**params, "return_paging_info": True})["results"]
    assert counted["paging_info"]["entity_count"] == len(wanted)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5),
        st.sampled_from(["Shot", "id", "code", "is", "and", "asc", "assets.Asset.code", "project"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["type", "id", "filters", "logical_operator", "conditions", "path", "relation",
                 "values", "fields", "field_name", "value", "request_type", "paging", "sorts"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip
METHODS = [
    "read",
    "create",
    "update",
    "delete",
    "revive",
    "batch",
    "summarize",
    "schema_field_read",
]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(method=st.sampled_from(METHODS), params=JSON)
def test_nonsense_is_answered_in_the_site_s_words(site: Site, method: str, params: Any) -> None:
    """Whatever the parameters, the answer is a result or a fault that the site meant to give."""
    answer = call(site, method, params)
    if "results" not in answer:
        assert answer["exception"] is True
        assert "could not be carried out" not in answer["message"]
        assert site.api_key not in answer["message"]
