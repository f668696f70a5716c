"""The public names: complete, documented, and cheap to import."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import shotgun_executor
import shotgun_executor.sandbox

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(shotgun_executor.__path__, "shotgun_executor.")
    if not module.name.endswith("__main__")
)
PUBLIC = [
    (package, name)
    for package in (shotgun_executor, shotgun_executor.sandbox)
    for name in package.__all__
    if name != "__version__"
]


@pytest.mark.parametrize("package", [shotgun_executor, shotgun_executor.sandbox])
def test_all_is_complete_and_sorted(package: ModuleType):
    """`__all__` names each public class and function of the package, in order."""
    names = {
        name
        for name, member in vars(package).items()
        if not name.startswith("_") and (inspect.isclass(member) or inspect.isfunction(member))
    }
    listed = list(package.__all__)
    assert sorted(names) == [name for name in listed if name != "__version__"]
    assert listed == sorted(listed)


def test_import_pulls_in_no_sandbox():
    """Importing the package imports neither the sandbox nor anything that only it needs."""
    script = "import shotgun_executor, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert "shotgun_executor.executor" in loaded
    assert not loaded & {"aiohttp", "sqlalchemy", "shotgun_executor.sandbox"}


@pytest.mark.parametrize("name", ["aiohttp", "sqlalchemy"])
def test_package_needs_no_extra(name: str):
    """Without the libraries of the sandbox the executor works, and the sandbox says what to do."""
    script = (
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from shotgun_executor import ShotgunExecutor\n"
        "ShotgunExecutor('https://my-site', 'tool', 'key').shutdown()\n"
        "from shotgun_executor.sandbox import Sandbox\n"
        "try: Sandbox()\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, name], capture_output=True, text=True, timeout=60, check=True
    )
    assert name in done.stdout
    assert 'pip install "shotgun-executor[sandbox]"' in done.stdout


@pytest.mark.parametrize(("package", "name"), PUBLIC, ids=[name for _, name in PUBLIC])
def test_public_names_are_documented(package: ModuleType, name: str):
    """Each public class or function has a docstring of its own, and so have its public methods."""
    member = getattr(package, name)
    assert member.__doc__
    if inspect.isclass(member):
        for attribute, value in vars(member).items():
            if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(value), attribute


@pytest.mark.parametrize("name", MODULES)
def test_modules_tell_their_public_names(name: str):
    """Each module has a docstring, and an `__all__` that names what is there."""
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public), public


def test_version_is_that_of_the_metadata():
    """`__version__` is the version that pip shows."""
    try:
        installed = importlib.metadata.version("shotgun-executor")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed here: this is its folder")
    assert shotgun_executor.__version__ == installed
