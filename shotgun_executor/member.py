"""A call that is made as part of a batch: what it asks for, and its future."""

from __future__ import annotations

import concurrent.futures
import contextlib
import enum
import functools
import inspect
import json
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from shotgun_executor.filling import as_id, filled
from shotgun_executor.joined import JoinedFuture

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from shotgun_executor.batching import Batching
    from shotgun_executor.call import Call
    from shotgun_executor.future import Future

__all__ = ["BatchedFuture", "Member", "Place"]

T = TypeVar("T")

_PATIENCE = 0.02
"""Seconds that a worker that waits for a gathered call leaves it to be gathered with others."""

# Their values are paths of files, which the single call uploads and a batch does not.
_FILES = ("image", "filmstrip_image")


class Place(enum.Enum):
    """Where a member is; changed under the lock of its batching.

    BLOCKED, READY, GATHERED, SENT, OVER, maybe without those between.
    """

    BLOCKED = "waits for futures among its arguments"
    READY = "waits for an earlier call on the same entity"
    GATHERED = "is in the batch that is being gathered"
    SENT = "is on its way"
    OVER = "has its outcome, or is about to"


class Member:
    """A call, as a part of a batch or alone.

    ``place``, ``open_needs``, ``keys``, ``claimed`` and ``watch`` are guarded by the
    batching.
    """

    __slots__ = (
        "alone",
        "args",
        "batching",
        "before",
        "claimed",
        "cls",
        "future",
        "keep",
        "keys",
        "kwargs",
        "label",
        "method",
        "needs",
        "open_needs",
        "place",
        "request",
        "size",
        "watch",
    )

    def __init__(
        self,
        batching: Batching,
        method: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        needs: Sequence[concurrent.futures.Future[Any]],
        cls: type,
    ) -> None:
        """Call *method* of *cls*; "batch" with one request is a member as it stands."""
        self.batching = batching
        self.method = method
        self.cls = cls
        self.args: Sequence[Any] = args
        self.kwargs: Mapping[str, Any] = kwargs
        self.needs: Sequence[concurrent.futures.Future[Any]] = needs
        self.open_needs = len(needs)
        shown = args[0] if args and isinstance(args[0], str) else ""
        self.label = f"{method} {shown}".strip()
        # What orders it among the calls of its entity: the entity, or the future of it.
        self.keys: list[Any] = []
        self.before: Optional[Callable[[Sequence[Any], Mapping[str, Any]], None]] = None
        self.alone = False  # it goes by itself, as the single call that it is
        self.request: dict[str, Any] = {}  # as batch() takes it, unless it goes alone
        self.size = 0  # of the request in bytes, about
        self.place = Place.BLOCKED
        self.claimed = False  # somebody sends it, or has told that it is cancelled
        self.watch: Optional[threading.Event] = None  # set when it is sent or over
        self.keep: Any = None  # the executor, until there is an outcome
        self.future: BatchedFuture[Any] = BatchedFuture(self)

    def __str__(self) -> str:
        return self.label

    @property
    def key(self) -> Any:
        """What it must keep its order with; itself if that is nothing."""
        return self.keys[-1] if self.keys else self

    def key_at_door(self) -> Any:
        """The entity that it is about, or the future of that; None if it makes a new one."""
        kind, number = _entity(self._request())
        if isinstance(number, concurrent.futures.Future):
            return kind, number
        return _key(kind, number)

    def fill(self, batchable: bool) -> None:
        """All needs are there: find out what to send, and as what."""
        if self.needs:
            self.args = [filled(value) for value in self.args]
            self.kwargs = {name: filled(value) for name, value in self.kwargs.items()}
            self.needs = ()
        request = self._request()
        if "entity_id" in request:
            request["entity_id"] = as_id(request["entity_id"], request.get("entity_type"))
        self.request = request
        self.size = _size(request)
        self.alone = not batchable or (self.method != "batch" and not _fits_a_batch(request))

    def key_of_entity(self) -> Any:
        """The entity that it is about, now that all needs are there."""
        return _key(*_entity(self.request))

    def _request(self) -> dict[str, Any]:
        """The call as ``batch`` takes it."""
        if self.method == "batch":
            request = self.args[0]
            return request if isinstance(request, dict) else {}
        arguments = (
            _signature(self.cls, self.method).bind(None, *self.args, **self.kwargs).arguments
        )
        named = list(arguments.items())[1:]  # without the client
        return {"request_type": self.method, **dict(named)}

    def carried_by(self, call: Call) -> None:
        """*call* has it, unless it is over; under the lock of what gathers it."""
        if self.place is Place.SENT:
            self.future._call = call
        if self.watch is not None:
            self.watch.set()

    def drop(self) -> None:
        """Let go of what is no longer needed."""
        self.args, self.kwargs, self.needs, self.request = (), {}, (), {}
        self.keep = self.before = None
        self.future._part = self.future._call = None


