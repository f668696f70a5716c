"""Fixtures for the tests of the local site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shotgun_executor.sandbox.site import Site
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
