"""Outcomes are told though the stack is full."""

from __future__ import annotations

import contextlib
import threading

import pytest

from shotgun_executor.telling import Telling
from tests.support import LONG, settled


def use_stack(frames):
    """Use so many frames of the stack."""
    if frames:
        use_stack(frames - 1)


def at_full_stack(function):
    """Call *function* where the stack has room for sixty frames at most."""
    with contextlib.suppress(RecursionError):
        _deeper(function)


def _deeper(function):
    try:
        use_stack(60)
    except RecursionError:
        function()
    else:
        _deeper(function)


class Told:
    """Outcomes that are told by a function that needs some room on the stack."""

    def __init__(self, frames):
        self.frames = frames
        self.told = []
        self.over = threading.Event()
        self.telling = Telling(self.tell, self.note)
        self.noted = []

    def tell(self, outcome):
        use_stack(self.frames)
        self.told.append(outcome)

    def note(self, outcomes):
        self.noted += outcomes
        if len(self.noted) == 3:
            self.over.set()


@pytest.mark.parametrize("frames", [20, 40, 80, 160])
def test_what_a_full_stack_has_no_room_for_is_told_by_another_thread(frames):
    """All of it, though this thread never waits; and each once more at most."""
    told = Told(frames)
    at_full_stack(lambda: told.telling.tell("abc"))
    assert told.over.wait(LONG)
    assert sorted(set(told.told)) == ["a", "b", "c"]
    assert sorted(told.noted) == ["a", "b", "c"]


@pytest.mark.parametrize("frames", [20, 40, 80, 160])
def test_a_telling_in_a_callback_of_another_with_a_full_stack_loses_nothing(frames):
    """What the inner one has no room for is told when the outer one is over."""
    inner = Told(frames)
    done = []

    def tell_inner(outcome):
        at_full_stack(lambda: inner.telling.tell("abc"))
        done.append(outcome)

    Telling(tell_inner).tell("x")
    assert inner.over.wait(LONG)
    assert sorted(set(inner.told)) == ["a", "b", "c"]
    assert sorted(inner.noted) == ["a", "b", "c"]
    assert done == ["x"]


def test_what_no_stack_has_room_for_is_given_up(caplog):
    """A function that fails so on an empty stack, too, is not called for ever."""
    calls = []
    over = threading.Event()
    before = set(threading.enumerate())

    def endless(outcome):
        calls.append(outcome)
        raise RecursionError

    telling = Telling(endless, lambda told: over.set())
    with pytest.raises(RecursionError):
        telling.tell(["x"])
    assert over.wait(LONG)
    assert calls == ["x", "x"]
    assert not settled(before)
    assert "no stack had room" in caplog.text


@pytest.mark.parametrize("raised", [RecursionError, KeyboardInterrupt])
def test_what_comes_after_the_telling_is_done_though_it_was_interrupted(raised):
    """Whoever counts what was told hears of all of it."""
    over = threading.Event()
    noted = []

    def note(outcomes):
        noted.append(list(outcomes))
        if len(noted) == 1:
            raise raised
        over.set()

    telling = Telling(lambda outcome: None, note)
    with pytest.raises(raised):
        telling.tell("abc")
    assert over.wait(LONG)
    assert noted == [["a", "b", "c"]] * 2
