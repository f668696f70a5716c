"""This package beside the official client and what else there is, in one run.

Each contender does the same work in a process of its own, the site runs in another, the answers
are compared, and all take turns in each round. Figures are medians over the rounds; ratios are
medians of the ratios within a round. What is not installed here (sg-python-api, fpt-api and
matplotlib) is put into virtual environments in build/ the first time, which needs PyPI.

    python benchmarks/peers.py                    # four minutes
    python benchmarks/peers.py --quick            # half a minute; shows that it works, no more
    python benchmarks/peers.py --write            # and put table and plot into docs/
    python benchmarks/peers.py --profile decode   # where our own time goes
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _canned import API_KEY, SCRIPT_NAME, CannedSite
from _clients import CONTENDERS
from _environments import python_of, variables
from _plans import PLANS, Plan, Results
from _report import Report

from shotgun_executor.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

UPLOAD_SIZE = 200_000
VERSION = 1  # of the demo show
_LIMIT = 120.0  # seconds that a contender may be silent


class Wrong(SystemExit):
    """A contender got other answers than the official client, or none."""


class CannedPlace:
    """The site with its answers ready."""

    def __init__(self, site: CannedSite) -> None:
        self._site = site
        self.url = site.url
        self.settings = {"site": {"script_name": SCRIPT_NAME, "api_key": API_KEY}}
        self.cpu = 0.0

    def reset(self, plan: Plan) -> None:
        """Before a measurement."""
        self._site.control(plan.latency)

    def counts(self) -> tuple[int, int]:
        """Requests and connections since then."""
        counts = self._site.control()
        self.cpu = counts["cpu"]
        return int(counts["requests"]), int(counts["connections"])


class HttpsPlace:
    """A sandbox over HTTPS."""

    def __init__(self, sandbox: Sandbox, settings: dict[str, Any]) -> None:
        self._sandbox = sandbox
        self.url = sandbox.url
        self.settings = settings
        self.cpu = 0.0  # not told

    def reset(self, plan: Plan) -> None:
        """Before a measurement."""
        self._before = self._sandbox.counters()
        if plan.gathers:
            self._sandbox.hold("read")

    def gather(self, count: int) -> None:
        """Let calls go on when there are *count*, so that each is on a connection of its own."""
        try:
            self._sandbox.wait_for(count, "read", timeout=_LIMIT / 2)
        except TimeoutError as error:
            raise Wrong(f"connect: {error}") from None
        finally:
            self._sandbox.resume("read")

    def counts(self) -> tuple[int, int]:
        """Requests and connections since then."""
        now, before = self._sandbox.counters(), self._before
        return now.total - before.total, now.connections - before.connections


Place = Union[CannedPlace, HttpsPlace]


class Entrant:
    """The process of a contender at a workload."""

    def __init__(self, name: str, workload: str, place: Place, settings: dict[str, Any]) -> None:
        self.name = name
        home = CONTENDERS[name].home
        python = python_of(home)
        assert python is not None, "left out before"
        script = str(Path(__file__).resolve().parent / "_contender.py")
        self._process = subprocess.Popen(
            [python, script, name, workload, place.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=variables(home),
            text=True,
        )
        self._tell({**place.settings, **settings})

    def answer(self) -> dict[str, Any]:
        """Its next line."""
        assert self._process.stdout is not None
        overdue = threading.Timer(_LIMIT, self._process.kill)
        overdue.start()
        line = self._process.stdout.readline()
        overdue.cancel()
        if not line:
            raise Wrong(f"{self.name} gave up, or took more than {_LIMIT:g} s")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def begin(self, count: int, head: int) -> None:
        """Have it do *count* items; :meth:`answer` tells how it went."""
        self._tell({"count": count, "head": head})

    def end(self) -> None:
        """Wait for its end, or end it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process.stdout.close()

    def _tell(self, message: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # answer() says so
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()


@contextlib.contextmanager
def entrants(
    names: list[str], workload: str, place: Place, settings: dict[str, Any]
) -> Iterator[list[Entrant]]:
    """The processes of contenders, warm."""
    started: list[Entrant] = []
    try:
        for name in names:
            started.append(Entrant(name, workload, place, settings))  # noqa: PERF401  # to be ended
        for entrant in started:
            entrant.answer()
        yield started
    finally:
        for entrant in started:
            entrant.end()


@contextlib.contextmanager
def canned_place(pages: int, *, compress: bool) -> Iterator[Place]:
    """The site of pages and of small calls."""
    with CannedSite(pages, compress=compress) as site:
        yield CannedPlace(site)


@contextlib.contextmanager
def https_place() -> Iterator[Place]:
    """A sandbox over HTTPS, whose authority is one among those that are trusted everywhere.

    To read the file of all those authorities is what a client does at a real site.
    """
    import shotgun_api3

    usual = Path(shotgun_api3.__file__).parent / "lib" / "certifi" / "cacert.pem"
    with Sandbox(demo=True, shots=60, tls=True) as sandbox, tempfile.TemporaryDirectory() as folder:
        assert sandbox.ca_certs is not None
        trusted, file = Path(folder, "authorities.pem"), Path(folder, "upload.mov")
        trusted.write_bytes(usual.read_bytes() + Path(sandbox.ca_certs).read_bytes())
        file.write_bytes(random.Random(0).randbytes(UPLOAD_SIZE))
        site = {**sandbox.credentials, "ca_certs": str(trusted)}
        yield HttpsPlace(sandbox, {"site": site, "version": VERSION, "file": str(file)})


def settings_for(plan: Plan, place: Place) -> dict[str, Any]:
    """What is told to each process."""
    return {
        **place.settings,
        "site": {**place.settings["site"], "workers": plan.workers},
        "warm": plan.warm,
        "profile": False,
    }


def compete(
    workload: str, plan: Plan, names: list[str], place: Place, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """All rounds of a workload."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    busy = 0.0
    head = min(plan.count_for(name) for name in names)
    with entrants(names, workload, place, settings_for(plan, place)) as all_entrants:
        for number in range(rounds):
            turn = all_entrants[number % len(names) :] + all_entrants[: number % len(names)]
            for entrant in turn:
                run = measure(entrant, plan, place, head)
                count = plan.count_for(entrant.name)
                check_traffic(entrant.name, workload, plan, place)
                busy = max(busy, place.cpu / run["wall"])
                runs[entrant.name].append({**run, "count": count})
            check_answers(workload, {name: runs[name][-1] for name in names})
    if not plan.https:  # where only CPU is measured, and the site has more to do than that
        print(f"{workload}: the site was busy for {busy:.0%} at most", file=sys.stderr)
    return runs


def measure(entrant: Entrant, plan: Plan, place: Place, head: int) -> dict[str, Any]:
    """One contender, once."""
    place.reset(plan)
    count = plan.count_for(entrant.name)
    entrant.begin(count, head)
    if plan.gathers:
        assert isinstance(place, HttpsPlace)
        place.gather(count)
    return entrant.answer()


def check_traffic(name: str, workload: str, plan: Plan, place: Place) -> None:
    """The site was asked for each answer; what is cached or shared was not measured.

    Raises:
        Wrong: It was not.
    """
    count = plan.count_for(name)
    requests, connections = place.counts()
    if requests < count:
        raise Wrong(f"{workload}: {name} got {count} answers with {requests} requests")
    if plan.gathers and connections < count:
        raise Wrong(f"{workload}: {name} opened {connections} connections instead of {count}")


def check_answers(workload: str, runs: dict[str, dict[str, Any]]) -> None:
    """All contenders got the same.

    Args:
        workload: Where, for the message.
        runs: The measurements of a round, by contender.

    Raises:
        Wrong: One of them did not.
    """
    reference = "official-threads" if "official-threads" in runs else "official"
    expected = runs.get(reference) or next(iter(runs.values()))
    for name, run in runs.items():
        same = run["head"] == expected["head"]
        if run["count"] == expected["count"]:
            same = same and run["all"] == expected["all"]
        if not same:
            raise Wrong(f"{workload}: {name} got other answers than the official client")


def show_profile(workload: str, name: str, plan: Plan, *, compress: bool) -> None:
    """Print where the time of a contender goes."""
    with place_for(plan, compress=compress) as place:
        settings = {**settings_for(plan, place), "profile": True}
        with entrants([name], workload, place, settings) as (entrant,):
            print(f"{plan.title}: {CONTENDERS[name].title}")
            print(measure(entrant, plan, place, head=1)["profile"])


def place_for(plan: Plan, *, compress: bool) -> contextlib.AbstractContextManager[Place]:
    """The site for a workload."""
    return https_place() if plan.https else canned_place(plan.count, compress=compress)


def run_all(options: argparse.Namespace) -> Results:
    """All workloads that were asked for."""
    results: Results = {}
    present = [name for name in options.contenders if python_of(CONTENDERS[name].home)]
    for workload in options.workloads:
        plan = PLANS[workload].quick() if options.quick else PLANS[workload]
        names = [name for name in plan.contenders if name in present]
        if not names:
            continue
        start = time.perf_counter()
        with place_for(plan, compress=options.gzip) as place:
            results[workload] = compete(workload, plan, names, place, options.rounds)
        print(f"{plan.title}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return results


def parse(arguments: Optional[list[str]]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one round of little work")
    add("--rounds", type=int, help="5 unless told")
    add(
        "--workloads",
        nargs="+",
        choices=list(PLANS),
        default=list(PLANS),
        metavar="NAME",
        help="some of: " + ", ".join(PLANS),
    )
    add(
        "--contenders",
        nargs="+",
        choices=list(CONTENDERS),
        default=list(CONTENDERS),
        metavar="NAME",
        help="some of: " + ", ".join(CONTENDERS),
    )
    add("--gzip", action="store_true", help="pages come compressed")
    add("--write", action="store_true", help="put table and plot into docs/")
    add(
        "--profile",
        choices=list(PLANS),
        metavar="WORKLOAD",
        help="print a profile of the first of the contenders, ours unless told; measure nothing",
    )
    options = parser.parse_args(arguments)  # fmt: skip
    partial = options.quick or options.gzip or set(options.workloads) != set(PLANS)
    if options.write and (partial or len(options.contenders) < len(CONTENDERS)):
        parser.error("--write is for a run with everything in it")
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


def main(arguments: Optional[list[str]] = None) -> None:
    """Measure and report."""
    options = parse(arguments)
    if options.profile:
        plan = PLANS[options.profile]
        plan = plan.quick() if options.quick else plan
        show_profile(options.profile, options.contenders[0], plan, compress=options.gzip)
        return
    report = Report(run_all(options), options.rounds)
    print(report.table())
    print(report.goals())
    if options.write:
        report.write()


if __name__ == "__main__":
    main()
