"""Reads that take long: given up where they would stop everybody, and answered aside."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox import Sandbox
from shotgun_executor.sandbox.bulk import Bulk
from shotgun_executor.sandbox.site import Site
from shotgun_executor.sandbox.store import TooSlowError
from tests.sandbox.site_support import DirectShotgun

pytestmark = pytest.mark.slow

ROWS = 3_000


def body(site: Site, **params: Any) -> bytes:
    """A call that looks at every note."""
    condition = {"path": "content", "relation": "contains", "values": ["needle"]}
    full = {
        "type": "Note",
        "return_fields": ["content", "read_by_current_user"],
        "filters": {"logical_operator": "and", "conditions": [condition]},
        **params,
    }
    auth = {"script_name": site.script_name, "script_key": site.api_key}
    return json.dumps({"method_name": "read", "params": [auth, full]}).encode()


def fill(path: Path) -> None:
    site = Site(path, api_key="key")
    bulk = Bulk(site)
    project = bulk.add("Project", name="p")
    for number in range(ROWS):
        bulk.add("Note", subject="s", content="needle" * (number == 7), project=project)
    bulk.write()
    site.close()


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[Site]:
    """A site in a file with many notes, one of them with a needle."""
    fill(tmp_path / "site.db")
    site = Site(tmp_path / "site.db")
    yield site
    site.close()


def test_slow_read_is_given_up_and_answered_aside(filed: Site) -> None:
    """Both ways give the same; what the caller alone sees is the caller's, aside too."""
    DirectShotgun(filed).update("Note", 8, {"read_by_current_user": "read"})
    call = body(filed)
    with pytest.raises(TooSlowError):
        filed.answer(call, patience=0.0)
    answer = filed.answer_aside(call)
    assert answer == filed.answer(call) == filed.answer(call, patience=60.0)
    (record,) = json.loads(answer.body)["results"]["entities"]
    assert (record["id"], record["read_by_current_user"]) == (8, "read")
    refusal = filed.answer_aside(body(filed, type="Nothing"))
    assert refusal.failed


def test_writes_and_memory_know_no_patience(filed: Site, site: Site) -> None:
    """A write is carried through, however long it takes, and so is a read without a file."""
    sg = DirectShotgun(filed)
    sg.site = filed
    params = {"type": "Note", "id": 1, "fields": [{"field_name": "content", "value": "x"}]}
    auth = {"script_name": filed.script_name, "script_key": filed.api_key}
    update = json.dumps({"method_name": "update", "params": [auth, params]}).encode()
    assert not filed.answer(update, patience=0.0).failed
    assert sg.find_one("Note", [], ["content"])["content"] == "x"
    assert not site.answer(body(site), patience=0.0).failed


def test_aside_sees_what_is_committed_and_follows_the_schema(filed: Site) -> None:
    """A write between two reads is seen by the second, and so is a new field or a cleared site."""
    sg = DirectShotgun(filed)
    assert b'"id":8' in filed.answer_aside(body(filed)).body
    sg.update("Note", 8, {"content": "gone"})
    assert b'"id":8' not in filed.answer_aside(body(filed)).body
    name = sg.schema_field_create("Note", "text", "Mood")
    sg.update("Note", 9, {"content": "needle", name: "calm"})
    assert b'"sg_mood":"calm"' in filed.answer_aside(body(filed, return_fields=[name])).body
    filed.clear()
    assert filed.answer_aside(body(filed, return_fields=[name])).body == (
        b'{"results":{"entities":[]}}'
    )


def test_readers_aside_see_whole_transactions_only(filed: Site) -> None:
    """While batches change two notes at a time, a reader never sees them differ."""
    sg = DirectShotgun(filed)
    both = [
        {"request_type": "update", "entity_type": "Note", "entity_id": number, "data": {}}
        for number in (1, ROWS)
    ]
    wanted = {"path": "id", "relation": "in", "values": [1, ROWS]}
    filters = {"logical_operator": "and", "conditions": [wanted]}
    call = body(filed, filters=filters, return_fields=["content"])
    done = threading.Event()
    seen: list[Any] = []

    def look() -> None:
        while not done.is_set():
            seen.append(json.loads(filed.answer_aside(call).body)["results"]["entities"])

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for turn in range(100):
            sg.batch([{**request, "data": {"content": f"turn {turn}"}} for request in both])
    finally:
        done.set()
        reader.join(10)
    assert len(seen) > 1
    assert all(first["content"] == second["content"] for first, second in seen)


def test_server_answers_slow_reads_and_others_at_once(tmp_path: Path) -> None:
    """Over HTTP a slow read has its answer like any other, and small ones come in between."""
    fill(tmp_path / "site.db")
    with Sandbox(database=tmp_path / "site.db") as sandbox:
        slow = [["content", "contains", "needle"] for _ in range(1_000)]

        def search() -> None:
            sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
            found.append([note["id"] for note in sg.find("Note", slow)])
            sg.close()

        found: list[list[int]] = []
        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        assert [sg.create("Group", {"code": "g"})["id"] for _ in range(20)] == list(range(1, 21))
        sg.close()
        for thread in threads:
            thread.join(20)
        assert found == [[8]] * 3
        assert sandbox.counters().internal_errors == 0
