"""What a read asks for, in a form that is equal if two of them ask for the same."""

from __future__ import annotations

import datetime
import functools
import inspect
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from shotgun_api3.shotgun import Shotgun

from shotgun_executor.mirror import invoke_with_ids, with_ids
from shotgun_executor.retry import READS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from shotgun_executor.call import Options

__all__ = ["Asked", "Lookup", "can_be_shared", "frozen", "lookup_of"]

# What does more than ask the site a question.
_NOT_SHARED = frozenset(
    {"connect", "download_attachment", "get_attachment_download_url", "get_session_token"}
)

_ATOMS = frozenset({str, int, float, bool, type(None), bytes})
_TIMES = frozenset({datetime.date, datetime.datetime, datetime.time})
_ALL = (None, "all", "and")


class Asked(NamedTuple):
    """A call that reads, as it was made."""

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Options
    invoke_it: Optional[Callable[..., Any]] = None
    """How it is made on a client; None: as ``find`` is."""

    def __str__(self) -> str:
        shown = self.args[0] if self.args and isinstance(self.args[0], str) else ""
        return f"{self.name} {shown}".strip()

    def bound(self) -> dict[str, Any]:
        """Its arguments by their names."""
        found = _signature(self.name).bind(None, *self.args, **self.kwargs)
        found.apply_defaults()
        arguments = dict(found.arguments)
        del arguments["self"]
        if self.invoke_it is invoke_with_ids:
            return dict(with_ids(Shotgun, self.name, (), arguments)[1])
        return arguments

    def key(self, arguments: Mapping[str, Any]) -> Hashable:
        """Equal for what may share a request.

        Raises:
            TypeError: It cannot be told whether another call asks for the same.
        """
        return self.name, self.options._replace(deadline=None), frozen(arguments)


class Lookup(NamedTuple):
    """A call that asks for one entity by its id."""

    asked: Asked
    number: int
    place: int
    """Of the condition with the id, among the filters."""
    rest: dict[str, Any]
    """The other arguments of ``find``, with the other filters."""

    def key(self) -> Hashable:
        """Equal for what may be gathered into one call."""
        return self.asked.options._replace(deadline=None), frozen(self.rest)

    @property
    def size(self) -> int:
        """The bytes of its id in a request."""
        return len(str(self.number)) + 2

    def together(self, numbers: list[int]) -> Asked:
        """The call that asks for all these ids."""
        filters = list(self.rest["filters"])
        filters.insert(self.place, ["id", "in", numbers])
        kwargs = {**self.rest, "filters": filters, "limit": len(numbers)}
        return Asked("find", (), kwargs, self.asked.options)

    def answer(self, record: Any) -> Any:
        """What the call returns when this record was found, or None."""
        if self.asked.name == "find_one":
            return record
        return [] if record is None else [record]


def can_be_shared(cls: type, name: str) -> bool:
    """Whether the method *name* of *cls* asks the site a question, as that of ``Shotgun`` does."""
    if name not in READS or name in _NOT_SHARED or not issubclass(cls, Shotgun):
        return False
    names = ("find", "find_one") if name == "find_one" else (name,)
    return all(getattr(cls, each) is getattr(Shotgun, each, None) for each in names)


def lookup_of(asked: Asked, arguments: Mapping[str, Any]) -> Optional[Lookup]:
    """The lookup that a ``find_one`` is, or a ``find`` with limit 1; None if it is none."""
    rest = dict(arguments)
    if asked.name == "find":
        limit = rest.pop("limit")
        if type(limit) is not int or limit != 1 or rest.pop("page") != 0:
            return None
    elif asked.name != "find_one":
        return None
    # A preset such as LATEST compares the entities that are found.
    if rest["filter_operator"] not in _ALL or rest["additional_filter_presets"]:
        return None
    filters = rest["filters"]
    if not isinstance(filters, (list, tuple)):
        return None
    for place, condition in enumerate(filters):
        if _is_id(condition):
            rest["filters"] = [*filters[:place], *filters[place + 1 :]]
            return Lookup(asked, condition[2], place, rest)
    return None


def _is_id(condition: Any) -> bool:
    """Whether it is ``["id", "is", number]``."""
    return (
        isinstance(condition, (list, tuple))
        and len(condition) == 3
        and condition[0] == "id"
        and condition[1] == "is"
        and type(condition[2]) is int
        and condition[2] > 0
    )


def frozen(value: Any) -> Hashable:
    """*value*, an argument, in a form that can be a key; equal only if a request is.

    Raises:
        TypeError: It holds something that nobody can compare by what is sent.
    """
    kind = type(value)
    if kind in _ATOMS:
        return kind, value  # True is 1, and not the same to a site
    if kind is list or kind is tuple:
        return list, tuple([frozen(item) for item in value])
    if kind is dict:
        return dict, tuple([(frozen(key), frozen(item)) for key, item in value.items()])
    if kind in _TIMES:
        return kind, repr(value)  # equal ones may be in different time zones
    raise TypeError(f"a {kind.__name__} is not compared")


@functools.cache
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(getattr(Shotgun, name))
