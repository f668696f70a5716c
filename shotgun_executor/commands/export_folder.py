"""The folder of an export: a file for each entity type, what is whole in it, and the manifest."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, cast

from shotgun_executor.commands.terminal import Refused
from shotgun_executor.file_lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["ExportFolder", "Whole", "whole_part"]

_MANIFEST = "manifest.json"
_LOCK = f".{_MANIFEST}.lock"  # that of a killed program
_FORMAT = 1


class Whole(NamedTuple):
    """What of a file is whole: rows in the order of their ids, each with the end of its line."""

    rows: int
    last_id: Optional[int]
    size: int
    """Bytes."""


def whole_part(path: Path) -> Whole:
    """What is whole in a file that a killed program may have left; a file that is none is empty."""
    rows, last_id, size = 0, None, 0
    if not path.exists():
        return Whole(rows, last_id, size)
    with path.open("rb") as file:
        for line in file:
            number = _id_of(line)
            if number is None or (last_id is not None and number <= last_id):
                break
            rows, last_id, size = rows + 1, number, size + len(line)
    return Whole(rows, last_id, size)


def _id_of(line: bytes) -> Optional[int]:
    """The id of the record in a line; None: the line is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    number = cast("dict[str, Any]", record).get("id") if isinstance(record, dict) else None
    return number if isinstance(number, int) else None


class ExportFolder:
    """The folder that an export is written to, by one program at a time.

    ``manifest.json`` says what was asked for, and of each entity type which fields are in its
    file, how many rows, and whether it is complete. It is replaced as a whole.

    Args:
        path: The folder; it need not be there.
        asked: What the export is about. A folder holds one export.
        restart: Delete an export that is there, rather than go on with it.

    Raises:
        Refused: The folder holds something else.
    """

    def __init__(self, path: Path, asked: dict[str, Any], *, restart: bool) -> None:
        self._path = path
        self._restart = restart
        self._lock = threading.Lock()  # guards the manifest, in memory and on the disk
        self._manifest: dict[str, Any] = {"format": _FORMAT, "asked": asked, "types": {}}
        self._found()  # so that what is wrong with it is told at once

    @property
    def resumed(self) -> bool:
        """Whether there was something of this export."""
        return bool(self._manifest["types"])

    def state(self, entity_type: str) -> dict[str, Any]:
        """What is known of an entity type; empty: it was not begun."""
        return cast("dict[str, Any]", self._manifest["types"].get(entity_type, {}))

    def is_complete(self, entity_type: str) -> bool:
        """Whether all rows of an entity type are there, in a file of the size that it had."""
        state, path = self.state(entity_type), self.file_of(entity_type)
        return bool(
            state.get("complete") and path.exists() and path.stat().st_size == state["bytes"]
        )

    def note(self, entity_type: str, **values: Any) -> None:
        """Change what is known of an entity type, and write the manifest."""
        with self._lock:
            new = {"file": f"{entity_type}.jsonl", **self.state(entity_type), **values}
            self._manifest["types"][entity_type] = new
            self.write_json(_MANIFEST, self._manifest)

    def write_json(self, name: str, value: Any) -> None:
        """Write a file: all of it, or nothing."""
        new = self._path / f"{name}.new"
        with new.open("w", encoding="utf-8") as file:
            json.dump(value, file, indent=1, sort_keys=name != _MANIFEST)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path / name)

    def file_of(self, entity_type: str) -> Path:
        """The file of an entity type."""
        return self._path / f"{entity_type}.jsonl"

    @contextlib.contextmanager
    def locked(self) -> Generator[None, None, None]:
        """Make the folder, read or delete what is there, and keep other programs from it.

        Raises:
            Refused: Another program does so now, or the folder cannot be made.
        """
        lock = FileLock(self._path / _MANIFEST)
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except BlockingIOError as error:
            raise Refused(f"--out: {error}") from None
        except OSError as error:
            raise Refused(f"--out: cannot write to {self._path}: {error.strerror}") from None
        try:
            self._begin(self._found())
            yield
        finally:
            lock.release()

    def _begin(self, found: Optional[dict[str, Any]]) -> None:
        if found is not None and self._restart:
            for entity_type in found["types"]:
                self.file_of(entity_type).unlink(missing_ok=True)
        elif found is not None:
            self._manifest = found
        self.write_json(_MANIFEST, self._manifest)

    def _found(self) -> Optional[dict[str, Any]]:
        """The manifest of the export that is there, if it is to be gone on with or deleted."""
        found = self._read()
        if found is not None and not self._restart:
            _check_same(self._path, found, self._manifest)
        return found

    def _read(self) -> Optional[dict[str, Any]]:
        path = self._path / _MANIFEST
        if not path.exists():
            if _is_taken(self._path):
                raise Refused(f"--out: {self._path} is there and no export; name a new folder")
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if not isinstance(found, dict) or cast("dict[str, Any]", found).get("format") != _FORMAT:
            raise Refused(f"--out: {path} is none of this program's; name a new folder")
        return cast("dict[str, Any]", found)


def _is_taken(path: Path) -> bool:
    """Whether there is something that no export has left."""
    if not path.is_dir():
        return path.exists()
    return bool({each.name for each in path.iterdir()} - {_LOCK, f"{_MANIFEST}.new"})


def _check_same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted["asked"].items():
        there = found["asked"].get(name)
        if there != value:
            raise Refused(
                f"--out: {path} has an export with {name} {json.dumps(there)}, and not "
                f"{json.dumps(value)}; name another folder, or add --restart to delete what is "
                f"there"
            )
