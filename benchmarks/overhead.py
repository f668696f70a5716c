"""What a call costs beside the work in it: submit to result of an empty function.

Beside the standard library's ThreadPoolExecutor, in turn, in one run; the table has the medians.

    python benchmarks/overhead.py [--calls 20000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shotgun_executor import ShotgunExecutor


def nothing() -> None:
    pass


def burst(executor: Any, calls: int) -> float:
    """Microseconds per call, all submitted at once."""
    start = time.perf_counter()
    futures = [executor.submit(nothing) for _ in range(calls)]
    for future in futures:
        future.result()
    return (time.perf_counter() - start) / calls * 1e6


def one_by_one(executor: Any, calls: int) -> float:
    """Microseconds per call, each submitted when the one before is done."""
    start = time.perf_counter()
    for _ in range(calls):
        executor.submit(nothing).result()
    return (time.perf_counter() - start) / calls * 1e6


def ours(workers: int) -> ShotgunExecutor:
    return ShotgunExecutor(
        "http://127.0.0.1:9", script_name="none", api_key="none", max_workers=workers
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{'workers':>7}  {'how':<12}{'stdlib us':>11}{'ours us':>10}{'ratio':>8}")
    for workers in (1, 8, 32):
        with ThreadPoolExecutor(workers) as stdlib, ours(workers) as executor:
            for way, calls in ((burst, options.calls), (one_by_one, options.calls // 4)):
                pairs = [(way(stdlib, calls), way(executor, calls)) for _ in range(options.rounds)]
                theirs = statistics.median(pair[0] for pair in pairs)
                own = statistics.median(pair[1] for pair in pairs)
                ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
                print(f"{workers:>7}  {way.__name__:<12}{theirs:>11.1f}{own:>10.1f}{ratio:>8.2f}")


if __name__ == "__main__":
    main()
