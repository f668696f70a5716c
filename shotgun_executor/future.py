"""The future of a call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from shotgun_executor.signals import in_interrupted_wait
from shotgun_executor.telling import tell_rest

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

    from shotgun_executor.call import Call
    from shotgun_executor.dispatch import Dispatch

__all__ = ["Future"]

T = TypeVar("T")


class Future(concurrent.futures.Future[T]):
    """A ``concurrent.futures.Future`` that may be awaited, waited for on a worker, and passed on.

    * It may be an argument of a later call, which then waits for it without a worker.
    * ``await`` gives its result; cancelling the task cancels what has not started.
    * A worker that waits for a call which has not started runs it itself.
    * Cancelling notifies at once. The standard library tells those who wait (``wait``,
      ``as_completed``) only when a worker comes by, which after a shutdown is never.
    """

    # Defaults of the class, as there may be a million futures.
    # The call that resolves this future, until it has.
    _call: Optional[Call] = None
    # It was cancelled after it had run, when the standard library can no longer cancel.
    _cancelled_late = False
    _traceback: Optional[TracebackType] = None  # of the error, where it was caught
    # What a callback has raised, and on which thread.
    _caught: Optional[tuple[int, BaseException]] = None

    def result(self, timeout: Optional[float] = None) -> T:
        """What the call returns; waits for it.

        Args:
            timeout: Seconds to wait; a call that the waiting worker runs itself is not cut off.

        Raises:
            TimeoutError: It is not there in time.
            CancelledError: The call was cancelled.
            DeadlockError: The call waits for the one that waits here.
        """
        try:
            return super().result(self._help(timeout))
        except BaseException as error:
            if self._cancelled_late and isinstance(error, concurrent.futures.CancelledError):
                raise concurrent.futures.CancelledError from None  # not the one that is kept
            if super().cancelled() or not self.done() or super().exception() is not error:
                raise  # it is of the waiting: a time-out, Ctrl-C
            # As it was: else each call of result() would add to the traceback.
            raise error.with_traceback(self._traceback)  # noqa: B904  # the very one
        finally:
            del self  # the traceback holds this frame

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """What the call raised, or None; waits as :meth:`result` does."""
        error = super().exception(self._help(timeout))
        if error is not None and self._cancelled_late:
            raise concurrent.futures.CancelledError
        return error

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """As in the standard library, but no callback keeps the others from being called.

        If it raises SystemExit or the like, that is raised when all were called, where the future
        was resolved.
        """
        if getattr(fn, "__module__", None) == "asyncio.tasks":  # of asyncio.wait, which would hang
            raise TypeError(
                "asyncio.wait() takes futures of asyncio only: wrap this one by "
                "asyncio.wrap_future(), or use asyncio.gather(), wait_for() or as_completed()"
            )
        super().add_done_callback(functools.partial(_call_back, fn))
        self._raise_caught()

    def set_result(self, result: T) -> None:
        """As in the standard library; for the worker."""
        super().set_result(result)
        if self._caught is not None:
            self._raise_caught()

    def set_exception(self, exception: Optional[BaseException]) -> None:
        """As in the standard library; for the worker."""
        if exception is not None:
            self._traceback = exception.__traceback__
        super().set_exception(exception)
        self._raise_caught()

    def _raise_caught(self) -> None:
        """Raise what a callback has raised on this thread, if any has."""
        caught = self._caught
        if caught is not None and caught[0] == threading.get_ident():
            self._caught = None
            raise caught[1]

    def cancel(self, *, abort: bool = False) -> bool:
        """Cancel the call unless it runs or has run; as in the standard library.

        A call that waits to be made again is cancelled as well, and so is a ``find`` that waits
        for its pages.

        Args:
            abort: If the call runs and is known to only read, end it where it is: its connection is
                closed. The future is cancelled then as soon as the worker has noticed. A call that
                writes is never torn.

        Returns:
            True if the future is cancelled now, or is about to be, unless its result comes first.
            A signal handler that came in the middle of a wait only ever has it cancelled soon, by
            another thread.
        """
        if self._cancelled_late:
            return True
        call = self._call
        if call is not None:
            call.dispatch.check_process()
            if in_interrupted_wait():
                torn = self.running() and call.runs and not (abort and call.only_reads)
                late = self.done() or torn
                return self.cancelled() if late else self._cancel_elsewhere(call.dispatch, abort)
        if call is None:
            cancelled = super().cancel()
        else:
            cancelled = call.dispatch.while_resolving(self._cancel_unstarted, call)
        if not cancelled:
            return call is not None and self._cancel_started(call, abort=abort)
        self._raise_caught()
        return True

    def _cancel_unstarted(self, call: Call) -> bool:
        if not super().cancel():
            return False
        try:
            if call.dispatch.withdraw(call):
                call.notify_cancelled()
        except BaseException:  # Ctrl-C: nobody else would notify what we have withdrawn
            if call.taker == threading.get_ident():
                with contextlib.suppress(RuntimeError):  # it was notified just before
                    call.notify_cancelled()
            call.dispatch.recount()
            raise
        return True

    def _cancel_elsewhere(self, dispatch: Dispatch, abort: bool) -> bool:
        """Have it cancelled by another thread: this is a signal handler in the middle of a wait.

        Its main thread may be about to wait for this very future, so that nobody would wake it.
        """
        try:
            dispatch.alarm.after(0, functools.partial(self.cancel, abort=abort), apart=True)
        except RuntimeError:  # no thread can be had, or all is over
            return False
        return True

    @staticmethod
    def _cancel_started(call: Call, *, abort: bool) -> bool:
        parts = call.parts
        if call.dispatch.cancel_repeat(call):
            if parts is not None and abort:
                parts.stop(abort=True)
            return True
        return abort and call.dispatch.abort_read(call)

    def cancelled(self) -> bool:
        """Whether the call was cancelled."""
        return self._cancelled_late or super().cancelled()

    def cancel_soon(self) -> None:
        """Cancel the call before a worker would take it. For destructors: it takes no lock."""
        call = self._call
        if call is not None:
            call.dispatch.cancel_soon(self)

    @property
    def helper(self) -> Optional[Dispatch]:
        """What can help it along on the current thread; None if that is no worker of it."""
        call = self._call
        return None if call is None or not call.dispatch.on_worker else call.dispatch

    @property
    def carried_by(self) -> Optional[Future[Any]]:
        """The future of the call that resolves this one; None if that was not submitted yet."""
        return self

    def nudge(self) -> None:
        """A worker waits for it and others: have it submitted, if it is being gathered."""

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()

    def _help(self, timeout: Optional[float]) -> Optional[float]:
        """Before a worker blocks here: do what it waits for, if nobody else does. What is left."""
        call = self._call
        if call is None:
            return timeout
        dispatch = call.dispatch
        dispatch.check_process()
        if not dispatch.on_worker:
            if call.waits_for_futures:
                dispatch.look_behind([self])
            tell_rest()
            return timeout
        if timeout is None:
            dispatch.help(self, None)
            return None
        deadline = time.monotonic() + timeout
        dispatch.help(self, deadline)
        return max(0.0, deadline - time.monotonic())


def _call_back(function: Callable[[Any], object], future: Any) -> None:
    """Call *function*, a callback of *future*; what the standard library does not catch is kept."""
    try:
        function(future)
    except Exception:
        raise  # it is logged
    except BaseException as error:
        future._caught = threading.get_ident(), error
