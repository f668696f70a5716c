"""Updates of single rows: gathered into batches, and one call each from as many threads.

Each round runs every way once. The site is a sandbox in a process of its own; after each run every
row is read back, and the requests of the site are counted. A sandbox carries out a batch in one go,
in milliseconds, where a live site needs about 50 ms for each write of it: there the gain is less.

    python benchmarks/bulk_writes.py [--rows 5000] [--rounds 3] [--latency 0.05] [--workers 8]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any, Callable

from _clients import PerThread, Site, executor, official

from shotgun_executor.sandbox import Sandbox

Rows = list[tuple[int, int]]
"""The id of each row, and what is to be written to it."""


class OneCallEach:
    """The official client, one per thread."""

    def __init__(self, site: Site) -> None:
        self.threads = PerThread(official, site)

    def write(self, rows: Rows) -> list[Any]:
        values = dict(rows)
        return self.threads.map(
            lambda sg, shot: sg.update("Shot", shot, {"sg_cut_in": values[shot]}),
            [shot for shot, _ in rows],
        )

    def close(self) -> None:
        self.threads.close()


class Futures:
    """Our executor, one call each."""

    def __init__(self, site: Site) -> None:
        self.executor = executor(site)

    def write(self, rows: Rows) -> list[Any]:
        return write_with(self.executor.update, rows)

    def close(self) -> None:
        self.executor.shutdown()


class Batches(Futures):
    """Our executor, gathered."""

    def write(self, rows: Rows) -> list[Any]:
        with self.executor.batching() as batch:
            return write_with(batch.update, rows)


def write_with(update: Callable[..., Any], rows: Rows) -> list[Any]:
    futures = [update("Shot", shot, {"sg_cut_in": value}) for shot, value in rows]
    return [future.result() for future in futures]


WAYS: dict[str, Callable[[Site], Any]] = {
    "one call each, official": OneCallEach,
    "one call each, futures": Futures,
    "batching()": Batches,
}


def measure(sandbox: Sandbox, name: str, way: Any, rows: Rows) -> tuple[float, int]:
    """Seconds, and the requests that it took."""
    before = sandbox.counters()
    start = time.perf_counter()
    results = way.write(rows)
    seconds = time.perf_counter() - start
    after = sandbox.counters()
    expected = [{"type": "Shot", "id": shot, "sg_cut_in": value} for shot, value in rows]
    if results != expected:
        raise SystemExit(f"{name}: wrong answers")
    if after.writes - before.writes != len(rows):
        raise SystemExit(f"{name}: {after.writes - before.writes} writes for {len(rows)} rows")
    return seconds, after.total - before.total


def read_back(sandbox: Sandbox, name: str, sg: Any, rows: Rows) -> None:
    """End the run if the site does not hold what was written."""
    sandbox.set_latency(0)
    there = {shot["id"]: shot["sg_cut_in"] for shot in sg.find("Shot", [], ["sg_cut_in"])}
    if any(there[shot] != value for shot, value in rows):
        raise SystemExit(f"{name}: the site holds something else")


def compare(sandbox: Sandbox, options: argparse.Namespace) -> dict[str, list[tuple[float, int]]]:
    site = Site(sandbox.url, sandbox.script_name, sandbox.api_key, options.workers)
    ways = {name: way(site) for name, way in WAYS.items()}
    figures: dict[str, list[tuple[float, int]]] = {}
    sg = official(site)
    ids = [shot["id"] for shot in sg.find("Shot", [])][: options.rows]
    for way in ways.values():  # threads and connections are there, as in a long run
        way.write([(shot, 0) for shot in ids[: options.workers * 4]])
    for number in range(options.rounds):
        for turn, (name, way) in enumerate(ways.items()):
            rows = [(shot, number * 10 + turn + shot) for shot in ids]
            sandbox.set_latency(options.latency)
            figures.setdefault(name, []).append(measure(sandbox, name, way, rows))
            read_back(sandbox, name, sg, rows)
    for way in ways.values():
        way.close()
    sg.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds per answer")
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    with Sandbox(demo=True, shots=options.rows) as sandbox:
        figures = compare(sandbox, options)
    print(f"{options.rows} updates, {options.workers} workers, {options.latency * 1000:g} ms")
    print(f"{'way':<26}{'seconds':>9}{'requests':>10}{'times as fast':>15}")
    slow = figures["one call each, official"]
    for name, runs in figures.items():
        seconds = statistics.median(run[0] for run in runs)
        ratio = statistics.median(one[0] / other[0] for one, other in zip(slow, runs))
        print(f"{name:<26}{seconds:>9.2f}{runs[0][1]:>10}{ratio:>15.1f}", flush=True)


if __name__ == "__main__":
    main()
