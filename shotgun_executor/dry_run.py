"""What clients do in a dry run: reads go to the site, writes are written down and go nowhere."""

from __future__ import annotations

import os
import re
import urllib.parse
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional

from shotgun_api3.shotgun import Shotgun, ShotgunError

from shotgun_executor.methods import connection_of
from shotgun_executor.planned import Plan, PlannedWrite
from shotgun_executor.retry import is_read_request

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DryRun", "refuse"]


class DryRun(Shotgun):
    """Stands behind the class of the user, and before all that sends.

    So a wrapper that creates within a method of its own is caught too. What is not known to only
    read, nor how to pretend, is refused.
    """

    def _call_rpc(
        self, method: str, params: Any, include_auth_params: bool = True, first: bool = False
    ) -> Any:
        if is_read_request(method):
            return super()._call_rpc(method, params, include_auth_params, first)
        plan = _plan_of(self)
        if method == "batch":
            return [_pretend(plan, call["request_type"], call) for call in params]
        return _pretend(plan, method, params)

    def find_one(
        self, entity_type: str, filters: Any, fields: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """As in ``Shotgun``; an entity that the dry run created is found by its id."""
        known = _plan_of(self).created(entity_type, _id_in(filters))
        if known is None:
            return super().find_one(entity_type, filters, fields, *args, **kwargs)
        wanted = {name: known.get(name) for name in fields or ()}
        return {**wanted, "type": entity_type, "id": known["id"]}

    def _upload_to_storage(
        self,
        entity_type: Any,
        entity_id: Any,
        path: str,
        field_name: Any,
        *args: Any,
        **kwargs: Any,
    ) -> int:
        return self._plan_upload(entity_type, entity_id, path, field_name)

    def _upload_to_sg(
        self,
        entity_type: Any,
        entity_id: Any,
        path: str,
        field_name: Any,
        *args: Any,
        **kwargs: Any,
    ) -> int:
        return self._plan_upload(entity_type, entity_id, path, field_name)

    def _plan_upload(
        self, entity_type: str, entity_id: int, path: str, field_name: Optional[str]
    ) -> int:
        plan = _plan_of(self)
        data = {"field_name": field_name} if field_name else {}
        size = os.stat(path).st_size  # noqa: PTH116 - what the client has made of the path
        plan.add(PlannedWrite("upload", entity_type, entity_id, data, path, size))
        return plan.new_id()

    def _send_form(self, url: str, params: dict[str, Any]) -> str:
        if not urllib.parse.urlsplit(url).path.endswith("/share_thumbnail"):
            refuse(url)
        plan = _plan_of(self)
        plan.add(PlannedWrite("share_thumbnail", data=_without_credentials(self, params)))
        return f"1:{plan.new_id()}\n"

    def _upload_data_to_storage(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("an upload")


def _plan_of(client: Any) -> Plan:
    plan: Optional[Plan] = connection_of(client).prototype.plan
    assert plan is not None, "clients are of this class in a dry run only"
    return plan


def refuse(what: str) -> NoReturn:
    """Raise what a dry run raises instead of sending something."""
    raise ShotgunError(
        f"dry run: {what} is not known to only read, nor what it would return; it was not sent"
    )


def _without_credentials(client: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    hidden = client._auth_params()
    return {name: value for name, value in params.items() if name not in hidden}


def _id_in(filters: Any) -> object:
    """The id in ``[["id", "is", id]]``; None of all other filters."""
    if not isinstance(filters, (list, tuple)) or len(filters) != 1:
        return None
    condition = filters[0]
    if not isinstance(condition, (list, tuple)) or list(condition[:2]) != ["id", "is"]:
        return None
    return condition[2] if len(condition) == 3 else None


# What a call would have returned


def _pretend(plan: Plan, method: str, params: Any) -> Any:
    """Write the request down, and return what the site might have answered."""
    answer = _ANSWERS.get(method)
    if answer is None:
        refuse(method)
    return answer(plan, method, params)


def _fields(params: Mapping[str, Any]) -> dict[str, Any]:
    return {field["field_name"]: field["value"] for field in params.get("fields") or ()}


def _modes(params: Mapping[str, Any]) -> dict[str, Any]:
    """How lists of links are changed, where not by setting them."""
    name = "multi_entity_update_mode"
    found = {f["field_name"]: f[name] for f in params.get("fields") or () if name in f}
    return {f"{name}s": found} if found else {}


def _create(plan: Plan, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    kind, number, data = params["type"], plan.new_id(), _fields(params)
    plan.add(PlannedWrite(method, kind, number, data))
    asked = {name: None for name in params.get("return_fields") or () if name != "id"}
    record = {**asked, **data, "type": kind, "id": number}
    plan.remember(record)
    return record


def _update(plan: Plan, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    kind, number, data = params["type"], params["id"], _fields(params)
    plan.add(PlannedWrite(method, kind, number, {**data, **_modes(params)}))
    record = {**data, "type": kind, "id": number}
    if plan.created(kind, number) is not None:
        plan.remember(record)
    return record


def _retire(plan: Plan, method: str, params: Mapping[str, Any]) -> bool:
    plan.add(PlannedWrite(method, params["type"], params["id"]))
    return True


def _follow(plan: Plan, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    entity = params["entity"]
    plan.add(PlannedWrite(method, entity["type"], entity["id"], {"user": params["user"]}))
    return {f"{method}ed": True, **params}


def _new_field(plan: Plan, method: str, params: Mapping[str, Any]) -> str:
    _note(plan, method, params)
    names = [p["value"] for p in params["properties"] if p["property_name"] == "name"]
    shown = re.sub(r"\W+", "_", str(names[0] if names else "field")).strip("_").lower()
    return f"sg_{shown}"


def _note(plan: Plan, method: str, params: Mapping[str, Any]) -> bool:
    rest = {name: value for name, value in params.items() if name != "type"}
    plan.add(PlannedWrite(method, params.get("type"), data=rest))
    return True


def _schedule(plan: Plan, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    _note(plan, method, params)
    names = ("date", "description", "project", "user", "working")
    return {name: params.get(name) for name in names}


def _visit(plan: Plan, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    number = params.get("project_id")
    plan.add(PlannedWrite(method, "Project", number, {"user_id": params.get("user_id")}))
    return {"type": "Project", "id": number}


def _subscribe(plan: Plan, method: str, params: Mapping[str, Any]) -> dict[str, str]:
    _note(plan, method, params)
    return {"status": "success"}


_ANSWERS: Mapping[str, Callable[[Plan, str, Any], Any]] = {
    "create": _create,
    "update": _update,
    "delete": _retire,
    "revive": _retire,
    "follow": _follow,
    "unfollow": _follow,
    "schema_field_create": _new_field,
    "schema_field_update": _note,
    "schema_field_delete": _note,
    "work_schedule_update": _schedule,
    "update_project_last_accessed_by_current_user": _visit,
    "user_subscriptions_create": _subscribe,
}
