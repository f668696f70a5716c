"""Bulk reads: ``find_by_ids``, ``find_by`` and ``find_iter``."""

from __future__ import annotations

import concurrent.futures
import datetime
import gc
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
import shotgun_api3

from shotgun_executor import DeadlineExceeded, IncompleteError, ShotgunExecutor
from shotgun_executor.lookups import chunks_of, key_of
from shotgun_executor.sandbox import Sandbox
from tests.churn import Rows
from tests.support import LONG, wait_until

PAGE = 10
BY_CODE = [{"field_name": "code", "direction": "asc"}]
LAST_FIRST = [{"field_name": "id", "direction": "desc"}]


@pytest.fixture(scope="module")
def pages_process() -> Iterator[Sandbox]:
    """A site with small pages."""
    with Sandbox(api_max_entities_per_page=PAGE) as sandbox:
        yield sandbox


@pytest.fixture
def pages(pages_process: Sandbox) -> Iterator[Sandbox]:
    """The site with small pages, empty."""
    pages_process.clear()
    yield pages_process
    assert pages_process.counters().internal_errors == 0, pages_process.log()
    pages_process.clear()


@pytest.fixture
def executor(pages: Sandbox) -> Iterator[ShotgunExecutor]:
    """An executor with four workers on that site, which has asked for `info`."""
    with ShotgunExecutor(pages.url, **pages.credentials, max_workers=4) as executor:
        assert executor.server_info
        yield executor


def make_shots(executor: ShotgunExecutor, count: int) -> list[int]:
    """The ids of so many new Shots, with codes from sh000 on."""
    project = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
    requests = [
        {
            "request_type": "create",
            "entity_type": "Shot",
            "data": {"code": f"sh{number:03}", "project": project},
        }
        for number in range(count)
    ]
    return [row["id"] for row in executor.batch(requests).result(LONG)]


def read_requests(sandbox: Sandbox) -> list[Any]:
    return [request for request in sandbox.requests if request.method in ("read", "summarize")]


# By id


def test_find_by_ids_is_aligned_with_the_ids(pages: Sandbox, executor: ShotgunExecutor):
    """One place for each id, in their order; None where there is nothing."""
    ids = make_shots(executor, 35)
    random.Random(0).shuffle(ids)
    asked = [*ids, 99_999, ids[0], ids[0]]
    found = executor.find_by_ids("Shot", iter(asked), ["code"], chunk_size=7).result(LONG)
    assert [row and row["id"] for row in found] == [*ids, None, ids[0], ids[0]]
    assert all(set(row) == {"type", "id", "code"} for row in found if row)
    assert found[0] == found[-1] == found[-2]
    assert found[0] is not found[-1] is not found[-2] is not found[0]
    assert len(read_requests(pages)) == 6


def test_find_by_ids_takes_entities_and_futures(executor: ShotgunExecutor):
    """Entities stand for their ids, futures for their results, also one for the whole list."""
    ids = make_shots(executor, 3)
    shots = executor.find("Shot", [])
    one = executor.find_one("Shot", [["id", "is", ids[2]]])
    for asked in (shots, [{"type": "Shot", "id": ids[0]}, ids[1], one]):
        found = executor.find_by_ids("Shot", asked).result(LONG)
        assert found == [{"type": "Shot", "id": number} for number in ids]


@pytest.mark.parametrize("missing", ["none", "skip", "raise"])
def test_missing_ids_are_as_chosen(executor: ShotgunExecutor, missing: Any):
    """None in their place, left out, or an error that has the rest."""
    ids = make_shots(executor, 2)
    future = executor.find_by_ids("Shot", [ids[0], 777, ids[1]], missing=missing)
    if missing == "raise":
        with pytest.raises(IncompleteError, match="777") as caught:
            future.result(LONG)
        assert caught.value.missing == [777]
        assert not caught.value.failed
        found = caught.value.partial
    else:
        found = future.result(LONG)
    expected = [ids[0], ids[1]] if missing == "skip" else [ids[0], None, ids[1]]
    assert [row and row["id"] for row in found] == expected


