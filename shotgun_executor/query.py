"""What a ``find`` asks for, as far as it decides how its pages are read."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from shotgun_api3.shotgun import Shotgun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shotgun_executor.coverage import Range

__all__ = ["SIGNATURE", "Query", "is_by_id"]

SIGNATURE = inspect.signature(Shotgun.find)


class Query(NamedTuple):
    """What is asked for."""

    arguments: dict[str, Any]
    size: int
    """Rows on a page: as many as the first one has; a site may have fewer than it is asked for."""
    limit: int
    """Rows wanted; 0: all."""
    by_id: Optional[bool]
    """Whether the rows come in the order of their ids, ascending; None: in another order."""
    countable: bool
    """Whether ``summarize`` can tell how many there are."""
    within: Sequence[Range] = ()
    """The ids that the rows have; empty: any."""
    pages: Optional[int] = None
    """The number of the last page of a window."""
    start: int = 1
    """The number of its first page."""

    def window(self, pages: int, before: int) -> Query:
        """So many pages; in an order that is not that of ids, after so many pages before."""
        if self.by_id is None:
            return self._replace(pages=before + pages, start=before + 1)
        return self._replace(pages=pages, limit=pages * self.size)

    def wanted(self) -> Optional[int]:
        """The number of the last page that is wanted; None: all are wanted."""
        if self.pages is not None:
            return self.pages
        return -(-self.limit // self.size) if self.limit else None

    @classmethod
    def of(cls, client: Any, args: Sequence[Any], kwargs: Mapping[str, Any], size: int) -> Query:
        """Of the arguments of ``find``."""
        bound = SIGNATURE.bind(None, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        del arguments["self"]
        limit = arguments.pop("limit", 0)
        countable = (
            type(client).summarize is Shotgun.summarize
            and not arguments["retired_only"]
            and not arguments["additional_filter_presets"]
        )
        # A preset looks at all the rows that the filters let through, so a request for some ids
        # only would find others: such pages are read by their numbers.
        preset = arguments["additional_filter_presets"]
        by_id = None if preset else is_by_id(arguments["order"])
        return cls(arguments, size, limit, by_id, countable)

    def to_count(self) -> dict[str, Any]:
        """The arguments of ``summarize`` that count the rows."""
        names = ("entity_type", "filters", "filter_operator", "include_archived_projects")
        counted = [{"field": "id", "type": "count"}]
        return {**{name: self.arguments[name] for name in names}, "summary_fields": counted}


def is_by_id(order: Any) -> Optional[bool]:
    """Whether an order is that of ids, ascending (True) or descending (False); None: it is not."""
    if not order:
        return True
    first = order[0]
    field, direction = first.get("column", first.get("field_name")), first.get("direction", "asc")
    return direction == "asc" if field == "id" and direction in ("asc", "desc") else None
