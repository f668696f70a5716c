"""What a site says of itself: the answer to ``info``, and which methods its version has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codec import encode
from .faults import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

# A plain "*" in place of the list makes the official client fail on uploads without a field.
_UPLOAD_TYPES = {
    "Version": ["*"],
    "Attachment": ["*"],
    "*": ["this_file", "image", "thumb_image", "filmstrip_image", "filmstrip_thumb_image"],
}

_SINCE: dict[str, tuple[int, ...]] = {
    "work_schedule_read": (3, 2, 0),
    "work_schedule_update": (3, 2, 0),
    "follow": (5, 1, 22),
    "unfollow": (5, 1, 22),
    "followers": (5, 1, 22),
    "get_session_token": (5, 3, 0),
    "update_project_last_accessed_by_current_user": (5, 3, 20),
    "note_thread_contents": (6, 2, 0),
    "query_display_name_cache": (6, 2, 0),
    "activity_stream": (6, 2, 0),
    "following": (7, 0, 12),
    "preferences_read": (7, 10, 0),
}
"""The first version with a method, as the official client's source has it; all others are older."""


def describe(version: Sequence[int], page_size: int, method: str, *, direct_uploads: bool) -> bytes:
    """Returns the answer to ``info``, which a live site sends without an envelope.

    Args:
        version: The version of the site.
        page_size: The largest page of ``read``.
        method: How people sign in.
        direct_uploads: Whether files go to the storage without a way through the site.
    """
    return encode(
        {
            "full_version": [*version[:3], 0],
            "version": list(version),
            "user_authentication_method": method,
            "unified_login_flow_enabled": False,
            "api_max_entities_per_page": page_size,
            "s3_uploads_enabled": direct_uploads,
            "s3_direct_uploads_enabled": direct_uploads,
            "s3_enabled_upload_types": _UPLOAD_TYPES if direct_uploads else {},
        }
    )


def check_version(method: str, version: Sequence[int]) -> None:
    """Raises a fault if a method is younger than a version of the site."""
    since = _SINCE.get(method)
    if since is not None and tuple(version[:3]) < since:
        needed = ".".join(map(str, since))
        raise Fault(f"API {method}() is not available on this site; it needs version {needed}.")
