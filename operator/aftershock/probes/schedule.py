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
    """A rate from `start` on. Exact however long it lasts.

    Its requests are counted from 0; `count` is the next one that is due here, which takes each `every`-th, from the `first`.
    """

    def __init__(self, start: int, rate: Fraction, first: int = 0, every: int = 1) -> None:
        self.start = start
        self._top = SECOND * rate.denominator
        self._bottom = 2 * rate.numerator
        self._every = every
        self.count = first

    def due(self) -> int:
        if self._bottom == 0:
            return NEVER
        return self.start + (2 * self.count + 1) * self._top // self._bottom

    def advance(self) -> None:
        self.count += self._every

    def owed(self, until: int) -> int:
        """Return how many requests of this share, from `count` on, are due before `until`."""
        ours = self._all(until) - self.count
        return max(0, -(-ours // self._every))

    def _all(self, until: int) -> int:
        """Return how many requests of all shares are due before `until`: `due` turned round."""
        return max(0, -((self._top - (until - self.start) * self._bottom) // (2 * self._top)))


class Steps:
    """A load: rates that hold from given instants on. Nothing is due until `replace` or `agree` is called.

    One of several that share a load takes each `shards`-th request of each step, from number `shard` on.
    """

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        self._shard, self._shards = shard, shards
        self._steps = [_Step(0, Fraction(0))]
        self.next = NEVER

    def begin(self, start: int) -> None:
        """Do nothing: a load begins with its first step."""

    def replace(self, steps: Sequence[tuple[float, float]], now: int) -> None:
        """Set what comes after `now` (nanoseconds); `steps` are (run second, requests per second), in any order.

        No rate is above `MOST`. The rate in force holds until the first step. Of the steps that lie in the past the
        latest begins `now`.
        """
        wanted = self._wanted(steps)
        past = [step for step in wanted if step.start <= now]
        if past:
            past[-1].start = now
        self._steps = [past[-1] if past else self._steps[0], *(step for step in wanted if step.start > now)]
        self._settle()

    def agree(self, steps: Sequence[tuple[float, float]], now: int) -> int:
        """Set what comes from the first of `steps` on, as everyone who shares the load does, whenever each hears of it.

        What was set before up to then stays. A step's requests that were due before `now` are passed over: return how many.
        """
        wanted = self._wanted(steps)
        if not wanted:
            return 0
        self._steps = _followed(self._steps, wanted)
        passed = 0
        for place, step in enumerate(self._steps):
            if step in wanted:
                end = self._steps[place + 1].start if place + 1 < len(self._steps) else now
                owed = step.owed(min(now, end))
                step.count += owed * self._shards
                passed += owed
        self._settle()
        return passed

    def advance(self) -> None:
        """Go on to the request after `next`."""
        self._steps[0].advance()
        self._settle()

    def stop(self) -> None:
        """Let nothing more be due."""
        self._steps = [_Step(0, Fraction(0))]
        self.next = NEVER

    def _wanted(self, steps: Sequence[tuple[float, float]]) -> list[_Step]:
        return _steps(steps, self._shard, self._shards)

    def _settle(self) -> None:
        """Find what is due next; a step ends where the next one begins."""
        self.next = self._steps[0].due()
        while len(self._steps) > 1 and self.next >= self._steps[1].start:
            del self._steps[0]
            self.next = self._steps[0].due()


def _steps(steps: Sequence[tuple[float, float]], shard: int, shards: int) -> list[_Step]:
    most = MOST * shards
    return [
        _Step(nanoseconds(at), Fraction(min(rate, most)).limit_denominator(1_000_000), shard, shards)
        for at, rate in sorted(steps)
        if rate >= 0
    ]


def _followed(before: Sequence[_Step], wanted: Sequence[_Step]) -> list[_Step]:
    return [*(step for step in before if step.start < wanted[0].start), *wanted]


class Shares:
    """What each of those who share a load owes: all that was agreed, and nothing after `until`, nanoseconds."""

    def __init__(self, shards: int, until: int) -> None:
        self._until = until
        self._steps: list[list[_Step]] = [[] for _ in range(shards)]

    def agree(self, steps: Sequence[tuple[float, float]]) -> None:
        """Set what comes from the first of `steps` on."""
        for shard, before in enumerate(self._steps):
            if wanted := _steps(steps, shard, len(self._steps)):
                self._steps[shard] = _followed(before, wanted)

    def owed(self, shard: int, begin: int, end: int) -> int:
        """Return how many requests a shard owes from `begin` up to `end`, nanoseconds."""
        end = min(end, self._until)
        steps = self._steps[shard]
        ends = [*(step.start for step in steps[1:]), end]
        return sum(
            max(0, step.owed(min(end, over)) - step.owed(max(begin, step.start)))
            for step, over in zip(steps, ends, strict=True)
            if step.start < end and over > begin
        )
