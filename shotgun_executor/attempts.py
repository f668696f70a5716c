"""How often one call is made, and what is learnt from each time."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_executor.memory import failed_part_of
from shotgun_executor.retry import is_read

if TYPE_CHECKING:
    from shotgun_executor.retry import Repeats, Retries

__all__ = ["Attempts", "repeating"]

LOG = logging.getLogger("shotgun_executor")


class Attempts:
    """The attempts of one call of a method of ``Shotgun``."""

    __slots__ = ("_began", "_of_parts", "_policy", "_repeats", "method", "number")

    def __init__(self, repeats: Repeats, method: str, policy: Optional[Retries] = None) -> None:
        self._repeats = repeats
        self.method = method
        self._policy = policy
        self._began: Optional[float] = None
        self._of_parts = 0  # how many attempts were made again for a part of an upload
        self.number = 0  # of the attempt that runs or ran last; the first is 1

    @property
    def only_reads(self) -> bool:
        """Whether the call is known to change nothing."""
        return is_read(self.method)

    def begin(self) -> None:
        """An attempt begins."""
        self.number += 1
        if self._began is None:
            self._began = time.monotonic()

    def succeeded(self) -> None:
        """The attempt has succeeded."""
        self._repeats.succeeded()

    def pause_after(self, error: Exception) -> Optional[float]:
        """Seconds after which to make the call again, now that *error* ended it; None: never."""
        part = failed_part_of(error)
        if part is not None:
            verdict = self._repeats.after_harmless(
                error, part.attempt, elapsed=part.elapsed, policy=self._policy
            )
            self._of_parts += 1
        else:
            elapsed = 0.0 if self._began is None else time.monotonic() - self._began
            number = self.number - self._of_parts
            verdict = self._repeats.after(
                self.method, error, number, elapsed=elapsed, policy=self._policy
            )
        if verdict.after is not None:
            LOG.info("%s is made again in %.2f s: %s", self.method, verdict.after, verdict.reason)
        return verdict.after


def repeating(attempts: Attempts, attempt: Callable[[], Any]) -> Any:
    """The result of *attempt*; made again where that is safe.

    On the current thread, which sleeps in between; Ctrl-C ends that at once.
    """
    while True:
        attempts.begin()
        try:
            result = attempt()
        except Exception as error:
            pause = attempts.pause_after(error)
            if pause is None:
                raise
        else:
            attempts.succeeded()
            return result
        threading.Event().wait(pause)
