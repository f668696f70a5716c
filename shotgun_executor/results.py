"""The results of ``map``, in order, as they are asked for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from shotgun_executor.future import Future

__all__ = ["MapResults"]

T = TypeVar("T")


class MapResults(Iterator[T], Generic[T]):
    """An iterator over the results of ``executor.map(fn, *iterables)``, in the order of the input.

    Guarantees:

    * The calls are submitted when ``map`` is called: all of them, or *buffersize*. With a
      *buffersize* there are never more calls than that whose result was not handed out yet, and
      the input is read no further than they need.
    * What has not started is cancelled when the iterator is closed, dropped (also before the
      first result was asked for), or ends by an error or a time-out.
    """

    def __init__(
        self,
        submit: Callable[..., Future[T]],
        function: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        *,
        timeout: Optional[float],
        buffersize: Optional[int],
    ) -> None:
        self._pending: deque[Future[T]] = deque()
        _check_buffersize(buffersize)
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._submit = submit
        self._function = function
        self._arguments: Optional[Iterator[tuple[Any, ...]]] = zip(*iterables)
        self._buffersize = buffersize
        self._error: Optional[Exception] = None  # what reading the input raised, for its turn
        self._fill()
        if self._error is not None:
            self.close()
            raise self._error

    def __next__(self) -> T:
        if not self._pending:
            error, self._error = self._error, None
            raise error or StopIteration
        try:
            result = self._take()
            self._fill()
        except BaseException:
            self.close()
            raise
        return result

    def close(self) -> None:
        """Cancel the calls that have not started, and submit no more."""
        self._arguments = None
        while self._pending:
            self._pending.pop().cancel()  # the last first: none starts in place of another

    def __enter__(self) -> MapResults[T]:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _fill(self) -> None:
        """Submit calls until there are *buffersize* of them, or the input ends.

        An error of the input has its place after the results of the items before it.
        """
        try:
            while self._arguments is not None and (
                self._buffersize is None or len(self._pending) < self._buffersize
            ):
                arguments = next(self._arguments, None)
                if arguments is None:
                    self._arguments = None
                else:
                    self._pending.append(self._submit(self._function, *arguments))
        except Exception as error:
            self._arguments = None
            self._error = error

    def _take(self) -> T:
        """The next result; its future stays in the buffer until it is there."""
        future = self._pending[0]
        if self._deadline is None:
            result = future.result()
        else:
            result = future.result(max(0.0, self._deadline - time.monotonic()))
        self._pending.popleft()
        return result


def _check_buffersize(buffersize: object) -> None:
    if buffersize is None:
        return
    if not isinstance(buffersize, int):
        raise TypeError(f"buffersize must be an integer or None, not {buffersize!r}")
    if buffersize < 1:
        raise ValueError(f"buffersize must be at least 1, got {buffersize}; None means no bound")
