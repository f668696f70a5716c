"""Calls that are made in the middle of an upload, by a function that is told of its progress."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest
from shotgun_api3 import AuthenticationFault, Fault, Shotgun

from shotgun_executor import (
    DeadlineExceeded,
    ShotgunExecutor,
    ShotgunPool,
    ThreadLocalShotgun,
    UploadError,
    outcome_unknown,
    upload_progress,
)
from shotgun_executor.sandbox import Sandbox
from tests.support import LONG, in_thread, wait_until

CONTENT = os.urandom(700_000)  # sent in three pieces; or in as many parts, if these are small

WAYS = ("form", "direct", "parts")
"""How the site takes a file."""


class Show(NamedTuple):
    """What there is on the site, and a file to upload."""

    site: Sandbox
    project: dict[str, Any]
    version: dict[str, Any]
    movie: Path

    def new(self, code: str) -> dict[str, Any]:
        """The data of a shot."""
        return {"code": code, "project": self.project}

    def upload(self, sg: Any, way: str) -> Any:
        """The upload of the file, by a client that threads may share."""
        client = sg if isinstance(sg, Shotgun) else sg.shotgun
        client.server_info["s3_direct_uploads_enabled"] = way != "form"
        client._MULTIPART_UPLOAD_CHUNK_SIZE = 250_000 if way == "parts" else 20_000_000
        return sg.upload("Version", self.version["id"], str(self.movie), "sg_uploaded_movie")

    def check(self, number: int, made: list[dict[str, Any]]) -> None:
        """The file is there whole, and each shot once, as it was returned."""
        with ShotgunPool(self.site.url, **self.site.credentials) as sg:
            assert sg.download_attachment(number) == CONTENT
            found = sg.find("Shot", [["project", "is", self.project]], ["code"])
        assert [(shot["id"], shot["code"]) for shot in found] == [
            (shot["id"], shot["code"]) for shot in made
        ]
        assert len(made) == len({shot["id"] for shot in made})


@pytest.fixture
def show(sandbox: Sandbox, tmp_path: Path) -> Show:
    """A project with a version, for a movie."""
    movie = tmp_path / "movie.mov"
    movie.write_bytes(CONTENT)
    with ShotgunPool(sandbox.url, **sandbox.credentials) as sg:
        project = sg.create("Project", {"name": "Tidewater"})
        version = sg.create("Version", {"code": "v001", "project": project})
    return Show(sandbox, project, version, movie)


@pytest.fixture(params=[1, 3])
def executor(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[ShotgunExecutor]:
    """With a single worker, the one that sends, and with others beside it."""
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=request.param, read_timeout=LONG
    ) as executor:
        yield executor


MAKERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "future": lambda executor, data: executor.create("Shot", data).result(LONG),
    "facade": lambda executor, data: executor.shotgun.create("Shot", data),
    "function": lambda executor, data: executor.submit(
        lambda: executor.shotgun.create("Shot", data)
    ).result(LONG),
    "client": lambda executor, data: executor.call(lambda sg: sg.create("Shot", data)).result(LONG),
}
"""The ways to make a call by an executor, and to wait for it."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("maker", MAKERS)
def test_progress_function_calls_the_executor_that_uploads(
    show: Show, executor: ShotgunExecutor, maker: str, way: str
) -> None:
    """Each call gets the answer to itself, and the upload goes on as if there had been none."""
    made: list[dict[str, Any]] = []

    def tell(sent: int, _: int) -> None:
        shot = MAKERS[maker](executor, show.new(f"sh{sent}"))
        made.append(shot)
        found = executor.find_one("Shot", [["id", "is", shot["id"]]], ["code"]).result(LONG)
        assert found["code"] == f"sh{sent}"

    with upload_progress(tell):
        future = show.upload(executor, way)
    number = in_thread(future.result)()
    assert len(made) == 3
    show.check(number, made)
    wait_until(lambda: executor._pool.leased == 0)
    assert executor._pool.idle <= executor._workers + 1  # one more, beside the one that sends


