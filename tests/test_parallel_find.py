"""``find`` of many pages: what the official client returns, exact under change, no more asked."""

from __future__ import annotations

import concurrent.futures
import gc
import random
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import shotgun_api3
from hypothesis import strategies

from shotgun_executor import DeadlineExceeded, ShotgunExecutor
from shotgun_executor.parts import Parts
from shotgun_executor.sandbox import Sandbox
from tests.churn import Rows
from tests.support import LONG, in_thread, wait_until

PAGE = 5
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


def official(sandbox: Sandbox) -> Any:
    return shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)


def make_shots(sandbox: Sandbox, count: int, codes: str = "abcdefgh") -> list[int]:
    """The ids of so many new Shots."""
    sg = official(sandbox)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    choose = random.Random(count)
    data = [
        {"code": choose.choice(codes), "sg_cut_in": choose.randint(1, 9), "project": project}
        for _ in range(count)
    ]
    made = sg.batch(
        [{"request_type": "create", "entity_type": "Shot", "data": each} for each in data]
    )
    sg.close()
    return [row["id"] for row in made]


def reads(sandbox: Sandbox) -> int:
    """How many requests there have been for what is read."""
    requests = sandbox.counters().requests
    return requests.get("read", 0) + requests.get("summarize", 0)


@pytest.fixture
def grown_old(pages: Sandbox) -> Iterator[Any]:
    """An official client that takes the site for one of version 7.3."""
    sg = shotgun_api3.Shotgun(pages.url, connect=False, **pages.credentials)
    sg.server_caps.server_info["version"] = [7, 3, 0]
    yield sg
    sg.close()


# The same


@pytest.fixture(scope="module")
def grown(pages_process: Sandbox) -> Iterator[tuple[Sandbox, Any]]:
    """A site with 67 Shots, of which 20 are retired, and the official client."""
    pages_process.clear()
    ids = make_shots(pages_process, 67)
    sg = official(pages_process)
    for number in random.Random(1).sample(ids, 20):
        sg.delete("Shot", number)
    yield pages_process, sg
    sg.close()


FILTERS: list[Any] = [
    [],
    [["code", "in", ["a", "b", "c"]]],
    [["sg_cut_in", "greater_than", 2]],
    [{"filter_operator": "any", "filters": [["code", "is", "a"], ["sg_cut_in", "is", 3]]}],
    {"logical_operator": "and", "conditions": []},
    {
        "logical_operator": "and",
        "conditions": [{"path": "sg_cut_in", "relation": "less_than", "values": [8]}],
    },
]
ORDERS = [
    None,
    [],
    BY_CODE,
    LAST_FIRST,
    [{"field_name": "id"}],
    [{"column": "sg_cut_in", "direction": "desc"}],
    [{"field_name": "sg_cut_in"}, {"field_name": "id", "direction": "desc"}],
]


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    size=strategies.integers(3, 50),
    workers=strategies.sampled_from([1, 2, 8]),
    filters=strategies.sampled_from(FILTERS),
    fields=strategies.sampled_from([None, ["code"], ["code", "project", "created_at"]]),
    more=strategies.fixed_dictionaries(
        {},
        optional={
            "order": strategies.sampled_from(ORDERS),
            "limit": strategies.sampled_from([0, 1, 5, 6, 11, 30, 46, 47, 48, 500]),
            "page": strategies.integers(0, 4),
            "retired_only": strategies.booleans(),
            "include_archived_projects": strategies.booleans(),
        },
    ),
)
def test_find_returns_what_the_official_client_returns(
    grown: tuple[Sandbox, Any],
    size: int,
    workers: int,
    filters: Any,
    fields: Any,
    more: dict[str, Any],
):
    """Whatever the arguments and the pages are, from executor and facade."""
    _, sg = grown
    sg.config._records_per_page = size
    expected = sg.find("Shot", filters, fields, **more)
    with ShotgunExecutor(sg, max_workers=workers) as executor:
        assert executor.find("Shot", filters, fields, **more).result(LONG) == expected
        assert executor.shotgun.find("Shot", filters, fields, **more) == expected


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("limit", [0, 11, 47])
def test_pages_that_the_site_cuts_are_no_smaller_result(
    grown: tuple[Sandbox, Any], order: Any, limit: int
):
    """Where a page has fewer rows than were asked for, since the site allows no more."""
    _, sg = grown
    sg.config._records_per_page = PAGE + 1
    expected = sg.find("Shot", [], ["code"], order, limit=limit)
    for workers in (1, 4):
        with ShotgunExecutor(sg, max_workers=workers) as executor:
            assert executor.find("Shot", [], ["code"], order, limit=limit).result(LONG) == expected
            if not limit:
                assert list(executor.find_iter("Shot", [], ["code"], order)) == expected


