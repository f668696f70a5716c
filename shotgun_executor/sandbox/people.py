"""Users in the answers of the methods that show conversations: a link with status and image."""

from __future__ import annotations

from typing import Any


def fields_of(link: str) -> tuple[str, ...]:
    """Returns the fields to read for a link to a user."""
    status = (f"{link}.{kind}.sg_status_list" for kind in ("HumanUser", "ApiUser"))
    return (link, f"{link}.HumanUser.image", *status)


def fold(record: dict[str, Any], link: str, *extra: str) -> None:
    """Moves what `fields_of` has read into the link itself.

    Args:
        record: The record; changed in place.
        link: The name of the link.
        extra: What the link gets beside its status: ``image`` and ``valid``.
    """
    statuses = [
        record.pop(f"{link}.{kind}.sg_status_list", None) for kind in ("HumanUser", "ApiUser")
    ]
    image = record.pop(f"{link}.HumanUser.image", None)
    user = record.get(link)
    if not isinstance(user, dict):
        return
    user["status"] = next(filter(None, statuses), "act")
    if "image" in extra:
        user["image"] = image
    if "valid" in extra:
        user["valid"] = "valid"


def utc_text(moment: Any) -> Any:
    """Returns a time as these methods write it: ``2026-01-31 12:00:00 UTC``."""
    return f"{moment[:10]} {moment[11:19]} UTC" if isinstance(moment, str) else moment
