"""What a sandbox counts: the running tally inside the server, and the copy that is handed out."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shotgun_executor.sandbox.connections import Connections

__all__ = ["Counters", "Tally"]


@dataclasses.dataclass(frozen=True)
class Counters:
    """What the site saw since it started or was last cleared.

    Requests to the control address, and connections that carry only those, are never counted.

    Attributes:
        requests: Requests that were read, by the name of the method (``""`` if the body names
            none), or of the route: ``upload_file``, ``storage_put``, ``file_serve``, ...
        total: Requests that were read.
        writes: Executed creates, updates, deletes, revives and uploads; each member of a batch is
            one.
        connections: Connections that have carried a request.
        open_connections: Those of ``connections`` that are open now.
        in_flight: Requests that were read and whose answer was not yet written.
        peak_in_flight: The highest ``in_flight`` there has been.
        held: Requests that a ``hold`` keeps waiting now.
        bytes_received: Size of the request bodies.
        bytes_sent: Size of the bodies of the answers, as sent.
        cpu_seconds: Processor time that the process has used.
        internal_errors: Requests in which the sandbox itself failed; always 0 unless it has a bug.
    """

    requests: dict[str, int]
    total: int
    writes: int
    connections: int
    open_connections: int
    in_flight: int
    peak_in_flight: int
    held: int
    bytes_received: int
    bytes_sent: int
    cpu_seconds: float
    internal_errors: int

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Counters:
        """The counters that a sandbox sent."""
        return cls(**values)


class Tally:
    """The counters as the server keeps them; used by its event loop alone.

    Args:
        connections: Those of the server.
    """

    def __init__(self, connections: Connections) -> None:
        self._known = connections
        self.in_flight = 0
        self.clear()

    def clear(self) -> None:
        """Start again at nought. What is in flight stays so, and is the new peak."""
        self._requests: dict[str, int] = {}
        self._peak = self.in_flight
        self._writes = 0
        self._received = 0
        self._sent = 0
        self._cpu_start = time.process_time()
        self.internal_errors = 0

    def arrived(self, size: int) -> None:
        """A request of *size* bytes was read: it is in flight until :meth:`left`."""
        self._received += size
        self.in_flight += 1
        if self.in_flight > self._peak:
            self._peak = self.in_flight

    def named(self, method: str) -> None:
        """A request that arrived calls *method*."""
        self._requests[method] = self._requests.get(method, 0) + 1

    def executed(self, writes: int) -> None:
        """A request was executed that wrote *writes* times."""
        self._writes += writes

    def sent(self, size: int) -> None:
        """An answer with a body of *size* bytes was written."""
        self._sent += size

    def left(self) -> None:
        """A request is over: answered, or without anyone to answer."""
        self.in_flight -= 1

    def counters(self, held: int) -> Counters:
        """A copy for handing out."""
        return Counters(
            requests=dict(self._requests),
            total=sum(self._requests.values()),
            writes=self._writes,
            connections=self._known.count,
            open_connections=self._known.open,
            in_flight=self.in_flight,
            peak_in_flight=self._peak,
            held=held,
            bytes_received=self._received,
            bytes_sent=self._sent,
            cpu_seconds=time.process_time() - self._cpu_start,
            internal_errors=self.internal_errors,
        )
