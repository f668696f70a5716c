"""Keep a site and a file in step: what one of them lacks is made there, parents first.

The file stands for another tracker. It is one JSON object with an entry for each entity, under the
path of its parents::

    {"Sequence LS001": {"sg_status_list": "ip"},
     "Sequence LS001 > Shot LS001_0010 > Task Comp": {"sg_status_list": "rdy"}, ...}

1. Entities of eight types are read from the site at once.
2. Both sides are compared.
3. What the site lacks is created there, and a status that differs is written to the site, or to the
   file with `--prefer site`; what the file lacks is added to it.

Creating is plain calls, gathered into batches: a call whose parent is a future waits for it. If the
site refuses a parent, its children are skipped. Prints a line for each, and a summary; ends with 1
if anything has failed. Without `--file` it works on an invented one.
"""

import argparse
import json
from pathlib import Path

from _site import bar, find_project, open_executor, run_program, whole_number

from shotgun_executor import DependencyError, as_completed

# Parents before their children: the field that holds the name, and the one that holds the parent.
TYPES = {
    "Sequence": ("code", None),
    "Asset": ("code", None),
    "Playlist": ("code", None),
    "Shot": ("code", "sg_sequence"),
    "Task": ("content", "entity"),
    "Version": ("code", "sg_task"),
    "PublishedFile": ("code", "version"),
    "Note": ("subject", None),
}
STATUS = "sg_status_list"


def read_site(executor, project):
    """All entities of the project by their paths: 8 types at once."""
    futures = {}
    for kind, (name, parent) in TYPES.items():
        fields = [field for field in (name, parent, STATUS) if field]
        futures[kind] = executor.find(kind, [["project", "is", project]], fields)
    found, paths = {}, {}
    for kind, (name, parent) in TYPES.items():
        for entity in futures[kind].result():
            path = f"{kind} {entity[name]}"
            above = parent and entity[parent]
            if above and (above["type"], above["id"]) not in paths:
                continue  # its parent is of a type that is not kept in step
            if above:
                path = f"{paths[above['type'], above['id']]} > {path}"
            paths[kind, entity["id"]] = path
            found[path] = entity
    return found


def compare(site, other, prefer):
    """What is to be made on the site, changed on the site, and written to the file."""
    create = [path for path in other if path not in site]
    create.sort(key=lambda path: path.count(" > "))  # parents first
    update, into_file = {}, {}
    for path, entity in site.items():
        ours = {STATUS: entity.get(STATUS)}
        if path not in other:
            into_file[path] = ours
        elif other[path].get(STATUS) not in (None, ours[STATUS]):
            if prefer == "site":
                into_file[path] = {**other[path], **ours}
            else:
                update[path] = {STATUS: other[path][STATUS]}
    return create, update, into_file


def write_site(executor, project, site, other, create, update):
    """Create and update, gathered into batches. Returns a future for each path."""
    known, futures = dict(site), {}
    with executor.batching() as batch:
        for path in create:
            kind, name, above = split(path)
            name_field, parent_field = TYPES[kind]
            data = {"project": project, name_field: name, **other[path]}
            if above:
                data[parent_field] = known[above]  # an entity, or the future of one
            known[path] = futures[path] = batch.create(kind, data)
        for path, data in update.items():
            futures[path] = batch.update(site[path]["type"], site[path]["id"], data)
        for _ in bar(as_completed(futures.values()), total=len(futures), desc="Writing"):
            pass
    return futures


def split(path):
    """Type, name and parent of a path; the parent is "" for the outermost."""
    above, _, last = path.rpartition(" > ")
    kind, _, name = last.partition(" ")
    return kind, name, above


def tell(futures, create):
    """Print what has become of each path. Returns how many have failed or were skipped."""
    count = {"created": 0, "updated": 0, "failed": 0, "skipped": 0}
    created = set(create)
    for path, future in futures.items():
        error = future.exception()
        if error is None:
            count["created" if path in created else "updated"] += 1
        elif isinstance(error, DependencyError):
            count["skipped"] += 1
            print(f"skipped  {path}: its parent was not made")
        else:
            count["failed"] += 1
            print(f"failed   {path}: {error}")
    print("On the site:", ", ".join(f"{number} {what}" for what, number in count.items()))
    return count["failed"] + count["skipped"]


def read_file(path):
    """The other side, checked."""
    try:
        other = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"cannot read {path}: {error}") from None
    if not isinstance(other, dict):
        raise SystemExit(f"{path} is not one JSON object")
    return other


def write_file(path, other):
    """Replace the file as a whole, so that it is never half written."""
    part = Path(f"{path}.part")
    part.write_text(json.dumps(other, indent=1), encoding="utf-8")
    part.replace(path)


def check(other, site):
    """Stop before anything is written if the file has a path that cannot be made."""
    for path, values in other.items():
        kind, name, above = split(path)
        if kind not in TYPES or not name or not isinstance(values, dict):
            raise SystemExit(f"the file has no type and name, or no fields, in {path!r}")
        if above and (TYPES[kind][1] is None or (above not in other and above not in site)):
            raise SystemExit(f"the file has no parent for {path!r}")


def invented(site):
    """A file to try it with: a few things missing, a few changed, a sequence that is new."""
    other = {path: {STATUS: entity.get(STATUS)} for path, entity in list(site.items())[3:]}
    for path in [path for path in other if path.startswith("Asset")][:3]:
        other[path] = {STATUS: "hld"}
    for sequence in ("LS901", "LS902"):
        other[f"Sequence {sequence}"] = {STATUS: "ip"}
        for at in range(10, 110, 10):
            shot = f"Sequence {sequence} > Shot {sequence}_{at:04}"
            other[shot] = {STATUS: "wtg"}
            other.update({f"{shot} > Task {name}": {STATUS: "wtg"} for name in ("FX", "Comp")})
    return other


def synchronise(executor, project, options):
    """Do it all. Returns how much has failed."""
    site = read_site(executor, project)
    other = read_file(options.file) if options.file else invented(site)
    check(other, site)
    create, update, into_file = compare(site, other, options.prefer)
    futures = write_site(executor, project, site, other, create, update)
    failed = tell(futures, create)
    print(f"In the file: {len(into_file)} added or changed")
    if options.file and into_file and not options.dry_run:
        write_file(options.file, {**other, **into_file})
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--file", help="the other side; changed in place (default: an invented one)"
    )
    parser.add_argument("--project", default="", help="name or id (default: the first)")
    sides = ("file", "site")
    parser.add_argument("--prefer", choices=sides, default="file", help="whose status counts")
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be written")
    options = parser.parse_args()
    dry_run = print if options.dry_run else False
    with open_executor(max_workers=options.workers, dry_run=dry_run) as executor:
        project = find_project(executor.shotgun, options.project)
        return 1 if synchronise(executor, project, options) else 0


if __name__ == "__main__":
    run_program(main)
