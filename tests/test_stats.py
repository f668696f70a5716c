"""What an executor tells of itself: numbers, events, traces, progress, the places of errors."""

from __future__ import annotations

import concurrent.futures
import json
import logging
import sys
import threading
import traceback
from typing import ClassVar

import pytest

from shotgun_executor import CallEvent, Retries, ShotgunExecutor, Times
from shotgun_executor.stats import BOUNDS
from shotgun_executor.telemetry import OpenTelemetryObserver, PrometheusCollector
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread

QUICK = Retries(3, first_wait=0.001)


def adds_up(stats):
    ended = stats.done + stats.failed + stats.cancelled
    return stats.submitted == ended + stats.waiting + stats.ready + stats.delayed + stats.running


def test_stats_show_where_calls_are(sandbox):
    """Each call is in one state, and all of them add up."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=2) as executor:
        gate = Gate()
        running = [executor.submit(gate, 1) for _ in range(2)]
        gate.wait_for(2)
        ready = [executor.submit(len, "ab") for _ in range(3)]
        blocked = executor.find("Shot", [["id", "is", running[0]]])
        ready[0].cancel()
        stats = executor.stats()
        assert (stats.submitted, stats.running, stats.ready, stats.waiting) == (6, 2, 2, 1)
        assert (stats.done, stats.failed, stats.cancelled, stats.delayed) == (0, 0, 1, 0)
        assert adds_up(stats)
        gate.open()
        concurrent.futures.wait([*running, *ready, blocked], LONG)
        assert blocked.result(0) == []
        assert executor.submit(int, "x").exception(LONG) is not None
        stats = executor.stats()
    assert (stats.done, stats.failed, stats.cancelled) == (5, 1, 1)
    assert adds_up(stats)
    assert stats.running == stats.ready == stats.waiting == 0


def test_stats_count_by_method_and_time(sandbox):
    """Calls, repeats and times are told by method; sockets by what became of them."""
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=2, retries=QUICK
    ) as executor:
        executor.connect()
        sandbox.fail_next("read", status=503, count=2)
        concurrent.futures.wait([executor.find("Shot", []) for _ in range(10)], LONG)
        assert executor.find("Nothing", []).exception(LONG)
        stats = executor.stats()
        find = stats.methods["find"]
        assert (find.done, find.failed, find.cancelled, find.repeated) == (10, 1, 0, 2)
        assert find.queue.count == find.run.count == 11
        assert stats.repeated == 2
        assert 1 <= stats.connect.count <= 2
        assert stats.server.count == sum(sandbox.counters().requests.values())
        assert 0 < stats.server.mean <= stats.server.longest < LONG
        assert stats.limit == 2
        assert 1 <= stats.limit_now <= 2
        assert 1 <= stats.connections_leased + stats.connections_idle <= 2
        executor.close()
    assert sum(executor.stats().closed.values()) == executor.stats().connect.count


def test_sockets_are_counted_by_why_they_were_closed(sandbox):
    """Closed by the site, failed, or no longer wanted: the numbers say which."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1, retries=0) as executor:
        executor.connect()
        sandbox.close_idle()
        executor.connect()
        sandbox.fail_next("read", "drop")
        assert executor.find("Shot", []).exception(LONG)
        executor.connect()
    closed = executor.stats().closed
    assert closed == {
        "closed by the site while idle": 1,
        "a request failed": 1,
        "no longer wanted": 1,
    }


