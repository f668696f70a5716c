"""The fixtures that the package brings for the tests of other tools, and the page about them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from typing import Callable

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "shotgun_executor.sandbox.pytest_plugin"
EXAMPLE, CONFTEST = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "testing.md").read_text("utf-8"), re.M | re.S
)


@pytest.fixture
def run(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Runs pytest in a process of its own, with the plugin as an installed package has it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    installed = pytestconfig.pluginmanager.hasplugin("shotgun_sandbox")
    named = () if installed else ("-p", PLUGIN)

    def run(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess(*named, "-p", "no:cacheprovider", *arguments)

    return run


def test_example_of_the_page_runs(
    pytester: pytest.Pytester, run: Callable[..., pytest.RunResult]
) -> None:
    """The example of the page about testing runs as it stands, warnings being errors."""
    pytester.makepyfile(test_publish=EXAMPLE)
    run("-W", "error").assert_outcomes(passed=4)


def test_options_make_another_site(
    pytester: pytest.Pytester, run: Callable[..., pytest.RunResult]
) -> None:
    """The conftest of the page makes a site of another kind; all tests share its process."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        seen = set()

        def test_site(sg, shotgun_url, shotgun_sandbox):
            assert shotgun_url.startswith("https://")
            assert shotgun_url == shotgun_sandbox.url
            assert sg.server_info["version"] == [7, 4, 0]
            assert not sg.server_info["s3_direct_uploads_enabled"]
            sg.create("Project", {"name": "The Lantern Sea"})
            seen.add(shotgun_sandbox.pid)

        def test_site_is_new(sg, shotgun_executor, shotgun_sandbox):
            assert sg.find("Project", []) == shotgun_executor.find("Project", []).result() == []
            assert seen == {shotgun_sandbox.pid}
        """
    )
    run("-W", "error").assert_outcomes(passed=2)


def test_plugin_is_light() -> None:
    """To import the plugin imports nothing that only the site needs, and starts nothing."""
    program = (
        f"import sys, threading, {PLUGIN}\n"
        "heavy = {'aiohttp', 'sqlalchemy', 'trustme'} & set(sys.modules)\n"
        "print(heavy, threading.active_count())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.stdout == "set() 1\n"
