"""A running sandbox as other processes see it: steering it over its control address."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.parse
from typing import TYPE_CHECKING, Any, Optional, Union

from shotgun_executor.sandbox.counters import Counters
from shotgun_executor.sandbox.record import Request
from shotgun_executor.sandbox.settings import Credentials, Info

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RemoteSandbox", "SandboxError"]

# How long an operation may take that has nothing to wait for.
_LIMIT = 30.0


class SandboxError(RuntimeError):
    """The sandbox could not be started, is gone, or refuses to be steered."""


class RemoteSandbox:
    """A sandbox that somebody else has started.

    Every method may be called from any thread; each has a limit of time.

    Args:
        url: Where the site is, such as ``"http://127.0.0.1:8000"``.
        token: The control token that the sandbox printed when it started.
        ca_certs: The file that its certificate is known by, for a site over HTTPS.

    Raises:
        SandboxError: There is no sandbox, or it has another token.
    """

    def __init__(self, url: str, token: str, ca_certs: Optional[str] = None) -> None:
        self._token = token
        self._address = address_of(url)
        self._trust = trust_of(url, ca_certs)
        self._info = Info.from_json(self._ask("info"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @property
    def url(self) -> str:
        """The URL of the site, which is the ``base_url`` of ``Shotgun``."""
        return self._info.url

    @property
    def token(self) -> str:
        """The control token, for :class:`RemoteSandbox` in another process."""
        return self._token

    @property
    def script_name(self) -> str:
        """The name of a script that the site knows."""
        return self._info.script_name

    @property
    def api_key(self) -> str:
        """The key of that script."""
        return self._info.api_key

    @property
    def login(self) -> str:
        """The login of a person that the site knows."""
        return self._info.login

    @property
    def password(self) -> str:
        """The password of that person."""
        return self._info.password

    @property
    def credentials(self) -> Credentials:
        """What ``Shotgun`` takes beside the URL: ``Shotgun(s.url, **s.credentials)``.

        Over HTTPS that includes ``ca_certs``.
        """
        credentials = Credentials(script_name=self.script_name, api_key=self.api_key)
        if self.ca_certs is not None:
            credentials["ca_certs"] = self.ca_certs
        return credentials

    @property
    def ca_certs(self) -> Optional[str]:
        """The file by which clients know the certificate of a site over HTTPS; None over HTTP."""
        return self._info.ca_certs

    @property
    def requests(self) -> list[Request]:
        """The requests that the site got since it started or was last cleared, the oldest first.

        The newest 10,000 are kept, fewer if their bodies are larger than 32 MiB in all. Requests
        to the control address are not among them.
        """
        return self.last_requests(None)

    def last_requests(self, count: Optional[int]) -> list[Request]:
        """The newest *count* of :attr:`requests`; None is all."""
        return [Request.from_json(values) for values in self._ask("requests", last=count)]

    def info(self) -> Info:
        """Where the sandbox is, and the credentials that its site knows."""
        return Info.from_json(self._ask("info"))

    def counters(self) -> Counters:
        """What the site saw since it started or was last cleared."""
        return Counters.from_json(self._ask("counters"))

    def clear(self) -> None:
        """Make everything as it was at the start.

        The site is new (with the demo show, if it was started with one), the counters are at
        nought, nothing is held, no failure waits, and the latency is that of the start. Held
        requests that were not executed lose their connection; held answers are sent.
        """
        self._ask("clear")

    def hold(self, method: Optional[str] = None, *, before: bool = False) -> None:
        """From now on hold back the answers to *method*, or to every request.

        Args:
            method: The method as it is called on the wire: ``"read"`` for ``find`` and
                ``find_one``, otherwise the name of the client's method; or the name of a route,
                such as ``"upload_file"``. None holds all.
            before: Hold the requests before they are executed. By default they are executed
                and their answers wait.
        """
        self._ask("hold", method=method, before=before)

    def resume(self, method: Optional[str] = None, *, count: Optional[int] = None) -> int:
        """Let held requests of *method*, or all, go on, and hold no more.

        Args:
            method: The method as it is called on the wire; None is all. After
                ``resume("create")`` creates pass even if all is held.
            count: Let only the oldest *count* go, and keep holding.

        Returns:
            The number of requests that were let go.
        """
        resumed: int = self._ask("resume", method=method, count=count)
        return resumed

    def wait_for(self, n: int, method: Optional[str] = None, timeout: float = 10.0) -> None:
        """Wait until *n* requests of *method*, or in all, are being held.

        Raises:
            TimeoutError: They were fewer after *timeout* seconds; the message says how many.
        """
        self._ask("wait_for", _limit=_LIMIT + _number(timeout), n=n, method=method, timeout=timeout)

    def set_latency(
        self, seconds: Optional[float], method: Optional[str] = None, *, jitter: float = 0.0
    ) -> None:
        """Make answers to *method*, or to all methods, take longer from now on.

        Args:
            seconds: How much longer. None takes it back: for a *method*, the general latency
                counts again.
            method: The method as it is called on the wire. None sets what counts for all that
                have none of their own.
            jitter: Each answer takes up to that many seconds more or less, evenly spread.
        """
        self._ask("set_latency", seconds=seconds, method=method, jitter=jitter)

    def fail_next(
        self,
        method: Optional[str] = None,
        kind: Optional[str] = None,
        *,
        status: Optional[int] = None,
        count: int = 1,
        headers: Optional[Mapping[str, str]] = None,
        body: Union[str, bytes, None] = None,
        after_execution: bool = False,
        seconds: float = 1.0,
        fraction: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Make the next requests fail.

        Args:
            method: The method as it is called on the wire, or the name of a route such as
                ``upload_file``; None is any.
            kind: What happens. Without it, *status* says so.

                ``"drop"``: the connection is closed without an answer.
                ``"drop_unread"``: so it is before the body was read; *method* is None or a route.
                ``"reset"``: the connection is closed with a RST.
                ``"silence"``: no answer ever comes, and the connection stays open.
                ``"half_body"``: the answer breaks off in the middle of its body.
                ``"slow_body"``: the body takes *seconds*.
                ``"wrong_type"``: the answer says that it is HTML.
                ``"broken_json"``: the answer is whole, and its JSON is not.
                ``"session_expired"``: the site refuses, as it does with an expired session.
                ``"login_required"``: the client is sent to a login page.
            status: The HTTP status, 200 to 599.
            count: How many requests it happens to.
            headers: Headers that go with the status, such as ``{"Retry-After": "2"}``.
            body: The body that goes with it; by default a short HTML page that names the status.
            after_execution: Execute the request first. The four kinds that spoil an answer always
                do; the last two, and ``"drop_unread"``, never do.
            seconds: What ``"slow_body"`` takes.
            fraction: The chance of each request to be struck.
            seed: Where the random numbers for that start.
        """
        self._ask(
            "fail_next",
            count=count,
            method=method,
            kind=kind,
            status=status,
            after_execution=after_execution,
            seconds=seconds,
            fraction=fraction,
            seed=seed,
            **_content(headers, body),
        )

    def fail(
        self,
        method: Optional[str] = None,
        kind: Optional[str] = None,
        *,
        status: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
        body: Union[str, bytes, None] = None,
        after_execution: bool = False,
        seconds: float = 1.0,
        fraction: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Make requests fail from now on, until :meth:`stop_failing` or :meth:`clear`.

        The arguments are those of :meth:`fail_next`. ``fail(status=503, fraction=0.1)`` makes one
        request in ten fail.
        """
        self._ask(
            "fail",
            method=method,
            kind=kind,
            status=status,
            after_execution=after_execution,
            seconds=seconds,
            fraction=fraction,
            seed=seed,
            **_content(headers, body),
        )

    def stop_failing(self, method: Optional[str] = None) -> None:
        """Forget what was asked for *method*, or everything, with `fail` and `fail_next`."""
        self._ask("stop_failing", method=method)

    def drop_next(
        self, method: Optional[str] = None, *, count: int = 1, after_execution: bool = False
    ) -> None:
        """Close the connection of the next requests without an answer.

        The client sends such a request a second time on its own, which then counts as one more.

        Args:
            method: The method as it is called on the wire; None is any.
            count: How many requests meet that.
            after_execution: Execute the request first.
        """
        self._ask("drop_next", method=method, count=count, after_execution=after_execution)

    def close_idle(self, how: str = "fin") -> int:
        """Do something to each connection that is open and carries no request.

        Args:
            how: ``"fin"``: the site closes it, as any server may. ``"reset"``: with a RST.
                ``"vanish"``: it stays open, but the site never reads from it again, as if a
                firewall had dropped it without telling: a client waits for an answer in vain.

        Returns:
            How many there were.
        """
        closed: int = self._ask("close_idle", how=how)
        return closed

    def go_down(self, seconds: float) -> None:
        """Be away for some seconds, as during a restart: what is sent meanwhile is refused.

        Connections are closed, requests that are going on get no answer, nothing is lost.
        """
        self._ask("go_down", seconds=seconds)

    def expire_sessions(self) -> None:
        """Make every session token expire now, as if its time was over."""
        self._ask("expire_sessions")

    def require_auth_token(self, login: str, code: Optional[str]) -> None:
        """Make the password of a person good only together with a two-factor code.

        Args:
            login: The person's login.
            code: The code that ``auth_token`` must carry; None takes the demand back.
        """
        self._ask("require_auth_token", login=login, code=code)

    def _ask(self, operation: str, *, _limit: float = _LIMIT, **arguments: Any) -> Any:
        """Do one operation, over a connection of its own, so that any thread can.

        Raises:
            ValueError: An argument makes no sense.
            TimeoutError: What was waited for did not happen.
            SandboxError: The sandbox is gone, or refuses.
        """
        try:
            status, answer = self._post(f"/_sandbox/{operation}", arguments, _limit)
        except (OSError, http.client.HTTPException) as error:
            raise SandboxError(self._why_gone(error)) from error
        if status == 200:
            return answer["result"]
        message = answer.get("error", f"HTTP status {status}")
        if answer.get("kind") == "value":
            raise ValueError(message)
        if answer.get("kind") == "timeout":
            raise TimeoutError(message)
        raise SandboxError(f"the sandbox at {self._place()} refuses: {message}")

    def _post(self, path: str, arguments: object, limit: float) -> tuple[int, Any]:
        connection = self._connect(limit)
        try:
            headers = {"Content-Type": "application/json", "X-Sandbox-Token": self._token}
            connection.request("POST", path, json.dumps(arguments), headers)
            response = connection.getresponse()
            return response.status, _decode(response.read())
        finally:
            connection.close()

    def _connect(self, limit: float) -> http.client.HTTPConnection:
        if self._trust is None:
            return http.client.HTTPConnection(*self._address, timeout=limit)
        return http.client.HTTPSConnection(*self._address, timeout=limit, context=self._trust)

    def _place(self) -> str:
        return "{}:{}".format(*self._address)

    def _why_gone(self, error: Exception) -> str:
        return f"no sandbox answers at {self._place()}: {str(error) or type(error).__name__}"


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a sandbox.

    Raises:
        ValueError: It is no URL of one.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"url must be that of a sandbox, such as http://127.0.0.1:8000, not {url!r}"
        )
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def trust_of(url: str, ca_certs: Optional[str]) -> Optional[ssl.SSLContext]:
    """What a connection to a site over HTTPS checks its certificate with; None over HTTP."""
    if not url.lower().startswith("https:"):
        return None
    return ssl.create_default_context(cafile=ca_certs)


def _content(headers: Optional[Mapping[str, str]], body: Union[str, bytes, None]) -> dict[str, Any]:
    """Headers and body of a failure as JSON carries them."""
    return {
        "headers": None if headers is None else dict(headers),
        "body": None if isinstance(body, bytes) else body,
        "body_base64": base64.b64encode(body).decode() if isinstance(body, bytes) else None,
    }


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:  # some other server
        return {}


def _number(value: object) -> float:
    return value if isinstance(value, (int, float)) else 0.0
