"""lookup_10k.py: few calls, the order of the input, and the same whatever happens on the way."""

from __future__ import annotations

import csv
import random
from typing import Any

import pytest

from shotgun_executor import ShotgunExecutor
from shotgun_executor.sandbox import Sandbox

SHOTS = 10_000


@pytest.fixture(scope="module")
def sandbox():
    """One site with 10,000 shots for all tests here, since they only read."""
    with Sandbox(event_log=False) as sandbox:
        with ShotgunExecutor(sandbox.url, **sandbox.credentials) as executor:
            project = executor.create("Project", {"name": "The Lantern Sea"}).result()
            requests: list[dict[str, Any]] = [
                {
                    "request_type": "create",
                    "entity_type": "Shot",
                    "data": {"code": f"sh{number:05}", "project": project},
                    "return_fields": ["id"],
                }
                for number in range(SHOTS)
            ]
            batches = [executor.batch(requests[at : at + 500]) for at in range(0, SHOTS, 500)]
            for batch in batches:
                batch.result()
        yield sandbox


@pytest.fixture
def codes():
    """10,000 codes in no order, of which 12 are unknown and 3 are there twice."""
    codes = [f"sh{number:05}" for number in range(SHOTS - 15)]
    codes += [f"unknown{number}" for number in range(12)] + codes[100:103]
    random.Random(1).shuffle(codes)
    return codes


@pytest.fixture
def table(run, tmp_path):
    """Look codes up with the program: how it ended, and the rows that it wrote."""
    path = tmp_path / "codes.txt"

    def table(codes, *arguments):
        path.write_text("\n".join(codes) + "\n")
        ran = run("lookup_10k", path, *arguments)
        return ran, list(csv.reader(ran.out.splitlines()))

    return table


def since(sandbox, before):
    """The requests of each method since *before*."""
    counts = sandbox.counters().requests
    more = {name: count - before.requests.get(name, 0) for name, count in counts.items()}
    return {name: count for name, count in more.items() if count}


def test_10000_codes_are_20_reads(table, sandbox, executor, codes):
    """A row for each line in the order of the file, by 20 reads (and one for the project)."""
    before = sandbox.counters()
    ran, rows = table(codes)
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[-1] == "9,988 found, 12 missing"
    assert rows[0] == ["code", "id", "status", "result"]
    assert [row[0] for row in rows[1:]] == codes
    assert since(sandbox, before) == {"info": 1, "read": 21}
    there = {shot["code"]: str(shot["id"]) for shot in executor.find("Shot", [], ["code"]).result()}
    for code, number, _, result in rows[1:]:
        assert (number, result) == (there.get(code, ""), "found" if code in there else "missing")


def test_rows_do_not_depend_on_workers(table, sandbox, codes):
    """With one worker the table is the same; with eight, no more than eight calls run at a time."""
    _, rows = table(codes[:3000], "--workers", "8")
    assert sandbox.counters().peak_in_flight <= 8
    assert table(codes[:3000], "--workers", "1")[1] == rows


@pytest.mark.parametrize(("count", "calls"), [(300, 1), (3000, 6)])
def test_answers_503_change_nothing(load, sandbox, executor, codes, count, calls):
    """One call that is answered 503 twice, or two of several: what is found is the same."""
    look_up = load("lookup_10k").look_up
    project, some = {"type": "Project", "id": 1}, codes[:count]
    expected = look_up(executor, "Shot", project, some)
    before = sandbox.counters()
    sandbox.fail_next("read", status=503, count=2)
    assert look_up(executor, "Shot", project, some) == expected
    assert since(sandbox, before) == {"read": calls + 2}


def test_what_could_not_be_looked_up_is_told(load, table, sandbox, codes, monkeypatch):
    """If a call fails for good its codes are marked, the others are found; the exit code is 1."""
    module = load("lookup_10k")
    monkeypatch.setattr(module, "find_project", lambda sg, name: {"type": "Project", "id": 1})
    sandbox.fail_next("read", status=500)
    ran, rows = table(codes[:1000])
    assert ran.code == 1
    results = [row[3] for row in rows[1:]]
    assert results.count("failed") == 500
    assert " 500 failed: " in ran.err
    assert results.count("found") == 500 - results.count("missing")


def test_a_lookup_that_fails_as_a_whole_says_why(run):
    """What the site says is the message, the exit code is 1, and there is no table."""
    ran = run("lookup_10k", "--type", "Shott")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1].startswith("nothing could be looked up: ")


def test_codes_are_found_whatever_their_case(table):
    """A code in capitals is the same code, as on the site; the row shows it as it was given."""
    _, rows = table(["SH00007", "sh00007"])
    assert rows[1][0] == "SH00007"
    assert rows[1][1:] == rows[2][1:]
    assert rows[1][3] == "found"


def test_without_a_list_it_looks_up_what_is_there(run, tmp_path):
    """Without arguments it looks up all codes of the first project, and one that is missing."""
    path = tmp_path / "table.csv"
    ran = run("lookup_10k", "--output", path)
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[-1] == "10,000 found, 1 missing"
    assert ran.out == ""
    assert len(path.read_text().splitlines()) == 10_002


def test_a_file_that_is_not_there_is_named(run, sandbox):
    """A wrong path is an error that names it, before the site is asked anything."""
    before = sandbox.counters().total
    ran = run("lookup_10k", "no_such_file.txt")
    assert ran.code == 1
    assert "cannot read no_such_file.txt" in ran.err
    assert sandbox.counters().total == before


def test_it_runs_as_it_is(alone):
    """Without arguments and environment it makes a site of its own."""
    done = alone("lookup_10k")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "no_such_code,,,missing"
