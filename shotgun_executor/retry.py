"""Which calls may be made again after which errors, and when.

A call that only reads may always be made again. A call that writes may be made again only if it is
certain that the site did not carry it out. Nothing here waits or sends: it decides.
"""

from __future__ import annotations

import email.utils
import enum
import errno
import http.client
import random
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Optional, Union
from xmlrpc.client import ProtocolError

from shotgun_api3.shotgun import Shotgun

from shotgun_executor.contract import ServerNotFoundError
from shotgun_executor.errors import PoolTimeout
from shotgun_executor.opening import Aborted
from shotgun_executor.transport import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "READS",
    "Budget",
    "Repeats",
    "Retries",
    "Sent",
    "Trace",
    "Verdict",
    "blame_storage",
    "give_up",
    "given_up",
    "is_overload",
    "is_read",
    "is_read_request",
    "sent_of",
    "verdict",
    "was_refused",
    "wrote",
]

READS: Mapping[str, tuple[str, ...]] = {
    "activity_stream_read": ("activity_stream",),
    "connect": ("info",),
    "download_attachment": (),  # writes to a temporary file, renamed when it is complete
    "export_page": ("export_page",),
    "find": ("read",),
    "find_one": ("read",),
    "followers": ("followers",),
    "following": ("following",),
    "get_attachment_download_url": (),
    "get_session_token": ("get_session_token",),  # a token more or less changes nothing
    "info": ("info",),
    "nav_expand": ("nav_expand",),
    "nav_search_entity": ("nav_search",),
    "nav_search_string": ("nav_search",),
    "note_thread_read": ("note_thread_contents",),
    "preferences_read": ("preferences_read",),
    "schema_entity_read": ("schema_entity_read",),
    "schema_field_read": ("schema_field_read",),
    "schema_read": ("schema_read",),
    "summarize": ("summarize",),
    "text_search": ("query_display_name_cache",),
    "user_subscriptions_read": ("user_subscriptions_read",),
    "work_schedule_read": ("work_schedule_read",),
}
"""The public methods that only read, and the requests that each makes. All others write."""

_READ_REQUESTS = frozenset(request for requests in READS.values() for request in requests)

# The site, or what stands before it, answers these without carrying anything out.
_NOT_CARRIED_OUT = frozenset({429, 503})
_PASSING_STATUS = frozenset({429, 502, 503, 504})
_PASSING_ERRNO = frozenset(
    {
        *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE),
        *(errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET),
        *(errno.EHOSTUNREACH, errno.EADDRNOTAVAIL),
    }
)


def is_read(method: str) -> bool:
    """Whether the public *method* only reads. One that is not known counts as writing."""
    return method in READS


def is_read_request(name: Optional[str]) -> bool:
    """Whether the request *name* of the JSON API only reads."""
    return name in _READ_REQUESTS


class Sent(enum.Enum):
    """What the site may have carried out of a call."""

    NOTHING = "the site carried out no part of the call"
    UNKNOWN = "the site may have carried the call out"
    EXECUTED = "the site carried out a part of the call"


class Trace:
    """What has become of the requests of one call that write."""

    def __init__(self) -> None:
        self.executed = 0
        self.unknown = 0
        self.last = Sent.NOTHING
        """What has become of the last request."""

    @property
    def sent(self) -> Sent:
        """What the site may have carried out of the whole call."""
        if self.executed:
            return Sent.EXECUTED
        return Sent.UNKNOWN if self.unknown else Sent.NOTHING

    def began(self) -> None:
        """A request is about to be made."""
        self.last = Sent.NOTHING

    def failed(self, phase: Phase) -> None:
        """A request that writes ended without an answer."""
        if phase is Phase.WHOLE:
            self._may_be_executed()

    def answered(self, status: int, *, redirected: bool = False) -> None:
        """A request that writes was answered.

        *redirected*: It was taken before, and its outcome asked for elsewhere: this is the answer
        to that.
        """
        if status < 300:
            self.executed += 1
            self.last = Sent.EXECUTED
        elif redirected or (status >= 500 and status not in _NOT_CARRIED_OUT):
            self._may_be_executed()

    def refused(self) -> None:
        """The answer said that the last request was not carried out."""
        if self.last is Sent.EXECUTED:
            self.executed -= 1
            self.last = Sent.NOTHING

    def unreadable(self) -> None:
        """There was an answer, but nobody can tell what it says."""
        if self.last is Sent.EXECUTED:
            self.executed -= 1
            self._may_be_executed()

    def include(self, inner: Trace) -> None:
        """Add the requests of a call that was made within this one."""
        self.executed += inner.executed
        self.unknown += inner.unknown

    def _may_be_executed(self) -> None:
        self.unknown += 1
        self.last = Sent.UNKNOWN


