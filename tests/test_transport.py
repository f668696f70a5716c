"""Our HTTP against real sockets: what is sent, what is read, TLS, proxies, dead connections."""

from __future__ import annotations

import base64
import datetime
import gzip
import http.client
import json
import socket
import ssl
import threading
import zlib

import pytest
import shotgun_api3
from shotgun_api3 import Shotgun
from shotgun_api3.lib import httplib2

from shotgun_executor import ShotgunPool, outcome_unknown
from tests.support import KEYS, LONG, in_thread
from tests.wire import INFO, WireServer, proxy, results_of, serving, site

SHOT = [{"type": "Shot", "id": 1}]


def pool_for(url, **settings):
    return ShotgunPool(url, **{**KEYS, "retries": 0, "read_timeout": LONG, **settings})


def test_transport_sends_what_the_official_client_sends():
    """Method, target, body and headers are those of httplib2, whatever their order."""
    with serving(site) as server:
        for sg in (Shotgun(server.url, connect=False, **KEYS), pool_for(server.url)):
            sg.config.localized = True
            sg.config.authorization = "Basic abc"
            sg.find("Shot", [["code", "is", "süd"]])
            sg.close()
        theirs, ours = server.requests[:2], server.requests[2:]
        for official, own in zip(theirs, ours):
            assert (own.method, own.target, own.body) == (
                official.method,
                official.target,
                official.body,
            )
            assert own.headers == official.headers


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
def test_transport_reads_compressed_answers(coding):
    """Gzip and both kinds of deflate are undone."""

    def compressed(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            body = http_body(results_of(request))
            if coding == "gzip":
                body = gzip.compress(body)
            elif coding == "deflate":
                body = zlib.compress(body)
            else:
                squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
                body = squeeze.compress(body) + squeeze.flush()
            peer.answer(body, headers=f"Content-Encoding: {coding.split()[-1]}\r\n")

    with serving(compressed) as server, pool_for(server.url) as sg:
        assert sg.find("Shot", []) == SHOT


def http_body(content):
    return json.dumps(content).encode()


def http_answer(content):
    body = http_body(content)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def raw(*answers):
    """A script that gives these bytes, one for each request on a connection."""

    def script(peer):
        for answer in answers:
            request = peer.read()
            if request is None:
                return
            peer.send(answer(request) if callable(answer) else answer)

    return script


def chunked(request):
    body = http_body(results_of(request))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = [b"%x;ext=1\r\n%b\r\n" % (1, body[i : i + 1]) for i in range(len(body))]
    return head + b"".join(parts) + b"0\r\nTrailer: yes\r\n\r\n"


def with_continue(request):
    return b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + chunked(request)


def test_transport_gives_up_on_answers_before_the_answer():
    """A peer that promises for ever is no site; its silence has a limit, and so has its talk."""

    def promise(peer):
        peer.read()
        while not peer.server.over.is_set():
            peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")

    with serving(promise) as server, pool_for(server.url, retries=0) as sg:
        with pytest.raises(http.client.HTTPException, match="before the answer"):
            in_thread(sg.info)()


def until_closed(request):
    return b"HTTP/1.0 200 OK\r\n\r\n" + http_body(results_of(request))


def folded(request):
    body = http_body(results_of(request))
    return (
        b"HTTP/1.1 200\r\nX-Fold: one\r\n two\r\nX-Twice: a\r\nX-Twice: b\r\n"
        b"content-LENGTH: %d\r\n\r\n%b" % (len(body), body)
    )


@pytest.mark.parametrize("answer", [chunked, with_continue, folded])
def test_transport_reads_each_form_of_answer_and_keeps_the_connection(answer):
    """Chunks, trailers, interim answers and folded headers are HTTP; one connection serves all."""
    with serving(raw(*[answer] * 4)) as server, pool_for(server.url) as sg:
        assert sg.find("Shot", []) == SHOT
        assert sg.find("Shot", []) == SHOT
        assert server.connections == 1


def test_transport_reads_an_answer_that_ends_with_the_connection():
    """Without a length the end of the stream is the end; the next call connects anew."""
    with serving(raw(until_closed)) as server, pool_for(server.url) as sg:
        assert sg.find("Shot", []) == SHOT
        assert server.connections == 2  # one for info


def test_transport_leaves_a_connection_that_says_close():
    """`Connection: close` is obeyed before the next request, not found out by it."""

    def script(peer):
        request = peer.read()
        peer.answer(results_of(request), headers="Connection: close\r\n")
        peer.wait()

    with serving(script) as server, pool_for(server.url) as sg:
        sg.find("Shot", [])
        sg.find("Shot", [])
        assert server.connections == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", http.client.RemoteDisconnected),
        (b"HTTP/1.1 200 OK\r\nContent-Le", http.client.IncompleteRead),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", http.client.IncompleteRead),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
            http.client.IncompleteRead,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", http.client.HTTPException),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
            http.client.HTTPException,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", http.client.HTTPException),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", http.client.BadStatusLine),
        (b"HTTP/1.1 2000 OK\r\n\r\n", http.client.BadStatusLine),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", http.client.HTTPException),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000, http.client.HTTPException),
    ],
)
def test_transport_garbage_is_an_error_and_the_next_call_is_answered(answer, error):
    """What is no HTTP fails that call with http.client's errors, and leaves nothing behind."""

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            if request.name == "read" and len(server.names()) == 2:
                peer.send(answer)
                return
            peer.answer(results_of(request))

    with serving(script) as server, pool_for(server.url) as sg:
        with pytest.raises(error):
            sg.find("Shot", [])
        assert sg.find("Shot", []) == SHOT
        assert server.names() == ["info", "read", "read"]


