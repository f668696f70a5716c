"""Calls for OpenTelemetry, and numbers for Prometheus.

Both are adapters to packages that are not needed otherwise: ``pip install
"shotgun-executor[opentelemetry]"`` and ``"shotgun-executor[prometheus]"``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from shotgun_executor.stats import BOUNDS, Times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Tracer

    from shotgun_executor.executor import ShotgunExecutor
    from shotgun_executor.observing import CallEvent

__all__ = ["OpenTelemetryObserver", "PrometheusCollector"]


class OpenTelemetryObserver:
    """Makes a span of each attempt of each call.

    ::

        executor.add_observer(OpenTelemetryObserver())

    Spans are named by the method, and have as attributes ``shotgun.call`` (its number),
    ``shotgun.label`` (method and entity type), ``shotgun.attempt``, ``shotgun.worker``, and
    ``shotgun.outcome``: done, failed, cancelled, repeated or suspended. No argument is among them.

    Args:
        tracer: Where the spans go; that of the global provider unless told.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        from opentelemetry import trace

        self._status: Any = trace.StatusCode.ERROR
        self._kind: Any = trace.SpanKind.CLIENT
        self._tracer: Any = tracer or trace.get_tracer("shotgun_executor")
        self._spans: dict[int, Any] = {}  # by the number of the call; an attempt runs at a time

    def __call__(self, event: CallEvent) -> None:
        """An event of a call; for ``executor.add_observer``."""
        if event.kind == "started":
            self._spans[event.call] = self._tracer.start_span(
                event.method,
                kind=self._kind,
                start_time=_epoch(event.moment),
                attributes={
                    "shotgun.call": event.call,
                    "shotgun.label": event.label,
                    "shotgun.attempt": event.attempt,
                    "shotgun.worker": event.thread,
                },
            )
        elif event.kind in ("repeated", "suspended", "ended"):
            span = self._spans.pop(event.call, None)
            if span is not None:
                self._end(span, event)

    def _end(self, span: Any, event: CallEvent) -> None:
        if event.error is not None:
            span.set_attribute("error.type", type(event.error).__name__)
            span.set_status(self._status)
        span.set_attribute("shotgun.outcome", _outcome(event))
        span.end(end_time=_epoch(event.moment))


class PrometheusCollector:
    """Shows ``executor.stats()`` to Prometheus, read anew at each scrape.

    ::

        prometheus_client.REGISTRY.register(PrometheusCollector(executor))

    Args:
        executor: Whose numbers.
        name: The value of the label ``executor``, which tells several executors apart.
    """

    def __init__(self, executor: ShotgunExecutor, name: str = "default") -> None:
        self._executor = executor
        self._name = name

    def collect(self) -> Iterator[Any]:
        """The metrics; called by ``prometheus_client``."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        stats = self._executor.stats()
        calls = CounterMetricFamily(
            "shotgun_calls", "Calls that have ended", labels=["executor", "method", "outcome"]
        )
        repeats = CounterMetricFamily(
            "shotgun_repeats", "Calls that were made again", labels=["executor", "method"]
        )
        for method, of in stats.methods.items():
            for outcome in ("done", "failed", "cancelled"):
                calls.add_metric([self._name, method, outcome], getattr(of, outcome))
            repeats.add_metric([self._name, method], of.repeated)
        yield calls
        yield repeats
        now = GaugeMetricFamily(
            "shotgun_calls_now", "Calls that wait or run", labels=["executor", "state"]
        )
        for state in ("waiting", "ready", "delayed", "running"):
            now.add_metric([self._name, state], getattr(stats, state))
        yield now
        limit = GaugeMetricFamily(
            "shotgun_limit", "Calls that may run at a time now", labels=["executor"]
        )
        limit.add_metric([self._name], stats.limit_now)
        yield limit
        connections = GaugeMetricFamily(
            "shotgun_connections", "Connections by state", labels=["executor", "state"]
        )
        connections.add_metric([self._name, "idle"], stats.connections_idle)
        connections.add_metric([self._name, "leased"], stats.connections_leased)
        yield connections
        for family, text, times in (
            ("shotgun_connect_seconds", "Time to open a socket", stats.connect),
            ("shotgun_server_seconds", "Time until the site answers", stats.server),
        ):
            metric = HistogramMetricFamily(family, text, labels=["executor"])
            metric.add_metric([self._name], _buckets(times), times.seconds)
            yield metric


def _buckets(times: Times) -> list[tuple[str, float]]:
    """The classes as Prometheus wants them: each with all below it."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), times.classes):
        total += count
        buckets.append((bound, total))
    return buckets


def _outcome(event: CallEvent) -> str:
    if event.cancelled:
        return "cancelled"
    if event.kind in ("repeated", "suspended"):
        return event.kind
    return "done" if event.error is None else "failed"


def _epoch(moment: float) -> int:
    """A moment of ``time.monotonic()`` in nanoseconds since 1970."""
    return time.time_ns() - int((time.monotonic() - moment) * 1e9)
