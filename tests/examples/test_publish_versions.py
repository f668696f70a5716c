"""Many Versions at once: nothing is lost, nothing is made twice, and the report says it all."""

from __future__ import annotations

import csv
import json
import os
import re

import pytest
from shotgun_api3 import Shotgun

ROWS = 40


@pytest.fixture
def sg(sandbox):
    """The plain client, on a site with a project and shots."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    data = {"project": project}
    sg.batch(
        [
            {"request_type": "create", "entity_type": "Shot", "data": {"code": code(n), **data}}
            for n in range(ROWS)
        ]
    )
    yield sg
    sg.close()


def code(number):
    return f"sh{number:03}"


@pytest.fixture
def rows(tmp_path):
    """A CSV file of rows, with their files."""
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["shot", "movie", "thumbnail"])
        for number in range(ROWS):
            movie, thumbnail = tmp_path / f"{code(number)}.mov", tmp_path / f"{code(number)}.png"
            movie.write_bytes(os.urandom(300_000))
            thumbnail.write_bytes(os.urandom(300_000))
            table.writerow([code(number), movie, thumbnail])
    return path


def uploads(sandbox):
    """The uploads that the storage got, by how they ended."""
    return [(r.outcome, r.bytes_received) for r in sandbox.requests if r.method == "storage_put"]


def count(sandbox, method):
    return sum(request.method == method for request in sandbox.requests)


def versions(sg):
    fields = ["code", "sg_uploaded_movie", "image"]
    return sg.find("Version", [["project.Project.name", "is", "The Lantern Sea"]], fields)


def test_publish_versions_under_faults_and_resumed(run, sandbox, sg, rows, tmp_path):
    """Two uploads break off and one create answers 504 after it: 39 rows are done, none twice."""
    report = tmp_path / "report.json"
    sandbox.fail_next("storage_put", "drop_unread", count=2)
    sandbox.fail_next("create", status=504, after_execution=True)
    before = count(sandbox, "create")
    first = run("publish_versions", rows, "--report", report)
    assert first.code == 1
    (shot,) = re.findall(r"^(sh\d+): create Version is unknown", first.out, re.MULTILINE)
    assert "look for a Version with these values before creating it again" in first.out
    assert f"{ROWS} of {ROWS + 1} are done" in first.out  # the playlist is one
    assert f"--resume {report}" in first.out
    whole = [("ok", 300_000)] * 2 * (ROWS - 1)
    assert sorted(uploads(sandbox)) == [("drop_unread", 0), ("drop_unread", 0), *whole]
    assert len(versions(sg)) == ROWS  # that of which nobody knows is there, once
    assert count(sandbox, "create") - before == ROWS + 1

    second = run("publish_versions", rows, "--resume", report)
    assert (second.code, "nothing was sent" in second.out) == (1, True)
    assert len(uploads(sandbox)) == len(whole) + 2
    (found,) = [v["id"] for v in versions(sg) if v["code"].startswith(shot)]
    third = run("publish_versions", rows, "--resume", report, "--found", f"{shot}={found}")
    assert third.code == 0, third.out
    assert count(sandbox, "create") - before == ROWS + 1
    assert len(uploads(sandbox)) == len(whole) + 4
    made = versions(sg)
    assert len(made) == ROWS
    assert all(version["sg_uploaded_movie"] for version in made)
    (playlist,) = sg.find("Playlist", [], ["versions"])
    assert len(playlist["versions"]) == ROWS
    name = next(v for v in made if v["id"] == found)["sg_uploaded_movie"]["name"]
    assert name == f"{shot}.mov"


def test_publish_versions_dry_run(run, sandbox, sg, rows, tmp_path):
    """A dry run says what would be written, writes nothing, and leaves no report."""
    before = sandbox.counters().writes
    done = run("publish_versions", rows, "--dry-run")
    assert done.code == 0, done.err
    assert done.out.count("create Version") == ROWS
    assert done.out.count("300000 bytes") == 2 * ROWS
    assert sandbox.counters().writes == before
    assert not list(tmp_path.glob("*.json"))


def test_publish_versions_is_done_in_one_run(run, sandbox, sg, rows, tmp_path):
    """Every file arrives whole, one batch fills the playlist, and the report has ids and times."""
    done = run("publish_versions", rows, "--playlist", "Monday")
    assert done.code == 0, done.out
    table = re.findall(
        r"^(sh\d+): ok, Version (\d+), Attachment (\d+), Attachment (\d+), \d+\.\d\d s$",
        done.out,
        re.MULTILINE,
    )
    assert len(table) == ROWS
    assert count(sandbox, "batch") - 1 == 1
    (playlist,) = sg.find("Playlist", [["code", "is", "Monday"]], ["versions"])
    assert {v["id"] for v in playlist["versions"]} == {int(row[1]) for row in table}
    movie = int(table[3][2])
    assert sg.download_attachment(movie) == (tmp_path / f"{table[3][0]}.mov").read_bytes()
    lines = (tmp_path / "rows.csv.report.json").read_text().splitlines()
    assert {json.loads(line)["state"] for line in lines[1:]} == {"done"}
    assert "24.0M/24.0M" in done.err


def test_publish_versions_from_a_folder(run, sandbox, sg, rows, tmp_path):
    """A folder of movies is as good as a file of rows."""
    rows.unlink()
    done = run("publish_versions", tmp_path, "--report", tmp_path / "r.json", "--label", "v002")
    assert done.code == 0, done.out
    assert {version["code"] for version in versions(sg)} == {f"{code(n)}_v002" for n in range(ROWS)}


def test_publish_versions_refuses_before_it_writes(run, sandbox, sg, rows, tmp_path):
    """What is wrong with the input is said before anything is sent, with code 1 or 2."""
    before = sandbox.counters().writes
    rows.write_text("shot,movie,thumbnail\nsh999,a.mov,a.png\n")
    assert "has no shots sh999" in run("publish_versions", rows).err
    rows.write_text("shot,movie\nsh001,a.mov\n")
    done = run("publish_versions", rows)
    assert (done.code, "must name movie, shot, thumbnail" in done.err) == (1, True)
    done = run("publish_versions", tmp_path / "nowhere.csv")
    assert (done.code, "there is no" in done.err) == (2, True)
    done = run("publish_versions")
    assert (done.code, "say which rows" in done.err) == (2, True)
    rows.write_text("shot,movie,thumbnail\nsh001,a.mov,a.png\n")
    (tmp_path / "rows.csv.report.json").write_text("{}\n")
    done = run("publish_versions", rows)
    assert (done.code, "go on from it with" in done.err) == (1, True)
    assert sandbox.counters().writes == before


def test_publish_versions_help(run):
    """It says what it does."""
    done = run("publish_versions", "--help")
    assert (done.code, "--resume" in done.out) == (0, True)


def test_publish_versions_alone(alone):
    """Without any argument it shows itself on a demo site."""
    done = alone("publish_versions")
    assert done.code == 0, done.err
    assert "7 of 7 are done" in done.out
    assert "6 Versions are in the playlist" in done.out


def test_found_names_a_row(run, sg, rows):
    """--found for a shot that has no row is told, before anything is made."""
    ran = run("publish_versions", rows, "--found", "sh99=5")
    assert (ran.code, ran.err) == (1, "--found: there are no rows for sh99\n")
    assert sg.find("Version", []) == []
