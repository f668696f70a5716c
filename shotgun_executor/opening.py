"""How a socket to a site is opened: names, TCP, proxy, TLS, within a limit, and to be aborted."""

from __future__ import annotations

import base64
import contextlib
import errno
import http.client
import os
import selectors
import socket
import ssl
import threading
import time
from typing import NamedTuple, Optional, Union

from shotgun_executor.contract import ProxyError, ServerNotFoundError
from shotgun_executor.errors import Aborted as Aborted
from shotgun_executor.once import Once
from shotgun_executor.wire import LONGEST

__all__ = [
    "CONNECT_LIMIT",
    "READ_LIMIT",
    "AbortSwitch",
    "Aborted",
    "Limits",
    "Proxy",
    "Route",
    "TlsContexts",
    "open_socket",
]

CONNECT_LIMIT = 15.0
"""Seconds for name, TCP, proxy and TLS together, unless told otherwise."""

READ_LIMIT = 120.0
"""Seconds that a site may be silent, unless told otherwise: a large batch takes it most of a minute
before the first byte of its answer."""

# An unacknowledged byte after so many seconds means that the peer has vanished (a firewall that
# forgot the connection), which is sooner than the limit for a site that is merely slow.
_VANISHED = 30.0


class Limits(NamedTuple):
    """How long a socket may take, in seconds; None is for ever."""

    connect: Optional[float] = CONNECT_LIMIT
    read: Optional[float] = READ_LIMIT

    @classmethod
    def of(cls, connect: Optional[float], read: Optional[float]) -> Limits:
        """Limits of any length: what systems know no numbers for is as long as they do."""
        return cls(
            None if connect is None else min(connect, LONGEST),
            None if read is None else min(read, LONGEST),
        )


class Proxy(NamedTuple):
    """An HTTP proxy."""

    host: str
    port: int
    user: Optional[str] = None
    password: Optional[str] = None
    tunnel: bool = True  # CONNECT to the site; False: ask the proxy for the whole URL

    @property
    def authorization(self) -> Optional[str]:
        """The value of Proxy-Authorization, if the proxy wants credentials."""
        if self.user is None or self.password is None:
            return None
        plain = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(plain).decode('ascii')}"

    def __repr__(self) -> str:
        return f"<Proxy {self.host}:{self.port}>"


class Route(NamedTuple):
    """Where a connection goes, and through what."""

    scheme: str
    host: str
    port: int
    proxy: Optional[Proxy] = None

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    @property
    def forwarded(self) -> bool:
        """Whether the proxy is asked for whole URLs."""
        return self.proxy is not None and not self.proxy.tunnel


class AbortSwitch:
    """Wakes the one thread that is blocked in a connection, whatever it waits for.

    Guarantees:

    * After :meth:`abort` each wait on what the thread guards ends at once, and it can begin no
      other, until :meth:`reset`.
    * A socket is never shut down after its thread has released it.
    """

    def __init__(self) -> None:
        # Reentrant: a garbage collection within may close a socket of the same connection.
        self._lock = threading.RLock()
        self._guarded: Union[socket.socket, threading.Event, None] = None
        self.thrown = False

    def guard(self, blocked: Union[socket.socket, threading.Event]) -> None:
        """From here on the thread may block on this, and on nothing else.

        Raises:
            Aborted: The call was aborted.
        """
        with self._lock:
            if self.thrown:
                raise Aborted
            self._guarded = blocked

    def release(self, blocked: Union[socket.socket, threading.Event, None] = None) -> None:
        """The thread is blocked no more; or not on this one, which may be closed by another."""
        with self._lock:
            if blocked is None or self._guarded is blocked:
                self._guarded = None

    def abort(self) -> None:
        """Wake the thread; from any thread."""
        with self._lock:
            self.thrown = True
            guarded = self._guarded
            if isinstance(guarded, threading.Event):
                guarded.set()
            elif guarded is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own, which would have the other thread read what is encrypted.
                    socket.socket.shutdown(guarded, socket.SHUT_RDWR)

    def reset(self) -> None:
        """A new call begins."""
        self.thrown = False

    def wait(self, event: threading.Event, seconds: Optional[float]) -> bool:
        """Wait for *event*, as long as nobody aborts.

        Raises:
            Aborted: The call was aborted.
        """
        self.guard(event)
        try:
            happened = event.wait(seconds)
        finally:
            self.release()
        if self.thrown:
            raise Aborted
        return happened


