"""The main job, end to end: three kinds of parallel work, beside the plain client's time for it.

Without arguments it starts a local site with a demo show and works on that. With SHOTGUN_URL and
credentials in the environment it runs the part that only reads on that site instead.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from concurrent.futures import as_completed
from pathlib import Path

import shotgun_api3

from shotgun_executor import ShotgunExecutor, site_of_environment

sys.path.insert(0, str(Path(__file__).parent))
from _site import run_program, whole_number
from legacy_script import report

LOOKUPS = 100
PUBLISHES = 12
REPORTS = 4
FIELDS = ["code", "sg_status_list", "sg_sequence"]


# (a) A bulk lookup: executor.map over ids


def look_up(sg, shot_id):
    """One lookup, as a tool would make it for each line of a list."""
    return sg.find_one("Shot", [["id", "is", shot_id]], FIELDS)


def look_up_serially(sg, ids):
    return [look_up(sg, shot_id) for shot_id in ids]


def look_up_in_parallel(executor, ids):
    sg = executor.shotgun
    return list(executor.map(lambda shot_id: look_up(sg, shot_id), ids))


# (b) A batch publishing script with futures


def publish_data(shot, project, label):
    version = {"code": f"{shot['code']}_{label}", "entity": shot, "project": project}
    published = {"code": f"{shot['code']}_{label}.exr", "entity": shot, "project": project}
    return version, published


def publish_serially(sg, shots, project):
    made = []
    for shot in shots:
        version_data, published_data = publish_data(shot, project, "plain")
        version = sg.create("Version", version_data)
        made.append(sg.create("PublishedFile", {**published_data, "version": version}, ["version"]))
    return made


def publish_in_parallel(executor, shots, project):
    """Create all Versions at once; link a PublishedFile to each as soon as it exists."""
    versions, links = {}, []
    for shot in shots:
        version_data, published_data = publish_data(shot, project, "futures")
        versions[executor.create("Version", version_data)] = published_data
    for version in as_completed(versions):
        data = {**versions[version], "version": version.result()}
        links.append(executor.create("PublishedFile", data, ["version"]))
    return [link.result() for link in links]


# (c) An old synchronous script, unchanged, from several threads


def report_serially(sg, sequences):
    return {code: report(sg, code) for code in sequences}


def report_in_threads(executor, sequences):
    """Threads that we did not start as workers share the facade."""
    sg = executor.shotgun
    lines = {}

    def script(code):
        lines[code] = report(sg, code)

    threads = [threading.Thread(target=script, args=(code,)) for code in sequences]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {code: lines[code] for code in sequences}


# The show around it


def timed(function, *args):
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


def compare(title, serial, parallel, same=lambda result: result):
    """Run both ways, check that they did the same, and print their times."""
    expected, plain = serial()
    result, ours = parallel()
    if same(result) != same(expected):
        raise SystemExit(f"{title}: the results differ")
    print(f"  {title:<52}{plain:8.2f} s{ours:8.2f} s{plain / ours:8.1f} x")
    return result


def look_ups(sg, executor):
    """Part (a)."""
    ids = [shot["id"] for shot in sg.find("Shot", [], limit=LOOKUPS)]
    return compare(
        f"(a) {len(ids)} lookups with executor.map",
        lambda: timed(look_up_serially, sg, ids),
        lambda: timed(look_up_in_parallel, executor, ids),
    )


def publishes(sg, executor):
    """Part (b). It writes, and so runs on the local site only."""
    project = sg.find_one("Project", [])
    shots = sg.find("Shot", [], ["code"], limit=PUBLISHES)
    return compare(
        f"(b) {len(shots)} Versions, each with a PublishedFile",
        lambda: timed(publish_serially, sg, shots, project),
        lambda: timed(publish_in_parallel, executor, shots, project),
        same=lambda made: sorted(link["version"]["name"].rsplit("_", 1)[0] for link in made),
    )


def reports(sg, executor):
    """Part (c)."""
    order = [{"field_name": "code"}]
    found = sg.find("Sequence", [], ["code"], order=order, limit=REPORTS)
    codes = [sequence["code"] for sequence in found]
    return compare(
        f"(c) {len(codes)} old scripts in threads, on executor.shotgun",
        lambda: timed(report_serially, sg, codes),
        lambda: timed(report_in_threads, executor, codes),
    )


def run(sg, executor, *parts):
    """Run the parts, one after the other, as a table."""
    print(f"\n  {'':<52}{'plain':>10}{'executor':>10}{'ratio':>10}")
    return [part(sg, executor) for part in parts]


def on_real_site(site, max_workers):
    sg = shotgun_api3.Shotgun(**site)
    print(f"On {sg.config.server}, reading only; {max_workers} workers.")
    with ShotgunExecutor(**site, max_workers=max_workers) as executor:
        run(sg, executor, look_ups, reports)
        print(f"\n{executor!r}")
    sg.close()


def on_local_site(latency, max_workers):
    from shotgun_executor.sandbox import Sandbox

    print("Starting a local site with a demo show ...", flush=True)
    with Sandbox(demo=True, latency=latency) as sandbox:
        print(
            f"{sandbox.url}: each answer takes {latency * 1000:.0f} ms; {max_workers} workers, "
            f"beside the plain client, which makes one call at a time."
        )
        sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        sg.find_one("Shot", [])
        before = sandbox.counters()
        with ShotgunExecutor(
            sandbox.url, **sandbox.credentials, max_workers=max_workers
        ) as executor:
            found, links, lines = run(sg, executor, look_ups, publishes, reports)
            seen = sandbox.counters()
        sg.close()

    shot, (sequence, report_lines) = found[0], next(iter(lines.items()))
    print("\nWhat was done, for example:")
    print(f"  (a) Shot {shot['id']} is {shot['code']} of {shot['sg_sequence']['name']}")
    print(f"  (b) PublishedFile {links[0]['id']} is linked to {links[0]['version']['name']}")
    print(f"  (c) {sequence}: {report_lines[0]}")
    print("\nWhat the site saw of the executor:")
    print(f"  {seen.connections - before.connections} connections", end=", ")
    print(f"{seen.requests['info'] - before.requests['info']} info call", end=", ")
    print(f"at most {seen.peak_in_flight} requests at a time")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=whole_number, default=8, help="workers (default: 8)")
    parser.add_argument(
        "--latency", type=float, default=0.05, help="seconds per answer of the local site"
    )
    options = parser.parse_args()
    if not options.latency >= 0:
        parser.error("--latency must not be negative")
    if not os.environ.get("SHOTGUN_URL"):
        on_local_site(options.latency, options.workers)
        return
    try:
        site = site_of_environment()
    except ValueError as error:
        parser.error(str(error))
    on_real_site(site, options.workers)


if __name__ == "__main__":
    run_program(main)