def test_transport_damaged_compression_is_httplib2s_error():
    """A body that cannot be decompressed raises the class that it raises today."""
    body = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    with serving(raw(body)) as server, pool_for(server.url) as sg:
        with pytest.raises(httplib2.FailedToDecompressContent):
            sg.info()


@pytest.mark.parametrize("body", [b"<html>Accept our terms</html>", b""])
def test_transport_a_page_is_not_taken_for_an_answer(body):
    """What is no JSON is an error, and of a write the outcome is unknown."""

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            if request.name == "info":
                peer.answer(INFO)
            else:
                peer.answer(body, kind="text/html")

    with serving(script) as server, pool_for(server.url) as sg:
        for call in (lambda: sg.find("Shot", []), lambda: sg.create("Shot", {"code": "a"})):
            with pytest.raises(shotgun_api3.ShotgunError, match=r"text/html, not JSON") as raised:
                call()
            assert outcome_unknown(raised.value) is ("create" in str(raised.value))
        assert sg.export_page(1, "csv") == body  # which is text by itself


def test_transport_answer_that_is_too_long_is_not_read_by_the_next_call():
    """Bytes beyond the length of an answer are nobody's answer."""

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            body = http_body(results_of(request))
            peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%bHTTP/1.1 200 OK\r\n\r\nx"
                % (len(body), body)
            )

    with serving(script) as server, pool_for(server.url) as sg:
        assert sg.find("Shot", []) == SHOT
        assert sg.find("Shot", []) == SHOT
        assert server.connections == 3


@pytest.mark.parametrize("status", [301, 302, 307])
def test_transport_does_not_follow_what_httplib2_does_not(status):
    """These redirections of a POST are a ProtocolError."""
    answer = b"HTTP/1.1 %d Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" % status
    with serving(raw(answer)) as server, pool_for(server.url) as sg:
        with pytest.raises(shotgun_api3.ProtocolError) as raised:
            sg.info()
        assert raised.value.errcode == status
        assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "method", "body"), [(303, "GET", False), (308, "POST", True)])
def test_transport_follows_what_httplib2_follows(status, method, body):
    """303 is followed as a GET, 308 with the same POST, and neither with the credentials."""

    def moved(request):
        return b"HTTP/1.1 %d See\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n" % status

    def there(request):
        content = http_body(INFO)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)

    with serving(raw(moved, there)) as server, pool_for(server.url) as sg:
        sg.config.authorization = "Basic abc"
        assert sg.info() == INFO
        first, second = server.requests
        assert (second.method, second.target) == (method, "/there")
        assert bool(second.body) is body
        assert first.headers["authorization"] == "Basic abc"
        assert "authorization" not in second.headers


def test_transport_redirections_have_an_end():
    """A circle ends with httplib2's error."""
    answer = b"HTTP/1.1 303 See\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"
    with serving(raw(*[answer] * 9)) as server, pool_for(server.url) as sg:
        with pytest.raises(httplib2.RedirectLimit):
            sg.info()
        assert len(server.requests) == 6


