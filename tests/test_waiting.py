"""Waiting within calls, futures as arguments, priorities, asyncio, forks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import sys
import threading

import pytest
import shotgun_api3

from shotgun_executor import (
    DeadlockError,
    DependencyError,
    ShotgunExecutor,
    ShotgunPool,
    ThreadLocalShotgun,
)
from shotgun_executor.call import Options
from shotgun_executor.line import TURNS
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread


@pytest.fixture
def single():
    """An executor with one worker whose site does not matter."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        yield executor


@pytest.fixture
def project(executor):
    return executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)


def fail(error):
    raise error


# Waiting within a worker


def test_a_worker_that_waits_for_a_call_runs_it_itself(single):
    """Fan-out inside fan-out works with one worker, where the stdlib locks up."""

    def fibonacci(n):
        if n < 2:
            return n
        one, two = single.submit(fibonacci, n - 1), single.submit(fibonacci, n - 2)
        return one.result() + two.result()

    assert single.submit(fibonacci, 12).result(LONG) == 144


def test_a_worker_may_wait_for_exceptions_and_maps_too(single):
    """exception(), and map within a call of the same executor, are run by the waiting worker."""

    def outer():
        error = single.submit(fail, ValueError("inner")).exception()
        return error, list(single.map(len, ["a", "bb", "ccc"], buffersize=2))

    error, lengths = single.submit(outer).result(LONG)
    assert isinstance(error, ValueError)
    assert lengths == [1, 2, 3]


def test_workers_that_wait_for_each_others_calls_all_end():
    """Many workers, each waiting for calls that others run or that nobody has taken."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=4) as executor:

        def tree(depth):
            if depth == 0:
                return 1
            children = [executor.submit(tree, depth - 1) for _ in range(3)]
            return sum(child.result() for child in children)

        roots = [executor.submit(tree, 5) for _ in range(4)]
        assert [root.result(LONG) for root in roots] == [243] * 4


def test_calls_that_wait_for_each_other_are_told(single):
    """A call that waits for itself, through whatever, gets an error that names the calls."""
    started = Gate()
    futures = []

    def first():
        started()
        return futures[0].result()

    futures.append(single.submit(first))
    started.open()
    with pytest.raises(DeadlockError, match=r"wait for each other: .*first -> .*first"):
        futures[0].result(LONG)


def test_workers_that_wait_in_a_circle_are_told():
    """Two workers that wait for each other: one is told, and so both end."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        gate = Gate()
        futures = []

        def wait_for(number):
            gate()
            return futures[number].result()

        futures.append(executor.submit(wait_for, 1))
        futures.append(executor.submit(wait_for, 0))
        gate.wait_for(2)
        gate.open()
        errors = [future.exception(LONG) for future in futures]
        assert all(isinstance(error, DeadlockError) for error in errors)


def test_a_worker_that_waits_with_a_limit_gets_a_timeout():
    """A wait with a limit ends by it, also for a call that another worker runs."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        gate = Gate()
        running = executor.submit(gate)
        gate.wait_for(1)
        waiting = executor.submit(lambda: running.result(0.01))
        with pytest.raises(concurrent.futures.TimeoutError):
            waiting.result(LONG)
        gate.open()


def test_a_worker_runs_what_the_awaited_call_needs(single):
    """The call that a worker waits for may itself wait for another that nobody has taken."""
    outside: concurrent.futures.Future = concurrent.futures.Future()

    def outer():
        inner = single.submit(lambda: {"type": "Shot", "id": 7})
        needing = single.get_attachment_download_url  # a local method: nothing is sent
        waiting = single._dispatch.submit(lambda: needing({"url": "x"}), (), {}, needs=[inner])
        return waiting.result(), inner.done()

    assert single.submit(outer).result(LONG) == ("x", True)
    assert not outside.done()


# Futures as arguments


def test_futures_as_arguments_are_waited_for_without_a_worker(sandbox, project):
    """A publish as plain calls: each step takes the future of the one before, on one worker."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        sandbox.hold("create")
        shot = executor.create("Shot", {"code": "sh010", "project": project})
        sandbox.wait_for(1)
        version = executor.create("Version", {"code": "v1", "project": project, "entity": shot})
        renamed = executor.update("Version", version, {"description": "first"})
        found = executor.find(
            "Version", [["entity", "is", shot], ["id", "in", [version]]], ["entity", "description"]
        )
        assert "3 calls waiting" in repr(executor)
        assert not version.running()
        sandbox.resume()
        assert renamed.result(LONG)["id"] == version.result(LONG)["id"]
        (record,) = executor.find(
            "Version", [["id", "is", version.result()["id"]]], ["entity", "description"]
        ).result(LONG)
        assert record["entity"]["id"] == shot.result()["id"]
        assert record["description"] == "first"
        with pytest.raises(shotgun_api3.Fault):  # an entity is no value for an id filter
            found.result(LONG)


