"""The command line: ``shotgun-executor``, ``python -m shotgun_executor``."""

from __future__ import annotations

import argparse
import socket
import sys
from typing import TYPE_CHECKING, Any, Optional
from xmlrpc.client import ProtocolError

from shotgun_api3.shotgun import AuthenticationFault, ShotgunError

from shotgun_executor._version import __version__
from shotgun_executor.commands.exporting import export
from shotgun_executor.commands.lookup import lookup
from shotgun_executor.commands.probing import probe
from shotgun_executor.commands.terminal import OutputClosed, Refused, drop_output, say

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM = "shotgun-executor"
_MOST_WORKERS = 256
_LONGEST = 1e6  # seconds

_ENVIRONMENT = """\
The site is named by the environment: SHOTGUN_URL, and SHOTGUN_SCRIPT_NAME with
SHOTGUN_API_KEY, or SHOTGUN_LOGIN with SHOTGUN_PASSWORD, or SHOTGUN_SESSION_TOKEN.
With --sandbox it is a local one with a demo show.

Exit codes: 0, all is well; 1, something is missing or has failed; 2, wrong input,
or no sign-in; 130, Ctrl-C.
"""

_EXPORT = """\
Writes a folder: for each entity type DIR/TYPE.jsonl, a record to a line in the order
of ids, with times in UTC; the schema (schema.json, schema_entities.json); and
manifest.json, which says what is in it. Killed or interrupted, the same command goes
on after the last row that is whole.
"""

_PROBE = """\
Reads a row again and again with 1, 2, 4, ... N workers, and prints how many calls per
second that makes, and how long they take. Nothing is written to the site. It says
before what it will send, and ends when the site is busy (429, 503, silence), when
calls fail, or when they take 4 times as long as with one worker.

max_workers is recommended by the knee of the curve: where calls/s squared, divided by
the workers, is largest. In other words, twice the workers must bring at least 1.4
times the calls per second.
"""

_LOOKUP = """\
Reads values from a file, one to a line, and prints a table: a row for each record that
has the value, in the order of the input, and one without a record for each value that
is missing.
"""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command.

    Args:
        arguments: The command line; None takes that of the process.

    Returns:
        The exit code: 0, all is well; 1, something is missing or has failed; 2, wrong input or no
        sign-in; 130, Ctrl-C; 141, nobody reads the output.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except Refused as error:
        return _fail(options, str(error), 2)
    except AuthenticationFault as error:
        return _fail(options, f"{error}; check the SHOTGUN_ variables", 2)
    except OutputClosed:
        drop_output()
        return 141
    except KeyboardInterrupt:
        return _fail(options, "interrupted", 130)
    except (ConnectionError, socket.gaierror) as error:
        text = f"the site cannot be reached: {type(error).__name__}: {error}; check SHOTGUN_URL"
        return _fail(options, text, 1)
    except (ShotgunError, ProtocolError, OSError) as error:
        return _fail(options, f"{type(error).__name__}: {error}", 1)
    return code


def _fail(options: argparse.Namespace, text: str, code: int) -> int:
    say(f"{_PROGRAM} {options.command}: {text}")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Parallel work on a Flow Production Tracking (ShotGrid, Shotgun) site.",
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_export(commands)
    _add_probe(commands)
    _add_lookup(commands)
    return parser


def _command(
    commands: Any, run: Any, text: str, description: str, *, workers: int
) -> argparse.ArgumentParser:
    """A command with the options that all have."""
    parser: argparse.ArgumentParser = commands.add_parser(
        run.__name__,
        help=text,
        description=description,
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--sandbox", action="store_true", help="work on a local site with a demo show instead")
    add(
        "--workers",
        type=_workers,
        default=workers,
        metavar="N",
        help="how many calls run at a time (default: %(default)s)",
    )
    add("--timeout", type=_seconds, metavar="S", help="seconds the site may be silent (120)")
    return parser


def _add_export(commands: Any) -> None:
    text = "entity types to JSON Lines"
    add = _command(commands, export, text, _EXPORT, workers=8).add_argument
    add("types", nargs="*", metavar="TYPE", help="entity types, such as Shot")
    add("--all", action="store_true", help="export each entity type that the site has")
    add(
        "--except",
        dest="without",
        type=_names,
        default=[],
        metavar="TYPE,...",
        help="with --all: leave these out, such as EventLogEntry",
    )
    add("--out", required=True, metavar="DIR", help="the folder to write to, which may be there")
    add("--fields", type=_names, metavar="NAME,...", help="fields (default: each that holds data)")
    add("--filters", metavar="JSON", help="""as in find: '[["sg_status_list", "is", "ip"]]'""")
    add("--project", metavar="NAME", help="only what belongs to this project; a name or an id")
    add("--restart", action="store_true", help="delete an export that is in DIR, and begin anew")
    add("--quiet", action="store_true", help="show no progress bar")


def _add_probe(commands: Any) -> None:
    text = "how many workers a site bears"
    add = _command(commands, probe, text, _PROBE, workers=16).add_argument
    add("--type", default="Project", help="entity type to read (default: %(default)s)")
    add("--fields", type=_names, metavar="NAME,...", help="fields to read (default: id)")
    add("--rows", type=_rows, default=1, metavar="N", help="rows of a call, 1 (default) to 500")
    add(
        "--calls",
        type=_count,
        default=5,
        metavar="N",
        help="calls of each worker (default: %(default)s; a step has 10 at least)",
    )
    add(
        "--seconds",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="longest time of a step (default: %(default)g)",
    )
    add("--plot", metavar="FILE", help="draw the curve: .png, .svg or .pdf (needs matplotlib)")
    add("--quiet", action="store_true", help="show no progress bar")


def _add_lookup(commands: Any) -> None:
    text = "codes or ids in, CSV out"
    add = _command(commands, lookup, text, _LOOKUP, workers=8).add_argument
    add("file", nargs="?", default="-", metavar="FILE", help="values, one to a line (default: -)")
    add("--type", required=True, help="entity type, such as Shot")
    add("--by", default="code", metavar="FIELD", help="code (default), id, or another field")
    add("--fields", type=_names, metavar="NAME,...", help="columns (default: that of --by)")
    add("--project", metavar="NAME", help="only in this project; a name or an id")
    add("--allow-missing", action="store_true", help="exit with 0 although values are missing")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if all(names):
        return list(dict.fromkeys(names))
    raise argparse.ArgumentTypeError(f"{text!r} has an empty name; write code,description")


def _count(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")


def _workers(text: str) -> int:
    if text.isdecimal() and 0 < int(text) <= _MOST_WORKERS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {_MOST_WORKERS}")


def _rows(text: str) -> int:
    if text.isdecimal() and 0 < int(text) <= 500:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 500, a page")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if 0 < seconds < _LONGEST:
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, such as 30")


if __name__ == "__main__":
    sys.exit(main())
