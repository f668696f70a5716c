"""A site that has its answers ready, so that what is measured is the client and not the site.

``read`` of a page, also of the rows after an id or between ids, of one Shot by its id and of many
by theirs, a count of the rows, and ``info``; nothing else. What a client asks for is read from its
request, a wrong key is refused, and every request is counted. It is started by
:class:`CannedSite` in a process of its own, and ends with the pipe to its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import gzip
import json
import random
import re
import selectors
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Optional

from _shape import ROWS

SCRIPT_NAME = "benchmark"
API_KEY = "canned-key"

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_METHOD = re.compile(rb'"method_name":\s*"(\w+)"')
_KEY = re.compile(rb'"script_key":\s*"' + API_KEY.encode() + rb'"')
_ID = re.compile(rb'"values":\s*\[\s*(\d+)\s*\]')
_IDS = re.compile(rb'"in",\s*"values":\s*\[([\d,\s]+)\]')
_AFTER = re.compile(rb'"greater_than",\s*"values":\s*\[(\d+)\]')
_BETWEEN = re.compile(rb'"between",\s*"values":\s*\[(\d+),\s*(\d+)\]')
_IS = re.compile(rb'"is",\s*"values":\s*\[(\d+)\]')
_PAGE = re.compile(rb'"current_page":\s*(\d+)')
_SIZE = re.compile(rb'"entities_per_page":\s*(\d+)')
_LATENCY = re.compile(rb"latency=([\d.]+)")
_NOTE = "wide lens on the harbour at dawn, fog < 20 m, café lights flicker behind"


def row(number: int) -> dict[str, Any]:
    """A Shot with ten fields: two dates, one link, one list of five links."""
    minute = f"{number // 60 % 24:02}:{number % 60:02}"
    return {
        "type": "Shot",
        "id": number,
        "code": f"sh{number:05}",
        "description": _NOTE[number % 40 :].replace("<", "&lt;"),
        "sg_status_list": ("wtg", "rdy", "ip", "fin")[number % 4],
        "sg_cut_in": 1001,
        "sg_cut_out": 1001 + number % 300,
        "sg_cut_duration": 1 + number % 300,
        "created_at": f"2025-{1 + number % 12:02}-{1 + number % 28:02}T{minute}:07Z",
        "updated_at": f"2026-{1 + number % 7:02}-{1 + number % 28:02}T{minute}:41Z",
        "sg_sequence": {"type": "Sequence", "id": 1 + number % 90, "name": f"sq{number % 90:03}"},
        "assets": [
            {"type": "Asset", "id": 1 + (number + k) % 700, "name": f"prop_{(number + k) % 700}"}
            for k in range(5)
        ],
    }


def small_row(number: int) -> dict[str, Any]:
    """A Shot with one field."""
    return {"type": "Shot", "id": number, "code": f"sh{number:07}"}


KINDS = ("dense", "sparse", "clustered")
_HIGHEST = 10_000_000


def ids_of(kind: str, count: int) -> list[int]:
    """The ids of so many rows: without gaps, anywhere up to ten million, or in runs among those."""
    dice = random.Random(count)
    if kind == "dense":
        return list(range(1, count + 1))
    if kind == "sparse":
        return sorted(dice.sample(range(1, _HIGHEST), count))
    ids: list[int] = []
    start = 1
    while len(ids) < count:
        ids += range(start, start + dice.randint(1, 1000))
        start = ids[-1] + dice.randint(2, 2 * 500 * _HIGHEST // count)
    return ids[:count]


class _Answers:
    """Whole answers, head included, made once."""

    def __init__(self, pages: int, *, compress: bool, kind: str, small: bool) -> None:
        self._compress = compress
        self._last = pages
        self._ids = ids_of(kind, pages * ROWS)
        self._row = small_row if small else row
        self._pages = {n: self._page(n) for n in range(1, pages + 1)}
        self._beyond = self._page(pages + 1, rows=0)
        self._info = self._whole(
            {
                "version": [8, 89, 0],
                "full_version": [8, 89, 0, 9724],
                "user_authentication_method": "default",
                "unified_login_flow_enabled": True,
                "api_max_entities_per_page": ROWS,
                "s3_uploads_enabled": True,
                "s3_direct_uploads_enabled": True,
                "s3_enabled_upload_types": {"*": "*"},
            }
        )

    def of(self, request: bytes) -> bytes:
        """The answer to the body of a request."""
        method = _METHOD.search(request)
        if method is not None and method[1] == b"info":
            return self._info
        if _KEY.search(request) is None:
            return self._refusal("Can't authenticate script", 102)
        if method is not None and method[1] == b"summarize":
            return self._whole({"results": {"summaries": {"id": self._last * ROWS}, "groups": []}})
        if method is None or method[1] != b"read":
            return self._refusal("this site only reads", 103)
        ids = _IDS.search(request)
        if ids is not None:
            return self._shots([int(each) for each in ids[1].split(b",")])
        if _BETWEEN.search(request) is not None:
            return self._rows_between(request)
        if _AFTER.search(request) is not None:
            return self._page_for(request)
        number = _ID.search(request)
        return self._shot(int(number[1])) if number else self._page_for(request)

    def _page_for(self, request: bytes) -> bytes:
        page, size = _PAGE.search(request), _SIZE.search(request)
        if page is None or size is None or int(size[1]) != ROWS:
            return self._refusal(f"a page has {ROWS} rows here", 103)
        after = _AFTER.search(request)
        before = int(after[1]) // ROWS if after else 0
        return self._pages.get(before + int(page[1]), self._beyond)

    def _rows_between(self, request: bytes) -> bytes:
        ranges = [(int(low), int(high)) for low, high in _BETWEEN.findall(request)]
        ranges += [(int(each), int(each)) for each in _IS.findall(request)]
        found: list[int] = []
        for low, high in ranges:
            first = bisect.bisect_left(self._ids, low)
            found += self._ids[first : bisect.bisect_right(self._ids, high)]
        paging = {"current_page": 1, "has_next_page": False}
        entities = [self._row(number) for number in found]
        return self._whole({"results": {"entities": entities, "paging_info": paging}})

    def _page(self, page: int, rows: int = ROWS) -> bytes:
        first = (page - 1) * ROWS
        entities = [self._row(number) for number in self._ids[first : first + rows]]
        paging = {"current_page": page, "has_next_page": page < self._last}
        return self._whole({"results": {"entities": entities, "paging_info": paging}})

    def _shot(self, number: int) -> bytes:
        text = (
            f'{{"results":{{"entities":[{{"type":"Shot","id":{number},"code":"sh{number:05}",'
            f'"sg_status_list":"ip","sg_cut_in":{1000 + number}}}],'
            '"paging_info":{"current_page":1,"has_next_page":false}}}'
        )
        return _with_head(text.encode(), "")

    def _shots(self, ids: list[int]) -> bytes:
        rows = [
            {"type": "Shot", "id": each, "code": f"sh{each:05}", "sg_status_list": "ip",
             "sg_cut_in": 1000 + each}
            for each in sorted(ids)
        ]  # fmt: skip
        paging = {"current_page": 1, "has_next_page": False}
        return self._whole({"results": {"entities": rows, "paging_info": paging}})

    def _refusal(self, message: str, code: int) -> bytes:
        return self._whole({"exception": True, "message": message, "error_code": code})

    def _whole(self, answer: object) -> bytes:
        body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
        if not self._compress:
            return _with_head(body, "")
        return _with_head(gzip.compress(body, 6), "Content-Encoding: gzip\r\n")


def _with_head(body: bytes, more: str) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _State:
    """What all connections share."""

    def __init__(self, answers: _Answers) -> None:
        self.answers = answers
        self.latency = 0.0
        self.requests = 0
        self.connections = 0
        self._cpu = 0.0

    def control(self, head: bytes) -> bytes:
        """Set the latency; the answer has the counts so far, which begin anew."""
        cpu = time.process_time()
        counts = {
            "requests": self.requests,
            "connections": self.connections,
            "cpu": cpu - self._cpu,
        }
        self._cpu = cpu
        self.requests = self.connections = 0
        given = _LATENCY.search(head)
        self.latency = float(given[1]) if given else self.latency
        return _with_head(json.dumps(counts).encode(), "Connection: close\r\n")


class _Connection(asyncio.Protocol):
    """One client's connection; it sends one request at a time."""

    def __init__(self, state: _State, loop: asyncio.AbstractEventLoop) -> None:
        self._state = state
        self._loop = loop
        self._data = b""
        self._used = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._data, 0, end + 2)
        if len(self._data) < end + 4 + (int(length[1]) if length else 0):
            return
        whole, self._data = self._data, b""
        if whole.startswith(b"GET /control"):
            self._transport.write(self._state.control(whole[:end]))
            self._transport.close()
            return
        self._answer(whole[end + 4 :])

    def _answer(self, request: bytes) -> None:
        state = self._state
        state.requests += 1
        state.connections += not self._used
        self._used = True
        answer = state.answers.of(request)
        if state.latency:
            self._loop.call_later(state.latency, self._transport.write, answer)
        else:
            self._transport.write(answer)


