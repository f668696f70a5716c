"""Writes that are gathered into batches, each with a future of its own."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import threading
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

from shotgun_api3.shotgun import Shotgun

from shotgun_executor.attempts import Attempts
from shotgun_executor.carrier import Carrier
from shotgun_executor.closing import end_block, wait_for_outcomes
from shotgun_executor.gathering import MAX_WAIT, Gathering
from shotgun_executor.member import Member, Place
from shotgun_executor.mirror import _as_future, check_arguments, check_shapes
from shotgun_executor.needs import dependency_failed
from shotgun_executor.plain import copy_plain
from shotgun_executor.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from shotgun_executor.call import Call, Options
    from shotgun_executor.dispatch import Dispatch
    from shotgun_executor.future import Future
    from shotgun_executor.member import BatchedFuture
    from shotgun_executor.prototype import Prototype

    Before = Callable[[Sequence[Any], Mapping[str, Any]], None]
    _Outcome = tuple[Member, Any, Optional[BaseException]]

__all__ = ["BATCHED", "MAX_BYTES", "MAX_REQUESTS", "MAX_WAIT", "Batching", "check_request"]

BATCHED = frozenset({"create", "update", "delete"})
"""The methods that a batch can carry out."""

MAX_REQUESTS = 100
"""A live site needed 12 s to carry out a batch of 200, 48 s for 1001 (recorded on a live site)."""

MAX_BYTES = 1_000_000


class Batching:
    """Gathers ``create``, ``update`` and ``delete`` calls into batches; one for any thread.

    ::

        with executor.batching() as batch:
            for shot in shots:
                batch.update("Shot", shot["id"], {"sg_status_list": "fin"})

    They take the arguments that they take in ``Shotgun``, futures among them, and each returns a
    future for exactly what the single call returns or raises.

    Guarantees:

    * A batch is sent when it holds *max_requests* requests or *max_bytes* bytes, *max_wait* seconds
      after its first call, at :meth:`flush`, and at the end of the block or of the executor. No
      worker waits for it.
    * What the site refuses as a whole is sent in parts until the requests that it refuses are
      found. These fail, each with its own error; the others are carried out, once.
    * A batch is sent again only if the site has not carried it out. If nobody knows, each of its
      futures fails with an error of which :func:`~shotgun_executor.outcome_unknown` tells so.
    * Calls on one entity are carried out in the order in which they were made, also those that wait
      for futures, and whether the one before succeeded or not.

    A call that a batch does not carry out as ``Shotgun`` would alone (one with an ``image`` to
    upload, an update of nothing, a method that the client's class overrides) is made alone.

    At the end of the block everything is sent, and waited for. After an exception in the block only
    what is on its way is waited for, and the rest is cancelled, as in the executor's own block.
    Errors of the calls are in their futures, and are not raised by the block.
    """

    create = _as_future(Shotgun.create)
    update = _as_future(Shotgun.update)
    delete = _as_future(Shotgun.delete)

    def __init__(
        self,
        dispatch: Dispatch,
        make: Callable[..., Any],
        prototype: Prototype,
        options: Options,
        *,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
        max_wait: float = MAX_WAIT,
    ) -> None:
        """Use ``executor.batching(...)``.

        Args:
            dispatch: Runs the calls that carry the batches.
            make: ``make(method, args, kwargs)`` makes a call, on a worker.
            prototype: Knows what the clients are.
            options: Of the calls that carry the batches.
            max_requests: How many requests a batch holds at most.
            max_bytes: And how many bytes, unless it is one request.
            max_wait: Seconds that the first request of a batch waits for others.
        """
        self.dispatch = dispatch
        self.max_wait = max_wait
        self._make = make
        self._prototype = prototype
        self._options = options
        self._max_requests = max_requests
        self._telling = Telling(_resolve, self._forget_told)
        # The state. Guarded by the lock, which is re-entrant since a garbage collection may run a
        # destructor of the user's under it. Nothing of others is called under it but the alarm.
        self._lock = threading.RLock()
        self._members: dict[Member, None] = {}  # that have no outcome yet, in order
        # The members on each entity, in order. Those before one that is not gathered or sent in
        # the same batch must have their outcomes before it may join one.
        self._chains: dict[Any, dict[Member, None]] = {}
        self._open: Gathering[Member] = Gathering(
            *(dispatch.alarm, self._waited),
            max_count=max_requests,
            max_bytes=max_bytes,
            max_wait=max_wait,
        )
        self._sealed: list[Carrier] = []  # to be submitted as soon as the lock is released
        self._closed = False
        self._hurried = False  # nothing more is coming: do not wait long for it

    # Calls come in.

    def _submit_method(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Future[Any]:
        return self.submit_method(name, args, kwargs)

    def submit_method(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        before: Optional[Before] = None,
    ) -> Future[Any]:
        """Accept a call of the method *name*, one of :data:`BATCHED`.

        *before* is called with its arguments, on the worker, each time before it is sent; what that
        raises ends the call.
        """
        if self._prototype.must_ask_factory:
            check_arguments(Shotgun, name, args, kwargs)
        else:
            check_arguments(self._prototype.client_class, name, args, kwargs)
            check_shapes(self._prototype.client_class, name, args, kwargs)
        return self._accept(name, args, kwargs, before)

    def put(self, request: dict[str, Any]) -> Future[Any]:
        """A request as ``batch`` takes it; its future has what ``batch`` returns for it."""
        return self._accept("batch", (request,), {})

    def _accept(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        before: Optional[Before] = None,
    ) -> Future[Any]:
        needs: list[concurrent.futures.Future[Any]] = []
        args, kwargs = copy_plain(args, needs), copy_plain(kwargs, needs)
        cls = Shotgun if self._prototype.must_ask_factory else self._prototype.client_class
        member = Member(self, name, args, kwargs, needs, cls)
        member.before = before
        key = member.key_at_door()
        future = member.future
        try:
            member.keep = self.dispatch.promise(self, member)
            self._register(member, key)
            for need in needs:
                need.add_done_callback(functools.partial(_need_is_done, self, member))
            self.dispatch.fence()
            if not needs:
                self._fill(member)
        except BaseException:  # refused, or Ctrl-C at any point in between
            future.cancel()
            self.dispatch.kept(self, [member])
            raise
        return future

    def _register(self, member: Member, key: Any) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("this batch is closed: its `with` block was left")
            self._members[member] = None
            self._enchain(member, key)

    def _enchain(self, member: Member, key: Any) -> None:
        if key is not None and key not in member.keys:
            member.keys.append(key)
            self._chains.setdefault(key, {})[member] = None

    def need_is_done(self, member: Member, need: concurrent.futures.Future[Any]) -> None:
        """One of the futures among the arguments of *member* is done."""
        error = None if need.cancelled() else need.exception()
        if need.cancelled():
            self.end([(member, None, concurrent.futures.CancelledError())])
        elif error is not None:
            self.end([(member, None, dependency_failed(member, error))])
        else:
            with self._lock:
                member.open_needs -= 1
                complete = not member.open_needs
            if complete:
                self._fill(member)

    def look_behind(self, member: Member) -> None:
        """See what *member* needs, though nobody has told that it is done."""
        needs = list(member.needs) if member.place is Place.BLOCKED else []
        if not needs:
            return
        self.dispatch.look_behind(needs)
        done = [need for need in needs if need.done()]
        for need in done:
            if need.cancelled() or need.exception() is not None:
                self.need_is_done(member, need)  # more than once it is without effect
                return
        if len(done) == len(needs):
            self._fill(member)

    def _fill(self, member: Member) -> None:
        """All that *member* needs is there: have it join a batch as soon as its turn has come."""
        try:
            if member.place is not Place.BLOCKED:
                return
            # A factory is not called here, on the thread of whoever calls; send() will know.
            unknown = self._prototype.must_ask_factory
            member.fill(unknown or self.makes_batches_of(member.method))
        except Exception as error:
            self.end([(member, None, error)])
            return
        with self._lock:
            if member.place is not Place.BLOCKED:
                return
            self._enchain(member, member.key_of_entity())
            member.place = Place.READY
            self._join(member)
        self._submit_sealed()

    def makes_batches_of(self, method: str) -> bool:
        """Whether the client's own *method* does what the site does for it in a batch."""
        cls = self._prototype.client_class
        if not issubclass(cls, Shotgun):  # its batch may be no transaction, as that of Mockgun
            return False
        return method == "batch" or getattr(cls, method) is getattr(Shotgun, method)

    # Decisions, under the lock.

    def _join(self, member: Member) -> bool:
        """Have *member* join the open batch, or go alone; False if its turn has not come."""
        if self._open.items and (member.alone or not self._open.has_room_for(member.size)):
            self._seal()
        if not self._is_its_turn(member):
            return False
        self._open.add(member, member.size)
        member.place = Place.GATHERED
        if self._open.full or member.alone or not self._open.waits(hurried=self._hurried):
            self._seal()
        return True

    def _is_its_turn(self, member: Member) -> bool:
        """Whether those before it on its entity have their outcomes, or are in the open batch."""
        for key in member.keys:
            for other in self._chains[key]:
                if other is member:
                    break
                if other.place is not Place.GATHERED:
                    return False
        return True

    def _seal(self) -> None:
        """The open batch is complete."""
        self._open.end_wait()
        if not self._open.items:
            return
        for member in self._open.items:
            if member.place is Place.GATHERED:
                member.place = Place.SENT
        # In one statement: with Ctrl-C in between, they would be in no batch, or in two.
        carrier = Carrier(self, self._open.items)
        self._sealed, self._open.items, self._open.size = [*self._sealed, carrier], [], 0
        self._open.number += 1

    def _leave(self, member: Member) -> None:
        """*member* has its outcome: it holds up nothing."""
        self._members.pop(member, None)
        for key in member.keys:
            chain = self._chains.get(key)
            if chain is not None:
                chain.pop(member, None)
                if not chain:
                    del self._chains[key]
        if member.place is Place.GATHERED:
            self._open.remove(member, member.size)
        member.place = Place.OVER
        if member.watch is not None:
            member.watch.set()

    def _join_next(self, keys: Iterable[Any]) -> None:
        """Have those join whose turn has come, now that some on their entities are over."""
        for key in keys:
            chain = self._chains.get(key, {})
            for member in list(itertools.islice(chain, self._max_requests + 1)):
                if member.place is Place.GATHERED:
                    continue
                if member.place is not Place.READY or not self._join(member):
                    break

    # Batches go out.

    def flush(self) -> None:
        """Send what was gathered, without waiting for more; returns at once.

        What waits for futures, or for an earlier call on its entity, joins a later batch.
        """
        with self._lock:
            self._seal()
        self._submit_sealed()

    def hurry(self) -> None:
        """Send what was gathered; and what becomes ready later waits no longer than usual."""
        with self._lock:
            self._hurried = True
        self.flush()

    def _waited(self, number: int) -> None:
        """The batch of that number has waited long enough for others."""
        with self._lock:
            if number == self._open.number:
                self._seal()
        self._submit_sealed()

    def _submit_sealed(self) -> None:
        while self._sealed:
            self._submit_first_sealed()

    def _submit_first_sealed(self) -> None:
        carrier: Optional[Carrier] = None
        try:
            with self._lock:
                carrier = self._sealed.pop(0) if self._sealed else None
            if carrier is not None:
                carrier.submit()
        except BaseException:  # Ctrl-C: nobody else would send it, or tell who waits
            if carrier is not None:
                carrier.cancel()
            raise

    def submit(self, run: Callable[[], None], label: str) -> Future[None]:
        """Have a worker call *run*; again, if what it raises may pass and nothing was done."""
        return self.dispatch.submit(
            run,
            (),
            {},
            label=label,
            attempts=Attempts(self._prototype.repeats, "batch", self._options.retries),
            options=self._options,
            promised=True,
        )

    def on_their_way(self, members: Iterable[Member], call: Call) -> None:
        """*call* carries *members*: a worker that waits for one of them may run it."""
        with self._lock:
            for member in members:
                member.carried_by(call)
        self.dispatch.look()

    def claim(self, members: Sequence[Member]) -> list[Member]:
        """Those of *members* that were not cancelled; from here on they cannot be."""
        with self._lock:
            mine = tuple(member for member in members if member.place is Place.SENT)
            new = tuple(member for member in mine if not member.claimed)
            for member in new:
                member.claimed = True
        lost = {member for member in new if not member.future.set_running_or_notify_cancel()}
        return [member for member in mine if member not in lost]

    def send(self, members: Sequence[Member]) -> Sequence[Any]:
        """Make the call for *members*, on a worker: what each of them returns."""
        for member in members:
            if member.before is not None:
                member.before(member.args, member.kwargs)
        if len(members) == 1 and members[0].method != "batch":
            member = members[0]
            return [self._make(member.method, member.args, member.kwargs)]
        requests = [member.request for member in members]
        results: Sequence[Any] = self._make("batch", (requests,), {})
        return results

    # Outcomes.

    def end(self, outcomes: Iterable[_Outcome]) -> None:
        """Tell the outcomes of members: a result, or an error. Once for each; else without effect.

        A callback of one may end others, and so on: those are told after it.
        """
        self.dispatch.while_resolving(self._telling.tell, outcomes)

    def withdraw(self, member: Member) -> None:
        """The future of *member* was cancelled: notify who waits for it, unless a sender does."""
        with self._lock:
            mine = not member.claimed
            member.claimed = True
        if mine:
            member.future.set_running_or_notify_cancel()
        self._forget([member])

    def _forget_told(self, outcomes: list[_Outcome]) -> None:
        self._forget([member for member, _, _ in outcomes])

    def _forget(self, members: Iterable[Member]) -> None:
        with self._lock:
            over = tuple(member for member in members if member in self._members)
            keys = {key: None for member in over for key in member.keys}
            calls = {id(member.future._call): member.future._call for member in over}
            for member in over:
                self._leave(member)
            self._join_next(keys)
        for call in calls.values():
            if call is not None:
                call.tell_watchers()
        for member in over:
            member.drop()
        self._submit_sealed()
        if over:
            self.dispatch.kept(self, over)

    def obstacle(
        self, member: Member
    ) -> tuple[Optional[concurrent.futures.Future[Any]], Optional[threading.Event]]:
        """What holds *member* up: a future; or what is set as soon as nothing does any more."""
        with self._lock:
            if member.future._call is not None or member.place is Place.OVER:
                return None, None
            if member.watch is None:
                member.watch = threading.Event()
            waits_for = list(member.needs)
            if member.place in (Place.BLOCKED, Place.READY):
                firsts = (next(iter(self._chains[key])) for key in member.keys)
                waits_for.extend(first.future for first in firsts if first is not member)
            return next((each for each in waits_for if not each.done()), None), member.watch

    # The end.

    def stalled(self) -> bool:
        """Whether all calls that have no outcome wait for futures, or for one that does."""
        if self._open.items or self._sealed:
            return False
        waiting = (Place.BLOCKED, Place.READY)
        return all(member.place in waiting for member in list(self._members))

    def cancel_unsent(self) -> None:
        """Cancel what is not on its way."""
        with self._lock:
            unsent = tuple(member for member in self._members if member.place is not Place.SENT)
        for member in reversed(unsent):  # so that none joins a batch in place of another
            member.future.cancel()

    def __enter__(self) -> Batching:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Send everything and wait for it; after an exception cancel what was not sent."""
        with self._lock:
            self._closed = True
        end_block(kind is not None, hurry=self.hurry, cancel=self.cancel_unsent, wait=self._wait)

    def _wait(self) -> None:
        with self._lock:
            futures = [member.future for member in self._members]
        wait_for_outcomes(futures)

    def __repr__(self) -> str:
        with self._lock:
            return (
                f"<Batching: {len(self._open.items)} requests gathered, "
                f"{len(self._members)} without an outcome>"
            )


def check_request(request: object) -> Any:
    """Refuse what is no request of a batch."""
    if not isinstance(request, dict):
        raise TypeError(
            f"a request of a batch must be a dict such as {{'request_type': 'update', ...}}, "
            f"not {request!r}"
        )
    return cast("Any", request)


def _need_is_done(batching: Batching, member: Member, need: concurrent.futures.Future[Any]) -> None:
    batching.need_is_done(member, need)


def _resolve(outcome: _Outcome) -> None:
    """Resolve the future of a member, unless it is."""
    member, result, error = outcome
    future: BatchedFuture[Any] = member.future
    cancelled = isinstance(error, concurrent.futures.CancelledError)
    if future.done() or (cancelled and future.cancel()):
        return
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        if error is None:
            future.set_result(result)
        else:
            future._cancelled_late = cancelled
            future.set_exception(error)
