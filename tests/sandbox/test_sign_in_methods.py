"""Sites where people sign in elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import shotgun_api3
from shotgun_api3.shotgun import (
    UserCredentialsNotAllowedForOxygenAuthenticationFault,
    UserCredentialsNotAllowedForSSOAuthenticationFault,
)

from shotgun_executor.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the client leaves a file open
@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("saml2", UserCredentialsNotAllowedForSSOAuthenticationFault),
        ("oxygen", UserCredentialsNotAllowedForOxygenAuthenticationFault),
    ],
)
def test_site_takes_no_passwords(
    method: str, fault: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With saml2 and oxygen a password is refused, for calls and uploads; a script signs in."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    path = tmp_path / "a.txt"
    path.write_text("text")
    with Sandbox(user_authentication_method=method, s3_direct_uploads=False) as sandbox:
        human = shotgun_api3.Shotgun(sandbox.url, login=sandbox.login, password=sandbox.password)
        script = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        try:
            assert human.server_info["user_authentication_method"] == method
            with pytest.raises(fault):
                human.find("Project", [])
            with pytest.raises(shotgun_api3.ShotgunError, match="credentials are not allowed"):
                human.upload("Project", 1, str(path))
            assert script.find("Project", []) == []
        finally:
            human.close()
            script.close()
