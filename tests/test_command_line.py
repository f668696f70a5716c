"""``shotgun-executor``: export, probe and lookup."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

from shotgun_executor import ShotgunExecutor, __version__
from shotgun_executor.__main__ import main
from shotgun_executor.commands import exporting, probing
from shotgun_executor.commands.export_folder import whole_part
from shotgun_executor.commands.probe_steps import Step, recommended, worker_counts
from shotgun_executor.commands.texts import cell_of, line_of
from shotgun_executor.sandbox import Sandbox
from tests.churn import Rows
from tests.support import LONG, NOWHERE, Gate, in_thread, wait_until

ROOT = str(Path(__file__).resolve().parent.parent)
BIG = ("Version", "Task")


@pytest.fixture(scope="module")
def show_process() -> Iterator[Sandbox]:
    """A site with a demo show, and small pages."""
    with Sandbox(demo=True, shots=40, api_max_entities_per_page=20) as sandbox:
        yield sandbox


@pytest.fixture
def show(show_process: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """That site, which the environment names; the tests only read from it."""
    name_site(monkeypatch, show_process)
    yield show_process
    show_process.stop_failing()
    show_process.resume()
    show_process.set_latency(0.0)
    assert show_process.counters().internal_errors == 0, show_process.log()


def name_site(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    for name in list(os.environ):
        if name.startswith("SHOTGUN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SHOTGUN_URL", sandbox.url)
    monkeypatch.setenv("SHOTGUN_SCRIPT_NAME", sandbox.script_name)
    monkeypatch.setenv("SHOTGUN_API_KEY", sandbox.api_key)


class Ran(NamedTuple):
    """How a command has ended, and what it has printed."""

    code: Any
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process."""

    def run(*arguments: object) -> Ran:
        try:
            code: Any = main([str(each) for each in arguments])
        except SystemExit as ended:
            code = ended.code
        return Ran(code, *capsys.readouterr())

    return run


