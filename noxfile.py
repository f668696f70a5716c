"""The checks of the project: ``nox`` runs them all, ``nox -l`` lists them.

Each fact stands once: the Python versions come from the classifiers and the dependencies from the
extras and groups in pyproject.toml.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_external_run = True
nox.options.reuse_venv = "yes"

HERE = Path(__file__).parent
PYPROJECT = nox.project.load_toml(HERE / "pyproject.toml")
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"

# What must be in the wheel beside the modules.
DATA = {"shotgun_executor/py.typed", "shotgun_executor/sandbox/schema.json"}


def _group(name: str) -> tuple[str, ...]:
    """The requirements of a dependency group."""
    return nox.project.dependency_groups(PYPROJECT, name)


def _runs(python: str) -> bool:
    """Whether this Python is here and runs: the pyenv shim of an inactive version does not."""
    command = ["py", f"-{python}"] if os.name == "nt" else [f"python{python}"]
    try:
        tried = subprocess.run([*command, "-c", ""], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def _lowest(requirements: list[str]) -> list[str]:
    """The requirements with the oldest version that each allows."""
    return [requirement.replace(">=", "==") for requirement in requirements]


if not _runs(OWN):
    # Some versions of nox look on the PATH for the very Python that they run on.
    folder = Path(sys.executable).resolve().parent
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ["PATH"]])

SUPPORTED = nox.project.python_versions(PYPROJECT)
# A Python newer than the classifiers is tried as well, if it is the one that runs nox.
PYTHONS = SUPPORTED if OWN in SUPPORTED else [*SUPPORTED, OWN]
# The tests of a session, unless it is told which: on processes that each have a site of its own.
# More than there are cores, since many tests wait.
PARALLEL = ["-n", "4"]

# Releases of shotgun_api3, from the oldest that is supported to the newest that was tried.
CLIENTS = ["3.9.2", "3.10.0", "3.10.2", "3.10.3"]
FOUND = [python for python in PYTHONS if python == OWN or _runs(python)]

# On the oldest Python `lowest` runs the same tests; with the newest packages, others do.
TESTED = FOUND[1:] if FOUND[0] != OWN else FOUND

nox.options.sessions = [
    *(f"tests-{python}" for python in TESTED),
    "lowest",
    "lint",
    "typing",
    "docs",
    "build",
]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each supported Python; arguments after -- go to pytest.

    All of them on the Python that runs nox. Those that are slow or of the examples are left out on
    the others, and those of the sandbox but on the newest; `lowest` has these on the oldest.
    """
    # Without the optional speed-ups in most places, so that both ways are tested.
    extras = "sandbox,fast,plot" if session.python == OWN else "sandbox"
    session.install("-e", f".[{extras}]", *_group("test"))
    some: list[str] = []
    if session.python == OWN:
        session.install(*_group("qt"), success_codes=[0, 1])  # not for every platform
    else:
        some += ["-m", "not slow", "--ignore=tests/examples"]
    if session.python not in (OWN, FOUND[-1]):
        some.append("--ignore=tests/sandbox")
    session.run("python", "-m", "pytest", *session.posargs or [*PARALLEL, *some])


@nox.session(python=FOUND[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest shotgun_api3 that pyproject.toml allows."""
    project = PYPROJECT["project"]
    oldest = _lowest(project["dependencies"])
    if session.python == SUPPORTED[0]:
        # The oldest aiohttp and SQLAlchemy have no wheels for the newest Pythons.
        oldest += _lowest(project["optional-dependencies"]["sandbox"])
    session.install("-e", ".[sandbox]", *oldest, *_group("test"))
    some = ["-m", "not slow", "--ignore=tests/examples"]
    session.run("python", "-m", "pytest", *session.posargs or [*PARALLEL, *some])


@nox.session(python=FOUND[0])
@nox.parametrize("client", CLIENTS)
def contract(session: nox.Session, client: str) -> None:
    """Check what is leaned on in shotgun_api3 with several of its releases; not by default."""
    session.install("-e", ".[sandbox]", f"shotgun_api3=={client}", *_group("test"))
    files = (
        "test_contract",
        "test_parity",
        "test_transport",
        "test_files",
        "test_retry",
        "test_decode",
    )
    session.run("python", "-m", "pytest", *PARALLEL, *(f"tests/{name}.py" for name in files))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    session.install(*_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(python=FOUND[-1])
def typing(session: nox.Session) -> None:
    """Check the types of the package and of tests/typing with mypy and pyright."""
    if session.python == "3.9":
        session.skip("Python 3.9 gets old stubs, which disagree with those of all later ones")
    session.install("-e", ".[sandbox,fast]", *_group("typing"))
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation in docs/_build/html and run its examples."""
    session.install("-e", ".[sandbox]", *_group("docs"))
    for builder in ("html", "doctest"):
        session.run(
            *("python", "-m", "sphinx", "-n", "-W", "--keep-going", "-q"),
            *("-b", builder, "-d", "docs/_build/doctrees", "docs", f"docs/_build/{builder}"),
        )


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel, check what is in them, and import the wheel without any extra."""
    session.install(*_group("build"))
    out = Path(session.create_tmp()).resolve() / "dist"
    session.run("python", "-c", "import shutil, sys; shutil.rmtree(sys.argv[1], True)", str(out))
    session.run("python", "-m", "build", "--outdir", str(out))
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    session.run("python", "-m", "twine", "check", "--strict", str(sdist), str(wheel))
    _check_sdist(session, sdist)
    _check_wheel(session, wheel)
    _import_wheel(session, wheel)


def _check_sdist(session: nox.Session, sdist: Path) -> None:
    """Whoever has the sdist can run the tests and build the docs."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "noxfile.py", "README.md", "tests/conftest.py", "docs/conf.py"}
    if wanted - names:
        session.error(f"{sdist.name} lacks {sorted(wanted - names)}")


def _check_wheel(session: nox.Session, wheel: Path) -> None:
    """The wheel holds the package, whole, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(HERE).as_posix() for path in HERE.glob("shotgun_executor/**/*.py")}
    wanted = modules | DATA
    if wanted - names:
        session.error(f"{wheel.name} lacks {sorted(wanted - names)}")
    if names - wanted:
        session.error(f"{wheel.name} holds {sorted(names - wanted)}, which do not belong there")


def _import_wheel(session: nox.Session, wheel: Path) -> None:
    """The package works where nothing but its run-time dependencies is installed."""
    fresh = Path(session.create_tmp()).resolve() / "fresh"
    session.run("python", "-m", "virtualenv", "--quiet", "--clear", str(fresh))
    python = str(fresh / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    session.run(python, "-m", "pip", "check", external=True)
    # -I: from the wheel, not from the folder that this runs in.
    session.run(python, "-I", "-c", _IMPORT, external=True)


_IMPORT = """
import importlib.metadata, shotgun_executor
assert shotgun_executor.__version__ == importlib.metadata.version("shotgun-executor")
executor = shotgun_executor.ShotgunExecutor("https://my-site", "script", "key")
print("imported", shotgun_executor.__version__, executor)
try:
    shotgun_executor.sandbox
except AttributeError:
    pass
else:
    raise SystemExit("importing the package must not import the sandbox")
"""
