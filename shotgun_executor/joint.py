"""One request, and those who wait for its answer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_executor.carrier import refuses_content
from shotgun_executor.gathering import MAX_WAIT, Gathering
from shotgun_executor.plain import copy_plain

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from shotgun_executor.alarm import Alarm
    from shotgun_executor.asked import Asked, Lookup
    from shotgun_executor.future import Future
    from shotgun_executor.reader import Reader

__all__ = ["JointLookup", "JointRead"]

MAX_IDS = 500
"""Ids that one call asks for: so many rows cost a site as much as one (recorded)."""
MAX_BYTES = 200_000


class JointRead:
    """One call for all who ask for the same. Its state is guarded by its reads."""

    def __init__(self, start: Callable[[], Future[Any]], key: Optional[Hashable] = None) -> None:
        """Submit nothing yet.

        Args:
            start: Submits the call.
            key: What those have in common who may join; None: nobody may.
        """
        self.start = start
        self.key = key
        self.readers: dict[Reader, None] = {}
        self.begun = False
        self.future: Optional[Future[Any]] = None  # of the call, when it is submitted
        self.submitted = threading.Event()

    def results(self, readers: Sequence[Reader], answer: Any) -> list[Any]:
        """What each reader returns: the answer, or a copy."""
        copies = [copy_plain(answer) for _ in readers[1:]]
        return [answer, *copies]

    def may_succeed_apart(self, error: BaseException) -> bool:
        """Whether *error* need not be that of each reader's own call."""
        return False


class JointLookup(JointRead):
    """One call for the ids that several readers ask for, who ask for nothing else that differs."""

    def __init__(
        self,
        begin_call: Callable[[Asked], Future[Any]],
        question: Hashable,
        alarm: Alarm,
        waited: Callable[[JointLookup], None],
    ) -> None:
        """Gather nothing yet.

        Args:
            begin_call: Submits a call.
            question: What the readers have in common.
            alarm: Ends the wait for others.
            waited: Called then.
        """
        super().__init__(self._ask)
        self.question = question
        self.gathering: Gathering[Reader] = Gathering(
            *(alarm, lambda _: waited(self)),
            max_count=MAX_IDS,
            max_bytes=MAX_BYTES,
            max_wait=MAX_WAIT,
        )
        self._begin_call = begin_call
        self._alone = False  # the call is that of the one reader

    def add(self, reader: Reader, lookup: Lookup) -> None:
        """One more."""
        self.readers[reader] = None
        self.gathering.add(reader, lookup.size)

    def remove(self, reader: Reader, lookup: Lookup) -> None:
        """One less, as long as nothing was submitted."""
        self.gathering.remove(reader, lookup.size)

    def _ask(self) -> Future[Any]:
        lookups = [reader.lookup for reader in list(self.readers) if reader.lookup is not None]
        first = lookups[0]
        if len(lookups) == 1:
            self._alone = True
            return self._begin_call(first.asked)
        numbers = list(dict.fromkeys(lookup.number for lookup in lookups))
        return self._begin_call(first.together(numbers))

    def results(self, readers: Sequence[Reader], answer: Any) -> list[Any]:
        """The record for each reader, or what its call returns without one."""
        if self._alone:
            return [answer]
        found = {record["id"]: record for record in answer}
        lent: set[int] = set()
        results: list[Any] = []
        for reader in readers:
            lookup = reader.lookup
            assert lookup is not None
            record = found.get(lookup.number)
            results.append(lookup.answer(copy_plain(record) if lookup.number in lent else record))
            lent.add(lookup.number)
        return results

    def may_succeed_apart(self, error: BaseException) -> bool:
        """Whether it is about what was asked for, which may be an id of one of them."""
        return not self._alone and refuses_content(error)
