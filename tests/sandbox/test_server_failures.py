"""Requests that fail on cue."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Callable

import pytest
import shotgun_api3

from tests.sandbox.http_support import (
    LONG,
    RawClient,
    address,
    new_project,
    receive_all,
)

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from shotgun_executor.sandbox import Sandbox


@pytest.mark.parametrize("status", [204, 302, 400, 403, 404, 413, 429, 500, 502, 503, 504, 599])
def test_next_request_gets_the_status(raw: RawClient, sandbox: Sandbox, status: int) -> None:
    """fail_next() answers one request with the status, and the next as ever, on one connection."""
    sandbox.fail_next(status=status)
    raw.send("info")
    assert raw.receive()[0] == status
    raw.call("info")
    assert sandbox.counters().connections == 1
    assert sandbox.counters().requests == {"info": 2}


def test_failure_carries_headers_and_body(raw: RawClient, sandbox: Sandbox) -> None:
    """Headers and body of a failure are those that were given."""
    headers = {"Retry-After": "2", "Content-Type": "text/plain"}
    sandbox.fail_next(status=503, headers=headers, body="bis später")
    response, body = raw.ask("POST", "/api3/json", raw.body("info"))
    assert response.getheader("Retry-After") == "2"
    assert response.getheader("Content-Type") == "text/plain"
    assert body.decode() == "bis später"
    sandbox.fail_next(status=200, body=b"\xff\x00")
    assert raw.ask("POST", "/api3/json", raw.body("info"))[1] == b"\xff\x00"


def test_failure_may_end_the_connection(raw: RawClient, sandbox: Sandbox) -> None:
    """A failure with "Connection: close" closes the connection after it."""
    sandbox.fail_next(status=503, headers={"Connection": "close"})
    body = raw.body("info")
    with socket.create_connection(address(sandbox), timeout=LONG) as line:
        line.sendall(b"POST /api3/json HTTP/1.1\r\nHost: x\r\n")
        line.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = receive_all(line)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"connection: close" in answer.lower()
    assert sandbox.counters().open_connections == 0


def test_failed_request_is_not_executed(raw: RawClient, sandbox: Sandbox) -> None:
    """A request that fails has no effect, unless it is to fail after its execution."""
    sandbox.fail_next(status=503)
    raw.send("create", new_project("Pilot"))
    assert raw.receive()[0] == 503
    assert sandbox.counters().writes == 0
    sandbox.fail_next(status=504, after_execution=True)
    raw.send("create", new_project("Pilot"))
    assert raw.receive()[0] == 504
    assert sandbox.counters().writes == 1


def test_failure_waits_for_its_method(raw: RawClient, sandbox: Sandbox) -> None:
    """fail_next(method) spares other methods, and strikes *count* times."""
    sandbox.fail_next("create", status=500, count=2)
    raw.call("info")
    statuses = []
    for name in ("P1", "P2", "P3"):
        raw.send("create", new_project(name))
        statuses.append(raw.receive()[0])
    assert statuses == [500, 500, 200]


def test_failures_strike_in_order(raw: RawClient, sandbox: Sandbox) -> None:
    """Of several failures the one that was asked for first strikes first."""
    sandbox.fail_next(status=500)
    sandbox.fail_next("info", status=501)
    sandbox.fail_next(status=502)
    statuses = []
    for _ in range(4):
        raw.send("info")
        statuses.append(raw.receive()[0])
    assert statuses == [500, 501, 502, 200]


def test_official_client_sees_the_status(client: shotgun_api3.Shotgun, sandbox: Sandbox) -> None:
    """The official client raises its ProtocolError for a failure."""
    sandbox.fail_next("read", status=429)
    with pytest.raises(shotgun_api3.ProtocolError) as caught:
        client.find("Project", [])
    assert caught.value.errcode == 429


def test_dropped_request_gets_no_answer(connect: Callable[[], RawClient], sandbox: Sandbox) -> None:
    """drop_next() closes the connection instead of answering; nothing was executed."""
    sandbox.drop_next("create")
    raw = connect()
    raw.send("create", new_project("Pilot"))
    with pytest.raises(http.client.RemoteDisconnected):
        raw.receive()
    assert sandbox.counters().writes == 0
    counters = sandbox.counters()
    assert (counters.in_flight, counters.open_connections) == (0, 0)
    connect().create_project("Pilot")
    assert sandbox.log() == ""


def test_dropped_after_execution_is_sent_twice_by_the_official_client(
    client: shotgun_api3.Shotgun, sandbox: Sandbox
) -> None:
    """With drop_next(after_execution=True) the official client writes twice, as on a real site."""
    sandbox.drop_next("create", after_execution=True)
    client.create("Group", {"code": "Pilot"})  # names of projects are unique, those of groups not
    assert sandbox.counters().writes == 2
    assert len(client.find("Group", [["code", "is", "Pilot"]])) == 2


def test_held_request_may_fail_later(
    raw: RawClient, sandbox: Sandbox, background: ThreadPoolExecutor
) -> None:
    """What happens to a request is decided when it is executed, so a held one can still fail."""
    sandbox.hold(before=True)
    raw.send("info")
    sandbox.wait_for(1)
    sandbox.fail_next(status=503)
    sandbox.resume()
    assert raw.receive()[0] == 503


def test_failing_answer_can_be_held(raw: RawClient, sandbox: Sandbox) -> None:
    """A failure is held like an answer: a test chooses the moment of the drop."""
    sandbox.hold()
    sandbox.drop_next(after_execution=True)
    raw.send("create", new_project("Pilot"))
    sandbox.wait_for(1)
    assert sandbox.counters().writes == 1
    sandbox.resume()
    with pytest.raises(http.client.RemoteDisconnected):
        raw.receive()


def test_clear_forgets_failures(raw: RawClient, sandbox: Sandbox) -> None:
    """After clear() nothing fails."""
    sandbox.fail_next(status=500, count=100)
    sandbox.drop_next(count=100)
    sandbox.clear()
    raw.call("info")
