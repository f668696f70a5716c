"""Uploads and downloads: what arrives, what is repeated, what is left on disk."""

from __future__ import annotations

import contextlib
import datetime
import gc
import os
import socket
import threading
import tracemalloc
import warnings
from pathlib import Path

import pytest
import shotgun_api3
from shotgun_api3 import Shotgun

from shotgun_executor import Retries, ShotgunPool, UploadError, outcome_unknown, upload_progress
from shotgun_executor.retry import Sent, sent_of
from shotgun_executor.sandbox import Sandbox
from tests.storage import DIRECT, FORMS, Storage, drop, form, status, storing
from tests.support import KEYS, LONG, in_thread
from tests.wire import serving

FAST = Retries(3, first_wait=0.001)


def pool_for(server, **settings):
    return ShotgunPool(server.url, **{**KEYS, "retries": FAST, "read_timeout": LONG, **settings})


@contextlib.contextmanager
def careless(allowed):
    """The official client leaves files and sockets to the garbage collection."""
    with warnings.catch_warnings():
        if allowed:
            warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def movie(tmp_path):
    """A file of 700 kB."""
    path = tmp_path / "sh010 süd.mov"
    path.write_bytes(os.urandom(700_000))
    return path


@pytest.mark.parametrize("info", [DIRECT, FORMS], ids=["direct", "forms"])
@pytest.mark.parametrize("chunk", [20_000_000, 300_000])
def test_files_upload_as_the_official_client_does(movie, info, chunk):
    """The same forms, the same bytes, the same result: whole, in parts, and as thumbnails."""
    calls = [
        ("upload", ("Version", 1, str(movie)), {"field_name": "sg_uploaded_movie"}),
        ("upload", ("Shot", 2, str(movie), "sg_file", "A name", "a,b"), {}),
        ("upload_thumbnail", ("Shot", 3, str(movie)), {}),
        ("upload_filmstrip_thumbnail", ("Shot", 4, str(movie)), {}),
    ]
    seen = []
    for ours in (False, True):
        with storing(info) as (storage, server), careless(not ours):
            sg = pool_for(server) if ours else Shotgun(server.url, connect=False, **KEYS)
            sg._MULTIPART_UPLOAD_CHUNK_SIZE = chunk
            results = [getattr(sg, name)(*args, **kwargs) for name, args, kwargs in calls]
            sg.close()
            forms = [
                (request.method, request.target, form(request)) for request in storage.of("/upload")
            ]
            for _, _, fields in forms:
                fields.pop("upload_link_info", None)  # has the port in it
            seen.append((results, forms, storage.stored))
    assert seen[0] == seen[1]
    assert seen[1][0] == [4711] * 4


def test_files_upload_over_one_connection(movie):
    """Calls, forms and storage on one host share one connection: nothing is opened anew."""
    with storing(DIRECT) as (storage, server), pool_for(server) as sg:
        for _ in range(5):
            sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie")
        assert server.connections == 1
        assert len(storage.of("/upload")) == 10


@pytest.mark.parametrize("fault", [status(500), status(503, "Retry-After: 0\r\n"), drop])
@pytest.mark.parametrize("chunk", [20_000_000, 300_000])
def test_files_storage_that_fails_gets_the_whole_file_again(movie, fault, chunk):
    """Each part is sent from its start again, and the attachment is made once."""
    with storing(DIRECT) as (storage, server), pool_for(server) as sg:
        sg._MULTIPART_UPLOAD_CHUNK_SIZE = chunk
        storage.faults = [("/store", fault), ("/store", fault)]
        assert sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie") == 4711
        parts = [body for _, body in sorted(storage.stored.items())]
        assert b"".join(parts) == movie.read_bytes()
        assert len(storage.of("/upload/api_link_file")) == 1


def test_files_storage_that_breaks_off_gets_the_whole_file_again(movie):
    """A reset in the middle of the body: the second attempt sends it all."""

    def break_off(peer):
        if peer.number == 1:
            peer.file.readline()
            peer.reset()
        else:
            storage(peer)

    storage = Storage(DIRECT)
    movie.write_bytes(b"x" * 8_000_000)
    with serving(break_off) as far, serving(storage) as near:
        storage.content = b""
        link = (
            f"1\nhttp://127.0.0.1:{far.port}/store/whole\n2030\nAttachment\nupload-1\ns3".encode()
        )
        storage.faults = [("/upload/api_get", lambda peer: peer.answer(link, kind="text/plain"))]
        far.connections = 1  # so that the first one is the one that breaks
        with pool_for(near) as sg:
            assert sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie") == 4711
        assert storage.stored == {"/store/whole": movie.read_bytes()}
        assert far.connections == 3


