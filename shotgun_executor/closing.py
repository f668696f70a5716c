"""The end of a ``with`` block that waits for the calls that were made in it."""

from __future__ import annotations

import concurrent.futures
import contextlib
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["end_block", "wait_for_outcomes"]


def end_block(
    failed: bool,
    *,
    hurry: Callable[[], None],
    cancel: Callable[[], None],
    wait: Callable[[], None],
) -> None:
    """Wait for the calls of a block; after an exception in it, or in the wait, cancel them first.

    What runs is waited for in any case, so that its outcome is known when the block is over. Only a
    second Ctrl-C ends that wait.

    Args:
        failed: The block was left by an exception.
        hurry: Sends what was gathered; nothing more comes.
        cancel: Cancels what has not started.
        wait: Waits for the rest.
    """
    try:
        if failed:
            cancel()
        else:
            hurry()
        wait()
    except BaseException:  # Ctrl-C, for one
        cancel()
        if not failed:
            wait()
        raise


def wait_for_outcomes(futures: Iterable[concurrent.futures.Future[Any]]) -> None:
    """Return when all have an outcome, whatever it is; a worker helps them along."""
    for future in futures:
        with contextlib.suppress(concurrent.futures.CancelledError):
            future.exception()
