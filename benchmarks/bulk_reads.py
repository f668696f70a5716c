"""Bulk reads beside the official client: lookups of many ids, and a find of many pages.

The site is in a process of its own, with its answers ready; every answer is checked. Each round
runs every way once; the table has the medians, and ratios are medians of the ratios within a round.

    python benchmarks/bulk_reads.py [--rounds 3] [--latency 0.05] [--workers 8]
    python benchmarks/bulk_reads.py --quick     # shows that it works, no more
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import shotgun_api3
from _canned import API_KEY, SCRIPT_NAME, CannedSite
from _shape import FIELDS, ROWS, SMALL_FIELDS

from shotgun_executor import ShotgunExecutor

LOOKUPS = 10_000
CHUNK = 500
ONE_BY_ONE = 1_600
"""So many of the lookups are made by find_one; its time is scaled to all of them."""
PAGES = 100
CREDENTIALS = {"script_name": SCRIPT_NAME, "api_key": API_KEY}

Way = Callable[[], float]


class Ways:
    """What is measured; each way returns the seconds that it takes for all."""

    def __init__(self, site: CannedSite, workers: int) -> None:
        self._workers = workers
        self._site = site
        self.requests: dict[str, float] = {}
        self._official = shotgun_api3.Shotgun(site.url, **CREDENTIALS)
        self._executor = ShotgunExecutor(site.url, **CREDENTIALS, max_workers=workers)
        self._threads = ThreadPoolExecutor(workers, initializer=self._begin)
        self._local = threading.local()
        self._ids = [1 + number * 7 % (PAGES * ROWS) for number in range(LOOKUPS)]

    def _begin(self) -> None:
        self._local.sg = shotgun_api3.Shotgun(self._site.url, **CREDENTIALS)

    def warm(self) -> None:
        """Connections are open, as in a long run."""
        self._official.find_one("Shot", [["id", "is", 1]], SMALL_FIELDS)
        list(self._executor.map(lambda n: self._find_one(self._executor.shotgun, n), range(1, 99)))
        list(self._threads.map(lambda n: self._find_one(self._local.sg, n), range(1, 99)))

    def lookup_find_one(self) -> float:
        """find_one for each id, from as many threads with a client each."""
        some = self._ids[:ONE_BY_ONE]
        start = time.perf_counter()
        found = list(self._threads.map(lambda n: self._find_one(self._local.sg, n), some))
        seconds = time.perf_counter() - start
        self._check([shot["id"] for shot in found] == some)
        return seconds * LOOKUPS / ONE_BY_ONE

    def lookup_chunks(self) -> float:
        """The official client, 500 ids a call, one call after the other."""
        start = time.perf_counter()
        found: dict[int, Any] = {}
        for first in range(0, LOOKUPS, CHUNK):
            chunk = self._ids[first : first + CHUNK]
            rows = self._official.find("Shot", [["id", "in", chunk]], SMALL_FIELDS)
            found.update((shot["id"], shot) for shot in rows)
        result = [found.get(number) for number in self._ids]
        seconds = time.perf_counter() - start
        self._check([shot and shot["id"] for shot in result] == self._ids)
        return seconds

    def lookup_ours(self) -> float:
        """executor.find_by_ids."""
        start = time.perf_counter()
        found = self._executor.find_by_ids("Shot", self._ids, SMALL_FIELDS).result()
        seconds = time.perf_counter() - start
        self._check([shot["id"] for shot in found] == self._ids)
        return seconds

    def find_official(self) -> float:
        """The official find."""
        return self._find(lambda: self._official.find("Shot", [], FIELDS))

    def find_ours(self) -> float:
        """executor.find."""
        return self._find(lambda: self._executor.find("Shot", [], FIELDS).result())

    def iterate_ours(self) -> float:
        """executor.find_iter, reading as many pages ahead as there are workers."""
        rows = self._executor.find_iter("Shot", [], FIELDS, ahead=self._workers)
        return self._find(lambda: list(rows))

    def close(self) -> None:
        """Close all connections."""
        self._threads.shutdown()
        self._official.close()
        self._executor.shutdown()

    def _find(self, find: Callable[[], list[Any]]) -> float:
        start = time.perf_counter()
        found = find()
        seconds = time.perf_counter() - start
        self._check([shot["id"] for shot in found] == list(range(1, PAGES * ROWS + 1)))
        self._check(all(len(shot) == len(FIELDS) + 2 for shot in found[:: ROWS // 2]))
        return seconds

    @staticmethod
    def _find_one(sg: Any, number: int) -> Any:
        return sg.find_one("Shot", [["id", "is", number]], SMALL_FIELDS)

    @staticmethod
    def _check(right: bool) -> None:
        if not right:
            raise SystemExit("wrong answers")


NAMES = (
    "lookup_find_one",
    "lookup_chunks",
    "lookup_ours",
    "find_official",
    "find_ours",
    "iterate_ours",
)
GOALS = (
    ("lookup_ours", "lookup_find_one", 50.0),
    ("lookup_ours", "lookup_chunks", 5.0),
    ("find_ours", "find_official", 8.0),
)


def measure(options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of each way in each round, and its requests."""
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    requests: dict[str, int] = {}
    with CannedSite(PAGES) as site:
        ways = Ways(site, options.workers)
        try:
            ways.warm()
            for _ in range(options.rounds):
                for name in NAMES:
                    site.control(options.latency)
                    seconds[name].append(getattr(ways, name)())
                    requests[name] = int(site.control()["requests"])
        finally:
            ways.close()
    return seconds, requests


def report(seconds: dict[str, list[float]], requests: dict[str, int]) -> None:
    """Print the table and the ratios."""
    print(f"{'':18}{'seconds':>9}{'requests':>10}")
    for name in NAMES:
        print(f"{name:18}{statistics.median(seconds[name]):9.2f}{requests[name]:10}")
    for ours, other, goal in GOALS:
        ratios = [b / a for a, b in zip(seconds[ours], seconds[other])]
        print(f"{ours} is {statistics.median(ratios):.1f} times {other} (goal: {goal:g})")


def main(arguments: Optional[list[str]] = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that an answer takes")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="one round, without latency")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.latency = 1, 0.0
    report(*measure(options))


if __name__ == "__main__":
    main()
