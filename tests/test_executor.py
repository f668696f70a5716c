"""The executor is a ``ThreadPoolExecutor``: what holds there holds here, and a little more."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import logging
import subprocess
import sys
import textwrap
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool

import pytest

from shotgun_executor import Future, ShotgunExecutor
from tests.support import KEYS, LONG, NOWHERE, Gate, in_thread


@pytest.fixture
def offline():
    """An executor with two workers whose site does not matter."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        yield executor


def fail(error):
    raise error


# Futures


def test_submit_returns_a_future_with_the_result(offline):
    """Submit runs the function with its arguments, and the future has what it returned."""
    future = offline.submit(lambda *args, **kwargs: (args, kwargs), 1, 2, fn=3, self=4)
    assert isinstance(future, (Future, concurrent.futures.Future))
    assert future.result(LONG) == ((1, 2), {"fn": 3, "self": 4})
    assert future.done()
    assert isinstance(offline, ThreadPoolExecutor)


def test_submit_gives_the_exception_to_the_future(offline):
    """Whatever a function raises, SystemExit included, is its future's; the workers live on."""
    errors = [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]
    futures = [offline.submit(fail, error) for error in errors]
    for future, error in zip(futures, errors):
        assert future.exception(LONG) is error
        with pytest.raises(type(error)):
            future.result(LONG)
    assert offline.submit(len, "abc").result(LONG) == 3


def test_a_callback_that_raises_system_exit_kills_no_worker(caplog):
    """A callback's own failure is logged, and the calls behind it are run."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        gate = Gate()
        first = executor.submit(gate)
        first.add_done_callback(lambda _: fail(SystemExit(1)))
        behind = executor.submit(len, "ab")
        gate.open()
        assert behind.result(LONG) == 2
    assert "a callback of a future raised" in caplog.text


def test_no_more_calls_run_than_there_are_workers(offline):
    """max_workers calls run at a time, and the others wait in the order of submission."""
    gate = Gate()
    order = []
    running = [offline.submit(gate, number) for number in range(2)]
    gate.wait_for(2)
    waiting = [offline.submit(order.append, number) for number in range(5)]
    assert not any(future.done() or future.running() for future in waiting)
    assert "2 of 2 workers at work, 5 calls waiting" in repr(offline)
    gate.open()
    concurrent.futures.wait(running + waiting, LONG)
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert [future.result(0) for future in running] == [0, 1]


def test_calls_run_in_the_order_of_submission():
    """First come, first served."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        order = []
        futures = [executor.submit(order.append, number) for number in range(500)]
        concurrent.futures.wait(futures, LONG)
    assert order == list(range(500))


def test_results_hold_no_reference_to_what_made_them(offline):
    """A finished call keeps neither its arguments nor its result alive."""

    class Thing:
        pass

    thing = Thing()
    seen = weakref.ref(thing)
    future = offline.submit(lambda item: item, thing)
    assert future.result(LONG) is thing
    del thing, future
    # the worker lets go of the call when it looks for the next one
    offline.submit(len, "").result(LONG)
    gc.collect()
    assert seen() is None


def test_a_failed_call_leaves_no_cycle(offline):
    """An exception frees what its frames hold as soon as the future is dropped."""

    class Thing:
        pass

    def work(thing):
        raise ValueError

    thing = Thing()
    seen = weakref.ref(thing)
    future = offline.submit(work, thing)
    assert isinstance(future.exception(LONG), ValueError)
    del thing
    offline.submit(len, "").result(LONG)
    gc.disable()
    try:
        del future
        assert seen() is None
    finally:
        gc.enable()


# Cancelling


def test_cancel_before_the_start_is_final_and_notified(offline):
    """A cancelled call never runs, and whoever waits for it is told at once."""
    gate = Gate()
    for _ in range(2):
        offline.submit(gate)
    gate.wait_for(2)
    ran = []
    future = offline.submit(ran.append, 1)
    called = []
    future.add_done_callback(called.append)
    assert future.cancel()
    assert future.cancel()
    assert called == [future]
    assert future.cancelled()
    # the standard library would wait here until a worker comes by
    assert concurrent.futures.wait([future], LONG).done == {future}
    assert list(concurrent.futures.as_completed([future], LONG)) == [future]
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(LONG)
    gate.open()
    offline.shutdown()
    assert ran == []


