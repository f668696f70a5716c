"""An executor with other options: the same methods, the same workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from shotgun_executor.bulk import BulkReads
from shotgun_executor.inherited import inherited
from shotgun_executor.mirror import FutureMethods
from shotgun_executor.submitting import Submitting
from shotgun_executor.thumbnails import Thumbnails

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import ParamSpec

    from shotgun_executor.call import Options
    from shotgun_executor.executor import ShotgunExecutor
    from shotgun_executor.future import Future

    P = ParamSpec("P")

__all__ = ["ExecutorView"]

T = TypeVar("T")


class ExecutorView(Submitting, BulkReads, Thumbnails, FutureMethods):
    """What ``executor.options(...)`` returns: its calls have these options.

    It has the methods of the executor that submit calls: those of ``Shotgun``, :meth:`submit`,
    :meth:`call`, :meth:`map` and the bulk reads. It may be kept, and shared by threads.

    Within a function that is submitted through it, its ``timeout`` and ``retries`` hold for the
    calls of the same executor, those of the facade among them, unless these are made through
    options that say otherwise. A priority and a deadline are those of the function as a whole.
    """

    def __init__(self, executor: ShotgunExecutor, options: Options) -> None:
        self._executor = executor
        self._options = options

    def _with_options(self) -> tuple[ShotgunExecutor, Options]:
        return self._executor, inherited(self._executor._scope, self._options)

    def _submit_method(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Future[Any]:
        return self._executor._submit_method(name, args, kwargs, self._options)

    def __getattr__(self, name: str) -> Any:
        """Methods that a subclass of ``Shotgun`` adds."""
        if not self._executor._has_method(name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return lambda *args, **kwargs: self._submit_method(name, args, kwargs)
