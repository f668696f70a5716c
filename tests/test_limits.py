"""Limits of time, and abort: no thread is blocked for longer than somebody wants it to be."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from shotgun_api3 import Shotgun

from shotgun_executor import ShotgunExecutor, ShotgunPool, ThreadLocalShotgun, opening
from tests.support import KEYS, LONG, NOWHERE, in_thread
from tests.wire import results_of, serving, site

SHORT = 0.15  # the limit that a test waits for


def silent(peer):
    """Accept, and never say a word."""
    peer.server.reached.set()
    peer.wait()


def silent_after_request(peer):
    """Answer `info`, then take a request and never answer it."""
    while True:
        request = peer.read()
        if request is None:
            return
        if request.name != "info":
            peer.server.reached.set()
            peer.wait()
            return
        peer.answer(results_of(request))


def silent_in_head(peer):
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-")
    peer.server.reached.set()
    peer.wait()


def silent_in_body(peer):
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{")
    peer.server.reached.set()
    peer.wait()


def silent_in_chunk(peer):
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{")
    peer.server.reached.set()
    peer.wait()


def never_reads(peer):
    """Take no more than the buffers of the sockets do."""
    peer.server.reached.set()
    peer.server.over.wait(LONG)


PHASES = [silent, silent_after_request, silent_in_head, silent_in_body, silent_in_chunk]


@pytest.fixture
def reached(monkeypatch):
    """Set when a server has come to where it falls silent."""
    event = threading.Event()
    monkeypatch.setattr("tests.wire.WireServer.reached", event, raising=False)
    return event


@pytest.mark.parametrize("script", PHASES)
def test_limits_silence_in_each_phase_ends_within_the_read_limit(script, reached):
    """A site that falls silent anywhere in an answer is given up after read_timeout."""
    with serving(script) as server:
        with ShotgunPool(server.url, **KEYS, read_timeout=SHORT, retries=0) as sg:
            began = time.monotonic()
            with pytest.raises(socket.timeout, match=r"silent for 0\.15 s"):
                sg.find("Shot", [])
            assert SHORT <= time.monotonic() - began < LONG / 2


def test_limits_a_request_that_nobody_reads_ends_within_the_read_limit(reached):
    """Sending is limited too."""
    with serving(never_reads) as server:
        with ShotgunPool(server.url, **KEYS, read_timeout=SHORT, retries=0) as sg:
            with pytest.raises(socket.timeout, match="silent"):
                sg._call_rpc("create", {"x": "y" * 30_000_000}, False)


def test_limits_tls_handshake_ends_within_the_connect_limit(ca_file, reached):
    """A peer that accepts and says nothing does not hold up a TLS connection."""
    with serving(silent) as server:
        url = server.url.replace("http://", "https://")
        settings = {"ca_certs": ca_file, "connect_timeout": SHORT, "retries": 0}
        with ShotgunPool(url, **KEYS, **settings) as sg:
            with pytest.raises(socket.timeout):
                sg.info()


def test_limits_proxy_ends_within_the_connect_limit(reached):
    """Nor does a proxy that never answers."""
    with serving(silent) as server:
        address = f"127.0.0.1:{server.port}"
        settings = {"http_proxy": address, "connect_timeout": SHORT, "retries": 0}
        with ShotgunPool("http://127.0.0.1:1", **KEYS, **settings) as sg:
            with pytest.raises(socket.timeout, match="no connection"):
                sg.info()


def test_limits_connecting_ends_within_the_connect_limit():
    """A place where nobody accepts is given up after connect_timeout."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:  # fill the queue of the listener, so that it takes no more
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        url = f"http://127.0.0.1:{port}"
        with ShotgunPool(url, **KEYS, connect_timeout=SHORT, retries=0) as sg:
            with pytest.raises(socket.timeout):
                sg.info()
        for sock in waiting:
            sock.close()


