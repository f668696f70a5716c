"""The sandbox as an HTTP server."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from pathlib import Path
from typing import Any, Callable, cast

import pytest
import shotgun_api3

from shotgun_executor.sandbox import Sandbox
from shotgun_executor.sandbox.server import SiteServer
from shotgun_executor.sandbox.settings import Info, Settings
from tests.sandbox.http_support import LONG, RawClient, address, receive_all


def test_connection_is_kept_over_many_calls(client: shotgun_api3.Shotgun, sandbox: Sandbox) -> None:
    """The official client makes all its calls over one connection."""
    for _ in range(20):
        client.find_one("Project", [["id", "is", 1]], ["name"])
    counters = sandbox.counters()
    assert counters.requests == {"info": 1, "read": 20}
    assert counters.connections == 1


def test_connection_is_kept_after_a_file(
    client: shotgun_api3.Shotgun, raw: RawClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Files come over one connection: the site closes none without saying so."""
    version = client.create("Version", {"project": client.create("Project", {"name": "Pilot"})})
    path = tmp_path / "movie.mov"
    path.write_bytes(b"frames" * 1000)
    number = client.upload("Version", version["id"], str(path), "sg_uploaded_movie")
    for _ in range(3):
        response, _ = raw.ask("GET", f"/file_serve/attachment/{number}", b"")
        where = response.getheader("Location", "")[len(sandbox.url) :]
        assert raw.ask("GET", where, b"")[1] == path.read_bytes()
    used = {r.connection for r in sandbox.requests if r.method in ("file_serve", "storage_get")}
    assert len(used) == 1


def test_official_client_reads_what_it_created(client: shotgun_api3.Shotgun) -> None:
    """What the official client creates, it finds again."""
    created = client.create("Project", {"name": "Pilot"})
    found = client.find("Project", [["name", "is", "Pilot"]], ["name"])
    assert found == [{"type": "Project", "id": created["id"], "name": "Pilot"}]


@pytest.mark.parametrize("path", ["/api3/json", "/site1/api3/json", "/a/b/api3/json?x=1"])
def test_rpc_address_with_any_base_path(raw: RawClient, path: str) -> None:
    """The API is served below any base path."""
    response, body = raw.ask("POST", path, raw.body("info"))
    assert response.status == 200
    assert "version" in json.loads(body)


def test_answer_has_its_length_and_type(raw: RawClient) -> None:
    """An answer is JSON with a Content-Length, which is that of its body."""
    response, body = raw.ask("POST", "/api3/json", raw.body("info"))
    assert response.getheader("Content-Length") == str(len(body))
    assert response.getheader("Content-Type") == "application/json; charset=utf-8"
    assert response.getheader("Content-Encoding") is None


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/api3/xml", 404),
        ("POST", "/", 404),
        ("GET", "/api3/json", 405),
        ("PUT", "/api3/json", 405),
    ],
)
def test_other_requests_are_refused(
    raw: RawClient, sandbox: Sandbox, verb: str, path: str, status: int
) -> None:
    """What is no RPC request gets 404 or 405, counts for nothing, and the connection lives on."""
    response, body = raw.ask(verb, path, b"{}")
    assert response.status == status
    assert b"Traceback" not in body
    raw.call("info")
    assert sandbox.counters().requests == {"info": 1}
    assert sandbox.counters().connections == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"method_name": 3}', b"\xff\xfe"])
def test_senseless_body_gets_a_fault(raw: RawClient, sandbox: Sandbox, body: bytes) -> None:
    """A body that is no call gets the site's fault, and is counted without a name."""
    response, answer = raw.ask("POST", "/api3/json", body)
    assert response.status == 200
    assert json.loads(answer)["exception"] is True
    assert sandbox.counters().requests == {"": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"POST /api3/json HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /api3/json HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20000 + b"\r\n\r\n",
    ],
    ids=["tls", "words", "length", "header"],
)
def test_malformed_http_is_refused_quietly(sandbox: Sandbox, data: bytes) -> None:
    """What is not HTTP gets 400 without a traceback, here or in the log, and harms nobody."""
    before = sandbox.log()
    with socket.create_connection(address(sandbox), timeout=LONG) as line:
        line.sendall(data)
        answer = receive_all(line)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b"Traceback" not in answer
    assert sandbox.log() == before
    assert sandbox.counters().total == 0