def test_futures_as_arguments_may_be_of_anyone(executor, project):
    """A future of the standard library will do, and a list that one resolves to."""
    code: concurrent.futures.Future = concurrent.futures.Future()
    shots: concurrent.futures.Future = concurrent.futures.Future()
    made = executor.create("Shot", {"code": code, "project": project}, ["code"])
    listed = executor.create("Asset", {"code": "a", "project": project, "shots": shots}, ["shots"])
    assert not made.done()
    code.set_result("from outside")
    shot = made.result(LONG)
    assert shot["code"] == "from outside"
    shots.set_result([shot])
    assert [link["id"] for link in listed.result(LONG)["shots"]] == [shot["id"]]


def test_batches_may_hold_futures(executor, project):
    """Requests of a batch take futures for ids and values."""
    shot = executor.create("Shot", {"code": "x", "project": project})
    done = executor.batch(
        [
            {"request_type": "update", "entity_type": "Shot", "entity_id": shot,
             "data": {"description": "b"}},
            {"request_type": "create", "entity_type": "Version",
             "data": {"code": "v", "project": project, "entity": shot}},
        ]
    ).result(LONG)  # fmt: skip
    assert [item["type"] for item in done] == ["Shot", "Version"]


def test_an_entity_stands_for_its_id(executor, project):
    """Where an id is asked for, the entity itself will do."""
    shot = executor.create("Shot", {"code": "x", "project": project}).result(LONG)
    assert executor.update("Shot", shot, {"description": "y"}).result(LONG)["id"] == shot["id"]
    assert executor.delete("Shot", entity_id=shot).result(LONG) is True


def test_a_failed_need_fails_what_depends_on_it_and_nothing_is_sent(executor, sandbox):
    """The dependants of a failed call fail at once, with its error as the cause."""
    first = executor.create("Shot", {"code": 5})
    second = executor.update("Shot", first, {"description": "x"})
    third = executor.create("Version", {"entity": second})
    for future in (second, third):
        with pytest.raises(DependencyError, match="was not done, since what it needs failed") as e:
            future.result(LONG)
        assert e.value.__cause__ is first.exception()
    assert sandbox.counters().requests.get("update") is None


def test_a_cancelled_need_cancels_what_depends_on_it(executor, sandbox):
    """The dependants of a cancelled future are cancelled, and told."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    second = executor.delete("Shot", need)
    third = executor.create("Version", {"entity": second})
    assert need.cancel()
    assert concurrent.futures.wait([second, third], LONG).not_done == set()
    assert second.cancelled()
    assert third.cancelled()
    assert sandbox.counters().total == 0


def test_cancelling_a_call_that_waits_for_a_future(executor):
    """A call that waits for a future can be cancelled, and stays so when that is done."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    waiting = executor.delete("Shot", need)
    assert waiting.cancel()
    need.set_result(1)
    assert waiting.cancelled()
    assert "0 calls waiting" in repr(executor)


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["result", "error", "cancel"])
def test_a_chain_of_a_hundred_thousand_calls(outcome):
    """Success, failure and cancellation travel along any chain: nothing recurses."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        submit = executor._dispatch.submit
        first: concurrent.futures.Future = concurrent.futures.Future()
        last = first
        for _ in range(100_000):
            last = submit(int, (), {}, needs=[last])
        if outcome == "result":
            first.set_result(0)
            assert last.result(4 * LONG) == 0
        elif outcome == "error":
            first.set_exception(ValueError("the first"))
            assert isinstance(last.exception(4 * LONG).__cause__, ValueError)
        else:
            first.cancel()
            assert concurrent.futures.wait([last], LONG).not_done == set()
            assert last.cancelled()
        del first, last


def test_shutdown_waits_for_calls_that_wait_for_futures():
    """What was accepted is done, although its future comes from elsewhere and late."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
    need: concurrent.futures.Future = concurrent.futures.Future()
    waiting = executor._dispatch.submit(len, ("abc",), {}, needs=[need])
    shutting = in_thread(executor.shutdown)

    def submit_until_refused():
        while True:
            executor.submit(len, "").result(LONG)

    with pytest.raises(RuntimeError, match="after shutdown"):
        submit_until_refused()
    need.set_result(None)
    shutting()
    assert waiting.result(0) == 3