def test_stats_add_up_while_all_is_in_motion():
    """A snapshot is of one moment, whatever eight workers and four clients do meanwhile."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=8) as executor:
        stop = threading.Event()

        def client():
            while not stop.is_set():
                futures = [executor.submit(int, word) for word in ("1", "x", "2")]
                futures[0].cancel()
                concurrent.futures.wait(futures, LONG)

        joins = [in_thread(client) for _ in range(4)]
        seen = [executor.stats() for _ in range(300)]
        stop.set()
        for join in joins:
            join()
    assert all(adds_up(stats) and stats.running >= 0 for stats in seen)
    assert seen[-1].submitted > 0


def test_times_are_sorted_into_classes():
    """Each measurement is in one class, those that are longer than any bound in the last."""
    assert len(Times().classes) == len(BOUNDS) + 1
    assert str(Times()) == "0 times, 0 s on average, 0 s at most"


# Events


def test_observer_is_told_of_each_step(sandbox):
    """Submitted, started, repeated, started, ended: with the attempt, the thread and the error."""
    events: list[CallEvent] = []
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=1, retries=QUICK
    ) as executor:
        executor.connect()
        executor.add_observer(events.append)
        sandbox.fail_next("read", status=503)
        executor.find("Shot", []).result(LONG)
        executor.remove_observer(events.append)
        executor.find("Shot", []).result(LONG)
    kinds = [(event.kind, event.attempt) for event in events]
    assert kinds == [
        ("submitted", 0),
        ("started", 1),
        ("repeated", 1),
        ("started", 2),
        ("ended", 2),
    ]
    assert {event.call for event in events} == {events[0].call}
    assert {(event.method, event.label) for event in events} == {("find", "find Shot")}
    assert "503" in str(events[2].error)
    assert events[4].error is None
    assert events[1].thread.startswith("ShotgunExecutor-")
    moments = [event.moment for event in events]
    assert moments == sorted(moments)


def test_observer_is_told_of_calls_that_never_run():
    """A call that is cancelled in the queue ends, too, without having started."""
    events: list[CallEvent] = []
    gate = Gate()
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        executor.submit(gate)
        gate.wait_for(1)
        executor.add_observer(events.append)
        executor.submit(len, "").cancel()
        gate.open()
    mine = [event for event in events if event.label == "len"]
    assert [(event.kind, event.cancelled) for event in mine] == [
        ("submitted", False),
        ("ended", True),
    ]


def test_observer_that_fails_harms_no_call(caplog):
    """What an observer raises is logged."""
    caplog.set_level(logging.ERROR, "shotgun_executor")
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        executor.add_observer(lambda event: 1 / 0)
        assert executor.submit(len, "ab").result(LONG) == 2
        with pytest.raises(TypeError, match="observer must be a function"):
            executor.add_observer("print")
    assert "an observer of calls failed" in caplog.text


# Traces


def traced(executor, sandbox, path):
    with executor.trace(path) as trace:
        sandbox.fail_next("read", status=503)
        futures = [executor.find("Shot", []) for _ in range(6)]
        futures.append(executor.submit(int, "x"))
        concurrent.futures.wait(futures, LONG)
    return trace


def test_trace_is_a_file_for_chrome(sandbox, tmp_path):
    """Each attempt is a bar on the row of its worker, with its outcome."""
    path = tmp_path / "trace.json"
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=2, retries=QUICK
    ) as executor:
        executor.connect()
        traced(executor, sandbox, path)
    events = json.loads(path.read_text())["traceEvents"]
    bars = [event for event in events if event["ph"] == "X"]
    outcomes = sorted(bar["args"]["outcome"] for bar in bars)
    assert outcomes == ["ProtocolError, repeated", "ValueError, failed", *["done"] * 6]
    assert {bar["name"] for bar in bars} == {"find Shot", "int"}
    rows = {event["tid"] for event in events if event["ph"] == "M"}
    assert {bar["tid"] for bar in bars} == rows
    assert all(bar["dur"] > 0 and bar["ts"] >= 0 for bar in bars)
    assert sandbox.api_key not in path.read_text()


@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG")])
def test_trace_is_a_picture_for_people(sandbox, tmp_path, name, start):
    """An SVG or PNG, by its name."""
    pytest.importorskip("matplotlib")
    path = tmp_path / name
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=2, retries=QUICK
    ) as executor:
        traced(executor, sandbox, path)
    assert path.read_bytes().startswith(start)


def test_trace_of_an_unknown_kind_is_refused(tmp_path, monkeypatch):
    """Before anything is recorded; also a picture without matplotlib."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        with pytest.raises(ValueError, match=r"path must end in \.json, \.svg or \.png"):
            executor.trace(tmp_path / "trace.txt")
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ImportError, match="pip install matplotlib"):
            executor.trace(tmp_path / "trace.svg")


# Adapters


def test_spans_for_opentelemetry(sandbox):
    """A span for each attempt, with its outcome, and nothing of the arguments."""
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=1, retries=QUICK
    ) as executor:
        executor.connect()
        executor.add_observer(OpenTelemetryObserver(provider.get_tracer("test")))
        sandbox.fail_next("read", status=503)
        executor.find("Shot", [["code", "is", "hidden"]]).result(LONG)
        assert executor.submit(int, "x").exception(LONG)
    spans = exporter.get_finished_spans()
    found = [(span.name, span.attributes["shotgun.outcome"]) for span in spans]
    assert found == [("find", "repeated"), ("find", "done"), ("submit", "failed")]
    assert spans[0].attributes["error.type"] == "ProtocolError"
    assert all(span.start_time < span.end_time for span in spans)
    assert "hidden" not in str([span.to_json() for span in spans])
    provider.shutdown()


