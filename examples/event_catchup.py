"""Catch up with the event log, and go on with what is new: each event once, in the order of ids.

Events are printed as lines; `handle` is the place for what a tool of yours does with them. What
lies behind is read in pages of 500, some of them ahead; at the head of the log it asks every few
seconds what is new, with `--follow`, until Ctrl-C.

An id that is missing may belong to an event that is written later, by a transaction that takes
longer than the next one. So what comes behind a gap waits until it is older than `--settle`; then
the gap is listed as one.

The last id is kept in a file, so that the next run goes on there. Without such a file it starts
with the first event, or at `--after`.
"""

import argparse
import datetime
import itertools
import os
import sys
import time
from pathlib import Path

from _site import bar, open_executor, run_program, whole_number

FIELDS = ["event_type", "entity", "attribute_name", "created_at"]
PAGES_AHEAD = 4


def handle(event):
    """What is done with an event: here it is printed."""
    entity = event["entity"] or {}
    what = f"{entity.get('type', '')} {entity.get('name', '')}".strip()
    print(event["id"], event["created_at"], event["event_type"], what)


def now():
    """The time, as the site's times can be compared with."""
    return datetime.datetime.now(datetime.timezone.utc)


class Follower:
    """Hands each event on once, in the order of ids."""

    def __init__(self, executor, last_id, settle):
        self.executor = executor
        self.last_id = last_id
        self.settle = datetime.timedelta(seconds=settle)
        self.gaps = []  # ids that are missing, as (first, last)
        self.count = 0

    def catch_up(self, show=lambda events: events):
        """Hand on what is new: up to the head of the log, or to a gap that may yet be filled."""
        with self.executor.find_iter(
            "EventLogEntry", [], FIELDS, ahead=PAGES_AHEAD, after_id=self.last_id
        ) as events:
            for event in show(events):
                gap = self.gap_before(event)
                if gap is not None:
                    if now() - event["created_at"] < self.settle:
                        return
                    self.gaps.append(gap)
                    print(f"missing: {gap[0]} to {gap[1]}", file=sys.stderr)
                handle(event)
                self.last_id = event["id"]
                self.count += 1

    def gap_before(self, event):
        """The ids that are missing between the last event and this one."""
        if self.last_id is None or event["id"] == self.last_id + 1:
            return None
        return self.last_id + 1, event["id"] - 1


def read_state(path, after):
    """The id that was handled last."""
    if after is not None or not path.exists():
        return after
    try:
        return int(path.read_text(encoding="utf-8"))
    except ValueError:
        raise SystemExit(f"there is no id in {path}; remove it, or use --after") from None


def write_state(path, last_id):
    """As a whole, so that there is never half an id."""
    if last_id is not None:
        part = path.with_name(path.name + ".part")
        part.write_text(f"{last_id}\n", encoding="utf-8")
        part.replace(path)


def follow(follower, options):
    """Ask what is new until Ctrl-C, or so many times."""
    for _ in range(options.polls) if options.polls else itertools.count():
        time.sleep(options.interval)
        follower.catch_up()
        write_state(options.state, follower.last_id)


def make_some_events(executor):
    """The log of a local site is empty: change something."""
    with executor.batching() as batch:
        for number in range(1, 41):
            batch.update("Shot", number, {"sg_cut_in": 1000 + number})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--after", type=int, help="the id of the event that was handled last")
    parser.add_argument("--state", type=Path, default=Path("event_catchup.id"), help="keeps the id")
    parser.add_argument("--follow", action="store_true", help="go on with what is new")
    parser.add_argument("--interval", type=float, default=5, help="seconds between polls")
    parser.add_argument("--polls", type=whole_number, help="end after so many (default: at Ctrl-C)")
    parser.add_argument("--settle", type=float, default=30, help="seconds until a gap is one")
    parser.add_argument(
        "--workers", type=whole_number, default=4, help="calls at a time (default: 4)"
    )
    options = parser.parse_args()
    if (options.after or 0) < 0 or not options.interval >= 0 or not options.settle >= 0:
        parser.error("--after, --interval and --settle must not be negative")
    with open_executor(max_workers=options.workers) as executor:
        if not os.environ.get("SHOTGUN_URL"):
            make_some_events(executor)
        follower = Follower(executor, read_state(options.state, options.after), options.settle)
        try:
            follower.catch_up(lambda events: bar(events, desc="Catching up", unit="event"))
            if options.follow:
                follow(follower, options)
        except KeyboardInterrupt:
            pass  # the usual end of --follow
        finally:
            write_state(options.state, follower.last_id)
    missing = sum(last - first + 1 for first, last in follower.gaps)
    summary = f"{follower.count:,} events up to {follower.last_id}, {missing:,} ids missing"
    print(summary, file=sys.stderr)
    return 0


if __name__ == "__main__":
    run_program(main)
