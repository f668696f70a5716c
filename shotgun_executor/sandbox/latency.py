"""How long the site takes to answer, beside the time that it really takes."""

from __future__ import annotations

import random
import re
from typing import NamedTuple, Optional

__all__ = ["Delay", "Latency", "parse_delay"]

_DELAY = re.compile(
    r"(?P<number>\d+(\.\d*)?|\.\d+)\s*(?P<unit>ms|s)?"
    r"(\s*(±|\+-|\+/-)\s*(?P<jitter>\d+(\.\d*)?|\.\d+)\s*(?P<jitter_unit>ms|s)?)?"
)


class Delay(NamedTuple):
    """Seconds, give or take up to *jitter* seconds."""

    seconds: float = 0.0
    jitter: float = 0.0

    def __str__(self) -> str:
        text = f"{self.seconds * 1000:g} ms"
        return f"{text} ± {self.jitter * 1000:g} ms" if self.jitter else text


class Latency:
    """The delay of each answer, in general and by method."""

    def __init__(self, delay: Delay, seed: int) -> None:
        self._start = delay
        self._seed = seed
        self.clear()

    def clear(self) -> None:
        """Back to the delay and the random numbers of the start."""
        self._general = self._start
        self._by_method: dict[str, Delay] = {}
        self._random = random.Random(self._seed)  # noqa: S311  # repeatable, not secret

    def set(self, delay: Optional[Delay], method: Optional[str] = None) -> None:
        """Delay the answers of *method*, or of all without a delay of their own.

        None takes the delay away: that of *method* gives way to the general one.
        """
        if method is None:
            self._general = delay or Delay()
        elif delay is None:
            self._by_method.pop(method, None)
        else:
            self._by_method[method] = delay

    def draw(self, method: str) -> float:
        """Seconds that one answer to *method* takes."""
        seconds, jitter = self._by_method.get(method, self._general)
        if jitter:
            seconds += self._random.uniform(-jitter, jitter)
        return max(seconds, 0.0)


def parse_delay(text: str) -> Delay:
    """The delay that a user wrote: ``0.05``, ``80ms``, ``80ms±20``, ``80ms+-20ms``.

    The jitter has the unit of the delay unless it names its own; without any unit both are seconds.

    Raises:
        ValueError: The text is none of these.
    """
    match = _DELAY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no latency; write 0.05 (seconds), 80ms or 80ms±20")
    unit = match["unit"] or "s"
    return Delay(
        _seconds(match["number"], unit),
        _seconds(match["jitter"] or "0", match["jitter_unit"] or unit),
    )


def _seconds(number: str, unit: str) -> float:
    return float(number) / 1000 if unit == "ms" else float(number)
