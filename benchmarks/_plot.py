"""Draws the figures as bars: ``python _plot.py figures.svg``, with the panels on standard input.

They are JSON. It runs in an environment of its own, in which matplotlib is.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

OURS, OTHERS, FLOOR, GOAL = "#1f6feb", "#9aa4b2", "#d8dde4", "#c2410c"
_COLUMNS = 2
_ROOM = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}


def main() -> None:
    """Read, draw, write."""
    panels = json.load(sys.stdin)
    # Text stays text, and nothing differs from run to run but the figures.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peers", "font.size": 9})
    rows = -(-len(panels) // _COLUMNS)
    heights = [
        max(len(panel["bars"]) for panel in panels[row * _COLUMNS : (row + 1) * _COLUMNS])
        for row in range(rows)
    ]
    figure, axes = plt.subplots(
        rows, _COLUMNS, figsize=(13, 0.32 * sum(heights) + 0.95 * rows), squeeze=False,
        height_ratios=[height + 1 for height in heights],
    )  # fmt: skip
    for axis, panel in zip(axes.flat, panels):
        draw(axis, panel)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    figure.tight_layout(w_pad=2.5, h_pad=2)
    figure.savefig(sys.argv[1], metadata={"Date": None, "Creator": None})


def draw(axis: Any, panel: dict[str, Any]) -> None:
    """One panel."""
    bars = panel["bars"]
    places = list(range(len(bars)))[::-1]
    values = [bar["value"] for bar in bars]
    axis.barh(places, values, color=[color(bar["name"]) for bar in bars], height=0.72)
    axis.set_yticks(places, [bar["title"] for bar in bars])
    axis.set_xlim(0, max([*values, *panel["goals"]]) * 1.16)
    axis.set_xticks([])
    for place, value in zip(places, values):
        text = f" {value:,.0f} {panel['unit']}" if value >= 100 else f" {value:.3g} {panel['unit']}"
        axis.text(value, place, text, va="center", ha="left", bbox=_ROOM)
    for goal in panel["goals"]:
        axis.axvline(goal, color=GOAL, linewidth=1.2, linestyle=(0, (4, 3)))
    better = "less" if panel["less_is_better"] else "more"
    axis.set_title(f"{panel['title']}\n", loc="left", fontweight="bold", pad=4)
    axis.text(0, 1.02, f"{better} is better", transform=axis.transAxes, color="#57606a")
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.tick_params(left=False)


def color(name: str) -> str:
    """Ours stand out."""
    return OURS if name.startswith("ours") else FLOOR if name == "floor" else OTHERS


if __name__ == "__main__":
    main()
