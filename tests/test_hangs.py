"""Nothing hangs: programs end by themselves, and abort() wakes a thread wherever it is blocked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest

from shotgun_executor import Retries, ShotgunPool
from shotgun_executor.sandbox import Sandbox
from tests.support import KEYS, LONG, in_thread, wait_until
from tests.wire import INFO, Peer, results_of, serving, site

# Programs

PROGRAM = """
import json, sys
from shotgun_executor import Retries, ShotgunExecutor, outcome_unknown

settings = json.loads(sys.stdin.readline())
limits = {"connect_timeout": 0.25, "read_timeout": 0.25, "retries": Retries(1, first_wait=0.01)}
with ShotgunExecutor(**settings, **limits) as executor:
    for line in sys.stdin:
        name, *args = json.loads(line)
        error = getattr(executor, name)(*args).exception()
        kind = "right" if error is None else type(error.__cause__ or error).__name__
        print(json.dumps([kind, error is not None and outcome_unknown(error)]), flush=True)
"""
LIMIT = 15.0
"""Seconds in which a call of such a program ends, start included; it is killed then."""
TIMEOUT = "TimeoutError" if sys.version_info >= (3, 10) else "timeout"


class Program:
    """A process that makes calls one by one."""

    def __init__(self, settings: dict[str, Any]) -> None:
        command = [sys.executable, "-c", PROGRAM]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._send(settings)

    def call(self, *call: object) -> list[object]:
        """How a call ends: with which error, and whether its outcome is unknown."""
        assert self._process.stdout is not None
        timer = threading.Timer(LIMIT, self._process.kill)
        timer.start()
        try:
            self._send(call)
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
            timer.join()
        assert line, "the program had to be killed, or failed"
        outcome: list[object] = json.loads(line)
        return outcome

    def end(self) -> None:
        """Nothing more is to be done: it ends by itself."""
        try:
            self._process.communicate(timeout=LIMIT)
        finally:
            self._process.kill()
            self._process.wait()
        assert self._process.returncode == 0

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()


@contextmanager
def program(url: str, **settings: Any) -> Iterator[Program]:
    """A program that calls the site at *url*."""
    made = Program({"base_url": url, **settings})
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """A file to upload."""
    path = tmp_path / "movie.mov"
    path.write_bytes(os.urandom(1000))
    return path


@pytest.fixture
def calls(sandbox: Sandbox, movie: Path) -> dict[str, list[object]]:
    """A read, a write, an upload and a download, by the request that each makes first."""
    with ShotgunPool(sandbox.url, **sandbox.credentials) as sg:
        project = sg.create("Project", {"name": "Tidewater"})
        shot = sg.create("Shot", {"code": "sh010", "project": project})
        number = sg.upload("Shot", shot["id"], str(movie))
    return {
        "read": ["find", "Shot", []],
        "create": ["create", "Project", {"name": "Pilot"}],
        "upload_file": ["upload", "Shot", shot["id"], str(movie)],
        "file_serve": ["download_attachment", number, str(movie.with_name("downloaded.mov"))],
    }


def test_program_ends_though_the_site_is_silent(
    sandbox: Sandbox, calls: dict[str, list[object]], movie: Path
) -> None:
    """Each call ends within its limits, and so does the program."""
    with program(sandbox.url, **sandbox.credentials) as made:
        for request, call in calls.items():
            sandbox.fail(request, "silence")
            writes = request in ("create", "upload_file")
            assert made.call(*call) == [TIMEOUT, writes], request
    assert not movie.with_name("downloaded.mov").exists()


def test_program_ends_though_its_connections_have_vanished(
    sandbox: Sandbox, calls: dict[str, list[object]]
) -> None:
    """What a firewall has dropped without a word is given up, and reads go over another."""
    with program(sandbox.url, **sandbox.credentials) as made:
        for request, call in calls.items():
            assert made.call("find", "Shot", []) == ["right", False]
            wait_until(lambda: sandbox.counters().in_flight == 0)
            assert sandbox.close_idle("vanish")
            unknown = request in ("create", "upload_file")
            assert made.call(*call) == ([TIMEOUT, True] if unknown else ["right", False]), request


def storage_at(url: str) -> Callable[[Peer], None]:
    """A site whose storage is at *url*."""

    def script(peer: Peer) -> None:
        while True:
            request = peer.read()
            if request is None:
                return
            if request.target.startswith("/upload"):
                link = f"1\n{url}/store/whole\n2030\nAttachment\nupload-1\ns3"
                peer.answer(link.encode(), kind="text/plain")
            elif request.name == "info":
                peer.answer({**INFO, "s3_enabled_upload_types": {"*": ["*"]}})
            else:
                peer.answer(results_of(request))

    return script


def test_program_ends_though_a_handshake_never_does(movie: Path, ca_file: str) -> None:
    """Of TLS, with the site, the storage of an upload, and where a download leads."""
    with serving(lambda peer: peer.wait()) as server:
        url = server.url.replace("http:", "https:")
        with program(url, ca_certs=ca_file, **KEYS) as made:
            assert made.call("find", "Shot", []) == [TIMEOUT, False]
        with serving(storage_at(url)) as near, program(near.url, ca_certs=ca_file, **KEYS) as made:
            upload = ["upload", "Version", 1, str(movie), "sg_uploaded_movie"]
            assert made.call(*upload) == [TIMEOUT, False]
            download = ["download_attachment", {"url": f"{url}/a"}, str(movie.with_name("to.mov"))]
            assert made.call(*download) == [TIMEOUT, False]
        assert [path.name for path in movie.parent.iterdir()] == [movie.name]


# abort()


@pytest.fixture
def reached() -> threading.Event:
    """Set when a server has come to where it falls silent."""
    return threading.Event()


def abort_when(
    ready: Callable[[], bool], sg: ShotgunPool, function: Callable[[Any], object]
) -> None:
    """Run *function* on a connection, and abort it when *ready*; it ends at once."""
    lease = sg.lease()
    connection = lease.connection
    join = in_thread(lambda: connection.run(function))
    wait_until(ready)
    assert connection.abort()
    with pytest.raises(ConnectionAbortedError):
        join(LONG / 2)
    lease.release()


def never_reads(reached: threading.Event) -> Callable[[Peer], None]:
    """A site that answers calls, and does not read the body of an upload."""

    def script(peer: Peer) -> None:
        while True:
            line = peer.file.readline()
            length = 0
            while True:
                header = peer.file.readline().strip()
                if not header:
                    break
                if header.lower().startswith(b"content-length"):
                    length = int(header.split(b":")[1])
            if not line:
                return
            if b"/api3/json" not in line:
                reached.set()
                peer.server.over.wait(LONG)
                return
            peer.file.read(length)
            peer.answer({**INFO, "s3_direct_uploads_enabled": False})

    return script


def half_a_file(reached: threading.Event) -> Callable[[Peer], None]:
    """A site that answers calls, and sends half of a file."""

    def script(peer: Peer) -> None:
        while True:
            request = peer.read()
            if request is None:
                return
            if request.method == "GET":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"x" * 40_000)
                reached.set()
                peer.wait()
                return
            peer.answer(results_of(request))

    return script


def silent_after_info(reached: threading.Event) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        while True:
            request = peer.read()
            if request is None:
                return
            if request.name != "info":
                reached.set()
                peer.wait()
                return
            peer.answer(results_of(request))

    return script


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("script", [silent_after_info, never_reads, half_a_file])
def test_abort_wakes_who_calls_uploads_or_downloads(
    tmp_path: Path, reached: threading.Event, script: Any, secure: bool, tls: Any, ca_file: str
) -> None:
    """Also in the middle of a body, and under TLS; no part of a file is left."""
    movie = tmp_path / "movie.mov"
    with movie.open("wb") as file:
        file.truncate(30_000_000)
    calls = {
        silent_after_info: lambda sg: sg.create("Shot", {"code": "a"}),
        never_reads: lambda sg: sg.upload("Shot", 1, str(movie)),
        half_a_file: lambda sg: sg.download_attachment(9, str(tmp_path / "to.mov")),
    }
    with serving(script(reached), tls if secure else None) as server:
        settings = {**KEYS, "ca_certs": ca_file, "read_timeout": None}
        with ShotgunPool(server.url, **settings) as sg:
            abort_when(reached.is_set, sg, calls[script])
            server.script = site
            assert sg.find("Shot", []) == [{"type": "Shot", "id": 1}]
    assert [path.name for path in tmp_path.iterdir()] == [movie.name]


def test_abort_wakes_who_uploads_to_a_storage_that_shakes_no_hand(
    movie: Path, reached: threading.Event, ca_file: str
) -> None:
    """The second connection of a client is aborted as the first one is."""

    def silent(peer: Peer) -> None:
        reached.set()
        peer.wait()

    with serving(silent) as far:
        with serving(storage_at(far.url.replace("http:", "https:"))) as near:
            settings = {**KEYS, "ca_certs": ca_file, "connect_timeout": None}
            with ShotgunPool(near.url, **settings) as sg:
                abort_when(
                    reached.is_set,
                    sg,
                    lambda sg: sg.upload("Version", 1, str(movie), "sg_uploaded_movie"),
                )


def test_abort_wakes_who_waits_before_a_part_is_sent_again(movie: Path) -> None:
    """A storage that is busy says when to come back; nobody has to wait for that."""

    def busy(peer: Peer) -> None:
        while peer.read():
            peer.answer(b"busy", 503, "Retry-After: 50\r\n")

    with serving(busy) as far, serving(storage_at(far.url)) as near:
        with ShotgunPool(near.url, **KEYS, retries=Retries(1, first_wait=0)) as sg:
            lease = sg.lease()
            connection = lease.connection
            join = in_thread(
                lambda: connection.run(
                    lambda sg: sg.upload("Version", 1, str(movie), "sg_uploaded_movie")
                )
            )
            wait_until(lambda: isinstance(connection.switch._guarded, threading.Event))
            connection.abort()
            with pytest.raises(ConnectionAbortedError):
                join(LONG / 2)
            lease.release()


def silent_once(reached: threading.Event) -> Callable[[Peer], None]:
    """A site that does not answer the first request of all."""

    def script(peer: Peer) -> None:
        if peer.number == 0:
            peer.read()
            reached.set()
            peer.wait()
        else:
            site(peer)

    return script


@pytest.mark.parametrize("first", [True, False], ids=["who asks", "who waits"])
def test_abort_of_one_call_fails_no_other(reached: threading.Event, first: bool) -> None:
    """The site is asked for `info` once for all: if that call is aborted, another one asks."""
    with serving(silent_once(reached)) as server:
        with ShotgunPool(server.url, **KEYS, read_timeout=None, retries=0) as sg:
            leases = [sg.lease(), sg.lease()]
            asking, waiting = [lease.connection for lease in leases]
            joins = [in_thread(lambda: asking.run(lambda client: client.find("Shot", [])))]
            assert reached.wait(LONG)
            joins.append(in_thread(lambda: waiting.run(lambda client: client.find("Shot", []))))
            wait_until(lambda: isinstance(waiting.switch._guarded, threading.Event))
            if first:
                asking.abort()
                assert joins[1]() == [{"type": "Shot", "id": 1}]
            else:
                waiting.abort()
                with pytest.raises(ConnectionAbortedError):
                    joins[1](LONG / 2)
                asking.abort()
            with pytest.raises(ConnectionAbortedError):
                joins[0](LONG / 2)
            for lease in leases:
                lease.release()
