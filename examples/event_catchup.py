"""Catch up with the event log, and go on with what is new: each event once, in the order of ids.

Events are printed as lines; `handle` is the place for what a tool of yours does with them. What
lies behind is read in pages of 500, some of them ahead; at the head of the log it is asked every
few seconds what is new, with `--follow`, until Ctrl-C.

An id that is missing may belong to an event that is written later, by a transaction that takes
longer than the next one. So at the head of the log a gap is waited for until it was asked for
twice; then it is listed as one, and what comes behind it is handled.

The last id is kept in a file, so that the next run goes on there. Without such a file it starts
with the first event, or at `--after`.
"""

import argparse
import itertools
import os
import sys
import time
from pathlib import Path

from _site import bar, open_executor

FIELDS = ["event_type", "entity", "attribute_name", "created_at"]
PAGES_AHEAD = 4


def handle(event):
    """What is done with an event: here it is printed."""
    entity = event["entity"] or {}
    what = f"{entity.get('type', '')} {entity.get('name', '')}".strip()
    print(event["id"], event["created_at"], event["event_type"], what)


class Follower:
    """Hands each event on once, in the order of ids."""

    def __init__(self, executor, last_id):
        self.executor = executor
        self.last_id = last_id
        self.gaps = []  # ids that are missing for good, as (first, last)
        self.count = 0

    def read(self):
        """The events after the last one, some pages ahead; it ends at the head of the log."""
        return self.executor.find_iter(
            "EventLogEntry", [], FIELDS, ahead=PAGES_AHEAD, after_id=self.last_id
        )

    def take(self, event):
        """Hand one event on; what is missing before it is a gap."""
        if self.last_id is not None and event["id"] > self.last_id + 1:
            self.gaps.append((self.last_id + 1, event["id"] - 1))
            print(f"gap: {self.last_id + 1} to {event['id'] - 1}", file=sys.stderr)
        handle(event)
        self.last_id = event["id"]
        self.count += 1

    def catch_up(self):
        """Everything up to the head of the log. The gaps in it are old."""
        with self.read() as events:
            for event in bar(events, desc="Catching up", unit="event"):
                self.take(event)

    def poll(self, waited_for):
        """What is new, up to a gap that is younger than the last poll.

        Returns the id that the next poll waits for; None: there is no gap.
        """
        with self.read() as events:
            for event in events:
                wanted = (self.last_id or event["id"] - 1) + 1
                if event["id"] != wanted and wanted != waited_for:
                    return wanted
                self.take(event)
        return None


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
    """Poll until Ctrl-C, or so many times."""
    waited_for = None
    for _ in range(options.polls) if options.polls else itertools.count():
        time.sleep(options.interval)
        waited_for = follower.poll(waited_for)
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
    parser.add_argument("--polls", type=int, help="end after so many (default: at Ctrl-C)")
    parser.add_argument("--workers", type=int, default=4, help="calls at a time (default: 4)")
    options = parser.parse_args()
    with open_executor(max_workers=options.workers) as executor:
        if not os.environ.get("SHOTGUN_URL"):
            make_some_events(executor)
        follower = Follower(executor, read_state(options.state, options.after))
        try:
            follower.catch_up()
            if options.follow:
                follow(follower, options)
        except KeyboardInterrupt:
            pass  # the usual end of --follow
        finally:
            write_state(options.state, follower.last_id)
    missing = sum(last - first + 1 for first, last in follower.gaps)
    print(
        f"{follower.count:,} events up to {follower.last_id}, {missing:,} ids missing",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
