"""The site that the environment names."""

from __future__ import annotations

import pytest

from shotgun_executor import ShotgunExecutor, site_of_environment

URL = {"SHOTGUN_URL": "https://site"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"SHOTGUN_SCRIPT_NAME": "tool", "SHOTGUN_API_KEY": "k"},
            {"script_name": "tool", "api_key": "k"},
        ),
        ({"SHOTGUN_LOGIN": "ann", "SHOTGUN_PASSWORD": "p"}, {"login": "ann", "password": "p"}),
        ({"SHOTGUN_SESSION_TOKEN": "t"}, {"session_token": "t"}),
        (
            {"SHOTGUN_SESSION_TOKEN": "t", "SHOTGUN_HTTP_PROXY": "proxy:8080"},
            {"session_token": "t", "http_proxy": "proxy:8080"},
        ),
    ],
)
def test_each_way_to_sign_in(variables, expected):
    """Each way to sign in becomes arguments that an executor takes."""
    site = site_of_environment({**URL, **variables})
    assert site == {"base_url": "https://site", **expected}
    ShotgunExecutor(**site).shutdown()


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "SHOTGUN_URL"),
        (URL, "SHOTGUN_SCRIPT_NAME and SHOTGUN_API_KEY"),
        ({**URL, "SHOTGUN_SCRIPT_NAME": "tool"}, "set SHOTGUN_API_KEY too"),
        ({**URL, "SHOTGUN_SCRIPT_NAME": "", "SHOTGUN_API_KEY": "k"}, "set SHOTGUN_SCRIPT_NAME too"),
        ({**URL, "SHOTGUN_PASSWORD": "hidden"}, "set SHOTGUN_LOGIN too"),
    ],
)
def test_what_is_missing_is_named(variables, named):
    """A variable that is missing is named, and no secret is shown."""
    with pytest.raises(ValueError, match=named) as raised:
        site_of_environment(variables)
    assert "hidden" not in str(raised.value)


def test_the_environment_of_the_process(monkeypatch):
    """Without an argument the variables of the process count."""
    for name in ("SCRIPT_NAME", "API_KEY", "LOGIN", "PASSWORD", "HTTP_PROXY"):
        monkeypatch.delenv(f"SHOTGUN_{name}", raising=False)
    monkeypatch.setenv("SHOTGUN_URL", "https://site")
    monkeypatch.setenv("SHOTGUN_SESSION_TOKEN", "t")
    assert site_of_environment() == {"base_url": "https://site", "session_token": "t"}
