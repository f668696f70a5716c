"""Plain HTTP to a sandbox, for tests that look at single requests and connections."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    import shotgun_api3

    from shotgun_executor.sandbox import RemoteSandbox

LONG = 10.0
"""Seconds that nothing here takes; the limit of each wait, so that a bug fails, not hangs."""


class RawClient:
    """One keep-alive connection to a sandbox, speaking plain HTTP."""

    def __init__(self, sandbox: RemoteSandbox) -> None:
        self.http = http.client.HTTPConnection(*address(sandbox), timeout=LONG)
        self._auth = {"script_name": sandbox.script_name, "script_key": sandbox.api_key}

    def body(self, method: str, params: object = None) -> bytes:
        """The body of a call, as the official client would write it."""
        return json.dumps({"method_name": method, "params": [self._auth, params]}).encode()

    def send(self, method: str, params: object = None) -> None:
        """Send a call without waiting for its answer."""
        self.http.request("POST", "/api3/json", self.body(method, params))

    def receive(self) -> tuple[int, Any]:
        """Status and decoded body of the answer."""
        response = self.http.getresponse()
        body = response.read()
        return response.status, json.loads(body) if response.status == 200 else body

    def call(self, method: str, params: object = None) -> Any:
        """The result of a call."""
        self.send(method, params)
        status, answer = self.receive()
        assert status == 200, answer
        return answer.get("results", answer)

    def ask(
        self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Any HTTP request: the response and its whole body."""
        self.http.request(verb, path, body, headers or {})
        response = self.http.getresponse()
        return response, response.read()

    def create_project(self, name: str) -> Any:
        """A small write."""
        return self.call("create", new_project(name))


def new_project(name: str) -> dict[str, Any]:
    """The parameters of a small create."""
    field = {"field_name": "name", "value": name}
    return {"type": "Project", "fields": [field], "return_fields": ["id"]}


def count_projects(client: shotgun_api3.Shotgun, name: str) -> int:
    """How many projects of that name the site has."""
    return len(client.find("Project", [["name", "is", name]]))


def address(sandbox: RemoteSandbox) -> tuple[str, int]:
    """Host and port."""
    parts = urllib.parse.urlsplit(sandbox.url)
    return parts.hostname or "", parts.port or 0


def receive_all(line: socket.socket) -> bytes:
    """What arrives until the other side closes."""
    parts = []
    while part := line.recv(65536):
        parts.append(part)
    return b"".join(parts)


def wait_until(true: Callable[[], Any]) -> None:
    """Wait for something that a server gets to know a moment after it has happened."""
    pause = threading.Event()
    for _ in range(int(LONG * 100)):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen in time")
