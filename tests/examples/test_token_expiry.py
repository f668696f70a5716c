"""token_expiry.py: a session that ends in the middle is renewed once, and nothing is done twice."""

from __future__ import annotations

import collections

import pytest
import shotgun_api3

from tests.support import in_thread

SHOTS = 40
WORKERS = 8


@pytest.fixture
def person(run, sandbox, monkeypatch):
    """A site with shots that have a cut, and a person of it in the environment."""
    sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    data = [{"code": f"LS001_{n:04}", "project": project} for n in range(SHOTS)]
    cut = {"sg_cut_in": 1001, "sg_cut_out": 1096}
    shot = {"request_type": "create", "entity_type": "Shot"}
    sg.batch([{**shot, "data": {**values, **cut}} for values in data])
    for name in ("SHOTGUN_SCRIPT_NAME", "SHOTGUN_API_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("SHOTGUN_LOGIN", sandbox.login)
    monkeypatch.setenv("SHOTGUN_PASSWORD", sandbox.password)
    yield sg
    sg.close()


def asked(sandbox, method):
    return [request for request in sandbox.requests if request.method == method]


def check_shots(sg):
    fields = ["sg_head_in", "sg_tail_out"]
    for shot in sg.find("Shot", [], fields):
        assert (shot["sg_head_in"], shot["sg_tail_out"]) == (989, 1108)


@pytest.mark.parametrize("method", ["read", "update"])
def test_renewed_once_and_what_was_refused_is_made_again(run, sandbox, person, method):
    """8 calls meet the end of the session at once: one renewal, and each has its answer."""
    sandbox.hold(method, before=True)
    join = in_thread(lambda: run("token_expiry", "--project", "1"))
    if method == "read":
        for _ in range(2):  # the project, and the list of shots
            sandbox.wait_for(1, method)
            sandbox.resume(method, count=1)
    sandbox.wait_for(WORKERS, method)
    sandbox.expire_sessions()
    sandbox.resume()
    done = join()
    assert done.code == 0, done.err
    assert "signed in 2 times; 40 shots have new handles" in done.out
    refused = [request for request in sandbox.requests if request.outcome == "fault"]
    assert len(refused) == WORKERS
    assert {request.method for request in refused} == {method}
    check_shots(person)


def test_no_write_is_executed_twice(run, sandbox, person):
    """Each update is executed once, also those that were under way when the session ended."""
    sandbox.hold("update")  # executed, and not yet answered
    join = in_thread(lambda: run("token_expiry"))
    sandbox.wait_for(WORKERS, "update")
    sandbox.expire_sessions()
    sandbox.resume()
    assert join().code == 0
    executed = collections.Counter(
        request.arguments["id"] for request in asked(sandbox, "update") if request.writes
    )
    assert len(executed) == SHOTS
    assert set(executed.values()) == {1}
    assert len(asked(sandbox, "update")) == SHOTS + sum(
        request.outcome == "fault" for request in asked(sandbox, "update")
    )
    check_shots(person)


def test_calls_fail_if_there_is_no_new_session(run, sandbox, person, monkeypatch, load):
    """Without a new token each call fails with the site's fault, and the password is not shown."""
    module = load("token_expiry")
    site = {"base_url": sandbox.url, "login": sandbox.login, "password": sandbox.password}
    tokens = iter([module.Person(site).sign_in(), None])
    monkeypatch.setattr(module.Person, "sign_in", lambda person: next(tokens, None))
    sandbox.hold("update", before=True)
    join = in_thread(lambda: run("token_expiry"))
    sandbox.wait_for(WORKERS, "update")
    sandbox.expire_sessions()
    sandbox.resume()
    done = join()
    assert done.code == 1
    assert done.err.count("failed: LS001_") == SHOTS
    assert sandbox.password not in done.out + done.err
    assert not any(request.writes for request in asked(sandbox, "update"))


def test_dry_run_and_a_second_run_write_nothing(run, sandbox, person):
    """--dry-run only prints the updates; and what is as it should be is not written again."""
    before = sandbox.counters().writes
    done = run("token_expiry", "--dry-run")
    assert done.code == 0
    assert done.out.count("update Shot ") == SHOTS
    assert sandbox.counters().writes == before
    assert run("token_expiry").code == 0
    before = sandbox.counters().writes
    assert "; 0 shots have new handles" in run("token_expiry").out
    assert sandbox.counters().writes == before


def test_credentials_of_a_script_are_not_those_of_a_person(run):
    """A script has no session that ends: the program says what it wants instead."""
    done = run("token_expiry")
    assert done.code == 1
    assert "set SHOTGUN_LOGIN and SHOTGUN_PASSWORD" in done.err


def test_on_its_own_site(alone):
    """Without arguments and environment the session of a local site ends in the middle."""
    done = alone("token_expiry")
    assert done.code == 0, done.err
    assert "signed in 2 times; 100 shots have new handles" in done.out
