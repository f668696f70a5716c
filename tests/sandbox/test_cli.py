"""``python -m shotgun_executor.sandbox``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest
import shotgun_api3

from shotgun_executor import site_of_environment
from shotgun_executor.sandbox import Sandbox
from shotgun_executor.sandbox.__main__ import main
from tests.sandbox.http_support import LONG

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = str(Path(__file__).resolve().parents[2])


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "shotgun_executor.sandbox", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ROOT, "PYTHONIOENCODING": "utf-8"}


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A sandbox in the foreground, and the message that it printed."""
    with subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment(),
    ) as process:
        try:
            yield process, read_message(process)
        finally:
            process.terminate()  # a kill would leave its folder behind
            process.wait(LONG)


def read_message(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "counters()" in line:
            break
    return "".join(lines)


def snippets_of(message: str) -> str:
    """The indented code of a message, as a user would copy it."""
    snippets = "".join(line for line in message.splitlines(True) if line.startswith("    "))
    return textwrap.dedent(snippets)


def run_python(program: str) -> str:
    """What a program prints."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=LONG,
        check=True,
    ).stdout


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a start says that must fail with exit code 2."""

    def refuse(*arguments: str) -> str:
        assert main(arguments) == 2
        output, errors = capsys.readouterr()
        assert output == ""
        return errors

    return refuse


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal_ends_it_cleanly(name: str) -> None:
    """Ctrl-C and SIGTERM end it at once, silently and with exit code 0."""
    with running() as (process, _):
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 0
    assert errors == ""


def test_message_holds_what_one_needs() -> None:
    """The message names URL and credentials; its snippets run as they are."""
    with running("--demo", "--shots", "5", "--latency", "5ms±2") as (_, message):
        url = re.search(r"http://127\.0\.0\.1:\d+", message)
        token = re.search(r"control token +(\S+)", message)
        assert url is not None
        assert token is not None
        sandbox = Sandbox.attach(url[0], token[1])
        for value in (sandbox.script_name, sandbox.api_key, sandbox.login, sandbox.password):
            assert value in message
        assert "5 ms ± 2 ms" in message
        assert "in memory" in message
        projects, counters = run_python(snippets_of(message) + "\nsg.close()").splitlines()
    assert "'type': 'Project'" in projects
    assert "'read': 1" in counters


def test_message_names_the_site_to_programs() -> None:
    """The variables of the message are those by which other programs find the site."""
    with running("--tls") as (_, message):
        variables = dict(re.findall(r'^  (?:export |\$env:)(\w+)="(.*)"$', message, re.MULTILINE))
        ca_certs = variables.pop("SHOTGUN_API_CACERTS")
        sg = shotgun_api3.Shotgun(**site_of_environment(variables), ca_certs=ca_certs)
        assert sg.find("Project", []) == []
        sg.close()


def test_site_of_another_kind(tmp_path: Path, sandbox: Sandbox) -> None:
    """Over HTTPS, with a schema, version and page size of its own, and a line for each request."""
    sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    schema = {kind: sg.schema_field_read(kind) for kind in ("Project", "Shot")}
    sg.close()
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    options = ["--schema", str(file), "--server-version", "7.4.0", "--page-size", "3", "--no-s3"]
    with running("--tls", "--log", *options) as (process, message):
        program = snippets_of(message) + "\nprint(sorted(sg.schema_read()), sg.server_info)"
        projects, counters, told = run_python(program + "\nsg.close()").splitlines()
        process.send_signal(signal.SIGTERM)
        log, errors = process.communicate(timeout=LONG)
    assert "https://127.0.0.1:" in message
    assert (projects, errors) == ("[]", "")
    assert "'read': 1" in counters
    assert told.startswith("['Project', 'Shot'] ")
    assert "'version': [7, 4, 0]" in told
    assert "'api_max_entities_per_page': 3" in told
    assert "'s3_direct_uploads_enabled': False" in told
    methods = re.findall(r" ms  (\w+) .* ok 200$", log, re.MULTILINE)
    assert methods == ["info", "read", "schema_read"]


def test_database_file_keeps_site_and_key(tmp_path: Path) -> None:
    """With --db the next start serves the same site, with the same key."""
    file = tmp_path / "site.db"
    messages = []
    for _ in range(2):
        with running("--db", str(file), "--demo", "--shots", "3") as (process, message):
            messages.append(message)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=LONG)
    assert str(file) in messages[0]
    keys = [re.search(r"API key +(\S+)", message) for message in messages]
    assert keys[0] is not None
    assert keys[1] is not None
    assert keys[0][1] == keys[1][1]


def test_port_can_be_chosen() -> None:
    """--port is the port of the URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running("--port", str(port)) as (_, message):
        assert f"http://127.0.0.1:{port}" in message


def test_unreadable_schema_is_one_clear_line(tmp_path: Path, refused: Callable[..., str]) -> None:
    """A schema that is missing, or is none, is an error of one line, exit code 2."""
    text = tmp_path / "schema.json"
    text.write_text("[1, 2")
    assert "is no schema in JSON" in refused("--schema", str(text))
    errors = refused("--schema", str(tmp_path / "missing.pickle"))
    assert "missing.pickle" in errors
    assert errors.count("\n") == 1


def test_taken_port_is_one_clear_line(sandbox: Sandbox, refused: Callable[..., str]) -> None:
    """A port that is in use is an error of one line, exit code 2."""
    port = sandbox.url.rpartition(":")[2]
    errors = refused("--port", port)
    assert errors.startswith(f"shotgun_executor.sandbox: cannot listen on 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


def test_unusable_database_is_one_clear_line(tmp_path: Path, refused: Callable[..., str]) -> None:
    """A database that cannot be written, or is none, is an error of one line, exit code 2."""
    (tmp_path / "text.db").write_text("these are words, and no database at all\n" * 100)
    for file in (tmp_path, tmp_path / "missing" / "site.db", tmp_path / "text.db"):
        errors = refused("--db", str(file))
        assert errors.startswith(f"shotgun_executor.sandbox: cannot use the database {file}: ")
        assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--latency", "fast"], "'fast' is no latency; write 0.05 (seconds), 80ms or 80ms±20"),
        (["--port", "70000"], "'70000' is no port"),
        (["--port", "http"], "'http' is no port"),
        (["--shots", "0"], "'0' is no number of shots"),
        (["--server-version", "8.x"], "'8.x' is no version; write three numbers, like 8.89.0"),
        (["--page-size", "0"], "'0' is no whole number of at least 1"),
        (["--auth-method", "magic"], "invalid choice: 'magic'"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_senseless_argument_is_explained(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad argument is named with its remedy, exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_missing_library_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its libraries it says which extra to install, exit code 2."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["--tls"]) == 2
    assert 'pip install "shotgun-executor[sandbox]"' in capsys.readouterr().err
