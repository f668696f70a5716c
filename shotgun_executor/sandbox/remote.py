"""A running sandbox as other processes see it: steering it over its control address."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.parse
from typing import TYPE_CHECKING, Any, Optional, Union

from shotgun_executor.sandbox.counters import Counters
from shotgun_executor.sandbox.settings import Info

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

    Raises:
        SandboxError: There is no sandbox, or it has another token.
    """

    def __init__(self, url: str, token: str) -> None:
        self._token = token
        self._address = address_of(url)
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
    def credentials(self) -> dict[str, str]:
        """What ``Shotgun`` takes beside the URL: ``Shotgun(s.url, **s.credentials)``."""
        return {"script_name": self.script_name, "api_key": self.api_key}

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
                ``find_one``, otherwise the name of the client's method. None holds all.
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
        *,
        status: int,
        count: int = 1,
        headers: Optional[Mapping[str, str]] = None,
        body: Union[str, bytes, None] = None,
        after_execution: bool = False,
    ) -> None:
        """Answer the next requests with an HTTP status that is not 200.

        Args:
            method: The method as it is called on the wire; None is any.
            status: The HTTP status, 200 to 599.
            count: How many requests get it.
            headers: Headers of the response, such as ``{"Retry-After": "2"}``.
            body: The body; by default a short HTML page that names the status.
            after_execution: Execute the request, then answer with the status all the same.
        """
        body_base64 = base64.b64encode(body).decode() if isinstance(body, bytes) else None
        self._ask(
            "fail_next",
            method=method,
            status=status,
            count=count,
            headers=None if headers is None else dict(headers),
            body=None if isinstance(body, bytes) else body,
            body_base64=body_base64,
            after_execution=after_execution,
        )

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
        connection = http.client.HTTPConnection(*self._address, timeout=limit)
        try:
            headers = {"Content-Type": "application/json", "X-Sandbox-Token": self._token}
            connection.request("POST", path, json.dumps(arguments), headers)
            response = connection.getresponse()
            return response.status, _decode(response.read())
        finally:
            connection.close()

    def _place(self) -> str:
        return "{}:{}".format(*self._address)

    def _why_gone(self, error: Exception) -> str:
        return f"no sandbox answers at {self._place()}: {str(error) or type(error).__name__}"


def address_of(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(
            f"url must be that of a sandbox, such as http://127.0.0.1:8000, not {url!r}"
        )
    return parts.hostname, parts.port or 80


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:  # some other server
        return {}


def _number(value: object) -> float:
    return value if isinstance(value, (int, float)) else 0.0