@contextlib.contextmanager
def running(*arguments: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own, on the site that the environment names."""
    with subprocess.Popen(
        [sys.executable, "-m", "shotgun_executor", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def records_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def table_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def reads(sandbox: Sandbox) -> int:
    return sandbox.counters().requests.get("read", 0)


# All commands


def test_the_command_is_what_pip_installs():
    """`shotgun-executor` is the function that `python -m shotgun_executor` calls."""
    scripts = (Path(ROOT) / "pyproject.toml").read_text().partition("[project.scripts]")[2]
    assert 'shotgun-executor = "shotgun_executor.__main__:main"' in scripts.splitlines()
    with running("--version") as process:
        out, _ = process.communicate(timeout=LONG)
    assert out == f"shotgun-executor {__version__}\n"


@pytest.mark.parametrize("command", [[], ["export"], ["probe"], ["lookup"]])
def test_help_is_there(run: Callable[..., Ran], command: list[str]):
    """Each command explains itself, and where the site and the exit codes come from."""
    ran = run(*command, "--help")
    assert ran.code == 0
    assert "SHOTGUN_API_KEY" in ran.out
    assert "Exit codes" in ran.out


def test_probe_help_tells_the_rule(run: Callable[..., Ran]):
    """How the number of workers is chosen is said where it is asked for."""
    assert "twice the workers must bring at least 1.4" in " ".join(run("probe", "-h").out.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "--out", "DIR"], "--all"),
        (["export", "Shot", "--all", "--out", "DIR"], "--all"),
        (["export", "Shot"], "--out"),
        (["export", "Shot", "--except", "Task", "--out", "DIR"], "--except"),
        (["export", "Shot", "--out", "DIR", "--filters", "[["], "--filters"),
        (["export", "Shot", "--out", "DIR", "--filters", '["code", "is", "x"]'], "--filters"),
        (["export", "Shot", "--out", "DIR", "--fields", "code,"], "--fields"),
        (["export", "Shot", "--out", "DIR", "--workers", "0"], "--workers"),
        (["export", "Shot", "--out", "DIR", "--timeout", "inf"], "--timeout"),
        (["export", "Shot", "--out", "FULL"], "name a new folder"),
        (["export", "Shot", "--out", "FULL/other.txt"], "name a new folder"),
        (["probe", "--plot", "curve.gif"], "--plot"),
        (["probe", "--plot", "no/such/folder/curve.png"], "there is no folder"),
        (["probe", "--rows", "501"], "--rows"),
        (["probe", "--calls", "x"], "--calls"),
        (["lookup", "--type", "Shot", "no-such-file"], "cannot read no-such-file"),
        (["lookup", "--type", "Shot", "EMPTY"], "has no values"),
        (["lookup", "--type", "Shot", "BINARY"], "UTF-8"),
        (["lookup", "--type", "Shot", "--by", "id", "CODES"], "'x' in the input is none"),
        (["lookup", "--type", "Shot", "--by", "id", "HUGE"], "'99999999999999999999' in the"),
        (["lookup", "CODES"], "--type"),
    ],
)
def test_wrong_command_lines_are_refused(
    run: Callable[..., Ran],
    show: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
):
    """The option is named, the exit code is 2, and nothing was sent or written."""
    monkeypatch.chdir(tmp_path)
    Path("FULL").mkdir()
    Path("FULL/other.txt").write_text("x")
    Path("EMPTY").write_text("\n \n")
    Path("CODES").write_text("1\nx\n")
    Path("HUGE").write_text("99999999999999999999\n")
    Path("BINARY").write_bytes(b"\xff\xfe\x00")
    before = show.counters().total
    ran = run(*arguments)
    assert ran.code == 2
    assert said in ran.err
    assert not ran.out
    assert show.counters().total == before
    assert not Path("DIR").exists()
    assert [path.name for path in Path("FULL").iterdir()] == ["other.txt"]


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("", "this is no JSON: Expecting value"),
        ("[[", "this is no JSON: Expecting value"),
        ("[" * 100_000, "this is no JSON"),
        ("code is x", "this is no JSON"),
        ("null", "null is no list of conditions"),
        ('"code"', '"code" is no list of conditions'),
        ('{"filter_operator": "any", "filters": []}', "is no list of conditions"),
        ('["code", "is", "x"]', '"code" is no condition'),
        ('[["code", "is"]]', '["code", "is"] is no condition'),
        ('[["code", 1, "x"]]', '["code", 1, "x"] is no condition'),
        ('[["", "is", "x"]]', '["", "is", "x"] is no condition'),
        ('[{"filters": []}]', "is no group: that has filter_operator and filters"),
        ('[{"filter_operator": "none", "filters": []}]', "is neither all nor any"),
        ('[{"filter_operator": [], "filters": []}]', "is neither all nor any"),
        ('[{"filter_operator": "any", "filters": {}}]', "{} is no list of conditions"),
        ('[{"filter_operator": "any", "filters": [["id"]]}]', '["id"] is no condition'),
        (json.dumps([["code", "x" * 1000]]), "x... is no condition"),
    ],
)
def test_export_refuses_filters_that_are_none(
    run: Callable[..., Ran], show: Sandbox, tmp_path: Path, filters: str, said: str
):
    """What is wrong with --filters is said, and how to write them; nothing is sent or written."""
    before = show.counters().total
    ran = run("export", "Shot", "--out", tmp_path / "new", "--filters", filters)
    assert ran.code == 2
    assert "export: --filters: " in ran.err
    assert said in ran.err
    assert """write JSON like '[["sg_status_list", "is", "ip"]]'""" in ran.err
    assert len(ran.err) < 400
    assert show.counters().total == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "shot", "--out", "DIR"], "did you mean Shot?"),
        (["export", "--all", "--except", "Shots", "--out", "DIR"], "--except"),
        (["export", "Shot", "--out", "DIR", "--fields", "cod"], "did you mean code"),
        (["export", "Shot", "--out", "DIR", "--project", "No"], "no project 'No'"),
        (["export", "Shot", "Status", "--out", "DIR", "--project", "1"], "Status belongs to no"),
        (["probe", "--type", "Nothing"], "--type"),
        (["probe", "--rows", "21"], "--rows: pages of this site have 20 rows"),
        (["lookup", "--type", "Shots", "CODES"], "did you mean Shot?"),
        (["lookup", "--type", "Shot", "--by", "sg_sequence", "CODES"], "cannot be looked up"),
        (["lookup", "--type", "Shot", "--by", "sg_cut_in", "CODES"], "'x' in the input is none"),
        (["lookup", "--type", "Shot", "--fields", "x,code", "CODES"], "no field 'x'"),
        (["lookup", "--type", "Status", "--project", "1", "CODES"], "--project"),
    ],
)
def test_what_the_site_does_not_have_is_refused(
    run: Callable[..., Ran],
    show: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
):
    """Types, fields and projects that are not there are named, with what may have been meant."""
    monkeypatch.chdir(tmp_path)
    Path("CODES").write_text("1\nx\n")
    ran = run(*arguments)
    assert ran.code == 2
    assert said in ran.err
    assert not ran.out
    assert not Path("DIR").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SHOTGUN_URL": ""}, "set SHOTGUN_URL"),
        ({"SHOTGUN_API_KEY": ""}, "set SHOTGUN_API_KEY too"),
        ({"SHOTGUN_URL": "my-site"}, "SHOTGUN_ variables"),
        ({"SHOTGUN_API_KEY": "wrong-key-of-mine"}, "check the SHOTGUN_ variables"),
    ],
)
def test_a_wrong_environment_is_told(
    run: Callable[..., Ran],
    show: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    said: str,
):
    """A site or credentials that are missing or wrong are told, with exit code 2 and no key."""
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    ran = run("probe", "--workers", "1")
    assert ran.code == 2
    assert said in ran.err
    assert show.api_key not in ran.err
    assert "wrong-key-of-mine" not in ran.err


def test_a_site_that_is_not_there_is_told(
    run: Callable[..., Ran], show: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """What cannot be reached is an error with exit code 1, and no traceback."""
    monkeypatch.setenv("SHOTGUN_URL", NOWHERE)
    ran = run("probe", "--workers", "1")
    assert ran.code == 1
    said = ran.err.splitlines()[-1]
    assert said.startswith("shotgun-executor probe: the site cannot be reached: Connection")
    assert said.endswith("; check SHOTGUN_URL")


def test_nobody_reads_the_output(show: Sandbox):
    """As after ``| head``: the command ends without a word about it."""
    with running("lookup", "--type", "Shot", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stdin is not None
        process.stdin.write("LS001_0010\n")
        process.stdin.close()
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(LONG) == 141
    assert said == ""


# export


def test_export_holds_what_find_returns(run: Callable[..., Ran], show: Sandbox, tmp_path: Path):
    """Each row once, in the order of ids, with each field that holds data; times in UTC."""
    ran = run("export", *BIG, "Project", "--out", tmp_path / "out", "--workers", 4)
    assert ran.code == 0
    assert not ran.out
    assert "3 of 3 entity types are complete" in ran.err
    with ShotgunExecutor(show.url, **show.credentials) as executor:
        for name in (*BIG, "Project"):
            fields = executor.schema_field_read(name).result(LONG)
            rows = executor.find(name, [], list(fields)).result(LONG)
            found = records_of(tmp_path / "out" / f"{name}.jsonl")
            assert [row["id"] for row in found] == [row["id"] for row in rows]
            assert set(found[0]) == {"type", *fields}
            assert found[0]["created_at"].endswith("+00:00")
            assert [line_of(row) for row in rows] == [line_of(row) for row in found]


def test_manifest_and_schema_say_what_is_there(
    run: Callable[..., Ran], show: Sandbox, tmp_path: Path
):
    """The manifest has counts and fields; a sandbox can be started with the schema."""
    out = tmp_path / "out"
    fields = "code,sg_sequence.Sequence.code"
    assert run("export", "Shot", "--out", out, "--fields", fields).code == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["asked"] == {
        "site": show.url, "fields": fields.split(","), "filters": [], "project": None,
    }  # fmt: skip
    shots = manifest["types"]["Shot"]
    assert (shots["rows"], shots["complete"], shots["counted"]) == (40, True, 40)
    assert shots["fields"] == fields.split(",")
    assert shots["last_id"] == records_of(out / shots["file"])[-1]["id"]
    schema = (str(out / "schema.json"), str(out / "schema_entities.json"))
    assert set(json.loads(Path(schema[0]).read_text())) == {"Shot"}
    with Sandbox(schema=schema) as sandbox:
        assert sandbox.alive
    for path in out.iterdir():
        assert show.api_key not in path.read_text()


def test_export_of_all_types_of_a_project(run: Callable[..., Ran], show: Sandbox, tmp_path: Path):
    """With --all and a project, types that belong to none are left out, and said to be."""
    out = tmp_path / "out"
    arguments = ["export", "--all", "--except", "Task,Version", "--project", "The Lantern Sea"]
    ran = run(*arguments, "--out", out, "--quiet")
    assert ran.code == 0
    assert "Status: left out" in ran.err
    types = {path.stem for path in out.glob("*.jsonl")}
    assert {"Project", "Shot", "HumanUser"} <= types
    assert not types & {"Status", "Task", "Version"}
    assert len(records_of(out / "Project.jsonl")) == 1


def test_export_with_filters(run: Callable[..., Ran], show: Sandbox, tmp_path: Path):
    """Conditions are those of find, groups of them included."""
    filters = [
        {"filter_operator": "any", "filters": [["code", "is", "LS001_0010"], ["id", "is", 5]]}
    ]
    arguments = ["export", "Shot", "--fields", "code", "--filters", json.dumps(filters)]
    assert run(*arguments, "--out", tmp_path / "out").code == 0
    found = records_of(tmp_path / "out" / "Shot.jsonl")
    assert [row["id"] for row in found] == [1, 5]


def test_a_killed_export_goes_on(run: Callable[..., Ran], show: Sandbox, tmp_path: Path):
    """Killed again and again, wherever it was, it ends with the rows of one that was not."""
    choose = random.Random(6)
    show.set_latency(0.01)
    arguments = ["export", *BIG, "--workers", 2, "--out"]
    files = [tmp_path / "killed" / f"{name}.jsonl" for name in BIG]
    whole = [0]
    for _ in range(3):
        enough = reads(show) + choose.randint(4, 8)
        with running(*arguments, tmp_path / "killed") as process:
            wait_until(lambda e=enough, p=process: reads(show) >= e or p.poll() is not None)
            process.kill()
            process.wait(LONG)
        whole.append(sum(whole_part(path).size for path in files))
    show.set_latency(0.0)
    assert whole == sorted(whole)
    assert whole[-1] > 0
    ran = run(*arguments, tmp_path / "killed")
    assert ran.code == 0
    assert "Going on" in ran.err
    assert run(*arguments, tmp_path / "whole").code == 0
    for name in BIG:
        killed, once = (tmp_path / each / f"{name}.jsonl" for each in ("killed", "whole"))
        assert killed.read_bytes() == once.read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_what_is_torn_is_read_again(
    run: Callable[..., Ran], show: Sandbox, tmp_path: Path, seed: int
):
    """Cut at any byte, or with rubbish behind, a file ends as if nothing had happened."""
    choose = random.Random(seed)
    out = tmp_path / "out"
    arguments = ["export", "Sequence", "Shot", "--out", out]
    assert run(*arguments).code == 0
    path = out / "Shot.jsonl"
    whole = path.read_bytes()
    cut = choose.randrange(len(whole))
    path.write_bytes(whole[:cut] + choose.choice([b"", b"\0" * len(whole), b'{"id":1}\n', b"[]\n"]))
    assert whole_part(path).size <= cut
    assert run(*arguments).code == 0
    assert path.read_bytes() == whole


def test_a_complete_export_reads_nothing_again(
    run: Callable[..., Ran], show: Sandbox, tmp_path: Path
):
    """What is complete stays as it is, until --restart; more types can be added."""
    out = tmp_path / "out"
    arguments = ["export", "Shot", "--out", out]
    assert run(*arguments).code == 0
    before = reads(show)
    ran = run(*arguments)
    assert ran.code == 0
    assert "nothing left to read" in ran.err
    assert reads(show) == before
    assert run("export", "Sequence", "Shot", "--out", out).code == 0
    assert reads(show) == before + 1
    assert run(*arguments, "--restart").code == 0
    assert reads(show) > before + 1
    assert not (out / "Sequence.jsonl").exists()


def test_a_folder_holds_one_export(run: Callable[..., Ran], show: Sandbox, tmp_path: Path):
    """Other fields, filters or another project in the same folder are refused, and nothing lost."""
    out = tmp_path / "out"
    assert run("export", "Shot", "--out", out).code == 0
    before = (out / "Shot.jsonl").read_bytes()
    for more in (["--fields", "code"], ["--project", "1"], ["--filters", '[["id", "is", 1]]']):
        ran = run("export", "Shot", "--out", out, *more)
        assert ran.code == 2
        assert "--restart" in ran.err
    assert (out / "Shot.jsonl").read_bytes() == before


def test_two_exports_do_not_share_a_folder(run: Callable[..., Ran], show: Sandbox, tmp_path: Path):
    """While one writes to a folder, another one is refused."""
    arguments = ["export", "Shot", "--out", tmp_path / "out"]
    show.hold("read")
    with running(*arguments) as process:
        show.wait_for(1, "read")
        ran = run(*arguments)
        show.resume()
        assert process.wait(LONG) == 0
    assert ran.code == 2
    assert "another program" in ran.err


def test_a_type_that_fails_does_not_end_the_others(
    run: Callable[..., Ran], show: Sandbox, tmp_path: Path
):
    """It is named, the exit code is 1, and the next run reads just that."""
    out = tmp_path / "out"
    arguments = ["export", "Sequence", "Shot", "--out", out, "--filters"]
    filters = json.dumps([["sg_cut_in", "greater_than", 0]])  # a Sequence has none
    ran = run(*arguments, filters)
    assert ran.code == 1
    assert "Sequence: failed: Fault" in ran.err
    assert "Not complete: Sequence" in ran.err
    assert len(records_of(out / "Shot.jsonl")) == 40
    types = json.loads((out / "manifest.json").read_text())["types"]
    assert (types["Shot"]["complete"], types["Sequence"]["complete"]) == (True, False)


def test_rows_that_others_change_do_not_hide_any(
    run: Callable[..., Ran],
    show: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """While other clients create, retire and revive rows, the others are there once each."""
    with Sandbox(api_max_entities_per_page=10) as site:
        name_site(monkeypatch, site)
        rows = Rows(site, 160, seed=3)
        with rows.changing():
            assert run("export", "Shot", "--out", tmp_path / "out", "--workers", 3).code == 0
    ids = [row["id"] for row in records_of(tmp_path / "out" / "Shot.jsonl")]
    assert ids == sorted(set(ids))
    assert set(rows.untouched) <= set(ids)


def test_ctrl_c_ends_an_export_cleanly(run: Callable[..., Ran], show: Sandbox, tmp_path: Path):
    """It says how to go on, with exit code 130 and no traceback; the next run has all."""
    out = tmp_path / "out"
    arguments = ["export", "Version", "--out", out, "--workers", 2]
    show.hold("read")
    with running(*arguments) as process:
        show.wait_for(1, "read")
        show.resume("read", count=1)
        show.wait_for(1, "read")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LONG)
    show.resume()
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert run(*arguments).code == 0
    assert len(records_of(out / "Version.jsonl")) == 344


def test_values_become_plain_json():
    """Half surrogates survive, and a URL loses its signature, which opens the file for anyone."""
    signed = "https://store/a.jpg?X-Amz-Expires=900&X-Amz-Signature=abc"
    assert json.loads(line_of({"id": 1, "a": "\ud800", "b": "é"})) == {
        "id": 1, "a": "\ud800", "b": "é",
    }  # fmt: skip
    record = json.loads(line_of({"image": signed, "f": {"url": signed}, "t": f"see {signed}"}))
    assert record == {"image": "https://store/a.jpg", "f": {"url": "https://store/a.jpg"}, "t": f"see {signed}"}  # fmt: skip  # noqa: E501
    assert json.loads(line_of({"url": "https://wiki/page?id=3"})) == {"url": "https://wiki/page?id=3"}  # fmt: skip  # noqa: E501
    assert cell_of([{"type": "Shot", "id": 1}, {"type": "Shot", "id": 2, "name": "b"}]) == (
        "Shot 1; b"
    )
    assert (cell_of(True), cell_of(None), cell_of(1.5)) == ("true", "", "1.5")


def test_export_reads_no_further_than_it_can_write(
    show: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """While nothing is written, a bounded number of pages is asked for: memory is bounded."""
    gate = Gate()
    monkeypatch.setattr(exporting, "line_of", lambda record: gate(line_of(record)))
    before = reads(show)
    arguments = ["export", "Version", "--workers", "3", "--out", str(tmp_path / "out")]
    ended = in_thread(lambda: main(arguments))
    try:
        gate.wait_for(1)
        wait_until(lambda: reads(show) == before + 6)  # three pages that are there, three to come
        wait_until(lambda: show.counters().in_flight == 0)
        assert reads(show) == before + 6
    finally:
        gate.open()
    assert ended() == 0
    assert reads(show) > before + 15


def test_a_bar_shows_on_a_terminal(
    run: Callable[..., Ran], show: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With tqdm and a terminal there is a bar, and --quiet has none."""
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)  # its thread would outlive the test
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    arguments = ["export", "Shot", "--out"]
    assert "40/40" in run(*arguments, tmp_path / "out").err
    assert "/40" not in run(*arguments, tmp_path / "other", "--quiet").err


