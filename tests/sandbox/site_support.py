"""Clients that talk to a `Site` in the same process, without a server between them."""

from __future__ import annotations

import json
from typing import Any, Optional

import shotgun_api3

from shotgun_executor.sandbox.site import Site


class DirectShotgun(shotgun_api3.Shotgun):
    """The official client, with the site's `answer` in the place of the network."""

    def __init__(self, site: Site, **credentials: Any) -> None:
        self.site = site
        super().__init__("https://site.example", **(credentials or script(site)))

    def _http_request(
        self, verb: str, path: str, body: Any, headers: dict[str, Any]
    ) -> tuple[tuple[int, str], dict[str, Any], str]:
        answer = self.site.answer(body)
        return (200, "OK"), {"content-type": answer.content_type}, answer.body.decode()


def script(site: Site) -> dict[str, str]:
    """Returns the client's arguments to sign in as the site's script."""
    return {"script_name": site.script_name, "api_key": site.api_key}


def call(
    site: Site, method: str, params: Any = None, auth: Optional[dict[str, Any]] = None
) -> dict[str, Any]:
    """Returns the decoded envelope of one call, as the site's script unless `auth` says else."""
    signed = {"script_name": site.script_name, "script_key": site.api_key} if auth is None else auth
    body = {"method_name": method, "params": [signed] + ([] if params is None else [params])}
    envelope: dict[str, Any] = json.loads(site.answer(json.dumps(body).encode()).body)
    return envelope


def read(site: Site, entity_type: str, fields: list[str], **params: Any) -> dict[str, Any]:
    """Returns the envelope of a ``read`` without filters; `params` adds to it."""
    filters = {"logical_operator": "and", "conditions": []}
    full = {"type": entity_type, "return_fields": fields, "filters": filters, **params}
    return call(site, "read", full)


def codes(records: list[dict[str, Any]]) -> str:
    """Returns the codes of records, joined by spaces."""
    return " ".join(str(record["code"]) for record in records)
