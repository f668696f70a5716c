"""Sessions: one token for all connections, one renewal for all who need it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time

import pytest
import shotgun_api3
from shotgun_api3 import AuthenticationFault, Shotgun
from shotgun_api3.shotgun import ShotgunFileDownloadError

from shotgun_executor import (
    ShotgunExecutor,
    ShotgunPool,
    ThreadLocalShotgun,
    UploadError,
    session,
)
from shotgun_executor.opening import Aborted, AbortSwitch
from shotgun_executor.retry import Sent, sent_of
from shotgun_executor.session import NotRenewed, Sessions
from tests.support import LONG, NOWHERE, Gate, in_thread
from tests.test_files import FORMS, Storage, form
from tests.test_interrupts import interrupted_at
from tests.wire import INFO, serving

FRONTS = ["executor", "executor.shotgun", "ShotgunPool", "ThreadLocalShotgun"]
MANY = 32


class Futures:
    """An executor whose futures are waited for at once."""

    def __init__(self, executor):
        self.executor = executor

    def __getattr__(self, name):
        method = getattr(self.executor, name)
        return lambda *args, **kwargs: method(*args, **kwargs).result(LONG)


@contextlib.contextmanager
def front_of(name, *args, **kwargs):
    """A client that threads may share, by its name; and what has its ``config``."""
    if name.startswith("executor"):
        with ShotgunExecutor(*args, max_workers=MANY, **kwargs) as executor:
            yield (Futures(executor) if name == "executor" else executor.shotgun), executor
        return
    cls = {"ShotgunPool": ShotgunPool, "ThreadLocalShotgun": ThreadLocalShotgun}[name]
    with cls(*args, **kwargs) as sg:
        yield sg, sg


@pytest.fixture(params=FRONTS)
def front(request):
    """Makes each of the clients, from the arguments that all of them take."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(front_of(request.param, *args, **kwargs))


def new_token(sandbox):
    """Sign in anew, by another client."""
    sg = Shotgun(sandbox.url, connect=False, login=sandbox.login, password=sandbox.password)
    try:
        return sg.get_session_token()
    finally:
        sg.close()


class Renewal:
    """A function that renews sessions, and counts how often it was called."""

    def __init__(self, sandbox, answer=None):
        self.sandbox = sandbox
        self.answer = answer
        self.calls = []

    def __call__(self):
        self.calls.append(threading.get_ident())
        return new_token(self.sandbox) if self.answer is None else self.answer()


def all_refused(sg, sandbox, count):
    """*count* creates, of which each is on its way with a token that expires then."""
    sg.find("Project", [])
    sandbox.hold("create", before=True)
    codes = [f"sh{number:03}" for number in range(count)]
    joins = [in_thread(lambda code=code: sg.create("Project", {"name": code})) for code in codes]
    sandbox.wait_for(count, "create", timeout=LONG)
    sandbox.expire_sessions()
    sandbox.resume("create")
    return joins


def expired(sg, sandbox):
    """Let the session of *sg* expire."""
    sg.find("Project", [])
    sandbox.expire_sessions()


def waiting(owner, count):
    """Return when so many calls wait for a renewal."""
    sessions = owner._prototype.sessions
    end = time.monotonic() + LONG
    while sessions._flight is None or len(sessions._flight.waiting) < count:
        assert time.monotonic() < end, "too few calls wait for the renewal"
        threading.Event().wait(0.001)


# One renewal for all.


def test_session_is_renewed_once_for_all_calls_that_meet_its_end(front, sandbox):
    """32 writes are refused at once: one renewal, and each is carried out exactly once."""
    renew = Renewal(sandbox)
    sg, owner = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    joins = all_refused(sg, sandbox, MANY)
    made = {join()["id"] for join in joins}
    assert len(made) == MANY
    assert len(renew.calls) == 1
    counters = sandbox.counters()
    assert counters.writes == MANY
    assert counters.requests["create"] == 2 * MANY
    assert owner.config.session_token != ""
    assert len(sg.find("Project", [])) == MANY
    assert len(renew.calls) == 1


