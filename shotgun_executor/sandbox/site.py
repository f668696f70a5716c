"""The site behind the sandbox: the body of one call in, the body of its answer out."""

from __future__ import annotations

import logging
import secrets
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert

from .auth import Auth, Caller
from .codec import decode, encode, encode_fault
from .faults import REQUEST, Fault
from .filters import Filters
from .query import Query
from .records import Records
from .rows import Rows
from .schema import Schema
from .seeds import Seeds
from .store import Store, compile_statement
from .summarize import Summaries
from .wire import get_string, is_hash, is_list
from .write import Writer

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

JSON_TYPE = "application/json; charset=utf-8"

_log = logging.getLogger("shotgun_executor.sandbox")
_Method = Callable[[dict[str, Any], Caller], bytes]


class Answer(NamedTuple):
    """What the site says to one call: the body of an HTTP 200 response."""

    body: bytes
    """JSON text in UTF-8."""
    content_type: str
    method: str
    """The method that was asked for; ``""`` if the body could not be read."""
    failed: bool
    """Whether the body is the envelope of a fault."""


class Site:
    """A Flow Production Tracking site without its web server.

    Args:
        database: The path of an SQLite file, which survives a restart with everything in it, or
            None for a site in memory.
        version: The server version that ``info`` tells.
        api_max_entities_per_page: The largest page of ``read``, which ``info`` tells too.
        script_name: The script user that a client may sign in with.
        api_key: Its key. None keeps the one in the file, or makes a random one.
        login: The person that a client may sign in with.
        password: The password. None keeps the one in the file, or makes a random one.

    Raises:
        sqlite3.Error: The file cannot be opened or is no database.
        ValueError: An argument is out of range.

    Guarantees: `answer` never raises for bad input, what it answered as done survives the end of
    the process if the site has a file, and a failing call leaves no trace.
    """

    def __init__(
        self,
        database: Union[str, os.PathLike[str], None] = None,
        *,
        version: Sequence[int] = (8, 89, 0),
        api_max_entities_per_page: int = 500,
        script_name: str = "sandbox",
        api_key: Optional[str] = None,
        login: str = "sandbox.artist",
        password: Optional[str] = None,
    ) -> None:
        if api_max_entities_per_page < 1:
            raise ValueError("api_max_entities_per_page must be at least 1")
        if len(version) < 3:
            raise ValueError("version must hold at least three numbers, for example (8, 89, 0)")
        self.script_name = script_name
        self.login = login
        self._info = _describe(version, api_max_entities_per_page)
        self._lock = threading.Lock()
        self._schema_text = b""
        self.schema = Schema.load()
        self.store = Store(self.schema, database)
        try:
            self._assemble(api_max_entities_per_page)
            self.api_key = self._setting("api_key", api_key)
            self.password = self._setting("password", password)
            self._seed()
        except BaseException:
            self.store.close()
            raise

    def __repr__(self) -> str:
        return f"<Site script_name={self.script_name!r} login={self.login!r}>"

    def _assemble(self, page_size: int) -> None:
        schema, store = self.schema, self.store
        records = Records(schema, store.tables)
        filters = Filters(schema, store.tables, records)
        self.rows = Rows(store)
        self._auth = Auth(store)
        self._query = Query(schema, store, records, filters, page_size)
        self._writer = Writer(schema, store, self._query)
        self._summaries = Summaries(schema, store, records, filters, self._query)
        self._seeds = Seeds(schema, self.rows)
        self._methods: dict[str, _Method] = {
            "read": lambda params, _caller: self._query.read(params),
            "create": self._create,
            "update": self._update,
            "delete": self._delete,
            "revive": self._revive,
            "batch": self._batch,
            "summarize": lambda params, _caller: encode(self._summaries.summarize(params)),
            "schema_read": self._schema_read,
            "schema_entity_read": lambda _params, _caller: encode(schema.describe_types()),
            "schema_field_read": self._schema_field_read,
            "get_session_token": self._get_session_token,
        }

    # --- one call -----------------------------------------------------------------------------

    def answer(self, body: bytes) -> Answer:
        """Answers one call.

        Args:
            body: The whole body of the POST to ``/api3/json``.

        Returns:
            The answer; a refusal is an answer with `Answer.failed` set.
        """
        method = ""
        try:
            method, auth, params = _read_call(body)
            with self._lock:
                text = self._answer(method, auth, params)
        except Fault as fault:
            return Answer(encode_fault(fault), JSON_TYPE, method, failed=True)
        except Exception as error:
            # Whatever it was, the caller gets no traceback, and the log gets no values.
            _log.error("%s failed: %s", method or "call", _describe_error(error))
            refusal = Fault(f"API {method}() could not be carried out.", REQUEST)
            return Answer(encode_fault(refusal), JSON_TYPE, method, failed=True)
        return Answer(text, JSON_TYPE, method, failed=False)

    def _answer(self, method: str, auth: Any, params: Any) -> bytes:
        if method == "info":
            return self._info
        if not is_hash(auth):
            raise Fault(f"API {method}() the call carries no authentication.", 102)
        caller = self._auth.identify(auth)
        run = self._methods.get(method)
        if run is None:
            shown = method if method.isidentifier() else "This method"
            raise Fault(f"{shown} is not implemented by the sandbox.")
        if not is_hash(params) and method != "batch":
            raise Fault(f"API {method}() the parameters must be a hash.")
        return b'{"results":' + run(params, caller) + b"}"

    # --- methods ------------------------------------------------------------------------------

    def _create(self, params: dict[str, Any], caller: Caller) -> bytes:
        return self._write(lambda: self._writer.create(params, caller))

    def _update(self, params: dict[str, Any], caller: Caller) -> bytes:
        return self._write(lambda: self._writer.update(params, caller))

    def _delete(self, params: dict[str, Any], _caller: Caller) -> bytes:
        return self._write(lambda: encode(self._writer.delete(params)))

    def _revive(self, params: dict[str, Any], _caller: Caller) -> bytes:
        return self._write(lambda: encode(self._writer.revive(params)))

    def _write(self, change: Callable[[], bytes]) -> bytes:
        """Runs a change as one transaction."""
        try:
            with self.store.transaction():
                return change()
        finally:
            if self._writer.users_changed:
                self._writer.users_changed = False
                self._auth.forget()

    def _batch(self, calls: Any, caller: Caller) -> bytes:
        if not is_list(calls):
            raise Fault("API batch() the parameters must be an array of requests.")
        return self._write(lambda: b"[" + b",".join(self._members(calls, caller)) + b"]")

    def _members(self, calls: list[Any], caller: Caller) -> list[bytes]:
        results: list[bytes] = []
        for call in calls:
            if not is_hash(call):
                raise Fault("API batch() each request must be a hash.")
            verb = get_string(call, "request_type", "batch")
            if verb == "create":
                results.append(self._writer.create(call, caller))
            elif verb == "update":
                results.append(self._writer.update(call, caller))
            elif verb == "delete":
                results.append(encode(self._writer.delete(call)))
            else:
                raise Fault("API batch() 'request_type' must be create, update or delete.")
        return results

    def _schema_read(self, _params: dict[str, Any], _caller: Caller) -> bytes:
        if not self._schema_text:
            types = self.schema.types
            self._schema_text = encode({name: self.schema.describe_fields(name) for name in types})
        return self._schema_text

    def _schema_field_read(self, params: dict[str, Any], _caller: Caller) -> bytes:
        kind = self.schema.entity_type(params.get("type"), "schema_field_read")
        if params.get("field_name") is None:
            return encode(self.schema.describe_fields(kind.name))
        name = get_string(params, "field_name", "schema_field_read")
        field = kind.fields.get(name)
        if field is None:
            raise Fault(f"API schema_field_read() {kind.name}.{name} doesn't exist.")
        return encode({name: self.schema.describe_field(field)})

    def _get_session_token(self, _params: dict[str, Any], caller: Caller) -> bytes:
        return encode({"session_id": self._auth.open_session(caller)})

    # --- the site as a whole ------------------------------------------------------------------

    def clear(self) -> None:
        """Takes the site back to its first day: no rows but the first ones, no sessions, same keys.

        Ids start at 1 again.
        """
        with self._lock:
            self.store.clear()
            self._auth.forget()
            self._seed()

    def close(self) -> None:
        """Closes the database. The site must not be used afterwards."""
        with self._lock:
            self.store.close()

    def _seed(self) -> None:
        """Fills a new site; in an old file, sees that the credentials of today are good."""
        script, human = (self.script_name, self.api_key), (self.login, self.password)
        with self.store.transaction():
            if self.rows.is_retired("ApiUser", 1) is None:
                self._seeds.plant(script, human)
            else:
                self._seeds.renew(script, human)

    def _setting(self, name: str, given: Optional[str]) -> str:
        """Returns a setting: the one given, else the one kept, else a new random one."""
        table = self.store.tables.settings
        kept = compile_statement(select(table.c.value).where(table.c.name == bindparam("n")), ["n"])
        value = given or self.store.first(kept, (name,)) or secrets.token_urlsafe(18)
        row = insert(table).values(name=bindparam("n"), value=bindparam("v"))
        put = row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value})
        with self.store.transaction():
            self.store.run(compile_statement(put, ["n", "v"]), (name, value))
        return value


def _describe_error(error: Exception) -> str:
    """Returns class and place of an error, without its text, which may quote what was sent."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def _describe(version: Sequence[int], page_size: int) -> bytes:
    """Returns the answer to ``info``, which a live site sends without an envelope."""
    return encode(
        {
            "full_version": [*version[:3], 0],
            "version": list(version),
            "user_authentication_method": "default",
            "unified_login_flow_enabled": False,
            "api_max_entities_per_page": page_size,
            "s3_uploads_enabled": False,
            "s3_direct_uploads_enabled": False,
            "s3_enabled_upload_types": {},
        }
    )


def _read_call(body: bytes) -> tuple[str, Any, Any]:
    """Returns method, authentication and parameters of a call."""
    call = decode(body)
    if not is_hash(call):
        raise Fault("The body of a call must be a JSON object.")
    method, params = call.get("method_name"), call.get("params", [])
    if not isinstance(method, str) or not is_list(params):
        raise Fault("A call needs a string 'method_name' and an array 'params'.")
    auth = params[0] if params else None
    return method, auth, params[1] if len(params) > 1 else {}
