"""The site behind the sandbox: one RPC body in, one response body out (first, minimal cut)."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

if TYPE_CHECKING:
    import os

JSON_TYPE = "application/json; charset=utf-8"


class Answer(NamedTuple):
    """What the site says to one RPC: the body of an HTTP 200 response."""

    body: bytes
    content_type: str
    method: str
    failed: bool


class Site:
    """A site held in memory."""

    def __init__(
        self,
        database: Union[str, os.PathLike[str], None] = None,
        *,
        version: tuple[int, int, int] = (8, 89, 0),
        api_max_entities_per_page: int = 500,
        script_name: str = "sandbox",
        api_key: Optional[str] = None,
        login: str = "sandbox.artist",
        password: Optional[str] = None,
    ) -> None:
        self.script_name = script_name
        self.api_key = api_key or secrets.token_urlsafe(24)
        self.login = login
        self.password = password or secrets.token_urlsafe(12)
        self._version = version
        self._page = api_max_entities_per_page
        self._rows: dict[str, dict[int, dict[str, Any]]] = {}

    def answer(self, body: bytes) -> Answer:
        """Answers one RPC."""
        method = ""
        try:
            request = json.loads(body)
            method = str(request["method_name"])
            results = getattr(self, f"_{method}")(*request["params"][1:])
            envelope: Any = results if method == "info" else {"results": results}
        except Exception as error:
            envelope = {"exception": True, "message": str(error), "error_code": 103}
        failed = bool(envelope.get("exception"))
        text = json.dumps(envelope, ensure_ascii=False).encode()
        return Answer(text, JSON_TYPE, method, failed)

    def _info(self) -> dict[str, Any]:
        return {
            "version": list(self._version),
            "full_version": [*self._version, 0],
            "api_max_entities_per_page": self._page,
            "user_authentication_method": "default",
        }

    def _create(self, params: dict[str, Any]) -> dict[str, Any]:
        rows = self._rows.setdefault(params["type"], {})
        row = {"type": params["type"], "id": len(rows) + 1}
        row.update((field["field_name"], field["value"]) for field in params["fields"])
        rows[row["id"]] = row
        return row

    def _read(self, params: dict[str, Any]) -> dict[str, Any]:
        rows = list(self._rows.get(params["type"], {}).values())
        for condition in params["filters"]["conditions"]:
            rows = [row for row in rows if row.get(condition["path"]) in condition["values"]]
        names = [*params["return_fields"], "type", "id"]
        found = [{name: row.get(name) for name in names} for row in rows]
        return {"entities": found, "paging_info": {"has_next_page": False}}

    def clear(self) -> None:
        """Empties the site."""
        self._rows.clear()

    def close(self) -> None:
        """Lets go of the database."""