def test_cancel_of_a_running_call_changes_nothing(offline):
    """A running or finished call cannot be cancelled, as in the standard library."""
    gate = Gate()
    future = offline.submit(gate, "done")
    gate.wait_for(1)
    assert future.running()
    assert not future.cancel()
    gate.open()
    assert future.result(LONG) == "done"
    assert not future.cancel()


def test_cancel_from_many_threads_is_one_cancellation(caplog):
    """Threads that cancel at the same time, against workers: each future ends once."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        notified = []
        futures = [executor.submit(lambda: "ran") for _ in range(500)]
        for future in futures:
            future.add_done_callback(notified.append)
        joins = [in_thread(lambda: [future.cancel() for future in futures]) for _ in range(4)]
        for join in joins:
            join()
        assert not concurrent.futures.wait(futures, LONG).not_done
        assert len(notified) == 500
        for future in futures:
            assert future.cancelled() or future.result(0) == "ran"
    assert "unexpected state" not in caplog.text


# Shutting down


def test_shutdown_finishes_what_was_accepted(offline):
    """shutdown(wait=True) returns when all calls are done; later ones are refused."""
    gate = Gate()
    futures = [offline.submit(gate, number) for number in range(6)]
    gate.wait_for(2)
    shutting = in_thread(offline.shutdown)
    gate.open()
    shutting()
    assert [future.result(0) for future in futures] == list(range(6))
    offline.shutdown()
    for late in (lambda: offline.submit(len, ""), lambda: offline.find("Shot", [])):
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            late()
    with pytest.raises(RuntimeError, match="after shutdown"):
        offline.shotgun.find("Shot", [])
    with pytest.raises(RuntimeError, match="after shutdown"):
        offline.map(len, ["a"])


def test_shutdown_without_waiting_still_finishes(offline):
    """shutdown(wait=False) returns at once, and what was accepted is run."""
    gate = Gate()
    futures = [offline.submit(gate, number) for number in range(4)]
    gate.wait_for(2)
    offline.shutdown(wait=False)
    assert not futures[0].done()
    gate.open()
    assert [future.result(LONG) for future in futures] == list(range(4))


def test_shutdown_that_cancels_tells_all_who_wait(offline):
    """shutdown(cancel_futures=True): `wait` and `as_completed` return; the stdlib hangs here."""
    gate = Gate()
    running = [offline.submit(gate) for _ in range(2)]
    gate.wait_for(2)
    waiting = [offline.submit(len, "") for _ in range(4)]
    joins = [
        in_thread(lambda: concurrent.futures.wait(waiting, LONG)),
        in_thread(lambda: list(concurrent.futures.as_completed(waiting, LONG))),
    ]
    offline.shutdown(wait=False, cancel_futures=True)
    assert joins[0]().not_done == set()
    assert len(joins[1]()) == 4
    assert all(future.cancelled() for future in waiting)
    assert not any(future.cancelled() for future in running)
    gate.open()
    assert [future.result(LONG) for future in running] == [None, None]


def test_shutdown_closes_every_connection(sandbox):
    """After shutdown no connection is left, also of calls that ran on meanwhile."""
    executor = ShotgunExecutor(sandbox.url, **sandbox.credentials)
    executor.connect()
    sandbox.hold("read")
    futures = [executor.find("Shot", []) for _ in range(3)]
    sandbox.wait_for(3)
    executor.shutdown(wait=False)
    sandbox.resume()
    assert [future.result(LONG) for future in futures] == [[], [], []]
    executor.shutdown()
    assert "connections: 0 leased, 0 idle" in repr(executor)


def test_with_block_waits_also_after_an_exception():
    """`with` is the standard library's: it shuts down and waits, and hides no exception."""
    gate = Gate()
    gate.open()
    futures = []

    def work():
        with ShotgunExecutor(NOWHERE, **KEYS) as executor:
            futures.append(executor.submit(gate, 1))
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        work()
    assert futures[0].result(0) == 1