@pytest.mark.parametrize("code", [400, 403, 404, 413, 500, 502, 504])
def test_files_upload_keeps_the_real_status(movie, code):
    """A form that fails says with which status, at once, and is sent once."""
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/upload", status(code))]
        with pytest.raises(UploadError, match=f"HTTP Error {code}") as raised:
            sg.upload("Shot", 1, str(movie))
        assert raised.value.status == code
        assert isinstance(raised.value, shotgun_api3.ShotgunError)
        assert outcome_unknown(raised.value) is (code >= 500)
        assert len(storage.of("/upload")) == 1
        assert KEYS["api_key"] not in str(raised.value)


@pytest.mark.parametrize("code", [429, 503])
def test_files_upload_that_was_not_carried_out_is_made_again(movie, code):
    """These are answered before anything is done, so the call goes through in the end."""
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/upload", status(code))]
        assert sg.upload("Shot", 1, str(movie)) == 4711
        assert len(storage.of("/upload")) == 2
        content = form(storage.of("/upload")[1])["file"][0]
        assert content == movie.read_bytes()


@pytest.mark.parametrize("fault", [status(503, "Retry-After: 0\r\n"), drop])
def test_files_storage_that_is_down_is_not_flooded(movie, fault):
    """What a part of an upload was repeated for, the whole upload is not repeated for again."""
    with storing(DIRECT) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/store", fault)] * 100
        with pytest.raises(UploadError) as raised:
            sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie")
        assert not outcome_unknown(raised.value)
        assert len(storage.of("/store")) == 1 + FAST.count


def test_files_upload_whose_parts_are_not_put_together_is_made_again(movie):
    """Nothing shows of a file before it is linked, so its parts may be sent under another link."""
    with storing(DIRECT) as (storage, server), pool_for(server) as sg:
        sg._MULTIPART_UPLOAD_CHUNK_SIZE = 300_000
        storage.faults = [("/upload/api_complete", drop)]
        assert sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie") == 4711
        assert len(storage.of("/upload/api_get_upload_link_info")) == 2
        assert len(storage.of("/upload/api_link_file")) == 1


@pytest.mark.parametrize(
    ("answer", "unknown"),
    [
        (b"<html>gateway</html>", True),
        (b"", True),
        (b"\xff\xfe", True),
        (b"0\nno such field\n", False),
    ],
)
def test_files_form_that_is_answered_by_no_answer_is_unknown(movie, answer, unknown):
    """The site says 1 or why not; who says anything else may have carried it out."""
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/upload", lambda peer: peer.answer(answer, kind="text/html"))]
        with pytest.raises(shotgun_api3.ShotgunError) as raised:
            sg.upload("Shot", 1, str(movie))
        assert outcome_unknown(raised.value) is unknown
        assert sent_of(raised.value) is (Sent.UNKNOWN if unknown else Sent.NOTHING)
        assert len(storage.of("/upload")) == 1


def test_files_upload_whose_link_is_lost_is_not_made_again(movie):
    """The bytes are stored; nobody knows if the attachment is; it is not made twice."""
    with storing(DIRECT) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/upload/api_link_file", drop)]
        with pytest.raises(UploadError, match="look for the new Attachment") as raised:
            sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie")
        assert outcome_unknown(raised.value)
        assert sent_of(raised.value) is Sent.UNKNOWN
        assert isinstance(raised.value.__cause__, ConnectionError)
        assert len(storage.of("/upload/api_link_file")) == 1
        assert "secret" not in str(raised.value)


def test_files_upload_errors_show_no_signature(movie):
    """The URL of a storage holds a signature, which is as good as a key."""
    with storing(DIRECT) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/store", status(403))]
        with pytest.raises(UploadError, match=r"/store/whole\?\*\*\*") as raised:
            sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie")
        assert raised.value.status == 403
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("pause", [0, 0.2])
def test_files_a_site_that_answers_early_is_heard(tmp_path, pause):
    """A 413 that comes while the body is being sent, or cannot be, is the error."""
    path = tmp_path / "big.mov"
    path.write_bytes(b"x" * 30_000_000)

    def too_large(peer):
        while True:
            line = peer.file.readline()
            if b"/upload/" in line:
                break
            if line.startswith(b"content-length"):
                peer.file.read(int(line.split(b":")[1]) + 2)
                peer.answer(FORMS)
        peer.server.over.wait(pause)  # nobody reads, so that by then nothing more can be sent
        peer.answer(b"too large", 413)
        peer.server.over.wait(LONG)

    with serving(too_large) as server, pool_for(server) as sg:
        with pytest.raises(UploadError) as raised:
            sg.upload("Shot", 1, str(path))
        assert raised.value.status == 413


