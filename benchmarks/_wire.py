"""Requests as the official client sends them, over raw sockets at next to no cost."""

from __future__ import annotations

import json
import socket
import urllib.parse
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    import ssl

AGENT = "shotgun-json (3.10.3); Python 3.11 (Linux); ssl OpenSSL 3.0"


class Line:
    """A keep-alive connection that sends prepared requests."""

    def __init__(self, url: str, context: Optional[ssl.SSLContext] = None) -> None:
        place = urllib.parse.urlsplit(url)
        assert place.hostname is not None
        self._socket = socket.create_connection((place.hostname, place.port or 443), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname=place.hostname)

    def send(self, request: bytes) -> None:
        """Send one request."""
        self._socket.sendall(request)

    def receive(self) -> bytes:
        """The body of one answer."""
        data = self._receive_some(65536)
        while b"\r\n\r\n" not in data:
            data += self._receive_some(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        parts = [body]
        missing = length - len(body)
        while missing > 0:
            parts.append(self._receive_some(min(missing, 1 << 20)))
            missing -= len(parts[-1])
        return b"".join(parts)

    def _receive_some(self, size: int) -> bytes:
        data = self._socket.recv(size)
        if not data:
            raise SystemExit("the site closed a connection in the middle of an answer")
        return data

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def rpc(url: str, script_name: str, api_key: str, method: str, params: object = None) -> bytes:
    """The bytes of a request to the site at *url*."""
    auth = {"script_name": script_name, "script_key": api_key}
    call = {"method_name": method, "params": [auth, params] if params else []}
    body = json.dumps(call, ensure_ascii=False).encode()
    head = (
        f"POST /api3/json HTTP/1.1\r\nHost: {urllib.parse.urlsplit(url).netloc}\r\n"
        f"user-agent: {AGENT}\r\n"
        "content-type: application/json; charset=utf-8\r\nconnection: keep-alive\r\n"
        f"accept-encoding: gzip, deflate\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def read_params(
    filters: list[object], fields: list[str], page_size: int, page: int = 1
) -> dict[str, object]:
    """What ``find`` and ``find_one`` ask a site for Shots."""
    return {
        "type": "Shot",
        "return_fields": fields,
        "filters": {"logical_operator": "and", "conditions": filters},
        "return_only": "active",
        "paging": {"entities_per_page": page_size, "current_page": page},
        "return_paging_info": False,
        "api_return_image_urls": True,
    }


def by_id(entity_id: int) -> list[object]:
    """The filters of a lookup by id, as they are sent."""
    return [{"path": "id", "relation": "is", "values": [entity_id]}]