def test_no_ids_are_no_request(pages: Sandbox, executor: ShotgunExecutor):
    """An empty list is answered by an empty list."""
    assert executor.find_by_ids("Shot", []).result(LONG) == []
    assert executor.find_by("Shot", "code", []).result(LONG) == []
    assert not read_requests(pages)


def test_filters_and_retired_hold_for_lookups_too(executor: ShotgunExecutor):
    """As in find; a group of filters may be a dict."""
    ids = make_shots(executor, 4)
    executor.delete("Shot", ids[3]).result(LONG)
    codes = {"filter_operator": "any", "filters": [["code", "is", "sh000"]]}
    for filters in ([["code", "is", "sh000"]], [codes], codes):
        found = executor.find_by_ids("Shot", ids, filters=filters).result(LONG)
        assert [row and row["id"] for row in found] == [ids[0], None, None, None]
    found = executor.find_by_ids("Shot", ids, retired_only=True, missing="skip").result(LONG)
    assert [row["id"] for row in found] == ids[3:]


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "text"),
    [
        (("Shot", "12"), {}, TypeError, "ids must be a list, not a str"),
        (("Shot", 12), {}, TypeError, "ids must be a list, not a int"),
        (("Shot", ["12"]), {}, TypeError, "ids must be integers or entities, not '12'"),
        (("Shot", [True]), {}, TypeError, "ids must be integers"),
        (("Shot", [{"type": "Task", "id": 3}]), {}, ValueError, "Task 3 is no Shot"),
        (("Shot", [1], "code"), {}, TypeError, "fields must be a list"),
        (("Shot", [1]), {"missing": "no"}, ValueError, "missing must be one of"),
        (("Shot", [1]), {"chunk_size": 0}, ValueError, "chunk_size must be at least 1"),
        (("Shot", [1]), {"chunk_bytes": 1.5}, TypeError, "chunk_bytes must be"),
    ],
)
def test_bad_arguments_are_refused_at_once(
    executor: ShotgunExecutor, arguments: Any, keywords: Any, error: Any, text: str
):
    """The message names the argument."""
    with pytest.raises(error, match=text):
        executor.find_by_ids(*arguments, **keywords)


# By another field


def test_find_by_has_a_list_for_each_value(executor: ShotgunExecutor):
    """Of many records, of one, of none; texts whatever their case is; the field is no extra."""
    ids = make_shots(executor, 6)
    for number in ids[:3]:
        executor.update("Shot", number, {"code": "Hero"}).result(LONG)
    values = ["HERO", "sh004", "nobody", "hero"]
    found = executor.find_by("Shot", "code", values, ["description"], chunk_size=1).result(LONG)
    assert [[row["id"] for row in rows] for rows in found] == [ids[:3], [ids[4]], [], ids[:3]]
    assert set(found[1][0]) == {"type", "id", "description"}
    assert found[0][0] is not found[3][0]
    ordered = executor.find_by("Shot", "code", ["hero"], order=LAST_FIRST).result(LONG)
    assert [row["id"] for row in ordered[0]] == ids[2::-1]


def test_find_by_an_entity_or_several(executor: ShotgunExecutor):
    """Links by type and id; a record with several of them is in the list of each."""
    project = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
    assets = [
        executor.create("Asset", {"code": code, "project": project}).result(LONG)
        for code in ("lamp", "boat", "rope")
    ]
    shots = [
        executor.create("Shot", {"code": "x", "project": project, "assets": some}).result(LONG)
        for some in (assets[:2], assets[1:2])
    ]
    by_asset = executor.find_by("Shot", "assets", assets, ["code"]).result(LONG)
    expected = [[shots[0]["id"]], [shot["id"] for shot in shots], []]
    assert [[row["id"] for row in rows] for rows in by_asset] == expected
    by_project = executor.find_by("Shot", "project", [project]).result(LONG)
    assert [row["id"] for row in by_project[0]] == [shot["id"] for shot in shots]
    assert "project" not in by_project[0][0]


