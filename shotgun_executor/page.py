"""One page of what ``find`` reads: how the real client is made to ask for just that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shotgun_executor.coverage import Range

__all__ = ["PageRead"]

# Which of them the client sets depends on the version of the site (read in the client's source).
_FLAGS = ("return_paging_info_without_counts", "return_paging_info")


class PageRead:
    """Turns the first request of a ``find`` into one for a certain page, and ends it after that.

    ``find`` asks for page after page, as long as the answers say that there are more. Here the
    request gets the number of the page, and the answer says that it was the last one. All else
    remains the client's business: what it asks for, and how it reads the records.

    Attributes:
        single: The client asks for one page and no more; request and answer were left alone.
        more: Whether the site says that there are more pages.
        count: How many rows there are in all, if the site says so; older ones do.
    """

    __slots__ = ("before", "count", "more", "number", "ranges", "single")

    def __init__(self, number: int, ranges: Sequence[Range] = (), before: int = 0) -> None:
        """The page of that *number*, of the rows whose ids are in *ranges* (empty: of all).

        *before* is how many rows are on the pages before it.
        """
        self.number = number
        self.ranges = ranges
        self.before = before
        self.single = True
        self.more = False
        self.count: Optional[int] = None

    def asked(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of the request, of those that the client has put together."""
        params = dict(params)
        self.single = not any(params.get(flag) for flag in _FLAGS)
        if not self.single:
            params["paging"] = {**params["paging"], "current_page": self.number}
            if self.ranges:
                params["filters"] = _narrowed(params["filters"], self.ranges)
        return params

    def answered(self, result: Any) -> Any:
        """The answer as the client is to see it."""
        info = result.get("paging_info") if isinstance(result, dict) else None
        if self.single or not isinstance(info, dict):
            return result
        rows = len(result.get("entities") or ())
        if "has_next_page" in info:
            self.more = bool(rows and info["has_next_page"])
        elif "entity_count" in info:
            self.count = info["entity_count"]
            self.more = bool(rows) and self.before + rows < info["entity_count"]
        else:
            return result  # the client says what is missing
        return {**result, "paging_info": {"has_next_page": False, "entity_count": rows}}


def _narrowed(filters: Mapping[str, Any], ranges: Sequence[Range]) -> dict[str, Any]:
    """Translated *filters*, and any of the ranges of ids."""
    within = {"logical_operator": "or", "conditions": [_condition(*each) for each in ranges]}
    conditions = [filters, within] if filters.get("conditions") else [within]
    return {"logical_operator": "and", "conditions": conditions}


def _condition(low: Optional[int], high: Optional[int]) -> dict[str, Any]:
    if high is None:
        assert low is not None
        return {"path": "id", "relation": "greater_than", "values": [low - 1]}
    if low is None:
        return {"path": "id", "relation": "less_than", "values": [high + 1]}
    if low == high:
        return {"path": "id", "relation": "is", "values": [low]}
    return {"path": "id", "relation": "between", "values": [low, high]}
