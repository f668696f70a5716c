"""What belongs to the site and its users: preferences, subscriptions, the projects last visited."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert

from . import dates
from .faults import Fault, ruby_text
from .personal import Personal
from .relations import number
from .store import compile_statement
from .wire import get_integer, get_list, is_hash, is_integer, is_list

if TYPE_CHECKING:
    from .auth import Caller
    from .query import Query
    from .schema import Schema
    from .store import Store
    from .targets import Targets

_STATUS_GROUPS: dict[str, Any] = {
    "status_groups": [
        {"name": "Upcoming", "code": "upc_stgr", "status_list": ["wtg", "rdy"]},
        {"name": "Active", "code": "act_stgr", "status_list": ["ip", "rev", "vwd", "hld"]},
        {"name": "Done", "code": "done_stgr", "status_list": ["apr", "cmpt", "fin"]},
    ]
}
PREFERENCES: dict[str, Any] = {
    "creative_review_settings": json.dumps(_STATUS_GROUPS),
    "date_component_order": "month_day",
    "duration_units": "days",
    "enable_rv_integration": True,
    "enable_shotgun_review_for_rv": False,
    "format_currency_fields_decimal_options": "$1,000.99",
    "format_currency_fields_display_dollar_sign": False,
    "format_currency_fields_negative_options": "- $1,000",
    "format_date_fields": "08/04/22 OR 04/08/22 (depending on the Month order preference)",
    "format_float_fields": "9,999.99",
    "format_float_fields_rounding": "9.999999",
    "format_footage_fields": "10-05",
    "format_number_fields": "1,000",
    "format_time_hour_fields": "12 hour",
    "hours_per_day": 8.0,
    "support_local_storage": True,
    "view_master_settings": json.dumps(_STATUS_GROUPS),
}
"""The preferences that a live site tells, with the values recorded there."""

_LAST_ACCESSED = "last_accessed_by_current_user"
_ACCESS = "update_project_last_accessed_by_current_user"


class Account:
    """Answers the calls about users and preferences of one site.

    Args:
        schema: Says which fields there are.
        store: The database.
        query: Reads the records.
        targets: Checks the entities that calls name.
    """

    def __init__(self, schema: Schema, store: Store, query: Query, targets: Targets) -> None:
        self._schema = schema
        self._store = store
        self._query = query
        self._targets = targets
        self._personal = Personal(store)
        table = store.site.subscriptions
        new = insert(table).values(user_id=bindparam("i"), value=bindparam("v"))
        put = new.on_conflict_do_update(
            index_elements=["user_id"], set_={"value": new.excluded.value}
        )
        self._subscribe = compile_statement(put, ["i", "v"])
        users = store.tables.entities["HumanUser"]
        joined = select(users.c.id, table.c.value).outerjoin(table, table.c.user_id == users.c.id)
        active = joined.where(users.c["_retired"] == number(0)).order_by(users.c.id)
        self._subscriptions = compile_statement(active, [])

    def preferences(self, params: dict[str, Any]) -> dict[str, Any]:
        """Returns preferences by name: those asked for, or all; unknown names are left out.

        Raises:
            Fault: ``prefs`` is no array.
        """
        names = get_list(params, "prefs", "preferences_read") or list(PREFERENCES)
        wanted = [name for name in names if isinstance(name, str)]
        return {name: PREFERENCES[name] for name in wanted if name in PREFERENCES}

    def subscriptions(self) -> list[dict[str, Any]]:
        """Returns the subscription of every person."""
        return [
            {"humanUserId": user_id, "subscription": json.loads(value or "null")}
            for user_id, value in self._store.run(self._subscriptions)
        ]

    def subscribe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Gives people other subscriptions.

        Raises:
            Fault: There is no such person, or a subscription is no string or array of strings.
        """
        for item in get_list(params, "users", "user_subscriptions_create"):
            if not is_hash(item) or not is_integer(item.get("humanUserId")):
                raise Fault(f"API user_subscriptions_create() invalid user: {ruby_text(item)}")
            value = item.get("subscription")
            words = value if is_list(value) else [value]
            if not all(isinstance(word, str) for word in words) and value is not None:
                text = "API user_subscriptions_create() invalid subscription"
                raise Fault(f"{text}: {ruby_text(value)}")
            self._targets.require("HumanUser", item["humanUserId"])
            self._store.run(self._subscribe, (item["humanUserId"], json.dumps(value)))
        return {"status": "success"}

    def access_project(self, params: dict[str, Any], caller: Caller) -> list[dict[str, Any]]:
        """Notes that a person has visited a project just now.

        Raises:
            Fault: There is no such project or person, or the caller is a script and names nobody.
        """
        project_id = get_integer(params, "project_id", _ACCESS)
        self._targets.require("Project", project_id)
        user_id: Optional[int] = None
        if params.get("user_id") is not None:
            user_id = get_integer(params, "user_id", _ACCESS)
        elif caller.type == "HumanUser":
            user_id = caller.id
        if user_id is None:
            raise Fault(f"API {_ACCESS}() 'user_id' missing: a script has no projects of its own.")
        self._targets.require("HumanUser", user_id)
        now = dates.write_time(dates.utc_now())
        if self._schema.has("Project", _LAST_ACCESSED):
            field = self._schema.field("Project", _LAST_ACCESSED)
            self._personal.write(field, project_id, ("HumanUser", user_id), now)
        return [{"type": "Project", "id": project_id, _LAST_ACCESSED: now}]
