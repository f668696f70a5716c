"""The bytes of files: where they lie on disk, and the signed URLs that lead to them.

It stands in for the object storage of a live site. A file is written under a name of its own in
``incoming`` and moved to its place when it is whole, so what was broken off leaves nothing::

    objects/<key>          whole files
    parts/<key>/<number>   parts of files that are sent in several requests
    incoming/              what is being written now
    secret                 what URLs are signed with, so that they outlive a restart
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
import shutil
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["STORAGE_PATH", "Incoming", "Storage"]

STORAGE_PATH = "/storage/"

# What nothing refers to is kept that long, for a client that has yet to link it.
_LOOSE_LIFE = 24 * 3600.0
_PIECE = 1 << 20
_KEY = re.compile(r"[0-9a-f]{32}(\.[a-z0-9]{1,10})?(/[1-9][0-9]{0,4})?\Z", re.ASCII)


class Incoming:
    """A file while it arrives: written piece by piece, then kept or discarded.

    Args:
        path: Where to write; nothing is there yet.
        filename: What the sender calls the file.
    """

    def __init__(self, path: Path, filename: str) -> None:
        self.path = path
        self.filename = filename
        self.size = 0
        self._digest = hashlib.md5(usedforsecurity=False)
        self._file = path.open("wb")

    @property
    def etag(self) -> str:
        """The MD5 of the content in quotes, as S3 answers to a PUT."""
        return f'"{self._digest.hexdigest()}"'

    def write(self, piece: bytes) -> None:
        """Add a piece to the end."""
        self._file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    def append_file(self, path: Path) -> str:
        """Add the content of another file to the end, and return its MD5."""
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as source:
            while piece := source.read(_PIECE):
                self.write(piece)
                digest.update(piece)
        return digest.hexdigest()

    def keep(self, place: Path) -> None:
        """Move the whole file to its place, over what is there."""
        self._file.close()
        place.parent.mkdir(exist_ok=True)
        self.path.replace(place)

    def discard(self) -> None:
        """Leave nothing. After :meth:`keep` this changes nothing."""
        self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


class Storage:
    """A folder of files that are reached by unguessable keys.

    Args:
        folder: Made if it is missing; whoever owns it removes it.
        url_life: Seconds that a signed URL is good for; 900 were recorded on a live site.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path, url_life: float = 900.0) -> None:
        self._folder = folder
        self._life = url_life
        self._make_folders()
        self._secret = self._read_secret()
        shutil.rmtree(folder / "incoming")
        self._make_folders()

    def _make_folders(self) -> None:
        for name in ("objects", "parts", "incoming"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)

    def _read_secret(self) -> bytes:
        path = self._folder / "secret"
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        path.touch(0o600)
        path.write_bytes(secrets.token_bytes(32))
        return path.read_bytes()

    def new_key(self, filename: str) -> str:
        """Returns a key that nobody can guess, with the ending of the file's name."""
        ending = Path(filename.replace("\\", "/")).suffix.lower()
        key = secrets.token_hex(16) + ending
        return key if _KEY.match(key) else key[:32]

    def place(self, key: str) -> Path:
        """Returns where the file of a key lies, whether or not it is there.

        Raises:
            ValueError: It is no key.
        """
        if not _KEY.match(key):
            raise ValueError("no key of a file")
        name, _, number = key.partition("/")
        return self._folder / "parts" / name / number if number else self._folder / "objects" / name

    def receive(self, filename: str) -> Incoming:
        """Begins a new file."""
        return Incoming(self._folder / "incoming" / secrets.token_hex(16), filename)

    def parts(self, key: str) -> list[Path]:
        """Returns the parts that have been sent of a file, in their order."""
        self.place(key)
        folder = self._folder / "parts" / key
        return sorted(folder.iterdir(), key=lambda path: int(path.name)) if folder.exists() else []

    def forget_parts(self, key: str) -> None:
        """Removes the parts of a file."""
        self.place(key)
        shutil.rmtree(self._folder / "parts" / key, ignore_errors=True)

    def clear(self) -> None:
        """Removes every file; URLs stay signed as they are."""
        for name in ("objects", "parts"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        self._make_folders()

    def sweep(self, keys: Iterable[str]) -> None:
        """Removes what has been lying about for a day without any of these keys leading to it."""
        kept, limit = set(keys), time.time() - _LOOSE_LIFE
        for path in [*self._folder.glob("objects/*"), *self._folder.glob("parts/*")]:
            if path.name not in kept and path.stat().st_mtime < limit:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    # --- URLs ---------------------------------------------------------------------------------

    def sign(self, verb: str, key: str, name: str = "") -> str:
        """Returns the path and query of a URL that is good for one verb, one key, some time.

        Args:
            verb: ``GET`` or ``PUT``.
            key: The key of the file.
            name: What a browser is to call the file.
        """
        expires = str(int(time.time() + self._life))
        query = {"expires": expires, "signature": self._signature(verb, key, expires, name)}
        if name:
            query["name"] = name
        return f"{STORAGE_PATH}{key}?{urllib.parse.urlencode(query)}"

    def refusal(self, verb: str, key: str, query: Mapping[str, str]) -> Optional[str]:
        """Returns why a URL is not good, or None if it is."""
        expires, name = query.get("expires", ""), query.get("name", "")
        wanted = self._signature(verb, key, expires, name)
        given = query.get("signature", "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode()):
            return "The request signature does not match."
        return None if time.time() <= int(expires) else "Request has expired"

    def _signature(self, verb: str, key: str, expires: str, name: str) -> str:
        text = "\n".join((verb, key, expires, name)).encode("utf-8", "replace")
        return hmac.digest(self._secret, text, "sha256").hex()
