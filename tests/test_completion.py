"""``wait`` and ``as_completed``: the standard library's, and safe on a worker."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest

from shotgun_executor import (
    DeadlineExceeded,
    DeadlockError,
    ShotgunExecutor,
    as_completed,
    wait,
)
from tests.support import KEYS, LONG, NOWHERE, Gate, wait_until


@pytest.fixture
def single():
    """An executor with one worker whose site does not matter."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        yield executor


def test_worker_waits_for_all(single):
    """Each call is run by the waiting worker, also those within them."""

    def tree(depth):
        children = [single.submit(tree, depth - 1) for _ in range(2)] if depth else []
        done, not_done = wait(children)
        assert not not_done
        return 1 + sum(child.result() for child in done)

    assert single.submit(tree, 5).result(LONG) == 63


def test_worker_takes_results_as_they_are_completed(single):
    """Each future is given once, whether it fails, is cancelled, or was done before."""

    def outer():
        futures = [single.submit(int, word) for word in ("1", "x", "3")]
        futures.append(single.submit(len, ""))
        futures[3].cancel()
        given = list(as_completed([*futures, futures[0]]))
        assert sorted(map(id, given)) == sorted(map(id, futures))
        return [
            "cancelled" if future.cancelled() else type(future.exception()).__name__
            for future in futures
        ]

    wanted = ["NoneType", "ValueError", "NoneType", "cancelled"]
    assert single.submit(outer).result(LONG) == wanted


def test_worker_waits_for_the_first_only(single):
    """FIRST_COMPLETED and FIRST_EXCEPTION run no more than they need."""

    def outer(return_when, words):
        futures = [single.submit(int, word) for word in words]
        done, not_done = wait(futures, return_when=return_when)
        return len(done), len(not_done)

    first = single.submit(outer, concurrent.futures.FIRST_COMPLETED, ["1", "2", "3"])
    assert first.result(LONG) == (1, 2)
    first = single.submit(outer, concurrent.futures.FIRST_EXCEPTION, ["1", "x", "3"])
    assert first.result(LONG) == (2, 1)


def test_worker_waits_no_longer_than_it_said():
    """A call that others run may take its time; the waiting does not."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        gate = Gate()
        other = executor.submit(gate, 1)
        gate.wait_for(1)

        def outer():
            with pytest.raises(concurrent.futures.TimeoutError):
                list(as_completed([other], timeout=0.02))
            return wait([other], timeout=0.02)

        done, not_done = executor.submit(outer).result(LONG)
        assert (done, not_done) == (set(), {other})
        gate.open()


def test_worker_that_waits_for_itself_is_told(single):
    """A circle is an error, not a wait for ever."""
    mine: list = []
    ready = threading.Event()

    def outer():
        assert ready.wait(LONG)
        wait(mine)

    mine.append(single.submit(outer))
    ready.set()
    with pytest.raises(DeadlockError):
        mine[0].result(LONG)


def test_they_are_the_standard_library_s_elsewhere(single):
    """Off the workers, and for futures of others, on a worker too."""
    gate = Gate()
    futures = [single.submit(gate, 1), single.submit(len, "ab")]
    gate.wait_for(1)
    done, not_done = wait(futures, timeout=0.01)
    assert (done, not_done) == (set(), set(futures))
    gate.open()
    assert [future.result() for future in as_completed(futures, timeout=LONG)] == [1, 2]
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        foreign = [other.submit(len, "abc")]
        assert single.submit(lambda: wait(foreign).done).result(LONG) == set(foreign)
        assert single.submit(lambda: list(as_completed(foreign))).result(LONG) == foreign
    assert list(as_completed([])) == []


# What comes first, whoever runs it


def first_of_wait(executor, futures):
    return min(wait(futures, return_when=concurrent.futures.FIRST_COMPLETED).done, key=id)


def first_of_exceptions(executor, futures):
    done = wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION).done
    return next(future for future in done if future.exception() is not None)


def first_of_as_completed(executor, futures):
    return next(as_completed(futures))


@pytest.mark.parametrize("way", [first_of_wait, first_of_exceptions, first_of_as_completed])
@pytest.mark.parametrize("others", [False, True])
def test_worker_is_told_of_the_first_though_others_run_them_all(way, others):
    """It waits neither for one that takes long nor for a future of others that never comes."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=3) as executor:
        slow, quick = Gate(), Gate()
        first: concurrent.futures.Future = concurrent.futures.Future()
        if not others:
            first = executor.submit(slow)
            slow.wait_for(1)
        second = executor.submit(lambda: int(str(quick("x"))))
        quick.wait_for(1)

        def outer():
            found = way(executor, [first, second])
            was_done = first.done()
            slow.open()  # only now
            return found is second and not was_done

        found = executor.submit(outer)
        wait_until(lambda: bool(executor._dispatch.onlookers))
        quick.open()
        assert found.result(LONG)
        first.cancel()