def test_session_token_seen_late_is_replaced_by_the_newer_one(front, sandbox):
    """A call that is refused with an old token takes the new one, and asks nobody."""
    renew = Renewal(sandbox)
    sg, _ = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    sg.find("Project", [])
    sandbox.hold("create", before=True)
    late = in_thread(lambda: sg.create("Project", {"name": "late"}))
    sandbox.wait_for(1, "create")
    sandbox.expire_sessions()
    assert sg.find("Shot", []) == []
    assert len(renew.calls) == 1
    sandbox.resume("create")
    assert late()["name"] == "late"
    assert len(renew.calls) == 1
    assert sandbox.counters().writes == 1


def test_session_token_that_the_user_sets_is_taken_by_calls_that_were_refused(front, sandbox):
    """Without a function too: whoever is refused with the old token goes on with the new one."""
    sg, owner = front(sandbox.url, session_token=new_token(sandbox))
    sg.find("Project", [])
    sandbox.hold("create", before=True)
    late = in_thread(lambda: sg.create("Project", {"name": "late"}))
    sandbox.wait_for(1, "create")
    sandbox.expire_sessions()
    owner.config.session_token = new_token(sandbox)
    sandbox.resume("create")
    assert late()["name"] == "late"


def test_session_that_ends_twice_is_renewed_twice(front, sandbox):
    """A renewal is for one token: when the next one expires, there is another."""
    renew = Renewal(sandbox)
    sg, _ = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    for count in (1, 2, 3):
        expired(sg, sandbox)
        assert sg.find("Shot", []) == []
        assert len(renew.calls) == count


def test_session_renewal_reaches_a_lease_that_was_out_before(sandbox):
    """A connection that was leased with the old token goes on with the new one."""
    renew = Renewal(sandbox)
    with ShotgunPool(sandbox.url, session_token=new_token(sandbox), renew_session=renew) as pool:
        with pool.lease() as sg:
            expired(sg, sandbox)
            assert pool.find("Shot", []) == []
            assert sg.find("Shot", []) == []
        with pool.lease() as sg:
            assert sg.find("Shot", []) == []
        assert len(renew.calls) == 1


def test_session_end_without_a_function_is_the_fault_of_the_site(front, sandbox):
    """Nobody is asked, nothing repeated: the site's fault comes out as it is."""
    sg, _ = front(sandbox.url, session_token=new_token(sandbox))
    expired(sg, sandbox)
    with pytest.raises(AuthenticationFault) as caught:
        sg.create("Project", {"name": "sh010"})
    assert "renew" not in str(caught.value)
    assert sandbox.counters().requests["create"] == 1


def test_session_is_not_renewed_for_who_signs_in_otherwise(front, sandbox):
    """A wrong key of a script, or a wrong password, is no session: the function is not called."""
    renew = Renewal(sandbox)
    for wrong in (
        {"script_name": sandbox.script_name, "api_key": "wrong"},
        {"login": sandbox.login, "password": "wrong"},
    ):
        sg, _ = front(sandbox.url, **wrong, renew_session=renew)
        with pytest.raises(AuthenticationFault):
            sg.find("Shot", [])
    assert sandbox.counters().requests["read"] == 2
    sg, _ = front(sandbox.url, **sandbox.credentials, renew_session=renew)
    assert sg.get_session_token()  # for downloads: requests go on with the key
    sandbox.fail_next("read", "session_expired")
    with pytest.raises(AuthenticationFault):
        sg.find("Shot", [])
    assert renew.calls == []


def test_session_that_a_call_has_set_for_itself_is_not_renewed(sandbox):
    """The pool's new token is never given to who signs in as somebody else."""
    renew = Renewal(sandbox)
    with ShotgunPool(sandbox.url, session_token=new_token(sandbox), renew_session=renew) as pool:
        with pool.lease() as sg:
            sg.config.session_token = "somebody's"
            with pytest.raises(AuthenticationFault):
                sg.find("Shot", [])
        assert renew.calls == []
        assert pool.find("Shot", []) == []


