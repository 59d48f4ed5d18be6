"""One indicator's beat: what is due is sent, whatever comes back; what came back, or didn't, goes into slices.

A request that can't be sent within the tolerance is *unsent*: after a stall of this process nothing is made up for by a
flood, and nothing is left out in silence. An answer that came while the process was stalled is missing too, since when it
came is not known.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from aftershock.core.history import Slice
from aftershock.core.shards import Part
from aftershock.probes.schedule import NEVER, Schedule
from aftershock.probes.slices import UNSENT, WIDTH, Fold, Open

_BURST = 64
"""Requests sent in one turn, so that receiving never waits long for sending."""


class Request:
    """One request. `due` is when it was meant to be sent, nanoseconds since the run's origin.

    `line` is what carries it and `number` what tells it from others: both belong to its probe.
    """

    __slots__ = ("due", "line", "number", "settled", "slice")

    def __init__(self, due: int, slice_: Open) -> None:
        self.due = due
        self.slice = slice_
        self.settled = False
        self.line: Any = None
        self.number = 0


class Probe(Protocol):
    """A kind of request. It says what became of each by `Pulse.settle`, once, if it was not abandoned before."""

    def send(self, request: Request) -> None:
        """Send now; never block."""

    def abandon(self, request: Request) -> None:
        """Let go: the request's time is over."""


class Clock(Protocol):
    """Tells nanoseconds since the run's origin."""

    def __call__(self) -> int:
        """Return the time."""


class Pulse:
    """Sends one indicator's requests on schedule. `timeout` and `tolerance` are in nanoseconds, from the due time."""

    def __init__(self, fold: Fold, schedule: Schedule, clock: Clock, *, timeout: int, tolerance: int) -> None:
        self.schedule = schedule
        self.blind = False
        self._fold = fold
        self._clock = clock
        self._timeout = timeout
        self._tolerance = tolerance
        self._flying: deque[Request] = deque()
        self._probe: Probe

    def use(self, probe: Probe) -> None:
        """Set what sends the requests."""
        self._probe = probe

    def beat(self, now: int) -> None:
        """Send what is due."""
        schedule = self.schedule
        flying = self._flying
        oldest = now - self._tolerance
        sent = 0
        while schedule.next <= now and sent < _BURST:
            due = schedule.next
            schedule.advance()
            request = Request(due, self._fold.plan(due))
            if due < oldest:
                self.settle(request, UNSENT)
                continue
            flying.append(request)
            self._probe.send(request)
            sent += 1

    def stop(self, now: int) -> None:
        """Send what is due until `now`, and nothing after it."""
        while self.schedule.next <= now:
            self.beat(now)
        self.schedule.stop()

    def settle(self, request: Request, kind: str | None, took: int | None = None) -> bool:
        """Take what became of a request: None is good. False when that was settled before.

        `took`: its latency in nanoseconds, where it measured another one than the time from due to now.
        """
        if request.settled:
            return False
        request.settled = True
        seen = self._clock()
        if kind == "timeout":
            seen = min(
                seen, request.due + self._timeout
            )  # it failed at its deadline, however late this process woke up
        request.slice.settle(request.due, seen, UNSENT if self.blind else kind, took)
        return True

    def expire(self, now: int) -> None:
        """Give up what has waited for its timeout."""
        flying = self._flying
        end = now - self._timeout
        while flying and (flying[0].settled or flying[0].due <= end):
            request = flying.popleft()
            if not request.settled:
                self._probe.abandon(request)
                self.settle(request, "timeout")

    def sent(self, now: int) -> Iterator[tuple[int, int]]:
        """Give out how much of the load was sent, for each slice that is over: its number and its requests."""
        return self._fold.sent(min(now, self.schedule.next) // WIDTH)

    def slices(self, now: int) -> Iterator[Slice | Part]:
        """Give out the slices that are complete."""
        return self._fold.take(now)

    def rest(self, now: int) -> Iterator[Slice | Part]:
        """Give out what is left, when no more is to come."""
        return self._fold.rest(now)

    def wake(self, now: int) -> int:
        """Return when there is something to do next: a request, a timeout, or the end of a slice."""
        flying = self._flying
        while flying and flying[0].settled:
            flying.popleft()
        end = flying[0].due + self._timeout if flying else NEVER
        tick = NEVER if self._fold.empty else (now // WIDTH + 1) * WIDTH
        return min(self.schedule.next, end, tick)

    @property
    def quiet(self) -> bool:
        """Whether nothing is in flight."""
        return all(request.settled for request in self._flying)
