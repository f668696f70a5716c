"""The RPC methods by name: which part of the site answers each, and which of them write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .account import Account
from .activity import Activity
from .codec import encode
from .faults import Fault
from .fields import Fields
from .filters import Filters
from .following import Following
from .info import check_version
from .navigation import Navigation
from .pages import Pages
from .query import Query
from .records import Records
from .schedule import Schedule
from .searching import Searching
from .summarize import Summaries
from .targets import Targets
from .threads import Threads
from .wire import get_string, is_hash, is_list
from .write import Writer

if TYPE_CHECKING:
    from .auth import Caller
    from .rows import Rows
    from .schema import Schema
    from .store import Store

MAY_BE_SLOW = frozenset({"read", "summarize", "query_display_name_cache", "activity_stream"})
"""The methods that only read, and may read very much."""

_Params = dict[str, Any]
_Method = Callable[[_Params, "Caller"], bytes]


class Methods:
    """Carries out the calls to one site; who calls is known by then.

    Args:
        schema: The fields.
        store: The database.
        rows: Writes single rows.
        page_size: The most records that one page holds.
        version: The version of the site.
        event_log: Whether changes are logged.
    """

    def __init__(
        self,
        schema: Schema,
        store: Store,
        rows: Rows,
        *,
        page_size: int,
        version: tuple[int, ...],
        event_log: bool,
    ) -> None:
        self._schema = schema
        self._store = store
        self._version = version
        self.users_changed = False
        """Set when a HumanUser or ApiUser was written; whoever remembers users resets it."""
        self.schema_changed = False
        """Set when the schema was changed; everything compiled for it must be made anew then."""
        self._schema_text = b""
        records = Records(schema, store)
        filters = Filters(schema, store.tables, records)
        self._targets = Targets(schema, rows)
        self._query = Query(schema, store, records, filters, page_size)
        self._writer = Writer(schema, store, self._query, event_log=event_log)
        self._fields = Fields(schema, store, version)
        self._summaries = Summaries(schema, store, records, filters, self._query)
        self._methods: dict[str, _Method] = {
            **self._record_methods(),
            **self._schema_methods(),
            **self._user_methods(),
            **self._view_methods(),
        }

    def run(self, method: str, params: Any, caller: Caller) -> bytes:
        """Returns the result of a call as JSON text, that of ``export_page`` as CSV.

        Raises:
            Fault: The method is unknown or newer than the site, or refuses the parameters.
        """
        run = self._methods.get(method)
        if run is None:
            shown = method if method.isidentifier() and len(method) < 100 else "This method"
            raise Fault(f"{shown} is not a method of this site.")
        check_version(method, self._version)
        if not is_hash(params) and method != "batch":
            raise Fault(f"API {method}() the parameters must be a hash.")
        return run(params, caller)

    # --- tables of methods --------------------------------------------------------------------

    def _record_methods(self) -> dict[str, _Method]:
        writer = self._writer
        return {
            "read": lambda params, _caller: self._query.read(params),
            "create": self._writing(writer.create),
            "update": self._writing(writer.update),
            "delete": self._writing(lambda params, caller: encode(writer.delete(params, caller))),
            "revive": self._writing(lambda params, caller: encode(writer.revive(params, caller))),
            "batch": self._writing(self._batch),
            "summarize": lambda params, _caller: encode(self._summaries.summarize(params)),
        }

    def _schema_methods(self) -> dict[str, _Method]:
        return {
            "schema_read": self._schema_read,
            "schema_entity_read": self._schema_entity_read,
            "schema_field_read": self._schema_field_read,
            "schema_field_create": self._changing(self._fields.create),
            "schema_field_update": self._changing(self._schema_field_update),
            "schema_field_delete": self._changing(self._fields.delete),
        }

    def _user_methods(self) -> dict[str, _Method]:
        following = Following(self._schema, self._store, self._targets)
        account = Account(self._schema, self._store, self._query, self._targets)
        schedule = Schedule(self._store, self._targets)
        access = account.access_project
        return {
            "follow": self._writing(_answering(following.follow)),
            "unfollow": self._writing(_answering(following.unfollow)),
            "followers": _answering(following.followers),
            "following": _answering(following.following),
            "work_schedule_read": _answering(schedule.read),
            "work_schedule_update": self._writing(_answering(schedule.update)),
            "preferences_read": _answering(account.preferences),
            "user_subscriptions_read": lambda _params, _caller: encode(account.subscriptions()),
            "user_subscriptions_create": self._writing(_answering(account.subscribe)),
            "update_project_last_accessed_by_current_user": self._writing(
                lambda params, caller: encode(access(params, caller))
            ),
        }

    def _view_methods(self) -> dict[str, _Method]:
        parts = self._schema, self._query, self._targets
        navigation = Navigation(*parts)
        pages = Pages(self._schema, self._query)
        return {
            "note_thread_contents": _answering(Threads(*parts).read),
            "query_display_name_cache": _answering(Searching(*parts[:2]).search),
            "activity_stream": _answering(Activity(*parts).read),
            "nav_expand": _answering(navigation.expand),
            "nav_search": _answering(navigation.search),
            "export_page": lambda params, _caller: pages.export(params),
        }

    # --- writing ------------------------------------------------------------------------------

    def _writing(self, change: _Method) -> _Method:
        """Makes a method one transaction."""

        def run(params: _Params, caller: Caller) -> bytes:
            try:
                with self._store.transaction():
                    return change(params, caller)
            finally:
                self.users_changed = self.users_changed or self._writer.users_changed
                self._writer.users_changed = False

        return run

    def _changing(self, change: Callable[[_Params], Any]) -> _Method:
        """Makes a method that changes the schema one transaction."""

        def run(params: _Params, _caller: Caller) -> bytes:
            self.schema_changed = True
            return encode(change(params))

        return self._writing(run)

    def _batch(self, calls: Any, caller: Caller) -> bytes:
        if not is_list(calls):
            raise Fault("API batch() the parameters must be an array of requests.")
        return b"[" + b",".join([self._member(call, caller) for call in calls]) + b"]"

    def _member(self, call: Any, caller: Caller) -> bytes:
        if not is_hash(call):
            raise Fault("API batch() each request must be a hash.")
        verb = get_string(call, "request_type", "batch")
        if verb == "create":
            return self._writer.create(call, caller)
        if verb == "update":
            return self._writer.update(call, caller)
        if verb == "delete":
            return encode(self._writer.delete(call, caller))
        raise Fault("API batch() 'request_type' must be create, update or delete.")

    # --- the schema ---------------------------------------------------------------------------

    def _schema_read(self, params: _Params, _caller: Caller) -> bytes:
        project = self._targets.optional(params, "project", "schema_read", "Project")
        if project is not None:
            return encode(self._fields.describe(project[1]))
        if not self._schema_text:
            self._schema_text = encode(self._fields.describe())
        return self._schema_text

    def _schema_entity_read(self, params: _Params, _caller: Caller) -> bytes:
        self._targets.optional(params, "project", "schema_entity_read", "Project")
        return encode(self._schema.describe_types())

    def _schema_field_read(self, params: _Params, _caller: Caller) -> bytes:
        project = self._targets.optional(params, "project", "schema_field_read", "Project")
        return encode(self._fields.describe_type(params, project and project[1]))

    def _schema_field_update(self, params: _Params) -> bool:
        project = self._targets.optional(params, "project", "schema_field_update", "Project")
        return self._fields.update(params, project)


def _answering(method: Callable[[_Params], Any]) -> _Method:
    """Makes a method that does not ask who calls, and returns a value."""
    return lambda params, _caller: encode(method(params))
