"""One connection: a real ``Shotgun`` that one thread uses at a time.

With ``methods.py`` and ``decode.py`` the only place that knows private names of ``shotgun_api3``.
What it leans on, besides the methods that ``contract.py`` lists:

* ``Shotgun._http_request``: every request of the JSON API passes through it, and its return means
  that a whole answer was read;
* ``Shotgun._server_caps``: what the site answered to ``info``;
* ``Shotgun._connection``: the HTTP connection, opened at the first request;
* ``_Config._sg``: the client that a configuration belongs to.

The class of a connected client is put together from three parts: in front a mixin that watches over
the connection, then the class of the user, and behind it, before ``Shotgun``, our own ways
(``methods.py``). So whatever a user's class overrides is kept, and its ``super()`` calls find ours.
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import ssl
import threading
import time
import types
import weakref
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_api3.shotgun import Fault, ServerCapabilities, Shotgun

from shotgun_executor.contract import ServerNotFoundError
from shotgun_executor.dry_run import DryRun, refuse
from shotgun_executor.methods import OWN_WAYS, connection_of, given_back
from shotgun_executor.opening import Aborted, AbortSwitch
from shotgun_executor.outcome import add_text, mark_unknown, unknown_request
from shotgun_executor.plain import copy_plain
from shotgun_executor.retry import Sent, Trace, is_read_request
from shotgun_executor.session import CREDENTIALS, in_session
from shotgun_executor.settings import (
    OWN_ATTRIBUTES,
    changed,
    copy_setting,
)
from shotgun_executor.transport import Phase, Transport

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from shotgun_executor.memory import Memory
    from shotgun_executor.page import PageRead
    from shotgun_executor.prototype import Prototype

__all__ = [
    "Connection",
    "carry_server_info",
    "clone",
    "connection_class",
    "keep_capabilities",
    "own_class",
    "read_page",
    "reads_pages",
    "template_class",
    "usable_capabilities",
]


class Connection:
    """A client out of a pool, and what must be known about its socket.

    Guarantees:

    * A request that did not end in a whole answer (an exception, Ctrl-C) closes the connection
      before the next one is sent: no call ever reads the answer to another.
    * While a request is under way no other can begin, be it of another thread, or of what runs in
      the middle of it on the same one: a function that is told of the progress of an upload, a
      destructor, a signal handler. Such a call is refused.
    * :meth:`close` may be called from any thread. It closes at once, or, while a request is under
      way, when that ends.
    * :meth:`abort` may be called from any thread, and ends the call that is under way: the thread
      that is blocked in it wakes with :class:`~shotgun_executor.opening.Aborted`.
    """

    def __init__(self, prototype: Prototype) -> None:
        self.prototype = prototype
        self.client, self.settings = prototype.new_client()
        self.idle_since = time.monotonic()
        self.lent = False  # somebody holds it; only then may it send
        self.switch = AbortSwitch()
        self.trace = Trace()  # of the call that is under way
        self.made: list[dict[str, Any]] = []  # the entities that the call has created
        # What the call has stored of its file, if it can be put aside and made again from there.
        self.memory: Optional[Memory] = None
        self.call_number = 0  # of that call; each gets the next one
        self.page: Optional[PageRead] = None  # what the next `read` of the client is to ask for
        self._running = False  # within run(): a call within is part of that one
        # What the config was like when the call began; None between calls.
        self._given: Optional[dict[str, Any]] = None
        # The state of the socket. Guarded by _lock, which may be taken by a garbage collection
        # that runs while this very thread holds it.
        self._lock = threading.RLock()
        # The thread whose request is under way; or was when Ctrl-C came, at the worst moment.
        self._sending: Optional[int] = None
        self._unclean = False  # what is left on the socket is not ours to read: close it first
        self._unwanted = False  # close it when the request that is under way has ended
        if isinstance(self.client, Shotgun):
            # Weakly, so that the socket is closed as soon as the connection is dropped: a client
            # and its config refer to each other, and live on until they are collected.
            self.client.__dict__["_pooled_connection"] = weakref.ref(self)

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """``function(client, *args, **kwargs)``, with the settings up to date.

        What it raises carries what the site may have carried out of the call; see ``sent_of``.
        """
        outer = self.trace if self._running else None
        if outer is None:
            self._begin_call()
            self._running = True
            trace = self.trace
        else:
            trace = self.trace = Trace()
        memory, self.memory = self.memory, None
        try:
            return function(self._refreshed(), *args, **kwargs)
        except Exception as error:
            error._sent = trace.sent  # type: ignore[attr-defined]  # read by sent_of()
            raise
        finally:
            self.memory = memory
            if outer is None:
                self._running = False
                self._end_call()
            else:
                outer.include(trace)
                self.trace = outer

    def prepare(self) -> Any:
        """Bring the client up to date for the next call, and return it."""
        if not self._running:
            self._begin_call()
        return self._refreshed()

    def _begin_call(self) -> None:
        with self._lock:
            self.call_number += 1
            self.switch.reset()
        self.trace = Trace()
        self.made = []

    def _refreshed(self) -> Any:
        seen = self.settings
        self.prototype.refresh(self)
        self.prototype.sign_in(self)
        if not isinstance(self.client, Shotgun):
            return self.client
        config = vars(self.client.config)
        if self._given is None:
            self._given = dict(config)
        elif self.settings is not seen:  # changed for all while a call is under way
            for name in changed(seen.config, self.settings.config):
                self._given[name] = config.get(name)
        return self.client

    def _end_call(self) -> None:
        """Put back what the call has set on its client: the next one may be somebody else's.

        Only a session token that was asked for or renewed, with nothing else of the identity
        changed, is kept, and shared with all connections.
        """
        given, self._given = self._given, None
        if given is None:
            return
        config = vars(self.client.config)
        names = [name for name in changed(given, config) if not name.startswith("_")]
        if names == ["session_token"]:
            self.prototype.share_session_token(given["session_token"], config["session_token"])
            return
        for name in names:
            if name in given:
                config[name] = given[name]
            else:
                del config[name]

    def signs_in_as_all(self) -> bool:
        """Whether the call has left the credentials alone that it was given."""
        given = self._given
        if given is None:
            return False
        config = vars(self.client.config)
        return all(given.get(name) == config.get(name) for name in CREDENTIALS)

    def session_token(self, ask: Callable[[], str], expired: Optional[str] = None) -> str:
        """The session token of the client, unless it is *expired*; else one asked for with *ask*.

        It is asked for once for all connections.
        """
        config = self.client.config
        token: Optional[str] = config.session_token
        if token and token != expired:
            return token
        alone = not self.signs_in_as_all() or self.prototype.sessions.led_here
        config.session_token = None  # else the client would not ask
        if alone:
            return ask()
        shared = self.prototype.ask_session_token(expired, ask, self.switch)
        self.use_session_token(shared)
        return shared

    def use_session_token(self, token: str) -> None:
        """Go on with a session token that all connections share by now."""
        self.client.config.session_token = token
        if self._given is not None:
            self._given["session_token"] = token  # it is none that the call has set

    def abort(self, call_number: Optional[int] = None) -> bool:
        """End the call that is under way, from any thread; it raises ``Aborted``.

        Whatever it waits for: a name, a connection, a handshake, sending, an answer, an upload or a
        download, a pause before a repeat. A call that computes goes on until its next request.

        Args:
            call_number: Only if it is this one (see :attr:`call_number`) that is under way.

        Returns:
            Whether it was aborted.
        """
        with self._lock:
            if call_number not in (None, self.call_number):
                return False
            self.switch.abort()
        if not isinstance(getattr(self.client, "_connection", None), Transport):
            _shut_down_official(self.client)
        return True

    def pause(self, seconds: float) -> None:
        """Wait, unless the call is aborted."""
        self.switch.wait(threading.Event(), seconds)

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
        self._sending, self._unclean = None, True

    def give_back(self) -> bool:
        """Get ready for another holder; False if a request is still under way.

        Such a connection is for nobody else: it is closed when that request ends.
        """
        self._end_call()
        with self._lock:
            self.lent = False
            self.idle_since = time.monotonic()
            if self._sending is not None:
                self._unwanted = True
                return False
            if self._unclean:
                self._close_client()
        return True

    @property
    def in_request_here(self) -> bool:
        """Whether this very thread is in a request: what it calls now needs another connection."""
        return self._sending == threading.get_ident()

    def refuse_others(self) -> None:
        """Refuse what comes while a request is under way.

        Raises:
            RuntimeError: One is.
        """
        if self._sending is None:
            return
        if not self.in_request_here:
            raise RuntimeError(
                "another thread is in a request on this connection; each thread needs its own"
            )
        raise RuntimeError(
            "this client is in the middle of a request: what is called within one, such as a "
            "function that is told of the progress of an upload, must use the executor, its "
            "`shotgun` or a pool, which take another connection for it"
        )

    def begin_request(self) -> None:
        """Called before each request; unclean until :meth:`end_request` says otherwise."""
        if not self.lent:
            raise given_back()
        self.refuse_others()
        if self.switch.thrown:
            raise Aborted
        self.trace.began()
        with self._lock:
            self.refuse_others()
            if self._unclean:
                self._close_client()
            self._sending, self._unclean = threading.get_ident(), True

    def end_request(self, *, clean: bool) -> None:
        """Called after each request; *clean* if a whole answer was read."""
        with self._lock:
            self._sending = None
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
            connection = connection_of(self)
            known = connection.prototype.capabilities(
                host, lambda: super(_PooledShotgun, self).server_caps, connection.switch
            )
            own = self._server_caps = private_capabilities(known)
        return own

    def _http_request(self, *args: Any, **kwargs: Any) -> Any:
        """Send one request, and remember whether its answer was read to the end."""
        connection = connection_of(self)
        writes = not is_read_request(_request_name(args))
        if writes and connection.prototype.plan is not None:
            refuse(str(_request_name(args)))  # it came here by ways of the user's own
        clean = False
        connection.begin_request()
        try:
            answer = super()._http_request(*args, **kwargs)
            clean = True
        except BaseException as error:
            if writes:
                connection.trace.failed(_phase(self, error))
            raise
        finally:
            connection.end_request(clean=clean)
            if writes:
                connection.prototype.shared.wrote()
        if writes:
            redirected = getattr(self._connection, "redirected", False)
            connection.trace.answered(answer[0][0], redirected=redirected)
        return answer

    def _call_rpc(self, method: str, params: Any, *args: Any, **kwargs: Any) -> Any:
        """Make a call; again with a new session token, if the site says that its own is over."""
        if method == "info":  # carries no credentials
            return self._call_once(method, params, *args, **kwargs)
        connection = connection_of(self)
        page = connection.page if method == "read" else None
        if page is not None:
            connection.page = None
            params = page.asked(params)
        call = functools.partial(self._call_once, method, params, *args, **kwargs)
        result = in_session(connection, call)
        return result if page is None else page.answered(result)

    def _call_once(self, method: str, params: Any, *args: Any, **kwargs: Any) -> Any:
        """Make a call, and have the error say so if nobody knows what has become of it."""
        connection = connection_of(self)
        # Here rather than at the request, where the client would close the connection on an error.
        connection.refuse_others()
        connection.trace.began()
        try:
            result = super()._call_rpc(method, params, *args, **kwargs)
        except Fault:
            connection.trace.refused()
            raise
        except BaseException as error:
            connection.trace.unreadable()
            if connection.trace.last is Sent.UNKNOWN:
                mark_unknown(error, unknown_request(method, params))
            raise
        if method == "create" and isinstance(result, dict):
            connection.made.append({"type": result.get("type"), "id": result.get("id")})
        return result

    def get_session_token(self) -> str:
        """As in ``Shotgun``, but the site is asked once for all connections."""
        return connection_of(self).session_token(super().get_session_token)

    def upload(self, *args: Any, **kwargs: Any) -> int:
        """As in ``Shotgun``; the id is remembered, should a later step fail."""
        connection = connection_of(self)
        number = super().upload(*args, **kwargs)
        connection.made.append({"type": "Attachment", "id": number})
        return number

    def create(self, *args: Any, **kwargs: Any) -> Any:
        """As in ``Shotgun``; if its image cannot be uploaded, the error tells what was created."""
        with _telling_what_was_made(connection_of(self)):
            return super().create(*args, **kwargs)

    def share_thumbnail(self, *args: Any, **kwargs: Any) -> Any:
        """As in ``Shotgun``; the error tells the id of what was uploaded before."""
        with _telling_what_was_made(connection_of(self)):
            return super().share_thumbnail(*args, **kwargs)


def reads_pages(client: Any) -> bool:
    """Whether ``find`` of *client* is that of ``Shotgun``, so that :func:`read_page` is for it."""
    cls = type(client)
    return (
        isinstance(client, _PooledShotgun)
        and cls.find is Shotgun.find
        and "find" not in vars(client)
    )


def read_page(client: Any, page: PageRead, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What ``client.find(*args, **kwargs)`` returns, if there is no page but *page*."""
    connection = connection_of(client)
    connection.page = page
    try:
        return client.find(*args, **kwargs)
    finally:
        connection.page = None


