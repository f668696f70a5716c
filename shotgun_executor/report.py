"""What became of the steps of a publish."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ItemReport", "PublishReport", "StepReport", "report_of"]

FINISHED = frozenset({"done", "changed"})
"""The states of a step whose result is known."""


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What became of one step of an item.

    Attributes:
        item: The key of its item.
        name: Its name, which is unique in its item.
        method: The method of ``Shotgun`` that it calls.
        state: "waiting" (it has not started), "running", "done", "failed" (it was not carried out),
            "unknown" (nobody knows whether the site has carried it out), "skipped" (a step that
            it needs was not done), "cancelled", or "changed" (an earlier run has done it with
            other arguments, and it was not made again).
        result: What it returned.
        made: The entities that it has created, ``[{"type": ..., "id": ...}]``; also those of a
            step that failed later.
        seconds: From its first attempt to its end; None if it was not made.
        size: The bytes of the file that it uploads.
        error: The class of what it raised.
        message: What that says; of an unknown outcome, how to find out.
        because: The step that it was skipped for.
        resumed: It was done by an earlier run.
        digest: Tells whether the arguments are those of an earlier run.
    """

    item: str
    name: str
    method: str
    state: str = "waiting"
    result: Any = None
    made: tuple[dict[str, Any], ...] = ()
    seconds: Optional[float] = None
    size: Optional[int] = None
    error: Optional[str] = None
    message: Optional[str] = None
    because: Optional[str] = None
    resumed: bool = False
    digest: str = ""


@dataclasses.dataclass(frozen=True)
class ItemReport:
    """What became of one item.

    Attributes:
        key: Its key.
        steps: Its steps by their names, in the order in which they were called.
    """

    key: str
    steps: dict[str, StepReport] = dataclasses.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether all its steps are done."""
        return all(step.state == "done" for step in self.steps.values())

    @property
    def made(self) -> list[dict[str, Any]]:
        """The entities that were created for it, by this run or an earlier one."""
        return [entity for step in self.steps.values() for entity in step.made]

    @property
    def seconds(self) -> float:
        """What its steps took, one after the other, in the run that made them."""
        return sum(step.seconds or 0.0 for step in self.steps.values())

    def in_state(self, *states: str) -> list[StepReport]:
        """Its steps in these states, such as "failed"; see :class:`StepReport`."""
        return [step for step in self.steps.values() if step.state in states]

    def __str__(self) -> str:
        if self.ok:
            made = ", ".join(f"{entity['type']} {entity['id']}" for entity in self.made)
            return f"{self.key}: ok" + (f", {made}" if made else "")
        return f"{self.key}: " + "; ".join(_shown(s) for s in self.steps.values() if not _good(s))


class PublishReport:
    """What became of the items of a publish: as a collection, and by their keys."""

    def __init__(self, items: dict[str, ItemReport]) -> None:
        self._items = items

    @property
    def ok(self) -> bool:
        """Whether all steps of all items are done."""
        return all(item.ok for item in self)

    def __iter__(self) -> Iterator[ItemReport]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, key: str) -> ItemReport:
        return self._items[key]

    def __repr__(self) -> str:
        good = sum(item.ok for item in self)
        return f"<PublishReport: {good} of {len(self)} items are done>"


def report_of(steps: Iterable[StepReport]) -> PublishReport:
    """The report that these steps are."""
    items: dict[str, ItemReport] = {}
    for step in steps:
        items.setdefault(step.item, ItemReport(step.item)).steps[step.name] = step
    return PublishReport(items)


def _good(step: StepReport) -> bool:
    return step.state == "done"


def _shown(step: StepReport) -> str:
    if step.state == "skipped":
        return f"{step.name} was skipped because of {step.because or step.message}"
    said = f": {step.error}: {step.message}" if step.error else ""
    return f"{step.name} is {step.state}{said}" if step.state != "failed" else f"{step.name}{said}"
