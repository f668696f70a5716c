"""The faults of a site, the calls that meet them, and what is promised of each pair.

The outcomes that are promised:

* ``RIGHT``: the call succeeds, and what it writes is written once;
* ``FAILED``: it raises, and it is known that nothing was written;
* ``UNKNOWN``: it raises, says that it may have been carried out, and was sent once.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

from shotgun_executor import Retries, ShotgunExecutor, ShotgunPool, ThreadLocalShotgun
from shotgun_executor.sandbox import Sandbox
from tests.support import LONG, wait_until

RIGHT, FAILED, UNKNOWN = "right", "failed", "unknown"

SILENT = 0.08
"""The limit of a call that meets a silent site, in seconds; all others have no short one."""

# The kinds of requests: of the JSON API, of forms, of the storage.
READ, WRITE, SIGN_IN = "read", "write", "sign_in"
ASK, COMPLETE, LINK = "ask", "complete", "link"
PUT, SERVE = "put", "serve"


# Faults


class Fault(NamedTuple):
    """What happens to one request, and what is promised of the call that makes it."""

    strike: Callable[[Sandbox, str], object]
    """Called with the site and the name of the request before the call is made."""
    promises: dict[str, str]
    """The outcomes for each kind of request; a kind that is missing cannot meet the fault."""
    silent: bool = False
    first_only: bool = False
    """Whether it can only happen to the first request of a call."""


def promised(write: str, read: str = RIGHT, **others: str) -> dict[str, str]:
    """What is promised where all writes are alike, and all others."""
    alike = {
        **dict.fromkeys((READ, SIGN_IN, ASK, COMPLETE, PUT, SERVE), read),
        WRITE: write,
        LINK: write,
    }
    return {**alike, **others}


def failing(
    kind: str | None = None, promises: dict[str, str] | None = None, **settings: Any
) -> Fault:
    """A fault that the sandbox is asked for with `fail_next`."""

    def strike(site: Sandbox, request: str) -> None:
        # What is not read to its end has no name, unless its URL has.
        method = None if kind == "drop_unread" and request in METHODS else request
        site.fail_next(method, kind, **settings)

    return Fault(strike, promises or promised(UNKNOWN), silent=kind == "silence")


def idle(how: str, promises: dict[str, str], *, silent: bool = False) -> Fault:
    """The idle connections die."""

    def strike(site: Sandbox, _: str) -> None:
        wait_until(lambda: site.counters().in_flight == 0)
        assert site.close_idle(how)

    return Fault(strike, promises, silent, first_only=True)


METHODS = frozenset({"read", "create", "update", "batch", "get_session_token"})
HEADERS = {"Retry-After": "0"}
PAGE = "<html><body>Please accept the terms of this network.</body></html>"

BUSY = promised(RIGHT)
BROKEN = promised(UNKNOWN, FAILED, ask=RIGHT, put=RIGHT)  # a storage may answer 500 and recover
REFUSED = promised(FAILED, FAILED)
# A download may ask for another session, and go on with that.
SIGNED_OUT = {**REFUSED, SIGN_IN: f"{FAILED} {RIGHT}", SERVE: f"{FAILED} {RIGHT}"}
# What is spoiled in an answer that nobody reads does not matter.
MISLABELLED = {**BUSY, READ: FAILED, SIGN_IN: FAILED, WRITE: UNKNOWN}
NO_JSON = {READ: FAILED, SIGN_IN: FAILED, WRITE: UNKNOWN}
NO_ANSWER = {**NO_JSON, ASK: FAILED, COMPLETE: FAILED, LINK: UNKNOWN}

FAULTS: dict[str, Fault] = {
    "400": failing(status=400, promises=REFUSED),
    "403": failing(status=403, promises=REFUSED),
    "429": failing(status=429, headers=HEADERS, promises=BUSY),
    "500": failing(status=500, promises=BROKEN),
    "502": failing(status=502),
    "503": failing(status=503, headers=HEADERS, promises=BUSY),
    "504": failing(status=504),
    "500_after": failing(status=500, after_execution=True, promises=BROKEN),
    "502_after": failing(status=502, after_execution=True),
    "504_after": failing(status=504, after_execution=True),
    "page_after": failing(status=200, body=PAGE, after_execution=True, promises=NO_ANSWER),
    "drop": failing("drop"),
    "drop_after": failing("drop", after_execution=True),
    # Whether it ends before the whole form was sent is a matter of luck.
    "drop_unread": failing("drop_unread", promises=promised(UNKNOWN, link=f"{RIGHT} {UNKNOWN}")),
    "reset": failing("reset"),
    "reset_after": failing("reset", after_execution=True),
    "silence": failing("silence"),
    "silence_after": failing("silence", after_execution=True),
    "half_body": failing("half_body", promises=promised(UNKNOWN, put=RIGHT)),
    "slow_body": failing("slow_body", seconds=0.02, promises=BUSY),
    "wrong_type": failing("wrong_type", promises=MISLABELLED),
    "broken_json": failing("broken_json", promises=NO_JSON),
    "session_expired": failing("session_expired", promises=SIGNED_OUT),
    "login_required": failing("login_required", promises=SIGNED_OUT),
    "idle_closed": idle("fin", BUSY),
    "idle_reset": idle("reset", BUSY),
    "idle_vanished": idle("vanish", promised(UNKNOWN), silent=True),
    "down": Fault(lambda site, _: site.go_down(0.12), BUSY, first_only=True),
}


# Clients


class Client:
    """One of the ways to make a call, and what it has open."""

    def __init__(self, call: Callable[..., Any], sg: Any, owner: Any, *, keeps: int = 0) -> None:
        self.call = call
        self.sg = sg
        self.owner = owner
        self.keeps = keeps  # how many leases it holds between calls

    @property
    def leased(self) -> int:
        """How many connections somebody holds."""
        leased: int = self.owner._pool.leased
        return leased


# Enough to outlast a site that is down for a moment, and quick.
RETRIES = Retries(20, first_wait=0.01, longest_wait=0.05)
PATIENT = Retries(20, first_wait=0.2, longest_wait=1.0)  # outlasts a restart


@contextlib.contextmanager
def client_of(kind: str, site: Sandbox, retries: Retries = RETRIES) -> Iterator[Client]:
    """A client of *kind*; it is closed after the block."""
    settings: dict[str, Any] = {**site.credentials, "retries": retries, "read_timeout": LONG}
    if kind in ("executor", "facade"):
        with ShotgunExecutor(site.url, **settings) as executor:
            sg: Any = executor.shotgun

            def as_future(name: str, *args: Any, **kwargs: Any) -> Any:
                return getattr(executor, name)(*args, **kwargs).result(LONG)

            yield Client(_method_of(sg) if kind == "facade" else as_future, sg, executor)
    else:
        cls = ShotgunPool if kind == "pool" else ThreadLocalShotgun
        with cls(site.url, **settings) as sg:
            yield Client(_method_of(sg), sg, sg, keeps=int(kind == "thread_local"))


def _method_of(sg: Any) -> Callable[..., Any]:
    return lambda name, *args, **kwargs: getattr(sg, name)(*args, **kwargs)


CLIENTS = ("executor", "facade", "pool", "thread_local")


# Calls


class World(NamedTuple):
    """A site, and what there is on it."""

    site: Sandbox
    project: dict[str, Any]
    shot: dict[str, Any]
    version: dict[str, Any]
    attachment: int


class Scene(NamedTuple):
    """Where a call is made."""

    client: Client
    world: World
    folder: Path
    name: str
    """That of what is written; nobody else uses it."""

    @property
    def movie(self) -> Path:
        """A file to upload."""
        path = self.folder / f"{self.name}.mov"
        path.write_bytes(CONTENT)
        return path

    @property
    def target(self) -> Path:
        """A file to download to."""
        return self.folder / "downloaded.mov"


CONTENT = os.urandom(2000)


def scene_of(client: Client, world: World, folder: Path) -> Scene:
    """A scene with a name of its own."""
    return Scene(client, world, folder, uuid.uuid4().hex)


def find(scene: Scene) -> object:
    """A read, and what its answer must be."""
    return scene.client.call("find", "Shot", []) == [scene.world.shot]


def create(scene: Scene) -> object:
    data = {"code": scene.name, "project": scene.world.project}
    return scene.client.call("create", "Sequence", data)["code"] == scene.name


def update(scene: Scene) -> object:
    data = {"description": scene.name}
    return (
        scene.client.call("update", "Shot", scene.world.shot["id"], data)["description"]
        == scene.name
    )


def batch(scene: Scene) -> object:
    data = {"code": scene.name, "project": scene.world.project}
    made = scene.client.call(
        "batch", [{"request_type": "create", "entity_type": "Sequence", "data": data}]
    )
    return [entity["code"] for entity in made] == [scene.name]


def upload(scene: Scene) -> object:
    number = scene.client.call(
        "upload", "Version", scene.world.version["id"], str(scene.movie), "sg_uploaded_movie"
    )
    return isinstance(number, int)


def upload_parts(scene: Scene) -> object:
    scene.client.sg._MULTIPART_UPLOAD_CHUNK_SIZE = 900
    return upload(scene)


def upload_form(scene: Scene) -> object:
    scene.client.sg.server_info["s3_direct_uploads_enabled"] = False
    return upload(scene)


def download(scene: Scene) -> object:
    return scene.client.call("download_attachment", scene.world.attachment) == CONTENT


def download_file(scene: Scene) -> object:
    path = scene.target
    scene.client.call("download_attachment", scene.world.attachment, str(path))
    return path.read_bytes() == CONTENT


class Struck(NamedTuple):
    """A call, and the request of it that meets the fault."""

    call: Callable[[Scene], object]
    request: str
    kind: str
    first: bool = True
    writes: str = ""
    """The entity type that it makes one of, or changes."""


CALLS: dict[str, Struck] = {
    "find": Struck(find, "read", READ),
    "create": Struck(create, "create", WRITE, writes="Sequence"),
    "update": Struck(update, "update", WRITE, writes="Shot"),
    "batch": Struck(batch, "batch", WRITE, writes="Sequence"),
    "upload_ask": Struck(upload, "api_get_upload_link_info", ASK, writes="Attachment"),
    "upload_put": Struck(upload, "storage_put", PUT, first=False, writes="Attachment"),
    "upload_link": Struck(upload, "api_link_file", LINK, first=False, writes="Attachment"),
    "parts_ask": Struck(
        upload_parts, "api_get_upload_link_for_part", ASK, first=False, writes="Attachment"
    ),
    "parts_put": Struck(upload_parts, "storage_put", PUT, first=False, writes="Attachment"),
    "parts_complete": Struck(
        upload_parts, "api_complete_multipart_upload", COMPLETE, first=False, writes="Attachment"
    ),
    "upload_form": Struck(upload_form, "upload_file", LINK, writes="Attachment"),
    "download_session": Struck(download_file, "get_session_token", SIGN_IN),
    "download_serve": Struck(download_file, "file_serve", SERVE, first=False),
    "download_get": Struck(download_file, "storage_get", SERVE, first=False),
    "download_memory": Struck(download, "storage_get", SERVE, first=False),
}

# Each client makes these; the others are made by a pool alone, as they differ behind all clients.
BY_ALL = ("find", "create", "update", "upload_put", "upload_link", "upload_form", "download_get")


def cells() -> Iterator[tuple[str, str, str]]:
    """Each fault, the calls that can meet it, and the clients that make them."""
    for fault_name, fault in FAULTS.items():
        for call_name, struck in CALLS.items():
            if struck.kind in fault.promises and (struck.first or not fault.first_only):
                clients = CLIENTS if call_name in BY_ALL else ("pool",)
                yield from ((fault_name, call_name, client) for client in clients)
