"""Fixtures for every test."""

from __future__ import annotations

import gc
import os
import signal
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from shotgun_executor import ShotgunExecutor, ShotgunPool, ThreadLocalShotgun, decode
from shotgun_executor.sandbox import Sandbox
from tests.support import Front, compared, compared_records, open_sockets, settled
from tests.watch import Watch, watching


def pytest_configure() -> None:
    """Hear Ctrl-C, and let what is started hear it: a shell in the background turns it off."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Let the collector pass over what is imported by now; tests that collect are quicker so."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    """One local site for all tests; take `sandbox` instead, which starts empty."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    """A local site as new: no entities but its own, nothing counted, held, failing or slow.

    After the test it must still run, hold nothing, and have logged nothing.
    """
    sandbox_process.clear()
    yield sandbox_process
    assert sandbox_process.alive, sandbox_process.log()
    counters = sandbox_process.counters()
    sandbox_process.clear()
    assert counters.held == 0, f"the test left {counters.held} requests held"
    assert counters.internal_errors == 0, sandbox_process.log()


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a thread or a socket behind."""
    if "sandbox_process" in request.fixturenames:
        request.getfixturevalue("sandbox_process")  # starts before the count, lives on after it
    threads = set(threading.enumerate())
    sockets = open_sockets()
    yield
    left = settled(threads)
    if left or open_sockets() != sockets:
        gc.collect()  # what is in a cycle; costly, so not after every test
        left = settled(threads)
    assert not left, f"the test left threads behind: {left}"
    assert open_sockets() == sockets, "the test left sockets open"


@pytest.fixture(scope="session")
def watch() -> Iterator[Watch]:
    """What is logged, raised and shown, at DEBUG, over all tests."""
    with watching() as watch:
        yield watch


@pytest.fixture(autouse=True)
def no_secrets(watch: Watch) -> Iterator[None]:
    """No test lets a key, a password or a token be read."""
    watch.clear()
    yield
    leaks = watch.leaks()
    assert not leaks, f"secrets can be read: {leaks}"


@pytest.fixture(scope="session", autouse=True)
def decoded_twice() -> Iterator[None]:
    """Every answer that a test sees is decoded by the official client too, and compared.

    SHOTGUN_EXECUTOR_DECODE_ONCE=1 leaves that out.
    """
    if os.environ.get("SHOTGUN_EXECUTOR_DECODE_ONCE"):
        yield
        return
    differences: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "decoded", compared(decode.decoded, differences))
        patch.setattr(decode, "parse_records", compared_records(decode.parse_records, differences))
        yield
    assert not differences


@pytest.fixture
def executor(sandbox: Sandbox) -> Iterator[ShotgunExecutor]:
    """An executor with eight workers on the local site."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials) as executor:
        yield executor


FRONTS = ["executor.shotgun", "ShotgunPool", "ThreadLocalShotgun"]


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Front]:
    """Each of the clients that threads may share: what holds for one holds for all."""
    yield from _front(request.param, sandbox)


@pytest.fixture(params=FRONTS)
def front_without_retries(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Front]:
    """The same, and each call fails at once."""
    yield from _front(request.param, sandbox, retries=0)


def _front(name: str, sandbox: Sandbox, **settings: Any) -> Iterator[Front]:
    if name == "executor.shotgun":
        with ShotgunExecutor(sandbox.url, **sandbox.credentials, **settings) as executor:
            yield Front(executor.shotgun, executor)
        return
    cls = {"ShotgunPool": ShotgunPool, "ThreadLocalShotgun": ThreadLocalShotgun}[name]
    with cls(sandbox.url, **sandbox.credentials, **settings) as sg:
        yield Front(sg, sg)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """What a server for 127.0.0.1 needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file that trusts it."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)
