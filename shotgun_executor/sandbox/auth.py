"""Who is asking: scripts, people and session tokens, and acting in another's name."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from sqlalchemy import bindparam, select

from . import dates
from .faults import AUTHENTICATION, Fault
from .passwords import is_password, token_digest
from .relations import constant, number
from .store import compile_statement

if TYPE_CHECKING:
    from sqlalchemy import Table

    from .store import Store

METHODS = ("default", "ldap", "saml2", "oxygen")
"""The values of ``user_authentication_method`` in ``info``."""

_TWO_FACTOR = 106
_NO_PASSWORDS = {"saml2": (108, "SSO"), "oxygen": (110, "Autodesk Identity")}


class Caller(NamedTuple):
    """The user in whose name a call is made: a HumanUser or an ApiUser."""

    type: str
    id: int
    name: str = ""
    logs: bool = True
    """Whether changes by this user go into the event log."""
    session_uuid: Optional[str] = None
    """The browser session that the call is to refresh."""

    @property
    def key(self) -> tuple[str, int]:
        """Type and id."""
        return self.type, self.id


class _Found(NamedTuple):
    id: int
    secret: Optional[str]
    name: Optional[str]
    logs: Optional[int]


class Auth:
    """Checks the credentials that come with each call.

    Credentials that were found good are remembered until `forget`, which every change of a user
    must be followed by.

    Args:
        store: The database with the users.
        method: One of `METHODS`. With ``saml2`` and ``oxygen`` nobody signs in with a password.
        session_life: Seconds that a session token is good for; None is for ever.
    """

    def __init__(
        self, store: Store, method: str = "default", session_life: Optional[float] = None
    ) -> None:
        self._store = store
        self._method = method
        self._life = session_life
        self._known: dict[tuple[str, str, str], tuple[Caller, Optional[float]]] = {}
        self._codes: dict[str, str] = {}
        users = store.tables.entities
        self._script = _user_statement(users["ApiUser"], "firstname", "salted_password")
        self._human = _user_statement(users["HumanUser"], "login", "password_proxy")
        sessions = store.site.sessions
        wanted = sessions.c.token_digest == bindparam("digest")
        found = select(sessions.c.user_type, sessions.c.user_id, sessions.c.expires_at)
        self._session = compile_statement(found.where(wanted), ["digest"])
        columns = ["token_digest", "user_type", "user_id", "expires_at"]
        names = [f"{column}_" for column in columns]
        row: dict[str, Any] = dict(zip(columns, map(bindparam, names)))
        self._new_session = compile_statement(sessions.insert().values(row), names)
        self._no_sessions = compile_statement(sessions.delete(), [])
        self._active = {
            name: compile_statement(_active(users[name], _NAMES_OF[name]), ["id_"])
            for name in ("HumanUser", "ApiUser")
        }

    def identify(self, auth: dict[str, Any]) -> Caller:
        """Returns who is asking.

        The first of login, script name and session token that is there counts, as the official
        client sends them. A script that acts for a person (``sudo_as_login``) is that person,
        and its own setting says whether the event log is written.

        Raises:
            Fault: With code `AUTHENTICATION`: the credentials are missing or wrong. With the codes
                of the official client's source: a two-factor code is missing, or the site takes no
                passwords.
        """
        caller = self._signed_in(auth)
        if auth.get("session_uuid") is not None:
            caller = caller._replace(session_uuid=str(auth["session_uuid"]))
        login = auth.get("sudo_as_login")
        if login is None:
            return caller
        if caller.type != "ApiUser":
            raise Fault(f"The user does not have permission to 'sudo': {caller.type} {caller.id}")
        found = self._find(self._human, str(login))
        if found is None:
            raise _refused(f"user '{login}'")
        return caller._replace(type="HumanUser", id=found.id, name=found.name or str(login))

    def _signed_in(self, auth: dict[str, Any]) -> Caller:
        if auth.get("user_login") is not None:
            name, secret = str(auth["user_login"]), str(auth.get("user_password"))
            self._refuse_passwords()
            caller = self._check("HumanUser", name, secret)
            self._check_code(name, auth.get("auth_token"))
            return caller
        if auth.get("script_name") is not None:
            name, secret = str(auth["script_name"]), str(auth.get("script_key"))
            return self._check("ApiUser", name, secret)
        if auth.get("session_token") is not None:
            return self._check_session(str(auth["session_token"]))
        raise Fault("Can't authenticate: the call carries no credentials.", AUTHENTICATION)

    def _refuse_passwords(self) -> None:
        if self._method in _NO_PASSWORDS:
            code, name = _NO_PASSWORDS[self._method]
            text = f"User credentials are not allowed: people sign in to this site with {name}."
            raise Fault(text, code)

    def _check(self, user_type: str, name: str, secret: str) -> Caller:
        key = (user_type, name, secret)
        known = self._known.get(key)
        if known is not None:
            return known[0]
        human = user_type == "HumanUser"
        found = self._find(self._human if human else self._script, name)
        if found is None or not is_password(secret, found.secret):
            raise _refused(f"{'user' if human else 'script'} '{name}'")
        caller = Caller(user_type, found.id, found.name or name, found.logs != 0)
        self._known[key] = caller, None
        return caller

    def _check_code(self, login: str, code: Any) -> None:
        wanted = self._codes.get(login)
        if wanted is None:
            return
        if code is None:
            raise Fault(f"Two-factor authentication code missing for user '{login}'", _TWO_FACTOR)
        if not hmac.compare_digest(str(code).encode(), wanted.encode()):
            raise _refused(f"user '{login}'")

    def require_code(self, login: str, code: Optional[str]) -> None:
        """Makes the password of a person good only together with a two-factor code.

        Args:
            login: The person's login.
            code: The code that ``auth_token`` must carry; None takes the demand back.
        """
        if code is None:
            self._codes.pop(login, None)
        else:
            self._codes[login] = code

    def _find(self, statement: Any, name: str) -> Optional[_Found]:
        try:
            row = self._store.run(statement, (name,)).fetchone()
        except UnicodeEncodeError:
            return None
        return None if row is None else _Found(*row)

    # --- sessions -----------------------------------------------------------------------------

    def _check_session(self, token: str) -> Caller:
        key = ("session", "", token)
        caller, expires_at = self._known.get(key) or self._find_session(token)
        if expires_at is not None and dates.utc_now().timestamp() >= expires_at:
            self._known.pop(key, None)
            raise _refused(f"session token ending with '{token[-4:]}'")
        self._known[key] = caller, expires_at
        return caller

    def _find_session(self, token: str) -> tuple[Caller, Optional[float]]:
        found = self._store.run(self._session, (token_digest(token),)).fetchone()
        if found is not None:
            user_type, user_id, expires_at = found
            row = self._store.run(self._active[user_type], (user_id,)).fetchone()
            if row is not None:
                name, logs = row
                return Caller(user_type, user_id, name or "", logs != 0), expires_at
        raise _refused(f"session token ending with '{token[-4:]}'")

    def open_session(self, caller: Caller) -> str:
        """Returns a new session token for a caller; it stays good across a restart.

        Its life is counted from now: calls do not lengthen it.
        """
        token = secrets.token_hex(16)
        expires_at = None if self._life is None else dates.utc_now().timestamp() + self._life
        with self._store.transaction():
            self._store.run(self._new_session, (token_digest(token), *caller.key, expires_at))
        return token

    def expire_sessions(self) -> None:
        """Makes every session token expire now."""
        with self._store.transaction():
            self._store.run(self._no_sessions)
        self.forget()

    def clear(self) -> None:
        """Forgets everything, the demands for two-factor codes too."""
        self._codes.clear()
        self.forget()

    def forget(self) -> None:
        """Checks every credential anew from now on."""
        self._known.clear()


_NAMES_OF = {"HumanUser": "name", "ApiUser": "firstname"}


def _refused(who: str) -> Fault:
    return Fault(f"Can't authenticate {who}", AUTHENTICATION)


def _logs(table: Table) -> Any:
    """Returns the expression for whether changes by a user are logged."""
    if "generate_event_log_entries" in table.c:
        return table.c.generate_event_log_entries
    return number(1)


def _is_active(table: Table) -> list[Any]:
    return [table.c.sg_status_list == constant("act"), table.c["_retired"] == number(0)]


def _user_statement(table: Table, login: str, secret: str) -> Any:
    name = table.c.name if login == "login" else table.c.firstname
    found = select(table.c.id, table.c[secret], name, _logs(table).label("logs"))
    mine = found.where(table.c[login] == bindparam("name"), *_is_active(table))
    return compile_statement(mine.order_by(table.c.id), ["name"])


def _active(table: Table, name: str) -> Any:
    wanted = table.c.id == bindparam("id_")
    return select(table.c[name], _logs(table).label("logs")).where(wanted, *_is_active(table))
