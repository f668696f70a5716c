"""Seeded disorder: whatever is done to an executor, in whatever order, what it promises holds.

Each seed is a schedule: threads that submit, nest, chain, cancel, wait, set deadlines, change
limits and shut down, on a site that fails, drops and dawdles. The seed fixes what each thread does,
though not who is faster. SHOTGUN_EXECUTOR_STRESS=200 runs so many seeds of each test, from
SHOTGUN_EXECUTOR_STRESS_FIRST on; a failure prints its seed.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import os
import queue
import random
import threading
import time
from collections import Counter

import pytest

from shotgun_executor import (
    DeadlineExceeded,
    Limit,
    Retries,
    ShotgunExecutor,
    TooManyCalls,
    outcome_unknown,
)
from tests.support import KEYS, LONG, NOWHERE, in_thread, wait_until

SEEDS = int(os.environ.get("SHOTGUN_EXECUTOR_STRESS", "0"))
FIRST = int(os.environ.get("SHOTGUN_EXECUTOR_STRESS_FIRST", "0"))
"""The first seed, to run one again."""

QUICK = Retries(3, first_wait=0.001, longest_wait=0.01)
CLIENTS = 3
NO_RESULT = (concurrent.futures.CancelledError, concurrent.futures.TimeoutError)
ENDS = ("wait", "no wait", "cancel", "cancel, no wait", "seconds", "no time", "error", "dropped")


class OverError(Exception):
    """The executor takes no more calls: a client may go home."""


class Chaos(random.Random):
    """A thread's own dice."""

    def may(self, chance):
        return self.random() < chance


