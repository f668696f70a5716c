"""The ways to submit calls that an executor has, with whatever options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union

from shotgun_executor.arguments import check_switch
from shotgun_executor.batching import MAX_BYTES, MAX_REQUESTS, MAX_WAIT
from shotgun_executor.mirror import check_function
from shotgun_executor.publishing import Publishing
from shotgun_executor.results import MapOutcomes, MapResults

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from shotgun_api3.shotgun import Shotgun
    from typing_extensions import Concatenate, ParamSpec

    from shotgun_executor.batching import Batching
    from shotgun_executor.call import Options
    from shotgun_executor.executor import ShotgunExecutor
    from shotgun_executor.future import Future
    from shotgun_executor.progress import PublishProgress

    P = ParamSpec("P")

__all__ = ["Submitting"]

T = TypeVar("T")


class Submitting:
    """Functions, many of them, and writes that are gathered: for who has an executor."""

    def _with_options(self) -> tuple[ShotgunExecutor, Options]:
        """The executor, and the options of the calls that are made through this, here and now."""
        raise NotImplementedError  # the business of whoever has it

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` on a worker.

        Within it, :attr:`~shotgun_executor.ShotgunExecutor.shotgun` uses the connection of that
        worker.

        Raises:
            RuntimeError: The executor was shut down.
            BrokenThreadPool: An initializer has failed.
        """
        check_function("submit", fn)
        executor, options = self._with_options()
        return executor._submit_function(fn, args, kwargs, options)

    def call(
        self,
        fn: Callable[Concatenate[Shotgun, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[T]:
        """Run ``fn(sg, *args, **kwargs)`` on a worker, where *sg* is the worker's own client.

        For several calls that belong together: they run one after the other on one connection.
        *sg* is theirs until *fn* returns; keep it no longer.
        """
        check_function("call", fn)
        executor, options = self._with_options()
        return executor._submit_call(fn, args, kwargs, options)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
        progress: Union[bool, str] = False,
    ) -> MapResults[T]:
        """The results of ``fn(*items)`` for the items of the iterables, in their order.

        As in the standard library of Python 3.14, on every Python.

        Args:
            fn: Called on a worker with one item of each iterable.
            *iterables: The items; the shortest one ends the map.
            timeout: Seconds from now until which all results must have been asked for and be
                there; else the iterator raises ``TimeoutError``.
            chunksize: Has no effect on threads.
            buffersize: How many calls may be submitted ahead of the results that were taken; the
                iterables are read no further. None submits all at once.
            progress: Show a bar that counts the calls that are done, if tqdm is installed; a text
                stands before it.

        Returns:
            An iterator, which cancels what has not started when it is closed, dropped, or ends by
            an error; also before the first result was asked for.
        """
        check_function("map", fn)
        return MapResults(
            *(self.submit, fn, iterables),
            timeout=timeout,
            buffersize=buffersize,
            progress=progress,
        )

    def map_outcomes(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        buffersize: Optional[int] = None,
        ordered: bool = True,
        progress: Union[bool, str] = False,
    ) -> MapOutcomes[T]:
        """As :meth:`map`, but with an outcome for each item instead of the first exception.

        ::

            for outcome in executor.map_outcomes(publish, rows):
                print(outcome.args, outcome.result if outcome.ok else outcome.error)

        Args:
            fn: Called on a worker with one item of each iterable.
            *iterables: The items; the shortest one ends the map.
            timeout: As in :meth:`map`.
            buffersize: As in :meth:`map`.
            ordered: In the order of the input; else as they are done, so that one slow item
                holds up none.
            progress: As in :meth:`map`.

        Returns:
            An iterator over an :class:`~shotgun_executor.results.Outcome` for each item.
        """
        check_function("map_outcomes", fn)
        check_switch("map_outcomes", "ordered", ordered)
        return MapOutcomes(
            *(self.submit, fn, iterables),
            timeout=timeout,
            buffersize=buffersize,
            ordered=ordered,
            progress=progress,
        )

    def batching(
        self,
        *,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
        max_wait: float = MAX_WAIT,
    ) -> Batching:
        """Gather ``create``, ``update`` and ``delete`` calls into batches.

        ::

            with executor.batching() as batch:
                for shot in shots:
                    batch.update("Shot", shot["id"], {"sg_status_list": "fin"})

        Args:
            max_requests: How many requests a batch holds at most. The site carries out a batch as
                one transaction, and holds up others meanwhile: some hundreds at most.
            max_bytes: How many bytes a batch holds at most, unless it is one request.
            max_wait: Seconds that the first request of a batch waits for others. A deadline of
                :meth:`~shotgun_executor.ShotgunExecutor.options` counts from when a batch is
                complete.

        Returns:
            A :class:`~shotgun_executor.batching.Batching`, for a ``with`` block. Any thread may use
            it.

        Raises:
            RuntimeError: The executor was shut down.
        """
        executor, options = self._with_options()
        return executor._batching(
            options, max_requests=max_requests, max_bytes=max_bytes, max_wait=max_wait
        )

    def batch_chunks(
        self,
        requests: Iterable[dict[str, Any]],
        chunk_size: int = MAX_REQUESTS,
        *,
        ordered: bool = True,
    ) -> MapOutcomes[Any]:
        """The outcome of each of many requests, as ``Shotgun.batch`` takes them.

        They are sent in parallel as batches of *chunk_size*. What the site refuses as a whole is
        sent in parts until the requests that it refuses are found; the others are carried out.
        Requests on one entity are carried out in their order.

        ::

            for outcome in executor.batch_chunks(requests):
                if not outcome.ok:
                    print(outcome.args[0], outcome.error)

        Args:
            requests: Read to its end at once. Futures within them are waited for.
            chunk_size: How many requests are one transaction.
            ordered: In the order of the input; else as they are done.

        Returns:
            An iterator over an :class:`~shotgun_executor.Outcome` for each request, whose ``args``
            are the request. Closing it cancels what was not sent.

        Raises:
            TypeError: A request is no dict.
        """
        check_switch("batch_chunks", "ordered", ordered)
        executor, options = self._with_options()
        return executor._batch_chunks(requests, chunk_size, options, ordered=ordered)

    def publishing(
        self,
        path: Union[str, os.PathLike[str], None] = None,
        *,
        resume: bool = False,
        repeat_unknown: bool = False,
        batch_writes: bool = False,
        progress: Union[bool, str, Callable[[PublishProgress], object]] = False,
    ) -> Publishing:
        """Publish items in steps that build on each other, with a report to go on from.

        ::

            with executor.publishing("report.json", resume=True) as publishing:
                for row in rows:
                    item = publishing.item(row.shot)
                    version = item.create("Version", {"code": row.code, "project": project})
                    item.upload("Version", version, row.movie, field_name="sg_uploaded_movie")
                    item.upload_thumbnail("Version", version, row.thumbnail)
            for item in publishing.report:
                print(item)

        Args:
            path: Where the report is kept, a line of JSON for each step; None keeps none. In a dry
                run nothing is written there.
            resume: Go on from the report that is there, if there is one: what is done is not made
                again.
            repeat_unknown: Make steps of the earlier run again of which nobody knows whether the
                site has carried them out. They may then be there twice.
            batch_writes: Gather ``create``, ``update`` and ``delete`` steps into batches, as
                :meth:`batching` does.
            progress: Show a bar of the bytes that are uploaded, if tqdm is installed; a text stands
                before it. A function is called with a :class:`~shotgun_executor.PublishProgress`
                instead, always the newest, on a thread of its own: it may take its time, and wait
                for calls of the executor. The end of the block waits until it was told the last
                one, for ten seconds at most. If it raises, that is logged, and it is not called
                any more.

        Returns:
            A :class:`~shotgun_executor.publishing.Publishing`, for a ``with`` block. A deadline of
            :meth:`~shotgun_executor.ShotgunExecutor.options` is that of each step, from its call.

        Raises:
            RuntimeError: The executor was shut down.
            FileExistsError: There is a report, and *resume* was not asked for.
            ValueError: The file is no report, or that of another site.
            BlockingIOError: At the ``with``: another program is using the report.
        """
        check_switch("publishing", "resume", resume)
        check_switch("publishing", "repeat_unknown", repeat_unknown)
        check_switch("publishing", "batch_writes", batch_writes)
        return Publishing(
            *(*self._with_options(), path),
            resume=resume,
            repeat_unknown=repeat_unknown,
            batch_writes=batch_writes,
            progress=progress,
        )
