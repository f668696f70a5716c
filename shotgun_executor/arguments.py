"""What the constructors take: a URL with credentials, an existing client, or a factory."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import urllib.parse
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from shotgun_api3.shotgun import Shotgun

from shotgun_executor.opening import Limits
from shotgun_executor.planned import Plan
from shotgun_executor.prototype import Prototype
from shotgun_executor.retry import Retries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import TypedDict

    class ShotgunArguments(TypedDict, total=False):
        """The arguments of ``Shotgun`` that are given by keyword, with their meaning there."""

        convert_datetimes_to_utc: bool
        http_proxy: Optional[str]
        connect: bool
        ca_certs: Optional[str]
        login: Optional[str]
        password: Optional[str]
        sudo_as_login: Optional[str]
        session_token: Optional[str]
        auth_token: Optional[str]


__all__ = [
    "check_choice",
    "check_count",
    "check_integer",
    "check_path",
    "check_seconds",
    "check_switch",
    "limits_of",
    "prototype_of",
    "retries_of",
]

_SWITCHES = ("connect", "convert_datetimes_to_utc")
_CREDENTIALS = ("script_name", "api_key", "login", "password", "session_token")


def prototype_of(
    owner: str,
    base_url: Union[str, Shotgun, None],
    script_name: Optional[str],
    api_key: Optional[str],
    factory: Optional[Callable[[], Any]],
    arguments: Mapping[str, Any],
    limits: Optional[Limits] = None,
    retries: Optional[Retries] = None,
    renew_session: Optional[Callable[[], Optional[str]]] = None,
    dry_run: object = False,
) -> Prototype:
    """The prototype that the arguments of *owner*'s constructor describe. Nothing is sent.

    Raises:
        TypeError: An argument has the wrong type, or does not go with the others.
        ValueError: The URL has no scheme, or the credentials are missing or contradictory.
    """
    if renew_session is not None and not callable(renew_session):
        raise TypeError(
            f"{owner}: renew_session must be a function that returns a new session token, "
            f"not a {type(renew_session).__name__}"
        )
    settings: dict[str, Any] = {
        "limits": limits,
        "retries": retries,
        "renew_session": renew_session,
        "plan": _plan_of(owner, dry_run),
    }
    keywords = {"script_name": script_name, "api_key": api_key, **arguments}
    given = sorted(
        name
        for name, value in keywords.items()
        if value is not None and (name, value) != ("connect", False)
    )
    if factory is not None:
        _refuse_beside(owner, "factory", given if base_url is None else ["base_url", *given])
        if not callable(factory):
            raise TypeError(
                f"{owner}: factory must be a function that returns a new Shotgun at each call, "
                f"not a {type(factory).__name__}"
            )
        return Prototype(factory=factory, **settings)
    if isinstance(base_url, Shotgun):
        _refuse_beside(owner, "a Shotgun", given)
        return Prototype(base_url, **settings)
    return Prototype(_shotgun(owner, base_url, keywords), **settings)


def _plan_of(owner: str, dry_run: object) -> Optional[Plan]:
    if isinstance(dry_run, bool):
        return Plan() if dry_run else None
    if callable(dry_run):
        return Plan(dry_run)
    raise TypeError(
        f"{owner}: dry_run must be True, False, or a function that is told of each write, such as "
        f"print, not {dry_run!r}"
    )


def _refuse_beside(owner: str, what: str, given: list[str]) -> None:
    if given:
        raise TypeError(
            f"{owner} takes all settings from {what}; leave out {', '.join(given)}, or set "
            f"them on it"
        )


def _shotgun(owner: str, base_url: object, keywords: dict[str, Any]) -> Shotgun:
    """The client that the arguments describe, not connected."""
    _check_url(owner, base_url)
    known = set(inspect.signature(Shotgun.__init__).parameters) - {"self", "base_url"}
    unknown = sorted(set(keywords) - known)
    if unknown:
        raise TypeError(_unknown(owner, unknown[0], known))
    given = {name: value for name, value in keywords.items() if value is not None}
    _check_types(owner, given)
    given.pop("connect", None)
    # The constructor would use a two-factor code up at once; the first call does (see sign_in).
    auth_token = given.pop("auth_token", None)
    _check_credentials(owner, given, auth_token)
    try:
        shotgun = Shotgun(str(base_url), connect=False, **given)
    except ValueError as error:
        secret, at, _ = str(given.get("http_proxy")).rpartition("@")
        if not at:
            raise
        raise ValueError(str(error).replace(secret, "***")) from None
    shotgun.config.auth_token = auth_token
    return shotgun


def _unknown(owner: str, name: str, of_shotgun: set[str]) -> str:
    """What to say of an argument of that name, which there is not."""
    whole = importlib.import_module("shotgun_executor")  # not before: it imports this module
    own = set(inspect.signature(getattr(whole, owner)).parameters) - {"arguments", *of_shotgun}
    close = difflib.get_close_matches(name, own | of_shotgun, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return (
        f"{owner} got an unexpected argument {name!r}; {meant}It takes {', '.join(sorted(own))}, "
        f"and those of Shotgun: {', '.join(sorted(of_shotgun))}"
    ).replace("; It takes", "; it takes")


def _check_url(owner: str, base_url: object) -> None:
    if base_url is None:
        raise TypeError(
            f"{owner} needs base_url, the URL of a site such as 'https://my-site', "
            f"an existing Shotgun, or factory="
        )
    if not isinstance(base_url, str):
        raise TypeError(
            f"{owner}: base_url must be the URL of a site or a Shotgun, "
            f"not a {type(base_url).__name__}"
        )
    if not base_url.lower().startswith(("http://", "https://")):
        shown = base_url.rpartition("@")[2]  # what stands before it may be a password
        raise ValueError(
            f"{owner}: base_url must start with https:// or http://, got {shown!r}; "
            f"try 'https://{shown.rpartition('//')[2]}'"
        )

    if not urllib.parse.urlsplit(base_url).hostname:
        raise ValueError(f"{owner}: base_url names no site; it must be like 'https://my-site'")


def _check_types(owner: str, given: Mapping[str, Any]) -> None:
    """Refuse what Shotgun would send as it is, or stumble over; values are not shown."""
    for name, value in given.items():
        wanted: type = bool if name in _SWITCHES else str
        if not isinstance(value, wanted):
            raise TypeError(
                f"{owner}: {name} must be a {wanted.__name__}, not a {type(value).__name__}"
            )


def _check_credentials(owner: str, given: Mapping[str, Any], auth_token: Optional[str]) -> None:
    for one, other in (("script_name", "api_key"), ("api_key", "script_name")):
        others = given.get("session_token") or given.get("login")
        if given.get(one) and given.get(other) == "" and not others:
            raise ValueError(f"{owner}: {one} goes with {other}, which is empty")
    if not any(given.get(name) for name in _CREDENTIALS):
        raise ValueError(
            f"{owner} needs credentials: script_name and api_key, login and password, "
            f"or session_token"
        )
    if auth_token is not None and not (given.get("login") and given.get("password")):
        raise ValueError(f"{owner}: auth_token goes with login and password; give both")


def check_count(owner: str, name: str, value: object, *, optional: bool = True) -> None:
    """Refuse what is no count of at least 1; with *optional* None is the default, and allowed."""
    if value is None and optional:
        return
    if check_integer(owner, name, value) < 1:
        raise ValueError(f"{owner}: {name} must be at least 1, got {value}")


def check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of *choices*."""
    if value not in choices:
        raise ValueError(f"{owner}: {name} must be one of {', '.join(choices)}, not {value!r}")


