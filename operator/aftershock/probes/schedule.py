"""When requests are due. Pure, and in whole nanoseconds: no rounding ever moves a request, or adds or loses one.

A request is due in the middle of its interval. So no rounding elsewhere, of slices or of cells, can take it for its
neighbour's.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

SECOND = 1_000_000_000
NEVER = 1 << 62
"""Later than any run: what `next` is when nothing more is due."""


def nanoseconds(seconds: float) -> int:
    """Return whole nanoseconds."""
    return round(seconds * SECOND)


MOST = 100_000.0
"""Requests a second: several times what a core can send, and what counting the unsent ones leaves time for."""


class Schedule(Protocol):
    """Something that is due again and again. `next` is in nanoseconds since the run's origin."""

    next: int

    def begin(self, start: int) -> None:
        """Let nothing be due before `start`, nanoseconds; until this is called nothing is due at all."""

    def advance(self) -> None:
        """Go on to the request after `next`."""

    def stop(self) -> None:
        """Let nothing more be due."""


class Steady:
    """One request each `interval` nanoseconds, on a grid that starts at the run's origin; once begun."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self.next = NEVER

    def begin(self, start: int) -> None:
        """Go to the first place on the grid at or after `start`."""
        first = self._interval // 2
        self.next = first + max(0, -((first - start) // self._interval)) * self._interval

    def advance(self) -> None:
        """Go on to the request after `next`."""
        self.next += self._interval

    def stop(self) -> None:
        """Let nothing more be due."""
        self.next = NEVER


class _Step:
    """A rate from `start` on; `count` of its requests have been due. Exact however long it lasts."""

    def __init__(self, start: int, rate: Fraction) -> None:
        self.start = start
        self._top = SECOND * rate.denominator
        self._bottom = 2 * rate.numerator
        self.count = 0

    def due(self) -> int:
        if self._bottom == 0:
            return NEVER
        return self.start + (2 * self.count + 1) * self._top // self._bottom


class Steps:
    """A load: rates that hold from given instants on. Nothing is due until `replace` is called."""

    def __init__(self) -> None:
        self._steps = [_Step(0, Fraction(0))]
        self.next = NEVER

    def begin(self, start: int) -> None:
        """Do nothing: a load begins with its first step."""

    def replace(self, steps: Sequence[tuple[float, float]], now: int) -> None:
        """Set what comes after `now` (nanoseconds); `steps` are (run second, requests per second), in any order.

        No rate is above `MOST`. The rate in force holds until the first step. Of the steps that lie in the past the
        latest begins `now`.
        """
        wanted = [
            _Step(nanoseconds(at), Fraction(min(rate, MOST)).limit_denominator(1_000_000))
            for at, rate in sorted(steps)
            if rate >= 0
        ]
        past = [step for step in wanted if step.start <= now]
        if past:
            past[-1].start = now
        self._steps = [past[-1] if past else self._steps[0], *(step for step in wanted if step.start > now)]
        self._settle()

    def advance(self) -> None:
        """Go on to the request after `next`."""
        self._steps[0].count += 1
        self._settle()

    def stop(self) -> None:
        """Let nothing more be due."""
        self._steps = [_Step(0, Fraction(0))]
        self.next = NEVER

    def _settle(self) -> None:
        """Find what is due next; a step ends where the next one begins."""
        self.next = self._steps[0].due()
        while len(self._steps) > 1 and self.next >= self._steps[1].start:
            del self._steps[0]
            self.next = self._steps[0].due()
