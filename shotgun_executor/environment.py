"""Which site the environment names, for programs that are started from a shell or on a farm."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["site_of_environment"]

_WAYS = (
    ("SHOTGUN_SCRIPT_NAME", "SHOTGUN_API_KEY"),
    ("SHOTGUN_LOGIN", "SHOTGUN_PASSWORD"),
    ("SHOTGUN_SESSION_TOKEN",),
)


def site_of_environment(environ: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """The site and the credentials that environment variables name.

    ::

        with ShotgunExecutor(**site_of_environment(), max_workers=8) as executor:
            ...

    ``SHOTGUN_URL`` is the site. The credentials are ``SHOTGUN_SCRIPT_NAME`` and
    ``SHOTGUN_API_KEY``, or ``SHOTGUN_LOGIN`` and ``SHOTGUN_PASSWORD``, or
    ``SHOTGUN_SESSION_TOKEN``; the first of these that is there counts. A proxy is taken from
    ``SHOTGUN_HTTP_PROXY`` (``user:password@host:port``). A file of certificates is named by
    ``SHOTGUN_API_CACERTS``, which ``shotgun_api3`` reads itself.

    Args:
        environ: Other variables than those of this process.

    Returns:
        Arguments of :class:`ShotgunExecutor`, and as well of ``Shotgun``.

    Raises:
        ValueError: A variable is missing; the message names it.
    """
    environ = os.environ if environ is None else environ
    url = environ.get("SHOTGUN_URL")
    if not url:
        raise ValueError("set SHOTGUN_URL to the address of the site, such as https://my-site")
    site = {"base_url": url, **_credentials(environ)}
    if environ.get("SHOTGUN_HTTP_PROXY"):
        site["http_proxy"] = environ["SHOTGUN_HTTP_PROXY"]
    return site


def _credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """The first way to sign in that is there, whole."""
    for names in _WAYS:
        found = {_argument(name): environ[name] for name in names if environ.get(name)}
        if len(found) == len(names):
            return found
        if found:
            missing = [name for name in names if not environ.get(name)]
            raise ValueError(f"SHOTGUN_URL is set; set {' and '.join(missing)} too")
    raise ValueError(
        f"SHOTGUN_URL is set; set {' and '.join(_WAYS[0])} too (or SHOTGUN_LOGIN and "
        f"SHOTGUN_PASSWORD, or SHOTGUN_SESSION_TOKEN)"
    )


def _argument(variable: str) -> str:
    return variable[len("SHOTGUN_") :].lower()