@pytest.mark.parametrize("direct", [True, False])
def test_files_large_uploads_over_fresh_tls_connections(tmp_path, direct):
    """What the site sends for TLS itself, right after the handshake, is not taken for an answer."""
    path = tmp_path / "big.mov"
    path.write_bytes(b"x" * 3_000_000)
    with Sandbox(tls=True, s3_direct_uploads=direct) as site:
        with ShotgunPool(site.url, **site.credentials, read_timeout=LONG, retries=0) as sg:
            project = sg.create("Project", {"name": "The Lantern Sea"})
            for _ in range(8):
                sg.close()
                number = sg.upload("Project", project["id"], str(path))
                assert len(sg.download_attachment(number)) == 3_000_000


@pytest.mark.parametrize("info", [DIRECT, FORMS], ids=["direct", "forms"])
def test_files_upload_tells_its_progress(movie, info):
    """Bytes of the file, up to all of them, on the way and not at the end only."""
    for chunk in (20_000_000, 300_000):
        told = []
        with storing(info) as (_, server), pool_for(server) as sg:
            sg._MULTIPART_UPLOAD_CHUNK_SIZE = chunk
            with upload_progress(lambda *numbers, told=told: told.append(numbers)):
                sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie")
            silent = len(told)
            sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie")
        assert len(told) == silent >= 3
        assert told == sorted(told)
        assert told[-1] == (700_000, 700_000)


def test_files_upload_never_holds_the_file_in_memory(tmp_path):
    """Neither a form nor parts: 40 MB go through a few hundred kilobytes."""
    path = tmp_path / "big.mov"
    with path.open("wb") as file:
        file.truncate(40_000_000)

    def swallow(peer):
        while True:
            line = peer.file.readline()
            length = 0
            while True:
                header = peer.file.readline().strip()
                if not header:
                    break
                if header.lower().startswith(b"content-length"):
                    length = int(header.split(b":")[1])
            if not line:
                return
            while length:
                length -= len(peer.file.read(min(length, 65536)))
            peer.answer(FORMS if b"json" in line else b"1:4711:ok\n")

    with serving(swallow) as server, pool_for(server) as sg:
        sg.connect()
        tracemalloc.start()
        try:
            assert sg.upload("Shot", 1, str(path)) == 4711
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4_000_000


def test_files_upload_of_a_file_that_shrinks_is_an_error(movie):
    """Fewer bytes than were announced are not made up."""
    with storing(FORMS) as (_, server), pool_for(server, retries=0) as sg:

        def shrink(sent, total):
            movie.write_bytes(b"x")

        movie.write_bytes(b"x" * 3_000_000)
        with upload_progress(shrink), pytest.raises(UploadError, match="somebody has changed it"):
            sg.upload("Shot", 1, str(movie))


def test_files_created_before_an_upload_failed_is_told(movie):
    """`share_thumbnail` that cannot share tells the id of what it has uploaded."""
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/upload/share_thumbnail", status(500))]
        entities = [{"type": "Shot", "id": 1}, {"type": "Shot", "id": 2}]
        with pytest.raises(UploadError, match="had created Attachment 4711") as raised:
            sg.share_thumbnail(entities, thumbnail_path=str(movie))
        assert raised.value.made == [{"type": "Attachment", "id": 4711}]


def test_files_opened_by_a_subclass_in_its_own_way_stay_so(movie):
    """Who overrides the opener is not bypassed."""
    asked = []

    class Studio(Shotgun):
        def _build_opener(self, handler):
            asked.append(handler)
            return super()._build_opener(handler)

    with storing(DIRECT) as (_, server):
        with ShotgunPool(Studio(server.url, connect=False, **KEYS)) as sg:
            assert sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie") == 4711
    assert len(asked) == 3


# Downloads


