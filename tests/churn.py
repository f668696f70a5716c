"""Other clients that change rows while somebody reads them."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

import shotgun_api3

__all__ = ["Rows"]

BATCH = 8


class Rows:
    """Shots of a site: some that nobody touches, and others that come and go."""

    def __init__(self, sandbox: Any, count: int, seed: int) -> None:
        self._sandbox = sandbox
        self._random = random.Random(seed)
        sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        self._project = sg.create("Project", {"name": "The Lantern Sea"})
        made = sg.batch([self._create(f"sh{number}") for number in range(count)])
        ids = [row["id"] for row in made]
        self._touched = self._random.sample(ids, count // 2)
        self.untouched = sorted(set(ids) - set(self._touched))
        self._retired = set(self._random.sample(self._touched, count // 4))
        sg.batch([_delete(number) for number in self._retired])
        sg.close()

    @contextlib.contextmanager
    def changing(self, clients: int = 2) -> Iterator[None]:
        """For the ``with`` block, other clients create, retire, revive and update rows."""
        stop = threading.Event()
        shares = [self._touched[number::clients] for number in range(clients)]
        threads = [
            threading.Thread(target=self._change, args=(stop, share, self._random.random()))
            for share in shares
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _change(self, stop: threading.Event, share: list[int], seed: float) -> None:
        choose = random.Random(seed)
        sg = shotgun_api3.Shotgun(self._sandbox.url, **self._sandbox.credentials)
        retired = self._retired & set(share)
        while not stop.is_set():
            some = choose.sample(share, min(len(share), choose.randint(1, BATCH)))
            requests = [self._create("new")] if choose.random() < 0.3 else []
            for number in some:
                if number in retired:
                    sg.revive("Shot", number)
                    retired.discard(number)
                elif choose.random() < 0.8:
                    requests.append(_delete(number))
                    retired.add(number)
                else:
                    data = {"description": str(choose.random())}
                    requests.append(
                        {
                            "request_type": "update",
                            "entity_type": "Shot",
                            "entity_id": number,
                            "data": data,
                        }
                    )
            if requests:
                sg.batch(requests)
        sg.close()

    def _create(self, code: str) -> dict[str, Any]:
        data = {"code": code, "project": self._project}
        return {"request_type": "create", "entity_type": "Shot", "data": data}


def _delete(number: int) -> dict[str, Any]:
    return {"request_type": "delete", "entity_type": "Shot", "entity_id": number}
