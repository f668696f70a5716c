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


class ThreadProfiles:
    """Profiles of all threads that start from now on, and of the one that does the work."""

    def __init__(self) -> None:
        self._profiles: list[cProfile.Profile] = []
        if _ALL_THREADS:
            threading.setprofile(self._begin)

    def of(self, work: Any, count: int) -> str:
        """Do *work* once, and tell the functions that took the most."""
        for earlier in self._profiles:
            earlier.clear()
        own = cProfile.Profile(time.thread_time)
        own.runcall(work.run, count)
        return _text([own, *self._profiles], count)

    def _begin(self, *_event: object) -> None:
        """The first thing that is called in a thread."""
        own = cProfile.Profile(time.thread_time)
        self._profiles.append(own)
        own.enable()  # in place of this function


class _Seen:
    """What a profile has seen; ``create_stats`` of a profile would end it, by the wrong clock."""

    def __init__(self, profile: cProfile.Profile) -> None:
        profile.snapshot_stats()  # type: ignore[attr-defined]  # not in the stubs
        self.stats = profile.stats  # type: ignore[attr-defined]  # likewise

    def create_stats(self) -> None:
        """Nothing to do; pstats calls it."""


def _text(profiles: list[cProfile.Profile], count: int) -> str:
    written = io.StringIO()
    if not _ALL_THREADS:
        written.write("Only the main thread: an older Python than 3.12 profiles all.\n")
    seen = [found for found in map(_Seen, profiles) if found.stats]
    merged = pstats.Stats(seen[0], stream=written)
    for other in seen[1:]:
        merged.add(other)
    seconds = merged.total_tt  # type: ignore[attr-defined]  # not in the stubs
    written.write(f"{count} items, {seconds * 1e6 / count:.0f} µs of CPU each under the profile\n")
    merged.strip_dirs().sort_stats("tottime").print_stats(_LINES)
    return written.getvalue()
