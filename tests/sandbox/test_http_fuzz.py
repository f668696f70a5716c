"""Malformed requests: whatever comes, the sandbox answers or hangs up, lives on, tells nothing."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.http_support import LONG, address, receive_all, wait_until

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from pathlib import Path

    from shotgun_executor.sandbox import Sandbox

PATHS = [
    "/api3/json", "/upload/upload_file", "/upload/publish_thumbnail", "/upload/share_thumbnail",
    "/upload/api_get_upload_link_info", "/upload/api_get_upload_link_for_part",
    "/upload/api_complete_multipart_upload", "/upload/api_link_file", "/upload/get_thumbnail_url",
    "/storage/" + "0" * 32, "/storage/../secret", "/file_serve/attachment/1", "/_sandbox/info",
]  # fmt: skip
VERBS = ["POST", "GET", "PUT", "DELETE", "BREW", "HEAD"]
TYPES = [
    "multipart/form-data; boundary=b", "multipart/form-data", "multipart/mixed; boundary=b",
    "application/x-www-form-urlencoded", "application/json", "", "\x00",
]  # fmt: skip
PIECES = [
    b"--b\r\n", b"--b--\r\n", b"\r\n", b"\r\n\r\n", b"entity_type=Version&entity_id=",
    b'Content-Disposition: form-data; name="file"; filename="a.mov"\r\n',
    b'Content-Disposition: form-data; name="entity_type"\r\n', b"Content-Type: video/quicktime\r\n",
    b"Content-Length: 99999\r\n", b"Content-Disposition: nonsense;;;\r\n", b"\xff\xfe\x00",
    b"Content-Transfer-Encoding: base64\r\n", b"Content-Type: multipart/mixed; boundary=c\r\n",
    b"Version", b"%", b"=&&=", b"upload_id=../../secret&part_number=1", b"x" * 5000, b"{", b"[[[[",
    b"entities=a_b,c&source_entity=_", b"upload_link_info=1%0A2%0A3%0A4%0A5",
]  # fmt: skip


def make_request(source: random.Random, keys: bytes) -> tuple[bytes, bool]:
    """One request with something wrong, or much; and whether all of it is there."""
    body = b"".join(source.choices([*PIECES, keys], k=source.randrange(12)))
    whole = source.random() < 0.8
    length = len(body) if whole else source.choice([len(body) + 5, 10**12, -1, "x"])
    verb = source.choice(["POST", "POST", "POST", *VERBS])
    head = [
        f"{verb} {source.choice(PATHS)}{source.choice(['', '', '?expires=x', '?%'])} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Content-Length: {length}",
        f"Content-Type: {source.choice(TYPES)}",
    ]
    if source.random() < 0.2:
        head.append(
            source.choice(["Expect: 100-continue", "Content-Encoding: gzip", "X", "X\x00: x"])
        )
    if source.random() < 0.1:
        whole = False
        source.shuffle(head)
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body, whole


def answer_to(sandbox: Sandbox, request: bytes, *, whole: bool) -> bytes:
    """What comes back until the site hangs up; of what is not whole, the sender sends no more."""
    with socket.create_connection(address(sandbox), timeout=LONG) as line:
        try:
            line.sendall(request)
            if not whole:
                line.shutdown(socket.SHUT_WR)
            return receive_all(line)
        except ConnectionError:
            return b""


def test_malformed_requests_do_no_harm(sandbox: Sandbox, connect: Any) -> None:
    """1000 random requests: no traceback, no secret, nothing left on disk, and it lives on."""
    source = random.Random(20)
    keys = f"script_name={sandbox.script_name}&script_key={sandbox.api_key}&".encode()
    secrets = [sandbox.api_key, sandbox.password, sandbox.token]
    for number in range(1000):
        request, whole = make_request(source, keys)
        answer = answer_to(sandbox, request, whole=whole)
        assert b"Traceback" not in answer, (number, request)
        assert b'.py"' not in answer, (number, request)
        assert b" 500 " not in answer.partition(b"\r\n")[0], (number, request)
        for secret in secrets:
            assert secret.encode() not in answer, (number, request)
    connect().call("info")
    wait_until(lambda: sandbox.counters().in_flight == 0)
    requests = sandbox.counters().requests
    assert len(requests) > 10
    assert sum(requests.values()) > 100, "the requests are so bad that no route gets to see them"
    assert sandbox.log() == ""
    said = str([vars(request) for request in sandbox.requests])
    assert sandbox.api_key not in said
    assert files_in(sandbox) == []


def files_in(sandbox: Any) -> list[Path]:
    from pathlib import Path

    folder = Path(sandbox._settings.folder) / "files"
    return [path for part in ("incoming", "objects", "parts") for path in folder.glob(f"{part}/*")]


@pytest.mark.parametrize("count", [201, 10_000])
def test_form_has_limits(sandbox: Sandbox, connect: Any, count: int) -> None:
    """A form with more fields than any client sends is refused as a whole."""
    body = "&".join(f"f{number}=x" for number in range(count))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = connect().ask("POST", "/upload/upload_file", body, headers)[1]
    assert answer.startswith(b"0\nthe form is malformed")


def test_path_cannot_leave_the_storage(sandbox: Sandbox, connect: Any) -> None:
    """A key that is a path leads nowhere."""
    keys = f"script_name={sandbox.script_name}&script_key={sandbox.api_key}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for upload_id in ("..%2F..%2Fsecret", "%2Fetc%2Fpasswd", "a", "0" * 31, "0" * 32 + "%2F..%2Fx"):
        body = f"{keys}&upload_id={upload_id}&part_number=1&etags=x"
        for route in ("api_get_upload_link_for_part", "api_complete_multipart_upload"):
            answer = connect().ask("POST", f"/upload/{route}", body, headers)[1]
            assert answer.startswith(b"0\n"), answer
