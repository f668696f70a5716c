"""Set the status of many tasks at once: those that have one status get another.

1. The tasks are read, page by page.
2. They are updated in batches of 100, in parallel. A batch is one transaction: if the site refuses
   a task, that one is found and fails alone.
3. What was not updated is written to a retry file, which `--retry` takes instead of the query.

Ctrl-C ends it early: what is on its way is waited for, and the rest is in the retry file, too.
Prints a summary; ends with 1 if anything has failed, with 130 after Ctrl-C.
"""

import argparse
import json
import sys
from pathlib import Path

from _site import bar, find_project, open_executor, run_program, whole_number

from shotgun_executor import as_completed, outcome_unknown

FOREVER = 3600.0  # seconds that a batch waits until it is full; the last one is sent by flush()


def find_tasks(executor, options):
    """The ids of the tasks."""
    project = find_project(executor.shotgun, options.project)
    filters = [["project", "is", project], ["sg_status_list", "is", options.old]]
    with executor.find_iter("Task", filters, ["id"]) as tasks:
        return [task["id"] for task in bar(tasks, desc="Reading", unit="task")]


def read_retry_file(path):
    """The ids in a retry file."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            return [int(json.loads(line)["id"]) for line in file]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise SystemExit(f"cannot read the retry file {path}: {error!r}") from None


def update(executor, tasks, status, size):
    """Update the tasks in batches. Returns the future of each, and whether Ctrl-C has ended it."""
    futures, interrupted = {}, False
    with executor.batching(max_requests=size, max_wait=FOREVER) as batch:
        try:
            for task in tasks:
                futures[task] = batch.update("Task", task, {"sg_status_list": status})
            batch.flush()
            done = as_completed(futures.values())
            for _ in bar(done, total=len(tasks), desc="Updating", unit="task"):
                pass
        except KeyboardInterrupt:
            interrupted = True
            for future in reversed(list(futures.values())):  # the last first: no batch fills up
                future.cancel()
            print("Ctrl-C: waiting for what is on its way", file=sys.stderr, flush=True)
    return futures, interrupted


def left_over(tasks, futures):
    """What was not updated, or not for sure: a dict for each."""
    for task in tasks:
        future = futures.get(task)
        if future is None or future.cancelled():
            yield {"id": task, "outcome": "not sent"}
        elif future.exception() is not None:
            error = future.exception()
            outcome = "unknown" if outcome_unknown(error) else "failed"
            yield {"id": task, "outcome": outcome, "error": str(error)}


def report(tasks, left, options):
    """Print the summary, and write the retry file."""
    counts = dict.fromkeys(("failed", "not sent", "unknown"), 0)
    for entry in left:
        counts[entry["outcome"]] += 1
    others = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.items() if number)
    verb = "would be set" if options.dry_run else "set"
    print(f"{len(tasks) - len(left):,} of {len(tasks):,} tasks {verb} to {options.new}", end="")
    print(f"; {others}; see {options.retry_file}" if left else "")
    if left:
        with Path(options.retry_file).open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(entry)}\n" for entry in left)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", default="", help="name or id (default: the first)")
    parser.add_argument("--old", default="rdy", help="the status they have (default: rdy)")
    parser.add_argument("--new", default="ip", help="the status they get (default: ip)")
    parser.add_argument("--chunk-size", type=whole_number, default=100, help="tasks in a batch")
    parser.add_argument("--retry", metavar="FILE", help="take the tasks from a retry file")
    parser.add_argument("--retry-file", default="bulk_status.jsonl", help="where what is left goes")
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be written")
    options = parser.parse_args()
    tasks = read_retry_file(options.retry) if options.retry else None
    dry_run = print if options.dry_run else False
    with open_executor(max_workers=options.workers, dry_run=dry_run) as executor:
        if tasks is None:
            tasks = find_tasks(executor, options)
        futures, interrupted = update(executor, tasks, options.new, options.chunk_size)
    left = list(left_over(tasks, futures))
    report(tasks, left, options)
    return 130 if interrupted else 1 if left else 0


if __name__ == "__main__":
    run_program(main)
