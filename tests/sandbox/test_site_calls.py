"""Calls as such: envelopes, credentials, bad requests, a site that is cleared or restarted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun, call, script


def test_info_tells_version_and_page_size() -> None:
    """What the site is made with is what `info` tells, without credentials and unwrapped."""
    site = Site(version=(7, 4, 0), api_max_entities_per_page=3)
    answer = site.answer(b'{"method_name": "info", "params": []}')
    site.close()
    info = json.loads(answer.body)
    assert (info["version"], info["api_max_entities_per_page"]) == ([7, 4, 0], 3)
    assert (answer.method, answer.failed) == ("info", False)


def test_answer_names_the_method_and_says_whether_it_failed(site: Site) -> None:
    """The server can count requests by method and by outcome."""
    answer = site.answer(b'{"method_name": "read", "params": [{}]}')
    assert (answer.method, answer.failed) == ("read", True)
    assert answer.content_type == "application/json; charset=utf-8"


def test_unknown_method_is_refused_by_name(site: Site) -> None:
    """A method that the site lacks says so instead of answering nonsense."""
    assert call(site, "frobnicate")["message"] == "frobnicate is not a method of this site."


@pytest.mark.parametrize(
    ("auth", "text"),
    [
        ({"script_name": "nobody", "script_key": "x"}, "Can't authenticate script 'nobody'"),
        ({"script_name": "sandbox", "script_key": "x"}, "Can't authenticate script 'sandbox'"),
        ({"user_login": "who", "user_password": "x"}, "Can't authenticate user 'who'"),
        ({"session_token": "tok12345"}, "Can't authenticate session token ending with '2345'"),
        ({}, "Can't authenticate: the call carries no credentials."),
    ],
)
def test_bad_credentials_are_an_authentication_fault(
    site: Site, auth: dict[str, Any], text: str
) -> None:
    """Each way to sign in wrongly has its recorded text and code 102."""
    answer = call(site, "read", {}, auth)
    assert answer == {"exception": True, "message": text, "error_code": 102}


def test_login_counts_before_script_name(site: Site) -> None:
    """A call with both is made by the person, as the client's own order has it."""
    auth = {"user_login": site.login, "user_password": site.password, "script_name": "nobody"}
    assert "results" in call(site, "get_session_token", None, auth)


def test_who_asks_is_who_created(site: Site, project: dict[str, Any]) -> None:
    """A record names the script, the person, or the person whom a script acts for."""
    human = {"type": "HumanUser", "id": 1, "name": "Sandbox Artist"}
    machine = {"type": "ApiUser", "id": 1, "name": "sandbox"}
    token = DirectShotgun(site, login=site.login, password=site.password).get_session_token()
    clients = {
        "script": (DirectShotgun(site), machine),
        "login": (DirectShotgun(site, login=site.login, password=site.password), human),
        "token": (DirectShotgun(site, session_token=token), human),
        "sudo": (DirectShotgun(site, **script(site), sudo_as_login=site.login), human),
    }
    for name, (client, user) in clients.items():
        record = client.create("Shot", {"code": name, "project": project}, ["created_by"])
        assert record["created_by"] == user, name


def test_person_may_not_act_for_another(site: Site) -> None:
    """Only scripts have the right to sudo."""
    sg = DirectShotgun(site, login=site.login, password=site.password, sudo_as_login=site.login)
    with pytest.raises(shotgun_api3.Fault, match="does not have permission to 'sudo':"):
        sg.find("Shot", [])


def test_unknown_person_to_act_for_is_refused(site: Site) -> None:
    """A script cannot act for a login that is not there."""
    sg = DirectShotgun(site, **script(site), sudo_as_login="nobody")
    with pytest.raises(shotgun_api3.AuthenticationFault, match="user 'nobody'"):
        sg.find("Shot", [])


def test_authenticate_human_user_knows_the_password(site: Site, sg: DirectShotgun) -> None:
    """The client's password check finds the person, and nobody with a wrong password."""
    found = sg.authenticate_human_user(site.login, site.password)
    assert found == {"type": "HumanUser", "id": 1, "login": site.login}
    try:
        nobody = sg.authenticate_human_user(site.login, "wrong")
    except shotgun_api3.AuthenticationFault:
        nobody = None  # shotgun_api3 before 3.10 swallows the fault
    assert nobody is None


def test_disabled_person_is_shut_out_at_once(site: Site, sg: DirectShotgun) -> None:
    """Login, password change and session follow what is written to the person."""
    human = DirectShotgun(site, login=site.login, password=site.password)
    session = DirectShotgun(site, session_token=human.get_session_token())
    assert human.find("Shot", []) == session.find("Shot", []) == []
    sg.update("HumanUser", 1, {"password_proxy": "other"})
    with pytest.raises(shotgun_api3.AuthenticationFault):
        human.find("Shot", [])
    sg.update("HumanUser", 1, {"sg_status_list": "dis"})
    with pytest.raises(shotgun_api3.AuthenticationFault):
        session.find("Shot", [])


BAD_BODIES = [
    b"", b"\xff\xfe", b"{", b"null", b"[]", b"17", b'"x"', b"{}", b'{"method_name": 3}',
    b'{"method_name": "read", "params": 3}', b'{"method_name": "read", "params": [3]}',
    b'{"method_name": "read", "params": [null, null]}', b"[" * 100_000, b'{"a":' * 50_000,
    b'{"method_name": "read", "params": [NaN]}', b'{"method_name": "\\ud800", "params": [{}]}',
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES)
def test_malformed_body_is_a_fault(site: Site, body: bytes) -> None:
    """Whatever comes in, a fault goes out."""
    answer = site.answer(body)
    envelope = json.loads(answer.body)
    assert answer.failed
    assert envelope["exception"] is True
    assert "Traceback" not in envelope["message"]


