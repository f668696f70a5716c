"""The items of a publish, whose methods are steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, cast

from shotgun_api3.shotgun import Shotgun

from shotgun_executor.journal import kept
from shotgun_executor.mirror import _as_future
from shotgun_executor.report import FINISHED
from shotgun_executor.steps import check_result
from shotgun_executor.thumbnails import Thumbnails

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shotgun_executor.future import Future
    from shotgun_executor.publishing import Publishing

__all__ = ["Item", "NamedStep"]


class _StepMethods(Thumbnails):
    """The methods of ``Shotgun`` that may be steps, with the same arguments."""

    batch = _as_future(Shotgun.batch)
    create = _as_future(Shotgun.create)
    delete = _as_future(Shotgun.delete)
    follow = _as_future(Shotgun.follow)
    revive = _as_future(Shotgun.revive)
    share_thumbnail = _as_future(Shotgun.share_thumbnail)  # type: ignore[arg-type]  # see _as_future
    unfollow = _as_future(Shotgun.unfollow)
    update = _as_future(Shotgun.update)
    upload = _as_future(Shotgun.upload)
    upload_filmstrip_thumbnail = _as_future(Shotgun.upload_filmstrip_thumbnail)  # type: ignore[arg-type]  # see _as_future
    upload_thumbnail = _as_future(Shotgun.upload_thumbnail)  # type: ignore[arg-type]  # see _as_future


class Item(_StepMethods):
    """One item of a publish, such as a shot: its methods are its steps.

    They take the arguments that they take in ``Shotgun``, futures among them, and return a future.
    A step is called by its method, entity type and field, as "upload Version sg_uploaded_movie",
    and by a number from the second of that name on; :meth:`step` gives it another name.
    """

    def __init__(self, publishing: Publishing, key: str) -> None:
        """Use ``publishing.item(key)``."""
        self.key = key
        self._publishing = publishing
        self._names: set[str] = set()
        self.repeated: set[str] = set()
        self.settled: dict[str, Any] = {}

    def step(self, name: str) -> NamedStep:
        """The same methods, for one step of that name.

        ::

            item.step("left eye").upload("Version", version, left, field_name="sg_left")

        Raises:
            TypeError: The name is no text, or an empty one.
        """
        if not isinstance(cast("object", name), str) or not name:
            raise TypeError(f"step: the name must be a text, not {name!r}")
        return NamedStep(self, name)

    def settle(self, step: str, result: Any) -> None:
        """Say what a step of an earlier run has made, whose outcome is unknown.

        Before the step is called: its future then has *result*.

        Args:
            step: The name of the step.
            result: What it would have returned: the entity that was created, or its id; the id
                of the Attachment that was uploaded.

        Raises:
            TypeError: The step cannot have returned that.
            ValueError: The report has no such step, or it is done.
        """
        self._check_earlier("settle", step)
        check_result(self._publishing._earlier[self.key, step].method, result)
        self.settled[step] = kept(result)

    def repeat(self, step: str) -> None:
        """Have a step made again when it is called, whatever the report says of it.

        Raises:
            ValueError: The report has no such step.
        """
        self._check_earlier("repeat", step)
        self.repeated.add(step)

    def _check_earlier(self, method: str, step: str) -> None:
        earlier = self._publishing._earlier
        if (self.key, step) not in earlier:
            known = ", ".join(repr(name) for key, name in earlier if key == self.key) or "none"
            raise ValueError(
                f"{method}: {self.key} has no step {step!r} in the report; it has {known}"
            )
        if step in self._names:
            raise ValueError(f"{method}: the step {step!r} was called already; say so before")
        if method == "settle" and earlier[self.key, step].state in FINISHED:
            raise ValueError(f"settle: {step!r} of {self.key} is done; the report has its result")

    def name(self, given: Optional[str], usual: str) -> str:
        """The name of the next step; for the publishing, under its lock."""
        if given is not None and given in self._names:
            raise ValueError(f"{self.key} has a step {given!r} already; names must be unique")
        name, number = given or usual, 1
        while name in self._names:
            number += 1
            name = f"{usual} {number}"
        self._names.add(name)
        return name

    def forget(self, name: str) -> None:
        """The step of that name was not accepted; for the publishing."""
        self._names.discard(name)

    def _submit_method(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Future[Any]:
        return self._publishing.accept(self, None, name, args, kwargs)

    def __repr__(self) -> str:
        return f"<Item {self.key!r}>"


class NamedStep(_StepMethods):
    """The methods of an item, for one step of a name; from ``item.step(name)``."""

    def __init__(self, item: Item, name: str) -> None:
        """Use ``item.step(name)``."""
        self._item = item
        self._name = name

    def _submit_method(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Future[Any]:
        return self._item._publishing.accept(self._item, self._name, name, args, kwargs)