def test_transport_basic_auth_of_the_url_is_sent():
    """`user:password@` in the URL becomes a header, as in the official client."""
    with serving(site) as server:
        url = server.url.replace("http://", "http://Me:Se%20cret@")
        with pool_for(url) as sg:
            sg.find("Shot", [])
        expected = "Basic " + base64.b64encode(b"Me:Se cret").decode()
        assert {request.headers["authorization"] for request in server.requests} == {expected}


def test_transport_refuses_headers_of_more_than_one_line():
    """A user agent cannot smuggle a header in."""
    with serving(site) as server, pool_for(server.url) as sg:
        sg.add_user_agent("tool\r\nX-Evil: 1")
        with pytest.raises(ValueError, match="more than one line"):
            sg.info()
        assert server.requests == []


def test_transport_encodes_as_the_official_client_does():
    """Dates, times, tuples and oddities are sent as the official client sends them."""
    zone = datetime.timezone(datetime.timedelta(hours=-7))
    moment = datetime.datetime(2030, 7, 1, 23, 59, 58, 999999)  # noqa: DTZ001 - in the local zone
    data = {
        "at": moment,
        "zoned": moment.replace(tzinfo=zone),
        "day": datetime.date(2030, 1, 2),
        "tuple": (1, [moment, ("ä", None, True, 1.5)], {}),
        "key": {1: "one", None: "none"},
        "big": 2**70,
    }
    sent = []
    for utc in (True, False):
        with serving(site) as server:
            for sg in (Shotgun(server.url, connect=False, **KEYS), pool_for(server.url)):
                sg.config.convert_datetimes_to_utc = utc
                sg.create("Shot", data)
                with pytest.raises(TypeError, match="set is not JSON serializable"):
                    sg.create("Shot", {"a": {1}})
                sg.close()
            sent.append([request.body for request in server.requests])
    assert [first == second for first, second in sent] == [True, True]
    assert sent[0] != sent[1]


def test_transport_sockets_find_out_that_a_peer_has_vanished():
    """Keep-alive probes and a limit for what is not acknowledged, where the system has them."""
    with serving(site) as server, pool_for(server.url) as sg, sg.lease() as client:
        client.info()
        (channel,) = client._connection.connections.values()
        assert channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            limit = channel.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert limit == 30_000


def test_transport_unknown_name_is_httplib2s_error():
    """A name that does not exist raises what it raises today."""
    with pool_for("http://no-such-host.invalid") as sg:
        with pytest.raises(httplib2.ServerNotFoundError, match=r"no-such-host\.invalid"):
            sg.info()


# TLS


def test_transport_tls_with_an_authority_of_ones_own(tls, ca_file):
    """A custom CA file is trusted, and one context serves all connections."""
    with serving(site, tls) as server, pool_for(server.url, ca_certs=ca_file) as sg:
        assert sg.find("Shot", []) == SHOT
        with sg.lease() as first, sg.lease() as second:
            assert first.find("Shot", []) == second.find("Shot", []) == SHOT
            contexts = {
                channel._context
                for client in (first, second)
                for channel in client._connection.connections.values()
            }
        assert len(contexts) == 1
        assert server.connections == 2


def test_transport_tls_of_a_stranger_is_refused(tls):
    """A chain that is not trusted fails as it does today, and nothing is sent."""
    with serving(site, tls) as server, pool_for(server.url) as sg:
        with pytest.raises(ssl.SSLCertVerificationError):
            sg.info()
        assert server.requests == []