@contextlib.contextmanager
def _telling_what_was_made(connection: Connection) -> Generator[None, None, None]:
    """Have an error within say what the call had created before, in ``made`` and its message."""
    start = len(connection.made)
    try:
        yield
    except Exception as error:
        made = connection.made[start:]
        if made and not getattr(error, "made", None):
            error.made = made  # type: ignore[attr-defined]  # any error takes attributes
            listed = ", ".join(f"{entity['type']} {entity['id']}" for entity in made)
            add_text(error, f"before that, the call had created {listed}")
        raise


def _request_name(args: tuple[Any, ...]) -> Optional[str]:
    """The name of the request in the arguments of ``_http_request``; None if it is not told."""
    if args and args[0] == "GET":
        return "info"  # asks where a thumbnail is
    body = args[2] if len(args) > 2 else None
    match = _NAME.match(body) if isinstance(body, bytes) else None
    return match[1].decode() if match else None


_NAME = re.compile(rb'\{\s*"method_name":\s*"(\w+)"')


def _phase(client: Any, error: BaseException) -> Phase:
    """How much of the request that *error* ended may have reached the site."""
    transport = client._connection
    if isinstance(transport, Transport):
        return transport.phase
    nothing = (ConnectionRefusedError, ServerNotFoundError, ssl.SSLCertVerificationError)
    return Phase.NOTHING if isinstance(error, nothing) else Phase.WHOLE


