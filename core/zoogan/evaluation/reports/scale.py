"""Numbers as a reader wants them: no more digits than are known, and intervals as lines between round ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

DIGITS = 3  # of a number
OF_ERROR = 2  # of half its interval
SMALLEST = 8  # decimals; what needs more is written with a power of ten


@runtime_checkable
class Measured(Protocol):
    """A number with its interval: a value of a report, or a cell of a comparison."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class Scale:
    """A line from `begin` to `end`."""

    begin: float
    end: float

    def at(self, number: float) -> float:
        """Where a number lies, in percent of the line."""
        return round(100 * (number - self.begin) / (self.end - self.begin), 2)

    @property
    def ends(self) -> tuple[str, str]:
        """What stands beside the line, left and right."""
        return f"{self.begin:g}", f"{self.end:g}"


def ends_of(shown: Measured) -> list[float]:
    """The value and the ends of its interval, as far as there are any."""
    return [number for number in (shown.value, shown.low, shown.high) if number is not None]


def scale_of(shown: Iterable[Measured], from_zero: bool = True) -> Scale | None:
    """One scale for all of these, with ends that are multiples of 1, 2 or 5 and a power of ten; None where a line would
    tell nothing: nothing has an interval, or all is the same number."""
    shown = list(shown)
    numbers = [number for s in shown for number in ends_of(s)] + [0.0] * from_zero
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    if all(s.low is None for s in shown) or math.isclose(low, high):
        return None
    half = (high - low) / 2
    power = 10.0 ** math.floor(math.log10(half))
    step = max(power * k for k in (1, 2, 5) if k == 1 or power * k <= half)
    return Scale(math.floor(round(low / step, 6)) * step, math.ceil(round(high / step, 6)) * step)


def decimals(shown: Measured) -> int:
    """How many decimals of a number and its interval say something: three digits, and two of half the interval."""
    places = DIGITS - before_the_point(abs(shown.value or 0.0) or max(map(abs, ends_of(shown)), default=0.0))
    if shown.low is not None and shown.high is not None and shown.high > shown.low:
        places = min(places, OF_ERROR - before_the_point((shown.high - shown.low) / 2))
    return max(0, places)


def before_the_point(number: float) -> int:
    """Digits before the decimal point; below one, minus the zeros after it. 1 counts as below, a share like others."""
    return math.ceil(math.log10(number)) if number > 0 else DIGITS


def written(number: float | int | None, places: int) -> str:
    """A number with so many decimals."""
    if number is None:
        return "–"
    if places > SMALLEST:
        return f"{number:.{DIGITS - 1}e}"
    return f"{round(number, places) + 0.0:,.{places}f}".replace("-", "−")


def interval_text(shown: Measured, places: int) -> str:
    """Its interval, as `0.585 to 0.662`; nothing where it has none."""
    if shown.low is None or shown.high is None:
        return ""
    return f"{written(shown.low, places)} to {written(shown.high, places)}"
