"""Numbers for readers: no more digits than are certain, and intervals as lines between round ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

DIGITS = 3  # of a number
ERROR_DIGITS = 2  # of half its interval
MOST_DECIMALS = 8  # a number that needs more is written with a power of ten


@runtime_checkable
class NumberWithInterval(Protocol):
    """A number with its interval: a value of a report, or a cell of a comparison."""

    @property
    def value(self) -> float | None:
        """The number."""

    @property
    def low(self) -> float | None:
        """The lower end of its interval."""

    @property
    def high(self) -> float | None:
        """The upper end of its interval."""


@dataclass(frozen=True)
class Scale:
    """The line on which numbers and intervals are drawn.

    Attributes:
        begin: Its left end.
        end: Its right end.
    """

    begin: float
    end: float

    def at(self, number: float) -> float:
        """Locate a number, in percent of the line."""
        return round(100 * (number - self.begin) / (self.end - self.begin), 2)

    @property
    def ends(self) -> tuple[str, str]:
        """The labels of the ends, left and right."""
        return f"{self.begin:g}", f"{self.end:g}"


def list_numbers(number: NumberWithInterval) -> list[float]:
    """List the number and the ends of its interval, without those that are None."""
    return [x for x in (number.value, number.low, number.high) if x is not None]


def make_scale(numbers: Iterable[NumberWithInterval], from_zero: bool = True) -> Scale | None:
    """Make one scale for several numbers, with ends that are multiples of 1, 2 or 5 and a power of ten.

    Args:
        numbers: Numbers with their intervals.
        from_zero: Include zero.

    Returns:
        The scale; None where a line would show nothing: no number has an interval, or all numbers are equal.
    """
    numbers = list(numbers)
    points = [x for number in numbers for x in list_numbers(number)] + [0.0] * from_zero
    low, high = min(points, default=0.0), max(points, default=0.0)
    if all(number.low is None for number in numbers) or math.isclose(low, high):
        return None
    half = (high - low) / 2
    power = 10.0 ** math.floor(math.log10(half))
    step = max(power * k for k in (1, 2, 5) if k == 1 or power * k <= half)
    return Scale(math.floor(round(low / step, 6)) * step, math.ceil(round(high / step, 6)) * step)


def count_decimals(number: NumberWithInterval) -> int:
    """Count the significant decimals of a number: three digits of it, and two of half its interval."""
    size = abs(number.value or 0.0) or max(map(abs, list_numbers(number)), default=0.0)
    places = DIGITS - count_leading_digits(size)
    if number.low is not None and number.high is not None and number.high > number.low:
        places = min(places, ERROR_DIGITS - count_leading_digits((number.high - number.low) / 2))
    return max(0, places)


def count_leading_digits(number: float) -> int:
    """Count the digits before the decimal point; below one, minus the zeros after it.

    1 counts as below one, so that a share of 1 gets as many decimals as other shares.
    """
    return math.ceil(math.log10(number)) if number > 0 else DIGITS


def format_number(number: float | int | None, places: int) -> str:
    """Write a number with a number of decimals; an en dash for None."""
    if number is None:
        return "–"
    if places > MOST_DECIMALS:
        return f"{number:.{DIGITS - 1}e}"
    return f"{round(number, places) + 0.0:,.{places}f}".replace("-", "−")


def format_briefly(value: float | None) -> str:
    """Write a number in at most four significant digits; an en dash for None."""
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def format_interval(number: NumberWithInterval, places: int) -> str:
    """Write the interval of a number, as `0.585 to 0.662`; nothing where it has none."""
    if number.low is None or number.high is None:
        return ""
    return f"{format_number(number.low, places)} to {format_number(number.high, places)}"
