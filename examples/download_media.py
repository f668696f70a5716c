"""Download the movies of all Versions of a project, four at a time.

A movie is written beside its place as `.part`, its size is compared with what the site says, and
then it gets its name. So a file with its name is complete, and another run skips it. A link that
has expired meanwhile is asked for again, once. A download that is silent for too long is given up,
and made again like any read that has failed.

Prints what has failed, and a summary; ends with 1 if anything has failed, with 130 after Ctrl-C.
"""

import argparse
import collections
import itertools
import os
import re
import sys
import tempfile
from pathlib import Path

import shotgun_api3
from _site import bar, find_project, open_executor, run_program, whole_number

MOVIE = "sg_uploaded_movie"
EXPIRED = 403  # what a storage answers to a link that is too old
LARGEST = 2**31 - 1  # a site has no larger numbers: of a file with this size nothing is known


def find_movies(executor, project):
    """The Versions that have a movie, read page by page, each with the size of that."""
    filters = [["project", "is", project]]  # a site does not filter by files
    with executor.find_iter("Version", filters, [MOVIE], ahead=2) as versions:
        uploaded = (each for each in versions if is_uploaded(each[MOVIE]))
        while True:
            page = list(itertools.islice(uploaded, 500))
            if not page:
                return
            ids = [version[MOVIE]["id"] for version in page]
            sizes = executor.find_by_ids("Attachment", ids, ["file_size"]).result()
            for version, attachment in zip(page, sizes):
                size = attachment and attachment["file_size"]
                yield version, None if size == LARGEST else size


def is_uploaded(movie):
    """Whether it is a file on the site, and no link to elsewhere."""
    return movie is not None and movie.get("link_type") == "upload"


def download(sg, version, size, folder):
    """Download one movie, unless it is there. Returns what was done."""
    movie = version[MOVIE]
    name = re.sub(r"[^\w.-]", "_", movie["name"])
    path = folder / f"{version['id']}_{name}"
    if path.exists() and size in (None, path.stat().st_size):
        return "were there"
    part = path.with_name(path.name + ".part")
    try:
        sg.download_attachment(movie, str(part))
    except shotgun_api3.ShotgunFileDownloadError as error:
        if getattr(error, "status", None) != EXPIRED:
            raise
        version = sg.find_one("Version", [["id", "is", version["id"]]], [MOVIE])
        sg.download_attachment(version[MOVIE], str(part))
    if size not in (None, part.stat().st_size):
        raise OSError(f"it has {part.stat().st_size} bytes in place of {size}; see {part}")
    part.replace(path)
    return "downloaded"


def download_all(executor, project, folder):
    """Download every movie. Returns how many were downloaded, were there, and failed."""
    counts = collections.Counter()
    with bar(desc="Downloading", unit="movie") as progress:
        movies = find_movies(executor, project)

        def one(movie):
            return download(executor.shotgun, *movie, folder)

        for outcome in executor.map_outcomes(one, movies, buffersize=16, ordered=False):
            progress.update()
            counts[outcome.result if outcome.ok else "failed"] += 1
            if not outcome.ok:
                version, _ = outcome.args[0]
                print(f"Version {version['id']} failed: {outcome.error}", file=sys.stderr)
    return counts


def upload_some(executor, project):
    """A local site has no movies: give it a few."""
    versions = executor.find("Version", [["project", "is", project]], limit=40).result()
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / "movie.mov"
        movie.write_bytes(os.urandom(200_000))
        uploads = [executor.upload("Version", each["id"], str(movie), MOVIE) for each in versions]
        for upload in uploads:
            upload.result()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("media"))
    parser.add_argument("--project", default="", help="name or id (default: the first)")
    parser.add_argument(
        "--workers", type=whole_number, default=4, help="downloads at a time (default: 4)"
    )
    parser.add_argument(
        "--timeout", type=float, default=60, help="seconds of silence (default: 60)"
    )
    parser.add_argument("--retries", type=int, default=3, help="of a download (default: 3)")
    options = parser.parse_args()
    if options.retries < 0 or not options.timeout > 0:
        parser.error("--retries must not be negative, and --timeout more than 0")
    options.folder.mkdir(parents=True, exist_ok=True)
    with open_executor(
        max_workers=options.workers, read_timeout=options.timeout, retries=options.retries
    ) as executor:
        project = find_project(executor.shotgun, options.project)
        if not os.environ.get("SHOTGUN_URL"):
            upload_some(executor, project)
        try:
            counts = download_all(executor, project, options.folder)
        except KeyboardInterrupt:
            executor.shutdown(wait=0.0)  # what runs is ended; another run makes it again
            print("stopped; another run goes on", file=sys.stderr)
            return 130
    print(", ".join(f"{counts[what]:,} {what}" for what in ("downloaded", "were there", "failed")))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    run_program(main)
