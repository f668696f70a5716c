"""A local site in the foreground: ``shotgun-sandbox``, ``python -m shotgun_executor.sandbox``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Callable, Optional

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
        api_key="{info.api_key}",{ca_certs}
    )
    print(sg.find("Project", [], ["name"]))

Have shotgun-executor and the examples use it ({shell}):

  {variables}

Steer it:

    from shotgun_executor.sandbox import Sandbox

    sandbox = Sandbox.attach("{info.url}", "{settings.token}"{authority})
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
        require_libraries(tls=options.tls)
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
    message = _MESSAGE.format(
        info=info,
        settings=settings,
        storage=storage,
        ca_certs=f'\n        ca_certs="{info.ca_certs}",' if info.ca_certs else "",
        authority=f', "{info.ca_certs}"' if info.ca_certs else "",
        shell="in PowerShell" if os.name == "nt" else "in a shell",
        variables="\n  ".join(_variables(info)),
    )
    print(message, flush=True)


def _variables(info: Info) -> list[str]:
    """The commands that set what names this site in the environment."""
    values = {
        "SHOTGUN_URL": info.url,
        "SHOTGUN_SCRIPT_NAME": info.script_name,
        "SHOTGUN_API_KEY": info.api_key,
        "SHOTGUN_API_CACERTS": info.ca_certs,
    }
    form = '$env:{}="{}"' if os.name == "nt" else 'export {}="{}"'
    return [form.format(name, value) for name, value in values.items() if value]


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
        tls=options.tls,
        log=options.log,
        thumbnail_reads=options.thumbnail_reads,
        site=_site(options),
    )


def _site(options: argparse.Namespace) -> dict[str, Any]:
    """What is different from the site's own defaults."""
    given = {
        "schema": options.schema,
        "version": options.server_version,
        "api_max_entities_per_page": options.page_size,
        "user_authentication_method": options.auth_method,
        "s3_direct_uploads": not options.no_s3,
    }
    return {name: value for name, value in given.items() if value is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shotgun-sandbox",
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
    add("--tls", action="store_true", help="serve HTTPS, with a certificate made at the start")
    add("--log", action="store_true", help="print a line for each request")
    _add_site_options(parser)
    # How Sandbox starts this program: settings as a line of JSON, then the end of the input is
    # the end of the program.
    add("--from-stdin", action="store_true", help=argparse.SUPPRESS)
    return parser


def _add_site_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the site").add_argument
    add(
        "--schema",
        nargs="+",
        metavar="FILE",
        help="entity types and fields: what schema_read() returned, as JSON or as Mockgun pickles "
        "it, and, if wanted, a second file with what schema_entity_read() returned",
    )
    add("--server-version", type=_version, metavar="X.Y.Z", help="default: 8.89.0")
    add("--page-size", type=_whole, metavar="N", help="entities of the largest page (default: 500)")
    add(
        "--auth-method",
        choices=("default", "ldap", "saml2", "oxygen"),
        help="how people sign in; saml2 and oxygen refuse login and password",
    )
    add("--no-s3", action="store_true", help="uploads go to the site in a form, not to a storage")
    add(
        "--thumbnail-reads",
        type=_whole_or_none,
        default=1,
        metavar="N",
        help="how often a new thumbnail reads as the transient URL (default: %(default)s)",
    )


def _version(text: str) -> list[int]:
    parts = text.split(".")
    if len(parts) == 3 and all(part.isdigit() for part in parts):
        return [int(part) for part in parts]
    raise argparse.ArgumentTypeError(f"{text!r} is no version; write three numbers, like 8.89.0")


def _whole(text: str) -> int:
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")


def _whole_or_none(text: str) -> int:
    return 0 if text == "0" else _whole(text)


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
