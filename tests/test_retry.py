"""What is made again, and what never is: the table, the verdicts, and counted executions."""

from __future__ import annotations

import datetime
import email.utils
import functools
import http.client
import socket
import ssl
import threading
import time
import traceback

import pytest
import shotgun_api3
from shotgun_api3 import ProtocolError, Shotgun

from shotgun_executor import (
    PoolTimeout,
    Retries,
    ShotgunExecutor,
    ShotgunPool,
    ThreadLocalShotgun,
    UploadError,
    outcome_unknown,
)
from shotgun_executor.contract import ServerNotFoundError
from shotgun_executor.mirror import public_methods
from shotgun_executor.opening import Aborted
from shotgun_executor.retry import (
    READS,
    Budget,
    Repeats,
    Sent,
    is_read,
    parse_retry_after,
    sent_of,
    verdict,
)
from tests.support import KEYS, LONG, NOWHERE
from tests.wire import INFO, results_of, serving, site

FAST = Retries(3, first_wait=0.001)
SHOT = [{"type": "Shot", "id": 1}]


def protocol_error(status, headers=None):
    error = ProtocolError("host", status, "no", "")
    error.headers = headers or {}
    return error


PASSING = [
    *[protocol_error(status) for status in (429, 502, 503, 504)],
    socket.timeout("silent"),
    ConnectionRefusedError(111, "refused"),
    ConnectionResetError(104, "reset"),
    BrokenPipeError(32, "pipe"),
    http.client.RemoteDisconnected("gone"),
    http.client.IncompleteRead(b""),
    ssl.SSLEOFError(8, "EOF"),
    ServerNotFoundError("no such server"),
    OSError(113, "no route"),
    UploadError("busy", 503),
]
LASTING = [
    *[protocol_error(status) for status in (301, 400, 401, 403, 404, 413, 500)],
    shotgun_api3.Fault("no"),
    shotgun_api3.AuthenticationFault("no"),
    ssl.SSLCertVerificationError(1, "stranger"),
    FileNotFoundError(2, "no file"),
    OSError(28, "disk full"),
    ValueError("no JSON"),
    UploadError("too large", 413),
    PoolTimeout("none came free"),
    Aborted(),
    KeyError("x"),
]


def test_table_names_only_methods_that_exist_and_the_rest_writes():
    """Each entry of the table is a method of the client; what is not in it counts as a write."""
    assert set(READS) <= set(public_methods())
    writes = {name for name in public_methods() if not is_read(name)}
    assert {"create", "update", "delete", "batch", "upload", "revive", "follow"} <= writes
    assert not is_read("a_method_of_tomorrow")


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_verdict_reads_repeat_on_what_passes(error):
    """Whatever was sent; a write only if nothing of it was carried out."""
    for sent in Sent:
        assert verdict("find", error, sent).repeat
        assert verdict("create", error, sent).repeat is (sent is Sent.NOTHING)
        assert not verdict("a_studios_method", error, sent).repeat


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_verdict_nothing_repeats_on_what_lasts(error):
    """A refusal is final, for reads too."""
    for sent in Sent:
        assert not verdict("find", error, sent).repeat
        assert not verdict("create", error, sent).repeat


def test_retry_after_is_read_in_both_forms_and_capped():
    """Seconds and dates, from any error that has headers; nonsense is ignored."""
    assert parse_retry_after("7") == 7
    now = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
    later = email.utils.format_datetime(now + datetime.timedelta(seconds=90), usegmt=True)
    assert parse_retry_after(later, now.timestamp()) == 90
    assert parse_retry_after(later, now.timestamp() + 1000) == 0
    for nonsense in ("", "soon", "-3", "1.5.2", None, "99999999999999999999 years"):
        assert parse_retry_after(nonsense) is None
    repeats = Repeats(Retries(1, first_wait=0, longest_retry_after=30))
    asked = repeats.after("find", protocol_error(429, {"retry-after": "7"}), 1)
    assert asked[:2] == (True, 7)
    assert repeats.after("find", protocol_error(429, {"retry-after": "3600"}), 1).after == 30


def test_retries_waits_are_spread_and_grow():
    """Full jitter: anything up to a bound that doubles, up to the longest."""
    policy = Retries(10, first_wait=1, longest_wait=4)
    for attempt, bound in [(1, 1), (2, 2), (3, 4), (9, 4), (5000, 4)]:
        waits = [policy.wait_before(attempt, None) for _ in range(200)]
        assert 0 <= min(waits) < bound / 4
        assert bound * 3 / 4 < max(waits) <= bound


