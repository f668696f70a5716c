"""What type checkers see of the public API. Never run: mypy and pyright read it.

A line that must be an error says `type: ignore`, and each checker complains if it is none.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
from collections.abc import Iterator
from typing import Any, Optional, Union

from shotgun_api3.shotgun import BaseEntity, ServerCapabilities, Shotgun
from typing_extensions import assert_type

from shotgun_executor import (
    Future,
    PoolTimeout,
    ShotgunExecutor,
    ShotgunPool,
    ThreadLocalShotgun,
    __version__,
)

version: str = __version__


def constructors(sg: Shotgun, executor: ShotgunExecutor) -> None:
    ShotgunExecutor("https://my-site", "tool", "key")
    ShotgunExecutor("https://my-site", script_name="tool", api_key="key", max_workers=16)
    ShotgunExecutor("https://my-site", login="me", password="secret", ca_certs="/etc/ca.pem")
    ShotgunExecutor(sg, max_workers=4, thread_name_prefix="shotgun", initializer=print)
    ShotgunExecutor(factory=lambda: Shotgun("https://my-site", session_token="token"))
    ShotgunExecutor(executor.shotgun)
    ShotgunPool("https://my-site", script_name="tool", api_key="key", max_size=4, timeout=10)
    ShotgunPool(sg, max_idle=5.0)
    ThreadLocalShotgun(sg)
    ThreadLocalShotgun(factory=lambda: sg)

    ShotgunExecutor("https://my-site", script="tool")  # type: ignore[call-arg]
    ShotgunExecutor(42)  # type: ignore[arg-type]
    ShotgunExecutor(sg, max_workers="8")  # type: ignore[arg-type]
    ShotgunPool(sg, max_workers=8)  # type: ignore[call-arg]
    ThreadLocalShotgun(sg, 4)  # type: ignore[arg-type]


def methods_are_futures(executor: ShotgunExecutor, shot: dict[str, Any]) -> None:
    shots = executor.find("Shot", [["project", "is", {"type": "Project", "id": 1}]], ["code"])
    assert_type(shots, Future[list[BaseEntity]])
    assert_type(shots.result(), list[BaseEntity])
    assert_type(shots.result(timeout=5)[0].get("id"), Optional[int])
    assert_type(executor.find_one("Shot", []), Future[Optional[BaseEntity]])
    assert_type(executor.create("Version", {"code": "v001"}), Future[dict[str, Any]])
    assert_type(executor.update("Shot", 1, {"code": "sh010"}), Future[BaseEntity])
    assert_type(executor.delete("Shot", 1), Future[bool])
    assert_type(executor.revive("Shot", 1), Future[bool])
    assert_type(executor.batch([]), Future[list[dict[str, Any]]])
    assert_type(executor.upload("Shot", 1, "sh010.mov"), Future[int])
    assert_type(executor.upload_thumbnail("Shot", 1, "sh010.png", timeout=9), Future[int])
    assert_type(executor.download_attachment(shot), Future[Union[str, bytes, None]])
    count = executor.summarize("Shot", [], [{"field": "id", "type": "count"}])
    assert_type(count, Future[dict[str, Any]])
    assert_type(executor.schema_read(), Future[dict[str, dict[str, Any]]])
    assert_type(executor.info(), Future[dict[str, Any]])
    assert_type(executor.get_session_token(), Future[str])


def arguments_are_those_of_shotgun(executor: ShotgunExecutor) -> None:
    executor.find("Shot", [], order=[{"field_name": "code", "direction": "asc"}], limit=1)
    executor.find("Shot", [], ["code"], None, "any", 5)

    executor.find()  # type: ignore[call-arg]
    executor.find("Shot", [], feilds=["code"])  # type: ignore[call-arg]
    executor.find("Shot", [], fields="code")  # type: ignore[arg-type]
    executor.update("Shot", "1", {})  # type: ignore[arg-type]
    executor.create("Shot")  # type: ignore[call-arg]


def half(number: int) -> float:
    return number / 2


def publish(sg: Shotgun, code: str, *, frames: int = 1) -> tuple[str, int]:
    return code, frames


def functions_on_workers(executor: ShotgunExecutor) -> None:
    assert_type(executor.submit(half, 3), Future[float])
    assert_type(executor.call(publish, "sh010", frames=10), Future[tuple[str, int]])
    assert_type(executor.call(lambda sg: sg.find_one("Shot", [])), Future[Optional[BaseEntity]])

    executor.submit(half, "3")  # type: ignore[arg-type]
    executor.call(publish)  # type: ignore[call-arg]
    executor.call(publish, "sh010", frames="10")  # type: ignore[arg-type]


def map_is_an_iterator(executor: ShotgunExecutor) -> None:
    sg = executor.shotgun
    for result in executor.map(half, range(10), timeout=30, buffersize=4):
        assert_type(result, float)
    with executor.map(lambda i: sg.find_one("Shot", [["id", "is", i]]), [1, 2]) as found:
        for shot in found:
            assert_type(shot, Optional[BaseEntity])
    results: Iterator[float] = executor.map(half, [1, 2])
    assert_type(next(results), float)


def it_is_an_executor(executor: ShotgunExecutor) -> None:
    plain: concurrent.futures.Executor = executor
    futures: list[concurrent.futures.Future[int]] = [executor.submit(len, "ab")]
    for done in concurrent.futures.as_completed(futures):
        assert_type(done.result(), int)
    plain.shutdown()
    executor.shutdown(wait=False, cancel_futures=True)
    with ShotgunExecutor(executor.shotgun) as entered:
        assert_type(entered, ShotgunExecutor)


async def it_runs_under_asyncio(executor: ShotgunExecutor) -> None:
    loop = asyncio.get_running_loop()
    assert_type(await loop.run_in_executor(executor, half, 3), float)
    shots = await asyncio.wrap_future(executor.find("Shot", []))
    assert_type(shots, list[BaseEntity])


def the_facade_is_a_shotgun(executor: ShotgunExecutor) -> None:
    sg = executor.shotgun
    assert_type(sg, Shotgun)
    assert_type(sg.find("Shot", []), list[BaseEntity])
    sg.upload("Version", 1, "sh010.mov", created_at=datetime.datetime.now(datetime.timezone.utc))
    assert_type(executor.server_caps, ServerCapabilities)
    assert_type(executor.server_info, dict[str, Any])
    assert_type(executor.base_url, str)
    executor.set_session_uuid("5a1d49b0")
    executor.add_user_agent("my-tool 1.0")

    executor.find("Shot", []).reslut()  # type: ignore[attr-defined]


def the_pool_is_a_shotgun(pool: ShotgunPool, local: ThreadLocalShotgun) -> None:
    takes_a_shotgun(pool)
    takes_a_shotgun(local)
    assert_type(pool.find_one("Shot", []), Optional[BaseEntity])
    assert_type(local.create("Shot", {}), dict[str, Any])
    try:
        with pool.lease(timeout=2.5) as sg:
            assert_type(sg, Shotgun)
    except PoolTimeout as error:
        takes_a_timeout(error)
    with pool as entered:
        assert_type(entered, ShotgunPool)
    with local as entered_too:
        assert_type(entered_too, ThreadLocalShotgun)

    pool.find("Shot")  # type: ignore[call-arg]


def takes_a_shotgun(sg: Shotgun) -> None: ...


def takes_a_timeout(error: TimeoutError) -> None: ...
