"""The file of a publish: a line of JSON for each step, of which the last one counts."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union, cast

from shotgun_executor.file_lock import FileLock
from shotgun_executor.outcome import is_secret, redacted
from shotgun_executor.report import StepReport

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Journal", "Line", "kept", "read_journal"]

Steps = dict[tuple[str, str], StepReport]
"""The steps by item and name."""

_FORMAT = 1
_DATETIME = "$datetime"
_FIELDS = frozenset(field.name for field in dataclasses.fields(StepReport)) - {"resumed"}
_GONE = "the earlier run ended while it was running"


class Line:
    """A line that is to be written; ``error`` says why it could not be."""

    __slots__ = ("error", "step")

    def __init__(self, step: StepReport) -> None:
        self.step = step
        self.error: Optional[OSError] = None


class Journal:
    """Keeps the steps of a publish in a file, such that what has ended survives a kill.

    Lines are appended while it runs, each by one write to the system; at the start and at the end
    the file is written anew, with one line for each step, and replaced as a whole. In between no
    other program can use it.

    :meth:`add` only puts a line in its order, and may be called under a lock; :meth:`flush` writes,
    under a lock of its own.
    """

    def __init__(self, path: Union[str, os.PathLike[str]], site: Optional[str]) -> None:
        """Write to *path*; *site* is the host, None if it is not known."""
        self.path = Path(path).absolute()  # wherever the program goes meanwhile
        self._site = site
        self._lines: deque[Line] = deque()  # in their order; what was written leaves it
        # Guards the file. Re-entrant, since a garbage collection under it may run a destructor of
        # the user's that submits a step.
        self._lock = threading.RLock()
        self._file: Optional[int] = None
        self._others = FileLock(self.path)

    def lock(self) -> None:
        """Keep other programs from the file, until :meth:`finish` or :meth:`unlock`.

        Raises:
            BlockingIOError: One uses it.
        """
        self._others.acquire()

    def unlock(self) -> None:
        """Leave the file to others."""
        self._others.release()

    def start(self, steps: Iterable[StepReport]) -> None:
        """Begin with *steps*, those of an earlier run; the file is locked."""
        with self._lock:
            self._replace(steps)
            flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(self.path, flags)

    def add(self, step: StepReport) -> Line:
        """Have what became of *step* written by the next :meth:`flush`, after what came before."""
        line = Line(step)
        self._lines.append(line)
        return line

    def flush(self) -> None:
        """Write what was added; what cannot be written has its error, and raises none."""
        with self._lock:
            self._write_lines()

    def _write_lines(self) -> None:
        while self._lines:
            line = self._lines[0]  # it stays there until it is written, come what may
            try:
                self._append(line.step)
            except OSError as error:
                line.error = error
            if self._lines and self._lines[0] is line:  # else a destructor was here meanwhile
                self._lines.popleft()

    def finish(self, steps: Iterable[StepReport]) -> None:
        """End with *steps*, in place of all lines."""
        with self._lock:
            file, self._file = self._file, None
            if file is None:
                return
            try:
                os.close(file)
                self._replace(steps)
            finally:
                self.unlock()

    def _append(self, step: StepReport) -> None:
        if self._file is not None:
            line = _line(_record(step))
            written = os.write(self._file, line)
            if written != len(line):
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
                raise OSError(f"the disk of {self.path} is full")

    def _replace(self, steps: Iterable[StepReport]) -> None:
        head = {"publishing": _FORMAT, **({"site": self._site} if self._site else {})}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with temporary.open("wb") as file:
                file.write(_line(head))
                file.writelines(_line(_record(step)) for step in steps)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_journal(path: Path, site: Optional[str] = None) -> Steps:
    """The steps that a file holds, as far as they were written.

    A step that was running when the program ended has an unknown outcome.

    Raises:
        ValueError: It is no report of a publish, or is about another site than *site*.
    """
    content = path.read_bytes()
    *lines, rest = content.split(b"\n")  # what follows the last newline was not written whole
    head = _parsed(path, 1, lines[0] if lines else rest)
    if head.get("publishing") != _FORMAT:
        raise ValueError(f"{path} is no report of a publish that this version can read")
    theirs = head.get("site")
    if site and theirs and theirs != site:
        raise ValueError(f"{path} is about {theirs}, not {site}: its ids mean nothing there")
    steps: Steps = {}
    for number, line in enumerate(lines[1:], 2):
        step = _step(path, number, line)
        steps[step.item, step.name] = step
    return {place: _after_a_kill(step) for place, step in steps.items()}


def _after_a_kill(step: StepReport) -> StepReport:
    if step.state != "running":
        return step
    message = f"{_GONE}; {step.message}"
    return dataclasses.replace(step, state="unknown", error="unknown", message=message)


def _step(path: Path, number: int, line: bytes) -> StepReport:
    record = _parsed(path, number, line)
    found: dict[str, Any] = {name: record[name] for name in _FIELDS if name in record}
    found["made"] = tuple(found.get("made", ()))
    if not all(isinstance(found.get(name), str) for name in ("item", "name", "method")):
        raise ValueError(f"{path}, line {number}: it is not that of a step")
    return StepReport(**found)


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line, object_hook=_revived)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise ValueError(f"{path}, line {number}: it is not that of a report of a publish")
    return cast("dict[str, Any]", record)


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False, default=_plain)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def _record(step: StepReport) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for field in dataclasses.fields(step):
        value = getattr(step, field.name)
        if field.name in _FIELDS and (value != field.default or field.name == "state"):
            record[field.name] = kept(value) if field.name == "result" else value
    return record


# Values of results


def kept(value: Any) -> Any:
    """What is kept of a result: no secrets, and nothing that JSON cannot hold.

    Fields whose name and text may be secret are left out, and URLs lose what follows the question
    mark, which may be a signature.
    """
    if isinstance(value, dict):
        return {str(key): kept(item) for key, item in value.items() if _is_kept(key, item)}
    if isinstance(value, (list, tuple)):
        return [kept(item) for item in value]
    if isinstance(value, str):
        return redacted(value)
    if value is None or isinstance(value, (int, float, datetime.datetime)):
        return value
    return None


def _is_kept(key: object, value: object) -> bool:
    if isinstance(value, str):
        return not is_secret(str(key))
    kinds = (dict, list, tuple, int, float, datetime.datetime, type(None))
    return isinstance(value, kinds)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return {_DATETIME: value.isoformat()}
    raise TypeError(f"a {type(value).__name__} is no JSON")


def _revived(found: dict[str, Any]) -> Any:
    if set(found) == {_DATETIME}:
        return datetime.datetime.fromisoformat(found[_DATETIME])
    return found
