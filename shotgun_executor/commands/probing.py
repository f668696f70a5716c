"""``shotgun-executor probe``: how latency and throughput change with the number of workers."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from shotgun_api3.shotgun import AuthenticationFault, Fault

from shotgun_executor.commands.probe_plot import check_plot, draw
from shotgun_executor.commands.probe_steps import (
    HEADINGS,
    Step,
    recommended,
    row_of,
    worker_counts,
)
from shotgun_executor.commands.site import open_executor, page_size
from shotgun_executor.commands.terminal import Progress, Refused, emit, say
from shotgun_executor.retry import is_overload, status_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from shotgun_executor.executor import ShotgunExecutor
    from shotgun_executor.results import Outcome

__all__ = ["probe"]

LATENCY = 0.05
"""Seconds that the local site takes for an answer; without that there is nothing to see."""
_FEWEST = 10
"""Calls of a step."""
_FAILURES = 3
"""Failed calls that end the measurement."""
_SLOWER = 4.0
"""So much slower than with one worker ends it as well: more calls would only wait in the site."""


class _Planned(NamedTuple):
    """A step to be."""

    workers: int
    calls: int


def probe(options: argparse.Namespace) -> int:
    """Measure the site, print a table, and recommend ``max_workers``.

    Returns:
        0, or 1 if nothing can be recommended.

    Raises:
        Refused: The command line is wrong.
    """
    if options.plot:
        check_plot(options.plot)
    planned = [
        _Planned(number, max(_FEWEST, options.calls * number))
        for number in worker_counts(options.workers)
    ]
    with open_executor(options, latency=LATENCY, retries=0) as executor:
        _announce(planned, options)
        if options.rows > page_size(executor):  # a call would be several requests
            raise Refused(f"--rows: pages of this site have {page_size(executor)} rows at most")
        read = functools.partial(
            executor.shotgun.find, options.type, [], options.fields or ["id"], limit=options.rows
        )
        _try(read)
        steps = _measure_all(executor, read, planned, options)
    knee = recommended(steps)
    say(_advice(steps, knee, options.workers))
    if options.plot and steps:
        title = f"find {options.type}, {options.rows} row{'s' if options.rows > 1 else ''} a call"
        draw(steps, knee, title, options.plot)
        say(f"Drawn to {options.plot}.")
    return 0 if knee else 1


def _announce(planned: Sequence[_Planned], options: argparse.Namespace) -> None:
    most = 2 + sum(step.calls + step.workers for step in planned)
    say(
        f"This sends at most {most} requests, which only read ({options.type}, {options.rows} "
        f"row(s) each), with {', '.join(str(step.workers) for step in planned)} at a time, and "
        f"at most {options.seconds:g} s of each. It ends when the site says that it is busy."
    )


def _try(read: Callable[[], Any]) -> None:
    """One call before all others, so that what is wrong with it is told."""
    try:
        read()
    except AuthenticationFault:
        raise
    except Fault as error:
        raise Refused(f"--type, --fields: the site refuses to read that: {error}") from None


def _measure_all(
    executor: ShotgunExecutor,
    read: Callable[[], Any],
    planned: Sequence[_Planned],
    options: argparse.Namespace,
) -> list[Step]:
    """The steps, up to the one in which the site had trouble."""
    emit(f"{HEADINGS}\n")
    with Progress("calls", sum(step.calls for step in planned), shown=not options.quiet) as bar:
        return _measure_each(executor, read, planned, options.seconds, bar)


def _measure_each(
    executor: ShotgunExecutor,
    read: Callable[[], Any],
    planned: Sequence[_Planned],
    seconds: float,
    bar: Progress,
) -> list[Step]:
    steps: list[Step] = []
    for step in planned:
        # One executor for all steps: its connections are open by then.
        executor.limit.calls = step.workers
        opened = _run(executor, read, _Planned(step.workers, step.workers), seconds)
        if opened.trouble is None:
            opened = _run(executor, read, step, seconds, bar)
        steps.append(opened)
        emit(f"{row_of(steps[-1], steps[0])}\n")
        reason = steps[-1].trouble or _too_slow(steps)
        if reason:
            bar.say(f"Ended with {step.workers} at a time: {reason}.")
            break
    return steps


def _run(
    executor: ShotgunExecutor,
    read: Callable[[], Any],
    planned: _Planned,
    seconds: float,
    bar: Optional[Progress] = None,
) -> Step:
    """Make the calls of a step, until its time is over or the site has trouble."""
    began = time.perf_counter()
    calls = executor.map_outcomes(
        lambda _: _timed(read), range(planned.calls), buffersize=2 * planned.workers, ordered=False
    )
    with calls:
        latencies, failed, trouble = _until(calls, began + seconds, bar)
        taken = time.perf_counter() - began
    return Step(planned.workers, latencies, failed, taken, trouble)


def _until(
    calls: Iterable[Outcome[float]], end: float, bar: Optional[Progress]
) -> tuple[list[float], int, Optional[str]]:
    """How long those took that came by *end*, how many have failed, and what was wrong."""
    latencies: list[float] = []
    failed, trouble = 0, None
    for outcome in calls:
        if bar is not None:
            bar.add(1)
        if outcome.error is None:
            assert outcome.result is not None
            latencies.append(outcome.result)
        else:
            failed += 1
            trouble = _trouble(outcome, failed)
        if trouble or time.perf_counter() > end:
            break
    return latencies, failed, trouble


def _timed(read: Callable[[], Any]) -> float:
    """Seconds that a call takes; on a worker, so without the wait for one."""
    began = time.perf_counter()
    read()
    return time.perf_counter() - began


def _trouble(outcome: Outcome[float], failed: int) -> Optional[str]:
    """Why the measurement must end after a call that failed."""
    error = outcome.error
    assert error is not None
    if is_overload(error):
        status = status_of(error)
        return f"the site is busy ({f'status {status}' if status else 'it is silent'})"
    if failed >= _FAILURES:
        return f"{failed} calls failed, the last one by {type(error).__name__}: {error}"
    return None


def _too_slow(steps: Sequence[Step]) -> Optional[str]:
    first, last = steps[0], steps[-1]
    if first.median and last.median > _SLOWER * first.median:
        return f"a call takes {last.median / first.median:.1f} times as long as with one worker"
    return None


def _advice(steps: Sequence[Step], knee: Optional[Step], most: int) -> str:
    if knee is None:
        return "No step went without trouble, so nothing can be recommended; try again later."
    text = (
        f"Recommended: max_workers={knee.workers}, for {knee.rate:.1f} calls per second at "
        f"{knee.median * 1e3:.0f} ms."
    )
    if knee is steps[-1] and knee.workers == most:
        return (
            f"{text} Throughput still grows there: more may bring more (--workers {2 * most}), "
            f"if those who share the site can do without it."
        )
    return f"{text} Beyond that, twice the workers bring less than 1.4 times the calls per second."
