"""``python -m shotgun_executor.sandbox``: a local site in the foreground."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import TYPE_CHECKING, Callable, Optional

from shotgun_executor.sandbox.latency import Delay, parse_delay
from shotgun_executor.sandbox.process import require_libraries
from shotgun_executor.sandbox.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shotgun_executor.sandbox.settings import Info

_PROGRAM = "shotgun_executor.sandbox"

_MESSAGE = """\
Sandbox site at {info.url}  (Ctrl-C ends it)

  script name    {info.script_name}
  API key        {info.api_key}
  login          {info.login}
  password       {info.password}
  control token  {settings.token}
  entities       {storage}
  latency        {settings.latency}

Talk to it:

    import shotgun_api3

    sg = shotgun_api3.Shotgun(
        "{info.url}",
        script_name="{info.script_name}",
        api_key="{info.api_key}",
    )
    print(sg.find("Project", [], ["name"]))

Steer it:

    from shotgun_executor.sandbox import Sandbox

    sandbox = Sandbox.attach("{info.url}", "{settings.token}")
    print(sandbox.counters())
"""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Serve a site until Ctrl-C or SIGTERM.

    Args:
        arguments: The command line; None takes that of the process.

    Returns:
        The exit code: 0 after a clean end, 2 if the site could not start.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        require_libraries()
    except ImportError as error:
        return _refuse(error)
    if options.from_stdin:
        settings = Settings.from_json(sys.stdin.readline())
        return _run(settings, _announce_to_parent, parent=True)
    settings = _settings(options)
    return _run(settings, lambda info: _announce(info, settings), parent=False)


def _run(settings: Settings, announce: Callable[[Info], None], *, parent: bool) -> int:
    from shotgun_executor.sandbox.run import StartError, run

    try:
        run(settings, announce, parent=parent)
    except StartError as error:
        return _refuse(error)
    except KeyboardInterrupt:  # before the site had taken over Ctrl-C
        return 0
    return 0


def _refuse(error: Exception) -> int:
    print(f"{_PROGRAM}: {error}", file=sys.stderr)
    return 2


def _announce(info: Info, settings: Settings) -> None:
    storage = f"in {info.database}" if info.database else "in memory, gone at the end"
    print(_MESSAGE.format(info=info, settings=settings, storage=storage), flush=True)


def _announce_to_parent(info: Info) -> None:
    print(json.dumps(info.to_json()), flush=True)


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        host=options.host,
        port=options.port,
        database=options.db,
        latency=options.latency,
        demo=options.demo or options.shots is not None,
        shots=options.shots,
        compress=options.gzip,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_PROGRAM}",
        description="A local site that shotgun_api3 talks to.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    add("--port", type=_port, default=0, help="port to listen at (default: a free one)")
    add("--db", metavar="FILE", help="SQLite file that keeps the entities (default: in memory)")
    add(
        "--latency",
        type=_delay,
        default=Delay(),
        help="what each answer takes beside the real time: 0.05 (seconds), 80ms, 80ms±20",
    )
    add("--demo", action="store_true", help="start a new site with a show of thousands of entities")
    add("--shots", type=_shots, metavar="N", help="shots of the demo show; implies --demo")
    add("--gzip", action="store_true", help="send answers gzipped to clients that accept that")
    # How Sandbox starts this program: settings as a line of JSON, then the end of the input is
    # the end of the program.
    add("--from-stdin", action="store_true", help=argparse.SUPPRESS)
    return parser


def _port(text: str) -> int:
    if text.isdigit() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number from 0 to 65535")


def _shots(text: str) -> int:
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of shots; write 1 or more")


def _delay(text: str) -> Delay:
    try:
        return parse_delay(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
