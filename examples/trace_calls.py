"""A picture of what each worker does while a few shots are published.

    python trace_calls.py
    python trace_calls.py --shots 12 --workers 8 --out publish.png

For each shot a Version is made, a movie uploaded to it, a PublishedFile linked to it, and its
description written: plain calls, whose arguments are futures of the calls before. The picture has
a row for each worker and a bar for each call; a file name that ends in .json is for
chrome://tracing and https://ui.perfetto.dev. Without SHOTGUN_URL it works on a local demo site;
on a real site --dry-run sends no write.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from concurrent.futures import wait
from pathlib import Path

from _site import bar, find_project, open_executor, run_program, whole_number

LATENCY = 0.05  # of the local site, in seconds
MOVIE_SIZE = 200_000  # bytes


def publish(executor, shot, project, movie):
    """Submit the calls for one shot, all at once; their futures."""
    code = f"{shot['code']}_traced"
    version = executor.create("Version", {"code": code, "entity": shot, "project": project})
    upload = executor.upload("Version", version, str(movie), field_name="sg_uploaded_movie")
    published = executor.create(
        "PublishedFile",
        {"code": f"{code}.mov", "entity": shot, "project": project, "version": version},
    )
    noted = executor.update("Version", version, {"description": "Published."})
    return [version, upload, published, noted]


def publish_all(executor, shots, project):
    """Publish the shots, with a progress bar; how many calls there were, and their errors."""
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / "movie.mov"
        movie.write_bytes(bytes(MOVIE_SIZE))
        futures = [each for shot in shots for each in publish(executor, shot, project, movie)]
        with bar(total=len(futures), unit=" calls") as progress:
            for future in futures:
                future.add_done_callback(lambda _: progress.update())
            wait(futures)
    return len(futures), [each.exception() for each in futures if each.exception()]


def default_out():
    """A picture where matplotlib is installed."""
    return f"trace_calls.{'svg' if importlib.util.find_spec('matplotlib') else 'json'}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", default="", help="its name or id (default: the first one)")
    parser.add_argument("--shots", type=int, default=8, help="how many (default: 8)")
    parser.add_argument(
        "--workers", type=whole_number, default=6, help="calls at a time (default: 6)"
    )
    parser.add_argument("--out", default=default_out(), help="default: %(default)s; .png, .json")
    parser.add_argument("--dry-run", action="store_true", help="send no write")
    options = parser.parse_args()
    if options.shots < 1 or options.workers < 1:
        parser.error("--shots and --workers must be 1 or more")
    settings = {"max_workers": options.workers, "dry_run": options.dry_run, "latency": LATENCY}
    with open_executor(**settings) as executor:
        project = find_project(executor.shotgun, options.project)
        in_project = [["project", "is", project]]
        shots = executor.shotgun.find("Shot", in_project, ["code"], limit=options.shots)
        try:
            with executor.trace(options.out) as trace:
                start = time.perf_counter()
                count, errors = publish_all(executor, shots, project)
                seconds = time.perf_counter() - start
        except (ImportError, OSError, ValueError) as error:
            parser.error(f"--out: {error}")
    events = [event for event in trace.events if event.kind == "started"]
    workers = {event.thread for event in events}
    print(f"{count} calls for {len(shots)} shots on {len(workers)} workers in {seconds:.2f} s")
    for error in errors:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    print(f"what each worker did is in {options.out}")
    return 1 if errors else 0


if __name__ == "__main__":
    run_program(main)
