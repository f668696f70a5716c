"""Session tokens and their life, two-factor codes, sites without passwords, acting for others."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox import dates
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call, script

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def token_of(site: Site) -> str:
    return DirectShotgun(site).get_session_token()


def test_token_lives_as_long_as_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is good until its life is over, and from then on refused with code 102."""
    monkeypatch.setattr(dates, "utc_now", lambda: NOW)
    site = Site(session_life=60)
    sg = DirectShotgun(site, session_token=token_of(site))
    for seconds in (0, 59):
        monkeypatch.setattr(dates, "utc_now", lambda at=seconds: NOW + timedelta(seconds=at))
        assert sg.find("Shot", []) == []
    monkeypatch.setattr(dates, "utc_now", lambda: NOW + timedelta(seconds=60))
    for _ in range(2):
        with pytest.raises(shotgun_api3.AuthenticationFault, match="session token ending with"):
            sg.find("Shot", [])
    assert DirectShotgun(site, session_token=token_of(site)).find("Shot", []) == []
    site.close()


def test_expired_token_stays_expired_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a token's life is kept in the file."""
    monkeypatch.setattr(dates, "utc_now", lambda: NOW)
    site = Site(tmp_path / "site.db", session_life=60)
    token = token_of(site)
    site.close()
    for seconds, good in ((59, True), (61, False)):
        monkeypatch.setattr(dates, "utc_now", lambda at=seconds: NOW + timedelta(seconds=at))
        site = Site(tmp_path / "site.db")
        answer = call(site, "schema_entity_read", None, {"session_token": token})
        assert ("results" in answer) is good
        site.close()


def test_sessions_expire_on_cue(site: Site) -> None:
    """Every token that is out is refused at once; credentials still work, new tokens too."""
    sg = DirectShotgun(site, session_token=token_of(site))
    assert sg.find("Shot", []) == []
    site.expire_sessions()
    with pytest.raises(shotgun_api3.AuthenticationFault):
        sg.find("Shot", [])
    assert DirectShotgun(site, session_token=token_of(site)).find("Shot", []) == []


def test_two_factor_code_is_demanded(site: Site) -> None:
    """Without the code the fault is 106, with a wrong one 102; with it there is a session."""
    site.require_auth_token(site.login, "123456")
    person = {"login": site.login, "password": site.password}
    with pytest.raises(shotgun_api3.MissingTwoFactorAuthenticationFault):
        DirectShotgun(site, **person).find("Shot", [])
    with pytest.raises(shotgun_api3.AuthenticationFault) as refused:
        DirectShotgun(site, **person, auth_token="654321").find("Shot", [])
    assert "123456" not in str(refused.value)
    sg = DirectShotgun(site, **person, auth_token="123456")
    assert sg.config.session_token
    assert sg.find("Shot", []) == []
    wrong = {"user_login": site.login, "user_password": "x", "auth_token": "123456"}
    assert call(site, "read", {}, wrong)["error_code"] == 102
    site.require_auth_token(site.login, None)
    assert DirectShotgun(site, **person).find("Shot", []) == []


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("saml2", shotgun_api3.shotgun.UserCredentialsNotAllowedForSSOAuthenticationFault),
        ("oxygen", shotgun_api3.shotgun.UserCredentialsNotAllowedForOxygenAuthenticationFault),
    ],
)
def test_site_without_passwords_refuses_them(method: str, fault: type[Exception]) -> None:
    """Where people sign in elsewhere any login is refused; scripts and tokens work."""
    site = Site(user_authentication_method=method)
    for password in (site.password, "wrong"):
        with pytest.raises(fault):
            DirectShotgun(site, login=site.login, password=password).find("Shot", [])
    sg = DirectShotgun(site)
    assert sg.info()["user_authentication_method"] == method
    assert DirectShotgun(site, session_token=sg.get_session_token()).find("Shot", []) == []
    sudo = DirectShotgun(site, **script(site), sudo_as_login=site.login)
    assert sudo.find("Shot", []) == []
    site.close()


def test_ldap_site_takes_passwords() -> None:
    """With ldap people sign in as with the default."""
    site = Site(user_authentication_method="ldap")
    assert DirectShotgun(site, login=site.login, password=site.password).find("Shot", []) == []
    site.close()


def test_sudo_reads_and_writes_as_the_person(site: Site, sg: DirectShotgun, project: Any) -> None:
    """A script that acts for a person reads that person's view and signs its writes."""
    sg.create("HumanUser", {"login": "other", "name": "Other", "password_proxy": "pw"})
    note = sg.create("Note", {"subject": "n", "project": project})
    sudo = DirectShotgun(site, **script(site), sudo_as_login="other")
    sudo.update("Note", note["id"], {"read_by_current_user": "read"})
    for client, state in ((sudo, "read"), (sg, "unread")):
        found = client.find_one("Note", [], ["read_by_current_user", "updated_by"])
        assert found["read_by_current_user"] == state
        assert found["updated_by"]["name"] == "Other"
    token = sudo.get_session_token()
    made = DirectShotgun(site, session_token=token).create("Group", {"code": "g"}, ["created_by"])
    assert made["created_by"] == {"type": "HumanUser", "id": 2, "name": "Other"}


def test_settings_out_of_range_are_refused() -> None:
    """A site that could not work is not made."""
    with pytest.raises(ValueError, match="session_life"):
        Site(session_life=0)
    with pytest.raises(ValueError, match="user_authentication_method"):
        Site(user_authentication_method="guess")
