"""Fixtures for the tests of the local site."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Iterator
from typing import Any, Callable

import pytest
import shotgun_api3

from shotgun_executor.sandbox import Sandbox
from shotgun_executor.sandbox.site import Site
from tests.sandbox.http_support import RawClient
from tests.sandbox.site_support import DirectShotgun


@pytest.fixture(scope="session")
def site_in_memory() -> Iterator[Site]:
    """One site in memory for all tests; take `site` instead, which starts as new."""
    site = Site()
    yield site
    site.close()


@pytest.fixture
def site(site_in_memory: Site) -> Site:
    """A new site in memory, without a server."""
    site_in_memory.clear()
    return site_in_memory


@pytest.fixture
def sg(site: Site) -> DirectShotgun:
    """The official client, signed in to `site` as its script."""
    return DirectShotgun(site)


@pytest.fixture
def project(sg: DirectShotgun) -> dict[str, Any]:
    """A project on `site`."""
    record = sg.create("Project", {"name": "Tidewater"})
    return {"type": "Project", "id": record["id"]}


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Callable[[], RawClient]]:
    """Makes raw connections to the sandbox, which are closed after the test."""
    with contextlib.ExitStack() as stack:

        def make() -> RawClient:
            raw = RawClient(sandbox)
            stack.callback(raw.http.close)
            return raw

        yield make


@pytest.fixture
def raw(connect: Callable[[], RawClient]) -> RawClient:
    """One raw connection."""
    return connect()


@pytest.fixture
def new_client(sandbox: Sandbox) -> Iterator[Callable[[], shotgun_api3.Shotgun]]:
    """Makes official clients of the sandbox, which are closed after the test."""
    with contextlib.ExitStack() as stack:

        def make() -> shotgun_api3.Shotgun:
            client = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(new_client: Callable[[], shotgun_api3.Shotgun]) -> shotgun_api3.Shotgun:
    """One official client, over HTTP."""
    return new_client()


@pytest.fixture
def background(
    sandbox: Sandbox, connect: object, new_client: object
) -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """Threads for calls that will be held; they are done before the clients are closed."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=20) as threads:
        yield threads
        sandbox.resume()  # a test that failed must not leave its threads waiting