def sent_of(error: BaseException) -> Sent:
    """What the site may have carried out of the call that raised *error*, as far as is known."""
    sent = getattr(error, "_sent", Sent.UNKNOWN)
    return sent if isinstance(sent, Sent) else Sent.UNKNOWN


def wrote(error: BaseException) -> bool:
    """Whether *error* is known to be of a call that has sent something which writes.

    A method that reads does not; in a user's class it may.
    """
    return getattr(error, "_sent", Sent.NOTHING) is not Sent.NOTHING


def give_up(error: Exception) -> None:
    """The whole is not made again for *error*, nor is any part of it.

    A part was repeated as often as it may be, or a function of the user's has raised it.
    """
    error._given_up = True  # type: ignore[attr-defined]  # any error takes attributes


def given_up(error: BaseException) -> bool:
    """Whether what *error* has ended is not to be made again for it."""
    return bool(getattr(error, "_given_up", False))


def blame_storage(error: Exception) -> None:
    """*error* is of the storage for files, and tells nothing of the site."""
    error._of_storage = True  # type: ignore[attr-defined]  # any error takes attributes


class Verdict(NamedTuple):
    """Whether to make a call again."""

    repeat: bool
    after: Optional[float]
    """Seconds to wait before; None if it is not to be made again."""
    reason: str


class Retries:
    """How often and when a call is made again; never changes.

    ::

        ShotgunExecutor(..., retries=Retries(5, longest_wait=60))
        ShotgunExecutor(..., retries=0)      # fail at once

    Args:
        count: How often a call may be made again after its first attempt.
        first_wait: The first wait is drawn at random between nothing and so many seconds; each
            further one from twice the range, so that many clients do not come back at once.
        longest_wait: The end of that range, in seconds.
        longest_retry_after: If the site says when to come back (``Retry-After``), that is obeyed,
            but for no more than so many seconds.
        within: Seconds from the first attempt after which none is begun. None: no such limit.
    """

    __slots__ = ("count", "first_wait", "longest_retry_after", "longest_wait", "within")

    count: int
    first_wait: float
    longest_wait: float
    longest_retry_after: float
    within: Optional[float]

    def __init__(
        self,
        count: int = 3,
        *,
        first_wait: float = 0.5,
        longest_wait: float = 30.0,
        longest_retry_after: float = 60.0,
        within: Optional[float] = None,
    ) -> None:
        given: dict[str, object] = {
            "count": count,
            "first_wait": first_wait,
            "longest_wait": longest_wait,
            "longest_retry_after": longest_retry_after,
            "within": within,
        }
        for name, value in given.items():
            _check_setting(name, value)
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Retries never change; make another with another {name}")

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)!r}" for name in sorted(self.__slots__))
        return f"Retries({parts})"

    def wait_before(self, attempt: int, retry_after: Optional[float]) -> float:
        """Seconds to wait when *attempt* (1 is the first) has failed."""
        reach = min(self.longest_wait, self.first_wait * 2 ** min(attempt - 1, 30))
        if retry_after is None:
            return random.uniform(0, reach)  # noqa: S311 - spreads load, guards nothing
        return min(retry_after, self.longest_retry_after) + random.uniform(0, self.first_wait)  # noqa: S311


def _check_setting(name: str, value: object) -> None:
    """Refuse what is no setting of :class:`Retries`."""
    kind = int if name == "count" else (int, float)
    number = isinstance(value, kind) and not isinstance(value, bool) and value >= 0
    if not number and not (name == "within" and value is None):
        what = "an integer" if name == "count" else "seconds"
        raise ValueError(f"Retries: {name} must be {what}, at least 0, not {value!r}")


class Budget:
    """How many repeats all calls of a pool may make together, so that a dead site is not flooded.

    Each repeat takes one from it, each success gives a part of one back.
    """

    def __init__(self, size: float = 20.0, refund: float = 0.1) -> None:
        self.size = size
        self.refund = refund
        self._lock = threading.Lock()
        self._left = size

    def forget_parent(self) -> None:
        """In a forked process: nobody is left who would set the lock free."""
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a repeat; False if none is left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def succeeded(self) -> None:
        """A call has succeeded. Called for each, so nothing is locked while nothing is missing."""
        if self._left < self.size:
            with self._lock:
                self._left = min(self.size, self._left + self.refund)

    def __repr__(self) -> str:
        return f"<Budget {self._left:g} of {self.size:g} repeats left>"


