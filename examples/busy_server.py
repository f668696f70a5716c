"""What becomes of many reads when the site is busy: the limit backs off, and comes back.

Without SHOTGUN_URL a local site answers 429 with a Retry-After for a while, then 503; with it, the
reads are made on that site, as busy as it happens to be. Prints a line for each slice of time, with
the reads that were answered in it, how many calls may run at a time, and what was refused::

     0.6 s  answered  77  at a time 8  #######
     0.8 s  answered   9  at a time 4  #        429 429 429 429 429 429 429 429

and in the end how all reads have ended. What was refused is asked again, so that all succeed while
the outage is no longer than the repeats reach; else it ends with 1.
"""

import argparse
import collections
import contextlib
import os
import sys
import threading
import time

from _site import open_site, run_program, whole_number

from shotgun_executor import Retries, ShotgunExecutor, wait

RETRIES = Retries(8)


class Watch:
    """Notes, for each slice of time, what was answered and refused, and the lowest limit."""

    def __init__(self, executor, seconds):
        self.limit = executor.limit
        self.seconds = seconds
        self.began = time.monotonic()
        self.answered = collections.Counter()
        self.refused = collections.defaultdict(list)
        self.limits = {}
        self.lock = threading.Lock()  # workers call this
        executor.add_observer(self)

    def __call__(self, event):
        """Called with each thing that happens to a call."""
        at = int((event.moment - self.began) / self.seconds)
        with self.lock:
            if event.kind == "ended" and event.error is None:
                self.answered[at] += 1
            if event.kind == "repeated":
                self.refused[at].append(getattr(event.error, "errcode", "failed"))
            self.limits[at] = min(self.limit.current, self.limits.get(at, self.limit.current))

    def show(self):
        """Print the slices from the first to the last."""
        now = self.limit.calls
        for at in range(max(self.limits, default=0) + 1):
            now = self.limits.get(at, now)
            count = self.answered[at]
            print(
                f"{at * self.seconds:6.1f} s  answered {count:3}  at a time {now}  "
                f"{'#' * (count // 10 or bool(count)):<12} {' '.join(map(str, self.refused[at]))}"
            )


@contextlib.contextmanager
def busy_site(latency):
    """The site of the environment; else a local one, and what makes it busy."""
    if os.environ.get("SHOTGUN_URL"):
        with open_site() as site:
            yield site, lambda: None
        return
    from shotgun_executor.sandbox import Sandbox

    print("SHOTGUN_URL is not set: starting a local site with a demo show", file=sys.stderr)
    with Sandbox(demo=True, shots=40, latency=latency) as sandbox:

        def get_busy():
            # 8 are on their way when it begins, 4 after that, then 2 ...
            sandbox.fail_next("read", status=429, headers={"Retry-After": "1"}, count=8)
            sandbox.fail_next("read", status=503, count=7)

        yield {"base_url": sandbox.url, **sandbox.credentials}, get_busy


def read(executor, ids):
    """A read for each id; returns the futures."""
    return [executor.find_one("Shot", [["id", "is", number]], ["code"]) for number in ids]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, default=600, help="how many reads (default: 600)")
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    parser.add_argument("--slice", type=float, default=0.2, help="seconds of a line")
    options = parser.parse_args()
    if options.reads < 4 or options.workers < 1 or options.slice <= 0:
        parser.error("--reads must be at least 4, --workers 1, --slice more than 0")
    ids = [number % 40 + 1 for number in range(options.reads)]
    with (
        busy_site(latency=0.02) as (site, get_busy),
        ShotgunExecutor(**site, max_workers=options.workers, retries=RETRIES) as executor,
    ):
        watch = Watch(executor, options.slice)
        quiet = options.reads // 4
        futures = read(executor, ids[:quiet])
        wait(futures)
        get_busy()
        futures += read(executor, ids[quiet:])
        wait(futures)
        watch.show()
        stats, limit = executor.stats(), str(executor.limit)
    failed = [future.exception() for future in futures if future.exception()]
    print(
        f"{len(futures) - len(failed)} of {len(futures)} reads have succeeded; "
        f"{stats.repeated} were made again; {limit}"
    )
    for error in failed[:3]:
        print(f"failed: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    run_program(main)
