"""busy_server.py: a site that is busy is asked less, and all reads succeed in the end."""

from __future__ import annotations

import threading
import time

import pytest

from shotgun_executor import ShotgunExecutor
from tests.support import LONG, wait_until

WORKERS = 8


@pytest.fixture
def executor(sandbox, load):
    """An executor with the retries of the example."""
    retries = load("busy_server").RETRIES
    with ShotgunExecutor(
        sandbox.url, **sandbox.credentials, max_workers=WORKERS, retries=retries
    ) as executor:
        executor.connect()
        yield executor


def reads(sandbox):
    return sandbox.counters().requests.get("read", 0)


def test_all_reads_succeed_and_the_limit_recovers(sandbox, executor, load):
    """429 with Retry-After, then 503: the limit halves for each, and is whole again in the end."""
    example = load("busy_server")
    watch = example.Watch(executor, 0.05)
    sandbox.hold("read")
    sandbox.fail_next("read", status=429, headers={"Retry-After": "1"}, count=8)
    sandbox.fail_next("read", status=503, count=7)
    futures = example.read(executor, range(300))
    sandbox.wait_for(WORKERS, "read")
    sandbox.resume()
    assert [future.result(LONG) for future in futures] == [None] * 300
    refused = [error for errors in watch.refused.values() for error in errors]
    assert sorted(refused) == [429] * 8 + [503] * 7
    assert set(watch.limits.values()) >= {1, WORKERS}
    assert executor.limit.current == WORKERS
    assert reads(sandbox) == 300 + 15  # nothing was sent in vain


def test_nothing_is_sent_while_the_site_is_away(sandbox, executor, load):
    """After a 429 the requests stop for as long as Retry-After says, and no thread spins."""
    sandbox.hold("read")
    sandbox.fail_next("read", status=429, headers={"Retry-After": "1"}, count=WORKERS)
    futures = load("busy_server").read(executor, range(100))
    sandbox.wait_for(WORKERS, "read")
    cpu, began = time.process_time(), time.monotonic()
    sandbox.resume()
    wait_until(lambda: executor.stats().repeated == WORKERS)
    threading.Event().wait(0.4)  # nothing comes that could be waited for
    sent, used, passed = reads(sandbox), time.process_time() - cpu, time.monotonic() - began
    if passed < 0.9:  # else the machine was too slow to look in time
        assert sent == WORKERS
        assert used < 0.5 * passed
    assert all(future.exception(LONG) is None for future in futures)
    assert reads(sandbox) == WORKERS + 100


def test_fewer_at_a_time_after_each_refusal(sandbox, executor, load):
    """The requests that come after a round of refusals are at most half as many at a time."""
    sandbox.hold("read")
    sandbox.fail_next("read", status=503, count=WORKERS)
    futures = load("busy_server").read(executor, range(60))
    sandbox.wait_for(WORKERS, "read")
    sandbox.resume(count=WORKERS)
    sandbox.wait_for(WORKERS // 2, "read")
    assert executor.limit.current == WORKERS // 2
    assert executor.limit.running == WORKERS // 2
    sandbox.resume()
    assert all(future.exception(LONG) is None for future in futures)
    assert executor.limit.current == WORKERS


def test_reads_on_a_given_site(run, sandbox):
    """With a site in the environment only reads are made, and a table is printed."""
    done = run("busy_server", "--reads", 40, "--slice", 0.1)
    assert done.code == 0, done.err
    assert "40 of 40 reads have succeeded; 0 were made again" in done.out
    assert "at a time 8" in done.out
    assert sandbox.counters().writes == 0
    assert reads(sandbox) == 40


def test_reads_that_fail_are_counted(run, sandbox):
    """A site that refuses for good makes the program end with 1."""
    sandbox.fail("read", status=500)
    done = run("busy_server", "--reads", 8)
    assert done.code == 1
    assert "0 of 8 reads have succeeded" in done.out
    assert "failed: " in done.err


def test_bad_numbers_are_refused(run):
    """Numbers that make no sense are told before anything is sent."""
    assert run("busy_server", "--reads", 0).code == 2
    assert run("busy_server", "--slice", 0).code == 2


@pytest.mark.slow
def test_on_its_own_site(alone):
    """Without arguments and environment a local site is busy for some seconds."""
    done = alone("busy_server", "--reads", 200)
    assert done.code == 0, done.err
    assert "200 of 200 reads have succeeded; 15 were made again" in done.out
    assert "429 429" in done.out
    assert "503" in done.out
