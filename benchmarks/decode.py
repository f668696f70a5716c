"""CPU to decode a page: the official client, ours with orjson and without, and JSON alone.

A page has 500 rows of ten fields: two dates, a link, a list of five links. Each way begins with the
bytes of the body and ends with the list that ``find`` returns, and all lists are checked to be
equal. Every page has other dates, so that nothing is gained by remembering whole values. Each round
runs every way once; the table has the medians
and the best, which other processes disturb least. The official client formats a log line of every
body, also when nobody prints it; the second row has that in it.

    python benchmarks/decode.py [--rounds 30] [--rows 500]
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from datetime import datetime, timedelta
from typing import Any, Callable, Optional

from shotgun_api3.shotgun import LOG, Shotgun

from shotgun_executor import ShotgunPool, decode

HEADERS = {"content-type": "application/json; charset=utf-8"}
YEARS = 3  # over which the dates are spread

Way = Callable[[bytes], Any]


def date(chance: random.Random) -> str:
    moment = datetime.fromisoformat("2024-01-01") + timedelta(
        seconds=chance.randrange(YEARS * 365 * 86400)
    )
    return f"{moment.isoformat()}Z"


def row(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "type": "Shot",
        "id": number,
        "code": f"sh{number:05}_010",
        "sg_status_list": chance.choice(["ip", "fin", "wtg"]),
        "description": f"Two of them walk along the shore, take {number}",
        "sg_cut_in": 1001,
        "sg_cut_out": 1001 + chance.randrange(200),
        "sg_ratio": chance.random(),
        "created_at": date(chance),
        "updated_at": date(chance),
        "sg_sequence": {"type": "Sequence", "id": number // 20, "name": f"sq{number // 20:03}"},
        "assets": [
            {"type": "Asset", "id": other, "name": f"asset_{other}"}
            for other in chance.sample(range(1000), 5)
        ],
    }


def page(rows: int, chance: random.Random) -> bytes:
    rows_of_page = [row(1 + number, chance) for number in range(rows)]
    answer = {"results": {"entities": rows_of_page, "paging_info": {"has_next_page": True}}}
    return json.dumps(answer, separators=(",", ":")).encode()


def official(sg: Shotgun) -> Way:
    def decoded(body: bytes) -> Any:
        answer: Any = sg._decode_response(HEADERS, body)
        sg._response_errors(answer)
        return sg._parse_records(sg._transform_inbound(answer)["results"]["entities"])

    return decoded


def official_with_log(sg: Shotgun) -> Way:
    decoded = official(sg)

    def logged(body: bytes) -> Any:
        LOG.debug(f"Response body is {body!r}")  # as it does with every answer
        return decoded(body)

    return logged


def ours(sg: Any, library: Optional[Any]) -> Way:
    def decoded(body: bytes) -> Any:
        decode.orjson = library
        answer = decode.decoded(sg, HEADERS, body)
        return sg._parse_records(answer["results"]["entities"])

    return decoded


def microseconds(way: Way, body: bytes, rows: int) -> tuple[float, Any]:
    """CPU per row, and what came out."""
    gc.collect()
    start = time.thread_time()
    found = way(body)
    return (time.thread_time() - start) / rows * 1e6, found


def measure(ways: dict[str, Way], rounds: int, rows: int) -> dict[str, tuple[float, float]]:
    """CPU per row of each way, in microseconds: the median of the rounds, and the best."""
    chance = random.Random(1)
    for way in ways.values():  # days that come again and again are known by then
        for _ in range(10):
            way(page(rows, chance))
    times: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for _ in range(rounds):
        body = page(rows, chance)
        found = {}
        for name in order:
            spent, found[name] = microseconds(ways[name], body, rows)
            times[name].append(spent)
        order.append(order.pop(0))  # who comes after whom matters to caches
        whole = {repr(list_) for name, list_ in found.items() if "alone" not in name}
        if len(whole) != 1:
            raise SystemExit("the ways do not return the same; the figures would mean nothing")
    return {name: (statistics.median(spent), min(spent)) for name, spent in times.items()}


def first_page(sg: Any, rows: int) -> tuple[float, float]:
    """The same for the first page of a process, with days that it does not know yet."""
    way, body = ours(sg, decode.orjson), page(rows, random.Random(2))
    times = []
    for _ in range(5):
        decode._calendars.clear()
        times.append(microseconds(way, body, rows)[0])
    return statistics.median(times), min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=500, help="of a page; default: %(default)s")
    options = parser.parse_args()
    orjson = decode.orjson
    if orjson is None:
        print("orjson is not installed, so half of the table is missing")
    plain = Shotgun("http://127.0.0.1:9", "tool", "key", connect=False)
    with ShotgunPool(plain) as pool, pool.lease() as sg:
        ways = {
            "the official client": official(plain),
            "with its log line": official_with_log(plain),
        }
        if orjson is not None:
            ways["ours, with orjson"] = ours(sg, orjson)
        ways["ours, without"] = ours(sg, None)
        if orjson is not None:
            ways["orjson.loads alone"] = orjson.loads
        ways["json.loads alone"] = json.loads
        found = measure(ways, options.rounds, options.rows)
        decode.orjson = orjson
        found["ours, the first page"] = first_page(sg, options.rows)
    base = found["the official client"]
    print(f"{'µs per record':24}{'median':>8}{'of official':>14}{'best':>8}{'of official':>14}")
    for name, spent in found.items():
        columns = (f"{us:8.1f}{f'1/{of / us:.1f}':>14}" for us, of in zip(spent, base))
        print(f"{name:24}{''.join(columns)}")


if __name__ == "__main__":
    main()
