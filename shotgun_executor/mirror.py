"""How the methods of ``Shotgun`` become ours: in one place, from the installed ``shotgun_api3``."""

from __future__ import annotations

import functools
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from shotgun_api3.shotgun import Shotgun

from shotgun_executor.connection import own_class
from shotgun_executor.filling import as_id, as_type, filled
from shotgun_executor.methods import connection_of
from shotgun_executor.shapes import SHAPES, check_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Concatenate, ParamSpec

    from shotgun_executor.future import Future
    from shotgun_executor.memory import Memory

    P = ParamSpec("P")

__all__ = [
    "LOCAL",
    "PRIVATE",
    "UPLOADS",
    "FutureMethods",
    "check_arguments",
    "check_function",
    "check_shapes",
    "invoke",
    "invoke_filled",
    "invoke_upload",
    "invoke_with_ids",
    "public_methods",
    "with_ids",
    "within",
]

R = TypeVar("R")

# What changes or reads the client, and sends nothing. On the executor these act at once, and what
# they set reaches every connection before its next call. `connect` is among them because it
# returns nothing but the certainty that the site answers; it does ask the site.
LOCAL = frozenset(
    {
        "add_user_agent",
        "close",
        "connect",
        "entity_types",  # removed from the API long ago: raises and says what to call instead
        "get_attachment_download_url",
        "reset_user_agent",
        "schema",  # likewise
        "set_session_uuid",
    }
)

# What changes the identity of the client while it runs, and so gets a connection of its own.
PRIVATE = frozenset({"authenticate_human_user"})


# What sends a file.
UPLOADS = frozenset({"share_thumbnail", "upload", "upload_filmstrip_thumbnail", "upload_thumbnail"})


# The parameters for which an entity stands for its id; and the type that it must have, if that is
# not an argument too.
ENTITY_IDS = {
    "attachment_id": "Attachment",
    "entity_id": None,
    "note_id": "Note",
    "page_id": "Page",
}


# What these methods call to do what they do.
_BASE_OF = {
    "find_one": ("find",),
    "share_thumbnail": ("upload", "upload_thumbnail"),
    "upload_filmstrip_thumbnail": ("upload",),
    "upload_thumbnail": ("upload",),
}
_PRIVATE_PARTS = ("_call_rpc", "_construct_read_parameters", "_dict_to_list")


def public_methods(cls: type = Shotgun) -> dict[str, Callable[..., Any]]:
    """The public methods that *cls* has, by name."""
    return {
        name: member
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }


