"""What a thread is in the middle of, read from its stack.

Signal handlers, and destructors, are called between any two steps of a thread. A flag that is set
and reset would stay set if Ctrl-C came in between; the stack is always right.
"""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Optional

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["depth_within", "in_interrupted_wait", "is_within"]


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


def is_within(method: Callable[..., Any], owner: object) -> bool:
    """Whether this thread is within a call of *method*, a function of its class, of *owner*."""
    code = method.__code__
    frame: Optional[FrameType] = sys._getframe(1)
    while frame is not None:
        if frame.f_code is code and frame.f_locals.get("self") is owner:
            return True
        frame = frame.f_back
    return False


def depth_within(method: Callable[..., Any]) -> int:
    """How many calls of *method*, a function of its class, this thread is within."""
    code = method.__code__
    depth = 0
    frame: Optional[FrameType] = sys._getframe(1)
    while frame is not None:
        depth += frame.f_code is code
        frame = frame.f_back
    return depth