def test_find_by_a_number_and_a_time(executor: ShotgunExecutor):
    """Numbers also as texts; times as the records have them."""
    ids = make_shots(executor, 3)
    executor.update("Shot", ids[1], {"sg_cut_in": 12}).result(LONG)
    for value in (12, "12"):
        found = executor.find_by("Shot", "sg_cut_in", [value]).result(LONG)
        assert [row["id"] for row in found[0]] == [ids[1]]
    made = executor.find_one("Shot", [["id", "is", ids[0]]], ["created_at"]).result(LONG)
    found = executor.find_by("Shot", "created_at", [made["created_at"]]).result(LONG)
    assert ids[0] in [row["id"] for row in found[0]]


def test_find_by_reads_all_pages_of_many_records(executor: ShotgunExecutor):
    """A value may have more records than a page has."""
    ids = make_shots(executor, 4 * PAGE)
    project = {"type": "Project", "id": 1}
    found = executor.find_by("Shot", "project", [project], ["code"]).result(LONG)
    assert [row["id"] for row in found[0]] == ids


def test_values_that_cannot_be_looked_up_are_refused(executor: ShotgunExecutor):
    """What has no key is refused at once."""
    with pytest.raises(TypeError, match="values must be texts, numbers, dates or entities"):
        executor.find_by("Shot", "code", [object()])


def test_keys_join_what_the_site_takes_for_the_same():
    """Case, the zone of a time and the name of a link make no difference; all else does."""
    utc = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert key_of("Straße") == key_of("STRASSE")
    assert key_of(utc) == key_of(utc.astimezone(zone))
    assert key_of({"type": "Shot", "id": 1, "name": "x"}) == key_of({"type": "Shot", "id": 1})
    assert key_of(datetime.date(2026, 3, 1)) == key_of("2026-03-01")
    assert key_of({"type": "Shot", "id": 1}) != key_of({"type": "Asset", "id": 1})


# Chunks


def test_chunks_are_bounded_by_count_and_by_bytes():
    """And a value that is too long is alone."""
    assert list(chunks_of(range(7), 3, 1_000)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks_of(["aaaa", "bbbb", "cccc"], 500, 16)) == [["aaaa", "bbbb"], ["cccc"]]
    assert list(chunks_of(["ä" * 50, "b"], 500, 60)) == [["ä" * 50], ["b"]]
    assert list(chunks_of([], 3, 10)) == []


def test_chunks_run_in_parallel_and_once(pages: Sandbox, executor: ShotgunExecutor):
    """As many at a time as there are workers; each id is asked for once."""
    ids = make_shots(executor, 60)
    pages.hold("read")
    future = executor.find_by_ids("Shot", ids + ids, chunk_size=5)
    pages.wait_for(4, "read")
    pages.resume("read")
    assert [row["id"] for row in future.result(LONG)] == ids + ids
    assert len(read_requests(pages)) == 12
    assert pages.counters().peak_in_flight <= 4


def test_requests_stay_below_the_bytes(pages: Sandbox, executor: ShotgunExecutor):
    """Long values make more and smaller requests."""
    make_shots(executor, 1)
    values = [f"{number:03}" + "x" * 200 for number in range(50)]
    before = pages.counters().bytes_received
    found = executor.find_by("Shot", "code", values, chunk_bytes=2_000).result(LONG)
    assert found == [[]] * 50
    sizes = [request.bytes_received for request in read_requests(pages)]
    assert len(sizes) == 6
    assert max(sizes) < 2_600
    assert pages.counters().bytes_received - before == sum(sizes)


def test_each_chunk_is_repeated_by_itself(pages: Sandbox, executor: ShotgunExecutor):
    """Two busy answers are two more requests, and the result is whole."""
    ids = make_shots(executor, 40)
    pages.fail_next("read", status=503, count=2)
    found = executor.find_by_ids("Shot", ids, chunk_size=5).result(LONG)
    assert [row["id"] for row in found] == ids
    assert len(read_requests(pages)) == 8 + 2


