"""The virtual environments of the contenders that cannot live in ours, and of the plot.

They are made once, in ``build/`` of the checkout, from what PyPI has.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parents[1]
_FOLDER = ROOT / "build" / "benchmark-environments"
_LIMIT = 300  # seconds

REWRITE = "sg-python-api"
"""It has the import name of the official client, ``shotgun_api3``, and needs Python 3.11."""

FPT = "fpt-api"
"""A subclass of the official client."""

PLOT = "plot"


def requirements(name: str) -> list[str]:
    """What is installed into an environment; the official client has the version that is here."""
    if name == REWRITE:
        return ["sg-python-api==0.1.2"]
    if name == FPT:
        return ["fpt-api==0.3.5", f"shotgun_api3=={importlib.metadata.version('shotgun_api3')}"]
    return ["matplotlib>=3.9"]


def python_of(name: str) -> Optional[str]:
    """The Python of an environment, which is made if need be; None if that cannot be.

    Args:
        name: A name in this module; "" is the environment that runs.
    """
    if not name:
        return sys.executable
    if name == REWRITE and sys.version_info < (3, 11):
        return _without(name, "it needs Python 3.11")
    wanted = requirements(name)
    folder = _FOLDER / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "requirements.txt"
    if not complete.exists() or complete.read_text().split() != wanted:
        print(f"making an environment for {name} ...", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*install, *wanted], timeout=_LIMIT, check=False, capture_output=True, text=True
        )
        if done.returncode:
            return _without(name, done.stderr.strip().rpartition("\n")[2])
        complete.write_text("\n".join(wanted))
    return str(python)


def variables(name: str) -> dict[str, str]:
    """The environment variables of a process: nothing of ours in the others' environments."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SHOTGUN_", "PYTHON"))}
    own = {} if name else {"PYTHONPATH": os.pathsep.join([str(ROOT), *_own_paths()])}
    return {**kept, "no_proxy": "127.0.0.1,localhost", **own}


def _own_paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _without(name: str, why: str) -> None:
    print(f"without {name}: {why}", file=sys.stderr, flush=True)
