"""Ours against the installed ``shotgun_api3``: nothing missing, nothing forgotten."""

from __future__ import annotations

import concurrent.futures
import inspect
import itertools
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from shotgun_api3 import Shotgun

from shotgun_executor import ShotgunExecutor, ShotgunPool, ThreadLocalShotgun
from shotgun_executor.facade import TransparentShotgun
from shotgun_executor.mirror import LOCAL, FutureMethods, public_methods
from tests.support import KEYS, NOWHERE, Gate

REMOTE = sorted(set(public_methods()) - LOCAL)


def test_every_public_method_is_mirrored_or_local():
    """Each method of the installed client is listed once: as a future, or as local."""
    listed = {name for name in vars(FutureMethods) if not name.startswith("_")}
    assert sorted(listed) == REMOTE
    assert set(public_methods()) >= LOCAL
    for name in LOCAL:
        assert callable(vars(ShotgunExecutor)[name]), name


def test_every_public_property_is_there():
    """What is no method of the client (`config`, `server_info`, ...) is on the executor too."""
    sg = Shotgun(NOWHERE, connect=False, **KEYS)
    attributes = {name for name in vars(sg) if not name.startswith("_")}
    attributes |= {
        name
        for name, member in inspect.getmembers(Shotgun)
        if isinstance(member, property) and not name.startswith("_")
    }
    assert attributes == {"config", "base_url", "client_caps", "server_info", "server_caps"}
    for name in attributes:
        assert isinstance(vars(ShotgunExecutor)[name], property), name


def test_no_name_is_taken_twice():
    """No method of Shotgun hides one of the executor, of the stdlib or our own."""
    own = {*dir(ThreadPoolExecutor), "call", "shotgun"}
    assert not own & {name for name in public_methods() if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(public_methods()))
def test_signatures_are_those_of_shotgun(name):
    """Each method takes the arguments of the client's, on the executor and on the facade."""
    theirs = inspect.signature(getattr(Shotgun, name))
    for owner in (TransparentShotgun, ShotgunPool, ThreadLocalShotgun):
        assert inspect.signature(getattr(owner, name)) == theirs
    ours = inspect.signature(getattr(ShotgunExecutor, name))
    assert list(ours.parameters) == list(theirs.parameters)
    if name not in LOCAL:
        assert ours.parameters == theirs.parameters
        assert ours.return_annotation.startswith("Future[")


def test_no_method_of_shotgun_runs_on_the_facade_itself():
    """Public or private, a method that ran on the facade would share one connection."""
    inherited = [
        name
        for name, member in inspect.getmembers(TransparentShotgun, inspect.isfunction)
        if not name.startswith("__") and member is getattr(Shotgun, name, None)
    ]
    assert inherited == []


def test_methods_of_a_newer_client_work_without_a_change():
    """A method that this package has never heard of is a future, and on the facade a call."""
    script = """
        import shotgun_api3
        def reticulate(self, splines, speed=1):
            return ("reticulated", splines, speed, type(self).__name__)
        shotgun_api3.Shotgun.reticulate = reticulate
        import shotgun_executor
        with shotgun_executor.ShotgunExecutor("http://127.0.0.1:9", "a", "b") as executor:
            print(executor.reticulate([1], speed=2).result(10))
            print(executor.shotgun.reticulate([3]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "('reticulated', [1], 2, 'Shotgun')",
        "('reticulated', [3], 1, 'Shotgun')",
    ]


@pytest.mark.parametrize("name", REMOTE)
def test_arguments_that_do_not_fit_are_refused_each_time(name):
    """What is refused and what is not is what Python says, however often it was asked before."""
    signature = inspect.signature(getattr(Shotgun, name))
    names = [*list(signature.parameters)[1:], "no_such_argument"]
    with ShotgunExecutor(NOWHERE, **KEYS, max_workers=1) as executor:
        gate = Gate()
        executor.submit(gate)  # nothing is sent
        value: concurrent.futures.Future = concurrent.futures.Future()  # might be anything
        for count in range(len(names) + 1):
            for keywords in itertools.combinations(names, min(2, len(names))):
                args, kwargs = [value] * count, dict.fromkeys(keywords, value)
                for _ in range(2):
                    assert refusal_of(
                        lambda args=args, kwargs=kwargs: getattr(executor, name)(*args, **kwargs)
                    ) == refusal_of(
                        lambda args=args, kwargs=kwargs: signature.bind(None, *args, **kwargs),
                        f"{name}() ",
                    )
        executor._dispatch.cancel_waiting()
        gate.open()


def refusal_of(function, before=""):
    """What the TypeError of *function* says; empty if there is none."""
    try:
        function()
    except TypeError as error:
        return f"{before}{error}"
    return ""
