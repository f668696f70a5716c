from __future__ import annotations

import gc
import os
import threading

import pytest
from shotgun_api3 import Shotgun

from shotgun_executor import PoolTimeout, ShotgunPool
from shotgun_executor.pool import ConnectionPool
from shotgun_executor.prototype import Prototype
from tests.support import KEYS, LONG, NOWHERE, in_thread


def new_pool(**settings):
    return ConnectionPool(Prototype(Shotgun(NOWHERE, connect=False, **KEYS)), **settings)


def waiters(pool, count):
    """Return when *count* threads wait for a connection."""
    limit = threading.Event()
    for _ in range(int(LONG / 0.001)):
        if len(pool._waiters) == count:
            return
        limit.wait(0.001)
    raise AssertionError(f"{len(pool._waiters)} wait, not {count}")


def test_pool_gives_the_connection_used_last():
    """Last in, first out: a quiet pool uses few connections."""
    pool = new_pool()
    first, second = pool.lease(), pool.lease()
    a, b = first.connection, second.connection
    assert a is not b
    assert a.client is not b.client
    first.release()
    second.release()
    assert repr(pool) == "<ConnectionPool 0 leased, 2 idle>"
    with pool.lease() as client:
        assert client is b.client
        assert repr(pool) == "<ConnectionPool 1 leased, 1 idle>"


def test_pool_waits_for_a_place_and_says_why_it_gave_up():
    """A full pool makes the caller wait for its limit, then raises an error with the numbers."""
    pool = new_pool(max_size=1, timeout=LONG)
    lease = pool.lease()
    with pytest.raises(PoolTimeout, match=r"within 0.01 s.*1 leased, 0 idle, max 1.*max_size"):
        pool.lease(timeout=0.01)
    with pytest.raises(TimeoutError):
        pool.lease(timeout=0)
    waiting = in_thread(pool.lease)
    waiters(pool, 1)
    connection = lease.connection
    lease.release()
    handed_over = waiting()
    assert handed_over.connection is connection
    handed_over.release()
    assert repr(pool) == "<ConnectionPool 0 leased, 1 idle, max 1>"


def test_pool_serves_waiters_in_the_order_of_arrival():
    """First come, first served; nobody overtakes those who wait."""
    pool = new_pool(max_size=1, timeout=LONG)
    lease = pool.lease()
    order = []
    joins = []

    def wait(number):
        with pool.lease():
            order.append(number)

    for number in range(5):
        joins.append(in_thread(lambda number=number: wait(number)))
        waiters(pool, number + 1)
    lease.release()
    for join in joins:
        join()
    assert order == [0, 1, 2, 3, 4]


def test_pool_replaces_a_lost_connection():
    """A lease that was dropped without being given back does not take its place with it."""
    pool = new_pool(max_size=1, timeout=LONG)
    lease = pool.lease()
    lost = lease.connection
    del lease
    gc.collect()
    assert pool.leased == 0
    with pool.lease() as client:
        assert client is not lost.client


def test_pool_wakes_a_waiter_when_a_lease_is_lost():
    """Who waits is served by the place of a lost lease, at once."""
    pool = new_pool(max_size=1, timeout=LONG)
    lease = pool.lease()
    waiting = in_thread(pool.lease)
    waiters(pool, 1)
    del lease
    gc.collect()
    waiting().release()


