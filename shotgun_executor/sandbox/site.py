"""The site behind the sandbox: the body of one call in, the body of its answer out."""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar, Union

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert

from .auth import METHODS, Auth, Caller
from .codec import decode, encode_fault
from .faults import REQUEST, Fault
from .fields import Fields
from .files import Files
from .info import check_version, describe
from .methods import MAY_BE_SLOW, Methods
from .rows import Rows
from .schema import Schema
from .seeds import Seeds
from .store import Store, TooSlowError, compile_statement
from .wire import is_hash, is_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .file_urls import PlainUrls

    PathLike = Union[str, os.PathLike[str]]

T = TypeVar("T")

JSON_TYPE = "application/json; charset=utf-8"
CSV_TYPE = "text/csv"

_log = logging.getLogger("shotgun_executor.sandbox")


class Answer(NamedTuple):
    """What the site says to one call: the body of an HTTP 200 response."""

    body: bytes
    """JSON text in UTF-8, or CSV."""
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
        schema: The entity types and fields: a `Schema`, or the path of the result of
            ``schema_read()`` (JSON or Mockgun's pickle), or a pair of paths with that of
            ``schema_entity_read()``. None is the schema of the package, or what a file was made
            with.
        version: The server version that ``info`` tells.
        api_max_entities_per_page: The largest page of ``read``, which ``info`` tells too. A call
            that asks for more gets so many: what a live site does is not known.
        user_authentication_method: How people sign in, see `auth.METHODS`. With ``saml2`` and
            ``oxygen`` the site refuses login and password.
        session_life: Seconds that a session token is good for; None is for ever.
        s3_direct_uploads: What ``info`` tells of uploads that go straight to a storage.
        event_log: Whether changes are logged as EventLogEntry. A single script does without if
            its ``generate_event_log_entries`` is false.
        script_name: The script user that a client may sign in with.
        api_key: Its key. None keeps the one in the file, or makes a random one.
        login: The person that a client may sign in with.
        password: The password. None keeps the one in the file, or makes a random one.

    Raises:
        sqlite3.Error: The file cannot be opened or is no database.
        OSError: A schema file cannot be read.
        ValueError: An argument is out of range, or a file was made with another schema.

    Guarantees: `answer` never raises for bad input, what it answered as done survives the end of
    the process if the site has a file, and a failing call leaves no trace.
    """

    rows: Rows
    """Writes single rows; another one after every change of the schema."""

    def __init__(
        self,
        database: Optional[PathLike] = None,
        *,
        schema: Union[Schema, PathLike, Sequence[PathLike], None] = None,
        version: Sequence[int] = (8, 89, 0),
        api_max_entities_per_page: int = 500,
        user_authentication_method: str = "default",
        session_life: Optional[float] = None,
        s3_direct_uploads: bool = False,
        event_log: bool = True,
        script_name: str = "sandbox",
        api_key: Optional[str] = None,
        login: str = "sandbox.artist",
        password: Optional[str] = None,
    ) -> None:
        if api_max_entities_per_page < 1:
            raise ValueError("api_max_entities_per_page must be at least 1")
        if len(version) < 3:
            raise ValueError("version must hold at least three numbers, for example (8, 89, 0)")
        if user_authentication_method not in METHODS:
            raise ValueError(f"user_authentication_method must be one of {', '.join(METHODS)}")
        if session_life is not None and not session_life > 0:
            raise ValueError("session_life must be more than 0 seconds, or None")
        self.script_name = script_name
        self.login = login
        self.version = tuple(version)
        self._page_size = api_max_entities_per_page
        self._event_log = event_log
        self._info = describe(
            version,
            api_max_entities_per_page,
            user_authentication_method,
            direct_uploads=s3_direct_uploads,
        )
        self._lock = threading.Lock()
        self._aside_lock = threading.Lock()
        self._aside: Optional[tuple[Store, Methods]] = None
        self._readers: list[Store] = []
        self._is_in_memory = database is None
        given = _read_schema(schema)
        self.store = Store(database)
        try:
            self._open_schema(given)
            self._auth = Auth(self.store, user_authentication_method, session_life)
            self.api_key = self._setting("api_key", api_key)
            self.password = self._setting("password", password)
            self._seed()
        except BaseException:
            self.store.close()
            raise

    def __repr__(self) -> str:
        return f"<Site script_name={self.script_name!r} login={self.login!r}>"

    def _open_schema(self, given: Optional[Schema]) -> None:
        """Finds the schema, makes its tables, and assembles what works on them."""
        kept, is_new = self._kept("schema"), self._kept("api_key") is None
        if given is not None and is_new:
            self._keep("schema", json.dumps(given.data))
            kept = json.dumps(given.data)
        elif given is not None and (kept is None or json.loads(kept) != given.data):
            raise ValueError("the database was made with another schema; leave the schema out")
        self._schema_data = Schema.load().data if kept is None else json.loads(kept)
        self.schema = Schema(self._schema_data)
        Fields(self.schema, self.store, self.version).restore()
        self.store.set_up(self.schema)
        self._assemble()

    def _assemble(self) -> None:
        """Makes everything that holds statements compiled for the tables as they are now."""
        self.rows = Rows(self.store)
        self._methods = self._methods_on(self.store, self.rows)
        self._files = Files(self.schema, self.store, event_log=self._event_log)
        self._aside = None

    def _methods_on(self, store: Store, rows: Rows) -> Methods:
        return Methods(
            self.schema,
            store,
            rows,
            page_size=self._page_size,
            version=self.version,
            event_log=self._event_log,
        )

    # --- one call -----------------------------------------------------------------------------

    def answer(self, body: bytes, patience: Optional[float] = None) -> Answer:
        """Answers one call.

        Args:
            body: The whole body of the POST to ``/api3/json``.
            patience: Seconds that a read may take before it is given up, if `answer_aside` can
                answer it. None is without limit.

        Returns:
            The answer; a refusal is an answer with `Answer.failed` set.

        Raises:
            TooSlowError: A read took longer; `answer_aside` answers it, in another thread.
        """
        return _answer(body, lambda method, auth, params: self._run(method, auth, params, patience))

    def answer_aside(self, body: bytes) -> Answer:
        """Answers a call that `answer` gave up, on a connection of its own.

        Meanwhile `answer` goes on in its own thread. What is read is one committed state.
        """
        return _answer(body, self._run_aside)

    def _run(self, method: str, auth: Any, params: Any, patience: Optional[float]) -> bytes:
        with self._lock:
            if method == "info":
                return self._info
            caller = self._identify(method, auth)
            if method == "get_session_token":
                check_version(method, self.version)
                token = self._auth.open_session(caller)
                return b'{"results":{"session_id":"' + token.encode() + b'"}}'
            self.store.caller = caller.key
            try:
                if patience is None or method not in MAY_BE_SLOW or self._is_in_memory:
                    return _result(self._methods, method, params, caller)
                with self.store.limited(patience):
                    return _result(self._methods, method, params, caller)
            finally:
                self._catch_up()

    def _run_aside(self, method: str, auth: Any, params: Any) -> bytes:
        with self._aside_lock:
            with self._lock:
                caller = self._identify(method, auth)
                store, methods = self._reader()
            store.caller = caller.key
            with store.snapshot():
                return _result(methods, method, params, caller)

    def _reader(self) -> tuple[Store, Methods]:
        """Returns what `answer_aside` works with; new after every change of the schema."""
        if self._aside is None:
            store = self.store.reader()
            assert store is not None, "a site in memory answers everything at once"
            for old in self._readers:
                old.close()
            self._readers = [store]
            self._aside = store, self._methods_on(store, Rows(store))
        return self._aside

    def _identify(self, method: str, auth: Any) -> Caller:
        if not is_hash(auth):
            raise Fault(f"API {method}() the call carries no authentication.", 102)
        return self._auth.identify(auth)

    def _catch_up(self) -> None:
        """Forgets what a call has made obsolete: remembered users, compiled statements."""
        if self._methods.users_changed:
            self._methods.users_changed = False
            self._auth.forget()
        if self._methods.schema_changed:
            self._assemble()

    # --- the site as a whole ------------------------------------------------------------------

    def identify(self, auth: dict[str, Any]) -> Caller:
        """Returns who is asking, for requests that are no RPC.

        Args:
            auth: The keys of the auth object of a call, such as the fields of an upload form.

        Raises:
            Fault: The credentials are missing or wrong.
        """
        with self._lock:
            return self._auth.identify(auth)

    def use_urls(self, urls: PlainUrls) -> None:
        """Makes records show the URLs of files that these make of what is stored."""
        with self._lock:
            self.store.urls = urls
            self._aside = None

    def read_files(self, read: Callable[[Files], T]) -> T:
        """Returns what a function reads of the site's files."""
        with self._lock:
            return read(self._files)

    def change_files(self, auth: dict[str, Any], change: Callable[[Files, Caller], T]) -> T:
        """Changes the site's files in one transaction.

        Args:
            auth: The keys of the auth object of a call, such as the fields of an upload form.
            change: Gets the files and the user in whose name they are changed.

        Returns:
            What `change` returns.

        Raises:
            Fault: The credentials are missing or wrong, or `change` refuses; then nothing has
                changed.
        """
        with self._lock:
            caller = self._auth.identify(auth)
            self.store.caller = caller.key
            with self.store.transaction():
                return change(self._files, caller)

    def expire_sessions(self) -> None:
        """Makes every session token expire now, as if its time was over."""
        with self._lock:
            self._auth.expire_sessions()

    def require_auth_token(self, login: str, code: Optional[str]) -> None:
        """Makes the password of a person good only together with a two-factor code.

        Args:
            login: The person's login.
            code: The code that ``auth_token`` must carry; None takes the demand back. It holds
                until the site is cleared or closed.
        """
        with self._lock:
            self._auth.require_code(login, code)

    def clear(self) -> None:
        """Takes the site back to its first day: no rows but the first ones, no sessions, same keys.

        Ids start at 1 again, and the schema is the one that the site was made with.
        """
        with self._aside_lock, self._lock:
            self._auth.clear()
            changed = Fields(self.schema, self.store, self.version).restore()
            self.store.clear()
            if changed:
                self.store.drop_types(changed)
                self.schema = Schema(self._schema_data)
                self.store.set_up(self.schema, changed)
                self._assemble()
            self._seed()

    def close(self) -> None:
        """Closes the database; a slow read is broken off. The site must not be used afterwards."""
        for store in self._readers:
            store.interrupt()
        with self._aside_lock, self._lock:
            for store in (*self._readers, self.store):
                store.close()

    def _seed(self) -> None:
        """Fills a new site; in an old file, sees that the credentials of today are good."""
        script, human = (self.script_name, self.api_key), (self.login, self.password)
        seeds = Seeds(self.schema, self.rows)
        with self.store.transaction():
            if self.rows.is_retired("ApiUser", 1) is None:
                seeds.plant(script, human)
            else:
                seeds.renew(script, human)

    def _setting(self, name: str, given: Optional[str]) -> str:
        """Returns a setting: the one given, else the one kept, else a new random one."""
        value = given or self._kept(name) or secrets.token_urlsafe(18)
        self._keep(name, value)
        return value

    def _kept(self, name: str) -> Optional[str]:
        table = self.store.site.settings
        wanted = select(table.c.value).where(table.c.name == bindparam("n"))
        return self.store.first(compile_statement(wanted, ["n"]), (name,))

    def _keep(self, name: str, value: str) -> None:
        row = insert(self.store.site.settings).values(name=bindparam("n"), value=bindparam("v"))
        put = row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value})
        with self.store.transaction():
            self.store.run(compile_statement(put, ["n", "v"]), (name, value))


