"""The certificate of a sandbox over HTTPS, made when it starts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_context"]

_NAMES = ("localhost", "127.0.0.1", "::1")


def make_context(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """Returns what a server needs for TLS, and the file by which clients know it.

    A folder that has a certificate already keeps it, so clients outlive a restart of the server.

    Args:
        folder: Where the files are put.
        host: The address that the server listens at; beside it the certificate is for localhost,
            127.0.0.1 and ::1.

    Raises:
        OSError: The folder cannot be written.
    """
    authority, own = folder / "ca.pem", folder / "server.pem"
    if not (authority.exists() and own.exists()):
        _make_files(authority, own, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return context, authority


def _make_files(authority: Path, own: Path, host: str) -> None:
    maker = trustme.CA()
    names = _NAMES if host in ("0.0.0.0", "::") else dict.fromkeys((*_NAMES, host))  # noqa: S104
    certificate = maker.issue_cert(*names)
    maker.cert_pem.write_to_path(str(authority))
    own.touch(0o600)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(own))
