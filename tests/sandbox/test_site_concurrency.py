"""Many clients at once over real HTTP: no id twice, no update lost, no half-done state seen."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from shotgun_executor.sandbox import Sandbox
from tests.sandbox.http_support import address

CLIENTS = 200
CREATES = 50
LIMIT = 50.0
SHOT = {"type": "Shot", "id": 1}


class Line:
    """One keep-alive connection to a sandbox, used by one task."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._address = address(sandbox)
        self._auth = {"script_name": sandbox.script_name, "script_key": sandbox.api_key}

    async def __aenter__(self) -> Line:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def call(self, method: str, params: Any) -> Any:
        """The result of a call."""
        body = json.dumps({"method_name": method, "params": [self._auth, params]}).encode()
        head = f"POST /api3/json HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        size = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        envelope = json.loads(await self._reader.readexactly(size))
        assert "results" in envelope, envelope
        return envelope["results"]

    async def create(self, entity_type: str, **data: Any) -> int:
        """Make an entity; the result is its id."""
        fields = [{"field_name": name, "value": value} for name, value in data.items()]
        made = await self.call("create", {"type": entity_type, "fields": fields})
        return int(made["id"])

    async def read(self, entity_type: str, *fields: str, page: int = 1) -> list[dict[str, Any]]:
        """One page of all entities."""
        params = {
            "type": entity_type,
            "return_fields": fields,
            "filters": {"logical_operator": "and", "conditions": []},
            "paging": {"entities_per_page": 500, "current_page": page},
        }
        found: list[dict[str, Any]] = (await self.call("read", params))["entities"]
        return found


def test_ten_thousand_creates_by_two_hundred_clients(sandbox: Sandbox) -> None:
    """Every create has an id of its own, all of them without a gap, and every row is there."""

    async def client(number: int) -> list[int]:
        async with Line(sandbox) as line:
            return [await line.create("Group", code=f"{number}") for _ in range(CREATES)]

    async def all_clients() -> list[list[int]]:
        return await asyncio.gather(*map(client, range(CLIENTS)))

    async def all_rows() -> list[dict[str, Any]]:
        async with Line(sandbox) as line:
            pages = range(1, CLIENTS * CREATES // 500 + 2)
            return [row for page in pages for row in await line.read("Group", "code", page=page)]

    made = asyncio.run(asyncio.wait_for(all_clients(), LIMIT))
    by_id = {id_: str(number) for number, ids in enumerate(made) for id_ in ids}
    assert sorted(by_id) == list(range(1, CLIENTS * CREATES + 1))
    assert all(ids == sorted(ids) for ids in made)
    assert {row["id"]: row["code"] for row in asyncio.run(all_rows())} == by_id
    assert sandbox.counters().writes == CLIENTS * CREATES


def test_no_update_is_lost_and_no_half_batch_is_seen(sandbox: Sandbox) -> None:
    """Additions of many clients to one list all stay; readers see both parts of a batch or none."""
    links, rounds = 40, 5

    async def writer(number: int) -> None:
        async with Line(sandbox) as line:
            asset = await line.create("Asset", code=f"a{number}", project=PROJECT)
            link = {"type": "Asset", "id": asset}
            field = {"field_name": "assets", "value": [link], "multi_entity_update_mode": "add"}
            await line.call("update", {**SHOT, "fields": [field]})
            for turn in range(rounds):
                value = {"field_name": "sg_cut_in", "value": number * 100 + turn}
                both = [{"request_type": "update", **each, "fields": [value]} for each in PAIR]
                await line.call("batch", both)

    async def reader(done: asyncio.Event) -> int:
        looks = 0
        async with Line(sandbox) as line:
            while not done.is_set():
                shots = await line.read("Shot", "sg_cut_in")
                assert shots[0]["sg_cut_in"] == shots[1]["sg_cut_in"]
                looks += 1
        return looks

    async def everybody() -> int:
        async with Line(sandbox) as line:
            await line.create("Project", name="p")
            for code in ("s1", "s2"):
                await line.create("Shot", code=code, project=PROJECT)
            done = asyncio.Event()
            readers = [asyncio.ensure_future(reader(done)) for _ in range(4)]
            await asyncio.gather(*map(writer, range(links)))
            done.set()
            looks = await asyncio.gather(*readers)
            assert len((await line.read("Shot", "assets"))[0]["assets"]) == links
            return sum(looks)

    assert asyncio.run(asyncio.wait_for(everybody(), LIMIT)) > 4


PROJECT = {"type": "Project", "id": 1}
PAIR = [SHOT, {"type": "Shot", "id": 2}]
