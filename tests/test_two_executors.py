"""Workers of several executors that wait for calls of each other, as with two sites."""

from __future__ import annotations

import concurrent.futures
import random
import threading

import pytest

from shotgun_executor import (
    DeadlineExceeded,
    DeadlockError,
    DependencyError,
    Limit,
    ShotgunExecutor,
    ShutdownError,
    as_completed,
    wait,
)
from tests.support import KEYS, LONG, NOWHERE, Gate, wait_until


def by_result(future):
    return future.result()


def by_exception(future):
    assert future.exception() is None
    return future.result(0)


def by_wait(future):
    wait([future])
    return future.result(0)


def by_first_of_wait(future):
    never: concurrent.futures.Future = concurrent.futures.Future()
    done, _ = wait([never, future], return_when=concurrent.futures.FIRST_COMPLETED)
    return done.pop().result(0)


def by_as_completed(future):
    return next(iter(as_completed([future]))).result(0)


WAYS = [by_result, by_exception, by_wait, by_first_of_wait, by_as_completed]


@pytest.fixture
def several():
    """Makes executors whose sites do not matter; they are left as if nobody had waited."""
    executors = []

    def make(*workers, limit=None):
        made = [
            ShotgunExecutor(NOWHERE, **KEYS, max_workers=count, limit=limit) for count in workers
        ]
        executors.extend(made)
        return made

    yield make
    for executor in executors:
        executor.shutdown()
        dispatch = executor._dispatch
        assert [*dispatch._onlookers, *dispatch._standby, *dispatch._demanded] == []
        assert dispatch.limit.running == 0


@pytest.mark.parametrize("way", WAYS)
def test_what_a_worker_of_another_executor_waits_for_is_run(several, way):
    """One worker each: the first waits for the other, and that for a call of the first."""
    one, other = several(1, 1)

    def there():
        return way(one.submit(lambda: "inner"))

    assert one.submit(lambda: way(other.submit(there))).result(LONG) == "inner"


@pytest.mark.parametrize("way", WAYS)
def test_two_workers_that_wait_for_unstarted_calls_of_each_other(several, way):
    """Each of the only two workers waits for a call that only the other one could run."""
    one, other = several(1, 1)
    both = threading.Barrier(2)

    def ask(executor):
        both.wait(LONG)
        return way(executor.submit(lambda: "inner"))

    futures = [one.submit(ask, other), other.submit(ask, one)]
    assert [future.result(LONG) for future in futures] == ["inner", "inner"]


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_waits_for_another_executor_leaves_it_the_place(several, way):
    """Executors that share a limit of one call, which the waiting worker does not use."""
    one, other = several(2, 2, limit=Limit(1))

    def there():
        return way(one.submit(lambda: "inner"))

    futures = [one.submit(lambda: way(other.submit(there))) for _ in range(5)]
    assert [future.result(LONG) for future in futures] == ["inner"] * 5


@pytest.mark.parametrize("way", WAYS)
def test_a_call_of_another_executor_may_need_one_of_the_waiting_workers(several, way):
    """The call that a worker waits for has a future of that worker's executor as an argument."""
    one, other = several(1, 1)

    def outer():
        inner = one.submit(lambda: 5)
        needing = other._dispatch.submit(lambda: inner.result(0) + 1, (), {}, needs=[inner])
        return way(needing)

    assert one.submit(outer).result(LONG) == 6


def test_a_need_that_fails_ends_the_wait_for_a_call_of_another_executor(several):
    """Who waits for a call of others is told that what this needs has failed."""
    one, other = several(1, 1)

    def outer():
        failing = one.submit(int, "x")
        return other._dispatch.submit(str, (), {}, needs=[failing]).result()

    with pytest.raises(DependencyError, match="invalid literal"):
        one.submit(outer).result(LONG)


def test_executors_call_each_other_in_turns(several):
    """Forty levels of calls, each on the other executor, on one worker each."""
    executors = several(1, 1)

    def levels(depth):
        if depth == 0:
            return 0
        return 1 + executors[depth % 2].submit(levels, depth - 1).result()

    assert executors[0].submit(levels, 40).result(LONG) == 40


