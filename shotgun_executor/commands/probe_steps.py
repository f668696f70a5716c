"""What ``probe`` has measured, and how many workers it recommends for that."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HEADINGS", "Step", "recommended", "row_of", "worker_counts"]

HEADINGS = "workers   calls  failed  calls/s  speed-up  median ms  95 % ms"
_CLOSE = 0.97
"""So near to the best is as good, with fewer workers."""


class Step(NamedTuple):
    """What was measured with so many workers."""

    workers: int
    latencies: Sequence[float]
    """Seconds that each call took that was answered."""
    failed: int
    seconds: float
    """From the first call to the last answer."""
    trouble: Optional[str] = None
    """Why the step was ended before its time."""

    @property
    def rate(self) -> float:
        """Calls that were answered in a second."""
        return len(self.latencies) / self.seconds if self.seconds > 0 else 0.0

    @property
    def median(self) -> float:
        """Seconds in which half of the calls were answered."""
        return statistics.median(self.latencies) if self.latencies else 0.0

    @property
    def slow(self) -> float:
        """Seconds in which 95 of 100 calls were answered."""
        ordered = sorted(self.latencies)
        return ordered[int(0.95 * (len(ordered) - 1) + 0.5)] if ordered else 0.0


def worker_counts(most: int) -> list[int]:
    """1, 2, 4, 8, ... and *most*."""
    counts = [1]
    while counts[-1] * 2 < most:
        counts.append(counts[-1] * 2)
    return counts if most == 1 else [*counts, most]


def row_of(step: Step, first: Step) -> str:
    """A step as a row of the table."""
    speed_up = step.rate / first.rate if first.rate else 0.0
    return (
        f"{step.workers:7}{len(step.latencies) + step.failed:8}{step.failed:8}{step.rate:9.1f}"
        f"{speed_up:10.1f}{step.median * 1e3:11.1f}{step.slow * 1e3:9.1f}"
    )


def recommended(steps: Sequence[Step]) -> Optional[Step]:
    """The knee of the curve: from there on more workers bring less than they cost.

    That is where the square of the calls per second, divided by the workers, is largest. In other
    words: twice the workers must bring at least 1.4 times the calls per second. Where throughput
    grows with the workers, that grows too; where it grows no more, that falls. Of steps that are
    within 3 % of the best the one with the fewest workers counts. Steps in which calls failed do
    not count.
    """
    clean = [step for step in steps if step.latencies and not step.failed and not step.trouble]
    if not clean:
        return None
    best = max(map(_worth, clean))
    return next(step for step in clean if _worth(step) >= _CLOSE * best)


def _worth(step: Step) -> float:
    return step.rate**2 / step.workers