def test_worker_takes_outcomes_as_they_are_done_though_others_run_them():
    """One slow item holds up none, on a worker too."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=3) as executor:
        gates = [Gate(), Gate()]

        def outer():
            outcomes = executor.map_outcomes(lambda gate: gate(), gates, ordered=False)
            for gate in gates:
                gate.wait_for(1)
            first = next(outcomes).args[0]
            gates[0].open()
            return first is gates[1], len(list(outcomes))

        found = executor.submit(outer)
        wait_until(lambda: bool(executor._dispatch.onlookers))
        gates[1].open()
        assert found.result(LONG) == (True, 1)


@pytest.mark.parametrize("way", [first_of_wait, first_of_as_completed])
def test_only_worker_runs_what_comes_into_line_while_it_waits(single, way):
    """One of the calls gets what it needs while the worker waits for either of them."""
    never: concurrent.futures.Future = concurrent.futures.Future()
    later: concurrent.futures.Future = concurrent.futures.Future()
    submit = single._dispatch.submit
    futures = [submit(len, ("abc",), {}, needs=[need]) for need in (never, later)]
    outer = single.submit(lambda: way(single, futures).result())
    wait_until(lambda: bool(single._dispatch.onlookers))
    later.set_result(None)
    assert outer.result(LONG) == 3
    assert not single._dispatch.onlookers
    never.cancel()
    assert futures[0].cancelled()


def test_only_worker_runs_what_another_waits_for_indirectly(single):
    """To wait for all is not to wait for them one after the other."""
    need: concurrent.futures.Future = concurrent.futures.Future()

    def outer():
        first = single._dispatch.submit(len, ("abc",), {}, needs=[need])
        second = single.submit(need.set_result, None)
        return len(wait([first, second], LONG).done)

    assert single.submit(outer).result(LONG) == 2


def test_only_worker_waits_for_a_gathered_call_among_others(sandbox):
    """The batch is sent and made by the worker that waits, though it would be gathered for long."""
    need: concurrent.futures.Future = concurrent.futures.Future()
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        batch = executor.batching(max_wait=3600)
        blocked = executor._dispatch.submit(len, ("abc",), {}, needs=[need])

        def outer():
            written = batch.update("Shot", 1, {"description": "first"})
            return next(as_completed([blocked, written])) is written

        assert executor.submit(outer).result(LONG)
        need.cancel()


def test_workers_that_wait_for_the_first_in_a_circle_are_told():
    """Whichever of them comes last sees that none of what it waits for can go on."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=3) as executor:
        calls: list = []
        ready = threading.Event()

        def outer():
            assert ready.wait(LONG)
            return first_of_wait(executor, calls[1:]).exception()

        def inner():
            assert ready.wait(LONG)
            return calls[0].result()

        calls += [executor.submit(outer), executor.submit(inner), executor.submit(inner)]
        ready.set()
        errors = [call.exception(LONG) or call.result() for call in calls]
        assert any(isinstance(error, DeadlockError) for error in errors)


def test_worker_that_waits_for_several_ends_with_its_deadline():
    """The deadline of the call that waits holds, whatever it waits for."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        needs: list[concurrent.futures.Future] = [concurrent.futures.Future() for _ in range(2)]
        calls = [executor._dispatch.submit(len, ("a",), {}, needs=[need]) for need in needs]
        outer = executor.options(deadline=0.1).submit(wait, calls)
        with pytest.raises(DeadlineExceeded):
            outer.result(LONG)
        for need in needs:
            need.cancel()


@pytest.mark.parametrize("way", [wait, lambda futures: list(as_completed(futures))])
def test_worker_waits_for_very_many(single, way):
    """Each step costs the same, however many there are."""

    def outer():
        futures = [single.submit(len, "ab") for _ in range(5000)]
        way(futures)
        return sum(future.result() for future in futures)

    assert single.submit(outer).result(LONG / 2) == 10000
