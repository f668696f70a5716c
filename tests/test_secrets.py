"""Secrets stay out of logs, errors and reprs; see also watch.py, which looks at every test."""

from __future__ import annotations

import gc
import logging
import traceback

import pytest
from shotgun_api3 import Shotgun

from shotgun_executor import ShotgunExecutor, ShotgunPool, ThreadLocalShotgun, outcome_unknown
from tests.support import LONG
from tests.wire import results_of, serving, site

KEY, PASSWORD, TOKEN, PROXY, BASIC = (
    f"{name}-hush-hush" for name in ("key", "password", "token", "proxy", "basic")
)
CREDENTIALS = {
    "script": {"script_name": "tool", "api_key": KEY},
    "person": {"login": "ada", "password": PASSWORD},
    "session": {"session_token": TOKEN},
}


def test_watch_sees_what_leaks(watch):
    """A log line of ours, an error and its cause are found out; those of others are not ours."""
    with serving(site) as server, ShotgunPool(server.url, **CREDENTIALS["script"]) as sg:

        def leaking(client):
            try:
                raise KeyError(KEY)
            except KeyError:
                logging.getLogger("shotgun_api3").debug("the key is %s", KEY)
                raise ValueError("no") from None

        with pytest.raises(ValueError, match="no"):
            sg._run(leaking)
        logging.getLogger("shotgun_api3").debug("an official client shows %s", KEY)
    leaks = watch.leaks()
    assert sorted(leaks)[-1] == "the key is <SECRET>"
    assert len(leaks) == 3
    watch.clear()


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_secrets_are_in_no_repr(kind):
    """Whatever of ours is alive while calls are made, its repr shows nothing."""
    with serving(site) as server:
        url = server.url.replace("//", f"//me:{BASIC}@")
        with ShotgunExecutor(url, **CREDENTIALS[kind], ca_certs=None) as executor:
            with ShotgunPool(url, **CREDENTIALS[kind]) as pool:
                with ThreadLocalShotgun(url, **CREDENTIALS[kind]) as local, pool.lease() as client:
                    future = executor.find("Shot", [])
                    view = executor.options(priority=1)
                    alive = [executor.shotgun, view, pool, local, client, future]
                    for sg in (pool, local, client):
                        sg.find("Shot", [])
                    future.result(LONG)
                    shown = [repr(thing) for thing in alive] + [
                        repr(thing)
                        for thing in gc.get_objects()
                        if str(type(thing).__module__).startswith("shotgun_executor")
                        and not isinstance(thing, (dict, list))
                    ]
    assert len(shown) > 20
    for secret in (KEY, PASSWORD, TOKEN, BASIC):
        assert not [text for text in shown if secret in text]


def refusing(peer):
    """Close the connection on each write; the credentials were in its body."""
    while True:
        request = peer.read()
        if request is None or request.name not in ("info", "read"):
            return
        peer.answer(results_of(request))


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_secrets_are_in_no_traceback(kind, caplog):
    """An error of an unknown outcome shows what was sent, without what it was signed with."""
    caplog.set_level("DEBUG", "shotgun_api3")
    with serving(refusing) as server:
        url = server.url.replace("//", f"//me:{BASIC}@")
        with ShotgunPool(url, **CREDENTIALS[kind]) as sg:
            with pytest.raises(ConnectionError) as raised:
                sg.create("Shot", {"code": "a", "sg_password": PASSWORD})
    error = raised.value
    assert outcome_unknown(error)
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert "hush-hush" not in shown + caplog.text


@pytest.mark.parametrize("cls", [ShotgunExecutor, ShotgunPool, ThreadLocalShotgun])
def test_secrets_are_in_no_refusal_of_an_argument(cls):
    """Who gets the arguments wrong is told so without them."""
    wrong = [
        (f"me:{BASIC}@site", CREDENTIALS["script"]),
        (f"ftp://me:{BASIC}@site", CREDENTIALS["script"]),
        (f"https://me:{BASIC}@", CREDENTIALS["script"]),
        ("https://site", {"api_key": KEY}),
        ("https://site", {"password": PASSWORD}),
        ("https://site", {"script_name": "tool", "api_key": KEY, "login": "ada"}),
        ("https://site", {**CREDENTIALS["script"], "http_proxy": f"me:{PROXY}@host:port"}),
        ("https://site", {**CREDENTIALS["script"], "auth_token": TOKEN}),
        ("https://site", {**CREDENTIALS["script"], "read_timeout": -1}),
    ]
    for url, arguments in wrong:
        with pytest.raises((TypeError, ValueError)) as raised:
            cls(url, **arguments)
        error = raised.value
        shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        assert "hush-hush" not in shown


def test_secrets_are_in_no_log_line_of_a_client_with_a_connection_of_its_own(caplog):
    """Who brings another HTTP library is not logged with the bodies of requests either."""

    class Studio(Shotgun):
        def _get_connection(self):
            if self._connection is None:
                self._connection = Shotgun._get_connection(self)
            return self._connection

    caplog.set_level("DEBUG", "shotgun_api3")
    with serving(site) as server:
        with ShotgunPool(Studio(server.url, connect=False, **CREDENTIALS["script"])) as sg:
            assert sg.find("Shot", []) == [{"type": "Shot", "id": 1}]
    assert "hush-hush" not in caplog.text


def test_secrets_are_in_no_error_of_encoding(sandbox):
    """The error of what cannot be encoded holds no more than that: not the body, nor the head."""
    name = "shot\udcff.mov"  # as os.listdir() gives it
    with ShotgunExecutor(sandbox.url, **sandbox.credentials) as executor:
        error = executor.create("Shot", {"code": name}).exception(LONG)
        executor.add_user_agent("\u30c4\u30fc\u30eb")
        other = executor.find("Shot", []).exception(LONG)
    for raised, held in ((error, "\udcff"), (other, "\u30c4\u30fc\u30eb")):
        assert isinstance(raised, UnicodeEncodeError)
        assert raised.object == held
        assert raised.__context__ is None
