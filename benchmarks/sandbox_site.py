"""What calls cost the sandbox without HTTP, on a show of 600 shots and on a large site.

Run it as ``python benchmarks/sandbox_site.py [rows]``; `rows` is the number of versions on the
large site, 1,000,000 if left out (which takes half a minute and 400 MB).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shotgun_executor.sandbox.bulk import Bulk
from shotgun_executor.sandbox.demo import load_demo
from shotgun_executor.sandbox.site import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL: dict[str, Any] = {"logical_operator": "and", "conditions": []}
PROJECT = {"type": "Project", "id": 1}
TEN_FIELDS = [
    "code", "description", "sg_status_list", "sg_sequence", "assets", "created_at", "updated_at",
    "sg_cut_in", "sg_cut_out", "sg_frame_rate",
]  # fmt: skip


def say(line: str) -> None:
    """Writes a line to standard output."""
    sys.stdout.write(f"{line}\n")


def request(site: Site, method: str, params: dict[str, Any]) -> bytes:
    """Returns the body of a call made as the site's script."""
    auth = {"script_name": site.script_name, "script_key": site.api_key}
    return json.dumps({"method_name": method, "params": [auth, params]}).encode()


def read(
    site: Site,
    entity_type: str,
    fields: list[str],
    *conditions: Any,
    size: int = 500,
    page: int = 1,
    presets: Sequence[dict[str, Any]] = (),
) -> bytes:
    """Returns the body of a ``read`` as the official client sends it."""
    leaves = [
        {"path": path, "relation": relation, "values": list(values)}
        for path, relation, *values in conditions
    ]
    params = {
        "type": entity_type,
        "return_fields": fields,
        "filters": {"logical_operator": "and", "conditions": leaves},
        "return_only": "active",
        "paging": {"entities_per_page": size, "current_page": page},
        "api_return_image_urls": True,
        "return_paging_info_without_counts": True,
        "additional_filter_presets": list(presets),
    }
    return request(site, "read", params)


def create(site: Site) -> bytes:
    """Returns the body of a ``create`` of a Version with four fields."""
    shot = {"type": "Shot", "id": 1}
    data = {"code": "v", "project": PROJECT, "entity": shot, "sg_status_list": "rev"}
    fields = [{"field_name": name, "value": value} for name, value in data.items()]
    return request(site, "create", {"type": "Version", "fields": fields, "return_fields": ["id"]})


def show(site: Site, name: str, body: bytes, times: int) -> None:
    """Prints the best mean of three runs."""
    answer = site.answer(body)
    assert not answer.failed, answer.body
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(times):
            site.answer(body)
        best = min(best, (time.perf_counter() - start) / times)
    size = len(answer.body)
    say(f"{name:48} {best * 1e6:10.0f} us {1 / best:8.0f} per second {size:9} bytes")


def memory() -> int:
    """Returns the most memory that this process has used so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 if sys.platform.startswith("linux") else 1024 * 1024)


def small_calls() -> None:
    """Measures the calls of a script on a show of 600 shots."""
    site = Site()
    start = time.perf_counter()
    load_demo(site)
    say(f"load_demo of 600 shots: {time.perf_counter() - start:.2f} s")
    three = ["code", "sg_sequence", "sg_status_list"]
    show(site, "find_one by id, 3 fields", read(site, "Shot", three, ("id", "is", 5), size=1), 2000)
    show(site, "page of 500, 10 fields", read(site, "Shot", TEN_FIELDS), 30)
    here = ("project", "is", PROJECT)
    show(site, "page of 500, 10 fields, one project", read(site, "Shot", TEN_FIELDS, here), 30)
    ids = ("id", "in", *range(1, 501))
    show(site, "500 ids, 1 field", read(site, "Version", ["code"], ids), 100)
    task = ("entity", "is", {"type": "Shot", "id": 9})
    show(site, "tasks of a shot", read(site, "Task", ["content"], task), 500)
    dotted = ("entity.Shot.sg_sequence", "is", {"type": "Sequence", "id": 3})
    show(site, "tasks of a sequence, dotted", read(site, "Task", ["content"], dotted), 200)
    show(site, "create, 4 fields, in memory", create(site), 1000)
    change = {"type": "Version", "id": 1, "fields": [{"field_name": "code", "value": "w"}]}
    show(site, "update of 1 field that stays", request(site, "update", change), 1000)
    latest = {"preset_name": "LATEST", "latest_by": "ENTITIES_CREATED_AT"}
    body = read(site, "Version", ["code"], here, presets=[latest])
    show(site, "latest versions, one project", body, 10)
    text = {"text": "ls001", "entity_types": {"Shot": ALL, "Task": ALL}, "project_ids": [1]}
    show(site, "text search", request(site, "query_display_name_cache", text), 10)
    shot = {"type": "Shot", "id": 1, "entity_fields": {}}
    show(site, "activity of a shot", request(site, "activity_stream", shot), 10)
    start = time.perf_counter()
    properties = [{"property_name": "name", "value": "Takes"}]
    field = {"type": "Shot", "data_type": "number", "properties": properties}
    site.answer(request(site, "schema_field_create", field))
    say(f"schema_field_create: {(time.perf_counter() - start) * 1e3:.0f} ms")
    site.close()
    quiet = Site(event_log=False)
    load_demo(quiet)
    show(quiet, "create, 4 fields, no event log", create(quiet), 1000)
    quiet.close()


def large_site(rows: int) -> None:
    """Measures pages near the start and the end of very many rows."""
    site = Site()
    start = time.perf_counter()
    bulk = Bulk(site)
    project = bulk.add("Project", name="Large")
    shots = [bulk.add("Shot", code=f"s{number}", project=project) for number in range(1000)]
    for number in range(rows):
        shot = shots[number % len(shots)]
        bulk.add("Version", code=f"v{number}", project=project, entity=shot, sg_status_list="rev")
        if number % 50_000 == 0:
            bulk.write()
    bulk.write()
    say(f"{rows} versions written in {time.perf_counter() - start:.1f} s; peak {memory()} MB")
    fields = ["code", "entity", "sg_status_list", "created_at"]
    here = ("project", "is", PROJECT)
    for page in (1, rows // 1000, rows // 500):
        show(site, f"page {page} of all", read(site, "Version", fields, page=page), 3)
        body = read(site, "Version", fields, here, page=page)
        show(site, f"page {page} of one project", body, 3)
    one = ("entity", "is", {"type": "Shot", "id": 7})
    show(site, "versions of a shot, of one project", read(site, "Version", fields, one, here), 30)
    show(site, "find_one by id", read(site, "Version", fields, ("id", "is", rows), size=1), 1000)
    show(
        site, "code contains, no match", read(site, "Version", fields, ("code", "contains", "x")), 1
    )
    start = time.perf_counter()
    steps = max(1, rows // 500 // 100)
    for page in range(1, rows // 500 + 1, steps):
        site.answer(read(site, "Version", fields, page=page))
    say(f"a hundred pages all over: {time.perf_counter() - start:.1f} s; peak {memory()} MB")
    site.close()


if __name__ == "__main__":
    small_calls()
    large_site(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
