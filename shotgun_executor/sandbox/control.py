"""What can be done to a running sandbox from outside: the operations behind the control address.

Each operation takes keyword arguments that came as JSON, and returns what goes back as JSON.
Arguments that make no sense raise a ``ValueError`` that names them.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import math
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from shotgun_executor.sandbox.failures import Failure, NoAnswer, failing_with
from shotgun_executor.sandbox.latency import Delay

if TYPE_CHECKING:
    from shotgun_executor.sandbox.counters import Tally
    from shotgun_executor.sandbox.failures import Failures
    from shotgun_executor.sandbox.gate import Gates
    from shotgun_executor.sandbox.latency import Latency
    from shotgun_executor.sandbox.settings import Info

__all__ = ["Control", "HeldTooFewError", "UnknownOperationError"]

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
        reset_site: Callable[[], None],
    ) -> None:
        self._info = info
        self._gates = gates
        self._failures = failures
        self._latency = latency
        self._tally = tally
        self._reset_site = reset_site
        self._operations: Mapping[str, Operation] = {
            operation.__name__: operation
            for operation in (
                self.clear,
                self.counters,
                self.drop_next,
                self.fail_next,
                self.hold,
                self.info,
                self.resume,
                self.set_latency,
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
        try:
            inspect.signature(operation).bind(**arguments)
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from None
        result = operation(**arguments)
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
        self._failures.clear()
        self._latency.clear()
        self._reset_site()
        self._tally.clear()

    def hold(self, *, method: Optional[str] = None, before: bool = False) -> None:
        """Hold requests from now on."""
        self._gates.hold(_method(method), before=_flag("before", before))

    def resume(self, *, method: Optional[str] = None, count: Optional[int] = None) -> int:
        """Let held requests go; returns how many."""
        return self._gates.resume(
            _method(method), None if count is None else _whole("count", count)
        )

    async def wait_for(
        self, *, n: int, method: Optional[str] = None, timeout: float = 10.0
    ) -> None:
        """Return once *n* requests are held.

        Raises:
            HeldTooFewError: They were fewer after *timeout* seconds.
        """
        wanted = _whole("n", n)
        limit = _seconds("timeout", timeout)
        if not await self._gates.wait_for(wanted, _method(method), limit):
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
            delay = Delay(_seconds("seconds", seconds), _seconds("jitter", jitter))
        self._latency.set(delay, _method(method))

    def fail_next(
        self,
        *,
        status: int,
        method: Optional[str] = None,
        count: int = 1,
        headers: Optional[Mapping[str, str]] = None,
        body: Optional[str] = None,
        body_base64: Optional[str] = None,
        after_execution: bool = False,
    ) -> None:
        """Answer the next requests with an HTTP status."""
        respond = failing_with(_status(status), _headers(headers), _body(body, body_base64))
        self._failures.add(
            Failure(
                respond,
                _method(method),
                _whole("count", count),
                _flag("after_execution", after_execution),
            )
        )

    def drop_next(
        self, *, method: Optional[str] = None, count: int = 1, after_execution: bool = False
    ) -> None:
        """Close the connection of the next requests in place of an answer."""
        self._failures.add(
            Failure(
                NoAnswer,
                _method(method),
                _whole("count", count),
                _flag("after_execution", after_execution),
            )
        )


def _method(value: object) -> Optional[str]:
    if value is None or (isinstance(value, str) and value):
        return value
    raise ValueError(f"method must be the name of a method such as 'read', or None, not {value!r}")


def _status(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599:
        return value
    raise ValueError(f"status must be an HTTP status from 200 to 599, not {value!r}")


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{name} must be true or false, not {value!r}")


def _whole(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def _seconds(name: str, value: object) -> float:
    number = -1.0 if isinstance(value, bool) or not isinstance(value, (int, float)) else value
    if math.isfinite(number) and number >= 0:
        return float(number)
    raise ValueError(f"{name} must be a number of seconds, 0 or more, not {value!r}")


def _headers(value: object) -> Optional[dict[str, str]]:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"headers must map names to values, not {value!r}")
    return {str(name): str(content) for name, content in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON


def _body(text: object, encoded: object) -> Optional[bytes]:
    if isinstance(text, str):
        return text.encode()
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError("body_base64 must be base64") from None
    if text is None and encoded is None:
        return None
    raise ValueError("body must be text or bytes")
