"""Our own ways of what ``Shotgun`` does: how it calls the site, and over what.

Each class here stands between the class of the user and ``Shotgun``, so that its methods are found
before those of ``Shotgun``, and after those of the user. What they override and call is listed in
``contract.py``; where the installed ``shotgun_api3`` differs, the official way is taken.
"""

from __future__ import annotations

import functools
import io
import json
import mimetypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional
from xmlrpc.client import ProtocolError

from shotgun_api3.shotgun import AuthenticationFault, Shotgun, ShotgunError

from shotgun_executor import decode
from shotgun_executor.contract import usable
from shotgun_executor.errors import encoded
from shotgun_executor.files import FilePart, FileRequests, Target, file_proxy
from shotgun_executor.opening import Limits, Proxy
from shotgun_executor.session import in_session, session_token_in_use, signed_out
from shotgun_executor.transport import Transport
from shotgun_executor.wire import LONGEST
from shotgun_executor.wirelog import (
    log_answer,
    log_call,
    log_completed,
    log_failure,
    log_request,
)

if TYPE_CHECKING:
    from shotgun_executor.connection import Connection

__all__ = ["OWN_WAYS", "connection_of", "given_back"]


# A page may be exported as it is.
_NOT_IN_JSON = frozenset({"export_page"})


def connection_of(client: Any) -> Connection:
    """The connection that *client* is the client of."""
    connection: Optional[Connection] = client._pooled_connection()
    if connection is None:
        raise given_back()
    return connection


def given_back() -> RuntimeError:
    """What a client raises that is no longer anyone's to use."""
    return RuntimeError(
        "this connection was given back to its pool, where another thread may use it; "
        "use it only inside `with pool.lease() as sg:` or the function that it was given to"
    )


def _no_json(method: str, headers: dict[str, Any]) -> ShotgunError:
    """What is raised for a page where an answer should be; ``Shotgun`` may return it as one."""
    kind = headers.get("content-type") or "nothing"
    return ShotgunError(
        f"the answer to {method} is {kind[:100]}, not JSON: something between here and the site "
        f"has answered in its place, or the URL is not that of a site"
    )


class _OwnCalls(Shotgun):
    """One request for each call: the loops of ``Shotgun``, which send writes again, are off.

    ``MAX_ATTEMPTS`` and ``config.max_rpc_attempts`` read as they are set, and mean nothing here.
    """

    def _call_rpc(
        self,
        method: str,
        params: Any,
        include_auth_params: bool = True,
        first: bool = False,
    ) -> Any:
        log_call(method, params)
        body = self._encoded(method, params, include_auth_params)
        headers = {
            "content-type": "application/json; charset=utf-8",
            "connection": "keep-alive",
        }
        if self.config.localized is True:
            headers["locale"] = "auto"
        status, answer_headers, content = self._make_call(
            "POST", str(self.config.api_path), body, headers
        )
        log_completed(method)
        self._check_status(status, answer_headers, content)
        response = self._answer(answer_headers, content)
        if isinstance(response, bytes) and method not in _NOT_IN_JSON:
            raise _no_json(method, answer_headers)
        if not isinstance(response, dict) or "results" not in response:
            return response
        results = response["results"]
        return results[0] if first and isinstance(results, list) else results

    def _answer(self, headers: dict[str, Any], content: Any) -> Any:
        """What the site has answered, or its error."""
        if "decode" in _PIECES:
            return decode.decoded(self, headers, content)
        response = self._decode_response(headers, content)
        self._response_errors(response)  # type: ignore[no-untyped-call]  # it has no types
        return self._transform_inbound(response)

    def _encoded(self, method: str, params: Any, include_auth_params: bool) -> bytes:
        """The body of a request; dates are looked for only where JSON cannot go on without."""
        cls: type = type(self)
        if not _encodes_as_official(cls):
            params = self._transform_outbound(params)
            payload = self._build_payload(method, params, include_auth_params=include_auth_params)
            return self._encode_payload(payload)
        payload = self._build_payload(method, params, include_auth_params=include_auth_params)
        text = json.dumps(payload, ensure_ascii=False, default=self._outbound)
        return encoded(text, "utf-8")

    def _outbound(self, value: Any) -> Any:
        """*value*, which is no JSON, as the client sends it."""
        sent = self._transform_outbound(value)
        if sent is value:
            raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
        return sent

    def _check_status(self, status: tuple[int, str], headers: dict[str, Any], body: Any) -> None:
        try:
            self._parse_http_status(status)
        except ProtocolError as error:
            error.headers = headers
            if error.errcode == 403:  # the page of a site that blocks the API says why
                error.errmsg += f": {body}"
            raise

    def _make_call(
        self, verb: str, path: str, body: Any, headers: Optional[dict[str, Any]]
    ) -> tuple[tuple[int, str], dict[str, Any], Any]:
        sent = {"user-agent": "; ".join(self._user_agents)}
        if self.config.authorization:
            sent["Authorization"] = self.config.authorization
        sent.update(headers or {})
        try:
            return self._http_request(verb, path, body or None, sent)
        except Exception as error:
            self._close_connection()
            log_failure(error)
            raise