def test_retries_never_change_and_check_themselves():
    """A policy may be shared by threads, and says what is wrong with it at once."""
    policy = Retries(2)
    with pytest.raises(AttributeError, match="make another"):
        policy.count = 5
    assert "count=2" in repr(policy)
    for wrong in (-1, 1.5, True, "3"):
        with pytest.raises(ValueError, match="count"):
            Retries(wrong)
    for name in ("first_wait", "longest_wait", "longest_retry_after", "within"):
        with pytest.raises(ValueError, match=name):
            Retries(1, **{name: -1})


@pytest.mark.parametrize("cls", [ShotgunExecutor, ShotgunPool, ThreadLocalShotgun])
def test_retries_argument_is_checked(cls):
    """A number, a policy, or nothing."""
    with pytest.raises(TypeError, match=f"{cls.__name__}: retries must be a number or a Retries"):
        cls(NOWHERE, **KEYS, retries="3")
    with pytest.raises(ValueError, match="0 fails at once"):
        cls(NOWHERE, **KEYS, retries=-1)
    for given, count in [(None, 3), (0, 0), (Retries(7), 7)]:
        with cls(NOWHERE, **KEYS, retries=given) as owner:
            assert owner._prototype.repeats.policy.count == count


def test_repeats_end_with_the_count_the_time_and_the_budget():
    """Each limit of its own ends them, and says so."""
    error = ConnectionResetError("reset")
    repeats = Repeats(Retries(2, first_wait=0))
    assert [repeats.after("find", error, attempt).repeat for attempt in (1, 2, 3)] == [1, 1, 0]
    assert not Repeats(Retries(9, within=5)).after("find", error, 1, elapsed=5.1).repeat
    short = Repeats(Retries(9, first_wait=0), Budget(2, refund=0.5))
    assert [short.after("find", error, 1).repeat for _ in range(3)] == [True, True, False]
    assert "too many calls fail" in short.after("find", error, 1).reason
    short.succeeded()
    short.succeeded()
    assert short.after("find", error, 1).repeat
    assert Repeats(Retries(0)).after("find", error, 1, policy=Retries(1)).repeat


def test_budget_is_never_more_than_full():
    """Successes give back what was taken, not more."""
    budget = Budget(2, refund=5)
    budget.succeeded()
    assert [budget.take() for _ in range(3)] == [True, True, False]
    budget.succeeded()
    assert repr(budget) == "<Budget 2 of 2 repeats left>"


# Against a server that counts


def failing(method, times, how):
    """A site on which the first requests of a method end as *how* has it."""
    left = [times]

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            if request.name == method and left[0]:
                left[0] -= 1
                if how(peer):
                    return
            else:
                peer.answer(results_of(request))

    return script


def status(code, headers=""):
    return lambda peer: peer.answer(b"busy", code, headers)


def drop(peer):
    peer.reset()
    return True


def half(peer):
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
    return True


def silence(peer):
    peer.wait()
    return True


FAULTS = {
    "429": status(429, "Retry-After: 0\r\n"),
    "502": status(502),
    "503": status(503),
    "504": status(504),
    "reset": drop,
    "half": half,
    "silence": silence,
}


@pytest.mark.parametrize("cls", [ShotgunPool, ThreadLocalShotgun])
@pytest.mark.parametrize("fault", FAULTS)
def test_reads_are_made_again_until_they_are_answered(cls, fault):
    """Two faults of any kind, then the right answer: the caller does not notice."""
    with serving(failing("read", 2, FAULTS[fault])) as server:
        with cls(server.url, **KEYS, retries=FAST, read_timeout=0.2) as sg:
            assert sg.find("Shot", []) == SHOT
            assert server.names().count("read") == 3


@pytest.mark.parametrize("fault", FAULTS)
def test_reads_end_in_their_error_when_it_lasts(fault):
    """After the last attempt the error is that of the client, and no outcome is in doubt."""
    with serving(failing("read", 99, FAULTS[fault])) as server:
        with ShotgunPool(
            server.url, **KEYS, retries=Retries(1, first_wait=0), read_timeout=0.1
        ) as sg:
            with pytest.raises((ProtocolError, OSError, http.client.HTTPException)) as raised:
                sg.find("Shot", [])
            assert not outcome_unknown(raised.value)
            assert server.names().count("read") == 2


@pytest.mark.parametrize("cls", [ShotgunPool, ThreadLocalShotgun])
@pytest.mark.parametrize("fault", FAULTS)
def test_writes_are_carried_out_at_most_once(cls, fault):
    """Only what the site has certainly not carried out is sent again; the rest says so."""
    with serving(failing("create", 1, FAULTS[fault])) as server:
        with cls(server.url, **KEYS, retries=FAST, read_timeout=0.2) as sg:
            data = {
                "code": "sh010",
                "api_key": "hush-hush",
                "project": {"type": "Project", "id": 1},
            }
            if fault in ("429", "503"):
                assert sg.create("Shot", data)["id"] == 7
                assert server.names().count("create") == 2
                return
            with pytest.raises((ProtocolError, OSError, http.client.HTTPException)) as raised:
                sg.create("Shot", data)
            assert server.names().count("create") == 1
            error = raised.value
            assert outcome_unknown(error)
            assert sent_of(error) is Sent.UNKNOWN
            shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            for part in ("is not known", "sh010", "look for a Shot"):
                assert part in shown
                assert part in str(error)
            for secret in ("hush-hush", KEYS["api_key"]):
                assert secret not in shown


