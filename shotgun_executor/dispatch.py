"""Which call runs next, and on which worker: what the executor asks for.

The threads belong to the standard library's ``ThreadPoolExecutor``; the order of the calls is ours.
A call waits for the futures among its arguments (``aside.py``), then for a worker (``workers.py``);
the state and the decisions about it are those of ``roster.py``.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_executor.aside import Aside
from shotgun_executor.call import DEFAULT, DELAYED, Call, End, State, submitted_at
from shotgun_executor.exiting import finish_at_exit, threads_can_start
from shotgun_executor.needs import Need
from shotgun_executor.roster import Bounds, Source, broken_pool, do_all, nothing
from shotgun_executor.runner import Runner
from shotgun_executor.telling import tell_rest

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Mapping, Sequence

    from shotgun_executor.attempts import Attempts
    from shotgun_executor.call import Options
    from shotgun_executor.future import Future

__all__ = ["Bounds", "Dispatch", "Source"]


class Dispatch(Aside):
    """The calls of one executor.

    Guarantees:

    * Each call that was accepted is run, or withdrawn once, or failed once; its future is resolved
      once.
    * While calls wait for a worker, as many runners are at work as there are workers; an executor
      without calls has none, and wakes no thread.
    * A call that waits for something other than a worker (a future, its time) occupies none.
    * A worker that waits for a call which no worker has taken runs it itself, so waiting within
      calls never locks up; calls that wait for each other in a circle are told so.
    * Functions, callbacks and the stdlib's pool are never called with the lock held.
    """

    def __init__(
        self,
        start: Callable[[Runner], concurrent.futures.Future[None]],
        after_run: Callable[[], None],
        owner: Callable[[], Any],
        bounds: Bounds,
        *,
        name: str,
    ) -> None:
        """Dispatch calls to workers.

        Args:
            start: Hands a runner to a worker thread; returns the future of its run.
            after_run: Called on the worker thread when no call waits any more.
            owner: What must live while calls wait that will need a worker later.
            bounds: How many may run and wait.
            name: Of the thread of the alarm.
        """
        super().__init__(start, after_run, owner, bounds, name=name)
        finish_at_exit(self)

    def submit(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        needs: Sequence[concurrent.futures.Future[Any]] = (),
        label: Optional[str] = None,
        attempts: Optional[Attempts] = None,
        options: Options = DEFAULT,
        promised: bool = False,
    ) -> Future[Any]:
        """Accept a call.

        Args:
            function: What the worker calls.
            args: With these arguments.
            kwargs: And these.
            needs: Futures that must have their results before the call starts. If one fails, so
                does the call; if one is cancelled, so is the call.
            label: What the call is named in errors.
            attempts: Decides whether the call is made again when it fails.
            options: Its priority (see :class:`Line`) and deadline.
            promised: It was accepted before, as a part of a call or by :meth:`promise`: neither a
                shutdown nor a bound refuses it.

        Raises:
            RuntimeError: The executor was shut down, or the interpreter is exiting, or this is a
                forked process.
            BrokenThreadPool: An initializer has failed.
            TooManyCalls: So many wait already.
        """
        self.check_process()  # first: in a forked process the lock may be held for ever
        call = Call(
            self,
            function,
            args,
            kwargs,
            label=label,
            attempts=attempts,
            options=options,
            site=None if promised else submitted_at(),
        )
        future = call.future
        runner = Runner(self)
        guest = Runner(self) if self._when_full == "run" else runner
        run_here = False
        if needs:
            call.needs = list(reversed(needs))
            call.open_needs = len(needs)
            call.keep = self._owner()
        try:
            with self.lock:
                self._refuse_if_over(promised)
                may_run = not promised and not self._has_room() and self._make_room(call)
                self._accept(call)
                run_here = may_run and self.take(call)
                if run_here:
                    self._guests.add(guest)  # from here on: else the executor might seem idle
                wanted = self._admit(runner)
            if self._swept:
                self._swept = []
            if self.observers.listening:
                self.observers.tell(call.event("submitted"))
            if call.deadline is not None:
                self._set_deadline(call, call.deadline)
            if wanted:
                self._start_runner(runner)
            if run_here:
                self._run_as_guest(guest, call)
            for need in needs:
                need.add_done_callback(Need(self, call))
        except BaseException as error:  # refused, or Ctrl-C at any point in between
            if self._undo_submit(call, runner, guest, error):
                raise
        return future

    def _undo_submit(self, call: Call, runner: Runner, guest: Runner, error: BaseException) -> bool:
        """Take *call* back, if it can be. Whether *error* is to be raised: who submits has no call.

        Else no thread could be started, but a worker that is there has taken it.
        """
        accepted = call.state is not State.NEW
        try:
            withdrawn = self.withdraw(call)
            if withdrawn:
                call.release()  # no deadline holds it any longer
            if withdrawn and accepted:
                self._forget(call)
            if not withdrawn:
                withdrawn = self._leave_as_guest(guest, call, error)
            self._dismiss(runner, error)
        finally:
            if not isinstance(error, Exception):
                self.recount()
        return withdrawn or not isinstance(error, Exception)

    def promise(self, source: Source, what: object) -> Any:
        """Accept *what*, a call that *source* will submit later. It holds up a shutdown until then.

        Returns:
            What must live until then; call :meth:`kept` when the call has its outcome.

        Raises:
            RuntimeError, BrokenThreadPool, TooManyCalls: As :meth:`submit`.
        """
        self.check_process()
        with self.lock:
            self._refuse_if_over()
            if not self._has_room():
                self._wait_for_room(str(what))
                self._room.notify()  # what is promised takes no room yet: who comes next has it
            self._promised.setdefault(source, {})[what] = None
        return self._owner()

    def cancel_repeat(self, call: Call) -> bool:
        """Cancel a call that has run, and waits to be made again; False if it does not."""
        if not self.withdraw(call):
            return False
        call.cancel()
        return True

    def abort_read(self, call: Call) -> bool:
        """End a call that runs, if it only reads; its future is cancelled when it has ended."""
        return call.only_reads and self._abort(call, End.CANCELLED)

    def abort_reads(self) -> None:
        """End each call that runs and only reads: nobody is left to look at what it returns."""
        with self.lock:
            running = [call for runner in self._at_work() for call in list(runner.calls)]
        do_all(functools.partial(self.abort_read, call) for call in running)

    def cancel_soon(self, future: Future[Any]) -> None:
        """Cancel *future* before a worker would take its call. Takes no lock: for destructors."""
        self._dropped.append(future)

    def close(self, *, hurry: bool = True) -> None:
        """Accept no more calls; those accepted are run, and with *hurry* gathered no longer."""
        with self.lock:
            self._closed = True
            self._room.notify_all()
        if hurry:
            for source in self._sources():
                source.hurry()

    def when_idle(self, end: Callable[[], None]) -> None:
        """Call *end* as soon as nothing waits or runs any more."""
        with self.lock:
            self._at_end = end
        self._end_if_idle()

    def abandon(self) -> None:
        """The executor is gone: nobody can submit any more; what was accepted is run."""
        if self.forked:
            return  # a forked child has dropped it, where the lock may be held for ever
        self.close()
        self.when_idle(nothing)

    def wait_until_idle(self, timeout: Optional[float] = None) -> bool:
        """Wait until nothing waits or runs any more; False if that takes longer."""
        tell_rest()
        with self.lock:
            aside = [call.future for call in self._aside]
        self.look_behind(aside)
        with self.lock:
            return self._idle.wait_for(lambda: not self._busy(), timeout)

    def cancel_waiting(self) -> None:
        """Cancel each call that no worker has taken, and notify those who wait for it."""
        do_all(source.cancel_unsent for source in self._sources())
        do_all(call.future.cancel for call in self._all_waiting())

    def stop(self) -> None:
        """Cancel each call that has not started, and end each that runs, as far as can be."""
        self.cancel_waiting()
        self._abort_running()

    def _abort_running(self) -> None:
        """End each call that runs, as far as it uses a connection."""
        with self.lock:
            self._hurried = True
            running = [call for runner in self._at_work() for call in list(runner.calls)]
        for call in running:
            self._abort(call, End.SHUTDOWN)

    def fail_waiting(self, error: BaseException) -> None:
        """Fail each call that no worker has taken."""
        waiting = self._all_waiting()
        do_all(functools.partial(self._fail_if_waiting, call, error) for call in waiting)

    def finish_at_exit(self) -> None:
        """The interpreter exits: give up what only reads, and hurry what writes.

        Threads that were joined would wait for all of it. What a read would have returned has
        nobody left to look at it; a write that was accepted is made. No worker can begin any more
        after this, so one begins now though there may be no room for it. Where no thread can be
        started even now (on Python 3.12), this one is that worker.
        """
        here = Runner(self) if self._busy() and not threads_can_start() else None
        if here is not None:
            with self.lock:
                self.limit.enter(self, None, anyway=True)
                self._runners.add(here)
                self._exiting = True
        for source in self._sources():
            source.hurry()
        with self.lock:
            self._hurried = self._exiting = True
            self._paused = False
            delayed = tuple(call for call in self._aside if call.state is DELAYED)
        do_all(call.future.cancel for call in self._all_waiting() if call.only_reads)
        # What has ended the program; at a prompt it is only the error that was shown last.
        if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
            self.abort_reads()
        for call in delayed:
            self.ready_again(call)
        self.admit_more()
        if here is not None:
            self.run(here)

    def initialize(self, initializer: Callable[..., Any], *initargs: Any) -> None:
        """Run the user's initializer on a new worker; if it fails, so does all that waits."""
        self._here.calls = [Call(self, initializer, initargs, {}, label="the initializer")]
        try:
            initializer(*initargs)
        except BaseException as error:
            with self.lock:
                self._broken = error
                self._room.notify_all()
            self.fail_waiting(broken_pool(error))
            raise
        finally:
            self.end_if_forked()
            self._here.calls = []
            self._after_run()