def test_an_executor_that_is_dropped_finishes_its_work():
    """Dropped with work pending: it lives until that is done, and then its threads end."""
    before = set(threading.enumerate())
    gate = Gate()
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
    futures = [executor.submit(gate, number) for number in range(5)]
    gate.wait_for(1)
    seen = weakref.ref(executor)
    workers = [thread for thread in threading.enumerate() if thread not in before]
    assert len(workers) == 1
    del executor
    gate.open()
    assert [future.result(LONG) for future in futures] == list(range(5))
    workers[0].join(LONG)
    assert not workers[0].is_alive()
    gc.collect()
    assert seen() is None


def test_an_executor_is_freed_at_once(sandbox):
    """Nothing but its user holds an executor: no cycle through facade, pool or prototype."""
    executor = ShotgunExecutor(sandbox.url, **sandbox.credentials)
    assert executor.shotgun.find("Shot", []) == []
    assert executor.server_info
    executor.shutdown()
    seen = weakref.ref(executor)
    gc.disable()
    try:
        del executor
        assert seen() is None
    finally:
        gc.enable()


def test_a_facade_keeps_its_executor(sandbox):
    """`sg = ShotgunExecutor(...).shotgun` is enough: the facade holds the executor."""
    sg = ShotgunExecutor(sandbox.url, **sandbox.credentials).shotgun
    gc.collect()
    assert sg.find("Shot", []) == []
    assert sg._executor.shotgun is sg
    sg._executor.shutdown()


SCRIPT = """
    import threading, time
    from shotgun_executor import ShotgunExecutor
    def work(number):
        time.sleep(0.02)
        print(f"ran {number}\\n", end="", flush=True)  # in one write: two workers print
    executor = ShotgunExecutor("http://127.0.0.1:9", "tool", "key", max_workers=2)
    {body}
    print("end of the script", flush=True)
"""


@pytest.mark.parametrize(
    ("body", "ran"),
    [
        ("futures = [executor.submit(work, n) for n in range(6)]", 6),
        ("[executor.submit(work, n) for n in range(6)]; del executor", 6),
        ("[executor.submit(work, n) for n in range(6)]; executor.shutdown(wait=False)", 6),
        (
            "[executor.submit(work, n) for n in range(50)]; "
            "executor.shutdown(wait=False, cancel_futures=True)",
            2,
        ),
        ("[executor.find('Shot', []) for n in range(6)]", 0),
        (
            "threading.Thread(target=lambda: (time.sleep(0.1), "
            "executor.submit(work, 1).result())).start()",
            None,
        ),
    ],
)
def test_interpreter_exit_never_hangs(body, ran):
    """The interpreter exits, and does what it accepted before; as in the standard library."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT).replace("{body}", body)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if ran is None:  # a thread that submits after the interpreter began to exit
        assert "cannot schedule new futures after interpreter shutdown" in done.stderr
    else:
        assert done.stderr == ""
        assert done.stdout.count("ran ") == ran
    assert "end of the script" in done.stdout


# Initializers


def test_initializer_runs_once_per_worker_and_may_use_the_facade(sandbox):
    """The initializer has the site at hand, on the connection of its worker."""
    seen = []

    def initialize(word):
        seen.append((word, holder[0].shotgun.find("Shot", []), threading.get_ident()))

    holder: list[ShotgunExecutor] = []
    with ShotgunExecutor(
        sandbox.url,
        **sandbox.credentials,
        max_workers=2,
        initializer=initialize,
        initargs=("hello",),
    ) as executor:
        holder.append(executor)
        gate = Gate()
        futures = [executor.submit(gate) for _ in range(2)]
        gate.wait_for(2)
        gate.open()
        concurrent.futures.wait(futures, LONG)
    holder.clear()
    assert [(word, found) for word, found, _ in seen] == [("hello", [])] * 2
    assert len({thread for *_, thread in seen}) == 2


def test_initializer_that_fails_fails_every_call_with_the_cause(caplog):
    """No future is left behind by a failed initializer, and each says what happened."""
    caplog.set_level(logging.CRITICAL + 1, "concurrent.futures")
    gate = Gate()

    def initialize():
        gate()
        raise OSError("no licence")

    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2, initializer=initialize) as executor:
        futures = [executor.submit(len, "") for _ in range(6)]
        gate.wait_for(1)
        gate.open()
        for future in futures:
            error = future.exception(LONG)
            assert isinstance(error, BrokenThreadPool)
            assert isinstance(error.__cause__, OSError)
            assert "initializer of a worker failed" in str(error)
        with pytest.raises(BrokenThreadPool):
            executor.submit(len, "")


# map


def test_map_gives_results_in_order(offline):
    """Map is the standard library's: several iterables, the shortest ends it, in order."""
    assert list(offline.map(pow, [2, 3, 4], [5, 2, 1, 9])) == [32, 9, 4]
    assert list(offline.map(len, [])) == []


