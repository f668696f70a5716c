"""The benchmark beside other clients does the same work for each, and compares the answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
HERE = {  # contenders that need nothing from PyPI
    "decode": ["ours", "ours-stdlib", "official", "floor"],
    "pages": ["ours", "ours-pool", "official-threads", "floor"],
    "small": ["ours", "official", "official-threads", "floor"],
}

TAMPERED = """
import sys
sys.path.insert(0, {folder!r})
import peers
real = peers.Entrant.answer
def answer(self):
    found = real(self)
    if self.name == "floor" and "{what}" in found:
        found["{what}"] = "other"
    return found
peers.Entrant.answer = answer
peers.main(sys.argv[1:])
"""


def run(program: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark as a user would, on little work."""
    return subprocess.run(
        [sys.executable, *program, "--quick", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=55,
        check=False,
    )


def peers(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with the contenders that are here."""
    return run([str(BENCHMARKS / "peers.py")], *arguments)


@pytest.mark.parametrize("workload", list(HERE))
def test_peers_agree(workload: str):
    """Our clients, the official one and plain sockets get the same, and each has a row."""
    done = peers("--workloads", workload, "--contenders", *HERE[workload])
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| this package, orjson")]
    assert len(rows) == (2 if workload == "small" else 1)  # of calls: their CPU and their rate
    assert "plain sockets" in done.stdout
    assert "| CPU per" in done.stdout or workload == "pages"


def test_peers_agree_over_https():
    """So they do with new connections over HTTPS and with uploads, which the site has counted."""
    done = peers("--workloads", "connect", "upload", "--contenders", "ours", "official", "floor")
    assert done.returncode == 0, done.stderr
    assert "CPU of 32 new HTTPS connections" in done.stdout
    assert "CPU per upload" in done.stdout


@pytest.mark.parametrize("what", ["all", "head"])
def test_peers_other_answers_are_refused(what: str):
    """A contender that got something else ends the run: its figures would mean nothing."""
    program = TAMPERED.format(folder=str(BENCHMARKS), what=what)
    done = run(["-c", program], "--workloads", "decode", "--contenders", "official", "floor")
    assert done.returncode != 0
    assert "floor got other answers than the official client" in done.stderr


def test_peers_too_few_requests_are_refused():
    """Answers that the site was not asked for do not count."""
    program = TAMPERED.format(folder=str(BENCHMARKS), what="none").replace(
        "peers.main", "peers.CannedPlace.counts = lambda self: (0, 0)\npeers.main"
    )
    done = run(["-c", program], "--workloads", "decode", "--contenders", "official")
    assert done.returncode != 0
    assert "official got 3 answers with 0 requests" in done.stderr


def test_peers_profile_shows_our_functions():
    """The profile is of the work that is measured, with the time of the worker threads."""
    done = peers("--profile", "small", "--contenders", "ours")
    assert done.returncode == 0, done.stderr
    assert "µs of CPU each" in done.stdout
    if sys.version_info < (3, 12):
        assert "transport.py" in done.stdout


def test_canned_rows_are_what_they_are_said_to_be():
    """Ten fields: two dates, one link, one list of five links."""
    program = "import json, _canned, _shape; print(json.dumps([_canned.row(7), _shape.FIELDS]))"
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    out = subprocess.check_output([sys.executable, "-c", program], env=environment, timeout=30)
    row, fields = json.loads(out)
    assert list(row) == ["type", "id", *fields]
    assert len(fields) == 10
    assert len(row["assets"]) == 5
    assert set(row["sg_sequence"]) == {"type", "id", "name"}
    assert row["created_at"].endswith("Z")


def test_bulk_reads_are_measured():
    """Each way gets the right answers, and the requests are as many as they should be."""
    done = run([str(BENCHMARKS / "bulk_reads.py")], "--no-peer")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    requests = {line.split()[0]: line.split()[-1] for line in lines[1:9]}
    assert requests["lookup_ours"] == "20"
    assert requests["find_official"] == "100"
    assert requests["find_ours"] == requests["far_many"] == "101"  # and a count
    counted = [line.partition(" (goal")[0] for line in lines[-4:]]
    assert counted == [
        "100 pages of rows with dense ids: 101 requests",
        "100 pages of rows with sparse ids: 102 requests",
        "100 pages of rows with clustered ids: 101 requests",
        "one page: 1 request",
    ]


def test_memory_of_find_iter_is_measured():
    """It holds a few pages, however many rows there are; more would fail the benchmark."""
    done = run([str(BENCHMARKS / "find_iter.py")])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("50000 rows in ")
    grown = float(done.stdout.rpartition("grew by ")[2].split()[0])
    assert grown < 64


def test_bulk_writes_are_checked_and_counted():
    """Each way writes every row once, and batches are few requests."""
    done = subprocess.run(
        [
            *(sys.executable, str(BENCHMARKS / "bulk_writes.py")),
            *("--rows", "120", "--rounds", "1", "--latency", "0"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[-2] for row in rows[:2]] == ["120", "120"]
    assert int(rows[2][-2]) < 20


def test_publishes_are_checked_and_counted():
    """Each way publishes everything over HTTPS, and eight requests are all that one takes."""
    done = subprocess.run(
        [
            *(sys.executable, str(BENCHMARKS / "publishes.py")),
            *("--count", "6", "--rounds", "1", "--latency", "0", "--workers", "2"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[-2] for row in rows[:2]] == ["48", "48"]
    assert int(rows[2][-2]) < 48
