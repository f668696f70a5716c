"""Every kind of failure, as a raw connection and as the official client see it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest
import shotgun_api3

from shotgun_executor.sandbox import Sandbox
from tests.sandbox.http_support import LONG, RawClient, address, receive_all, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

# The official client leaves the files open that it sends in forms, and sockets that failed.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

KINDS = [
    "drop", "drop_unread", "reset", "silence", "half_body", "slow_body", "wrong_type",
    "broken_json", "session_expired", "login_required",
]  # fmt: skip
PATIENCE = 0.3
"""Seconds in which an answer comes, if one comes at all."""


@pytest.fixture
def line(sandbox: Sandbox) -> Iterator[socket.socket]:
    """A raw connection."""
    with socket.create_connection(address(sandbox), timeout=LONG) as line:
        yield line


@pytest.fixture
def sg(client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The official client, without its pauses between attempts."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    client.BACKOFF = 0.0
    return client


@pytest.fixture
def version(sg: Any) -> dict[str, Any]:
    """An entity to upload to."""
    project = sg.create("Project", {"name": "Tidewater"})
    return sg.create("Version", {"code": "v001", "project": project})


@pytest.fixture
def movie(tmp_path: Path) -> str:
    """A file to upload."""
    path = tmp_path / "movie.mov"
    path.write_bytes(b"frames " * 10_000)
    return str(path)


def send_info(line: socket.socket) -> None:
    body = b'{"method_name":"info","params":[]}'
    head = b"POST /api3/json HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    line.sendall(head % len(body) + body)


def receive(line: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer: status, headers in lower case, and as much of the body as arrives."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += line.recv(65536) or pytest.fail("no head arrived")
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (row.split(": ", 1) for row in rest)}
    while len(body) < int(headers["content-length"]) and (piece := line.recv(65536)):
        body += piece
    return int(first.split()[1]), headers, body


def outcome(line: socket.socket) -> str:
    """How the answer to a request ends."""
    try:
        status, headers, body = receive(line)
    except ConnectionResetError:
        return "reset"
    except socket.timeout:
        return "nothing"
    except pytest.fail.Exception:
        return "closed"
    if len(body) < int(headers["content-length"]):
        return f"half of {status}"
    try:
        json.loads(body)
    except ValueError:
        return f"{status} no JSON"
    return f"{status} {headers['content-type'].partition(';')[0]}"


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("drop", "closed"),
        ("drop_unread", "closed"),
        ("reset", "reset"),
        ("silence", "nothing"),
        ("half_body", "half of 200"),
        ("slow_body", "200 application/json"),
        ("wrong_type", "200 text/html"),
        ("broken_json", "200 no JSON"),
        ("session_expired", "200 application/json"),
        ("login_required", "302 no JSON"),
    ],
)
def test_kind_on_the_wire(line: socket.socket, sandbox: Sandbox, kind: str, ends: str) -> None:
    """Each kind does to the next request what its description says, and is in the record."""
    sandbox.fail_next(kind=kind, seconds=PATIENCE)
    if kind == "silence":
        line.settimeout(PATIENCE)
    started = time.perf_counter()
    send_info(line)
    assert outcome(line) == ends
    if kind == "slow_body":
        assert time.perf_counter() - started >= PATIENCE * 0.9
    if kind == "silence":
        assert sandbox.counters().in_flight == 1
        sandbox.clear()
        line.settimeout(LONG)
        assert line.recv(1) == b""
        return
    assert sandbox.requests[0].outcome == kind
    wait_until(lambda: sandbox.counters().in_flight == 0)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("drop", Exception),
        ("drop_unread", Exception),
        ("reset", ConnectionResetError),
        ("silence", socket.timeout),
        ("half_body", Exception),
        ("slow_body", None),
        ("wrong_type", Exception),
        ("broken_json", ValueError),
        ("session_expired", shotgun_api3.AuthenticationFault),
        ("login_required", shotgun_api3.ProtocolError),
    ],
)
def test_kind_as_the_official_client_sees_it(
    client: shotgun_api3.Shotgun, sandbox: Sandbox, kind: str, error: type[Exception] | None
) -> None:
    """The official client raises for each kind, and works again afterwards."""
    client.config.timeout_secs = 0.5 if kind == "silence" else LONG
    client.close()  # it reads the limit when it connects
    client.find("Project", [])
    # It repeats a request by itself if the connection closes without a word.
    sandbox.fail(None if kind == "drop_unread" else "read", kind, seconds=PATIENCE)
    with pytest.raises(error) if error else contextlib.nullcontext():
        client.find("Project", [])
    sandbox.stop_failing()
    client.close()
    assert client.find("Project", []) == []


@pytest.mark.parametrize("after", [False, True])
def test_reset_after_execution_has_written(raw: RawClient, sandbox: Sandbox, after: bool) -> None:
    """after_execution decides whether a request that gets no answer has an effect."""
    sandbox.fail_next("create", "reset", after_execution=after)
    with pytest.raises(ConnectionResetError):
        raw.create_project("Pilot")
    assert sandbox.counters().writes == int(after)
    assert sandbox.requests[0].executed is after
    assert sandbox.requests[0].status is None


ROUTES = {
    True: ["api_get_upload_link_info", "storage_put", "api_get_upload_link_for_part",
           "api_complete_multipart_upload", "api_link_file"],
    False: ["upload_file"],
}  # fmt: skip


@pytest.mark.parametrize("direct", [True, False], ids=["s3", "form"])
def test_each_upload_route_fails(
    sg: Any, sandbox: Sandbox, version: dict[str, Any], movie: str, direct: bool
) -> None:
    """A failure of any route of an upload reaches the caller; a second upload then works."""
    sg.server_info["s3_direct_uploads_enabled"] = direct
    sg._MULTIPART_UPLOAD_CHUNK_SIZE = 40_000
    for route in ROUTES[direct]:
        # After a 503 of the storage the official client sends nothing and waits for ever.
        sandbox.fail(route, status=403 if route == "storage_put" else 503)
        with pytest.raises(shotgun_api3.ShotgunError):
            sg.upload("Version", version["id"], movie, "sg_uploaded_movie")
        sandbox.stop_failing(route)
        assert sandbox.last_requests(1)[0].method == route
    assert sg.find("Attachment", []) == []
    made = sg.upload("Version", version["id"], movie, "sg_uploaded_movie")
    assert len(sg.download_attachment(made)) == 70_000


@pytest.mark.parametrize("kind", ["drop", "drop_unread", "reset", "half_body"])
@pytest.mark.parametrize("route", ["api_link_file", "storage_put", "upload_file"])
def test_broken_connection_of_an_upload(
    sg: Any, sandbox: Sandbox, version: dict[str, Any], movie: str, route: str, kind: str
) -> None:
    """An upload whose connection breaks raises, and leaves no file half-written."""
    sg.server_info["s3_direct_uploads_enabled"] = route != "upload_file"
    sandbox.fail(route, kind)
    if (route, kind) == ("storage_put", "half_body"):
        sg.upload("Version", version["id"], movie, "sg_uploaded_movie")  # has no body to halve
    else:
        with pytest.raises(Exception):  # noqa: B017, PT011  # urllib lets through what it meets
            sg.upload("Version", version["id"], movie, "sg_uploaded_movie")
    sandbox.stop_failing()
    assert list(folder_of(sandbox).glob("incoming/*")) == []
    attachments = len(sg.find("Attachment", []))
    assert attachments == int(kind == "half_body")


def folder_of(sandbox: Any) -> Path:
    return Path(sandbox._settings.folder) / "files"


def test_link_that_timed_out_links_twice(
    sg: Any, sandbox: Sandbox, version: dict[str, Any], movie: str
) -> None:
    """Executed, then 504: the official client sends the form again, and there are two files."""
    sandbox.fail_next("api_link_file", status=504, after_execution=True)
    sg.upload("Version", version["id"], movie, "sg_uploaded_movie")
    assert len(sg.find("Attachment", [])) == 2


@pytest.mark.parametrize(
    ("route", "status", "said"),
    [("file_serve", 409, "409"), ("file_serve", 400, "may not exist"), ("storage_get", 403, "403")],
)
def test_download_fails_with_a_status(
    sg: Any,
    sandbox: Sandbox,
    version: dict[str, Any],
    movie: str,
    route: str,
    status: int,
    said: str,
) -> None:
    """Both steps of a download can fail."""
    made = sg.upload("Version", version["id"], movie)
    # Without a body: the official client itself fails on the one of a 409.
    sandbox.fail_next(route, status=status, body="")
    with pytest.raises(shotgun_api3.ShotgunFileDownloadError, match=said):
        sg.download_attachment(made)
    assert len(sg.download_attachment(made)) == 70_000


def test_slow_body_of_a_large_file_takes_the_same_time(
    sg: Any, sandbox: Sandbox, version: dict[str, Any], tmp_path: Path
) -> None:
    """The time that a slow body takes does not depend on its size."""
    path = tmp_path / "large.mov"
    path.write_bytes(bytes(10_000_000))
    made = sg.upload("Version", version["id"], str(path))
    sandbox.fail_next("storage_get", "slow_body", seconds=PATIENCE)
    started = time.perf_counter()
    assert len(sg.download_attachment(made)) == 10_000_000
    assert PATIENCE * 0.9 <= time.perf_counter() - started < PATIENCE + LONG / 2


def test_download_is_slow_broken_off_or_a_login_page(
    sg: Any, sandbox: Sandbox, version: dict[str, Any], movie: str
) -> None:
    """The body of a download can be spoiled; a login page comes as if it was the file."""
    made = sg.upload("Version", version["id"], movie)
    sandbox.fail_next("storage_get", "slow_body", seconds=PATIENCE)
    started = time.perf_counter()
    assert len(sg.download_attachment(made)) == 70_000
    assert time.perf_counter() - started >= PATIENCE * 0.9
    sandbox.fail_next("storage_get", "half_body")
    with pytest.raises(Exception, match="IncompleteRead"):
        sg.download_attachment(made)
    sandbox.fail_next("file_serve", "login_required")
    assert b"log in" in sg.download_attachment(made).lower()


def test_uploads_and_downloads_can_be_held(
    sg: Any,
    sandbox: Sandbox,
    version: dict[str, Any],
    movie: str,
    background: ThreadPoolExecutor,
) -> None:
    """hold(), wait_for() and resume() take the names of routes."""
    for route, before in (("storage_put", True), ("api_link_file", False)):
        sandbox.hold(route, before=before)
        future = background.submit(sg.upload, "Version", version["id"], movie)
        sandbox.wait_for(1, route)
        assert not future.done()
        sandbox.resume(route)
        made = future.result(LONG)
    sandbox.hold("storage_get")
    future = background.submit(sg.download_attachment, made)
    sandbox.wait_for(1, "storage_get")
    sandbox.resume("storage_get")
    assert len(future.result(LONG)) == 70_000


def test_fraction_is_random_but_repeatable(raw: RawClient, sandbox: Sandbox) -> None:
    """fail(fraction, seed) strikes about that fraction, the same requests each time."""

    def struck() -> list[int]:
        sandbox.stop_failing()
        sandbox.fail("info", status=503, fraction=0.3, seed=7)
        statuses = []
        for _ in range(100):
            raw.send("info")
            statuses.append(raw.receive()[0])
        return statuses

    first = struck()
    assert 15 <= first.count(503) <= 45
    assert struck() == first


def test_failing_ends_with_stop_failing(raw: RawClient, sandbox: Sandbox) -> None:
    """fail() strikes every request of its method, until stop_failing() or clear()."""
    sandbox.fail("info", status=503)
    sandbox.fail("read", status=500)
    for _ in range(3):
        raw.send("info")
        assert raw.receive()[0] == 503
    sandbox.stop_failing("info")
    raw.call("info")
    raw.send("read")
    assert raw.receive()[0] == 500
    sandbox.clear()
    raw.call("info")


@pytest.mark.parametrize(
    ("how", "ends"), [("fin", "closed"), ("reset", "reset"), ("vanish", "nothing")]
)
def test_idle_connection_is_closed(
    line: socket.socket, sandbox: Sandbox, how: str, ends: str
) -> None:
    """close_idle() ends what carries no request: with a FIN, a RST, or without a word."""
    send_info(line)
    assert receive(line)[0] == 200
    assert sandbox.close_idle(how) == 1
    if how != "fin":
        line.settimeout(PATIENCE if how == "vanish" else LONG)
    if how == "vanish":
        send_info(line)
    assert outcome(line) == ends
    assert sandbox.counters().total == 1
    assert sandbox.close_idle(how) == 0
    if how == "vanish":
        assert sandbox.counters().open_connections == 1
        sandbox.clear()
        line.settimeout(LONG)
        with contextlib.suppress(ConnectionResetError):  # it had not read what was sent
            assert receive_all(line) == b""


def test_busy_connection_is_not_idle(raw: RawClient, sandbox: Sandbox) -> None:
    """close_idle() leaves requests alone that are going on."""
    sandbox.hold("info")
    raw.send("info")
    sandbox.wait_for(1)
    assert sandbox.close_idle("reset") == 0
    sandbox.resume()
    assert raw.receive()[0] == 200


@pytest.mark.parametrize("how", ["fin", "reset", "vanish"])
def test_official_client_on_a_closed_connection(
    client: shotgun_api3.Shotgun, sandbox: Sandbox, how: str
) -> None:
    """The official client fails on a connection that died while idle, or hangs to its limit."""
    client.config.timeout_secs = 0.5
    client.close()
    client.find("Project", [])
    sandbox.close_idle(how)
    with contextlib.suppress(OSError):
        client.find("Project", [])
        assert how != "vanish", "a connection that vanished has answered"
    assert client.find("Project", []) == []


def test_site_goes_down_and_comes_back(connect: Callable[[], RawClient], sandbox: Sandbox) -> None:
    """go_down() refuses connections for a while; what was written is there afterwards."""
    raw = connect()
    raw.create_project("Pilot")
    sandbox.go_down(PATIENCE)
    with pytest.raises((OSError, http.client.HTTPException)):
        raw.call("info")
    with pytest.raises(ConnectionRefusedError):
        connect().call("info")

    def back() -> bool:
        try:
            return bool(connect().call("info"))
        except OSError:
            return False

    wait_until(back)
    filters = {"logical_operator": "and", "conditions": []}
    paging = {"entities_per_page": 10, "current_page": 1}
    params = {"type": "Project", "return_fields": ["name"], "filters": filters, "paging": paging}
    assert [e["name"] for e in connect().call("read", params)["entities"]] == ["Pilot"]


def test_sessions_expire_on_cue(sandbox: Sandbox, client: shotgun_api3.Shotgun) -> None:
    """expire_sessions() makes every session token bad."""
    token = client.get_session_token()
    other = shotgun_api3.Shotgun(sandbox.url, session_token=token)
    try:
        assert other.find("Project", []) == []
        sandbox.expire_sessions()
        with pytest.raises(shotgun_api3.AuthenticationFault, match=f"ending with '{token[-4:]}'"):
            other.find("Project", [])
    finally:
        other.close()


def test_two_factor_code_is_demanded_on_cue(sandbox: Sandbox) -> None:
    """require_auth_token() makes a password good only with the code, as error 106 says."""
    sandbox.require_auth_token(sandbox.login, "123456")
    keys = {"login": sandbox.login, "password": sandbox.password}
    with pytest.raises(shotgun_api3.MissingTwoFactorAuthenticationFault):
        shotgun_api3.Shotgun(sandbox.url, **keys).find("Project", [])
    sg = shotgun_api3.Shotgun(sandbox.url, **keys, auth_token="123456")
    try:
        assert sg.find("Project", []) == []
    finally:
        sg.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "status must be"),
        ({"kind": "explode"}, "kind must be one of broken_json, "),
        ({"kind": "drop", "status": 500}, "do not go with the kind 'drop'"),
        ({"kind": "login_required", "after_execution": True}, "after_execution does not go"),
        ({"kind": "drop_unread", "method": "create"}, "name of a route"),
        ({"status": 500, "fraction": 0}, "fraction must be"),
        ({"status": 500, "seed": "x"}, "seed must be"),
        ({"kind": "slow_body", "seconds": -1}, "seconds must be"),
    ],
)
def test_senseless_failure_is_refused(
    sandbox: Sandbox, arguments: dict[str, Any], said: str
) -> None:
    """A failure that makes no sense is a ValueError that names the argument."""
    for ask in (sandbox.fail_next, sandbox.fail):
        with pytest.raises(ValueError, match=said):
            ask(**arguments)
    with pytest.raises(ValueError, match="how must be one of fin, reset, vanish"):
        sandbox.close_idle("loudly")


def test_another_process_can_ask_for_the_same(sandbox: Sandbox, raw: RawClient) -> None:
    """An attached RemoteSandbox steers failures and reads the record as its owner does."""
    remote = Sandbox.attach(sandbox.url, sandbox.token)
    remote.fail_next("info", "wrong_type")
    raw.send("info")
    assert raw.receive()[0] == 200
    assert remote.requests == sandbox.requests
    assert remote.requests[0].outcome == "wrong_type"


def test_interrupted_upload_leaves_nothing(line: socket.socket, sandbox: Sandbox, sg: Any) -> None:
    """A connection that breaks in the middle of a file leaves no file."""
    info = sg._get_attachment_upload_info(False, "movie.mov", False)
    path = info["upload_url"][len(sandbox.url) :]
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    line.sendall(head.encode() + b"x" * 500_000)
    files = folder_of(sandbox)
    wait_until(lambda: list(files.glob("incoming/*")))
    line.close()
    wait_until(lambda: not list(files.glob("incoming/*")))
    assert list(files.glob("objects/*")) == []
    assert sandbox.last_requests(1)[0].outcome == "client gone"
