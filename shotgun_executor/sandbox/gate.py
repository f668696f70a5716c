"""Gates: requests that wait at the site until a test lets them go, in place of sleeps."""

from __future__ import annotations

import asyncio
from typing import Optional

__all__ = ["Gates"]


class _Rule:
    """Which methods are held on one side of the execution."""

    def __init__(self) -> None:
        self._every = False
        self._methods: set[str] = set()  # held by name
        self._passing: set[str] = set()  # let through although every other is held
        self.active = False

    def hold(self, method: Optional[str]) -> None:
        if method is None:
            self._every = True
            self._passing.clear()
        else:
            self._methods.add(method)
            self._passing.discard(method)
        self.active = True

    def stop(self, method: Optional[str]) -> None:
        if method is None:
            self._every = False
            self._methods.clear()
            self._passing.clear()
        else:
            self._methods.discard(method)
            self._passing.add(method)
        self.active = self._every or bool(self._methods)

    def holds(self, method: str) -> bool:
        return method in self._methods or (self._every and method not in self._passing)


class _Held:
    """One request that waits; its future says whether it may go on."""

    __slots__ = ("before", "go", "method")

    def __init__(self, method: str, before: bool) -> None:
        self.method = method
        self.before = before
        self.go: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class Gates:
    """The gate before the execution of a request, and the one before its answer.

    Used by the event loop of the server alone, so nothing here needs a lock.
    """

    def __init__(self) -> None:
        self._before = _Rule()
        self._after = _Rule()
        self._held: dict[_Held, None] = {}  # in order of arrival
        self._watchers: dict[asyncio.Future[None], tuple[int, Optional[str]]] = {}

    @property
    def holds_before(self) -> bool:
        """Whether the gate before execution holds any method, so that one must be known early."""
        return self._before.active

    def hold(self, method: Optional[str] = None, *, before: bool = False) -> None:
        """From now on hold requests of *method*, or all."""
        (self._before if before else self._after).hold(method)

    def resume(self, method: Optional[str] = None, count: Optional[int] = None) -> int:
        """Let requests of *method*, or all, go; with *count* only the oldest, and hold on.

        Returns:
            The number of requests that were let go.
        """
        if count is None:
            self._before.stop(method)
            self._after.stop(method)
        chosen = [held for held in self._held if method in (None, held.method)][:count]
        for held in chosen:
            self._release(held, go_on=True)
        return len(chosen)

    def clear(self) -> None:
        """Stop holding. Held answers go out; what was not executed never will be."""
        self._before.stop(None)
        self._after.stop(None)
        for held in list(self._held):
            self._release(held, go_on=not held.before)

    def held(self, method: Optional[str] = None) -> int:
        """How many requests of *method*, or in all, wait now."""
        return sum(method in (None, held.method) for held in self._held)

    async def pass_by(self, method: str, *, before: bool) -> bool:
        """Wait as long as *method* is held.

        Returns:
            False if the request must be dropped, as the site was cleared meanwhile.
        """
        if not (self._before if before else self._after).holds(method):
            return True
        held = _Held(method, before)
        self._held[held] = None
        self._tell_watchers()
        try:
            return await held.go
        finally:  # the client went away: nobody waits any more
            self._held.pop(held, None)

    async def wait_for(self, count: int, method: Optional[str], timeout: float) -> bool:
        """Whether *count* requests of *method*, or of any, were held within *timeout* seconds."""
        if self.held(method) >= count:
            return True
        enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers[enough] = (count, method)
        try:
            await asyncio.wait_for(enough, timeout)
        except asyncio.TimeoutError:
            return False
        finally:
            del self._watchers[enough]
        return True

    def _release(self, held: _Held, *, go_on: bool) -> None:
        del self._held[held]
        if not held.go.done():  # cancelled in this very turn of the loop
            held.go.set_result(go_on)

    def _tell_watchers(self) -> None:
        for enough, (count, method) in self._watchers.items():
            if not enough.done() and self.held(method) >= count:
                enough.set_result(None)
