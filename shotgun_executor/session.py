"""The session token that all connections share: how it is asked for, and renewed when it expires.

Nothing here keeps or shows a token longer than it must: what is logged or raised names none.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar
from xmlrpc.client import ProtocolError

from shotgun_api3.shotgun import AuthenticationFault, ShotgunError

from shotgun_executor.errors import bare_error, same_error
from shotgun_executor.outcome import add_text
from shotgun_executor.retry import given_up

if TYPE_CHECKING:
    from shotgun_executor.connection import Connection
    from shotgun_executor.opening import AbortSwitch

__all__ = [
    "CREDENTIALS",
    "RENEWAL_LIMIT",
    "RENEWAL_PAUSE",
    "NotRenewed",
    "Sessions",
    "in_session",
    "is_sign_in_page",
    "session_token_in_use",
    "signed_out",
]

LOG = logging.getLogger("shotgun_executor")

T = TypeVar("T")

RENEWAL_LIMIT = 300.0
"""Seconds that calls wait for a renewal that another call has begun: somebody may have to type."""

RENEWAL_PAUSE = 30.0
"""Seconds after a refused renewal in which nobody is asked again."""

_SLICE = 1.0  # seconds after which Ctrl-C is noticed at the latest
# How often one request is sent again with another token: one that was there already, a new one, and
# those that expire meanwhile.
_MOST_REPEATS = 4
CREDENTIALS = (
    *("session_token", "user_login", "user_password", "auth_token"),
    *("script_name", "api_key", "server"),
)
"""The settings that say who signs in, and where."""

# The flights that the code that runs now is a part of, on whatever worker it runs.
_leading: contextvars.ContextVar[tuple[_Flight, ...]] = contextvars.ContextVar(
    "shotgun_executor_leading", default=()
)


class NotRenewed(ShotgunError):  # noqa: N818 - says what happened
    """No new session token was got; the text says why, and ``reason`` is what the reason raised."""

    reason: Optional[Exception] = None


class _Flight:
    """One attempt to get a token, by one thread for all who wait; or the wait for another one."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.began = time.monotonic()
        self.error: Optional[Exception] = None
        self.woken = threading.Event()  # for a wait: one for each, since each is aborted alone
        self.waiting: list[threading.Event] = []  # of those who wait for this

    @property
    def led_here(self) -> bool:
        """Whether whoever asks is a part of the attempt, and so must not wait for its end."""
        return self.thread == threading.get_ident() or self in _leading.get()

    @property
    def left(self) -> float:
        """Seconds that others wait for it yet."""
        return self.began + RENEWAL_LIMIT - time.monotonic()


class _Refusal(NamedTuple):
    token: str
    at: float
    error: NotRenewed


