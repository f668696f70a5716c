"""What ``map`` and ``map_outcomes`` return: calls that are submitted ahead, and their results."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import importlib
import queue
import time
from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar, Union

from shotgun_executor.arguments import check_seconds
from shotgun_executor.completion import help_first

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self

    from shotgun_executor.future import Future

__all__ = ["MapOutcomes", "MapResults", "Outcome"]

T = TypeVar("T")
Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Outcome(Generic[T]):
    """How the call for one item of ``map_outcomes`` ended.

    Attributes:
        args: The item, as the arguments that the function was called with.
        result: What it returned; None if it failed.
        error: What it raised (``CancelledError`` if it was cancelled); None if it returned.
    """

    args: tuple[Any, ...]
    result: Optional[T] = None
    error: Optional[BaseException] = None

    @property
    def ok(self) -> bool:
        """Whether the call returned."""
        return self.error is None


class _Submitted(Iterator[Item], Generic[T, Item]):
    """Calls for the items of iterables, submitted all at once or *buffersize* ahead.

    What has not started is cancelled when the iterator is closed or dropped, also before its first
    item was asked for, and when asking for an item raises.
    """

    def __init__(
        self,
        submit: Callable[..., Future[T]],
        function: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        *,
        timeout: Optional[float],
        buffersize: Optional[int],
        progress: Union[bool, str] = False,
    ) -> None:
        # The calls whose outcome was not handed out, in the order of the input.
        self._pending: dict[Future[T], tuple[Any, ...]] = {}
        _check_buffersize(buffersize)
        check_seconds("map", "timeout", timeout)
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._submit = submit
        self._function = function
        self._arguments: Optional[Iterator[tuple[Any, ...]]] = zip(*iterables)
        self._buffersize = buffersize
        self._bar = _bar(progress, iterables)
        self._error: Optional[Exception] = None  # what reading the input raised, for its turn
        self._fill()
        if self._error is not None:
            self.close()
            raise self._error

    def __next__(self) -> Item:
        if not self._pending:
            error, self._error = self._error, None
            self._close_bar()
            raise error or StopIteration
        try:
            item = self._take()
            self._fill()
        except BaseException:
            self.close()
            raise
        return item

    def _submit_more(self) -> None:
        while self._arguments is not None and (
            self._buffersize is None or len(self._pending) < self._buffersize
        ):
            arguments = next(self._arguments, None)
            if arguments is None:
                self._arguments = None
            else:
                future = self._submit(self._function, *arguments)
                self._pending[future] = arguments
                if self._bar is not None:
                    future.add_done_callback(functools.partial(_advance, self._bar))
                self._submitted(future)

    def close(self) -> None:
        """Cancel the calls that have not started, and submit no more."""
        self._arguments = None
        for future in reversed(list(self._pending)):  # so that none starts in place of another
            future.cancel()
        self._pending.clear()
        self._close_bar()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # In a garbage collection, maybe under our own locks: take none.
        self._arguments = None
        for future in self.__dict__.get("_pending", ()):
            future.cancel_soon()

    def _take(self) -> Item:
        """Wait for the next item, and take its call out of what is pending."""
        raise NotImplementedError  # what an item is, is what the subclasses are for

    def _submitted(self, future: Future[T]) -> None:
        """A call was submitted."""

    def _fill(self) -> None:
        """Submit calls until there are *buffersize* of them, or the input ends.

        An error of the input has its place after the results of the items before it.
        """
        try:
            self._submit_more()
        except Exception as error:
            self._arguments = None
            self._error = error

    def _close_bar(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()

    def _time_left(self) -> Optional[float]:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())


class MapResults(_Submitted[T, T]):
    """An iterator over the results of ``executor.map(fn, *iterables)``, in the order of the input.

    Guarantees:

    * The calls are submitted when ``map`` is called: all of them, or *buffersize*. With a
      *buffersize* there are never more calls than that whose result was not handed out yet, and
      the input is read no further than they need.
    * What has not started is cancelled when the iterator is closed, dropped (also before the
      first result was asked for), or ends by an error or a time-out.
    """

    def _take(self) -> T:
        future = next(iter(self._pending))
        result = future.result(self._time_left())
        del self._pending[future]
        return result


class MapOutcomes(_Submitted[T, Outcome[T]]):
    """An iterator over the outcomes of ``executor.map_outcomes(fn, *iterables)``.

    As :class:`MapResults`, but a call that fails is an :class:`Outcome` like any other, and ends
    nothing.
    """

    def __init__(self, *args: Any, ordered: bool, **kwargs: Any) -> None:
        self._ordered = ordered
        self._done: queue.SimpleQueue[Future[T]] = queue.SimpleQueue()
        super().__init__(*args, **kwargs)

    def _submitted(self, future: Future[T]) -> None:
        if not self._ordered:
            future.add_done_callback(self._done.put)

    def _take(self) -> Outcome[T]:
        future = next(iter(self._pending)) if self._ordered else self._next_done()
        try:
            error = future.exception(self._time_left())
        except concurrent.futures.CancelledError as cancelled:
            error = cancelled
        arguments = self._pending.pop(future)
        if error is not None:
            return Outcome(arguments, error=error)
        return Outcome(arguments, result=future.result())

    def _next_done(self) -> Future[T]:
        """The call that is done first of those that are pending."""
        # A worker that waits is to run what nobody else has taken.
        while self._done.empty() and self._time_left() != 0:
            found = help_first(self._pending, self._deadline)
            if found is None or found:  # it is, or another thread is about to say so
                break
        try:
            return self._done.get(timeout=self._time_left())
        except queue.Empty:
            raise concurrent.futures.TimeoutError from None


def _bar(progress: object, iterables: tuple[Iterable[Any], ...]) -> Any:
    """A progress bar, if one is wanted and tqdm is installed."""
    if not isinstance(progress, (bool, str)):
        raise TypeError(f"map: progress must be True, False or a text, not {progress!r}")
    if progress is False:
        return None
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        return None
    # How many there are is known only if all can tell, as with zip().
    counts = [len(items) if isinstance(items, Sized) else None for items in iterables]
    known = [count for count in counts if count is not None]
    total = min(known) if known and len(known) == len(counts) else None
    return tqdm(total=total, desc=progress if isinstance(progress, str) else None)


def _advance(bar: Any, _: object) -> None:
    bar.update(1)


def _check_buffersize(buffersize: object) -> None:
    if buffersize is None:
        return
    if not isinstance(buffersize, int) or isinstance(buffersize, bool):
        raise TypeError(f"buffersize must be an integer or None, not {buffersize!r}")
    if buffersize < 1:
        raise ValueError(f"buffersize must be at least 1, got {buffersize}; None means no bound")
