"""``shotgun-executor export``: entity types as JSON Lines, a file for each."""

from __future__ import annotations

import concurrent.futures
import datetime
import math
import os
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Optional
from urllib.parse import urlsplit

from shotgun_executor.commands.export_folder import ExportFolder, whole_part
from shotgun_executor.commands.export_plan import (
    Plan,
    TypePlan,
    asked_of,
    make_plan,
    parse_filters,
)
from shotgun_executor.commands.site import open_executor, page_size
from shotgun_executor.commands.terminal import Progress, Refused, say
from shotgun_executor.commands.texts import line_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from shotgun_executor.executor import ShotgunExecutor

__all__ = ["export"]

_FLUSHED = 500
"""Rows after which what was read is handed to the system, and counted."""


def export(options: argparse.Namespace) -> int:
    """Export entity types to a folder.

    Returns:
        0, or 1 if some entity types could not be read to the end.

    Raises:
        Refused: The command line is wrong.
    """
    if bool(options.types) == options.all:
        raise Refused("name the entity types to export, or give --all for each that the site has")
    if options.without and not options.all:
        raise Refused("--except goes with --all; leave it out, or the types that you do not want")
    filters = parse_filters(options.filters)
    path = Path(options.out)
    with open_executor(options) as executor:
        asked = asked_of(options, filters, _address(executor.base_url))
        folder = ExportFolder(path, asked, restart=options.restart)
        plan = make_plan(executor, options, filters)
        with folder.locked():
            return _Export(executor, folder, plan, path, options).run()