@pytest.mark.parametrize("fault", FAULTS)
def test_futures_are_made_again_only_where_that_is_safe(fault):
    """A write of a future is repeated if the site did not carry it out, and else says so."""
    with serving(failing("create", 1, FAULTS[fault])) as server:
        retries = Retries(2, first_wait=0)
        with ShotgunExecutor(server.url, **KEYS, read_timeout=0.2, retries=retries) as executor:
            future = executor.create("Shot", {"code": "a"})
            safe = fault in ("429", "503")
            error = future.exception(LONG)
            assert (error is None) is safe
            assert safe or outcome_unknown(error)
            assert server.names().count("create") == (2 if safe else 1)


@pytest.mark.parametrize("fault", FAULTS)
def test_futures_of_reads_are_made_again(fault):
    """A read of a future is repeated after whatever passes."""
    with serving(failing("read", 2, FAULTS[fault])) as server:
        retries = Retries(2, first_wait=0)
        with ShotgunExecutor(server.url, **KEYS, read_timeout=0.2, retries=retries) as executor:
            assert executor.find_one("Shot", []).result(LONG) is not None
        assert server.names().count("read") == 3


def test_writes_are_sent_again_when_the_site_refused_the_connection():
    """A refused connection has carried nothing out: the call goes through when the site is up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    sg = ShotgunPool(f"http://127.0.0.1:{port}", **KEYS, retries=Retries(2, first_wait=0))
    refused = []

    class Counting(Repeats):
        def after(self, method, error, attempt, **kwargs):
            refused.append((method, type(error), sent_of(error)))
            return super().after(method, error, attempt, **kwargs)

    sg._prototype.repeats = Counting(sg._prototype.repeats.policy)
    with pytest.raises(ConnectionRefusedError) as raised:
        sg.create("Shot", {"code": "a"})
    assert refused == [("create", ConnectionRefusedError, Sent.NOTHING)] * 3
    assert not outcome_unknown(raised.value)


def test_writes_whose_body_broke_off_are_sent_again():
    """Half a body cannot have been carried out, so the call is made again, and once is enough."""
    received = []

    def script(peer):
        if peer.number == 0:
            peer.file.readline()
            peer.reset()
            return
        while True:
            request = peer.read()
            if request is None:
                return
            received.append(request.name)
            peer.answer(results_of(request), headers="Connection: close\r\n")
            return

    with serving(script) as server, ShotgunPool(server.url, **KEYS, retries=FAST) as sg:
        record = sg.create("Shot", {"description": "x" * 20_000_000})
        assert record["id"] == 7
        assert received == ["create"]


def test_faults_of_the_site_are_no_unknown_outcome():
    """An answer that says no is an answer."""

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            if request.name == "create":
                peer.answer({"exception": True, "message": "no such field", "error_code": 104})
            else:
                peer.answer(results_of(request))

    with serving(script) as server, ShotgunPool(server.url, **KEYS, retries=FAST) as sg:
        with pytest.raises(shotgun_api3.Fault) as raised:
            sg.create("Shot", {"code": "a"})
        assert not outcome_unknown(raised.value)
        assert sent_of(raised.value) is Sent.NOTHING
        assert server.names() == ["create"]


@pytest.mark.parametrize("answer", [b"<html>gateway</html>", b'{"results": {"type"'])
def test_answers_nobody_can_read_leave_the_outcome_unknown(answer):
    """A write that was answered by garbage may have been carried out."""

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            peer.answer(answer)

    with serving(script) as server, ShotgunPool(server.url, **KEYS, retries=FAST) as sg:
        with pytest.raises(ValueError, match="is not known") as raised:
            sg.update("Shot", 12, {"code": "a"})
        assert outcome_unknown(raised.value)
        assert 'find_one("Shot", [["id", "is", 12]]' in str(raised.value)
        assert server.names() == ["update"]


def test_a_call_that_wrote_before_it_failed_is_not_made_again(tmp_path):
    """`create` with an image: the entity is there, so it is not repeated, and tells the id."""
    image = tmp_path / "thumb.png"
    image.write_bytes(b"png")

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            if request.target.startswith("/upload"):
                peer.answer(b"busy", 503)
            elif request.name == "info":
                peer.answer({**INFO, "s3_direct_uploads_enabled": False})
            else:
                peer.answer(results_of(request))

    with serving(script) as server, ShotgunPool(server.url, **KEYS, retries=FAST) as sg:
        with pytest.raises(UploadError, match=r"503.*had created Shot 7") as raised:
            sg.create("Shot", {"code": "a", "image": str(image)})
        assert raised.value.status == 503
        assert raised.value.made == [{"type": "Shot", "id": 7}]
        assert sent_of(raised.value) is Sent.EXECUTED
        assert server.names().count("create") == 1


@pytest.mark.parametrize("on_executor", [False, True])
def test_a_read_of_a_users_class_that_wrote_is_not_made_again(on_executor):
    """A `find` that creates what it does not find is a read by its name alone."""

    class Studio(Shotgun):
        def find(self, *args, **kwargs):
            self.create("Shot", {"code": "a"})
            return super().find(*args, **kwargs)

    with serving(failing("read", 1, status(502))) as server:
        sg = Studio(server.url, connect=False, **KEYS)
        cls = ShotgunExecutor if on_executor else ShotgunPool
        with cls(sg, retries=FAST) as client:
            find = functools.partial(client.find, "Shot", [])
            with pytest.raises(ProtocolError):
                find().result(LONG) if on_executor else find()
        assert server.names().count("create") == 1


def test_a_dead_site_is_not_flooded():
    """Many calls that fail share one budget of repeats."""
    with serving(failing("read", 10_000, status(503))) as server:
        with ShotgunPool(server.url, **KEYS, retries=FAST) as sg:
            sg._prototype.repeats.budget = Budget(5)
            for _ in range(20):
                with pytest.raises(ProtocolError):
                    sg.find("Shot", [])
            assert server.names().count("read") == 20 + 5


def test_waits_between_attempts_end_with_ctrl_c(monkeypatch):
    """Whoever waits for a repeat can be interrupted."""

    class Interrupted(threading.Event().__class__):
        def wait(self, timeout=None):
            raise KeyboardInterrupt

    with serving(failing("read", 9, status(503))) as server:
        with ShotgunPool(server.url, **KEYS) as sg:
            sg.connect()
            monkeypatch.setattr("shotgun_executor.attempts.threading.Event", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                sg.find("Shot", [])
            monkeypatch.undo()
            assert repr(sg._pool) == "<ConnectionPool 0 leased, 1 idle>"


def test_retry_after_is_obeyed(monkeypatch):
    """The site says when to come back, and we do."""
    waits = []

    class Noting(threading.Event().__class__):
        def wait(self, timeout=None):
            waits.append(timeout)

    with serving(failing("read", 2, status(429, "Retry-After: 40\r\n"))) as server:
        with ShotgunPool(server.url, **KEYS, retries=Retries(3, first_wait=1)) as sg:
            sg.connect()
            monkeypatch.setattr("shotgun_executor.attempts.threading.Event", Noting)
            assert sg.find("Shot", []) == SHOT
            monkeypatch.undo()
    assert len(waits) == 2
    assert all(40 <= wait <= 41 for wait in waits)


def test_repeats_get_their_own_arguments():
    """The client writes into its arguments; the second attempt is given them unharmed."""
    with serving(failing("read", 1, status(503))) as server:
        with ShotgunPool(server.url, **KEYS, retries=FAST) as sg:
            order = [{"field_name": "code"}]
            assert sg.find("Shot", [], order=order) == SHOT
            assert order == [{"field_name": "code"}]
            first, second = [r.body for r in server.requests if r.name == "read"]
            assert first == second


def test_official_client_does_what_we_avoid():
    """The reason for all this: it sends a write three times on a 504, and twice on a drop."""
    with serving(failing("create", 2, status(504))) as server:
        sg = Shotgun(server.url, connect=False, **KEYS)
        sg.BACKOFF = 0
        sg.create("Shot", {"code": "a"})
        assert server.names().count("create") == 3
        sg.close()


def test_time_is_not_spent_when_retries_are_off():
    """`retries=0` fails at once."""
    with serving(failing("read", 1, status(503))) as server:
        with ShotgunPool(server.url, **KEYS, retries=0) as sg:
            began = time.monotonic()
            with pytest.raises(ProtocolError):
                sg.find("Shot", [])
            assert time.monotonic() - began < LONG / 4
            assert server.names() == ["info", "read"]


def test_pool_that_is_full_is_no_reason_to_repeat():
    """PoolTimeout is about us, not about the site."""
    with serving(site) as server:
        with ShotgunPool(server.url, **KEYS, max_size=1, timeout=0.01) as sg, sg.lease():
            with pytest.raises(PoolTimeout):
                sg.find("Shot", [])
