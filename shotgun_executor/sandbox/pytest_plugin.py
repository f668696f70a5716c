"""Fixtures for tests of code that uses ``shotgun_api3``: a local site, and clients of it.

pytest finds them by itself where the package is installed. Nothing is started, and nothing that
only the site needs is imported, until a test takes one of them. The page "Testing your tools" of
the docs has an example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shotgun_api3.shotgun import Shotgun

    from shotgun_executor import ShotgunExecutor
    from shotgun_executor.sandbox import Sandbox

__all__ = [
    "sg",
    "shotgun_executor",
    "shotgun_sandbox",
    "shotgun_sandbox_options",
    "shotgun_sandbox_process",
    "shotgun_url",
]


@pytest.fixture(scope="session")
def shotgun_sandbox_options() -> dict[str, object]:
    """Keyword arguments for the `Sandbox` of the session, such as ``{"tls": True}``.

    Define a fixture of this name, of the same scope, to have any.
    """
    return {}


@pytest.fixture(scope="session")
def shotgun_sandbox_process(shotgun_sandbox_options: dict[str, object]) -> Iterator[Sandbox]:
    """The local site of the session. Take `shotgun_sandbox`, which is new for each test."""
    from shotgun_executor.sandbox import Sandbox

    with Sandbox(**shotgun_sandbox_options) as sandbox:  # type: ignore[arg-type]  # checked there
        yield sandbox


@pytest.fixture
def shotgun_sandbox(shotgun_sandbox_process: Sandbox) -> Sandbox:
    """A local site as new: no entities but its own, nothing recorded, held, failing or slow.

    It is the same process for all tests of a session, cleared before each.
    """
    shotgun_sandbox_process.clear()
    return shotgun_sandbox_process


@pytest.fixture
def shotgun_url(shotgun_sandbox: Sandbox) -> str:
    """The URL of the local site."""
    return shotgun_sandbox.url


@pytest.fixture
def sg(shotgun_sandbox: Sandbox) -> Iterator[Shotgun]:
    """A `Shotgun` on the local site, signed in as a script; closed after the test."""
    from shotgun_api3.shotgun import Shotgun

    client = Shotgun(shotgun_sandbox.url, **shotgun_sandbox.credentials)
    yield client
    client.close()


@pytest.fixture
def shotgun_executor(shotgun_sandbox: Sandbox) -> Iterator[ShotgunExecutor]:
    """A `ShotgunExecutor` on the local site; shut down after the test."""
    from shotgun_executor import ShotgunExecutor

    with ShotgunExecutor(shotgun_sandbox.url, **shotgun_sandbox.credentials) as executor:
        yield executor
        shotgun_sandbox.resume()  # a test that failed must not leave its calls waiting
