"""``find_iter`` over a million rows: the memory that it takes, and whether each row costs the same.

The site is in a process of its own, with its answers ready; every id is checked.

    python benchmarks/find_iter.py [--pages 2000] [--ahead 4]
    python benchmarks/find_iter.py --quick     # 50,000 rows
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _canned import API_KEY, SCRIPT_NAME, CannedSite
from _shape import ROWS

from shotgun_executor import ShotgunExecutor

GOAL = 64.0
"""MiB that the peak of the memory may grow by."""
PARTS = 10


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def iterate(executor: ShotgunExecutor, pages: int, ahead: int) -> list[float]:
    """Take all rows, one by one; the seconds of each tenth of them."""
    seconds: list[float] = []
    step = max(1, pages * ROWS // PARTS)
    count, start = 0, time.perf_counter()
    for shot in executor.find_iter("Shot", [], ["code"], ahead=ahead):
        count += 1
        if shot["id"] != count:
            raise SystemExit(f"row {count} has the id {shot['id']}")
        if count % step == 0:
            now = time.perf_counter()
            seconds.append(now - start)
            start = now
    if count != pages * ROWS:
        raise SystemExit(f"{count} rows came instead of {pages * ROWS}")
    return seconds


def main(arguments: Optional[list[str]] = None) -> None:
    """Measure and report; fails if it takes too much memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pages", type=int, default=2000, help="of 500 rows")
    parser.add_argument("--ahead", type=int, default=4, help="as find_iter takes it")
    parser.add_argument("--quick", action="store_true", help="a hundred pages")
    options = parser.parse_args(arguments)
    pages = 100 if options.quick else options.pages
    with CannedSite(pages, small=True) as site:
        credentials = {"script_name": SCRIPT_NAME, "api_key": API_KEY}
        with ShotgunExecutor(site.url, **credentials) as executor:
            executor.find("Shot", [], ["code"], limit=ROWS).result()  # connected, decoded once
            gc.collect()
            site.control()
            before = peak()
            seconds = iterate(executor, pages, options.ahead)
            growth = peak() - before
            requests = int(site.control()["requests"])
    slowest = max(seconds) / min(seconds)
    print(f"{pages * ROWS} rows in {sum(seconds):.2f} s, {requests} requests for {pages} pages")
    print(f"seconds of each tenth: {' '.join(f'{each:.2f}' for each in seconds)}")
    print(f"the slowest tenth took {slowest:.2f} times as long as the quickest")
    print(f"the peak of the memory grew by {growth:.1f} MiB (goal: less than {GOAL:g})")
    if growth >= GOAL:
        raise SystemExit("it takes too much memory")


if __name__ == "__main__":
    main()
