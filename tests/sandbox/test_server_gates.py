"""Holding requests, waiting for them, and letting them go."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable

import pytest

from tests.sandbox.http_support import LONG, RawClient, count_projects, new_project, wait_until

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import shotgun_api3

    from shotgun_executor.sandbox import Sandbox


def test_held_answer_waits_after_execution(
    client: shotgun_api3.Shotgun, sandbox: Sandbox, background: ThreadPoolExecutor
) -> None:
    """hold() executes the request and keeps its answer until resume()."""
    sandbox.hold("create")
    call = background.submit(client.create, "Project", {"name": "Pilot"})
    sandbox.wait_for(1, "create")
    assert sandbox.counters().writes == 1
    assert not call.done()
    assert sandbox.resume() == 1
    assert call.result(LONG)["name"] == "Pilot"


def test_held_request_waits_unexecuted(
    client: shotgun_api3.Shotgun,
    new_client: Callable[[], shotgun_api3.Shotgun],
    sandbox: Sandbox,
    background: ThreadPoolExecutor,
) -> None:
    """hold(before=True) keeps the request itself; nobody sees its effect until resume()."""
    sandbox.hold("create", before=True)
    call = background.submit(client.create, "Project", {"name": "Pilot"})
    sandbox.wait_for(1)
    assert sandbox.counters().writes == 0
    assert sandbox.counters().requests["create"] == 1
    other = new_client()
    assert count_projects(other, "Pilot") == 0
    sandbox.resume()
    call.result(LONG)
    assert count_projects(other, "Pilot") == 1
    assert sandbox.counters().requests["create"] == 1


def test_only_the_named_method_is_held(raw: RawClient, sandbox: Sandbox) -> None:
    """hold(method) lets the requests of other methods pass."""
    sandbox.hold("create")
    raw.call("info")
    assert sandbox.counters().held == 0


def test_resume_lets_the_oldest_go(connect: Callable[[], RawClient], sandbox: Sandbox) -> None:
    """resume(count=k) lets the k oldest go and holds on."""
    sandbox.hold("create")
    clients = [connect() for _ in range(4)]
    for number, client in enumerate(clients, 1):
        client.send("create", new_project(f"P{number}"))
        sandbox.wait_for(number)
    assert sandbox.resume(count=2) == 2
    assert [client.receive()[0] for client in clients[:2]] == [200, 200]
    assert sandbox.counters().held == 2
    late = connect()
    late.send("create", new_project("P5"))
    sandbox.wait_for(3)
    assert sandbox.resume() == 3
    for client in [*clients[2:], late]:
        assert client.receive()[0] == 200


def test_resume_of_a_method_leaves_others_held(
    connect: Callable[[], RawClient], sandbox: Sandbox
) -> None:
    """resume(method) lets that method pass from now on, even if everything is held."""
    sandbox.hold()
    reader, writer = connect(), connect()
    reader.send("info")
    writer.send("create", new_project("Pilot"))
    sandbox.wait_for(2)
    assert sandbox.resume("create") == 1
    assert writer.receive()[0] == 200
    writer.create_project("Pilot 2")
    assert sandbox.counters().held == 1
    assert sandbox.resume() == 1
    assert reader.receive()[0] == 200


def test_request_may_be_held_twice(raw: RawClient, sandbox: Sandbox) -> None:
    """With both gates shut, a request is held before its execution, and then its answer is."""
    sandbox.hold(before=True)
    sandbox.hold()
    raw.send("create", new_project("Pilot"))
    sandbox.wait_for(1)
    assert sandbox.counters().writes == 0
    assert sandbox.resume(count=1) == 1
    wait_until(lambda: sandbox.counters().writes == 1)
    sandbox.wait_for(1)
    sandbox.resume()
    assert raw.receive()[0] == 200


def test_wait_for_returns_as_soon_as_enough_are_held(
    connect: Callable[[], RawClient], sandbox: Sandbox, background: ThreadPoolExecutor
) -> None:
    """wait_for(n) that began first ends when the nth request is held, and not before."""
    sandbox.hold("info")
    waiting = background.submit(sandbox.wait_for, 2, "info")
    first, second, other = connect(), connect(), connect()
    first.send("info")
    sandbox.wait_for(1, "info")
    other.create_project("Pilot")
    assert not waiting.done()
    second.send("info")
    waiting.result(LONG)
    sandbox.resume()
    assert first.receive()[0] == second.receive()[0] == 200


def test_wait_for_says_how_many_are_held(raw: RawClient, sandbox: Sandbox) -> None:
    """wait_for() that waits in vain ends in time, with the number that was held."""
    sandbox.hold()
    raw.send("info")
    sandbox.wait_for(1)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"1 of 3 requests were held after 0\.1 s"):
        sandbox.wait_for(3, timeout=0.1)
    with pytest.raises(TimeoutError, match="0 of 1 requests of 'read' were held"):
        sandbox.wait_for(1, "read", timeout=0)
    assert time.monotonic() - start < LONG / 2
    sandbox.resume()
    raw.receive()


def test_lost_client_is_not_held(connect: Callable[[], RawClient], sandbox: Sandbox) -> None:
    """A held request whose client goes away is not held, and is never executed."""
    sandbox.hold(before=True)
    lost, patient = connect(), connect()
    lost.send("create", new_project("Pilot"))
    sandbox.wait_for(1)
    patient.send("create", new_project("Pilot"))
    sandbox.wait_for(2)
    lost.http.close()
    wait_until(lambda: sandbox.counters().held == 1)
    assert sandbox.resume() == 1
    assert patient.receive()[0] == 200
    assert sandbox.counters().writes == 1


def test_clear_drops_what_was_not_executed(
    connect: Callable[[], RawClient], sandbox: Sandbox
) -> None:
    """clear() sends held answers; held requests lose their connection, so the new site is new."""
    sandbox.hold("create", before=True)
    sandbox.hold("info")
    dropped, answered = connect(), connect()
    dropped.send("create", new_project("Pilot"))
    answered.send("info")
    sandbox.wait_for(2)
    sandbox.clear()
    assert answered.receive()[0] == 200
    with pytest.raises(ConnectionError):
        dropped.receive()
    assert sandbox.counters().writes == 0
    connect().call("info")  # and nothing is held any more


def test_hundreds_of_requests_are_held_at_once(
    connect: Callable[[], RawClient], sandbox: Sandbox
) -> None:
    """Holding costs no thread: many requests wait at once, and all get their answer."""
    sandbox.hold()
    clients = [connect() for _ in range(400)]
    for client in clients:
        client.send("info")
    sandbox.wait_for(400)
    assert sandbox.resume() == 400
    assert {client.receive()[0] for client in clients} == {200}
    assert sandbox.counters().peak_in_flight == 400
