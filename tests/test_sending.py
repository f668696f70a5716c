"""On the wire: what is sent how often, how long is waited, which certificates are trusted."""

from __future__ import annotations

import gc
import http.server
import json
import socket
import ssl
import threading
import warnings

import pytest
import shotgun_api3
import trustme

from shotgun_executor import ShotgunExecutor, ShotgunPool, UploadError
from shotgun_executor.opening import CONNECT_LIMIT, READ_LIMIT
from shotgun_executor.sandbox import Sandbox
from tests.support import KEYS, LONG, in_thread


class TinySite(http.server.ThreadingHTTPServer):
    """Answers `info` and `read`; an upload it never answers. Over TLS if it is given a context."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), TinyHandler)
        self.methods = []
        self.silent = threading.Event()
        if context is not None:
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests


class TinyHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = LONG

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path.startswith("/upload"):
            self.server.silent.wait(LONG)
            self.close_connection = True
            return
        method = json.loads(body)["method_name"]
        self.server.methods.append(method)
        answer = {
            "info": {"version": [8, 89, 0], "s3_direct_uploads_enabled": False},
            "read": {"results": {"entities": [], "paging_info": {"has_next_page": False}}},
        }[method]
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def tiny_site():
    """Start tiny sites, and end them after the test."""
    sites = []

    def start(context=None):
        site = TinySite(context)
        sites.append((site, in_thread(site.serve_forever)))
        return site

    yield start
    for site, join in sites:
        site.silent.set()
        site.shutdown()
        join()
        site.server_close()


@pytest.fixture(scope="module")
def authority():
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    """The file of its certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def tls(authority):
    """What a server needs to be 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


# How often


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_write_is_sent_once_whatever_the_status(front, sandbox, status):
    """A create that the site carried out and then failed is not carried out again."""
    front.sg.connect()
    sandbox.fail_next("create", status=status, after_execution=True, count=5)
    with pytest.raises(shotgun_api3.ProtocolError) as raised:
        front.sg.create("Project", {"name": "once"})
    assert raised.value.errcode == status
    assert sandbox.counters().requests["create"] == 1
    assert sandbox.counters().writes == 1
    assert front.sg.config.max_rpc_attempts == 3
    assert front.sg.MAX_ATTEMPTS == 3


def test_a_write_is_sent_once_if_there_is_no_answer(front, sandbox):
    """A create whose connection is cut after it was carried out is not carried out again."""
    front.sg.find("Shot", [])
    sandbox.drop_next("create", after_execution=True, count=5)
    with pytest.raises(ConnectionResetError, match="without an answer"):
        front.sg.create("Project", {"name": "once"})
    assert sandbox.counters().requests["create"] == 1
    assert sandbox.counters().writes == 1


def test_a_write_within_which_info_is_asked_is_still_a_write(sandbox):
    """The first call of all asks `info` on its way; that makes it no read."""
    with ShotgunPool(sandbox.url, session_token=session_token(sandbox)) as pool:
        sandbox.drop_next("create", after_execution=True, count=5)
        with pytest.raises(ConnectionResetError):
            pool.create("Project", {"name": "once"})
    assert sandbox.counters().requests["create"] == 1
    assert sandbox.counters().requests["info"] >= 1


def session_token(sandbox):
    with ShotgunPool(sandbox.url, **sandbox.credentials) as pool:
        return pool.get_session_token()


def test_a_read_is_sent_again_if_there_is_no_answer(front, sandbox):
    """A find whose connection is cut is asked once more, on a new connection."""
    front.sg.find("Shot", [])
    sandbox.drop_next("read")
    assert front.sg.find("Shot", []) == []
    assert sandbox.counters().requests["read"] == 3


def test_a_read_is_sent_again_after_a_bad_gateway(front, sandbox):
    """A 502 on a find is repeated, as in the official client."""
    front.sg.connect()
    sandbox.fail_next("read", status=502)
    assert front.sg.find("Shot", []) == []
    assert sandbox.counters().requests["read"] == 2


def test_a_connection_that_the_site_has_closed_is_not_used():
    """After the site has restarted, reads and writes just work; nothing was sent in vain."""
    with Sandbox() as sandbox, ShotgunPool(sandbox.url, **sandbox.credentials) as pool:
        for create in (False, True):
            pool.find("Shot", [])
            sandbox.restart()
            if create:
                assert pool.create("Project", {"name": "x"})["type"] == "Project"
            else:
                assert pool.find("Shot", []) == []
        assert sandbox.counters().requests == {"create": 1}


# How long


def test_a_silent_site_is_given_up_by_the_limit_that_is_set_now(front, sandbox):
    """timeout_secs holds from the next request on, also on connections that are open."""
    front.sg.find("Shot", [])
    sandbox.hold("read")
    front.sg.config.timeout_secs = 0.05
    with pytest.raises(socket.timeout):
        front.sg.find("Shot", [])
    sandbox.resume()
    front.sg.config.timeout_secs = LONG
    assert front.sg.find("Shot", []) == []


def test_there_is_a_limit_without_a_setting(front):
    """No request waits for ever; what the setting reads as is left as it is."""
    assert front.sg.find("Shot", []) == []
    limits = front.sg._prototype.shared.limits
    assert (limits.connect, limits.read) == (CONNECT_LIMIT, READ_LIMIT)
    assert front.sg.config.timeout_secs is None


def test_an_upload_to_a_silent_site_is_given_up(tiny_site, tmp_path):
    """Uploads have the limit too; the official ones wait for ever."""
    movie = tmp_path / "movie.mov"
    movie.write_bytes(b"frames")
    site = tiny_site()
    with ShotgunExecutor(site.url, **KEYS) as executor:
        executor.config.timeout_secs = 0.1
        upload = executor.upload("Version", 1, str(movie), field_name="sg_movie")
        with pytest.raises(UploadError, match="was silent for"):
            upload.result(LONG)
    del upload
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the client never closes the file
        gc.collect()


# TLS


def test_tls_connections_share_one_context(tiny_site, tls, ca_file, monkeypatch):
    """However many connections are opened, the certificates are read once."""
    site = tiny_site(tls)
    loaded = []
    load = ssl.SSLContext.load_verify_locations

    def counting(self, cafile=None, *args, **kwargs):
        loaded.append(cafile)
        return load(self, cafile, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counting)
    barrier = threading.Barrier(4)

    def together(client):
        barrier.wait(LONG)
        return client.find("Shot", []), client.find("Shot", [])

    with ShotgunExecutor(site.url, **KEYS, ca_certs=ca_file, max_workers=4) as executor:
        futures = [executor.call(together) for _ in range(4)]
        assert [future.result(LONG) for future in futures] == [([], [])] * 4
    assert loaded == [ca_file]
    assert site.methods.count("read") == 8


def test_tls_refuses_a_site_that_it_does_not_trust(tiny_site, tls):
    """A certificate of an unknown authority is an error of TLS, and nothing is sent."""
    site = tiny_site(tls)
    with ShotgunPool(site.url, **KEYS) as pool:
        pool.config.rpc_attempt_interval = 0
        with pytest.raises(ssl.SSLCertVerificationError):
            pool.find("Shot", [])
    assert site.methods == []


def test_tls_refuses_a_certificate_of_another_host(tiny_site, authority, ca_file):
    """The name in the certificate must be that of the site."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    site = tiny_site(context)
    with ShotgunPool(site.url, **KEYS, ca_certs=ca_file) as pool:
        pool.config.rpc_attempt_interval = 0
        with pytest.raises(ssl.SSLCertVerificationError, match=r"match|not valid"):
            pool.find("Shot", [])
    assert site.methods == []
