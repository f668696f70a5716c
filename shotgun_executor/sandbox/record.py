"""The record of what happened: every request, what it asked for, and how it ended.

While requests come in, only what is at hand is kept: the raw body and a few numbers. It is decoded,
and secrets are taken out, when somebody asks.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
import time
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

from shotgun_executor.sandbox.wire import is_hash, is_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shotgun_executor.sandbox.exchange import Exchange

__all__ = ["ENTRIES", "SIZE", "Entry", "Record", "Request", "redacted"]

ENTRIES = 10_000
"""So many requests are kept, the newest."""
SIZE = 32 << 20
"""Bytes of bodies that are kept at most; older requests are forgotten earlier for it."""

HIDDEN = "*****"
_SECRET = re.compile(r"passw|secret|token|api_?key|script_key|signature|session_(id|uuid)", re.I)
_SHOWN = frozenset({"script_name", "user_login", "sudo_as_login"})
_LINK = "upload_link_info"


@dataclasses.dataclass(frozen=True)
class Request:
    """One request that a site got.

    Attributes:
        number: Which one it was since the start or the last ``clear``, counted from 1.
        method: The method as it is called on the wire (``""`` if the body names none), or the
            name of the route: ``upload_file``, ``storage_put``, ``file_serve``, ...
        arguments: What the method was called with, in the shape that it has on the wire; for a
            form its fields. Secrets are replaced. None if the body could not be read.
        user: The login or the script name that came with it; None if neither did.
        connection: The number of its connection, counted from 1.
        started: When it arrived, in seconds since 1970.
        seconds: How long it took until the answer was written; None while it is going on.
        status: The HTTP status of the answer; None if none was written.
        outcome: ``"ok"``, ``"fault"`` (the site refused), ``"client gone"``, ``"cleared"``,
            ``"malformed"`` (the body could not be read), the kind of failure that was asked for,
            or ``""`` while it is going on.
        error: What the site said when it refused; None otherwise.
        executed: Whether the site has executed it, whatever the client was told.
        writes: How many creates, updates, deletes and revives that were, uploads included.
        bytes_received: The size of the body.
        bytes_sent: The size of the body of the answer.
    """

    number: int
    method: str
    arguments: Any
    user: Optional[str]
    connection: int
    started: float
    seconds: Optional[float]
    status: Optional[int]
    outcome: str
    error: Optional[str]
    executed: bool
    writes: int
    bytes_received: int
    bytes_sent: int

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Request:
        """The request that a sandbox sent."""
        return cls(**values)

    def __str__(self) -> str:
        """One line, as ``--log`` prints it."""
        moment = time.strftime("%H:%M:%S", time.localtime(self.started))
        took = "" if self.seconds is None else f"{self.seconds * 1000:.1f} ms"
        what = f"{self.method or '?'} {_gist(self.arguments)}".rstrip()
        ending = f"{self.outcome} {self.status or ''}".rstrip()
        error = f": {self.error}" if self.error else ""
        return f"{moment} #{self.connection:<3} {took:>9}  {what}  {ending}{error}"


class Entry:
    """One request as the server keeps it."""

    __slots__ = (
        "arrived", "connection", "error", "executed", "finished", "name", "number", "outcome",
        "received", "sent", "source", "started", "status", "ticks", "writes",
    )  # fmt: skip

    def __init__(self, number: int, connection: int) -> None:
        self.number = number
        self.connection = connection
        self.started = time.time()
        self.ticks = time.perf_counter()
        self.finished: Optional[float] = None
        self.arrived = False
        self.executed = False
        self.status: Optional[int] = None
        self.outcome = ""
        self.error: Optional[str] = None
        self.name: Optional[str] = None
        self.source: Any = None
        self.writes = 0
        self.received = 0
        self.sent = 0

    def request(self) -> Request:
        """What is handed out."""
        method, arguments, user = _read_source(self.name, self.source)
        return Request(
            number=self.number,
            method=method,
            arguments=arguments,
            user=user,
            connection=self.connection,
            started=self.started,
            seconds=None if self.finished is None else self.finished - self.ticks,
            status=self.status,
            outcome=self.outcome,
            error=self.error,
            executed=self.executed,
            writes=self.writes,
            bytes_received=self.received,
            bytes_sent=self.sent,
        )


class Record:
    """The newest requests, in the order in which they arrived.

    Args:
        report: Called with each request that is over.
    """

    def __init__(self, report: Optional[Callable[[Request], None]] = None) -> None:
        self._report = report
        self._entries: collections.deque[Entry] = collections.deque()
        self.clear()

    def clear(self) -> None:
        """Forget all, and count from 1 again."""
        self._entries.clear()
        self._count = 0
        self._size = 0

    def begin(self, connection: int) -> Entry:
        """A request has arrived."""
        self._count += 1
        entry = Entry(self._count, connection)
        self._entries.append(entry)
        if len(self._entries) > ENTRIES:
            self._forget()
        return entry

    def end(self, entry: Entry, exchange: Exchange, sent: int) -> None:
        """A request is over, and its answer was written, if it got one."""
        entry.finished = time.perf_counter()
        entry.name, entry.source, entry.error = exchange.name, exchange.source, exchange.fault
        entry.writes, entry.sent = exchange.writes, sent
        if not entry.outcome:
            entry.outcome = "ok" if exchange.fault is None else "fault"
        self._size += entry.received
        while self._size > SIZE and len(self._entries) > 1:
            self._forget()
        if self._report is not None:
            self._report(entry.request())

    def requests(self, last: Optional[int] = None) -> list[dict[str, Any]]:
        """The values of :class:`Request` for the newest *last*, or for all that are kept."""
        chosen = list(self._entries)
        if last is not None:
            chosen = chosen[-last:]
        return [vars(entry.request()) for entry in chosen]

    def _forget(self) -> None:
        entry = self._entries.popleft()
        if entry.finished is not None:
            self._size -= entry.received


def redacted(value: Any, name: str = "") -> Any:
    """Returns a decoded value with every secret in it replaced.

    What is a secret, its name tells: that of the key it is under, or that of the field.
    """
    if name == _LINK or (_SECRET.search(name) and not isinstance(value, bool)):
        return HIDDEN
    if is_hash(value):
        field = str(value.get("field_name") or value.get("path") or "")
        return {
            key: redacted(content, field if key in ("value", "values") else key)
            for key, content in value.items()
        }
    if is_list(value):
        return [redacted(item, name) for item in value]
    if isinstance(value, str) and "signature=" in value.lower():
        return value.partition("?")[0] + "?" + HIDDEN
    return value


def _read_source(name: Optional[str], source: Any) -> tuple[str, Any, Optional[str]]:
    """Returns method, arguments and user of what was kept of a request."""
    if not isinstance(source, bytes):
        fields = cast("dict[str, Any]", source or {})
        arguments = {key: fields[key] for key in fields if key not in _SHOWN}
        return name or "", redacted(arguments), _user(fields)
    try:
        call = json.loads(source)
        method, params = call["method_name"], call.get("params") or []
        auth = params[0] if params else {}
        arguments = redacted(params[1] if len(params) > 1 else {})
        return (name or str(method)), arguments, _user(auth)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return name or "", None, None


def _user(auth: Any) -> Optional[str]:
    for key in ("sudo_as_login", "user_login", "script_name"):
        if is_hash(auth) and auth.get(key):
            return str(auth[key])
    return None


def _gist(arguments: Any) -> str:
    """What a line says of the arguments: what kind of entity, and which."""
    if is_list(arguments):
        return f"{len(arguments)} requests"
    if not is_hash(arguments):
        return ""
    words = [
        arguments.get(name) for name in ("type", "entity_type", "id", "entity_id", "field_name")
    ]
    return " ".join(str(word)[:60] for word in words if isinstance(word, (str, int)))