def test_a_chunk_that_fails_does_not_lose_the_others(pages: Sandbox, executor: ShotgunExecutor):
    """The error has what was found, and says what was not."""
    ids = make_shots(executor, 40)
    with ShotgunExecutor(pages.url, **pages.credentials, max_workers=1) as another:
        pages.fail_next("read", status=400, count=1)
        broken = another.find_by_ids("Shot", ids, chunk_size=10)
        with pytest.raises(IncompleteError, match="failed for 10 of 40 values") as caught:
            broken.result(LONG)
    error = caught.value
    assert error.failed == ids[:10]
    assert isinstance(error.__cause__, shotgun_api3.ProtocolError)
    assert [row and row["id"] for row in error.partial] == [None] * 10 + ids[10:]


def test_if_nothing_was_found_the_error_is_that_of_the_site(executor: ShotgunExecutor):
    """A Fault stays one, for the except clauses that name it."""
    with pytest.raises(shotgun_api3.Fault, match="Shotx"):
        executor.find_by_ids("Shotx", [1, 2, 3]).result(LONG)


def test_find_by_an_empty_text_finds_what_has_none(executor):
    """As the site does, which takes an empty text and no text for the same."""
    first, second, _ = make_shots(executor, 3)
    executor.update("Shot", first, {"description": "Hello"}).result(LONG)
    executor.update("Shot", second, {"description": "other"}).result(LONG)
    found = executor.find_by("Shot", "description", ["hello", "", "x"], ["description"])
    ids = [[shot["id"] for shot in shots] for shots in found.result(LONG)]
    official = executor.find("Shot", [["description", "in", [""]]]).result(LONG)
    assert ids == [[first], [shot["id"] for shot in official], []]
    assert len(official) == 1


def test_lookup_whose_calls_cannot_be_submitted_any_more(executor, monkeypatch):
    """What was found is kept, and what was not asked for is among the failed."""
    ids = make_shots(executor, 40)
    submit, count = executor._submit_part, itertools.count()

    def refuse(*args, **kwargs):
        if next(count) >= 3:
            raise RuntimeError("no thread can be had")
        return submit(*args, **kwargs)

    monkeypatch.setattr(executor, "_submit_part", refuse)
    with pytest.raises(IncompleteError, match=r"failed for 28 of 40 values.*no thread") as caught:
        executor.find_by_ids("Shot", ids, chunk_size=4).result(LONG)
    assert caught.value.failed == ids[12:]
    assert [shot and shot["id"] for shot in caught.value.partial] == ids[:12] + [None] * 28


# As any other call


@pytest.mark.parametrize("abort", [False, True])
def test_cancelling_a_lookup_cancels_its_chunks(
    pages: Sandbox, executor: ShotgunExecutor, abort: bool
):
    """What has not started is not asked for."""
    pages.hold("read")
    future = executor.find_by_ids("Shot", range(1, 500), chunk_size=10)
    pages.wait_for(4, "read")
    wait_until(lambda: future.cancel(abort=abort))
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(LONG)
    if abort:
        assert executor.schema_entity_read().result(LONG), "no worker is free"
    pages.resume("read")
    executor.shutdown()
    assert len(read_requests(pages)) == 4


def test_a_lookup_occupies_no_worker_while_it_waits(pages: Sandbox):
    """One worker runs the chunk, and then whatever else there is."""
    with ShotgunExecutor(pages.url, **pages.credentials, max_workers=1) as executor:
        ids = make_shots(executor, 30)
        pages.hold("read")
        future = executor.find_by_ids("Shot", ids, chunk_size=10)
        pages.wait_for(1, "read")
        other = executor.schema_entity_read()
        pages.resume("read", count=1)
        assert other.result(LONG)
        assert not future.done()
        pages.resume("read")
        assert [row["id"] for row in future.result(LONG)] == ids
        inside = executor.submit(lambda: executor.find_by_ids("Shot", ids, chunk_size=10).result())
        assert [row["id"] for row in inside.result(LONG)] == ids