class _OwnTransport(Shotgun):
    """Our sockets in place of httplib2."""

    def _get_connection(self) -> Any:
        if self._connection is None:
            self._connection: Any = _new_transport(self)
        return self._connection

    def _http_request(
        self, verb: str, path: str, body: Any, headers: dict[str, Any]
    ) -> tuple[tuple[int, str], dict[str, Any], Any]:
        # Not the official way where a class of the user's has another connection either: it logs
        # what is sent, the key with it.
        transport: Any = self._get_connection()
        url = f"{self.config.scheme}://{self.config.server}{path}"
        log_request(verb, url, headers, body)
        answer, content = transport.request(url, method=verb, body=body, headers=headers)
        status = (answer.status, answer.reason)
        log_answer(status, answer, content)
        if not isinstance(transport, Transport):
            return status, {name.lower(): value for name, value in answer.items()}, content
        return status, dict(answer), content


def _new_transport(client: Any) -> Transport:
    connection = connection_of(client)
    config = client.config
    proxy = None
    if config.proxy_server:
        proxy = Proxy(config.proxy_server, config.proxy_port, config.proxy_user, config.proxy_pass)
    shared = connection.prototype.shared
    ca_file = getattr(client, "_Shotgun__ca_certs", None) or client._get_certs_file(None)
    return Transport(
        shared,
        connection.switch,
        ca_file=ca_file,
        proxy=proxy,
        limits=lambda: _limits(shared.limits, config.timeout_secs),
    )


def _limits(limits: Limits, timeout_secs: object) -> Limits:
    """The limits, where ``config.timeout_secs`` may say otherwise."""
    if timeout_secs is None:
        return limits
    if not isinstance(timeout_secs, (int, float)):  # it is a plain attribute: nobody has looked yet
        raise TypeError(
            f"config.timeout_secs must be a number of seconds or None, not {timeout_secs!r}"
        )
    # Zero would mean not to block at all; and systems know no numbers beyond the longest.
    seconds = min(max(0.001, timeout_secs), LONGEST)
    connect = seconds if limits.connect is None else min(limits.connect, seconds)
    return Limits(connect, seconds)


