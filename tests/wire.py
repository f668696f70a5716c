"""Servers that answer byte for byte what a test says, and misbehave on cue."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Callable, Optional

from tests.support import LONG


class Request:
    """What a server read."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.target, _ = line.split(" ", 2)
        self.headers = headers
        self.body = body

    @property
    def name(self) -> str:
        """The method of the JSON API, or the path."""
        if self.target.endswith("/json"):
            return str(json.loads(self.body)["method_name"])
        return self.target


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: WireServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number  # of the connection; 0 is the first
        self.file = sock.makefile("rb")

    def read(self) -> Optional[Request]:
        """The next request; None if the client has gone."""
        line = self.file.readline().decode("latin-1").strip()
        if not line:
            return None
        headers: dict[str, str] = {}
        while True:
            header = self.file.readline().decode("latin-1").strip()
            if not header:
                break
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = self.file.read(length)
        if len(body) < length:
            return None
        request = Request(line, headers, body)
        self.server.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(
        self,
        content: object = None,
        status: int = 200,
        headers: str = "",
        kind: str = "application/json",
    ) -> None:
        """A whole answer; *content* is JSON unless it is bytes."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = f"HTTP/1.1 {status} Any\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self.send(f"{head}{headers}\r\n".encode() + body)

    def reset(self) -> None:
        """Close with a reset in place of an orderly end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def wait(self) -> None:
        """Be silent until the test is over, or the client has gone."""
        self.sock.settimeout(0.02)
        while not self.server.over.is_set() and not self._gone():
            pass

    def _gone(self) -> bool:
        try:
            return not self.sock.recv(65536)
        except (socket.timeout, ssl.SSLWantReadError):
            return False
        except OSError:
            return True


Script = Callable[[Peer], object]


class WireServer:
    """A server on 127.0.0.1; *script* is run for each connection, on a thread of its own."""

    def __init__(self, script: Script, context: Optional[ssl.SSLContext] = None) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self._context = context
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}"

    def names(self) -> list[str]:
        """The methods that were asked for, in their order."""
        return [request.name for request in self.requests]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
            self._threads.append(thread)
            self._socks.append(sock)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(LONG)
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
                self._socks.append(sock)
            peer = Peer(self, sock, number)
            try:
                self.script(peer)
            finally:
                peer.close()
        except OSError:
            pass  # the client went: what the test is about shows on its side
        except BaseException as error:
            self.errors.append(error)
        finally:
            sock.close()

    def close(self) -> None:
        self.over.set()
        # Wakes accept(), which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._socks:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in [self._accepting, *self._threads]:
            thread.join(LONG)
            assert not thread.is_alive()
        assert not self.errors, self.errors


@contextmanager
def serving(script: Script, context: Optional[ssl.SSLContext] = None) -> Iterator[WireServer]:
    """A server for one block."""
    server = WireServer(script, context)
    try:
        yield server
    finally:
        server.close()


INFO = {"version": [8, 50, 0], "full_version": [8, 50, 0, 0], "s3_direct_uploads_enabled": True}


def results_of(request: Request) -> object:
    """What a site with one shot answers."""
    if request.name == "info":
        return INFO
    if request.name == "read":
        info = {"entities": [{"type": "Shot", "id": 1}], "paging_info": {"has_next_page": False}}
        return {"results": info}
    if request.name == "create":
        return {"results": {"type": "Shot", "id": 7}}
    if request.name == "get_session_token":
        return {"results": {"session_id": "the-session"}}
    return {"results": True}


def site(peer: Peer) -> None:
    """Answer each request as a site does."""
    while True:
        request = peer.read()
        if request is None:
            return
        peer.answer(results_of(request))


def proxy(peer: Peer) -> None:
    """A proxy that opens tunnels, and wants credentials if it has some."""
    lines = []
    while True:
        line = peer.file.readline().decode("latin-1").strip()
        if not line:
            break
        lines.append(line)
    if not lines:
        return
    peer.server.requests.append(Request(lines[0], dict(_fields(lines[1:])), b""))
    wanted: Any = getattr(peer.server, "credentials", None)
    given = dict(_fields(lines[1:])).get("proxy-authorization")
    if wanted is not None and given != wanted:
        peer.send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        return
    host, _, port = lines[0].split(" ")[1].rpartition(":")
    with socket.create_connection((host, int(port))) as far:
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_copy, args=(far, peer.sock), daemon=True)
        back.start()
        _copy(peer.sock, far)
        back.join(LONG)


def _fields(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
