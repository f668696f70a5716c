"""What the examples share: the site they work on, a progress bar, and how they end.

A tool of your own needs two of these lines::

    with ShotgunExecutor(**site_of_environment(), max_workers=8) as executor:
        ...
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

import shotgun_api3

from shotgun_executor import ShotgunExecutor, site_of_environment


def run_program(main):
    """Exit with what *main* returns; 130 after Ctrl-C.

    A site that refuses the sign-in or cannot be reached, and a file that cannot be read or written,
    are a line of text.
    """
    try:
        code = main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except shotgun_api3.AuthenticationFault as error:
        print(f"{error}; check the SHOTGUN_ variables", file=sys.stderr)
        code = 2
    except OSError as error:
        what = "" if error.filename else "the site cannot be reached: "
        print(f"{what}{error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def whole_number(text):
    """A number of at least 1, as the ``type`` of an argument."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")


@contextlib.contextmanager
def open_executor(*, shots=40, latency=0.0, **settings):
    """An executor for the site that the environment names, else for a local demo site.

    Args:
        shots: How many shots the demo show has.
        latency: Seconds that the local site takes for an answer.
        **settings: Arguments of ``ShotgunExecutor``, such as ``max_workers``.
    """
    with (
        open_site(shots=shots, latency=latency) as site,
        ShotgunExecutor(**site, **settings) as executor,
    ):
        yield executor


@contextlib.contextmanager
def open_site(*, shots=40, latency=0.0):
    """The same as arguments of ``ShotgunExecutor`` or ``Shotgun``, for programs that need several.

    Exits with code 2 when SHOTGUN_URL is set and the credentials are not.
    """
    if os.environ.get("SHOTGUN_URL"):
        try:
            site = site_of_environment()
        except ValueError as error:
            print(error, file=sys.stderr)
            raise SystemExit(2) from None
        yield site
        return
    from shotgun_executor.sandbox import Sandbox

    print("SHOTGUN_URL is not set: starting a local site with a demo show", file=sys.stderr)
    with Sandbox(demo=True, shots=shots, latency=latency) as sandbox:
        yield {"base_url": sandbox.url, **sandbox.credentials}


def find_project(sg, name):
    """The project of that name or id; without a name the first one. Exits if there is none."""
    filters = [["id" if name.isdigit() else "name", "is", int(name) if name.isdigit() else name]]
    project = sg.find_one("Project", filters if name else [], ["name"])
    if project is None:
        raise SystemExit(f"there is no project {name!r} on {sg.base_url}")
    return project


def bar(items=None, **options):
    """``tqdm(items, **options)`` when tqdm is installed; else a stand-in that shows nothing."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _NoBar(items)
    return tqdm(items, **options)


class _NoBar:
    def __init__(self, items):
        self._items = items

    def __iter__(self):
        return iter(self._items)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def update(self, count=1):
        pass

    def set_postfix_str(self, text):
        pass

    def close(self):
        pass
