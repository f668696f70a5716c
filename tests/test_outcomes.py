"""map_outcomes: what happened to each item, whatever happened to the others."""

from __future__ import annotations

import concurrent.futures

import pytest
import shotgun_api3

from shotgun_executor import Outcome, ShotgunExecutor
from tests.support import KEYS, LONG, NOWHERE, Gate


@pytest.fixture
def offline():
    """An executor with two workers whose site does not matter."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=2) as executor:
        yield executor


def invert(number):
    return 1 / number


@pytest.mark.parametrize("ordered", [True, False])
def test_each_item_has_its_outcome(offline, ordered):
    """A failing item ends nothing: each has its arguments, and a result or an error."""
    outcomes = list(offline.map_outcomes(invert, [4, 0, 2], ordered=ordered))
    if not ordered:
        outcomes.sort(key=lambda outcome: -outcome.args[0])
        outcomes[1:] = outcomes[2:0:-1]
    assert [outcome.args for outcome in outcomes] == [(4,), (0,), (2,)]
    assert [outcome.result for outcome in outcomes] == [0.25, None, 0.5]
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, ZeroDivisionError)


def test_outcomes_come_as_they_are_done(offline):
    """With ordered=False a slow first item holds up none of the others."""
    gate = Gate()
    outcomes = offline.map_outcomes(
        lambda number: gate(number) if number == 0 else number, range(5), ordered=False
    )
    assert {next(outcomes).result for _ in range(4)} == {1, 2, 3, 4}
    gate.open()
    assert next(outcomes).result == 0
    with pytest.raises(StopIteration):
        next(outcomes)


@pytest.mark.parametrize("ordered", [True, False])
def test_outcomes_read_no_further_than_their_buffer(offline, ordered):
    """An input that never ends is read buffersize items ahead, and what waits is cancelled."""
    read = []

    def numbers():
        while True:
            read.append(len(read))
            yield read[-1]

    with offline.map_outcomes(str, numbers(), buffersize=3, ordered=ordered) as outcomes:
        assert len(read) == 3
        seen = [next(outcomes).result for _ in range(20)]
        assert len(read) == 23
    assert sorted(seen, key=int)[:15] == [str(number) for number in range(15)]
    assert list(outcomes) == []


@pytest.mark.parametrize("ordered", [True, False])
def test_outcomes_within_a_worker(ordered):
    """On the only worker there is, the items are run by it."""
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:

        def outer():
            found = executor.map_outcomes(invert, [1, 0, 2], buffersize=2, ordered=ordered)
            return [outcome.result for outcome in found]

        assert executor.submit(outer).result(LONG) == [1.0, None, 0.5]


@pytest.mark.parametrize("ordered", [True, False])
def test_outcomes_time_out(offline, ordered):
    """A limit of time ends the iteration, and cancels the rest."""
    gate = Gate()
    outcomes = offline.map_outcomes(gate, range(5), timeout=0.01, ordered=ordered)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(outcomes)
    gate.open()


def test_a_cancelled_item_is_an_outcome():
    """Items that a shutdown has cancelled are reported as such."""
    executor = ShotgunExecutor(NOWHERE, **KEYS, max_workers=1)
    gate = Gate()
    executor.submit(gate)
    gate.wait_for(1)
    outcomes = executor.map_outcomes(len, ["a", "b"])
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    found = list(outcomes)
    assert [outcome.args for outcome in found] == [("a",), ("b",)]
    assert all(isinstance(outcome.error, concurrent.futures.CancelledError) for outcome in found)
    executor.shutdown()


def test_outcomes_of_calls_to_the_site(sandbox, executor):
    """A bulk job with bad rows: the good ones are made, the bad ones say why not."""
    project = executor.create("Project", {"name": "x"}).result(LONG)
    sg = executor.shotgun

    def create(code):
        return sg.create("Shot", {"code": code, "project": project})["code"]

    outcomes = list(executor.options(priority=1).map_outcomes(create, ["a", 5, "c"]))
    assert [outcome.result for outcome in outcomes] == ["a", None, "c"]
    assert isinstance(outcomes[1].error, shotgun_api3.Fault)
    assert outcomes[0] == Outcome(("a",), result="a")