def test_limits_a_slow_resolver_is_left_behind(monkeypatch):
    """The connect limit holds for the name too, though nothing can stop the resolver."""
    over = threading.Event()

    def look_up(host, *args):
        if args[3:] and args[-1] & socket.AI_NUMERICHOST:
            raise socket.gaierror
        over.wait(LONG)
        raise socket.gaierror

    monkeypatch.setattr(opening.socket, "getaddrinfo", look_up)
    with ShotgunPool("http://slow.example", **KEYS, connect_timeout=SHORT, retries=0) as sg:
        with pytest.raises(socket.timeout, match=r"slow\.example"):
            sg.info()
    over.set()


def test_limits_timeout_secs_holds_at_once(reached):
    """`config.timeout_secs` is the read limit as soon as it is set, also on an open connection."""
    with serving(silent_after_request) as server:
        with ShotgunPool(server.url, **KEYS, read_timeout=LONG, retries=0) as sg:
            sg.connect()
            sg.config.timeout_secs = SHORT
            with pytest.raises(socket.timeout, match=r"0\.15 s"):
                sg.find("Shot", [])
            assert server.connections == 1


def test_limits_timeout_secs_must_be_a_number(sandbox):
    """What is no number of seconds is refused before anything is sent, and named."""
    with ShotgunPool(sandbox.url, **sandbox.credentials) as sg:
        sg.config.timeout_secs = "30"
        with pytest.raises(TypeError, match=r"config\.timeout_secs must be a number .* not '30'"):
            sg.find("Shot", [])
        assert sandbox.counters().total == 0
        sg.config.timeout_secs = 30
        assert sg.find("Shot", []) == []


def test_limits_a_drip_is_no_silence():
    """An answer that takes many times the limit, but moves, is read to its end."""

    def drip(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            if request.name == "info":
                peer.answer(results_of(request))
                continue
            body = b'{"results": {"entities": [], "paging_info": {"has_next_page": false}}}'
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            for start in range(0, len(body), 9):
                time.sleep(0.05)
                peer.send(body[start : start + 9])

    with serving(drip) as server:
        with ShotgunPool(server.url, **KEYS, read_timeout=0.3, retries=0) as sg:
            assert sg.find("Shot", []) == []


@pytest.mark.parametrize("cls", [ShotgunExecutor, ShotgunPool, ThreadLocalShotgun])
@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
def test_limits_arguments_are_checked(cls, name):
    """A limit is a number of seconds, or None."""
    with pytest.raises(TypeError, match=f"{cls.__name__}: {name} must be a number"):
        cls(NOWHERE, **KEYS, **{name: "5"})
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match=name):
            cls(NOWHERE, **KEYS, **{name: wrong})
    with pytest.raises(ValueError, match="None is no limit"):
        cls(NOWHERE, **KEYS, **{name: 0})
    with cls(NOWHERE, **KEYS, **{name: None}) as owner:
        assert getattr(owner._prototype.shared.limits, name.split("_")[0]) is None


def test_limits_defaults_are_finite():
    """Nobody has to ask for limits."""
    with ShotgunPool(Shotgun(NOWHERE, connect=False, **KEYS)) as sg:
        assert sg._prototype.shared.limits == (15.0, 120.0)


# abort


def aborted(function, pool, reached):
    """Run *function* on a connection, abort it when the server is reached; what it raised."""
    lease = pool.lease()
    connection = lease.connection
    join = in_thread(lambda: connection.run(function))
    assert reached.wait(LONG)
    assert connection.abort()
    with pytest.raises(ConnectionAbortedError) as raised:
        join(LONG / 2)
    connection.abort()
    lease.release()
    return raised.value


@pytest.mark.parametrize("script", PHASES)
def test_abort_wakes_who_waits_for_an_answer(script, reached):
    """From another thread, in each phase of an answer, at once; the next call is answered."""
    with serving(script) as server:
        with ShotgunPool(server.url, **KEYS, read_timeout=None, retries=0) as sg:
            error = aborted(lambda client: client.find("Shot", []), sg._pool, reached)
            assert "aborted" in str(error)
            server.script = site
            assert sg.find("Shot", []) == [{"type": "Shot", "id": 1}]


