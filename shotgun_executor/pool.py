"""Connections that wait for the next caller, and those who hold one."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_executor.connection import Connection
from shotgun_executor.errors import PoolTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from shotgun_api3.shotgun import Shotgun

    from shotgun_executor.prototype import Prototype

__all__ = ["ConnectionPool", "Lease", "ThreadLeases"]


class Lease:
    """One connection, held by one thread until it is given back.

    A lease that is dropped without being given back (its thread ended, an exception at the wrong
    place) gives up its place in the pool when it is garbage-collected; its connection is closed.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._thread = threading.get_ident()
        self._connection: Optional[Connection] = None

    @property
    def connection(self) -> Connection:
        """The connection that is held."""
        if self._connection is None:
            raise RuntimeError("this lease was given back; take another from the pool")
        return self._connection

    def release(self) -> None:
        """Give the connection back; a second call does nothing."""
        self._pool._take_back(self)

    def __enter__(self) -> Shotgun:
        try:
            client: Shotgun = self.connection.prepare()
        except BaseException:
            self.release()
            raise
        return client

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.release()


class ConnectionPool:
    """Connections: idle here, or leased to whoever needs one.

    Guarantees:

    * Each connection has one holder at a time.
    * Last in, first out: a quiet pool uses few connections, and those are warm.
    * With *max_size*, never more than so many exist; who comes too late waits its turn, for at
      most the given limit, in the order of arrival.
    * A connection that is lost is replaced, and a waiter that is interrupted gives its place up.
    * Nothing is connected, closed or called while the lock is held.

    There is no background thread: what was idle for too long is closed when somebody takes or
    returns a connection.
    """

    def __init__(
        self,
        prototype: Prototype,
        *,
        max_size: Optional[int] = None,
        timeout: Optional[float] = None,
        max_idle: float = 60.0,
    ) -> None:
        self.prototype = prototype
        self.max_size = max_size
        self.timeout = timeout
        self.max_idle = max_idle
        # The state. Guarded by _lock, but for _lost: a garbage collection may add to it anywhere,
        # under our own lock too, and whoever unlocks next sees to it (_after_unlock).
        self._lock = threading.Lock()
        self._idle: deque[Connection] = deque()  # the one used last is at the right
        self._leased: dict[weakref.ref[Lease], Optional[Connection]] = {}
        self._waiters: deque[_Waiter] = deque()  # the one that came first is at the left
        self._lost: deque[weakref.ref[Lease]] = deque()
        self._draining = False
        _pools.add(self)

    def lease(self, timeout: Optional[float] = None) -> Lease:
        """Take a connection.

        Args:
            timeout: Seconds to wait if the pool has reached *max_size*; None means the pool's own
                limit, which may be none.

        Raises:
            PoolTimeout: None came free in time.
        """
        lease = Lease(self)
        waiter = None
        with self._lock:
            closing = self._expired()
            if not self._waiters and self._has_place():
                self._grant(lease)
            else:
                waiter = _Waiter(lease)
                self._waiters.append(waiter)
        self._after_unlock(closing)
        if waiter is not None:
            self._wait(waiter, self.timeout if timeout is None else timeout)
        if lease._connection is None:
            self._open(lease)
        return lease

    def close(self) -> None:
        """Close every connection: idle ones now, leased ones as soon as no request uses them.

        The pool goes on: the next call opens a connection afresh, as after ``Shotgun.close``.
        """
        with self._lock:
            closing = [*self._idle, *filter(None, self._leased.values())]
            self._idle.clear()
        self._after_unlock(closing)

    def drain(self) -> None:
        """From now on close each connection that is given back; idle ones are closed now."""
        self._draining = True
        self._after_unlock([])  # never waits for the lock: a signal handler may have come under it

    def forget_parent(self) -> None:
        """In a forked process: leave the parent's connections to it, and open others.

        Closing our copy of a socket does not disturb the parent.
        """
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._waiters.clear()
        self._idle.clear()
        for connection in filter(None, self._leased.values()):
            connection.forget_parent()
        # Of the parent's threads there is only this one, so nobody would give back the others.
        here = threading.get_ident()
        leases = [(each, each()) for each in self._leased]
        for each, lease in leases:
            if lease is None or lease._thread != here:
                self._leased.pop(each, None)
        self.prototype.forget_parent()

    @property
    def idle(self) -> int:
        """How many connections wait for a caller."""
        return len(self._idle)

    @property
    def leased(self) -> int:
        """How many connections are held by a caller."""
        return len(self._leased)

    def __repr__(self) -> str:
        limit = "" if self.max_size is None else f", max {self.max_size}"
        return f"<ConnectionPool {self.leased} leased, {self.idle} idle{limit}>"

    # Decisions: these run under the lock, and return what is to be done outside it.

    def _has_place(self) -> bool:
        return bool(self._idle) or self.max_size is None or len(self._leased) < self.max_size

    def _expired(self) -> list[Connection]:
        """Take out what has been idle for too long."""
        oldest_allowed = time.monotonic() - self.max_idle
        expired = []
        while self._idle and self._idle[0].idle_since < oldest_allowed:
            expired.append(self._idle.popleft())
        return expired

    def _grant(self, lease: Lease) -> None:
        """Give *lease* a place, and a connection if one is idle; else it opens its own."""
        connection = self._idle.pop() if self._idle else None
        self._leased[weakref.ref(lease, self._on_lost)] = connection
        if connection is not None:
            connection.lent = True
        lease._connection = connection

    def _grant_next(self) -> None:
        """Somebody may have left: let those in who fit now."""
        while self._waiters and self._has_place():
            waiter = self._waiters.popleft()
            self._grant(waiter.lease)
            waiter.granted = True
            waiter.wake.set()

    def _withdraw(self, waiter: _Waiter) -> bool:
        """Take *waiter* out of the line; False if it was granted a place meanwhile."""
        with self._lock:
            if not waiter.granted:
                self._waiters.remove(waiter)
            withdrawn = not waiter.granted
        self._after_unlock([])
        return withdrawn

    # What the decisions are made for.

    def _wait(self, waiter: _Waiter, timeout: Optional[float]) -> None:
        try:
            waiter.wake.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        except BaseException:  # Ctrl-C: leave as if we had never come
            if not self._withdraw(waiter):
                self._take_back(waiter.lease)
            raise
        if not waiter.granted and self._withdraw(waiter):
            raise PoolTimeout(
                f"no connection came free within {timeout:g} s: {self!r}; give connections back "
                f"sooner, or raise max_size or timeout"
            )

    def _open(self, lease: Lease) -> None:
        """Make the connection of a lease that has a place. A factory may take its time in it."""
        try:
            connection = Connection(self.prototype)
        except BaseException:
            self._take_back(lease)
            raise
        connection.lent = True
        with self._lock:
            self._leased[weakref.ref(lease)] = connection
            lease._connection = connection
        self._after_unlock([])

    def _take_back(self, lease: Lease) -> None:
        connection, lease._connection = lease._connection, None
        if connection is not None and not connection.give_back():
            connection = None  # somebody is still in a request on it
        with self._lock:
            closing = self._expired()
            if self._leased.pop(weakref.ref(lease), _ABSENT) is not _ABSENT and connection:
                (closing if self._draining else self._idle).append(connection)
            self._grant_next()
        self._after_unlock(closing)

    def _on_lost(self, lease: weakref.ref[Lease]) -> None:
        """A lease was garbage-collected while it was out. Runs in any thread, at any point."""
        self._lost.append(lease)
        self._bury()

    def _after_unlock(self, closing: list[Connection]) -> None:
        """What follows each time that the lock was held: *closing* are no longer wanted."""
        for connection in closing:
            connection.close()
        self._bury()

    def _bury(self) -> None:
        """Free the places of lost leases, and close what is idle if the pool drains.

        If somebody holds the lock, he comes by after it.
        """
        while (self._lost or (self._draining and self._idle)) and self._lock.acquire(
            blocking=False
        ):
            try:
                closing = [self._leased.pop(lease, None) for lease in _taken_from(self._lost)]
                if self._draining:
                    closing += self._idle
                    self._idle.clear()
                self._grant_next()
            finally:
                self._lock.release()
            for connection in filter(None, closing):
                connection.close()


