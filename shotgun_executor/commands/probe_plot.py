"""The picture of a probe: throughput and latency against the number of workers."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from shotgun_executor.commands.terminal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shotgun_executor.commands.probe_steps import Step

__all__ = ["check_plot", "draw"]

_KINDS = (".png", ".svg", ".pdf")


def check_plot(name: str) -> None:
    """Whether a picture can be drawn to that file; before anything is measured.

    Raises:
        Refused: It cannot.
    """
    path = Path(name)
    if path.suffix not in _KINDS:
        raise Refused(f"--plot: write a file name that ends in {', '.join(_KINDS)}, not {name!r}")
    if not path.absolute().parent.is_dir():
        raise Refused(f"--plot: there is no folder {path.parent}; make it, or name another one")
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise Refused("--plot: this needs matplotlib: pip install matplotlib") from None


def draw(steps: Sequence[Step], knee: Optional[Step], title: str, name: str) -> None:
    """Draw the steps, and mark the one that is recommended."""
    figure = importlib.import_module("matplotlib.figure").Figure(
        figsize=(10, 4.2), layout="constrained"
    )
    figure.suptitle(title)
    throughput, latency = figure.subplots(1, 2)
    workers = [step.workers for step in steps]
    rates = [step.rate for step in steps]
    throughput.plot(
        workers, [rates[0] * n for n in workers], ":", color="gray", label="in proportion"
    )
    throughput.plot(workers, rates, "o-", color="C0", label="measured")
    throughput.set_ylabel("calls per second")
    latency.plot(workers, [step.slow * 1e3 for step in steps], "^--", color="C1", label="95 %")
    latency.plot(workers, [step.median * 1e3 for step in steps], "o-", color="C0", label="median")
    latency.set_ylabel("milliseconds per call")
    for axes in (throughput, latency):
        _finish(axes, workers, knee)
    figure.savefig(name, metadata={"Date": None} if name.endswith(".svg") else None)


def _finish(axes: Any, workers: Sequence[int], knee: Optional[Step]) -> None:
    if knee is not None:
        axes.axvline(knee.workers, color="C2", alpha=0.6, label=f"recommended: {knee.workers}")
    axes.set_xlabel("workers")
    axes.set_xticks(workers)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
