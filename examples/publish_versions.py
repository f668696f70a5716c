"""Publish many Versions at once: create, movie, thumbnail; then one batch adds them to a playlist.

The rows are a CSV file with the columns shot, movie and thumbnail, or a folder with files such as
sh010.mov and sh010.png. Prints a table of what was made, or why not. Ends with code 1 if a row was
not published whole; after that, --resume with the report makes what is missing, and nothing twice.
Without arguments it makes some small files, and publishes them to a local demo site.
"""

import argparse
import csv
import os
import tempfile
from pathlib import Path

from _site import find_project, open_executor, run_program, whole_number

MOVIES = {".mov", ".mp4"}
THUMBNAILS = (".png", ".jpg", ".jpeg")


def read_rows(source):
    """Rows of a CSV file or a folder, as dicts with shot, movie and thumbnail."""
    if not source.is_dir():
        with source.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {"shot", "movie", "thumbnail"}
        if not rows or not columns <= set(rows[0]):
            raise SystemExit(f"{source}: the first line must name {', '.join(sorted(columns))}")
        return rows
    return [
        {"shot": movie.stem, "movie": movie, "thumbnail": thumbnail_of(movie)}
        for movie in sorted(source.iterdir())
        if movie.suffix in MOVIES
    ]


def thumbnail_of(movie):
    candidates = [movie.with_suffix(suffix) for suffix in THUMBNAILS]
    return next((path for path in candidates if path.exists()), candidates[0])


def make_demo(folder, sg, project, count=6):
    """Small files for some shots of the demo show, to have something to publish."""
    shots = sg.find("Shot", [["project", "is", project]], ["code"], limit=count)
    for shot in shots:
        (folder / f"{shot['code']}.mov").write_bytes(os.urandom(200_000))
        (folder / f"{shot['code']}.png").write_bytes(os.urandom(20_000))
    return folder


def find_shots(executor, project, rows):
    """The shot of each row; ends the program if one is not there, before anything is written."""
    codes = [row["shot"] for row in rows]
    found = executor.find_by("Shot", "code", codes, ["code"], filters=[["project", "is", project]])
    shots = [same_code[0] if same_code else None for same_code in found.result()]
    unknown = [code for code, shot in zip(codes, shots) if shot is None]
    if unknown:
        raise SystemExit(f"the project has no shots {', '.join(unknown)}")
    return shots


def publish(publishing, project, row, shot, options):
    """Three steps that build on each other. Nothing here waits."""
    item = publishing.item(row["shot"])
    if row["shot"] in options.found:
        item.settle("create Version", options.found[row["shot"]])
    code = f"{row['shot']}_{options.label}"
    version = item.create("Version", {"code": code, "entity": shot, "project": project})
    item.upload("Version", version, row["movie"], field_name="sg_uploaded_movie")
    item.upload_thumbnail("Version", version, row["thumbnail"])


def publish_all(executor, project, rows, shots, options):
    """Publish every row; returns the report, and the playlist (None if it was not made)."""
    path = options.resume or options.report
    with executor.publishing(
        path, resume=options.resume is not None, progress="publishing"
    ) as publishing:
        for row, shot in zip(rows, shots):
            publish(publishing, project, row, shot, options)
        playlist = publishing.item(f"playlist {options.playlist}").create(
            "Playlist", {"code": options.playlist, "project": project}
        )
    return publishing.report, None if playlist.exception() else playlist.result()


def add_to_playlist(executor, playlist, versions):
    """One batch; true if it was done. To add what is there already does no harm."""
    request = {
        "request_type": "update",
        "entity_type": "Playlist",
        "entity_id": playlist["id"],
        "data": {"versions": versions},
        "multi_entity_update_modes": {"versions": "add"},
    }
    error = executor.batch([request]).exception()
    print(error or f"{len(versions)} Versions are in the playlist {playlist['id']}")
    return error is None


def print_table(report):
    for item in report:
        print(item if not item.ok else f"{item}, {item.seconds:.2f} s")
    done = sum(item.ok for item in report)
    print(f"{done} of {len(report)} are done")


def pair(text):
    shot, _, number = text.partition("=")
    if not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not like sh010=1234")
    return shot, int(number)


def parse():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="?", type=Path, help="a CSV file, or a folder of movies")
    parser.add_argument("--project", default="", help="its name or id (default: the first one)")
    parser.add_argument("--playlist", default="Dailies", help="a new one, of that name")
    parser.add_argument("--label", default="v001", help="what comes after the name of the shot")
    parser.add_argument("--report", type=Path, help="where to keep it (default: beside the rows)")
    parser.add_argument("--resume", type=Path, metavar="REPORT", help="go on from this report")
    parser.add_argument(
        "--found",
        type=pair,
        action="append",
        default=[],
        metavar="SHOT=ID",
        help="the Version that was made after all, where the report does not know",
    )
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")
    options = parser.parse_args()
    options.found = dict(options.found)
    for path in (options.rows, options.resume):
        if path is not None and not path.exists():
            parser.error(f"there is no {path}")
    if options.rows is None and os.environ.get("SHOTGUN_URL"):
        parser.error("say which rows to publish: a CSV file or a folder")
    return options


def main():
    options = parse()
    dry_run = print if options.dry_run else False
    settings = {"max_workers": options.workers, "dry_run": dry_run}
    with tempfile.TemporaryDirectory() as folder, open_executor(**settings) as executor:
        project = find_project(executor.shotgun, options.project)
        source = options.rows or make_demo(Path(folder), executor.shotgun, project)
        options.report = options.report or source.with_name(f"{source.name}.report.json")
        rows = read_rows(source)
        unknown = options.found.keys() - {row["shot"] for row in rows}
        if unknown:
            raise SystemExit(f"--found: there are no rows for {', '.join(sorted(unknown))}")
        shots = find_shots(executor, project, rows)
        try:
            report, playlist = publish_all(executor, project, rows, shots, options)
        except (ValueError, FileExistsError) as error:
            raise SystemExit(str(error)) from None
        print_table(report)
        versions = [
            entity
            for item in report
            for entity in item.made
            if item.ok and entity["type"] == "Version"
        ]
        added = playlist is not None and add_to_playlist(executor, playlist, versions)
    if report.ok and added:
        return 0
    print(f"do what is missing with --resume {options.resume or options.report}")
    return 1


if __name__ == "__main__":
    run_program(main)