# probe


def step(workers: int, rate: float, *, failed: int = 0) -> Step:
    return Step(workers, [workers / rate] * 100, failed, 100 / rate)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({1: 20, 2: 40, 4: 80, 8: 160}, 8),  # grows to the end
        ({1: 20, 2: 40, 4: 80, 8: 85, 16: 86}, 4),  # a sharp knee
        ({1: 20, 2: 40, 4: 78, 8: 120, 16: 130}, 8),  # a soft one
        ({1: 20, 2: 40, 4: 30, 8: 20}, 2),  # too many do harm
        ({1: 20, 2: 20, 4: 20}, 1),  # one at a time
        ({1: 20, 2: 28.2, 4: 28.3}, 1),  # within 3 %: the fewer
    ],
)
def test_the_knee_is_recommended(rates: dict[int, float], expected: int):
    """Twice the workers must bring 1.4 times the throughput."""
    knee = recommended([step(workers, rate) for workers, rate in rates.items()])
    assert knee is not None
    assert knee.workers == expected


def test_steps_with_failures_are_not_recommended():
    """What the site could not bear is not what is advised."""
    knee = recommended([step(1, 20), step(2, 40), step(4, 80, failed=1)])
    assert knee is not None
    assert knee.workers == 2
    assert recommended([step(1, 20, failed=1)]) is None
    assert recommended([]) is None


