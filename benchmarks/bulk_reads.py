"""Bulk reads beside other clients: lookups of many ids, and a find of many pages.

The site is in a process of its own, with its answers ready; every answer is checked. Each round
runs every way once; the table has the medians, and ratios are medians of the ratios within a round.
``prefetch`` is sg-python-api with as many pages ahead as there are workers, in a process of its
own. ``far`` finds are on a site that takes 300 ms for an answer. At last the requests are counted
for rows whose ids have gaps.

    python benchmarks/bulk_reads.py [--rounds 3] [--latency 0.05] [--workers 8]
    python benchmarks/bulk_reads.py --quick     # shows that it works, no more
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import shotgun_api3
from _canned import API_KEY, KINDS, SCRIPT_NAME, CannedSite, ids_of
from _clients import CONTENDERS
from _digest import digest
from _environments import python_of
from _plans import Plan
from _shape import FIELDS, ROWS, SMALL_FIELDS
from peers import CannedPlace, Entrant, entrants, settings_for

from shotgun_executor import ShotgunExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKUPS = 10_000
CHUNK = 500
ONE_BY_ONE = 1_600
"""So many of the lookups are made by find_one; its time is scaled to all of them."""
PAGES = 100
FAR = 0.3
"""Seconds that an answer of a far site takes."""
MANY = 32
PEER = "rewrite-prefetch"
CREDENTIALS = {"script_name": SCRIPT_NAME, "api_key": API_KEY}


class Ways:
    """What is measured; each way returns the seconds that it takes for all."""

    def __init__(self, site: CannedSite, workers: int, peer: Optional[Entrant]) -> None:
        self._workers = workers
        self._site = site
        self._peer = peer
        self._digest = ""
        self._official = shotgun_api3.Shotgun(site.url, **CREDENTIALS)
        self._executor = ShotgunExecutor(site.url, **CREDENTIALS, max_workers=workers)
        self._many = ShotgunExecutor(site.url, **CREDENTIALS, max_workers=MANY)
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
        list(self._many.map(lambda n: self._find_one(self._many.shotgun, n), range(1, 400)))

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
        return self._find(lambda: self._official.find("Shot", [], FIELDS), keep=True)

    def find_prefetch(self) -> float:
        """The find of sg-python-api, whose answers are compared with the official ones."""
        assert self._peer is not None
        self._peer.begin(PAGES, 1)
        answer = self._peer.answer()
        self._check(answer["all"] == self._digest)
        return float(answer["wall"])

    def find_ours(self) -> float:
        """executor.find."""
        return self._find(lambda: self._executor.find("Shot", [], FIELDS).result())

    def far_official(self) -> float:
        """The official find."""
        return self.find_official()

    def far_ours(self) -> float:
        """executor.find."""
        return self.find_ours()

    def far_many(self) -> float:
        """executor.find with 32 workers."""
        return self._find(lambda: self._many.find("Shot", [], FIELDS).result())

    def iterate_ours(self) -> float:
        """executor.find_iter, reading as many pages ahead as there are workers."""
        rows = self._executor.find_iter("Shot", [], FIELDS, ahead=self._workers)
        return self._find(lambda: list(rows))

    def close(self) -> None:
        """Close all connections."""
        self._threads.shutdown()
        self._official.close()
        self._executor.shutdown()
        self._many.shutdown()

    def _find(self, find: Callable[[], list[Any]], *, keep: bool = False) -> float:
        start = time.perf_counter()
        found = find()
        seconds = time.perf_counter() - start
        self._check([shot["id"] for shot in found] == list(range(1, PAGES * ROWS + 1)))
        self._check(all(len(shot) == len(FIELDS) + 2 for shot in found[:: ROWS // 2]))
        if keep and not self._digest:
            pages = [found[start : start + ROWS] for start in range(0, len(found), ROWS)]
            self._digest = digest(pages, converts=True)
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
    "find_prefetch",
    "find_ours",
    "iterate_ours",
    "far_official",
    "far_ours",
    "far_many",
)
GOALS = (
    ("lookup_ours", "lookup_find_one", 50.0),
    ("lookup_ours", "lookup_chunks", 5.0),
    ("find_ours", "find_official", 8.0),
    ("find_ours", "find_prefetch", 4.0),
    ("far_ours", "far_official", 7.0),
    ("far_many", "far_official", 20.0),
)


@contextlib.contextmanager
def peer_at(site: CannedSite, workers: int) -> Iterator[Optional[Entrant]]:
    """The process of sg-python-api; None if its environment cannot be made."""
    if python_of(CONTENDERS[PEER].home) is None:
        yield None
        return
    plan = Plan("find", (PEER,), workers, 0, PAGES, PAGES, warm=2 * workers)
    place = CannedPlace(site)
    with entrants([PEER], "pages", place, settings_for(plan, place)) as started:
        yield started[0]


def measure(options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of each way in each round, and its requests."""
    seconds: dict[str, list[float]] = {}
    requests: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(CannedSite(PAGES))
        peer = stack.enter_context(peer_at(site, options.workers)) if options.peer else None
        ways = Ways(site, options.workers, peer)
        stack.callback(ways.close)
        ways.warm()
        for _ in range(options.rounds):
            for name in NAMES:
                if name == "find_prefetch" and peer is None:
                    continue
                if name == "far_official" and options.quick:
                    continue  # it is what find_official has done
                site.control(options.far if name.startswith("far") else options.latency)
                seconds.setdefault(name, []).append(getattr(ways, name)())
                requests[name] = int(site.control()["requests"])
    return seconds, requests