class BatchedFuture(JoinedFuture[T]):
    """The future of a call that is made as part of a batch.

    As any :class:`~shotgun_executor.Future`; :meth:`cancel` takes the call out of its batch, as
    long as that is not being sent.
    """

    _part: Optional[Member]

    def __init__(self, member: Member) -> None:
        super().__init__(member.batching.dispatch, member)

    @property
    def carried_by(self) -> Optional[Future[Any]]:
        """Itself, as it has the call of its batch."""
        return None if self._call is None else self

    def look_behind(self) -> None:
        """What it needs may be done, and who would tell be a callback that comes later here."""
        member = self._part
        if member is not None:
            member.batching.look_behind(member)

    def _withdraw(self, part: Member) -> None:
        part.batching.withdraw(part)

    def _step(self, left: Optional[float], deadline: Optional[float]) -> None:
        member = self._part
        if member is None:  # it is being resolved
            concurrent.futures.wait([self], left)
            return
        last, awaited, watch = _first_obstacle(member)
        if awaited is not None:
            with contextlib.suppress(
                concurrent.futures.CancelledError, concurrent.futures.TimeoutError
            ):
                awaited.exception(left)
        elif watch is not None:
            pause = min(last.batching.max_wait, _PATIENCE)
            if not watch.wait(pause if left is None else min(left, pause)):
                last.batching.flush()
        elif last.future._call is None:  # it is being resolved
            concurrent.futures.wait([last.future], left)
        else:
            self._dispatch.help(last.future, deadline)


def _first_obstacle(
    member: Member,
) -> tuple[Member, Optional[concurrent.futures.Future[Any]], Optional[threading.Event]]:
    """The member that holds this one up, through whatever others, and what holds that up."""
    while True:
        awaited, watch = member.batching.obstacle(member)
        following = awaited._part if isinstance(awaited, BatchedFuture) else None
        if following is None:
            return member, awaited, watch
        member = following


@functools.cache
def _signature(cls: type, method: str) -> inspect.Signature:
    return inspect.signature(getattr(cls, method))


def _fits_a_batch(request: Mapping[str, Any]) -> bool:
    """Whether the call does the same within a batch as alone."""
    if not isinstance(request.get("entity_type"), str):
        return False
    if request["request_type"] != "create" and not _is_id(request.get("entity_id")):
        return False
    if request["request_type"] == "delete":
        return True
    data = request.get("data")
    if not isinstance(data, dict) or any(name in data for name in _FILES):
        return False
    # An update of nothing sends nothing.
    return request["request_type"] == "create" or bool(data)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _entity(request: Mapping[str, Any]) -> tuple[Any, Any]:
    """The type of the entity that a request is about, and its id, if it has one."""
    return request.get("entity_type"), request.get("entity_id")


def _key(kind: object, number: object) -> Any:
    number = as_id(number)
    return (kind, number) if isinstance(kind, str) and _is_id(number) else None


def _size(request: Mapping[str, Any]) -> int:
    """Bytes of the request, about. What cannot be encoded fails when it is sent."""
    try:
        return len(json.dumps(request, ensure_ascii=False, default=str).encode())
    except (TypeError, ValueError, RecursionError):
        return 0
