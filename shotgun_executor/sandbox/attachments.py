"""Values of url fields: links to the web and to files on a local storage.

Each write makes an Attachment, as on a live site.
"""

from __future__ import annotations

import json
import mimetypes
from typing import TYPE_CHECKING, Any, Optional

from sqlalchemy import select

from . import dates
from .faults import Fault, ruby_text, wrong_type
from .relations import number
from .store import compile_statement
from .tables import folded, link_id, link_type
from .values import not_legal
from .wire import is_hash

if TYPE_CHECKING:
    from .auth import Caller
    from .rows import Rows
    from .schema import Field
    from .store import Store

_PLATFORMS = ("linux", "mac", "windows")


class Attachments:
    """Writes url fields of one site.

    Args:
        store: The database, for the local storages.
        rows: Makes the Attachments.
    """

    def __init__(self, store: Store, rows: Rows) -> None:
        self._store = store
        self._rows = rows
        storages = store.tables.entities["LocalStorage"]
        roots = (storages.c[f"{platform}_path"] for platform in _PLATFORMS)
        active = storages.c["_retired"] == number(0)
        self._storages = compile_statement(
            select(storages.c.id, storages.c.code, *roots).where(active).order_by(storages.c.id), []
        )

    def write(self, field: Field, value: Any, caller: Caller, method: str) -> Optional[str]:
        """Returns the JSON text to store for a url field, or None for null.

        Raises:
            Fault: The value is no hash with ``url`` or ``local_path``, or the path is on no local
                storage of the site.
        """
        if value is None:
            return None
        if not is_hash(value):
            raise wrong_type(method, field.path, "Hash, NilClass", value)
        url, path = value.get("url"), value.get("local_path")
        if path is None and isinstance(url, str) and url.startswith("file://"):
            path = url[len("file://") :]
        content: dict[str, Any]
        if isinstance(path, str) and path:
            content = self._local(field, path, method)
        elif isinstance(url, str) and url:
            content = {"url": url, "link_type": "web"}
        else:
            raise Fault(f"API {method}() {field.path} missing 'url' attribute: {ruby_text(value)}")
        name = value.get("name") or content.get("name") or url
        content.update(name=str(name), content_type=_content_type(value, str(name)))
        return self._make(content, caller)

    def _local(self, field: Field, path: str, method: str) -> dict[str, Any]:
        """Returns the local form of a path: its storage, and the path on each platform."""
        clean = path.replace("\\", "/")
        for storage_id, code, *roots in self._store.run(self._storages):
            for root in filter(None, roots):
                start = root.replace("\\", "/").rstrip("/") + "/"
                if clean.startswith(start):
                    relative = clean[len(start) :]
                    storage = {"type": "LocalStorage", "id": storage_id, "name": code}
                    return _local_form(storage, dict(zip(_PLATFORMS, roots)), relative)
        raise not_legal(field, method, f"Path {ruby_text(path)} is on no local file storage.")

    def _make(self, content: dict[str, Any], caller: Caller) -> str:
        now = dates.write_time(dates.utc_now())
        name = content["name"]
        columns: dict[str, Any] = {"display_name": name, folded("display_name"): name.casefold()}
        for verb in ("created", "updated"):
            columns[f"{verb}_at"] = now
            columns[link_type(f"{verb}_by")], columns[link_id(f"{verb}_by")] = caller.key
        entity_id = self._rows.insert("Attachment", columns)
        self._rows.name("Attachment", entity_id, name)
        text = json.dumps({**content, "type": "Attachment", "id": entity_id}, ensure_ascii=False)
        self._rows.update("Attachment", entity_id, {"this_file": text})
        return text


def _local_form(storage: dict[str, Any], roots: dict[str, Any], relative: str) -> dict[str, Any]:
    content: dict[str, Any] = {
        "link_type": "local",
        "name": relative.rsplit("/", 1)[-1],
        "local_storage": storage,
        "relative_path": relative,
    }
    for platform, root in roots.items():
        mark = "\\" if platform == "windows" else "/"
        path = root and root.rstrip("/\\") + mark + relative.replace("/", mark)
        content[f"local_path_{platform}"] = path
    return content


def _content_type(value: dict[str, Any], name: str) -> Optional[str]:
    given = value.get("content_type")
    return given if isinstance(given, str) else mimetypes.guess_type(name)[0]
