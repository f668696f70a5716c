"""Uploads that are put aside when a part of them fails, and go on with what they have stored."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest
from shotgun_api3 import Shotgun

from shotgun_executor import (
    DeadlineExceeded,
    Retries,
    ShotgunExecutor,
    ShotgunPool,
    ShutdownError,
    UploadError,
    outcome_unknown,
    upload_progress,
)
from shotgun_executor.retry import Sent, sent_of
from tests.storage import DIRECT, drop, status, storing
from tests.support import KEYS, LONG, Gate, wait_until

FAST = Retries(3, first_wait=0.001)
BUSY = status(503, "Retry-After: 0\r\n")
LATER = status(503, "Retry-After: 3600\r\n")
FAULTS = pytest.mark.parametrize("fault", [status(500), BUSY, drop], ids=["500", "503", "reset"])

INFO_FORM = "/upload/api_get_upload_link_info"
PART_FORM = "/upload/api_get_upload_link_for_part"
COMPLETE_FORM = "/upload/api_complete_multipart_upload"
LINK_FORM = "/upload/api_link_file"


@pytest.fixture
def movie(tmp_path):
    """A file of three parts."""
    path = tmp_path / "movie.mov"
    path.write_bytes(os.urandom(700_000))
    return path


class Site:
    """A storage, and an executor with one worker."""

    def __init__(self, storage, executor):
        self.storage = storage
        self.executor = executor
        self.events = []
        self.repeated = threading.Event()
        """Set when a call was put aside to be made again."""
        executor.add_observer(self._heard)

    def _heard(self, event):
        self.events.append(event)
        if event.kind == "repeated":
            self.repeated.set()

    def upload(self, movie, executor=None, name="upload"):
        """The future of an upload to a version."""
        more = {"field_name": "sg_uploaded_movie"} if name == "upload" else {}
        return getattr(executor or self.executor, name)("Version", 1, str(movie), **more)

    def kinds(self, method="upload"):
        """What has happened to the calls of *method*, with the numbers of their attempts."""
        return [(event.kind, event.attempt) for event in self.events if event.method == method]

    def count(self, start):
        """How many requests there were for paths that start so."""
        return len(self.storage.of(start))

    def content(self):
        """What is stored, in the order of the parts."""
        return b"".join(body for _, body in sorted(self.storage.stored.items()))


@pytest.fixture(params=[20_000_000, 250_000], ids=["whole", "parts"])
def chunk(request):
    """How large a part may be."""
    return request.param


@pytest.fixture
def site(chunk):
    with storing(DIRECT) as (storage, server):
        with executor_for(server) as executor:
            executor.shotgun._MULTIPART_UPLOAD_CHUNK_SIZE = chunk
            yield Site(storage, executor)


@pytest.fixture
def site_of_parts():
    with storing(DIRECT) as (storage, server):
        with executor_for(server) as executor:
            executor.shotgun._MULTIPART_UPLOAD_CHUNK_SIZE = 250_000
            yield Site(storage, executor)


def executor_for(server, **settings):
    given = {**KEYS, "retries": FAST, "read_timeout": LONG, "max_workers": 1, **settings}
    return ShotgunExecutor(server.url, **given)


def test_worker_is_free_while_an_upload_waits_for_its_repeat(site, movie):
    """With a single worker a read is answered meanwhile; and the upload can be cancelled."""
    site.storage.faults = [("/store", LATER)]
    future = site.upload(movie)
    assert site.repeated.wait(LONG)
    assert site.executor.find("Shot", []).result(LONG) == [{"type": "Shot", "id": 1}]
    assert not future.done()
    assert site.executor.stats().delayed == 1
    assert future.cancel()
    assert future.cancelled()
    wait_until(lambda: site.executor._pool.leased == 0)
    assert site.count(LINK_FORM) == 0
    assert site.kinds()[-1] == ("ended", 1)


@FAULTS
@pytest.mark.parametrize("name", ["upload", "upload_thumbnail", "upload_filmstrip_thumbnail"])
def test_upload_goes_on_where_it_was(site, movie, fault, name):
    """Its result is right, it is linked once, and each attempt is told of."""
    site.storage.faults = [("/store", fault), ("/store", fault)]
    assert site.upload(movie, name=name).result(LONG) == 4711
    assert site.content() == movie.read_bytes()
    assert site.count(LINK_FORM) == 1
    assert site.kinds(name) == [
        *(("submitted", 0), ("started", 1), ("repeated", 1), ("started", 2), ("repeated", 2)),
        *(("started", 3), ("ended", 3)),
    ]
    assert site.executor.stats().repeated == 2


@FAULTS
@pytest.mark.parametrize("part", [1, 2, 3])
def test_parts_that_are_stored_are_not_sent_again(site_of_parts, movie, fault, part):
    """The part that failed is asked for and sent again; nothing else is."""
    site = site_of_parts
    site.storage.faults = [(f"/store/{part}", fault)]
    assert site.upload(movie).result(LONG) == 4711
    assert site.content() == movie.read_bytes()
    sent = [request.target.partition("?")[0] for request in site.storage.of("/store/")]
    assert sent == [f"/store/{number}" for number in sorted([1, 2, 3, part])]
    assert site.count(PART_FORM) == 4
    assert site.count(INFO_FORM) == (2 if part == 1 else 1)
    assert site.count(COMPLETE_FORM) == site.count(LINK_FORM) == 1


@pytest.mark.parametrize("form", [INFO_FORM, PART_FORM])
def test_upload_whose_question_fails_goes_on(site_of_parts, movie, form):
    """The forms that ask where to store are no other."""
    site = site_of_parts
    site.storage.faults = [(form, BUSY), (form, status(502))]
    assert site.upload(movie).result(LONG) == 4711
    assert site.content() == movie.read_bytes()
    assert site.count("/store") == 3
    assert site.count(LINK_FORM) == 1
    assert site.kinds().count(("repeated", 2)) == 1


def test_file_that_could_not_be_linked_is_not_sent_again(site, movie, chunk):
    """The site was busy when all was stored: only that form is sent again."""
    site.storage.faults = [(LINK_FORM, BUSY)]
    assert site.upload(movie).result(LONG) == 4711
    assert site.count("/store") == (1 if chunk > 700_000 else 3)
    assert site.count(LINK_FORM) == 2
    assert site.count(INFO_FORM) == 1


@pytest.mark.parametrize(("fault", "sent"), [(BUSY, 3), (status(502), 6), (drop, 6)])
def test_parts_that_may_be_together_are_all_sent_again(site_of_parts, movie, fault, sent):
    """Unless the site says that it has not put them together."""
    site = site_of_parts
    site.storage.faults = [(COMPLETE_FORM, fault)]
    assert site.upload(movie).result(LONG) == 4711
    assert site.count("/store") == sent
    assert site.count(COMPLETE_FORM) == 2
    assert site.count(LINK_FORM) == 1
    assert site.content() == movie.read_bytes()


def test_file_that_changes_meanwhile_is_sent_anew(site_of_parts, movie):
    """No attachment is put together of two files."""
    site = site_of_parts
    content = os.urandom(700_000)

    def change(event):
        if event.kind == "repeated":
            movie.write_bytes(content)

    site.executor.add_observer(change)
    site.storage.faults = [("/store/3", BUSY)]
    assert site.upload(movie).result(LONG) == 4711
    assert site.content() == content
    assert site.count("/store") == 6


def test_upload_is_repeated_as_often_as_it_may_be(site, movie):
    """Then it fails by what the storage said last; nothing was linked."""
    site.storage.faults = [("/store", BUSY)] * 10
    future = site.upload(movie)
    error = future.exception(LONG)
    assert isinstance(error, UploadError)
    assert error.status == 503
    assert sent_of(error) is Sent.NOTHING
    assert not outcome_unknown(error)
    assert site.count("/store") == 4
    assert site.count(LINK_FORM) == 0


def test_each_part_may_be_repeated_as_often(site_of_parts, movie):
    """The count is that of a part: a file of many needs no larger one."""
    site = site_of_parts
    site.storage.faults = [(f"/store/{number}", BUSY) for number in (1, 2, 3) for _ in range(3)]
    site.storage.faults += [(LINK_FORM, BUSY)] * 3
    assert site.upload(movie).result(LONG) == 4711
    assert site.count("/store") == 12
    assert site.count(LINK_FORM) == 4


def test_options_of_a_call_hold_for_its_parts(site, movie):
    """`retries=0` fails at once; a deadline that the pause would pass ends it at once."""
    site.storage.faults = [("/store", BUSY)]
    error = site.upload(movie, site.executor.options(retries=0)).exception(LONG)
    assert isinstance(error, UploadError)
    site.storage.faults = [("/store", LATER)]
    error = site.upload(movie, site.executor.options(deadline=LONG)).exception(LONG)
    assert isinstance(error, UploadError)
    assert site.count("/store") == 2
    assert site.kinds().count(("repeated", 1)) == 0


def test_deadline_passes_while_an_upload_waits(site, movie):
    """It says so, and where the time went; nothing was linked."""
    gate = Gate()

    def occupy(event):
        if event.kind == "repeated":  # before the next attempt can take the worker
            site.executor.options(priority=1).submit(gate)

    site.executor.add_observer(occupy)
    site.storage.faults = [("/store", BUSY)]
    error = site.upload(movie, site.executor.options(deadline=0.3)).exception(LONG)
    gate.open()
    assert isinstance(error, DeadlineExceeded)
    assert "waited to be made again for" in str(error)
    assert not outcome_unknown(error)
    assert site.count("/store") == 1
    assert site.count(LINK_FORM) == 0


def test_dead_storage_is_not_flooded(site, movie):
    """All uploads share one budget of repeats, wherever they wait."""
    site.storage.faults = [("/store", BUSY)] * 1000
    futures = [site.upload(movie) for _ in range(20)]
    assert all(isinstance(future.exception(LONG), UploadError) for future in futures)
    assert 20 < site.count("/store") <= 40


def test_storage_that_is_busy_does_not_slow_the_site_down(site, movie):
    """The limit of calls is about the site; the form that asks it counts."""
    site.executor.limit.calls = 4
    site.storage.faults = [("/store", BUSY)]
    site.upload(movie).result(LONG)
    assert site.executor.limit.current == 4
    site.storage.faults = [(INFO_FORM, LATER)]
    site.repeated.clear()
    future = site.upload(movie)
    assert site.repeated.wait(LONG)
    assert site.executor.limit.current == 2
    future.cancel()


def test_progress_of_an_upload_that_goes_on(site_of_parts, movie):
    """It goes back to the start of the part that is sent again, no further."""
    site = site_of_parts
    told = []
    site.storage.faults = [("/store/3", BUSY)]
    with upload_progress(lambda sent, total: told.append((sent, total))):
        future = site.upload(movie)
    assert future.result(LONG) == 4711
    assert told == [(sent, 700_000) for sent in (250_000, 500_000, 700_000, 700_000)]


def test_executor_that_is_left_waits_for_uploads_that_wait(chunk, movie):
    """The end of `with` comes after their next attempts."""
    with storing(DIRECT) as (storage, server):
        storage.faults = [("/store", BUSY)]
        with executor_for(server) as executor:
            executor.shotgun._MULTIPART_UPLOAD_CHUNK_SIZE = chunk
            future = Site(storage, executor).upload(movie)
        assert future.done()
        assert future.result() == 4711


def test_upload_within_a_function_waits_where_it_is(site, movie):
    """There is no call to put aside: the function would begin anew."""
    began = []

    def publish():
        began.append(True)
        return site.executor.shotgun.upload(
            "Version", 1, str(movie), field_name="sg_uploaded_movie"
        )

    site.storage.faults = [("/store", BUSY)]
    assert site.executor.submit(publish).result(LONG) == 4711
    assert began == [True]
    assert not site.repeated.is_set()
    assert site.content() == movie.read_bytes()


def test_upload_of_the_facade_is_put_aside_as_others(site, movie):
    """The thread that waits for it is none of the workers."""
    site.storage.faults = [("/store", BUSY)]
    number = site.executor.shotgun.upload("Version", 1, str(movie), field_name="sg_uploaded_movie")
    assert number == 4711
    assert site.repeated.is_set()


def test_uploads_of_a_users_own_way_are_begun_once(movie):
    """What a subclass does before may take long, or write: its upload waits on its worker."""
    made = []

    class Studio(Shotgun):
        def upload(self, *args, **kwargs):
            made.append(args)
            return super().upload(*args, **kwargs)

    with storing(DIRECT) as (storage, server):
        storage.faults = [("/store", BUSY)]
        sg = Studio(server.url, connect=False, **KEYS)
        with ShotgunExecutor(sg, retries=FAST, max_workers=1) as executor:
            assert Site(storage, executor).upload(movie).result(LONG) == 4711
        assert len(made) == 1
        assert len(storage.of("/store")) == 2


def test_publish_goes_on_where_it_was(site_of_parts, movie, tmp_path):
    """A step of a publish is an upload as any other."""
    site = site_of_parts
    site.storage.faults = [("/store/2", BUSY)]
    with site.executor.publishing(tmp_path / "report.json") as publishing:
        item = publishing.item("v001")
        item.upload("Version", {"type": "Version", "id": 1}, str(movie), "sg_uploaded_movie")
    assert [step.state for step in publishing.report["v001"].steps.values()] == ["done"]
    assert site.count("/store") == 4
    assert site.repeated.is_set()


def test_pause_within_a_function_is_ended_by_a_shutdown(site, movie):
    """Also after the connections were closed: what closes one does not forget who waits."""
    site.storage.faults = [("/store", LATER)]
    sg = site.executor.shotgun
    future = site.executor.submit(
        lambda: sg.upload("Version", 1, str(movie), field_name="sg_uploaded_movie")
    )
    wait_until(lambda: site.executor._pool.leased == 1 and waits_in_pause(site.executor))
    site.executor.close()
    site.executor.shutdown(wait=0.0)
    assert isinstance(future.exception(LONG), ShutdownError)


def waits_in_pause(executor):
    """Whether the only worker waits on its thread before a repeat."""
    (connection,) = executor._pool._leased.values()
    return connection is not None and isinstance(connection.switch._guarded, threading.Event)


def test_upload_is_finished_at_the_exit_of_the_interpreter(sandbox, movie):
    """Nothing is put aside any more, but a part that fails is sent again all the same."""
    with ShotgunPool(sandbox.url, **sandbox.credentials) as sg:
        project = sg.create("Project", {"name": "Tidewater"})
        version = sg.create("Version", {"code": "v001", "project": project})
    script = f"""
        import threading, time
        import shotgun_executor
        executor = shotgun_executor.ShotgunExecutor({sandbox.url!r}, **{sandbox.credentials!r})

        def watch():
            while executor._dispatch.can_repeat():
                time.sleep(0.002)
            print("exiting", flush=True)

        threading.Thread(target=watch, daemon=True).start()
        path, field = {str(movie)!r}, "sg_uploaded_movie"
        executor.upload("Version", {version["id"]}, path, field_name=field)
    """
    sandbox.hold("api_get_upload_link_info")
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout.readline() == "exiting\n"
            sandbox.wait_for(1, "api_get_upload_link_info")
            sandbox.fail_next("storage_put", status=503, headers={"Retry-After": "0"})
            sandbox.resume()
            assert child.wait(LONG) == 0
        finally:
            child.kill()
    with ShotgunPool(sandbox.url, **sandbox.credentials) as sg:
        assert len(sg.find("Attachment", [])) == 1
