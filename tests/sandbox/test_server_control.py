"""Steering a sandbox from outside."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, Callable

import pytest

from shotgun_executor.sandbox import RemoteSandbox, Sandbox, SandboxError

if TYPE_CHECKING:
    from tests.sandbox.http_support import RawClient


@pytest.mark.parametrize("headers", [{}, {"X-Sandbox-Token": ""}, {"X-Sandbox-Token": "wrong"}])
@pytest.mark.parametrize("path", ["/_sandbox/info", "/_sandbox/clear", "/_sandbox/nothing"])
def test_control_needs_the_token(
    raw: RawClient, sandbox: Sandbox, path: str, headers: dict[str, str]
) -> None:
    """Without the token nothing is told and nothing is done."""
    raw.call("info")
    response, body = raw.ask("POST", path, b"{}", headers)
    assert response.status == 403
    assert sandbox.api_key not in body.decode()
    assert sandbox.token not in body.decode()
    assert sandbox.counters().total == 1


def test_control_is_json_over_post(raw: RawClient, sandbox: Sandbox) -> None:
    """With the token, any HTTP client can steer: a JSON object of arguments in, JSON out."""
    headers = {"X-Sandbox-Token": sandbox.token}
    response, body = raw.ask("POST", "/_sandbox/hold", b'{"method": "info"}', headers)
    assert (response.status, json.loads(body)) == (200, {"result": None})
    response, body = raw.ask("POST", "/_sandbox/resume", b"", headers)
    assert (response.status, json.loads(body)) == (200, {"result": 0})
    assert raw.ask("GET", "/_sandbox/info", None, headers)[0].status == 405
    assert raw.ask("POST", "/_sandbox/nothing", b"", headers)[0].status == 404
    assert raw.ask("POST", "/_sandbox/hold", b"[]", headers)[0].status == 400
    assert raw.ask("POST", "/_sandbox/hold", b"{", headers)[0].status == 400
    assert raw.ask("POST", "/_sandbox/hold", b'{"way": 1}', headers)[0].status == 400


@pytest.mark.parametrize(
    ("steer", "argument"),
    [
        (lambda s: s.hold(3), "method"),
        (lambda s: s.hold(""), "method"),
        (lambda s: s.hold(before="yes"), "before"),
        (lambda s: s.resume(count=0), "count"),
        (lambda s: s.resume(count=True), "count"),
        (lambda s: s.wait_for(0), "n"),
        (lambda s: s.wait_for("1"), "n"),
        (lambda s: s.wait_for(1, timeout=-1), "timeout"),
        (lambda s: s.set_latency(-0.1), "seconds"),
        (lambda s: s.set_latency(float("inf")), "seconds"),
        (lambda s: s.set_latency(0.1, jitter="x"), "jitter"),
        (lambda s: s.fail_next(status=99), "status"),
        (lambda s: s.fail_next(status="503"), "status"),
        (lambda s: s.fail_next(status=503, count=0), "count"),
        (lambda s: s.fail_next(status=503, body=3), "body"),
        (lambda s: s.fail_next(status=503, after_execution=1), "after_execution"),
        (lambda s: s.drop_next(count=-1), "count"),
    ],
)
def test_senseless_argument_is_named(
    sandbox: Sandbox, steer: Callable[[Any], object], argument: str
) -> None:
    """An argument that makes no sense raises a ValueError that names it, and changes nothing."""
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        steer(sandbox)


def test_attached_sandbox_is_the_same(raw: RawClient, sandbox: Sandbox) -> None:
    """With URL and token, the sandbox is steered like one's own."""
    attached = Sandbox.attach(sandbox.url, sandbox.token)
    assert attached.credentials == sandbox.credentials
    assert (attached.login, attached.password) == (sandbox.login, sandbox.password)
    assert attached.info() == sandbox.info()
    attached.fail_next(status=503)
    raw.send("info")
    assert raw.receive()[0] == 503
    assert attached.counters().total == 1
    assert sandbox.api_key not in repr(attached)
    assert sandbox.token not in repr(attached)


def test_attach_with_wrong_token_is_refused(sandbox: Sandbox) -> None:
    """A wrong token is refused, and not repeated in the error."""
    with pytest.raises(SandboxError, match="token") as caught:
        Sandbox.attach(sandbox.url, "a-wrong-one")
    assert "a-wrong-one" not in str(caught.value)


def test_attach_to_nothing_is_an_error() -> None:
    """Where nothing listens, or no URL is given, the error says so."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(SandboxError, match=f"no sandbox answers at 127.0.0.1:{port}"):
            RemoteSandbox(f"http://127.0.0.1:{port}", "token")
    with pytest.raises(ValueError, match="url must be"):
        RemoteSandbox("127.0.0.1:80", "token")


def test_info_shows_no_secrets(sandbox: Sandbox) -> None:
    """The repr of the info can be printed."""
    info = sandbox.info()
    assert info.api_key == sandbox.api_key
    assert info.api_key not in repr(info)
    assert info.password not in repr(info)