class TlsContexts:
    """One TLS context for each file of authorities: reading one takes tens of milliseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, Once[ssl.SSLContext]] = {}

    def get(self, ca_file: str) -> ssl.SSLContext:
        """The context that trusts *ca_file*, with the settings that the official client has."""
        with self._lock:
            once = self._made.setdefault(ca_file, Once())
        return once.get(lambda: _new_context(ca_file))


def _new_context(ca_file: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and host name
    context.load_verify_locations(ca_file)
    return context


def open_socket(
    route: Route, limit: Optional[float], switch: AbortSwitch, context: Optional[ssl.SSLContext]
) -> socket.socket:
    """A connected socket, guarded by *switch*; with TLS if there is a *context*.

    Raises:
        ServerNotFoundError: The name is unknown.
        socket.timeout: It took longer than *limit* seconds in all.
        OSError: It was refused, or TLS failed.
        Aborted: The call was aborted.
    """
    clock = _Clock(limit)
    host, port = (route.proxy.host, route.proxy.port) if route.proxy else (route.host, route.port)
    addresses = _addresses(host, port, clock, switch)
    error: Optional[OSError] = None
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            switch.guard(sock)
            clock.share(sock, len(addresses) - number)
            _connect(sock, address, switch)
            _set_options(sock)
            return _secured(sock, route, clock, switch, context)
        except OSError as caught:
            sock.close()
            error = caught
            if switch.thrown:
                raise Aborted from caught
            if isinstance(caught, ssl.SSLError):
                raise
            if clock.over:
                raise socket.timeout(f"no connection to {host} within {limit:g} s") from caught
        except BaseException:
            sock.close()
            raise
    raise error or OSError(f"{host} has no address")


class _Clock:
    """What is left of a limit."""

    def __init__(self, limit: Optional[float]) -> None:
        self._end = None if limit is None else time.monotonic() + limit

    @property
    def left(self) -> Optional[float]:
        # A time-out of zero would mean not to block at all.
        return None if self._end is None else max(0.001, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def share(self, sock: socket.socket, parts: int) -> None:
        """Give *sock* its part of the time that is left, so that the others get theirs."""
        left = self.left
        sock.settimeout(None if left is None else left / parts)


_Addresses = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]]


def _addresses(host: str, port: int, clock: _Clock, switch: AbortSwitch) -> _Addresses:
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name: the system's resolver must be asked
        return _resolve(host, port, clock, switch)


def _look_up(host: str, port: int, flags: int = 0) -> _Addresses:
    # The shape of an address depends on its family.
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, flags)  # type: ignore[return-value]


def _resolve(host: str, port: int, clock: _Clock, switch: AbortSwitch) -> _Addresses:
    """Ask the resolver on a thread of its own, since nothing can interrupt or limit it.

    Whoever is aborted, or has waited long enough, leaves; the thread ends when the resolver does.
    """
    done = threading.Event()
    found: _Addresses = []
    errors: list[Exception] = []

    def look_up() -> None:
        try:
            found.extend(_look_up(host, port))
        except Exception as error:
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
    if not switch.wait(done, clock.left):
        raise socket.timeout(f"the name {host} was not resolved in time")
    if errors:
        if isinstance(errors[0], socket.gaierror):
            raise ServerNotFoundError(f"Unable to find the server at {host}") from errors[0]
        raise errors[0]
    return found


def _connect(sock: socket.socket, address: tuple[object, ...], switch: AbortSwitch) -> None:
    """Connect *sock* within its time-out.

    An abort shuts the socket down, which has no effect before it has begun to connect: so one that
    came just before is looked for just after. From then on it ends the wait.
    """
    limit = sock.gettimeout()
    sock.setblocking(False)
    failure = sock.connect_ex(address)
    if failure in _UNDER_WAY:
        if switch.thrown:
            raise Aborted
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            if not selector.select(limit):
                raise socket.timeout("timed out")
        failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if switch.thrown:
        raise Aborted
    if failure:
        raise OSError(failure, os.strerror(failure))
    sock.settimeout(limit)


_UNDER_WAY = {errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EAGAIN)}


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seconds = int(_VANISHED)
    # Not every system has all of these.
    for name, value in (
        ("TCP_KEEPIDLE", seconds),
        ("TCP_KEEPINTVL", seconds // 3),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", seconds * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _secured(
    sock: socket.socket,
    route: Route,
    clock: _Clock,
    switch: AbortSwitch,
    context: Optional[ssl.SSLContext],
) -> socket.socket:
    """The rest of the way: through the proxy, and into TLS."""
    clock.share(sock, 1)
    if route.proxy is not None and route.proxy.tunnel:
        _ask_for_tunnel(sock, route, route.proxy, clock)
    if context is None:
        return sock
    clock.share(sock, 1)
    secured = context.wrap_socket(
        sock, server_hostname=route.host, do_handshake_on_connect=False
    )  # from here on `sock` is an empty shell
    try:
        switch.guard(secured)
        secured.do_handshake()
    except BaseException:
        secured.close()
        raise
    return secured


def _ask_for_tunnel(sock: socket.socket, route: Route, proxy: Proxy, clock: _Clock) -> None:
    """CONNECT, as the official client does it: for plain HTTP too."""
    lines = [f"CONNECT {route.host}:{route.port} HTTP/1.1", f"Host: {route.host}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    words = _tunnel_answer(sock, clock).splitlines()[0].split(b" ", 2)
    if words[0] not in (b"HTTP/1.0", b"HTTP/1.1") or not words[1:] or not words[1].isdigit():
        raise http.client.BadStatusLine("the proxy did not answer in HTTP")
    if words[1] != b"200":
        reason = words[2].decode("latin-1") if len(words) > 2 else ""
        raise ProxyError((int(words[1]), reason))


def _tunnel_answer(sock: socket.socket, clock: _Clock) -> bytes:
    """The head of the proxy's answer, and not a byte more: what follows belongs to the tunnel."""
    answer = bytearray()
    while not answer.endswith(b"\r\n\r\n"):
        if clock.over:
            raise socket.timeout("the proxy took too long to open the connection")
        clock.share(sock, 1)
        byte = sock.recv(1)
        if not byte or len(answer) > 65536:
            raise ConnectionResetError("the proxy closed the connection instead of opening it")
        answer += byte
    return bytes(answer)