def test_shutdown_without_waiting_still_does_what_waits_for_futures():
    """shutdown(wait=False) returns, and the call is done when its future is."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
    need: concurrent.futures.Future = concurrent.futures.Future()
    waiting = executor._dispatch.submit(len, ("abc",), {}, needs=[need])
    executor.shutdown(wait=False)
    need.set_result(None)
    assert waiting.result(LONG) == 3


def test_shutdown_that_cancels_also_cancels_what_waits_for_futures():
    """cancel_futures covers calls that wait for a future of others."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
    need: concurrent.futures.Future = concurrent.futures.Future()
    waiting = executor._dispatch.submit(len, ("abc",), {}, needs=[need])
    executor.shutdown(cancel_futures=True)
    assert waiting.cancelled()
    need.set_result(None)


# Priorities


def test_higher_priorities_start_first_and_none_is_starved(single):
    """Interactive calls overtake background ones, of which every eighth start is one."""
    gate = Gate()
    single.submit(gate)
    gate.wait_for(1)
    order = []
    background, urgent = single.options(priority=-1), single.options(priority=5)
    futures = [background.submit(order.append, "low") for _ in range(4)]
    futures += [single.submit(order.append, "normal") for _ in range(4)]
    futures += [urgent.submit(order.append, "high") for _ in range(20)]
    gate.open()
    concurrent.futures.wait(futures, LONG)
    assert order[: TURNS - 1] == ["high"] * (TURNS - 1)
    assert order.count("high") == 20
    before_the_last_high = order[: len(order) - order[::-1].index("high")]
    assert before_the_last_high.count("low") + before_the_last_high.count("normal") == 2
    assert {"low", "normal"} <= set(before_the_last_high)


def test_options_have_the_methods_of_the_executor(sandbox, executor, project):
    """options(...) gives Shotgun's methods, submit, call and map; others are refused."""
    view = executor.options(priority=1)
    found = view.find("Project", [], ["name"]).result(LONG)
    assert [record["id"] for record in found] == [project["id"]]
    assert view.submit(len, "ab").result(LONG) == 2
    assert view.call(lambda sg: sg.find_one("Project", [])["id"]).result(LONG) == project["id"]
    assert list(view.map(len, ["a", "bb"])) == [1, 2]
    with pytest.raises(AttributeError):
        _ = view.no_such_method
    with pytest.raises(TypeError, match="priority must be an integer"):
        executor.options(priority="high")


# asyncio and contextvars


@pytest.mark.skipif(sys.version_info < (3, 11), reason="it wraps what it is given here")
def test_asyncio_wait_is_refused(executor):
    """It would look at our futures on other threads, and hang: it is said what to use instead."""

    async def main():
        future = executor.submit(len, "abc")
        with pytest.raises(TypeError, match=r"asyncio\.wrap_future\(\)"):
            await asyncio.wait([future])
        wrapped = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([wrapped], timeout=LONG)
        return done == {wrapped}

    assert asyncio.run(main())


def test_a_future_can_be_awaited(sandbox, executor, project):
    """`await executor.find(...)` is the result; many at once run in parallel."""

    async def main():
        found = await executor.find("Project", [], ["name"])
        with pytest.raises(shotgun_api3.Fault):
            await executor.find("Nope", [])
        both = await asyncio.gather(executor.find("Shot", []), executor.find("Asset", []))
        return found, both

    found, both = asyncio.run(main())
    assert found[0]["id"] == project["id"]
    assert both == [[], []]