def test_session_end_is_also_the_way_to_a_page_to_sign_in(front, sandbox):
    """A site that sends the client to its page to sign in says that the session is over."""
    renew = Renewal(sandbox)
    sg, _ = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    sandbox.fail_next("create", "login_required")
    assert sg.create("Project", {"name": "sh010"})["name"] == "sh010"
    assert len(renew.calls) == 1
    assert sandbox.counters().writes == 1


# A renewal that fails.


def refuse():
    raise LookupError("nobody is there; token=hush")


@pytest.mark.parametrize(
    ("answer", "text", "cause", "sent"),
    [
        (lambda: None, "renew_session returned None", type(None), 1),
        (refuse, "renew_session raised LookupError", LookupError, 1),
        (lambda: "", "a session token or None, not an empty str", type(None), 1),
        (lambda: 7, "a session token or None, not a int", type(None), 1),
        (lambda: "rubbish", "the site refuses the token that renew_session", type(None), 2),
    ],
    ids=["None", "raises", "empty", "number", "rubbish"],
)
def test_session_renewal_that_fails_fails_all_who_wait_once(
    front, sandbox, answer, text, cause, sent
):
    """One question, and each call that waits gets the site's fault, with the reason."""
    renew = Renewal(sandbox, answer)
    sg, _ = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    errors = []
    for join in all_refused(sg, sandbox, 16):
        with pytest.raises(AuthenticationFault, match=text) as caught:
            join()
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 16
    assert {type(error.__cause__) for error in errors} == {cause}
    assert {sent_of(error) for error in errors} == {Sent.NOTHING}
    assert not any("hush" in str(error) for error in errors)
    assert len(renew.calls) == 1
    assert sandbox.counters().writes == 0
    assert sandbox.counters().requests["create"] == 16 * sent
    with pytest.raises(AuthenticationFault, match=text):
        sg.find("Shot", [])
    assert len(renew.calls) == 1


def test_session_renewal_is_tried_again_after_a_pause(front, sandbox, monkeypatch):
    """A refusal is not for ever: a call that comes later asks again."""
    renew = Renewal(sandbox, lambda: None)
    sg, _ = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    expired(sg, sandbox)
    for _ in range(3):
        with pytest.raises(AuthenticationFault):
            sg.find("Shot", [])
    assert len(renew.calls) == 1
    monkeypatch.setattr(session, "RENEWAL_PAUSE", 0.0)
    with pytest.raises(AuthenticationFault):
        sg.find("Shot", [])
    assert len(renew.calls) == 2
    renew.answer = None  # a good one
    assert sg.find("Shot", []) == []
    assert len(renew.calls) == 3


def test_session_token_that_the_user_sets_after_a_refusal_is_used_at_once(front, sandbox):
    """Nobody waits for the end of the pause who has a good token."""
    renew = Renewal(sandbox, lambda: None)
    sg, owner = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    expired(sg, sandbox)
    with pytest.raises(AuthenticationFault):
        sg.find("Shot", [])
    owner.config.session_token = new_token(sandbox)
    assert sg.find("Shot", []) == []
    assert len(renew.calls) == 1


# A renewal that takes its time.


def blocked(front, sandbox):
    """A client, what it was made from, and the gate in which its first call renews the session."""
    gate = Gate()
    renew = Renewal(sandbox, lambda: gate(None) or new_token(sandbox))
    sg, owner = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    expired(sg, sandbox)
    first = in_thread(lambda: sg.find("Shot", []))
    gate.wait_for(1)
    return sg, owner, gate, first, renew


def test_session_renewal_that_hangs_holds_nobody_longer_than_its_limit(front, sandbox, monkeypatch):
    """Who has waited long enough fails with the site's fault; who comes later, at once."""
    monkeypatch.setattr(session, "RENEWAL_LIMIT", 0.05)
    sg, _, gate, first, renew = blocked(front, sandbox)
    try:
        for _ in range(3):
            with pytest.raises(
                AuthenticationFault, match="another call has been signing in for more than"
            ):
                sg.find("Shot", [])
        assert len(renew.calls) == 1
    finally:
        gate.open()
    assert first() == []
    assert sg.find("Shot", []) == []
    assert len(renew.calls) == 1