def test_abort_wakes_who_sends(reached):
    """Also in the middle of a request that nobody reads."""
    with serving(never_reads) as server:
        with ShotgunPool(server.url, **KEYS, read_timeout=None, retries=0) as sg:
            big = {"x": "y" * 30_000_000}
            aborted(lambda client: client._call_rpc("read", big, False), sg._pool, reached)


def test_abort_wakes_who_is_in_a_tls_handshake(ca_file, reached):
    """Also before there is a connection."""
    with serving(silent) as server:
        url = server.url.replace("http://", "https://")
        settings = {"ca_certs": ca_file, "connect_timeout": None, "retries": 0}
        with ShotgunPool(url, **KEYS, **settings) as sg:
            aborted(lambda client: client.info(), sg._pool, reached)


def test_abort_wakes_who_waits_for_a_proxy(reached):
    """Also on the way to the site."""
    with serving(silent) as server:
        address = f"127.0.0.1:{server.port}"
        settings = {"http_proxy": address, "connect_timeout": None, "retries": 0}
        with ShotgunPool("http://127.0.0.1:1", **KEYS, **settings) as sg:
            aborted(lambda client: client.info(), sg._pool, reached)


def test_abort_wakes_who_waits_for_a_name(monkeypatch, reached):
    """Also while the resolver works."""
    over = threading.Event()

    def look_up(host, *args):
        if args[3:] and args[-1] & socket.AI_NUMERICHOST:
            raise socket.gaierror
        reached.set()
        over.wait(LONG)
        raise socket.gaierror

    monkeypatch.setattr(opening.socket, "getaddrinfo", look_up)
    with ShotgunPool("http://slow.example", **KEYS, connect_timeout=None, retries=0) as sg:
        aborted(lambda client: client.info(), sg._pool, reached)
    over.set()


def test_abort_wakes_who_connects():
    """Also where nobody accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        url = f"http://127.0.0.1:{port}"
        with ShotgunPool(url, **KEYS, connect_timeout=None, retries=0) as sg:
            lease = sg.lease()
            connection = lease.connection
            join = in_thread(lambda: connection.run(lambda client: client.info()))
            for _ in range(int(LONG / 0.005)):
                if connection.switch._guarded is not None:
                    break
                time.sleep(0.005)
            connection.abort()
            with pytest.raises(ConnectionAbortedError):
                join(LONG / 2)
            lease.release()
        for sock in waiting:
            sock.close()


def test_abort_between_two_requests_ends_the_call_at_its_next():
    """A call of many requests does not slip through; the call after it is not touched."""
    with serving(site) as server, ShotgunPool(server.url, **KEYS, retries=0) as sg:
        lease = sg.lease()
        connection = lease.connection

        def call(client):
            client.find("Shot", [])
            connection.abort()
            client.find("Shot", [])

        with pytest.raises(ConnectionAbortedError):
            connection.run(call)
        assert server.names() == ["info", "read"]
        assert connection.run(lambda client: client.find("Shot", [])) == [{"type": "Shot", "id": 1}]
        lease.release()


def test_abort_of_a_call_that_is_over_does_nothing():
    """With the number of a call, no other is hit."""
    with serving(site) as server, ShotgunPool(server.url, **KEYS, retries=0) as sg:
        lease = sg.lease()
        connection = lease.connection
        connection.run(lambda client: client.find("Shot", []))
        number = connection.call_number

        def call(client):
            assert not connection.abort(number)
            return client.find("Shot", [])

        assert connection.run(call)
        lease.release()


@pytest.mark.slow
def test_limits_a_process_can_end_though_the_site_is_silent():
    """The default of other clients hangs here for ever; ours ends, in a process of its own."""
    script = """
        import socket, sys
        from shotgun_executor import ShotgunExecutor
        listener = socket.create_server(("127.0.0.1", 0))
        url = "http://127.0.0.1:%d" % listener.getsockname()[1]
        executor = ShotgunExecutor(url, "tool", "key", read_timeout=0.5, retries=0)
        futures = [executor.find("Shot", []) for _ in range(3)]
        executor.shutdown(wait=False)
        print(*sorted({type(future.exception(20)).__name__ for future in futures}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() in ("TimeoutError", "timeout")
