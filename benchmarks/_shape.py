"""What is asked for in all workloads, by every contender."""

from __future__ import annotations

ROWS = 500
"""Records on a page."""

FIELDS = [
    "code",
    "description",
    "sg_status_list",
    "sg_cut_in",
    "sg_cut_out",
    "sg_cut_duration",
    "created_at",
    "updated_at",
    "sg_sequence",
    "assets",
]
"""Ten fields: two dates, one link, one list of five links."""

SMALL_FIELDS = ["code", "sg_status_list", "sg_cut_in"]
