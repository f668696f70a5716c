"""The futures that a call waits for, and what becomes of it when one of them fails."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Optional

from shotgun_executor.errors import DependencyError

if TYPE_CHECKING:
    import concurrent.futures
    from typing import Any

    from shotgun_executor.aside import Aside
    from shotgun_executor.call import Call

__all__ = ["Need", "dependency_failed", "failure_of", "has_failed"]


class Need:
    """The callback of a future that a call needs; lets go of the call once it was called.

    A future keeps its callbacks. If they kept the calls, a long chain of calls would be freed each
    within the one before.
    """

    __slots__ = ("_call", "_dispatch")

    def __init__(self, dispatch: Aside, call: Call) -> None:
        self._dispatch: Optional[Aside] = dispatch
        self._call: Optional[Call] = call

    def __call__(self, need: concurrent.futures.Future[Any]) -> None:
        """Note that *need* is done."""
        dispatch: Optional[Aside] = None
        call: Optional[Call] = None
        try:
            dispatch, call = self._dispatch, self._call
            if dispatch is None or call is None:
                return
            self._dispatch = self._call = None
            dispatch.need_is_done(call, need)
        except BaseException:
            # The stack was full, say: on another thread there is room. Nobody else would notice.
            dispatch, call = dispatch or self._dispatch, call or self._call
            if dispatch is not None and call is not None:
                look_again = functools.partial(dispatch.look_again_at_all, call)
                dispatch.alarm.after(0, look_again, apart=True)
            raise


def failure_of(future: concurrent.futures.Future[Any]) -> Optional[BaseException]:
    """What a finished future failed by; None also if it was cancelled."""
    return None if future.cancelled() else future.exception()


def has_failed(future: concurrent.futures.Future[Any]) -> bool:
    """Whether a finished future has no result."""
    return future.cancelled() or future.exception() is not None


def dependency_failed(call: object, error: BaseException) -> DependencyError:
    """What *call* fails by when a future that it needs failed by *error*."""
    cause = error
    if isinstance(error, DependencyError) and error.__cause__ is not None:
        cause = error.__cause__  # the first failure says more than a chain of consequences
    failed = DependencyError(f"{call} was not done, since what it needs failed: {cause}")
    failed.__cause__ = cause
    return failed
