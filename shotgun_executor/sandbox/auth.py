"""Who is asking: scripts, people and session tokens, and acting in another's name."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from sqlalchemy import bindparam, select

from .faults import AUTHENTICATION, Fault
from .passwords import is_password, token_digest
from .relations import constant, number
from .store import compile_statement

if TYPE_CHECKING:
    from sqlalchemy import Table

    from .store import Store


class Caller(NamedTuple):
    """The user in whose name a call is made: a HumanUser or an ApiUser."""

    type: str
    id: int


class Auth:
    """Checks the credentials that come with each call.

    Credentials that were found good are remembered until `forget`, which every change of a user
    must be followed by.

    Args:
        store: The database with the users.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str, str], Caller] = {}
        tables = store.tables
        self._script = _user_statement(tables.entities["ApiUser"], "firstname", "salted_password")
        self._human = _user_statement(tables.entities["HumanUser"], "login", "password_proxy")
        sessions = tables.sessions
        wanted = sessions.c.token_digest == bindparam("digest")
        self._session = compile_statement(
            select(sessions.c.user_type, sessions.c.user_id).where(wanted), ["digest"]
        )
        names = ["digest", "user_type", "user_id"]
        columns = ["token_digest", "user_type", "user_id"]
        row: dict[str, Any] = {
            column: bindparam(name + "_") for column, name in zip(columns, names)
        }
        self._new_session = compile_statement(
            sessions.insert().values(row), [name + "_" for name in names]
        )
        self._active = {
            name: compile_statement(_active(tables.entities[name]), ["id_"])
            for name in ("HumanUser", "ApiUser")
        }

    def identify(self, auth: dict[str, Any]) -> Caller:
        """Returns who is asking.

        The first of login, script name and session token that is there counts, as the official
        client sends them.

        Raises:
            Fault: With code `AUTHENTICATION`: the credentials are missing or wrong.
        """
        caller = self._signed_in(auth)
        login = auth.get("sudo_as_login")
        if login is None:
            return caller
        if caller.type != "ApiUser":
            raise Fault(f"The user does not have permission to 'sudo': {caller.type} {caller.id}")
        found = self._find(self._human, str(login))
        if found is None:
            raise _refused(f"user '{login}'")
        return Caller("HumanUser", found[0])

    def _signed_in(self, auth: dict[str, Any]) -> Caller:
        if auth.get("user_login") is not None:
            name, secret = str(auth["user_login"]), str(auth.get("user_password"))
            return self._check("HumanUser", name, secret)
        if auth.get("script_name") is not None:
            name, secret = str(auth["script_name"]), str(auth.get("script_key"))
            return self._check("ApiUser", name, secret)
        if auth.get("session_token") is not None:
            return self._check_session(str(auth["session_token"]))
        raise Fault("Can't authenticate: the call carries no credentials.", AUTHENTICATION)

    def _check(self, user_type: str, name: str, secret: str) -> Caller:
        key = (user_type, name, secret)
        caller = self._known.get(key)
        if caller is None:
            human = user_type == "HumanUser"
            found = self._find(self._human if human else self._script, name)
            if found is None or not is_password(secret, found[1]):
                raise _refused(f"{'user' if human else 'script'} '{name}'")
            caller = self._known[key] = Caller(user_type, found[0])
        return caller

    def _find(self, statement: Any, name: str) -> Optional[tuple[int, Optional[str]]]:
        try:
            found: Optional[tuple[int, Optional[str]]]
            found = self._store.run(statement, (name,)).fetchone()
        except UnicodeEncodeError:
            return None
        return found

    def _check_session(self, token: str) -> Caller:
        key = ("session", "", token)
        caller = self._known.get(key)
        if caller is None:
            found = self._store.run(self._session, (token_digest(token),)).fetchone()
            if found is None or not self._store.first(self._active[found[0]], (found[1],)):
                raise _refused(f"session token ending with '{token[-4:]}'")
            caller = self._known[key] = Caller(*found)
        return caller

    def open_session(self, caller: Caller) -> str:
        """Returns a new session token for a caller; it stays good across a restart."""
        token = secrets.token_hex(16)
        with self._store.transaction():
            self._store.run(self._new_session, (token_digest(token), caller.type, caller.id))
        return token

    def forget(self) -> None:
        """Checks every credential anew from now on."""
        self._known.clear()


def _refused(who: str) -> Fault:
    return Fault(f"Can't authenticate {who}", AUTHENTICATION)


def _user_statement(table: Table, name: str, secret: str) -> Any:
    found = select(table.c.id, table.c[secret]).where(table.c[name] == bindparam("name"))
    active = found.where(table.c["_retired"] == number(0)).where(
        table.c.sg_status_list == constant("act")
    )
    return compile_statement(active.order_by(table.c.id), ["name"])


def _active(table: Table) -> Any:
    active = table.c.sg_status_list == constant("act")
    wanted = table.c.id == bindparam("id_")
    return select(number(1)).where(wanted, active, table.c["_retired"] == number(0))
