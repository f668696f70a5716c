"""The executor: ``Shotgun``'s methods as futures, on workers that each have a connection."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import math
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable, Literal, Optional, TypeVar, Union, cast

from shotgun_executor.arguments import (
    check_choice,
    check_count,
    check_integer,
    check_path,
    check_seconds,
    check_switch,
    limits_of,
    prototype_of,
    retries_of,
)
from shotgun_executor.asked import Asked
from shotgun_executor.attempts import Attempts, repeating
from shotgun_executor.batching import (
    BATCHED,
    MAX_BYTES,
    MAX_REQUESTS,
    MAX_WAIT,
    Batching,
    check_request,
)
from shotgun_executor.bulk import BulkReads
from shotgun_executor.call import DEFAULT, Options, name_of
from shotgun_executor.dispatch import Bounds, Dispatch
from shotgun_executor.facade import TransparentShotgun
from shotgun_executor.finding import find_first_page
from shotgun_executor.inherited import inherited, passed_on
from shotgun_executor.limit import Limit
from shotgun_executor.memory import Memory
from shotgun_executor.mirror import (
    PRIVATE,
    UPLOADS,
    FutureMethods,
    check_arguments,
    check_shapes,
    invoke,
    invoke_filled,
    invoke_upload,
    invoke_with_ids,
    within,
)
from shotgun_executor.observing import Trace
from shotgun_executor.opening import CONNECT_LIMIT, READ_LIMIT
from shotgun_executor.options import ExecutorView
from shotgun_executor.plain import copy_plain
from shotgun_executor.pool import ConnectionPool, ThreadLeases
from shotgun_executor.prototype import run_privately
from shotgun_executor.reads import Reads
from shotgun_executor.results import MapOutcomes
from shotgun_executor.retry import is_read
from shotgun_executor.signals import in_interrupted_wait
from shotgun_executor.stats import Stats
from shotgun_executor.submitting import Submitting
from shotgun_executor.thumbnails import Thumbnails

if TYPE_CHECKING:
    import concurrent.futures
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from shotgun_api3.shotgun import ClientCapabilities, ServerCapabilities, Shotgun
    from typing_extensions import ParamSpec, Unpack

    from shotgun_executor.arguments import ShotgunArguments
    from shotgun_executor.future import Future
    from shotgun_executor.observing import Observer
    from shotgun_executor.planned import PlannedWrite
    from shotgun_executor.retry import Retries

    P = ParamSpec("P")

__all__ = ["ShotgunExecutor"]

T = TypeVar("T")

LOG = logging.getLogger("shotgun_executor")

DEFAULT_WORKERS = 8

GRACE = 2.0
"""Seconds that aborted calls have to notice it before a limited shutdown returns without them."""

_numbers = itertools.count()


class ShotgunExecutor(Submitting, BulkReads, Thumbnails, FutureMethods, ThreadPoolExecutor):
    """A ``ThreadPoolExecutor`` whose workers each have a connection to a site.

    ::

        with ShotgunExecutor("https://my-site", script_name="tool", api_key="...") as executor:
            shots = executor.find("Shot", [["project", "is", project]], ["code"])     # a future
            assets = executor.find("Asset", [["project", "is", project]], ["code"])   # in parallel
            print(len(shots.result()), len(assets.result()))

    Each remote method of ``Shotgun`` returns a future at once. ``submit``, ``map``, ``shutdown``
    and ``with`` are those of the standard library. :attr:`shotgun` is a ``Shotgun`` for code that
    wants to wait for each answer.

    Args:
        base_url: The URL of the site, or an existing ``Shotgun`` (of any subclass), whose settings
            are copied; it is not used itself.
        script_name: As in ``Shotgun``.
        api_key: As in ``Shotgun``.
        factory: A function that returns a new client at each call, instead of *base_url*:
            Toolkit's ``create_sg_connection``, a studio's wrapper, a Mockgun with a lock.
        max_workers: How many calls may run at a time, and so how many connections there may be;
            8 unless told: a site is shared with everyone who works on it.
        thread_name_prefix: As in the standard library.
        initializer: As in the standard library: called on each worker thread when it starts.
        initargs: Arguments of *initializer*.
        max_idle: Seconds after which an idle connection is closed rather than used again.
        connect_timeout: Seconds in which a connection must be open, TLS included; None: no limit.
        read_timeout: Seconds that the site may be silent; None: no limit. If
            ``config.timeout_secs`` is set, that holds instead.
        retries: How often a call that may be repeated is repeated, or a :class:`Retries` that
            says more; 0 fails at once.
        limit: How many calls may run at a time, or a :class:`Limit` that says more and may be
            shared by executors on one site. It can be changed while they run.
        max_pending: How many calls may wait that have not started; None: any number.
        when_full: What becomes of a call beyond that: "block" waits for room, "raise" raises
            :class:`TooManyCalls`, "run" runs it at once on the thread that submits it, unless it
            waits for futures. A call that is submitted on a worker is accepted always.
        renew_session: A function that returns a new session token when the site says that the one
            in use has expired, or None to give up; called once for all, see :ref:`sign-in`.
        parallel_find: Whether a ``find`` of more than one page reads its pages in parallel, see
            :ref:`parallel-find`; else one after the other, as ``Shotgun`` does.
        batch_writes: Gather the calls of ``create``, ``update`` and ``delete`` into batches, as
            :meth:`batching` does. Not those of :meth:`options`, nor of the facade.
        share_reads: Let reads that ask for the same, while the first of them is under way, share
            its request, see :ref:`shared-reads`; those of :meth:`options` and of the facade too.
        gather_reads: Gather calls of ``find_one`` by id that are made together into one request,
            see :ref:`shared-reads`; those of :meth:`options` and of the facade too.
        dry_run: Send nothing that writes, whoever calls it: methods of the executor, the facade, a
            batch, a function with the worker's own client. Writes are listed in :attr:`planned`,
            logged (level INFO), and told to *dry_run* if it is a function, such as ``print``. They
            return what the site might; a created entity has a negative id. Reads go to the site.
        **arguments: What else ``Shotgun`` takes: ``http_proxy``, ``ca_certs``, ``login`` and
            ``password``, ``session_token``, ... Nothing connects before the first call, unless
            ``connect=True`` asks for it.

    Raises:
        TypeError: An argument has the wrong type, or does not go with the others.
        ValueError: The URL has no scheme, the credentials are missing or contradictory, or a
            number is out of range.
    """

    def __init__(
        self,
        base_url: Union[str, Shotgun, None] = None,
        script_name: Optional[str] = None,
        api_key: Optional[str] = None,
        *,
        factory: Optional[Callable[[], Any]] = None,
        max_workers: Optional[int] = None,
        thread_name_prefix: str = "",
        initializer: Optional[Callable[..., object]] = None,
        initargs: tuple[Any, ...] = (),
        max_idle: float = 60.0,
        connect_timeout: Optional[float] = CONNECT_LIMIT,
        read_timeout: Optional[float] = READ_LIMIT,
        retries: Union[int, Retries, None] = None,
        limit: Union[int, Limit, None] = None,
        max_pending: Optional[int] = None,
        when_full: Literal["block", "raise", "run"] = "block",
        renew_session: Optional[Callable[[], Optional[str]]] = None,
        parallel_find: bool = True,
        batch_writes: bool = False,
        share_reads: bool = False,
        gather_reads: bool = False,
        dry_run: Union[bool, Callable[[PlannedWrite], object]] = False,
        **arguments: Unpack[ShotgunArguments],
    ) -> None:
        check_count("ShotgunExecutor", "max_workers", max_workers)
        check_count("ShotgunExecutor", "max_pending", max_pending)
        check_choice("ShotgunExecutor", "when_full", when_full, ("block", "raise", "run"))
        check_seconds("ShotgunExecutor", "max_idle", max_idle, optional=False)
        check_switch("ShotgunExecutor", "parallel_find", parallel_find)
        check_switch("ShotgunExecutor", "batch_writes", batch_writes)
        check_switch("ShotgunExecutor", "share_reads", share_reads)
        check_switch("ShotgunExecutor", "gather_reads", gather_reads)
        if initializer is not None and not callable(initializer):
            raise TypeError(f"ShotgunExecutor: initializer must be a function, not {initializer!r}")
        if not isinstance(cast("object", initargs), (tuple, list)):
            raise TypeError(f"ShotgunExecutor: initargs must be a tuple, not {initargs!r}")
        self._workers = DEFAULT_WORKERS if max_workers is None else max_workers
        self._prototype = prototype_of(
            "ShotgunExecutor",
            base_url,
            script_name,
            api_key,
            factory,
            arguments,
            limits_of("ShotgunExecutor", connect_timeout, read_timeout),
            retries_of("ShotgunExecutor", retries),
            renew_session,
            dry_run,
        )
        self._parallel_find = parallel_find
        self._pool = ConnectionPool(self._prototype, max_idle=max_idle)
        self._leases = ThreadLeases(self._pool)
        self._scope: object = self._prototype  # whose options a function passes on to its calls
        name = thread_name_prefix or f"ShotgunExecutor-{next(_numbers)}"
        limit = limit if isinstance(limit, Limit) else Limit(limit)
        self._dispatch = Dispatch(
            _starter(self),
            self._leases.give_back,
            weakref.ref(self),
            Bounds(self._workers, limit, max_pending, when_full),
            name=f"{name}-alarm",
        )
        self._leases.make_calls_by(self._dispatch.use)
        weakref.finalize(self, self._dispatch.abandon).atexit = False
        self._facade: Optional[weakref.ref[_ExecutorShotgun]] = None
        self._writes = self._batching() if batch_writes else None
        self._reads = self._joint_reads(share_reads, gather_reads)
        if initializer is not None:
            initargs = (initializer, *initargs)
            initializer = self._dispatch.initialize
        super().__init__(
            self._workers,
            name,
            initializer,
            initargs,
        )
        self._prototype.ask_through(self._ask_capabilities)
        if arguments.get("connect"):
            self.connect()

    def options(
        self,
        *,
        priority: int = 0,
        deadline: Optional[float] = None,
        retries: Union[int, Retries, None] = None,
        timeout: Optional[float] = None,
    ) -> ExecutorView:
        """The same executor, with options for the calls that are made through it.

        ::

            executor.options(priority=10, deadline=5.0).find("Shot", filters)
            executor.options(timeout=600).upload("Version", version["id"], movie)

        Args:
            priority: Calls of a higher priority start before those of a lower one; 0 is that of
                calls without options. So that none is starved, every eighth call to start while
                several priorities wait is one of a lower priority.
            deadline: Seconds in which each call must be done, from its submission: waiting for a
                worker and for other calls, all attempts, and the pauses between them. A call that
                has not ended by then fails with :class:`DeadlineExceeded`, and is aborted if it
                runs.
            retries: Instead of those of the executor.
            timeout: Seconds that the site may be silent, instead of the limits of the executor; as
                ``config.timeout_secs``, but for these calls.

        *retries* and *timeout* of a function (``options(timeout=5).submit(function)``) hold for the
        calls of this executor that are made within it, those of the facade among them; options on
        such a call go before.
        """
        check_integer("options", "priority", priority)
        check_seconds("options", "deadline", deadline)
        check_seconds("options", "timeout", timeout)
        if timeout == 0:
            raise ValueError("options: timeout must be more than 0 seconds; None is no other limit")
        policy = None if retries is None else retries_of("options", retries)
        return ExecutorView(self, Options(priority, deadline, policy, timeout))

    def shutdown(self, wait: Union[bool, float] = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls, and close each connection as soon as it is not needed.

        Args:
            wait: Return when all calls are done and all connections closed; else at once. A number
                is seconds: what is not done by then is cancelled if it has not started, and
                aborted if it runs.
            cancel_futures: Cancel the calls that have not started; who waits for them is told.

        On a worker, or in a callback that calls wait for, it does not wait: it would wait for
        itself; what a number asks for is done later then. A signal handler may call it with
        ``wait=False``. In a forked process, which has none of the workers, it does nothing.
        """
        if not isinstance(wait, bool):
            check_seconds("shutdown", "wait", wait, optional=False)
        if self._dispatch.forked:
            return
        if wait is False and in_interrupted_wait():
            self._dispatch.close(hurry=False)
            with contextlib.suppress(RuntimeError):  # no thread can be had for it
                later = functools.partial(self.shutdown, wait=False, cancel_futures=cancel_futures)
                self._dispatch.alarm.after(0, later, apart=True)
                return
        self._dispatch.close(hurry=not cancel_futures)
        if cancel_futures:
            self._dispatch.cancel_waiting()
        self._pool.drain()
        # Calls that are made again, or wait for futures of others, will need a worker yet.
        self._dispatch.when_idle(functools.partial(super().shutdown, wait=False))
        if self._dispatch.others_wait_for_us:
            if not isinstance(wait, bool):
                with contextlib.suppress(RuntimeError):  # all has ended by now
                    self._dispatch.alarm.after(wait, self._dispatch.stop, apart=True)
            return
        if wait is False:
            return
        if wait is True:
            self._dispatch.wait_until_idle()
            super().shutdown(wait=True)
        else:
            self._stop_within(wait)

    def _stop_within(self, seconds: float) -> None:
        """Wait for so many seconds; then stop what is left, as far as that is possible."""
        if self._dispatch.wait_until_idle(seconds):
            return
        self._dispatch.stop()
        if not self._dispatch.wait_until_idle(GRACE):
            LOG.warning("a function that was submitted does not end; its worker goes on: %r", self)

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Wait for all calls; after an exception only for those that run, and cancel the rest.

        After Ctrl-C those that only read are ended as well.
        """
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.shutdown(wait=False, cancel_futures=True)
            self._dispatch.abort_reads()
        self.shutdown(wait=True, cancel_futures=kind is not None)

    # The synchronous side.

    @property
    def shotgun(self) -> Shotgun:
        """A ``Shotgun`` that any thread may use; each of its calls runs on a worker.

        On a worker of this executor a call runs at once, on that worker's connection.
        """
        facade = None if self._facade is None else self._facade()
        if facade is None:
            facade = _ExecutorShotgun(self)
            # Weakly: the facade keeps the executor, so the executor must not keep the facade.
            self._facade = weakref.ref(facade)
        return facade

    def _run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """``function(client, *args, **kwargs)`` on a worker, and wait for it."""
        timeout = inherited(self._scope, DEFAULT).timeout
        if timeout is not None:
            return self._on_worker(self._leases.run, within, timeout, function, *args, **kwargs)
        return self._on_worker(self._leases.run, function, *args, **kwargs)

    def _on_worker(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if self._dispatch.on_worker:
            return function(*args, **kwargs)
        return _wait_for(self._dispatch.submit(function, args, kwargs))

    # How calls reach the dispatch, with whatever options.

    def _submit_call(
        self,
        fn: Callable[..., T],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Options = DEFAULT,
    ) -> Future[T]:
        label = name_of(fn)
        args = (fn, *args) if options.timeout is None else (within, options.timeout, fn, *args)
        return self._submit_function(self._leases.run, args, kwargs, options, label=label)

    def _submit_function(
        self,
        fn: Callable[..., T],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Options,
        *,
        label: Optional[str] = None,
    ) -> Future[T]:
        """Submit a function of the user's, which may make calls in turn."""
        if options is DEFAULT:
            return self._dispatch.submit(fn, args, kwargs, label=label)
        with passed_on(self._scope, options):
            return self._dispatch.submit(fn, args, kwargs, label=label, options=options)

    def _submit_method(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Options = DEFAULT,
    ) -> Future[Any]:
        options = inherited(self._scope, options)
        if self._writes is not None and options is DEFAULT and name in BATCHED:
            return self._writes.submit_method(name, args, kwargs)
        if not self._prototype.must_ask_factory:
            check_arguments(self._prototype.client_class, name, args, kwargs)
            check_shapes(self._prototype.client_class, name, args, kwargs)
        needs: list[concurrent.futures.Future[Any]] = []
        args, kwargs = copy_plain(args, needs), copy_plain(kwargs, needs)
        if name == "find" and self._parallel_find:
            invoke_it = self._invoke_find(options, fill=bool(needs))
        else:
            invoke_it = invoke_filled if needs else invoke_with_ids
        joint = None
        if self._reads is not None and not needs:
            joint = self._reads.submit(Asked(name, args, kwargs, options, invoke_it))
        if joint is not None:
            return joint
        return self._submit_attempts(invoke_it, name, args, kwargs, needs, options)

    def _joint_reads(self, share: bool, gather: bool) -> Optional[Reads]:
        if not share and not gather:
            return None
        submit = weakref.WeakMethod(self._submit_asked)
        reads = Reads(self._dispatch, self._prototype, submit, share=share, gather=gather)
        self._dispatch.fence = reads.fence
        self._prototype.shared.wrote = reads.forget
        return reads

    def _submit_asked(self, asked: Asked) -> Future[Any]:
        """Submit a call that several may wait for, and that was accepted from each of them."""
        name, args, kwargs, options, invoke_it = asked
        if invoke_it is None:
            invoke_it = self._invoke_find(options) if self._parallel_find else invoke
        return self._submit_part(options, name, invoke_it, args, kwargs, label=str(asked))

    def _invoke_find(self, options: Options = DEFAULT, *, fill: bool = False) -> Callable[..., Any]:
        """How ``find`` is called on a client, if it is to read its pages in parallel."""
        submit = functools.partial(self._submit_part, options)
        return functools.partial(find_first_page, submit, self._workers, fill)

    def _submit_attempts(
        self,
        invoke_it: Callable[..., Any],
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        needs: Sequence[concurrent.futures.Future[Any]] = (),
        options: Options = DEFAULT,
    ) -> Future[Any]:
        label = f"{name} {args[0]}" if args and isinstance(args[0], str) else name
        if name in PRIVATE:
            run: Callable[..., Any] = functools.partial(run_privately, self._prototype)
            label = name  # the first argument is a login
        else:
            run = self._leases.run
        if name in UPLOADS:
            invoke_it = functools.partial(
                invoke_upload, Memory(self._dispatch.can_repeat), invoke_it
            )
        self._fence(name)
        try:
            return self._dispatch.submit(
                _attempt,
                (run, options.timeout, invoke_it, name, args, kwargs),
                {},
                needs=needs,
                label=label,
                attempts=Attempts(self._prototype.repeats, name, options.retries),
                options=options,
            )
        finally:
            self._fence(name)  # who comes from here on comes after it

    def _fence(self, name: str) -> None:
        """A call of the method *name* comes now: if it may write, no read is shared beyond it."""
        if self._reads is not None and not is_read(name):
            self._reads.fence()

    def _submit_whole(
        self,
        begin: Callable[[], Any],
        needs: Sequence[concurrent.futures.Future[Any]],
        label: str,
        options: Options,
    ) -> Future[Any]:
        """Submit a call that sends nothing itself; its parts do, and only read."""
        return self._dispatch.submit(
            begin,
            (),
            {},
            needs=needs,
            label=label,
            attempts=Attempts(self._prototype.repeats, "find", options.retries),
            options=options,
        )

    def _with_options(self) -> tuple[ShotgunExecutor, Options]:
        return self, inherited(self._scope, DEFAULT)

    def _submit_part(
        self,
        options: Options,
        name: str,
        invoke_it: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        label: Optional[str] = None,
    ) -> Future[Any]:
        """Submit a part of a call that has these options, as a call of the method *name*."""
        return self._dispatch.submit(
            _attempt,
            (self._leases.run, options.timeout, invoke_it, name, args, kwargs),
            {},
            label=label or f"a part of {name}",
            attempts=Attempts(self._prototype.repeats, name, options.retries),
            options=options._replace(deadline=None),  # that of the whole ends its parts
            promised=True,
        )

    def _batching(
        self,
        options: Options = DEFAULT,
        *,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
        max_wait: float = MAX_WAIT,
    ) -> Batching:
        check_count("batching", "max_requests", max_requests, optional=False)
        check_count("batching", "max_bytes", max_bytes, optional=False)
        check_seconds("batching", "max_wait", max_wait, optional=False)
        self._dispatch.check_open()
        return Batching(
            self._dispatch,
            functools.partial(_attempt, self._leases.run, options.timeout, invoke_with_ids),
            self._prototype,
            options,
            max_requests=max_requests,
            max_bytes=max_bytes,
            max_wait=max_wait,
        )

    def _batch_chunks(
        self,
        requests: Iterable[dict[str, Any]],
        chunk_size: int,
        options: Options = DEFAULT,
        *,
        ordered: bool,
    ) -> MapOutcomes[Any]:
        check_count("batch_chunks", "chunk_size", chunk_size, optional=False)
        requests = [check_request(request) for request in requests]  # before the first is sent
        # All are here: a chunk is sent when it is full, not when it has waited.
        batching = self._batching(
            options,
            max_requests=chunk_size,
            max_bytes=sys.maxsize,
            max_wait=math.inf,
        )
        outcomes: MapOutcomes[Any] = MapOutcomes(
            lambda _, request: batching.put(request),
            dict,
            (requests,),
            timeout=None,
            buffersize=None,
            ordered=ordered,
        )
        batching.hurry()  # the last one; and later what had to wait
        return outcomes

    def _has_method(self, name: str) -> bool:
        """Whether the clients have a public method of that name."""
        return not name.startswith("_") and callable(
            getattr(self._prototype.client_class, name, None)
        )

    def __getattr__(self, name: str) -> Any:
        """Methods that a subclass of ``Shotgun`` adds return futures too."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if self._has_method(name):
            return lambda *args, **kwargs: self._submit_method(name, args, kwargs)
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}, nor has the "
            f"{self._prototype.client_class.__name__} that its connections are"
        )

    @property
    def planned(self) -> list[PlannedWrite]:
        """What a dry run would have written so far, in its order; a copy. Else empty."""
        plan = self._prototype.plan
        return [] if plan is None else plan.writes

    @property
    def limit(self) -> Limit:
        """How many calls run at a time, and how many start in a second; to look at and to change.

        ``executor.limit.calls = 2`` holds from the next call on, and ends no thread.
        """
        return self._dispatch.limit

    # What it does.

    def stats(self) -> Stats:
        """What the executor has done and is doing, in numbers."""
        self._dispatch.check_process()
        connect, server, closed = self._prototype.shared.counters.snapshot()
        limit = self.limit
        return Stats(
            connect=connect,
            server=server,
            closed=closed,
            connections_idle=self._pool.idle,
            connections_leased=self._pool.leased,
            limit=limit.calls,
            limit_now=limit.current,
            **self._dispatch.count_calls(),
        )

    def add_observer(self, observer: Observer) -> None:
        """Have *observer* called with a :class:`CallEvent` whenever something happens to a call.

        It is called on the thread where that happens, so it should be quick; what it raises is
        logged.
        """
        if not callable(observer):
            raise TypeError(f"add_observer: observer must be a function, not {observer!r}")
        self._dispatch.observers.add(observer)

    def remove_observer(self, observer: Observer) -> None:
        """Call *observer* no more."""
        self._dispatch.observers.remove(observer)

    def trace(self, path: Union[str, os.PathLike[str]]) -> Trace:
        """Record calls until the end of a ``with`` block, and write them to *path* then.

        ::

            with executor.trace("publish.json"):
                publish_all(executor)

        Args:
            path: A ``.json`` file, for chrome://tracing and https://ui.perfetto.dev; or an ``.svg``
                or ``.png`` picture, with a row for each worker (needs matplotlib).
        """
        check_path("trace", "path", path)
        self._dispatch.check_open()
        return Trace(self._dispatch.observers, path)

    # What Shotgun has and sends nothing; see LOCAL in mirror.py.

    @property
    def config(self) -> Any:
        """The settings of all connections; a change reaches each before its next call."""
        return self._prototype.template.config

    @property
    def base_url(self) -> str:
        """The URL of the site, in lower case as in ``Shotgun``."""
        return cast("str", self._prototype.template.base_url)

    @property
    def client_caps(self) -> ClientCapabilities:
        """What this machine is, as in ``Shotgun``."""
        return cast("ClientCapabilities", self._prototype.template.client_caps)

    @property
    def server_caps(self) -> ServerCapabilities:
        """What the site is and can do. Waits for the answer if the site was not asked yet."""
        return cast("ServerCapabilities", self._prototype.template.server_caps)

    @property
    def server_info(self) -> dict[str, Any]:
        """What the site answered to ``info``. Waits if the site was not asked yet."""
        return self.server_caps.server_info

    def connect(self) -> None:
        """Ask the site for ``info`` and wait: returns if it answers, raises if it does not."""
        self._run(invoke, "connect", (), {})

    def close(self) -> None:
        """Close every connection: idle ones now, the others when no request uses them.

        The executor goes on, and the next call opens a connection afresh, as with ``Shotgun``.
        :meth:`shutdown` is the end.
        """
        self._pool.close()

    def add_user_agent(self, agent: str) -> None:
        """Append to the user agent that every connection sends."""
        self._prototype.template.add_user_agent(agent)

    def reset_user_agent(self) -> None:
        """Send the user agent of ``shotgun_api3`` alone again."""
        self._prototype.template.reset_user_agent()

    def set_session_uuid(self, session_uuid: str) -> None:
        """Name the browser session that is told of the changes made by every connection."""
        self._prototype.template.set_session_uuid(session_uuid)

    def get_attachment_download_url(self, attachment: Union[int, dict[str, Any], None]) -> str:
        """The URL of an attachment; nothing is sent."""
        return cast("str", self._prototype.template.get_attachment_download_url(attachment))

    def schema(self, entity_type: str) -> None:
        """Removed from the API; raises ``ShotgunError`` that names the method to use."""
        self._prototype.template.schema(entity_type)

    def entity_types(self) -> None:
        """Removed from the API; raises ``ShotgunError`` that names the method to use."""
        self._prototype.template.entity_types()

    def _ask_capabilities(self) -> ServerCapabilities:
        return cast("ServerCapabilities", self._run(lambda client: client.server_caps))

    def __repr__(self) -> str:
        dispatch, pool = self._dispatch, self._pool
        return (
            f"<{type(self).__name__} for {self._prototype.host}: {dispatch.runners} of "
            f"{self._workers} workers at work, {dispatch.waiting} calls waiting, connections: "
            f"{pool.leased} leased, {pool.idle} idle>"
        )


class _ExecutorShotgun(TransparentShotgun):
    """The facade: a ``Shotgun`` whose calls run on the workers of an executor."""

    _executor: ShotgunExecutor

    def __init__(self, executor: ShotgunExecutor) -> None:
        super().__init__(executor._prototype)
        vars(self)["_executor"] = executor

    def _run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return self._executor._run(function, *args, **kwargs)

    def _run_privately(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        _, options = self._executor._with_options()
        if options.timeout is not None:
            args, function = (options.timeout, function, *args), within
        return super()._run_privately(function, *args, **kwargs)

    def _repeating(self, name: str, attempt: Callable[[], Any]) -> Any:
        _, options = self._executor._with_options()
        return repeating(Attempts(self._prototype.repeats, name, options.retries), attempt)

    def _call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        executor, options = self._executor._with_options()
        on_worker = executor._dispatch.on_worker
        pages = name == "find" and executor._parallel_find and not on_worker
        invoke_it = executor._invoke_find(options) if pages else invoke
        asked = Asked(name, copy_plain(args), copy_plain(kwargs), options, invoke_it)
        joint = None if executor._reads is None else executor._reads.submit(asked)
        if joint is not None:
            return _wait_for(joint)
        if on_worker:
            executor._fence(name)
            return super()._call(name, args, kwargs)
        return _wait_for(
            executor._submit_attempts(invoke_it, name, asked.args, asked.kwargs, (), options)
        )

    def close(self) -> None:
        """Close every connection of the executor; the next call opens one afresh."""
        self._executor.close()


def _attempt(
    run: Callable[..., Any],
    timeout: Optional[float],
    invoke_it: Callable[..., Any],
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """One attempt of a call, on a worker."""
    # A copy for each attempt: the client writes into its arguments.
    args, kwargs = copy_plain(args), copy_plain(kwargs)
    if timeout is None:
        return run(invoke_it, name, args, kwargs)
    return run(within, timeout, invoke_it, name, args, kwargs)


def _wait_for(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BaseException:
        # Ctrl-C, while it waited for a worker or for the answer to a read; else without effect.
        future.cancel(abort=True)
        raise
    finally:
        del future  # its exception holds this frame


def _starter(
    executor: ShotgunExecutor,
) -> Callable[[Callable[[], None]], concurrent.futures.Future[None]]:
    """How runners reach the threads of the stdlib.

    It holds the executor weakly, as the worker threads do: an executor that nobody uses any more
    is collected, and its threads end.
    """
    reference = weakref.ref(executor)

    def start(runner: Callable[[], None]) -> concurrent.futures.Future[None]:
        alive = reference()
        if alive is None:
            raise RuntimeError("cannot schedule new futures: the executor is gone")
        return ThreadPoolExecutor.submit(alive, runner)

    return start
