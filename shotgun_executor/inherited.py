"""Options of a function that hold for the calls that are made within it."""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Generator

    from shotgun_executor.call import Options
    from shotgun_executor.retry import Retries

__all__ = ["inherited", "inherited_retries", "passed_on"]

# Those of the function that runs, and whose calls they are about: those of one executor. A call
# runs with the variables of who submitted it, so this needs no care of threads.
_held: contextvars.ContextVar[Optional[tuple[object, Options]]] = contextvars.ContextVar(
    "options_of_the_function", default=None
)

_NOTHING: contextlib.AbstractContextManager[None] = contextlib.nullcontext()


def inherited(scope: object, options: Options) -> Options:
    """*options*, and what they leave open as the function that runs was submitted with."""
    held = _held.get()
    if held is None or held[0] is not scope:
        return options
    timeout, retries = options.timeout, options.retries
    return options._replace(
        timeout=held[1].timeout if timeout is None else timeout,
        retries=held[1].retries if retries is None else retries,
    )


def inherited_retries(scope: object) -> Optional[Retries]:
    """The policy that the function that runs was submitted with, if it was with one."""
    held = _held.get()
    return held[1].retries if held is not None and held[0] is scope else None


def passed_on(scope: object, options: Options) -> contextlib.AbstractContextManager[None]:
    """For submitting a function: have *options* hold for the calls made within it."""
    if options.timeout is None and options.retries is None:
        return _NOTHING
    return _held_for(scope, options)


@contextlib.contextmanager
def _held_for(scope: object, options: Options) -> Generator[None, None, None]:
    token = _held.set((scope, options))
    try:
        yield
    finally:
        _held.reset(token)