BAD_PARAMS: list[tuple[str, Any]] = [
    ("read", 3), ("read", {"type": 3}), ("read", {"type": "Nothing"}), ("read", {"type": "Shot"}),
    ("read", {"type": "Shot", "filters": []}), ("read", {"type": "Shot", "filters": {"path": 3}}),
    ("read", {"type": "Shot", "filters": {"logical_operator": "and"}}),
    ("read", {"type": "Shot", "filters": {"conditions": []}}),
    ("read", {"type": "Shot", "filters": {"logical_operator": "xor", "conditions": []}}),
    ("create", {"type": "Shot"}), ("create", {"type": "Shot", "fields": [3]}),
    ("create", {"type": "Shot", "fields": [{"field_name": 3, "value": 3}]}),
    ("update", {"type": "Shot", "id": "x", "fields": []}), ("delete", {"type": "Shot"}),
    ("delete", {"type": "Shot", "id": 10**30}), ("revive", {"type": None, "id": True}),
    ("batch", {}), ("batch", [3]), ("batch", [{"request_type": "read"}]),
    ("summarize", {"type": "Shot"}), ("schema_field_read", {"type": "Shot", "field_name": "no"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "params"), BAD_PARAMS)
def test_malformed_parameters_are_a_fault_without_secrets(
    site: Site, method: str, params: Any
) -> None:
    """A wrong shape is refused in the site's words, and no key is in them."""
    answer = call(site, method, params)
    assert answer["exception"] is True
    assert "could not be carried out" not in answer["message"]
    assert site.api_key not in answer["message"]


def test_repr_holds_no_secret(site: Site) -> None:
    """A site can be logged."""
    assert site.api_key not in repr(site)
    assert site.password not in repr(site)


def test_clear_takes_the_site_back_to_its_first_day(
    site: Site, sg: DirectShotgun, project: dict[str, Any]
) -> None:
    """After `clear` rows, sessions and ids are those of a new site; the keys still work."""
    token = sg.get_session_token()
    first = sg.create("Shot", {"code": "a", "project": project})
    site.clear()
    assert sg.find("Shot", []) == sg.find("Project", []) == []
    again = sg.create("Project", {"name": "new"})
    assert again["id"] == project["id"]
    assert sg.create("Shot", {"code": "b", "project": again})["id"] == first["id"]
    with pytest.raises(shotgun_api3.AuthenticationFault):
        DirectShotgun(site, session_token=token).find("Shot", [])


def test_file_keeps_everything_across_a_restart(tmp_path: Path) -> None:
    """A site in a file comes back with its rows, links, retired rows, sessions and keys."""
    site = Site(tmp_path / "site.db")
    key = site.api_key
    sg = DirectShotgun(site)
    token = sg.get_session_token()
    project = sg.create("Project", {"name": "Tide"})
    shots = [sg.create("Shot", {"code": code, "project": project}) for code in "ab"]
    sg.create("Asset", {"code": "Gull", "project": project, "shots": shots})
    sg.delete("Shot", shots[1]["id"])
    site.close()

    site = Site(tmp_path / "site.db")
    sg = DirectShotgun(site, session_token=token)
    found = sg.find("Asset", [], ["shots"])
    retired = sg.find("Shot", [], ["code"], retired_only=True)
    site.close()
    assert site.api_key == key
    assert [shot["name"] for shot in found[0]["shots"]] == ["a"]
    assert [shot["code"] for shot in retired] == ["b"]


def test_new_credentials_for_an_old_file_replace_the_old(tmp_path: Path) -> None:
    """A file opened with another name and key answers to those only, even after a mishap."""
    Site(tmp_path / "site.db", api_key="one").close()
    site = Site(tmp_path / "site.db", script_name="other", api_key="two")
    old = DirectShotgun(site, script_name="sandbox", api_key="one")
    assert DirectShotgun(site).delete("ApiUser", 1) is True
    site.close()
    site = Site(tmp_path / "site.db", script_name="other")
    old.site = site
    assert DirectShotgun(site).find("Shot", []) == []
    with pytest.raises(shotgun_api3.AuthenticationFault):
        old.find("Shot", [])
    site.close()


WRITER = """
import itertools, json, sys
from shotgun_executor.sandbox.site import Site
site = Site(sys.argv[1], api_key="key")
auth = {"script_name": site.script_name, "script_key": "key"}
for number in itertools.count():
    fields = [{"field_name": "name", "value": f"project {number}"}]
    call = {"method_name": "create", "params": [auth, {"type": "Project", "fields": fields}]}
    answer = json.loads(site.answer(json.dumps(call).encode()).body)
    print(answer["results"]["id"], flush=True)
"""


def test_what_was_answered_survives_kill(tmp_path: Path) -> None:
    """A create whose answer was seen is in the file after the process was killed."""
    path = str(tmp_path / "site.db")
    command = [sys.executable, "-c", WRITER, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        seen = [int(writer.stdout.readline()) for _ in range(200)]
        writer.send_signal(signal.SIGKILL)
        seen += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    site = Site(path)
    found = {record["id"] for record in DirectShotgun(site).find("Project", [])}
    site.close()
    assert found >= set(seen)


def test_arguments_out_of_range_are_refused() -> None:
    """A site that could not work is not made."""
    with pytest.raises(ValueError, match="api_max_entities_per_page"):
        Site(api_max_entities_per_page=0)
    with pytest.raises(ValueError, match="version"):
        Site(version=(8,))
