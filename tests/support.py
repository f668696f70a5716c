"""What the tests share: limits, gates, counts, and answers that are decoded twice."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any, Callable, Optional

from shotgun_api3 import Shotgun

from shotgun_executor import decode

LONG = 20.0
"""Seconds that nothing here takes; the limit of each wait, so that a bug fails, not hangs."""

NOWHERE = "http://127.0.0.1:9"
"""A site that nothing listens at, for tests that must not send anything."""

KEYS = {"script_name": "tool", "api_key": "not-a-secret"}


class Front:
    """A client that threads may share, and the object that it was made from."""

    def __init__(self, sg: Any, owner: Any) -> None:
        self.sg = sg
        self.owner = owner

    def on_client(self, function: Callable[..., Any], *args: object) -> Any:
        """``function(client, *args)`` on one of the real clients behind it."""
        return self.owner._run(function, *args)


class Gate:
    """A function body that blocks until it is let go, and tells when it was entered."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self, value: object = None) -> object:
        self.entered.release()
        assert self.opened.wait(LONG), "nobody opened the gate"
        return value

    def wait_for(self, count: int) -> None:
        """Return when *count* calls have come in."""
        for _ in range(count):
            assert self.entered.acquire(timeout=LONG), "too few calls came to the gate"

    def open(self) -> None:
        self.opened.set()


def in_thread(function: Callable[[], object]) -> Callable[..., Any]:
    """Run *function* in a thread; call what is returned for its result."""
    outcome: list[object] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as caught:
            error.append(caught)

    thread = threading.Thread(target=run)
    thread.start()

    def join(limit: float = LONG) -> Any:
        thread.join(limit)
        assert not thread.is_alive(), "the thread is still running"
        if error:
            raise error[0]
        return outcome[0]

    return join


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds, which is asked for again and again."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.002)


def open_sockets() -> Optional[int]:
    """How many sockets this process has open, where the system tells."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return None
    return sum(_is_socket(link) for link in folder.iterdir())


def _is_socket(link: Path) -> bool:
    try:
        return str(link.readlink()).startswith("socket:")
    except OSError:  # the descriptor of the listing itself is gone by now
        return False


def settled(before: set[threading.Thread]) -> set[threading.Thread]:
    """The threads that were started since *before* and are still there, after a grace."""
    new = {thread for thread in threading.enumerate() if thread not in before}
    for thread in new:
        _join(thread)
    return {thread for thread in new if thread.is_alive()}


def _join(thread: threading.Thread) -> None:
    """Wait for its end, for two seconds; another thread may be about to start it."""
    for _ in range(100):
        with contextlib.suppress(RuntimeError):
            thread.join(2.0)
            return
        threading.Event().wait(0.02)


def official_twin(client: Any) -> Any:
    """An unmodified client with the settings of *client*, to decode by; it never connects."""
    twin = object.__new__(Shotgun)
    vars(twin).update(vars(client))
    return twin


def compared(function: Callable[..., Any], differences: list[str]) -> Callable[..., Any]:
    """``decode.decoded``, and what the official client makes of the same answer."""

    def decoded(client: Any, headers: Any, body: Any) -> Any:
        answer = function(client, headers, body)
        if decode.decodes_as_official(client):
            twin = official_twin(client)
            expected = twin._transform_inbound(twin._decode_response(headers, body))
            _compare(answer, expected, differences)
        return answer

    return decoded


def compared_records(function: Callable[..., Any], differences: list[str]) -> Callable[..., Any]:
    """``decode.parse_records``, and what the official client makes of the same records."""

    def parse_records(client: Any, records: list[Any]) -> bool:
        expected = client._visit_data(records, lambda value: value)  # a copy, dates shared
        done = function(client, records)
        if done:
            official_twin(client)._parse_records(expected)
            _compare(records, expected, differences)
        return bool(done)

    return parse_records


def _compare(found: Any, expected: Any, differences: list[str]) -> None:
    if repr(found) != repr(expected):
        differences.append(f"{found!r:.500} is not {expected!r:.500}")
        raise AssertionError(differences[-1])
