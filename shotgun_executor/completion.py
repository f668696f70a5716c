"""``wait`` and ``as_completed`` that may be used on a worker."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import time
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from shotgun_executor.future import Future
from shotgun_executor.joined import JoinedFuture
from shotgun_executor.telling import tell_rest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from shotgun_executor.dispatch import Dispatch

__all__ = ["as_completed", "help_first", "wait"]

T = TypeVar("T")


def wait(
    fs: Iterable[concurrent.futures.Future[T]],
    timeout: Optional[float] = None,
    return_when: str = ALL_COMPLETED,
) -> tuple[set[concurrent.futures.Future[T]], set[concurrent.futures.Future[T]]]:
    """As ``concurrent.futures.wait``, also on a worker of the executor whose futures they are.

    The standard library's blocks the worker: if all workers do so, nobody is left to run what they
    wait for. On a worker this one runs what nobody else has begun. Elsewhere they are the same.

    Returns:
        The sets of those that are done and of those that are not, also as ``.done`` and
        ``.not_done``.

    Raises:
        DeadlockError: One of the calls waits for the one that waits here.
    """
    futures = list(fs)
    deadline = None if timeout is None else time.monotonic() + timeout
    done = {future for future in futures if future.done()}
    pending = dict.fromkeys(future for future in futures if future not in done)
    seldom = 1 + len(pending) // 64  # to look at all after each step would take too long
    for step in itertools.count(1):
        if not pending or _enough(done, return_when) or _left(deadline) == 0:
            break
        found = help_first(pending, deadline)
        if found is None:
            break
        if return_when == FIRST_EXCEPTION and step % seldom == 0:
            found = [future for future in pending if future.done()]
        done = set(found)
        for future in found:
            del pending[future]
    if pending and not _enough(done, return_when):
        _look_behind(futures)
    return concurrent.futures.wait(futures, _left(deadline), return_when)


def as_completed(
    fs: Iterable[concurrent.futures.Future[T]], timeout: Optional[float] = None
) -> Iterator[concurrent.futures.Future[T]]:
    """As ``concurrent.futures.as_completed``, also on a worker; see :func:`wait`.

    Raises:
        TimeoutError: Not all of them are done in time.
    """
    pending = dict.fromkeys(fs)
    deadline = None if timeout is None else time.monotonic() + timeout
    found: Optional[list[concurrent.futures.Future[T]]]
    found = [future for future in pending if future.done()]
    while True:
        for future in found:
            del pending[future]
            yield future
        if not pending:
            return
        if _left(deadline) == 0 and _helper(pending) is not None:
            raise concurrent.futures.TimeoutError(f"{len(pending)} futures are not done")
        found = help_first(pending, deadline)
        if found is None:  # not on a worker, or they are of others
            _look_behind(list(pending))
            yield from concurrent.futures.as_completed(pending, _left(deadline))
            return


def help_first(
    futures: Collection[concurrent.futures.Future[T]], deadline: Optional[float]
) -> Optional[list[concurrent.futures.Future[T]]]:
    """On a worker: one step towards the first of *futures* to be done. Elsewhere None.

    Returns:
        Some that are done; all of them if it has waited. There may be none.
    """
    dispatch = _helper(futures)
    if dispatch is None:
        return None
    if len(futures) == 1:
        _help(next(iter(futures)), deadline)
    else:
        found = dispatch.help_any(futures, deadline)
        if found is not None:  # to look at all after each step would take too long
            return [found] if found.done() else []
    return [future for future in futures if future.done()]


def _enough(done: Collection[concurrent.futures.Future[Any]], return_when: str) -> bool:
    """Whether ``wait`` need wait no longer, now that these are done."""
    if return_when == FIRST_COMPLETED:
        return bool(done)
    return return_when == FIRST_EXCEPTION and any(
        not future.cancelled() and future.exception() is not None for future in done
    )


def _helper(futures: Iterable[concurrent.futures.Future[Any]]) -> Optional[Dispatch]:
    """The executor of which this thread is a worker, if any of *futures* is of it."""
    for future in futures:
        dispatch = future.helper if isinstance(future, Future) else None
        if dispatch is not None:
            return dispatch
    return None


def _look_behind(futures: Sequence[concurrent.futures.Future[Any]]) -> None:
    """Do first what this thread, which is about to wait, would do for *futures* only afterwards."""
    for future in futures:
        if isinstance(future, JoinedFuture):
            future.look_behind()
    calls = [getattr(future, "_call", None) for future in futures if not future.done()]
    for call in calls:
        if call is not None:
            call.dispatch.look_behind(futures)
            break
    tell_rest()


def _help(future: concurrent.futures.Future[Any], deadline: Optional[float]) -> None:
    with contextlib.suppress(concurrent.futures.CancelledError, concurrent.futures.TimeoutError):
        future.exception(_left(deadline))


def _left(deadline: Optional[float]) -> Optional[float]:
    """Seconds until *deadline*; None if there is none."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
