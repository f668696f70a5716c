"""The exit of the interpreter: what was accepted is finished while there are threads for it.

And forks, after which there are none.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Callable, Optional, Protocol

__all__ = ["finish_at_exit", "threads_can_start"]


class Finishing(Protocol):
    """What the interpreter is to wait for at its exit.

    Attributes:
        forked: Set in a process that was forked from the one that made it.
    """

    forked: bool

    def finish_at_exit(self) -> None:
        """Bring it to its end; called on the main thread while threads still run."""


_alive: weakref.WeakSet[Finishing] = weakref.WeakSet()


def finish_at_exit(what: Finishing) -> None:
    """Have *what* finished when the interpreter exits, and told of forks, if it is there then."""
    _alive.add(what)


def threads_can_start() -> bool:
    """Whether a thread can be started; not so at the exit of Python 3.12."""
    thread = threading.Thread(target=_nothing, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return False
    thread.join()
    return True


def _nothing() -> None:
    """What a thread on trial does."""


def _finish_all() -> None:
    for each in list(_alive):
        if not each.forked:
            each.finish_at_exit()


def _tell_forked() -> None:
    for each in list(_alive):
        each.forked = True


# To ask the system for the process at each call costs more than all else that is checked.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tell_forked)

# `atexit` comes too late: before it, the standard library joins the threads of its executors, by
# this very hook. Those who register later are called earlier. Where the hook is gone, all that was
# accepted is finished, as the standard library does.
_register_atexit: Optional[Callable[[Callable[[], None]], None]]
_register_atexit = getattr(threading, "_register_atexit", None)
if _register_atexit is not None:
    _register_atexit(_finish_all)