def test_transport_tls_checks_the_name(authority, ca_file):
    """A certificate for another host is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with serving(site, context) as server, pool_for(server.url, ca_certs=ca_file) as sg:
        with pytest.raises(ssl.SSLCertVerificationError):
            sg.info()


def test_transport_missing_ca_file_is_named_by_its_class(tls):
    """A CA file that is not there raises FileNotFoundError."""
    with serving(site, tls) as server, pool_for(server.url, ca_certs="/no/such/ca.pem") as sg:
        with pytest.raises(FileNotFoundError):
            sg.info()


def test_transport_tls_answer_that_is_too_long_is_not_read_by_the_next_call(tls, ca_file):
    """Also where the rest was decrypted with the end of the answer."""
    extra = http_answer({"results": "for somebody else"})

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            body = {**results_of(request), "padding": "x" * 50_000}
            peer.send(http_answer(body) + extra)

    with serving(script, tls) as server, pool_for(server.url, ca_certs=ca_file) as sg:
        for _ in range(3):
            assert sg.find("Shot", []) == SHOT
        assert server.connections == 4


@pytest.mark.parametrize("status", [303, 308])
def test_transport_takes_no_secret_out_of_tls(tls, ca_file, status):
    """A redirection to plain HTTP is an error, and nothing is sent there."""
    with serving(site) as plain:

        def redirect(peer):
            while peer.read() is not None:
                peer.answer(b"", status, f"Location: {plain.url}/api3/json\r\n")

        with serving(redirect, tls) as server, pool_for(server.url, ca_certs=ca_file) as sg:
            with pytest.raises(shotgun_api3.ProtocolError) as raised:
                sg.create("Shot", {"code": "a"})
            assert raised.value.errcode == status
            assert not outcome_unknown(raised.value)
            assert len(server.requests) == 1
        assert plain.connections == 0


# Proxies


@pytest.mark.parametrize("secure", [False, True])
def test_transport_goes_through_a_proxy_with_credentials(tls, ca_file, secure):
    """Plain and TLS requests go through a CONNECT tunnel, opened once."""
    with serving(site, tls if secure else None) as server, serving(proxy) as middle:
        middle.credentials = "Basic " + base64.b64encode(b"me:pa@ss").decode()
        settings = {"ca_certs": ca_file} if secure else {}
        address = f"me:pa@ss@127.0.0.1:{middle.port}"
        with pool_for(server.url, http_proxy=address, **settings) as sg:
            assert sg.find("Shot", []) == SHOT
        (tunnel,) = middle.requests
        assert (tunnel.method, tunnel.target) == ("CONNECT", f"127.0.0.1:{server.port}")
        assert server.names() == ["info", "read"]


def test_transport_proxy_that_trickles_is_given_up():
    """The limit of connecting is one of all, however often the proxy sends a byte."""

    def trickle(peer):
        peer.file.readline()
        while not peer.server.over.wait(0.02):
            peer.send(b"x")

    with serving(trickle) as middle:
        address = f"127.0.0.1:{middle.port}"
        settings = {"http_proxy": address, "connect_timeout": 0.2, "retries": 0}
        with pool_for("https://site.invalid", **settings) as sg:
            with pytest.raises(socket.timeout):
                in_thread(sg.info)()


def test_transport_proxy_that_refuses_is_the_official_error():
    """A proxy's refusal raises the class that it raises today, without the password."""
    with serving(site) as server, serving(proxy) as middle:
        middle.credentials = "something else"
        address = f"me:pass-word@127.0.0.1:{middle.port}"
        with pool_for(server.url, http_proxy=address) as sg:
            with pytest.raises(httplib2.socks.HTTPError, match="407") as raised:
                sg.info()
        assert "pass-word" not in repr(raised.value)
        assert server.requests == []


# Dead connections


def test_transport_notices_that_the_peer_has_closed():
    """An idle connection that the site has closed is replaced before anything is sent on it."""

    def script(peer):
        for _ in range(2):
            request = peer.read()
            if request is None:
                return
            peer.answer(results_of(request))
        peer.close()
        closed.set()

    closed = threading.Event()
    with serving(script) as server, pool_for(server.url) as sg:
        sg.find("Shot", [])
        assert closed.wait(LONG)
        assert sg.create("Shot", {"code": "a"})["id"] == 7
        assert server.names() == ["info", "read", "create"]
        assert server.connections == 2


def test_transport_sends_a_write_once_when_the_connection_drops():
    """A POST whose answer never came is not sent again: httplib2 would."""

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            if request.name == "create":
                peer.reset()
                return
            peer.answer(results_of(request))

    with serving(script) as server, pool_for(server.url, retries=3) as sg:
        with pytest.raises(ConnectionError):
            sg.create("Shot", {"code": "a"})
        assert server.names().count("create") == 1


