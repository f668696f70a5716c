"""What the sandbox counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

import pytest

from tests.sandbox.http_support import LONG, RawClient, new_project, wait_until

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import shotgun_api3

    from shotgun_executor.sandbox import Sandbox


def test_requests_are_counted_by_method(client: shotgun_api3.Shotgun, sandbox: Sandbox) -> None:
    """Each request counts for its method as it is called on the wire."""
    project = client.create("Project", {"name": "Pilot"})
    client.find("Project", [])
    client.find_one("Project", [["id", "is", project["id"]]])
    client.update("Project", project["id"], {"name": "Pilot 2"})
    counters = sandbox.counters()
    assert counters.requests == {"info": 1, "create": 1, "read": 2, "update": 1}
    assert counters.total == 5


def test_executed_writes_are_counted(client: shotgun_api3.Shotgun, sandbox: Sandbox) -> None:
    """Creates, updates, deletes, revives and each member of a batch are writes; reads are not."""
    project = client.create("Project", {"name": "Pilot"})
    client.update("Project", project["id"], {"name": "Pilot 2"})
    client.delete("Project", project["id"])
    client.revive("Project", project["id"])
    client.find("Project", [])
    assert sandbox.counters().writes == 4
    client.batch(
        [
            {"request_type": "create", "entity_type": "Project", "data": {"name": f"P{n}"}}
            for n in range(3)
        ]
    )
    assert sandbox.counters().writes == 7


def test_refused_writes_are_not_counted(raw: RawClient, sandbox: Sandbox) -> None:
    """A write that the site refuses is a request, and no write."""
    raw.send("create", {"type": "NoSuchType", "fields": [], "return_fields": ["id"]})
    assert raw.receive()[1]["exception"]
    raw.send("batch", [{"request_type": "create", "type": "NoSuchType", "fields": []}])
    assert raw.receive()[1]["exception"]
    assert sandbox.counters().requests == {"create": 1, "batch": 1}
    assert sandbox.counters().writes == 0


def test_connections_are_counted_once_used(
    connect: Callable[[], RawClient], sandbox: Sandbox
) -> None:
    """A connection counts from its first RPC request on, and is open until it is closed."""
    first, second, silent = connect(), connect(), connect()
    silent.http.connect()
    for client in (first, second, first):
        client.call("info")
    assert sandbox.counters().connections == 2
    assert sandbox.counters().open_connections == 2
    first.http.close()
    assert sandbox.counters().connections == 2
    assert sandbox.counters().open_connections == 1


def test_control_is_not_counted(sandbox: Sandbox) -> None:
    """Steering a sandbox leaves its counters alone."""
    for _ in range(3):
        sandbox.hold()
        sandbox.resume()
        sandbox.info()
    counters = sandbox.counters()
    assert (counters.total, counters.requests) == (0, {})
    assert (counters.connections, counters.open_connections) == (0, 0)
    assert (counters.in_flight, counters.peak_in_flight) == (0, 0)


def test_peak_in_flight_with_sixteen_threads(
    new_client: Callable[[], shotgun_api3.Shotgun], sandbox: Sandbox, background: ThreadPoolExecutor
) -> None:
    """Sixteen threads with a client each are sixteen requests in flight at once."""
    clients = [new_client() for _ in range(16)]
    sandbox.hold("read")
    calls = [background.submit(client.find, "Project", []) for client in clients]
    sandbox.wait_for(16, "read")
    assert sandbox.counters().in_flight == 16
    sandbox.resume()
    for call in calls:
        call.result(LONG)
    counters = sandbox.counters()
    assert (counters.in_flight, counters.peak_in_flight) == (0, 16)
    assert counters.connections == 16


def test_answered_request_is_no_longer_in_flight(raw: RawClient, sandbox: Sandbox) -> None:
    """Whoever has an answer in hand finds nothing in flight."""
    for _ in range(50):
        raw.call("info")
        assert sandbox.counters().in_flight == 0
    assert sandbox.counters().peak_in_flight == 1


def test_clear_starts_again_at_nought(raw: RawClient, sandbox: Sandbox) -> None:
    """After clear() nothing is counted; a connection that stays open counts at its next request."""
    raw.create_project("Pilot")
    sandbox.clear()
    counters = sandbox.counters()
    assert (counters.total, counters.writes, counters.bytes_received) == (0, 0, 0)
    assert (counters.connections, counters.open_connections) == (0, 0)
    assert counters.peak_in_flight == 0
    raw.call("info")
    assert sandbox.counters().connections == 1


def test_clear_keeps_what_is_in_flight(raw: RawClient, sandbox: Sandbox) -> None:
    """A request that is in flight over clear() stays in flight until it is answered."""
    sandbox.set_latency(0.3, "info")
    raw.send("info")
    wait_until(lambda: sandbox.counters().in_flight == 1)
    sandbox.clear()
    assert sandbox.counters().in_flight == 1
    assert sandbox.counters().peak_in_flight == 1
    raw.receive()
    assert sandbox.counters().in_flight == 0


def test_bytes_are_counted(raw: RawClient, sandbox: Sandbox) -> None:
    """The sizes of the bodies are counted, both ways."""
    body = raw.body("info")
    _, answer = raw.ask("POST", "/api3/json", body)
    assert sandbox.counters().bytes_received == len(body)
    assert sandbox.counters().bytes_sent == len(answer)


def test_lost_client_leaves_no_trace(raw: RawClient, sandbox: Sandbox) -> None:
    """A client that goes away while its request waits is neither in flight nor connected."""
    sandbox.hold()
    raw.send("info")
    sandbox.wait_for(1)
    raw.http.close()
    wait_until(lambda: sandbox.counters().held == 0)
    counters = sandbox.counters()
    assert (counters.in_flight, counters.open_connections, counters.total) == (0, 0, 1)


def test_counters_are_a_copy(raw: RawClient, sandbox: Sandbox) -> None:
    """Counters do not change once they are handed out, and cannot be set."""
    before = sandbox.counters()
    raw.call("create", new_project("Pilot"))
    assert before.total == 0
    with pytest.raises(AttributeError):
        before.total = 1  # type: ignore[misc]