class CannedSite:
    """The site in a process of its own, for as long as a ``with`` block lasts."""

    def __init__(
        self, pages: int, *, compress: bool = False, kind: str = "dense", small: bool = False
    ) -> None:
        """Start it.

        Args:
            pages: How many pages there are.
            compress: Send pages compressed.
            kind: What ids the rows have, see :func:`ids_of`.
            small: The rows have one field rather than ten.
        """
        command = [sys.executable, str(Path(__file__).resolve()), "--pages", str(pages)]
        self._process = subprocess.Popen(
            [
                *(*command, "--ids", kind),
                *(["--gzip"] if compress else []),
                *(["--small"] if small else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()
        if not self.url:
            raise SystemExit("the canned site could not start")

    def __enter__(self) -> CannedSite:
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)

    def control(self, latency: Optional[float] = None) -> dict[str, float]:
        """Set the seconds that an answer takes, and start to count anew.

        Returns:
            The counts until now: ``requests``, ``connections`` whose first request came, and the
            seconds of ``cpu`` that the site has used.
        """
        query = "" if latency is None else f"?latency={latency:f}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/control{query}", timeout=30) as answer:
            counts: dict[str, float] = json.load(answer)
        return counts


async def _serve(answers: _Answers) -> None:
    loop = asyncio.get_running_loop()
    state = _State(answers)
    server = await loop.create_server(lambda: _Connection(state, loop), "127.0.0.1", 0, backlog=128)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await ended.wait()
    server.close()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pages", type=int, default=40, help="how many pages there are")
    parser.add_argument("--gzip", action="store_true", help="send pages compressed")
    parser.add_argument("--ids", choices=KINDS, default="dense", help="what ids the rows have")
    parser.add_argument("--small", action="store_true", help="rows of one field")
    options = parser.parse_args()
    answers = _Answers(options.pages, compress=options.gzip, kind=options.ids, small=options.small)
    # select() has a clock of microseconds; epoll would make up to 6 of 5 milliseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(_serve(answers))
    loop.close()


if __name__ == "__main__":
    main()
