"""What is handed to a worker thread of the standard library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import concurrent.futures

    from shotgun_executor.call import Call
    from shotgun_executor.workers import Workers

__all__ = ["Runner"]


class Runner:
    """What is handed to a worker thread: it runs calls until none waits."""

    __slots__ = ("_dispatch", "calls", "handed_over", "keep", "ran")

    def __init__(self, dispatch: Workers) -> None:
        self._dispatch = dispatch
        self.ran = False  # it has had its turn
        self.keep: Any = None  # the executor: while it has work, it lives
        self.calls: list[Call] = []  # that it runs, each within the one before
        self.handed_over = False  # the stdlib's pool has it

    def __call__(self) -> None:
        """Run calls; on the worker thread."""
        self._dispatch.run(self)

    def ended(self, ended: concurrent.futures.Future[None]) -> None:
        """The callback of the stdlib's future of this run."""
        self._dispatch.runner_ended(self, ended)
