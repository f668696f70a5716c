"""Register a published file: one thumbnail to it, its shot and its task at once, then what it uses.

Creates a PublishedFile, uploads the thumbnail to three entities in parallel, and then adds what the
file was made from, as one batch of PublishedFileDependency. Prints what was made; ends with code 1
if something failed. Without arguments it registers a small file on a local demo site.
"""

import argparse
import os
import tempfile
from pathlib import Path

from _site import find_project, open_executor, run_program

from shotgun_executor import wait


def find_task(sg, project, shot_code, task_name):
    """The task, and its shot; without names the first one that there is."""
    filters = [["project", "is", project], ["entity", "type_is", "Shot"]]
    if shot_code:
        filters.append(["entity.Shot.code", "is", shot_code])
    if task_name:
        filters.append(["content", "is", task_name])
    task = sg.find_one("Task", filters, ["content", "entity"])
    if task is None:
        raise SystemExit(f"there is no such task in {project['name']}")
    return task, task["entity"]


def find_upstream(sg, project, ids):
    """The published files that this one was made from; without ids the first two, for the demo."""
    filters = [["project", "is", project]]
    if ids:
        filters.append(["id", "in", ids])
    found = sg.find("PublishedFile", filters, ["code"], limit=len(ids) or 2)
    if len(found) < len(ids):
        raise SystemExit("some of the published files that it depends on do not exist")
    return found


def register(publishing, project, path, thumbnail, task, upstream):
    """Create, then three uploads at once, then one batch."""
    shot = task["entity"]
    item = publishing.item(path.name)
    published = item.create(
        "PublishedFile",
        {"code": path.name, "project": project, "entity": shot, "task": link(task)},
    )
    # Its own upload would wait for its future. Those to shot and task are to come after it too, and
    # not at all if it fails.
    if published.exception() is not None:
        return  # the report says what has failed; a second run goes on from there
    uploads = item.upload_thumbnails([published, link(shot), link(task)], thumbnail)
    wait(uploads)
    if not all(upload.exception() is None for upload in uploads):
        return
    item.step("dependencies").batch(
        [
            {
                "request_type": "create",
                "entity_type": "PublishedFileDependency",
                "data": {"published_file": published, "dependent_published_file": link(other)},
            }
            for other in upstream
        ]
    )


def link(entity):
    return {"type": entity["type"], "id": entity["id"]}


def make_demo(folder):
    """A file to register, and a thumbnail."""
    path, thumbnail = folder / "comp_v001.exr", folder / "comp_v001.png"
    path.write_bytes(b"not really pixels")
    thumbnail.write_bytes(os.urandom(50_000))
    return path, thumbnail


def print_report(item):
    for step in item.steps.values():
        made = ", ".join(f"{entity['type']} {entity['id']}" for entity in step.made)
        text = made or step.message or step.because or ""
        print(f"{step.name:<32}{step.state:<10}{step.seconds or 0:6.2f} s  {text}")


def parse():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, help="the file to register")
    parser.add_argument("thumbnail", nargs="?", type=Path, help="its thumbnail")
    parser.add_argument("--project", default="", help="its name or id (default: the first one)")
    parser.add_argument("--shot", default="", help="the code of the shot")
    parser.add_argument("--task", default="", help="the name of the task")
    parser.add_argument(
        "--depends-on",
        type=int,
        nargs="+",
        default=[],
        metavar="ID",
        help="published files that it was made from (default: two of the project)",
    )
    parser.add_argument("--resume", type=Path, metavar="REPORT", help="keep a report, or go on")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")
    options = parser.parse_args()
    if options.file is not None and options.thumbnail is None:
        parser.error("give a thumbnail too")
    if options.file is None and os.environ.get("SHOTGUN_URL"):
        parser.error("say which file to register, and its thumbnail")
    for path in (options.file, options.thumbnail):
        if path is not None and not path.exists():
            parser.error(f"there is no {path}")
    return options


def main():
    options = parse()
    dry_run = print if options.dry_run else False
    path, thumbnail = options.file, options.thumbnail
    with tempfile.TemporaryDirectory() as folder, open_executor(dry_run=dry_run) as executor:
        if path is None:
            path, thumbnail = make_demo(Path(folder))
        sg = executor.shotgun
        project = find_project(sg, options.project)
        task, _ = find_task(sg, project, options.shot, options.task)
        upstream = find_upstream(sg, project, options.depends_on)
        with executor.publishing(
            options.resume, resume=options.resume is not None, progress="registering"
        ) as publishing:
            register(publishing, project, path, thumbnail, task, upstream)
    (item,) = publishing.report
    print_report(item)
    return 0 if item.ok else 1


if __name__ == "__main__":
    run_program(main)
