"""Calls that wait for something other than a worker: futures, their parts, their time.

None of them occupies a thread. They are put in line by whichever thread brings what they wait for.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Optional, TypeVar

from shotgun_executor.call import DELAYED, TAKEN, End, State
from shotgun_executor.needs import Need, dependency_failed, failure_of, has_failed
from shotgun_executor.opening import Aborted
from shotgun_executor.retry import Sent, sent_of, wrote
from shotgun_executor.runner import Runner
from shotgun_executor.telling import Telling
from shotgun_executor.waiting import help_along, help_any
from shotgun_executor.workers import Workers

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Iterable
    from typing import Any

    from shotgun_executor.attempts import Attempts
    from shotgun_executor.call import Call, Unfinished
    from shotgun_executor.future import Future

__all__ = ["Aside"]

T = TypeVar("T")


def _settle(outcome: tuple[Call, Optional[BaseException]]) -> None:
    """Fail a call (without an error: cancel it), and so on with those that need it."""
    call, error = outcome
    future = call.future
    # Who cancels what was taken already leaves it to who has taken it to notify who waits.
    untold = future.cancelled() and not (call.notified or future._cancelled_late)
    try:
        if untold or not future.done():
            call.settle(error)
    finally:
        call.dispatch.was_told(call)


# Chains of dependants may be long: they are told one after the other.
_TELLING: Telling[tuple[Call, Optional[BaseException]]] = Telling(_settle)


class Aside(Workers):
    """The calls of one executor that wait for no worker, and what becomes of them."""

    def need_is_done(self, call: Call, need: concurrent.futures.Future[Any]) -> None:
        """One of the futures that *call* needs is done; on whichever thread resolved it."""
        self.while_resolving(self._need_is_done, call, need)

    def _need_is_done(self, call: Call, need: concurrent.futures.Future[Any]) -> None:
        if call.parts is not None:  # it looks itself at how they ended
            self.unblock(call)
            return
        error = failure_of(need)
        if error is None and not need.cancelled():
            with self.lock:
                call.open_needs -= 1
                complete = call.open_needs <= 0  # see look_again
            if complete:
                self.unblock(call)
            return
        self._end_without_run(call, error and dependency_failed(call, error))

    def look_again(self, call: Call) -> None:
        """Something was raised where one of the needs of *call* was noted: see which are done."""
        self.admit_more()  # it may be in line already, without a runner for it
        done = {need for need in list(call.needs) if need.done()}
        with self.lock:
            if call.state is not State.BLOCKED:
                return
            # Those of them that are yet to be noted are counted twice then: it may fall below zero.
            call.open_needs = sum(need not in done for need in call.needs)
        for need in done if call.parts is None else ():
            error = failure_of(need)
            if error is not None or need.cancelled():
                self._end_without_run(call, error and dependency_failed(call, error))
                return
        self.unblock(call)

    def look_again_at_all(self, call: Call) -> None:
        """Ctrl-C came where one of the needs of *call* was noted."""
        self.recount()
        self.look()
        self.look_again(call)

    def look_behind(self, futures: Iterable[concurrent.futures.Future[Any]]) -> None:
        """This thread, no worker of ours, is about to wait for *futures*, maybe in a callback.

        What a call needs may be done, and who would tell be a callback that comes after this one
        on this very thread: look for such calls.
        """
        seen: set[Call] = set()
        ahead = [call for call in map(_call_of, futures) if call is not None]
        while ahead:
            call = ahead.pop()
            if call in seen or call.state is not State.BLOCKED:
                continue
            seen.add(call)
            needs = list(call.needs)
            undone = [need for need in needs if not need.done()]
            if len(undone) < len(needs) and (not undone or len(undone) < call.open_needs):
                call.dispatch.look_again(call)
            ahead.extend(filter(None, map(_call_of, undone)))

    def unblock(self, call: Call) -> None:
        """Put *call* in line if all that it needs is there."""
        runner = Runner(self)
        try:
            with self.lock:
                if call.state is not State.BLOCKED:
                    return
                done = _take_done(call.needs)  # freed after the lock
                failed = None
                if call.parts is None:
                    failed = next(filter(has_failed, done), None)
                wanted = not (call.needs or failed) and self._put_in_line(call, runner)
            if failed is not None:  # we are faster than the callback
                self._need_is_done(call, failed)
            else:
                del done
                self._start_if_wanted(runner, wanted)
        except BaseException as error:
            self._amend(runner, error)
            raise

    def _end_without_run(self, call: Call, error: Optional[BaseException]) -> bool:
        """Fail *call* (without an error: cancel it), unless a worker has taken it."""
        try:
            with self.lock:
                taken = self.take(call)
                if taken:
                    self._to_be_told.add(call)
            if taken:
                call.drop()
                self.while_resolving(_TELLING.tell, [(call, error)])
        except BaseException:  # Ctrl-C: nobody else would resolve what we have taken
            if call.taken_here:
                _TELLING.tell([(call, error)])
                self.recount()
            raise
        return taken

    def was_told(self, call: Call) -> None:
        """*call*, which was taken to be told its outcome, has it."""
        with self.lock:
            self._to_be_told.discard(call)
        self._end_if_idle()

    def suspend(self, call: Call, unfinished: Unfinished) -> None:
        """Put *call*, which this worker has run, aside until its parts are done."""
        parts, go_on = unfinished
        keep, needs = self._owner(), parts.under_way()
        with self.lock:
            ends = self._hurried or call.end is not None or keep is None
            known = call.parts is parts
            if not ends:
                call.moved(TAKEN)
                call.parts = parts
                call.function, call.args, call.kwargs = go_on, (), {}
                call.needs, call.keep = list(reversed(needs)), keep
                call.state, call.taker = State.BLOCKED, None
                self._aside.add(call)
                self._wake_onlookers()
        if ends:
            call.end = call.end or End.SHUTDOWN
            parts.stop(abort=True)
            call.fail(call.ended())
            return
        if self.observers.listening:
            self.observers.tell(call.event("suspended"))
        call.tell_watchers()
        if not known:
            call.future.add_done_callback(parts.stop_with)
        for need in needs:
            need.add_done_callback(Need(self, call))
        if not needs:
            self.unblock(call)

    def repeat(self, call: Call, attempts: Attempts, error: Exception) -> bool:
        """Put *call*, which *error* has ended on this worker, aside to be made again later.

        Returns:
            False if it is not to be made again.
        """
        if isinstance(error, Aborted):  # by somebody for a call that waits for this one
            only_read = attempts.only_reads and not wrote(error)
            again = only_read or sent_of(error) is Sent.NOTHING
            pause = 0.0 if again else None
        else:
            pause = attempts.pause_after(error)
        if pause is None:
            return False
        due = time.monotonic() + pause
        if call.ring is not None and due > call.ring.moment:
            return False  # its deadline would have passed
        if not self._put_aside(call, due):
            return False
        try:
            if self.observers.listening:
                self.observers.tell(call.event("repeated", error))
            call.tell_watchers()
            self.alarm.after(due - time.monotonic(), functools.partial(self.ready_again, call))
        except BaseException as raised:  # no thread can be started to wait for the time, say
            if not self.withdraw(call):
                return True  # somebody else has it
            if not isinstance(raised, Exception):
                raise
            return False
        return True

    def _put_aside(self, call: Call, due: float) -> bool:
        keep = self._owner()
        with self.lock:
            if self._hurried or call.end is not None or keep is None:
                return False
            call.moved(TAKEN)
            self._counters.repeated(call.method)
            call.keep, call.due = keep, due
            call.state, call.taker = DELAYED, None
            self._aside.add(call)
        return True

    def ready_again(self, call: Call) -> None:
        """Put a call that was to be made again in line."""
        runner = Runner(self)
        try:
            with self.lock:
                if call.state is not DELAYED:
                    return
                wanted = self._put_in_line(call, runner)
            self._start_if_wanted(runner, wanted)
        except BaseException as error:
            self._amend(runner, error)
            raise

    def _set_deadline(self, call: Call, seconds: float) -> None:
        ring = self.alarm.after(seconds, functools.partial(self._expire, call), apart=True)
        with self.lock:
            call.ring = ring
            ended = call.future.done()
        if ended:
            ring.cancel()

    def _expire(self, call: Call) -> None:
        """The deadline of *call* has passed."""
        with self.lock:
            if call.end is None:
                call.end = End.DEADLINE
        if not self._end_without_run(call, call.ended()):
            self._abort(call, End.DEADLINE)

    def help(self, future: Future[Any], deadline: Optional[float]) -> None:
        """What a worker does before it blocks on *future*; see ``waiting.py``."""
        help_along(self, self._here.calls[-1], future, deadline)

    def help_any(
        self, futures: Iterable[concurrent.futures.Future[T]], deadline: Optional[float]
    ) -> Optional[concurrent.futures.Future[T]]:
        """One step of a worker towards the first of *futures*; see ``waiting.py``."""
        return help_any(self, self._here.calls[-1], futures, deadline)


def _take_done(needs: list[concurrent.futures.Future[Any]]) -> list[concurrent.futures.Future[Any]]:
    """Take those out of *needs* that are done, up to the first from the end that is not."""
    done: list[concurrent.futures.Future[Any]] = []
    while needs and needs[-1].done():
        done.append(needs.pop())
    return done


def _call_of(future: concurrent.futures.Future[Any]) -> Optional[Call]:
    """The call that is to resolve *future*, if it is one of ours."""
    call: Optional[Call] = getattr(future, "_call", None)
    return call
