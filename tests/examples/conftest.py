"""Fixtures for the tests of the examples."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Callable, NamedTuple

import pytest

from shotgun_executor.sandbox import Sandbox

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


class Ran(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import an example by its name, as a user's script would import one."""
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)  # its thread would outlive the test
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    load: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Ran]:
    """Run the ``main()`` of an example in this process, on the local site of the test."""
    for name in ("SHOTGUN_LOGIN", "SHOTGUN_PASSWORD", "SHOTGUN_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SHOTGUN_URL", sandbox.url)
    monkeypatch.setenv("SHOTGUN_SCRIPT_NAME", sandbox.script_name)
    monkeypatch.setenv("SHOTGUN_API_KEY", sandbox.api_key)

    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)  # its thread would outlive the test

    def run(name: str, *arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        try:
            code = load(name).main()
        except SystemExit as ended:
            code = ended.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")  # as the interpreter does at its end
            code = 1
        return Ran(code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def alone() -> Callable[..., Ran]:
    """Run an example as a program of its own that no environment names a site to."""

    def run(name: str, *arguments: object) -> Ran:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SHOTGUN_")}
        done = subprocess.run(
            [sys.executable, EXAMPLES / f"{name}.py", *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
