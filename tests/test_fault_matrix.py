"""Every fault of a site, in every kind of call, by every client; the site counts what it did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shotgun_executor import outcome_unknown
from shotgun_executor.sandbox import Request, Sandbox
from tests.faults import (
    CALLS,
    CONTENT,
    FAILED,
    FAULTS,
    RIGHT,
    SILENT,
    UNKNOWN,
    Client,
    Fault,
    Scene,
    Struck,
    World,
    cells,
    client_of,
    find,
    scene_of,
)
from tests.support import wait_until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A site of our own, since nobody may clear it meanwhile."""
    path = tmp_path_factory.mktemp("world") / "movie.mov"
    path.write_bytes(CONTENT)
    with Sandbox() as site:
        with client_of("pool", site) as client:
            project = new(client, "Project", name="Tidewater")
            shot = new(client, "Shot", code="sh010", project=project)
            version = new(client, "Version", code="v001", project=project)
            number = client.call("upload", "Shot", shot["id"], str(path))
        yield World(site, project, shot, version, number)


def new(client: Client, entity_type: str, **data: object) -> dict[str, Any]:
    """A new entity, as a link to it."""
    record = client.call("create", entity_type, data)
    return {"type": entity_type, "id": record["id"]}


@pytest.mark.parametrize(("fault", "call", "client"), list(cells()))
def test_fault(world: World, tmp_path: Path, fault: str, call: str, client: str) -> None:
    """A call keeps its promise, and leaves the client as good as new and nothing behind."""
    struck = CALLS[call]
    with client_of(client, world.site) as made:
        scene = scene_of(made, world, tmp_path)
        assert find(scene)  # so that a connection is open, and the site known
        before = world.site.last_requests(1)[0].number
        error = error_of(FAULTS[fault], struck, scene)
        assert outcome_of(error) in FAULTS[fault].promises[struck.kind].split(), repr(error)
        requests = requests_since(world.site, before)
        assert FAULTS[fault].first_only or any(is_struck(request) for request in requests)
        check_requests(requests, struck, error)
        check_folder(scene, error)
        assert find(scene), "the client is of no more use"
        if struck.writes:
            assert attachments(scene) <= 1
        wait_until(lambda: made.leased == made.keeps)


def error_of(fault: Fault, struck: Struck, scene: Scene) -> Exception | None:
    """What a call that meets the fault raises; None if its answer is right."""
    client, site = scene.client, scene.world.site
    fault.strike(site, struck.request)
    client.sg.config.timeout_secs = SILENT if fault.silent else None
    try:
        assert struck.call(scene) is True, "a wrong answer"
    except AssertionError:
        raise
    except Exception as error:
        return error
    finally:
        client.sg.config.timeout_secs = None
        site.stop_failing()
    return None


def outcome_of(error: Exception | None) -> str:
    """In the words of the promises."""
    if error is None:
        return RIGHT
    return UNKNOWN if outcome_unknown(error) else FAILED


def requests_since(site: Sandbox, before: int) -> list[Request]:
    """What the site was asked for since request number *before*, when it is done with all of it."""
    wait_until(lambda: site.counters().in_flight == 0)
    return [request for request in site.last_requests(100) if request.number > before]


def is_struck(request: Request) -> bool:
    """Whether a failure that was asked for has happened to it."""
    return request.outcome not in ("ok", "fault", "client gone")


def check_requests(requests: list[Request], struck: Struck, error: Exception | None) -> None:
    """What the site has carried out."""
    writes = sum(each.writes for each in requests)
    if not struck.writes or outcome_of(error) == FAILED:
        assert writes == 0
    elif error is None:
        assert writes == 1
    else:
        assert writes <= 1
        assert sum(each.method == struck.request for each in requests) <= 1


def check_folder(scene: Scene, error: Exception | None) -> None:
    """A download is there whole, or not at all."""
    names = {path.name for path in scene.folder.iterdir()} - {f"{scene.name}.mov"}
    assert names <= {"downloaded.mov"}
    assert not names or error is None


def attachments(scene: Scene) -> int:
    """How many attachments have the name of the scene."""
    filters = [["display_name", "is", scene.movie.name]]
    return len(scene.client.call("find", "Attachment", filters))
