"""The calls that wait for a worker, in the order in which they are to start."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Optional

from shotgun_executor.call import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shotgun_executor.call import Call

__all__ = ["TURNS", "Line"]

TURNS = 8
"""While calls of several priorities wait, every so many-th to start is of a lower one."""


class Line:
    """Calls by priority, and within one priority first come, first served.

    Calls of the highest priority start first. So that the others are never starved, every
    eighth call to start is the first in line of a lower priority: the lower ones take turns.

    A call that was withdrawn, or taken by a worker that waited for it, stays in line and is passed
    over. Not thread-safe: the lock of the dispatch guards it.
    """

    def __init__(self) -> None:
        self._by_priority: dict[int, deque[Call]] = {}
        self._order: list[int] = []  # the priorities in use, the highest first
        self._started = 0  # how many of the highest priority have started since a lower one did
        self._turn = 0  # whose turn it is among the lower ones

    def __len__(self) -> int:
        return sum(map(len, self._by_priority.values()))

    def __bool__(self) -> bool:
        return any(self._by_priority.values())

    def append(self, call: Call) -> None:
        """Put *call* behind those of its priority."""
        # Each step leaves the line whole, as Ctrl-C may come between any two of them.
        if call.priority not in self._order:
            self._order = sorted([*self._order, call.priority], reverse=True)
        calls = self._by_priority.get(call.priority)
        if calls is None:
            calls = self._by_priority.setdefault(call.priority, deque())
        calls.append(call)

    def take(self, passed_over: list[Call]) -> Optional[Call]:
        """The call to start next, taken out; None if none waits.

        Those that are no longer to start are taken out too, and added to *passed_over*.
        """
        while self._order:
            priority = self._next_priority()
            calls = self._by_priority.get(priority)
            if not calls:
                self._by_priority.pop(priority, None)
                self._order = [other for other in self._order if other != priority]
                continue
            call = calls.popleft()
            if call.state is State.READY:
                return call
            passed_over.append(call)
        return None

    def sweep(self) -> list[Call]:
        """Take out those that are no longer to start; returns what is to be freed later."""
        swept: list[Call] = []
        for priority, calls in list(self._by_priority.items()):
            found = list(calls)
            left = deque(call for call in found if call.state is State.READY)
            self._by_priority[priority] = left
            left.extend(list(calls)[len(found) :])  # that a destructor has put in line meanwhile
            swept += found
        return swept

    def __iter__(self) -> Iterator[Call]:
        """The calls in line, those of the highest priority first."""
        for priority in self._order:
            for call in self._by_priority.get(priority, ()):
                if call.state is State.READY:
                    yield call

    def _next_priority(self) -> int:
        if len(self._order) == 1:
            return self._order[0]
        self._started += 1
        if self._started < TURNS:
            return self._order[0]
        self._started = 0
        self._turn += 1
        return self._order[1 + self._turn % (len(self._order) - 1)]