def test_map_reads_no_further_than_its_buffer():
    """With a buffersize the input is read as results are taken, and exactly that far."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=4) as executor:
        read = []

        def numbers():
            number = 0
            while True:  # an input that never ends
                read.append(number)
                yield number
                number += 1

        results = executor.map(str, numbers(), buffersize=3)
        assert len(read) == 3
        assert next(results) == "0"
        assert len(read) == 4
        assert [next(results) for _ in range(10)] == [str(n) for n in range(1, 11)]
        assert len(read) == 14
        results.close()
        assert list(results) == []
        assert len(read) == 14


@pytest.mark.parametrize(
    ("buffersize", "error"), [(0, ValueError), (-1, ValueError), ("2", TypeError)]
)
def test_map_refuses_a_bad_buffersize(offline, buffersize, error):
    """A buffersize that is none is refused by name."""
    with pytest.raises(error, match="buffersize must be"):
        offline.map(len, ["a"], buffersize=buffersize)


@pytest.mark.parametrize("how", ["close", "drop", "with"])
def test_map_cancels_what_has_not_started_even_if_never_asked(how):
    """An iterator that nobody asked for a result cancels its calls; the stdlib runs them all."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        gate = Gate()
        ran = []
        executor.submit(gate)
        gate.wait_for(1)
        results = executor.map(ran.append, range(20))
        assert "20 calls waiting" in repr(executor)
        if how == "close":
            results.close()
        elif how == "drop":
            del results
            gc.collect()
        else:
            with results:
                pass
        gate.open()
    assert ran == []


