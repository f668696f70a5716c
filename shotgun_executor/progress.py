"""How far a publish is: for a function of the user's, or a bar."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import threading
from typing import TYPE_CHECKING, Any, Callable, Optional, Union, cast

from shotgun_executor.teller import Teller

if TYPE_CHECKING:
    from shotgun_executor.steps import Step

__all__ = ["Progress", "PublishProgress"]


@dataclasses.dataclass(frozen=True)
class PublishProgress:
    """How far a publish is.

    Attributes:
        items_done: How many items have no step to be done.
        items: How many items have had a step so far.
        steps_done: How many steps have ended, however.
        steps: How many there are so far.
        bytes_sent: What was sent of the files; less again when an upload is repeated.
        bytes_total: How large they are, as far as that is known.
    """

    items_done: int = 0
    items: int = 0
    steps_done: int = 0
    steps: int = 0
    bytes_sent: int = 0
    bytes_total: int = 0


class Progress:
    """Counts, and has a function or a bar told.

    It is quick and calls nothing of the user's, so that it may be used under a lock.
    """

    def __init__(self, wanted: Union[bool, str, Callable[[PublishProgress], object]]) -> None:
        """*wanted* as ``executor.publishing`` takes it."""
        if not isinstance(wanted, (bool, str)) and not callable(wanted):
            raise TypeError(
                f"publishing: progress must be True, a text or a function, not {wanted!r}"
            )
        self._wanted = wanted
        self._bar: Any = None
        self._teller: Optional[Teller[PublishProgress]] = None
        # The counts. Guarded by the lock, which is re-entrant since a garbage collection may run a
        # destructor of the user's under it.
        self._lock = threading.RLock()
        self._open: dict[str, int] = {}  # the steps to be done of each item
        self._now = PublishProgress()

    def begin(self) -> None:
        """The publish begins."""
        if callable(self._wanted):
            self._teller = Teller(self._wanted, "the progress of a publish")
        elif self._wanted is not False:
            self._bar = _bar(self._wanted if isinstance(self._wanted, str) else None)
            if self._bar is not None:
                self._teller = Teller(functools.partial(_show, self._bar), "the bar of a publish")

    def close(self) -> None:
        """It has ended; returns when the last counts were told."""
        if self._teller is not None:
            self._teller.close()
        if self._bar is not None:
            self._bar.close()

    def added(self, item: str, size: int) -> None:
        """There is another step, which sends so many bytes."""
        with self._lock:
            left = self._open.get(item)
            self._open[item] = (left or 0) + 1
            self._count(
                items=1 if left is None else 0,
                items_done=-1 if left == 0 else 0,
                steps=1,
                bytes_total=size,
            )

    def removed(self, item: str, size: int) -> None:
        """A step that was added was not accepted after all."""
        with self._lock:
            self._count(
                items_done=self._over(item),
                steps=-1,
                bytes_total=-size,
            )

    def grew(self, more: int) -> None:
        """There is so much more to be sent than was known."""
        if more:
            with self._lock:
                self._count(bytes_total=more)

    def sent(self, step: Step, sent: int, total: int) -> None:
        """*step* has sent so many bytes by now."""
        with self._lock:
            more, step.sent = sent - step.sent, sent
            self._count(bytes_sent=more)

    def ended(self, item: str) -> None:
        """A step of *item* has ended."""
        with self._lock:
            self._count(items_done=self._over(item), steps_done=1)

    def _over(self, item: str) -> int:
        """One step of *item* is open no more: how many items are done by that."""
        left = self._open.get(item, 0) - 1
        if left < 0:
            return 0  # Ctrl-C came before it was counted
        self._open[item] = left
        return 0 if left else 1

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self._now, name) + count for name, count in more.items()}
        self._now = dataclasses.replace(self._now, **counts)
        if self._teller is not None:
            self._teller.tell(self._now)


def _bar(text: Optional[str]) -> Any:
    """A bar of bytes, if tqdm is installed."""
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        return None
    return tqdm(total=0, unit="B", unit_scale=True, desc=text)


def _show(bar: Any, now: PublishProgress) -> None:
    bar.total = now.bytes_total
    bar.set_postfix_str(f"{now.items_done} of {now.items} items", refresh=False)
    bar.update(now.bytes_sent - cast("int", bar.n))
