"""Running a sandbox in this process, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

import sqlalchemy.exc

from shotgun_executor.sandbox.server import SiteServer, fill
from shotgun_executor.sandbox.settings import GOODBYE, Info
from shotgun_executor.sandbox.site import Site
from shotgun_executor.sandbox.storage import Storage

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

    from shotgun_executor.sandbox.record import Request
    from shotgun_executor.sandbox.settings import Settings

__all__ = ["StartError", "run"]

# How long a site may take to stop once its parent is gone, before it is made to.
_STOP_LIMIT = 5.0


class StartError(Exception):
    """The sandbox cannot run as it was told to; the message says why."""


def run(settings: Settings, announce: Callable[[Info], None], *, parent: bool = False) -> None:
    """Serve a site until SIGINT, SIGTERM or, with *parent*, the end of the standard input.

    Args:
        settings: What to serve, and where.
        announce: Called once requests are answered.
        parent: Whether the process that started this one holds the other end of the standard
            input, so that the end of it is the end of that process.

    Raises:
        StartError: The port is taken, or the database cannot be used.
    """
    asyncio.run(_serve(settings, announce, parent))


async def _serve(settings: Settings, announce: Callable[[Info], None], parent: bool) -> None:
    stop, alone = asyncio.Event(), threading.Event()
    with _stopping_on_signals(stop, ignore_interrupt=parent), _folder(settings, alone) as folder:
        if parent:
            _stop_with_parent(stop, alone)
        site, storage = _open_site(settings, folder)
        try:
            await _serve_site(site, storage, settings, folder, announce, stop)
        finally:
            site.close()


async def _serve_site(
    site: Site,
    storage: Storage,
    settings: Settings,
    folder: Path,
    announce: Callable[[Info], None],
    stop: asyncio.Event,
) -> None:
    tls, ca_certs = _certificate(settings, folder)
    server = SiteServer(site, storage, settings, tls, _print_request if settings.log else None)
    try:
        try:
            port = await server.bind()
            info = _info(site, settings, port, ca_certs)
            await server.start(info)
        except OSError as error:
            reason = error.strerror or error
            raise StartError(
                f"cannot listen on {settings.host}:{settings.port}: {reason}"
            ) from error
        # What lives now lives on; the collector need not look at it again.
        gc.collect()
        gc.freeze()
        announce(info)
        await stop.wait()
    finally:
        await server.stop()


@contextlib.contextmanager
def _folder(settings: Settings, alone: threading.Event) -> Generator[Path, None, None]:
    """Where files lie while the site runs.

    A folder that was given belongs to the parent, which removes it, unless it is gone (*alone*).
    """
    if settings.folder is None:
        with tempfile.TemporaryDirectory(prefix="sandbox-") as made:
            yield Path(made)
        return
    yield Path(settings.folder)
    if alone.is_set():
        shutil.rmtree(settings.folder, ignore_errors=True)


def _open_site(settings: Settings, folder: Path) -> tuple[Site, Storage]:
    database = settings.database
    try:
        new = database is None or not Path(database).exists() or not Path(database).stat().st_size
        site = Site(database, **settings.site)
        try:
            storage = _open_storage(site, settings, folder, new=new)
            if new:
                fill(site, settings)
        except BaseException:
            site.close()
            raise
    except (OSError, sqlite3.Error, sqlalchemy.exc.SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        raise StartError(f"cannot use the database {database}: {cause}") from error
    except (TypeError, ValueError) as error:
        raise StartError(f"cannot set up the site: {error}") from error
    return site, storage


def _open_storage(site: Site, settings: Settings, folder: Path, *, new: bool) -> Storage:
    """Opens the folder of the files, which lies beside the database if there is one."""
    database = settings.database
    storage = Storage(folder / "files" if database is None else Path(f"{database}.files"))
    if new:
        storage.clear()
    else:
        storage.sweep(site.read_files(lambda files: files.keys()))
    return storage


def _certificate(
    settings: Settings, folder: Path
) -> tuple[Optional[ssl.SSLContext], Optional[Path]]:
    if not settings.tls:
        return None, None
    from shotgun_executor.sandbox.tls import make_context

    return make_context(folder, settings.host)


def _print_request(request: Request) -> None:
    print(request, flush=True)  # noqa: T201  # what --log is for


def _info(site: Site, settings: Settings, port: int, ca_certs: Optional[Path]) -> Info:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return Info(
        url=f"{'https' if settings.tls else 'http'}://{host}:{port}",
        pid=os.getpid(),
        database=settings.database,
        ca_certs=None if ca_certs is None else str(ca_certs),
        script_name=site.script_name,
        api_key=site.api_key,
        login=site.login,
        password=site.password,
    )


@contextlib.contextmanager
def _stopping_on_signals(
    stop: asyncio.Event, *, ignore_interrupt: bool
) -> Generator[None, None, None]:
    """End cleanly on Ctrl-C and SIGTERM; a parent that gets the Ctrl-C too decides for us."""
    loop = asyncio.get_running_loop()

    def stop_soon(signum: int, frame: Optional[object]) -> None:
        loop.call_soon_threadsafe(stop.set)

    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN if ignore_interrupt else stop_soon)
    terminate = signal.signal(signal.SIGTERM, stop_soon)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


def _stop_with_parent(stop: asyncio.Event, alone: threading.Event) -> None:
    """End when the standard input does: the system closes it however the parent dies.

    A parent that ends the site, and not itself, says goodbye first; otherwise *alone* is set.
    """
    loop = asyncio.get_running_loop()

    def watch() -> None:
        last = b""
        while data := os.read(sys.stdin.fileno(), 4096):
            last = data
        if GOODBYE not in last:
            alone.set()
        try:
            loop.call_soon_threadsafe(stop.set)
        except RuntimeError:  # the loop is closed, and the process about to end
            return
        threading.Event().wait(_STOP_LIMIT)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
    _stop_without_parent(stop, alone, os.getppid())


def _stop_without_parent(stop: asyncio.Event, alone: threading.Event, parent: int) -> None:
    """End when the process has a new parent.

    A process that the parent has forked holds the other end of the standard input as well, and
    may live longer.
    """
    if os.getppid() != parent:
        alone.set()
        stop.set()
    else:
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, _stop_without_parent, stop, alone, parent)