def test_metrics_for_prometheus(sandbox):
    """The numbers of stats(), as Prometheus reads them."""
    prometheus = pytest.importorskip("prometheus_client")
    registry = prometheus.CollectorRegistry()
    with ShotgunExecutor(sandbox.url, **sandbox.credentials) as executor:
        registry.register(PrometheusCollector(executor, "tool"))
        executor.find("Shot", []).result(LONG)
        assert executor.find("Nothing", []).exception(LONG)
        text = prometheus.generate_latest(registry).decode()
    wanted = [
        'shotgun_calls_total{executor="tool",method="find",outcome="done"} 1.0',
        'shotgun_calls_total{executor="tool",method="find",outcome="failed"} 1.0',
        'shotgun_calls_now{executor="tool",state="ready"} 0.0',
        'shotgun_limit{executor="tool"} 8.0',
        'shotgun_server_seconds_count{executor="tool"} 3.0',
        'shotgun_server_seconds_bucket{executor="tool",le="+Inf"} 3.0',
    ]
    assert [line for line in wanted if line not in text] == []


# Errors


def test_error_says_where_its_call_was_submitted(sandbox):
    """The note names the call, and the file and line that submitted it; no argument."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials) as executor:
        error = executor.find("Nothing", [["code", "is", "hidden"]]).exception(LONG)
        notes = "".join(error.__notes__)
        assert notes.startswith("find Nothing, submitted at ")
        assert "test_stats.py:" in notes
        assert "hidden" not in notes
        if sys.version_info >= (3, 11):
            assert "submitted at" in "".join(traceback.format_exception(error))
        mapped = executor.map_outcomes(int, ["x"])
        assert "test_stats.py:" in next(mapped).error.__notes__[0]


def test_error_that_is_raised_by_several_calls_is_noted_once_for_each(sandbox):
    """One exception object that many calls raise does not collect the same note again."""
    shared = ValueError("shared")

    def fail():
        raise shared

    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        for _ in range(3):
            assert executor.submit(fail).exception(LONG) is shared
    assert len(shared.__notes__) == 1


def test_saturation_shows_the_state_of_the_executor():
    """Errors of a full executor, and of deadlines, end with its status line."""
    gate = Gate()
    with ShotgunExecutor(
        NOWHERE, **KEYS, max_workers=1, max_pending=1, when_full="raise"
    ) as executor:
        executor.submit(gate)
        gate.wait_for(1)
        late = executor.options(deadline=0.3).submit(len, "")
        with pytest.raises(Exception, match=r"1 of 1 workers at work, 1 calls waiting"):
            executor.submit(len, "")
        assert "1 of 1 workers at work" in str(late.exception(LONG))
        gate.open()


# Progress


class Bar:
    """Stands in for tqdm's bar, whose output is no business of ours."""

    made: ClassVar[list[Bar]] = []

    def __init__(self, **arguments):
        self.arguments, self.count, self.closed = arguments, 0, 0
        self.made.append(self)

    def update(self, count=1):
        self.count += count

    def close(self):
        self.closed += 1


@pytest.fixture
def bars(monkeypatch):
    tqdm = pytest.importorskip("tqdm.auto")
    monkeypatch.setattr(Bar, "made", [])
    monkeypatch.setattr(tqdm, "tqdm", Bar)
    return Bar.made


def test_progress_counts_completions(bars):
    """The bar moves when calls are done, not when their results are asked for."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        results = executor.map(len, ["a", "bb", "ccc"], progress="Words")
        executor.shutdown()
        (bar,) = bars
        assert (bar.arguments, bar.count) == ({"total": 3, "desc": "Words"}, 3)
        assert list(results) == [1, 2, 3]
    assert bar.closed == 1


def test_progress_of_an_iterator_has_no_total(bars):
    """How many there will be is not known; and a bar that is left behind is closed."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        with executor.map_outcomes(int, iter(["1", "x"]), progress=True) as outcomes:
            assert [outcome.ok for outcome in outcomes] == [True, False]
    assert bars[0].arguments == {"total": None, "desc": None}
    assert (bars[0].count, bars[0].closed) == (2, 1)


def test_progress_without_tqdm_shows_nothing(monkeypatch):
    """Code that asks for a bar runs where tqdm is not installed."""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        assert list(executor.map(len, ["a"], progress=True)) == [1]
