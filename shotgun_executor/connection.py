"""One connection: a real ``Shotgun`` that one thread uses at a time.

With ``decode.py`` the only place that knows private names of ``shotgun_api3``. What it leans on:

* ``Shotgun._call_rpc``: every call of the JSON API passes through it; ``MAX_ATTEMPTS`` and
  ``config.max_rpc_attempts`` say how often it sends a request;
* ``Shotgun._get_connection`` and ``_build_opener``: where the HTTP client and the opener for files
  are made;
* ``Shotgun._http_request``: every request of the JSON API passes through it, and its return means
  that a whole answer was read;
* ``Shotgun._server_caps``: what the site answered to ``info``;
* ``Shotgun._connection``: the HTTP connection, opened at the first request;
* ``_Config._sg``: the client that a configuration belongs to.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import types
import weakref
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_api3.shotgun import ServerCapabilities, Shotgun

from shotgun_executor import transport
from shotgun_executor.plain import copy_plain
from shotgun_executor.settings import (
    OWN_ATTRIBUTES,
    copy_setting,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from shotgun_executor.prototype import Prototype

__all__ = [
    "Connection",
    "carry_server_info",
    "clone",
    "connection_class",
    "keep_capabilities",
    "own_class",
    "template_class",
    "usable_capabilities",
]


class Connection:
    """A client out of a pool, and what must be known about its socket.

    Guarantees:

    * A request that did not end in a whole answer (an exception, Ctrl-C) closes the connection
      before the next one is sent: no call ever reads the answer to another.
    * :meth:`close` may be called from any thread. It closes at once, or, while a request is under
      way, when that ends.
    """

    def __init__(self, prototype: Prototype) -> None:
        self.prototype = prototype
        self.client, self.settings = prototype.new_client()
        self.idle_since = time.monotonic()
        self.lent = False  # somebody holds it; only then may it send
        # The state of the socket. Guarded by _lock, which may be taken by a garbage collection
        # that runs while this very thread holds it.
        self._lock = threading.RLock()
        self._sending = False  # a request is under way
        self._unclean = False  # what is left on the socket is not ours to read: close it first
        self._unwanted = False  # close it when the request that is under way has ended
        if isinstance(self.client, Shotgun):
            # Weakly, so that the socket is closed as soon as the connection is dropped: a client
            # and its config refer to each other, and live on until they are collected.
            self.client.__dict__["_pooled_connection"] = weakref.ref(self)

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """``function(client, *args, **kwargs)``, with the settings up to date."""
        client = self.prepare()
        before = _session_token(client)
        try:
            return function(client, *args, **kwargs)
        finally:
            token = _session_token(client)
            if token != before:
                self.prototype.share_session_token(before, token)

    def prepare(self) -> Any:
        """Bring the client up to date for the next call, and return it."""
        self.prototype.refresh(self)
        self.prototype.sign_in(self)
        return self.client

    def close(self) -> None:
        """Close the socket; the next request opens another."""
        with self._lock:
            if self._sending:
                self._unwanted = True
            else:
                self._close_client()

    def forget_parent(self) -> None:
        """In a forked process: what comes on this socket is the parent's."""
        self._lock = threading.RLock()
        self._sending, self._unclean = False, True

    def settle(self) -> None:
        """Close the socket unless the last request on it ended in a whole answer."""
        with self._lock:
            if self._unclean and not self._sending:
                self._close_client()

    def begin_request(self) -> None:
        """Called before each request; unclean until :meth:`end_request` says otherwise."""
        if not self.lent:
            raise _given_back()
        with self._lock:
            if self._unclean:
                self._close_client()
            self._sending = self._unclean = True

    def end_request(self, *, clean: bool) -> None:
        """Called after each request; *clean* if a whole answer was read."""
        with self._lock:
            self._sending = False
            self._unclean = not clean
            if self._unwanted:
                self._close_client()

    def _close_client(self) -> None:
        close = getattr(self.client, "close", None)  # Mockgun, for one, has none
        if close is not None:
            close()
        self._unclean = self._unwanted = False

    def __del__(self) -> None:
        # Nobody holds the connection any more, so nobody can be in a request.
        with contextlib.suppress(Exception):
            self._close_client()


