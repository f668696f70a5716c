"""webhook_server.py: a thread for each request, few connections, and nobody's identity mixed up."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import shotgun_api3

WORKERS = 4


@pytest.fixture
def sg(sandbox):
    """The official client, on a site with a project."""
    sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    sg.create("Project", {"name": "The Lantern Sea"})
    yield sg
    sg.close()


@pytest.fixture
def example(load, monkeypatch):
    monkeypatch.delenv("WEBHOOK_SECRET", raising=False)
    return load("webhook_server")


def seed(sg, count, status="fin"):
    """So many shots with one task each, and three people; returns an event for each task."""
    project = {"type": "Project", "id": 1}
    names = ("ada", "bela", "chidi")
    people = [
        sg.create("HumanUser", {"login": name, "firstname": name, "lastname": "Alder"})
        for name in names
    ]
    create = {"request_type": "create"}
    shots = sg.batch(
        [
            {**create, "entity_type": "Shot", "data": {"code": f"s{n}", "project": project}}
            for n in range(count)
        ]
    )
    values = {"content": "Comp", "project": project, "sg_status_list": status}
    tasks = sg.batch(
        [{**create, "entity_type": "Task", "data": {**values, "entity": shot}} for shot in shots]
    )
    return [
        {"data": {"entity": task, "user": people[at % 3]}, "shot": shot, "login": names[at % 3]}
        for at, (task, shot) in enumerate(zip(tasks, shots))
    ]


def send_all(example, port, events, senders=40):
    with ThreadPoolExecutor(senders) as threads:
        return list(threads.map(lambda event: example.post(port, event), events))


def test_200_requests_use_few_connections_and_one_info(sandbox, sg, example):
    """200 requests, each on a new thread, use at most max_workers connections and one info."""
    events = seed(sg, 20, status="ip") * 10
    before = sandbox.counters()
    site = {"base_url": sandbox.url, **sandbox.credentials}
    with example.serving(site, workers=WORKERS) as server:
        answers = send_all(example, server.server_port, events)
    after = sandbox.counters()
    assert answers == [{"done": "nothing"}] * 200
    assert after.connections - before.connections <= WORKERS
    assert after.requests["info"] - before.requests["info"] == 1
    assert after.requests["read"] == 400
    assert after.peak_in_flight <= WORKERS


def test_identities_are_never_mixed(sandbox, sg, example):
    """What an event causes is written as the person who has caused it, with 40 at a time."""
    events = seed(sg, 60)
    before = sandbox.counters()
    site = {"base_url": sandbox.url, **sandbox.credentials}
    with example.serving(site, workers=WORKERS) as server:
        answers = send_all(example, server.server_port, events)
    connections = sandbox.counters().connections - before.connections
    for event, answer in zip(events, answers):
        assert answer == {"done": "final", "shot": event["shot"]["id"], "as": event["login"]}
    changed = sg.find("Shot", [], ["sg_status_list", "updated_by.HumanUser.login"])
    by_id = {shot["id"]: shot for shot in changed}
    for event in events:
        shot = by_id[event["shot"]["id"]]
        assert shot["sg_status_list"] == "fin"
        assert shot["updated_by.HumanUser.login"] == event["login"]
    assert connections <= WORKERS + 3 * 2


def test_answers_wait_for_each_other_in_no_way(sandbox, sg, example):
    """While the site is slow with as many calls as there are workers, all are under way at once."""
    events = seed(sg, WORKERS, status="ip")
    site = {"base_url": sandbox.url, **sandbox.credentials}
    with example.serving(site, workers=WORKERS) as server, ThreadPoolExecutor(WORKERS) as threads:
        sandbox.hold("read")
        futures = [threads.submit(example.post, server.server_port, event) for event in events]
        sandbox.wait_for(WORKERS, "read")
        sandbox.resume()
        assert [future.result() for future in futures] == [{"done": "nothing"}] * WORKERS


def post_raw(port, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_what_is_no_event_is_refused(sandbox, sg, example, monkeypatch):
    """Events that are too large, broken or not signed never reach the site."""
    site = {"base_url": sandbox.url, **sandbox.credentials}
    with example.serving(site, workers=1) as server:
        before = sandbox.counters().total
        port = server.server_port
        assert post_raw(port, b"", **{"Content-Length": "2000000"})[0] == 413
        for body in (b"{", b"[]", b'{"data": {}}', b'{"data": {"entity": 1, "user": 2}}'):
            assert post_raw(port, body)[0] == 400
        monkeypatch.setenv("WEBHOOK_SECRET", "not-a-secret")
        assert post_raw(port, b"{}")[0] == 403
        assert post_raw(port, b"{}", **{"X-SG-SIGNATURE": "sha1=0"})[0] == 403
        assert sandbox.counters().total == before
        assert example.post(port, {})["error"] == "this is no event of a task by a person"


def test_a_site_that_fails_is_an_error_without_details(sandbox, sg, example, capsys):
    """A fault of the site is logged here, and the sender is told only that it failed."""
    events = seed(sg, 1)
    sandbox.fail_next("read", status=500)
    site = {"base_url": sandbox.url, **sandbox.credentials}
    with example.serving(site, workers=1) as server:
        answer = example.post(server.server_port, events[0])
    assert answer == {"error": "the site could not be asked, see the log"}
    assert "500" in capsys.readouterr().err


def test_serves_a_given_site_until_interrupted(sandbox, sg, example):
    """As a program it serves until SIGINT, then ends with 0 and without a traceback."""
    events = seed(sg, 1)
    environment = {
        **os.environ,
        "SHOTGUN_URL": sandbox.url,
        "SHOTGUN_SCRIPT_NAME": sandbox.script_name,
        "SHOTGUN_API_KEY": sandbox.api_key,
    }
    with subprocess.Popen(
        [sys.executable, example.__file__, "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            port = int(process.stdout.readline().partition("127.0.0.1:")[2].partition(",")[0])
            assert example.post(port, events[0])["done"] == "final"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_on_its_own_site(alone):
    """Without arguments and environment it sends itself the events of a few shots."""
    done = alone("webhook_server")
    assert done.code == 0, done.err
    assert "shot 8 is final, says " in done.out
    assert "40 events, 0 failed" in done.out
