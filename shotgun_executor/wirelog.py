"""What the log of ``shotgun_api3`` says of requests and answers: its lines, without secrets.

The lines are those of the official client, which formats them also when nobody prints them, and
prints keys and tokens. Here they are made only where the log is at DEBUG, and show ``***`` where a
name or a URL may hide a secret.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from shotgun_api3.shotgun import LOG

from shotgun_executor.outcome import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "log_answer",
    "log_call",
    "log_completed",
    "log_failure",
    "log_request",
]


def log_call(method: str, params: Any) -> None:
    """A call begins."""
    if LOG.isEnabledFor(logging.DEBUG):
        LOG.debug("Starting rpc call to %s with params %s", method, redacted(params))


def log_completed(method: str) -> None:
    """A call has its answer."""
    LOG.debug("Completed rpc call to %s", method)


def log_failure(error: Exception) -> None:
    """A request has none."""
    LOG.debug("Request failed.  Reason: %s", error, exc_info=True)


def log_request(verb: str, url: str, headers: Mapping[str, str], body: Any) -> None:
    """A request is sent."""
    if LOG.isEnabledFor(logging.DEBUG):
        LOG.debug("Request is %s:%s", verb, redacted(url))
        LOG.debug("Request headers are %s", redacted(dict(headers)))
        LOG.debug("Request body is %s", _shown(body))


def log_answer(status: tuple[int, str], headers: Mapping[str, str], body: Any) -> None:
    """An answer has come."""
    if LOG.isEnabledFor(logging.DEBUG):
        LOG.debug("Response status is %s %s", *status)
        LOG.debug("Response headers are %s", redacted(dict(headers)))
        LOG.debug("Response body is %s", _shown(body))


def _shown(body: Any) -> Any:
    """*body* as the official client shows it, which is mostly bytes."""
    try:
        values = json.loads(body)
    except (TypeError, ValueError):  # no JSON
        return redacted(body if isinstance(body, str) else repr(body)) if body else body
    shown = redacted(values)
    if shown == values:
        return body
    return json.dumps(shown, ensure_ascii=False).encode("utf-8", "surrogatepass")
