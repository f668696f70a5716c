"""Whose worker a thread is."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Optional, cast

if TYPE_CHECKING:
    from shotgun_executor.dispatch import Dispatch
    from shotgun_executor.workers import Workers

__all__ = ["home", "settle"]


class _Here(threading.local):
    """Of each thread: the dispatch whose worker it is."""

    home: Optional[Workers] = None


_HERE = _Here()


def home() -> Optional[Dispatch]:
    """The dispatch of the executor whose worker this thread is, if it is one and at work."""
    dispatch = _HERE.home
    return None if dispatch is None or dispatch.forked else cast("Dispatch", dispatch)


def settle(dispatch: Optional[Workers]) -> Optional[Workers]:
    """This thread is a worker of *dispatch* from here on, or of none. Returns whose it was."""
    before, _HERE.home = _HERE.home, dispatch
    return before