def test_large_body_is_read(raw: RawClient, sandbox: Sandbox) -> None:
    """A body far above the usual limits of web servers is served."""
    body = json.dumps({"method_name": "info", "params": [], "pad": "x" * 30_000_000}).encode()
    response, answer = raw.ask("POST", "/api3/json", body)
    assert response.status == 200
    assert "version" in json.loads(answer)
    assert sandbox.counters().bytes_received == len(body)


def test_chunked_body_is_read(raw: RawClient) -> None:
    """A body without a length, in chunks, is served."""
    whole = raw.body("info")
    response, answer = raw.ask("POST", "/api3/json", iter([whole[:10], whole[10:]]))
    assert response.status == 200
    assert "version" in json.loads(answer)


def test_client_that_asks_first_is_welcome(sandbox: Sandbox) -> None:
    """A client that sends "Expect: 100-continue", as curl does, is told to go on."""
    body = b'{"method_name": "info", "params": []}'
    with socket.create_connection(address(sandbox), timeout=LONG) as line:
        line.sendall(
            b"POST /api3/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert line.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(body)
        assert receive_all(line).startswith(b"HTTP/1.1 200")


def test_request_in_pieces_is_read(sandbox: Sandbox) -> None:
    """A request that arrives byte by byte is served once it is whole."""
    body = b'{"method_name": "info", "params": []}'
    head = b"POST /api3/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(address(sandbox), timeout=LONG) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head % len(body) + body:
            line.sendall(bytes([byte]))
        assert receive_all(line).startswith(b"HTTP/1.1 200")


def test_many_connections_at_once(connect: Callable[[], RawClient], sandbox: Sandbox) -> None:
    """Hundreds of connections are served side by side."""
    clients = [connect() for _ in range(300)]
    for client in clients:
        client.send("info")
    assert {client.receive()[0] for client in clients} == {200}
    assert sandbox.counters().connections == 300


def test_answers_are_compressed_on_demand() -> None:
    """With compress=True who accepts gzip gets gzip, the official client too; others get JSON."""
    with Sandbox(compress=True) as sandbox:
        raw = RawClient(sandbox)
        client = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        try:
            _, plain = raw.ask("POST", "/api3/json", raw.body("info"))
            response, packed = raw.ask(
                "POST", "/api3/json", raw.body("info"), {"Accept-Encoding": "gzip, deflate"}
            )
            assert client.create("Project", {"name": "Pilot"})["name"] == "Pilot"
        finally:
            client.close()
            raw.http.close()
    assert response.getheader("Content-Encoding") == "gzip"
    assert response.getheader("Content-Length") == str(len(packed))
    assert gzip.decompress(packed) == plain


class _StubSite:
    """A site that answers nothing, or breaks."""

    def answer(self, body: bytes, patience: float) -> Any:
        raise ZeroDivisionError("a bug")

    def use_urls(self, urls: Any) -> None:
        pass


def test_idle_connection_stays_open() -> None:
    """An idle connection is kept for more than an hour, without Nagle's delay."""
    kept, no_delay = asyncio.run(with_stub(look_at_connection))
    assert kept > 3600
    assert no_delay


async def look_at_connection(server: SiteServer, port: int) -> tuple[float, bool]:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await ask(writer, _)
        connection = cast("Any", server)._server.connections[0]
        line = connection.transport.get_extra_info("socket")
        no_delay = bool(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return connection.keepalive_timeout, no_delay
    finally:
        writer.close()
        await writer.wait_closed()


def test_bug_of_the_site_shows_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """If the site itself breaks, the client gets a plain 500, and the log says what broke."""
    answer, errors = asyncio.run(with_stub(ask_and_count))
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"a bug" not in answer
    assert errors == 1
    assert "ZeroDivisionError" in caplog.text


async def ask_and_count(server: SiteServer, port: int) -> tuple[bytes, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await ask(writer, reader), cast("Any", server)._tally.counters(0).internal_errors
    finally:
        writer.close()
        await writer.wait_closed()


async def ask(writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> bytes:
    writer.write(b"POST /api3/json HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    return await asyncio.wait_for(reader.read(65536), LONG)


async def with_stub(use: Callable[[SiteServer, int], Any]) -> Any:
    server = SiteServer(cast("Any", _StubSite()), cast("Any", None), Settings())
    port = await server.bind()
    await server.start(Info("", 0, None, None, "", "", "", ""))
    try:
        return await use(server, port)
    finally:
        await server.stop()
