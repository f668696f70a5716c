"""What a worker does before it blocks on a future: run the call if nobody else does.

So waiting within calls never locks up, whatever the number of workers, unless calls wait for each
other in a circle, which is refused.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from typing import TYPE_CHECKING, Any, Optional

from shotgun_executor.call import DELAYED, TAKEN, Call, End, State
from shotgun_executor.errors import DeadlockError
from shotgun_executor.opening import Aborted
from shotgun_executor.telling import tell_rest

if TYPE_CHECKING:
    from shotgun_executor.aside import Aside
    from shotgun_executor.future import Future

__all__ = ["help_along"]


def help_along(dispatch: Aside, mine: Call, future: Future[Any], deadline: Optional[float]) -> None:
    """Have *future* resolved, for the call *mine* that waits for it on this worker.

    Returns when it is, or the deadline has passed. What is run here is only what *mine* waits for,
    and what that needs: so what is under it on the stack is what waits for it.

    Raises:
        DeadlockError: The call waits for one that this worker runs.
        Aborted: *mine* is to end.
    """
    own = None if mine.ring is None else mine.ring.moment
    while True:
        tell_rest()
        if future.done() or _has_come(deadline):
            return
        if _has_come(own):
            mine.end = mine.end or End.DEADLINE
        if mine.end is not None:
            raise Aborted
        try:
            _step(dispatch, mine, future, deadline, own)
        finally:
            mine.waits_for = None


def _step(
    dispatch: Aside,
    mine: Call,
    future: Future[Any],
    deadline: Optional[float],
    own: Optional[float],
) -> None:
    """One step towards *future*: run a call, put one in line, or wait for what others do."""
    _need_stack(40)
    end = min((moment for moment in (deadline, own) if moment is not None), default=None)
    freed: list[tuple[Call, concurrent.futures.Future[Any]]] = []
    watcher: Optional[threading.Event] = None
    with dispatch.lock:
        call, need = _what_holds_up(dispatch, future, freed)
        taken = call is not None and call.state is State.READY and dispatch.take(call)
        if call is not None and call.state is TAKEN:
            if taken or deadline is None:
                mine.waits_for = call
            if not taken:
                if deadline is None:
                    _refuse_circle(mine, call)
                watcher = threading.Event()
                call.watchers = [*(call.watchers or ()), watcher]
    failed = [
        (of, done)
        for of, done in freed
        if of.parts is None and (done.cancelled() or done.exception())
    ]
    del freed
    for of, done in failed:  # we may be faster than the callback
        dispatch.need_is_done(of, done)
    if failed and not taken:
        return  # that may be what was waited for
    if taken and call is not None:
        _run_here(dispatch, call)
    elif need is not None:
        _wait_for_need(need, end)
    elif call is None:
        concurrent.futures.wait([future], _left(end))
    elif watcher is not None:
        # Its future was resolved before its watchers were told, so none is missed.
        if not call.future.done():
            watcher.wait(_left(end))
    elif call.state is DELAYED:
        _wait_for_its_time(dispatch, call, end)
    elif call.state is State.BLOCKED:
        dispatch.unblock(call)


def _need_stack(frames: int) -> None:
    """Raise RecursionError now, unless there is room for so many more frames.

    Else it might come between taking a call and running it, and nobody would.
    """
    if frames:
        _need_stack(frames - 1)


def _wait_for_need(need: concurrent.futures.Future[Any], end: Optional[float]) -> None:
    """Wait for a future of others, or one that has no call yet because it is being gathered."""
    help_it = getattr(need, "_help", None)
    if help_it is not None:
        help_it(_left(end))
    concurrent.futures.wait([need], _left(end))


def _run_here(dispatch: Aside, call: Call) -> None:
    try:
        dispatch.run_call(call)
    except BaseException as error:  # no stack was left to run it on, for one
        call.fail(error)
        raise
    if call.future.done():  # it is not to be made again
        call.drop()  # it stays in line until its turn would have come


def _wait_for_its_time(dispatch: Aside, call: Call, end: Optional[float]) -> None:
    """Wait until *call* is to be made again, and put it in line then."""
    due = call.due
    concurrent.futures.wait([call.future], _left(due if end is None else min(due, end)))
    if _has_come(call.due):  # not `due`: it may have run, and been put aside once more
        dispatch.ready_again(call)


def _what_holds_up(
    dispatch: Aside,
    future: Future[Any],
    freed: list[tuple[Call, concurrent.futures.Future[Any]]],
) -> tuple[Optional[Call], Optional[concurrent.futures.Future[Any]]]:
    """The call that holds up *future*, or a future of others that does."""
    call = future._call
    while call is not None and call.state is State.BLOCKED:
        while call.needs and call.needs[-1].done():
            freed.append((call, call.needs.pop()))
        if not call.needs:
            break
        need = call.needs[-1]
        call = getattr(need, "_call", None)
        if call is None or call.dispatch is not dispatch:
            return None, need
    return call, None


def _refuse_circle(mine: Call, call: Call) -> None:
    """Raise if *call*, through whatever it waits for, waits for this very thread."""
    circle = [mine]
    here = threading.get_ident()
    awaited: Optional[Call] = call
    while awaited is not None:
        circle.append(awaited)
        if awaited.thread == here:
            raise DeadlockError("these calls wait for each other: " + " -> ".join(map(str, circle)))
        awaited = awaited.waits_for


def _left(moment: Optional[float]) -> Optional[float]:
    """Seconds until *moment*; None if there is none."""
    return None if moment is None else max(0.0, moment - time.monotonic())


def _has_come(moment: Optional[float]) -> bool:
    return moment is not None and time.monotonic() >= moment
