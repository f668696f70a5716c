"""Calls per second at 50 ms per answer, beside the plain client and a hand-rolled pool.

Each round runs every way once, so that a slow moment of the machine hits all of them; the table has
the medians. The site runs in a process of its own, and every answer is checked. Efficiency is what
was reached of workers / latency, the most that so many workers can do.

    python benchmarks/calls_per_second.py [--rounds 3] [--latency 0.05] [--workers 1 8 32]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from _clients import Futures, PerThread, Serial, Site, executor, official

from shotgun_executor.sandbox import Sandbox

CALLS_PER_WORKER = 40
FIELDS = ["code", "sg_status_list", "sg_cut_in"]


def find_one(sg: Any, number: int) -> Any:
    return sg.find_one("Shot", [["id", "is", number]], FIELDS)


class Mapped(Futures):
    """executor.map over the facade, in place of executor.find_one(...) for each."""

    def map(self, function: Any, items: list[int]) -> list[Any]:
        sg = self.executor.shotgun
        return list(self.executor.map(lambda item: function(sg, item), items))


WAYS: dict[str, tuple[Any, Any]] = {
    "PlainClient": (Serial, official),
    "HandRolledPool": (PerThread, official),
    "Futures": (Futures, executor),
    "Mapped": (Mapped, executor),
}


def measure(name: str, way: Any, ids: list[int]) -> tuple[float, float]:
    """Calls per second, and milliseconds of CPU per call in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = way.map(find_one, ids)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if [shot["id"] for shot in found] != ids:
        raise SystemExit(f"{name}: wrong answers")
    return len(ids) / wall, cpu / len(ids) * 1000


def compare(sandbox: Sandbox, workers: int, rounds: int, latency: float) -> None:
    ids = [1 + number % 500 for number in range(workers * CALLS_PER_WORKER)]
    site = Site(sandbox.url, sandbox.script_name, sandbox.api_key, workers)
    ways = {name: way(connect, site) for name, (way, connect) in WAYS.items()}
    for name, way in ways.items():  # threads and connections are there, as in a long run
        way.map(find_one, ids[: 1 if name == "PlainClient" else workers * 2])
    figures: dict[str, list[tuple[float, float]]] = {}
    try:
        for _ in range(rounds):
            for name, way in ways.items():
                given = ids[:CALLS_PER_WORKER] if name == "PlainClient" else ids
                figures.setdefault(name, []).append(measure(name, way, given))
    finally:
        for way in ways.values():
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