def test_options_hold_for_lookups(pages: Sandbox, executor: ShotgunExecutor):
    """Deadlines, repeats and limits of time are those of the view."""
    ids = make_shots(executor, 30)
    view = executor.options(retries=0, priority=3)
    pages.fail_next("read", status=503)
    with pytest.raises((IncompleteError, shotgun_api3.ProtocolError), match="503"):
        view.find_by_ids("Shot", ids, chunk_size=10).result(LONG)
    pages.hold("read")
    for future in (
        executor.options(deadline=0.3).find_by_ids("Shot", ids, chunk_size=10),
        executor.options(deadline=0.3).find_by("Shot", "code", ["a"]),
    ):
        with pytest.raises(DeadlineExceeded, match="looking up Shot"):
            future.result(LONG)
    with pytest.raises((TimeoutError, OSError)):
        executor.options(timeout=0.2, retries=0).find_by("Shot", "code", ["a"]).result(LONG)
    pages.resume("read")
    assert [row["id"] for row in view.find_iter("Shot", [])] == ids


def test_a_lookup_may_be_an_argument(executor: ShotgunExecutor):
    """Of another call, which waits for it."""
    ids = make_shots(executor, 5)
    shots = executor.find_by_ids("Shot", ids)
    playlists = executor.find("Shot", [["id", "in", executor.submit(lambda: ids[:2])]])
    again = executor.find_by_ids("Shot", shots)
    assert again.result(LONG) == shots.result(LONG)
    assert len(playlists.result(LONG)) == 2


# find_iter


@pytest.mark.parametrize("order", [None, LAST_FIRST, BY_CODE])
@pytest.mark.parametrize("ahead", [1, 3, 50])
@pytest.mark.parametrize("count", [0, 1, PAGE, 3 * PAGE, 3 * PAGE + 1, 7 * PAGE])
def test_find_iter_yields_what_find_returns(
    pages: Sandbox, executor: ShotgunExecutor, order: Any, ahead: int, count: int
):
    """In the same order, however many pages are read ahead."""
    if count:
        make_shots(executor, count)
    expected = executor.find("Shot", [], ["code"], order).result(LONG)
    found = executor.find_iter("Shot", [], ["code"], order, ahead=ahead)
    assert list(found) == expected


def test_find_iter_of_one_page_is_one_request(pages: Sandbox, executor: ShotgunExecutor):
    """Also if it fills the page."""
    make_shots(executor, PAGE)
    assert len(list(executor.find_iter("Shot", []))) == PAGE
    assert len(read_requests(pages)) == 1


@pytest.mark.parametrize("how", ["close", "del", "with", "break"])
def test_find_iter_stops_asking_when_the_caller_stops(
    pages: Sandbox, executor: ShotgunExecutor, how: str
):
    """What was asked ahead is all there is."""
    make_shots(executor, 40 * PAGE)
    found: Any = executor.find_iter("Shot", [], ahead=2)
    next(found)
    if how == "close":
        found.close()
        assert list(found) == []
    elif how == "with":
        with found:
            pass
    elif how == "break":
        for _ in found:
            break
    del found
    gc.collect()
    executor.shutdown()
    assert len(read_requests(pages)) <= 2 * 2 + 2 + 2


def test_find_iter_reads_only_so_far_ahead(pages: Sandbox, executor: ShotgunExecutor):
    """Who takes slowly has read at most two windows of pages ahead."""
    make_shots(executor, 40 * PAGE)
    found = executor.find_iter("Shot", [], ahead=2)
    for number in range(1, 15 * PAGE):
        next(found)
        if number % PAGE == 0:
            pages_read = sum(1 for each in read_requests(pages) if each.method == "read")
            assert pages_read <= 1.6 * (number / PAGE + 4) + 1
    found.close()


def test_find_iter_goes_on_after_an_id(executor: ShotgunExecutor):
    """Where another one has stopped, in either direction."""
    ids = make_shots(executor, 6 * PAGE)
    for order, expected in ((None, ids), (LAST_FIRST, ids[::-1])):
        first = executor.find_iter("Shot", [], order=order)
        taken = [next(first)["id"] for _ in range(25)]
        first.close()
        assert first.last_id == taken[-1]
        rest = executor.find_iter("Shot", [], order=order, after_id=first.last_id)
        assert taken + [row["id"] for row in rest] == expected
    with pytest.raises(ValueError, match="after_id is for the order of ids"):
        executor.find_iter("Shot", [], order=BY_CODE, after_id=3)
    with pytest.raises(ValueError, match="ahead must be at least 1"):
        executor.find_iter("Shot", [], ahead=0)


