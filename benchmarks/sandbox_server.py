"""How fast the sandbox answers: small reads, pages, and what the HTTP half costs by itself.

Run it as ``python benchmarks/sandbox_server.py``. It sends prepared requests over raw sockets, so
that the client costs next to nothing, to a sandbox in a process of its own; each figure is the
best of a few rounds of a second or less. The server has one thread: it uses one core at most.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shotgun_executor.sandbox import Sandbox

ROUNDS = 3
PAGE_FIELDS = [
    "code",
    "project",
    "sg_status_list",
    "description",
    "sg_sequence",
    "sg_cut_in",
    "sg_cut_out",
    "created_at",
    "updated_at",
    "assets",
]


class Figure(NamedTuple):
    """What one round measured: requests a second, and processor time of the server for each."""

    rate: float
    cpu_microseconds: float


class Line:
    """A keep-alive connection that sends prepared requests."""

    def __init__(self, url: str) -> None:
        host, port = url.rpartition("//")[2].split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        """Send one request."""
        self._socket.sendall(request)

    def receive(self) -> bytes:
        """The body of one answer."""
        data = self._socket.recv(65536)
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        parts = [body]
        missing = length - len(body)
        while missing > 0:
            parts.append(self._socket.recv(min(missing, 1 << 20)))
            missing -= len(parts[-1])
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def prepare(sandbox: Sandbox, method: str, params: object = None) -> bytes:
    """The bytes of a request as the official client sends it."""
    auth = {"script_name": sandbox.script_name, "script_key": sandbox.api_key}
    call = {"method_name": method, "params": [auth, params] if params else []}
    body = json.dumps(call, ensure_ascii=False).encode()
    head = (
        f"POST /api3/json HTTP/1.1\r\nHost: {sandbox.url[7:]}\r\n"
        "user-agent: shotgun-json (3.10.3); Python 3.11 (Linux); ssl OpenSSL 3.0\r\n"
        "content-type: application/json; charset=utf-8\r\nconnection: keep-alive\r\n"
        f"accept-encoding: gzip, deflate\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def read(sandbox: Sandbox, filters: list[object], fields: list[str], page_size: int) -> bytes:
    """The request that find and find_one send."""
    return prepare(
        sandbox,
        "read",
        {
            "type": "Shot",
            "return_fields": fields,
            "filters": {"logical_operator": "and", "conditions": filters},
            "return_only": "active",
            "paging": {"entities_per_page": page_size, "current_page": 1},
            "return_paging_info": False,
            "api_return_image_urls": True,
        },
    )


def by_id(entity_id: int) -> list[object]:
    """The filters of a lookup by id."""
    return [{"path": "id", "relation": "is", "values": [entity_id]}]


def measure(sandbox: Sandbox, requests: list[bytes], connections: int) -> Figure:
    """Send *requests* in turns over *connections*, each waiting for its answer."""
    lines = [Line(sandbox.url) for _ in range(connections)]
    best = Figure(0.0, 0.0)
    try:
        for _ in range(ROUNDS):
            best = max(best, one_round(sandbox, requests, lines))
    finally:
        for line in lines:
            line.close()
    return best


def one_round(sandbox: Sandbox, requests: list[bytes], lines: list[Line]) -> Figure:
    """Send each request once."""
    cpu = sandbox.counters().cpu_seconds
    start = time.perf_counter()
    for first in range(0, len(requests), len(lines)):
        busy = list(zip(lines, requests[first : first + len(lines)]))
        for line, request in busy:
            line.send(request)
        for line, _ in busy:
            if b'"exception"' in line.receive()[:100]:
                raise SystemExit("the site refused a request; the figures would mean nothing")
    seconds = time.perf_counter() - start
    cpu = sandbox.counters().cpu_seconds - cpu
    return Figure(len(requests) / seconds, cpu / len(requests) * 1e6)


def show(what: str, figure: Figure) -> None:
    """Print one row."""
    print(f"{what:34}{figure.rate:10.0f} /s {figure.cpu_microseconds:10.0f} µs CPU each")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--requests", type=int, default=2000, help="small requests a round")
    options = parser.parse_args()
    start = time.perf_counter()
    with Sandbox(demo=True, shots=1000) as sandbox:
        print(f"{'start with the demo show':34}{time.perf_counter() - start:10.2f} s")
        connections, count = options.connections, options.requests
        show(
            "info (the HTTP half alone)",
            measure(sandbox, [prepare(sandbox, "info")] * count, connections),
        )
        fields = ["code", "sg_status_list", "project"]
        lookups = [read(sandbox, by_id(1 + n % 1000), fields, 1) for n in range(count)]
        show("find_one by id, 3 fields", measure(sandbox, lookups, connections))
        pages = [read(sandbox, [], PAGE_FIELDS, 500)] * max(1, count // 40)
        show("page of 500 rows, 10 fields", measure(sandbox, pages, connections))


if __name__ == "__main__":
    main()
