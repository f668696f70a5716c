"""What can be done to a running sandbox from outside: the operations behind the control address.

Each operation takes keyword arguments that came as JSON, and returns what goes back as JSON.
Arguments that make no sense raise a ``ValueError`` that names them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union

from shotgun_executor.sandbox import checks
from shotgun_executor.sandbox.downloads import ROUTES
from shotgun_executor.sandbox.failures import AFTER, BEFORE, KINDS, Failure
from shotgun_executor.sandbox.latency import Delay

if TYPE_CHECKING:
    from shotgun_executor.sandbox.connections import Connections
    from shotgun_executor.sandbox.counters import Tally
    from shotgun_executor.sandbox.failures import Failures
    from shotgun_executor.sandbox.gate import Gates
    from shotgun_executor.sandbox.latency import Latency
    from shotgun_executor.sandbox.record import Record
    from shotgun_executor.sandbox.settings import Info
    from shotgun_executor.sandbox.site import Site

__all__ = ["Control", "HeldTooFewError", "UnknownOperationError"]

# How the connections of close_idle end.
_ENDS = ("fin", "reset", "vanish")

T = TypeVar("T")

Operation = Callable[..., Union[Any, Awaitable[Any]]]


class UnknownOperationError(LookupError):
    """The control address has no such operation."""


class HeldTooFewError(Exception):
    """Fewer requests were held in time than were waited for."""


class Control:
    """The operations, over the parts of a server that they steer."""

    def __init__(
        self,
        *,
        info: Info,
        gates: Gates,
        failures: Failures,
        latency: Latency,
        tally: Tally,
        record: Record,
        connections: Connections,
        site: Site,
        reset_site: Callable[[], None],
        go_down: Callable[[float], None],
    ) -> None:
        self._info = info
        self._gates = gates
        self._failures = failures
        self._latency = latency
        self._tally = tally
        self._record = record
        self._connections = connections
        self._site = site
        self._reset_site = reset_site
        self._go_down = go_down
        self._operations: Mapping[str, Operation] = {
            operation.__name__: operation
            for operation in (
                self.clear,
                self.close_idle,
                self.counters,
                self.drop_next,
                self.expire_sessions,
                self.fail,
                self.fail_next,
                self.go_down,
                self.hold,
                self.info,
                self.requests,
                self.require_auth_token,
                self.resume,
                self.set_latency,
                self.stop_failing,
                self.wait_for,
            )
        }

    async def run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Do the operation *name*.

        Raises:
            UnknownOperationError: There is none of that name.
            ValueError: An argument is unknown, missing or senseless.
            HeldTooFewError: See :meth:`wait_for`.
        """
        try:
            operation = self._operations[name]
        except KeyError:
            known = ", ".join(self._operations)
            raise UnknownOperationError(f"no operation {name!r}; there are {known}") from None
        result = _bound(name, operation, arguments)(**arguments)
        return await result if inspect.isawaitable(result) else result

    def info(self) -> dict[str, Any]:
        """Where the sandbox is, and the credentials that its site knows."""
        return self._info.to_json()

    def counters(self) -> dict[str, Any]:
        """The values of :class:`~shotgun_executor.sandbox.Counters`."""
        return vars(self._tally.counters(held=self._gates.held()))

    def clear(self) -> None:
        """Make everything as it was at the start."""
        self._gates.clear()
        self._failures.remove()
        self._latency.clear()
        self._reset_site()
        self._connections.clear()
        self._tally.clear()
        self._record.clear()

    def requests(self, *, last: Optional[int] = None) -> list[dict[str, Any]]:
        """The values of :class:`~shotgun_executor.sandbox.Request` for the newest requests."""
        return self._record.requests(None if last is None else checks.whole("last", last))

    def hold(self, *, method: Optional[str] = None, before: bool = False) -> None:
        """Hold requests from now on."""
        self._gates.hold(checks.method(method), before=checks.flag("before", before))

    def resume(self, *, method: Optional[str] = None, count: Optional[int] = None) -> int:
        """Let held requests go; returns how many."""
        return self._gates.resume(
            checks.method(method), None if count is None else checks.whole("count", count)
        )

    async def wait_for(
        self, *, n: int, method: Optional[str] = None, timeout: float = 10.0
    ) -> None:
        """Return once *n* requests are held.

        Raises:
            HeldTooFewError: They were fewer after *timeout* seconds.
        """
        wanted = checks.whole("n", n)
        limit = checks.seconds("timeout", timeout)
        if not await self._gates.wait_for(wanted, checks.method(method), limit):
            which = f" of {method!r}" if method else ""
            held = self._gates.held(method)
            raise HeldTooFewError(
                f"{held} of {wanted} requests{which} were held after {limit:g} s "
                f"({self._tally.in_flight} in flight)"
            )

    def set_latency(
        self,
        *,
        seconds: Optional[float] = None,
        method: Optional[str] = None,
        jitter: float = 0.0,
    ) -> None:
        """Delay answers from now on."""
        delay = None
        if seconds is not None:
            delay = Delay(checks.seconds("seconds", seconds), checks.seconds("jitter", jitter))
        self._latency.set(delay, checks.method(method))

    def fail_next(self, *, count: int = 1, **failure: Any) -> None:
        """Make the next requests fail."""
        self._add_failure("fail_next", count=checks.whole("count", count), **failure)

    def fail(self, **failure: Any) -> None:
        """Make requests fail from now on."""
        self._add_failure("fail", count=None, **failure)

    def _add_failure(self, name: str, **arguments: Any) -> None:
        self._failures.add(_bound(name, _failure, arguments)(**arguments))

    def stop_failing(self, *, method: Optional[str] = None) -> None:
        """Forget the failures of *method*, or all."""
        self._failures.remove(checks.method(method))

    def drop_next(
        self, *, method: Optional[str] = None, count: int = 1, after_execution: bool = False
    ) -> None:
        """Close the connection of the next requests in place of an answer."""
        self.fail_next(method=method, kind="drop", count=count, after_execution=after_execution)

    async def close_idle(self, *, how: str = "fin") -> int:
        """Close the connections that carry no request; returns how many there were."""
        count = self._connections.close_idle(checks.choice("how", how, _ENDS))
        await _until_closed()
        return count

    async def go_down(self, *, seconds: float) -> None:
        """Close every connection, and answer none for a while."""
        self._go_down(checks.seconds("seconds", seconds))
        await _until_closed()

    def expire_sessions(self) -> None:
        """Make every session token expire now."""
        self._site.expire_sessions()

    def require_auth_token(self, *, login: str, code: Optional[str] = None) -> None:
        """Make the password of a person good only with a two-factor code; None takes it back."""
        self._site.require_auth_token(str(login), None if code is None else str(code))


