"""async_service.py: futures in asyncio, and a loop that is never held up."""

from __future__ import annotations

import asyncio
import time

import pytest
import shotgun_api3

from shotgun_executor import ShotgunExecutor
from tests.support import LONG, in_thread, wait_until

WORKERS = 4
SHOTS = 50


@pytest.fixture
def project(sandbox):
    """A project with 50 shots, each with a task that is done and one that is not."""
    sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    create = {"request_type": "create"}
    shots = sg.batch(
        [
            {**create, "entity_type": "Shot", "data": {"code": f"s{n:03}", "project": project}}
            for n in range(SHOTS)
        ]
    )
    sg.batch(
        [
            {
                **create,
                "entity_type": "Task",
                "data": {
                    "content": status,
                    "entity": shot,
                    "sg_status_list": status,
                    "project": project,
                },
            }
            for shot in shots
            for status in ("fin", "ip")
        ]
    )
    sg.close()
    return project


@pytest.fixture
def executor(sandbox):
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=WORKERS) as executor:
        executor.connect()
        yield executor


def reads(sandbox):
    return sandbox.counters().requests.get("read", 0)


def test_fifty_at_once(run, sandbox, project):
    """The lines of 50 shots are right and in order, with no more calls at a time than workers."""
    done = run("async_service", "--workers", WORKERS)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[:-1] == [f"s{n:03}         1/2 tasks, 0 versions" for n in range(SHOTS)]
    assert lines[-1].startswith("50 shots in ")
    assert sandbox.counters().peak_in_flight <= WORKERS
    assert reads(sandbox) == 2 + 2 * SHOTS


def test_loop_goes_on_while_nothing_is_answered(sandbox, project, executor, load):
    """While all workers wait for the site, the loop does other things."""
    example = load("async_service")

    async def main():
        async with example.Pulse() as pulse:
            answers = asyncio.ensure_future(example.describe_all(executor, project, SHOTS, LONG))
            await asyncio.to_thread(sandbox.wait_for, 1, "read")
            sandbox.resume("read", count=1)
            await asyncio.to_thread(sandbox.wait_for, WORKERS, "read")
            before = pulse.beats
            while pulse.beats < before + 20:
                await asyncio.sleep(0)
            assert not answers.done()
            sandbox.resume()
            return await answers

    sandbox.hold("read")
    assert len(asyncio.run(main())) == SHOTS


def test_loop_is_held_up_for_less_than_20_ms(sandbox, project, executor, load):
    """No step of the loop takes the client 20 ms: of its own time always, by the clock at best."""
    example = load("async_service")

    class Busy(example.Pulse):
        busiest = 0.0

        async def run(self):
            while True:
                before, began = time.thread_time(), time.perf_counter()
                await asyncio.sleep(0)
                self.busiest = max(self.busiest, time.thread_time() - before)
                self.longest = max(self.longest, time.perf_counter() - began)
                self.beats += 1
                await asyncio.sleep(self.every)

    async def main():
        async with Busy() as pulse:
            await example.describe_all(executor, project, SHOTS, LONG)
        return pulse

    pulses = []
    for _ in range(20):
        pulses.append(asyncio.run(main()))
        if len(pulses) >= 3 and min(pulse.longest for pulse in pulses) < 0.02:
            break
    assert min(pulse.busiest for pulse in pulses) < 0.02
    assert min(pulse.longest for pulse in pulses) < 0.02


def test_cancelling_a_task_that_has_not_started_cancels_its_call(sandbox, project, executor):
    """A cancelled call that waits for a worker is never sent; those that run are left alone."""

    async def main():
        running = [asyncio.ensure_future(wait(executor.find("Shot", []))) for _ in range(WORKERS)]
        await asyncio.to_thread(sandbox.wait_for, WORKERS, "read")
        future = executor.find("Task", [])
        waiting = asyncio.ensure_future(wait(future))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert future.cancelled()
        sandbox.resume()
        assert [len(shots) for shots in await asyncio.gather(*running)] == [SHOTS] * WORKERS

    async def wait(future):
        return await future

    sandbox.hold("read")
    asyncio.run(main())
    assert reads(sandbox) == WORKERS


def test_cancelling_a_task_that_has_started_lets_the_call_finish(sandbox, project, executor):
    """The task ends at once; its call goes on to its end, and the connection stays usable."""

    async def main():
        future = executor.find("Shot", [])
        task = asyncio.ensure_future(wait(future))
        await asyncio.to_thread(sandbox.wait_for, 1, "read")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.running()
        sandbox.resume()
        return future

    async def wait(future):
        return await future

    sandbox.hold("read")
    assert len(asyncio.run(main()).result(LONG)) == SHOTS
    assert sandbox.last_requests(1)[0].outcome == "ok"
    assert len(executor.find("Shot", []).result(LONG)) == SHOTS
    assert executor.stats().closed == {}


def test_what_is_too_late_is_said_and_taken_back(sandbox, project, executor, load):
    """Shots without an answer in time are told as such, and their calls are not sent any more."""
    example = load("async_service")
    sandbox.hold("read")
    join = in_thread(lambda: asyncio.run(example.describe_all(executor, project, SHOTS, 0.5)))
    sandbox.wait_for(1, "read")
    sandbox.resume("read", count=1)
    lines = join()
    assert lines == [f"s{n:03}         failed: no answer in time" for n in range(SHOTS)]
    sandbox.resume()
    wait_until(lambda: executor.stats().running == 0)
    assert reads(sandbox) == 1 + WORKERS
    assert executor.stats().cancelled == 2 * SHOTS - WORKERS


def test_failures_end_the_program_with_1(run, sandbox, project, load, monkeypatch):
    """A shot whose calls fail spoils its own line, and the exit code."""
    example = load("async_service")
    describe = example.describe

    async def describe_or_fail(executor, shot):
        if shot["code"] == "s002":
            await executor.find("Nothing", [])
        return await describe(executor, shot)

    monkeypatch.setattr(example, "describe", describe_or_fail)
    done = run("async_service", "--shots", 5)
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[1].endswith("1/2 tasks, 0 versions")
    assert "failed: " in lines[2]


def test_bad_arguments_are_told(run, project):
    """A project that is not there, and numbers that make no sense, end with a message."""
    done = run("async_service", "--project", "No Such Show")
    assert done.code == 1
    assert "there is no project" in done.err
    assert run("async_service", "--shots", 0).code == 2


def test_on_its_own_site(alone):
    """Without arguments and environment it describes 50 shots of a demo show."""
    done = alone("async_service")
    assert done.code == 0, done.err
    assert "LS003_0100   " in done.out
    assert "50 shots in " in done.out
