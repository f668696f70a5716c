"""A sandbox in a process of its own: its start, its end, and whatever can come between."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox import Sandbox, SandboxError
from tests.sandbox.http_support import LONG, RawClient, address, count_projects

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = str(Path(__file__).resolve().parents[2])


class Witness:
    """A connection to a sandbox that sees its end."""

    def __init__(self, host: str, port: int) -> None:
        self._line = socket.create_connection((host, port), timeout=LONG)

    def wait_for_the_end(self) -> None:
        """Return when the other side is gone."""
        try:
            assert self._line.recv(1) == b""
        except ConnectionResetError:
            pass
        finally:
            self._line.close()


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """A program that has started a sandbox, and says where and in which process."""
    program = (
        "import os\n"
        "from shotgun_executor.sandbox import Sandbox\n"
        "sandbox = Sandbox()\n"
        "try:\n"
        "    print(sandbox.url.rpartition(':')[2], sandbox.pid, flush=True)\n"
        "    os.read(0, 1)\n"
        "except KeyboardInterrupt:\n"
        "    print(sandbox.counters().total, flush=True)\n"
    )
    yield from run_program(program)


@pytest.fixture
def forking_parent() -> Iterator[subprocess.Popen[str]]:
    """The same, with a forked child that outlives it."""
    program = (
        "import os\n"
        "from shotgun_executor.sandbox import Sandbox\n"
        "sandbox = Sandbox()\n"
        "if os.fork() == 0:\n"
        "    os.read(0, 1)\n"  # lives on, with all that it has inherited
        "    os._exit(0)\n"
        "print(sandbox.url.rpartition(':')[2], sandbox.pid, flush=True)\n"
        "os.read(0, 1)\n"
    )
    yield from run_program(program)


def run_program(program: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


def witness_of(parent: subprocess.Popen[str]) -> Witness:
    assert parent.stdout is not None
    port, _ = parent.stdout.readline().split()
    return Witness("127.0.0.1", int(port))


def test_sandbox_serves_until_closed() -> None:
    """A sandbox answers once it is made, and is gone once it is closed."""
    with Sandbox() as sandbox:
        witness = Witness(*address(sandbox))
        client = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        assert client.find("Project", [["id", "is", -1]]) == []
        client.close()
        assert sandbox.alive
        assert repr(sandbox) == f"<Sandbox {sandbox.url} pid {sandbox.pid}>"
    witness.wait_for_the_end()
    assert not sandbox.alive
    assert repr(sandbox) == "<Sandbox closed>"
    sandbox.close()
    assert sandbox.log() == ""
    with pytest.raises(SandboxError, match="the sandbox is closed"):
        sandbox.counters()


def test_close_does_not_wait_for_requests() -> None:
    """Requests that are held, or slow, do not keep a sandbox from ending."""
    with Sandbox(latency=1000.0) as sandbox:
        sandbox.set_latency(0, "info")
        sandbox.hold("info")
        raw, slow = RawClient(sandbox), RawClient(sandbox)
        raw.send("info")
        slow.send("read", {"type": "Project"})
        sandbox.wait_for(1)
    with pytest.raises(ConnectionError):
        raw.receive()
    raw.http.close()
    slow.http.close()
    assert sandbox.log() == ""


def test_credentials_are_as_told() -> None:
    """Credentials and options of the site can be chosen; both ways to sign in work."""
    with Sandbox(
        script_name="tool",
        api_key="not-a-secret",
        login="ada",
        password="neither",
        version=(7, 4, 0),
        api_max_entities_per_page=3,
    ) as sandbox:
        assert sandbox.credentials == {"script_name": "tool", "api_key": "not-a-secret"}
        client = shotgun_api3.Shotgun(sandbox.url, login="ada", password="neither")
        assert client.find("Project", [["id", "is", -1]]) == []
        assert client.server_info["version"] == [7, 4, 0]
        assert client.server_info["api_max_entities_per_page"] == 3
        client.close()
        for secret in ("not-a-secret", "neither", sandbox.token):
            assert secret not in repr(sandbox)


def test_demo_show_is_there_again_after_clear() -> None:
    """A sandbox with the demo show has it from the start, and again after clear()."""
    with Sandbox(demo=True, shots=20) as sandbox:
        client = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        try:
            shots = client.find("Shot", [], ["code"])
            assert len(shots) == 20
            client.delete("Shot", shots[0]["id"])
            sandbox.clear()
            assert client.find("Shot", [], ["code"]) == shots
        finally:
            client.close()


def test_database_file_survives_a_restart(tmp_path: Path) -> None:
    """restart() keeps address, credentials and what is in the file, and clears the counters."""
    with Sandbox(database=tmp_path / "site.db") as sandbox:
        before = (sandbox.url, sandbox.credentials, sandbox.password, sandbox.token)
        create_project(sandbox, "Pilot")
        old = sandbox.pid
        sandbox.restart()
        assert sandbox.pid != old
        assert (sandbox.url, sandbox.credentials, sandbox.password, sandbox.token) == before
        assert sandbox.counters().total == 0
        assert projects(sandbox, "Pilot") == 1
    with Sandbox(database=tmp_path / "site.db") as sandbox:
        assert projects(sandbox, "Pilot") == 1


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    """A process that is killed has kept in its file what it answered."""
    with Sandbox(database=tmp_path / "site.db") as sandbox:
        create_project(sandbox, "Pilot")
        sandbox.restart(kill=True)
        assert projects(sandbox, "Pilot") == 1


def test_start_that_fails_says_why(sandbox: Sandbox) -> None:
    """A sandbox that cannot start raises an error with the reason, and leaves no process."""
    _, port = address(sandbox)
    with pytest.raises(SandboxError, match=f"cannot listen on 127.0.0.1:{port}"):
        Sandbox(port=port)
    with pytest.raises(SandboxError, match="api_max_entities_per_page"):
        Sandbox(api_max_entities_per_page=-1)


def test_start_that_takes_too_long_is_ended() -> None:
    """A sandbox that is not ready in time raises an error, and leaves no process."""
    with pytest.raises(SandboxError, match="start_timeout=0"):
        Sandbox(start_timeout=0.0)


def test_process_that_was_killed_is_reported() -> None:
    """Who steers a sandbox whose process is dead is told so, and may start it again: a new site."""
    with Sandbox() as sandbox:
        create_project(sandbox, "Pilot")
        witness = Witness(*address(sandbox))
        os.kill(sandbox.pid, signal.SIGKILL)
        witness.wait_for_the_end()
        with pytest.raises(SandboxError, match="ended with exit code -9"):
            sandbox.counters()
        sandbox.restart()
        assert projects(sandbox, "Pilot") == 0


@pytest.mark.parametrize("argument", ["latency", "jitter"])
@pytest.mark.parametrize("value", [-1, "80ms", None])
def test_senseless_latency_is_refused(argument: str, value: object) -> None:
    """Bad arguments are refused by name before a process is started."""
    with pytest.raises(ValueError, match=f"{argument} must be a number of seconds"):
        Sandbox(**{argument: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["aiohttp", "sqlalchemy"])
def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Without its libraries the sandbox says which extra to install."""
    find_spec = importlib.util.find_spec

    def find(name: str, *rest: Any) -> Any:
        return None if name == missing else find_spec(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(ImportError, match=rf'{missing}.*pip install "shotgun-executor\[sandbox\]"'):
        Sandbox()


def test_import_needs_no_server_libraries() -> None:
    """Importing the sandbox imports neither aiohttp nor SQLAlchemy: they may be missing."""
    program = (
        "import sys; sys.modules.update(aiohttp=None, sqlalchemy=None)\n"
        "import shotgun_executor.sandbox"
    )
    environment = {**os.environ, "PYTHONPATH": ROOT}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=LONG)