def test_worker_counts_double():
    """Steps go to what was asked for."""
    assert [worker_counts(n) for n in (1, 2, 3, 8, 12)] == [
        [1], [1, 2], [1, 2, 3], [1, 2, 4, 8], [1, 2, 4, 8, 12],
    ]  # fmt: skip


def test_probe_only_reads_and_keeps_to_its_count(
    run: Callable[..., Ran], show: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    """A row for each step, a recommendation, no more requests than were announced, no write."""
    run_step, limits = probing._run, []

    def seen(executor: Any, read: Any, planned: Any, *rest: Any) -> Step:
        limits.append((planned.workers, executor.limit.calls))
        return run_step(executor, read, planned, *rest)

    monkeypatch.setattr(probing, "_run", seen)
    show.set_latency(0.005)
    before = show.counters()
    ran = run("probe", "--workers", 4, "--calls", 3, "--type", "Shot")
    after = show.counters()
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert [row[0] for row in rows] == ["workers", "1", "2", "4"]
    assert [row[1] for row in rows[1:]] == ["10", "10", "12"]
    announced = int(ran.err.partition("at most ")[2].split()[0])
    assert announced == 41
    assert limits == [(1, 1), (1, 1), (2, 2), (2, 2), (4, 4), (4, 4)]
    assert after.total - before.total <= announced
    assert after.writes == before.writes
    assert after.connections - before.connections <= 4  # kept from step to step
    assert "Recommended: max_workers=" in ran.err


@pytest.mark.parametrize("status", [429, 503])
def test_probe_ends_when_the_site_is_busy(
    run: Callable[..., Ran], show: Sandbox, monkeypatch: pytest.MonkeyPatch, status: int
):
    """One such answer ends it, and no call is repeated."""
    before = reads(show)
    run_step = probing._run

    def busy(executor: Any, read: Any, planned: Any, *rest: Any) -> Step:
        if planned == (2, 10):  # the second step
            show.fail_next("read", status=status, count=1)
        return run_step(executor, read, planned, *rest)

    monkeypatch.setattr(probing, "_run", busy)
    ran = run("probe", "--workers", 8)
    assert ran.code == 0
    assert f"Ended with 2 at a time: the site is busy (status {status})" in ran.err
    assert "Recommended: max_workers=1" in ran.err
    assert 13 < reads(show) - before <= 24


def test_probe_ends_when_calls_fail(run: Callable[..., Ran], show: Sandbox):
    """Errors that come again and again end it, with exit code 1 if nothing was measured."""
    show.fail("read", status=500, fraction=0.6, seed=3)
    before = reads(show)
    ran = run("probe", "--workers", 8)
    assert ran.code == 1
    assert reads(show) - before < 20


def test_probe_draws_the_curve(run: Callable[..., Ran], show: Sandbox, tmp_path: Path):
    """The picture has the numbers of workers, and what is recommended."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "curve.svg"
    ran = run("probe", "--workers", 2, "--plot", path)
    assert ran.code == 0
    assert str(path) in ran.err
    assert "recommended" in path.read_text()


def test_probe_says_what_a_picture_needs(
    run: Callable[..., Ran], show: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    """Without matplotlib that is told before anything is sent."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    before = show.counters().total
    ran = run("probe", "--plot", "curve.png")
    assert ran.code == 2
    assert "pip install matplotlib" in ran.err
    assert show.counters().total == before


# lookup


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give the command something to read."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_lookup_keeps_the_order_of_the_input(
    run: Callable[..., Ran], show: Sandbox, stdin: Callable[[str], None]
):
    """A row for each value, also for the second time and for what is missing."""
    stdin('\ufeffLS001_0030\r\n\nnone such, "quoted"\nLS001_0010\nLS001_0030\n')
    ran = run("lookup", "--type", "Shot", "--fields", "code,sg_sequence,created_at,assets")
    rows = table_of(ran.out)
    asked = ["LS001_0030", 'none such, "quoted"', "LS001_0010", "LS001_0030"]
    assert [row["input"] for row in rows] == asked
    assert [row["id"] for row in rows] == ["3", "", "1", "3"]
    assert rows[0]["sg_sequence"] == "LS001"
    assert rows[0]["created_at"].endswith("+00:00")
    assert ran.code == 1
    assert "1 values missing" in ran.err
    assert 'missing: none such, "quoted"' in ran.err