def test_transport_one_failure_makes_older_idle_connections_suspect():
    """After a connection has failed, those that were idle then are not written to again."""

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            if request.name == "summarize":
                peer.reset()
                return
            peer.answer(results_of(request))

    with serving(script) as server, pool_for(server.url) as sg:
        leases = [sg.lease() for _ in range(3)]
        clients = [lease.__enter__() for lease in leases]
        for client in clients:
            client.find("Shot", [])
        with pytest.raises(ConnectionError):
            clients[0].summarize("Shot", [], [{"field": "id", "type": "count"}])
        for client in clients:
            client.find("Shot", [])
        assert server.connections == 6
        for client in clients:
            client.find("Shot", [])
        assert server.connections == 6
        for lease in leases:
            lease.release()


def test_transport_keeps_to_one_connection_for_many_calls(tls, ca_file):
    """Over TLS too: session tickets are not taken for the end."""
    with serving(site, tls) as server, pool_for(server.url, ca_certs=ca_file) as sg:
        for _ in range(20):
            sg.find("Shot", [])
        assert server.connections == 1


def test_transport_users_own_overrides_are_kept():
    """A subclass that overrides the inner methods is asked, and its super() is ours."""
    asked = []

    class Studio(Shotgun):
        def _call_rpc(self, method, *args, **kwargs):
            asked.append(method)
            return super()._call_rpc(method, *args, **kwargs)

        def _make_call(self, verb, path, body, headers):
            return super()._make_call(verb, path, body, {**headers, "x-studio": "yes"})

        def _http_request(self, *args):
            asked.append("http")
            return super()._http_request(*args)

    with serving(site) as server:
        studio = Studio(server.url, connect=False, **KEYS)
        with ShotgunPool(studio, retries=0) as sg:
            assert sg.find("Shot", []) == SHOT
        assert asked == ["read", "info", "http", "http"] or asked == [
            "info",
            "http",
            "read",
            "http",
        ]
        assert {request.headers["x-studio"] for request in server.requests} == {"yes"}


def test_transport_official_attempts_read_as_they_are_set_and_mean_nothing():
    """A 502 is not repeated by the client itself, whatever MAX_ATTEMPTS says."""

    def script(peer):
        while True:
            request = peer.read()
            if request is None:
                return
            if request.name == "info":
                peer.answer(INFO)
            else:
                peer.answer(b"", status=502)

    with serving(script) as server, pool_for(server.url) as sg:
        assert sg.MAX_ATTEMPTS == 3
        assert sg.config.max_rpc_attempts == 3
        with pytest.raises(shotgun_api3.ProtocolError):
            sg.find("Shot", [])
        assert server.names() == ["info", "read"]


def test_transport_logs_no_secret(caplog):
    """Not at DEBUG either: neither credentials nor what is sent."""
    caplog.set_level("DEBUG", logger="shotgun_api3")
    with serving(site) as server, pool_for(server.url) as sg:
        sg.config.authorization = "Basic c2VjcmV0"
        sg.find("Shot", [])
    assert "POST" in caplog.text
    for secret in (KEYS["api_key"], "c2VjcmV0"):
        assert secret not in caplog.text


def test_wire_server_is_itself_closed():
    """The servers of these tests leave no thread behind, used or not."""
    server = WireServer(site)
    socket.create_connection(("127.0.0.1", server.port)).close()
    server.close()


@pytest.mark.parametrize("write", ["create", "upload_thumbnail"])
def test_write_that_was_redirected_is_not_sent_again(tmp_path, write):
    """It was taken before its outcome was asked for elsewhere: an error there tells nothing."""
    image = tmp_path / "thumbnail.png"
    image.write_bytes(b"x" * 100)
    writes = []

    def respond(request):
        if request.method == "GET":
            return b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
        if request.target.startswith("/upload") or b'"create"' in request.body:
            writes.append(request.target)
            return b"HTTP/1.1 303 See\r\nLocation: /done\r\nContent-Length: 0\r\n\r\n"
        content = http_body(INFO)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)

    with serving(raw(*[respond] * 9)) as server, pool_for(server.url) as sg:
        assert sg.server_info
        args = ({"code": "sh010"},) if write == "create" else (1, str(image))
        with pytest.raises(Exception, match="whether the site carried out") as raised:
            getattr(sg, write)("Shot", *args)
        assert outcome_unknown(raised.value)
        assert len(writes) == 1
