"""A sandbox in a process of its own, started and ended by this one."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Optional, Union

from shotgun_executor.sandbox.latency import Delay
from shotgun_executor.sandbox.remote import RemoteSandbox, SandboxError, address_of, trust_of
from shotgun_executor.sandbox.settings import GOODBYE, Info, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Sandbox"]

_STOP_LIMIT = 10.0  # seconds
_LOG_SIZE = 8000  # bytes
_REMEDY = 'pip install "shotgun-executor[sandbox]"'


class Sandbox(RemoteSandbox):
    """A local site in a process of its own, for as long as a ``with`` block lasts.

    ::

        with Sandbox(demo=True, latency=0.05) as sandbox:
            sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)

    Guarantees:

    * Once the constructor returns, the site answers.
    * The process of the site ends with :meth:`close`, with this object, and with the process that
      made it, however that ends. Ctrl-C in the terminal does not reach it.
    * Every method may be called from any thread; each has a limit of time.

    Args:
        database: An SQLite file that keeps the entities; None keeps them in memory.
        port: The port to listen at; 0 takes a free one.
        latency: Seconds that each answer takes beside the real time.
        jitter: Each answer takes up to that many seconds more or less, evenly spread.
        seed: Where the random numbers of the jitter start.
        demo: Start a new site with the demo show.
        shots: The number of shots of the demo show.
        compress: Send answers gzipped to clients that accept that, as the official one does.
        tls: Serve the site over HTTPS. Its certificate is made at the start; clients take
            ``ca_certs``, which is among the ``credentials`` of the sandbox.
        schema: The entity types and fields of the site, in files: the path of what
            ``schema_read()`` of a live site returned (as JSON, or as Mockgun pickles it), or a
            pair of paths with that of ``schema_entity_read()``. None is the schema of the package.
        version: The version that the site says it has.
        api_max_entities_per_page: The largest page that the site gives.
        user_authentication_method: How people sign in: ``"default"``, ``"ldap"``, ``"saml2"`` or
            ``"oxygen"``. With the last two the site refuses login and password.
        session_life: Seconds that a session token is good for; None is for ever.
        s3_direct_uploads: Whether files are sent straight to a storage, as on a site of today, or
            in a form to the site.
        thumbnail_reads: How often an image field reads as the transient URL after an upload.
        thumbnail_seconds: How long it does.
        event_log: Whether changes are logged as EventLogEntry.
        script_name: The name of the script that may use the site.
        api_key: The key of that script; None makes one up.
        login: The login of a person that may use the site.
        password: The password of that person; None makes one up.
        start_timeout: Seconds that the start may take.

    Raises:
        SandboxError: The process could not be started; the message ends with what it said.
        ImportError: What the sandbox needs is not installed.
    """

    def __init__(
        self,
        *,
        database: Union[str, os.PathLike[str], None] = None,
        port: int = 0,
        latency: float = 0.0,
        jitter: float = 0.0,
        seed: int = 0,
        demo: bool = False,
        shots: Optional[int] = None,
        compress: bool = False,
        tls: bool = False,
        schema: Union[str, os.PathLike[str], Sequence[str], None] = None,
        version: Optional[tuple[int, int, int]] = None,
        api_max_entities_per_page: Optional[int] = None,
        user_authentication_method: Optional[str] = None,
        session_life: Optional[float] = None,
        s3_direct_uploads: bool = True,
        thumbnail_reads: int = 1,
        thumbnail_seconds: float = 0.0,
        event_log: Optional[bool] = None,
        script_name: Optional[str] = None,
        api_key: Optional[str] = None,
        login: Optional[str] = None,
        password: Optional[str] = None,
        start_timeout: float = 30.0,
    ) -> None:
        require_libraries(tls=tls)
        site: dict[str, Any] = {
            "schema": None if schema is None else _paths(schema),
            "version": version,
            "api_max_entities_per_page": api_max_entities_per_page,
            "user_authentication_method": user_authentication_method,
            "session_life": session_life,
            "s3_direct_uploads": s3_direct_uploads,
            "event_log": event_log,
            "script_name": script_name,
            "api_key": api_key,
            "login": login,
            "password": password,
        }
        self._settings = Settings(
            port=port,
            database=None if database is None else str(Path(database).absolute()),
            latency=Delay(_seconds("latency", latency), _seconds("jitter", jitter)),
            seed=seed,
            demo=demo,
            shots=shots,
            compress=compress,
            tls=tls,
            thumbnail_reads=thumbnail_reads,
            thumbnail_seconds=_seconds("thumbnail_seconds", thumbnail_seconds),
            site={name: value for name, value in site.items() if value is not None},
        )
        self._start_timeout = start_timeout
        self._token = self._settings.token
        self._lock = threading.Lock()  # guards _child and _info as a pair
        self._folder_finalizer: Optional[weakref.finalize[..., Sandbox]] = None
        self._start()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f"{self.url} pid {self.pid}" if self.alive else "closed"
        return f"<{type(self).__name__} {state}>"

    @staticmethod
    def attach(url: str, token: str, ca_certs: Optional[str] = None) -> RemoteSandbox:
        """Steer a sandbox that somebody else has started, and will end.

        Args:
            url: Where the site is, such as ``"http://127.0.0.1:8000"``.
            token: The control token that the sandbox printed when it started.
            ca_certs: The file that its certificate is known by, for a site over HTTPS.

        Raises:
            SandboxError: There is no sandbox, or it has another token.
        """
        return RemoteSandbox(url, token, ca_certs)

    @property
    def pid(self) -> int:
        """The id of the process that serves the site."""
        return self._child.process.pid

    @property
    def alive(self) -> bool:
        """Whether that process runs."""
        return self._child.process.poll() is None

    def log(self) -> str:
        """The end of what the process wrote to its standard error: nothing, if all is well."""
        return self._child.log()

    def close(self) -> None:
        """End the process, and remove the files that it keeps. May be called again."""
        with self._lock:
            self._end()

    def restart(self, *, kill: bool = False) -> None:
        """End the process and start another at the same port, with the same credentials.

        What the old one kept in memory is gone; a database file is kept.

        Args:
            kill: End it at once and uncleanly, as ``kill -9`` does.

        Raises:
            SandboxError: The new process could not be started.
        """
        with self._lock:
            if kill:
                self._child.process.kill()
            self._finalizer()
            self._settings = dataclasses.replace(
                self._settings,
                port=self._address[1],
                site={**self._settings.site, **_credentials(self._info)},
            )
            self._start()

    def _start(self) -> None:
        if self._folder_finalizer is None or not self._folder_finalizer.alive:
            folder = tempfile.mkdtemp(prefix="sandbox-")
            self._settings = dataclasses.replace(self._settings, folder=folder)
            # Made before that of the process, and so called after it at the end of this one.
            self._folder_finalizer = weakref.finalize(self, _remove_folder, folder, os.getpid())
        child = _Child(self._settings)
        self._child = child
        self._finalizer = weakref.finalize(self, child.end)
        try:
            self._info = child.ready(self._start_timeout)
            self._trust = trust_of(self._info.url, self._info.ca_certs)
        except BaseException:
            self._end()
            raise
        self._address = address_of(self._info.url)

    def _end(self) -> None:
        self._finalizer()
        if self._folder_finalizer is not None:
            self._folder_finalizer()

    def _why_gone(self, error: Exception) -> str:
        if not self._finalizer.alive:
            return "the sandbox is closed"
        try:  # its sockets close a moment before it is gone
            code = self._child.process.wait(1.0)
        except subprocess.TimeoutExpired:
            return super()._why_gone(error)
        return f"the sandbox has ended with exit code {code}{self._child.last_words()}"


class _Child:
    """The process that serves the site, and the ends of its pipes."""

    def __init__(self, settings: Settings) -> None:
        self._owner = os.getpid()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        self.process = subprocess.Popen(  # our own module
            [sys.executable, "-m", "shotgun_executor.sandbox", "--from-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(),
            start_new_session=True,  # the terminal's Ctrl-C is for the parent
        )
        # Not on the command line, where every user of the machine could read the key.
        self._tell(settings.to_json())

    def ready(self, timeout: float) -> Info:
        """Wait for the announcement that the site answers.

        Raises:
            SandboxError: The process ended instead, or was not ready within *timeout* seconds.
        """
        lines: list[bytes] = []
        stdout = self.process.stdout
        assert stdout is not None
        reader = threading.Thread(target=lambda: lines.append(stdout.readline()), daemon=True)
        reader.start()
        reader.join(timeout)
        if reader.is_alive():
            self.process.kill()
            reader.join()
            raise SandboxError(
                f"the sandbox was not ready within start_timeout={timeout:g} s{self.last_words()}"
            )
        if not lines or not lines[0]:
            code = self.process.wait(_STOP_LIMIT)
            raise SandboxError(f"the sandbox could not start (exit code {code}){self.last_words()}")
        return Info.from_json(json.loads(lines[0]))

    def end(self) -> None:
        """End the process and close the pipes.

        In a forked process this closes copies of the pipes, which leaves the sandbox alone.
        """
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            if os.getpid() == self._owner:
                process.stdin.write(GOODBYE)
            process.stdin.close()  # which ends it
        try:
            process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_LIMIT)
        process.stdout.close()
        self._last_log = self.log()
        self._stderr.close()

    def log(self) -> str:
        """The last lines of its standard error."""
        if self._stderr.closed:
            return self._last_log
        start = max(0, os.fstat(self._stderr.fileno()).st_size - _LOG_SIZE)
        return _read_at(self._stderr, start).decode(errors="replace")

    def last_words(self) -> str:
        """The log as the end of an error message."""
        log = self.log().strip()
        return f":\n{log}" if log else "; it said nothing"

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it has ended already; ready() says why
            pass


def _read_at(file: IO[bytes], start: int) -> bytes:
    """Read without moving the position, which is shared with the process that writes there."""
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), _LOG_SIZE, start)
    position = file.tell()  # Windows has no better way
    try:
        file.seek(start)
        return file.read(_LOG_SIZE)
    finally:
        file.seek(position)


def require_libraries(*, tls: bool = False) -> None:
    """Check that what the sandbox needs is installed, without importing it.

    Args:
        tls: Whether it is to serve HTTPS.

    Raises:
        ImportError: Something is missing; the message says how to install it.
    """
    for name in ("aiohttp", "sqlalchemy", *(("trustme",) if tls else ())):
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"the sandbox needs {name}: {_REMEDY}", name=name)


def _environment() -> dict[str, str]:
    """The environment of this process; the other finds the same modules as this one does."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *(entry for entry in sys.path if entry)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _remove_folder(folder: str, owner: int) -> None:
    """Remove a folder, unless this is a process that the owner has forked."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _paths(given: Union[str, os.PathLike[str], Sequence[str]]) -> list[str]:
    paths = [given] if isinstance(given, (str, os.PathLike)) else given
    return [str(Path(path).absolute()) for path in paths]


def _credentials(info: Info) -> dict[str, str]:
    names = ("script_name", "api_key", "login", "password")
    return {name: getattr(info, name) for name in names}


def _seconds(name: str, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise ValueError(f"Sandbox: {name} must be a number of seconds, 0 or more, not {value!r}")