def test_cancelling_a_task_cancels_what_has_not_started(single):
    """A cancelled task cancels the call that it awaits, unless that runs already."""

    async def main():
        gate = Gate()
        running = single.submit(gate, "ran")
        gate.wait_for(1)
        waiting = single.submit(len, "")

        async def wait_for(future):
            return await future

        tasks = [asyncio.ensure_future(wait_for(future)) for future in (running, waiting)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert waiting.cancelled()
        assert not running.cancelled()
        gate.open()
        assert await running == "ran"

    asyncio.run(main())


def test_a_call_sees_the_context_of_who_submitted_it(single):
    """Context variables are those of the submitter, not those of the thread."""
    name = contextvars.ContextVar("name", default="none")

    def submit(value):
        name.set(value)
        return single.submit(name.get)

    contexts = [contextvars.copy_context() for _ in range(3)]
    futures = [context.run(submit, str(n)) for n, context in enumerate(contexts)]
    assert [future.result(LONG) for future in futures] == ["0", "1", "2"]
    assert single.submit(name.get).result(LONG) == "none"


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_is_told_and_the_parent_goes_on(executor, sandbox):
    """A child that uses its parent's executor gets an error at once, and disturbs nothing."""
    executor.connect()
    assert "forked" in in_child(lambda: executor.find("Shot", []))
    assert executor.find("Shot", []).result(LONG) == []


def in_child(function):
    """What *function* returns in a forked child, as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(function()).encode())
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_futures(executor, sandbox):
    """Nobody in the child would ever resolve them: it is told so."""
    sandbox.hold("read")
    future = executor.find("Shot", [])
    sandbox.wait_for(1)
    assert "forked" in in_child(lambda: future.result(LONG))
    sandbox.resume()
    assert future.result(LONG) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("where", ["function", "callback", "initializer"])
def test_a_child_that_a_worker_has_forked_runs_nothing_of_its_parent(tmp_path, where):
    """It ends where its function ends; what waits in line is done once, by the parent."""
    note = tmp_path / "ran"
    children: list[int] = []

    def fork(_=None):
        child = os.fork()
        if child:
            children.append(child)

    def run():
        with note.open("a") as file:
            file.write(f"{os.getpid()}\n")

    initializer = fork if where == "initializer" else None
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1, initializer=initializer) as executor:
        gate = Gate()
        first = executor.submit(gate)
        if where == "callback":
            first.add_done_callback(fork)
        if where == "function":
            executor.submit(fork)
        last = executor.submit(run)
        gate.open()
        last.result(LONG)
    (child,) = children
    assert in_thread(lambda: os.waitpid(child, 0))()[1] != 0
    assert note.read_text() == f"{os.getpid()}\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("cls", [ShotgunPool, ThreadLocalShotgun])
def test_a_forked_child_has_connections_of_its_own(sandbox, cls):
    """Parent and child go on with the same pool, and never read each other's answers."""
    with cls(sandbox.url, **sandbox.credentials) as sg:
        mine = sg.create("Project", {"name": "parent"})
        sandbox.hold("read")
        reading = in_thread(lambda: sg.find("Shot", []))
        sandbox.wait_for(1)  # the fork comes while a thread is in a request
        created = in_child(lambda: sg.create("Project", {"name": "child"}, ["name"])["name"])
        assert created == "child"
        sandbox.resume()
        assert reading() == []
        found = sg.find("Project", [["id", "is", mine["id"]]], ["name"])
        assert [project["name"] for project in found] == ["parent"]
    assert sandbox.counters().requests["create"] == 2


def test_a_call_may_need_very_many_futures(single):
    """Thousands of futures in one call cost no more than each its share."""
    needs = [concurrent.futures.Future() for _ in range(20_000)]
    waiting = single._dispatch.submit(len, ("abc",), {}, needs=needs)

    def outer():
        return waiting.result()

    outside = single.submit(outer)
    for need in needs:
        need.set_result(None)
    assert outside.result(LONG) == 3


# Everything at once


def test_a_storm_of_nested_chained_and_cancelled_calls():
    """Seeded disorder: every future resolves, and nothing is left in line."""
    import random

    chance = random.Random(7)
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=3) as executor:
        submit = executor._dispatch.submit
        futures: list = []
        guard = threading.Lock()

        def work(depth):
            if depth and chance.random() < 0.6:
                child = executor.submit(work, depth - 1)
                with guard:
                    futures.append(child)
                if chance.random() < 0.2:
                    child.cancel()
                try:
                    return child.result()
                except concurrent.futures.CancelledError:
                    return -1
            if chance.random() < 0.1:
                raise ValueError("by chance")
            return depth

        def client():
            for _ in range(300):
                with guard:
                    needs = chance.sample(futures, min(len(futures), chance.randrange(3)))
                future = submit(work, (4,), {}, needs=needs, options=Options(chance.randrange(3)))
                with guard:
                    futures.append(future)
                if chance.random() < 0.1:
                    future.cancel()

        for join in [in_thread(client) for _ in range(4)]:
            join()
        while True:
            with guard:
                seen = list(futures)
            assert not concurrent.futures.wait(seen, LONG).not_done
            with guard:
                if len(futures) == len(seen):
                    break
        for future in futures:
            assert future.cancelled() or future.exception(0) is None or future.exception(0)
        assert executor.submit(len, "").result(LONG) == 0
    assert "0 calls waiting" in repr(executor)
