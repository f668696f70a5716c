"""Uploads and downloads: over the connections of a client, streamed, and to be repeated."""

from __future__ import annotations

import contextlib
import contextvars
import http.client
import http.cookiejar
import io
import itertools
import mimetypes
import os
import shutil
import time
import urllib.parse
import urllib.request
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Optional, TypeVar, Union

from shotgun_api3.shotgun import ShotgunFileDownloadError

from shotgun_executor.contract import ProxyError, ServerNotFoundError
from shotgun_executor.errors import UploadError
from shotgun_executor.inherited import inherited_retries
from shotgun_executor.opening import Aborted, Proxy
from shotgun_executor.outcome import add_text, mark_unknown, unknown_form
from shotgun_executor.retry import Sent, blame_storage, give_up, given_up, was_refused
from shotgun_executor.session import is_sign_in_page
from shotgun_executor.transport import Phase, place_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from shotgun_executor.answers import Answer
    from shotgun_executor.connection import Connection
    from shotgun_executor.transport import Body, Channel, Transport

__all__ = ["FilePart", "FileRequests", "Target", "file_proxy", "upload_progress"]

E = TypeVar("E", bound=Exception)

_PIECE = 256 * 1024
# Forms that only ask where to put a file.
_ASKING = frozenset({"/upload/api_get_upload_link_info", "/upload/api_get_upload_link_for_part"})
# Puts the parts of a file together, once. That shows nowhere before the file is linked, so an
# upload that ends here can be made again from its start.
_COMPLETING = "/upload/api_complete_multipart_upload"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FAILURES = (OSError, http.client.HTTPException, ServerNotFoundError, ProxyError)

_progress: contextvars.ContextVar[Optional[Callable[[int, int], object]]] = contextvars.ContextVar(
    "upload_progress", default=None
)


@contextlib.contextmanager
def upload_progress(callback: Callable[[int, int], object]) -> Generator[None, None, None]:
    """Within the block, *callback* is told how far an upload is.

    ::

        with upload_progress(lambda sent, total: print(f"{sent} of {total} bytes")):
            sg.upload("Version", 12, "sh010.mov", field_name="sg_uploaded_movie")

    It is called on the thread that sends, with the bytes of the file that were sent and those that
    it has. When a part is sent again, the count goes back. What it raises ends the upload, and
    comes out as it is. Within another such block, both are told.

    It may make calls: through an executor, its ``shotgun`` or a pool, which take another connection
    for them. The client that sends refuses them, with a ``RuntimeError``. *callback* is not told of
    what it uploads itself. The upload waits meanwhile, and the site may not wait for long.
    """
    outer = _progress.get()

    def both(sent: int, total: int) -> None:
        if outer is not None:
            outer(sent, total)
        callback(sent, total)

    token = _progress.set(callback if outer is None else both)
    try:
        yield
    finally:
        _progress.reset(token)


def _tell(report: Callable[[int, int], object], sent: int, total: int) -> None:
    """Call *report*, which is not to be told of what it uploads itself."""
    token = _progress.set(None)
    try:
        report(sent, total)
    except Exception as error:
        give_up(error)  # it is not of the request: whatever it is, the upload ends by it
        raise
    finally:
        _progress.reset(token)


class FilePart:
    """A part of an open file, as the body of a request; it can be read from its start again."""

    def __init__(
        self,
        file: BinaryIO,
        start: int,
        size: int,
        *,
        before: int = 0,
        total: Optional[int] = None,
    ) -> None:
        """*size* bytes of *file* from *start*; *before* of *total* were sent earlier."""
        self._file = file
        self._start = start
        self.size = size
        self._before = before
        self._total = size if total is None else total

    @property
    def identity(self) -> Optional[tuple[int, ...]]:
        """Equal for what is the same part of the same file, unchanged; None if nobody can tell."""
        try:
            stat = os.fstat(self._file.fileno())
        except (AttributeError, OSError, ValueError):
            return None
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, self._start, self.size)

    def pieces(self) -> Iterator[bytes]:
        """All of it, from the start.

        Raises:
            UploadError: The file has become shorter.
        """
        report = _progress.get()
        self._file.seek(self._start)
        left = self.size
        while left:
            piece = self._file.read(min(left, _PIECE))
            if not piece:
                raise UploadError(f"the file ended {left} bytes early: somebody has changed it")
            yield piece
            left -= len(piece)
            if report is not None:
                _tell(report, self._before + self.size - left, self._total)

    def read(self, size: int = -1) -> bytes:
        """As of a file, for who overrides what sends it."""
        place = self._file.tell()
        if not self._start <= place <= self._start + self.size:
            self._file.seek(self._start)
            place = self._start
        left = self._start + self.size - place
        return self._file.read(left if size < 0 else min(size, left))


