"""The methods ``work_schedule_read`` and ``work_schedule_update``.

Everybody works from Monday to Friday; exceptions are kept for the studio, a project or a person.
Tasks are not rescheduled when the schedule changes, whatever ``recalculate_field`` says.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Optional

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert

from . import dates
from .faults import Fault, ruby_text, wrong_type
from .store import compile_statement
from .wire import get_string

if TYPE_CHECKING:
    from .linking import Key
    from .store import Store
    from .targets import Targets

_COLUMNS = ["scope", "scope_id", "date", "working", "description"]
_NAMES = [f"{name}_" for name in _COLUMNS]
_MOST_DAYS = 3_660


class Schedule:
    """The working days of one site.

    Args:
        store: The database.
        targets: Checks the entities that calls name.
    """

    def __init__(self, store: Store, targets: Targets) -> None:
        self._store = store
        self._targets = targets
        table = store.site.workdays
        row: dict[str, Any] = dict(zip(_COLUMNS, map(bindparam, _NAMES)))
        new = insert(table).values(row)
        changed = {name: new.excluded[name] for name in ("working", "description")}
        put = new.on_conflict_do_update(index_elements=_COLUMNS[:3], set_=changed)
        self._put = compile_statement(put, _NAMES)
        wanted = (
            select(table.c.date, table.c.working, table.c.description)
            .where(table.c.scope == bindparam("scope_"), table.c.scope_id == bindparam("id_"))
            .where(table.c.date.between(bindparam("first_"), bindparam("last_")))
        )
        self._days = compile_statement(wanted, ["scope_", "id_", "first_", "last_"])

    def read(self, params: dict[str, Any]) -> dict[str, Any]:
        """Returns for each day whether it is worked, and which rule says so.

        Raises:
            Fault: A date is none, the range is longer than ten years, or an entity is missing.
        """
        first = _day(params, "start_date", "work_schedule_read")
        last = _day(params, "end_date", "work_schedule_read")
        project = self._targets.optional(params, "project", "work_schedule_read", "Project")
        user = self._targets.optional(params, "user", "work_schedule_read", "HumanUser")
        if (last - first).days >= _MOST_DAYS:
            raise Fault(f"API work_schedule_read() more than {_MOST_DAYS} days are asked for.")
        found = {
            (first + timedelta(days=at)).isoformat(): _week_rule(first + timedelta(days=at))
            for at in range((last - first).days + 1)
        }
        # The later scopes win: a person's exception counts before a project's, that before all's.
        for word, scope in (("STUDIO", ("", 0)), ("PROJECT", project), ("USER", user)):
            if scope is not None:
                self._overlay(found, f"{word}_EXCEPTION", scope, first, last)
        return found

    def _overlay(
        self, found: dict[str, Any], reason: str, scope: Key, first: date, last: date
    ) -> None:
        rows = self._store.run(self._days, (*scope, first.isoformat(), last.isoformat()))
        for day, working, text in rows:
            found[day] = {"description": text, "reason": reason, "working": bool(working)}

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """Makes a day a working day or a day off, for the studio, a project or a person.

        Raises:
            Fault: A value is of the wrong class, or both a project and a person are given.
        """
        method = "work_schedule_update"
        day = _day(params, "date", method).isoformat()
        working, text = params.get("working"), params.get("description")
        if not isinstance(working, bool):
            raise wrong_type(method, "working", "FalseClass, TrueClass", working)
        if text is not None and not isinstance(text, str):
            raise wrong_type(method, "description", "String, NilClass", text)
        project = self._targets.optional(params, "project", method, "Project")
        user = self._targets.optional(params, "user", method, "HumanUser")
        if project is not None and user is not None:
            raise Fault(f"API {method}() 'project' and 'user' cannot be given together.")
        field = params.get("recalculate_field")
        if field not in (None, "due_date", "duration"):
            raise Fault(f"API {method}() invalid 'recalculate_field': {ruby_text(field)}")
        scope: Optional[Key] = project or user
        self._store.run(self._put, (*(scope or ("", 0)), day, int(working), text))
        links = {"project": self._targets.link(project), "user": self._targets.link(user)}
        return {"date": day, "description": text, "working": working, **links}


def _week_rule(day: date) -> dict[str, Any]:
    return {"description": None, "reason": "STUDIO_WORK_WEEK", "working": day.weekday() < 5}


def _day(params: dict[str, Any], name: str, method: str) -> date:
    text = get_string(params, name, method)
    found = dates.read_date(text)
    if found is None:
        raise Fault(f"API {method}() invalid date '{name}': {ruby_text(text)}")
    return date.fromisoformat(found)
