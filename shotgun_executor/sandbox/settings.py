"""How a sandbox is set up, and what it tells about itself; both travel as JSON."""

from __future__ import annotations

import dataclasses
import json
import secrets
from typing import TYPE_CHECKING, Any, Optional, TypedDict

from shotgun_executor.sandbox.latency import Delay

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GOODBYE", "Credentials", "Info", "Settings"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a server needs to know at its start.

    Attributes:
        host: The address to listen at.
        port: The port to listen at; 0 takes a free one.
        database: The SQLite file that keeps the entities; None keeps them in memory.
        latency: What each answer takes beside the real time.
        seed: Where the random numbers of the jitter start.
        demo: Whether a new site starts with the demo show.
        shots: The number of shots of the demo show; None is the demo's own number.
        compress: Whether answers are sent gzipped to clients that accept that.
        folder: Where files lie while the site runs, if they do not lie beside a database; None
            makes one that is gone at the end.
        tls: Whether the site is served over HTTPS.
        log: Whether a line is printed for each request.
        thumbnail_reads: How often an image field reads as the transient URL after an upload.
        thumbnail_seconds: How long it does.
        token: The secret that steering the sandbox takes.
        site: Keyword arguments for the site.
    """

    host: str = "127.0.0.1"
    port: int = 0
    database: Optional[str] = None
    latency: Delay = dataclasses.field(default_factory=Delay)
    seed: int = 0
    demo: bool = False
    shots: Optional[int] = None
    compress: bool = False
    folder: Optional[str] = None
    tls: bool = False
    log: bool = False
    thumbnail_reads: int = 1
    thumbnail_seconds: float = 0.0
    token: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    site: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """The settings that :meth:`to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        values["latency"] = Delay(*values["latency"])
        return cls(**values)


GOODBYE = b"goodbye\n"
"""What a parent writes to the standard input of a sandbox before it closes that."""


class _Keys(TypedDict):
    script_name: str
    api_key: str


class Credentials(_Keys, total=False):
    """What ``Shotgun`` takes beside the URL; over HTTPS that includes ``ca_certs``."""

    ca_certs: str


@dataclasses.dataclass(frozen=True)
class Info:
    """A running sandbox: where it is, and the credentials that its site knows.

    Attributes:
        url: The URL of the site.
        pid: The id of its process.
        database: The SQLite file that keeps its entities; None if they are in memory.
        ca_certs: The file that clients of a site over HTTPS take as ``ca_certs``; None over HTTP.
        script_name: The name of a script that the site knows.
        login: The login of a person that the site knows.
        api_key: The key of the script.
        password: The password of the person.
    """

    url: str
    pid: int
    database: Optional[str]
    ca_certs: Optional[str]
    script_name: str
    login: str
    api_key: str = dataclasses.field(repr=False)
    password: str = dataclasses.field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Info:
        """The info that :meth:`to_json` made."""
        return cls(**values)