def test_the_first_request_is_that_of_the_official_client(
    pages: Sandbox, executor: ShotgunExecutor
):
    """What is asked first is what Shotgun.find asks, and the other pages differ by their number."""
    make_shots(pages, 2 * PAGE)
    sg = official(pages)
    sg.find("Shot", [["code", "is_not", "x"]], ["code"])
    expected = [each.arguments for each in pages.requests if each.method == "read"]
    before = len(pages.requests)
    executor.find("Shot", [["code", "is_not", "x"]], ["code"]).result(LONG)
    asked = [each.arguments for each in pages.requests[before:] if each.method == "read"]
    assert asked == expected
    sg.close()


def test_a_subclass_that_overrides_find_keeps_it(pages: Sandbox):
    """Its find is called, once, and not for each page."""
    calls = []

    class Own(shotgun_api3.Shotgun):  # type: ignore[misc]
        def find(self, *args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            return super().find(*args, **kwargs)

    ids = make_shots(pages, 3 * PAGE)
    with ShotgunExecutor(Own(pages.url, connect=False, **pages.credentials)) as executor:
        found = executor.find("Shot", []).result(LONG)
        assert [row["id"] for row in found] == ids
        assert len(calls) == 1
        assert [row["id"] for row in executor.find_iter("Shot", [])] == ids


def test_a_site_that_counts_by_itself_is_not_asked_to(pages: Sandbox, grown_old: Any):
    """Sites before 7.4 say how many rows there are; the official client goes by that."""
    with ShotgunExecutor(grown_old, max_workers=4) as executor:
        ids = make_shots(pages, 4 * PAGE)
        found = executor.find("Shot", []).result(LONG)
        assert [row["id"] for row in found] == ids
        assert [row["id"] for row in executor.find_iter("Shot", [])] == ids
        assert [row["id"] for row in executor.find("Shot", [], limit=PAGE + 1).result(LONG)] == (
            ids[: PAGE + 1]
        )
    assert "summarize" not in pages.counters().requests
    asked = [each.arguments for each in pages.requests if each.method == "read"]
    assert all("'return_paging_info': True" in str(each) for each in asked)


def test_parallel_find_can_be_turned_off(pages: Sandbox):
    """With parallel_find=False the pages are read one after the other, and nothing else."""
    make_shots(pages, 3 * PAGE)
    with ShotgunExecutor(pages.url, **pages.credentials, parallel_find=False) as executor:
        assert len(executor.find("Shot", []).result(LONG)) == 3 * PAGE
    assert pages.counters().requests["read"] == 3
    assert "summarize" not in pages.counters().requests


# No more than needed


@pytest.mark.parametrize("count", [0, 1, PAGE])
def test_what_fits_one_page_is_one_request(pages: Sandbox, executor: ShotgunExecutor, count: int):
    """Also if it fills the page."""
    make_shots(pages, count) if count else None
    before = pages.counters().total
    assert len(executor.find("Shot", []).result(LONG)) == count
    assert len(executor.shotgun.find("Shot", [])) == count
    assert pages.counters().total == before + 2


@pytest.mark.parametrize("kind", ["dense", "sparse", "clustered"])
@pytest.mark.parametrize("retired", [False, True])
def test_find_takes_at_most_three_requests_more_than_pages(
    pages: Sandbox, executor: ShotgunExecutor, kind: str, retired: bool
):
    """Whatever the ids are like, and where nobody can count too."""
    ids = make_shots(pages, 120)
    keep = {
        "dense": ids,
        "sparse": ids[::2],
        "clustered": [number for number in ids if number // 10 % 4],
    }[kind]
    sg = official(pages)
    gone = [number for number in ids if (number in keep) == retired]
    if gone:
        sg.batch(
            [{"request_type": "delete", "entity_type": "Shot", "entity_id": each} for each in gone]
        )
    sg.close()
    before = reads(pages)
    found = executor.find("Shot", [], retired_only=retired).result(LONG)
    assert [row["id"] for row in found] == keep
    assert reads(pages) - before <= -(-len(keep) // PAGE) + 3


def test_pages_are_asked_in_parallel_but_not_all_at_once(pages: Sandbox):
    """As many at a time as there are workers, so that other calls have their turn in between."""
    ids = make_shots(pages, 20 * PAGE)
    with ShotgunExecutor(pages.url, **pages.credentials, max_workers=4) as executor:
        assert executor.server_info
        pages.hold("read")
        found = executor.find("Shot", [])
        pages.wait_for(1, "read")
        pages.resume("read", count=1)  # the first page: there are more, and a count tells of all
        pages.wait_for(4, "read")
        other = executor.schema_entity_read()
        assert pages.counters().in_flight == 4
        assert "schema_entity_read" not in pages.counters().requests
        pages.resume("read", count=4)
        assert other.result(LONG)
        assert not found.done()
        pages.resume("read")
        assert [row["id"] for row in found.result(LONG)] == ids


@pytest.mark.parametrize("count", [PAGE + 1, 2 * PAGE, 3 * PAGE, 4 * PAGE + 1, 9 * PAGE])
def test_many_workers_ask_for_two_pages_on_the_chance(pages: Sandbox, count: int):
    """While the rows are counted, most of 16 workers would have nothing to do."""
    ids = make_shots(pages, count)
    with ShotgunExecutor(pages.url, **pages.credentials, max_workers=16) as executor:
        assert executor.server_info
        pages.hold()
        found = executor.find("Shot", [])
        pages.wait_for(1, "read")
        pages.resume("read", count=1)  # the first page: there are more
        pages.wait_for(3, "read")
        pages.wait_for(1, "summarize")
        assert pages.counters().in_flight == 4
        pages.resume()
        assert [row["id"] for row in found.result(LONG)] == ids
    assert pages.counters().requests["read"] == max(4, -(-count // PAGE))


def test_a_count_that_fails_does_no_harm(pages: Sandbox, executor: ShotgunExecutor):
    """It is a hint; without it the pages are read a few at a time."""
    ids = make_shots(pages, 10 * PAGE)
    pages.fail_next("summarize", status=500)
    assert [row["id"] for row in executor.find("Shot", []).result(LONG)] == ids
    assert pages.counters().requests["summarize"] == 1


# Under change


@pytest.mark.parametrize("order", [None, LAST_FIRST])
@pytest.mark.parametrize("seed", range(3))
def test_rows_that_nobody_touches_are_returned_once_in_order(
    pages: Sandbox, executor: ShotgunExecutor, seed: int, order: Any
):
    """While other clients create, retire, revive and update rows at random."""
    rows = Rows(pages, 100, seed)
    pages.set_latency(0.002)
    with rows.changing():
        for _ in range(3):
            found = executor.find("Shot", [], ["code"], order).result(LONG)
            ids = [row["id"] for row in found]
            assert ids == sorted(set(ids), reverse=order is not None)
            assert set(ids) >= set(rows.untouched)


def test_rows_retired_between_two_pages_hide_no_others(pages: Sandbox):
    """The rows that have moved to pages that were read before are asked for again."""
    ids = make_shots(pages, 8 * PAGE)
    with ShotgunExecutor(pages.url, **pages.credentials, max_workers=1) as executor:
        assert executor.server_info
        pages.hold("read", before=True)
        found = executor.find("Shot", [])
        for _ in range(2):
            pages.wait_for(1, "read")
            pages.resume("read", count=1)
        pages.wait_for(1, "read")
        sg = official(pages)
        sg.batch(
            [
                {"request_type": "delete", "entity_type": "Shot", "entity_id": number}
                for number in ids[:7]
            ]
        )
        sg.close()
        pages.resume("read")
        assert [row["id"] for row in found.result(LONG)] == ids


def test_rows_that_move_in_another_order_are_told_of(
    pages: Sandbox, caplog: pytest.LogCaptureFixture
):
    """None is returned twice, and a warning says that some may be missing."""
    ids = make_shots(pages, 4 * PAGE)
    with ShotgunExecutor(pages.url, **pages.credentials, max_workers=1) as executor:
        assert executor.server_info
        pages.hold("read", before=True)
        found = executor.find("Shot", [], ["code"], BY_CODE)
        pages.wait_for(1, "read")
        pages.resume("read", count=1)
        pages.wait_for(1, "read")
        sg = official(pages)
        sg.create("Shot", {"code": "a", "project": {"type": "Project", "id": 1}})
        sg.update("Shot", ids[-1], {"code": "a"})
        sg.close()
        pages.resume("read")
        got = [row["id"] for row in found.result(LONG)]
    assert len(set(got)) == len(got)
    assert "have moved from page to page" in caplog.text


# As any other call


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_may_wait_for_a_find(pages: Sandbox, workers: int):
    """Of a future, of the facade, and of a future that another thread has got."""
    ids = make_shots(pages, 6 * PAGE)
    with ShotgunExecutor(pages.url, **pages.credentials, max_workers=workers) as executor:
        outside = executor.find("Shot", [])
        futures = [
            executor.submit(lambda: executor.find("Shot", []).result()),
            executor.submit(lambda: executor.shotgun.find("Shot", [])),
            executor.submit(outside.result),
        ]
        for future in futures:
            assert [row["id"] for row in future.result(LONG)] == ids


def test_a_page_that_fails_is_asked_again_alone(pages: Sandbox, executor: ShotgunExecutor):
    """Each page has the repeats of a call."""
    ids = make_shots(pages, 6 * PAGE)
    pages.hold("read")
    found = executor.find("Shot", [])
    pages.wait_for(1, "read")  # the first page was answered: the others are to fail
    pages.fail_next("read", status=503, count=2)
    pages.resume("read")
    assert [row["id"] for row in found.result(LONG)] == ids
    assert reads(pages) <= 6 + 3 + 2


def test_a_page_that_fails_for_good_fails_the_find(pages: Sandbox, executor: ShotgunExecutor):
    """With the error of the page, and nothing more is asked."""
    make_shots(pages, 40 * PAGE)
    pages.hold("read")
    found = executor.find("Shot", [])
    pages.wait_for(1, "read")  # the first page was answered: the others are to fail
    pages.fail_next("read", status=500)
    pages.resume("read")
    with pytest.raises(shotgun_api3.ProtocolError, match="500"):
        found.result(LONG)
    assert pages.counters().requests["read"] < 15


@pytest.mark.parametrize("abort", [False, True])
def test_cancelling_a_find_cancels_its_pages(
    pages: Sandbox, executor: ShotgunExecutor, abort: bool
):
    """What has not started is not asked for; with abort, also what is under way ends."""
    make_shots(pages, 40 * PAGE)
    pages.hold("read")
    found = executor.find("Shot", [])
    pages.wait_for(1, "read")
    pages.resume("read", count=1)
    pages.wait_for(4, "read")
    assert found.cancel(abort=abort)
    with pytest.raises(concurrent.futures.CancelledError):
        found.result(LONG)
    if abort:
        assert executor.schema_entity_read().result(LONG), "no worker is free"
    pages.resume("read")
    executor.shutdown()
    assert pages.counters().requests["read"] <= 7


def test_a_deadline_holds_for_all_pages_together(pages: Sandbox, executor: ShotgunExecutor):
    """A find that has not ended by then fails, and its pages are aborted."""
    make_shots(pages, 10 * PAGE)
    pages.hold("read")
    found = executor.options(deadline=0.5).find("Shot", [])
    pages.wait_for(1, "read")
    pages.resume("read", count=1)
    with pytest.raises(DeadlineExceeded, match="waited for futures"):
        found.result(LONG)
    assert executor.schema_entity_read().result(LONG), "no worker is free"
    pages.resume("read")


def test_a_shutdown_waits_for_all_pages(pages: Sandbox):
    """The pages that were not asked for yet are accepted after the shutdown has begun."""
    ids = make_shots(pages, 10 * PAGE)
    executor = ShotgunExecutor(pages.url, **pages.credentials, max_workers=2)
    pages.hold("read")
    found = executor.find("Shot", [])
    pages.wait_for(1, "read")
    ended = in_thread(executor.shutdown)
    wait_until(lambda: executor._dispatch._closed)
    pages.resume("read")
    ended()
    assert [row["id"] for row in found.result(0)] == ids


def test_observers_see_a_find_leave_its_worker(pages: Sandbox, executor: ShotgunExecutor):
    """It is started, suspended and started again; pages are calls, and all of them end."""
    make_shots(pages, 3 * PAGE)
    events: list[Any] = []
    executor.add_observer(events.append)
    executor.find("Shot", []).result(LONG)
    executor.remove_observer(events.append)
    find = events[0].call
    kinds = [event.kind for event in events if event.call == find]
    assert kinds[:3] == ["submitted", "started", "suspended"]
    assert kinds[-2:] == ["started", "ended"]
    parts = {event.call for event in events} - {find}
    assert len(parts) == 3  # two pages and a count
    assert sum(event.kind == "ended" for event in events) == 4
    stats = executor.stats()
    assert (stats.waiting, stats.running, stats.ready) == (0, 0, 0)


def test_what_a_find_has_read_lives_no_longer_than_its_result(
    pages: Sandbox, executor: ShotgunExecutor
):
    """The future keeps the result, and nothing beside it."""
    make_shots(pages, 3 * PAGE)
    finds = [executor.find("Shot", []), executor.find_by_ids("Shot", range(1, 9), chunk_size=3)]
    for future in finds:
        future.result(LONG)
        gc.collect()
        kept = gc.get_referrers(future.result()[0])
        assert [type(each) for each in kept] == [list]


@pytest.mark.parametrize("where", ["_submit", "_done"])
def test_parts_that_cannot_go_on_fail_the_whole(
    pages: Sandbox, executor: ShotgunExecutor, monkeypatch: pytest.MonkeyPatch, where: str
):
    """If no thread can be had for a part, say, the find fails; it does not return a half."""

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    make_shots(pages, 6 * PAGE)
    begin = Parts.fill

    def fill(parts: Any) -> None:
        monkeypatch.setattr(parts, where, fail)
        begin(parts)

    monkeypatch.setattr(Parts, "fill", fill)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        executor.find("Shot", []).result(LONG)


def test_a_find_may_be_an_argument(pages: Sandbox, executor: ShotgunExecutor):
    """Of a call that waits for all pages."""
    ids = make_shots(pages, 4 * PAGE)
    found = executor.find("Shot", [["id", "in", ids]])
    again = executor.find("Shot", [["id", "in", executor.submit(lambda: ids)]])
    assert again.result(LONG) == found.result(LONG)
    scenes = executor.create("Playlist", {"code": "x", "project": {"type": "Project", "id": 1}})
    assert scenes.result(LONG)["code"] == "x"


def test_stats_tell_all_of_the_time_that_a_paged_find_took_on_workers(pages, executor):
    """Its first page counts, though the find goes on after others, maybe on another worker."""
    make_shots(pages, 3 * PAGE)
    pages.set_latency(0.05)
    assert len(executor.find("Shot", []).result(LONG)) == 3 * PAGE
    run = executor.stats().methods["find"].run
    assert run.count > 1  # each other page is a call as well
    assert run.seconds >= 0.05 * run.count
