"""The steps of a publish: what each is called, what tells it from others, and how it ends."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import hashlib
import inspect
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

from shotgun_api3.shotgun import Shotgun

from shotgun_executor.connection import own_class
from shotgun_executor.errors import DependencyError, ResumeError, outcome_unknown
from shotgun_executor.files import upload_progress
from shotgun_executor.filling import as_id, as_type, filled
from shotgun_executor.future import Future
from shotgun_executor.mirror import invoke_with_ids
from shotgun_executor.needs import has_failed
from shotgun_executor.outcome import mark_unknown, redacted, unknown_form, unknown_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shotgun_executor.report import StepReport

__all__ = ["Step", "arguments_of", "digest_of", "finished", "name_of", "refused"]

UPLOADS = frozenset({"upload", "upload_filmstrip_thumbnail", "upload_thumbnail"})
_MAKES_ATTACHMENTS = UPLOADS | {"share_thumbnail"}


class Step:
    """One step that this run makes.

    ``report``, ``over`` and ``since`` are guarded by the publishing that it is of.
    """

    __slots__ = (
        "arguments",
        "began",
        "creates",
        "future",
        "kind",
        "needs",
        "over",
        "report",
        "sent",
        "since",
        "tell",
    )

    def __init__(
        self,
        report: StepReport,
        kind: str,
        needs: Sequence[Step],
        *,
        began: Callable[[Step, Mapping[str, Any]], None],
        tell: Callable[[Step, int, int], None],
    ) -> None:
        """Say how it stands.

        Args:
            report: What is known of it before.
            kind: The entity type that it is about; empty if that is not known.
            needs: The steps whose results are among its arguments.
            began: Told before it is sent, with its arguments; what it raises ends the step.
            tell: Told how many bytes of how many it has sent.
        """
        self.report = report
        # Until it begins, if futures of others are among them, whose results the digest is of too.
        self.arguments: Optional[Mapping[str, Any]] = None
        self.kind = kind
        self.needs = needs
        self.began = began
        self.tell = tell
        self.future: Optional[Future[Any]] = None
        self.over = False
        self.since: Optional[float] = None  # when its first attempt began
        self.sent = 0  # bytes of its file
        self.creates: list[bool] = []  # which requests of a batch make an entity

    def make(self, client: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Make the call, on a worker; all that it needs is there."""
        args = [filled(value) for value in args]
        kwargs = {key: filled(value) for key, value in kwargs.items()}
        arguments = arguments_of(name, args, kwargs, type(client))
        if name == "batch":
            requests = arguments["requests"]
            self.creates = [request.get("request_type") == "create" for request in requests]
        self.began(self, arguments)
        with upload_progress(self._told):
            return invoke_with_ids(client, name, args, kwargs)

    def begin_in_batch(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """It is about to be sent as a part of a batch."""
        self.began(self, arguments_of(self.report.method, args, kwargs))

    def _told(self, sent: int, total: int) -> None:
        self.tell(self, sent, total)

    def with_outcome(self) -> StepReport:
        """Its report, now that its future is done."""
        seconds = None if self.since is None else round(time.monotonic() - self.since, 4)
        report = dataclasses.replace(self.report, seconds=seconds, message=None)
        future = cast("Future[Any]", self.future)
        if future.cancelled():
            return dataclasses.replace(report, state="cancelled")
        error = future.exception()
        if error is None:
            result = future.result()
            made = _made_by(report.method, result) or _those(result, self.creates)
            return dataclasses.replace(report, state="done", result=result, made=made)
        return self._failed(report, error)

    def _failed(self, report: StepReport, error: BaseException) -> StepReport:
        if isinstance(error, DependencyError):
            because = self._because()
            report = dataclasses.replace(report, state="skipped", because=because, seconds=None)
            if because is not None:
                return report
            text = redacted(str(error))  # a future of somebody else's has failed
            return dataclasses.replace(report, error=type(error).__name__, message=text)
        made = tuple(getattr(error, "made", None) or ())
        state = "failed"
        if outcome_unknown(error) or (made and report.method == "create"):
            state = "unknown"
        return dataclasses.replace(
            report,
            state=state,
            made=made,
            error=type(error).__name__,
            message=redacted(str(error)),
        )

    def _because(self) -> Optional[str]:
        """The name of the step that was not done, with its item if that is another one."""
        for need in self.needs:
            future = need.future
            if future is None or not future.done() or future.cancelled() or not future.exception():
                continue
            if need.report.because is not None:
                return need.report.because
            other = need.report.item != self.report.item
            return f"{need.report.item}: {need.report.name}" if other else need.report.name
        return None


# What tells one step from another


def arguments_of(
    method: str, args: Sequence[Any], kwargs: Mapping[str, Any], cls: type = Shotgun
) -> dict[str, Any]:
    """The arguments of a call by their names.

    Raises:
        TypeError: They are not those of the method.
    """
    member = getattr(own_class(cls), method, None)
    if not inspect.isfunction(member):
        member = getattr(Shotgun, method)
    try:
        arguments = inspect.signature(member).bind(None, *args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"{method}() {error}") from None
    named = dict(list(arguments.items())[1:])
    named.update(named.pop("kwargs", {}))
    return named


def name_of(method: str, kind: str, arguments: Mapping[str, Any]) -> str:
    """What a step is called unless the user says so: its method, entity type and field."""
    parts = [method, kind, arguments.get("field_name")]
    return " ".join(part for part in parts if isinstance(part, str) and part)


def kind_of(arguments: Mapping[str, Any], step_of: Callable[[Any], Optional[Step]]) -> str:
    """The entity type that a call is about, as far as that is known."""
    kind = arguments.get("entity_type")
    if isinstance(kind, concurrent.futures.Future):
        step = step_of(kind)
        return "" if step is None else step.kind
    kind = as_type(kind)
    return kind if isinstance(kind, str) else ""


def size_of(method: str, arguments: Mapping[str, Any]) -> Optional[int]:
    """The bytes of the file that a call uploads; None if it uploads none that is known."""
    path = arguments.get("path") if method in UPLOADS else None
    try:
        return Path(path).expanduser().stat().st_size if path else None
    except (OSError, TypeError, ValueError, RuntimeError):
        return None


def digest_of(
    method: str, arguments: Mapping[str, Any], reference: Callable[[Any], Optional[str]]
) -> str:
    """A short text that is another one when the arguments are others.

    Args:
        method: The method.
        arguments: By their names.
        reference: What stands for a future; None: its result, if it is of a call and there is one.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, concurrent.futures.Future):
            name = reference(value)
            # Those of others may be resolved only after the step was called, by whoever calls it.
            ours = isinstance(value, Future)
            if name is None and ours and value.done() and not has_failed(value):
                return plain(value.result())
            return {"step": name}
        if isinstance(value, dict):
            entity = "type" in value and "id" in value  # whatever else is known of it
            names = ("type", "id") if entity else value
            return {str(name): plain(value[name]) for name in names}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, (set, frozenset)):
            return sorted(map(str, value))
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if value is None or isinstance(value, (str, int, float)):
            return value
        return type(value).__qualname__

    text = json.dumps([method, plain(arguments)], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# What was made, and how it is found


def _made_by(method: str, result: Any) -> tuple[dict[str, Any], ...]:
    """The entities that a call has created, by what it returned."""
    if method in _MAKES_ATTACHMENTS and isinstance(result, int):
        return ({"type": "Attachment", "id": result},)
    return _those([result], [method == "create"])


def _those(results: Any, creates: Sequence[bool]) -> tuple[dict[str, Any], ...]:
    """Those of the results of creates that are entities."""
    found = [result for result, created in zip(results, creates) if created]
    return tuple({"type": each["type"], "id": each["id"]} for each in found if "id" in each)


def hint_of(method: str, arguments: Mapping[str, Any]) -> str:
    """How to find out what has become of a call."""
    if method in _MAKES_ATTACHMENTS:
        return unknown_form(method, arguments)
    named = {"type": as_type(arguments.get("entity_type")), "id": as_id(arguments.get("entity_id"))}
    rest = {k: v for k, v in arguments.items() if k not in ("entity_type", "entity_id")}
    return unknown_request(method, {k: v for k, v in {**named, **rest}.items() if v is not None})


# Steps of an earlier run


def check_result(method: str, result: Any) -> None:
    """Refuse what a call of *method* cannot have returned.

    Raises:
        TypeError: It is no entity, or no id.
    """
    if method == "create":
        number = result.get("id") if isinstance(result, dict) else result
        wanted = "the entity that it made, or the id of that"
    elif method in _MAKES_ATTACHMENTS:
        number, wanted = result, "the id of the Attachment that it made"
    else:
        return
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"settle: the result of {method} must be {wanted}, not {result!r}")


def finished(report: StepReport, kind: str, result: Any) -> StepReport:
    """A step of which the user has said what it returned."""
    if report.method == "create":
        result = {"type": kind, **({"id": result} if isinstance(result, int) else result)}
        if kind and result["type"] != kind:
            raise ValueError(
                f"settle: {report.item}: {report.name!r} makes a {kind}, so it cannot have made "
                f"{result['type']} {result['id']}"
            )
    made = _made_by(report.method, result)
    return dataclasses.replace(report, state="done", result=result, made=made)


def refused(earlier: StepReport) -> ResumeError:
    """Why a step of an earlier run is neither taken over nor made again."""
    item, name = earlier.item, earlier.name
    again = f"make it again by item.repeat({name!r})"
    if earlier.state == "changed":
        made = ", ".join(f"{entity['type']} {entity['id']}" for entity in earlier.made)
        text = (
            f"{item}: {name!r} was done before{f' (it made {made})' if made else ''}, with other "
            f"arguments or another file than now; give the new step another name, or {again}"
        )
        return ResumeError(text, item, name)
    if earlier.made:
        text = f"{item}: {name!r} was carried out in part: {earlier.message}"
    else:
        text = f"{item}: it is not known whether {name!r} was carried out: {earlier.message}"
    text += f"; say what it made by item.settle({name!r}, ...), or {again}"
    error = ResumeError(text, item, name)
    mark_unknown(error, "nothing was sent")
    return error
