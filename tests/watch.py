"""No secret in a log line at DEBUG, an exception or a repr: a watch over every test."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any, Optional

from shotgun_executor.connection import Connection

LEVEL = logging.DEBUG - 1
"""That of the loggers, while nobody but the watch wants their lines at DEBUG."""
LOGGERS = ("shotgun_api3", "shotgun_executor")
SECRETS = (
    "api_key", "user_password", "session_token", "auth_token", "proxy_pass", "authorization",
)  # fmt: skip
SHORTEST = 8  # what is shorter may be a part of any word


class Watch(logging.Handler):
    """Collects what a test lets be read, and the secrets of the clients that it uses."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.secrets: set[str] = set()
        self.texts: list[str] = []
        self.levels = {name: logging.getLogger(name).level for name in LOGGERS}
        """Those that the loggers have without the watch."""

    def clear(self) -> None:
        """Another test begins."""
        self.secrets.clear()
        self.texts.clear()

    def leaks(self) -> list[str]:
        """The texts that hold a secret, with the secrets taken out."""
        found = []
        for text in list(self.texts):
            shown = text
            for secret in list(self.secrets):
                shown = shown.replace(secret, "<SECRET>")
            if shown != text:
                found.append(shown[:2000])
        return found

    # Log lines

    def passes(self, record: logging.LogRecord) -> bool:
        """As the filter of a logger: what the watch alone wants goes no further."""
        level = logging.getLogger(record.name).level
        if level == LEVEL:
            level = self.levels[record.name] or logging.getLogger().level
        if record.levelno >= level:
            return True
        self.emit(record)
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what the line says, unless an official client says it that is none of ours."""
        if record.name == "shotgun_api3" and not _is_ours():
            return
        self.texts.append(record.getMessage())
        if record.exc_info:
            self.texts.append(logging.Formatter().formatException(record.exc_info))

    # Calls

    def see(self, connection: Connection) -> None:
        """Learn the secrets of a connection."""
        config = getattr(connection.client, "config", None)
        for name in SECRETS:
            value = getattr(config, name, None)
            if isinstance(value, str):
                secret = value.rpartition(" ")[2]  # what follows "Basic"
                if len(secret) >= SHORTEST:
                    self.secrets.add(secret)

    def hear(self, error: Optional[BaseException]) -> None:
        """Keep what an error says, and those that it came from."""
        for _ in range(10):
            if error is None:
                return
            self.texts += [str(error), repr(error)]
            error = error.__cause__ or error.__context__


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Within the block all connections and loggers are watched."""
    watch = Watch()
    run, begin_request = Connection.run, Connection.begin_request

    def watched_run(self: Connection, /, *args: Any, **kwargs: Any) -> Any:
        try:
            return run(self, *args, **kwargs)
        except Exception as error:
            watch.hear(error)
            raise
        finally:
            watch.see(self)  # it may have got a token meanwhile
            watch.texts += map(repr, (self, self.client, self.prototype))

    def watched_begin_request(self: Connection) -> None:
        watch.see(self)
        begin_request(self)

    loggers = [logging.getLogger(name) for name in LOGGERS]
    Connection.run = watched_run  # type: ignore[method-assign]
    Connection.begin_request = watched_begin_request  # type: ignore[method-assign]
    for logger in loggers:
        logger.setLevel(LEVEL)
        logger.addHandler(watch)
        logger.addFilter(watch.passes)
    try:
        yield watch
    finally:
        Connection.run, Connection.begin_request = run, begin_request  # type: ignore[method-assign]
        for logger in loggers:
            logger.setLevel(watch.levels[logger.name])
            logger.removeHandler(watch)
            logger.removeFilter(watch.passes)


def _is_ours() -> bool:
    """Whether one of our clients logs that, and not an official one that a callback uses."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name == "shotgun_api3.shotgun" and "self" in frame.f_locals:
            return "_pooled_connection" in vars(frame.f_locals["self"])
        if name.startswith("shotgun_executor.") and ".sandbox" not in name:
            return True
        frame = frame.f_back
    return False