class Sessions:
    """How the connections of one pool get a session token: once for all of them.

    Guarantees:

    * However many calls need a token at the same time, one of them gets it, on its thread and
      outside any lock; the others wait for that, for a limited time, and may be aborted.
    * A call that was refused with an old token takes the one that others have got meanwhile.
    * If the attempt fails, all who wait for it fail, and nobody is asked for the same token again
      for :data:`RENEWAL_PAUSE` seconds. A new token that the site refuses counts as a failure.
    * If the attempt is interrupted (Ctrl-C), one of those who waited takes over.
    * A call that is a part of the attempt, as those of the user's function, does not wait for it.
    """

    def __init__(self, renew: Optional[Callable[[], Optional[str]]] = None) -> None:
        self.renew = renew
        # The state: the attempt that is under way. Guarded by _lock.
        self._lock = threading.Lock()
        self._flight: Optional[_Flight] = None
        # Written by whoever leads the attempt; _unproven by who has used it with success.
        self._refusal: Optional[_Refusal] = None
        self._unproven: Optional[str] = None  # new, and not accepted by the site yet

    def forget_parent(self) -> None:
        """In a forked process: whoever was getting a token is not here."""
        self._lock = threading.Lock()
        self._flight = None

    @property
    def led_here(self) -> bool:
        """Whether the code that asks is a part of the attempt that is under way."""
        flight = self._flight
        return flight is not None and flight.led_here

    def newer(
        self,
        token: Optional[str],
        read: Callable[[], Optional[str]],
        make: Callable[[], str],
        switch: AbortSwitch,
    ) -> str:
        """A session token that is not *token*.

        Args:
            token: The one that has expired; None if there was none.
            read: Tells the token that all share by now.
            make: Gets a new one, and shares it. Called unless there is one, or one is on its way.
            switch: Ends the wait for somebody else's attempt.

        Raises:
            NotRenewed: It takes the other too long, or the call is a part of the attempt itself.
            Aborted: The wait was aborted.
            Exception: What *make* has raised; one like it for those who waited.
        """
        new: Optional[str] = None
        while new is None:
            mine = _Flight()
            try:
                new = self._lead_or_wait(mine, token, read, make, switch)
            finally:
                self._end(mine)  # once more: Ctrl-C may have come within the other
                del mine  # an error holds this frame, and a flight may hold an error
        return new

    def renewed(
        self,
        expired: str,
        read: Callable[[], Optional[str]],
        share: Callable[[Optional[str], Optional[str]], None],
        switch: AbortSwitch,
    ) -> str:
        """A token in place of *expired*, from others or from the user's function.

        Raises:
            NotRenewed: There is none, and why.
            Aborted: The wait was aborted.
        """

        def make() -> str:
            token = self._new_token(expired)
            self._unproven = token
            share(expired, token)
            return token

        return self.newer(expired, read, make, switch)

    def accepted(self, token: str) -> None:
        """The site has accepted *token*."""
        if self._unproven is not None and token == self._unproven:
            self._unproven = None

    def _lead_or_wait(
        self,
        mine: _Flight,
        token: Optional[str],
        read: Callable[[], Optional[str]],
        make: Callable[[], str],
        switch: AbortSwitch,
    ) -> Optional[str]:
        """The new token, as far as it is there by now; *mine* is under way if nobody else's is."""
        flight: Optional[_Flight] = None
        try:
            with self._lock:
                shared = read()
                if shared is not None and shared != token:
                    return shared
                flight = self._flight
                if flight is None:
                    flight = self._flight = mine
                elif not flight.led_here and flight.left > 0:
                    flight.waiting.append(mine.woken)
            if flight is mine:
                return _lead(mine, make)
            _wait_for(flight, mine.woken, switch)
        finally:
            self._end(mine)
            del mine, flight
        return None

    def _end(self, mine: _Flight) -> None:
        """However an attempt or a wait has ended, nobody waits for what will not come."""
        with self._lock:
            flight = self._flight
            if flight is mine:
                for woken in mine.waiting:
                    woken.set()
                self._flight = None
            elif flight is not None and mine.woken in flight.waiting:
                flight.waiting.remove(mine.woken)

    # What is done by whoever leads an attempt.

    def _new_token(self, expired: str) -> str:
        refusal = self._refusal
        if refusal and refusal.token == expired and time.monotonic() < refusal.at + RENEWAL_PAUSE:
            raise same_error(refusal.error)
        try:
            if expired == self._unproven:
                self._unproven = None
                raise NotRenewed("the site refuses the token that renew_session has returned")
            token = self._ask(expired)
        except NotRenewed as error:
            LOG.info("the session was not renewed: %s", error)
            kept = bare_error(error)
            kept.reason = None
            with contextlib.suppress(Exception):  # a class of the user's may not be made so
                kept.reason = error.reason and bare_error(error.reason)
            self._refusal = _Refusal(expired, time.monotonic(), kept)
            raise
        self._refusal = None
        return token

    def _ask(self, expired: str) -> str:
        """What the user's function returns, if that is a new token."""
        if self.renew is None:
            raise NotRenewed("there is no renew_session")
        LOG.info("the session has expired; calling renew_session")
        try:
            token: Any = self.renew()
        except Exception as error:
            # What it says is the user's affair, and may hold a secret: the cause shows it.
            refused = NotRenewed(f"renew_session raised {type(error).__name__}")
            refused.reason = error
            raise refused from error
        if token is None:
            raise NotRenewed("renew_session returned None")
        if not isinstance(token, str) or not token:
            kind = "an empty str" if token == "" else f"a {type(token).__name__}"
            raise NotRenewed(f"renew_session must return a session token or None, not {kind}")
        if token == expired:
            raise NotRenewed("renew_session returned the token that has expired")
        LOG.info("the session was renewed")
        return token


