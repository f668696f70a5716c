"""Being told of calls as they happen; and a trace of them, as a file or a picture."""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["CallEvent", "Observer", "Observers", "Trace"]

LOG = logging.getLogger("shotgun_executor")


@dataclasses.dataclass(frozen=True)
class CallEvent:
    """What has happened to a call. It holds no argument, and nothing that is secret.

    Attributes:
        kind: "submitted", "started" (an attempt begins on a worker, or goes on there), "suspended"
            (it waits for its parts, such as the pages of a ``find``, and leaves the worker),
            "repeated" (an attempt has failed, and another will be made) or "ended".
        call: A number that tells the calls of a process apart.
        method: The method of ``Shotgun``; "submit" for a function.
        label: The method and entity type, or the name of the function.
        moment: When, in seconds of ``time.monotonic()``.
        thread: The name of the thread on which it happened: for an attempt, the worker.
        attempt: Which attempt began or has ended; 0: it has not run yet.
        error: What the call or the attempt has raised.
        cancelled: Whether the call has ended by being cancelled.
    """

    kind: str
    call: int
    method: str
    label: str
    moment: float
    thread: str
    attempt: int
    error: Optional[BaseException] = None
    cancelled: bool = False


Observer = Callable[[CallEvent], object]
"""Called with each event, on the thread where it happens; it should be quick."""


class Observers:
    """Who is told of the events of one executor."""

    def __init__(self) -> None:
        # Replaced as a whole, so that it can be read without a lock.
        self._all: tuple[Observer, ...] = ()
        self.listening = False  # whether there are any
        self._lock = threading.Lock()

    def add(self, observer: Observer) -> None:
        """Tell *observer* of each event from now on."""
        with self._lock:
            self._all = (*self._all, observer)
            self.listening = True

    def remove(self, observer: Observer) -> None:
        """Tell it no more; without effect if it is not told."""
        with self._lock:
            self._all = tuple(other for other in self._all if other != observer)
            self.listening = bool(self._all)

    def tell(self, event: CallEvent) -> None:
        """Tell all of them. What they raise is logged: it is no reason for a call to fail."""
        for observer in self._all:
            _tell(observer, event)


def _tell(observer: Observer, event: CallEvent) -> None:
    try:
        observer(event)
    except Exception:
        LOG.exception("an observer of calls failed")


class Trace:
    """A record of calls, which is written to a file at its end; from ``executor.trace(path)``.

    Args:
        observers: Where it is told of calls.
        path: Where it is written: ``.json`` for Chrome's tracing and Perfetto, ``.svg`` or ``.png``
            for a picture, which needs matplotlib.
    """

    def __init__(self, observers: Observers, path: Union[str, os.PathLike[str]]) -> None:
        self._path = os.fspath(path)
        if not self._path.endswith((".json", ".svg", ".png")):
            raise ValueError(
                f"trace: path must end in .json, .svg or .png, so that it is known what to write; "
                f"not {self._path!r}"
            )
        if not self._path.endswith(".json"):
            _pyplot()  # now rather than at the end, when what was recorded would be lost
        self._observers = observers
        self._began = time.monotonic()
        self._events: list[CallEvent] = []  # list.append is atomic
        observers.add(self._events.append)

    @property
    def events(self) -> Sequence[CallEvent]:
        """What has happened until now."""
        return tuple(self._events)

    def close(self) -> None:
        """Record no more, and write the file."""
        self._observers.remove(self._events.append)
        if self._path.endswith(".json"):
            with open(self._path, "w", encoding="utf-8") as file:  # noqa: PTH123 - a str or PathLike
                json.dump({"traceEvents": self._chrome()}, file)
        else:
            _draw(_attempts(self._events), self._began, self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def _chrome(self) -> list[dict[str, Any]]:
        """In the Trace Event Format: each worker is a thread, each attempt a bar."""
        attempts = _attempts(self._events)
        rows = {name: number for number, name in enumerate(_threads(attempts), 1)}
        named = [
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": row, "args": {"name": name}}
            for name, row in rows.items()
        ]
        return named + [
            {
                "ph": "X",
                "name": attempt.label,
                "cat": attempt.method,
                "pid": 1,
                "tid": rows[attempt.thread],
                "ts": round((attempt.began - self._began) * 1e6, 1),
                "dur": round((attempt.ended - attempt.began) * 1e6, 1),
                "args": {
                    "call": attempt.call,
                    "attempt": attempt.number,
                    "waited_ms": round(attempt.waited * 1e3, 3),
                    "outcome": attempt.outcome,
                },
            }
            for attempt in attempts
        ]


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """A bar of the trace."""

    call: int
    number: int
    method: str
    label: str
    thread: str
    began: float
    ended: float
    waited: float
    outcome: str


_ENDS = ("repeated", "suspended", "ended")


def _attempts(events: Sequence[CallEvent]) -> list[_Attempt]:
    """The attempts that have ended, in the order of their ends."""
    ready: dict[int, float] = {}
    running: dict[int, CallEvent] = {}
    attempts = []
    for event in events:
        if event.kind == "started":
            running[event.call] = event
        elif event.kind == "submitted":
            ready[event.call] = event.moment
        start = running.pop(event.call, None) if event.kind in _ENDS else None
        if start is not None:
            waited = start.moment - ready.get(event.call, start.moment)
            ready[event.call] = event.moment
            attempts.append(
                _Attempt(
                    *(event.call, start.attempt, event.method, event.label, start.thread),
                    *(start.moment, event.moment, waited, _outcome(event)),
                )
            )
    return attempts


def _outcome(event: CallEvent) -> str:
    if event.cancelled:
        return "cancelled"
    if event.error is None:
        return "done"
    return f"{type(event.error).__name__}, {'repeated' if event.kind == 'repeated' else 'failed'}"


def _threads(attempts: Sequence[_Attempt]) -> list[str]:
    return sorted({attempt.thread for attempt in attempts})


def _pyplot() -> Any:
    try:
        figure = importlib.import_module("matplotlib.figure")
    except ImportError:
        raise ImportError(
            "a picture of a trace needs matplotlib: pip install matplotlib; or write a .json file, "
            "for chrome://tracing or https://ui.perfetto.dev"
        ) from None
    return figure.Figure


def _draw(attempts: Sequence[_Attempt], began: float, path: str) -> None:
    """A row for each worker, a bar for each attempt, a colour for each method."""
    threads = _threads(attempts)
    methods = sorted({attempt.method for attempt in attempts})
    figure = _pyplot()(figsize=(11, 1.2 + 0.34 * max(1, len(threads))), layout="constrained")
    axes = figure.add_subplot()
    for number, method in enumerate(methods):
        of_method = [attempt for attempt in attempts if attempt.method == method]
        axes.barh(
            [threads.index(attempt.thread) for attempt in of_method],
            [attempt.ended - attempt.began for attempt in of_method],
            left=[attempt.began - began for attempt in of_method],
            height=0.8,
            color=f"C{number % 10}",
            edgecolor=["black" if _is_bad(attempt) else "white" for attempt in of_method],
            linewidth=0.6,
            label=method,
        )
    axes.set_yticks(range(len(threads)), [name.rpartition("-")[2] for name in threads])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.set_ylabel("worker")
    if methods:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.25), ncols=6, frameon=False)
    # No date in it: the same calls make the same picture.
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def _is_bad(attempt: _Attempt) -> bool:
    return attempt.outcome != "done"
