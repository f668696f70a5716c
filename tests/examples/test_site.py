"""_site.py: how the examples end, and what they take for a number."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

import pytest
from shotgun_api3 import AuthenticationFault

from shotgun_executor.sandbox import Sandbox
from tests.examples.conftest import EXAMPLES
from tests.support import LONG


def ending(error):
    """A program that ends by that error."""

    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (AuthenticationFault("no such key"), 2, "no such key; check the SHOTGUN_ variables\n"),
        (FileNotFoundError(2, "No such file", "/a"), 1, "[Errno 2] No such file: '/a'\n"),
        (ConnectionRefusedError(111, "refused"), 1, "the site cannot be reached: [Errno 111] re"),
    ],
)
def test_what_a_user_can_cause_is_a_line_of_text(load, capsys, error, code, says):
    """Ctrl-C, a wrong key, a file and a site that is away end an example without a traceback."""
    with pytest.raises(SystemExit) as ended:
        load("_site").run_program(ending(error))
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(says)


def test_errors_of_the_program_keep_their_traceback(load):
    """What is a bug is shown as one."""
    with pytest.raises(ZeroDivisionError):
        load("_site").run_program(ending(ZeroDivisionError()))


@pytest.mark.parametrize("text", ["0", "-3", "2.5", "x", ""])
def test_whole_number_refuses_what_is_none(load, text):
    """A count of workers is told to be wrong by argparse, with the code 2."""
    with pytest.raises(argparse.ArgumentTypeError, match="is no whole number of at least 1"):
        load("_site").whole_number(text)


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C cannot be sent there")
def test_ctrl_c_ends_an_example(sandbox: Sandbox, tmp_path):
    """In the middle of its work an example ends with 130 and one line."""
    site = {
        "SHOTGUN_URL": sandbox.url,
        "SHOTGUN_SCRIPT_NAME": sandbox.script_name,
        "SHOTGUN_API_KEY": sandbox.api_key,
    }
    sandbox.hold("schema_entity_read")
    program = subprocess.Popen(
        [sys.executable, EXAMPLES / "schema_dump.py", tmp_path],
        env={**os.environ, **site},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        sandbox.wait_for(1, "schema_entity_read")
        program.send_signal(signal.SIGINT)
        sandbox.resume()
        _, said = program.communicate(timeout=LONG)
    finally:
        program.kill()
        program.wait()
    assert program.returncode == 130
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
