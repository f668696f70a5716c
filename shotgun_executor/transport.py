"""The HTTP connections of our clients: those of the client's httplib2, but for three things.

* They send a request once. httplib2 sends it again when the site closes the connection without an
  answer, although the site may have carried it out.
* They notice before a request is written that the site has closed the connection meanwhile.
* They share one TLS context. httplib2 builds one for each, which reads the certificates anew.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import select
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from shotgun_api3.lib import httplib2

if TYPE_CHECKING:
    import socket

__all__ = ["DEFAULT_TIMEOUT", "prepare"]

DEFAULT_TIMEOUT = 120.0
"""Seconds of silence after which the site is given up, unless ``config.timeout_secs`` says more.

A site has been seen to take 48 s for a batch of a thousand entities.
"""


def prepare(client: Any, scheme: str, server: str, timeout: float) -> None:
    """See that *client*, an ``httplib2.Http``, uses a connection of ours, with this limit."""
    connections = getattr(client, "connections", None)
    if not isinstance(connections, dict):
        return  # a subclass of the user has another transport
    key = f"{scheme}:{server.lower()}"
    connection = connections.get(key)
    if connection is None:
        connection = connections[key] = _new_connection(client, scheme, server, timeout)
    client.timeout = timeout
    if connection.timeout != timeout:
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)


def _new_connection(client: Any, scheme: str, server: str, timeout: float) -> Any:
    if scheme == "https":
        return _HttpsConnection(server, timeout, client.proxy_info, client.ca_certs)
    connection: Any = _HttpConnection  # httplib2 is untyped
    return connection(server, timeout=timeout, proxy_info=client.proxy_info)


class _SendsOnce(http.client.HTTPConnection):
    """What both kinds of connections do differently."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request; on a new connection if the site has closed this one."""
        if self.sock is not None and _is_over(self.sock):
            self.close()
        super().request(*args, **kwargs)

    def getresponse(self, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        """Wait for the answer; no answer is an error that httplib2 does not repeat on."""
        try:
            return super().getresponse(*args, **kwargs)
        except (http.client.BadStatusLine, http.client.ResponseNotReady) as error:
            self.close()
            raise ConnectionResetError(
                errno.ECONNRESET, "the site closed the connection without an answer"
            ) from error


class _HttpConnection(_SendsOnce, httplib2.HTTPConnectionWithTimeout):
    """An unencrypted connection."""


class _HttpsConnection(_SendsOnce, httplib2.HTTPSConnectionWithTimeout):
    """A TLS connection that uses the shared context."""

    def __init__(self, host: str, timeout: float, proxy_info: Any, ca_certs: Optional[str]) -> None:
        # Not httplib2's constructor, which builds a context; what else it sets is set here.
        self.ca_certs = ca_certs or httplib2.CA_CERTS
        http.client.HTTPSConnection.__init__(
            self, host, timeout=timeout, context=_shared_context(self.ca_certs)
        )
        self.proxy_info = proxy_info
        self.disable_ssl_certificate_validation = False
        self.key_file = self.cert_file = self.key_password = None


def _shared_context(ca_certs: str) -> ssl.SSLContext:
    """The TLS context for a file of certificates; another if the file has changed."""
    changed = 0
    with contextlib.suppress(OSError):  # the context will say what is wrong with the file
        changed = Path(ca_certs).stat().st_mtime_ns
    return _context(ca_certs, changed)


@functools.lru_cache(maxsize=8)
def _context(ca_certs: str, _changed: int) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the chain and the host's name
    context.load_verify_locations(ca_certs)
    return context


def _is_over(sock: socket.socket) -> bool:
    """Whether the peer has closed the connection, or sent what nobody asked for."""
    if not _readable(sock):
        return False
    if not isinstance(sock, ssl.SSLSocket):
        return True
    # A TLS session ticket makes the socket readable too; reading takes such records in.
    timeout = sock.gettimeout()
    try:
        sock.settimeout(0)
        sock.recv(1)
    except ssl.SSLWantReadError:
        return False
    except OSError:
        return True
    else:
        return True
    finally:
        sock.settimeout(timeout)


def _readable(sock: socket.socket) -> bool:
    if hasattr(select, "poll"):  # select() itself fails for numbers above a thousand
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