class _Form:
    """A multipart form with files in it."""

    def __init__(self, fields: list[tuple[str, Any]], files: list[tuple[str, Any]]) -> None:
        self.boundary = uuid.uuid4().hex
        self._parts: list[Union[bytes, FilePart]] = []
        for name, value in fields:
            text = value.decode() if isinstance(value, bytes) else str(value)
            self._add(f'Content-Disposition: form-data; name="{name}"', text.encode())
        for name, file in files:
            self._add_file(name, file)
        self._parts.append(f"--{self.boundary}--\r\n\r\n".encode())
        self.size = sum(
            part.size if isinstance(part, FilePart) else len(part) for part in self._parts
        )

    def pieces(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, FilePart):
                yield from part.pieces()
            else:
                yield part

    def _add(self, head: str, content: Union[bytes, FilePart]) -> None:
        self._parts.append(f"--{self.boundary}\r\n{head}\r\n\r\n".encode())
        self._parts.append(content)
        self._parts.append(b"\r\n")

    def _add_file(self, name: str, file: Any) -> None:
        filename = os.fsdecode(file.name).split("/")[-1]
        size = os.fstat(file.fileno()).st_size
        lines = [
            f'Content-Disposition: form-data; name="{name}"; filename="{filename}"',
            f"Content-Type: {mimetypes.guess_type(filename)[0] or 'application/octet-stream'}",
            f"Content-Length: {size}",
        ]
        self._add("\r\n".join(lines), FilePart(file, 0, size))


