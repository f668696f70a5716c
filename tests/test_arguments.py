from __future__ import annotations

import pytest
from shotgun_api3 import Shotgun

from shotgun_executor import ShotgunExecutor, ShotgunPool, ThreadLocalShotgun
from tests.support import KEYS, NOWHERE

OWNERS = pytest.mark.parametrize("owner", [ShotgunExecutor, ShotgunPool, ThreadLocalShotgun])


@OWNERS
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, TypeError, "needs base_url"),
        ({"base_url": 5}, TypeError, "base_url must be the URL of a site or a Shotgun, not a int"),
        ({"base_url": "my-site", **KEYS}, ValueError, "try 'https://my-site'"),
        ({"base_url": "ftp://my-site", **KEYS}, ValueError, "must start with https://"),
        ({"base_url": NOWHERE}, ValueError, "needs credentials: script_name and api_key, login"),
        ({"base_url": NOWHERE, "script_name": "a"}, ValueError, "without api_key"),
        ({"base_url": NOWHERE, "login": "a"}, ValueError, "login provided without password"),
        (
            {"base_url": NOWHERE, "session_token": "t", **KEYS},
            ValueError,
            "both session_token and script_name",
        ),
        ({"base_url": NOWHERE, "auth_token": "1", **KEYS}, ValueError, "auth_token goes with"),
        ({"base_url": NOWHERE, "scriptname": "a"}, TypeError, "unexpected argument 'scriptname'"),
        ({"base_url": "http://", **KEYS}, ValueError, "base_url names no site"),
        ({"base_url": NOWHERE, "script_name": 5, "api_key": "k"}, TypeError, "script_name must be"),
        ({"base_url": NOWHERE, "http_proxy": 5, **KEYS}, TypeError, "http_proxy must be a str"),
        (
            {"base_url": NOWHERE, "convert_datetimes_to_utc": "no", **KEYS},
            TypeError,
            "convert_datetimes_to_utc must be a bool, not a str",
        ),
        ({"factory": "x"}, TypeError, "factory must be a function"),
        (
            {"factory": Shotgun, "base_url": NOWHERE, **KEYS},
            TypeError,
            "takes all settings from factory; leave out base_url, api_key, script_name",
        ),
        (
            {"base_url": Shotgun(NOWHERE, connect=False, **KEYS), "script_name": "other"},
            TypeError,
            "takes all settings from a Shotgun; leave out script_name",
        ),
    ],
)
def test_constructor_refuses_bad_input_by_name(owner, arguments, error, says):
    """A wrong argument is named, with the remedy, before anything is sent."""
    with pytest.raises(error, match=says):
        owner(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be at least 1, got 0"),
        ({"max_workers": "8"}, TypeError, "max_workers must be an integer, not '8'"),
        ({"max_workers": True}, TypeError, "max_workers must be an integer"),
        ({"max_idle": -1}, ValueError, "max_idle must not be negative"),
        ({"initializer": 5}, TypeError, "initializer must be a function"),
        ({"initializer": print, "initargs": 5}, TypeError, "initargs must be a tuple"),
        ({"max_idle": None}, TypeError, "max_idle must be a number of seconds"),
    ],
)
def test_executor_refuses_bad_numbers(arguments, error, says):
    """The executor's own arguments are checked and named too."""
    with pytest.raises(error, match=says):
        ShotgunExecutor(NOWHERE, **KEYS, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"max_size": 0}, ValueError, "max_size must be at least 1"),
        ({"timeout": "soon"}, TypeError, "timeout must be a number of seconds"),
        ({"max_idle": float("nan")}, ValueError, "max_idle must not be negative"),
    ],
)
def test_pool_refuses_bad_numbers(arguments, error, says):
    """The pool's own arguments are checked and named too."""
    with pytest.raises(error, match=says):
        ShotgunPool(NOWHERE, **KEYS, **arguments)


@OWNERS
def test_constructor_errors_show_no_secret(owner):
    """A password in a URL or a proxy address is in no error."""
    for arguments in (
        {"base_url": "user:hunter2@my-site"},
        {"base_url": NOWHERE, "http_proxy": "user:hunter2@proxy:port", **KEYS},
    ):
        with pytest.raises(ValueError, match=r"my-site|proxy") as caught:
            owner(**arguments)
        assert "hunter2" not in str(caught.value)


@OWNERS
def test_repr_shows_the_site_and_no_secret(owner):
    """A repr names the host; no key, and no password of the URL."""
    client = owner("http://user:hunter2@127.0.0.1:9", script_name="tool", api_key="hunter3")
    assert "127.0.0.1:9" in repr(client)
    assert "hunter" not in repr(client)


@OWNERS
def test_constructor_takes_what_shotgun_takes(owner):
    """URL, script name and key go by position; the rest by the names that Shotgun has."""
    client = owner(
        "https://Some-Site/", "tool", "key", http_proxy="me:pw@proxy:3128", sudo_as_login="artist"
    )
    config = client.config
    assert (config.script_name, config.api_key, config.server) == ("tool", "key", "some-site")
    assert (config.proxy_server, config.proxy_port) == ("proxy", 3128)
    assert config.sudo_as_login == "artist"
    assert client.base_url == "https://some-site/"


def test_lease_refuses_what_is_no_time():
    """The limit of a lease is checked, and may be as long as anyone likes."""
    with ShotgunPool(NOWHERE, **KEYS, timeout=float("inf")) as pool:
        with pytest.raises(TypeError, match="timeout must be a number of seconds"):
            pool.lease("5")
        pool.lease(1e12).release()
