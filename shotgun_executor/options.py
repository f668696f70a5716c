"""An executor with other options: the same methods, the same workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union

from shotgun_executor.batching import MAX_BYTES, MAX_REQUESTS, MAX_WAIT
from shotgun_executor.bulk import BulkReads
from shotgun_executor.mirror import FutureMethods
from shotgun_executor.publishing import Publishing
from shotgun_executor.results import MapOutcomes, MapResults
from shotgun_executor.thumbnails import Thumbnails

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from shotgun_api3.shotgun import Shotgun
    from typing_extensions import Concatenate, ParamSpec

    from shotgun_executor.batching import Batching
    from shotgun_executor.call import Options
    from shotgun_executor.executor import ShotgunExecutor
    from shotgun_executor.future import Future
    from shotgun_executor.progress import PublishProgress

    P = ParamSpec("P")

__all__ = ["ExecutorView"]

T = TypeVar("T")


class ExecutorView(BulkReads, Thumbnails, FutureMethods):
    """What ``executor.options(...)`` returns: its calls have these options.

    It has the methods of the executor that submit calls: those of ``Shotgun``, :meth:`submit`,
    :meth:`call`, :meth:`map` and the bulk reads. It may be kept, and shared by threads.
    """

    def __init__(self, executor: ShotgunExecutor, options: Options) -> None:
        self._executor = executor
        self._options = options

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ``executor.submit``."""
        return self._executor._submit(fn, args, kwargs, self._options)

    def call(
        self,
        fn: Callable[Concatenate[Shotgun, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[T]:
        """As ``executor.call``."""
        return self._executor._submit_call(fn, args, kwargs, self._options)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
        progress: Union[bool, str] = False,
    ) -> MapResults[T]:
        """As ``executor.map``."""
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
        """As ``executor.map_outcomes``."""
        return MapOutcomes(
            *(self.submit, fn, iterables),
            timeout=timeout,
            buffersize=buffersize,
            ordered=ordered,
            progress=progress,
        )

    def _with_options(self) -> tuple[ShotgunExecutor, Options]:
        return self._executor, self._options

    def batching(
        self,
        *,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
        max_wait: float = MAX_WAIT,
    ) -> Batching:
        """As ``executor.batching``; a deadline counts from when a batch is complete."""
        return self._executor._batching(
            self._options, max_requests=max_requests, max_bytes=max_bytes, max_wait=max_wait
        )

    def batch_chunks(
        self,
        requests: Iterable[dict[str, Any]],
        chunk_size: int = MAX_REQUESTS,
        *,
        ordered: bool = True,
    ) -> MapOutcomes[Any]:
        """As ``executor.batch_chunks``."""
        return self._executor._batch_chunks(requests, chunk_size, self._options, ordered=ordered)

    def publishing(
        self,
        path: Union[str, os.PathLike[str], None] = None,
        *,
        resume: bool = False,
        repeat_unknown: bool = False,
        batch_writes: bool = False,
        progress: Union[bool, str, Callable[[PublishProgress], object]] = False,
    ) -> Publishing:
        """As ``executor.publishing``; a deadline is that of each step, from its call."""
        return Publishing(
            *(self._executor, self._options, path),
            resume=resume,
            repeat_unknown=repeat_unknown,
            batch_writes=batch_writes,
            progress=progress,
        )

    def _submit_method(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Future[Any]:
        return self._executor._submit_method(name, args, kwargs, self._options)

    def __getattr__(self, name: str) -> Any:
        """Methods that a subclass of ``Shotgun`` adds."""
        if not self._executor._has_method(name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return lambda *args, **kwargs: self._submit_method(name, args, kwargs)