def _lead(flight: _Flight, make: Callable[[], str]) -> str:
    reset = _leading.set((*_leading.get(), flight))
    try:
        return make()
    except Exception as error:
        flight.error = bare_error(error)
        raise
    finally:
        _leading.reset(reset)


def _wait_for(flight: _Flight, woken: threading.Event, switch: AbortSwitch) -> None:
    """Wait until *flight* is over; what it has failed with, this fails with too."""
    if flight.led_here:
        raise NotRenewed("the call is made by what renews the session")
    # In slices: a lock may sleep through a signal that comes just before it does, and on Windows
    # through all of them.
    while not switch.wait(woken, max(0.0, min(flight.left, _SLICE))):
        if flight.left <= 0:
            raise NotRenewed(f"another call has been signing in for more than {RENEWAL_LIMIT:g} s")
    if flight.error is not None:
        raise same_error(flight.error)


# What a call does with it.


def in_session(connection: Connection, attempt: Callable[[], T]) -> T:
    """What *attempt*, one request to the site, returns.

    If the site says that its session has expired, and so has carried out nothing, it is sent again
    with the token that others have got, or that the user's function returns.
    """
    config = connection.client.config
    sessions = connection.prototype.sessions
    for repeats in itertools.count():
        token = session_token_in_use(config)
        try:
            result = attempt()
        except (ShotgunError, ProtocolError) as error:
            if token is None or repeats == _MOST_REPEATS or not signed_out(error):
                raise
            if given_up(error):  # of another call, that a function of the user's has made within
                raise
            _take_new_token(connection, token, error)
        else:
            if token is not None:
                sessions.accepted(token)
            return result
    raise AssertionError("unreachable")


def _take_new_token(connection: Connection, expired: str, error: Exception) -> None:
    """Have *connection* go on with another token, or raise *error*, which says why it does not."""
    prototype = connection.prototype
    if not connection.signs_in_as_all():
        raise error
    shared = prototype.session_token()
    try:
        if shared == expired:
            if prototype.sessions.renew is None:
                raise error
            shared = prototype.sessions.renewed(
                expired, prototype.session_token, prototype.share_session_token, connection.switch
            )
    except NotRenewed as refusal:
        add_text(error, f"the session was not renewed: {refusal}")
        raise error from refusal.reason
    if shared is None:  # signs in in another way by now
        raise error
    connection.use_session_token(shared)


def session_token_in_use(config: Any) -> Optional[str]:
    """The session token that requests carry; None if they carry other credentials."""
    if config.user_login and config.user_password:
        return None
    if config.script_name and config.api_key:
        return None
    return config.session_token or None


def signed_out(error: BaseException) -> bool:
    """Whether *error* says that the site does not accept the session, and has done nothing.

    The fault of the API, or being sent to a page to sign in.
    """
    if isinstance(error, AuthenticationFault):
        return True
    if isinstance(error, ProtocolError) and error.errcode in (301, 302, 303, 307):
        headers: Any = error.headers
        return is_sign_in_page(str(headers.get("location", "")))
    return bool(getattr(error, "_signed_out", False))


def is_sign_in_page(url: str) -> bool:
    """Whether *url*, where the site sends the client, is a page for people to sign in."""
    path = url.partition("?")[0]
    return path.endswith("/user/login") or "saml_login_request" in path