def test_session_wait_for_a_renewal_is_aborted(sandbox):
    """abort() wakes the one call that waits, and no other."""
    with contextlib.ExitStack() as stack:
        made = lambda *args, **kwargs: stack.enter_context(  # noqa: E731
            front_of("ShotgunPool", *args, **kwargs)
        )
        sg, owner, gate, first, renew = blocked(made, sandbox)
        lease = owner.lease()
        with lease:
            aborted = in_thread(lambda: lease.connection.run(lambda sg: sg.find("Shot", [])))
            waiting(owner, 1)
            other = in_thread(lambda: sg.find("Shot", []))
            waiting(owner, 2)
            lease.connection.abort()
            with pytest.raises(Aborted):
                aborted()
            waiting(owner, 1)
        gate.open()
        assert (first(), other()) == ([], [])
        assert len(renew.calls) == 1


def test_session_renewal_whose_call_is_aborted_is_kept(sandbox):
    """abort() does not end the user's function; its token is there for the next call."""
    with contextlib.ExitStack() as stack:
        gate = Gate()
        renew = Renewal(sandbox, lambda: gate(None) or new_token(sandbox))
        pool, _ = stack.enter_context(
            front_of(
                "ShotgunPool", sandbox.url, session_token=new_token(sandbox), renew_session=renew
            )
        )
        expired(pool, sandbox)
        lease = stack.enter_context(contextlib.closing(Leased(pool)))
        aborted = in_thread(lambda: lease.connection.run(lambda sg: sg.find("Shot", [])))
        gate.wait_for(1)
        lease.connection.abort()
        gate.open()
        with pytest.raises(Aborted):
            aborted()
        assert pool.find("Shot", []) == []
        assert len(renew.calls) == 1


class Leased:
    """A connection of a pool."""

    def __init__(self, pool):
        self._lease = pool.lease()
        self.connection = self._lease.connection

    def close(self):
        self._lease.release()


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_session_wait_for_a_renewal_ends_by_ctrl_c(front, sandbox):
    """The main thread, which waits for somebody else's renewal, is interrupted at once."""
    sg, owner, gate, first, renew = blocked(front, sandbox)

    def interrupt():
        waiting(owner, 1)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = in_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        sg.find("Shot", [])
    interrupting()
    gate.open()
    assert first() == []
    assert sg.find("Shot", []) == []
    assert len(renew.calls) == 1


@pytest.mark.parametrize("name", ["ShotgunPool", "ThreadLocalShotgun"])
def test_session_renewal_that_is_interrupted_is_taken_over(name, sandbox):
    """Ctrl-C in the user's function: one of those who wait calls it anew."""
    gate = Gate()

    def renew():
        if threading.current_thread() is threading.main_thread():
            gate.entered.release()
            waiting(owner, 1)
            raise KeyboardInterrupt
        return new_token(sandbox)

    with front_of(name, sandbox.url, session_token=new_token(sandbox), renew_session=renew) as (
        sg,
        owner,
    ):
        expired(sg, sandbox)

        def second():
            gate.wait_for(1)
            return sg.find("Shot", [])

        other = in_thread(second)
        with pytest.raises(KeyboardInterrupt):
            sg.find("Shot", [])
        assert other() == []
        assert sg.find("Shot", []) == []


# A function that uses what it renews.


def test_session_renewal_may_use_the_client_that_it_renews(front, sandbox):
    """A call from within does not wait for itself: it fails, or works with what was set."""
    seen = []

    def renew():
        with pytest.raises(AuthenticationFault, match="made by what renews the session"):
            sg.find("Shot", [])
        owner.config.session_token = new_token(sandbox)
        seen.append(sg.find("Project", []))
        return owner.config.session_token

    sg, owner = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    expired(sg, sandbox)
    assert sg.find("Shot", []) == []
    assert seen == [[]]


