"""The site that a command works on, and what it asks that site before it begins."""

from __future__ import annotations

import contextlib
import difflib
from typing import TYPE_CHECKING, Any

from shotgun_executor.commands.terminal import Refused, say
from shotgun_executor.environment import site_of_environment
from shotgun_executor.executor import ShotgunExecutor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Iterable

    from shotgun_executor.future import Future

__all__ = ["check_fields", "check_types", "find_project", "open_executor", "page_size"]

_GRACE = 1.0
"""Seconds that calls may go on after Ctrl-C or an error."""
_SHOTS = 40


@contextlib.contextmanager
def open_executor(
    options: argparse.Namespace, *, latency: float = 0.0, **settings: Any
) -> Generator[ShotgunExecutor, None, None]:
    """An executor for the site that the environment names, or for a local one with ``--sandbox``.

    Leaving the block by an exception ends the calls that run within a second.

    Args:
        options: The command line.
        latency: Seconds that a local site takes for an answer.
        **settings: More arguments of the executor.

    Raises:
        Refused: The environment names no site.
    """
    if options.timeout is not None:
        settings["read_timeout"] = options.timeout
    with _site(options, latency) as site:
        try:
            executor = ShotgunExecutor(**site, max_workers=options.workers, **settings)
        except (TypeError, ValueError) as error:
            raise Refused(f"the SHOTGUN_ variables: {error}") from None
        try:
            yield executor
        except BaseException:
            executor.shutdown(_GRACE, cancel_futures=True)
            raise
        executor.shutdown()


@contextlib.contextmanager
def _site(options: argparse.Namespace, latency: float) -> Generator[dict[str, Any], None, None]:
    if not options.sandbox:
        try:
            site = site_of_environment()
        except ValueError as error:
            raise Refused(f"{error}; or try it with --sandbox") from None
        yield site
        return
    from shotgun_executor.sandbox import Sandbox

    try:
        sandbox = Sandbox(demo=True, shots=_SHOTS, latency=latency)
    except ImportError as error:
        raise Refused(f"--sandbox: {error}") from None
    answers = f", each answer takes {latency * 1000:.0f} ms" if latency else ""
    say(f"On a local site with a demo show{answers}; it ends with this command.")
    with sandbox:
        yield {"base_url": sandbox.url, **sandbox.credentials}


def page_size(executor: ShotgunExecutor) -> int:
    """Rows of the largest page that the site gives; the client asks for as many."""
    return int(executor.server_info.get("api_max_entities_per_page") or 500)


def find_project(executor: ShotgunExecutor, text: str) -> dict[str, Any]:
    """The project of that id or name.

    Raises:
        Refused: There is none, or there are several.
    """
    by_id = text.isascii() and text.isdigit()
    filters = [["id", "is", int(text)]] if by_id else [["name", "is", text]]
    asked: Future[Any] = executor.find("Project", filters, ["name"], limit=3)
    found = asked.result()
    if len(found) == 1:
        project = found[0]
        return {"type": "Project", "id": project["id"], "name": project["name"]}
    if not found:
        raise Refused(f"--project: the site has no project {text!r}; give its name or its id")
    numbers = ", ".join(str(project["id"]) for project in found)
    raise Refused(f"--project: several projects are named {text!r}; give an id ({numbers}, ...)")


def check_types(option: str, asked: Iterable[str], known: Iterable[str]) -> None:
    """Refuse entity types that the site does not have."""
    known = list(known)
    for name in asked:
        if name not in known:
            raise Refused(f"{option}: the site has no entity type {name!r}{_like(name, known)}")


def check_fields(option: str, entity_type: str, asked: Iterable[str], known: Iterable[str]) -> None:
    """Refuse fields that the entity type does not have; of ``a.Type.b`` the first part counts."""
    known = [*known, "id", "type"]
    for name in asked:
        first = name.partition(".")[0]
        if first not in known:
            raise Refused(f"{option}: {entity_type} has no field {first!r}{_like(first, known)}")


def _like(name: str, known: list[str]) -> str:
    """What may have been meant."""
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), 3)
    return f"; did you mean {' or '.join(folded[each] for each in close)}?" if close else ""