class Storm:
    """One schedule."""

    def __init__(self, seed, workers, sandbox):
        self.seed = seed
        self.name = f"Storm-{seed}-{workers}-{id(self)}"
        self.sandbox = sandbox
        self.dice = dice = Chaos(f"{seed} {workers} storm")
        self.lock = threading.Lock()
        self.futures = []  # all that there are
        self.creates = []  # those of writes
        self.resolved = Counter()  # how often each future told so
        self.events = Counter()  # of calls, by kind and number
        self.strangers = queue.SimpleQueue()  # futures of nobody's executor
        self.end = dice.choice(ENDS)
        self.early = dice.may(0.3)  # a client ends it, while the others go on
        self.limit = Limit(dice.choice([None, 1, 3]), per_second=dice.choice([None, None, 1500]))
        where = (NOWHERE, KEYS) if sandbox is None else (sandbox.url, sandbox.credentials)
        self.executor = ShotgunExecutor(
            where[0],
            **where[1],
            max_workers=workers,
            limit=self.limit,
            retries=QUICK,
            max_pending=dice.choice([None, 2, 10]),
            when_full=dice.choice(["block", "raise", "run"]),
            thread_name_prefix=self.name,
        )
        self.dispatch = self.executor._dispatch
        self.pool = self.executor._pool
        self.executor.add_observer(self.observe)
        if sandbox is not None:
            self.spoil_the_site()

    def spoil_the_site(self):
        self.sandbox.clear()
        seed, dice = self.seed, self.dice
        if dice.may(0.7):
            self.sandbox.fail("read", status=503, fraction=0.2, seed=seed)
        if dice.may(0.5):
            self.sandbox.fail("read", "drop", fraction=0.1, seed=seed)
        if dice.may(0.5):
            self.sandbox.fail("create", status=429, fraction=0.2, seed=seed)
        if dice.may(0.5):
            after = dice.may(0.5)
            self.sandbox.fail("create", "drop", after_execution=after, fraction=0.2, seed=seed)
        self.sandbox.set_latency(dice.choice([None, 0.001, 0.004]), jitter=0)

    # What is watched

    def observe(self, event):
        with self.lock:
            self.events[event.kind, event.call] += event.kind in ("submitted", "ended")

    def keep(self, future, *, writes=False):
        with self.lock:
            self.futures.append(future)
            if writes:
                self.creates.append(future)
        future.add_done_callback(self.count)
        return future

    def count(self, future):
        with self.lock:
            self.resolved[id(future)] += 1

    def some(self, dice, most=1):
        with self.lock:
            return dice.sample(self.futures, min(len(self.futures), dice.randint(0, most)))

    # What calls do

    def work(self, depth, seed):
        """A function that may submit, wait, and fail."""
        dice = Chaos(seed)
        if dice.may(0.05):
            raise ValueError("by chance")
        if dice.may(0.2):
            time.sleep(dice.random() * 0.002)
        executor = self.executor
        if not depth or executor is None or dice.may(0.3):
            return depth
        try:
            if dice.may(0.25):
                return sum(executor.map(len, ["ab"] * 3, buffersize=dice.choice([None, 1])))
            if dice.may(0.25):
                ordered = dice.may(0.5)
                return len(list(executor.map_outcomes(int, ["1", "x"], ordered=ordered)))
            child = self.keep(executor.submit(self.work, depth - 1, dice.random()))
        except RuntimeError as error:
            if "shutdown" not in str(error):
                raise
            return -1
        finally:
            del executor  # an error holds this frame
        if dice.may(0.2):
            child.cancel()
        try:
            return child.result(dice.choice([None, None, 0.001]))
        except NO_RESULT:
            return -1

    # What clients do

    def client(self, number):
        dice = Chaos(f"{self.seed} client {number}")
        deeds = [deed for deed, times in self.deeds().items() for _ in range(times)]
        steps = 40
        last = dice.randrange(steps) if self.early and number == 0 else None
        for step in range(steps):
            if step == last:
                self.finish(dice)
            try:
                dice.choice(deeds)(dice)
            except TooManyCalls:
                pass
            except OverError:
                break
            except RuntimeError as error:
                if "shutdown" not in str(error):
                    raise
                break

    def deeds(self):
        """What a client may do, and how often it does."""
        deeds = {
            self.submit: 8,
            self.chain: 4,
            self.need_a_stranger: 1,
            self.cancel: 4,
            self.wait: 2,
            self.change_limit: 1,
            self.map: 1,
            self.look: 1,
        }
        if self.sandbox is not None:
            deeds.update({self.find: 8, self.create: 5, self.ask_the_facade: 1})
        return deeds

    def via(self, dice):
        """The executor, or a view of it with options."""
        executor = self.executor
        if executor is None:
            raise OverError
        if dice.may(0.6):
            return executor
        return executor.options(
            priority=dice.choice([-1, 0, 5]),
            deadline=dice.choice([None, None, 0.0005, 0.01, 5.0]),
            retries=dice.choice([None, 0]),
        )

    def submit(self, dice):
        self.keep(self.via(dice).submit(self.work, dice.choice([0, 1, 3]), dice.random()))

    def chain(self, dice):
        needs = self.some(dice, 3)
        executor = self.executor
        if executor is None:
            raise OverError
        submit = executor._dispatch.submit
        self.keep(submit(self.work, (1, dice.random()), {}, needs=needs))

    def need_a_stranger(self, dice):
        stranger = concurrent.futures.Future()
        self.strangers.put((stranger, dice.randrange(4)))
        self.keep(self.dispatch.submit(self.work, (1, dice.random()), {}, needs=[stranger]))

    def settle_strangers(self):
        """Not a client's work: one who waits for room could wait for himself."""
        for stranger, how in iter(self.strangers.get, None):
            if how == 0:
                stranger.cancel()
                stranger.set_running_or_notify_cancel()
            elif how == 1:
                stranger.set_exception(OSError("by chance"))
            else:
                stranger.set_result(how)

    def find(self, dice):
        needs = self.some(dice)
        needs = [need for need in needs if need in self.creates]
        filters = [["id", "is", needs[0]]] if needs and dice.may(0.5) else []
        kind = "Project" if dice.may(0.9) else "Nothing"
        self.keep(self.via(dice).find(kind, filters, ["name"]))

    def create(self, dice):
        self.keep(self.via(dice).create("Project", {"name": f"p{dice.random()}"}), writes=True)

    def ask_the_facade(self, dice):
        executor = self.executor
        if executor is None:
            raise OverError
        with_error = (Exception, concurrent.futures.CancelledError)
        try:
            executor.shotgun.find("Project", [])
        except with_error as error:
            if isinstance(error, RuntimeError):
                raise

    def cancel(self, dice):
        for future in self.some(dice, 2):
            abort = dice.may(0.3)
            if future.cancel(abort=abort) and not abort:
                assert future.cancelled()

    def wait(self, dice):
        for future in self.some(dice):
            with contextlib.suppress(*NO_RESULT):
                future.exception(0.02)

    def change_limit(self, dice):
        if dice.may(0.7):
            self.limit.calls = dice.choice([None, 1, 2, 5])
        else:
            self.limit.per_second = dice.choice([None, 800, 5000])

    def map(self, dice):
        items = range(dice.randrange(6))
        results = self.via(dice).map(self.work, [1] * 6, items, buffersize=dice.choice([None, 2]))
        how = dice.randrange(3)
        if how == 0:
            results.close()
        elif how == 1:
            with contextlib.suppress(ValueError, DeadlineExceeded, *NO_RESULT):
                next(results, None)
        del results

    def look(self, dice):
        executor = self.executor
        if executor is not None:
            assert repr(executor)
            stats = executor.stats()
            now = stats.waiting + stats.ready + stats.delayed + stats.running
            assert stats.submitted == now + stats.done + stats.failed + stats.cancelled
            assert stats.running >= 0

    # How it ends

    def finish(self, dice):
        with self.lock:
            executor, self.executor = self.executor, None
        if executor is None:
            return
        if self.end == "wait" and not self.early:  # else it would wait for the clients
            executor.shutdown()
        elif self.end == "error":
            with pytest.raises(KeyError), executor:
                raise KeyError
        elif self.end.startswith("cancel"):
            executor.shutdown(self.end == "cancel", cancel_futures=True)
        elif self.end == "seconds":
            executor.shutdown(wait=0.005)
        elif self.end == "no time":
            executor.shutdown(wait=0)
        elif self.end != "dropped":
            executor.shutdown(wait=False)

    def run(self):
        settled = in_thread(self.settle_strangers)
        joins = [in_thread(lambda number=number: self.client(number)) for number in range(CLIENTS)]
        for join in joins:
            join()
        self.strangers.put(None)
        settled()
        in_thread(lambda: self.finish(self.dice))()
        self.check()

    # What holds then

    def check(self):
        futures = self.futures
        left = concurrent.futures.wait(futures, LONG).not_done
        assert not left, [(future, future._call and future._call.state) for future in left]
        assert set(concurrent.futures.as_completed(futures, LONG)) == set(futures)
        assert all(count == 1 for count in self.resolved.values())
        assert set(self.resolved) == set(map(id, futures))
        if self.sandbox is not None:
            done, unknown = self.writes()
        # Errors hold the frames that they came through, and those may hold the executor.
        del futures
        self.futures, self.creates = [], []
        if not self.dispatch._closed:  # it was dropped; the last worker lets go of it
            wait_until(lambda: gc.collect() >= 0 and self.dispatch._closed)
        assert self.dispatch.wait_until_idle(LONG)
        self.check_numbers()
        if self.sandbox is not None:
            assert done <= self.sandbox.counters().writes <= done + unknown

    def check_numbers(self):
        dispatch = self.dispatch
        numbers = dispatch.count_calls()
        ended = numbers["done"] + numbers["failed"] + numbers["cancelled"]
        assert numbers["submitted"] == ended, numbers
        for name in ("waiting", "ready", "delayed", "running"):
            assert numbers[name] == 0, numbers
        told = {number: count for (kind, number), count in self.events.items() if kind == "ended"}
        assert set(told.values()) <= {1}
        assert len(told) == ended
        accepted = {number for kind, number in self.events if kind == "submitted"}
        assert accepted == set(told)
        assert dispatch._pending == dispatch._ready == dispatch._blocked_submits == 0
        assert not dispatch._runners
        assert not dispatch._guests
        assert not dispatch._aside
        assert self.limit.running == 0
        assert not self.limit._running
        for thread in threading.enumerate():
            if thread.name.startswith(self.name):
                thread.join(LONG)
                assert not thread.is_alive()
        assert self.pool.leased == 0
        assert self.pool.idle == 0 or not self.pool._draining, "connections of a dropped pool"

    def writes(self):
        """How many were done for sure, and of how many nobody knows."""
        errors = [future.exception(0) for future in self.creates if not future.cancelled()]
        unknown = sum(error is not None and outcome_unknown(error) for error in errors)
        return errors.count(None), unknown


def storm(count, workers, sandbox):
    for seed in range(FIRST, FIRST + (SEEDS or count)):
        print(f"seed {seed}, {workers} workers")  # noqa: T201 - the last one is that which failed
        Storm(seed, workers, sandbox).run()


@pytest.mark.timeout(60 + 2 * SEEDS)
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_storm_of_functions_leaves_everything_resolved(workers):
    """Plain functions, nested, chained and cancelled: each future resolves once, all adds up."""
    storm(20, workers, None)


@pytest.mark.timeout(60 + 4 * SEEDS)
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_storm_on_a_faulty_site_leaves_everything_resolved(sandbox, workers):
    """The same with calls of a site that fails; each write is known to be done, not, or unknown."""
    storm(6, workers, sandbox)