class _Waiter:
    """Somebody who waits for a place. Once granted, its lease holds one."""

    __slots__ = ("granted", "lease", "wake")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.granted = False
        self.wake = threading.Event()


class ThreadLeases:
    """The lease that each thread holds: taken at its first need, lost when the thread ends.

    A call within a request has one of its own.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._local = threading.local()
        self._use: Optional[weakref.WeakMethod[Callable[..., Any]]] = None

    def make_calls_by(self, use: Callable[..., Any]) -> None:
        """Make each call by the method *use*, which so knows what connection it uses.

        It is called as ``use(connection, function, *args, **kwargs)``, and held weakly: its owner
        holds this.
        """
        self._use = weakref.WeakMethod(use)

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """``function(client, *args, **kwargs)`` with the connection of this thread.

        With another one if the thread is in a request on that: a function that is told of the
        progress of an upload makes calls, or a destructor.
        """
        lease: Optional[Lease] = getattr(self._local, "lease", None)
        if lease is None:
            lease = self._local.lease = self._pool.lease()
        connection = lease.connection
        if not connection.in_request_here:
            return self._run_on(connection, function, *args, **kwargs)
        beside = self._pool.lease()
        try:
            return self._run_on(beside.connection, function, *args, **kwargs)
        finally:
            beside.release()

    def _run_on(
        self, connection: Connection, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        use = None if self._use is None else self._use()
        if use is None:
            return connection.run(function, *args, **kwargs)
        return connection.run(_used, use, connection, function, *args, **kwargs)

    def give_back(self) -> None:
        """Give the connection of this thread back, if it holds one."""
        lease: Optional[Lease] = self._local.__dict__.pop("lease", None)
        if lease is not None:
            lease.release()


def _used(
    client: Any,
    use: Callable[..., Any],
    connection: Connection,
    function: Callable[..., Any],
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """``function(client, ...)`` by way of *use*."""
    return use(connection, function, client, *args, **kwargs)


_ABSENT: Any = object()

_pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _taken_from(lost: deque[weakref.ref[Lease]]) -> Iterator[weakref.ref[Lease]]:
    while lost:
        yield lost.popleft()
