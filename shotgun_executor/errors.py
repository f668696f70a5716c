"""The errors of this package.

What ``shotgun_api3`` raises passes through unchanged: ``Fault``, ``AuthenticationFault``,
``ProtocolError`` and the rest arrive with the class that existing ``except`` clauses name. What the
executor refuses is refused as in the standard library: ``RuntimeError`` after a shutdown,
``BrokenThreadPool`` after a failed initializer. The package adds::

    shotgun_api3.ShotgunError
    ├── PoolTimeout             (also a TimeoutError) no connection came free within the limit
    ├── DeadlineExceeded        (also a TimeoutError) a call did not end within its deadline
    ├── ShutdownError           a shutdown did not wait for the end of a call
    ├── TooManyCalls            max_pending calls wait already, and when_full is "raise"
    ├── DependencyError         a future among the arguments of a call failed
    ├── IncompleteError         a part of a bulk read failed; has what was found
    ├── ResumeError             a step of an earlier publish is neither taken over nor made again
    ├── DeadlockError           (also a RuntimeError) calls wait for each other in a circle
    └── UploadError             an upload failed; has the HTTP status, and the ids made so far

The error of a write of which nobody knows whether the site carried it out keeps its class, says so
in its message, and is told by :func:`outcome_unknown`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from shotgun_api3.shotgun import ShotgunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Aborted",
    "DeadlineExceeded",
    "DeadlockError",
    "DependencyError",
    "IncompleteError",
    "PoolTimeout",
    "ResumeError",
    "ShutdownError",
    "TooManyCalls",
    "UploadError",
    "bare_error",
    "encoded",
    "note_on",
    "outcome_unknown",
    "same_error",
]

E = TypeVar("E", bound=Exception)


class PoolTimeout(ShotgunError, TimeoutError):  # noqa: N818 - named as psycopg's and the stdlib's
    """No connection of a bounded pool came free within the limit."""


class DeadlineExceeded(ShotgunError, TimeoutError):  # noqa: N818 - gRPC's name for it
    """A call did not end within the deadline that ``options`` gave it. It says where the time went.

    If it was running, it was aborted; :func:`outcome_unknown` tells whether it was a write that the
    site may have carried out.
    """


class ShutdownError(ShotgunError):
    """A shutdown with a limit of time did not wait for the end of the call, and aborted it."""


class TooManyCalls(ShotgunError):  # noqa: N818 - named as what it is about
    """As many calls wait as ``max_pending`` allows, and ``when_full`` is "raise"."""


class DependencyError(ShotgunError):
    """A call was not made, because a future among its arguments failed: ``__cause__`` says how."""


class IncompleteError(ShotgunError):
    """A bulk read has not found everything: calls failed, see ``__cause__``, or ids are missing.

    Attributes:
        partial: What was found, in the shape of the result.
        failed: The values that could not be looked up, as they were given.
        missing: The ids that the site does not have, if these are an error.
    """

    def __init__(
        self, text: str, *, partial: Any, failed: Sequence[Any] = (), missing: Sequence[Any] = ()
    ) -> None:
        super().__init__(text)
        self.partial = partial
        self.failed = list(failed)
        self.missing = list(missing)


class ResumeError(ShotgunError):
    """A step of an earlier publish is neither taken over nor made again; the message says why.

    Nobody knows what has become of it, and then :func:`outcome_unknown` is true of the error; or
    its arguments are not what they were.

    Attributes:
        item: The key of the item.
        step: The name of the step.
    """

    def __init__(self, text: str, item: str, step: str) -> None:
        super().__init__(text)
        self.item = item
        self.step = step


class DeadlockError(ShotgunError, RuntimeError):
    """Calls wait for each other in a circle, so none of them would ever end."""


class UploadError(ShotgunError):
    """An upload failed.

    Attributes:
        status: The HTTP status that the site or the storage answered, if it answered.
        headers: The headers of that answer.
        made: What the call had created before: ``[{"type": ..., "id": ...}]``.
    """

    def __init__(
        self,
        text: str,
        status: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.headers = dict(headers or {})
        self.made: list[dict[str, Any]] = []


class Aborted(ConnectionAbortedError):  # noqa: N818 - says what happened, like its base
    """Somebody called ``abort()`` on the connection while the request was under way."""

    def __init__(self) -> None:
        super().__init__("the call was aborted from another thread")


def outcome_unknown(error: BaseException) -> bool:
    """Whether nobody knows if the site carried out the write that *error* is about.

    Such a call is never made again by itself. The message says what was sent and how to find out.
    """
    return bool(getattr(error, "_outcome_unknown", False))


def same_error(error: E) -> E:
    """A second exception like *error*, for another thread to raise.

    One exception object raised by several threads would collect the traceback frames of all of
    them. The constructor is not called, since some (``ProtocolError``) take other arguments than
    they keep.
    """
    twin = type(error).__new__(type(error), *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error
    return twin


def note_on(error: BaseException, text: str) -> None:
    """Have *error* say *text* as well: Python 3.11 and later show it with the traceback."""
    notes = getattr(error, "__notes__", ())
    if text not in notes:
        with contextlib.suppress(AttributeError):  # some exceptions take no attributes
            error.__notes__ = [*notes, text]  # type: ignore[attr-defined]


def bare_error(error: E) -> E:
    """An error like *error* that holds no frames, and with them no connection: it may be kept."""
    twin = same_error(error)
    twin.__cause__ = None
    return twin


def encoded(text: str, encoding: str) -> bytes:
    """*text*, encoded.

    Raises:
        UnicodeEncodeError: It cannot be; without the text around what cannot, as keys are in that.
    """
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        what, reason = error.object[error.start : error.end], error.reason
    raise UnicodeEncodeError(encoding, what, 0, len(what), reason)  # not within: as its context