@pytest.mark.parametrize("seed", range(4))
def test_trees_of_calls_over_three_executors_all_end(several, seed):
    """Fan-out within fan-out, each call on whichever executor, awaited in whichever way."""
    executors = several(1, 2, 3)
    chance = random.Random(seed)

    def tree(depth):
        if depth == 0:
            return 1
        children = [chance.choice(executors).submit(tree, depth - 1) for _ in range(3)]
        if chance.random() < 0.3:
            return sum(child.result() for child in as_completed(children))
        return sum(chance.choice(WAYS)(child) for child in children)

    roots = [chance.choice(executors).submit(tree, 4) for _ in range(6)]
    assert [root.result(LONG) for root in roots] == [81] * 6
    assert all(executor.stats().running == 0 for executor in executors)


@pytest.mark.parametrize("way", [by_result, by_exception, by_wait, by_as_completed])
def test_a_circle_over_two_executors_is_told(several, way):
    """Calls of two executors that wait for each other get an error that names them."""
    one, other = several(1, 1)
    both, futures = Gate(), []

    def circular(number):
        both()
        return way(futures[number])

    futures.append(one.submit(circular, 1))
    futures.append(other.submit(circular, 0))
    both.wait_for(2)
    both.open()
    errors = [future.exception(LONG) for future in futures]
    told = [error for error in errors if isinstance(error, DeadlockError)]
    assert told
    assert "circular" in str(told[0])


def test_a_wait_for_another_executor_ends_with_its_limits(several):
    """A time limit of the wait, the deadline of the waiting call, and a shutdown all end it."""
    one, other = several(3, 1)
    gate = Gate()
    running = other.submit(gate)
    gate.wait_for(1)
    brief = one.submit(lambda: running.result(0.01))
    late = one.options(deadline=0.1).submit(running.result)
    with pytest.raises(concurrent.futures.TimeoutError):
        brief.result(LONG)
    with pytest.raises(DeadlineExceeded):
        late.result(LONG)
    left = one.submit(running.result)
    wait_until(lambda: bool(one._dispatch._standby))
    one.shutdown(wait=0.1)
    with pytest.raises(ShutdownError):
        left.result(LONG)
    gate.open()
    assert running.result(LONG) is None


def test_no_worker_is_disturbed_while_others_are_free(several):
    """A worker that waits for another executor goes on as soon as it can: free ones do the rest."""
    one, other = several(2, 1)
    gate = Gate()

    def outer():
        return other.submit(gate, "answer").result(), threading.get_ident()

    waiting = one.submit(outer)
    gate.wait_for(1)
    idents = {one.submit(threading.get_ident).result(LONG) for _ in range(5)}
    gate.open()
    answer, ident = waiting.result(LONG)
    assert answer == "answer"
    assert ident not in idents


@pytest.mark.parametrize("options", [{}, {"gather_reads": True}, {"share_reads": True}])
def test_sites_may_ask_each_other_through_facades(sandbox, options):
    """Functions on one worker each that read from both sites, directly and from each other."""
    settings = {**sandbox.credentials, "max_workers": 1, **options}
    production, archive = (ShotgunExecutor(sandbox.url, **settings) for _ in range(2))
    with production, archive:
        made = production.create("Project", {"name": "The Lantern Sea"}).result(LONG)

        def name_in(executor):
            project = executor.find_one("Project", [["id", "is", made["id"]]], ["name"]).result()
            return project["name"]

        def copy():
            there = archive.submit(lambda: archive.submit(name_in, production).result()).result()
            return there, production.shotgun.find_one("Project", [["id", "is", made["id"]]])["id"]

        futures = [production.submit(copy) for _ in range(3)]
        assert [each.result(LONG) for each in futures] == [("The Lantern Sea", made["id"])] * 3


def test_a_batch_may_wait_for_another_executor(sandbox):
    """Gathered writes of one site whose arguments are calls of the other, awaited on a worker."""
    settings = {**sandbox.credentials, "max_workers": 1}
    one, other = (ShotgunExecutor(sandbox.url, **settings) for _ in range(2))
    with one, other:

        def publish():
            with other.batching() as batch:
                project = one.create("Project", {"name": "The Lantern Sea"})
                shots = [batch.create("Shot", {"code": f"sh{n}", "project": project}) for n in "12"]
                return [shot.result()["code"] for shot in shots]

        assert one.submit(publish).result(LONG) == ["sh1", "sh2"]
