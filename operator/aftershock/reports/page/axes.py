"""Scales of the timeline: run time across, shares and latencies up. Positions are per cent of a width that is not known.

A drawing that is as wide as its reader's screen has no unit of its own: text and rules are placed by per cent, and only
curves live in a stretched box (`BOX` units wide), so that no letter is ever squeezed.
"""

from collections.abc import Iterable
from math import ceil, floor, log10

import msgspec

from aftershock.core.verdict import Interval

BOX = 10_000
"""Units across a stretched box."""

TALL = 1_000
"""Units up it."""

_STEPS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    20,
    30,
    60,
    120,
    300,
    600,
    900,
    1200,
    1800,
    3600,
    7200,
    14_400,
    21_600,
    43_200,
)
_MOST_TICKS = 7


class Across(msgspec.Struct, frozen=True):
    """Run seconds from `start` to `end`."""

    start: float
    end: float

    def part(self, seconds: float) -> float:
        """Return where an instant lies, 0 to 1, held inside."""
        span = self.end - self.start
        return min(1.0, max(0.0, (seconds - self.start) / span)) if span > 0 else 0.0

    def percent(self, seconds: float) -> str:
        """Return where an instant lies, as an SVG length."""
        return f"{round(self.part(seconds) * 100, 3):g}%"

    def width(self, start: float, end: float) -> str:
        """Return how wide a stretch is, as an SVG length."""
        return f"{round((self.part(end) - self.part(start)) * 100, 3):g}%"

    def box(self, seconds: float) -> int:
        """Return where an instant lies in a stretched box."""
        return round(self.part(seconds) * BOX)

    def ticks(self) -> list[float]:
        """Return at most eight round instants."""
        span = max(self.end - self.start, 0.1)
        step = next((each for each in _STEPS if span / each <= _MOST_TICKS), 86_400 * ceil(span / 86_400 / _MOST_TICKS))
        first, final = ceil(self.start / step - 1e-9), floor(self.end / step + 1e-9)
        return [round(number * step, 3) for number in range(first, final + 1)]


class Decades(msgspec.Struct, frozen=True):
    """Latencies on a logarithmic scale between two powers of ten, in seconds."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> "Decades":
        """Return the whole decades that hold all values; a millisecond to a second if there is none."""
        positive = [value for value in values if value > 0]
        if not positive:
            return cls(0.001, 1.0)
        low, high = floor(log10(min(positive))), ceil(log10(max(positive) * 1.02))
        return cls(10.0**low, 10.0 ** max(high, low + 1))

    def box(self, seconds: float) -> int:
        """Return how far down a latency lies in a stretched box: 0 is the top."""
        part = (log10(max(seconds, self.low)) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return round((1 - min(1.0, part)) * TALL)

    def ticks(self) -> list[float]:
        """Return the powers of ten."""
        first, final = round(log10(self.low)), round(log10(self.high))
        return [10.0**power for power in range(first, final + 1)]


def clock(seconds: float) -> str:
    """Return a tick's label: short, since it stands under a narrow plot.

    >>> clock(10), clock(0.5), clock(90), clock(3600)
    ('10 s', '0.5 s', '1:30', '1:00:00')
    """
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def middle(between: Interval) -> float:
    """Return the middle of an interval."""
    return (between.low + between.high) / 2
