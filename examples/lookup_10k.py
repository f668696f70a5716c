"""Look up many entities by their codes: a list in, a CSV table out.

The input is a text file with a code in each line. The output has a row for each line, in the order
of the input, with the id and the status; a code that several entities have gets several rows, one
that none has gets a row without id. 10,000 codes are 20 calls, made in parallel. What was found is
counted at the end, on standard error.

Without a file it looks up what the project has, and a code that nothing has.

It ends with 1 if some codes could not be looked up; the table then has all others.
"""

import argparse
import csv
import sys
from pathlib import Path

import shotgun_api3
from _site import bar, find_project, open_executor, run_program, whole_number

from shotgun_executor import IncompleteError

CALL = 500  # codes in one call: that many cost a site as much as one


def read_codes(path):
    """The lines of a file, or of standard input for "-"; empty ones are left out."""
    try:
        if path == "-":
            return [line.strip() for line in sys.stdin if line.strip()]
        with Path(path).open(encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"cannot read {path}: {error}") from None


def codes_of_project(executor, entity_type, project):
    """Something to look up where there is no list."""
    found = executor.find(entity_type, [["project", "is", project]], ["code"]).result()
    return [entity["code"] for entity in found if entity["code"]] + ["no_such_code"]


def look_up(executor, entity_type, project, codes):
    """A list of entities for each code, the codes that could not be looked up, and the reason."""
    calls = -(-len({code.lower() for code in codes}) // CALL)
    with bar(total=calls, desc="Looking up", unit="call") as progress:

        def watch(event):
            if event.kind == "ended" and event.label == "a part of find":
                progress.update()

        executor.add_observer(watch)
        future = executor.find_by(
            entity_type,
            "code",
            codes,
            ["code", "sg_status_list"],
            filters=[["project", "is", project]],
            chunk_size=CALL,
        )
        try:
            return future.result(), set(), None
        except IncompleteError as error:
            return error.partial, set(error.failed), error.__cause__
        finally:
            executor.remove_observer(watch)


def rows_of(codes, found, failed):
    """The rows of the table."""
    for code, entities in zip(codes, found):
        for entity in entities:
            yield code, entity["id"], entity["sg_status_list"], "found"
        if not entities:
            yield code, "", "", "failed" if code in failed else "missing"


def write_table(path, rows):
    """To a file, or to standard output for "-"."""
    if path == "-":
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help='a code in each line; "-" is standard input')
    parser.add_argument("--type", default="Shot", help="entity type (default: Shot)")
    parser.add_argument("--project", default="", help="name or id (default: the first)")
    parser.add_argument("--output", default="-", help="a CSV file (default: standard output)")
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    options = parser.parse_args()
    codes = read_codes(options.file) if options.file else None
    with open_executor(max_workers=options.workers) as executor:
        project = find_project(executor.shotgun, options.project)
        try:
            if codes is None:
                codes = codes_of_project(executor, options.type, project)
            found, failed, reason = look_up(executor, options.type, project, codes)
        except (shotgun_api3.ShotgunError, shotgun_api3.ProtocolError) as error:
            raise SystemExit(f"nothing could be looked up: {error}") from None
    write_table(
        options.output, [("code", "id", "status", "result"), *rows_of(codes, found, failed)]
    )
    missing = sum(not entities for entities in found) - sum(code in failed for code in codes)
    found = sum(bool(entities) for entities in found)
    print(f"{found:,} found, {missing:,} missing", end="", file=sys.stderr)
    print(f", {len(codes) - found - missing:,} failed: {reason}" if failed else "", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    run_program(main)
