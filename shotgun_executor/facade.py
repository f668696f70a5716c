"""Clients that any thread may use: each call runs on a connection that nobody else uses then."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from shotgun_api3.shotgun import Shotgun

from shotgun_executor.arguments import (
    check_count,
    check_seconds,
    limits_of,
    prototype_of,
    retries_of,
)
from shotgun_executor.attempts import Attempts, repeating
from shotgun_executor.mirror import LOCAL, PRIVATE, invoke
from shotgun_executor.opening import CONNECT_LIMIT, READ_LIMIT
from shotgun_executor.plain import copy_plain
from shotgun_executor.pool import ConnectionPool, Lease, ThreadLeases
from shotgun_executor.prototype import run_privately

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shotgun_api3.shotgun import ServerCapabilities
    from typing_extensions import Unpack

    from shotgun_executor.arguments import ShotgunArguments
    from shotgun_executor.prototype import Prototype
    from shotgun_executor.retry import Retries

__all__ = ["ShotgunPool", "ThreadLocalShotgun", "TransparentShotgun", "repeating"]

LOG = logging.getLogger("shotgun_executor")


class TransparentShotgun(Shotgun):
    """A ``Shotgun`` in all but one thing: threads may share it.

    Every method runs on a real client that is used by one thread at a time, with the same
    arguments, results and exceptions. Settings are those of all these clients: what is read here
    (``config``, ``base_url``, ``client_caps``, ``server_info``) and what is set here
    (``config.timeout_secs = 30``, ``set_session_uuid``, ``add_user_agent``) means each of them,
    from its next call on. Methods that a subclass adds are called on the clients too.

    Arguments are copied, so the client's habit of writing into them (``order``, the entities of
    ``share_thumbnail``) does not show.
    """

    _prototype: Prototype

    def __init__(self, prototype: Prototype) -> None:
        # Not Shotgun.__init__: this object never connects, and its attributes are the settings.
        vars(self)["_prototype"] = prototype

    def _run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """``function(client, *args, **kwargs)`` on a client that nobody else uses meanwhile."""
        raise NotImplementedError  # where the connection comes from is what the subclasses are

    def _call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        run = self._run_privately if name in PRIVATE else self._run
        # A copy for each attempt: the client writes into its arguments.
        return self._repeating(
            name, lambda: run(invoke, name, copy_plain(args), copy_plain(kwargs))
        )

    def _repeating(self, name: str, attempt: Callable[[], Any]) -> Any:
        return repeating(Attempts(self._prototype.repeats, name), attempt)

    def _run_privately(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return run_privately(self._prototype, function, *args, **kwargs)

    def connect(self) -> None:
        """Ask the site for ``info``: returns if it answers, raises if it does not."""
        self._repeating("connect", lambda: self._run(invoke, "connect", (), {}))

    def close(self) -> None:
        """Close every connection; the next call opens one afresh."""
        raise NotImplementedError  # each front closes in its own way

    @property
    def server_caps(self) -> ServerCapabilities:
        """What the site is and can do; asked once."""
        caps: ServerCapabilities = self._prototype.template.server_caps
        return caps

    def _ask_capabilities(self) -> ServerCapabilities:
        ask = functools.partial(self._run, lambda client: client.server_caps)
        caps: ServerCapabilities = self._repeating("info", ask)
        return caps

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._prototype.template, name)
        if inspect.ismethod(value) and value.__self__ is self._prototype.template:
            return _method(name).__get__(self)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._prototype.template, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._prototype.template, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self._prototype.host}>"


def _method(name: str, model: Optional[Callable[..., Any]] = None) -> Any:
    """The method *name*, run on a connection, with the signature of *model*."""

    def method(self: TransparentShotgun, /, *args: Any, **kwargs: Any) -> Any:
        return self._call(name, args, kwargs)

    method.__name__ = name
    return method if model is None else functools.update_wrapper(method, model)


def _local_method(name: str, model: Callable[..., Any]) -> Any:
    """The method *name*, run on the settings."""

    def method(self: TransparentShotgun, /, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._prototype.template, name)(*args, **kwargs)

    return functools.update_wrapper(method, model)


def _run_methods_on_connections() -> None:
    """No method of ``Shotgun`` may run on the facade itself: it would share one connection."""
    for name, member in vars(Shotgun).items():
        if inspect.isfunction(member) and name not in vars(TransparentShotgun):
            method = _local_method if name in LOCAL else _method
            if not name.startswith("__"):
                setattr(TransparentShotgun, name, method(name, member))


_run_methods_on_connections()


class ShotgunPool(TransparentShotgun):
    """A ``Shotgun`` for threads that come and go: each call leases a connection.

    ::

        sg = ShotgunPool("https://my-site", script_name="tool", api_key="...")
        sg.find("Shot", [], ["code"])              # from any thread, at once

        with sg.lease() as connection:             # several calls on one connection
            shot = connection.find_one("Shot", [["code", "is", "sh010"]])
            connection.update("Shot", shot["id"], {"description": "..."})

    Args:
        base_url: The URL of the site, or an existing ``Shotgun`` (of any subclass), whose settings
            are copied; it is not used itself.
        script_name: As in ``Shotgun``.
        api_key: As in ``Shotgun``.
        factory: A function that returns a new client at each call, instead of *base_url*.
        max_size: How many connections there may be. None: as many as calls run at a time.
        timeout: Seconds to wait for a connection when *max_size* are in use.
        max_idle: Seconds after which an idle connection is closed rather than used again.
        connect_timeout: Seconds in which a connection must be open, TLS included; None: no limit.
        read_timeout: Seconds that the site may be silent; None: no limit. If
            ``config.timeout_secs`` is set, that holds instead.
        retries: How often a call that may be repeated is repeated, or a :class:`Retries` that
            says more; 0 fails at once.
        renew_session: A function that returns a new session token when the site says that the one
            in use has expired, or None to give up; called once for all, see :ref:`sign-in`.
        **arguments: What else ``Shotgun`` takes. Nothing connects before the first call, unless
            ``connect=True`` asks for it.
    """

    _pool: ConnectionPool

    def __init__(
        self,
        base_url: Union[str, Shotgun, None] = None,
        script_name: Optional[str] = None,
        api_key: Optional[str] = None,
        *,
        factory: Optional[Callable[[], Any]] = None,
        max_size: Optional[int] = None,
        timeout: Optional[float] = 60.0,
        max_idle: float = 60.0,
        connect_timeout: Optional[float] = CONNECT_LIMIT,
        read_timeout: Optional[float] = READ_LIMIT,
        retries: Union[int, Retries, None] = None,
        renew_session: Optional[Callable[[], Optional[str]]] = None,
        **arguments: Unpack[ShotgunArguments],
    ) -> None:
        check_count("ShotgunPool", "max_size", max_size)
        check_seconds("ShotgunPool", "timeout", timeout)
        check_seconds("ShotgunPool", "max_idle", max_idle, optional=False)
        super().__init__(
            prototype_of(
                "ShotgunPool",
                base_url,
                script_name,
                api_key,
                factory,
                arguments,
                limits_of("ShotgunPool", connect_timeout, read_timeout),
                retries_of("ShotgunPool", retries),
                renew_session,
            )
        )
        vars(self)["_pool"] = ConnectionPool(
            self._prototype, max_size=max_size, timeout=timeout, max_idle=max_idle
        )
        self._prototype.ask_through(self._ask_capabilities)
        if arguments.get("connect"):
            self.connect()

    def lease(self, timeout: Optional[float] = None) -> Lease:
        """One connection for a ``with`` block, that nobody else uses meanwhile.

        Args:
            timeout: Seconds to wait when *max_size* are in use, instead of the pool's own limit.

        Raises:
            PoolTimeout: None came free in time.
        """
        check_seconds("ShotgunPool.lease", "timeout", timeout)
        return self._pool.lease(timeout)

    def close(self) -> None:
        """Close every connection: idle ones now, leased ones when no request uses them.

        The pool can be used again; the next call opens a connection afresh.
        """
        self._pool.close()

    def _run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        lease = self._pool.lease()
        try:
            return lease.connection.run(function, *args, **kwargs)
        finally:
            lease.release()

    def __enter__(self) -> ShotgunPool:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        pool = repr(self._pool).partition(" ")[2]
        return f"<ShotgunPool for {self._prototype.host}: {pool}"


class ThreadLocalShotgun(TransparentShotgun):
    """A ``Shotgun`` that gives each thread a connection of its own, closed when the thread ends.

    For a fixed set of threads that live long; threads that come and go do better with a
    :class:`ShotgunPool`, whose connections outlive them.

    Args:
        base_url: The URL of the site, or an existing ``Shotgun`` (of any subclass), whose settings
            are copied; it is not used itself.
        script_name: As in ``Shotgun``.
        api_key: As in ``Shotgun``.
        factory: A function that returns a new client at each call, instead of *base_url*.
        connect_timeout: Seconds in which a connection must be open, TLS included; None: no limit.
        read_timeout: Seconds that the site may be silent; None: no limit. If
            ``config.timeout_secs`` is set, that holds instead.
        retries: How often a call that may be repeated is repeated, or a :class:`Retries` that
            says more; 0 fails at once.
        renew_session: A function that returns a new session token when the site says that the one
            in use has expired, or None to give up; called once for all, see :ref:`sign-in`.
        **arguments: What else ``Shotgun`` takes. Nothing connects before the first call, unless
            ``connect=True`` asks for it.
    """

    _pool: ConnectionPool
    _leases: ThreadLeases

    def __init__(
        self,
        base_url: Union[str, Shotgun, None] = None,
        script_name: Optional[str] = None,
        api_key: Optional[str] = None,
        *,
        factory: Optional[Callable[[], Any]] = None,
        connect_timeout: Optional[float] = CONNECT_LIMIT,
        read_timeout: Optional[float] = READ_LIMIT,
        retries: Union[int, Retries, None] = None,
        renew_session: Optional[Callable[[], Optional[str]]] = None,
        **arguments: Unpack[ShotgunArguments],
    ) -> None:
        super().__init__(
            prototype_of(
                "ThreadLocalShotgun",
                base_url,
                script_name,
                api_key,
                factory,
                arguments,
                limits_of("ThreadLocalShotgun", connect_timeout, read_timeout),
                retries_of("ThreadLocalShotgun", retries),
                renew_session,
            )
        )
        vars(self)["_pool"] = ConnectionPool(self._prototype)
        vars(self)["_leases"] = ThreadLeases(self._pool)
        self._prototype.ask_through(self._ask_capabilities)
        if arguments.get("connect"):
            self.connect()

    def close(self) -> None:
        """Close the connections of all threads; the next call of a thread opens one afresh."""
        self._pool.close()

    def _run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return self._leases.run(function, *args, **kwargs)

    def __enter__(self) -> ThreadLocalShotgun:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ThreadLocalShotgun for {self._prototype.host}: {self._pool.leased} threads>"
