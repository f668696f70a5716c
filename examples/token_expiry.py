"""Gives each shot handles, as a person whose session ends in between: signed in anew once for all.

A person's session ends after a while, and then each call that carries its token is refused. Here
eight workers read the cut of each shot, and write `sg_head_in` and `sg_tail_out`; when a call
is refused, `Person.sign_in` is called once, and the calls that were refused are made again. No
write is made twice, as the site has carried out nothing of what it has refused.

Takes SHOTGUN_LOGIN and SHOTGUN_PASSWORD, with SHOTGUN_URL; without, a local site ends the session
after some calls. Prints how often it signed in, and what was written.
"""

import argparse
import contextlib
import itertools
import os
import sys

import shotgun_api3
from _site import bar, find_project, open_site, run_program, whole_number

from shotgun_executor import ShotgunExecutor, as_completed


class Person:
    """Signs in, and counts how often."""

    def __init__(self, site):
        self.arguments = site
        self.site = {name: site[name] for name in site if name not in ("login", "password")}
        self.times = 0

    def sign_in(self):
        """A new session token. A tool with a window would ask the person here."""
        self.times += 1
        sg = shotgun_api3.Shotgun(**self.arguments, connect=False)
        try:
            return sg.get_session_token()
        finally:
            sg.close()


@contextlib.contextmanager
def open_person(expire_after):
    """The person of the environment, and what to tell of each call; else one of a local site."""
    if os.environ.get("SHOTGUN_URL"):
        with open_site() as site:
            if "password" not in site:
                sys.exit("set SHOTGUN_LOGIN and SHOTGUN_PASSWORD in place of other credentials")
            yield Person(site), None
        return
    from shotgun_executor.sandbox import Sandbox

    print("SHOTGUN_URL is not set: starting a local site with a demo show", file=sys.stderr)
    with Sandbox(demo=True, shots=100) as sandbox:
        calls = itertools.count(1)

        def count(event):
            if event.kind == "started" and next(calls) == expire_after:
                sandbox.expire_sessions()

        site = {"base_url": sandbox.url, "login": sandbox.login, "password": sandbox.password}
        yield Person(site), count


def give_handles(sg, shot, frames):
    """Read the cut of a shot anew, and write its handles; False if there is nothing to do."""
    fields = ["sg_cut_in", "sg_cut_out", "sg_head_in", "sg_tail_out"]
    cut = sg.find_one("Shot", [["id", "is", shot["id"]]], fields)
    if cut is None or cut["sg_cut_in"] is None or cut["sg_cut_out"] is None:
        return False
    data = {"sg_head_in": cut["sg_cut_in"] - frames, "sg_tail_out": cut["sg_cut_out"] + frames}
    if all(cut[name] == value for name, value in data.items()):
        return False
    sg.update("Shot", shot["id"], data)
    return True


def give_all(executor, project, frames):
    """All shots of a project; returns how many were changed, and the errors."""
    shots = executor.find("Shot", [["project", "is", project]], ["code"]).result()
    futures = {executor.call(give_handles, shot, frames): shot for shot in shots}
    changed, errors = 0, []
    for future in bar(as_completed(futures), total=len(futures), desc="Shots"):
        if future.exception():
            errors.append(f"{futures[future]['code']}: {future.exception()}")
        else:
            changed += future.result()
    return changed, errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", default="", help="name or id (default: the first)")
    parser.add_argument("--frames", type=int, default=12, help="on each side (default: 12)")
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be written")
    options = parser.parse_args()
    dry_run = print if options.dry_run else False
    with (
        open_person(expire_after=60) as (person, observer),
        ShotgunExecutor(
            **person.site,
            session_token=person.sign_in(),
            renew_session=person.sign_in,
            max_workers=options.workers,
            dry_run=dry_run,
        ) as executor,
    ):
        if observer:
            executor.add_observer(observer)
        project = find_project(executor.shotgun, options.project)
        changed, errors = give_all(executor, project, options.frames)
    print(f"signed in {person.times} times; {changed} shots have new handles")
    for error in errors:
        print(f"failed: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    run_program(main)
