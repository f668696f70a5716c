"""Every fault of a site, in every kind of call, by every client, over HTTP and over TLS.

The site counts what it did.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from shotgun_executor import outcome_unknown
from shotgun_executor.sandbox import Request, Sandbox
from tests.faults import (
    BY_ALL,
    CALLS,
    CLIENTS,
    CONTENT,
    FAILED,
    FAULTS,
    LINK,
    PATIENT,
    RIGHT,
    SILENT,
    UNKNOWN,
    WRITE,
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
from tests.sandbox.http_support import address
from tests.support import LONG, in_thread, wait_until

pytestmark = pytest.mark.slow

OVER_TLS = ("executor", "facade")


@pytest.fixture(scope="module", params=[False, True], ids=["http", "https"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A site of our own, since nobody may clear it meanwhile."""
    with Sandbox(tls=request.param) as site:
        yield populated(site, tmp_path_factory.mktemp("world"))


def populated(site: Sandbox, folder: Path) -> World:
    """What the calls need is made on *site*."""
    path = folder / "movie.mov"
    path.write_bytes(CONTENT)
    with client_of("pool", site) as client:
        project = new(client, "Project", name="Tidewater")
        shot = new(client, "Shot", code="sh010", project=project)
        version = new(client, "Version", code="v001", project=project)
        number = client.call("upload", "Shot", shot["id"], str(path))
    return World(site, project, shot, version, number)


def new(client: Client, entity_type: str, **data: object) -> dict[str, Any]:
    """A new entity, as a link to it."""
    record = client.call("create", entity_type, data)
    return {"type": entity_type, "id": record["id"]}


@pytest.mark.parametrize(("fault", "call", "client"), list(cells()))
def test_fault(world: World, tmp_path: Path, fault: str, call: str, client: str) -> None:
    """A call keeps its promise, and leaves the client as good as new and nothing behind."""
    if world.site.url.startswith("https") and client not in OVER_TLS and call in BY_ALL:
        pytest.skip("over TLS by the executor and its facade; all else is the same code")
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
            made_count = count_made(struck, scene)
            assert made_count == sum(request.writes for request in requests)
        wait_until(lambda: made.leased == made.keeps)


def error_of(fault: Fault, struck: Struck, scene: Scene) -> Exception | None:
    """What a call that meets the fault raises; None if its answer is right."""
    config, site = scene.client.sg.config, scene.world.site
    fault.strike(site, struck.request)
    config.timeout_secs = SILENT if fault.silent else None
    try:
        return error_in(struck, scene)
    finally:
        config.timeout_secs = None
        site.stop_failing()


def error_in(struck: Struck, scene: Scene) -> Exception | None:
    """What a call raises; None if its answer is right."""
    try:
        right = struck.call(scene)
    except Exception as error:
        return error
    assert right is True, "a wrong answer"
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


def count_made(struck: Struck, scene: Scene) -> int:
    """How many there are of what the call makes, or changes."""
    if struck.writes == "Shot":
        filters = [["entity", "is", scene.world.shot], ["attribute_name", "is", "description"]]
        entries = scene.client.call("find", "EventLogEntry", filters, ["meta"])
        return sum(entry["meta"]["new_value"] == scene.name for entry in entries)
    names = {"Sequence": ("code", scene.name), "Attachment": ("display_name", scene.movie.name)}
    field, name = names[struck.writes]
    return len(scene.client.call("find", struck.writes, [[field, "is", name]]))


# While a call is under way


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("call", BY_ALL)
@pytest.mark.parametrize("before", [True, False], ids=["not executed", "executed"])
def test_site_that_goes_down_during_a_call(
    world: World, tmp_path: Path, before: bool, call: str, client: str
) -> None:
    """It answers nothing, and is back soon: what may be made again is, the rest says so."""
    site, struck = world.site, CALLS[call]
    with client_of(client, site) as made:
        scene = scene_of(made, world, tmp_path)
        assert find(scene)
        number = site.last_requests(1)[0].number
        site.hold(struck.request, before=before)
        join = in_thread(lambda: error_in(struck, scene))
        site.wait_for(1, struck.request)
        site.go_down(0.03)
        wait_until(lambda: is_up(site))
        site.resume()
        error = join()
        may_write = struck.kind in (WRITE, LINK)
        assert outcome_of(error) == (UNKNOWN if may_write else RIGHT), repr(error)
        check_requests(requests_since(site, number), struck, error)
        check_folder(scene, error)
        assert find(scene)


def is_up(site: Sandbox) -> bool:
    """Whether the site listens again."""
    try:
        socket.create_connection(address(site), LONG).close()
    except ConnectionRefusedError:
        return False
    return True


RESTARTS = [(tls, kill) for tls in (False, True) for kill in (False, True)]


@pytest.fixture(
    scope="module",
    params=RESTARTS,
    ids=[f"http{'s' * tls} {'killed' if kill else 'ended'}" for tls, kill in RESTARTS],
)
def restart(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, Callable[[], None]]]:
    """A site with a database, and how it is restarted."""
    folder = tmp_path_factory.mktemp("restart")
    tls, kill = request.param
    with Sandbox(database=folder / "site.db", tls=tls) as site:
        yield populated(site, folder), lambda: site.restart(kill=kill)


def everyone(
    stack: contextlib.ExitStack, world: World, folder: Path, calls: Iterable[str] = BY_ALL
) -> list[tuple[Struck, Scene]]:
    """Each call, on each client, each of which has an open connection."""
    found = []
    for call, client in itertools.product(calls, CLIENTS):
        place = folder / f"{call} {client}"
        place.mkdir()
        made = stack.enter_context(client_of(client, world.site, PATIENT))
        scene = scene_of(made, world, place)
        assert find(scene)
        found.append((CALLS[call], scene))
    return found


def test_restart_between_calls_is_not_noticed(
    restart: tuple[World, Callable[[], None]], tmp_path: Path
) -> None:
    """The connections are dead, and the next call of each client opens another."""
    world, go = restart
    with contextlib.ExitStack() as stack:
        calls = everyone(stack, world, tmp_path)
        go()
        for struck, scene in calls:
            assert error_in(struck, scene) is None
            check_folder(scene, None)
        writes = sum(request.writes for request in world.site.requests)
        assert writes == sum(bool(struck.writes) for struck, _ in calls)


def test_restart_during_calls_repeats_no_write(
    restart: tuple[World, Callable[[], None]], tmp_path: Path
) -> None:
    """What was under way was executed, and its answer is lost: reads are made again."""
    world, go = restart
    with contextlib.ExitStack() as stack:
        # Who links a file stores it before, and would be held there.
        calls = everyone(stack, world, tmp_path, [name for name in BY_ALL if name != "upload_put"])
        for request in {struck.request for struck, _ in calls}:
            world.site.hold(request)
        joins = [in_thread(functools.partial(error_in, struck, scene)) for struck, scene in calls]
        world.site.wait_for(len(calls))
        go()
        for (struck, scene), join in zip(calls, joins):
            error = join()
            assert outcome_of(error) == (UNKNOWN if struck.kind in (WRITE, LINK) else RIGHT)
            check_folder(scene, error)
            assert find(scene)
            if struck.writes:
                assert count_made(struck, scene) == 1