def count_requests(kind: str, pages: int) -> int:
    """How many requests a find of so many pages takes, if the rows have ids of that kind."""
    with CannedSite(pages, kind=kind) as site:
        with ShotgunExecutor(site.url, **CREDENTIALS) as executor:
            assert executor.server_info
            site.control(0.0)
            found = executor.find("Shot", [], FIELDS).result()
        if [shot["id"] for shot in found] != ids_of(kind, pages * ROWS):
            raise SystemExit("wrong answers")
        return int(site.control()["requests"])


def report(seconds: dict[str, list[float]], requests: dict[str, int]) -> None:
    """Print the table and the ratios."""
    print(f"{'':18}{'seconds':>9}{'requests':>10}")
    for name, measured in seconds.items():
        print(f"{name:18}{statistics.median(measured):9.2f}{requests[name]:10}")
    for ours, other, goal in GOALS:
        if other in seconds:
            ratios = [b / a for a, b in zip(seconds[ours], seconds[other])]
            print(f"{ours} is {statistics.median(ratios):.1f} times {other} (goal: {goal:g})")


def report_requests() -> None:
    """Print how many requests there are for pages of rows with all kinds of ids."""
    for kind in KINDS:
        count = count_requests(kind, PAGES)
        print(f"{PAGES} pages of rows with {kind} ids: {count} requests (goal: {PAGES + 3})")
        if count > PAGES + 3:
            raise SystemExit("too many requests")
    count = count_requests("sparse", 1)
    print(f"one page: {count} request (goal: 1)")
    if count != 1:
        raise SystemExit("too many requests")


def main(arguments: Optional[list[str]] = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that an answer takes")
    parser.add_argument("--far", type=float, default=FAR, help="the same for the far site")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="ours and official")
    parser.add_argument(
        "--rarely",
        action="store_true",
        help="Python's garbage collector looks less often, as docs/bulk.md says; for all ways",
    )
    parser.add_argument("--quick", action="store_true", help="one round, without latency")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.latency, options.far = 1, 0.0, 0.0
    if options.rarely:
        gc.set_threshold(100_000, 20, 20)
    report(*measure(options))
    report_requests()


if __name__ == "__main__":
    main()
