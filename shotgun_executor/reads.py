"""Reads of several callers that are made by one request: the same ones, and those of single ids.

Each caller has a future of its own, as a *reader* of a *joint read*, which is one call of the
dispatch. All who ask for the same may join one while it is under way. A joint lookup is gathered
first, as a batch is, and then asks for all its ids together. If both are wanted, what is shared
is a reader of what is gathered.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_executor.asked import Asked, Lookup, can_be_shared, lookup_of
from shotgun_executor.call import submitted_at
from shotgun_executor.errors import DeadlineExceeded, same_error
from shotgun_executor.joint import JointLookup, JointRead
from shotgun_executor.reader import Reader
from shotgun_executor.settings import Settings, read_settings
from shotgun_executor.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from shotgun_executor.dispatch import Dispatch
    from shotgun_executor.future import Future
    from shotgun_executor.prototype import Prototype

__all__ = ["Reads"]

Submit = Callable[[Asked], "Future[Any]"]
_Outcome = tuple[Reader, Any, Optional[BaseException]]


class Reads:
    """The reads of one executor that are shared or gathered.

    Guarantees:

    * A reader gets what its own call would have returned, and nobody else has that object; or an
      error of its own. Its deadline and its cancelling concern nobody else.
    * A joint read is given up when its last reader is gone.
    * A read joins none that was submitted before a write that was itself submitted, or had
      ended, before the read; nor one that was submitted with other settings.
    * Functions, callbacks and observers are never called with the lock held.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        prototype: Prototype,
        submit: Callable[[], Optional[Submit]],
        *,
        share: bool,
        gather: bool,
    ) -> None:
        """Share and gather nothing yet.

        Args:
            dispatch: Promises the calls.
            prototype: Knows what the clients are, and their settings.
            submit: Returns what submits a call, unless the executor is gone.
            share: Whether reads that ask for the same share a request.
            gather: Whether lookups of single ids are gathered.
        """
        self.dispatch = dispatch
        self._prototype = prototype
        self._submit = submit
        self._share = share
        self._gather = gather
        self._telling = Telling(self._tell, self._told)
        # The state. Guarded by the lock, which is re-entrant since a garbage collection may run a
        # destructor of the user's under it.
        self._lock = threading.RLock()
        self._joinable: dict[Hashable, JointRead] = {}
        self._settings: Optional[Settings] = None  # with which those were submitted
        self._open: dict[Hashable, JointLookup] = {}  # that are being gathered
        self._sealed: list[JointLookup] = []  # to be submitted as soon as the lock is released
        self._hurried = False
        self._waiting = 0  # workers that wait for what is being gathered

    # Calls come in.

    def submit(self, asked: Asked) -> Optional[Future[Any]]:
        """The future of a call that may share its request with others; None: it may not.

        Raises:
            RuntimeError, BrokenThreadPool, TooManyCalls: As ``Dispatch.submit``.
        """
        if self._prototype.must_ask_factory:
            return None  # a factory is not called here, on the thread of whoever calls
        if not can_be_shared(self._prototype.client_class, asked.name):
            return None
        try:
            arguments = asked.bound()
            lookup = lookup_of(asked, arguments) if self._gather else None
            if lookup is not None:
                lookup.key()
            key = asked.key(arguments) if self._share else None
        except TypeError:  # they cannot be compared; or the client will refuse them
            return None
        if lookup is None and key is None:
            return None
        reader = Reader(self, asked, submitted_at())
        try:
            reader.keep = self.dispatch.promise(self, reader)
            self._set_deadline(reader)
            if key is not None:
                self._join(reader, key, lookup)
            elif lookup is not None:
                self._gather_in(reader, lookup)
        except BaseException:  # refused, or Ctrl-C at any point in between
            reader.future.cancel()
            self.dispatch.kept(self, [reader])
            raise
        return reader.future

    def _join(self, reader: Reader, key: Hashable, lookup: Optional[Lookup]) -> None:
        fresh = None
        with self._lock:
            self._forget_if_set_anew()
            joint = self._joinable.get(key)
            if joint is None:
                start = functools.partial(self._start, reader.asked, lookup)
                joint = fresh = self._joinable[key] = JointRead(start, key)
            joint.readers[reader] = None
            reader.joint = joint
        if fresh is not None:
            self._begin(fresh)

    def _start(self, asked: Asked, lookup: Optional[Lookup]) -> Future[Any]:
        """Submit a call that is shared; or have it gathered, as a reader of what that will be."""
        if lookup is None:
            return self._begin_call(asked)
        between = Reader(self, asked)
        self._gather_in(between, lookup)
        return between.future

    def _gather_in(self, reader: Reader, lookup: Lookup) -> None:
        question = lookup.key()
        reader.lookup = lookup
        with self._lock:
            joint = self._open.get(question)
            if joint is not None and (joint.begun or not joint.gathering.has_room_for(lookup.size)):
                self._seal(joint)
                joint = None
            if joint is None:
                joint = self._open[question] = JointLookup(
                    self._begin_call, question, self.dispatch.alarm, self._waited
                )
            reader.joint = joint
            joint.add(reader, lookup)
            if joint.gathering.full or not joint.gathering.waits(hurried=self._hurried):
                self._seal(joint)
        self._submit_sealed()

    def _set_deadline(self, reader: Reader) -> None:
        seconds = reader.asked.options.deadline
        if seconds is not None:
            reader.due = time.monotonic() + seconds
            expire = functools.partial(self._expire, reader)
            ring = self.dispatch.alarm.after(seconds, expire, apart=True)
            reader.ring = ring
            if reader.over:
                ring.cancel()

    def _forget_if_set_anew(self) -> None:
        """Under the lock: what was submitted with other settings is not what is asked for now."""
        template = self._prototype.template
        if self._settings is None or not self._settings.are_those_of(template):
            self._settings = read_settings(template)
            self._joinable.clear()

    # Writes come in between.

    def fence(self) -> None:
        """A write is submitted: who comes later joins nothing that was submitted before."""
        with self._lock:
            self._joinable.clear()
        self.flush()

    def forget(self) -> None:
        """A write has ended: who comes later joins nothing that may have been answered before."""
        with self._lock:
            self._joinable.clear()

    # Requests go out.

    def flush(self) -> None:
        """Submit what was gathered, without waiting for more; returns at once."""
        with self._lock:
            for joint in list(self._open.values()):
                self._seal(joint)
        self._submit_sealed()

    def hurry(self) -> None:
        """Nothing more comes: submit what was gathered."""
        self._hurried = True
        self.flush()

    def stalled(self) -> bool:
        """They wait for no futures of others, so they go on by themselves."""
        return False

    def cancel_unsent(self) -> None:
        """Cancel what is being gathered."""
        with self._lock:
            readers = [reader for joint in self._open.values() for reader in joint.readers]
        for reader in readers:
            reader.future.cancel()

    def _waited(self, joint: JointLookup) -> None:
        """It has waited long enough for others."""
        with self._lock:
            if self._open.get(joint.question) is joint:
                self._seal(joint)
        self._submit_sealed()

    def _seal(self, joint: JointLookup) -> None:
        """Under the lock: it is complete."""
        joint.gathering.end_wait()
        self._sealed.append(joint)
        if self._open.get(joint.question) is joint:
            del self._open[joint.question]

    def _submit_sealed(self) -> None:
        while self._sealed:
            self._submit_first_sealed()

    def _submit_first_sealed(self) -> None:
        joint: Optional[JointLookup] = None
        try:
            with self._lock:
                joint = self._sealed.pop(0) if self._sealed else None
            if joint is not None:
                self._begin(joint)
        except BaseException:  # Ctrl-C: nobody else would submit it, or tell who waits
            if joint is not None and joint.future is None:
                self._conclude(joint, None, concurrent.futures.CancelledError())
            raise

    def _begin(self, joint: JointRead) -> None:
        with self._lock:
            wanted = bool(joint.readers) and not joint.begun
            joint.begun = True
        if not wanted:
            return
        try:
            future = joint.start()
        except BaseException as error:
            told = error if isinstance(error, Exception) else concurrent.futures.CancelledError()
            self._conclude(joint, None, told)
            joint.submitted.set()
            if not isinstance(error, Exception):
                raise
            return
        with self._lock:
            joint.future = future
            wanted = bool(joint.readers)
        joint.submitted.set()
        self.dispatch.look()
        if not wanted:
            future.cancel(abort=True)
        future.add_done_callback(functools.partial(self._over, joint))

    def _begin_call(self, asked: Asked) -> Future[Any]:
        submit = self._submit()
        if submit is None:
            raise RuntimeError("cannot schedule new futures: the executor is gone")
        return submit(asked)

    def _begin_apart(self, readers: Sequence[Reader]) -> None:
        """Make the call of each reader by itself."""
        with self._lock:
            joints = tuple(self._set_apart(reader) for reader in readers if not reader.over)
        for joint in joints:
            self._begin(joint)

    def _set_apart(self, reader: Reader) -> JointRead:
        """Under the lock."""
        joint = JointRead(functools.partial(self._begin_call, reader.asked))
        joint.readers[reader] = None
        reader.joint = joint
        return joint

    def wait_until_submitted(self, joint: JointRead, seconds: float) -> None:
        """On a worker: wait for others to join. If all workers do, none will."""
        with self._lock:
            self._waiting += 1
            hurry = self._waiting >= self.dispatch.runners
        try:
            if hurry:
                self.flush()
            if not joint.submitted.wait(seconds) and not hurry:
                self.flush()
        finally:
            with self._lock:
                self._waiting -= 1

    # Outcomes.

    def _over(self, joint: JointRead, future: concurrent.futures.Future[Any]) -> None:
        """The call has ended."""
        if future.cancelled():
            self._conclude(joint, None, concurrent.futures.CancelledError())
            return
        error = future.exception()
        self._conclude(joint, None if error is not None else future.result(), error)

    def _conclude(self, joint: JointRead, answer: Any, error: Optional[BaseException]) -> None:
        """Tell each reader; once, later it is without effect."""
        with self._lock:
            readers, joint.readers = list(joint.readers), {}
            self._let_none_join(joint)
        if not readers:
            return
        if error is not None and joint.may_succeed_apart(error):
            self._begin_apart(readers)
            return
        results: Sequence[Any] = [None] * len(readers)
        if error is None:
            try:
                results = joint.results(readers, answer)
            except Exception as caught:  # the answer was not what it should be
                error = caught
        outcomes = [
            (reader, result, _own(error, alone=len(readers) == 1))
            for reader, result in zip(readers, results)
        ]
        self.dispatch.while_resolving(self._telling.tell, outcomes)

    def _tell(self, outcome: _Outcome) -> None:
        reader, result, error = outcome
        if self._claim(reader):
            reader.tell(result, error)
            reader.drop()

    def _told(self, outcomes: list[_Outcome]) -> None:
        self.dispatch.kept(self, [reader for reader, _, _ in outcomes])

    def _claim(self, reader: Reader) -> bool:
        """Whether nobody else tells its outcome; once more if that was cut short on this thread."""
        here = threading.get_ident()
        with self._lock:
            mine = not reader.over or (reader.over == here and not reader.future.done())
            if mine:
                reader.over = here
        return mine

    def withdraw(self, reader: Reader) -> None:
        """The future of *reader* was cancelled: notify who waits for it."""
        if self._claim(reader):
            reader.tell(None, concurrent.futures.CancelledError())
            self._leave(reader)

    def _expire(self, reader: Reader) -> None:
        """The deadline of *reader* has passed; that of the others has not."""
        if self._claim(reader):
            seconds = reader.asked.options.deadline
            error = DeadlineExceeded(
                f"{reader} did not end within {seconds:g} s{self.dispatch.status()}"
            )
            self.dispatch.while_resolving(reader.tell, None, error)
            self._leave(reader)

    def _leave(self, reader: Reader) -> None:
        """Nobody waits for *reader* any more: give the request up if it was the last one."""
        with self._lock:
            joint, lookup = reader.joint, reader.lookup
            last = joint is not None and joint.readers.pop(reader, 0) is None and not joint.readers
            if isinstance(joint, JointLookup) and lookup is not None:
                joint.remove(reader, lookup)
                if last and self._open.get(joint.question) is joint:
                    joint.gathering.end_wait()
                    del self._open[joint.question]
            if last and joint is not None:
                self._let_none_join(joint)
        reader.drop()
        if last and joint is not None and joint.future is not None:
            joint.future.cancel(abort=True)
        self.dispatch.kept(self, [reader])

    def _let_none_join(self, joint: JointRead) -> None:
        if joint.key is not None and self._joinable.get(joint.key) is joint:
            del self._joinable[joint.key]


def _own(error: Optional[BaseException], *, alone: bool) -> Optional[BaseException]:
    """*error* for one of several readers: each may be raised by a thread of its own."""
    return error if alone or not isinstance(error, Exception) else same_error(error)
