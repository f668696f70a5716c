"""The figures as Markdown, the goals, and what the plot is drawn from."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Optional

from _clients import CONTENDERS
from _environments import PLOT, ROOT, python_of, variables
from _plans import GOALS, METRICS, PLANS, Goal, Metric, Results, advantage, median

_PAGE = ROOT / "docs" / "benchmarks.md"
_PLOT = ROOT / "docs" / "benchmarks.svg"
_BEGIN, _END = "<!-- peers.py writes from here -->\n", "<!-- peers.py writes to here -->\n"


class Report:
    """What came out of the rounds."""

    def __init__(self, results: Results, rounds: int) -> None:
        self._results = results
        self._rounds = rounds
        self._metrics = {k: m for k, m in METRICS.items() if m.workload in results}

    def table(self) -> str:
        """One table for each figure: the medians, and how they relate to the official client's."""
        parts = [self._one_table(metric) for metric in self._metrics.values()]
        return f"{self._conditions()}\n\n" + "\n".join(parts)

    def goals(self) -> str:
        """Which goals are met, and which are missed."""
        lines = ["| Goal | Wanted | Measured | |", "| --- | --- | --- | --- |"]
        for goal in GOALS:
            factor = self._reached(goal)
            if factor is not None:
                verdict = "met" if factor >= goal.factor else "**missed**"
                lines.append(
                    f"| {goal.text} | {goal.factor:g} times | {factor:.2f} times | {verdict} |"
                )
        return "\n".join(lines) + "\n"

    def write(self) -> None:
        """Replace the part of the page that is ours, and the plot."""
        page = _PAGE.read_text(encoding="utf-8")
        before, begin, rest = page.partition(_BEGIN)
        _, end, after = rest.partition(_END)
        if not begin or not end:
            raise SystemExit(f"docs/{_PAGE.name} lacks the two comments between which to write")
        middle = f"{self.table()}\n{self.goals()}"
        _PAGE.write_text(before + begin + "\n" + middle + "\n" + end + after, encoding="utf-8")
        self._draw()

    def _draw(self) -> None:
        python = python_of(PLOT)
        if python is None:
            return
        script = ROOT / "benchmarks" / "_plot.py"
        subprocess.run(
            [python, script, _PLOT],
            input=json.dumps(self._panels()),
            env=variables(PLOT),
            text=True,
            check=True,
            timeout=120,
        )

    def _panels(self) -> list[dict[str, object]]:
        """What the plot shows: a panel for each figure."""
        panels = []
        for key, metric in self._metrics.items():
            bars = [
                {"name": name, "title": CONTENDERS[name].title, "value": self._median(metric, name)}
                for name in self._results[metric.workload]
            ]
            goals = [self._wanted(goal) for goal in GOALS if goal.metric == key]
            panels.append(
                {
                    "title": metric.title,
                    "unit": metric.unit,
                    "less_is_better": metric.less_is_better,
                    "bars": bars,
                    "goals": [goal for goal in goals if goal is not None],
                }
            )
        return panels

    def _one_table(self, metric: Metric) -> str:
        better = "less" if metric.less_is_better else "more"
        lines = [
            f"| {metric.title} ({better} is better) | {metric.unit} | Times as good as official |",
            "| --- | --- | --- |",
        ]
        runs = self._results[metric.workload]
        official = "official-threads" if "official-threads" in runs else "official"
        for name in runs:
            times = ""
            if official in runs:
                times = f"{advantage(metric, self._results, name, (official,)):.2f}"
            value = _number(self._median(metric, name))
            lines.append(f"| {CONTENDERS[name].title} | {value} | {times} |")
        if metric.most is not None:
            most = _number(metric.most(PLANS[metric.workload]))
            lines.append(f"| *workers ÷ latency, the most there can be* | {most} | |")
        return "\n".join(lines) + "\n"

    def _conditions(self) -> str:
        orjson = _version("orjson")
        return (
            f"Medians of {self._rounds} rounds; Python {platform.python_version()}, "
            f"shotgun_api3 {_version('shotgun_api3')}, "
            f"{'without orjson' if orjson is None else f'orjson {orjson}'}."
        )

    def _median(self, metric: Metric, name: str) -> float:
        return median(metric, self._results, name)

    def _others(self, goal: Goal) -> tuple[str, ...]:
        """Those that a goal is measured by, as far as they ran."""
        runs = self._results.get(METRICS[goal.metric].workload, {})
        return tuple(name for name in goal.others if name in runs) if goal.contender in runs else ()

    def _reached(self, goal: Goal) -> Optional[float]:
        others = self._others(goal)
        metric = METRICS[goal.metric]
        return advantage(metric, self._results, goal.contender, others) if others else None

    def _wanted(self, goal: Goal) -> Optional[float]:
        """The value at which a goal is met."""
        others = self._others(goal)
        if not others:
            return None
        metric = METRICS[goal.metric]
        values = [self._median(metric, name) for name in others]
        return min(values) / goal.factor if metric.less_is_better else max(values) * goal.factor


def _number(value: float) -> str:
    """Three digits that count."""
    if value >= 1000:
        return f"{round(value, -1 if value < 10_000 else -2):,.0f}"
    return f"{value:.3g}"


def _version(package: str) -> Optional[str]:
    try:
        return re.split(r"[+]", version(package))[0]
    except PackageNotFoundError:
        return None
