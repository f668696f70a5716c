"""Publishes: steps that build on each other, a report of them, and going on from that report."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union, cast

from shotgun_api3.shotgun import Shotgun, ShotgunError

from shotgun_executor.arguments import check_path
from shotgun_executor.batching import BATCHED
from shotgun_executor.closing import end_block, wait_for_outcomes
from shotgun_executor.future import Future
from shotgun_executor.items import Item
from shotgun_executor.journal import Journal, Line, read_journal
from shotgun_executor.mirror import check_shapes
from shotgun_executor.plain import copy_plain
from shotgun_executor.progress import Progress, PublishProgress
from shotgun_executor.report import FINISHED, ItemReport, PublishReport, StepReport
from shotgun_executor.steps import (
    Step,
    arguments_of,
    digest_of,
    finished,
    hint_of,
    kind_of,
    name_of,
    refused,
    size_of,
)

if TYPE_CHECKING:
    import concurrent.futures
    import os
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from shotgun_executor.call import Options
    from shotgun_executor.executor import ShotgunExecutor

__all__ = ["Publishing"]

Place = tuple[str, str]
"""A step: the key of its item, and its name."""


class Publishing:
    """A publish: items, each of which has steps; from ``executor.publishing(...)``.

    Guarantees:

    * A step of an earlier run that is done is not made again, as long as its arguments are the
      same; its future has the result that was kept.
    * A step of which nobody knows whether the site has carried it out is not made again unless it
      is asked for. It was written down as begun before it was sent, so that this holds also when
      the program was killed.
    * What has ended is in the file before the block is left, and what has ended before a kill too.
    * One program at a time uses the file; the ``with`` of another one raises ``BlockingIOError``
      before anything is sent.

    At the end of the block all steps are waited for. After an exception in the block only those
    that run are, and the rest is cancelled. Errors of the steps are in their futures and in the
    :attr:`report`, and are not raised by the block.
    """

    def __init__(
        self,
        executor: ShotgunExecutor,
        options: Options,
        path: Union[str, os.PathLike[str], None] = None,
        *,
        resume: bool = False,
        repeat_unknown: bool = False,
        batch_writes: bool = False,
        progress: Union[bool, str, Callable[[PublishProgress], object]] = False,
    ) -> None:
        """Use ``executor.publishing(...)``."""
        executor._dispatch.check_open()
        self._executor = executor
        self._options = options
        self._repeat_unknown = repeat_unknown
        self._resume = resume
        prototype = executor._prototype
        self._site = None if prototype.must_ask_factory else prototype.host
        if path is not None:
            check_path("publishing", "path", path)
        self._path = None if path is None else Path(path)
        self._journal: Optional[Journal] = None
        if self._path is not None and prototype.plan is None:
            self._journal = Journal(self._path, self._site)
        self._batching = executor._batching(options) if batch_writes else None
        self._progress = Progress(progress)
        # The state. Guarded by the lock, which is re-entrant since callbacks of futures that are
        # cancelled come here. Under it lines are put in order, and steps are counted; lines are
        # written, and progress is told, without it.
        self._lock = threading.RLock()
        self._items: dict[str, Item] = {}
        self._reports: dict[Place, StepReport] = {}  # what the file is to hold
        self._earlier = self._earlier_steps()
        self._done_before: set[str] = set()  # the items of which steps are done already
        self._steps: dict[Place, Step] = {}  # that this run has been asked for
        self._by_future: dict[concurrent.futures.Future[Any], Step] = {}
        self._open: dict[Step, None] = {}  # without an outcome
        self._begun = False
        self._closed = False
        self._left = False  # the end of the block did not wait for all

    def _earlier_steps(self) -> dict[Place, StepReport]:
        """What an earlier run has done, by the file that is there."""
        path = self._path
        if path is None:
            if self._resume:
                raise ValueError("publishing: resume needs the path of the earlier report")
            return {}
        if path.exists():
            if not self._resume:
                raise FileExistsError(
                    f"publishing: {path} is there already: go on from it with resume=True, or "
                    f"choose another path"
                )
            return read_journal(path, self._site)
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(f"publishing: the folder of {path} does not exist")
        return {}

    def item(self, key: str) -> Item:
        """A new item, whose steps are made by its methods.

        Args:
            key: What it is called in the report; the same in each run.

        Raises:
            TypeError: The key is no text.
            ValueError: There is such an item already.
            RuntimeError: It is not within the ``with`` block.
        """
        if not isinstance(cast("object", key), str):
            raise TypeError(f"item: the key must be a text such as the name of a shot, not {key!r}")
        with self._lock:
            self._refuse_unless_open()
            if key in self._items:
                raise ValueError(f"item: there is an item {key!r} already; keys must be unique")
            item = self._items[key] = Item(self, key)
        return item

    @property
    def report(self) -> PublishReport:
        """What became of the items of this run so far; at any time, from any thread."""
        with self._lock:
            items = {key: ItemReport(key) for key in self._items}
            for (key, name), step in self._steps.items():
                items[key].steps[name] = step.report
        return PublishReport(items)

    def _refuse_unless_open(self) -> None:
        if self._closed:
            raise RuntimeError("this publish is over: its `with` block was left")
        if not self._begun:
            raise RuntimeError("use `with executor.publishing(...) as publishing:`")

    # Steps

    def accept(
        self,
        item: Item,
        given: Optional[str],
        method: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Future[Any]:
        """Accept a step of *item*; *given* is its name, if the user has said."""
        prototype = self._executor._prototype
        cls = Shotgun if prototype.must_ask_factory else prototype.client_class
        arguments_of(method, args, kwargs, cls)
        if not prototype.must_ask_factory:
            check_shapes(cls, method, args, kwargs)
        needs: list[concurrent.futures.Future[Any]] = []
        args, kwargs = copy_plain(args, needs), copy_plain(kwargs, needs)
        arguments = arguments_of(method, args, kwargs, cls)
        step: Optional[Step] = None
        if item.key in self._done_before:  # whether it is the same call depends on them
            calls = [need for need in needs if isinstance(need, Future)]
            wait_for_outcomes(call for call in calls if call not in self._by_future)
        try:
            with self._lock:
                self._refuse_unless_open()
                step = self._step(item, given, method, arguments, needs)
                resumed = self._resumed(item, step)
                if resumed is None:
                    self._reports[_place(step)] = step.report
                    self._steps[_place(step)] = step
                    self._open[step] = None  # from here on the file is not complete without it
                    self._progress.added(item.key, step.report.size or 0)
                else:
                    self._progress.added(item.key, 0)
                    self._progress.ended(item.key)
            if resumed is not None:
                self._flush()
                return resumed
            step.future = future = self._submit(step, args, kwargs, needs)
        except BaseException:  # refused, or Ctrl-C at any point in between
            if step is not None:
                self._take_back(item, step)
            raise
        with self._lock:
            self._by_future[future] = step
        future.add_done_callback(lambda _: self._ended(step))
        return future

    def _take_back(self, item: Item, step: Step) -> None:
        """*step* was not accepted after all."""
        with self._lock:
            if step.over or step.future is not None:
                return
            step.over = True  # a call that was submitted all the same sends nothing
            if step.since is None:
                self._steps.pop(_place(step), None)
                self._restore(_place(step), self._earlier.get(_place(step)))
                item.forget(step.report.name)
            self._progress.removed(item.key, step.report.size or 0)
            last = self._is_last(step)
        if last:
            self._finish_if_over()

    def _step(
        self,
        item: Item,
        given: Optional[str],
        method: str,
        arguments: Mapping[str, Any],
        needs: Sequence[concurrent.futures.Future[Any]],
    ) -> Step:
        kind = kind_of(arguments, self._by_future.get)
        name = item.name(given, name_of(method, kind, arguments))
        report = StepReport(
            *(item.key, name, method),
            size=size_of(method, arguments),
            digest=digest_of(method, arguments, self._reference),
        )
        known = [self._by_future[need] for need in needs if need in self._by_future]
        step = Step(report, kind, known, began=self._began, tell=self._progress.sent)
        if len(known) < len(needs):
            step.arguments = arguments
        return step

    def _reference(self, future: concurrent.futures.Future[Any]) -> Optional[str]:
        """What stands for *future* in a digest: the step that it is of."""
        step = self._by_future.get(future)
        return f"{step.report.item}: {step.report.name}" if step else None

    def _resumed(self, item: Item, step: Step) -> Optional[Future[Any]]:
        """A future that is done, if an earlier run, or the user, decides what becomes of *step*."""
        report = step.report
        earlier = self._earlier.get(_place(step))
        if earlier is None or report.name in item.repeated:
            return None
        if report.name in item.settled:
            earlier = finished(report, step.kind, item.settled[report.name])
            self._keep(earlier)
        if earlier.state in FINISHED:
            if any(need in self._open or need.over for need in step.needs):
                return None  # what it was made of is made again
            same = earlier.digest == report.digest and earlier.method == report.method
            other_file = report.size is not None and earlier.size not in (None, report.size)
            state = "done" if same and not other_file else "changed"
            return self._decided(step, earlier, state)
        if earlier.state == "unknown" and (earlier.made or not self._repeat_unknown):
            return self._decided(step, earlier, earlier.state)
        return None

    def _decided(self, step: Step, earlier: StepReport, state: str) -> Future[Any]:
        """A future with what is known of *step* from an earlier run; the file keeps that."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        step.future = future
        step.report = dataclasses.replace(earlier, state=state, resumed=state == "done")
        if state == "done":
            future.set_result(copy_plain(earlier.result))
        else:
            error = refused(step.report)
            step.report = dataclasses.replace(
                step.report, error=type(error).__name__, message=str(error)
            )
            future.set_exception(error)
        place = (earlier.item, earlier.name)
        self._reports[place], self._steps[place] = earlier, step
        self._by_future[future] = step
        return future

    def _submit(
        self,
        step: Step,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        needs: Sequence[concurrent.futures.Future[Any]],
    ) -> Future[Any]:
        method = step.report.method
        if self._batching is not None and method in BATCHED:
            return self._batching.submit_method(method, args, kwargs, before=step.begin_in_batch)
        return self._executor._submit_attempts(
            step.make, method, args, kwargs, needs, self._options
        )

    def _restore(self, place: Place, report: Optional[StepReport]) -> None:
        if report is None:
            self._reports.pop(place, None)
        else:
            self._reports[place] = report

    # What happens to them

    def _began(self, step: Step, arguments: Mapping[str, Any]) -> None:
        """*step* is about to be sent: say so in the file, before it is."""
        hint = hint_of(step.report.method, arguments)
        size = size_of(step.report.method, arguments)
        with self._lock:
            if step.over:  # its deadline, for one; what is in the report is not made after all
                raise ShotgunError("it was not sent: it is over")
            if step.since is not None:
                return  # it is made again
            more = (size or 0) - (step.report.size or 0)
            step.report = dataclasses.replace(step.report, state="running", message=hint, size=size)
            if step.arguments is not None:
                digest = digest_of(step.report.method, step.arguments, self._reference)
                step.report = dataclasses.replace(step.report, digest=digest)
                step.arguments = None
            step.since = time.monotonic()
            line = self._keep(step.report)
            self._progress.grew(more)
        self._flush()
        if line is not None and line.error is not None:
            step.since = None
            # Not as an error of the system: the site has nothing to do with it.
            text = f"it was not sent: the report fails: {line.error}"
            raise ShotgunError(text) from line.error

    def _ended(self, step: Step) -> None:
        """*step* has its outcome: keep it. Once; who comes second finds it kept."""
        with self._lock:
            if step.over:
                return
            step.over = True
            step.report = step.with_outcome()
            self._keep(step.report)
            self._progress.ended(step.report.item)
            last = self._is_last(step)
        self._flush()
        if last:
            self._finish_if_over()

    def _is_last(self, step: Step) -> bool:
        """*step* is open no more: whether it was the last one that the block did not wait for."""
        self._open.pop(step, None)
        return self._left and not self._open

    def _keep(self, report: StepReport) -> Optional[Line]:
        """Remember *report*, for the file too; under the lock.

        If the line cannot be written, the end of the block tries again.
        """
        self._reports[report.item, report.name] = report
        return None if self._journal is None else self._journal.add(report)

    def _flush(self) -> None:
        """Write what is to be kept; without the lock."""
        if self._journal is not None:
            self._journal.flush()

    # The end

    def __enter__(self) -> Self:
        with self._lock:
            if self._begun:
                raise RuntimeError("this publish was begun already: make another one")
            if self._journal is not None:
                self._earlier = self._start(self._journal)
            self._reports.update(self._earlier)
            self._done_before = _finished(self._earlier)
            self._begun = True
            self._progress.begin()
        return self

    def _start(self, journal: Journal) -> dict[Place, StepReport]:
        """Begin the file: what an earlier run has done, which may have ended only now."""
        journal.lock()
        try:
            earlier = self._earlier_steps()
            journal.start(earlier.values())
        except BaseException:
            journal.unlock()
            raise
        return earlier

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Wait for all steps, after an exception for those that run; then the file is complete."""
        with self._lock:
            self._closed = True
        try:
            end_block(
                kind is not None,
                hurry=self._hurry,
                cancel=self._cancel_waiting,
                wait=self._wait,
            )
        finally:
            try:
                self._finish_if_over()
            finally:
                self._progress.close()

    def _hurry(self) -> None:
        """Send what was gathered."""
        if self._batching is not None:
            self._batching.hurry()

    def _cancel_waiting(self) -> None:
        """Cancel what has not started."""
        for step in reversed(list(self._open)):  # so that none starts in place of another
            if step.future is not None:
                step.future.cancel()

    def _wait(self) -> None:
        for step in list(self._open):
            if step.future is not None:
                wait_for_outcomes([step.future])
                self._ended(step)

    def _finish_if_over(self) -> None:
        """Complete the file, unless Ctrl-C has ended the wait: then the last step does."""
        with self._lock:
            self._left = bool(self._open)
            if self._left or self._journal is None:
                return
            reports = list(self._reports.values())
        self._journal.finish(reports)

    def __repr__(self) -> str:
        with self._lock:
            return f"<Publishing: {len(self._items)} items, {len(self._open)} steps to be done>"


def _finished(reports: Mapping[Place, StepReport]) -> set[str]:
    """The keys of the items that have a step which is finished."""
    return {key for (key, _), report in reports.items() if report.state in FINISHED}


def _place(step: Step) -> Place:
    return step.report.item, step.report.name
