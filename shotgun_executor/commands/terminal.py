"""What a command prints: results on the standard output, all else on the standard error."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["OutputClosed", "Progress", "Refused", "drop_output", "emit", "say", "use_utf8"]


class Refused(Exception):  # noqa: N818 - says what happened
    """The command cannot do what it was told to; the message names the option and the remedy."""


class OutputClosed(Exception):  # noqa: N818 - says what happened
    """Nobody reads the standard output any more, as after ``| head``."""


def say(text: str) -> None:
    """Print a line for people."""
    print(text, file=sys.stderr, flush=True)


def emit(text: str) -> None:
    """Print a part of the result, at once.

    Raises:
        OutputClosed: Nobody reads it.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise OutputClosed from None


def use_utf8() -> None:
    """Read and write UTF-8, whatever the language of the system is."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                encoding="utf-8", errors="strict" if stream is sys.stdin else "replace"
            )


def drop_output() -> None:
    """Have what the interpreter writes at its exit go nowhere, rather than complain."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


class Progress:
    """A bar that counts, where there is a terminal and tqdm is installed. Threads may share it."""

    def __init__(self, unit: str, total: Optional[int] = None, *, shown: bool = True) -> None:
        self._lock = threading.Lock()
        self._bar: Any = None
        if shown and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                tqdm = importlib.import_module("tqdm").tqdm
                self._bar = tqdm(total=total, unit=f" {unit}", file=sys.stderr)

    def add(self, count: int) -> None:
        """So many more are done."""
        if self._bar is not None and count:
            with self._lock:
                self._bar.update(count)

    def say(self, text: str) -> None:
        """Print a line for people, above the bar."""
        if self._bar is None:
            say(text)
        else:
            with self._lock:
                self._bar.write(text, file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self._bar is not None:
            self._bar.close()