def test_find_iter_that_fails_can_be_resumed(pages: Sandbox, executor: ShotgunExecutor):
    """An error comes in its place, ends the iterator, and last_id tells where to go on."""
    ids = make_shots(executor, 8 * PAGE)
    found = executor.options(retries=0).find_iter("Shot", [], ahead=2)
    next(found)
    wait_until(lambda: len(read_requests(pages)) >= 4)
    pages.fail("read", status=503)
    with pytest.raises(shotgun_api3.ProtocolError):
        _ = list(found)
    pages.stop_failing()
    assert list(found) == []
    taken = [number for number in ids if number <= (found.last_id or 0)]
    rest = executor.find_iter("Shot", [], after_id=found.last_id)
    assert taken + [row["id"] for row in rest] == ids


@pytest.mark.parametrize("seed", range(2))
def test_find_iter_is_exact_under_change(pages: Sandbox, executor: ShotgunExecutor, seed: int):
    """Rows that nobody touches come once, in order."""
    rows = Rows(pages, 120, seed)
    pages.set_latency(0.002)
    with rows.changing():
        for _ in range(3):
            ids = [row["id"] for row in executor.find_iter("Shot", [], ["code"], ahead=3)]
            assert ids == sorted(set(ids))
            assert set(ids) >= set(rows.untouched)


def test_find_iter_takes_futures(executor: ShotgunExecutor):
    """Among the filters; it begins when they are done."""
    ids = make_shots(executor, 3 * PAGE)
    wanted = executor.submit(lambda: {"type": "Project", "id": 1})
    assert [row["id"] for row in executor.find_iter("Shot", [["project", "is", wanted]])] == ids


def test_presets_look_at_all_rows(pages, executor):
    """A preset is about all rows that the filters let through, in however many pages they come."""
    project = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
    requests = [
        {
            "request_type": "create",
            "entity_type": "Cut",
            "data": {"code": f"cut{n:02}", "project": project, "revision_number": 2 - n % 2},
        }
        for n in range(5 * PAGE)
    ]
    executor.batch(requests).result(LONG)
    latest = [{"preset_name": "LATEST", "latest_by": "REVISION_NUMBER"}]
    arguments = ("Cut", [["project", "is", project]], ["code", "revision_number"])
    official = shotgun_api3.Shotgun(pages.url, **pages.credentials)
    wanted = official.find(*arguments, additional_filter_presets=latest)
    official.close()
    assert {cut["revision_number"] for cut in wanted} == {2}
    found = executor.find(*arguments, additional_filter_presets=latest).result(LONG)
    one_by_one = executor.find_iter(*arguments, additional_filter_presets=latest)
    assert list(one_by_one) == found == wanted
    with pytest.raises(ValueError, match="after_id"):
        executor.find_iter(*arguments, additional_filter_presets=latest, after_id=3)


def test_find_by_tells_what_several_values_lead_to(executor):
    """A number and its text are two values, and a record of the one is a record of the other."""
    project = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
    shot = executor.create("Shot", {"code": "a", "project": project, "sg_cut_in": 5}).result(LONG)
    found = executor.find_by("Shot", "sg_cut_in", ["5", 5]).result(LONG)
    assert [[each["id"] for each in records] for records in found] == [[shot["id"]]] * 2


def test_entity_stands_for_its_type(executor):
    """In find, find_iter and the lookups too, as in all other methods."""
    project = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
    same = {"type": "Project", "id": project["id"]}
    assert executor.find(project, []).result(LONG) == [same]
    assert list(executor.find_iter(project, [])) == [same]
    assert executor.find_by_ids(project, [project["id"]]).result(LONG) == [same]
    assert executor.find_by(project, "name", ["The Lantern Sea"]).result(LONG) == [[same]]
