"""What is measured, which figures come of it, and which of them are goals."""

from __future__ import annotations

import statistics
from typing import Any, Callable, NamedTuple, Optional

from _shape import ROWS

Run = dict[str, Any]
"""What one measurement gave: ``wall`` and ``cpu`` in seconds, and the ``count`` of items."""

Results = dict[str, dict[str, list[Run]]]
"""The measurements of each round, by workload and contender."""

PEERS = ("rewrite", "rewrite-prefetch", "fpt")


class Plan(NamedTuple):
    """A workload: how much of it, how many at a time, at a site of what kind."""

    title: str
    contenders: tuple[str, ...]
    workers: int
    latency: float
    """Seconds that each answer takes."""
    count: int
    serial_count: int
    """How many items those get that do one at a time; a rate needs no more."""
    warm: int
    https: bool = False
    gathers: bool = False
    """Whether the site answers no call before it has all."""

    def count_for(self, contender: str) -> int:
        """How many items a contender gets."""
        return self.serial_count if contender == "official" else self.count

    def quick(self) -> Plan:
        """The same with as little as shows that it works."""
        if self.https:
            return self._replace(count=max(2, self.count // 4) if self.workers == 1 else self.count)
        share = self._replace(count=max(self.count // 5, 2 * self.workers), warm=self.workers)
        return share._replace(serial_count=max(self.serial_count // 5, 2))


PLANS = {
    "decode": Plan(
        "Pages of 500 records, one at a time",
        ("ours", "ours-stdlib", "official", "rewrite", "fpt", "floor"),
        workers=1, latency=0, count=16, serial_count=16, warm=2,
    ),
    "pages": Plan(
        "Pages of 500 records, 8 workers, 50 ms each",
        ("ours", "ours-stdlib", "ours-pool", "official", "official-threads", *PEERS, "floor"),
        workers=8, latency=0.05, count=40, serial_count=10, warm=16,
    ),
    "small": Plan(
        "find_one by id, 32 workers, 5 ms each",
        ("ours", "ours-stdlib", "ours-pool", "official", "official-threads", "rewrite", "fpt",
         "floor"),
        workers=32, latency=0.005, count=1600, serial_count=160, warm=128,
    ),
    "connect": Plan(
        "32 new connections over HTTPS, a small call on each",
        ("ours", "official-threads", "rewrite", "fpt", "floor"),
        workers=32, latency=0, count=32, serial_count=32, warm=1, https=True, gathers=True,
    ),
    "upload": Plan(
        "Uploads of 200 kB over HTTPS, one at a time",
        ("ours", "official", "rewrite", "fpt"),
        workers=1, latency=0, count=8, serial_count=8, warm=1, https=True,
    ),
}  # fmt: skip


class Metric(NamedTuple):
    """A figure of a workload."""

    workload: str
    title: str
    unit: str
    of: Callable[[Run], float]
    less_is_better: bool = True
    most: Optional[Callable[[Plan], float]] = None
    """What so many workers reach at best, if nothing but the latency counts."""


METRICS = {
    "record-cpu": Metric(
        "decode", "CPU per record of ten fields", "µs", lambda r: r["cpu"] / r["count"] / ROWS * 1e6
    ),
    "record-rate": Metric(
        "pages", "Records per second, 8 workers, 50 ms a page", "/s",
        lambda r: r["count"] * ROWS / r["wall"], less_is_better=False,
        most=lambda plan: plan.workers / plan.latency * ROWS,
    ),
    "call-cpu": Metric(
        "small", "CPU per small call, 32 workers", "µs", lambda r: r["cpu"] / r["count"] * 1e6
    ),
    "call-rate": Metric(
        "small", "Small calls per second, 32 workers, 5 ms", "/s",
        lambda r: r["count"] / r["wall"], less_is_better=False,
        most=lambda plan: plan.workers / plan.latency,
    ),
    "connect-cpu": Metric(
        "connect", "CPU of 32 new HTTPS connections", "ms", lambda r: r["cpu"] * 1e3
    ),
    "upload-cpu": Metric(
        "upload", "CPU per upload of 200 kB over HTTPS", "ms",
        lambda r: r["cpu"] / r["count"] * 1e3,
    ),
}  # fmt: skip


class Goal(NamedTuple):
    """How much better than which others a contender is to be."""

    metric: str
    contender: str
    others: tuple[str, ...]
    factor: float
    text: str


GOALS = (
    Goal("record-cpu", "ours", ("official",), 8, "CPU per record, orjson: 1/8 of official"),
    Goal(
        "record-cpu", "ours-stdlib", ("official",), 5, "CPU per record, no orjson: 1/5 of official"
    ),
    Goal("record-rate", "ours", ("official-threads",), 6, "records/s: 6 times official in threads"),
    Goal("record-rate", "ours", PEERS, 3, "records/s: 3 times the best peer"),
    Goal("call-cpu", "ours", ("official-threads",), 2, "CPU per small call: 1/2 of official"),
    Goal("call-rate", "ours", PEERS, 2, "small calls/s: 2 times the best peer"),
    Goal("connect-cpu", "ours", ("official-threads",), 10, "32 connections, CPU: 1/10 of official"),
    Goal("upload-cpu", "ours", ("official",), 4, "upload, CPU: 1/4 of official"),
)


def median(metric: Metric, results: Results, contender: str) -> float:
    """The median over the rounds."""
    return statistics.median(metric.of(run) for run in results[metric.workload][contender])


def advantage(metric: Metric, results: Results, contender: str, others: tuple[str, ...]) -> float:
    """How many times better than the best of *others*: the median of the ratios of each round."""
    rounds = results[metric.workload]
    best = min if metric.less_is_better else max
    ratios = []
    for number, run in enumerate(rounds[contender]):
        theirs = best(metric.of(rounds[name][number]) for name in others)
        ratio = theirs / metric.of(run)
        ratios.append(ratio if metric.less_is_better else 1 / ratio)
    return statistics.median(ratios)