def test_session_renewal_may_wait_for_futures_of_its_executor(sandbox):
    """Also if other workers take them: the calls know that they are a part of the renewal."""
    errors = []

    def renew():
        futures = [executor.find("Shot", []) for _ in range(20)]
        errors.extend(future.exception(LONG) for future in futures)
        return new_token(sandbox)

    with ShotgunExecutor(
        sandbox.url, session_token=new_token(sandbox), renew_session=renew
    ) as executor:
        expired(Futures(executor), sandbox)
        assert executor.find("Shot", []).result(LONG) == []
    assert {type(error) for error in errors} == {AuthenticationFault}


def test_session_renewal_may_wait_for_a_future_from_before(sandbox):
    """One worker, which must run the call itself: it fails rather than wait for its own end."""
    errors = []

    def renew():
        errors.append(later[0].exception(LONG))
        return new_token(sandbox)

    with ShotgunExecutor(
        sandbox.url, session_token=new_token(sandbox), renew_session=renew, max_workers=1
    ) as executor:
        executor.find("Project", []).result(LONG)
        sandbox.hold("read", before=True)
        first = executor.find("Shot", [])
        sandbox.wait_for(1, "read")
        later = [executor.find("Shot", [])]
        sandbox.expire_sessions()
        sandbox.resume()
        assert first.result(LONG) == []
    assert [type(error) for error in errors] == [AuthenticationFault]


def test_session_renewals_of_two_pools_may_need_each_other(sandbox):
    """The function of one pool uses another, whose function uses the first: no lock-up."""

    def renew_first():
        return second.find("Project", []) or new_token(sandbox)

    def renew_second():
        with pytest.raises(AuthenticationFault):
            first.find("Project", [])
        return new_token(sandbox)

    token = new_token(sandbox)
    with ShotgunPool(sandbox.url, session_token=token, renew_session=renew_first) as first:
        with ShotgunPool(sandbox.url, session_token=token, renew_session=renew_second) as second:
            expired(first, sandbox)
            assert first.find("Shot", []) == []


# Toolkit's way.


def wrapper_of(sandbox, renewed):
    """A class like Toolkit's, which renews its own token and repeats the call."""

    class Wrapper(Shotgun):
        def _call_rpc(self, *args, **kwargs):
            try:
                return super()._call_rpc(*args, **kwargs)
            except AuthenticationFault:
                renewed.append(threading.get_ident())
                self.config.session_token = new_token(sandbox)
                return super()._call_rpc(*args, **kwargs)

    return Wrapper


def test_session_that_a_wrapper_renews_is_shared(front, sandbox):
    """A subclass with a `_call_rpc` of its own renews the session; all connections have it then."""
    renewed = []
    wrapper = wrapper_of(sandbox, renewed)
    never = Renewal(sandbox)
    sg, owner = front(
        wrapper(sandbox.url, session_token=new_token(sandbox), connect=False), renew_session=never
    )
    expired(sg, sandbox)
    before = owner.config.session_token
    assert sg.create("Project", {"name": "sh010"})["name"] == "sh010"
    assert owner.config.session_token != before
    joins = [in_thread(lambda: sg.find("Project", [])) for _ in range(8)]
    assert {len(join()) for join in joins} == {1}
    assert len(renewed) == 1
    assert never.calls == []
    assert sandbox.counters().writes == 1


def test_session_of_a_factory_with_a_wrapper_survives_its_end(front, sandbox):
    """As from Toolkit's `create_sg_connection`: many writes meet the end, each is done once."""
    renewed = []
    wrapper = wrapper_of(sandbox, renewed)
    token = new_token(sandbox)
    sg, _ = front(factory=lambda: wrapper(sandbox.url, session_token=token, connect=False))
    joins = all_refused(sg, sandbox, 8)
    assert len({join()["id"] for join in joins}) == 8
    assert sandbox.counters().writes == 8


