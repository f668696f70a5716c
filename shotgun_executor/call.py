"""A call: a function with its arguments, and the future that takes its outcome."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import enum
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_executor.future import Future

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shotgun_executor.dispatch import Dispatch

__all__ = ["TAKEN", "Call", "State"]


class State(enum.Enum):
    """Where a call is. It leaves each state once, by a decision under the lock of its dispatch."""

    BLOCKED = "waits for futures among its arguments"
    READY = "waits for a worker"
    TAKEN = "runs, or is resolved, or is being resolved by whoever took it"


TAKEN = State.TAKEN


class Call:
    """What a worker is to do.

    ``state``, ``taker``, ``needs``, ``open_needs``, ``thread`` and ``waits_for`` are guarded by the
    dispatch.
    """

    __slots__ = (
        "args",
        "context",
        "dispatch",
        "function",
        "future",
        "kwargs",
        "label",
        "needs",
        "notified",
        "open_needs",
        "priority",
        "state",
        "taker",
        "thread",
        "waits_for",
    )

    def __init__(
        self,
        dispatch: Dispatch,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        label: Optional[str] = None,
        priority: int = 0,
    ) -> None:
        self.dispatch = dispatch
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.label = label
        self.priority = priority
        self.context = contextvars.copy_context()  # of who submits: the call sees its variables
        self.state = State.READY
        # The futures among the arguments that may not be done, the first one last; and of how
        # many the dispatch was not told yet.
        self.needs: list[concurrent.futures.Future[Any]] = []
        self.open_needs = 0
        self.taker: Optional[int] = None  # the thread that took it
        self.notified = False  # who waits for the future was told that it is cancelled
        self.thread: Optional[int] = None  # the worker that runs it
        self.waits_for: Optional[Call] = None  # the call that this running one waits for
        self.future: Future[Any] = Future()
        self.future._call = self

    def __str__(self) -> str:
        return self.label or name_of(self.function)

    def run(self) -> None:
        """Resolve the future by what the function returns or raises."""
        future = self.future
        if not future.set_running_or_notify_cancel():
            future._call = None
            return
        try:
            result = self.context.run(self.function, *self.args, **self.kwargs)
        except BaseException as error:
            future._call = None
            future.set_exception(error)
            # the error holds this frame, and this frame would hold the error
            del self, future
        else:
            future._call = None
            future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Resolve the future by *error*, unless it is resolved; only for who took the call."""
        self.future._call = None
        if self.future.cancelled():
            self.notify_cancelled()
            return
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.future.set_exception(error)

    def cancel(self) -> None:
        """Cancel the future, and notify who waits for it; only for who took the call."""
        concurrent.futures.Future.cancel(self.future)
        self.notify_cancelled()

    def notify_cancelled(self) -> None:
        """Tell who waits for the cancelled future; only for who took the call."""
        self.future._call = None
        if not self.notified:
            self.future.set_running_or_notify_cancel()
            self.notified = True

    def drop(self) -> None:
        """Let go of what is no longer needed: it will not run."""
        self.function, self.args, self.kwargs, self.needs = _nothing, (), {}, []


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called in errors; never its repr, which may hold arguments."""
    name = getattr(function, "__qualname__", None)
    return str(name) if name else type(function).__name__


def _nothing() -> None:
    """Stands in for the function of a call that will not run."""
