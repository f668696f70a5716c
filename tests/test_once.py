from __future__ import annotations

import threading

import pytest

from shotgun_executor.once import Once
from tests.support import LONG, Gate, in_thread


def test_once_makes_one_value_for_all():
    """However many threads ask at the same time, the value is made once."""
    once: Once[object] = Once()
    gate = Gate()
    made = []

    def make():
        made.append(threading.get_ident())
        gate("entered")
        return object()

    asking = [in_thread(lambda: once.get(make)) for _ in range(8)]
    gate.wait_for(1)
    assert not once.known
    gate.open()
    values = {id(ask()) for ask in asking}
    assert len(values) == 1
    assert len(made) == 1
    assert once.known


def test_once_gives_a_failure_to_all_who_waited_and_asks_anew_later():
    """A failure reaches each waiter as an error of its own, and is not remembered."""
    once: Once[int] = Once()
    gate = Gate()
    waiting = threading.Semaphore(0)
    made = []

    def make():
        made.append(1)
        gate()
        raise OSError(113, "no route")

    def ask():
        waiting.release()
        once.get(make)

    asking = [in_thread(ask) for _ in range(4)]
    gate.wait_for(1)
    for _ in asking:
        assert waiting.acquire(timeout=LONG)
    while len(once._made._condition._waiters) < 3:  # all are in line: nothing else can be pending
        threading.Event().wait(0.001)
    gate.open()
    errors = []
    for join in asking:
        with pytest.raises(OSError, match="no route") as caught:
            join()
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 4
    assert {error.errno for error in errors} == {113}
    assert len(made) == 1
    assert once.get(lambda: 7) == 7


def test_once_survives_an_interrupted_maker():
    """If the maker is interrupted, one of those who waited makes the value."""
    once: Once[int] = Once()
    gate = Gate()

    def interrupted():
        gate()
        raise KeyboardInterrupt

    first = in_thread(lambda: once.get(interrupted))
    gate.wait_for(1)
    second = in_thread(lambda: once.get(lambda: 2))
    gate.open()
    with pytest.raises(KeyboardInterrupt):
        first()
    assert second() == 2


def test_once_does_not_wait_for_itself():
    """A maker that needs the value on its way makes it, rather than wait for ever."""
    once: Once[int] = Once()
    assert once.get(lambda: once.get(lambda: 1) + 1) == 2