def test_lookup_may_allow_what_is_missing(run: Callable[..., Ran], show: Sandbox, tmp_path: Path):
    """Then it is reported, and the exit code is 0."""
    path = tmp_path / "ids.txt"
    path.write_text("2\n999999\n")
    arguments = ["lookup", "--type", "Shot", "--by", "id", path]
    assert run(*arguments).code == 1
    ran = run(*arguments, "--allow-missing")
    assert ran.code == 0
    assert "missing: 999999" in ran.err
    assert [row["code"] for row in table_of(ran.out)] == ["LS001_0020", ""]


def test_lookup_by_other_fields(
    run: Callable[..., Ran], show: Sandbox, stdin: Callable[[str], None]
):
    """Numbers, and fields of linked entities; each record that has the value is a row."""
    stdin("1001\n")
    ran = run("lookup", "--type", "Shot", "--by", "sg_cut_in", "--project", "The Lantern Sea")
    assert ran.code == 0
    assert len(table_of(ran.out)) == 40
    stdin("ls001\n")
    arguments = ["lookup", "--type", "Shot", "--by", "sg_sequence.Sequence.code"]
    rows = table_of(run(*arguments, "--fields", "code").out)
    assert len(rows) > 1
    assert all(row["code"].startswith("LS001") for row in rows)


def test_lookup_tells_values_that_failed(
    run: Callable[..., Ran],
    show: Sandbox,
    stdin: Callable[[str], None],
):
    """Values whose chunk failed are not called missing, and no --allow-missing hides them."""
    stdin("".join(f"{number}\n" for number in (*range(401, 901), *range(1, 31))))
    show.fail_next("read", status=400, count=1)
    ran = run("lookup", "--type", "Version", "--by", "id", "--allow-missing", "--workers", 1)
    assert ran.code == 1
    assert "530 values, 30 records of Version, 0 values missing" in ran.err
    assert "500 values could not be looked up" in ran.err
    assert len(table_of(ran.out)) == 530


def test_sandbox_option_needs_no_site(
    run: Callable[..., Ran],
    show: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    stdin: Callable[[str], None],
):
    """With --sandbox everything works at once, and says where it does."""
    monkeypatch.delenv("SHOTGUN_URL")
    stdin("LS001_0010\n")
    ran = run("lookup", "--type", "Shot", "--sandbox")
    assert ran.code == 0
    assert "local site" in ran.err
    assert table_of(ran.out)[0]["id"] == "1"
