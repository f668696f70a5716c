"""What a worker does before it blocks on a future: run the call if nobody else does.

So waiting within calls never locks up, whatever the number of workers, unless calls wait for each
other in a circle, which is refused.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar

from shotgun_executor.call import DELAYED, TAKEN, Call, End, State
from shotgun_executor.errors import DeadlockError
from shotgun_executor.future import Future
from shotgun_executor.opening import Aborted
from shotgun_executor.telling import tell_rest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shotgun_executor.aside import Aside

__all__ = ["help_along", "help_any"]

T = TypeVar("T")

_PATIENCE = 0.02
"""Seconds that a worker leaves what is being gathered to others."""


def help_along(dispatch: Aside, mine: Call, future: Future[Any], deadline: Optional[float]) -> None:
    """Have *future* resolved, for the call *mine* that waits for it on this worker.

    Returns when it is, or the deadline has passed. What is run here is only what *mine* waits for,
    and what that needs: so what is under it on the stack is what waits for it.

    Raises:
        DeadlockError: The call waits for one that this worker runs.
        Aborted: *mine* is to end.
    """
    while True:
        tell_rest()
        if future.done() or _has_come(deadline):
            return
        own = _own_deadline(mine)
        try:
            _step(dispatch, mine, future, deadline, own)
        finally:
            mine.waits_for = ()


def help_any(
    dispatch: Aside,
    mine: Call,
    futures: Iterable[concurrent.futures.Future[T]],
    deadline: Optional[float],
) -> Optional[concurrent.futures.Future[T]]:
    """One step towards the first of *futures*, for the call *mine* that waits on this worker.

    It runs one call that some of them wait for; if others run all of these, it waits until one of
    the futures is done, or there is something to run.

    Returns:
        The one that it has run a call for, or has found done; None if any may be.

    Raises:
        DeadlockError: All of the futures wait for a call that this worker runs.
        Aborted: *mine* is to end.
    """
    tell_rest()
    own = _own_deadline(mine)
    _need_stack(40)
    look: _Look[T] = _Look(dispatch)
    try:
        with dispatch.lock:
            one_is_done = look.at_all(futures)
            if deadline is None and look.can_only_wait and not one_is_done:
                mine.waits_for = list(look.running)
                _refuse_circle(mine)
            dispatch.onlookers.append(look.again)
        if look.act() or one_is_done:
            return look.which
        end = min((moment for moment in (deadline, own) if moment is not None), default=None)
        left = _left(end)
        if look.gathered:
            left = _PATIENCE if left is None else min(left, _PATIENCE)
        awaited: list[concurrent.futures.Future[Any]] = [*futures, look.again]
        concurrent.futures.wait(awaited, left, concurrent.futures.FIRST_COMPLETED)
        look.nudge()
        return None
    finally:
        mine.waits_for = ()
        with dispatch.lock, contextlib.suppress(ValueError):
            dispatch.onlookers.remove(look.again)


class _Look(Generic[T]):
    """What a look at several futures, under the lock, has found to do, or to wait for."""

    def __init__(self, dispatch: Aside) -> None:
        self._dispatch = dispatch
        self.which: Optional[concurrent.futures.Future[T]] = None  # that is done, or will be
        self._taken: Optional[Call] = None  # to be run
        self._freed: list[tuple[Call, concurrent.futures.Future[Any]]] = []
        self._unblocked: list[Call] = []  # to be put in line
        self.running: dict[Call, None] = {}  # by others
        self.gathered: list[Future[Any]] = []  # with others, and not submitted yet
        self.can_only_wait = True  # for those that run
        self.again: concurrent.futures.Future[None] = concurrent.futures.Future()

    def at_all(self, futures: Iterable[concurrent.futures.Future[T]]) -> bool:
        """Look at *futures* until there is something to run; True if one of them is done."""
        for future in futures:
            if future.done():
                self.which = future
                return True
            self._at(future)
            if self._taken is not None:
                self.which = future
                break
        return False

    def _at(self, future: concurrent.futures.Future[Any]) -> None:
        call, need = _what_holds_up(self._dispatch, _carrier(future), self._freed)
        if call is None:
            self.can_only_wait = False
            held = future if need is None else need
            if isinstance(held, Future) and held.carried_by is None:
                self.gathered.append(held)
        elif call.state is State.READY:
            self.can_only_wait = False
            if self._dispatch.take(call):
                self._taken = call
        elif call.state is TAKEN:
            self.running[call] = None
        else:
            self.can_only_wait = False
            if call.state is State.BLOCKED:
                self._unblocked.append(call)

    def nudge(self) -> None:
        """Have what is being gathered submitted, as long as there is nothing else to do."""
        for gathered in self.gathered:
            if not self.again.done():
                gathered.nudge()

    def act(self) -> bool:
        """Do what was found, without the lock; whether that is a reason to look again."""
        failed = _failed(self._freed)
        self._freed = []
        try:
            _tell_failed(self._dispatch, failed)
            for call in self._unblocked:
                self._dispatch.unblock(call)
        finally:
            if self._taken is not None:
                _run_here(self._dispatch, self._taken)
        return bool(failed or self._unblocked or self._taken)


def _carrier(future: concurrent.futures.Future[Any]) -> concurrent.futures.Future[Any]:
    """What has the call that resolves *future*, if that is known."""
    return (future.carried_by or future) if isinstance(future, Future) else future


def _failed(
    freed: list[tuple[Call, concurrent.futures.Future[Any]]],
) -> list[tuple[Call, concurrent.futures.Future[Any]]]:
    """Those calls, with what they need, that will not run since that has failed."""
    return [
        (of, done)
        for of, done in freed
        if of.parts is None and (done.cancelled() or done.exception())
    ]


def _tell_failed(
    dispatch: Aside, failed: list[tuple[Call, concurrent.futures.Future[Any]]]
) -> None:
    for of, done in failed:  # we may be faster than the callback
        dispatch.need_is_done(of, done)


def _own_deadline(mine: Call) -> Optional[float]:
    """When *mine* has to end; raises Aborted if it has to by now."""
    own = None if mine.ring is None else mine.ring.moment
    if _has_come(own):
        mine.end = mine.end or End.DEADLINE
    if mine.end is not None:
        raise Aborted
    return own


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
                mine.waits_for = (call,)
            if not taken:
                if deadline is None:
                    _refuse_circle(mine)
                watcher = threading.Event()
                call.watchers = [*(call.watchers or ()), watcher]
    failed = _failed(freed)
    del freed
    try:
        _tell_failed(dispatch, failed)
    finally:  # whatever a callback has raised
        if taken and call is not None:
            _run_here(dispatch, call)
    if failed or taken:
        return  # that may be what was waited for
    if need is not None:
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
    future: concurrent.futures.Future[Any],
    freed: list[tuple[Call, concurrent.futures.Future[Any]]],
) -> tuple[Optional[Call], Optional[concurrent.futures.Future[Any]]]:
    """The call that holds up *future*, or a future of others that does."""
    call: Optional[Call] = getattr(future, "_call", None)
    if call is not None and call.dispatch is not dispatch:
        return None, future
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


def _refuse_circle(mine: Call) -> None:
    """Raise if all that *mine* waits for waits, through whatever others, for this very thread."""
    here = threading.get_ident()
    ways: dict[Call, list[Call]] = {mine: [mine]}  # to each call that is waited for
    circle: Optional[list[Call]] = None
    ahead = [mine]
    while ahead:
        call = ahead.pop()
        for awaited in call.waits_for:
            if awaited.thread == here:
                circle = circle or [*ways[call], awaited]
            elif awaited not in ways:
                ways[awaited] = [*ways[call], awaited]
                if not awaited.waits_for:
                    return  # it goes on
                ahead.append(awaited)
    if circle is not None:
        raise DeadlockError("these calls wait for each other: " + " -> ".join(map(str, circle)))


def _left(moment: Optional[float]) -> Optional[float]:
    """Seconds until *moment*; None if there is none."""
    return None if moment is None else max(0.0, moment - time.monotonic())


def _has_come(moment: Optional[float]) -> bool:
    return moment is not None and time.monotonic() >= moment