class FileRequests:
    """The requests for files of one client, over its own connections.

    They go where those of the JSON API go if that is the same place, and have the same limits.
    """

    def __init__(
        self,
        connection: Connection,
        transport: Callable[[], Transport],
        proxy_for: Callable[[str, str], Optional[Proxy]],
        agent: str,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._proxy_for = proxy_for
        self._agent = agent

    def send_form(self, url: str, params: Mapping[str, Any], auth: Mapping[str, Any]) -> str:
        """Send a form, with *auth* in it, and return the text of the answer.

        Raises:
            UploadError: It failed, with the HTTP status if there was one. If it is not known
                whether the site carried it out, it says so.
        """
        path = urllib.parse.urlsplit(url).path
        body, kind = _encoded({**params, **auth})
        headers = {"Content-Type": kind}
        if path in _ASKING or path == _COMPLETING:
            asked = (path, tuple((name, str(params[name])) for name in params if name not in auth))
            return self._asked(asked, url, body, headers)
        try:
            _, content = self._checked("POST", url, body, headers, writes=True)
            self._judge(url, content)
        except BaseException as error:
            if self._connection.trace.last is Sent.UNKNOWN:
                mark_unknown(error, unknown_form(path, {**params, **auth}))
            raise
        return content.decode("utf-8")

    def put(self, url: str, part: FilePart, kind: str) -> Optional[str]:
        """Store *part*; from its start again if the storage fails. Returns its tag, if it has one.

        Raises:
            UploadError: It failed.
        """
        memory, identity = self._connection.memory, part.identity
        if memory is not None and identity is None:
            memory.forget()  # whether it is the same in the next attempt, nobody can tell
        known = None if memory is None else memory.answer_to((url, identity))
        if known is not None:
            return known or None
        try:
            answer, _ = self._repeated("PUT", url, part, {"Content-Type": kind})
        except UploadError as error:
            blame_storage(error)
            raise
        tag = answer.get("etag")
        if memory is not None and identity is not None:
            memory.stored((url, identity), tag or "")
        return tag

    def download(
        self, url: str, target: Optional[Target], cookies: Optional[http.cookiejar.CookieJar]
    ) -> bytes:
        """The content of *url*, or nothing if it went to *target*.

        Raises:
            ShotgunFileDownloadError: It failed.
        """
        try:
            for _ in range(10):
                answer, content = self._get(url, target, cookies)
                if answer.status not in _REDIRECTS or "location" not in answer:
                    return content
                if is_sign_in_page(answer["location"]):
                    raise _sign_in_wanted(_download_error(url, "HTTP Error 302", answer))
                url = urllib.parse.urljoin(url, answer["location"])
        except Aborted:
            raise
        except _FAILURES as error:
            if target is not None and target.error is error:
                raise  # it is about the disk
            raise _download_error(url, f"<urlopen error {error}>") from error
        raise _download_error(url, "too many redirections")

    # What they are made of.

    def _judge(self, url: str, content: bytes) -> None:
        """What the text of an answer says of a form: it starts with a digit, 1 if all is well."""
        if content[:1] == b"1":
            return
        if content[:1].isdigit():
            self._connection.trace.refused()  # the client raises what it says
            return
        self._connection.trace.unreadable()
        shown = content[:200].decode("utf-8", "replace")
        raise UploadError(f"POST {_shown(url)} was not answered as a form is: {shown!r}")

    def _asked(
        self,
        asked: tuple[str, object],
        url: str,
        body: Union[bytes, Body],
        headers: Mapping[str, str],
    ) -> str:
        """The answer to a form that changes nothing that anybody sees."""
        memory = self._connection.memory
        known = None if memory is None else memory.answer_to(asked)
        if known is not None:
            return known
        if asked[0] == _COMPLETING:
            try:
                _, content = self._checked("POST", url, body, headers, writes=False)
            except BaseException as error:
                if memory is not None and not was_refused(error):
                    memory.forget()  # the parts may be put together by now, and are no parts then
                raise
        else:
            _, content = self._repeated("POST", url, body, headers)
        text = content.decode("utf-8")
        if memory is not None and text.startswith("1"):
            (memory.stored if asked[0] == _COMPLETING else memory.asked)(asked, text)
        return text

    def _repeated(
        self, method: str, url: str, body: Union[bytes, Body], headers: Mapping[str, str]
    ) -> tuple[Answer, bytes]:
        """A request that does no harm if it is sent again.

        By whoever makes the whole call again, if that can wait without this thread; else here.
        """
        connection = self._connection
        memory, repeats = connection.memory, connection.prototype.repeats
        began = time.monotonic()
        for attempt in itertools.count(1):
            try:
                done = self._checked(method, url, body, headers, writes=False)
            except UploadError as error:
                if given_up(error):
                    raise
                wrote = connection.trace.sent is not Sent.NOTHING
                if memory is not None and memory.can_repeat() and not wrote:
                    memory.failed(error)
                    raise
                elapsed = time.monotonic() - began
                policy = inherited_retries(connection.prototype)
                verdict = repeats.after_harmless(error, attempt, elapsed=elapsed, policy=policy)
                if verdict.after is None:
                    give_up(error)
                    raise
            else:
                return done
            connection.pause(verdict.after)
        raise AssertionError("unreachable")

    def _checked(
        self,
        method: str,
        url: str,
        body: Union[bytes, Body],
        headers: Mapping[str, str],
        *,
        writes: bool,
    ) -> tuple[Answer, bytes]:
        """The answer to a request that must succeed."""
        what = f"{method} {_shown(url)}"
        try:
            answer, content = self._exchange(method, url, body, headers, writes=writes)
            if method == "POST" and answer.status in (301, 302, 303) and "location" in answer:
                if is_sign_in_page(answer["location"]):
                    raise _sign_in_wanted(UploadError(f"{what} failed", answer.status, answer))
                url = urllib.parse.urljoin(url, answer["location"])
                answer, content = self._exchange("GET", url, None, {}, writes=writes, sent=True)
        except Aborted:
            raise
        except _FAILURES as error:
            if given_up(error):
                raise
            raise UploadError(f"{what} failed: {error}") from error
        if answer.status >= 300:
            text = f"{what} failed: HTTP Error {answer.status}: {answer.reason}"
            raise UploadError(text, answer.status, answer)
        return answer, content

    def _exchange(
        self,
        method: str,
        url: str,
        body: Union[bytes, Body, None],
        headers: Mapping[str, str],
        *,
        writes: bool,
        sent: bool = False,
    ) -> tuple[Answer, bytes]:
        """Send a request; *sent*: it is for the outcome of one that the site has taken."""
        connection = self._connection
        transport: Optional[Transport] = None
        clean = False
        connection.begin_request()
        try:
            transport = self._transport()  # a failure before has closed the last one
            transport.phase = Phase.NOTHING
            channel, answer = self._begin(transport, method, url, body, headers)
            content = transport.read(channel, answer)
            clean = True
        except BaseException:
            if writes and transport is not None:
                connection.trace.failed(Phase.WHOLE if sent else transport.phase)
            raise
        finally:
            connection.end_request(clean=clean)
            if writes:
                connection.prototype.shared.wrote()
        if writes:
            connection.trace.answered(answer.status, redirected=sent)
        return answer, content

    def _begin(
        self,
        transport: Transport,
        method: str,
        url: str,
        body: Union[bytes, Body, None],
        headers: Mapping[str, str],
    ) -> tuple[Channel, Answer]:
        parts = urllib.parse.urlsplit(url)
        place = place_of(url, self._proxy_for(parts.scheme, parts.netloc))
        headers = {"User-Agent": self._agent, "Accept-Encoding": "identity", **headers}
        proxy = place.route.proxy
        if proxy is not None and place.route.forwarded and proxy.authorization:
            headers["Proxy-Authorization"] = proxy.authorization
        return transport.exchange(place.route, place.target, method, body, headers)

    def _get(
        self, url: str, target: Optional[Target], cookies: Optional[http.cookiejar.CookieJar]
    ) -> tuple[Answer, bytes]:
        """One step of a download."""
        connection = self._connection
        request = urllib.request.Request(url)  # noqa: S310 - only asked for its cookies
        headers = {}
        if cookies is not None:
            cookies.add_cookie_header(request)
            cookie = request.get_header("Cookie", "")
            headers = {"Cookie": cookie} if cookie else {}
        clean = False
        connection.begin_request()
        try:
            transport = self._transport()
            channel, answer = self._begin(transport, "GET", url, None, headers)
            content = b""
            if target is not None and 200 <= answer.status < 300:
                for piece in transport.read_pieces(channel, answer):
                    target.write(piece)
            else:
                content = transport.read(channel, answer)
            clean = True
        finally:
            connection.end_request(clean=clean)
        if cookies is not None:
            cookies.extract_cookies(_CookieSource(answer), request)  # type: ignore[arg-type]  # all that it asks of a response
        if answer.status >= 300 and not (answer.status in _REDIRECTS and "location" in answer):
            raise _http_error(url, answer, content)
        return answer, content


class _CookieSource:
    """What a cookie jar takes for a response."""

    def __init__(self, answer: Answer) -> None:
        self._message = http.client.HTTPMessage()
        for cookie in answer.cookies:
            self._message.add_header("Set-Cookie", cookie)

    def info(self) -> http.client.HTTPMessage:
        """The headers."""
        return self._message


class Target:
    """A file that is written under a temporary name beside it, and gets its own when complete."""

    def __init__(self, path: str) -> None:
        self.path = Path(os.path.realpath(path))
        self._temporary: Optional[Path] = None
        self.error: Optional[OSError] = None
        """What writing has failed with."""
        try:
            self.file = self._open()
        except OSError as error:
            raise OSError(f"Unable to write Attachment to disk using file_path. {error}") from error

    def _open(self) -> BinaryIO:
        if self.path.exists() and not self.path.is_file():
            return self.path.open("wb")  # a device or a pipe has nothing beside it
        temporary = self.path.with_name(f".{uuid.uuid4().hex[:12]}.part")
        try:
            file = temporary.open("xb")
        except PermissionError:
            if not self.path.exists():
                raise
            return self.path.open("wb")  # the file may be written, its folder not
        self._temporary = temporary
        return file

    def write(self, piece: bytes) -> None:
        """Add *piece*."""
        try:
            self.file.write(piece)
        except OSError as error:
            self.error = error
            raise

    def complete(self) -> None:
        """All was written: give it its name."""
        self.file.close()
        if self._temporary is not None:
            if self.path.exists():
                shutil.copymode(self.path, self._temporary)
            self._temporary.replace(self.path)

    def discard(self) -> None:
        """It is not wanted; what was there before is still there."""
        self.file.close()
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink()


def file_proxy(handler: Any, scheme: str, netloc: str) -> Optional[Proxy]:
    """The proxy for files at *netloc*, as urllib finds it.

    Args:
        handler: The client's ``config.proxy_handler``; None if the environment decides.
        scheme: That of the URL.
        netloc: Host and port.
    """
    proxies = urllib.request.getproxies() if handler is None else dict(handler.proxies)
    url = proxies.get(scheme)
    if not url or (netloc and urllib.request.proxy_bypass(netloc)):
        return None
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    user, password = parts.username, parts.password
    return Proxy(
        parts.hostname or "",
        parts.port or 80,
        None if user is None else urllib.parse.unquote(user),
        None if user is None else urllib.parse.unquote(password or ""),
        tunnel=scheme == "https",
    )


def _encoded(params: Mapping[str, Any]) -> tuple[Union[bytes, Body], str]:
    """The body of a form, and its type."""
    files = [item for item in params.items() if isinstance(item[1], io.IOBase)]
    fields = [item for item in params.items() if not isinstance(item[1], io.IOBase)]
    if not files:
        return urllib.parse.urlencode(fields, True).encode(), "application/x-www-form-urlencoded"
    form = _Form(fields, files)
    return form, f"multipart/form-data; boundary={form.boundary}"


def _shown(url: str) -> str:
    """*url* without its query, which may hold a signature."""
    plain, mark, _ = url.partition("?")
    return plain + ("?***" if mark else "")


def _http_error(url: str, answer: Answer, content: bytes) -> ShotgunFileDownloadError:
    text = f"HTTP Error {answer.status}: {answer.reason}"
    if answer.status == 400:
        text += "\nAttachment may not exist or is a local file?"
    elif answer.status == 403 and "s3.amazonaws.com" in url:
        text += _storage_message(answer, content)
    elif answer.status in (409, 410):  # a scan for malware runs, or has found some
        text += f"\n{content.decode('utf-8', 'replace')}\n"
    return _download_error(url, text, answer)


def _storage_message(answer: Answer, content: bytes) -> str:
    if answer.get("content-type") != "application/xml" or not content:
        return ""
    try:
        message = ET.fromstring(content).findtext(".//Message")  # noqa: S314 - as the client does
    except ET.ParseError:
        return f"\n{content.decode('utf-8', 'replace')}\n"
    return f" - {message}" if message else ""


def _sign_in_wanted(error: E) -> E:
    """*error*, of a request that the site has answered with its page for people to sign in."""
    add_text(error, "the site does not accept the session, and wants somebody to sign in")
    error._signed_out = True  # type: ignore[attr-defined]  # read by signed_out()
    return error


def _download_error(
    url: str, text: str, answer: Optional[Answer] = None
) -> ShotgunFileDownloadError:
    error: Any = ShotgunFileDownloadError(f"Failed to open {_shown(url)}\n{text}")
    error.status = None if answer is None else answer.status
    error.headers = dict(answer or {})
    return error  # type: ignore[no-any-return]  # it is one
