"""``wait`` and ``as_completed``: the standard library's, and safe on a worker."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest

from shotgun_executor import DeadlockError, ShotgunExecutor, as_completed, wait
from tests.support import KEYS, LONG, NOWHERE, Gate


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