def test_map_stops_at_an_error_and_cancels_the_rest():
    """The first exception is raised in its place, and what has not started never does."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        gate = Gate()
        ran = []

        def work(number):
            if number == 1:
                raise ValueError("one")
            if number == 2:
                gate()
            ran.append(number)
            return number

        results = executor.map(work, range(20))
        assert next(results) == 0
        gate.wait_for(1)
        with pytest.raises(ValueError, match="one"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)
        gate.open()
    assert ran == [0, 2]


def test_map_loses_no_result_to_an_error_of_its_input(offline):
    """If the input fails midway, the results before it come first, then the error."""

    def numbers():
        yield from range(3)
        raise OSError("no more")

    results = offline.map(str, numbers(), buffersize=2)
    assert [next(results), next(results), next(results)] == ["0", "1", "2"]
    with pytest.raises(OSError, match="no more"):
        next(results)
    assert list(results) == []


def test_map_times_out(offline):
    """A result that is not there in time raises TimeoutError, and the rest is cancelled."""
    gate = Gate()
    results = offline.map(gate, range(5), timeout=0.01)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
    gate.open()


def test_map_keeps_its_executor():
    """The iterator holds the executor: results of a temporary one are all there."""
    results = ShotgunExecutor(NOWHERE, **KEYS, max_workers=2).map(str, range(50), buffersize=2)
    gc.collect()
    assert list(results) == [str(number) for number in range(50)]


# Shotgun's methods


def test_methods_return_futures_of_what_the_client_returns(sandbox, executor):
    """Every remote method is a future at once, and many run at a time."""
    project = executor.create("Project", {"name": "x"}).result(LONG)
    sandbox.hold("create")
    futures = [executor.create("Shot", {"code": f"sh{n}", "project": project}) for n in range(8)]
    sandbox.wait_for(8)
    assert sandbox.counters().peak_in_flight == 8
    assert not any(future.done() for future in futures)
    sandbox.resume()
    ids = [future.result(LONG)["id"] for future in futures]
    found = executor.find("Shot", [["id", "in", ids]], ["code"]).result(LONG)
    assert {shot["code"] for shot in found} == {f"sh{n}" for n in range(8)}


def test_methods_refuse_wrong_arguments_at_once(executor, sandbox):
    """A missing or unknown argument is an error of the call, not of some future."""
    for call, says in (
        (lambda: executor.find("Shot"), r"find\(\) missing .*'filters'"),
        (lambda: executor.find("Shot", [], filed=["code"]), r"find\(\) got .*'filed'"),
        (lambda: executor.create(), r"create\(\) missing"),
    ):
        with pytest.raises(TypeError, match=says):
            call()
    assert sandbox.counters().total == 0


def test_methods_copy_their_arguments(sandbox, executor):
    """What is changed after the call was made does not change the call."""
    project = executor.create("Project", {"name": "x"}).result(LONG)
    sandbox.hold("create", before=True)
    data = {"code": "right", "project": project}
    waiting = [executor.create("Shot", data) for _ in range(9)]  # the last one waits for a worker
    sandbox.wait_for(8)
    data["code"] = "wrong"
    data["project"]["id"] = 10**6
    sandbox.resume()
    ids = [future.result(LONG)["id"] for future in waiting]
    found = executor.find("Shot", [["id", "in", ids]], ["code"]).result(LONG)
    assert {shot["code"] for shot in found} == {"right"}


def test_call_gives_the_function_the_client_of_its_worker(sandbox, executor):
    """executor.call: several calls on one connection, and arguments as given."""
    project = executor.create("Project", {"name": "x"}).result(LONG)

    def publish(sg, code, *, description):
        shot = sg.create("Shot", {"code": code, "project": project})
        sg.update("Shot", shot["id"], {"description": description})
        # the facade, within a worker, is that worker's connection
        assert executor.shotgun.find_one("Shot", [["id", "is", shot["id"]]]) is not None
        return sg.find_one("Shot", [["id", "is", shot["id"]]], ["code", "description"])

    shot = executor.call(publish, "sh010", description="first").result(LONG)
    assert (shot["code"], shot["description"]) == ("sh010", "first")
    assert sandbox.counters().connections <= 2


def test_facade_within_a_worker_needs_no_other_worker(sandbox):
    """Old code in a task, on an executor with one worker: its calls run at once, right there."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        sg = executor.shotgun
        project = sg.create("Project", {"name": "x"})

        def old_code(name):
            shot = sg.create("Shot", {"code": name, "project": project})
            assert sg.server_info["version"]
            return sg.find_one("Shot", [["id", "is", shot["id"]]], ["code"])["code"]

        assert list(executor.map(old_code, ["a", "b", "c"])) == ["a", "b", "c"]
    assert sandbox.counters().connections == 1


def test_executor_connections_are_at_most_its_workers(sandbox):
    """Whatever runs, there are never more connections than workers, and one `info`."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=3) as executor:
        project = executor.create("Project", {"name": "x"}).result(LONG)
        sg = executor.shotgun
        joins = [
            in_thread(lambda: [sg.find("Project", [], ["name"]) for _ in range(50)])
            for _ in range(10)
        ]
        futures = [executor.find_one("Project", [["id", "is", project["id"]]]) for _ in range(200)]
        assert len({str(future.result(LONG)) for future in futures}) == 1
        for join in joins:
            join()
    counters = sandbox.counters()
    assert counters.connections <= 3
    assert counters.peak_in_flight <= 3
    assert counters.requests["info"] == 1


def test_local_members_act_at_once(sandbox, executor):
    """What Shotgun has and sends nothing is no future, and keeps its meaning."""
    assert executor.base_url == sandbox.url
    assert executor.client_caps.py_version
    executor.add_user_agent("tool 1")
    executor.set_session_uuid("u")
    executor.config.timeout_secs = 5
    assert executor.get_attachment_download_url({"url": "http://x/y"}) == "http://x/y"
    with pytest.raises(Exception, match="schema_field_read"):
        executor.schema("Shot")
    with pytest.raises(Exception, match="schema_entity_read"):
        executor.entity_types()
    assert sandbox.counters().total == 0
    assert executor.server_info["version"] == list(executor.server_caps.version)
    assert executor.config.records_per_page
    assert sandbox.counters().requests == {"info": 1}

    def seen(sg):
        return sg._user_agents[-1], sg.config.session_uuid, sg.config.timeout_secs

    assert executor.call(seen).result(LONG) == ("tool 1", "u", 5)
    executor.reset_user_agent()
    assert executor.call(seen).result(LONG)[0] != "tool 1"
    executor.close()
    assert "0 idle" in repr(executor)
    executor.connect()
    assert sandbox.counters().requests == {"info": 2}


def test_connect_true_connects_and_fails_early(sandbox):
    """`connect=True` is Shotgun's: it asks the site in the constructor; the default does not."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, connect=True):
        assert sandbox.counters().requests == {"info": 1}
    with pytest.raises(ConnectionRefusedError):
        ShotgunExecutor(NOWHERE, **KEYS, connect=True)