def _address(url: str) -> str:
    """A URL without a password in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


class Outcome(NamedTuple):
    """What has become of an entity type."""

    entity_type: str
    rows: int
    """In its file."""
    new: int
    """Of them, those that were read by this run."""
    error: Optional[BaseException] = None


class _Export:
    """The run of an export: some entity types at a time, each on a thread of its own.

    The pages of all types together that may be under way are limited, and with them the memory: a
    type with many pages reads as many at a time as there are workers, one with a single page one.
    """

    def __init__(
        self,
        executor: ShotgunExecutor,
        folder: ExportFolder,
        plan: Plan,
        path: Path,
        options: argparse.Namespace,
    ) -> None:
        self._executor = executor
        self._folder = folder
        self._plan = plan
        self._path = path
        self._workers: int = options.workers
        self._quiet: bool = options.quiet
        self._page_size = page_size(executor)
        self._stopped = threading.Event()
        # Pages that may be under way, of all types. Guarded by _room.
        self._pages = 2 * self._workers
        self._room = threading.Condition()

    def run(self) -> int:
        """Export what is not there yet, and say how it went."""
        self._folder.write_json("schema.json", self._plan.schema)
        self._folder.write_json("schema_entities.json", self._plan.entities)
        if self._folder.resumed:
            say(f"Going on with the export in {self._path}.")
        began = time.monotonic()
        total = sum(each.expected or 0 for each in self._plan.types)
        with Progress("rows", total, shown=not self._quiet) as progress:
            try:
                outcomes = self._export_all(progress)
            except KeyboardInterrupt:
                say(f"Interrupted. What was read is in {self._path}; the same command goes on.")
                raise
        return self._summary(outcomes, time.monotonic() - began)

    def _export_all(self, progress: Progress) -> list[Outcome]:
        threads = concurrent.futures.ThreadPoolExecutor(2 * self._workers, "export")
        futures = [threads.submit(self._export_type, each, progress) for each in self._plan.types]
        try:
            _wait_for_all(futures)
        except BaseException:
            self._stop()
            raise
        finally:
            threads.shutdown(wait=True)
        return [future.result() for future in futures]

    def _stop(self) -> None:
        """Have the threads end: they wait for pages, or for room."""
        self._stopped.set()
        with self._room:
            self._room.notify_all()
        self._executor.shutdown(1.0, cancel_futures=True)

    # On a thread of the type.

    def _export_type(self, plan: TypePlan, progress: Progress) -> Outcome:
        state = self._folder.state(plan.entity_type)
        if self._folder.is_complete(plan.entity_type):
            progress.add(state["rows"])
            return Outcome(plan.entity_type, state["rows"], 0)
        ahead = self._workers
        if plan.expected is not None:
            ahead = min(ahead, max(1, math.ceil(plan.expected / self._page_size)))
        if not self._begin(ahead):
            return Outcome(plan.entity_type, 0, 0)
        try:
            outcome = self._read(plan, state.get("fields", plan.fields), ahead, progress)
        except Exception as error:
            outcome = Outcome(plan.entity_type, 0, 0, error)
        finally:
            self._end(ahead)
        if not self._stopped.is_set():
            progress.say(_line(outcome))
        return outcome

    def _begin(self, pages: int) -> bool:
        """Wait until so many more pages may be under way; False: the export was stopped."""
        with self._room:
            self._room.wait_for(lambda: self._pages >= pages or self._stopped.is_set())
            self._pages -= pages
            return not self._stopped.is_set()

    def _end(self, pages: int) -> None:
        with self._room:
            self._pages += pages
            self._room.notify_all()

    def _read(self, plan: TypePlan, fields: list[str], ahead: int, progress: Progress) -> Outcome:
        """Read what is not in the file of the type."""
        name = plan.entity_type
        path = self._folder.file_of(name)
        whole = whole_part(path)
        progress.add(whole.rows)
        self._folder.note(
            name, fields=fields, counted=plan.expected, complete=False, rows=whole.rows
        )
        path.touch()
        with path.open("r+b") as file:
            file.truncate(whole.size)
            file.seek(whole.size)
            new, last_id = self._append(file, plan, fields, ahead, whole.last_id, progress)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        rows = whole.rows + new
        if not self._stopped.is_set():
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            self._folder.note(
                name, rows=rows, last_id=last_id, bytes=size, complete=True, ended=now
            )
        return Outcome(name, rows, new)

    def _append(
        self,
        file: IO[bytes],
        plan: TypePlan,
        fields: list[str],
        ahead: int,
        last_id: Optional[int],
        progress: Progress,
    ) -> tuple[int, Optional[int]]:
        """Write the rows after one; how many there were, and the id of the last."""
        found = self._executor.find_iter(
            plan.entity_type, plan.filters, fields, ahead=ahead, after_id=last_id
        )
        with found:
            new = self._write_rows(found, file, progress)
        return new, found.last_id

    def _write_rows(self, found: Iterable[Any], file: IO[bytes], progress: Progress) -> int:
        new = 0
        for record in found:
            file.write(line_of(record))
            new += 1
            if new % _FLUSHED == 0:
                file.flush()
                progress.add(_FLUSHED)
                if self._stopped.is_set():
                    break
        progress.add(new % _FLUSHED)
        return new

    # At the end.

    def _summary(self, outcomes: list[Outcome], seconds: float) -> int:
        failed = [each for each in outcomes if each.error is not None]
        rows, new = sum(each.rows for each in outcomes), sum(each.new for each in outcomes)
        whole = len(outcomes) - len(failed)
        say(
            f"{whole} of {len(outcomes)} entity types are complete in {self._path}: {rows:,} rows, "
            f"{new:,} of them read now, in {seconds:.1f} s."
        )
        if failed:
            names = ", ".join(each.entity_type for each in failed)
            say(f"Not complete: {names}. The same command goes on with these.")
        elif not new and self._folder.resumed:
            say("There was nothing left to read; --restart reads it all again.")
        return 1 if failed else 0


def _wait_for_all(futures: Iterable[concurrent.futures.Future[Outcome]]) -> None:
    left = set(futures)
    while left:  # with a limit, so that Ctrl-C gets through on each system
        left = concurrent.futures.wait(left, 0.5).not_done


def _line(outcome: Outcome) -> str:
    if outcome.error is not None:
        error = outcome.error
        return f"{outcome.entity_type}: failed: {type(error).__name__}: {error}"
    before = outcome.rows - outcome.new
    there = f", {before:,} of them were there" if before else ""
    return f"{outcome.entity_type}: {outcome.rows:,} rows{there}"
