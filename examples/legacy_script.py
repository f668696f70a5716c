"""A script as studios have many: one call after the other, written for shotgun_api3 alone.

What is above the line knows nothing of threads or futures. It is given `executor.shotgun` in place
of a `shotgun_api3.Shotgun`, and prints the same, line for line; `--plain` gives it the real one.
`main_job.py` runs its `report` from several threads.

Prints how far the tasks of some sequences are, notes that on each sequence, and puts the report on
the project as a file. `--dry-run`, which the old script never had, only tells what it would write.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import shotgun_api3
from _site import find_project, open_executor, open_site, run_program


def report(sg, sequence_code):
    """The lines of the report on one sequence."""
    assert isinstance(sg, shotgun_api3.Shotgun)
    sequence = sg.find_one("Sequence", [["code", "is", sequence_code]], ["code"])
    shots = sg.find(
        "Shot",
        [["sg_sequence", "is", sequence]],
        ["code", "sg_status_list", "updated_at"],
        order=[{"field_name": "code"}],
        limit=6,
    )
    lines = []
    for shot in shots:
        tasks = sg.find("Task", [["entity", "is", shot]], ["sg_status_list"])
        done = sum(task["sg_status_list"] == "fin" for task in tasks)
        when = shot["updated_at"].strftime("%Y-%m-%d")
        lines.append(f"{shot['code']}  {shot['sg_status_list']}  {when}  {done}/{len(tasks)}")
    return lines


def note_progress(sg, sequences, reports):
    """Write the number of lines on each sequence, all in one transaction."""
    requests = [
        {
            "request_type": "update",
            "entity_type": "Sequence",
            "entity_id": sequence["id"],
            "data": {"description": f"{len(lines)} shots reported"},
        }
        for sequence, lines in zip(sequences, reports)
    ]
    return sg.batch(requests)


def attach(sg, project, lines):
    """Put the report on the project, as a file that is removed here afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.txt"
        path.write_text("\n".join(lines), encoding="utf-8")
        return sg.upload("Project", project["id"], str(path), display_name="report.txt")


def run(sg, project, count):
    """The old script: report on so many sequences of a project."""
    sg.config.timeout_secs = 60
    version = ".".join(map(str, sg.server_info["version"][:3]))
    print(f"site version {version}, limit {sg.config.timeout_secs} s")
    sequences = sg.find(
        "Sequence",
        [["project", "is", project]],
        ["code"],
        order=[{"field_name": "code"}],
        limit=count,
    )
    if not sequences:
        sys.exit("the project has no sequences")
    reports = [report(sg, sequence["code"]) for sequence in sequences]
    for sequence, lines in zip(sequences, reports):
        print(f"{sequence['code']}:", *lines, sep="\n  ")
    written = note_progress(sg, sequences, reports)
    print("noted on", ", ".join(str(sequence["id"]) for sequence in written))
    attachment = attach(sg, project, [line for lines in reports for line in lines])
    print("attached as", attachment)


# ---- What is new: where `sg` comes from.


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", default="", help="name or id (default: the first)")
    parser.add_argument("--sequences", type=int, default=2, help="how many to report on")
    parser.add_argument("--plain", action="store_true", help="give it a shotgun_api3.Shotgun")
    parser.add_argument("--dry-run", action="store_true", help="print what would be written")
    options = parser.parse_args()
    if options.plain and options.dry_run:
        parser.error("--dry-run is the executor's: leave out --plain")
    if options.sequences < 1:
        parser.error("--sequences must be at least 1")
    if options.plain:
        with open_site() as site:
            sg = shotgun_api3.Shotgun(**site)
            try:
                run(sg, find_project(sg, options.project), options.sequences)
            finally:
                sg.close()
    else:
        with open_executor(dry_run=print if options.dry_run else False) as executor:
            sg = executor.shotgun
            run(sg, find_project(sg, options.project), options.sequences)
    return 0


if __name__ == "__main__":
    run_program(main)
