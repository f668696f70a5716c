"""Files and certificates across the life of a sandbox: restart, kill, end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import shotgun_api3

from shotgun_executor.sandbox import Sandbox, SandboxError
from shotgun_executor.sandbox.storage import Storage
from tests.sandbox.http_support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


# The official client leaves the files open that it sends in forms.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads obey the variables of proxies."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox over HTTPS with a database file."""
    file = tmp_path_factory.mktemp("site") / "site.db"
    with Sandbox(database=file, tls=True) as sandbox:
        yield sandbox


def connect(sandbox: Sandbox) -> Any:
    return shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)


def test_uploaded_file_survives_a_kill(lasting: Sandbox, tmp_path: Path) -> None:
    """What was uploaded is there after a kill -9, and an upload can go on after it."""
    path = tmp_path / "movie.mov"
    path.write_bytes(b"frames " * 100_000)
    sg = connect(lasting)
    project = sg.create("Project", {"name": "Tidewater"})
    made = sg.upload("Project", project["id"], str(path))
    info = sg._get_attachment_upload_info(False, "movie.mov", False)
    lasting.restart(kill=True)
    sg._upload_file_to_storage(str(path), info["upload_url"])
    sg.close()
    sg = connect(lasting)  # the certificate is the same, too
    assert sg.download_attachment(made) == path.read_bytes()
    sg.close()
    assert lasting.log() == ""


def test_certificate_is_for_localhost_and_no_other(lasting: Sandbox) -> None:
    """A client that does not know the CA file refuses the site; one that does may use localhost."""
    with pytest.raises(SandboxError, match="CERTIFICATE_VERIFY_FAILED"):
        Sandbox.attach(lasting.url, lasting.token)
    by_name = lasting.url.replace("127.0.0.1", "localhost")
    sg = shotgun_api3.Shotgun(by_name, **lasting.credentials)
    assert sg.server_info["version"] == [8, 89, 0]
    sg.close()
    remote = Sandbox.attach(by_name, lasting.token, lasting.ca_certs)
    assert remote.info() == lasting.info()


def test_end_leaves_nothing() -> None:
    """A site in memory has no files left once it is closed, nor after its parent was killed."""
    program = (
        "import sys\n"
        "from shotgun_executor.sandbox import Sandbox\n"
        "sandbox = Sandbox(tls=True)\n"
        "print(sandbox.ca_certs, flush=True)\n"
        "sys.stdin.read()\n"
    )
    package = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {package!r})\n{program}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().strip()).parent
        assert (folder / "files").is_dir()
        parent.kill()
    wait_until(lambda: not folder.exists())


def test_close_removes_the_folder() -> None:
    """close() removes the folder of the files; the next start makes another."""
    other = Sandbox()
    folder = Path(other._settings.folder or "")
    assert folder.is_dir()
    other.close()
    assert not folder.exists()
    with pytest.raises(SandboxError):
        other.info()


def test_storage_forgets_what_nobody_links(tmp_path: Path) -> None:
    """A file that nothing refers to is removed after a day; what breaks off goes at the start."""
    storage = Storage(tmp_path)
    for number, age in enumerate((0.0, 2.0, 2.0)):
        incoming = storage.receive("a.txt")
        incoming.write(b"text")
        place = storage.place(f"{number}" * 32)
        incoming.keep(place)
        moment = time.time() - age * 24 * 3600
        os.utime(place, (moment, moment))
    storage.receive("broken.txt").write(b"te")
    again = Storage(tmp_path)
    again.sweep(["1" * 32])
    assert sorted(path.name[0] for path in (tmp_path / "objects").iterdir()) == ["0", "1"]
    assert list((tmp_path / "incoming").iterdir()) == []
    url = storage.sign("GET", "1" * 32)
    query = dict(pair.split("=") for pair in url.partition("?")[2].split("&"))
    assert again.refusal("GET", "1" * 32, query) is None
    assert again.refusal("PUT", "1" * 32, query) == "The request signature does not match."
    late = Storage(tmp_path, url_life=-10)
    expired = dict(p.split("=") for p in late.sign("GET", "1" * 32).partition("?")[2].split("&"))
    assert late.refusal("GET", "1" * 32, expired) == "Request has expired"