def _shut_down_official(client: Any) -> None:
    """Wake a thread that is blocked in the official client's own connection."""
    official = getattr(client, "_connection", None)
    for connection in list(getattr(official, "connections", {}).values()):
        with contextlib.suppress(OSError, AttributeError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


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
def connection_class(cls: type, *, dry: bool = False) -> type:
    """The class of the clients of connections, for a *cls* of the user.

    Those that are *dry* write nothing.
    """
    return _derived_class(_PooledShotgun, cls, (DryRun, *OWN_WAYS) if dry else OWN_WAYS)


@functools.cache
def template_class(cls: type) -> type:
    """The class of a template, for a *cls* of the user."""
    return _derived_class(_TemplateShotgun, cls, ())


def _derived_class(front: type, cls: type, behind: tuple[type, ...]) -> type:
    """*cls* between *front* and *behind*, under the name of *cls*."""
    bases = (front, *behind, Shotgun) if cls is Shotgun else (front, cls, *behind)
    derived = types.new_class(cls.__name__, bases)
    derived.__module__ = cls.__module__
    derived.__qualname__ = cls.__qualname__
    derived.__doc__ = cls.__doc__
    derived._class_of_user = cls  # type: ignore[attr-defined]  # read by own_class
    return derived


def own_class(cls: type) -> type:
    """The class that the user knows a client of class *cls* by."""
    own = getattr(cls, "_class_of_user", cls)
    assert isinstance(own, type)
    return own


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