def test_ctrl_c_while_waiting_withdraws_what_has_not_started(sandbox, monkeypatch):
    """An interrupted facade call that no worker has taken is cancelled, not sent later."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=1) as executor:
        gate = Gate()
        executor.submit(gate)
        gate.wait_for(1)

        def interrupted(self, timeout=None):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Future, "result", interrupted)
            with pytest.raises(KeyboardInterrupt):
                executor.shotgun.create("Project", {"name": "never"})
        gate.open()
        assert executor.shotgun.find("Project", [["name", "is", "never"]]) == []
    assert "create" not in sandbox.counters().requests


def test_call_passes_any_keyword(executor):
    """No name of an argument is ours: `self`, `function` and `client` are the user's too."""
    given = {"self": 1, "function": 2, "fn": 3, "client": 4, "prototype": 5}
    assert executor.call(lambda sg, /, **kwargs: kwargs, **given).result(LONG) == given
    assert executor.submit(lambda **kwargs: kwargs, **given).result(LONG) == given


def test_map_dropped_in_a_garbage_collection_locks_nothing_up(offline):
    """An iterator in a cycle is collected at any point, under our own locks too."""

    def drop():
        results = offline.map(len, ["a"] * 5)
        cycle = [results]
        cycle.append(cycle)

    before = gc.get_threshold()
    gc.set_threshold(7)
    try:
        for _ in range(300):
            drop()
    finally:
        gc.set_threshold(*before)
    assert offline.submit(len, "ab").result(LONG) == 2


def test_shutdown_loses_no_call_that_was_accepted():
    """Threads submit while another shuts down: each call is refused at once, or is done."""
    for _ in range(60):
        executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=2)
        accepted = []
        start = threading.Barrier(4)

        def submit(executor=executor, accepted=accepted, start=start):
            start.wait(LONG)
            with contextlib.suppress(RuntimeError):
                while True:
                    accepted.append(executor.submit(len, "abc"))

        joins = [in_thread(submit) for _ in range(3)]
        start.wait(LONG)
        executor.shutdown()
        for join in joins:
            join()
        assert all(future.result(LONG) == 3 for future in accepted)


def test_a_full_stack_resolves_the_future(offline):
    """A worker that has no stack left to run what it waits for fails that call."""
    inner = []

    def deep(depth):
        if depth:
            return deep(depth - 1)
        inner.append(offline.submit(len, ""))
        return inner[-1].result()

    gate = Gate()
    other = offline.submit(gate)  # leaves one worker, which is to run what it waits for
    gate.wait_for(1)
    for depth in range(sys.getrecursionlimit() - 160, sys.getrecursionlimit(), 2):
        offline.submit(deep, depth).exception(LONG)
    gate.open()
    other.result(LONG)
    assert not concurrent.futures.wait(inner, LONG).not_done


# asyncio


def test_asyncio_runs_calls_in_it(sandbox, executor):
    """run_in_executor, wrap_future and set_default_executor take it for what it is."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(executor)
        found = await asyncio.gather(
            loop.run_in_executor(executor, executor.shotgun.find, "Shot", []),
            loop.run_in_executor(None, executor.shotgun.find, "Shot", []),
            asyncio.wrap_future(executor.find("Shot", [])),
        )
        gate = Gate()
        running = [executor.submit(gate) for _ in range(8)]
        await loop.run_in_executor(ThreadPoolExecutor(1), gate.wait_for, 8)
        task = asyncio.ensure_future(asyncio.wrap_future(executor.submit(len, "")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open()
        await asyncio.gather(*map(asyncio.wrap_future, running))
        return found

    assert asyncio.run(main()) == [[], [], []]
