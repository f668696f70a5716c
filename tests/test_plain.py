from __future__ import annotations

import collections
import concurrent.futures
import datetime
import io
from typing import Any, NamedTuple

from shotgun_executor.filling import filled
from shotgun_executor.plain import copy_plain


class Condition(NamedTuple):
    """As a studio may write its filters."""

    field: str
    relation: str
    value: Any


def test_copy_plain_copies_each_container_and_shares_the_rest():
    """Whoever changes a copy, at any depth, changes nothing of the original."""
    file = io.BytesIO()
    original = {
        "filters": [["id", "in", [1, 2]], ("a", ["b"])],
        "data": {"entity": {"type": "Shot", "id": 1}, "tags": {"x"}},
        "file": file,
        "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
    }
    twin = copy_plain(original)
    assert twin == original
    twin["filters"][0][2].append(3)
    twin["filters"][1][1].append("c")
    twin["data"]["entity"]["id"] = 2
    twin["data"]["tags"].add("y")
    assert original["filters"] == [["id", "in", [1, 2]], ("a", ["b"])]
    assert original["data"] == {"entity": {"type": "Shot", "id": 1}, "tags": {"x"}}
    assert twin["file"] is file
    assert twin["when"] is original["when"]


def test_copy_plain_keeps_the_classes_of_containers():
    """An OrderedDict stays one, and so does a list of a user's own class."""

    class Names(list):
        pass

    original = collections.OrderedDict(names=Names([["a"]]))
    twin = copy_plain(original)
    assert type(twin) is collections.OrderedDict
    assert type(twin["names"]) is Names
    twin["names"][0].append("b")
    assert original["names"] == [["a"]]


def test_futures_within_named_tuples_are_found_and_filled():
    """A filter may be a named tuple: it stays one, and a future in it is waited for."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    filters = [Condition("entity", "is", need), Condition("id", "in", [1])]
    needs: list[concurrent.futures.Future] = []
    twin = copy_plain(filters, needs)
    assert needs == [need]
    assert twin is not filters
    assert twin[1].value is not filters[1].value
    need.set_result({"type": "Shot", "id": 5, "code": "x"})
    assert filled(twin) == [("entity", "is", {"type": "Shot", "id": 5}), ("id", "in", [1])]
    assert type(filled(twin)[0]) is Condition
