"""Answers that take longer."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Callable

import pytest

from shotgun_executor.sandbox import Sandbox
from shotgun_executor.sandbox.latency import Delay, Latency, parse_delay
from tests.sandbox.http_support import RawClient

if TYPE_CHECKING:
    import shotgun_api3


def test_latency_is_added_to_each_answer(client: shotgun_api3.Shotgun, sandbox: Sandbox) -> None:
    """An answer takes the latency at least, from when it is set to when it is taken back."""
    sandbox.set_latency(0.15)
    assert seconds_of(client) >= 0.15
    sandbox.set_latency(0)
    assert seconds_of(client) < 0.15


def test_requests_wait_out_their_latency_together(
    connect: Callable[[], RawClient], sandbox: Sandbox
) -> None:
    """A hundred answers with latency take hardly longer than one."""
    sandbox.set_latency(0.3)
    clients = [connect() for _ in range(100)]
    start = time.monotonic()
    for client in clients:
        client.send("info")
    assert {client.receive()[0] for client in clients} == {200}
    assert 0.3 <= time.monotonic() - start < 3.0
    assert sandbox.counters().peak_in_flight == 100


def test_request_is_executed_before_its_latency(raw: RawClient, sandbox: Sandbox) -> None:
    """What takes long is the answer: a client that gives up has still written."""
    sandbox.set_latency(5.0, "create")
    raw.http.timeout = 0.2
    with pytest.raises(socket.timeout):
        raw.create_project("Pilot")
    assert sandbox.counters().writes == 1


def test_method_has_a_latency_of_its_own(raw: RawClient, sandbox: Sandbox) -> None:
    """A latency for a method counts for it alone, until None gives it back to the general one."""
    sandbox.set_latency(0.15, "info")
    assert timed(lambda: raw.create_project("Pilot")) < 0.15
    assert timed(lambda: raw.call("info")) >= 0.15
    sandbox.set_latency(None, "info")
    assert timed(lambda: raw.call("info")) < 0.15


def test_latency_from_the_start_comes_back_with_clear() -> None:
    """clear() sets the latency that the sandbox was started with."""
    with Sandbox(latency=0.15) as sandbox:
        raw = RawClient(sandbox)
        try:
            assert timed(lambda: raw.call("info")) >= 0.15
            sandbox.set_latency(0)
            assert timed(lambda: raw.call("info")) < 0.15
            sandbox.clear()
            assert timed(lambda: raw.call("info")) >= 0.15
        finally:
            raw.http.close()


def test_jitter_is_spread_and_repeatable() -> None:
    """Jitter spreads delays evenly around the latency, the same way for the same seed."""
    first, again = (
        [Latency(Delay(0.1, 0.05), seed).draw("read") for _ in range(1)] for seed in (1, 1)
    )
    assert first == again
    latency = Latency(Delay(0.1, 0.05), seed=1)
    drawn = [latency.draw("read") for _ in range(500)]
    assert min(drawn) >= 0.05
    assert max(drawn) <= 0.15
    assert min(drawn) < 0.06
    assert max(drawn) > 0.14
    latency.clear()
    assert [latency.draw("read") for _ in range(500)] == drawn
    assert Latency(Delay(0.1, 0.05), seed=2).draw("read") != drawn[0]


def test_jitter_larger_than_the_latency_is_cut_at_nought() -> None:
    """No answer takes less than no time."""
    latency = Latency(Delay(0.01, 0.1), seed=1)
    assert min(latency.draw("read") for _ in range(100)) == 0


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("0.05", Delay(0.05)),
        (".5", Delay(0.5)),
        ("2", Delay(2.0)),
        ("2s", Delay(2.0)),
        ("80ms", Delay(0.08)),
        ("80 ms", Delay(0.08)),
        ("80ms±20", Delay(0.08, 0.02)),
        ("80ms ± 20ms", Delay(0.08, 0.02)),
        ("80ms+-20", Delay(0.08, 0.02)),
        ("1s±200ms", Delay(1.0, 0.2)),
        ("0.1±0.05", Delay(0.1, 0.05)),
    ],
)
def test_delay_is_read_from_text(text: str, delay: Delay) -> None:
    """A latency is written in seconds or milliseconds, with or without jitter."""
    assert parse_delay(text) == delay


@pytest.mark.parametrize("text", ["", "fast", "-1", "80ns", "80ms±", "1e3", "nan", "±20"])
def test_senseless_delay_is_refused(text: str) -> None:
    """What is no latency is refused with an example of one."""
    with pytest.raises(ValueError, match="80ms±20"):
        parse_delay(text)


def seconds_of(client: shotgun_api3.Shotgun) -> float:
    """What one call takes."""
    return timed(lambda: client.find_one("Project", [["id", "is", 1]]))


def timed(do: Callable[[], object]) -> float:
    """What *do* takes."""
    start = time.monotonic()
    do()
    return time.monotonic() - start
