"""What a dry run would have written."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import threading
from typing import Any, Callable, Optional

from shotgun_executor.outcome import redacted
from shotgun_executor.plain import copy_plain

__all__ = ["Plan", "PlannedWrite"]

LOG = logging.getLogger("shotgun_executor")


@dataclasses.dataclass(frozen=True)
class PlannedWrite:
    """A write that a dry run did not send.

    Attributes:
        method: What would have been done: "create", "update", "delete", "upload", ... The requests
            of a batch are listed one by one.
        entity_type: To an entity of this type; None if it is about none.
        entity_id: To the one with this id. That of an entity that a dry run created is negative.
        data: The fields that would have been written, or what else the call would have sent.
        path: The file that would have been uploaded.
        size: How large it is, in bytes.
    """

    method: str
    entity_type: Optional[str] = None
    entity_id: Optional[int] = None
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    path: Optional[str] = None
    size: Optional[int] = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"  # without what is secret among the data

    def __str__(self) -> str:
        parts = [self.method]
        parts += [str(part) for part in (self.entity_type, self.entity_id) if part is not None]
        if self.path is not None:
            parts.append(f"{self.path} ({self.size} bytes)")
        shown: dict[str, Any] = redacted(self.data)
        text = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return " ".join(parts) + (f": {text}" if text else "")


class Plan:
    """The writes of a dry run, in the order in which they would have been made."""

    def __init__(self, tell: Optional[Callable[[PlannedWrite], object]] = None) -> None:
        """Tell *tell* of each write as it comes, besides the log."""
        self._tell = tell
        self._telling = threading.RLock()  # one at a time, so that lines stay whole
        self._lock = threading.RLock()  # a garbage collection under it may come back here
        self._writes: list[PlannedWrite] = []
        self._created: dict[tuple[str, int], dict[str, Any]] = {}
        self._ids = itertools.count(-1, -1)

    @property
    def writes(self) -> list[PlannedWrite]:
        """A copy of the list."""
        with self._lock:
            return list(self._writes)

    def new_id(self) -> int:
        """The id of something that is not created: negative, and no other's."""
        return next(self._ids)

    def add(self, write: PlannedWrite) -> None:
        """Write it down, log it, and tell who wants to be told."""
        write = dataclasses.replace(write, data=copy_plain(write.data))
        with self._lock:
            self._writes.append(write)
        LOG.info("dry run: %s", write)
        if self._tell is not None:
            with self._telling:
                self._tell(write)

    def remember(self, record: dict[str, Any]) -> None:
        """An entity was created, or changed, as far as the program can tell."""
        with self._lock:
            known = self._created.setdefault((record["type"], record["id"]), {})
            known.update(copy_plain(record))

    def created(self, entity_type: str, entity_id: object) -> Optional[dict[str, Any]]:
        """What is known of an entity that this dry run created."""
        if not isinstance(entity_id, int):
            return None
        with self._lock:
            known = self._created.get((entity_type, entity_id))
            return None if known is None else copy_plain(known)
