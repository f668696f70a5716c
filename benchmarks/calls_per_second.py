"""Calls per second at 50 ms per answer, beside the plain client and a hand-rolled pool.

Each round runs every way once, so that a slow moment of the machine hits all of them; the table has
the medians. The site runs in a process of its own, and every answer is checked. Efficiency is what
was reached of workers / latency, the most that so many workers can do.

    python benchmarks/calls_per_second.py [--rounds 3] [--latency 0.05] [--workers 1 8 32]
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import shotgun_api3

from shotgun_executor import ShotgunExecutor
from shotgun_executor.sandbox import Sandbox

CALLS_PER_WORKER = 40
FIELDS = ["code", "sg_status_list", "sg_cut_in"]

Way = Callable[["list[int]"], "list[Any]"]


def filters(number: int) -> list[Any]:
    return [["id", "is", number]]


class PlainClient:
    """One client, one call at a time."""

    def __init__(self, sandbox: Sandbox, workers: int) -> None:
        self._sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)

    def __call__(self, ids: list[int]) -> list[Any]:
        return [self._sg.find_one("Shot", filters(number), FIELDS) for number in ids]

    def close(self) -> None:
        self._sg.close()


class HandRolledPool:
    """What people write today: a ThreadPoolExecutor, and a client for each of its threads."""

    def __init__(self, sandbox: Sandbox, workers: int) -> None:
        self._local = threading.local()
        self._clients: list[shotgun_api3.Shotgun] = []
        self._threads = ThreadPoolExecutor(workers, initializer=self._connect, initargs=(sandbox,))

    def _connect(self, sandbox: Sandbox) -> None:
        self._local.sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        self._clients.append(self._local.sg)

    def _find_one(self, number: int) -> Any:
        return self._local.sg.find_one("Shot", filters(number), FIELDS)

    def __call__(self, ids: list[int]) -> list[Any]:
        return list(self._threads.map(self._find_one, ids))

    def close(self) -> None:
        self._threads.shutdown()
        for client in self._clients:
            client.close()


class Futures:
    """executor.find_one(...) for each, then the results."""

    def __init__(self, sandbox: Sandbox, workers: int) -> None:
        self._executor = ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=workers)

    def __call__(self, ids: list[int]) -> list[Any]:
        found = [self._executor.find_one("Shot", filters(number), FIELDS) for number in ids]
        return [future.result() for future in found]

    def close(self) -> None:
        self._executor.shutdown()


class Mapped(Futures):
    """executor.map over the facade."""

    def __call__(self, ids: list[int]) -> list[Any]:
        sg = self._executor.shotgun
        return list(
            self._executor.map(lambda number: sg.find_one("Shot", filters(number), FIELDS), ids)
        )


def measure(way: Any, ids: list[int]) -> tuple[float, float]:
    """Calls per second, and milliseconds of CPU per call in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = way(ids)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if [shot["id"] for shot in found] != ids:
        raise SystemExit(f"{type(way).__name__}: wrong answers")
    return len(ids) / wall, cpu / len(ids) * 1000


def compare(sandbox: Sandbox, workers: int, rounds: int, latency: float) -> None:
    ids = [1 + number % 500 for number in range(workers * CALLS_PER_WORKER)]
    ways = [cls(sandbox, workers) for cls in (HandRolledPool, Futures, Mapped)]
    plain = PlainClient(sandbox, 1)
    for way in ways:  # threads and connections are there, as in a long run
        way(ids[: workers * 2])
    figures: dict[str, list[tuple[float, float]]] = {}
    try:
        for _ in range(rounds):
            figures.setdefault("PlainClient", []).append(measure(plain, ids[:CALLS_PER_WORKER]))
            for way in ways:
                figures.setdefault(type(way).__name__, []).append(measure(way, ids))
    finally:
        for way in (plain, *ways):
            way.close()
    report(workers, latency, figures)


def report(workers: int, latency: float, figures: dict[str, list[tuple[float, float]]]) -> None:
    rates = {name: statistics.median(rate for rate, _ in runs) for name, runs in figures.items()}
    for name, runs in figures.items():
        cpu = statistics.median(ms for _, ms in runs)
        at_a_time = 1 if name == "PlainClient" else workers
        print(
            f"{workers:>7}  {name:<16}{rates[name]:>9.1f}{cpu:>11.2f}"
            f"{rates[name] / rates['PlainClient']:>10.2f}"
            f"{rates[name] / rates['HandRolledPool']:>13.2f}"
            f"{rates[name] * latency / at_a_time:>12.1%}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds per answer")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args()
    print(f"{options.latency * 1000:g} ms per answer; medians of {options.rounds} rounds")
    print(
        f"{'workers':>7}  {'way':<16}{'calls/s':>9}{'CPU ms':>11}{'x plain':>10}"
        f"{'x hand-rolled':>13}{'efficiency':>12}"
    )
    with Sandbox(demo=True, shots=500, latency=options.latency) as sandbox:
        for workers in options.workers:
            compare(sandbox, workers, options.rounds, options.latency)


if __name__ == "__main__":
    main()
