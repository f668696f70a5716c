"""A socket that is waited for only where it must be."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

import pytest
import trustme

from shotgun_executor.wire import Wire
from tests.support import LONG, in_thread


@pytest.fixture
def ends():
    """Both ends of a connection; the near one is a wire with a limit of LONG seconds."""
    near, far = socket.socketpair()
    with near, far:
        yield Wire(near, LONG), far


@pytest.fixture
def secure_ends():
    """The same under TLS 1.3, whose server sends tickets when it has shaken hands."""
    authority = trustme.CA()
    server, client = (
        ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)
    )
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    near, far = socket.socketpair()
    with near, far, contextlib.ExitStack() as stack:
        shaken = in_thread(lambda: server.wrap_socket(far, server_side=True))
        near_secure = stack.enter_context(client.wrap_socket(near, server_hostname="localhost"))
        far_secure = stack.enter_context(shaken())
        yield Wire(near_secure, LONG), far_secure


def received(wire, count):
    """So many bytes, or what there is until the end."""
    buffer = bytearray(count)
    filled = 0
    while filled < count:
        more = wire.recv_into(memoryview(buffer)[filled:])
        if not more:
            break
        filled += more
    return bytes(buffer[:filled])


def send_until_told(wire):
    """Send until the wire says that the peer answers."""
    while wire.send(b"x" * 100_000):
        pass


@pytest.mark.parametrize("kind", ["ends", "secure_ends"])
def test_what_was_looked_at_is_received(request, kind):
    """To look whether something is there takes nothing away, nor does the end."""
    wire, far = request.getfixturevalue(kind)
    assert not wire.readable()
    far.sendall(b"hello")
    assert wire.readable(LONG)
    assert wire.readable()
    assert received(wire, 2) == b"he"
    assert received(wire, 3) == b"llo"
    far.shutdown(socket.SHUT_RDWR)
    assert wire.readable(LONG)
    assert received(wire, 1) == received(wire, 1) == b""
    assert wire.readable()


def test_tickets_are_nothing_to_receive(secure_ends):
    """What TLS sends for itself is no answer, though the system says that bytes are there."""
    wire, far = secure_ends
    assert wire._until_readable(LONG).read, "there are no tickets, so nothing is tested here"
    assert not wire.readable()
    assert not wire.readable(0.01)
    wire.send(b"question")
    assert far.recv(100) == b"question"
    far.sendall(b"answer")
    assert received(wire, 6) == b"answer"


@pytest.mark.parametrize("kind", ["ends", "secure_ends"])
def test_an_answer_ends_what_cannot_be_sent(request, kind):
    """Who sends to a peer that does not read, but answers, is told so; the answer is kept."""
    wire, far = request.getfixturevalue(kind)
    blocked = threading.Event()
    until = wire._until_either

    def told(seconds):
        blocked.set()
        return until(seconds)

    wire._until_either = told

    sent = in_thread(lambda: send_until_told(wire))
    assert blocked.wait(LONG)
    far.sendall(b"too large")
    sent()
    assert received(wire, 9) == b"too large"


@pytest.mark.parametrize("kind", ["ends", "secure_ends"])
def test_silence_has_a_limit(request, kind):
    """Neither an answer that does not come nor a peer that does not read is waited for for ever."""
    wire, _ = request.getfixturevalue(kind)
    wire.limit = 0.02
    wire.send(b"question")
    with pytest.raises(socket.timeout):
        wire.recv_into(memoryview(bytearray(1)))
    with pytest.raises(socket.timeout):
        send_until_told(wire)


def test_large_amounts_go_through(secure_ends):
    """Both ways, whatever the size of what fits at once."""
    wire, far = secure_ends
    data = bytes(range(256)) * 8000

    def echo():
        left, whole = len(data), b""
        while left:
            piece = far.recv(min(left, 65536))
            left, whole = left - len(piece), whole + piece
        far.sendall(whole)

    echoed = in_thread(echo)
    rest = memoryview(data)
    while rest:
        rest = rest[wire.send(rest) :]
    assert received(wire, len(data)) == data
    echoed()