def check_integer(owner: str, name: str, value: object, what: str = "an integer") -> int:
    """Refuse what is no integer; *what* it should have been, for the error."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be {what}, not {value!r}")
    return value


def check_seconds(owner: str, name: str, value: object, *, optional: bool = True) -> None:
    """Refuse what is no duration; with *optional* None is none, and allowed."""
    if value is None and optional:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be a number of seconds, not {value!r}")
    if not value >= 0:
        raise ValueError(f"{owner}: {name} must not be negative, got {value}")


def check_switch(owner: str, name: str, value: object) -> None:
    """Refuse what is neither True nor False, such as the "no" of a settings file, which is true."""
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be True or False, not {value!r}")


def check_path(owner: str, name: str, value: object) -> None:
    """Refuse what names no file."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{owner}: {name} must be the path of a file, not {value!r}")


def limits_of(
    owner: str, connect_timeout: Optional[float], read_timeout: Optional[float]
) -> Limits:
    """The limits that the arguments describe; None is no limit.

    Raises:
        TypeError: One is no number.
        ValueError: One is not more than 0.
    """
    for name, value in {"connect_timeout": connect_timeout, "read_timeout": read_timeout}.items():
        check_seconds(owner, name, value)
        if value == 0:
            raise ValueError(f"{owner}: {name} must be more than 0 seconds; None is no limit")
    return Limits.of(connect_timeout, read_timeout)


def retries_of(owner: str, retries: Union[int, Retries, None]) -> Retries:
    """The policy that *retries* describes: a policy, a number of repeats, or None for the usual.

    Raises:
        TypeError: It is none of these.
        ValueError: It is a negative number.
    """
    if retries is None:
        return Retries()
    if isinstance(retries, Retries):
        return retries
    if check_integer(owner, "retries", retries, "a number or a Retries") < 0:
        raise ValueError(f"{owner}: retries must not be negative, got {retries}; 0 fails at once")
    return Retries(retries)