def _answer(body: bytes, run: Callable[[str, Any, Any], bytes]) -> Answer:
    """Answers a call with what `run` returns for its method, authentication and parameters."""
    method = ""
    try:
        method, auth, params = _read_call(body)
        text = run(method, auth, params)
    except Fault as fault:
        return Answer(encode_fault(fault), JSON_TYPE, method, failed=True)
    except TooSlowError:
        raise
    except Exception as error:
        # Whatever it was, the caller gets no traceback, and the log gets no values.
        _log.error("%s failed: %s", method or "call", _describe_error(error))
        refusal = Fault(f"API {method}() could not be carried out.", REQUEST)
        return Answer(encode_fault(refusal), JSON_TYPE, method, failed=True)
    content_type = CSV_TYPE if method == "export_page" else JSON_TYPE
    return Answer(text, content_type, method, failed=False)


def _result(methods: Methods, method: str, params: Any, caller: Caller) -> bytes:
    text = methods.run(method, params, caller)
    return text if method == "export_page" else b'{"results":' + text + b"}"


def _read_schema(given: Union[Schema, PathLike, Sequence[PathLike], None]) -> Optional[Schema]:
    if given is None or isinstance(given, Schema):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Schema.from_files([given])
    return Schema.from_files(given)


def _describe_error(error: Exception) -> str:
    """Returns class and place of an error, without its text, which may quote what was sent."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


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