def test_files_download_as_the_official_client_does(tmp_path):
    """The same bytes and the same values, to memory and to a file, by id, dict and None."""
    seen = []
    for ours in (False, True):
        with storing(FORMS) as (storage, server), careless(not ours):
            sg = pool_for(server) if ours else Shotgun(server.url, connect=False, **KEYS)
            path = tmp_path / f"{ours}.mov"
            direct = {"url": f"{server.url}/store/download", "type": "Attachment", "id": 9}
            seen.append(
                [
                    sg.download_attachment(9),
                    sg.download_attachment(attachment_id=9),
                    sg.download_attachment({"type": "Attachment", "id": 9}),
                    sg.download_attachment(direct),
                    sg.download_attachment(None),
                    sg.download_attachment(9, str(path)) == str(path),
                    path.read_bytes() == storage.content,
                ]
            )
            assert len(storage.of("/api3")) <= 2  # the session is asked for once
            sg.close()
    assert seen[0] == seen[1]
    assert names_in(tmp_path) == ["False.mov", "True.mov"]


def cut(peer):
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 100)
    return True


@pytest.mark.parametrize("fault", [cut, drop, status(404), status(503)])
def test_files_download_that_fails_leaves_the_old_file(tmp_path, fault):
    """Only a complete download takes the name; nothing else is left in the folder."""
    path = tmp_path / "a.mov"
    path.write_bytes(b"old")
    with storing(FORMS) as (storage, server), pool_for(server, retries=0) as sg:
        storage.faults = [("/store", fault)]
        with pytest.raises(shotgun_api3.ShotgunFileDownloadError) as raised:
            sg.download_attachment(9, str(path))
        assert path.read_bytes() == b"old"
        assert names_in(tmp_path) == ["a.mov"]
        assert "secret" not in str(raised.value)
        sg.download_attachment(9, str(path))
        assert path.read_bytes() == storage.content


@pytest.mark.parametrize("fault", [cut, drop, status(503), status(429)])
def test_files_download_is_made_again(tmp_path, fault):
    """It writes to a temporary file, so it is a read like any other."""
    path = tmp_path / "a.mov"
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/store", fault), ("/file_serve", fault)]
        assert sg.download_attachment(9, str(path)) == str(path)
        assert path.read_bytes() == storage.content


def test_files_download_that_cannot_get_its_name_leaves_nothing(tmp_path):
    """Where a folder has come in its way meanwhile, the temporary file goes."""
    path = tmp_path / "a.mov"

    def in_the_way(peer):
        path.mkdir()
        peer.answer(storage.content)

    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/store", in_the_way)]
        with pytest.raises(OSError, match=r"a\.mov"):
            sg.download_attachment(9, str(path))
    assert names_in(tmp_path) == ["a.mov"]


def test_files_login_page_is_no_download(tmp_path):
    """A redirection to where people log in is an error, and its page is not saved as the file."""
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        to = "Location: /user/login?next=/\r\n"
        storage.faults = [("/file_serve", lambda peer: peer.answer(b"", 302, to))] * 2
        with pytest.raises(shotgun_api3.ShotgunFileDownloadError, match=r"login|sign in") as raised:
            sg.download_attachment(9, str(tmp_path / "a.mov"))
        assert raised.value.status == 302
        assert not storage.of("/user")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "text"), [(400, "local file"), (409, "scan"), (410, "quarantined"), (403, "403")]
)
def test_files_download_refused_says_why(code, text):
    """The hints of the official client are kept, with the status beside."""
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        storage.faults = [("/file_serve", lambda peer: peer.answer(text.encode(), code))]
        with pytest.raises(shotgun_api3.ShotgunFileDownloadError, match=text) as raised:
            sg.download_attachment(9)
        assert raised.value.status == code


def test_files_download_carries_cookies_along():
    """A cookie that the site sets on its redirection is shown to where it leads."""
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        storage.headers = "Set-Cookie: pass=for-you; Path=/\r\nSet-Cookie: b=2; Path=/\r\n"
        sg.download_attachment(9)
        (request,) = storage.of("/store")
        assert set(request.headers["cookie"].split("; ")) == {"pass=for-you", "b=2"}


def test_files_download_to_where_nothing_can_be_written(tmp_path):
    """The error is an OSError that says so, before anything is sent."""
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        with pytest.raises(OSError, match="Unable to write Attachment to disk"):
            sg.download_attachment(9, str(tmp_path / "no" / "folder.mov"))
        assert not storage.requests


