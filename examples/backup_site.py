"""Back a site up: each entity type as JSON Lines, with its fields, and a manifest with the counts.

In the folder there is then, for each type, `Shot.jsonl` with an entity in each line, in the order
of their ids, and `Shot.schema.json` with the fields; and `manifest.json`. Some types are read at a
time, of each a few pages ahead, so memory holds no more than a few pages, however many rows there
are. Rows that others create or retire meanwhile cost no other row; retired ones are left out.

`--resume` goes on where a run has stopped or was killed: after the last whole line of each file.

It ends with 1 if a type could not be read (all others are complete then), with 130 after Ctrl-C.
"""

import argparse
import json
import sys
from pathlib import Path

import shotgun_api3
from _site import bar, open_executor, run_program, whole_number

TYPES_AT_A_TIME = 4
PAGES_AHEAD = 2  # of each type are read, while as many wait to be written


def read_schemas(executor, types, folder):
    """The names of the fields of each type, which are asked for in parallel."""
    if not types:
        types = sorted(executor.schema_entity_read().result())
    futures = {entity_type: executor.schema_field_read(entity_type) for entity_type in types}
    fields = {}
    for entity_type, future in futures.items():
        try:
            schema = future.result()
        except shotgun_api3.Fault as error:
            raise SystemExit(f"there are no fields of {entity_type!r}: {error}") from None
        fields[entity_type] = sorted(schema)
        text = json.dumps(schema, indent=1, sort_keys=True)
        (folder / f"{entity_type}.schema.json").write_text(text, encoding="utf-8")
    return fields


def where_it_ended(path):
    """The rows of a file and the id of the last one; a line that was not finished is cut off."""
    rows, last_id, size = 0, None, 0
    if path.exists():
        with path.open("r+b") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                rows, last, size = rows + 1, line, size + len(line)
            if rows:
                last_id = json.loads(last)["id"]
            file.truncate(size)
    return rows, last_id


def back_up(executor, entity_type, fields, path, progress):
    """Write the rows of a type that its file does not have yet. Returns how many it has then."""
    count, last_id = where_it_ended(path)
    with (
        path.open("a", encoding="utf-8") as file,
        executor.find_iter(entity_type, [], fields, ahead=PAGES_AHEAD, after_id=last_id) as rows,
    ):
        for row in rows:
            file.write(line_of(row))
            count += 1
            progress.update()
    return count


def line_of(row):
    """An entity as a line; dates and times as text."""
    return json.dumps(row, default=str, ensure_ascii=False) + "\n"


def write_manifest(path, site, types):
    """As a whole, so that there is never half a manifest."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"site": site, "types": types}, indent=1), encoding="utf-8")
    part.replace(path)


def open_folder(folder, resume):
    """What the manifest says of the types that are complete. Refuses to mix two backups."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not resume:
        raise SystemExit(f"{folder} is not empty: take another folder, or --resume")
    manifest = folder / "manifest.json"
    return json.loads(manifest.read_text(encoding="utf-8"))["types"] if manifest.exists() else {}


def back_up_all(executor, options, complete):
    """Back up every type that is not complete. Returns whether all could be read."""
    manifest = options.folder / "manifest.json"
    write_manifest(manifest, executor.base_url, complete)
    schemas = read_schemas(executor, options.types, options.folder)
    types = [entity_type for entity_type in schemas if entity_type not in complete]
    failed = False
    with bar(desc="Rows", unit="row") as progress:

        def one(entity_type):
            path = options.folder / f"{entity_type}.jsonl"
            return back_up(executor, entity_type, schemas[entity_type], path, progress)

        for outcome in executor.map_outcomes(one, types, buffersize=TYPES_AT_A_TIME, ordered=False):
            (entity_type,) = outcome.args
            if outcome.ok:
                complete[entity_type] = outcome.result
                write_manifest(manifest, executor.base_url, complete)
            else:
                failed = True
                print(f"{entity_type} failed: {outcome.error}", file=sys.stderr)
    return not failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("backup"))
    parser.add_argument("--types", nargs="+", help="entity types (default: all)")
    parser.add_argument("--resume", action="store_true", help="go on with what is in the folder")
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    options = parser.parse_args()
    complete = open_folder(options.folder, options.resume)
    with open_executor(max_workers=options.workers) as executor:
        try:
            done = back_up_all(executor, options, complete)
        except KeyboardInterrupt:
            executor.shutdown(wait=0.0)  # what runs is ended: it can be resumed
            print("stopped; --resume goes on", file=sys.stderr)
            return 130
    print(f"{sum(complete.values()):,} rows of {len(complete)} types in {options.folder}")
    if not done:
        print("not all could be read; --resume tries again", file=sys.stderr)
    return 0 if done else 1


if __name__ == "__main__":
    run_program(main)