class _OwnFiles(Shotgun):
    """Uploads and downloads over our sockets."""

    def _send_form(self, url: str, params: dict[str, Any]) -> str:
        requests = _file_requests(self)
        if requests is None:
            return super()._send_form(url, params)
        connection = connection_of(self)

        def send() -> str:
            text = requests.send_form(url, params, self._auth_params())
            if session_token_in_use(self.config) and _refuses_session(text):
                connection.trace.refused()
                raise AuthenticationFault(f"POST {url} was refused: {text[2:].strip()}")
            return text

        try:
            return in_session(connection, send)
        finally:
            for value in params.values():
                if isinstance(value, io.IOBase):
                    value.close()  # it was opened for this form

    def _upload_data_to_storage(
        self, data: Any, content_type: str, size: int, storage_url: str
    ) -> Any:
        requests = _file_requests(self)
        if requests is None:
            return super()._upload_data_to_storage(data, content_type, size, storage_url)
        body = data if isinstance(data, FilePart) else FilePart(data, data.tell(), size)
        return requests.put(storage_url, body, content_type)

    def _multipart_upload_file_to_storage(self, path: str, upload_info: dict[str, Any]) -> None:
        """As in ``Shotgun``, but a part is read while it is sent, not before."""
        filename = Path(path).name
        content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
        with Path(path).open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            tags = []
            step = self._MULTIPART_UPLOAD_CHUNK_SIZE
            for number, start in enumerate(range(0, total, step), 1):
                size = min(step, total - start)
                part: Any = FilePart(file, start, size, before=start, total=total)
                url = self._get_upload_part_link(upload_info, filename, number)
                tags.append(self._upload_data_to_storage(part, content_type, size, url))
            self._complete_multipart_upload(upload_info, filename, tags)

    def download_attachment(
        self,
        attachment: Any = False,
        file_path: Optional[str] = None,
        attachment_id: Optional[int] = None,
    ) -> Any:
        if attachment is False and isinstance(attachment_id, int):
            attachment = attachment_id  # how it was given long ago
        requests = _file_requests(self)
        if requests is None or attachment is False:
            return super().download_attachment(attachment, file_path, attachment_id)
        url: Any = self.get_attachment_download_url(attachment)  # None for None
        if url is None:
            return None
        if not url.lower().startswith(("http://", "https://")):  # a local file, for one
            return super().download_attachment(attachment, file_path, attachment_id)
        target = Target(file_path) if file_path else None
        try:
            content = self._content(requests, url, target)
            if target is not None:
                target.complete()
        except BaseException:
            if target is not None:
                target.discard()
            raise
        return content if target is None else file_path

    def _content(self, requests: FileRequests, url: str, target: Optional[Target]) -> bytes:
        """What is at *url*; from this site with the cookie of a session, even of a script."""
        if not self._is_own(url):
            return requests.download(url, target, None)

        def download() -> bytes:
            return requests.download(url, target, self.get_auth_cookie_handler().cookiejar)

        connection = connection_of(self)
        if session_token_in_use(self.config):
            return in_session(connection, download)
        try:
            return download()
        except ShotgunError as error:
            if not signed_out(error):
                raise
        connection.session_token(super().get_session_token, expired=self.config.session_token)
        return download()

    def _is_own(self, url: str) -> bool:
        """Whether the client would show its session to *url*."""
        return str(self.config.server) in url


def _refuses_session(text: str) -> bool:
    """Whether the answer to a form says that the site does not know who sends it."""
    return text.startswith("0") and "Can't authenticate" in text


@functools.cache
def _encodes_as_official(cls: type) -> bool:
    """Whether nobody has changed how *cls* builds a request."""
    names = ("_transform_outbound", "_visit_data", "_build_payload", "_encode_payload")
    return all(getattr(cls, name) is getattr(Shotgun, name) for name in names)


def _file_requests(client: Any) -> Optional[FileRequests]:
    """The requests for files of *client*; None if its class opens URLs in a way of its own."""
    cls = type(client)
    for name in ("_build_opener", "_make_upload_request"):
        if getattr(cls, name) is not getattr(Shotgun, name):
            return None
    if not isinstance(client._get_connection(), Transport):
        return None
    handler = client.config.proxy_handler
    return FileRequests(
        connection_of(client),
        client._get_connection,
        functools.partial(file_proxy, handler),
        "; ".join(client._user_agents),
    )


# Our own ways, as far as the installed shotgun_api3 is as they expect it.
_PIECES = usable(tried={"decode": decode.disagreements})
OWN_WAYS: tuple[type, ...] = tuple(
    own
    for piece, own in {
        "calls": _OwnCalls,
        "decode": decode.OwnDecoding,
        "files": _OwnFiles,
        "transport": _OwnTransport,
    }.items()
    if piece in _PIECES
)
