"""What ``find_iter`` returns: records, read some pages ahead of who takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, Optional

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from shotgun_executor.finding import Window
    from shotgun_executor.future import Future

__all__ = ["FindIterator"]


class FindIterator(Iterator["dict[str, Any]"]):
    """An iterator over the records of a ``find``.

    The first pages are asked for at once, and the next ones when the first of those are taken.
    What has not been read is not asked for when the iterator is closed or dropped, or has failed.

    Attributes:
        last_id: The id of the record that was taken last, or ``after_id`` before: where another
            ``find_iter(..., after_id=last_id)`` goes on, in the order of ids.
    """

    def __init__(
        self, ask: Callable[[Optional[Window]], Future[Window]], after_id: Optional[int]
    ) -> None:
        """Ask for the first window.

        Args:
            ask: Submits the call for the window after another one.
            after_id: What *ask* begins after.
        """
        self.last_id = after_id
        self._ask = ask
        self._rows: deque[dict[str, Any]] = deque()
        self._coming: Optional[Future[Window]] = ask(None)

    def __next__(self) -> dict[str, Any]:
        while not self._rows:
            if self._coming is None:
                raise StopIteration
            try:
                self._take(self._coming)
            except BaseException:
                self.close()
                raise
        record = self._rows.popleft()
        self.last_id = record.get("id")
        return record

    def close(self) -> None:
        """Ask for nothing more; what was read is dropped."""
        coming, self._coming = self._coming, None
        self._rows.clear()
        if coming is not None:
            coming.cancel()

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
        coming = self.__dict__.get("_coming")
        if coming is not None:
            coming.cancel_soon()

    def _take(self, coming: Future[Window]) -> None:
        window = coming.result()
        self._rows.extend(window.records)
        self._coming = self._ask(window) if window.more else None
