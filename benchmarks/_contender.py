"""One contender at one workload, in a process of its own.

    python benchmarks/_contender.py ours pages http://127.0.0.1:8000

The first line on standard input is JSON with the settings (workers, credentials, ...); when
everything is warm, the process says so. Each further line is a measurement to do, such as
``{"count": 40, "head": 10}``, and is answered by a line with the seconds of wall time, the seconds
of CPU of this process, and digests of the first *head* answers and of all of them.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import time
from typing import Any

from _clients import CONTENDERS, Contender, Prefetch, Site
from _digest import digest
from _profile import ThreadProfiles
from _shape import FIELDS, ROWS, SMALL_FIELDS


class Workload:
    """Something to do so many times."""

    def __init__(self, contender: Contender, site: Site, settings: dict[str, Any]) -> None:
        self._contender = contender
        self._site = site
        self._settings = settings
        self._client: Any = None

    def warm(self) -> None:
        """Import, start threads, connect: as it is after a while in a long run."""
        self._client = self._contender.way(self._contender.connect, self._site)
        self.run(self._settings["warm"])

    def run(self, count: int) -> list[Any]:
        """Do it; this is what is measured."""
        raise NotImplementedError

    def check(self, found: list[Any]) -> str:
        """The digest of answers."""
        return digest([found], converts=self._contender.converts)

    def clear(self) -> None:
        """Called after each measurement."""

    def end(self) -> None:
        """Close what is open."""
        if self._client is not None:
            self._client.close()


class Pages(Workload):
    """Pages of 500 records of ten fields."""

    def run(self, count: int) -> list[Any]:
        if isinstance(self._client, Prefetch):
            return self._client.pages(FIELDS, ROWS, count)
        return self._client.map(
            lambda sg, page: sg.find("Shot", [], FIELDS, limit=ROWS, page=page),
            list(range(1, count + 1)),
        )

    def check(self, found: list[Any]) -> str:
        return digest(found, converts=self._contender.converts)


class Small(Workload):
    """``find_one`` by id."""

    def run(self, count: int) -> list[Any]:
        return self._client.map(
            lambda sg, number: sg.find_one("Shot", [["id", "is", number]], SMALL_FIELDS),
            list(range(1, count + 1)),
        )


class Connecting(Small):
    """A client that is new, and its first small call on each of so many connections.

    The site answers none of the calls before it has all of them.
    """

    def warm(self) -> None:
        self.run(1)
        self.clear()

    def run(self, count: int) -> list[Any]:
        self._client = self._contender.way(self._contender.connect, self._site)
        return super().run(count)

    def clear(self) -> None:
        self._client.close()
        self._client = None


class Uploads(Workload):
    """A file to a field of a Version."""

    def run(self, count: int) -> list[Any]:
        number, path = self._settings["version"], self._settings["file"]
        return self._client.map(
            lambda sg, _: sg.upload("Version", number, path, "sg_uploaded_movie"),
            list(range(count)),
        )

    def check(self, found: list[Any]) -> str:
        """Of the content of what was uploaded last, downloaded again."""
        (content,) = self._client.map(lambda sg, number: sg.download_attachment(number), found[-1:])
        return f"{len(set(found))}:{hashlib.sha256(content).hexdigest()[:16]}"


WORKLOADS = {
    "decode": Pages,
    "pages": Pages,
    "small": Small,
    "connect": Connecting,
    "upload": Uploads,
}


def measure(work: Workload, count: int, head: int) -> dict[str, Any]:
    """Do it once."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    found = work.run(count)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if len(found) != count:
        raise SystemExit(f"{count} answers were asked for, and {len(found)} came")
    result = {"wall": wall, "cpu": cpu, "all": work.check(found), "head": work.check(found[:head])}
    work.clear()
    return result


def main() -> None:
    """Answer the lines on standard input until it ends."""
    name, workload, url = sys.argv[1:4]
    settings = json.loads(sys.stdin.readline())
    work = WORKLOADS[workload](CONTENDERS[name], Site(url, **settings["site"]), settings)
    profiles = ThreadProfiles() if settings["profile"] else None
    work.warm()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        if profiles is not None:
            answer = {"profile": profiles.of(work, task["count"])}
            work.clear()
        else:
            answer = measure(work, **task)
        print(json.dumps(answer), flush=True)
    work.end()


if __name__ == "__main__":
    main()
