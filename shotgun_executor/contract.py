"""What is leaned on in ``shotgun_api3`` beyond its documented methods, and whether it is there.

Each *piece* of ours replaces a part of the client. It may do so only as long as what it replaces
and what it calls look as they did in the versions that it was written for. If they do not, the
piece is left out: that part of the client then works as the official one does, and one warning says
so.
"""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Callable, Optional

import shotgun_api3
from shotgun_api3.shotgun import Shotgun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "PIECES",
    "FailedToDecompressContent",
    "ProxyError",
    "RedirectLimit",
    "RedirectMissingLocation",
    "ServerNotFoundError",
    "differences",
    "usable",
]

# For each piece the methods of Shotgun that it overrides or calls, with their parameters.
PIECES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # Sockets, TLS, proxies and time limits of the JSON API: ours instead of httplib2.
    "transport": {
        "_http_request": ("self", "verb", "path", "body", "headers"),
        "_get_connection": ("self",),
        "_close_connection": ("self",),
        "_get_certs_file": ("ca_certs",),
    },
    # One request for each call: the client's own loops, which send writes again, are off.
    "calls": {
        "_call_rpc": ("self", "method", "params", "include_auth_params", "first"),
        "_make_call": ("self", "verb", "path", "body", "headers"),
        "_transform_outbound": ("self", "data"),
        "_visit_data": ("self", "data", "visitor"),
        "_build_payload": ("self", "method", "params", "include_auth_params"),
        "_encode_payload": ("self", "payload"),
        "_parse_http_status": ("self", "status"),
        "_decode_response": ("self", "headers", "body"),
        "_response_errors": ("self", "sg_response"),
        "_transform_inbound": ("self", "data"),
        "_http_request": ("self", "verb", "path", "body", "headers"),
        "_close_connection": ("self",),
    },
    # From the body of an answer to its values.
    "decode": {
        "_decode_response": ("self", "headers", "body"),
        "_json_loads": ("self", "body"),
        "_response_errors": ("self", "sg_response"),
        "_transform_inbound": ("self", "data"),
        "_visit_data": ("self", "data", "visitor"),
        "_parse_records": ("self", "records"),
    },
    # Uploads and downloads over the same sockets.
    "files": {
        "_send_form": ("self", "url", "params"),
        "_upload_data_to_storage": ("self", "data", "content_type", "size", "storage_url"),
        "_multipart_upload_file_to_storage": ("self", "path", "upload_info"),
        "_get_upload_part_link": ("self", "upload_info", "filename", "part_number"),
        "_complete_multipart_upload": ("self", "upload_info", "filename", "etags"),
        "_build_opener": ("self", "handler"),
        "_make_upload_request": ("self", "request", "opener"),
        "_auth_params": ("self",),
        "download_attachment": ("self", "attachment", "file_path", "attachment_id"),
        "get_attachment_download_url": ("self", "attachment"),
        "get_auth_cookie_handler": ("self",),
    },
}

# Pieces that build upon another: without that one they are left out too.
_NEEDS = {"files": "transport"}


def differences(cls: type, piece: str) -> list[str]:
    """What is not in *cls* as *piece* expects it; nothing if the piece may be used."""
    found = []
    for name, parameters in PIECES[piece].items():
        member = getattr(cls, name, None)
        if not callable(member):
            found.append(f"{name} is gone")
        elif _parameters(member) != parameters:
            found.append(f"{name} takes other arguments")
    return found


def _parameters(member: object) -> Sequence[str]:
    return tuple(inspect.signature(member).parameters) if callable(member) else ()


def usable(
    cls: type = Shotgun, tried: Optional[Mapping[str, Callable[[], list[str]]]] = None
) -> frozenset[str]:
    """The pieces that fit *cls*; one warning for each that does not.

    Args:
        cls: ``Shotgun``.
        tried: For a piece that can be tried, a function that does it, and says what differed.
    """
    found = {piece: differences(cls, piece) for piece in PIECES}
    for piece, attempt in (tried or {}).items():
        found[piece] = found[piece] or attempt()
    for piece, needed in _NEEDS.items():
        if found[needed] and not found[piece]:
            found[piece] = [f"{needed} is not usable"]
    for piece, reasons in found.items():
        if reasons:
            warnings.warn(
                f"shotgun_api3 {getattr(shotgun_api3, '__version__', 'of this version')} is not as "
                f"expected ({', '.join(reasons)}): shotgun_executor leaves its own {piece} out and "
                f"uses the official one; look for a newer shotgun_executor",
                RuntimeWarning,
                stacklevel=2,
            )
    return frozenset(piece for piece, reasons in found.items() if not reasons)


# Errors of the HTTP library inside shotgun_api3, which users' except clauses name.
if TYPE_CHECKING:
    from shotgun_api3.lib.httplib2.error import (
        FailedToDecompressContent,
        RedirectLimit,
        RedirectMissingLocation,
        ServerNotFoundError,
    )
    from shotgun_api3.lib.httplib2.socks import HTTPError as ProxyError
else:
    try:
        from shotgun_api3.lib.httplib2.error import (
            FailedToDecompressContent,
            RedirectLimit,
            RedirectMissingLocation,
            ServerNotFoundError,
        )
        from shotgun_api3.lib.httplib2.socks import HTTPError as ProxyError
    except ImportError:  # a version without that library: nobody can name its errors

        class ServerNotFoundError(Exception):
            """The name of a server is unknown."""

        class ProxyError(Exception):
            """A proxy refused to connect."""

        class _AboutAnswer(Exception):  # noqa: N818 - the base of the next three
            def __init__(self, text: str, response: object, content: object) -> None:
                super().__init__(text)
                self.response = response
                self.content = content

        class FailedToDecompressContent(_AboutAnswer):
            """A compressed answer is damaged."""

        class RedirectLimit(_AboutAnswer):
            """Too many redirections."""

        class RedirectMissingLocation(_AboutAnswer):
            """A redirection to nowhere."""
