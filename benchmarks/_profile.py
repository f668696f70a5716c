"""Where the CPU time of a workload goes: a profile of all threads, by their own CPU clocks."""

from __future__ import annotations

import cProfile
import io
import pstats
import sys
import threading
import time
from typing import Any

_LINES = 30
_ALL_THREADS = sys.version_info < (3, 12)  # from there on, one profile at a time


def profile(work: Any, count: int) -> str:
    """Warm *work* up, do it once under cProfile, and tell the functions that took the most."""
    profiles: list[cProfile.Profile] = []
    lock = threading.Lock()

    def begin(*_event: object) -> None:
        own = cProfile.Profile(time.thread_time)
        with lock:
            profiles.append(own)
        own.enable()  # in place of this function

    if _ALL_THREADS:
        threading.setprofile(begin)
    work.warm()
    threading.setprofile(None)
    for earlier in list(profiles):
        earlier.clear()
    mine = cProfile.Profile(time.thread_time)
    mine.runcall(work.run, count)
    work.clear()
    return _text([mine, *profiles], count)


def _text(profiles: list[cProfile.Profile], count: int) -> str:
    written = io.StringIO()
    if not _ALL_THREADS:
        written.write("Only the main thread: Python 3.12 and later profile one at a time.\n")
    merged = pstats.Stats(profiles[0], stream=written)
    for other in profiles[1:]:
        other.create_stats()
        if other.stats:  # type: ignore[attr-defined]  # made by create_stats
            merged.add(other)
    seconds = merged.total_tt  # type: ignore[attr-defined]  # not in the stubs
    written.write(f"{count} items, {seconds * 1e6 / count:.0f} µs of CPU each under the profile\n")
    merged.strip_dirs().sort_stats("tottime").print_stats(_LINES)
    return written.getvalue()