class Repeats:
    """The policy of a pool, with the budget that all its calls share."""

    def __init__(self, policy: Retries, budget: Optional[Budget] = None) -> None:
        self.policy = policy
        self.budget = budget or Budget()

    def after(
        self,
        method: str,
        error: BaseException,
        attempt: int,
        *,
        elapsed: float = 0.0,
        policy: Optional[Retries] = None,
    ) -> Verdict:
        """Whether the call of *method* that raised *error* is to be made again, and when.

        Args:
            method: The name of the public method.
            error: What it raised.
            attempt: Which attempt that was; 1 is the first.
            elapsed: Seconds since the first attempt began.
            policy: Instead of that of the pool.
        """
        if given_up(error):
            return Verdict(False, None, "what has raised it is not made again")
        if is_read(method) and wrote(error):
            return Verdict(False, None, f"{method} of this class writes, too")
        found = verdict(method, error, sent_of(error))
        return self._limited(found, attempt, elapsed, policy or self.policy)

    def after_harmless(
        self,
        error: BaseException,
        attempt: int,
        *,
        elapsed: float = 0.0,
        policy: Optional[Retries] = None,
    ) -> Verdict:
        """The same for a request that does no harm if it is sent again: a part of an upload."""
        passing = passing_reason(error)
        if passing is None and status_of(error) == 500:
            passing = "the storage answered 500"  # which passes, as its makers say
        if passing is None:
            return Verdict(False, None, f"{type(error).__name__} does not pass by itself")
        found = Verdict(True, retry_after_of(error), passing)
        return self._limited(found, attempt, elapsed, policy or self.policy)

    def _limited(self, found: Verdict, attempt: int, elapsed: float, policy: Retries) -> Verdict:
        """What the policy and the budget leave of a verdict."""
        if not found.repeat:
            return found
        if attempt > policy.count:
            return Verdict(False, None, f"{found.reason}; this was attempt {attempt}")
        wait = policy.wait_before(attempt, found.after)
        if policy.within is not None and elapsed + wait > policy.within:
            return Verdict(False, None, f"{found.reason}; {policy.within:g} s are over")
        if not self.budget.take():
            return Verdict(False, None, f"{found.reason}; too many calls fail to repeat this one")
        return Verdict(True, wait, found.reason)

    def succeeded(self) -> None:
        """A call has succeeded."""
        self.budget.succeeded()


def verdict(method: str, error: BaseException, sent: Sent) -> Verdict:
    """Whether *method* may be made again after *error*, whatever the policy says.

    Returns:
        The verdict; its ``after`` is what the site said in Retry-After, if it did.
    """
    passing = passing_reason(error)
    if not hasattr(Shotgun, method):
        return Verdict(False, None, f"{method} is not a method of Shotgun: it may do anything")
    if passing is None:
        return Verdict(False, None, f"{type(error).__name__} does not pass by itself")
    if is_read(method):
        return Verdict(True, retry_after_of(error), f"{passing}, and {method} only reads")
    if sent is Sent.NOTHING:
        return Verdict(True, retry_after_of(error), f"{passing}, and {sent.value}")
    return Verdict(False, None, f"{passing}, but {sent.value}")


def passing_reason(error: BaseException) -> Optional[str]:
    """What it is about *error* that may be over soon; None if nothing."""
    if isinstance(error, (Aborted, PoolTimeout)):
        return None
    status = status_of(error)
    if status is not None:
        return f"the site answered {status}" if status in _PASSING_STATUS else None
    if isinstance(error, ssl.SSLCertVerificationError):
        return None
    if isinstance(error, ServerNotFoundError):
        return "the name of the site was not found"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "the site was silent"
    if isinstance(error, (ssl.SSLError, ConnectionError, http.client.HTTPException)):
        return "the connection failed"
    if isinstance(error, OSError) and error.errno in _PASSING_ERRNO:
        return "the connection failed"
    cause = error.__cause__
    # An error of an upload or a download is about what it was caused by.
    return passing_reason(cause) if cause is not None and hasattr(error, "status") else None


def is_overload(error: BaseException) -> bool:
    """Whether *error* tells that the site has too much to do: 429, 503, or silence."""
    if isinstance(error, (Aborted, PoolTimeout)) or getattr(error, "_of_storage", False):
        return False
    return status_of(error) in (429, 503) or isinstance(error, (socket.timeout, TimeoutError))


def was_refused(error: BaseException) -> bool:
    """Whether *error* tells that the site has carried nothing out: 429 and 503."""
    return status_of(error) in _NOT_CARRIED_OUT


def status_of(error: BaseException) -> Optional[int]:
    """The HTTP status that *error* tells of."""
    status = error.errcode if isinstance(error, ProtocolError) else getattr(error, "status", None)
    return status if isinstance(status, int) else None


def retry_after_of(error: BaseException) -> Optional[float]:
    """Seconds until the site wants to be asked again, if it said so."""
    headers: Union[Mapping[str, str], None] = getattr(error, "headers", None)
    if not hasattr(headers, "get"):
        return None
    assert headers is not None
    return parse_retry_after(headers.get("retry-after"))


def parse_retry_after(value: Optional[str], now: Optional[float] = None) -> Optional[float]:
    """Seconds, of a Retry-After that holds seconds or a date; None if it holds neither."""
    if not isinstance(value, str):
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    try:
        then = email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError, OSError):
        return None  # no date, or one that this system cannot count with
    return max(0.0, then - (time.time() if now is None else now))
