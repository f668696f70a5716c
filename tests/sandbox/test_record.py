"""The record of the requests that a site got."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox import record
from shotgun_executor.sandbox.exchange import Exchange
from shotgun_executor.sandbox.record import HIDDEN, Record, redacted
from tests.sandbox.http_support import LONG, RawClient

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    from typing import Callable

    from shotgun_executor.sandbox import Sandbox


def test_request_says_who_asked_what_and_how_it_went(
    client: shotgun_api3.Shotgun, sandbox: Sandbox
) -> None:
    """Each request has method, arguments, user, times, sizes and outcome."""
    sandbox.clear()
    made = client.create("Project", {"name": "Tidewater"})
    with pytest.raises(shotgun_api3.Fault):
        client.find("Nothing", [])
    create, read = sandbox.requests
    assert (create.number, create.method, create.user) == (1, "create", sandbox.script_name)
    assert create.arguments["type"] == "Project"
    assert create.arguments["fields"] == [{"field_name": "name", "value": "Tidewater"}]
    assert (create.outcome, create.status, create.error) == ("ok", 200, None)
    assert (create.executed, create.writes, create.connection) == (True, 1, 1)
    assert create.bytes_received > create.bytes_sent > len(str(made["id"]))
    assert create.seconds is not None
    assert 0 < create.seconds < LONG
    assert create.started <= read.started
    assert (read.outcome, read.status, read.writes) == ("fault", 200, 0)
    assert read.error == "API read() entity type 'Nothing' doesn't exist."


def test_request_that_goes_on_is_recorded(
    client: shotgun_api3.Shotgun, sandbox: Sandbox, background: ThreadPoolExecutor
) -> None:
    """A request is in the record from its arrival on; how it ended is told at the end."""
    sandbox.hold("read")
    future = background.submit(client.find, "Project", [])
    sandbox.wait_for(1)
    last = sandbox.last_requests(1)[0]
    assert (last.outcome, last.seconds, last.status) == ("", None, None)
    sandbox.resume()
    future.result(LONG)
    assert sandbox.last_requests(1)[0].outcome == "ok"


def test_connections_have_numbers(connect: Callable[[], RawClient], sandbox: Sandbox) -> None:
    """Requests of one connection have its number; the numbers count from 1 after clear()."""
    first, second = connect(), connect()
    for raw in (first, second, first):
        raw.call("info")
    assert [request.connection for request in sandbox.requests] == [1, 2, 1]
    sandbox.clear()
    assert sandbox.requests == []
    second.call("info")
    assert [request.connection for request in sandbox.requests] == [1]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the client leaves a file open
def test_no_secret_is_in_the_record(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys, passwords, tokens and signed URLs are in no record, whatever way they came."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    path = tmp_path / "a.txt"
    path.write_text("text")
    human = shotgun_api3.Shotgun(sandbox.url, login=sandbox.login, password=sandbox.password)
    script = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    token = human.get_session_token()
    session = shotgun_api3.Shotgun(sandbox.url, session_token=token)
    try:
        for sg in (human, script, session):
            sg.find("Project", [])
        script.authenticate_human_user(sandbox.login, sandbox.password)
        script.create("ApiUser", {"firstname": "robot", "salted_password": "hunter2-very-long"})
        project = script.create("Project", {"name": "Tidewater"})
        made = script.upload("Project", project["id"], str(path))
        script.download_attachment(made)
    finally:
        for sg in (human, script, session):
            sg.close()
    said = json.dumps([vars(request) for request in sandbox.requests])
    said += "".join(map(str, sandbox.requests)) + repr(sandbox.requests)
    for secret in (sandbox.api_key, sandbox.password, token, "hunter2", "signature="):
        assert secret not in said
    assert "robot" in said


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"user_password": "x", "id": 1}, {"user_password": HIDDEN, "id": 1}),
        ({"path": "a.ApiUser.salted_password", "values": ["x"]}, {"values": HIDDEN}),
        ({"field_name": "password_proxy", "value": "x"}, {"value": HIDDEN}),
        ([{"deep": [{"api_key": ["x"]}]}], [{"deep": [{"api_key": HIDDEN}]}]),
        ({"url": "http://h/storage/k?Signature=x"}, {"url": f"http://h/storage/k?{HIDDEN}"}),
        ({"upload_link_info": "1\nhttp://x"}, {"upload_link_info": HIDDEN}),
        ({"name": "keys and tokens"}, {"name": "keys and tokens"}),
    ],
)
def test_what_a_secret_is(value: Any, shown: Any) -> None:
    """What is replaced is told by the name that it goes by, at any depth."""
    result = redacted(value)
    if isinstance(shown, dict):
        result = {key: result[key] for key in shown}
    assert result == shown


def test_record_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record has a limit, in requests and in bytes, and keeps the newest."""
    monkeypatch.setattr(record, "ENTRIES", 5)
    monkeypatch.setattr(record, "SIZE", 1000)
    kept = Record()
    exchange = Exchange("info")
    for _ in range(8):
        kept.end(kept.begin(1), exchange, 0)
    assert [values["number"] for values in kept.requests()] == [4, 5, 6, 7, 8]
    for _ in range(3):
        entry = kept.begin(1)
        entry.received = 600
        kept.end(entry, exchange, 0)
    assert [values["number"] for values in kept.requests()] == [11]
    assert [values["number"] for values in kept.requests(last=1)] == [11]


def test_unreadable_request_is_recorded(raw: RawClient, sandbox: Sandbox) -> None:
    """A request whose body is no call has no method and no arguments."""
    raw.ask("POST", "/api3/json", b"[[[")
    (request,) = sandbox.requests
    assert (request.method, request.arguments, request.outcome) == ("", None, "fault")


def test_line_of_the_log_is_short(raw: RawClient, sandbox: Sandbox) -> None:
    """str() of a request is one line with what matters."""
    raw.create_project("Pilot")
    line = str(sandbox.requests[0])
    assert "create Project" in line
    assert line.endswith("ok 200")
    assert "\n" not in line