async def _until_closed() -> None:
    """Let the event loop do what closing a connection has left for its next rounds.

    Else a client that is told of it might still write to what is about to be closed.
    """
    for _ in range(3):
        await asyncio.sleep(0)


def _bound(name: str, function: Callable[..., T], arguments: Mapping[str, Any]) -> Callable[..., T]:
    """Returns the function if it takes these arguments.

    Raises:
        ValueError: It does not.
    """
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None
    return function


def _failure(
    *,
    count: Optional[int],
    method: Optional[str] = None,
    kind: Optional[str] = None,
    status: Optional[int] = None,
    headers: Optional[Mapping[str, str]] = None,
    body: Optional[str] = None,
    body_base64: Optional[str] = None,
    after_execution: bool = False,
    seconds: float = 1.0,
    fraction: float = 1.0,
    seed: int = 0,
) -> Failure:
    """Returns the failure that is asked for.

    Raises:
        ValueError: An argument makes no sense, or does not go with another.
    """
    kind = checks.choice("kind", "status" if kind is None else kind, KINDS)
    method, executed = checks.method(method), checks.flag("after_execution", after_execution)
    if kind == "status" and status is None:
        raise ValueError("status must be an HTTP status from 200 to 599, or a kind must be given")
    if kind != "status" and (status, headers, body, body_base64) != (None, None, None, None):
        raise ValueError(f"status, headers and body do not go with the kind {kind!r}")
    if executed and kind in BEFORE:
        raise ValueError(f"after_execution does not go with the kind {kind!r}")
    if kind == "drop_unread" and method is not None and method not in ROUTES:
        raise ValueError(
            "drop_unread takes the method None or the name of a route, "
            "as the name of a method is in the body that is not read"
        )
    return Failure(
        kind=kind,
        method=method,
        count=count,
        after_execution=executed or kind in AFTER,
        status=500 if status is None else checks.status(status),
        headers=checks.headers(headers),
        body=checks.body(body, body_base64),
        seconds=checks.seconds("seconds", seconds),
        fraction=checks.fraction(fraction),
        seed=_seed(seed),
    )


def _seed(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"seed must be a whole number, not {value!r}")
