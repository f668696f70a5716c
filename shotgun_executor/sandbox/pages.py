"""The method ``export_page``: the rows of a page as CSV.

Pages of the sandbox have no layout: each shows id, name and status of the entities of its type, of
its project if it has one. Every page may be exported.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from .faults import Fault
from .targets import condition, every
from .wire import get_integer

if TYPE_CHECKING:
    from .query import Query
    from .schema import Schema

_METHOD = "export_page"
_MOST = 100_000


class Pages:
    """Exports the pages of one site.

    Args:
        schema: The fields.
        query: Reads the records.
    """

    def __init__(self, schema: Schema, query: Query) -> None:
        self._schema = schema
        self._query = query

    def export(self, params: dict[str, Any]) -> bytes:
        """Returns CSV text in UTF-8 with a line of headings.

        Raises:
            Fault: ``format`` is not ``csv``, or there is no such page, or the page shows nothing.
        """
        if params.get("format") is None:
            raise Fault(f"API {_METHOD}() 'format' missing")
        if params.get("page_id") is None:
            raise Fault(f"API {_METHOD}() 'page_id' missing")
        if params["format"] != "csv":
            raise Fault(f"API {_METHOD}() 'format' must be csv.")
        page_id = get_integer(params, "page_id", _METHOD)
        page = self._page(page_id)
        kind = self._schema.types.get(str(page.get("entity_type")))
        if kind is None:
            raise _not_available(page_id)
        fields = ["id", kind.identifier, "sg_status_list"]
        fields = [name for name in dict.fromkeys(fields) if name in kind.fields]
        project = page.get("project")
        here = [condition("project", "is", project)] if project and "project" in kind.fields else []
        records = self._query.find(
            kind.name, tuple(fields), every(*here), limit=_MOST, method=_METHOD
        )
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([kind.fields[name].label for name in fields])
        writer.writerows([[record.get(name) for name in fields] for record in records])
        return out.getvalue().encode()

    def _page(self, page_id: int) -> dict[str, Any]:
        if "Page" in self._schema.types:
            one = every(condition("id", "is", page_id))
            found = self._query.find(
                "Page", ("entity_type", "project"), one, limit=1, method=_METHOD
            )
            if found:
                return found[0]
        raise _not_available(page_id)


def _not_available(page_id: int) -> Fault:
    return Fault(f"Export for Page id={page_id} not available")
