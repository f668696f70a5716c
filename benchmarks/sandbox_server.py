"""How fast the sandbox answers: small reads, pages, and what the HTTP half costs by itself.

Run it as ``python benchmarks/sandbox_server.py``. It sends prepared requests over raw sockets, so
that the client costs next to nothing, to a sandbox in a process of its own; each figure is the
best of a few rounds of a second or less. The server has one thread: it uses one core at most.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _wire import Line, by_id, read_params, rpc

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


def prepare(sandbox: Sandbox, method: str, params: object = None) -> bytes:
    """The bytes of a request as the official client sends it."""
    return rpc(sandbox.url, sandbox.script_name, sandbox.api_key, method, params)


def read(sandbox: Sandbox, filters: list[object], fields: list[str], page_size: int) -> bytes:
    """The request that find and find_one send."""
    return prepare(sandbox, "read", read_params(filters, fields, page_size))


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