def invoke(client: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call the method *name* of *client*."""
    return getattr(client, name)(*args, **kwargs)


def invoke_filled(client: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call the method *name* with the results of the futures in its arguments, which are done."""
    args = [filled(value) for value in args]
    kwargs = {key: filled(value) for key, value in kwargs.items()}
    return invoke_with_ids(client, name, args, kwargs)


def invoke_with_ids(client: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call the method *name*; an entity stands for its type or its id where that is asked for."""
    args, kwargs = with_ids(type(client), name, args, kwargs)
    return getattr(client, name)(*args, **kwargs)


def with_ids(
    cls: type, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments of the method *name*, with types and ids in place of entities.

    Raises:
        ValueError: An entity is of another type than the call.
    """
    parameters = _ids(cls, name)
    if parameters:
        args, kwargs = list(args), dict(kwargs)
        _put_ids(parameters, args, kwargs)
    return args, kwargs


def invoke_upload(
    memory: Memory,
    invoke_it: Callable[..., Any],
    client: Any,
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Call the method *name*, which uploads, by *invoke_it*, and go on with what is in *memory*."""
    cls: Any = type(client)
    if not _uploads_as_official(cls):
        return invoke_it(client, name, args, kwargs)
    connection = connection_of(client)
    memory.begin()
    connection.memory = memory
    try:
        return invoke_it(client, name, args, kwargs)
    finally:
        connection.memory = None


@functools.cache
def _uploads_as_official(cls: type) -> bool:
    """Whether nobody has changed how *cls* uploads: a way of the user's may cost much, or write."""
    own: Any = own_class(cls)
    return issubclass(cls, Shotgun) and all(
        getattr(own, name) is member
        for name, member in inspect.getmembers(Shotgun, inspect.isfunction)
        if "upload" in name or "thumbnail" in name or name == "_send_form"
    )


def within(
    client: Any, timeout: float, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """``function(client, ...)`` with another limit of time, which ends with the call."""
    outer = getattr(client.config, "timeout_secs", None)  # of the call that this one is within
    client.config.timeout_secs = timeout
    try:
        return function(client, *args, **kwargs)
    finally:
        client.config.timeout_secs = outer


def _put_ids(
    parameters: Sequence[tuple[int, str]], args: list[Any], kwargs: dict[str, Any]
) -> None:
    kind = None
    for place, parameter in parameters:  # the type comes before the id
        arguments: Any = args if place < len(args) else kwargs
        key: Any = place if place < len(args) else parameter
        if key is parameter and parameter not in kwargs:
            continue
        if parameter == "entity_type":
            kind = arguments[key] = as_type(arguments[key])
        else:
            arguments[key] = as_id(arguments[key], ENTITY_IDS[parameter] or kind)


@functools.cache
def _ids(cls: type, name: str) -> tuple[tuple[int, str], ...]:
    """The places and names of the parameters that take the type or the id of an entity."""
    signature = _signature(cls, name)
    parameters = [] if signature is None else list(signature.parameters)[1:]
    return tuple(
        (place, name)
        for place, name in enumerate(parameters)
        if name == "entity_type" or name in ENTITY_IDS
    )


def check_arguments(cls: type, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise the TypeError that a call with wrong arguments would raise, before it is queued."""
    _check_binding(cls, name, len(args), tuple(kwargs))


@functools.lru_cache(maxsize=2048)  # what passes is remembered: a program calls in few ways
def _check_binding(cls: type, name: str, count: int, keywords: tuple[str, ...]) -> None:
    """Whether they fit depends on how many there are, and on their names, not on their values."""
    signature = _signature(cls, name)
    if signature is not None:
        try:
            signature.bind(None, *(None,) * count, **dict.fromkeys(keywords))
        except TypeError as error:
            raise TypeError(f"{name}() {error}{_hint(keywords)}") from None


def _hint(keywords: tuple[str, ...]) -> str:
    """What to write instead, if what was meant are options of a call."""
    meant = [name for name in keywords if name in ("deadline", "priority", "retries", "timeout")]
    if not meant:
        return ""
    return f"; give options as executor.options({', '.join(f'{name}=...' for name in meant)})"


def check_function(owner: str, function: object) -> None:
    """Refuse what cannot be called, or gives a future that nobody would wait for.

    Raises:
        TypeError: It is one of those.
    """
    if not callable(function):
        raise TypeError(f"{owner}: the first argument must be a function, not {function!r:.80}")
    method = getattr(function, "__name__", "")
    of = getattr(function, "__self__", None)
    if isinstance(of, FutureMethods) and method in vars(FutureMethods):
        raise TypeError(
            f"{owner}: executor.{method} returns a future itself, so that its result would be one; "
            f"give executor.shotgun.{method}"
        )


def check_shapes(cls: type, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise TypeError for an argument that no site takes, if *cls* has the method of ``Shotgun``.

    What a subclass does with its arguments in a method of its own is its business.
    """
    for place, parameter, optional in _shaped(cls, name):
        if place < len(args):
            value = args[place]
        elif parameter in kwargs:
            value = kwargs[parameter]
        else:
            continue
        if value is not None or not optional:
            check_shape(name, parameter, value)
    try:
        with_ids(cls, name, args, kwargs)  # futures are looked at later
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


@functools.cache
def _shaped(cls: type, name: str) -> tuple[tuple[int, str, bool], ...]:
    """The places and names of the parameters to be checked, and whether None is none."""
    signature = _signature(cls, name)
    own: Any = own_class(cls)
    # What it calls in turn is of the user's class too, if that has it.
    involved = (name, *(_BASE_OF.get(name, ())), *_PRIVATE_PARTS)
    official = all(getattr(own, each, None) is getattr(Shotgun, each, None) for each in involved)
    if signature is None or not official:
        return ()
    parameters = list(signature.parameters.values())[1:]
    return tuple(
        (place, parameter.name, parameter.default is None)
        for place, parameter in enumerate(parameters)
        if parameter.name in SHAPES
    )


@functools.cache
def _signature(cls: type, name: str) -> Any:
    member = getattr(own_class(cls), name, None)
    return inspect.signature(member) if inspect.isfunction(member) else None


def _as_future(
    method: Callable[Concatenate[Shotgun, P], R],
) -> Callable[Concatenate[Any, P], Future[R]]:
    """*method* of ``Shotgun`` with the same arguments, and a future for the result.

    mypy refuses methods with ``**kwargs`` here, since those could hold a ``self``.
    """
    name = method.__name__

    def submit(self: FutureMethods, /, *args: Any, **kwargs: Any) -> Any:
        return self._submit_method(name, args, kwargs)

    signature = inspect.signature(method)
    returned = signature.return_annotation
    if returned is signature.empty:
        returned = "Any"
    annotation = f"Future[{returned}]"
    submit.__name__ = name
    submit.__qualname__ = f"FutureMethods.{name}"
    submit.__doc__ = f"``Shotgun.{name}`` as a future, with the same arguments."
    submit.__signature__ = signature.replace(return_annotation=annotation)  # type: ignore[attr-defined]  # functions take any attribute
    return submit


class FutureMethods:
    """The remote methods of ``Shotgun``, each of which returns a future at once.

    They take the arguments that they take in ``Shotgun``, whose reference describes them. A
    missing or unknown argument raises ``TypeError`` here, and so does one that no site takes, such
    as a text for ``fields`` or a dict for ``filters``; everything else that is wrong with a call is
    raised by its future, with the class that ``shotgun_api3`` raises. The arguments are copied, so
    they may be changed as soon as the method returns.

    Any argument, at any depth, may be a future; the call waits for it, without a worker. Its result
    takes its place: an entity as the id that ``entity_id`` asks for, or as the type that
    ``entity_type`` asks for, and within filters and data as a link. If the future fails, the call
    fails with ``DependencyError`` and is not sent; if it is cancelled, so is the call.
    """

    def _submit_method(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Future[Any]:
        """Submit the call of the method *name* on the connection of a worker."""
        raise NotImplementedError  # the executor's business

    activity_stream_read = _as_future(Shotgun.activity_stream_read)
    authenticate_human_user = _as_future(Shotgun.authenticate_human_user)
    batch = _as_future(Shotgun.batch)
    create = _as_future(Shotgun.create)
    delete = _as_future(Shotgun.delete)
    download_attachment = _as_future(Shotgun.download_attachment)
    export_page = _as_future(Shotgun.export_page)
    find = _as_future(Shotgun.find)
    find_one = _as_future(Shotgun.find_one)
    follow = _as_future(Shotgun.follow)
    followers = _as_future(Shotgun.followers)
    following = _as_future(Shotgun.following)
    get_auth_cookie_handler = _as_future(Shotgun.get_auth_cookie_handler)
    get_session_token = _as_future(Shotgun.get_session_token)
    info = _as_future(Shotgun.info)
    nav_expand = _as_future(Shotgun.nav_expand)
    nav_search_entity = _as_future(Shotgun.nav_search_entity)
    nav_search_string = _as_future(Shotgun.nav_search_string)
    note_thread_read = _as_future(Shotgun.note_thread_read)
    preferences_read = _as_future(Shotgun.preferences_read)
    revive = _as_future(Shotgun.revive)
    schema_entity_read = _as_future(Shotgun.schema_entity_read)
    schema_field_create = _as_future(Shotgun.schema_field_create)
    schema_field_delete = _as_future(Shotgun.schema_field_delete)
    schema_field_read = _as_future(Shotgun.schema_field_read)
    schema_field_update = _as_future(Shotgun.schema_field_update)
    schema_read = _as_future(Shotgun.schema_read)
    share_thumbnail = _as_future(Shotgun.share_thumbnail)  # type: ignore[arg-type]  # see _as_future
    summarize = _as_future(Shotgun.summarize)
    text_search = _as_future(Shotgun.text_search)
    unfollow = _as_future(Shotgun.unfollow)
    update = _as_future(Shotgun.update)
    update_project_last_accessed = _as_future(Shotgun.update_project_last_accessed)
    upload = _as_future(Shotgun.upload)
    upload_filmstrip_thumbnail = _as_future(Shotgun.upload_filmstrip_thumbnail)  # type: ignore[arg-type]  # see _as_future
    upload_thumbnail = _as_future(Shotgun.upload_thumbnail)  # type: ignore[arg-type]  # see _as_future
    user_subscriptions_create = _as_future(Shotgun.user_subscriptions_create)
    user_subscriptions_read = _as_future(Shotgun.user_subscriptions_read)
    work_schedule_read = _as_future(Shotgun.work_schedule_read)
    work_schedule_update = _as_future(Shotgun.work_schedule_update)


def _mirror_newer_methods() -> None:
    """A ``shotgun_api3`` newer than this package has methods that are not listed above."""
    for name, method in public_methods().items():
        taken = hasattr(FutureMethods, name) or hasattr(ThreadPoolExecutor, name)
        if name not in LOCAL and not taken:
            setattr(FutureMethods, name, _as_future(method))


_mirror_newer_methods()