@pytest.fixture(params=["executor.shotgun", "ShotgunPool", "ThreadLocalShotgun"])
def front(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each of the clients that threads may share; the executor has one worker."""
    settings: Any = {**sandbox.credentials, "read_timeout": LONG}
    if request.param == "executor.shotgun":
        with ShotgunExecutor(sandbox.url, **settings, max_workers=1) as executor:
            yield executor.shotgun
        return
    cls = {"ShotgunPool": ShotgunPool, "ThreadLocalShotgun": ThreadLocalShotgun}[request.param]
    with cls(sandbox.url, **settings) as sg:
        yield sg


@pytest.mark.parametrize("way", WAYS)
def test_progress_function_calls_the_client_that_uploads(show: Show, front: Any, way: str) -> None:
    """The same for each `Shotgun` that threads may share; also if a call within fails."""
    made: list[dict[str, Any]] = []

    def tell(sent: int, _: int) -> None:
        made.append(front.create("Shot", show.new(f"sh{sent}")))
        with pytest.raises(Fault):
            front.find("NoSuchEntity", [])
        assert front.find_one("Shot", [["code", "is", f"sh{sent}"]])["id"] == made[-1]["id"]

    with upload_progress(tell):
        number = show.upload(front, way)
    assert len(made) == 3
    show.check(number, made)


@pytest.mark.parametrize("way", WAYS)
def test_progress_function_uploads_itself(show: Show, front: Any, way: str, tmp_path: Path) -> None:
    """A file within a file; of its own the function is not told."""
    small = tmp_path / "small.txt"
    small.write_bytes(b"x" * 300_000)
    numbers: list[int] = []

    def tell(sent: int, total: int) -> None:
        assert total == len(CONTENT)
        numbers.append(front.upload("Version", show.version["id"], str(small)))

    with upload_progress(tell):
        number = show.upload(front, way)
    assert len(numbers) == 3
    for each in numbers:
        assert front.download_attachment(each) == small.read_bytes()
    show.check(number, [])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("holder", ["call", "lease"])
def test_client_that_sends_refuses_calls_within(
    show: Show, executor: ShotgunExecutor, way: str, holder: str
) -> None:
    """A clear error, before anything is sent; whoever catches it has the upload go on."""
    refused: list[str] = []

    def upload(sg: Any) -> tuple[int, Any]:
        def tell(_: int, __: int) -> None:
            with pytest.raises(RuntimeError, match="in the middle of a request") as raised:
                sg.create("Shot", show.new("sh010"))
            refused.append(str(raised.value))
            with pytest.raises(RuntimeError, match="in the middle of a request"):
                sg.download_attachment(1)

        with upload_progress(tell):
            number = show.upload(sg, way)
        return number, sg.find_one("Version", [["id", "is", show.version["id"]]])

    if holder == "call":
        number, found = in_thread(executor.call(upload).result)()
    else:
        with ShotgunPool(show.site.url, **show.site.credentials) as pool, pool.lease() as sg:
            number, found = upload(sg)
    assert len(refused) == 3
    assert found["id"] == show.version["id"]
    show.check(number, [])


@pytest.mark.parametrize("way", WAYS)
def test_refused_call_that_ends_the_upload_leaves_a_client_of_use(
    show: Show, executor: ShotgunExecutor, way: str
) -> None:
    """Nobody catches it: the upload fails by it, was not carried out, and the client goes on."""

    def upload(sg: Any) -> Any:
        with upload_progress(lambda sent, total: sg.find("Shot", [])):
            with pytest.raises(RuntimeError, match="in the middle of a request") as raised:
                show.upload(sg, way)
        assert not outcome_unknown(raised.value)
        return sg.find_one("Version", [["id", "is", show.version["id"]]])

    assert in_thread(executor.call(upload).result)()["id"] == show.version["id"]
    assert executor.find("Attachment", []).result(LONG) == []


@pytest.mark.parametrize("way", WAYS)
def test_lease_that_is_given_back_in_the_middle_of_an_upload(show: Show, way: str) -> None:
    """Its connection is for nobody else; the upload ends, and the pool opens another."""
    made: list[dict[str, Any]] = []
    with ShotgunPool(show.site.url, **show.site.credentials) as pool:
        lease = pool.lease()

        def tell(sent: int, _: int) -> None:
            lease.release()
            made.append(pool.create("Shot", show.new(f"sh{sent}")))

        refused = pytest.raises(RuntimeError, match="was given back")
        # The rest of a form needs no further request; those of the others are refused.
        with lease as sg, upload_progress(tell):
            with contextlib.nullcontext() if way == "form" else refused:
                assert show.upload(sg, way)
        assert pool._pool.leased == 0
        assert pool._pool.idle == 1
        shots = pool.find("Shot", [["project", "is", show.project]])
        assert [shot["id"] for shot in shots] == [shot["id"] for shot in made]


FINDERS: dict[str, Callable[[Any], Any]] = {
    "future": lambda executor: executor.find("Shot", []).result(LONG),
    "facade": lambda executor: executor.shotgun.find("Shot", []),
}


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("finder", FINDERS)
def test_deadline_of_an_upload_ends_a_call_within(show: Show, finder: str, swallows: bool) -> None:
    """What its progress function waits for is aborted with it, and so is the upload itself."""
    show.site.hold("read")
    with ShotgunExecutor(show.site.url, **show.site.credentials, max_workers=1) as executor:

        def tell(_: int, __: int) -> None:
            with contextlib.suppress(Exception) if swallows else contextlib.nullcontext():
                FINDERS[finder](executor)

        arguments = ("Version", show.version["id"], str(show.movie), "sg_uploaded_movie")
        with upload_progress(tell):
            future = executor.options(deadline=0.2).upload(*arguments)
        with pytest.raises(DeadlineExceeded):
            in_thread(future.result)()
        show.site.resume()
        assert executor.find("Shot", []).result(LONG) == []
        assert executor.find("Attachment", []).result(LONG) == []


ERRORS = (
    *(ConnectionResetError("mine"), TimeoutError("mine"), FileNotFoundError("mine")),
    *(UploadError("mine", 503), AuthenticationFault("mine"), ValueError("mine")),
)
"""What a function may raise; some of these are repeated when they are of a request."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_a_progress_function_raises_ends_the_upload(
    show: Show, front: Any, way: str, error: Exception
) -> None:
    """It comes out as it is, whatever it is; the function is not called again."""
    told: list[int] = []

    def tell(sent: int, _: int) -> None:
        told.append(sent)
        raise error

    with upload_progress(tell), pytest.raises(type(error)) as raised:
        show.upload(front, way)
    assert raised.value is error
    assert len(told) == 1
    assert front.find("Attachment", []) == []


@pytest.mark.parametrize("way", WAYS)
def test_write_within_an_upload_is_sent_once(show: Show, front: Any, way: str) -> None:
    """If nobody knows what became of it, the error says so, and the upload does not repeat it."""
    show.site.fail_next("create", "reset", after_execution=True)
    with upload_progress(lambda sent, _: front.create("Shot", show.new(f"sh{sent}"))):
        with pytest.raises(OSError, match="reset") as raised:
            show.upload(front, way)
    assert outcome_unknown(raised.value)
    assert len(front.find("Shot", [])) == 1
    assert front.find("Attachment", []) == []