def test_session_of_a_factory_is_renewed_once(front, sandbox):
    """Clients that a factory makes share the renewed token, those made later too."""
    renew = Renewal(sandbox)
    token = new_token(sandbox)
    sg, _ = front(
        factory=lambda: Shotgun(sandbox.url, session_token=token, connect=False),
        renew_session=renew,
    )
    joins = all_refused(sg, sandbox, 8)
    assert len({join()["id"] for join in joins}) == 8
    joins = [in_thread(lambda: sg.find("Project", [])) for _ in range(16)]
    assert {len(join()) for join in joins} == {8}
    assert len(renew.calls) == 1


# Files.


def test_session_that_ends_during_an_upload_is_renewed_where_the_upload_is(
    front, sandbox, tmp_path
):
    """The bytes are stored once, and only the step that was refused is made again."""
    path = tmp_path / "sh010.mov"
    path.write_bytes(b"movie" * 1000)
    renew = Renewal(sandbox)
    sg, _ = front(sandbox.url, session_token=new_token(sandbox), renew_session=renew)
    project = sg.create("Project", {"name": "p"})
    version = sg.create("Version", {"code": "v1", "project": project})
    sandbox.hold("storage_put")
    upload = in_thread(
        lambda: sg.upload("Version", version["id"], str(path), field_name="sg_uploaded_movie")
    )
    sandbox.wait_for(1, "storage_put")
    sandbox.expire_sessions()
    sandbox.resume()
    number = upload()
    requests = sandbox.counters().requests
    assert (requests["api_get_upload_link_info"], requests["storage_put"]) == (1, 1)
    assert requests["api_link_file"] == 2
    assert len(renew.calls) == 1
    found = sg.find_one("Version", [["id", "is", version["id"]]], ["sg_uploaded_movie"])
    assert found["sg_uploaded_movie"]["id"] == number


def test_session_that_is_not_renewed_ends_an_upload_with_what_it_had_made(sandbox, tmp_path):
    """A refused form is a refused call: the site has made no attachment."""
    path = tmp_path / "sh010.mov"
    path.write_bytes(b"movie")
    renew = Renewal(sandbox, lambda: None)
    with ShotgunPool(sandbox.url, session_token=new_token(sandbox), renew_session=renew) as sg:
        expired(sg, sandbox)
        with pytest.raises(AuthenticationFault, match="renew_session returned None") as caught:
            sg.upload("Version", 1, str(path))
    assert sent_of(caught.value) is Sent.NOTHING
    assert sandbox.counters().writes == 0


def refused_form(peer):
    """What a site answers to a form whose session has expired."""
    peer.answer(b"0\nCan't authenticate session token ending with 'oken'\n", kind="text/plain")


def to_sign_in(peer):
    """The way to the page where people sign in."""
    peer.answer(b"", 302, f"Location: http://127.0.0.1:{peer.server.port}/user/login\r\n")


@pytest.mark.parametrize("refusal", [refused_form, to_sign_in])
def test_session_that_ends_before_a_form_with_a_file_sends_the_file_again(tmp_path, refusal):
    """The repeated form holds the new token and the whole file."""
    path = tmp_path / "sh010.txt"
    path.write_bytes(b"text" * 1000)
    storage = Storage(FORMS)
    storage.faults = [("/upload/upload_file", refusal)]
    with serving(storage) as server:
        with ShotgunPool(server.url, session_token="old", renew_session=lambda: "new") as sg:
            assert sg.upload("Version", 1, str(path)) == 4711
        first, second = storage.of("/upload/upload_file")
        assert form(first)["session_token"][0] == b"old"
        assert form(second)["session_token"][0] == b"new"
        assert form(second)["file"][0] == b"text" * 1000


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [(refused_form, AuthenticationFault), (to_sign_in, UploadError)],
)
def test_session_that_ends_before_a_form_and_is_not_renewed_has_sent_nothing(
    tmp_path, refusal, kind
):
    """A form that was refused was not carried out, and the error says why there was no other."""
    path = tmp_path / "sh010.txt"
    path.write_bytes(b"text")
    storage = Storage(FORMS)
    storage.faults = [("/upload/upload_file", refusal)]
    with serving(storage) as server:
        with ShotgunPool(server.url, session_token="old", renew_session=lambda: None) as sg:
            with pytest.raises(kind, match="renew_session returned None") as caught:
                sg.upload("Version", 1, str(path))
    assert sent_of(caught.value) is Sent.NOTHING
    assert len(storage.of("/upload/upload_file")) == 1


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_session_that_ends_before_a_download_is_renewed(front, tmp_path, where):
    """The page to sign in is never taken for the file."""
    storage = Storage(INFO)
    storage.faults = [("/file_serve", to_sign_in)]
    target = tmp_path / "sh010.mov"
    path = str(target) if where == "disk" else None
    with serving(storage) as server:
        sg, _ = front(server.url, session_token="old", renew_session=lambda: "new")
        got = sg.download_attachment({"type": "Attachment", "id": 9}, path)
        content = target.read_bytes() if path else got
        assert content == storage.content
        assert len(storage.of("/file_serve")) == 2
        close_all(sg)