def test_sandbox_ends_with_its_object() -> None:
    """A sandbox that nobody refers to any more ends."""
    sandbox = Sandbox()
    witness = Witness(*address(sandbox))
    del sandbox
    gc.collect()
    witness.wait_for_the_end()


def test_sandbox_ends_when_its_parent_exits(parent: subprocess.Popen[str]) -> None:
    """A program that forgets to close its sandbox ends, and takes it along."""
    witness = witness_of(parent)
    parent.communicate("x", timeout=LONG)
    assert parent.returncode == 0
    witness.wait_for_the_end()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_sandbox_ends_when_its_parent_is_killed(parent: subprocess.Popen[str]) -> None:
    """Kill -9 of the program that started a sandbox ends the sandbox too."""
    witness = witness_of(parent)
    parent.kill()
    witness.wait_for_the_end()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_sandbox_ends_although_a_fork_lives_on(forking_parent: subprocess.Popen[str]) -> None:
    """It ends even if a forked process still holds the other end of its pipe."""
    witness = witness_of(forking_parent)
    forking_parent.kill()
    witness.wait_for_the_end()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_interrupt_of_the_foreground_spares_the_sandbox(parent: subprocess.Popen[str]) -> None:
    """Ctrl-C goes to the parent alone, which can still use its sandbox while it cleans up."""
    assert parent.stdout is not None
    port, pid = map(int, parent.stdout.readline().split())
    witness = Witness("127.0.0.1", port)
    assert os.getpgid(pid) != os.getpgid(parent.pid)
    os.killpg(parent.pid, signal.SIGINT)
    output, _ = parent.communicate(timeout=LONG)
    assert output == "0\n"
    witness.wait_for_the_end()


def test_interrupt_of_the_process_itself_is_ignored() -> None:
    """Where the Ctrl-C of a terminal does reach the sandbox, it goes on all the same."""
    with Sandbox() as sandbox:
        os.kill(sandbox.pid, signal.SIGINT)
        for _ in range(20):
            assert sandbox.counters().total == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_process_leaves_the_sandbox_alone() -> None:
    """close() in a forked process does not end the sandbox of its parent."""
    with Sandbox() as sandbox:
        child = os.fork()
        if child == 0:
            sandbox.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert sandbox.counters().total == 0


def create_project(sandbox: Sandbox, name: str) -> None:
    raw = RawClient(sandbox)
    try:
        raw.create_project(name)
    finally:
        raw.http.close()


def projects(sandbox: Sandbox, name: str) -> int:
    client = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    try:
        return count_projects(client, name)
    finally:
        client.close()
