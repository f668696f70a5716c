"""How a sandbox is set up, and what it tells about itself; both travel as JSON."""

from __future__ import annotations

import dataclasses
import json
import secrets
from typing import TYPE_CHECKING, Any, Optional

from shotgun_executor.sandbox.latency import Delay

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Info", "Settings"]


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


@dataclasses.dataclass(frozen=True)
class Info:
    """A running sandbox: where it is, and the credentials that its site knows."""

    url: str
    pid: int
    database: Optional[str]
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