def test_session_of_a_script_for_downloads_is_asked_for_anew_when_it_ends(front):
    """A script needs a session for downloads alone; it gets another by itself."""
    storage = Storage(INFO)
    storage.faults = [("/file_serve", to_sign_in)]
    with serving(storage) as server:
        sg, _ = front(server.url, "tool", "not-a-secret")
        assert sg.download_attachment({"type": "Attachment", "id": 9}) == storage.content
        assert server.names().count("get_session_token") == 2
        assert sg.download_attachment({"type": "Attachment", "id": 9}) == storage.content
        assert server.names().count("get_session_token") == 2
        close_all(sg)


def test_session_that_a_download_cannot_renew_is_named(front, tmp_path):
    """Nothing is left on disk, and the error says that the site wants somebody to sign in."""
    storage = Storage(INFO)
    storage.faults = [("/file_serve", to_sign_in)] * 2
    target = tmp_path / "sh010.mov"
    with serving(storage) as server:
        sg, _ = front(server.url, session_token="old")
        with pytest.raises(ShotgunFileDownloadError, match="wants somebody to sign in"):
            sg.download_attachment({"type": "Attachment", "id": 9}, str(target))
        close_all(sg)
    assert list(tmp_path.iterdir()) == []


def close_all(sg):
    """Close the connections before the server ends."""
    getattr(sg, "executor", sg).close()


def test_session_token_is_asked_for_once_by_all_who_need_it_first(front, sandbox):
    """However many calls need a session at the same time, the site is asked for one."""
    sg, _ = front(sandbox.url, **sandbox.credentials)
    sandbox.hold("get_session_token")
    joins = [in_thread(sg.get_session_token) for _ in range(8)]
    sandbox.wait_for(1, "get_session_token")
    sandbox.resume()
    assert len({join() for join in joins}) == 1
    assert sandbox.counters().requests["get_session_token"] == 1


# One-time codes.


def test_sign_in_uses_a_code_once_for_many_threads(front, sandbox):
    """32 calls at once: the code is sent in one request."""
    sandbox.require_auth_token(sandbox.login, "123456")
    sg, owner = front(
        sandbox.url, login=sandbox.login, password=sandbox.password, auth_token="123456"
    )
    sandbox.hold("get_session_token")
    joins = [in_thread(lambda: sg.find("Shot", [])) for _ in range(MANY)]
    sandbox.wait_for(1, "get_session_token")
    sandbox.resume()
    assert [join() for join in joins] == [[]] * MANY
    assert sandbox.counters().requests["get_session_token"] == 1
    assert (owner.config.auth_token, owner.config.user_password) == (None, None)


def test_sign_in_with_a_refused_code_does_not_send_it_again(front, sandbox):
    """A wrong code fails all calls after one request: more might lock the account."""
    sandbox.require_auth_token(sandbox.login, "123456")
    sg, owner = front(
        sandbox.url, login=sandbox.login, password=sandbox.password, auth_token="654321"
    )
    for _ in range(3):
        with pytest.raises(AuthenticationFault):
            sg.find("Shot", [])
    assert sandbox.counters().requests == {"get_session_token": 1}
    owner.config.auth_token = "123456"
    assert sg.find("Shot", []) == []
    assert sandbox.counters().requests["get_session_token"] == 2


