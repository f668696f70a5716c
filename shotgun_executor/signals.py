"""Signal handlers, which Python calls on the main thread between any two of its steps."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["in_interrupted_wait"]


def in_interrupted_wait() -> bool:
    """Whether this is a signal handler that came while the main thread was about to wait.

    What it waits for must not be resolved here, under its own feet: it may have looked already and
    not be asleep yet, so that nobody wakes it; and some locks of the standard library's waits are
    not re-entrant.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    frame: Optional[FrameType] = sys._getframe(1)
    while frame is not None and frame.f_code not in _WAITS:
        frame = frame.f_back
    return frame is not None


_WAITS = {
    function.__code__
    for function in (
        *(threading.Condition.wait, threading.Condition.wait_for, threading.Event.wait),
        *(concurrent.futures.Future.result, concurrent.futures.Future.exception),
        *(concurrent.futures.wait, concurrent.futures.as_completed),
    )
}