class _PooledShotgun(Shotgun):
    """What the client of a connection does differently from the class of the user."""

    _pooled_connection: weakref.ref[Connection]

    @property
    def server_caps(self) -> ServerCapabilities:
        """As in ``Shotgun``, but the site is asked once for all connections."""
        host = str(self.config.server)
        own = usable_capabilities(self, host)
        if own is None:
            prototype = _connection_of(self).prototype
            known = prototype.capabilities(host, lambda: super(_PooledShotgun, self).server_caps)
            own = self._server_caps = private_capabilities(known)
        return own

    def _call_rpc(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """As in ``Shotgun``, but what may change the site is sent once.

        The client sends any request up to three times after a 502, a 504 or a TLS error, although
        the site may have carried it out.
        """
        attributes = vars(self)
        outer = attributes.get("_pooled_method")  # `info` may be asked within another call
        attributes["_pooled_method"] = method
        try:
            with contextlib.nullcontext() if method in _READS else _no_repeats(self):
                return super()._call_rpc(method, *args, **kwargs)
        finally:
            attributes["_pooled_method"] = outer

    def _get_connection(self) -> Any:
        """The HTTP client, with our connection in it and the limit of time that is set now."""
        http = super()._get_connection()
        transport.prepare(http, str(self.config.scheme), str(self.config.server), _limit(self))
        return http

    def _build_opener(self, *args: Any, **kwargs: Any) -> Any:
        """The opener for uploads and downloads, with a limit of time."""
        opener = super()._build_opener(*args, **kwargs)
        opener.open = functools.partial(opener.open, timeout=_limit(self))  # type: ignore[method-assign]  # so that the client's own calls have it
        return opener

    def _http_request(self, *args: Any, **kwargs: Any) -> Any:
        """Send one request; a read once more if the connection turns out to be dead."""
        try:
            return self._send(*args, **kwargs)
        except (ConnectionResetError, BrokenPipeError):
            if vars(self).get("_pooled_method") not in _READS:
                raise
        return self._send(*args, **kwargs)

    def _send(self, *args: Any, **kwargs: Any) -> Any:
        """Send one request, and remember whether its answer was read to the end."""
        connection = _connection_of(self)
        clean = False
        connection.begin_request()
        try:
            answer = super()._http_request(*args, **kwargs)
            clean = True
        finally:
            connection.end_request(clean=clean)
        return answer


# What reads, by its name on the wire: it may be sent again. What is not listed may write.
_READS = frozenset(
    {
        "activity_stream",
        "export_page",
        "followers",
        "following",
        "get_session_token",
        "info",
        "nav_expand",
        "nav_search",
        "note_thread_contents",
        "preferences_read",
        "query_display_name_cache",
        "read",
        "schema_entity_read",
        "schema_field_read",
        "schema_read",
        "summarize",
        "user_subscriptions_read",
        "work_schedule_read",
    }
)


@contextlib.contextmanager
def _no_repeats(client: Shotgun) -> Generator[None, None, None]:
    """Within the block the client sends each request once; after it the settings are as before."""
    attributes, config = vars(client), client.config
    attempts, rpc_attempts = attributes.get("MAX_ATTEMPTS"), config.max_rpc_attempts
    try:
        attributes["MAX_ATTEMPTS"] = config.max_rpc_attempts = 1
        yield
    finally:
        config.max_rpc_attempts = rpc_attempts
        if attempts is None:
            attributes.pop("MAX_ATTEMPTS", None)
        else:
            attributes["MAX_ATTEMPTS"] = attempts


def _limit(client: Shotgun) -> float:
    """Seconds of silence after which the site is given up."""
    set_by_user = client.config.timeout_secs
    return transport.DEFAULT_TIMEOUT if set_by_user is None else set_by_user


def _connection_of(client: _PooledShotgun) -> Connection:
    connection = client._pooled_connection()
    if connection is None:
        raise _given_back()
    return connection


def _given_back() -> RuntimeError:
    return RuntimeError(
        "this connection was given back to its pool, where another thread may use it; "
        "use it only inside `with pool.lease() as sg:` or the function that it was given to"
    )


class _TemplateShotgun(Shotgun):
    """A client that carries settings. It never connects: what needs the site asks the owner."""

    _pooled_prototype: Prototype

    @property
    def server_caps(self) -> ServerCapabilities:
        """What the site is and can do, asked through a connection of the pool."""
        host = str(self.config.server)
        own = usable_capabilities(self, host)
        if own is None:
            answer = self._pooled_prototype.ask_capabilities()
            own = usable_capabilities(self, host) or answer
        return own

    def _http_request(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "this client carries the settings of a pool and never connects; call the method on "
            "the executor, the facade or the pool"
        )


@functools.cache
def connection_class(cls: type) -> type:
    """The class of the clients of connections, for a *cls* of the user."""
    return _derived_class(_PooledShotgun, cls)


@functools.cache
def template_class(cls: type) -> type:
    """The class of a template, for a *cls* of the user."""
    return _derived_class(_TemplateShotgun, cls)


def _derived_class(mixin: type, cls: type) -> type:
    """*cls* with *mixin* in front, under the name of *cls*: subclasses keep all they override."""
    derived = types.new_class(cls.__name__, (mixin, cls))
    derived.__module__ = cls.__module__
    derived.__qualname__ = cls.__qualname__
    derived.__doc__ = cls.__doc__
    return derived


def own_class(cls: type) -> type:
    """The class that the user knows a client of class *cls* by."""
    if issubclass(cls, (_PooledShotgun, _TemplateShotgun)):
        return cls.__mro__[2]  # the derived class, the mixin, the class of the user
    return cls


def clone(source: Any, cls: type) -> Any:
    """A new client of class *cls* with copies of the settings of *source*, and no connection.

    The constructor is not called: subclasses have others, and some connect in it.
    """
    clone: Any = object.__new__(cls)
    for name, value in list(vars(source).items()):
        if name not in OWN_ATTRIBUTES:
            vars(clone)[name] = copy_setting(value, source, clone)
    config: Any = object.__new__(type(source.config))
    for name, value in list(vars(source.config).items()):
        vars(config)[name] = copy_setting(value, source, clone)
    clone.config = config
    clone._connection = None
    known = source._server_caps
    clone._server_caps = known and private_capabilities(known)
    return clone


def private_capabilities(known: ServerCapabilities) -> ServerCapabilities:
    """A copy: its ``server_info`` is handed to users, who may change theirs."""
    return ServerCapabilities(known.host, copy_plain(known.server_info))


def keep_capabilities(template: Shotgun, known: ServerCapabilities) -> None:
    """Have *template* know the site, unless it does."""
    if usable_capabilities(template, known.host) is None:
        template._server_caps = private_capabilities(known)


def usable_capabilities(client: Shotgun, host: str) -> Optional[ServerCapabilities]:
    """What *client* knows of the site at *host*, if anything."""
    known = client._server_caps
    return known if known and known.host == host else None


def carry_server_info(template: Shotgun, client: Shotgun) -> None:
    """``server_info`` is read live by the client, so a change to it takes effect."""
    known = template._server_caps
    if known is None:
        return
    own = client._server_caps
    if own is None or own.host != known.host or own.server_info != known.server_info:
        client._server_caps = private_capabilities(known)


def _session_token(client: Any) -> Optional[str]:
    return getattr(getattr(client, "config", None), "session_token", None)