def test_files_download_keeps_links_and_modes(tmp_path):
    """A link stays a link, and a file keeps its permissions."""
    real = tmp_path / "real.mov"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link = tmp_path / "link.mov"
    link.symlink_to(real)
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        sg.download_attachment(9, str(link))
        sg.download_attachment(9, os.devnull)
        assert link.is_symlink()
        assert real.read_bytes() == storage.content
        assert real.stat().st_mode & 0o777 == 0o640
    assert not Path(os.devnull).is_file()


def test_files_local_links_are_read_as_before(tmp_path):
    """An attachment on a local disk is no business of the network."""
    path = tmp_path / "here.txt"
    path.write_bytes(b"here")
    with storing(FORMS) as (_, server), pool_for(server) as sg:
        assert sg.download_attachment({"url": path.as_uri()}) == b"here"


# Limits and abort


def silent(peer):
    peer.server.reached.set()
    peer.wait()
    return True


def half_then_silent(peer):
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 100)
    return silent(peer)


@pytest.fixture
def reached(monkeypatch):
    event = threading.Event()
    monkeypatch.setattr("tests.wire.WireServer.reached", event, raising=False)
    return event


CASES = [
    (DIRECT, "/store", silent, "upload"),
    (DIRECT, "/upload", silent, "upload"),
    (FORMS, "/upload", silent, "upload"),
    (FORMS, "/store", silent, "download"),
    (FORMS, "/store", half_then_silent, "download"),
]


def call(client, what, movie, tmp_path):
    if what == "upload":
        return client.upload("Version", 1, str(movie), field_name="sg_uploaded_movie")
    return client.download_attachment(9, str(tmp_path / "to.mov"))


@pytest.mark.parametrize(("info", "path", "fault", "what"), CASES)
def test_files_silence_ends_within_the_read_limit(
    tmp_path, movie, reached, info, path, fault, what
):
    """Uploads and downloads have the limits of all requests."""
    with storing(info) as (storage, server), pool_for(server, read_timeout=0.2, retries=0) as sg:
        storage.faults = [(path, fault)]
        with pytest.raises(shotgun_api3.ShotgunError, match=r"silent for 0\.2 s") as raised:
            call(sg, what, movie, tmp_path)
        assert isinstance(raised.value.__cause__, socket.timeout)
        assert names_in(tmp_path) == [movie.name]


@pytest.mark.parametrize(("info", "path", "fault", "what"), CASES)
def test_files_abort_wakes_who_waits(tmp_path, movie, reached, info, path, fault, what):
    """abort() ends an upload or a download at once, wherever it is, and leaves no file."""
    with storing(info) as (storage, server), pool_for(server, read_timeout=None) as sg:
        storage.faults = [(path, fault)]
        lease = sg.lease()
        connection = lease.connection
        join = in_thread(lambda: connection.run(call, what, movie, tmp_path))
        assert reached.wait(LONG)
        connection.abort()
        with pytest.raises(ConnectionAbortedError):
            join(LONG / 2)
        lease.release()
        assert names_in(tmp_path) == [movie.name]


def test_files_a_long_upload_that_moves_is_not_cut(tmp_path, monkeypatch):
    """The read limit is per silence: this upload takes several times as long."""
    path = tmp_path / "big.mov"
    path.write_bytes(b"x" * 40_000_000)

    def slow(peer):
        while True:
            line = peer.file.readline()
            if b"/upload/" in line:
                break
            if line.startswith(b"content-length"):
                peer.file.read(int(line.split(b":")[1]) + 2)
                peer.answer(FORMS)
        for _ in range(40):  # what the buffers of the sockets hold is drained well within the limit
            over.wait(0.02)
            peer.file.read(1_000_000)
        peer.answer(b"1:4711:ok\n")
        peer.wait()

    over = threading.Event()
    with serving(slow) as server, pool_for(server, read_timeout=0.4, retries=0) as sg:
        assert sg.upload("Shot", 1, str(path)) == 4711


def test_files_created_at_is_sent_as_the_official_client_does(movie):
    """The date of an attachment, where this version of the client takes one."""
    created = datetime.datetime(2030, 1, 2, 3, 4, 5)  # noqa: DTZ001 - in the zone of the machine
    with storing(FORMS) as (storage, server), pool_for(server) as sg:
        try:
            sg.upload("Shot", 1, str(movie), created_at=created)
        except TypeError:
            pytest.skip("an older shotgun_api3")
        assert form(storage.of("/upload")[0])["created_at"][0] == b"2030-01-02T03:04:05"
