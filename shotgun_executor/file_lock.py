"""A lock on a file, against another program that would write it at the same time."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileLock"]

LOG = logging.getLogger("shotgun_executor")

_BUSY = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK, errno.EWOULDBLOCK})
_BEYOND = 1 << 30  # the byte that is locked on Windows, where a locked byte cannot be read

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, _BEYOND, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)

    def _unlock(file: int) -> None:
        os.lseek(file, _BEYOND, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


def _name_of_this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


class FileLock:
    """Keeps other programs, and other threads of this one, from a file.

    The lock is on a hidden file beside it, since the file itself may be replaced meanwhile; that is
    removed at the end. The system frees it when the program ends, however it ends. Where a file
    system has no locks there is only a warning.
    """

    def __init__(self, path: Path) -> None:
        """For the file at *path*, which need not exist."""
        self._target = path
        self._path = path.with_name(f".{path.name}.lock")
        self._file: Optional[int] = None

    def acquire(self) -> None:
        """Take it, or fail at once.

        Raises:
            BlockingIOError: Somebody else has it.
        """
        while self._file is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._take(file)
                if _is_at(self._path, file):
                    self._file = file
            finally:
                if self._file is None:  # refused; or whoever had it has removed it meanwhile
                    os.close(file)
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{_name_of_this_process()}\n".encode())

    def _take(self, file: int) -> None:
        try:
            _lock(file)
        except OSError as error:
            if error.errno not in _BUSY:
                LOG.warning("%s cannot be locked against other programs: %s", self._target, error)
                return
            os.lseek(file, 0, os.SEEK_SET)
            holder = os.read(file, 200).decode(errors="replace").strip()
            if holder == _name_of_this_process():
                raise BlockingIOError(
                    f"{self._target} is in use by this program, which has not ended all of what it "
                    f"began with it: wait for that, or choose another path"
                ) from None
            raise BlockingIOError(
                f"{self._target} is in use by another program{holder and f' ({holder})'}: wait "
                f"until that has ended, or choose another path"
            ) from None

    def release(self) -> None:
        """Give it back, if we have it."""
        file, self._file = self._file, None
        if file is None:
            return
        if sys.platform != "win32":  # while we have it, so that nobody else's is removed
            with contextlib.suppress(OSError):
                self._path.unlink()
        with contextlib.suppress(OSError):
            _unlock(file)  # also for a child that was forked meanwhile and has it open
        os.close(file)
        if sys.platform == "win32":  # which removes no file that somebody has open
            with contextlib.suppress(OSError):
                self._path.unlink()


def _is_at(path: Path, file: int) -> bool:
    """Whether *file* is still what *path* names."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except OSError:
        return False