def test_sign_in_by_code_is_renewed_like_any_session(front, sandbox):
    """The session that a code was traded for ends; the function renews it."""
    sandbox.require_auth_token(sandbox.login, "123456")
    renew = Renewal(sandbox, lambda: script_token(sandbox))
    sg, _ = front(
        sandbox.url,
        login=sandbox.login,
        password=sandbox.password,
        auth_token="123456",
        renew_session=renew,
    )
    expired(sg, sandbox)
    assert sg.find("Shot", []) == []
    assert len(renew.calls) == 1


def script_token(sandbox):
    """A session of the script."""
    with ShotgunPool(sandbox.url, **sandbox.credentials) as pool:
        return pool.get_session_token()


# What is said.


def test_renewal_tells_no_secret(front, sandbox, caplog):
    """No token is in a log line, an error or a repr."""
    tokens = [new_token(sandbox)]

    def renew():
        tokens.append(new_token(sandbox))
        return tokens[-1] if len(tokens) < 3 else None

    caplog.set_level(logging.DEBUG)
    sg, owner = front(sandbox.url, session_token=tokens[0], renew_session=renew)
    expired(sg, sandbox)
    sg.find("Shot", [])
    expired(sg, sandbox)
    with pytest.raises(AuthenticationFault) as caught:
        sg.create("Project", {"name": "sh010"})
    said = [caplog.text, repr(caught.value), repr(caught.value.__cause__), repr(owner), repr(sg)]
    assert "the session was renewed" in caplog.text
    for token in tokens:
        assert not any(token in text for text in said)


@pytest.mark.parametrize("cls", [ShotgunExecutor, ShotgunPool, ThreadLocalShotgun])
def test_renew_session_that_is_no_function_is_refused(cls):
    """The error names the argument, and does not show what was given."""
    with pytest.raises(TypeError, match=f"{cls.__name__}: renew_session must be a function") as no:
        cls(NOWHERE, session_token="t", renew_session="a-token")
    assert "a-token" not in str(no.value)


# What it is made of.


@pytest.mark.slow
def test_sessions_interrupted_anywhere_leave_nobody_waiting():
    """An interrupt at any line of an attempt leaves none under way."""
    step = 0
    interrupted = True
    while interrupted:
        step += 1
        sessions = Sessions(lambda: "new")
        interrupted = interrupted_at(step, lambda: renewed(sessions))  # noqa: B023 - called at once
        assert sessions._flight is None
        assert renewed(sessions) == "new"
    assert step > 20


def renewed(sessions):
    """What there is in place of an old token."""
    shared = ["old"]

    def share(before, token):
        shared[0] = token

    return sessions.renewed("old", lambda: shared[0], share, AbortSwitch())


def test_sessions_in_a_forked_process_wait_for_nobody_of_the_parent():
    """What the parent's thread was at is not under way in the child."""
    sessions = Sessions(lambda: "new")
    gate = Gate()
    parent = in_thread(
        lambda: sessions.newer("old", lambda: None, lambda: gate("x"), AbortSwitch())
    )
    gate.wait_for(1)
    sessions.forget_parent()
    assert renewed(sessions) == "new"
    gate.opened.set()
    parent()


def test_sessions_wait_is_told_of_a_failure_of_the_same_class():
    """Who waits for somebody else's request gets an error of the same class, of its own."""
    sessions = Sessions()
    gate = Gate()

    def make():
        gate()
        raise shotgun_api3.ProtocolError("url", 503, "busy", {})

    def get():
        return sessions.newer(None, lambda: None, make, AbortSwitch())

    first = in_thread(get)
    gate.wait_for(1)
    second = in_thread(get)
    while not sessions._flight.waiting:
        threading.Event().wait(0.001)
    gate.open()
    errors = []
    for join in (first, second):
        with pytest.raises(shotgun_api3.ProtocolError) as caught:
            join()
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert {error.errcode for error in errors} == {503}
    with pytest.raises(NotRenewed):
        sessions.renewed("old", lambda: "old", lambda before, token: None, AbortSwitch())
