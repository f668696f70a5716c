"""Publishes over HTTPS: a Version, its movie, its thumbnail, and a PublishedFile that is linked.

The official client does them one after the other on each of its threads, as is done by hand; our
executor takes each step as soon as it can be made. Each round runs every way once. The site is a
sandbox in a process of its own; after each run the sizes of all files and the links are checked.

    python benchmarks/publishes.py [--count 40] [--rounds 3] [--latency 0.05] [--workers 8]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

import shotgun_api3
from _clients import PerThread, Site, executor, official

from shotgun_executor.sandbox import Sandbox

MOVIE_BYTES = 200_000
THUMBNAIL_BYTES = 20_000


class Work(NamedTuple):
    """What is published."""

    run: str
    count: int
    project: dict[str, Any]
    movie: str
    thumbnail: str

    def version(self, number: int) -> dict[str, Any]:
        return {"code": f"{self.run}_{number:03}", "project": self.project}

    def published(self, number: int, version: Any) -> dict[str, Any]:
        return {**self.version(number), "version": version}


class ByHand:
    """The official client, one per thread."""

    def __init__(self, site: Site) -> None:
        self.threads = PerThread(official, site)

    def publish(self, work: Work) -> list[int]:
        def one(sg: Any, number: int) -> int:
            version = sg.create("Version", work.version(number))
            sg.upload("Version", version["id"], work.movie, field_name="sg_uploaded_movie")
            sg.upload_thumbnail("Version", version["id"], work.thumbnail)
            link = {"type": "Version", "id": version["id"]}
            sg.create("PublishedFile", work.published(number, link))
            return int(version["id"])

        return self.threads.map(one, list(range(work.count)))

    def close(self) -> None:
        self.threads.close()


class Publishing:
    """Our executor, with a report that is kept in a file."""

    batch_writes = False

    def __init__(self, site: Site) -> None:
        self.executor = executor(site)

    def publish(self, work: Work) -> list[int]:
        versions = []
        report = Path(work.movie).with_name(f"{work.run}.json")
        with self.executor.publishing(report, batch_writes=self.batch_writes) as publishing:
            for number in range(work.count):
                item = publishing.item(str(number))
                version = item.create("Version", work.version(number))
                item.upload("Version", version, work.movie, field_name="sg_uploaded_movie")
                item.upload_thumbnail("Version", version, work.thumbnail)
                item.create("PublishedFile", work.published(number, version))
                versions.append(version)
        if not publishing.report.ok:
            raise SystemExit("\n".join(str(item) for item in publishing.report if not item.ok))
        return [version.result()["id"] for version in versions]

    def close(self) -> None:
        self.executor.shutdown()


class InBatches(Publishing):
    """The same, with its creates gathered."""

    batch_writes = True


WAYS: dict[str, Callable[[Site], Any]] = {
    "official, one per thread": ByHand,
    "publishing()": Publishing,
    "publishing(batch_writes=True)": InBatches,
}


def trust(path: Path, sandbox: Sandbox) -> None:
    """Write a file of those who are trusted everywhere, and of the authority of the sandbox.

    To read the file of all those authorities is what a client does at a real site.
    """
    usual = Path(shotgun_api3.__file__).parent / "lib" / "certifi" / "cacert.pem"
    assert sandbox.ca_certs is not None
    path.write_bytes(usual.read_bytes() + Path(sandbox.ca_certs).read_bytes())


def check(sandbox: Sandbox, name: str, sg: Any, versions: list[int], before: int) -> None:
    """End the run if something is not there that came after the request of number *before*."""
    sandbox.set_latency(0)
    fields = ["sg_uploaded_movie", "image"]
    found = sg.find("Version", [["id", "in", versions]], fields)
    links = sg.find("PublishedFile", [["version.Version.id", "in", versions]])
    if not len(set(versions)) == len(found) == len(links) == len(versions):
        raise SystemExit(f"{name}: {len(found)} Versions and {len(links)} links are there")
    if not all(version["sg_uploaded_movie"] and version["image"] for version in found):
        raise SystemExit(f"{name}: a movie or a thumbnail is missing")
    sizes = [
        request.bytes_received
        for request in sandbox.requests
        if request.number > before and request.method == "storage_put"
    ]
    if sorted(sizes) != [THUMBNAIL_BYTES] * len(versions) + [MOVIE_BYTES] * len(versions):
        raise SystemExit(f"{name}: not every file arrived whole")


def measure(sandbox: Sandbox, name: str, way: Any, work: Work) -> tuple[float, float, int]:
    """Seconds, seconds of CPU of this process, and requests."""
    before = sandbox.counters().total
    start, cpu = time.perf_counter(), time.process_time()
    versions = way.publish(work)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    if len(versions) != work.count:
        raise SystemExit(f"{name}: {len(versions)} Versions")
    return seconds, cpu, sandbox.counters().total - before


def compare(
    sandbox: Sandbox, options: argparse.Namespace, folder: Path
) -> dict[str, list[tuple[float, float, int]]]:
    trusted = str(folder / "authorities.pem")
    trust(Path(trusted), sandbox)
    site = Site(
        *(sandbox.url, sandbox.script_name, sandbox.api_key, options.workers), ca_certs=trusted
    )
    sg = official(site)
    movie, thumbnail = folder / "movie.mov", folder / "thumbnail.jpg"
    movie.write_bytes(os.urandom(MOVIE_BYTES))
    thumbnail.write_bytes(os.urandom(THUMBNAIL_BYTES))
    project = sg.create("Project", {"name": "The Lantern Sea"})
    ways = {name: way(site) for name, way in WAYS.items()}
    figures: dict[str, list[tuple[float, float, int]]] = {}
    for number in range(-1, options.rounds):  # the first round is for threads and connections
        for turn, (name, way) in enumerate(ways.items()):
            count = options.count if number >= 0 else options.workers
            run = f"r{number + 1}w{turn}"
            work = Work(run, count, project, str(movie), str(thumbnail))
            before = sandbox.requests[-1].number
            sandbox.set_latency(options.latency if number >= 0 else 0)
            figure = measure(sandbox, name, way, work)
            if number >= 0:
                figures.setdefault(name, []).append(figure)
                rows = sg.find("Version", [["code", "starts_with", f"{run}_"]])
                check(sandbox, name, sg, [row["id"] for row in rows], before)
    for way in ways.values():
        way.close()
    sg.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=40, help="publishes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds per answer")
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    with Sandbox(tls=True) as sandbox, tempfile.TemporaryDirectory() as folder:
        figures = compare(sandbox, options, Path(folder))
    print(f"{options.count} publishes, {options.workers} workers, {options.latency * 1000:g} ms")
    print(f"{'way':<31}{'seconds':>9}{'CPU':>8}{'requests':>10}{'times as fast':>15}")
    slow = figures["official, one per thread"]
    for name, runs in figures.items():
        seconds, cpu, _ = (statistics.median(column) for column in zip(*runs))
        ratio = statistics.median(one[0] / other[0] for one, other in zip(slow, runs))
        print(f"{name:<31}{seconds:>9.2f}{cpu:>8.2f}{runs[0][2]:>10}{ratio:>15.1f}", flush=True)


if __name__ == "__main__":
    main()
