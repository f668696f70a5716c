"""The URLs that file and image fields are read with: they change from one read to the next.

The database keeps what does not change, the path of an attachment or of a picture. What a record
shows is made from it while SQLite builds the record.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Optional

from .storage import STORAGE_PATH

if TYPE_CHECKING:
    from .storage import Storage

__all__ = ["PENDING_PATH", "UPLOADED", "FileUrls", "Pending", "PlainUrls"]

PENDING_PATH = "/images/status/transient/thumbnail_pending.png"
"""What an image field reads as until the picture is ready; the path is that of a live site."""

UPLOADED = '{"link_type": "upload", "url": "'
"""How the stored value of a file field begins if the file is on the site. No other value does, as
what users write begins with another key."""


class PlainUrls:
    """The URLs of a site without a server: paths as they are stored."""

    def image(self, stored: str) -> str:
        """Returns what an image field reads as."""
        return stored

    def file(self, stored: str) -> str:
        """Returns the JSON text that a file field reads as."""
        return stored


class Pending:
    """Which pictures are not ready yet.

    Args:
        reads: How often an image field reads as the transient URL.
        seconds: How long it does.
    """

    def __init__(self, reads: int = 0, seconds: float = 0.0) -> None:
        self._reads = reads
        self._seconds = seconds
        self._lock = threading.Lock()  # slow reads look from a thread of their own
        self._waiting: dict[str, tuple[int, float]] = {}

    def start(self, key: str) -> None:
        """A picture has arrived."""
        if self._reads or self._seconds:
            with self._lock:
                self._waiting[key] = self._reads, time.monotonic() + self._seconds

    def look(self, key: str) -> bool:
        """Says whether a picture is not ready; each look counts as one read."""
        if key not in self._waiting:
            return False
        with self._lock:
            reads, ready = self._waiting.get(key, (0, 0.0))
            if reads <= 0 and time.monotonic() >= ready:
                self._waiting.pop(key, None)
                return False
            self._waiting[key] = reads - 1, ready
            return True

    def clear(self) -> None:
        """Forgets all: every picture is ready."""
        with self._lock:
            self._waiting.clear()


class FileUrls(PlainUrls):
    """The URLs of a site at an address.

    Args:
        base: The URL of the site.
        storage: Signs the URLs of pictures.
        pending: Knows which pictures are not ready.
    """

    def __init__(self, base: str, storage: Storage, pending: Pending) -> None:
        self._base = base
        self._storage = storage
        self._pending = pending

    def image(self, stored: str) -> str:
        """Returns the transient URL, or a new one that is good for some time."""
        key = image_key(stored)
        if key is None:
            return stored
        if self._pending.look(key):
            return self._base + PENDING_PATH
        return self._base + self._storage.sign("GET", key)

    def file(self, stored: str) -> str:
        """Returns the value with the whole URL of a file that is on the site."""
        if not stored.startswith(UPLOADED):
            return stored
        return UPLOADED + self._base + stored[len(UPLOADED) :]


def image_key(stored: Optional[str]) -> Optional[str]:
    """Returns the key of the picture that an image field holds, if it holds one of the site's."""
    if stored is None or not stored.startswith(STORAGE_PATH):
        return None
    return stored[len(STORAGE_PATH) :]