@pytest.mark.parametrize("granted", [False, True])
def test_pool_an_interrupted_waiter_gives_its_place_up(monkeypatch, granted):
    """Ctrl-C while waiting leaves the pool as if the waiter had never come."""
    pool = new_pool(max_size=1, timeout=LONG)
    lease = pool.lease()

    class Interrupted(threading.Event().__class__):
        def wait(self, timeout=None):
            if granted:
                lease.release()  # the place comes just before the interrupt
            raise KeyboardInterrupt

    monkeypatch.setattr("shotgun_executor.pool.threading.Event", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.lease()
    monkeypatch.undo()
    lease.release()
    assert repr(pool) == "<ConnectionPool 0 leased, 1 idle, max 1>"
    pool.lease(timeout=0).release()


def test_pool_survives_a_factory_that_fails():
    """If a connection cannot be made, its place is free for the next."""
    made = []

    def factory():
        made.append(1)
        if len(made) == 1:
            raise OSError("no licence")
        return Shotgun(NOWHERE, connect=False, **KEYS)

    pool = ConnectionPool(Prototype(factory=factory), max_size=1, timeout=LONG)
    with pytest.raises(OSError, match="no licence"):
        pool.lease()
    assert pool.leased == 0
    pool.lease(timeout=0).release()


def test_pool_closes_what_was_idle_for_too_long():
    """An idle connection is used again within max_idle, and replaced after it."""
    pool = new_pool(max_idle=1000)
    with pool.lease() as first:
        pass
    with pool.lease() as again:
        assert again is first
    pool._idle[0].idle_since -= 1001
    with pool.lease() as fresh:
        assert fresh is not first
    assert repr(pool) == "<ConnectionPool 0 leased, 1 idle>"


def test_pool_keeps_nothing_while_it_drains():
    """After drain each connection that comes back is closed, and calls still get one."""
    pool = new_pool()
    lease = pool.lease()
    pool.lease().release()
    pool.drain()
    assert repr(pool) == "<ConnectionPool 1 leased, 0 idle>"
    lease.release()
    pool.lease().release()
    assert repr(pool) == "<ConnectionPool 0 leased, 0 idle>"


def test_lease_given_back_is_of_no_more_use():
    """A lease, and a client kept from one, refuse to be used once given back."""
    pool = ShotgunPool(NOWHERE, **KEYS)
    lease = pool.lease()
    with lease as client:
        pass
    lease.release()
    with pytest.raises(RuntimeError, match="given back"):
        _ = lease.connection
    with pytest.raises(RuntimeError, match="given back to its pool"):
        client.info()


def test_pool_under_many_threads_never_lends_one_connection_twice():
    """Sixteen threads on three connections: one holder each, nothing left over."""
    pool = new_pool(max_size=3, timeout=LONG)
    holders: dict[int, int] = {}
    guard = threading.Lock()
    overlaps = []

    def work():
        for _ in range(200):
            lease = pool.lease()
            key = id(lease.connection)
            with guard:
                if key in holders:
                    overlaps.append(key)
                holders[key] = threading.get_ident()
            with guard:
                del holders[key]
            lease.release()

    for join in [in_thread(work) for _ in range(16)]:
        join()
    assert not overlaps
    assert pool.leased == 0
    assert 1 <= pool.idle <= 3


def test_pool_lends_nobody_a_connection_that_is_in_a_request(sandbox):
    """A lease given back while another thread is in a request takes its connection along."""
    with ShotgunPool(sandbox.url, **sandbox.credentials) as pool:
        pool.find("Shot", [])
        sandbox.hold("read")
        lease = pool.lease()
        client = lease.__enter__()
        busy = lease.connection
        reading = in_thread(lambda: client.find("Shot", []))
        sandbox.wait_for(1)
        with pytest.raises(RuntimeError, match="another thread is in a request"):
            client.info()
        lease.release()
        assert pool._pool.idle == 0
        with pool.lease() as other:
            assert other is not busy.client
            assert other.create("Project", {"name": "x"}, ["name"])["name"] == "x"
        sandbox.resume()
        assert reading() == []


def test_lease_gives_back_no_settings(sandbox):
    """What is set on a leased client is gone when it is given back."""
    with ShotgunPool(sandbox.url, **sandbox.credentials) as pool:
        with pool.lease() as client:
            client.config.sudo_as_login = "someone"
        with pool.lease() as again:
            assert again is client
            assert again.config.sudo_as_login is None
            token = again.get_session_token()
        assert pool.config.session_token == token


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_fork_leaves_the_places_of_threads_that_are_gone(sandbox):
    """A child of a process whose threads are in calls has a pool with all of its places."""
    with ShotgunPool(sandbox.url, **sandbox.credentials, max_size=2, timeout=LONG) as sg:
        sg.connect()
        sandbox.hold("read")
        ends = [in_thread(lambda: sg.find("Shot", [])) for _ in range(2)]
        sandbox.wait_for(2, "read")
        child = os.fork()
        if child == 0:
            try:
                code = 0 if sg.info() else 1
            except BaseException:
                code = 2
            os._exit(code)
        status = in_thread(lambda: os.waitpid(child, 0))()[1]
        sandbox.resume()
        assert [end() for end in ends] == [[], []]
        assert status == 0
